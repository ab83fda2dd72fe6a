"""A baseline for filling gaps: no model, only a curve from the last kept pose to the next one."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmm.editing import restore_kept
from mmm.errors import require
from mmm.motion.runs import runs
from mmm.motion.skeleton import Skeleton
from mmm.motion.trajectory import Trajectory, put_together, take_apart

KINDS = ("linear", "cubic")


def interpolate(
    features: Float[Tensor, "t d"],
    kept: Bool[Tensor, " t"],
    kind: str = "cubic",
    skeleton: str | Skeleton = "humanml3d",
) -> Float[Tensor, "t d"]:
    """Features, float32, whose gaps are straight lines ("linear"), or "cubic" curves that keep the speed at both ends.

    Poses are interpolated in the facing frame, heading and path separately, so that a body that turns does not shrink.
    Kept frames come back bit for bit, as from `mmm.editing.edit`.

    Raises:
        ValueError: another kind; a gap at an end of the clip, where one side is missing.
    """
    require(kind in KINDS, f"kind is {kind!r}, expected one of {', '.join(KINDS)}.")
    require(
        bool(kept[0] & kept[-1]),
        "a gap at an end of the clip cannot be interpolated: it has only one side; keep frames on both sides.",
    )
    source = take_apart(features.cpu(), skeleton)
    parts = [source.poses.clone(), source.half_heading.clone(), source.path.clone()]
    for start, stop in runs(~kept):
        turn = parts[1][stop] - parts[1][start - 1]
        # half angles: the shorter turn
        after = parts[1][stop:] - turn + (torch.remainder(turn + math.pi / 2, math.pi) - math.pi / 2)
        parts[1][stop:] = after
        for values in parts:
            values[start:stop] = _curve(values, start - 1, stop, kept, kind)
    result = put_together(Trajectory(*parts), skeleton).float()
    restore_kept(result, features.cpu().float(), kept[None], skeleton)
    return result


def _curve(values: Tensor, left: int, right: int, kept: Tensor, kind: str) -> Tensor:
    """Values strictly between two frames: a line, or Hermite's cubic with the speeds of the frames outside."""
    width = right - left
    at = (torch.arange(1, width, dtype=values.dtype) / width).view(-1, *[1] * (values.ndim - 1))
    a, b = values[left], values[right]
    if kind == "linear":
        return a + at * (b - a)
    speed_a = a - values[left - 1] if left > 0 and kept[left - 1] else (b - a) / width
    speed_b = values[right + 1] - b if right + 1 < len(values) and kept[right + 1] else (b - a) / width
    square, cube = at * at, at**3
    return (
        (2 * cube - 3 * square + 1) * a
        + (cube - 2 * square + at) * width * speed_a
        + (3 * square - 2 * cube) * b
        + (cube - square) * width * speed_b
    )
