"""Embeddings of a data set's captions, computed once and stored in one safetensors file.

Captions are few and the encoder is frozen, so training looks captions up and never runs the encoder. Words are stored
in float16 and without the padding of a batch (10,000 captions of MiniLM: about 110 MB). Where this is still too much
(HumanML3D with CLIP's 77 positions: 7 GB) `text_source` gives the encoder itself.

Captions have different numbers of words, so the words of all of them lie one after another in one array: caption i has
rows starts[i] to starts[i + 1].
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float16, Int64
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mmm.errors import atomic_write, require
from mmm.storage import read_captions, read_tensors
from mmm.text import TextEmbedding, TextEncoder, TextSource

FORMAT = "mmm-text-1"


class StaleCache(ValueError):
    """The file is a text cache, but not of this encoder and these captions."""


def text_source(
    captions: Iterable[str],
    encoder: TextEncoder,
    path: str | os.PathLike[str],
    max_bytes: int = 2_000_000_000,
    progress: bool = False,
) -> TextSource:
    """The cache at `path` if it fits encoder and captions, otherwise a new one there.

    A new one holds the captions that are given, and no others. What a cache of the same encoder holds already is copied
    and not encoded again. The encoder itself if a cache would take more than `max_bytes`.

    Raises:
        ValueError: the file at `path` is damaged or no text cache (it is not overwritten).
    """
    unique = list(dict.fromkeys(captions))
    require(unique, "there are no captions to encode: the data set has no text")
    size = 2 * encoder.width * (sum(encoder.count_words(unique)) + len(unique))  # float16
    if size > max_bytes:
        return encoder
    try:
        known = TextCache.load(path, encoder.name, how=encoder.how)
    except (FileNotFoundError, StaleCache):
        known = None
    if known is not None and known._row.keys() >= set(unique):
        return known
    return TextCache.build(path, unique, encoder, progress=progress, known=known)


class TextCache:
    """Stored embeddings: build them with `TextCache.build`, open them with `TextCache.load`.

    Args:
        name, how: of the encoder (see `TextEncoder`).
        captions: the C captions, each once.
        words: (rows, E) the words of all captions one after another.
        starts: (C + 1,) where each caption's words start; the last number is the number of rows.
        sentence: (C, E).
    """

    def __init__(
        self,
        name: str,
        captions: list[str],
        words: Float16[Tensor, "words e"],
        starts: Int64[Tensor, " starts"],
        sentence: Float16[Tensor, "captions e"],
        how: str = TextEncoder.how,
    ):
        self.name, self.how, self.width, self.captions = name, how, sentence.shape[1], captions
        self._words, self._starts, self._sentence = words, starts, sentence
        self._row = {caption: row for row, caption in enumerate(captions)}

    def __len__(self) -> int:
        return len(self.captions)

    def lookup(self, captions: list[str]) -> TextEmbedding:
        """Embeddings of the captions, in their order: float32 on the CPU, padded to the longest of them.

        Raises:
            ValueError: a caption is not in the cache.
        """
        missing = [caption for caption in captions if caption not in self._row]
        require(
            not missing,
            f"the text cache (encoder {self.name}, {len(self)} captions) has no embedding of {missing[:1]}: "
            "build the cache again with all captions, or encode this text with the encoder",
        )
        rows = torch.tensor([self._row[caption] for caption in captions])
        starts, ends = self._starts[rows], self._starts[rows + 1]
        words = [self._words_of(row).float() for row in rows]
        counts = ends - starts
        mask = torch.arange(int(counts.max())) < counts[:, None]
        return TextEmbedding(pad_sequence(words, batch_first=True), mask, self._sentence[rows].float())

    def _words_of(self, row: int | Tensor) -> Float16[Tensor, "words e"]:
        return self._words[self._starts[row] : self._starts[row + 1]]

    @staticmethod
    def build(
        path: str | os.PathLike[str],
        captions: Iterable[str],
        encoder: TextEncoder,
        batch_size: int = 128,
        progress: bool = False,
        known: TextCache | None = None,
    ) -> TextCache:
        """Encode the captions (each once, in batches of similar length) and write the cache.

        Args:
            known: a cache of the same encoder, whose captions are copied.
        """
        unique = list(dict.fromkeys(captions))
        require(unique, "there are no captions to encode: the data set has no text")
        words: list[Tensor] = [torch.empty(0)] * len(unique)
        sentence = torch.empty(len(unique), encoder.width, dtype=torch.float16)
        order = []
        for row in sorted(range(len(unique)), key=lambda row: len(unique[row])):
            old = known._row.get(unique[row]) if known else None
            if old is None:
                order.append(row)
            else:
                words[row], sentence[row] = known._words_of(old), known._sentence[old]
        with tqdm(
            total=len(order), desc=f"captions ({encoder.name})", unit="caption", disable=not progress
        ) as bar:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                embedding = encoder.encode([unique[row] for row in rows]).to("cpu")
                sentence[rows] = embedding.sentence.half()
                for row, padded, mask in zip(rows, embedding.words.half(), embedding.mask, strict=True):
                    words[row] = padded[mask]
                bar.update(len(rows))
        starts = torch.tensor([0] + [len(rows) for rows in words]).cumsum(0)
        cache = TextCache(encoder.name, unique, torch.cat(words), starts, sentence, encoder.how)
        require(
            bool(cache._words.isfinite().all() and sentence.isfinite().all()),
            f"the encoder {encoder.name} gives numbers beyond float16: use another one",
        )
        text = torch.frombuffer(bytearray(json.dumps(unique).encode()), dtype=torch.uint8)
        tensors = {"words": cache._words, "starts": starts, "sentence": sentence, "captions": text}
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, {"format": FORMAT, "encoder": encoder.name, "how": encoder.how})
        return cache

    @staticmethod
    def load(
        path: str | os.PathLike[str],
        encoder: str | None = None,
        captions: Iterable[str] | None = None,
        how: str | None = None,
    ) -> TextCache:
        """Open a cache; the words stay on disk until they are looked up (memory-mapped).

        Args:
            encoder, how: name and `how` of the encoder that must have written it, if given.
            captions: captions that must be in it; others may be in it too.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged or no text cache.
            StaleCache: it was written by another encoder or lacks captions.
        """
        path = Path(path)
        require(path.is_file(), f"there is no text cache {path}: build it first", FileNotFoundError)
        remedy = "delete it, it is built again"
        tensors, metadata = read_tensors(path, remedy)
        require(
            metadata.get("format") == FORMAT,
            f"{path} is no text cache (its format is {metadata.get('format')!r}, not {FORMAT!r}): "
            "give another path",
        )
        known = read_captions(tensors, path, remedy)
        words, starts, sentence = (tensors.get(key) for key in ("words", "starts", "sentence"))
        whole = None not in (words, starts, sentence)
        whole = whole and starts.ndim == 1 and words.ndim == sentence.ndim == 2
        require(
            whole
            and len(starts) == len(known) + 1
            and int(starts[0]) == 0
            and int(starts[-1]) == len(words)
            and bool((starts.diff() >= 0).all())
            and len(sentence) == len(known),
            f"{path} is damaged (its arrays do not fit each other); {remedy}.",
        )
        name, stored_how = metadata.get("encoder", ""), metadata.get("how", "")
        missing = sorted(set(captions or ()) - set(known))
        for expected, actual in ((encoder, name), (how, stored_how)):
            require(
                expected in (None, actual),
                f"{path} is of another text encoder ({actual}, expected {expected}): delete it, it is built again",
                StaleCache,
            )
        require(
            not missing,
            f"{path} lacks {len(missing)} captions, such as {missing[:1]}: delete it, it is built again",
            StaleCache,
        )
        return TextCache(name, known, words, starts, sentence, stored_how)
