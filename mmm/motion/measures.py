"""How far two motions are apart, and how physical one motion is (docs/REPRODUCTION.md, "Measures of motion").

Features are raw, (..., T, D); joints are world positions, (..., T, J, 3), with the floor at y = 0. Both may be NumPy
arrays or tensors with any batch axes; sums are computed in float64. Distances are in cm, speeds in m/s, jerk in m/s³
and angles in degrees, whatever the skeleton's unit. Inputs of different shapes and clips with too few frames raise
ValueError.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices, features_to_joints
from mmm.motion.skeleton import Skeleton, get_skeleton

# Axes with an underscore are not compared with one another: a mismatch gets our message, not a type error.
Features = Float[Tensor, "... _t _d"] | Float[np.ndarray, "... _t _d"]
Joints = Float[Tensor, "... _t _j 3"] | Float[np.ndarray, "... _t _j 3"]

CENTIMETRES = {"m": 100.0, "mm": 0.1}
FOOT_HEIGHT = 5.0  # cm; a foot joint below it stands
FOOT_SPEED = 50.0  # cm/s, that is 2.5 cm per frame at 20 fps; a standing foot joint above it slides
SHORTEST_PATH = 100.0  # cm; the slip per metre of a shorter path is not defined


# ---------------------------------------------------------------------- two motions


def mpjpe_local(
    features: Features, other: Features, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch frames"]:
    """Mean distance of joints 1–J-1 in the root's facing frame (features 4:67), cm, for each frame.

    The MPJPE of a data set is its mean over all frames of all clips.
    """
    skeleton = get_skeleton(skeleton)
    _require_same_shape(features, other)
    positions = feature_slices(skeleton)["positions"]
    a, b = (
        _float64(x[..., positions]).unflatten(-1, (skeleton.num_joints - 1, 3)) for x in (features, other)
    )
    return _mean_distance(a, b, skeleton)


def mpjpe_global(
    features: Features, other: Features, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch frames"]:
    """Mean distance of all joints in the world after recovery, cm, for each frame: drift and turning count."""
    skeleton = get_skeleton(skeleton)
    _require_same_shape(features, other)
    return _mean_distance(*(features_to_joints(_float64(x), skeleton) for x in (features, other)), skeleton)


def pa_mpjpe(
    joints: Joints, other: Joints, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch frames"]:
    """Mean distance of all joints, cm, for each frame, after the best similarity moves `joints` onto `other`.

    It is the error of the pose alone: position, heading and size of each frame are aligned with `other` by the
    rotation (never a reflection), translation and scale of least squares (Umeyama, PAMI 1991). The scale makes it
    asymmetric: `other` is the ground truth.
    """
    skeleton = get_skeleton(skeleton)
    _require_same_shape(joints, other)
    joints, other = (x - x.mean(-2, keepdim=True) for x in (_float64(joints), _float64(other)))
    u, sizes, vh = torch.linalg.svd(joints.mT @ other)
    # where u @ vh is a reflection, the last axis, which has the least weight, is reversed
    signs = torch.ones_like(sizes)
    signs[..., 2] = torch.linalg.det(u @ vh).sign()
    rotation = (u * signs[..., None, :]) @ vh
    # the spread is 0 where all joints lie in one point
    spread = joints.square().sum((-1, -2)).clamp_min(torch.finfo(torch.float64).tiny)
    scale = (sizes * signs).sum(-1) / spread
    return _mean_distance(scale[..., None, None] * (joints @ rotation), other, skeleton)


def with_turning_of(
    features: Features, other: Features, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch frames numbers"]:
    """`features` with the turns of `other`: the global error of the result is the error without wrong turns."""
    _require_same_shape(features, other)
    angular = feature_slices(skeleton)["root_angular"]
    return torch.cat((_float64(other)[..., angular], _float64(features)[..., angular.stop :]), dim=-1)


# ---------------------------------------------------------------------- one motion


def physical(
    joints: Float[Tensor, "_t _j 3"] | Float[np.ndarray, "_t _j 3"],
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
) -> dict[str, float]:
    """All measures of one clip (T, J, 3), T at least 4, that need no other clip.

    Returns:
        skating (ratio of frame pairs), slip (cm per metre; NaN for a path below 1 m), jerk_mean and jerk_peak (m/s³),
        bone_length_drift, bone_stretch and floor_penetration (cm).

    Raises:
        ValueError: fewer than four frames, joints of another skeleton, or a number that is not finite.
    """
    joints = _float64(joints)
    # a comparison with NaN is false, so that a broken clip would seem not to skate
    require(
        joints.isfinite().all(), "joints are not all finite; a clip with NaN or infinity cannot be measured"
    )
    jerk_mean, jerk_peak = jerk(joints, fps, skeleton)
    measured = {
        "skating": foot_skating(joints, fps, skeleton),
        "slip": foot_slip(joints, fps, skeleton),
        "jerk_mean": jerk_mean,
        "jerk_peak": jerk_peak,
        "bone_length_drift": bone_length_drift(joints, skeleton),
        "bone_stretch": bone_stretch(joints, skeleton),
        "floor_penetration": floor_penetration(joints, skeleton),
    }
    return {name: float(value) for name, value in measured.items()}


def foot_skating(
    joints: Joints, fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch"]:
    """Ratio of the frame pairs in which a foot joint stands (below 5 cm in both frames) but slides.

    Sliding is a horizontal move of more than 2.5 cm per frame at 20 fps; at other rates the same speed.
    """
    skeleton = get_skeleton(skeleton)
    _require_frames(joints, 2)
    joint_indices = [joint for side in skeleton.feet for joint in side]
    feet = _float64(joints)[..., joint_indices, :] * CENTIMETRES[skeleton.unit]
    low = feet[..., 1] < FOOT_HEIGHT
    moves = (feet[..., 1:, :, :] - feet[..., :-1, :, :])[..., [0, 2]].norm(dim=-1)
    slides = low[..., 1:, :] & low[..., :-1, :] & (moves > FOOT_SPEED / fps)
    return slides.any(-1).double().mean(-1)


def foot_slip(
    joints: Joints, fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch"]:
    """How far the standing foot slides for each metre that the root travels, cm/m; NaN for a path below 1 m.

    Of each two consecutive frames the foot whose toe is lower stands, if its toe stays within 5 cm of the floor and
    moves up or down by less than 50 cm/s: so runs and jumps have frames in which no foot stands. The floor is the
    height that the lower toe falls below in 10 % of the frames. A real walk whose body is moved by only 70 % of its
    path slips by 43 cm/m, which is 0.3 / 0.7. Unlike foot skating it does not count a foot that is put down or lifted,
    and tells real walks (median 4 cm/m in Bandai's val) from generated ones that slide (13 for bandai-small).
    """
    skeleton = get_skeleton(skeleton)
    _require_frames(joints, 2)
    joints = _float64(joints) * CENTIMETRES[skeleton.unit]
    toes = joints[..., [foot for _, foot in skeleton.feet], :]
    heights = torch.maximum(toes[..., 1:, :, 1], toes[..., :-1, :, 1])
    lower = heights.argmin(-1, keepdim=True)
    steps = toes.diff(dim=-3)
    height = heights.gather(-1, lower)[..., 0]
    rise = steps[..., 1].gather(-1, lower)[..., 0].abs()
    slide = steps[..., [0, 2]].norm(dim=-1).gather(-1, lower)[..., 0]
    floor = toes[..., 1].amin(-1).quantile(0.1, dim=-1, keepdim=True)
    stands = (height < floor + FOOT_HEIGHT) & (rise < FOOT_SPEED / fps)
    path = _path(joints)
    slip = 100 * (slide * stands).sum(-1) / path
    return torch.where(path < SHORTEST_PATH, torch.nan, slip)


def jerk(
    joints: Joints, fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Mean and peak, over joints and time, of the third difference of the joints × fps³, in m/s³."""
    _require_frames(joints, 4)
    metres = _float64(joints) * (CENTIMETRES[get_skeleton(skeleton).unit] / 100)
    sizes = metres.diff(n=3, dim=-3).norm(dim=-1).flatten(-2) * fps**3
    return sizes.mean(-1), sizes.amax(-1)


def bone_length_drift(joints: Joints, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "*batch"]:
    """Mean over bones and frames of |length - the clip's median length of that bone|, cm: bodies do not stretch.

    It is close to 0 for captured motion, whatever the size of the body.
    """
    return _length_errors(joints, skeleton).mean((-1, -2))


def bone_stretch(joints: Joints, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "*batch"]:
    """The largest |length - the clip's median length of that bone| of all bones and frames, cm: the worst moment."""
    return _length_errors(joints, skeleton).amax((-1, -2))


def _length_errors(joints: Joints, skeleton: str | Skeleton) -> Float[Tensor, "*batch t bones"]:
    skeleton = get_skeleton(skeleton)
    _require_frames(joints, 2)
    require(
        joints.shape[-2] == skeleton.num_joints,
        f"there are {joints.shape[-2]} joints, but skeleton {skeleton.name!r} has {skeleton.num_joints}; name the "
        "right one",
    )
    joints = _float64(joints) * CENTIMETRES[skeleton.unit]
    lengths = (joints[..., 1:, :] - joints[..., list(skeleton.parents[1:]), :]).norm(dim=-1)
    # Of an even number of values torch takes the lower middle one. The sum of distances is the same for any median.
    return (lengths - lengths.median(dim=-2, keepdim=True).values).abs()


def floor_penetration(joints: Joints, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "*batch"]:
    """Depth of the lowest joint below the floor y = 0, cm, mean over frames; frames above the floor count 0.

    HumanML3D puts the lowest joint of a clip on the floor, so its real clips have 0.
    """
    _require_frames(joints, 1)
    lowest = _float64(joints)[..., 1].amin(-1) * CENTIMETRES[get_skeleton(skeleton).unit]
    return (-lowest).clamp_min(0).mean(-1)


# ---------------------------------------------------------------------- how an action is done


def movement(
    joints: Float[Tensor, "_t _j 3"] | Float[np.ndarray, "_t _j 3"],
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
) -> dict[str, float]:
    """What distinguishes actions, of one clip (T, J, 3): compare them with real clips of the same action class.

    Returns:
        speed (m/s), turning, lean, left_arm and right_arm (degrees).
    """
    left, right = arm_elevation(joints, skeleton).unbind(-1)
    numbers = {
        "speed": root_speed(joints, fps, skeleton),
        "turning": turning(joints, skeleton),
        "lean": lean(joints, skeleton),
        "left_arm": left,
        "right_arm": right,
    }
    return {name: float(value) for name, value in numbers.items()}


def root_speed(
    joints: Joints, fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, "*batch"]:
    """Length of the root's path on the floor / time, m/s."""
    _require_frames(joints, 2)
    metres = _path(_float64(joints) * CENTIMETRES[get_skeleton(skeleton).unit]) / 100
    return metres * fps / (joints.shape[-3] - 1)


def turning(joints: Joints, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "*batch"]:
    """By how much the body turns in all, degrees, positive to the left; whole turns count (720 for two).

    The body faces the direction at right angles to the line through its hips and shoulders.
    """
    right_hip, left_hip, right_shoulder, left_shoulder = get_skeleton(skeleton).face
    _require_frames(joints, 2)
    joints = _float64(joints)
    across = joints[..., right_hip, :] - joints[..., left_hip, :]
    across = across + joints[..., right_shoulder, :] - joints[..., left_shoulder, :]
    steps = torch.rad2deg(torch.atan2(across[..., 2], -across[..., 0])).diff(dim=-1)
    return ((steps + 180) % 360 - 180).sum(-1)


def lean(joints: Joints, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "*batch"]:
    """Amplitude of the trunk's lean: largest - smallest angle between root → neck and the vertical, degrees."""
    skeleton = get_skeleton(skeleton)
    _require_frames(joints, 1)
    joints = _float64(joints)
    angle = _from_vertical(joints[..., skeleton.joints.index("neck"), :] - joints[..., 0, :])
    return angle.amax(-1) - angle.amin(-1)


def arm_elevation(joints: Joints, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "*batch 2"]:
    """How high the left and the right arm come: largest angle of shoulder → wrist, degrees, 0 hanging, 180 upright."""
    names = get_skeleton(skeleton).joints
    _require_frames(joints, 1)
    shoulders, wrists = (
        [names.index(f"{side}_{joint}") for side in ("left", "right")] for joint in ("shoulder", "wrist")
    )
    joints = _float64(joints)
    return (180 - _from_vertical(joints[..., wrists, :] - joints[..., shoulders, :])).amax(-2)


def _from_vertical(x: Tensor) -> Tensor:
    """Angles between vectors (..., 3) and y+, degrees."""
    return torch.rad2deg(torch.atan2(x[..., [0, 2]].norm(dim=-1), x[..., 1]))


def _path(joints: Tensor) -> Tensor:
    """Length of the root's path on the floor, in the unit of the joints."""
    return joints[..., 0, [0, 2]].diff(dim=-2).norm(dim=-1).sum(-1)


def _float64(x: Features) -> Tensor:
    return (torch.from_numpy(np.asarray(x)) if isinstance(x, np.ndarray) else x).double()


def _require_same_shape(features: Features, other: Features) -> None:
    """Different shapes could broadcast."""
    require(
        tuple(features.shape) == tuple(other.shape),
        f"two motions of shapes {tuple(features.shape)} and {tuple(other.shape)} cannot be compared frame by frame",
    )


def _require_frames(joints: Joints, least: int) -> None:
    """The mean over no frames would be NaN."""
    require(joints.shape[-3] >= least, f"joints have {joints.shape[-3]} frame(s), expected at least {least}")


def _mean_distance(joints: Tensor, other: Tensor, skeleton: Skeleton) -> Tensor:
    return (joints - other).norm(dim=-1).mean(-1) * CENTIMETRES[skeleton.unit]
