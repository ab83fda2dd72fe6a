"""Action classes of Bandai-Namco's data against what the oracle sees."""

import pytest

from mmm.datasets.synthetic.program import Action, Segment
from mmm.lab.oracle.bandai import JUDGED, right, tables
from mmm.lab.oracle.recognition import Recognised


def seen(*pairs):
    return Recognised(tuple(Segment(legs, arms, 0, 40) for legs, arms in pairs))


def to(name, direction=None):
    return (Action(name, direction=direction), None)


def hand(name, side):
    return (Action("stand"), Action(name, side=side))


@pytest.mark.parametrize(
    ("action_class", "recognised", "verdict"),
    [
        ("walk", seen(to("walk", "forward")), True),
        ("walk", seen(to("run", "forward")), False),
        ("walk", seen(), False),
        ("run", seen(to("run", "left"), to("walk", "forward")), True),
        ("run", seen(to("stand")), False),
        ("walk-back", seen(to("walk", "backward")), True),
        ("walk-turn-left", seen(to("walk", "forward"), to("walk_curve", "left")), True),
        ("walk-turn-left", seen(to("walk_turn", "right")), False),
        ("walk-turn-left", seen(to("walk", "left")), False),
        ("raise-up-left-hand", seen(hand("raise", "left")), True),
        ("raise-up-left-hand", seen(hand("raise", "both")), False),
        ("raise-up-both-hands", seen(hand("stretch", "both")), True),
        ("wave-right-hand", seen(hand("wave", "right")), True),
        ("wave-right-hand", seen(hand("wave", "right"), hand("wave", "left")), False),
        ("wave-right-hand", seen(hand("raise", "right")), False),
        ("dance-short", seen(to("walk", "forward")), None),
    ],
)
def test_action_classes(action_class, recognised, verdict):
    assert right(recognised, action_class) is verdict


def test_tables_count_by_question_class_and_style():
    result = tables(
        [("walk", "old", True), ("walk", "old", False), ("dash", "old", True), ("bow", "x", None)]
    )
    assert result["questions"] == {"walk": {"right": 1, "judged": 2, "share": 0.5}}
    assert result["styles"] == {"walk": {"old": {"right": 1, "judged": 2, "share": 0.5}}}
    assert set(result["contents"]) == {"walk", "dash"}, "dash is reported, but in no question"
    assert {question for question, _ in JUDGED.values()} == {"walk", "run", "turn", "raise", "wave"}
