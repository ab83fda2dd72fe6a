import json

import pytest

from mmm.evaluation import blind
from mmm.evaluation.blind import CONTENTS, PROMPTS, check_unseen, draw_confusion, make_strips, score


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


def test_strips_are_shuffled_and_a_judgement_is_never_replaced(model, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    prompts = {
        "waves with the left hand": ("he says hi", "she says hi"),
        "walks forward": ("he strolls on", "she strolls on"),
    }
    monkeypatch.setattr(blind, "PROMPTS", prompts)
    monkeypatch.setattr(blind, "CONTENTS", {name: name for name in prompts})
    out = make_strips(model, toy, tmp_path / "blind", split="train", progress=False)
    key = json.loads((out / "key.json").read_text())
    generated = [row for row in key.values() if row["kind"] == "generated"]
    real = [row for row in key.values() if row["kind"] == "real"]
    assert sorted(row["text"] for row in generated) == sorted(
        text for pair in prompts.values() for text in pair
    )
    assert all(toy.program(row["clip"])["content"] == row["content"] for row in real)
    takes = [toy.program(row["clip"])["path"] for row in real]
    assert len(set(takes)) == len(takes) == 2  # each content of the toy is one take, cut into many clips
    assert sorted(p.stem for p in (out / "strips").iterdir()) == sorted(key)
    shown = (out / "instructions.md").read_text() + (out / "answers.json").read_text()
    assert not any(row.get("text", row.get("clip")) in shown for row in key.values())
    with pytest.raises(ValueError, match="holds strips and perhaps answers"):
        make_strips(model, toy, out, split="train", progress=False)
    assert json.loads((out / "key.json").read_text()) == key
