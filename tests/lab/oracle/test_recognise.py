"""The oracle on clips of its own making, on the world moved and mirrored, and with noise."""

from dataclasses import replace

import numpy as np
import pytest

from mmm.datasets.synthetic.choreograph import (
    ARM_WEIGHTS,
    LEG_WEIGHTS,
    dance,
    draw_arms,
    draw_legs,
    draw_program,
    seconds,
)
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.oracle.recognition import recognise
from mmm.lab.oracle.scoring import ATTRIBUTES, accuracy, judge
from mmm.motion import mirror_joints

FIRST = 7_000_000  # seeds that no data set of ours begins with
# Some programs ask for a speed that cannot be seen: slow stretches may be as short as long normal ones, and a single
# punch, fast or not, is given the 1.2 seconds that a segment has at least.
LEAST = {"action": 0.97, "side": 0.97, "count": 0.97, "direction": 0.97, "speed": 0.93}
OTHER = {"left": "right", "right": "left"}


@pytest.fixture(scope="module")
def clips():
    return [dance(draw_program(FIRST + i)) for i in range(60)]


def shares(pairs):
    table = accuracy([judge(seen, program) for seen, program in pairs])["attributes"]
    return {name: row["share"] for name, row in table.items()}


def alone(name: str, rng: np.random.Generator, seed: int) -> Program:
    """One action and nothing else."""
    if name in LEG_WEIGHTS:
        action = draw_legs(name, rng)
        legs, arms = action, None
    else:
        action = draw_arms(name, rng)
        legs, arms = Action("stand"), action
    frames = max(round(20 * seconds(action, rng)), 30)
    return Program((Segment(legs, arms, 0, frames),), frames, seed)


def test_drawn_programs_are_recognised(clips):
    found = shares([(recognise(joints), program) for joints, program in clips])
    assert all(found[name] >= LEAST[name] for name in ATTRIBUTES), found


@pytest.mark.parametrize("name", [*LEG_WEIGHTS, *ARM_WEIGHTS])
def test_every_action_with_its_parameters(name):
    rng = np.random.default_rng(len(name))
    for seed in range(3):
        joints, program = dance(alone(name, rng, FIRST + seed))
        verdict = judge(recognise(joints), program)
        wrong = [kind for kind in ("action", "side", "count", "direction") if verdict.of(kind) is False]
        assert not wrong, (program, str(recognise(joints)))


def test_the_world_does_not_matter(clips):
    angle = 2.0
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float64
    )
    for joints, _ in clips[:12]:
        moved = 1.3 * joints @ turn.T + np.array([7.0, 0.4, -3.0])
        assert recognise(moved) == recognise(joints)


def swapped(action):
    if action is None:
        return None
    way = OTHER.get(action.direction, action.direction)
    return replace(action, side=OTHER.get(action.side, action.side), direction=way)


def test_a_mirror_swaps_left_and_right(clips):
    pairs = []
    for joints, program in clips[:40]:
        segments = tuple(
            replace(s, legs=swapped(s.legs), arms=swapped(s.arms), turn=-s.turn) for s in program.segments
        )
        pairs.append((recognise(mirror_joints(joints)), replace(program, segments=segments)))
    found = shares(pairs)
    assert min(found[name] for name in ("action", "side", "direction")) >= 0.97, found
    sided = [p for p in pairs if any(a.side in OTHER for s in p[1].segments for a in (s.legs, s.arms) if a)]
    assert len(sided) > 10


def test_jitter_of_5_mm_does_not_matter(clips):
    rng = np.random.default_rng(0)
    found = shares([(recognise(joints + rng.normal(0, 0.005, joints.shape)), p) for joints, p in clips[:40]])
    assert all(found[name] >= LEAST[name] - 0.02 for name in ATTRIBUTES), found


def test_other_frame_rates(clips):
    pairs = []
    for joints, program in clips[:20]:
        time = np.arange(0, len(joints) - 1, 2 / 3)
        place = time.astype(int)
        share = (time - place)[:, None, None]
        pairs.append((recognise(joints[place] * (1 - share) + joints[place + 1] * share, fps=30.0), program))
    found = shares(pairs)
    assert all(found[name] >= LEAST[name] - 0.04 for name in ATTRIBUTES), found
    again = judge(recognise(clips[0][0], fps=60.0), clips[0][1])  # three times as fast is another motion
    assert not all(again.of(name) is not False for name in ATTRIBUTES)


def test_a_clip_may_begin_and_end_in_full_stride():
    steady = Program((Segment(Action("walk", direction="forward"), None, 0, 100),), 100, FIRST)
    joints, _ = dance(steady)
    (segment,) = recognise(joints[25:70]).segments
    assert (segment.legs.name, segment.legs.direction, segment.legs.speed) == ("walk", "forward", "normal")


def test_who_does_not_move_stands():
    joints, _ = dance(Program((Segment(Action("stand"), None, 0, 60),), 60, FIRST))
    still = np.repeat(joints[:1], 60, axis=0)
    for motion in (joints, still):
        (segment,) = recognise(motion).segments
        assert (segment.legs, segment.arms) == (Action("stand"), None)
    assert str(recognise(still)) == "stand"


def test_a_motion_turned_backward_in_time_is_told_apart():
    joints, _ = dance(Program((Segment(Action("walk", direction="forward"), None, 0, 80),), 80, FIRST))
    assert recognise(joints[::-1]).segments[0].legs.direction == "backward"


@pytest.mark.parametrize(
    ("joints", "fps", "said"),
    [
        (np.zeros((30, 21, 3)), 20.0, r"shape \(30, 21, 3\); expected \(frames, 22, 3\)"),
        (np.zeros((8, 22, 3)), 20.0, "8 frames"),
        (np.full((30, 22, 3), np.nan), 20.0, "NaN"),
        (np.zeros((30, 22, 3)), 0.0, "fps is 0.0"),
    ],
)
def test_bad_input_is_named(joints, fps, said):
    with pytest.raises(ValueError, match=said):
        recognise(joints, fps)


def test_captured_motion(shared_dir):
    captured = np.load(shared_dir / "golden" / "features.npz")
    seen = {
        name: recognise(captured[f"{name}/recovered_joints"])
        for name in ("dataset-1_walk_normal_001", "dataset-2_wave-left-hand_normal_001")
    }
    walk, wave = (row.segments for row in seen.values())
    assert [(s.legs.name, s.legs.direction, s.arms) for s in walk] == [("walk", "forward", None)]
    assert [(s.arms.name, s.arms.side) for s in wave if s.arms] == [("wave", "left")]
