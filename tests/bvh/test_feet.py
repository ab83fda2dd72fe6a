"""Foot clean-up: what it must change, and what it must leave alone."""

import numpy as np
import pytest

from mmm.bvh.feet import _legs, _update_features, fix_feet, plant_feet, standing
from mmm.motion import HUMANML3D, KIT, Motion, feature_slices, features_to_joints
from mmm.motion.measures import floor_penetration, foot_skating

LEGS = {s.name: [joint for leg in _legs(s) for joint in leg[1:]] for s in (HUMANML3D, KIT)}


def standing_body(skeleton=HUMANML3D, frames=40, forward=0.0, bend=0.07):
    """Joints (T, J, 3) of a body that stands with its knees bent and glides by `forward` metres in all."""
    joints = np.zeros((frames, skeleton.num_joints, 3))
    joints[:, :, 1] = 1.0  # whatever is no leg
    for side, (hip, knee, ankle, *toes) in zip((0.1, -0.1), _legs(skeleton), strict=True):
        joints[:, [hip, knee, ankle, *toes], 0] = side
        joints[:, hip, 1], joints[:, knee, 1], joints[:, ankle, 1] = 0.9, 0.5, 0.09
        joints[:, knee, 2] = bend
        for part, toe in enumerate(toes, 1):
            joints[:, toe, 1:] = 0.09 - 0.08 * part / len(toes), 0.12 * part / len(toes)
    joints[..., 2] += np.linspace(0, forward, frames)[:, None]
    return (joints * (1000 if skeleton.unit == "mm" else 1)).astype(np.float32)


def bones(joints, skeleton=HUMANML3D):
    joints = joints.astype(np.float64)
    return np.linalg.norm(joints[:, 1:] - joints[:, list(skeleton.parents[1:])], axis=-1)


def columns(joints):
    """Which of the 263 numbers are about these joints, or are contacts."""
    part, mask = feature_slices(), np.zeros(263, bool)
    for name, first, width in (("positions", 1, 3), ("rotations", 1, 6), ("velocities", 0, 3)):
        for joint in joints:
            start = part[name].start + (joint - first) * width
            mask[start : start + width] = True
    mask[part["contacts"]] = True
    return mask


def spread(places):
    """The furthest that places (T, 3) are from one another along the floor, on either axis."""
    return np.ptp(places[:, [0, 2]], axis=0).max()


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda s: s.name)
def test_feet_that_glide_with_the_body_stay_where_they_stand(skeleton):
    metre = 1000 if skeleton.unit == "mm" else 1
    joints = standing_body(skeleton, forward=0.2)
    planted = plant_feet(joints, 20.0, skeleton)
    for _, toe in skeleton.feet:
        assert spread(joints[:, toe]) == pytest.approx(0.2 * metre, rel=1e-3)
        assert spread(planted[:, toe]) < 0.005 * metre
    np.testing.assert_allclose(bones(planted, skeleton), bones(joints, skeleton), atol=1e-5 * metre)
    others = [joint for joint in range(skeleton.num_joints) if joint not in LEGS[skeleton.name]]
    np.testing.assert_array_equal(planted[:, others], joints[:, others])
    knees = [leg[1] for leg in _legs(skeleton)]
    hips, ankles = ([leg[i] for leg in _legs(skeleton)] for i in (0, 2))
    middle = (planted[:, hips] + planted[:, ankles]) / 2
    assert (planted[:, knees] - middle)[..., 2].min() > 0.03 * metre  # knees still point forward
    feet = [leg[-1] for leg in _legs(skeleton)]
    np.testing.assert_allclose(
        planted[:, feet] - planted[:, ankles], joints[:, feet] - joints[:, ankles], atol=1e-4 * metre
    )


def test_a_second_call_changes_nothing_more():
    planted = plant_feet(standing_body(forward=0.2))
    assert np.abs(plant_feet(planted) - planted).max() < 0.005


def test_a_step_is_blended_in_and_out():
    joints = standing_body(frames=80)
    phase = np.clip((np.arange(80) - 30) / 20, 0, 1)
    step = (phase - np.sin(2 * np.pi * phase) / (2 * np.pi))[:, None]  # one step of the left foot, 25 cm long
    for joint, share in ((4, 0.5), (7, 1.0), (10, 1.0)):
        joints[:, joint, 2] += 0.25 * share * step[:, 0]
        joints[:, joint, 1] += 0.15 * share * np.sin(np.pi * phase) ** 2
    joints[:, [7, 10], 2] += 0.05 * np.sin(np.arange(80) / 8)[:, None]  # and it slides about while it stands
    planted = plant_feet(joints)
    stands = standing(joints)[:, 0]
    assert stands[:30].all() and stands[52:].all() and not stands[38:42].any()
    for span in (slice(0, 29), slice(54, 80)):
        assert spread(joints[span, 10]) > 0.03 and spread(planted[span, 10]) < 0.005
    added = np.linalg.norm(np.diff(planted[:, 10] - joints[:, 10], axis=0), axis=-1)
    assert added.max() < 0.02  # metres a frame: no jump where it is let go
    np.testing.assert_array_equal(planted[:, 11], joints[:, 11])  # the other foot


def test_a_motion_without_contacts_is_unchanged():
    joints = standing_body(forward=0.2) + np.float32((0, 1, 0))
    assert not standing(joints).any()
    np.testing.assert_array_equal(plant_feet(joints), joints)
    assert fix_feet(Motion.from_joints(joints)).joints.tobytes() == joints.tobytes()


def test_fast_feet_do_not_stand():
    assert not standing(standing_body(frames=20, forward=3.0)).any()  # 3 m/s
    assert standing(standing_body(frames=20, forward=0.1)).all()
    broken = standing_body(frames=20)
    broken[10:, 10, 0] += 0.1  # one step at 2 m/s, 10 cm away
    assert standing(broken)[:, 0].tolist() == [True] * 9 + [False] + [True] * 9
    closed = standing_body(frames=20)
    closed[10, 10, 0] += 0.1  # there and back
    assert standing(closed)[:, 0].all()


def test_a_body_that_slides_far_is_not_held():
    joints = standing_body(frames=100, forward=3.0)  # 60 cm/s, skating over the floor
    joints[:10], joints[90:] = joints[10], joints[89]
    planted = plant_feet(joints)
    assert np.linalg.norm(planted - joints, axis=-1).max() < 0.30
    np.testing.assert_allclose(bones(planted), bones(joints), atol=1e-5)


def test_feet_are_lifted_out_of_the_floor():
    joints = standing_body()
    joints[15:25, :, 1] -= 0.04
    assert float(floor_penetration(joints)) > 0.1
    planted = plant_feet(joints)
    assert planted[:, [7, 8, 10, 11], 1].min() > -1e-4
    np.testing.assert_allclose(bones(planted), bones(joints), atol=1e-5)
    assert np.abs(np.diff((planted - joints)[:, 10, 1])).max() < 0.01  # not in one frame


def test_a_leg_that_cannot_reach_yields_without_a_snap():
    joints = standing_body(frames=60, forward=0.24, bend=0.0)  # straight legs: any move is beyond their reach
    planted = plant_feet(joints)
    assert np.isfinite(planted).all()
    np.testing.assert_allclose(bones(planted), bones(joints), atol=1e-5)
    assert np.abs(np.diff(planted - joints, axis=0)).max() < 0.01
    sunk = standing_body(bend=0.0) - np.float32((0, 0.05, 0))
    raised = plant_feet(sunk)
    assert (raised[:, 4, 2] - sunk[:, 4, 2]).min() > 0.05  # a straight leg bends forward


@pytest.mark.parametrize("seed", [0, 1])
def test_generated_clips_keep_their_frames_and_their_upper_body(model, seed):
    motion = model.generate("a person walks", length=60, seed=seed)
    fixed = fix_feet(motion)
    assert len(fixed) == len(motion) == len(fixed.features)
    assert (fixed.text, fixed.fps, fixed.skeleton) == (motion.text, motion.fps, motion.skeleton)
    others = [joint for joint in range(22) if joint not in LEGS["humanml3d"]]
    assert fixed.joints[:, others].tobytes() == motion.joints[:, others].tobytes()
    np.testing.assert_allclose(bones(fixed.joints), bones(motion.joints), atol=1e-5)
    np.testing.assert_allclose(fixed.joints, plant_feet(motion.joints), atol=1e-5)
    keep = ~columns(LEGS["humanml3d"])
    assert keep.sum() == 263 - 6 * 12 - 4
    np.testing.assert_array_equal(fixed.features[:, keep], motion.features[:, keep])


@pytest.mark.parametrize("clip", [0, 2])  # recovery turns clip 1 the wrong way: see joints_to_features
def test_updated_features_agree_with_their_definition(golden, clip):
    features = np.asarray(golden("features_free")[f"{clip}/features"], np.float32)
    every = list(range(2, 22))
    blank = features.copy()
    blank[:-1, columns(every)] = np.nan
    again = _update_features(blank, features_to_joints(features), every, HUMANML3D)
    np.testing.assert_allclose(again, features, atol=2e-3)  # rotations are that sensitive to rounded joints
    assert np.abs(again - features).mean() < 1e-5


def test_a_motion_of_joints_gives_joints():
    joints = standing_body(forward=0.2)
    joints += np.random.default_rng(0).normal(0, 1e-3, joints.shape).astype(np.float32)
    motion = Motion.from_joints(joints, 25.0, "glides")
    before = fix_feet(motion).joints
    assert len(motion.features) == len(motion) - 1
    fixed = fix_feet(motion)
    np.testing.assert_array_equal(fixed.joints, before)
    assert (len(fixed), fixed.fps, fixed.text) == (40, 25.0, "glides")
    assert float(foot_skating(fixed.joints, 25.0)) <= float(foot_skating(joints, 25.0))


def test_the_rate_of_frames_does_not_matter():
    at_20 = plant_feet(standing_body(frames=41, forward=0.2), 20.0)
    at_40 = plant_feet(standing_body(frames=81, forward=0.2), 40.0)
    np.testing.assert_allclose(at_20, at_40[::2], atol=0.003)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips(frames):
    joints = standing_body(frames=frames, forward=0.01)
    assert fix_feet(Motion.from_joints(joints)).joints.shape == joints.shape
    assert len(fix_feet(Motion(np.zeros((frames, 263), np.float32)))) == frames
