"""Joints to the 263 features of HumanML3D (251 of KIT-ML) and back.

Source: Guo et al. (CVPR 2022); their HumanML3D code is "the reference" below. The steps are numbered as in
docs/REPRODUCTION.md, "From joints to features":

1. retarget: the bone lengths of the target body (`_retarget`)
2. place: on the floor, at the origin, the first frame facing z+ (`_stand_at_origin`)
3. contacts: feet that rest (`placed_features`)
4. inverse kinematics: the root's rotation (`_root_turn`), then the joints' (`placed_features`)
5. numbers: turns, steps and positions in the facing frame (`placed_features`)

Everything is batched torch without a loop over frames; NumPy in gives NumPy out.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d, normalize, pad

from mmm.errors import require
from mmm.motion import quaternion
from mmm.motion.skeleton import Skeleton, get_skeleton

SMOOTHING_SIGMA = 20  # frames; the facing direction is smoothed by this Gaussian before the 6D pass
SMOOTHING_TRUNCATE = 4  # sigmas, scipy's default


def feature_slices(skeleton: str | Skeleton = "humanml3d") -> dict[str, slice]:
    """The slice of each group of features in a frame, in order. For HumanML3D:

    root_angular 0:1 (half the turn about y to the next frame, radians), root_linear 1:3 (x and z of the root's step to
    the next frame, in that frame's facing direction), root_height 3:4, positions 4:67 (joints 1-21 in the frame's
    facing direction, x and z relative to the root, y above the floor), rotations 67:193 (joints 1-21 as 6D),
    velocities 193:259 (steps of joints 0-21 to the next frame, in the frame's facing direction), contacts 259:263
    (left ankle, left foot, right ankle, right foot: 1 where the joint rests).
    """
    joints = get_skeleton(skeleton).num_joints
    widths = {
        "root_angular": 1,
        "root_linear": 2,
        "root_height": 1,
        "positions": 3 * (joints - 1),
        "rotations": 6 * (joints - 1),
        "velocities": 3 * joints,
        "contacts": 4,
    }
    ends = np.cumsum(list(widths.values())).tolist()
    return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}


# ---------------------------------------------------------------------- joints → features


def joints_to_features(
    joints: Float[Tensor, "*batch t j xyz"] | Float[np.ndarray, "*batch t j xyz"],
    skeleton: str | Skeleton = "humanml3d",
    target_offsets: np.ndarray | Tensor | str | None = None,
    *,
    as_reference: bool = True,
) -> Float[Tensor, "*batch t-1 d"] | Float[np.ndarray, "*batch t-1 d"]:
    """Features of a motion; one frame is lost.

    As in the reference, one angular number is wrong where the smoothed facing direction passes z-, half a turn from
    the start. The quaternions q and −q are one turn; the root's quaternion switches between them there, and arcsin
    then gives the wrong sign. Recovery turns the wrong way, and a long motion that turns often ends metres from where
    it was.

    Args:
        joints: (..., T, J, 3) world positions, y up, in the skeleton's unit, at the skeleton's frame rate.
        skeleton: "humanml3d", "kit" or a Skeleton.
        target_offsets: (J, 3) bones of the body to retarget to (only their lengths matter); None takes the
            skeleton's own, "source" keeps the size and the bone lengths of each clip.
        as_reference: False corrects that sign, so that recovery returns the same joints. Data sets keep it True.

    Returns:
        (..., T-1, D), D = 263 or 251: float32 NumPy for NumPy, otherwise a tensor of the same dtype and device.

    Raises:
        ValueError: wrong shape, fewer than 2 frames, numbers that are not finite, a bone without length, or no
            target offsets for a skeleton that has none.
    """
    skeleton = get_skeleton(skeleton)
    if isinstance(joints, np.ndarray):
        tensor = _from_numpy(joints)
        return joints_to_features(tensor, skeleton, target_offsets, as_reference=as_reference).numpy()
    _check_joints(joints, skeleton)
    positions = _stand_at_origin(_retarget(joints.float(), skeleton, target_offsets), skeleton)
    positions = positions.to(_sum_dtype(joints))
    turn = _root_turn(positions, skeleton)
    if not as_reference:
        # of the two quaternions of a turn, the one that is nearer to that of the frame before
        same = (turn[..., 1:, :] * turn[..., :-1, :]).sum(-1, keepdim=True) >= 0
        turn = torch.cat((turn[..., :1, :], turn[..., 1:, :] * (2.0 * same - 1).cumprod(-2)), dim=-2)
    return placed_features(positions, turn, skeleton).to(joints.dtype)


def _check_joints(joints: Tensor, skeleton: Skeleton) -> None:
    require(
        joints.ndim >= 3 and joints.shape[-3] >= 2 and tuple(joints.shape[-2:]) == (skeleton.num_joints, 3),
        f"joints have shape {tuple(joints.shape)}, expected (..., frames, {skeleton.num_joints}, 3) with at least 2 "
        f"frames for skeleton {skeleton.name!r}; map them to its joints, or leave this clip out.",
    )
    _check_finite(joints, "joints")


def _retarget(positions: Tensor, skeleton: Skeleton, target: np.ndarray | Tensor | str | None) -> Tensor:
    """Step 1: the same bone directions with the target's bone lengths, the root's path scaled by leg length.

    Inverse kinematics on the raw offsets followed by forward kinematics with the target's equals turning each bone's
    raw direction into its actual direction; rotations along the chain cancel.

    Path and directions are float32, as in the reference, and only their sums are float64: where a bone points almost
    opposite to its raw direction, the rotations of step 4 are so ill-conditioned that a rounding difference of 1e-7 m
    changes them by up to 1e-3.
    """
    parents = torch.tensor(skeleton.parents[1:], device=positions.device)
    bones = positions[..., 1:, :] - positions[..., parents, :]
    lengths = torch.linalg.vector_norm(bones, dim=-1)
    missing = (lengths < 1e-8).flatten(0, -2).any(0).nonzero().flatten().tolist()
    require(
        not missing,
        f"joints: {', '.join(skeleton.joints[bone + 1] for bone in missing)} in some frame in the same position "
        "as the parent joint, expected a bone with length; leave this clip out.",
    )
    dtype = _sum_dtype(positions)
    if isinstance(target, str) and target == "source":
        return positions.to(dtype)
    target_lengths = _target_lengths(skeleton, target).to(positions)
    legs = [joint - 1 for joint in skeleton.legs]
    scale = target_lengths[legs].sum() / lengths[..., :1, legs].sum(-1)  # (..., 1): the first frame's legs
    raw = torch.tensor(skeleton.raw_offsets[1:], device=positions.device)
    directions = quaternion.rotate(quaternion.between(raw, normalize(bones, dim=-1)), raw)
    root = (positions[..., :1, :] * scale[..., None, None]).to(dtype)
    bones = directions.to(dtype) * target_lengths.to(dtype).unsqueeze(-1)
    return torch.cat((root, root + _ancestors(skeleton).to(root) @ bones), dim=-2)


def _target_lengths(skeleton: Skeleton, target: np.ndarray | Tensor | str | None) -> Tensor:
    """Lengths (J-1,) of the bones to joints 1 … J-1 of the body to retarget to."""
    target = skeleton.target_offsets if target is None else target
    shape = getattr(target, "shape", ())
    require(
        tuple(shape) == (skeleton.num_joints, 3),
        f"target_offsets is {target if isinstance(target, str | None) else tuple(shape)}, expected shape "
        f"({skeleton.num_joints}, 3) for skeleton {skeleton.name!r}, or 'source' to keep the bone lengths of the clip.",
    )
    target = _from_numpy(target) if isinstance(target, np.ndarray) else target
    return torch.linalg.vector_norm(target[1:], dim=-1)


@lru_cache
def _ancestors(skeleton: Skeleton) -> Tensor:
    """(J-1, J-1), one where bone k lies on the chain from the root to joint j."""
    on_chain = torch.zeros(skeleton.num_joints, skeleton.num_joints)
    for joint in range(1, skeleton.num_joints):
        ancestor = joint
        while ancestor > 0:
            on_chain[joint, ancestor] = 1
            ancestor = skeleton.parents[ancestor]
    return on_chain[1:, 1:]


def _stand_at_origin(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Step 2: lowest joint of the clip on the floor, first root above the origin, first frame facing z+."""
    floor = positions[..., 1].amin(dim=(-2, -1))
    start = positions[..., 0, 0, :]
    origin = torch.stack((start[..., 0], floor, start[..., 2]), dim=-1)
    positions = (positions - origin[..., None, None, :]).float()
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face
    first = positions[..., 0, :, :]
    across = first[..., right_hip, :] - first[..., left_hip, :]
    across = across + first[..., right_shoulder, :] - first[..., left_shoulder, :]
    turn = _onto_z(_forward(normalize(across, dim=-1)))
    return quaternion.rotate(turn[..., None, None, :], positions)


def _root_turn(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Step 4, the root: quaternions (..., T, 4) that turn the smoothed facing direction onto z+."""
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face
    # The hips have the opposite sign of step 2: an error of the reference that is part of the features.
    across = positions[..., left_hip, :] - positions[..., right_hip, :]
    across = across + positions[..., right_shoulder, :] - positions[..., left_shoulder, :]
    turn = _onto_z(_smooth(_forward(normalize(across, dim=-1))))
    # As in the reference, frame 0 is not turned: step 2 has made it face z+ already, and recovery starts from there.
    identity = turn.new_tensor((1.0, 0.0, 0.0, 0.0)).expand_as(turn[..., :1, :])
    return torch.cat((identity, turn[..., 1:, :]), dim=-2)


def _forward(across: Tensor) -> Tensor:
    """y × across: the horizontal direction that a body faces whose right side is `across`."""
    return torch.stack((across[..., 2], torch.zeros_like(across[..., 0]), -across[..., 0]), dim=-1)


def _onto_z(forward: Tensor) -> Tensor:
    """Quaternions (..., 4) that turn the horizontal directions onto z+."""
    return quaternion.between(normalize(forward, dim=-1), forward.new_tensor((0.0, 0.0, 1.0)))


def _smooth(x: Tensor) -> Tensor:
    """scipy.ndimage.gaussian_filter1d over time with its defaults and mode "nearest", (..., T, C)."""
    radius = int(SMOOTHING_TRUNCATE * SMOOTHING_SIGMA + 0.5)
    at = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (at / SMOOTHING_SIGMA).square())
    kernel = kernel / kernel.sum()
    rows = x.movedim(-1, -2).reshape(-1, 1, x.shape[-2])
    rows = conv1d(pad(rows, (radius, radius), mode="replicate"), kernel[None, None])
    return rows.reshape(x.movedim(-1, -2).shape).movedim(-1, -2)


def placed_features(
    positions: Float[Tensor, "*batch t j xyz"], turn: Float[Tensor, "*batch t wxyz"], skeleton: Skeleton
) -> Float[Tensor, "*batch t-1 d"]:
    """Steps 3 to 5: features of positions that step 2 has placed; the quaternions `turn` turn each frame onto z+."""
    device = positions.device
    # Step 3: contacts
    steps = positions[..., 1:, :, :] - positions[..., :-1, :, :]
    feet = [joint for side in skeleton.feet for joint in side]
    contacts = steps[..., feet, :].square().sum(-1) < skeleton.contact_threshold

    # Step 4: rotations in the world (the root's is `turn`, onto z+), and from them those relative to the parent's
    parents = torch.tensor(skeleton.parents[1:], device=device)
    bones = normalize(positions[..., 1:, :] - positions[..., parents, :], dim=-1)
    raw = torch.tensor(skeleton.raw_offsets[1:], dtype=positions.dtype, device=device)
    world = torch.cat((turn.unsqueeze(-2), quaternion.between(raw, bones)), dim=-2)
    parent_rotations = world[..., torch.tensor(skeleton.rotation_parents[1:], device=device), :]
    rotations = quaternion.multiply(quaternion.inverse(parent_rotations), world[..., 1:, :])

    # Step 5: the numbers of each frame, all but the last
    change = quaternion.multiply(turn[..., 1:, :], quaternion.inverse(turn[..., :-1, :]))
    angular = torch.arcsin(change[..., 2:3].clamp(-1, 1))
    root_steps = quaternion.rotate(turn[..., 1:, :], steps[..., 0, :])
    velocities = quaternion.rotate(turn[..., :-1, None, :], steps)
    ground = positions[..., :1, :] * positions.new_tensor((1.0, 0.0, 1.0))
    local = quaternion.rotate(turn.unsqueeze(-2), positions - ground)[..., :-1, :, :]
    groups = (
        angular,
        root_steps[..., [0, 2]],
        local[..., 0, 1:2],
        local[..., 1:, :].flatten(-2),
        quaternion.to_6d(rotations)[..., :-1, :, :].flatten(-2),
        velocities.flatten(-2),
        contacts.to(positions.dtype),
    )
    return torch.cat(groups, dim=-1)


# ---------------------------------------------------------------------- features → joints


def features_to_joints(
    features: Float[Tensor, "*batch t d"] | Float[np.ndarray, "*batch t d"],
    skeleton: str | Skeleton = "humanml3d",
) -> Float[Tensor, "*batch t j 3"] | Float[np.ndarray, "*batch t j 3"]:
    """World positions of the joints, starting at x = z = 0 and facing z+; differentiable for tensors.

    Running sums: of the angular numbers, which give half the heading, and of the root's steps, turned into the world.

    Args:
        features: (..., T, D), not normalised.
        skeleton: "humanml3d", "kit" or a Skeleton.

    Returns:
        (..., T, J, 3) in the skeleton's unit: float32 NumPy for NumPy, otherwise a tensor of the same dtype.

    Raises:
        ValueError: wrong width or no time axis; for NumPy also numbers that are not finite (tensors are not
            checked, since a GPU would have to wait).
    """
    skeleton = get_skeleton(skeleton)
    require(
        features.ndim >= 2 and features.shape[-1] == skeleton.num_features,
        f"features have shape {tuple(features.shape)}, expected (..., frames, {skeleton.num_features}) for "
        f"skeleton {skeleton.name!r}; pass the raw features of that skeleton.",
    )
    if isinstance(features, np.ndarray):
        features = _from_numpy(features)
        _check_finite(features, "features")
        return features_to_joints(features, skeleton).numpy()
    slices = feature_slices(skeleton)
    x = features.to(_sum_dtype(features))
    angular = x[..., :-1, slices["root_angular"]][..., 0]
    half_heading = pad(angular, (1, 0)).cumsum(-1)  # the sum over all earlier frames
    to_world = quaternion.inverse(quaternion.about_y(half_heading))
    zero = torch.zeros_like(half_heading)
    # The step into frame t is expressed in frame t's facing frame but stored with frame t-1.
    steps = pad(x[..., :-1, slices["root_linear"]], (0, 0, 1, 0))
    path = quaternion.rotate(to_world, torch.stack((steps[..., 0], zero, steps[..., 1]), dim=-1))
    path = path.cumsum(-2)
    root = torch.stack((path[..., 0], x[..., slices["root_height"]][..., 0], path[..., 2]), dim=-1)
    local = x[..., slices["positions"]].unflatten(-1, (skeleton.num_joints - 1, 3))
    body = quaternion.rotate(to_world.unsqueeze(-2), local) + path.unsqueeze(-2)  # heights are absolute
    return torch.cat((root.unsqueeze(-2), body), dim=-2).to(features.dtype)


def _sum_dtype(x: Tensor) -> torch.dtype:
    """float64, so that running sums over a clip do not drift; float32 on a device that has no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _from_numpy(x: np.ndarray) -> Tensor:
    """A float32 copy: memory-mapped and flipped arrays cannot be shared with torch."""
    return torch.tensor(np.ascontiguousarray(x, dtype=np.float32))


def _check_finite(x: Tensor, name: str) -> None:
    bad = x.numel() - int(x.isfinite().sum())
    require(
        bad == 0,
        f"{name}: {bad} of {x.numel()} numbers are NaN or infinite, expected none; leave this clip out.",
    )
