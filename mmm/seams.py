"""Join kept and decoded motion without a jump in position or speed, and without changing a kept frame.

Decoded frames differ from the kept ones by the reconstruction error of the tokenizer even where they show the same
motion, so a plain cut would jump. Instead the difference at the last kept frame, and its speed, are carried into the
gap and faded out over a few frames ("inertialization", Bollo, GDC 2018). A *gap* is a run of frames that are not kept.

Heading and path are sums of steps, so steps are blended. The path through a gap must end where the kept motion
continues. The missing distance and heading are spread over the gap, least at its ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmm.errors import require
from mmm.motion import quaternion
from mmm.motion.runs import runs
from mmm.motion.trajectory import Trajectory

BLEND = 8  # frames over which a difference is faded out


def join(
    source: Trajectory,
    decoded: Trajectory,
    kept: Bool[Tensor, "p t"],
    part_joints: Sequence[Sequence[int]],
    blend: int = BLEND,
) -> Trajectory:
    """`source` where it is kept, `decoded` elsewhere, with smooth transitions.

    Args:
        kept: the frames that are kept, for each body part (the whole body; or upper, lower).
        part_joints: the joints of each body part. Root, path and heading belong to the last part. The heights of the
            other parts are blended relative to the root, which may move.

    Returns:
        Up to rounding, poses of kept frames are equal to the source's (heights of other parts move with the root), and
        so are the differences in position and heading between any
        two kept frames.
    """
    require(blend >= 2, f"blend is {blend}, expected 2 or more frames, over which the kept motion fades out.")
    poses = torch.zeros_like(source.poses)
    source_root, decoded_root = source.poses[:, 0, 1], decoded.poses[:, 0, 1]  # heights
    root = decoded_root + _faded(source_root - decoded_root, kept[-1], blend)
    last = len(part_joints) - 1
    for part, (row, joints) in enumerate(zip(kept, part_joints, strict=True)):
        old, new = source.poses[:, joints], decoded.poses[:, joints]
        if part == last:
            poses[:, joints] = new + _faded(old - new, row, blend)
        else:  # heights: relative to the root → blend → absolute
            old, new = _raised(old, -source_root), _raised(new, -decoded_root)
            poses[:, joints] = _raised(new + _faded(old - new, row, blend), root)
    half_heading = _joined_heading(source, decoded, kept[-1], blend)
    path = _joined_path(source, decoded, half_heading, kept[-1], blend)
    return Trajectory(poses, half_heading, path)


def _raised(poses: Float[Tensor, "t j 3"], by: Float[Tensor, " t"]) -> Float[Tensor, "t j 3"]:
    """Poses with `by` added to all heights."""
    return torch.cat((poses[..., :1], poses[..., 1:2] + by[:, None, None], poses[..., 2:]), -1)


def _fade(tau: Tensor) -> tuple[Tensor, Tensor]:
    """Two quintics on [0, 1] that fade out a value and a speed.

    The first falls from 1 to 0 and starts with speed 0, the second goes from 0 to 0 and starts with speed 1. Both end
    with speed 0, and their accelerations at both ends are 0.
    """
    tau = tau.clamp(0, 1)
    of_value = 1 + tau**3 * (-10 + tau * (15 - 6 * tau))
    of_speed = tau + tau**3 * (-6 + tau * (8 - 3 * tau))
    return of_value, of_speed


def _faded(
    difference: Float[Tensor, "t ..."], kept: Bool[Tensor, " t"], blend: int
) -> Float[Tensor, "t ..."]:
    """The correction to add to `decoded`: at kept frames the whole `difference` (source − decoded).

    In a gap it is the difference of the nearest kept frames on both sides, and its speed there, faded out over `blend`
    frames, or over the gap if it is shorter.
    """
    shape = (-1, *[1] * (difference.ndim - 1))
    correction = torch.where(kept.view(shape), difference, 0.0)
    frames = len(kept)
    for start, stop in runs(~kept):
        width = min(blend, stop - start + 1)
        inside = torch.arange(start, stop, device=difference.device)
        for anchor, direction in ((start - 1, 1), (stop, -1)):  # the kept frames beside the gap
            if not 0 <= anchor < frames:
                continue
            neighbour = anchor - direction
            speed = torch.zeros_like(difference[anchor])
            if 0 <= neighbour < frames and kept[neighbour]:
                speed = difference[anchor] - difference[neighbour]
            of_value, of_speed = (fade.view(shape) for fade in _fade(direction * (inside - anchor) / width))
            correction[start:stop] += of_value * difference[anchor] + width * of_speed * speed
    return correction


def _steps(source: Tensor, decoded: Tensor, kept: Bool[Tensor, " t"], blend: int) -> Tensor:
    """Steps from each frame to the next: the source's between kept frames, elsewhere the decoded ones, blended."""
    return decoded + _faded(source - decoded, kept[:-1] & kept[1:], blend)


def _weights(count: int, like: Tensor) -> Tensor:
    """Weights of `count` steps, with sum 1: smallest at the ends, where the speed must not jump."""
    s = (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count
    bump = (s * (1 - s)).square()
    return bump / bump.sum()


def _between_kept(kept: Bool[Tensor, " t"]) -> list[tuple[int, int]]:
    """(last kept frame before, first kept frame after) of every gap that has both."""
    return [(start - 1, stop) for start, stop in runs(~kept) if start > 0 and stop < len(kept)]


def _joined_heading(
    source: Trajectory, decoded: Trajectory, kept: Bool[Tensor, " t"], blend: int
) -> Float[Tensor, " t"]:
    steps = _steps(source.half_heading.diff(), decoded.half_heading.diff(), kept, blend)
    for before, after in _between_kept(kept):
        missing = source.half_heading[after] - source.half_heading[before] - steps[before:after].sum()
        # A whole turn is π, since these are half angles: only the shorter way round is added.
        missing = torch.remainder(missing + math.pi / 2, math.pi) - math.pi / 2
        steps[before:after] += missing * _weights(after - before, steps)
    start = source.half_heading[:1] if kept[0] else torch.zeros_like(source.half_heading[:1])
    return torch.cat((start, start + steps.cumsum(0)))


def _turned(vectors: Float[Tensor, "n 2"], turn: Float[Tensor, "n 4"]) -> Float[Tensor, "n 2"]:
    """Horizontal vectors (x, z), turned by rotations about y."""
    zero = torch.zeros_like(vectors[:, 0])
    return quaternion.rotate(turn, torch.stack((vectors[:, 0], zero, vectors[:, 1]), -1))[:, [0, 2]]


def _joined_path(
    source: Trajectory,
    decoded: Trajectory,
    half_heading: Float[Tensor, " t"],
    kept: Bool[Tensor, " t"],
    blend: int,
) -> Float[Tensor, "t 2"]:
    """Steps are joined in the facing frame, as in the features, turned into the world and then summed up.

    Args:
        half_heading: the joined one. Where frame 0 is not kept, the joined motion may be turned against the source.
    """
    local_steps = [
        _turned(t.path.diff(dim=0), quaternion.about_y(t.half_heading[1:])) for t in (source, decoded)
    ]
    to_world = quaternion.inverse(quaternion.about_y(half_heading))
    steps = _turned(_steps(*local_steps, kept, blend), to_world[1:])
    for before, after in _between_kept(kept):
        # The way to `after`: first as seen from the body at `before`, then in the joined motion's world.
        way = (source.path[after] - source.path[before])[None]
        seen = _turned(way, quaternion.about_y(source.half_heading[before : before + 1]))
        missing = _turned(seen, to_world[before : before + 1])[0] - steps[before:after].sum(0)
        steps[before:after] += missing * _weights(after - before, steps)[:, None]
    start = source.path[:1] if kept[0] else torch.zeros_like(source.path[:1])
    return torch.cat((start, start + steps.cumsum(0)))
