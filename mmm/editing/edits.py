"""One edit: keep some frames (of some body parts), fill the canvas, decode, join. Every editing task is a call of it.

Source: MMM (arXiv 2312.03596), section 3.4 and appendix; REPRODUCTION.md, "Sampling" and "Body parts".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.editing.canvas import encode_kept, runs, step_numbers
from mmm.editing.seams import BLEND, join
from mmm.errors import require
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.motion.trajectory import put_together, take_apart
from mmm.sampling import fill
from mmm.sampling.fill import Text
from mmm.tokenizer import Tokenizer, parts
from mmm.tokenizer.pieces import decode_in_pieces
from mmm.transformer import MASK, MaskedTransformer

# Kept tokens before an open stretch that a window shows of a motion longer than the canvas: 2.4 s.
CONTEXT = 12


@dataclass(frozen=True)
class Edit:
    """An edited motion and how it came about.

    Attributes:
        features: raw, float32. source: what was edited, of the same length (0 where there was nothing).
        kept: which frames were kept, for each body part.
        canvas, tokens, confidence: before and after the sampler; confidence is 1 at kept places.
    """

    features: Float[Tensor, "t d"]
    source: Float[Tensor, "t d"]
    kept: Bool[Tensor, "p t"]
    canvas: Int64[Tensor, "p n"]
    tokens: Int64[Tensor, "p n"]
    confidence: Float[Tensor, "p n"]


def edit(
    tokenizer: Tokenizer,
    transformer: MaskedTransformer,
    features: Float[Tensor, "t d"],
    kept: Bool[Tensor, "p t"],
    text: Text,
    *,
    seed: int = 0,
    blend: int = BLEND,
    skeleton: str | Skeleton = "humanml3d",
    **options: Any,
) -> Edit:
    """Make anew what is not kept, as `text` says and as the kept frames allow.

    Kept frames come back bit for bit, but for the numbers that the last frame before a gap holds of its step into it.
    (Of two body parts, a kept upper body rides on the lower one: its heights follow the root's.) Their joints in the
    world are the source's as well, after a gap too; before the first kept frame the world begins anew (features
    start at the origin).

    Args:
        features: raw; what they hold where nothing is kept does not matter, but their path through a gap says where
            the motion goes on behind it.
        kept: (P, T), a row for each body part of the tokenizer (upper, lower).
        text: one text. blend: frames of a gap in which the kept motion fades out (`seams.join`).
        options: for `mmm.sampling.fill` (steps, guidance, temperature, argmax, schedule, remask).
    Raises:
        ValueError: a kept stretch too short to be seen; bad options.
    """
    skeleton = get_skeleton(skeleton)
    device = transformer.device
    features = features.to(device, torch.float32)
    canvas = encode_kept(tokenizer, features, kept, skeleton)
    tokens, confidence = fill_windows(transformer, canvas, text, seed=seed, **options)
    made = torch.cat(list(decode_in_pieces(tokenizer, tokens[0], len(features)))).cpu()
    groups = joint_groups(tokenizer.config.parts, skeleton)
    source = features.cpu()
    joined = join(take_apart(source, skeleton), take_apart(made, skeleton), kept, groups, blend)
    result = put_together(joined, skeleton).float()
    restore_kept(result, source, kept, skeleton)
    return Edit(result, source, kept, canvas[0].cpu(), tokens[0].cpu(), confidence[0].cpu())


def joint_groups(count: int, skeleton: Skeleton) -> list[list[int]]:
    """The joints of each of so many body parts: all of them, or the upper and the lower body's."""
    everything = list(range(skeleton.num_joints))
    if count == 1:
        return [everything]
    return [[j for j in everything if j not in parts.LOWER_JOINTS], list(parts.LOWER_JOINTS)]


def restore_kept(
    result: Float[Tensor, "t d"],
    source: Float[Tensor, "t d"],
    kept: Bool[Tensor, "p t"],
    skeleton: str | Skeleton = "humanml3d",
) -> None:
    """Write the source's own bits over the kept frames of `result`; see `edit` for which numbers."""
    steps = step_numbers(skeleton)
    everything = range(result.shape[1])
    # Of two parts, the numbers of the lower one are its own; those of the upper one are whole with both.
    owned = (
        [(kept[0], everything)] if len(kept) == 1 else [(kept[1], parts.LOWER), (kept.all(0), parts.UPPER)]
    )
    for row, numbers in owned:
        into_gap = row & ~torch.cat((row[1:], row.new_ones(1)))
        own = torch.zeros(result.shape, dtype=torch.bool)
        own[:, list(numbers)] = row[:, None]
        own[into_gap.nonzero(), torch.tensor(steps)] = False
        result[own] = source[own]


def fill_windows(
    transformer: MaskedTransformer,
    canvas: Int64[Tensor, "1 p n"],
    text: Text,
    *,
    seed: int = 0,
    context: int = CONTEXT,
    **options: Any,
) -> tuple[Int64[Tensor, "1 p n"], Float[Tensor, "1 p n"]]:
    """`fill` for one canvas of any width: one that the model cannot hold is filled window by window, from the left.

    A window begins `context` places before the first open one (more if the open stretch is short: what follows it is
    to be seen too), and ends before another open stretch that it could not hold whole.

    Returns:
        tokens, confidence.
    """
    count, width = canvas.shape[2], transformer.config.max_tokens
    tokens, confidence = canvas.clone(), (canvas != MASK).float()
    generator = torch.Generator().manual_seed(int(seed))
    while stretches := runs((tokens[0] == MASK).any(0)):
        first, last = stretches[0]
        before = max(context, (width - (last - first)) // 2)
        start = max(0, min(first - before, count - width)) if count > width else 0
        stop = min(count, start + width)
        for other, end in stretches[1:]:
            if other < stop < end:
                stop = other
        piece = tokens[:, :, start:stop]
        size = torch.tensor([stop - start], device=canvas.device)
        filled = fill(transformer, piece, size, text, generators=[generator], **options)
        was_open = piece == MASK
        confidence[:, :, start:stop][was_open] = filled.confidence[was_open]
        tokens[:, :, start:stop] = filled.tokens
    return tokens, confidence


def room(frames: int, length: int, side: str) -> tuple[int, int]:
    """How many frames are new before and behind a motion of so many that is to have `length`.

    Args:
        side: "after" its end, "before" its start, or "both" (equally much).
    Raises:
        ValueError: length is not above the motion's; another side.
    """
    require(side in ("after", "before", "both"), f"side is {side!r}, expected one of after, before, both.")
    more = length - frames
    require(
        more > 0,
        f"length is {length}, but the motion has {frames} frames already; give the frames that the whole is to have.",
    )
    before = {"after": 0, "before": more, "both": more // 2}[side]
    return before, more - before


def extend(
    features: Float[Tensor, "t d"], before: int, after: int
) -> tuple[Float[Tensor, "n d"], Bool[Tensor, " n"]]:
    """Features with room before and behind (zeros), and which frames are kept.

    Raises:
        ValueError: no room asked for, or a negative number.
    """
    require(
        before >= 0 and after >= 0 and before + after > 0,
        f"{before} frames before and {after} behind were asked for; give 0 or more of each, and 1 or more in all.",
    )
    room = [features.new_zeros(count, features.shape[1]) for count in (before, after)]
    kept = torch.zeros(before + len(features) + after, dtype=torch.bool)
    kept[before : before + len(features)] = True
    return torch.cat((room[0], features, room[1])), kept
