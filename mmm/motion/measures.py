"""How far two motions are apart and how physical one is, so that two people measure the same.

Definitions: DESIGN, "Measures". All functions are batched and take NumPy arrays or tensors; sums are made in
float64. Distances are in cm, jerk in m/s³, whatever the skeleton's unit.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices, features_to_joints
from mmm.motion.skeleton import Skeleton, get_skeleton

# Underscored axes are not compared with one another: a mismatch gets a sentence of ours, not a type error.
Features = Float[Tensor, "... _t _d"] | Float[np.ndarray, "... _t _d"]
Joints = Float[Tensor, "... _t _j 3"] | Float[np.ndarray, "... _t _j 3"]

CENTIMETRES = {"m": 100.0, "mm": 0.1}
FOOT_HEIGHT = 5.0  # cm; a foot joint below it stands
FOOT_SPEED = 50.0  # cm/s, that is 2.5 cm per frame at 20 fps; a standing foot joint above it slides


def mpjpe_local(
    features: Features, other: Features, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch frames"]:
    """Mean distance of joints 1–J-1 in the root's facing frame (features 4:67), cm, for each frame.

    Args:
        features, other: (..., T, D), not normalised, of the same shape.

    Returns:
        (..., T); its mean over all frames of all clips is the MPJPE.

    Raises:
        ValueError: the shapes differ.
    """
    skeleton = get_skeleton(skeleton)
    _require_same_shape(features, other)
    place = feature_slices(skeleton)["positions"]
    return _mean_distance(
        *(_exact(x[..., place]).unflatten(-1, (skeleton.num_joints - 1, 3)) for x in (features, other)),
        skeleton,
    )


def mpjpe_global(
    features: Features, other: Features, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch frames"]:
    """Mean distance of all joints in the world after recovery, cm, for each frame: drift and turning count.

    Args, returns and raises as in `mpjpe_local`.
    """
    skeleton = get_skeleton(skeleton)
    _require_same_shape(features, other)
    return _mean_distance(*(features_to_joints(_exact(x), skeleton) for x in (features, other)), skeleton)


def with_turning_of(
    features: Features, other: Features, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch frames numbers"]:
    """`features` with the turns of `other`: how large is the global error if the body turns rightly?"""
    _require_same_shape(features, other)
    turn = feature_slices(skeleton)["root_angular"]
    return torch.cat((_exact(other)[..., turn], _exact(features)[..., turn.stop :]), dim=-1)


def foot_skating(
    joints: Joints, fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch"]:
    """Share of the frame pairs in which a foot joint stands (below 5 cm in both frames) and yet slides.

    Sliding is a horizontal move of more than 2.5 cm per frame at 20 fps; at other rates the same speed.

    Args:
        joints: (..., T, J, 3) in the world, floor at y = 0, T at least 2.

    Returns:
        (...), in [0, 1].
    """
    skeleton = get_skeleton(skeleton)
    require(joints.shape[-3] >= 2, f"joints have {joints.shape[-3]} frame(s); foot skating needs at least 2")
    feet = (
        _exact(joints)[..., [joint for side in skeleton.feet for joint in side], :]
        * CENTIMETRES[skeleton.unit]
    )
    low = feet[..., 1] < FOOT_HEIGHT
    moves = (feet[..., 1:, :, :] - feet[..., :-1, :, :])[..., [0, 2]].norm(dim=-1)
    slides = low[..., 1:, :] & low[..., :-1, :] & (moves > FOOT_SPEED / fps)
    return slides.any(-1).double().mean(-1)


def jerk(
    joints: Joints, fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Mean and peak, over joints and time, of the third difference of the joints × fps³, in m/s³.

    Args:
        joints: (..., T, J, 3) in the world, T at least 4.
    """
    require(joints.shape[-3] >= 4, f"joints have {joints.shape[-3]} frame(s); jerk needs at least 4")
    metres = _exact(joints) * (CENTIMETRES[get_skeleton(skeleton).unit] / 100)
    sizes = metres.diff(n=3, dim=-3).norm(dim=-1).flatten(-2) * fps**3
    return sizes.mean(-1), sizes.amax(-1)


def _exact(x: Features) -> Tensor:
    return (torch.from_numpy(np.asarray(x)) if isinstance(x, np.ndarray) else x).double()


def _require_same_shape(features: Features, other: Features) -> None:
    require(
        tuple(features.shape) == tuple(other.shape),
        f"two motions of shapes {tuple(features.shape)} and {tuple(other.shape)} cannot be compared frame by "
        "frame; give equally many frames",
    )


def _mean_distance(joints: Tensor, other: Tensor, skeleton: Skeleton) -> Tensor:
    return (joints - other).norm(dim=-1).mean(-1) * CENTIMETRES[skeleton.unit]
