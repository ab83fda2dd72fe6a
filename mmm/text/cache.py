"""Embeddings of a data set's captions, computed once and kept in one safetensors file.

Captions are few and the encoder is frozen, so training never runs the encoder: it looks captions up. Words
are stored without their padding and in float16 (10,000 captions of MiniLM: about 110 MB). Where that is still
too much (HumanML3D with CLIP's 77 places: 7 GB) `text_source` gives the encoder itself, looked up alike.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float16, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from mmm.errors import atomic_write, require
from mmm.text.encoder import TextEmbedding, TextEncoder

FORMAT = "mmm-text-1"


class StaleCache(ValueError):
    """The file is a text cache, but not of this encoder and these captions."""


@runtime_checkable
class TextSource(Protocol):
    """Where training gets its embeddings: a `TextCache`, or a `LiveText` that computes them per batch."""

    name: str
    width: int

    def lookup(self, captions: list[str]) -> TextEmbedding:
        """Embeddings of the captions, in their order: float32 on the CPU, padded to the longest of them."""
        ...


class TextCache:
    """Stored embeddings: build one with `TextCache.build`, open one with `TextCache.load`.

    Args:
        name, how: the encoder's (see `TextEncoder`).
        captions: the C captions, each once.
        words: the words of all captions one after another.
        starts: where each caption's words start; the last number is the number of words.
        sentence: one row for each caption.
    """

    def __init__(
        self,
        name: str,
        captions: list[str],
        words: Float16[Tensor, "places e"],
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
            "build the cache anew with all captions, or encode this text with the encoder",
        )
        rows = torch.tensor([self._row[caption] for caption in captions])
        starts, ends = self._starts[rows].tolist(), self._starts[rows + 1].tolist()
        lengths = [end - start for start, end in zip(starts, ends, strict=True)]
        words = torch.zeros(len(rows), max(lengths), self.width)
        for item, (start, end) in enumerate(zip(starts, ends, strict=True)):
            words[item, : end - start] = self._words[start:end]
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return TextEmbedding(words, mask, self._sentence[rows].float())

    @staticmethod
    def build(
        path: str | os.PathLike[str],
        captions: Iterable[str],
        encoder: TextEncoder,
        batch_size: int = 128,
        progress: bool = False,
    ) -> TextCache:
        """Encode the captions (each once, however often it is given) and write the cache.

        Batches are made of captions of like length, so that little is padded. The file is written beside its
        place and renamed.
        """
        unique = list(dict.fromkeys(captions))
        require(unique, "there are no captions to encode: the data set has no text")
        order = sorted(range(len(unique)), key=lambda row: len(unique[row]))
        words: list[Tensor] = [torch.empty(0)] * len(unique)
        sentence = torch.empty(len(unique), encoder.width, dtype=torch.float16)
        bar = tqdm(total=len(unique), desc=f"captions ({encoder.name})", unit="caption", disable=not progress)
        with bar:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                embedding = encoder.encode([unique[row] for row in rows]).to("cpu")
                sentence[rows] = embedding.sentence.half()
                for row, item, mask in zip(rows, embedding.words.half(), embedding.mask, strict=True):
                    words[row] = item[mask]
                bar.update(len(rows))
        starts = torch.tensor([0, *np.cumsum([len(item) for item in words])])
        cache = TextCache(encoder.name, unique, torch.cat(words), starts, sentence, encoder.how)
        require(
            bool(cache._words.isfinite().all() and sentence.isfinite().all()),
            f"the encoder {encoder.name} gives numbers beyond float16: use another one",
        )
        cache._save(path)
        return cache

    def _save(self, path: str | os.PathLike[str]) -> None:
        text = np.frombuffer(json.dumps(self.captions).encode(), dtype=np.uint8)
        tensors = {
            "words": self._words,
            "starts": self._starts,
            "sentence": self._sentence,
            "captions": torch.from_numpy(text.copy()),
        }
        checksum = hashlib.sha256(text).hexdigest()
        metadata = {"format": FORMAT, "encoder": self.name, "how": self.how, "captions_sha256": checksum}
        with atomic_write(path) as part:
            save_file(tensors, part, metadata)

    @staticmethod
    def load(
        path: str | os.PathLike[str],
        encoder: str | None = None,
        captions: Iterable[str] | None = None,
        how: str | None = None,
    ) -> TextCache:
        """Open a cache; the words stay on disk until they are looked up (memory-mapped).

        Args:
            encoder, how: name of the encoder that must have made it, and what it must have done (`TextEncoder.how`).
            captions: captions that must be in it; others may be in it too.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged or no text cache, or made by another encoder or from other captions.
        """
        path = Path(path)
        require(path.is_file(), f"there is no text cache {path}: build it first", FileNotFoundError)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is damaged ({error}): delete it, it is built anew") from error
        require(
            metadata.get("format") == FORMAT,
            f"{path} is no text cache (its format is {metadata.get('format')!r}, not {FORMAT!r}): "
            "give another path",
        )
        text = tensors["captions"].numpy()
        require(
            hashlib.sha256(text).hexdigest() == metadata["captions_sha256"],
            f"{path} is damaged: its captions do not fit their checksum: delete it, it is built anew",
        )
        require(
            encoder in (None, metadata["encoder"]),
            f"{path} was made by the text encoder {metadata['encoder']}, but {encoder} is asked for: "
            "delete it or give another path, it is built anew",
            StaleCache,
        )
        found = metadata.get("how", TextEncoder.how)  # what files say that say nothing
        require(
            how in (None, found),
            f"{path} was made by a text encoder that gives {found}, but now it gives {how}: "
            "delete it or give another path, it is built anew",
            StaleCache,
        )
        known = json.loads(text.tobytes())
        missing = sorted(set(captions or ()) - set(known))
        require(
            not missing,
            f"{path} was made from other captions ({len(missing)} are not in it, such as {missing[:1]}): "
            "delete it or give another path, it is built anew",
            StaleCache,
        )
        arrays = tensors["words"], tensors["starts"], tensors["sentence"]
        return TextCache(metadata["encoder"], known, *arrays, found)


class LiveText:
    """An encoder that is looked up like a cache; embeddings are computed for each batch."""

    def __init__(self, encoder: TextEncoder):
        self.encoder, self.name, self.width = encoder, encoder.name, encoder.width

    def lookup(self, captions: list[str]) -> TextEmbedding:
        """As `TextCache.lookup`, for any captions."""
        return self.encoder.encode(captions).to("cpu")


def text_source(
    captions: Iterable[str],
    encoder: TextEncoder,
    path: str | os.PathLike[str],
    max_bytes: int = 2_000_000_000,
    progress: bool = False,
) -> TextCache | LiveText:
    """The cache at `path` if it fits encoder and captions, else a new one there; LiveText above `max_bytes`.

    Raises:
        ValueError: what lies at `path` is damaged or is no text cache of ours (it is not overwritten).
    """
    unique = list(dict.fromkeys(captions))
    require(unique, "there are no captions to encode: the data set has no text")
    size = 2 * encoder.width * (sum(encoder.places(unique)) + len(unique))  # float16
    if size > max_bytes:
        return LiveText(encoder)
    try:
        return TextCache.load(path, encoder.name, unique, encoder.how)
    except (FileNotFoundError, StaleCache):
        return TextCache.build(path, unique, encoder, progress=progress)
