"""The nearest rigid body: bones keep their lengths, feet stay where they were, captured joints stay exactly."""

import numpy as np
import pytest

from mmm import MMM
from mmm.bvh.feet import fix_feet
from mmm.motion import HUMANML3D, KIT, Motion, features_to_joints
from mmm.motion.measures import physical
from mmm.motion.rigid import fit_rigid, rigid_body, rigid_joints

LEGS = [0, 1, 2, 4, 5, 7, 8, 10, 11]
FEET = [7, 8, 10, 11]


def lengths(joints, skeleton=HUMANML3D):
    return np.linalg.norm((joints - joints[:, [0, *skeleton.parents[1:]]])[:, 1:], axis=-1)


def stretch(joints, skeleton=HUMANML3D):
    """The largest change of a bone's length over a clip, cm."""
    return 100 * np.ptp(lengths(joints, skeleton), axis=0).max()


def distances(one, other):
    return 100 * np.linalg.norm(one - other, axis=-1)


@pytest.fixture(scope="module")
def rigid_clip(golden):
    """A made-up motion that HumanML3D's retargeting has made rigid but for the hips' and collars' angles."""
    return rigid_joints(golden("features_free")["1/recovered_joints"])


@pytest.fixture(scope="module")
def stretched(rigid_clip):
    """The same with joints that tremble by centimetres."""
    noise = np.random.default_rng(0).normal(0, 0.01, rigid_clip.shape)
    return (rigid_clip + noise).astype(np.float32)


def test_a_rigid_motion_stays_as_it_is(rigid_clip):
    np.testing.assert_allclose(rigid_joints(rigid_clip), rigid_clip, atol=1e-4)


def test_bones_get_their_median_lengths_and_joints_move_little(stretched):
    assert stretch(stretched) > 3
    rigid = rigid_joints(stretched)
    assert rigid.dtype == np.float32 and stretch(rigid) < 1e-3
    np.testing.assert_allclose(lengths(rigid)[0], np.median(lengths(stretched), 0), atol=1e-5)
    assert distances(rigid, stretched).mean() < 1.6  # the noise itself: 1.6 cm


def test_feet_are_kept_better_than_other_joints(stretched, monkeypatch):
    away = distances(rigid_joints(stretched), stretched)
    assert away[:, FEET].mean() < 0.9 * away.mean()
    monkeypatch.setattr("mmm.motion.rigid.FEET", 1.0)
    assert away[:, FEET].mean() < 0.8 * distances(rigid_joints(stretched), stretched)[:, FEET].mean()


def test_least_squares_are_nearer_than_bone_directions_alone(stretched, monkeypatch):
    fitted = distances(fit_rigid(stretched).joints, stretched)
    monkeypatch.setattr("mmm.motion.rigid.STEPS", 0)
    assert fitted.mean() < 0.8 * distances(fit_rigid(stretched).joints, stretched).mean()


def test_frames_are_fitted_alone(stretched, monkeypatch):
    body = rigid_body(stretched)
    whole = fit_rigid(stretched).joints
    monkeypatch.setattr("mmm.motion.rigid.CHUNK", 7)
    np.testing.assert_allclose(fit_rigid(stretched).joints, whole, atol=1e-9)
    np.testing.assert_allclose(fit_rigid(stretched[30:40], body=body).joints, whole[30:40], atol=1e-9)


def test_captured_joints_stay_and_the_others_hang_on_them(rigid_clip, stretched):
    captured = np.zeros(rigid_clip.shape[:2], bool)
    captured[:, LEGS] = True
    joints = np.where(captured[..., None], rigid_clip, stretched)
    result = rigid_joints(joints, body=rigid_body(rigid_clip), captured=captured)
    assert np.array_equal(result[:, LEGS], rigid_clip[:, LEGS])
    assert stretch(result) < 0.02 < stretch(joints)


# ---------------------------------------------------------------------- motions


def test_a_generated_motion_shows_a_rigid_body_and_holds_the_features_of_the_model(model, tmp_path):
    motion = model.generate("a person walks", 60, seed=0)
    free = features_to_joints(motion.features)
    assert stretch(free) > 1 > 0.01 > stretch(motion.joints)
    assert np.array_equal(Motion(motion.features).joints, free)
    bulk = model.generate_bulk(model.embed(["a person walks"]), [60], [0], precision="no")[0]
    np.testing.assert_allclose(motion.features, bulk, atol=1e-4)
    assert np.array_equal(np.load(motion.save(tmp_path / "a.npy")), motion.joints)


def test_millimetres(moving_body):
    joints = moving_body(KIT, frames=20)
    features = Motion.from_joints(joints, 12.5, skeleton="kit").features
    motion = Motion.generated(features, 12.5, skeleton="kit")
    np.testing.assert_allclose(
        motion.joints, rigid_joints(features_to_joints(features, "kit") / 1000, "kit") * 1000, atol=0.1
    )
    assert np.array_equal(motion.body, Motion(features, 12.5, skeleton="kit").body)


def test_an_edit_of_a_capture_keeps_its_joints_and_its_bones(model, of_parts, golden):
    clip = Motion(golden("features_free")["1/features"])
    clip = Motion.from_joints(rigid_joints(clip.joints))  # hips and collars too
    clip = Motion(clip.features)
    between = model.inbetween(clip, (40, 80), "a person bows")
    kept = np.r_[0:40, 80 : len(clip)]
    assert distances(between.joints, clip.joints)[kept].max() < 0.01
    assert stretch(between.joints) < 0.01 < 1 < stretch(features_to_joints(between.features))
    longer = model.outpaint(clip, len(clip) + 41, side="both")
    assert longer.captured.sum() == len(clip) * 22 and longer.captured[20 : 20 + len(clip)].all()
    assert stretch(longer.joints) < 0.01
    upper = of_parts().edit_upper_body(clip, "a person waves")
    assert np.array_equal(upper.joints[:, LEGS], clip.joints[:, LEGS])
    assert stretch(upper.joints) < 0.1 < 1 < stretch(features_to_joints(upper.features))


def test_an_edit_of_a_generated_motion_keeps_its_poses(model):
    made = model.generate("a person walks", 96, seed=1)
    once = model.inbetween(made, (40, 60), "a person bows")
    twice = model.inbetween(once, (70, 80), "a person bows")
    for edited in (once, twice):
        assert not edited.captured.any() and np.array_equal(edited.body, made.body)
        assert distances(edited.joints, made.joints)[:40].max() < 0.01
        assert stretch(edited.joints) < 0.01


def test_feet_are_not_worse_than_the_features_say(stretched):
    before, after = (physical(joints) for joints in (stretched, rigid_joints(stretched)))
    assert after["bone_length_drift"] < 1e-3 and after["jerk_mean"] < before["jerk_mean"]


def test_feet_put_right_keep_the_bones_and_the_note():
    motion = MMM.from_pretrained().generate("a person walks forward", 60, seed=0)
    motion.note = "far away"
    fixed = fix_feet(motion)
    assert not np.array_equal(fixed.joints, motion.joints) and stretch(fixed.joints) < 0.01
    assert fixed.note == "far away" and np.array_equal(fixed.body, motion.body) and not fixed.captured.any()
