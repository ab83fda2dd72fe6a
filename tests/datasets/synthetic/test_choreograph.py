"""The motion of the choreographer: planted feet, constant bones, the right limb and count."""

import numpy as np
import pytest
from scipy.signal import find_peaks

from mmm.datasets.synthetic.choreograph import dance, draw_program
from mmm.datasets.synthetic.lower import GAIT
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.motion import HUMANML3D, features_to_joints, joints_to_features

STAND = Action("stand")
PELVIS, ANKLE, TOES = 0, (7, 8), (10, 11)
SHOULDER, WRIST = {"left": 16, "right": 17}, {"left": 20, "right": 21}


def show(legs=STAND, arms=None, frames=80, seed=5):
    """Joints of one segment."""
    joints, _ = dance(Program((Segment(legs, arms, 0, frames),), frames, seed))
    return joints


def heading(joints):
    """Unwrapped heading in degrees from the hips, to the left positive."""
    across = joints[:, 1] - joints[:, 2]
    return np.degrees(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])))


def skating(joints):
    """Numbers of (skating, standing) frame pairs of all foot joints."""
    feet = joints[:, [7, 8, 10, 11]]
    low = feet[..., 1] < 0.05
    stands = low[1:] & low[:-1]
    moves = np.linalg.norm(np.diff(feet[..., (0, 2)], axis=0), axis=-1) > 0.025
    return (stands & moves).sum(), stands.sum()


@pytest.fixture(scope="module")
def danced():
    return [dance(draw_program(seed)) for seed in range(80)]


def test_stance_feet_do_not_skate(danced):
    features = [joints_to_features(joints.astype(np.float32)) for joints, _ in danced]
    counts = np.array([skating(features_to_joints(x)) for x in features])
    assert counts[:, 0].sum() / counts[:, 1].sum() < 0.01
    assert (counts[:, 0] / counts[:, 1]).max() < 0.05  # in every single clip


def test_a_planted_foot_does_not_move_at_all():
    toes = show(Action("walk", direction="forward"))[:, TOES]
    down = toes[..., 1] < 1e-6
    still = np.linalg.norm(np.diff(toes[..., (0, 2)], axis=0), axis=-1)[down[:-1] & down[1:]]
    assert len(still) > 40
    assert np.median(still) < 1e-6 and still.max() < 0.012  # the foot turns about its heel as it comes down


def test_bones_are_those_of_the_skeleton(danced):
    lengths = np.linalg.norm(HUMANML3D.target_offsets, axis=-1)[1:]
    parents = list(HUMANML3D.parents)[1:]
    for joints, _ in danced:
        bones = np.linalg.norm(joints[:, 1:] - joints[:, parents], axis=-1)
        np.testing.assert_allclose(bones, np.broadcast_to(lengths, bones.shape), atol=1e-6)


def test_features_keep_the_motion(danced):
    for joints, _ in danced[:10]:
        back = features_to_joints(joints_to_features(joints.astype(np.float32)))
        spread, kept = (np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) for x in (joints[:-1], back))
        np.testing.assert_allclose(kept, spread, atol=2e-4)
        assert abs(heading(back)[0]) < 8


def test_clips_stand_on_the_floor_and_move_smoothly(danced):
    for joints, program in danced:
        assert len(joints) == program.frames + 1 and 40 <= program.frames <= 196
        assert joints[..., 1].min() == pytest.approx(0, abs=1e-9)
        assert np.isfinite(joints).all()
        acceleration = np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1) * 400  # m/s²
        assert acceleration.max() < 250  # a hard kick has 170


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_named_limb_moves(side):
    other = {"left": "right", "right": "left"}[side]
    sign = 1 if side == "left" else -1
    for name, count in (("wave", 3), ("raise", None), ("throw", 1)):
        joints = show(arms=Action(name, side=side, count=count), frames=60)
        lift = {s: (joints[:, WRIST[s], 1] - joints[:, SHOULDER[s], 1]).max() for s in ("left", "right")}
        assert lift[side] > 0.15 > lift[other], name
        assert sign * (joints[:, WRIST[side], 0] - joints[:, PELVIS, 0]).max() > -0.5
    joints = show(arms=Action("punch", side=side, count=2), frames=50)
    assert np.ptp(joints[:, WRIST[side], 2]) > np.ptp(joints[:, WRIST[other], 2]) + 0.1
    joints = show(Action("kick", side=side, count=1), frames=40)
    foot = {"left": 7, "right": 8}
    assert joints[:, foot[side], 1].max() > 0.5 > joints[:, foot[other], 1].max()
    # +x is the left of somebody who faces +z
    assert sign * joints[0, WRIST[side], 0] > 0.1 and joints[0, TOES, 2].mean() > joints[0, ANKLE, 2].mean()
    lean = show(arms=Action("stretch", side="both", direction=side), frames=70)
    assert sign * (lean[35, 12, 0] - lean[35, PELVIS, 0]) > 0.1
    look = show(arms=Action("look", direction=side, count=1), frames=50)
    gaze = sign * (look[:, 15] - look[:, 12])[:, 0]
    assert gaze[12] > 0.02 and gaze[38] < -0.02  # first to the named side, then to the other


@pytest.mark.parametrize(
    ("direction", "axis", "sign"), [("forward", 2, 1), ("backward", 2, -1), ("left", 0, 1), ("right", 0, -1)]
)
def test_walks_go_in_their_direction_at_their_speed(direction, axis, sign):
    distance = {}
    for speed in ("slow", "normal", "fast"):
        joints = show(Action("walk", speed=speed, direction=direction))
        path = joints[-1, PELVIS] - joints[0, PELVIS]
        distance[speed] = sign * path[axis]
        assert abs(path[2 - axis]) < 0.1 and np.abs(heading(joints)).max() < 15
    assert 0.5 < distance["slow"] < 0.8 * distance["normal"] < 0.65 * distance["fast"]


def test_running_flies_and_walking_does_not():
    def airborne(joints):
        return (joints[:, TOES, 1] > 0.03).all(1).mean()

    run = show(Action("run", direction="forward"))
    walk = show(Action("walk", speed="fast", direction="forward"))
    assert airborne(run[15:-15]) > 0.12 and airborne(walk) < 0.12
    assert run[-1, PELVIS, 2] > 1.4 * walk[-1, PELVIS, 2]
    low, high, _ = GAIT["run"]["normal"]
    middle = np.diff(run[30:50, PELVIS, 2]).mean() * 20
    assert 0.93 * low < middle < 1.07 * high


@pytest.mark.parametrize("name", ["turn", "walk_turn", "walk_curve", "run"])
@pytest.mark.parametrize(("direction", "sign"), [("left", 1), ("right", -1)])
def test_turns_have_the_right_direction_and_angle(name, direction, sign):
    program = Program((Segment(Action(name, direction=direction, angle=90), None, 0, 80),), 80, 3)
    joints, measured = dance(program)
    assert sign * (heading(joints)[-1] - heading(joints)[0]) == pytest.approx(90, abs=5)
    assert measured.segments[0].turn == pytest.approx(sign * 90, abs=1)


def peaks(signal, prominence):
    return len(find_peaks(np.pad(signal, 1, mode="edge"), prominence=prominence)[0])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_actions_are_repeated_count_times(count):
    height = show(Action("jump", count=count, direction="place"), frames=30 * count)[:, TOES, 1].min(1)
    assert peaks(height, 0.1) == count
    assert peaks(-show(Action("squat", count=count), frames=32 * count)[:, PELVIS, 1], 0.15) == count
    assert peaks(-show(Action("bow", count=count), frames=42 * count)[:, 15, 1], 0.2) == count
    assert peaks(show(Action("kick", side="left", count=count), frames=30 * count)[:, 7, 1], 0.3) == count
    joints = show(arms=Action("punch", side="right", count=count), frames=10 + 14 * count)
    assert peaks(np.linalg.norm(joints[:, 21] - joints[:, 17], axis=-1)[4:-4], 0.15) == count
    joints = show(arms=Action("clap", count=count + 1), frames=14 + 9 * (count + 1))
    apart = np.linalg.norm(joints[:, 20] - joints[:, 21], axis=-1)
    assert peaks(-apart, 0.12) == count + 1 and apart.min() < 0.15
    joints = show(arms=Action("wave", side="left", count=count + 1), frames=20 + 11 * (count + 1))
    fore = joints[:, 20] - joints[:, 18]
    up = fore[:, 1] > 0.1
    assert peaks(-fore[up, 0], 0.08) == count + 1


def test_sitting_is_low_and_gets_up_again():
    height = show(Action("sit"), frames=90)[:, PELVIS, 1]
    assert height[40:50].max() < 0.62 and height[0] > 0.85 and height[-1] > 0.85


def test_legs_keep_walking_while_the_arms_act():
    joints = show(Action("walk", direction="forward"), Action("wave", side="left", count=5))
    assert joints[-1, PELVIS, 2] > 2
    assert ((joints[:, 20, 1] - joints[:, 16, 1]) > 0).mean() > 0.5
    assert skating(joints)[0] == 0


def test_a_walk_turns_into_a_run_without_a_stop():
    walk, run = (Action(name, direction="forward") for name in ("walk", "run"))
    joints, _ = dance(Program((Segment(walk, None, 0, 60), Segment(run, None, 60, 120)), 120, 4))
    speed = np.diff(joints[:, PELVIS, 2]) * 20
    assert speed[20:105].min() > 0.7


def test_the_same_program_differs_with_its_seed_only():
    one, again, two = (show(Action("walk", direction="forward"), seed=s) for s in (1, 1, 2))
    assert (one == again).all() and np.abs(one - two).max() > 0.02
