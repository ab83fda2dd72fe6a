"""The measures on motions whose values are known by hand, and against scipy."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from mmm.motion import HUMANML3D, KIT, feature_slices, measures

IN_METRES = dataclasses.replace(KIT, unit="m")
POSITIONS = feature_slices()["positions"]


def still(frames=10, height=1.0):
    """Features of a body whose joints are all above one another, 1 m up, and do not move."""
    features = np.zeros((frames, 263), np.float32)
    features[:, 3] = height
    features[:, POSITIONS][:, 1::3] = height
    return features


def test_local_error_is_the_mean_distance_of_21_joints_in_cm():
    one, other = still(), still()
    other[:, POSITIONS.start : POSITIONS.start + 3] += (0.03, 0.04, 0.0)  # one joint, 5 cm
    other[:5, 3] += 1.0  # the root is not among them
    error = measures.mpjpe_local(one, other)
    assert error.shape == (10,)
    torch.testing.assert_close(error, torch.full((10,), 5 / 21, dtype=torch.float64), atol=1e-5, rtol=0)


def test_global_error_counts_drift():
    one, other = still(), still()
    other[:, 2] = 0.01  # 1 cm forward a frame, for all 22 joints
    expected = torch.arange(10, dtype=torch.float64)
    torch.testing.assert_close(measures.mpjpe_global(one, other), expected, atol=1e-5, rtol=0)
    assert measures.mpjpe_local(one, other).max() == 0


def test_replacing_the_turns_leaves_only_what_is_not_turning():
    one = still()
    one[:, 2] = 0.1
    other = one.copy()
    other[0, 0] += math.pi / 8  # half the turn: from the second frame on it walks 45° off
    assert measures.mpjpe_global(one, other)[-1] > 50
    turned = measures.with_turning_of(other, one)
    assert measures.mpjpe_global(turned, torch.from_numpy(one).double()).max() < 1e-9
    assert other[0, 0] != one[0, 0]  # the input is unchanged


def test_batches_and_tensors_give_what_single_clips_give():
    rng = np.random.default_rng(0)
    pairs = rng.standard_normal((2, 3, 12, 263)).astype(np.float32) * 0.1
    for measure in (measures.mpjpe_local, measures.mpjpe_global):
        batch = measure(torch.from_numpy(pairs[0]), torch.from_numpy(pairs[1]))
        for i in range(3):
            torch.testing.assert_close(batch[i], measure(pairs[0, i], pairs[1, i]))


def feet_moving(step, height, frames=11, joint=10):
    """Joints (T, 22, 3) high above the floor, but for one foot that slides by `step` metres a frame."""
    joints = np.ones((frames, 22, 3), np.float32)
    joints[:, joint, 1] = height
    joints[:, joint, 0] = np.arange(frames) * step
    return joints


@pytest.mark.parametrize("joint", [7, 8, 10, 11])
def test_a_low_foot_that_moves_skates(joint):
    assert measures.foot_skating(feet_moving(0.03, 0.049, joint=joint)) == 1
    assert measures.foot_skating(feet_moving(0.02, 0.049, joint=joint)) == 0  # slowly
    assert measures.foot_skating(feet_moving(0.03, 0.051, joint=joint)) == 0  # in the air


def test_skating_is_a_ratio_of_frame_pairs_low_in_both_frames():
    joints = feet_moving(0.03, 0.0)
    joints[5:, 10, 1] = 1.0  # 4 of 10 pairs are low in both frames
    assert measures.foot_skating(joints) == pytest.approx(0.4)
    joints[:, 11] = joints[:, 10]  # the other foot does the same: pairs are counted, not feet
    assert measures.foot_skating(torch.from_numpy(joints)[None]).tolist() == pytest.approx([0.4])


def test_skating_depends_on_speed_and_direction_not_on_the_frame_rate():
    assert measures.foot_skating(feet_moving(0.015, 0.0), fps=40) == 1
    upward = feet_moving(0.0, 0.0)
    upward[:, 10, 1] = np.linspace(-0.5, 0.04, 11)  # moves fast, but not along the floor
    assert measures.foot_skating(upward) == 0


def test_skating_in_millimetres():
    joints = np.full((11, 21, 3), 1000.0, np.float32)
    joints[:, 19, 1] = 40.0
    joints[:, 19, 0] = np.arange(11) * 45.0  # 56 cm/s at 12.5 fps
    assert measures.foot_skating(joints, 12.5, "kit") == 1
    assert measures.foot_skating(joints, 10.0, "kit") == 0  # 45 cm/s


def walker(slide=0.1, frames=41, fps=20.0, floor=0.0):
    """Joints of a root that moves 1 m/s along (0.6, 0.8) on one foot, which slides by `slide` m/s; the other is up."""
    along = np.array([0.6, 0.0, 0.8]) / fps * np.arange(frames)[:, None]
    joints = np.ones((frames, 22, 3)) * (0, 1, 0) + along[:, None]
    joints[:, 10] = slide * along + (3.0, floor, 0.0)
    return joints


def test_the_standing_foot_slips_by_its_own_path_per_metre_of_the_roots():
    assert float(measures.foot_slip(walker())) == pytest.approx(10)
    assert float(measures.foot_slip(walker(slide=0.3, frames=81, fps=40.0), 40.0)) == pytest.approx(30)
    assert float(measures.foot_slip(walker(floor=0.3))) == pytest.approx(
        10
    )  # a body that floats has a floor too
    assert float(measures.foot_slip(walker(slide=0.0))) == 0
    right = walker()[:, HUMANML3D.mirror]
    batch = measures.foot_slip(torch.from_numpy(np.stack((right, walker(slide=0.2)))))
    assert batch.tolist() == pytest.approx([10, 20])


def test_a_foot_in_the_air_does_not_slip_nor_one_on_its_way_up():
    joints = walker(slide=1.0)
    joints[10:30, 10, 1] = 0.06  # 40 frame pairs, of which 21 touch a frame in the air
    assert float(measures.foot_slip(joints)) == pytest.approx(100 * 19 / 40)
    joints = walker(slide=1.0)
    joints[1::2, 10, 1] = 0.026  # 52 cm/s up and down
    assert float(measures.foot_slip(joints)) == 0
    joints[1::2, 10, 1] = 0.024
    assert float(measures.foot_slip(joints)) == pytest.approx(100)


def test_the_lower_foot_is_the_one_that_stands():
    joints = walker(slide=0.0)
    joints[:, 11] = joints[:, 10] + np.linspace(0, 1, 41)[:, None] * (1, 0, 0) + (0, 0.01, 0)
    assert float(measures.foot_slip(joints)) == 0
    joints[:, 11, 1] = -0.01
    assert float(measures.foot_slip(joints)) == pytest.approx(50)


def test_slip_of_a_path_below_a_metre_is_not_defined():
    assert math.isnan(float(measures.foot_slip(walker(frames=20))))
    assert float(measures.foot_slip(walker(frames=22))) == pytest.approx(10)


def test_root_speed_is_the_path_on_the_floor_by_time():
    joints = walker()
    joints[:, 0, 1] += np.arange(41)  # up does not count
    assert float(measures.root_speed(joints)) == pytest.approx(1)
    assert float(measures.root_speed(joints, 10.0)) == pytest.approx(0.5)
    there_and_back = np.concatenate((joints[:21], joints[19::-1]))
    assert float(measures.root_speed(there_and_back)) == pytest.approx(1)
    assert float(measures.root_speed(joints[:, :21] * 1000, 20.0, "kit")) == pytest.approx(1)


def rest(frames):
    """The resting body, facing z+."""
    joints = np.zeros((frames, 22, 3))
    for joint in range(1, 22):
        joints[:, joint] = joints[:, HUMANML3D.parents[joint]] + HUMANML3D.target_offsets[joint]
    return joints


def turned(joints, axis, degrees):
    """The joints of every frame, turned about an axis through the root."""
    turns = Rotation.from_rotvec(np.deg2rad(degrees)[:, None] * np.array(axis, float)[None]).as_matrix()
    return joints @ turns.transpose(0, 2, 1)


@pytest.mark.parametrize("angle", [90.0, -90.0, 200.0, -720.0])
def test_turning_is_signed_and_unwrapped(angle):
    to_x = turned(rest(30), (0, 1, 0), 170 + np.linspace(0, angle, 30))  # about y+: from z+ to x+, the left
    assert float(measures.turning(to_x)) == pytest.approx(angle)
    mirrored = to_x[:, HUMANML3D.mirror] * (-1, 1, 1)
    assert float(measures.turning(mirrored)) == pytest.approx(-angle)


def test_lean_is_the_amplitude_whatever_the_direction_and_the_posture():
    stooped = rest(20)
    stooped[:, 12] = stooped[:, 0] + (0, 0.5, 0)
    for axis in ((1, 0, 0), (0, 0, 1), (-0.6, 0, 0.8)):
        bow = turned(stooped, axis, 10 + 47 * np.sin(np.linspace(0, np.pi, 21))[:20])
        assert float(measures.lean(bow)) == pytest.approx(47)
    assert float(measures.lean(bow[:1])) == 0


def test_arm_elevation_is_the_highest_of_each_arm():
    joints = rest(5)
    joints[:, [20, 21]] = joints[:, [16, 17]] + (0, -0.5, 0)
    joints[2, 20] = joints[2, 16] + (0, 0.3, 0)
    joints[3, 21] = joints[3, 17] + (0.3, 0, -0.4)
    torch.testing.assert_close(measures.arm_elevation(joints), torch.tensor([180.0, 90.0]).double())
    names = KIT.joints
    kit = np.zeros((2, 21, 3))
    kit[:, names.index("right_wrist")] = (0, 0, 50.0), (0, -100.0, 0)
    kit[..., names.index("left_wrist"), :] = (100.0, 100.0, 0)
    assert measures.arm_elevation(kit, "kit").tolist() == pytest.approx([135, 90])


def test_movement_holds_all_of_them():
    joints = turned(rest(41), (0, 1, 0), np.linspace(0, 90, 41)) + walker()[:, :1]
    joints[:, 20] = joints[:, 16] + (0, 1, 0)
    joints[-1, 12] = joints[-1, 0] + (0.5, 0.5, 0)
    found = measures.movement(joints, 10.0)
    elevation = float(measures.arm_elevation(joints)[1])
    lean = 45 - np.rad2deg(np.arccos(rest(1)[0, 12, 1] / np.linalg.norm(rest(1)[0, 12])))
    expected = {"speed": 0.5, "turning": 90, "lean": lean, "left_arm": 180, "right_arm": elevation}
    assert found == pytest.approx(expected) and all(type(value) is float for value in found.values())


def test_jerk_of_a_cubic_path():
    time = np.arange(12) / 20
    joints = np.zeros((12, HUMANML3D.num_joints, 3))
    joints[:, 3, 2] = 0.5 * time**3  # third derivative 3 m/s³, exact for third differences
    mean, peak = measures.jerk(joints)
    assert float(peak) == pytest.approx(3.0) and float(mean) == pytest.approx(3.0 / 22)


def bodies(*shape, seed=0):
    """Random joints (*shape, 22, 3), a metre in size."""
    return torch.randn(*shape, 22, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_turned_scaled_and_moved_copy_has_no_pose_error():
    other = bodies(2, 9)
    turns = torch.from_numpy(Rotation.random(18, rng=0).as_matrix()).unflatten(0, (2, 9))
    sizes = torch.linspace(0.1, 3, 18).unflatten(0, (2, 9))[..., None, None].double()
    joints = sizes * other @ turns + bodies(2, 9, seed=1)[..., :1, :]
    error = measures.pa_mpjpe(joints, other)
    assert error.shape == (2, 9) and error.max() < 1e-10


def test_pose_error_is_that_of_scipys_rotation():
    joints, other = bodies(6), bodies(6) + 0.3 * bodies(6, seed=1)
    for i, error in enumerate(measures.pa_mpjpe(joints, other)):
        x, y = (z[i].numpy() - z[i].numpy().mean(0) for z in (joints, other))
        turned = Rotation.align_vectors(y, x)[0].apply(x)
        scaled = turned * (turned * y).sum() / (turned**2).sum()
        assert float(error) == pytest.approx(100 * np.linalg.norm(scaled - y, axis=1).mean(), rel=1e-9)
    # where a rotation is the best orthogonal map, scipy's procrustes agrees (it normalises sizes to 1)
    x, y = joints[0].numpy(), other[0].numpy()
    y = (y - y.mean(0)) / np.linalg.norm(y - y.mean(0))
    standard, aligned, _ = procrustes(y, x)
    expected = 100 * np.linalg.norm(standard - aligned, axis=1).mean()
    assert float(measures.pa_mpjpe(x[None], y[None])) == pytest.approx(expected, rel=1e-9)


def test_a_mirrored_body_is_not_reflected():
    other = bodies(1)
    mirrored = other * torch.tensor([-1.0, 1.0, 1.0])
    assert procrustes(other[0].numpy(), mirrored[0].numpy())[2] < 1e-12  # scipy's would
    assert float(measures.pa_mpjpe(mirrored, other)) > 10


def test_pose_error_of_flat_and_of_collapsed_bodies():
    flat = bodies(3) * torch.tensor([1.0, 1.0, 0.0])
    assert measures.pa_mpjpe(flat[..., [2, 0, 1]] * 2, flat).max() < 1e-10
    point = torch.zeros(3, 22, 3)
    expected = 100 * (flat - flat.mean(-2, keepdim=True)).norm(dim=-1).mean(-1)
    torch.testing.assert_close(measures.pa_mpjpe(point, flat), expected)
    with pytest.raises(ValueError, match=r"\(3, 22, 3\) and \(2, 22, 3\)"):
        measures.pa_mpjpe(flat, flat[:2])


@pytest.mark.parametrize("frames", [5, 6])
def test_bones_that_stretch_drift_and_turned_ones_do_not(frames):
    joints = HUMANML3D.target_offsets.astype(np.float64)[None].repeat(frames, 0)
    for joint in range(1, 22):
        joints[:, joint] += joints[:, HUMANML3D.parents[joint]]
    turns = Rotation.random(frames, rng=0).as_matrix()
    rigid = joints @ turns + np.arange(frames)[:, None, None]
    assert float(measures.bone_length_drift(rigid)) < 1e-10
    joints[2, 15] *= 1.0 + 0.02 / np.linalg.norm(joints[2, 15] - joints[2, 12])  # the head
    drift = np.linalg.norm(joints[2, 15] - joints[2, 12]) - np.linalg.norm(joints[0, 15] - joints[0, 12])
    expected = 100 * drift / 21 / frames  # one bone of 21 in one frame
    assert expected > 0 and float(measures.bone_length_drift(joints)) == pytest.approx(expected)
    both = torch.from_numpy(np.stack((rigid, joints)))
    assert measures.bone_length_drift(both).tolist() == pytest.approx([0, expected])
    assert measures.bone_stretch(both).tolist() == pytest.approx([0, 100 * drift])
    assert measures.bone_stretch(2 * both).tolist() == pytest.approx([0, 200 * drift])


def test_depth_below_the_floor_is_the_lowest_joints():
    joints = np.ones((4, 22, 3))
    joints[1, 10, 1], joints[1, 11, 1], joints[2, 3, 1] = -0.04, -0.01, -0.02
    assert float(measures.floor_penetration(joints)) == pytest.approx((4 + 2) / 4)
    batch = measures.floor_penetration(torch.from_numpy(np.stack((joints, joints + 1))))
    assert batch.tolist() == pytest.approx([1.5, 0])


def test_lengths_in_millimetres():
    rng = np.random.default_rng(0)
    metres, others = rng.standard_normal((2, 6, 21, 3))
    for measure in (measures.bone_length_drift, measures.bone_stretch, measures.floor_penetration):
        assert float(measure(metres * 1000, "kit")) == pytest.approx(float(measure(metres, IN_METRES)))
    in_mm = measures.pa_mpjpe(metres * 1000, others * 1000, "kit")
    torch.testing.assert_close(in_mm, measures.pa_mpjpe(metres, others, IN_METRES))


def test_all_physical_measures_of_a_clip():
    noise = np.random.default_rng(0).normal(0, 1e-3, (11, 22, 3)).astype(np.float32)
    joints = feet_moving(0.03, -0.02) + noise
    joints[:, 0, 2] += np.arange(11) * 0.2
    measured = measures.physical(joints, 20.0)
    mean, peak = measures.jerk(joints)
    assert measured == {
        "skating": float(measures.foot_skating(joints)),
        "slip": float(measures.foot_slip(joints)),
        "jerk_mean": float(mean),
        "jerk_peak": float(peak),
        "bone_length_drift": float(measures.bone_length_drift(joints)),
        "bone_stretch": float(measures.bone_stretch(joints)),
        "floor_penetration": float(measures.floor_penetration(joints)),
    }
    assert all(type(value) is float and value > 0 for value in measured.values())
    slower = measures.physical(torch.from_numpy(joints), 10.0)
    assert slower["jerk_peak"] == pytest.approx(measured["jerk_peak"] / 8) and slower["skating"] == 0


def test_a_clip_with_nan_is_refused():
    broken = feet_moving(0.03, 0.0)
    broken[4, 5, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        measures.physical(broken)
