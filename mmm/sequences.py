"""Long sequences: one canvas for each action, then one for each transition.

Source: MMM (arXiv 2312.03596), section 3.4. A transition is a canvas like any other: tokens at the end of one action
and at the start of the next are open, and both neighbours are kept. It is filled with both texts, in the default number
of passes for the whole canvas, neighbours included. The authors' release fills 2 tokens in one pass, with the left text
only.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from mmm.errors import require
from mmm.sampling import fill
from mmm.text import TextEmbedding
from mmm.transformer import MASK, MaskedTransformer

# Tokens, 0.8 s: half of them at the end of one action, half at the start of the next. Longer transitions are smoother,
# but overwrite requested actions. On Bandai's val split the jerk peaks at 64 m/s³ with 4 and with 8 tokens, and at 79
# with none and in the release's way (2 tokens, one pass, left text only). But hands raised for 4 s between a walk and a
# run are seen in 11 of 12 sequences with 4 tokens, in 8 with 8 (figures/editing/README.md).
TRANSITION = 4
GROUP = 16  # canvases that are filled at a time; this bounds the memory

_GERUND = (
    r"\b(?!(?:some|any|no|every)thing\b|morning\b|evening\b)\w*[aeiouy]\w*ing\b"  # no king, spring or swing
)
_IS = r"(?:['’](?:s|re|ve)|\s+(?:is|are|has|have))"
# Words between one action and the next.
_THEN = re.compile(
    r"""\s*(?:[,;.]\s*)?(?:\band,?\s+)?\b(?:(?:after\ that|afterwards),?\s+(?:then\b)?|then\b|followed\ by\b)\s*,?\s*
    |(?:\s*[,;.]\s*(?:and\s+)?|\s+and\s+)(?:next(?!\s+to\b)|finally)\b,?\s*  # not "stands next to a wall"
    |,?\s+before\s+(?=GERUND|(?:he|she|they)\b)  # not "stands before a wall"
    |\s*[,;.]\s*(?:and\s+)?(?:when|once)\s+(?:it|that|this|he|she|they|you)IS\s+(?:done|finished|over)\s*,\s*
    """.replace("GERUND", _GERUND).replace("IS", _IS),
    re.IGNORECASE | re.VERBOSE,
)
_PRONOUN = r"(?:he|she|they)\b"
_PERSON = (
    r"(?:(?:an?|the|one|some)\s+(?:[\w'-]+\s+){0,3}?(?:person|man|woman|human|figure|character|body|guy|girl|boy)|"
    r"someone|somebody|he|she|they)\b"
)
# "after sitting down, he waves", "before bowing she walks", "once he's done with the squats, he bows". The other action
# begins at a comma before a person, else at a pronoun, else at a comma.
_TIME_FIRST = re.compile(
    rf"^(?:(?:after|before)\s+(?={_GERUND}|{_PRONOUN}(?!\s+kn[eo]w))|once\s+(?=you\b|done\b|finished\b|{_PERSON}))(.+)$",
    re.IGNORECASE,
)
_OTHER = [
    re.compile(rf"^(.+?){start}(.+)$", re.IGNORECASE)
    for start in (rf",\s*(?={_PERSON})", rf"\s+(?={_PRONOUN})", r",\s*")
]
_DONE = re.compile(
    rf"^(?:(?:he|she|they|you){_IS}\s+)?(?:done|finished)(?:$|\s+with\s+|\s+(?={_GERUND}))", re.IGNORECASE
)
_AFTER_LAST = re.compile(
    rf"^(.+?),?\s+after\s+({_GERUND}.*)$", re.IGNORECASE
)  # "he waves after sitting down"
_FIRST = re.compile(r"^(?:at first|first(?:ly)?),?\s+", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=\w)[.;]\s+(?=(?:after|before|once)\b)", re.IGNORECASE)
_SUBJECT = re.compile(rf"^{_PERSON}", re.IGNORECASE)
# A piece that starts with one of these words has its own subject ("her arms rise"), one with a gerund needs none.
_OWN = re.compile(
    rf"^(?:(?:a|an|the|one|some|someone|somebody|he|she|it|they|his|her|its|their|both|this|that)\b|{_GERUND})",
    re.IGNORECASE,
)


def split_text(text: str) -> list[str]:
    """One text for each action: `text` is cut at every "then", "after that", "followed by", "before sitting" …

    A piece without a subject gets the first one that stands before it:
    "a person walks, then runs and then sits" → "a person walks", "a person runs", "a person sits".
    The actions are in the order in which they happen: "after sitting down, he waves" → "sitting down", "he waves";
    "before bowing, he waves" → "he waves", "bowing".

    Raises:
        ValueError: there is no action on one side of such a word; the text is empty.
    """
    pieces = [action for sentence in _SENTENCE.split(text.strip()) for action in _actions(sentence)]
    subjects = [found and found.group(0) for found in map(_SUBJECT.match, pieces)]
    require(
        all(pieces) and not any(subject == piece for subject, piece in zip(subjects, pieces, strict=True)),
        f'{text!r} has a "then" with no action before or after it; write: a person walks, then runs.',
    )
    subject, named = "", []
    for own, piece in zip(subjects, pieces, strict=True):
        subject = subject or own or ""
        named.append(piece if not subject or _OWN.match(piece) else f"{subject} {piece}")
    return named


def _actions(sentence: str) -> list[str]:
    """The actions of a sentence, in the order in which they happen."""
    sentence = _FIRST.sub("", sentence.strip())
    last = []
    if sentence.lower().startswith("before ") and (found := _two(sentence)):
        sentence, *last = found  # the second one comes behind all that follows
    pieces = [piece.strip(" ,;.") for piece in _THEN.split(sentence)]
    return [action for piece in pieces for action in _in_order(piece)] + last


def _in_order(piece: str) -> list[str]:
    """The two actions of a piece with "after", "before" or "once", the earlier one first; any other as it is."""
    if found := _two(piece):
        return [action for action in found if action]
    if found := _AFTER_LAST.match(piece):
        return [found[2], found[1]]
    return [piece]


def _two(piece: str) -> list[str] | None:
    """The two actions of a piece that begins with the time of one, in order; "" for "once he is done"."""
    found = _TIME_FIRST.match(piece)
    other = found and next(filter(None, (pattern.match(found[1]) for pattern in _OTHER)), None)
    if not other:
        return None
    timed, main = _DONE.sub("", other[1]).strip(), other[2]
    return [main, timed] if piece.lower().startswith("before") else [timed, main]


def try_split(text: str) -> list[str]:
    """As `split_text`; the text itself where a "then" has no action before or after it."""
    try:
        return split_text(text)
    except ValueError:
        return [text]


def share(total: int, estimated: Sequence[int], least: int, most: int) -> list[int]:
    """`total` frames for actions of these estimated lengths: in their ratio, but each of `least` to `most` frames."""

    def scaled(scale: float) -> list[float]:
        return [min(max(length * scale, least), most) for length in estimated]

    low, high = 0.0, most / min(estimated)
    for _ in range(60):  # bisection
        middle = (low + high) / 2
        low, high = (middle, high) if sum(scaled(middle)) < total else (low, middle)
    # Halves are all rounded down, float noise away, so that lengths that are whole numbers stay as they are.
    ends = [math.ceil(round(end, 6) - 0.5) for end in itertools.accumulate(scaled(high), initial=0)]
    return [b - a for a, b in itertools.pairwise(ends)]


class _Canvas(NamedTuple):
    """One canvas of a long sequence: tokens (P, N), one text, the seed of its noise."""

    tokens: Tensor
    text: TextEmbedding
    seed: int


def long_tokens(
    transformer: MaskedTransformer,
    text: TextEmbedding,
    frames: Sequence[int],
    *,
    ratio: int = 4,
    seed: int = 0,
    transition: int = TRANSITION,
    **options: Any,
) -> tuple[Int64[Tensor, "p n"], list[int]]:
    """Tokens of a sequence of actions.

    Each action is filled alone, as `MMM.generate` does. Then each transition is opened, half of it at the end of one
    action and half at the start of the next. It is filled with up to half of both actions in sight and with both texts
    (`both_texts`).

    Args:
        text: one for each action. frames: length of each action.
        seed: action i has seed + i, the transition after it seed + 1,000,000 + i.
        transition: tokens, an even number; 0 leaves the actions as they are. At most a fifth of an action (but at least
            one token) is opened at either end, so transitions beside short actions are shorter.
        options: of `mmm.sampling.fill`.
    Returns:
        tokens, and the positions at which the actions start, followed by N.
    Raises:
        ValueError: not as many lengths (`frames`) as texts; transition is odd.
    """
    require(
        len(text) == len(frames) > 0,
        f"{len(frames)} lengths for {len(text)} texts; give one length, in frames, for each text.",
    )
    require(
        transition >= 0 and transition % 2 == 0,
        f"transition is {transition} tokens, expected 0, 2, 4, …: half of it lies in either action.",
    )
    bounds = segment_bounds(frames, ratio)
    shape = (transformer.config.parts, bounds[-1])
    empty = torch.full(shape, MASK, device=transformer.device)
    actions = [
        _Canvas(empty[:, a:b], text[i], seed + i) for i, (a, b) in enumerate(itertools.pairwise(bounds))
    ]
    tokens = torch.cat(_fill_in_groups(transformer, actions, options), dim=1)
    if transition == 0:
        return tokens, bounds
    sizes = [b - a for a, b in itertools.pairwise(bounds)]  # tokens of each action
    canvases, open_positions = [], []
    for i, seam in enumerate(bounds[1:-1]):  # between the actions i and i + 1
        half = max(1, min(transition // 2, *(size // 5 for size in sizes[i : i + 2])))
        # Of each action only the half beside the seam is shown: the other end belongs to another transition.
        most = (transformer.config.max_tokens - 2 * half) // 2
        left, right = (min(most, max(1, size // 2 - half)) for size in sizes[i : i + 2])
        canvas = tokens[:, seam - half - left : seam + half + right].clone()
        canvas[:, left : left + 2 * half] = MASK
        canvases.append(_Canvas(canvas, both_texts(text[i], text[i + 1]), seed + 1_000_000 + i))
        open_positions.append((seam - half, left, 2 * half))
    for (start, left, size), filled in zip(
        open_positions, _fill_in_groups(transformer, canvases, options), strict=True
    ):
        tokens[:, start : start + size] = filled[:, left : left + size]
    return tokens, bounds


def segment_bounds(frames: Sequence[int], ratio: int) -> list[int]:
    """Where actions of so many frames start and end, in tokens.

    The sums are rounded up, so that errors do not add up and no action gets more tokens than it would get alone.
    """
    return [-(-end // ratio) for end in itertools.accumulate(frames, initial=0)]


def both_texts(left: TextEmbedding, right: TextEmbedding) -> TextEmbedding:
    """The condition of a transition: the words of both texts, and the mean of the two sentences."""
    words = torch.cat((left.words[0][left.mask[0]], right.words[0][right.mask[0]]))
    width = left.words.shape[1] + right.words.shape[1]
    mask = torch.arange(width, device=words.device) < len(words)
    words = F.pad(words, (0, 0, 0, width - len(words)))
    return TextEmbedding(words[None], mask[None], (left.sentence + right.sentence) / 2)


def _fill_in_groups(
    transformer: MaskedTransformer, canvases: Sequence[_Canvas], options: dict[str, Any]
) -> list[Int64[Tensor, "p _"]]:
    """Tokens of canvases of different widths, filled GROUP at a time."""
    tokens: list[Tensor] = []
    for first in range(0, len(canvases), GROUP):
        group = canvases[first : first + GROUP]
        widths = [canvas.tokens.shape[1] for canvas in group]
        batch = torch.stack(
            [F.pad(c.tokens, (0, max(widths) - n)) for c, n in zip(group, widths, strict=True)]
        )
        sizes, text = torch.tensor(widths, device=batch.device), TextEmbedding.stack([c.text for c in group])
        filled = fill(transformer, batch, sizes, text, seeds=[c.seed for c in group], **options).tokens
        tokens += [row[:, :n] for row, n in zip(filled, widths, strict=True)]
    return tokens
