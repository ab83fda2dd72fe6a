"""Programs: JSON, random programs, held-out combinations."""

import json

import pytest

from mmm.datasets.synthetic.choreograph import (
    ARM_WEIGHTS,
    HELD_OUT_PARALLEL,
    HELD_OUT_THEN,
    LEG_WEIGHTS,
    MEANWHILE,
    draw_program,
    held_out,
)
from mmm.datasets.synthetic.program import Action, Program, Segment

SEEDS = range(600)


@pytest.fixture(scope="module")
def programs():
    return [draw_program(seed) for seed in SEEDS]


def test_json_round_trip(programs):
    for program in programs[:50]:
        assert Program.from_dict(json.loads(json.dumps(program.to_dict()))) == program


def test_bad_programs_are_refused():
    with pytest.raises(ValueError, match="segments"):
        Program.from_dict({"frames": 3})
    for key, value in (("side", "up"), ("speed", "swift"), ("size", "huge"), ("direction", "north")):
        with pytest.raises(ValueError, match=f"{key} '{value}'"):
            Action("wave", **{key: value})


def test_segments_tile_the_clip(programs):
    for program in programs:
        edges = [s.start for s in program.segments] + [program.frames]
        assert edges[0] == 0 and edges == sorted(set(edges))
        assert [s.end for s in program.segments] == edges[1:]
        assert 40 <= program.frames <= 196


def test_every_action_and_parameter_is_drawn(programs):
    segments = [s for p in programs for s in p.segments]
    legs = {s.legs.name for s in segments}
    arms = {s.arms.name for s in segments if s.arms}
    assert legs == set(LEG_WEIGHTS) and arms == set(ARM_WEIGHTS)
    assert len(legs | arms) >= 18
    walks = {s.legs.direction for s in segments if s.legs.name == "walk"}
    assert walks == {"forward", "backward", "left", "right"}
    for name, sides in {"wave": 3, "raise": 3, "punch": 3, "throw": 2}.items():
        assert len({s.arms.side for s in segments if s.arms and s.arms.name == name}) == sides
    assert {s.legs.speed for s in segments} == {"slow", "normal", "fast"}
    assert {len(p.segments) for p in programs} == {1, 2, 3}
    for leg, meanwhile in MEANWHILE.items():
        seen = {s.arms.name for s in segments if s.legs.name == leg and s.arms}
        assert seen <= set(meanwhile) | {"raise"}


def test_held_out_combinations_are_drawn(programs):
    assert 0.04 < sum(map(held_out, programs)) / len(programs) < 0.2
    parallel = set().union(*(p.parallels() for p in programs))
    then = set().union(*(p.successions() for p in programs))
    assert parallel >= HELD_OUT_PARALLEL and len(then & HELD_OUT_THEN) > 6
    # each part of a held-out pair is in training in other combinations
    rest = [p for p in programs if not held_out(p)]
    seen = {action.name for p in rest for s in p.segments for action in (s.legs, s.arms) if action}
    assert seen >= {name for pair in HELD_OUT_PARALLEL | HELD_OUT_THEN for name in pair}


def test_the_main_action_is_that_of_the_arms_if_the_legs_only_stand():
    wave = Action("wave", side="left", count=2)
    assert Segment(Action("stand"), wave, 0, 40).main == wave
    assert Segment(Action("squat", count=1), wave, 0, 40).main.name == "squat"
