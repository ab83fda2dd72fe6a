"""The measures on motions whose numbers are known by hand."""

import math

import numpy as np
import pytest
import torch

from mmm.motion import HUMANML3D, feature_slices, measures

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
    error = measures.mpjpe_global(one, other)
    assert error[-1] > 50
    assert (
        measures.mpjpe_global(measures.with_turning_of(other, one), torch.from_numpy(one).double()).max()
        < 1e-9
    )
    assert np.shares_memory(other, other) and other[0, 0] != one[0, 0]  # nothing is changed in place


def test_batches_and_tensors_give_what_single_clips_give():
    rng = np.random.default_rng(0)
    pairs = rng.standard_normal((2, 3, 12, 263)).astype(np.float32) * 0.1
    for measure in (measures.mpjpe_local, measures.mpjpe_global):
        batch = measure(torch.from_numpy(pairs[0]), torch.from_numpy(pairs[1]))
        for i in range(3):
            torch.testing.assert_close(batch[i], measure(pairs[0, i], pairs[1, i]))


def test_unequal_lengths_are_refused():
    for measure in (measures.mpjpe_local, measures.mpjpe_global):
        with pytest.raises(ValueError, match=r"\(10, 263\) and \(9, 263\) cannot be compared"):
            measure(still(10), still(9))


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


def test_skating_is_a_share_of_frame_pairs_low_in_both_frames():
    joints = feet_moving(0.03, 0.0)
    joints[5:, 10, 1] = 1.0  # 4 of 10 pairs are low in both frames
    assert measures.foot_skating(joints) == pytest.approx(0.4)
    joints[:, 11] = joints[:, 10]  # the other foot does the same: pairs are counted, not feet
    assert measures.foot_skating(torch.from_numpy(joints)[None]).tolist() == pytest.approx([0.4])


def test_skating_is_a_matter_of_speed_and_direction_not_of_the_frame_rate():
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


def test_jerk_of_a_cubic_path():
    time = np.arange(12) / 20
    joints = np.zeros((12, HUMANML3D.num_joints, 3))
    joints[:, 3, 2] = 0.5 * time**3  # third derivative 3 m/s³, exact for third differences
    mean, peak = measures.jerk(joints)
    assert float(peak) == pytest.approx(3.0) and float(mean) == pytest.approx(3.0 / 22)


def test_too_short_motions_are_refused():
    with pytest.raises(ValueError, match="jerk needs at least 4"):
        measures.jerk(np.zeros((3, 22, 3)))
    with pytest.raises(ValueError, match="foot skating needs at least 2"):
        measures.foot_skating(np.zeros((1, 22, 3)))
