"""The tasks of editing: what each of them keeps of a motion. The four steps that follow are in `mmm.editing`.

Source: MMM (arXiv 2312.03596), section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmm.errors import require

MAX_FRAMES = 72_000  # of an edited motion: an hour
BODY_PARTS = ("whole", "upper", "lower")
UPPER_ROW, LOWER_ROW = 0, 1  # rows of `kept` and of the canvas, in a model with two body parts


def prepare(
    features: Float[Tensor, "t d"],
    gaps: Sequence[tuple[int, int]],
    part: str = "whole",
    parts: int = 1,
    before: int = 0,
    after: int = 0,
) -> tuple[Float[Tensor, "n d"], Bool[Tensor, "p n"]]:
    """Features and what is kept of them, for every editing task.

    Args:
        gaps: (start, stop) frames of in-betweening; without gaps a body part is regenerated in all frames.
        part: the body part that is regenerated: "whole", "upper" or "lower". parts: of the tokenizer.
        before, after: frames that outpainting adds.
    Raises:
        ValueError: the task does not say what to regenerate, or two tasks are mixed.
    """
    if before or after:
        require(
            part == "whole" and not gaps,
            "frames are added to the whole body, and without gaps elsewhere; make two edits.",
        )
        features, kept = extend(features, before, after)
    elif part != "whole" and list(gaps) in ([], [(0, len(features))]):
        kept = torch.zeros(len(features), dtype=torch.bool)
    else:
        kept = keep_outside(len(features), gaps)
    rows = kept.repeat(parts, 1)
    if part == "upper":
        rows[LOWER_ROW] = True  # the upper body is regenerated, so the lower body is kept
    elif part == "lower":
        rows[UPPER_ROW] = True
    return features, rows


def keep_outside(frames: int, gaps: Sequence[Sequence[int]]) -> Bool[Tensor, " t"]:
    """In-betweening: True at the frames that are kept.

    Args:
        frames: of the clip.
        gaps: (start, stop) of each gap; frame `stop` is kept.
    Raises:
        ValueError: a gap is empty, outside the clip or overlaps another one; no gap; nothing is kept.
    """
    ordered = sorted((int(start), int(stop)) for start, stop in gaps)
    require(bool(ordered), "there is no gap; say which frames to regenerate, such as 40 to 80.")
    kept = torch.ones(frames, dtype=torch.bool)
    for start, stop in ordered:
        require(
            0 <= start < stop <= frames,
            f"the gap {start}:{stop} is not inside the clip, which has frames 0:{frames}; give "
            f"0 <= START < STOP <= {frames}.",
        )
        require(
            bool(kept[start:stop].all()),
            f"the gap {start}:{stop} overlaps another one; join them or move one of them.",
        )
        kept[start:stop] = False
    require(
        bool(kept.any()),
        f"the gaps cover all {frames} frames, so nothing is kept; use generate, or leave some frames.",
    )
    return kept


def extend(
    features: Float[Tensor, "t d"], before: int, after: int
) -> tuple[Float[Tensor, "n d"], Bool[Tensor, " n"]]:
    """Outpainting: features with empty frames (zeros) before and after, and which frames are kept.

    Raises:
        ValueError: a negative number.
    """
    require(
        before >= 0 and after >= 0,
        f"{before} frames before and {after} after cannot be added; give 0 or more of each.",
    )
    empty = [features.new_zeros(count, features.shape[1]) for count in (before, after)]
    kept = torch.zeros(before + len(features) + after, dtype=torch.bool)
    kept[before : before + len(features)] = True
    return torch.cat((empty[0], features, empty[1])), kept


def frames_to_add(frames: int, length: int, side: str) -> tuple[int, int]:
    """How many frames outpainting adds before and after a motion of `frames` frames to reach `length`.

    Args:
        side: "after" its end, "before" its start, or "both" (half of the frames each).
    Raises:
        ValueError: length is not above the motion's; another side.
    """
    require(side in ("after", "before", "both"), f"side is {side!r}, expected one of after, before, both.")
    new = length - frames
    require(
        new > 0,
        f"length is {length}, but the motion has {frames} frames already; give the number of frames of the result.",
    )
    require(length <= MAX_FRAMES, f"length is {length} frames, expected at most {MAX_FRAMES}, an hour.")
    before = {"after": 0, "before": new, "both": new // 2}[side]
    return before, new - before
