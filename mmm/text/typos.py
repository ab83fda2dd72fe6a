"""Captions as people type them: a slip of the fingers in some words, to train on beside the careful ones.

A text encoder cuts "forwrad" into pieces that it has hardly ever seen, and a model that was trained on careful
captions alone does not know them either.
"""

from __future__ import annotations

import random
import re

import torch

SLIPS = ("swap", "drop", "double", "next")
NEIGHBOURS = dict(
    zip(
        "qwertyuiopasdfghjklzxcvbnm",
        "wa qe wr et ry tu yi uo ip o sq ad sf dg fh gj hk jl k xa zc xv cb vn bm n".split(),
        strict=True,
    )
)  # on a keyboard


VARIANTS = 2  # misspelled versions of a caption whose embeddings are kept beside its own


def with_variants(texts: list[str]) -> list[str]:
    """The texts and all their misspelled versions: what must be embedded to train with `draw_misspelled`."""
    return [*texts, *(misspell(text, seed) for text in texts for seed in range(VARIANTS))]


def draw_misspelled(captions: list[str], share: float, generator: torch.Generator) -> list[str]:
    """A `share` of the captions in one of their misspelled versions."""
    u = torch.rand(2, len(captions), generator=generator).tolist()
    return [
        misspell(text, int(VARIANTS * which)) if chance < share else text
        for text, chance, which in zip(captions, *u, strict=True)
    ]


def misspell(text: str, seed: int = 0, share: float = 0.2) -> str:
    """`text` with a slip in about a `share` of its words, and in at least one; the same for the same seed.

    A slip swaps two letters, leaves one out, doubles one or hits the next key. Words of up to three letters keep
    their spelling, and no word keeps less than its first letter.

    Args:
        share: of the words of four letters or more, in [0, 1].
    """
    chance = random.Random(f"{seed} {text}")
    words = re.split(r"([A-Za-z]{4,})", text)  # the odd ones are words
    places = range(1, len(words), 2)
    chosen = [place for place in places if chance.random() < share]
    for place in chosen or [chance.choice(places)] if places else []:
        words[place] = _slip(words[place], chance)
    return "".join(words)


def _slip(word: str, chance: random.Random) -> str:
    at, slip = chance.randrange(1, len(word) - 1), chance.choice(SLIPS)
    if slip == "swap" and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if slip in ("swap", "drop"):
        return word[:at] + word[at + 1 :]
    key = chance.choice(NEIGHBOURS.get(word[at].lower(), word[at]))
    return word[:at] + (word[at] if slip == "double" else key) + word[at + (slip == "next") :]
