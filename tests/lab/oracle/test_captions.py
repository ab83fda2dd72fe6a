"""What captions of the choreographer name."""

import pytest

from mmm.datasets.synthetic.captions import captions
from mmm.datasets.synthetic.choreograph import draw_program
from mmm.datasets.synthetic.phrases import SPEED
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.oracle.captions import named_by
from mmm.lab.oracle.recognition import actions_of

STAND = Action("stand")
WAVE = (STAND, Action("wave", side="left", speed="fast", count=3))
WALK = (Action("walk", speed="slow", direction="forward"), None)


def program(*pairs):
    return Program(tuple(Segment(legs, arms, 0, 40) for legs, arms in pairs), 40, 0)


@pytest.mark.parametrize(
    ("caption", "pair", "named"),
    [
        ("a man waves the left hand", WAVE, {"action", "side"}),
        ("a man quickly waves the left hand three times", WAVE, {"action", "side", "speed", "count"}),
        ("a man is waving his left arm several times", WAVE, {"action", "side"}),
        ("someone walks at a slow pace", WALK, {"action", "speed"}),
        ("someone walks straight ahead", WALK, {"action", "direction"}),
        ("someone does two squats", (Action("squat", count=2), None), {"action", "count"}),
        ("someone makes a bow", (Action("bow", count=1), None), {"action", "count"}),
        ("someone dances", WALK, set()),
    ],
)
def test_what_a_caption_names(caption, pair, named):
    assert {attribute for _, _, attribute in named_by(caption, program(pair))} == named


def test_manners_belong_to_the_action_beside_them():
    both = program(WALK, (STAND, Action("clap", speed="slow", count=4)))
    named = named_by("a woman walks forward slowly, then claps the hands four times", both)
    assert (0, "walk", "speed") in named and (1, "clap", "count") in named
    assert (1, "clap", "speed") not in named


def test_every_action_of_every_caption_is_named():
    for seed in range(40):
        drawn = draw_program(9_000_000 + seed)
        for caption in captions(drawn, 2):
            named = named_by(caption.text, drawn)
            for index, segment in enumerate(drawn.segments):
                for action in actions_of(segment):
                    assert (index, action.name, "action") in named, caption.text
                    if action.side:
                        assert (index, action.name, "side") in named
                    if (index, action.name, "speed") in named:
                        assert any(manner in caption.text for manner in SPEED[action.speed])
