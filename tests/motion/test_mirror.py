"""Mirroring of joints and of features agree."""

import numpy as np
import pytest
import torch

from mmm.motion import HUMANML3D, KIT, mirror_features, mirror_joints
from mmm.motion.features import features_to_joints, joints_to_features

BOTH = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda s: s.name)


@BOTH
def test_mirroring_twice_changes_nothing(skeleton):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 5, skeleton.num_features)).astype(np.float32)
    joints = rng.normal(size=(5, skeleton.num_joints, 3)).astype(np.float32)
    np.testing.assert_array_equal(mirror_features(mirror_features(features, skeleton), skeleton), features)
    np.testing.assert_array_equal(mirror_joints(mirror_joints(joints, skeleton), skeleton), joints)
    assert (mirror_features(features, skeleton) != features).mean() > 0.8  # all but y and z of the middle


@BOTH
def test_features_of_the_mirrored_motion_are_the_mirrored_features(skeleton, moving_body):
    joints = moving_body(skeleton)
    features = joints_to_features(joints, skeleton, "source")
    mirrored = joints_to_features(mirror_joints(joints, skeleton), skeleton, "source")
    scale = 1000 if skeleton.unit == "mm" else 1
    np.testing.assert_allclose(mirror_features(features, skeleton), mirrored, atol=1e-5 * scale)
    assert np.abs(features - mirrored).max() > 0.1


def test_with_the_target_body_only_its_asymmetry_differs(moving_body):
    joints = moving_body(HUMANML3D)
    ours = mirror_features(joints_to_features(joints))
    difference = np.abs(ours - joints_to_features(mirror_joints(joints)))
    assert 1e-3 < difference.max() < 0.05  # target bones differ by up to 7 mm between left and right


@BOTH
def test_recovery_commutes_with_the_mirror(skeleton, moving_body):
    features = joints_to_features(moving_body(skeleton), skeleton, "source")
    np.testing.assert_array_equal(
        features_to_joints(mirror_features(features, skeleton), skeleton),
        mirror_joints(features_to_joints(features, skeleton), skeleton),
    )


def test_the_left_hand_becomes_the_right_one():
    joints = np.zeros((1, 22, 3), np.float32)
    joints[0, HUMANML3D.joints.index("left_wrist")] = (0.5, 1.8, 0.2)
    mirrored = mirror_joints(joints)
    np.testing.assert_allclose(mirrored[0, HUMANML3D.joints.index("right_wrist")], (-0.5, 1.8, 0.2))


@BOTH
def test_torch_equals_numpy_and_lets_gradients_through(skeleton):
    features = np.random.default_rng(1).normal(size=(4, skeleton.num_features)).astype(np.float32)
    tensor = torch.from_numpy(features).requires_grad_()
    mirrored = mirror_features(tensor, skeleton)
    np.testing.assert_array_equal(mirrored.detach().numpy(), mirror_features(features, skeleton))
    mirrored.sum().backward()
    assert set(tensor.grad.abs().unique().tolist()) == {1.0}
