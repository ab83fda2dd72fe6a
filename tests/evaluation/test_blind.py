import json

import pytest

from mmm.evaluation.blind import CONTENTS, PROMPTS, check_unseen, draw_confusion, score


def test_every_content_has_two_prompts_that_differ():
    assert list(PROMPTS) == list(CONTENTS)
    prompts = [prompt for pair in PROMPTS.values() for prompt in pair]
    assert len(set(prompts)) == 2 * len(CONTENTS)


def test_prompts_that_were_trained_on_are_refused():
    check_unseen(["a man bows"], ["a man bows deeply"])
    for caption in ("A man bows.", "a man  bows"):
        with pytest.raises(ValueError, match="is a training caption"):
            check_unseen(["a man bows"], [caption])
    with pytest.raises(ValueError, match="is a training caption"):
        check_unseen(["a man turns left"], ["a man turns right"])  # trained on as its mirror image


@pytest.fixture
def strips(tmp_path):
    key = {
        "001": {"kind": "generated", "content": "bow"},
        "002": {"kind": "generated", "content": "bow"},
        "003": {"kind": "real", "content": "run"},
    }
    (tmp_path / "key.json").write_text(json.dumps(key))
    return tmp_path


def answer(folder, name, *given):
    path = folder / name
    path.write_text(json.dumps({f"{i:03d}": content for i, content in enumerate(given, 1)}))
    return path


def test_the_most_frequent_answer_counts(strips):
    readers = [
        answer(strips, "a.json", "bow", "walk", "dash"),
        answer(strips, "b.json", "walk", "bow", "run"),
        answer(strips, "c.json", "bow", "walk", "run"),
    ]
    verdicts = score(strips, readers)
    assert verdicts["generated"].of(["bow"]) == (1, 2)
    assert verdicts["generated"].confusion == {("bow", "bow"): 1, ("bow", "walk"): 1}
    assert verdicts["real"].of(list(CONTENTS)) == (1, 1)
    assert score(strips, readers[:1])["real"].confusion == {("run", "dash"): 1}
    draw_confusion(verdicts, strips / "confusion.png")
    assert (strips / "confusion.png").stat().st_size > 10_000


@pytest.mark.parametrize("given", ["", "bows"])
def test_answers_that_are_no_content_are_named(strips, given):
    with pytest.raises(ValueError, match="strip 002 has the answer"):
        score(strips, [answer(strips, "a.json", "bow", given, "run")])
