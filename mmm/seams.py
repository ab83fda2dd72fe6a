"""What was kept and what was made, joined so that neither place nor speed jumps, and what was kept is untouched.

Decoded frames differ from the kept ones by the tokenizer's error even where they show the same, so that a cut would
jump. Nothing kept is changed to hide it. Instead the difference at the last kept frame, and its speed, are carried
into the gap and faded out over a few frames ("inertialization", Bollo, GDC 2018). The path through a gap ends where
the kept motion goes on: what is missing in place and heading is spread over the gap, least at its ends.
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
    made: Trajectory,
    kept: Bool[Tensor, "p t"],
    groups: Sequence[Sequence[int]],
    blend: int = BLEND,
) -> Trajectory:
    """`source` where it is kept, `made` elsewhere, led into each other.

    Args:
        kept: for each group of joints; the path and the heading go with the last group.
        groups: joints. Of several, all but the last have heights that count from the root's: they ride on the body
            that the last one moves.
    Returns:
        Equal to source in the poses of kept frames; place and heading between any two kept frames are the source's.
    """
    require(blend >= 2, f"blend is {blend}, expected 2 or more frames, in which what was kept fades out.")
    poses = torch.zeros_like(source.poses)
    heights = [t.poses[:, :1, 1] for t in (source, made)]
    root = heights[1][:, 0] + _faded((heights[0] - heights[1])[:, 0], kept[-1], blend)
    for number, (row, joints) in enumerate(zip(kept, groups, strict=True)):
        before, after = source.poses[:, joints], made.poses[:, joints]
        riding = number < len(groups) - 1
        if riding:
            before, after = (_lowered(x, h) for x, h in zip((before, after), heights, strict=True))
        result = after + _faded(before - after, row, blend)
        poses[:, joints] = _lowered(result, -root[:, None]) if riding else result
    heading = _joined_heading(source, made, kept[-1], blend)
    return Trajectory(poses, heading, _joined_path(source, made, heading, kept[-1], blend))


def _lowered(poses: Float[Tensor, "t j 3"], by: Float[Tensor, "t 1"]) -> Float[Tensor, "t j 3"]:
    return torch.cat((poses[..., :1], poses[..., 1:2] - by[..., None], poses[..., 2:]), -1)


def _fade(tau: Tensor) -> tuple[Tensor, Tensor]:
    """Two quintics on [0, 1]: from 1 to 0 with no speed, and from 0 to 0 with the speed 1 at first; neither has an
    acceleration at its ends."""
    tau = tau.clamp(0, 1)
    value = 1 + tau**3 * (-10 + tau * (15 - 6 * tau))
    return value, tau + tau**3 * (-6 + tau * (8 - 3 * tau))


def _faded(
    difference: Float[Tensor, "t ..."], kept: Bool[Tensor, " t"], blend: int
) -> Float[Tensor, "t ..."]:
    """`difference` on kept frames; in gaps what it and its speed were at the gap's ends, faded out."""
    offset = torch.where(kept.view(-1, *[1] * (difference.ndim - 1)), difference, 0.0)
    frames = len(kept)
    for start, stop in runs(~kept):
        width = min(blend, stop - start + 1)
        inside = torch.arange(start, stop, device=difference.device)
        for anchor, onward in ((start - 1, 1), (stop, -1)):
            if not 0 <= anchor < frames:
                continue
            behind = anchor - onward
            speed = torch.zeros_like(difference[anchor])
            if 0 <= behind < frames and kept[behind]:
                speed = difference[anchor] - difference[behind]
            value, slope = _fade(onward * (inside - anchor) / width)
            shape = (-1, *[1] * (difference.ndim - 1))
            offset[start:stop] += value.view(shape) * difference[anchor] + width * slope.view(shape) * speed
    return offset


def _steps(source: Tensor, made: Tensor, kept: Bool[Tensor, " t"], blend: int) -> Tensor:
    """Steps from each frame to the next: the source's between kept frames, elsewhere the made ones, led into them."""
    return made + _faded(source - made, kept[:-1] & kept[1:], blend)


def _spread(count: int, like: Tensor) -> Tensor:
    """Shares of `count` steps that add up to 1: least at the ends, where speed may not jump."""
    s = (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count
    bump = (s * (1 - s)).square()
    return bump / bump.sum()


def _between_kept(kept: Bool[Tensor, " t"]) -> list[tuple[int, int]]:
    """(last kept frame before, first kept frame behind) of every gap that has both."""
    return [(start - 1, stop) for start, stop in runs(~kept) if start > 0 and stop < len(kept)]


def _joined_heading(
    source: Trajectory, made: Trajectory, kept: Bool[Tensor, " t"], blend: int
) -> Float[Tensor, " t"]:
    steps = _steps(source.heading.diff(), made.heading.diff(), kept, blend)
    for before, behind in _between_kept(kept):
        missing = source.heading[behind] - source.heading[before] - steps[before:behind].sum()
        # half angles: a whole turn is π, and the shorter way round is taken
        missing = torch.remainder(missing + math.pi / 2, math.pi) - math.pi / 2
        steps[before:behind] += missing * _spread(behind - before, steps)
    start = source.heading[:1] if kept[0] else torch.zeros_like(source.heading[:1])
    return torch.cat((start, start + steps.cumsum(0)))


def _turned(vectors: Float[Tensor, "n 2"], turn: Float[Tensor, "n 4"]) -> Float[Tensor, "n 2"]:
    """Horizontal vectors (x, z) turned about y."""
    zero = torch.zeros_like(vectors[:, 0])
    return quaternion.rotate(turn, torch.stack((vectors[:, 0], zero, vectors[:, 1]), -1))[:, [0, 2]]


def _joined_path(
    source: Trajectory, made: Trajectory, heading: Float[Tensor, " t"], kept: Bool[Tensor, " t"], blend: int
) -> Float[Tensor, "t 2"]:
    """Steps are joined as the body faces, like the features have them, and then laid out along `heading`."""
    forward = [_turned(t.path.diff(dim=0), turns(t.heading[1:])) for t in (source, made)]
    to_world = quaternion.inverse(turns(heading))
    steps = _turned(_steps(*forward, kept, blend), to_world[1:])
    for before, behind in _between_kept(kept):
        way = _turned((source.path[behind] - source.path[before])[None], turns(source.heading[before][None]))
        missing = _turned(way, to_world[before][None])[0] - steps[before:behind].sum(0)
        steps[before:behind] += missing * _spread(behind - before, steps)[:, None]
    start = source.path[:1] if kept[0] else torch.zeros_like(source.path[:1])
    return torch.cat((start, start + steps.cumsum(0)))
