"""A made-up body that walks a path, for either skeleton; no two of its bones move alike."""

from collections.abc import Callable

import numpy as np
import pytest

from mmm.motion import Skeleton


@pytest.fixture(scope="session")
def moving_body() -> Callable[..., np.ndarray]:
    """`moving_body(skeleton, frames, seed, turn)` → joints (T, J, 3) in the skeleton's unit.

    Bones sway around the rest pose and have the same length left and right; the body walks and turns about y
    by `turn` radians over the clip. It starts anywhere, facing anywhere.
    """

    def build(skeleton: Skeleton, frames: int = 60, seed: int = 0, turn: float = 1.0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        time = np.arange(frames)[:, None, None] / skeleton.fps
        sway = rng.uniform(0.1, 0.35, (1, skeleton.num_joints, 3))
        phase, pace = rng.uniform(0, 6, (2, 1, skeleton.num_joints, 3))
        directions = skeleton.raw_offsets + sway * np.sin(phase + pace * time)
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        lengths = rng.uniform(0.1, 0.4, skeleton.num_joints)
        lengths = (lengths + lengths[list(skeleton.mirror)]) / 2 * (1000 if skeleton.unit == "mm" else 1)
        # Shoulders wider than hips, as the facing direction of step 4 takes for granted.
        right_hip, left_hip, _, _ = skeleton.face
        lengths[[right_hip, left_hip]] = lengths.min() / 2
        joints = np.zeros((frames, skeleton.num_joints, 3))
        for joint in (joint for chain in skeleton.chains for joint in chain[1:]):
            parent = skeleton.parents[joint]
            joints[:, joint] = joints[:, parent] + directions[:, joint] * lengths[joint]
        angle = rng.uniform(0, 6) + np.linspace(0, turn, frames)
        cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros(frames)
        about_y = np.array([[cos, zero, sin], [zero, zero + 1, zero], [-sin, zero, cos]]).transpose(2, 0, 1)
        joints = joints @ about_y.transpose(0, 2, 1)
        path = np.cumsum(rng.uniform(0, 0.04, (frames, 3)) * (1, 0.1, 1), axis=0) * lengths.mean() * 4
        return (joints + path[:, None] + rng.uniform(-2, 2, 3)).astype(np.float32)

    return build
