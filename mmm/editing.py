"""Editing: every task prepares a canvas, and the one sampler fills it.

Source: MMM (arXiv 2312.03596), section 3.4. An edit (`edit`) has four steps:

1. Encode the kept frames. All other tokens are MASK (`encode_kept`).
2. Fill the canvas with the sampler (`fill_windows`).
3. Decode all tokens.
4. Join the decoded motion with the kept frames (`mmm.seams.join`), so that no jump is left between them.

A run of frames that are not kept is a *gap*; the positions of its tokens are *open*, that is, MASK in the canvas.

The tasks differ only in what they keep (`mmm.editing_tasks`): in-betweening keeps the frames outside the gaps,
outpainting adds empty frames before or after the motion, body-part editing also keeps the other body part. Long
sequences are in `mmm.sequences`.

The authors' release encodes the whole motion and masks tokens afterwards. A token depends on many frames around it, so
the kept tokens reveal the frames that are to be predicted. Here each run of kept frames is encoded alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.control import Control
from mmm.editing_tasks import LOWER_ROW
from mmm.errors import require
from mmm.motion.features import feature_slices
from mmm.motion.runs import runs
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.motion.trajectory import put_together, take_apart
from mmm.sampling import fill
from mmm.seams import BLEND, join
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.tokenizer.model import check_decoded, decode_in_pieces
from mmm.tokenizer.parts import LOWER, LOWER_JOINTS, UPPER
from mmm.transformer import MASK, MaskedTransformer

# These features of a frame describe the movement to the next frame, so they reveal the next frame.
NEXT_FRAME_GROUPS = ("root_angular", "root_linear", "velocities", "contacts")
CONTEXT = 12  # positions (2.4 s) before an open run that a window of a long canvas shows, at least


@dataclass(frozen=True)
class Edit:
    """An edited motion, and the canvas it comes from.

    Attributes:
        features: raw, float32. source: the motion that was edited, of the same length (0 in added frames).
        kept: which frames are kept, for each body part.
        canvas, tokens, confidence: before and after the sampler; confidence is 1 at kept positions.
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
    text: TextEmbedding | None,
    *,
    seed: int = 0,
    blend: int = BLEND,
    skeleton: str | Skeleton = "humanml3d",
    targets: Float[Tensor, "t j 3"] | None = None,
    shown: Callable[[Tensor], np.ndarray] | None = None,
    **options: Any,
) -> Edit:
    """Regenerate what is not kept, as `text` says and as the kept frames allow.

    Kept frames come back bit for bit, except the numbers with which the last frame before a gap describes the movement
    into the gap (`NEXT_FRAME_GROUPS`). (If the upper body alone is kept, heights and velocities follow the new root.)
    The world joints of kept frames do not change either, also after a gap. If frames before the first kept frame are
    regenerated, the world starts with them, because features start at the origin.

    Args:
        features: raw. Their values in gaps do not reach the network, but their path through a gap says where the motion
            continues after it.
        kept: one row for each body part of the tokenizer (upper, lower).
        text: one text, or one for each gap in the order of time, or None: then only the kept frames decide (guidance is
            0, which ignores the text).
        blend: frames over which the kept motion fades out in a gap (`mmm.seams.join`).
        targets: positions that joints in gaps are brought to; shown: features → joints (`mmm.control.Control`).
        options: of `mmm.sampling.fill` (steps, guidance, temperature, argmax, schedule, remask).
    Raises:
        ValueError: a run of kept frames is too short for a token; an option is out of range; no text for a model that
            was never trained without one; the weights are damaged (`check_decoded`).
    """
    if text is None:
        text, options = _no_text(transformer), {**options, "guidance": 0.0}
    skeleton = get_skeleton(skeleton)
    features = features.to(transformer.device, torch.float32)
    canvas = encode_kept(tokenizer, features, kept, skeleton)
    tokens, confidence = fill_gaps(transformer, canvas, text, seed=seed, **options)
    source = features.cpu()

    def joined(decoded: Tensor) -> Tensor:
        return join_features(source, decoded.cpu(), kept, skeleton, blend)

    if targets is None:
        decoded = decode_in_pieces(tokenizer, tokens[0], len(features))
        check_decoded(tokenizer, decoded, skeleton.metres)
        result = joined(decoded)
    else:
        result = Control(tokenizer, targets, shown, skeleton, joined).settle(tokens[0])
    return Edit(result, source, kept, canvas[0].cpu(), tokens[0].cpu(), confidence[0].cpu())


def _no_text(transformer: MaskedTransformer) -> TextEmbedding:
    """A placeholder, which the model does not read when guidance is 0."""
    require(
        transformer.config.text_dropout > 0,
        "this model was never trained without a text, so it needs one: say what the person does.",
    )
    words = torch.zeros(1, 1, transformer.config.text_dim, device=transformer.device)
    return TextEmbedding(words, torch.ones(1, 1, dtype=torch.bool, device=words.device), words[:, 0])


# ---------------------------------------------------------------------- the tasks: what is kept


def next_frame_indices(skeleton: str | Skeleton) -> list[int]:
    """The indices of NEXT_FRAME_GROUPS among the features of a frame."""
    slices = feature_slices(skeleton)
    return [index for name in NEXT_FRAME_GROUPS for index in range(slices[name].start, slices[name].stop)]


def encode_kept(
    tokenizer: Tokenizer,
    features: Float[Tensor, "t d"],
    kept: Bool[Tensor, "p t"],
    skeleton: str | Skeleton = "humanml3d",
) -> Int64[Tensor, "1 p n"]:
    """The canvas of an edit: codes where all frames of a token are kept, MASK elsewhere.

    No frame of a gap changes a code. The last frame that is encoded before a gap may contain the movement into the gap
    (NEXT_FRAME_GROUPS), so these numbers are copied from the frame before it.

    Args:
        features: raw, of the whole clip; values in gaps are not used.
        kept: for each body part of the tokenizer.
    Raises:
        ValueError: a run of kept frames is too short to contain a whole token.
    """
    frames, ratio = len(features), tokenizer.config.ratio
    count = -(-frames // ratio)
    canvas = torch.full((1, len(kept), count), MASK, device=features.device)
    to_next = next_frame_indices(skeleton)
    for part, row in enumerate(kept):
        for start, stop in runs(row):
            # The tokens first … last - 1 lie in the run as a whole. The last token of a clip may be an incomplete one.
            first, last = -(-start // ratio), count if stop == frames else stop // ratio
            require(
                first < last,
                f"the kept frames {start}:{stop} contain no whole token ({ratio} frames from a multiple of {ratio} "
                "on), so the model would not see them; keep more frames there, or join the gaps.",
            )
            segment = features[first * ratio : min(frames, last * ratio)].clone()
            if last * ratio < frames and len(segment) > 1:
                segment[-1, to_next] = segment[-2, to_next]
            canvas[0, part, first:last] = tokenizer.encode(segment[None])[0, part]
    return canvas


def fill_gaps(
    transformer: MaskedTransformer,
    canvas: Int64[Tensor, "1 p n"],
    text: TextEmbedding,
    *,
    seed: int = 0,
    **options: Any,
) -> tuple[Int64[Tensor, "1 p n"], Float[Tensor, "1 p n"]]:
    """`fill_windows` with one text, or with one for each open run, from the left; run i then has seed + i.

    Later runs are still MASK, so a run sees all tokens before it, and after it only the kept ones.

    Raises:
        ValueError: several texts, but not as many as open runs.
    """
    if len(text) == 1:
        return fill_windows(transformer, canvas, text, seed=seed, **options)
    open_runs = runs((canvas[0] == MASK).any(0))
    require(
        len(text) == len(open_runs),
        f"{len(text)} texts for {len(open_runs)} gaps; give one, or one for each.",
    )
    tokens, confidence = canvas.clone(), (canvas != MASK).float()
    for number, (first, stop) in enumerate(open_runs):
        # the runs after it are filled with its text, too, and thrown away
        filled, sure = fill_windows(transformer, tokens, text[number], seed=seed + number, **options)
        tokens[..., first:stop], confidence[..., first:stop] = filled[..., first:stop], sure[..., first:stop]
    return tokens, confidence


def fill_windows(
    transformer: MaskedTransformer,
    canvas: Int64[Tensor, "1 p n"],
    text: TextEmbedding,
    *,
    seed: int = 0,
    context: int = CONTEXT,
    **options: Any,
) -> tuple[Int64[Tensor, "1 p n"], Float[Tensor, "1 p n"]]:
    """`fill` for one canvas of any width. If it is wider than the model's, it is filled window by window from the left.

    A window starts `context` positions before its first open position (more if the open run is short, so that the
    tokens after it are seen too), and ends before another open run that does not fit into it as a whole. An open run
    that is too long for one window is filled over several windows; each sees the end of what the last one has filled.

    Returns:
        tokens, confidence.
    """
    count, width = canvas.shape[2], transformer.config.max_tokens
    tokens, confidence = canvas.clone(), (canvas != MASK).float()
    generator = torch.Generator().manual_seed(int(seed))
    while open_runs := runs((tokens[0] == MASK).any(0)):
        first, end = open_runs[0]
        before = max(context, (width - (end - first)) // 2)
        start = max(0, min(first - before, count - width)) if count > width else 0
        stop = min(count, start + width)
        for other_first, other_end in open_runs[1:]:
            if other_first < stop < other_end:
                stop = other_first
        window = tokens[:, :, start:stop]
        size = torch.tensor([stop - start], device=canvas.device)
        filled = fill(transformer, window, size, text, generators=[generator], **options)
        was_open = window == MASK
        confidence[:, :, start:stop][was_open] = filled.confidence[was_open]
        tokens[:, :, start:stop] = filled.tokens
    return tokens, confidence


def join_features(
    source: Float[Tensor, "t d"],
    decoded: Float[Tensor, "t d"],
    kept: Bool[Tensor, "p t"],
    skeleton: str | Skeleton = "humanml3d",
    blend: int = BLEND,
) -> Float[Tensor, "t d"]:
    """Features, float32: those of `source` where they are kept, elsewhere `decoded`, joined by `mmm.seams.join`."""
    groups = joint_groups(len(kept), get_skeleton(skeleton))
    joined = join(take_apart(source, skeleton), take_apart(decoded, skeleton), kept, groups, blend)
    result = put_together(joined, skeleton).float()
    restore_kept(result, source, kept, skeleton)
    return result


def joint_groups(count: int, skeleton: Skeleton) -> list[list[int]]:
    """The joints of each of `count` body parts: all joints, or those of the upper and of the lower body."""
    joints = list(range(skeleton.num_joints))
    if count == 1:
        return [joints]
    return [[j for j in joints if j not in LOWER_JOINTS], list(LOWER_JOINTS)]


def restore_kept(
    result: Float[Tensor, "t d"],
    source: Float[Tensor, "t d"],
    kept: Bool[Tensor, "p t"],
    skeleton: str | Skeleton = "humanml3d",
) -> None:
    """Copy the kept numbers of `source` into `result`, bit for bit; `edit` says which numbers these are."""
    to_next = torch.tensor(next_frame_indices(skeleton))
    if len(kept) == 1:
        copied = [(kept[0], range(result.shape[1]))]
    else:
        # The heights and velocities of the upper joints contain the root, which belongs to the lower body. So the upper
        # numbers are copied only where both parts are kept.
        copied = [(kept[LOWER_ROW], LOWER), (kept.all(0), UPPER)]
    for row, indices in copied:
        before_gap = row & ~torch.cat((row[1:], row.new_ones(1)))
        chosen = torch.zeros(result.shape, dtype=torch.bool)
        chosen[:, list(indices)] = row[:, None]
        chosen[before_gap.nonzero(), to_next] = False
        result[chosen] = source[chosen]
