"""Joints to features and back: against a published clip, known geometry, scipy and gradients.

The arrays of the reference pipeline are compared in tests/test_goldens.py.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from mmm.motion import HUMANML3D, KIT, feature_slices, features_to_joints, joints_to_features
from mmm.motion.features import _smooth

BOTH = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda s: s.name)


def test_the_clip_that_humanml3d_publishes(shared_dir):
    features = np.load(shared_dir / "humanml3d" / "012314_features.npy")
    joints = np.load(shared_dir / "humanml3d" / "012314_joints.npy")
    assert np.abs(features_to_joints(features) - joints).max() <= 1e-6
    difference = np.abs(joints_to_features(joints) - features[:-1])
    assert difference[:91].max() <= 1e-4
    assert difference.max() <= 0.015  # the frame lost before publication changes the tail of the smoothing


@BOTH
def test_slices_cover_the_frame(skeleton):
    parts = feature_slices(skeleton)
    covered = np.concatenate([np.arange(263)[part] for part in parts.values()])
    assert covered.tolist() == list(range(skeleton.num_features))
    if skeleton is HUMANML3D:
        assert parts["positions"] == slice(4, 67) and parts["contacts"] == slice(259, 263)


@pytest.mark.parametrize("frames", [2, 50, 400])
def test_smoothing_equals_scipy(frames):
    x = np.random.default_rng(0).normal(size=(2, frames, 3))
    expected = gaussian_filter1d(x, 20, axis=1, mode="nearest")
    np.testing.assert_allclose(_smooth(torch.from_numpy(x)).numpy(), expected, atol=1e-12)


@BOTH
def test_recovery_gives_the_motion_moved_to_the_origin(skeleton, moving_body):
    """With the source's own bones, features and back are a rigid motion: all distances stay."""
    joints = moving_body(skeleton, turn=1.5)
    back = features_to_joints(joints_to_features(joints, skeleton, "source"), skeleton)
    scale = 1000 if skeleton.unit == "mm" else 1

    def distances(x: np.ndarray) -> np.ndarray:
        points = x.reshape(-1, 3)[::7].astype(np.float64)
        return np.linalg.norm(points[:, None] - points[None], axis=-1)

    np.testing.assert_allclose(distances(back), distances(joints[:-1]), atol=3e-5 * scale)
    np.testing.assert_allclose(back[0, 0, [0, 2]], 0, atol=1e-6 * scale)
    right_hip, left_hip, right_shoulder, left_shoulder = back[0, list(skeleton.face)]
    across = right_hip - left_hip + right_shoulder - left_shoulder
    assert across[0] < 0 and abs(across[2]) < 1e-5 * scale


@BOTH
def test_rotations_rebuild_the_bones(skeleton, moving_body):
    """Forward kinematics written out: heading and 6D rotations alone give every bone's direction."""
    features = joints_to_features(moving_body(skeleton), skeleton, "source").astype(np.float64)
    parts = feature_slices(skeleton)
    heading = 2 * np.concatenate([[0], np.cumsum(features[:-1, 0])])
    cos, sin, zero = np.cos(heading), np.sin(heading), np.zeros_like(heading)
    world = [np.array([[cos, zero, sin], [zero, zero + 1, zero], [-sin, zero, cos]]).transpose(2, 0, 1)]
    columns = features[:, parts["rotations"]].reshape(len(features), -1, 2, 3)
    joints = features_to_joints(features, skeleton)
    for joint in range(1, skeleton.num_joints):
        first, second = columns[:, joint - 1].transpose(1, 0, 2)
        rotation = np.stack([first, second, np.cross(first, second)], axis=-1)
        world.append(world[skeleton.rotation_parents[joint]] @ rotation)
        bone = joints[:, joint] - joints[:, skeleton.parents[joint]]
        bone /= np.linalg.norm(bone, axis=-1, keepdims=True)
        np.testing.assert_allclose(world[joint] @ skeleton.raw_offsets[joint], bone, atol=1e-4)


@BOTH
def test_velocities_and_contacts_are_those_of_the_joints(skeleton, moving_body):
    features = joints_to_features(moving_body(skeleton), skeleton, "source")
    joints = features_to_joints(features, skeleton).astype(np.float64)
    parts = feature_slices(skeleton)
    steps = np.diff(joints, axis=0)
    velocities = features[:-1, parts["velocities"]].reshape(steps.shape)
    scale = 1000 if skeleton.unit == "mm" else 1
    speeds = np.linalg.norm(velocities, axis=-1)
    np.testing.assert_allclose(speeds, np.linalg.norm(steps, axis=-1), atol=1e-5 * scale)
    feet = [joint for side in skeleton.feet for joint in side]
    squared = (steps[:, feet] ** 2).sum(-1)
    clear = np.abs(squared / skeleton.contact_threshold - 1) > 0.01
    rests = squared < skeleton.contact_threshold
    np.testing.assert_array_equal(features[:-1, parts["contacts"]][clear], rests[clear])


@settings(max_examples=10, deadline=None)
@given(angle=st.floats(-3, 3), x=st.floats(-5, 5), size=st.floats(0.5, 2))
def test_position_facing_and_size_do_not_matter(moving_body, angle, x, size):
    joints = moving_body(HUMANML3D).astype(np.float64)
    cos, sin = np.cos(angle), np.sin(angle)
    about_y = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    moved = size * joints @ about_y.T + (x, 0.3, -x)
    difference = np.abs(joints_to_features(moved) - joints_to_features(joints))
    assert difference[:, : feature_slices()["contacts"].start].max() < 2e-4


def test_retargeted_bones_have_the_target_lengths(moving_body):
    lengths = np.linspace(0.05, 0.5, 22)
    offsets = HUMANML3D.raw_offsets * lengths[:, None]
    joints = features_to_joints(joints_to_features(moving_body(HUMANML3D), target_offsets=offsets))
    bones = joints[:, 1:] - joints[:, HUMANML3D.parents[1:]]
    np.testing.assert_allclose(np.linalg.norm(bones, axis=-1) - lengths[1:], 0, atol=1e-5)


@pytest.mark.parametrize("joint", [4, 10, 13, 18])
def test_a_bone_opposite_to_its_rest_pose(joint, moving_body):
    """An arm straight up, a leg straight up: the reference gives NaN there."""
    joints = moving_body(HUMANML3D)
    parent = HUMANML3D.parents[joint]
    joints[:, joint] = joints[:, parent] - 0.25 * HUMANML3D.raw_offsets[joint]
    features = joints_to_features(joints)
    assert np.isfinite(features).all()
    columns = features[:, feature_slices()["rotations"]].reshape(-1, 21, 2, 3)
    np.testing.assert_allclose(np.linalg.norm(columns, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose((columns[..., 0, :] * columns[..., 1, :]).sum(-1), 0, atol=1e-5)


def test_a_turn_past_half_keeps_the_error_of_the_reference(moving_body):
    """Exactly one angular number of a steady full turn has the wrong sign, where the facing passes z-."""
    angular = joints_to_features(moving_body(HUMANML3D, frames=120, turn=2 * np.pi))[:, 0]
    steady = angular[20:100] * np.sign(np.median(angular))
    assert (steady < 0).sum() == 1 and np.abs(steady).min() > 0.01


@BOTH
def test_batched_torch_equals_numpy_one_by_one(skeleton, moving_body):
    clips = np.stack([moving_body(skeleton, seed=seed) for seed in range(6)])
    single = np.stack([joints_to_features(clip, skeleton, "source") for clip in clips])
    batched = joints_to_features(torch.from_numpy(clips).reshape(2, 3, *clips.shape[1:]), skeleton, "source")
    assert batched.shape == (2, 3, 59, skeleton.num_features) and batched.dtype == torch.float32
    np.testing.assert_allclose(batched.reshape(single.shape).numpy(), single, rtol=1e-5, atol=1e-5)
    back = features_to_joints(batched, skeleton)
    one_by_one = np.stack([features_to_joints(features, skeleton) for features in single])
    np.testing.assert_allclose(back.reshape(one_by_one.shape).numpy(), one_by_one, rtol=1e-5, atol=1e-5)


def test_types_are_kept(moving_body):
    joints = moving_body(HUMANML3D, frames=10)
    assert joints_to_features(joints[::-1].astype(np.float64)).dtype == np.float32
    assert joints_to_features(torch.from_numpy(joints).double()).dtype == torch.float64
    assert features_to_joints(torch.zeros(5, 263, dtype=torch.float64)).dtype == torch.float64


def test_recovery_is_differentiable(moving_body):
    features = torch.from_numpy(joints_to_features(moving_body(HUMANML3D, frames=5))).double()
    used, rest = features[:, :10].requires_grad_(), features[:, 10:]
    assert torch.autograd.gradcheck(lambda x: features_to_joints(torch.cat((x, rest), -1))[:, :3], used)


def test_gradients_reach_the_joints(moving_body):
    joints = torch.from_numpy(moving_body(HUMANML3D)).requires_grad_()
    joints_to_features(joints).square().sum().backward()
    assert joints.grad.isfinite().all() and (joints.grad.abs().sum((0, 2)) > 0).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda x: x[:, :21], r"\(60, 21, 3\).*22, 3\)"),
        (lambda x: np.where(x == x[3, 4, 1], np.nan, x), "1 of 3960"),
        (np.zeros_like, "left_hip, right_hip"),
    ],
)
def test_wrong_joints_are_refused(change, named, moving_body):
    with pytest.raises(ValueError, match=named):
        joints_to_features(change(moving_body(HUMANML3D)))


def test_as_reference_false_recovers_a_motion_that_keeps_turning(golden):
    """In the reference a turn past z- is undone. The correction changes only that number."""
    body = golden("features_free")["0/recovered_joints"][0]
    angle = np.linspace(0, 6 * np.pi, 400)
    turn = np.array([[np.cos(angle), 0 * angle, np.sin(angle)], [0 * angle, 0 * angle + 1, 0 * angle],
                     [-np.sin(angle), 0 * angle, np.cos(angle)]]).transpose(2, 0, 1)  # fmt: skip
    circle = np.stack([2 - 2 * np.cos(angle), 0 * angle, 2 * np.sin(angle)], -1)
    joints = np.einsum("tij,kj->tki", turn, body - body[0] * [1, 0, 1]) + circle[:, None]
    joints = joints.astype(np.float32)
    reference = joints_to_features(joints, target_offsets="source")
    right = joints_to_features(joints, target_offsets="source", as_reference=False)
    changed = np.abs(reference - right) > 1e-6
    assert changed[:, 1:].sum() == 0 and 0 < changed[:, 0].sum() <= 4

    def drift(features):
        root = features_to_joints(features)[:, 0]
        return np.abs(np.linalg.norm(root - root.mean(0), axis=1) - 2).max()

    assert drift(right) < 0.05 < drift(reference)
