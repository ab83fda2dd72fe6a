import json
import math

import pytest

from figures.blind.__main__ import Score
from figures.blind.contents import CONTENTS, OTHER
from figures.blind.free_text import is_answer, judge, mark, table, tally, wilson
from tests.figures.blind.files import answer, write_key


@pytest.mark.parametrize(
    ("contents", "both", "answer", "expected"),
    [
        (["walk", "bow"], True, "walk+bow", "right"),
        (["walk", "bow"], True, "bow + walk", "right"),
        (["walk", "bow"], True, "bow", "half"),
        (["walk", "bow"], True, "bow+run", "half"),
        (["walk", "bow"], True, "run+dash", "wrong"),
        (["walk", "bow"], True, OTHER, "wrong"),
        (["bye", "wave-left-hand"], False, "wave-left-hand", "right"),
        (["bye", "wave-left-hand"], False, "wave-right-hand", "wrong"),
        (["bow"], False, "walk+bow", "half"),
        (
            ["bye", "wave-left-hand"],
            False,
            "bye+wave-left-hand",
            "half",
        ),  # no hedging: one thing was asked for
        ([], False, OTHER, "wrong"),
    ],
)
def test_marks(contents, both, answer, expected):
    assert mark(contents, both, answer) == expected


def test_what_is_an_answer():
    assert all(is_answer(name) for name in (*CONTENTS, OTHER, "walk+bow", "walk + bow"))
    for wrong in ("", "+", "walk+", "walk+walk", "walk+other", "walk+bow+run", "walks", "walk bow"):
        assert not is_answer(wrong)


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
        with pytest.raises(ValueError, match="count at least one strip"):
            wilson(right, of)


@pytest.fixture
def strips(tmp_path):
    two = {"text": "walk, then bow", "contents": ["walk", "bow"], "kind": "two", "order": "then"}
    return write_key(
        tmp_path,
        {"kind": "generated", "number": 2, "prompt": two, "seed": 1},
        {"kind": "real", "content": "run", "clip": "a"},
        {
            "kind": "generated",
            "number": 1,
            "prompt": {"text": "a bow", "contents": ["bow"], "kind": "plain"},
            "seed": 0,
        },
        {"kind": "real", "content": "bow", "clip": "b"},
    )


def test_joined_names_count_as_one_answer_in_any_order(strips):
    readers = [
        answer(strips, "a.json", "walk", "run", "bow", "bow+walk"),
        answer(strips, "b.json", "walk+bow", "run", "walk", "bow+walk"),
        answer(strips, "c.json", "bow + walk", "dash", "bow", "run"),
    ]
    judged = judge(strips, readers)
    assert judged["001"].given == ["walk", "bow+walk", "bow+walk"]
    assert {name: (one.counted, one.mark) for name, one in judged.items()} == {
        "001": ("bow+walk", "right"),
        "002": ("run", "right"),
        "003": ("bow", "right"),
        "004": ("bow+walk", "half"),
    }
    assert judge(strips, readers[:1])["001"].mark == "half"


def test_shares_by_kind_go_to_the_result_and_are_printed(strips, capsys):
    first = answer(strips, "a.json", "walk", "run", "walk+bow", "other")
    Score(strips, (first,)).run()
    result = json.loads((strips / "result.json").read_text())
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
    assert printed.strip() == table(tally(judge(strips, [first]).values()))
    assert "| **real** | one action, captured | 1 | 0 | 2 | 50 % (9 to 91) |" in printed


@pytest.mark.parametrize("given", ["", "runs", "run+runs", "run+run", "other+run"])
def test_wrong_names_are_refused_naming_file_and_strip(strips, given):
    good, bad = (
        answer(strips, name, "bow", third, "bow", "bow") for name, third in (("a", "run"), ("b", given))
    )
    with pytest.raises(
        ValueError, match=r"/b: strip 002 has the answer .*, expected one of walk, .*other"
    ) as error:
        Score(strips, (good, bad)).run()
    assert str(error.value).count("\n") == 0
    assert not (strips / "result.json").exists()


def test_a_key_without_free_text_and_no_reader_are_refused(strips):
    with pytest.raises(ValueError, match="there are no answers"):
        judge(strips, [])
    (strips / "key.json").write_text(json.dumps({"001": {"kind": "real", "content": "run"}}))
    with pytest.raises(ValueError, match="has no free text"):
        judge(strips, [answer(strips, "a.json", "run")])
