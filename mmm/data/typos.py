"""Captions as people type them: typing errors in some words, to train on beside the correct captions.

A text encoder cuts "forwrad" into pieces that it has hardly ever seen. A model that was trained on correct captions
alone does not know them either.
"""

from __future__ import annotations

import random
import re

import torch

KINDS = ("swap", "drop", "double", "next")
NEIGHBOURS = dict(
    zip(
        "qwertyuiopasdfghjklzxcvbnm",
        "wa qe wr et ry tu yi uo ip o sq ad sf dg fh gj hk jl k xa zc xv cb vn bm n".split(),
        strict=True,
    )
)  # on a keyboard

VARIANTS = 2  # misspelled versions of a caption whose embeddings are stored with its own


def with_variants(texts: list[str]) -> list[str]:
    """The texts and all their misspelled versions: what must be embedded to train with `draw_misspelled`."""
    return [*texts, *(misspell(text, seed) for text in texts for seed in range(VARIANTS))]


def draw_misspelled(captions: list[str], ratio: float, generator: torch.Generator) -> list[str]:
    """A `ratio` of the captions in one of their misspelled versions."""
    u = torch.rand(2, len(captions), generator=generator).tolist()
    return [
        misspell(text, int(VARIANTS * which)) if chance < ratio else text
        for text, chance, which in zip(captions, *u, strict=True)
    ]


def misspell(text: str, seed: int = 0, ratio: float = 0.2) -> str:
    """`text` with a typing error in about a `ratio` of its words, at least in one; the same for the same seed.

    An error swaps two letters, leaves one out, doubles one or hits the next key. Words of up to three letters and all
    first letters stay as they are.
    """
    rng = random.Random(f"{seed} {text}")
    pieces = re.split(r"([A-Za-z]{4,})", text)  # 0, 2, … lie between words; 1, 3, … are words
    positions = range(1, len(pieces), 2)
    chosen = [position for position in positions if rng.random() < ratio]
    if positions and not chosen:
        chosen = [rng.choice(positions)]
    for position in chosen:
        pieces[position] = _mistype(pieces[position], rng)
    return "".join(pieces)


def _mistype(word: str, rng: random.Random) -> str:
    at, kind = rng.randrange(1, len(word) - 1), rng.choice(KINDS)
    if kind == "swap" and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind in ("swap", "drop"):  # two equal letters cannot be swapped visibly: one is left out
        return word[:at] + word[at + 1 :]
    key = rng.choice(NEIGHBOURS.get(word[at].lower(), word[at]))
    if kind == "double":
        return word[: at + 1] + word[at:]
    return word[:at] + key + word[at + 1 :]
