"""Long sequences: many texts, one after the other, with transitions that know both sides.

Source: MMM (arXiv 2312.03596), section 3.4; REPRODUCTION.md, "Sampling": the release fills two transition tokens in
one pass with the left text only. Here a transition is a canvas like any other: both neighbours in sight, both texts,
and the passes that its length asks for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from mmm.errors import require
from mmm.sampling import fill
from mmm.text import TextEmbedding
from mmm.transformer import MASK, MaskedTransformer

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
        options: for `mmm.sampling.fill`.
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
