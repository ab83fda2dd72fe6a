"""Matching and judging, on rows written by hand."""

import pytest

from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.oracle.recognition import Recognised
from mmm.lab.oracle.scoring import ATTRIBUTES, accuracy, align, judge

STAND = Action("stand")
WALK = Segment(Action("walk", direction="forward"), None, 0, 60)
WAVE = Segment(STAND, Action("wave", side="left", count=3), 60, 120)
KICK = Segment(Action("kick", side="right", count=2), None, 120, 160)
BOTH = Segment(Action("walk", direction="forward"), Action("wave", side="left", count=3), 0, 60)


def verdict(seen, program, named=None):
    return judge(Recognised(tuple(seen)), Program(tuple(program), 160, 0), named)


def score(seen, program):
    result = verdict(seen, program)
    return {attribute: result.of(attribute) for attribute in ATTRIBUTES}


def wave(**change):
    return Segment(STAND, Action("wave", **({"side": "left", "count": 3} | change)), 60, 120)


@pytest.mark.parametrize(
    ("seen", "program", "expected"),
    [
        ([WALK, WAVE], [WALK, WAVE], [True, True, True, True, True]),
        ([WALK], [WALK], [True, None, None, True, True]),  # a walk has no side and no count
        ([WALK, wave(side="right")], [WALK, WAVE], [True, False, True, True, True]),
        ([WALK, wave(side="both")], [WALK, WAVE], [True, False, True, True, True]),
        ([WALK, wave(count=4)], [WALK, WAVE], [True, True, False, True, True]),
        ([WALK, wave(speed="slow")], [WALK, WAVE], [True, True, True, True, False]),
        # a missing segment is wrong on all it has; one too many is a wrong action only
        ([WALK], [WALK, WAVE], [False, False, False, True, False]),
        ([WALK, WAVE, KICK], [WALK, WAVE], [False, True, True, True, True]),
    ],
)
def test_scores(seen, program, expected):
    assert list(score(seen, program).values()) == expected


def test_order_matters():
    assert score([WAVE, WALK], [WALK, WAVE])["action"] is False
    assert align((WAVE, WALK), (WALK, WAVE)) == [(0, None), (1, 0), (None, 1)]
    assert align((WALK, KICK), (WALK, WAVE, KICK)) == [(0, 0), (None, 1), (1, 2)]


def test_at_once_is_not_one_after_the_other():
    assert score([WALK, WAVE], [BOTH])["action"] is False
    judged = verdict([WALK], [BOTH]).judged  # the walk is seen, the wave is not
    assert ("walk", "action", True) in judged and ("wave", "action", False) in judged
    assert not any(row[:2] == ("wave", "speed") for row in judged), "arms beside moving legs have none"


def test_only_what_is_named_is_judged():
    result = verdict([wave(count=9)], [WAVE], named=lambda index, action, attribute: attribute != "count")
    assert result.of("count") is None and result.of("side") is True


def test_accuracy_counts_clips_and_actions():
    pairs = [(WAVE, WAVE), (wave(side="right"), WAVE), (WALK, WALK)]
    table = accuracy([verdict([seen], [program]) for seen, program in pairs])
    assert table["clips"] == 3
    assert table["attributes"]["side"] == {"right": 1, "judged": 2, "share": 0.5}
    assert table["all"] == {"right": 2, "judged": 3, "share": 0.6667}
    assert table["actions"]["wave"]["count"] == {"right": 2, "judged": 2, "share": 1.0}
    assert "side" not in table["actions"]["walk"]
    assert accuracy([])["attributes"]["side"]["share"] is None
