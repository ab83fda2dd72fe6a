"""Matching and judging, on rows written by hand."""

import pytest

from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.oracle.recognition import Recognised
from mmm.lab.oracle.scoring import accuracy, align, judge, score

STAND = Action("stand")
WALK = Segment(Action("walk", direction="forward"), None, 0, 60)
WAVE = Segment(STAND, Action("wave", side="left", count=3), 60, 120)
KICK = Segment(Action("kick", side="right", count=2), None, 120, 160)
BOTH = Segment(Action("walk", direction="forward"), Action("wave", side="left", count=3), 0, 60)


def clip(*segments):
    return Program(segments, 160, 0)


def seen(*segments):
    return Recognised(segments)


def wave(**change):
    return Segment(STAND, Action("wave", **({"side": "left", "count": 3} | change)), 60, 120)


def test_all_right_and_what_does_not_apply():
    assert score(seen(WALK, WAVE), clip(WALK, WAVE)) == {
        "action": True, "side": True, "count": True, "direction": True, "speed": True,
    }  # fmt: skip
    assert score(seen(WALK), clip(WALK)) == {
        "action": True, "side": None, "count": None, "direction": True, "speed": True,
    }  # fmt: skip


@pytest.mark.parametrize("change", [{"side": "right"}, {"side": "both"}, {"count": 4}, {"speed": "slow"}])
def test_one_attribute_is_wrong_alone(change):
    verdict = score(seen(WALK, wave(**change)), clip(WALK, WAVE))
    assert [name for name, right in verdict.items() if not right] == [*change]


def test_missing_segments_are_wrong_on_all_they_have():
    verdict = score(seen(WALK), clip(WALK, WAVE))
    assert verdict == {"action": False, "side": False, "count": False, "direction": True, "speed": False}


def test_one_segment_too_many_is_a_wrong_action_only():
    verdict = score(seen(WALK, WAVE, KICK), clip(WALK, WAVE))
    assert verdict == {"action": False, "side": True, "count": True, "direction": True, "speed": True}


def test_order_matters():
    assert score(seen(WAVE, WALK), clip(WALK, WAVE))["action"] is False
    assert align((WAVE, WALK), (WALK, WAVE)) == [(0, None), (1, 0), (None, 1)]
    assert align((WALK, KICK), (WALK, WAVE, KICK)) == [(0, 0), (None, 1), (1, 2)]


def test_at_once_is_not_one_after_the_other():
    assert score(seen(WALK, WAVE), clip(BOTH))["action"] is False
    verdict = judge(seen(WALK), clip(BOTH))  # the walk is seen, the wave is not
    assert ("walk", "action", True) in verdict.judged and ("wave", "action", False) in verdict.judged
    # arms that go along with the legs have no speed of their own
    assert not any(row[:2] == ("wave", "speed") for row in verdict.judged)


def test_only_what_was_told_is_judged():
    verdict = judge(seen(wave(count=9)), clip(WAVE), told=lambda place, action, kind: kind != "count")
    assert verdict.of("count") is None and verdict.of("side") is True


def test_shares():
    verdicts = [judge(seen(WAVE), clip(WAVE)), judge(seen(wave(side="right")), clip(WAVE))]
    table = accuracy([*verdicts, judge(seen(WALK), clip(WALK))])
    assert table["clips"] == 3
    assert table["attributes"]["side"] == {"right": 1, "judged": 2, "share": 0.5}
    assert table["all"] == {"right": 2, "judged": 3, "share": 0.6667}
    assert table["actions"]["wave"]["count"] == {"right": 2, "judged": 2, "share": 1.0}
    assert "side" not in table["actions"]["walk"]
    assert accuracy([])["attributes"]["side"]["share"] is None
