"""What an edit keeps, and the canvas that says so to the sampler.

A kept stretch of frames is encoded *alone*: the authors encode the whole motion and mask tokens afterwards, but a
token looks many frames around, so that what is kept tells of what is to be predicted (REPRODUCTION.md, "Sampling").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices
from mmm.motion.skeleton import Skeleton
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK

STEP_GROUPS = ("root_angular", "root_linear", "velocities", "contacts")
"""The numbers of a frame that speak of its step to the next frame, too: the next frame could be told from them."""


def step_numbers(skeleton: str | Skeleton) -> list[int]:
    """Where the numbers of STEP_GROUPS lie in a frame."""
    place = feature_slices(skeleton)
    return [number for name in STEP_GROUPS for number in range(place[name].start, place[name].stop)]


def keep_outside(frames: int, gaps: Sequence[Sequence[int]]) -> Bool[Tensor, " t"]:
    """True at the frames that are kept.

    Args:
        frames: of the clip.
        gaps: (first frame, frame behind the last) of each stretch that is to be made anew.
    Raises:
        ValueError: a gap outside the clip, empty, or overlapping another; nothing left to keep.
    """
    kept = torch.ones(frames, dtype=torch.bool)
    ordered = sorted((int(start), int(stop)) for start, stop in gaps)
    require(bool(ordered), "no gap was given; say which frames are to be made anew, such as 40 to 80.")
    for start, stop in ordered:
        require(
            0 <= start < stop <= frames,
            f"the gap {start}:{stop} is not inside the clip, which has frames 0:{frames}; give "
            f"0 <= START < STOP <= {frames}.",
        )
    for (start, stop), (other, end) in zip(ordered, ordered[1:], strict=False):
        require(
            stop <= other,
            f"the gaps {start}:{stop} and {other}:{end} overlap; join them or move one of them.",
        )
    for start, stop in ordered:
        kept[start:stop] = False
    require(
        bool(kept.any()),
        f"the gaps take all {frames} frames, nothing is kept; use generate, or leave some frames.",
    )
    return kept


def runs(where: Bool[Tensor, " t"]) -> list[tuple[int, int]]:
    """(first, behind the last) of every stretch of True."""
    padded = torch.cat((where.new_zeros(1), where, where.new_zeros(1))).int()
    change = padded.diff()
    starts = (change == 1).nonzero()[:, 0].tolist()
    stops = (change == -1).nonzero()[:, 0].tolist()
    return list(zip(starts, stops, strict=True))


def encode_kept(
    tokenizer: Tokenizer,
    features: Float[Tensor, "t d"],
    kept: Bool[Tensor, "p t"],
    skeleton: str | Skeleton = "humanml3d",
) -> Int64[Tensor, "1 p n"]:
    """The canvas of an edit: codes where all frames of a token are kept, MASK elsewhere.

    Nothing outside the kept frames bears on a code. The last frame before a gap would betray the first one in it by
    its step (STEP_GROUPS): it is encoded as if the step before went on.

    Args:
        features: raw, of the whole clip; what they hold in the gaps does not matter.
        kept: for each body part of the tokenizer.
    Raises:
        ValueError: a kept stretch is too short to hold a whole token.
    """
    frames, ratio = len(features), tokenizer.config.ratio
    count = -(-frames // ratio)
    canvas = torch.full((1, len(kept), count), MASK, device=features.device)
    steps = step_numbers(skeleton)
    for part, row in enumerate(kept):
        for start, stop in runs(row):
            first, last = -(-start // ratio), count if stop == frames else stop // ratio
            require(
                first < last,
                f"of the kept frames {start}:{stop} no whole token can be made ({ratio} frames from a multiple of "
                f"{ratio} on), so that they would not be seen; keep more there, or join the gaps.",
            )
            segment = features[first * ratio : min(frames, last * ratio)].clone()
            if last * ratio < frames and len(segment) > 1:
                segment[-1, steps] = segment[-2, steps]
            canvas[0, part, first:last] = tokenizer.encode(segment[None])[0, part]
    return canvas
