"""Long sequences: many texts, one after the other, with transitions that know both sides.

Source: MMM (arXiv 2312.03596), section 3.4; REPRODUCTION.md, "Sampling": the release fills two transition tokens in
one pass with the left text only. Here a transition is a canvas like any other: both neighbours in sight, both texts,
and the passes that its length asks for.


What an edit keeps, and the canvas that says so to the sampler.

A kept stretch of frames is encoded *alone*: the authors encode the whole motion and mask tokens afterwards, but a
token looks many frames around, so that what is kept tells of what is to be predicted (REPRODUCTION.md, "Sampling").

One edit: keep some frames (of some body parts), fill the canvas, decode, join. Every editing task is a call of it.

Source: MMM (arXiv 2312.03596), section 3.4 and appendix; REPRODUCTION.md, "Sampling" and "Body parts".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices
from mmm.motion.runs import runs
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.motion.trajectory import put_together, take_apart
from mmm.sampling import fill
from mmm.seams import BLEND, join
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer, parts
from mmm.tokenizer.model import decode_in_pieces
from mmm.transformer import MASK, MaskedTransformer

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
    text: TextEmbedding,
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
        options: for `mmm.sampling` (steps, guidance, temperature, argmax, schedule, remask).
    Raises:
        ValueError: a kept stretch too short to be seen; bad options.
    """
    skeleton = get_skeleton(skeleton)
    device = transformer.device
    features = features.to(device, torch.float32)
    canvas = encode_kept(tokenizer, features, kept, skeleton)
    tokens, confidence = fill_windows(transformer, canvas, text, seed=seed, **options)
    made = decode_in_pieces(tokenizer, tokens[0], len(features))
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
    text: TextEmbedding,
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


# Tokens, 0.8 s: half of them at the end of one action, half at the start of the next. Longer ones are smoother, but
# write over what was asked for. On Bandai's val split the jerk peaks at 81 m/s³ with 8 and at 93 with 4 (116 in the
# release's way: 2, in one pass, with the left text only); but hands raised for 5 s between a walk and a run are seen in
# 11 of 12 sequences with 4 tokens, in 3 with 8 (figures/editing/short_actions.py).
TRANSITION = 4
GROUP = 16  # segments or transitions that are filled at a time: what bounds the memory

_THEN = re.compile(
    r"\s*(?:[,;.]\s*)?(?:\band,?\s+)?\b(?:(?:after that|afterwards),?\s+(?:then\b)?|then\b)\s*,?\s*",
    re.IGNORECASE,
)
_FIRST = re.compile(r"^(?:at first|first(?:ly)?),?\s+", re.IGNORECASE)
_SUBJECT = re.compile(
    r"^(?:(?:a|an|the|one|some)\s+(?:[\w'-]+\s+){0,3}?(?:person|man|woman|human|figure|character|body|guy|girl|boy)|"
    r"someone|somebody|he|she|they)\b",
    re.IGNORECASE,
)
# A piece that begins so has a subject of its own ("her arms rise").
_OWN = re.compile(
    r"^(?:a|an|the|one|some|someone|somebody|he|she|it|they|his|her|its|their|both|this|that)\b",
    re.IGNORECASE,
)


def split_text(text: str) -> list[str]:
    """One text for each action, cut at every "then" or "after that"; a piece without a subject of its own gets the
    first one's.

    "a person walks, then runs and then sits" → "a person walks", "a person runs", "a person sits".

    Raises:
        ValueError: a "then" with nothing before or behind it; no text.
    """
    pieces = [piece.strip(" ,;.") for piece in _THEN.split(_FIRST.sub("", text.strip()))]
    subject = _SUBJECT.match(pieces[0])
    require(
        all(pieces) and (subject is None or subject.group(0) != pieces[0]),
        f'{text!r} has a "then" with no action before or behind it; write: a person walks, then runs.',
    )
    if subject is None:
        return pieces
    return [p if _OWN.match(p) else f"{subject.group(0)} {p}" for p in pieces]


def both_texts(left: TextEmbedding, right: TextEmbedding) -> TextEmbedding:
    """What the sampler is told of a transition: the words of both texts, and the mean of the two sentences."""
    places = [len(row) for row in (left.words[0], right.words[0])]
    words = torch.cat((left.words[0][left.mask[0]], right.words[0][right.mask[0]]))
    words = F.pad(words, (0, 0, 0, sum(places) - len(words)))
    count = int(left.mask.sum() + right.mask.sum())
    mask = torch.arange(sum(places), device=words.device) < count
    return TextEmbedding(words[None], mask[None], (left.sentence + right.sentence) / 2)


def segment_bounds(lengths: Sequence[int], ratio: int) -> list[int]:
    """Where segments of so many frames begin and end, in tokens: rounded, so that errors do not add up."""
    ends = [0, *itertools.accumulate(lengths)]
    return [round(end / ratio) for end in ends[:-1]] + [-(-ends[-1] // ratio)]


def long_tokens(
    transformer: MaskedTransformer,
    text: TextEmbedding,
    lengths: Sequence[int],
    *,
    ratio: int = 4,
    seed: int = 0,
    transition: int = TRANSITION,
    **options: Any,
) -> tuple[Int64[Tensor, "p n"], list[int]]:
    """Tokens of a sequence of actions.

    Each segment is filled alone, as `generate` does. Then each transition is opened, half of it at the end of one
    segment and half at the start of the next, and filled with up to half of both segments in sight and with both
    texts (`both_texts`). Segments go through in groups of GROUP, so that memory does not grow with their number.

    Args:
        text: one a segment. lengths: frames, one a segment.
        seed: segment i has seed + i, the transition behind it seed + 1,000,000 + i.
        transition: tokens, an even number; 0 leaves the segments as they are. At most a fifth of a segment is
            opened at either end, so beside short ones transitions are shorter.
        options: for `mmm.sampling`.
    Returns:
        tokens (P, N) and the places where segments begin, and N.
    Raises:
        ValueError: texts and lengths not equally many; an odd transition.
    """
    require(
        len(text) == len(lengths) and len(lengths) > 0,
        f"{len(lengths)} lengths for {len(text)} texts; give one length, in frames, for each text.",
    )
    require(
        transition >= 0 and transition % 2 == 0,
        f"transition is {transition} tokens, expected 0, 2, 4, …: half of it lies in either segment.",
    )
    bounds = segment_bounds(lengths, ratio)
    sizes = [b - a for a, b in itertools.pairwise(bounds)]
    parts = transformer.config.parts
    tokens = torch.full((parts, bounds[-1]), MASK, device=transformer.device)

    def run(jobs: list[tuple[Tensor, TextEmbedding, int]]) -> list[Tensor]:
        """Fill canvases of different widths in groups."""
        done: list[Tensor] = []
        for group in _batched(jobs, GROUP):
            width = [canvas.shape[1] for canvas, _, _ in group]
            canvas = torch.stack([F.pad(c, (0, max(width) - c.shape[1])) for c, _, _ in group])
            seeds, told = [s for _, _, s in group], TextEmbedding.stack([t for _, t, _ in group])
            size = torch.tensor(width, device=canvas.device)
            filled = fill(transformer, canvas, size, told, seeds=seeds, **options).tokens
            done += [row[:, :n] for row, n in zip(filled, width, strict=True)]
        return done

    jobs = [(tokens[:, a:b], text[i], seed + i) for i, (a, b) in enumerate(itertools.pairwise(bounds))]
    for (a, b), filled in zip(itertools.pairwise(bounds), run(jobs), strict=True):
        tokens[:, a:b] = filled
    if transition == 0 or len(sizes) == 1:
        return tokens, bounds
    most = transformer.config.max_tokens
    jobs, places = [], []
    for i, seam in enumerate(bounds[1:-1]):
        half = max(1, min(transition // 2, *(size // 5 for size in sizes[i : i + 2])))
        # up to half of each segment is shown: what the next transition will open is not
        left, right = (min((most - 2 * half) // 2, max(1, size // 2 - half)) for size in sizes[i : i + 2])
        canvas = tokens[:, seam - half - left : seam + half + right].clone()
        canvas[:, left : left + 2 * half] = MASK
        jobs.append((canvas, both_texts(text[i], text[i + 1]), seed + 1_000_000 + i))
        places.append((seam, half, left))
    for (seam, half, left), filled in zip(places, run(jobs), strict=True):
        tokens[:, seam - half : seam + half] = filled[:, left : left + 2 * half]
    return tokens, bounds


def _batched(jobs: list, size: int) -> list[list]:
    return [jobs[i : i + size] for i in range(0, len(jobs), size)]  # itertools has it from Python 3.12 on
