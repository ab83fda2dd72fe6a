import json

import pytest

from figures.blind.contents import CONTENTS
from figures.blind.readers import draw_confusion, find_answers, score, told
from tests.figures.blind.files import answer, write_key


@pytest.fixture
def strips(tmp_path):
    return write_key(
        tmp_path,
        {"kind": "generated", "content": "bow"},
        {"kind": "generated", "content": "bow"},
        {"kind": "real", "content": "run"},
    )


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
    with pytest.raises(ValueError, match=r"a\.json: strip 002 has the answer"):
        score(strips, [answer(strips, "a.json", "bow", given, "run")])


def test_answers_of_two_names_are_for_free_text_only(strips):
    for given in ("bow+walk", "other"):
        with pytest.raises(ValueError, match="strip 003 has the answer"):
            score(strips, [answer(strips, "a.json", "bow", "bow", given)])


def test_files_that_are_no_answers_are_named(strips):
    with pytest.raises(FileNotFoundError, match="there is no file .*nobody.json"):
        score(strips, [strips / "nobody.json"])
    (strips / "answers_1.json").write_text("bow, bow, run")
    with pytest.raises(ValueError, match="answers_1.json is no JSON"):
        score(strips, find_answers(strips))
    (strips / "answers_1.json").write_text('["bow", "bow", "run"]')
    with pytest.raises(ValueError, match="answers_1.json holds a list"):
        score(strips, find_answers(strips))


def test_answers_are_found_beside_the_key_in_order(strips):
    with pytest.raises(FileNotFoundError, match="has no answers_"):
        find_answers(strips)
    for name in ("answers_2.json", "answers.json", "answers_1.json"):
        answer(strips, name, "bow", "bow", "run")
    assert [path.name for path in find_answers(strips)] == ["answers_1.json", "answers_2.json"]


def test_the_judgement_of_the_shipped_model_scores_as_it_did(pytestconfig):
    folder = pytestconfig.rootpath / "figures" / "blind"
    verdicts = score(folder, find_answers(folder))
    assert json.loads(json.dumps(told(verdicts))) == json.loads((folder / "result.json").read_text())
