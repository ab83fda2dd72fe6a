"""Left and right swapped: reflection at the plane x = 0, exact on joints and on features."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices
from mmm.motion.skeleton import Skeleton, get_skeleton


def mirror_joints(
    joints: Float[Tensor, "*batch j xyz"] | Float[np.ndarray, "*batch j xyz"],
    skeleton: str | Skeleton = "humanml3d",
) -> Float[Tensor, "*batch j xyz"] | Float[np.ndarray, "*batch j xyz"]:
    """The mirrored motion: x negated, left and right joints swapped. (..., T, J, 3) in and out."""
    skeleton = get_skeleton(skeleton)
    _check_shape("joints", joints, (skeleton.num_joints, 3), skeleton)
    return _signed(joints[..., list(skeleton.mirror), :], np.array([-1.0, 1.0, 1.0]))


def mirror_features(
    features: Float[Tensor, "*batch d"] | Float[np.ndarray, "*batch d"],
    skeleton: str | Skeleton = "humanml3d",
) -> Float[Tensor, "*batch d"] | Float[np.ndarray, "*batch d"]:
    """Features of the mirrored motion, (..., T, D) in and out, not normalised.

    Exact: the turn and the sideways step change sign, positions and velocities swap sides with x negated,
    contacts swap sides, and a rotation R becomes M R M with M = diag(-1, 1, 1). Bone lengths are mirrored
    with the body. In HumanML3D's own mirrored clips they are not: those are retargeted after the swap.
    """
    skeleton = get_skeleton(skeleton)
    _check_shape("features", features, (skeleton.num_features,), skeleton)
    indices, signs = _feature_mirror(skeleton)
    return _signed(features[..., indices], signs)


def _check_shape(name: str, values: np.ndarray | Tensor, tail: tuple[int, ...], skeleton: Skeleton) -> None:
    """More numbers than the skeleton has would be dropped without notice."""
    require(
        tuple(values.shape[-len(tail) :]) == tail,
        f"{name} have shape {tuple(values.shape)}, expected (..., {', '.join(map(str, tail))}) for skeleton "
        f"{skeleton.name!r}; pass that skeleton's {name}.",
    )


def _signed(values: np.ndarray | Tensor, signs: np.ndarray) -> np.ndarray | Tensor:
    if isinstance(values, np.ndarray):
        return values * signs.astype(values.dtype)
    return values * torch.as_tensor(signs, dtype=values.dtype, device=values.device)


@lru_cache
def _feature_mirror(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """For each of the D features the index that it is taken from, and its sign."""
    swap = np.array(skeleton.mirror)
    groups = {  # order of the joints, sign of each of a joint's numbers
        "positions": (swap[1:] - 1, (-1, 1, 1)),
        "rotations": (swap[1:] - 1, (1, -1, -1, -1, 1, 1)),
        "velocities": (swap, (-1, 1, 1)),
        "contacts": (np.array([1, 0]), (1, 1)),
    }
    slices = feature_slices(skeleton)
    indices, signs = np.arange(skeleton.num_features), np.ones(skeleton.num_features)
    signs[slices["root_angular"]] = -1
    signs[slices["root_linear"]] = (-1, 1)
    for name, (order, sign) in groups.items():
        indices[slices[name]] = indices[slices[name]].reshape(len(order), -1)[order].ravel()
        signs[slices[name]] = np.tile(sign, len(order))
    return indices, signs
