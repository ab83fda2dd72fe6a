"""What captions name, and the contents of Bandai-Namco's data."""

import pytest

from mmm.datasets.synthetic.captions import captions
from mmm.datasets.synthetic.choreograph import draw_program
from mmm.datasets.synthetic.phrases import SPEED
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.oracle.bandai import JUDGED, right, tables
from mmm.lab.oracle.recognition import Recognised, actions_of
from mmm.lab.oracle.told import told

STAND = Action("stand")


def program(*pairs):
    return Program(tuple(Segment(legs, arms, 0, 40) for legs, arms in pairs), 40, 0)


WAVE = Action("wave", side="left", speed="fast", count=3)
WALK = Action("walk", speed="slow", direction="forward")


@pytest.mark.parametrize(
    ("caption", "asked", "named"),
    [
        ("a man waves the left hand", [(STAND, WAVE)], {"action", "side"}),
        (
            "a man quickly waves the left hand three times",
            [(STAND, WAVE)],
            {"action", "side", "speed", "count"},
        ),
        ("a man is waving his left arm several times", [(STAND, WAVE)], {"action", "side"}),
        ("someone walks at a slow pace", [(WALK, None)], {"action", "speed"}),
        ("someone walks straight ahead", [(WALK, None)], {"action", "direction"}),
        ("someone does two squats", [(Action("squat", count=2), None)], {"action", "count"}),
        ("someone makes a bow", [(Action("bow", count=1), None)], {"action", "count"}),
        ("someone dances", [(WALK, None)], set()),
    ],
)
def test_what_a_caption_names(caption, asked, named):
    found = told(caption, program(*asked))
    assert {attribute for _, _, attribute in found} == named


def test_manners_belong_to_the_action_beside_them():
    both = program((WALK, None), (STAND, Action("clap", speed="slow", count=4)))
    found = told("a woman walks forward slowly, then claps the hands four times", both)
    assert (0, "walk", "speed") in found and (1, "clap", "count") in found
    assert (1, "clap", "speed") not in found


def test_every_action_of_every_caption_is_found():
    for seed in range(40):
        drawn = draw_program(9_000_000 + seed)
        for caption in captions(drawn, 2):
            found = told(caption.text, drawn)
            for place, segment in enumerate(drawn.segments):
                for action in actions_of(segment):
                    assert (place, action.name, "action") in found, caption.text
                    if action.side:
                        assert (place, action.name, "side") in found
                    if (place, action.name, "speed") in found:
                        assert any(manner in caption.text for manner in SPEED[action.speed])


def row(*pairs):
    return Recognised(tuple(Segment(legs, arms, 0, 40) for legs, arms in pairs))


def to(name, direction=None):
    return (Action(name, direction=direction), None)


def hand(name, side):
    return (STAND, Action(name, side=side))


@pytest.mark.parametrize(
    ("content", "seen", "verdict"),
    [
        ("walk", row(to("walk", "forward")), True),
        ("walk", row(to("run", "forward")), False),
        ("run", row(to("run", "left"), to("walk", "forward")), True),
        ("run", row((STAND, None)), False),
        ("walk-turn-left", row(to("walk", "forward"), to("walk_curve", "left")), True),
        ("walk-turn-left", row(to("walk_turn", "right")), False),
        ("walk-turn-left", row(to("walk", "left")), False),
        ("raise-up-left-hand", row(hand("raise", "left")), True),
        ("raise-up-left-hand", row(hand("raise", "both")), False),
        ("raise-up-both-hands", row(hand("stretch", "both")), True),
        ("wave-right-hand", row(hand("wave", "right")), True),
        ("wave-right-hand", row(hand("wave", "right"), hand("wave", "left")), False),
        ("wave-right-hand", row(hand("raise", "right")), False),
        ("dance-short", row(to("walk", "forward")), None),
        ("walk", Recognised(()), False),
    ],
)
def test_contents_of_bandai(content, seen, verdict):
    assert right(seen, content) is verdict


def test_tables_of_bandai():
    found = tables([("walk", "old", True), ("walk", "old", False), ("dash", "old", True), ("bow", "x", None)])
    assert found["questions"] == {"walk": {"right": 1, "judged": 2, "share": 0.5}}
    assert set(found["contents"]) == {"walk", "dash"}  # dash is reported, no question hangs on it
    assert {question for question, _ in JUDGED.values()} == {"walk", "run", "turn", "raise", "wave"}
