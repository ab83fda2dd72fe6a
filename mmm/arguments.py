"""What a user passes to `MMM`, in the one form that its methods work with; each raises ValueError with one sentence."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmm.errors import check_range, require
from mmm.motion import Motion

MOST_CANDIDATES = 64  # for a text (best_of)
MOST_SEED = 2**62  # what is derived from it still has 64 bits


def check_text(text: str) -> None:
    """Refuse an empty text."""
    require(isinstance(text, str) and text.strip(), f"the text {text!r} is empty; say what the person does.")


def check_texts(texts: Sequence[str]) -> None:
    """Refuse an empty list, and an empty text."""
    require(len(texts) > 0, "no text was given; say what the person does.")
    for text in texts:
        check_text(text)


def lengths_of(length: Any, texts: int) -> list[int]:
    """One length in frames for each text. 60 may also be 60.0, or a number of NumPy or torch."""
    frames = [
        n.item() if hasattr(n, "item") else n for n in (length if np.ndim(length) else [length] * texts)
    ]
    require(len(frames) == texts, f"{len(frames)} lengths for {texts} texts; give one, or one per text.")
    for n in frames:
        require(
            isinstance(n, int | float) and float(n).is_integer(),
            f"length is {n!r}, expected a whole number of frames, such as 60.",
        )
    return [int(n) for n in frames]


def seeds_of(seed: numbers.Integral | Sequence[int], texts: int) -> list[int]:
    """One seed for each text: those given, or `seed` + i for text i.

    Raises:
        ValueError: not one per text; a seed that is no whole number, or has more than 62 bits.
    """
    seeds = [int(seed) + i for i in range(texts)] if isinstance(seed, numbers.Integral) else list(seed)
    require(len(seeds) == texts, f"{len(seeds)} seeds for {texts} texts; give one, or one per text.")
    seeds = [one.item() if hasattr(one, "item") else one for one in seeds]  # of NumPy and torch
    for one in seeds:
        check_range("seed", one, -MOST_SEED, MOST_SEED)
    return seeds


def motion_of(motion: Any) -> Motion:
    """A Motion, also from what `load_motion` returns."""
    inner = getattr(motion, "motion", motion)
    require(
        isinstance(inner, Motion),
        f"motion is {type(motion).__name__}, expected a Motion (load_motion gives one).",
    )
    return inner


def texts_of(text: str | Sequence[str] | None, gaps: Sequence[tuple[int, int]]) -> list[str]:
    """One text, or one for each gap in the order of time; none from None."""
    if text is None:
        return []
    texts = [text] if isinstance(text, str) else list(text)
    for one in texts:
        check_text(one)
    require(
        len(texts) == 1 or 0 < len(texts) == len(gaps),
        f"{len(texts)} texts and {len(gaps)} gaps; give one text, or one for each gap.",
    )
    return [texts[i] for i in np.argsort([start for start, _ in gaps])] if len(texts) > 1 else texts


def gaps_of(frames: Any) -> list[tuple[int, int]]:
    """Gaps as pairs, from one pair or several, in any kind of sequence or array; none from None."""
    if frames is None or (hasattr(frames, "__len__") and len(frames) == 0):
        return []
    try:
        pairs = np.asarray(frames)
    except ValueError:  # rows of different lengths
        pairs = np.zeros(0)
    require(
        pairs.dtype.kind in "iu" and pairs.ndim in (1, 2) and pairs.shape[-1] == 2,
        f"frames is {frames!r}, expected the (start, stop) of a gap, in whole numbers, or a list of such pairs.",
    )
    return [(int(start), int(stop)) for start, stop in pairs.reshape(-1, 2)]
