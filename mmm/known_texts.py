"""What a model has learned, as captions: is a text far from all of them?

A model answers every text with a motion, also one that it has never seen anything like. `KnownTexts` holds captions
that represent those of its training, with their sentence embeddings. If no caption is near a text (cosine), `MMM`
says so in `Motion.note` and names the nearest.

*Which captions*: each next one is the caption that is furthest from those chosen so far (k-center, Gonzalez 1985), so
that no training caption is far from a chosen one. 1,000 of them tell texts apart nearly as well as all: 20 made-up
requests that the data show and 20 that they do not with an AUC of .995 (all 7,360 of Bandai: .998), and of .993 (all
56,926 of Bandai, CMU and synthetic together: 1.000).

*What is far*: users say things in other words than captions do, so that they are further away than captions of val.
Therefore val is compared with the first few chosen captions alone (`COARSE`), and a text is far if it is further from
all known captions than all but 2 % of val are from these few.

*Misspelled words*: a text encoder cuts "forwrad" into pieces that mean nothing to the model. A word that neither the
captions nor an English dictionary (pyspellchecker) have is replaced by the most frequent word of the captions that
is one letter away: one left out, added, exchanged, or swapped with its neighbour.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int8
from safetensors.torch import save_file
from torch import Tensor

from mmm.errors import atomic_write, require
from mmm.storage import read_captions, read_tensors
from mmm.text import TextSource

if TYPE_CHECKING:
    from spellchecker import SpellChecker

FORMAT = "mmm-known-1"
FILE = "known.safetensors"  # in a model folder
MOST = 1000  # captions: 0.4 MB with 384 numbers each
COARSE = 100  # at most a tenth of the captions
QUANTILE = 0.02
SHORTEST = 4  # letters of a word that is corrected: "lil" is one letter away from "lie"

_WORD = re.compile(r"[A-Za-z]+")
_TYPED = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # "doesn't" and "señor" are one word each, and left alone


@dataclass(frozen=True, eq=False)
class KnownTexts:
    """Captions that a model has learned.

    Attributes:
        captions: K of them. vectors: (K, E) their embeddings in units of 1/127 of each row's largest number.
        threshold: the cosine below which a text is far from all of them.
        words: of all training captions in lower case, the most frequent first; by default those of `captions`.
    """

    captions: list[str]
    vectors: Int8[Tensor, "k e"]
    threshold: float
    words: list[str] = field(default_factory=list)

    def __post_init__(self):
        object.__setattr__(self, "words", self.words or words_of(self.captions))

    def nearest(self, sentence: Float[Tensor, "b e"]) -> list[tuple[str, float]]:
        """For each sentence embedding the nearest caption and its cosine."""
        cosines, rows = _cosines(sentence.cpu(), self.vectors).max(1)
        return [(self.captions[row], float(cosine)) for row, cosine in zip(rows, cosines, strict=True)]

    def notes(self, texts: Sequence[str], sentence: Float[Tensor, "b e"]) -> list[str]:
        """For each text a sentence that says that it is far from everything learned, or "" if it is not."""
        return [
            f'The model has learned nothing like "{text}": the nearest it knows is "{caption}" '
            f"(similarity {cosine:.2f}), so the motion may show something else."
            if cosine < self.threshold
            else ""
            for text, (caption, cosine) in zip(texts, self.nearest(sentence), strict=True)
        ]

    def corrected(self, text: str) -> str:
        """`text` with its misspelled words replaced by words of the captions (see the top of this file)."""
        return _TYPED.sub(lambda found: self._corrected_word(found.group()), text)

    def _corrected_word(self, word: str) -> str:
        lower = word.lower()
        plain = _WORD.fullmatch(word) and len(word) >= SHORTEST
        if not plain or lower in self.words or lower in _dictionary():
            return word
        near = _dictionary().edit_distance_1(lower)
        # People rarely miss the first letter.
        return next((known for known in self.words if known[0] == lower[0] and known in near), word)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file: vectors, captions and words (JSON as bytes), threshold.

        Its metadata has one entry only: safetensors writes several in any order, and equal texts must give equal bytes.
        """
        threshold = torch.tensor(self.threshold, dtype=torch.float64)
        arrays = {"vectors": self.vectors, "threshold": threshold}
        for name in ("captions", "words"):
            lines = bytearray(json.dumps(getattr(self, name)).encode())
            arrays[name] = torch.frombuffer(lines, dtype=torch.uint8)
        with atomic_write(path) as temporary:
            save_file(arrays, temporary, {"format": FORMAT})

    @staticmethod
    def load(path: str | os.PathLike[str]) -> KnownTexts:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged or another kind of file.
        """
        remedy = "copy the model again, or delete it"
        tensors, metadata = read_tensors(path, remedy)
        require(
            metadata.get("format") == FORMAT, f"{path} is damaged (its format is not {FORMAT}); {remedy}."
        )
        captions, vectors = read_captions(tensors, path, remedy), tensors.get("vectors")
        try:
            threshold = float(
                metadata.get("threshold", tensors.get("threshold", ""))
            )  # older files: in the metadata
        except (ValueError, RuntimeError):
            threshold = math.nan
        require(
            vectors is not None and vectors.dtype == torch.int8 and vectors.ndim == 2 and abs(threshold) <= 1,
            f"{path} is damaged (vectors or threshold are missing); {remedy}.",
        )
        require(
            len(captions) == len(vectors) > 0,
            f"{path} is damaged (captions and vectors differ in number); {remedy}.",
        )
        # Older files have no words.
        words = read_captions(tensors, path, remedy, "words") if "words" in tensors else []
        return KnownTexts(captions, vectors, threshold, words)


def words_of(captions: Sequence[str]) -> list[str]:
    """All words of the captions in lower case, the most frequent first."""
    counts = Counter(word.lower() for caption in captions for word in _WORD.findall(caption))
    return sorted(counts, key=lambda word: (-counts[word], word))


@functools.cache
def _dictionary() -> SpellChecker:
    """English words. Loaded when the first unknown word is met: it takes a fifth of a second."""
    from spellchecker import SpellChecker

    return SpellChecker(distance=1)


def known_texts(
    captions: Sequence[str], others: Sequence[str], source: TextSource, most: int = MOST
) -> KnownTexts:
    """The known texts of a training.

    Args:
        captions: of the training clips. others: of clips that are not trained on (val); if there are none, `captions`.
        source: embeddings of all of them.
        most: how many captions to keep.
    """
    captions = sorted(set(captions))
    vectors = _sentences(captions, source)
    chosen = furthest_points(vectors, most)
    kept = _in_8_bits(vectors[chosen])
    coarse = kept[: max(1, min(COARSE, len(captions) // 10))]
    near = _cosines(_sentences(sorted(set(others)) or captions, source), coarse).amax(1)
    threshold = float(near.quantile(QUANTILE))
    return KnownTexts([captions[row] for row in chosen], kept, threshold, words_of(captions))


def furthest_points(vectors: Float[Tensor, "n e"], count: int) -> list[int]:
    """Rows of unit vectors: the most central one, then each time the one that is furthest from those chosen.

    Rows that are equal to a chosen one are not chosen.
    """
    chosen = [int((vectors @ vectors.mean(0)).argmax())]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < min(count, len(vectors)) and nearest.min() < 1 - 1e-4:
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen


def _sentences(captions: Sequence[str], source: TextSource, batch: int = 1024) -> Float[Tensor, "n e"]:
    """Unit vectors, whatever the encoder."""
    batches = [captions[start : start + batch] for start in range(0, len(captions), batch)]
    return F.normalize(torch.cat([source.lookup(list(texts)).sentence for texts in batches]), dim=-1)


def _in_8_bits(vectors: Float[Tensor, "k e"]) -> Int8[Tensor, "k e"]:
    return (vectors / vectors.abs().amax(1, keepdim=True) * 127).round().to(torch.int8)


def _cosines(sentence: Float[Tensor, "b e"], vectors: Int8[Tensor, "k e"]) -> Float[Tensor, "b k"]:
    """The scale of a row does not matter: cosines do not depend on lengths."""
    return F.normalize(sentence.float(), dim=-1) @ F.normalize(vectors.float(), dim=-1).T
