"""Join kept and decoded motion without a jump in position or speed, and without changing a kept frame.

Decoded frames differ from the kept ones by the reconstruction error of the tokenizer even where they show the same
motion, so a plain cut would jump. Instead the difference at the last kept frame, and its speed, are carried into the
gap and faded out over a few frames ("inertialization", Bollo, GDC 2018). The path through a gap must end where the kept
motion continues. The missing distance and heading are spread over the gap, least at its ends.
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
from mmm.motion.trajectory import Trajectory, turns

BLEND = 8  # frames over which a difference is faded out


def join(
    source: Trajectory,
    decoded: Trajectory,
    kept: Bool[Tensor, "p t"],
    groups: Sequence[Sequence[int]],
    blend: int = BLEND,
) -> Trajectory:
    """`source` where it is kept, `decoded` elsewhere, with smooth transitions.

    Args:
        kept: for each group of joints; the path and the heading belong to the last group.
        groups: joints. The heights of all groups but the last are relative to the root, which the last group moves.
    Returns:
        Poses of kept frames are equal to the source's, and so are the differences in position and heading between any
        two kept frames.
    """
    require(blend >= 2, f"blend is {blend}, expected 2 or more frames, over which the kept motion fades out.")
    poses = torch.zeros_like(source.poses)
    heights = [t.poses[:, :1, 1] for t in (source, decoded)]
    root = heights[1][:, 0] + _faded((heights[0] - heights[1])[:, 0], kept[-1], blend)
    for number, (row, joints) in enumerate(zip(kept, groups, strict=True)):
        old, new = source.poses[:, joints], decoded.poses[:, joints]
        on_root = number < len(groups) - 1
        if on_root:
            old, new = (_lowered(x, h) for x, h in zip((old, new), heights, strict=True))
        result = new + _faded(old - new, row, blend)
        poses[:, joints] = _lowered(result, -root[:, None]) if on_root else result
    heading = _joined_heading(source, decoded, kept[-1], blend)
    return Trajectory(poses, heading, _joined_path(source, decoded, heading, kept[-1], blend))


def _lowered(poses: Float[Tensor, "t j 3"], by: Float[Tensor, "t 1"]) -> Float[Tensor, "t j 3"]:
    return torch.cat((poses[..., :1], poses[..., 1:2] - by[..., None], poses[..., 2:]), -1)


def _fade(tau: Tensor) -> tuple[Tensor, Tensor]:
    """Two quintics on [0, 1]. The first falls from 1 to 0 and starts with speed 0, the second goes from 0 to 0 and
    starts with speed 1. Both end with speed 0, and their accelerations at both ends are 0."""
    tau = tau.clamp(0, 1)
    value = 1 + tau**3 * (-10 + tau * (15 - 6 * tau))
    return value, tau + tau**3 * (-6 + tau * (8 - 3 * tau))


def _faded(
    difference: Float[Tensor, "t ..."], kept: Bool[Tensor, " t"], blend: int
) -> Float[Tensor, "t ..."]:
    """`difference` at kept frames. In gaps its values and speeds at both ends of the gap, faded out."""
    shape = (-1, *[1] * (difference.ndim - 1))
    offset = torch.where(kept.view(shape), difference, 0.0)
    frames = len(kept)
    for start, stop in runs(~kept):
        width = min(blend, stop - start + 1)
        inside = torch.arange(start, stop, device=difference.device)
        for anchor, direction in ((start - 1, 1), (stop, -1)):
            if not 0 <= anchor < frames:
                continue
            neighbour = anchor - direction
            speed = torch.zeros_like(difference[anchor])
            if 0 <= neighbour < frames and kept[neighbour]:
                speed = difference[anchor] - difference[neighbour]
            value, slope = _fade(direction * (inside - anchor) / width)
            offset[start:stop] += value.view(shape) * difference[anchor] + width * slope.view(shape) * speed
    return offset


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
    steps = _steps(source.heading.diff(), decoded.heading.diff(), kept, blend)
    for before, after in _between_kept(kept):
        missing = source.heading[after] - source.heading[before] - steps[before:after].sum()
        # Half angles: a whole turn is π, and the shorter direction is taken.
        missing = torch.remainder(missing + math.pi / 2, math.pi) - math.pi / 2
        steps[before:after] += missing * _weights(after - before, steps)
    start = source.heading[:1] if kept[0] else torch.zeros_like(source.heading[:1])
    return torch.cat((start, start + steps.cumsum(0)))


def _turned(vectors: Float[Tensor, "n 2"], turn: Float[Tensor, "n 4"]) -> Float[Tensor, "n 2"]:
    """Horizontal vectors (x, z) turned about y."""
    zero = torch.zeros_like(vectors[:, 0])
    return quaternion.rotate(turn, torch.stack((vectors[:, 0], zero, vectors[:, 1]), -1))[:, [0, 2]]


def _joined_path(
    source: Trajectory,
    decoded: Trajectory,
    heading: Float[Tensor, " t"],
    kept: Bool[Tensor, " t"],
    blend: int,
) -> Float[Tensor, "t 2"]:
    """Steps are joined in the facing frame, as in the features, and then summed up along `heading`."""
    forward = [_turned(t.path.diff(dim=0), turns(t.heading[1:])) for t in (source, decoded)]
    to_world = quaternion.inverse(turns(heading))
    steps = _turned(_steps(*forward, kept, blend), to_world[1:])
    for before, after in _between_kept(kept):
        distance = _turned(
            (source.path[after] - source.path[before])[None], turns(source.heading[before][None])
        )
        missing = _turned(distance, to_world[before][None])[0] - steps[before:after].sum(0)
        steps[before:after] += missing * _weights(after - before, steps)[:, None]
    start = source.path[:1] if kept[0] else torch.zeros_like(source.path[:1])
    return torch.cat((start, start + steps.cumsum(0)))
