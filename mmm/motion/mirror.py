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
    """The mirrored motion: x negated, left and right joints swapped. (..., T, J, 3) in and out.

    Raises:
        ValueError: the joints are not those of the skeleton.
    """
    skeleton = get_skeleton(skeleton)
    require(
        tuple(joints.shape[-2:]) == (skeleton.num_joints, 3),
        f"joints have shape {tuple(joints.shape)}, expected (..., {skeleton.num_joints}, 3) for skeleton "
        f"{skeleton.name!r}; pass that skeleton's joints.",
    )
    return _apply(joints[..., list(skeleton.mirror), :], np.array([-1.0, 1.0, 1.0]))


def mirror_features(
    features: Float[Tensor, "*batch d"] | Float[np.ndarray, "*batch d"],
    skeleton: str | Skeleton = "humanml3d",
) -> Float[Tensor, "*batch d"] | Float[np.ndarray, "*batch d"]:
    """Features of the mirrored motion, (..., T, D) in and out, not normalised.

    Exact: the turn and the sideways step change sign, positions and velocities swap sides with x negated,
    contacts swap sides, and a rotation R becomes M R M with M = diag(-1, 1, 1). Bone lengths are mirrored
    with the body, which they are not in HumanML3D's own mirrored clips: those are retargeted after the swap.

    Raises:
        ValueError: the features are not those of the skeleton.
    """
    skeleton = get_skeleton(skeleton)
    require(
        features.shape[-1] == skeleton.num_features,
        f"features have shape {tuple(features.shape)}, expected (..., {skeleton.num_features}) for skeleton "
        f"{skeleton.name!r}; pass the raw features of that skeleton.",
    )
    places, signs = _feature_mirror(skeleton)
    return _apply(features[..., places], signs)


def _apply(values: np.ndarray | Tensor, signs: np.ndarray) -> np.ndarray | Tensor:
    if isinstance(values, np.ndarray):
        return values * signs.astype(values.dtype)
    return values * torch.as_tensor(signs, dtype=values.dtype, device=values.device)


@lru_cache
def _feature_mirror(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """For each of the D numbers the place it is taken from, and its sign."""
    part = feature_slices(skeleton)
    places, signs = np.arange(skeleton.num_features), np.ones(skeleton.num_features)
    swap = np.array(skeleton.mirror)

    def swap_groups(name: str, order: np.ndarray, sign: tuple[float, ...]) -> None:
        places[part[name]] = places[part[name]].reshape(len(order), -1)[order].ravel()
        signs[part[name]] = np.tile(sign, len(order))

    signs[part["root_angular"]] = -1
    signs[part["root_linear"]] = (-1, 1)
    swap_groups("positions", swap[1:] - 1, (-1, 1, 1))
    swap_groups("rotations", swap[1:] - 1, (1, -1, -1, -1, 1, 1))
    swap_groups("velocities", swap, (-1, 1, 1))
    swap_groups("contacts", np.array([1, 0]), (1, 1))
    return places, signs
