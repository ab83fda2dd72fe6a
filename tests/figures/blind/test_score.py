import json
import math

import pytest

from figures.blind.__main__ import Score
from figures.blind.score import count_contents, draw_confusion, find_answers, score, table, tally, wilson


def write_key(folder, *rows):
    """key.json of strips 001, 002, …"""
    (folder / "key.json").write_text(json.dumps({f"{i:03d}": row for i, row in enumerate(rows, 1)}))
    return folder


def answer(folder, name, *given):
    """The file of a reader: answers to strips 001, 002, …"""
    path = folder / name
    path.write_text(json.dumps({f"{i:03d}": content for i, content in enumerate(given, 1)}))
    return path


@pytest.fixture
def built_in(tmp_path):
    """Strips of the built-in prompts."""
    rows = [("generated", "bow"), ("generated", "bow"), ("real", "run")]
    return write_key(tmp_path, *({"kind": kind, "content": content} for kind, content in rows))


@pytest.fixture
def free(tmp_path):
    """Strips of free text."""
    two = {"text": "walk, then bow", "contents": ["walk", "bow"], "kind": "two", "order": "then"}
    plain = {"text": "a bow", "contents": ["bow"], "kind": "plain"}
    return write_key(
        tmp_path,
        {"kind": "generated", "number": 2, "prompt": two, "seed": 1},
        {"kind": "real", "content": "run", "clip": "a"},
        {"kind": "generated", "number": 1, "prompt": plain, "seed": 0},
        {"kind": "real", "content": "bow", "clip": "b"},
    )


@pytest.fixture
def everyday(tmp_path):
    """Strips of prompts with actions, order and manner."""
    bows = {"text": "walk, then bow", "kind": "sequence", "actions": [["walk"], ["bow"]], "order": "then"}
    drags = {"text": "drags along", "kind": "style", "actions": [["walk"]], "manner": ["tired"]}
    return write_key(
        tmp_path,
        {"kind": "generated", "number": 1, "prompt": bows, "seed": 0},
        {"kind": "generated", "number": 2, "prompt": drags, "seed": 1},
        {
            "kind": "real",
            "like": "everyday",
            "content": "ballet-leap",
            "clip": "a",
            "actions": [["leap", "spin"]],
        },
        {
            "kind": "real",
            "like": "style",
            "content": "run",
            "clip": "b",
            "actions": [["run"]],
            "manner": ["angry"],
        },
    )


def test_actions_and_manner_are_counted_each_by_itself(everyday):
    readers = [
        answer(everyday, "a.json", "bow, then walk", "walk; sad", "spin", "run; angry"),
        answer(everyday, "b.json", "walk then bow", "walk; tired", "leap; proud", "run"),
        answer(everyday, "c.json", "walk, then bow; normal", "run; tired", "leap", "run; angry"),
    ]
    strips = score(everyday, readers)
    assert strips["001"].answers == ["bow, then walk", "walk, then bow", "walk, then bow"]
    assert [(strip.counted, strip.mark) for strip in strips.values()] == [
        ("walk, then bow", "right"),
        ("walk; tired", "right"),
        ("leap", "right"),
        ("run; angry", "right"),
    ]
    alone = [strip.mark for strip in score(everyday, readers[:1]).values()]
    assert alone == ["half", "half", "right", "right"]
    result = tally(strips.values())
    assert list(result["generated"]) == ["style", "sequence", "all"]
    assert {kind: n["of"] for kind, n in result["real"].items()} == {"style": 1, "everyday": 1, "all": 2}


def test_wilsons_interval():
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    for (right, of), expected in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson(right, of) == pytest.approx(expected, abs=5e-5)
    low, high = wilson(40, 40)
    assert 0.9 < low < 1 and math.isclose(high, 1)
    for right, of in ((0, 0), (3, 2)):
        with pytest.raises(ValueError, match=f"{right} of {of}"):
            wilson(right, of)


def test_the_most_frequent_answer_counts(built_in):
    readers = [
        answer(built_in, "a.json", "bow", "walk", "dash"),
        answer(built_in, "b.json", "walk", "bow", "run"),
        answer(built_in, "c.json", "bow", "walk", "run"),
    ]
    strips = score(built_in, readers)
    assert [(strip.counted, strip.mark) for strip in strips.values()] == [
        ("bow", "right"),
        ("walk", "wrong"),
        ("run", "right"),
    ]
    counts = count_contents(strips.values())
    assert counts["generated"]["right"]["bow"] == 1 and counts["generated"]["contents 11-17"] == [1, 2]
    assert counts["real"]["contents 1-10"] == [1, 1]
    assert score(built_in, readers[:1])["003"].counted == "dash"
    draw_confusion(strips.values(), built_in / "confusion.png")
    assert (built_in / "confusion.png").stat().st_size > 10_000


def test_joined_names_count_as_one_answer_in_any_order(free):
    readers = [
        answer(free, "a.json", "walk", "run", "bow", "bow+walk"),
        answer(free, "b.json", "walk+bow", "run", "walk", "bow+walk"),
        answer(free, "c.json", "bow + walk", "dash", "bow", "run"),
    ]
    strips = score(free, readers)
    assert strips["001"].answers == ["walk", "bow+walk", "bow+walk"]
    assert [(strip.counted, strip.mark) for strip in strips.values()] == [
        ("bow+walk", "right"),
        ("run", "right"),
        ("bow", "right"),
        ("bow+walk", "half"),
    ]
    assert score(free, readers[:1])["001"].mark == "half"


def test_free_text_is_counted_by_kind_written_and_printed(free, capsys):
    first = answer(free, "a.json", "walk", "run", "walk+bow", "other")
    Score(free, (first,)).run()
    result = json.loads((free / "result.json").read_text())
    counts = {(a, b): (n["right"], n["half"], n["of"]) for a, of in result.items() for b, n in of.items()}
    assert counts == {
        ("generated", "plain"): (0, 1, 1),
        ("generated", "two"): (0, 1, 1),
        ("generated", "all"): (0, 2, 2),
        ("real", "all"): (1, 0, 2),
    }
    assert result["real"]["all"]["share"] == 0.5
    assert result["real"]["all"]["interval"] == list(wilson(1, 2))
    printed = capsys.readouterr().out
    assert printed.strip() == table(tally(score(free, [first]).values()))
    assert "| **real** | one action, captured | 1 | 0 | 2 | 50 % (9 to 91) |" in printed


@pytest.mark.parametrize(
    ("strips", "given"),
    [("built_in", wrong) for wrong in ("", "bows", "bow+walk", "other")]
    + [
        ("free", wrong)
        for wrong in ("", "runs", "run+runs", "run+run", "other+run", "run, then bow", "run; sad")
    ]
    + [("everyday", wrong) for wrong in ("", "run+bow", "run, then runs", "run; swift", "run while stand")],
)
def test_wrong_names_are_refused_naming_file_and_strip(request, strips, given):
    folder = request.getfixturevalue(strips)
    good, bad = (
        answer(folder, name, "bow", second, "bow", "bow") for name, second in (("a", "run"), ("b", given))
    )
    with pytest.raises(ValueError, match="/b: strip 002") as error:
        Score(folder, (good, bad)).run()
    assert str(error.value).count("\n") == 0
    assert not (folder / "result.json").exists()


def test_files_of_something_else_are_named(built_in):
    with pytest.raises(FileNotFoundError, match=r"nobody\.json"):
        score(built_in, [built_in / "nobody.json"])
    for content in ("bow, bow, run", '["bow", "bow", "run"]'):
        (built_in / "answers_1.json").write_text(content)
        with pytest.raises(ValueError, match=r"answers_1\.json"):
            score(built_in, find_answers(built_in))
    with pytest.raises(ValueError, match=str(built_in)):
        score(built_in, [])


def test_answers_are_looked_for_beside_the_key_in_order(built_in):
    with pytest.raises(FileNotFoundError, match=str(built_in)):
        find_answers(built_in)
    for name in ("answers_2.json", "answers.json", "answers_1.json"):
        answer(built_in, name, "bow", "bow", "run")
    assert [path.name for path in find_answers(built_in)] == ["answers_1.json", "answers_2.json"]


@pytest.mark.parametrize(("place", "count"), [("blind", count_contents), ("free-text", tally)])
def test_the_stored_answers_score_as_they_did(pytestconfig, place, count):
    folder = pytestconfig.rootpath / "figures" / place
    result = count(score(folder, find_answers(folder)).values())
    assert json.loads(json.dumps(result)) == json.loads((folder / "result.json").read_text())
