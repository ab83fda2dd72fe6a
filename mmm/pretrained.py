"""Trained parts to start a training from: read, and checked against what is requested."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmm.data import MotionFolder
from mmm.errors import require
from mmm.text import TextEncoder
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.transformer import MaskedTransformer, TransformerConfig


def load_tokenizer(path: str | os.PathLike) -> Tokenizer:
    """The tokenizer of a run folder (…/model), of a model folder (…/tokenizer), or of its own folder."""
    for folder in (Path(path) / "model", Path(path) / "tokenizer"):
        if (folder / "config.json").is_file():
            return Tokenizer.from_pretrained(folder)
    return Tokenizer.from_pretrained(path)


def pretrained_tokenizer(
    path: str | os.PathLike, folder: MotionFolder, changes: dict[str, Any], mean_std: str | os.PathLike | None
) -> Tokenizer:
    """A tokenizer to start from; `changes` to its sizes and `mean_std` must not contradict it."""
    tokenizer = load_tokenizer(path)
    require(mean_std is None, f"the tokenizer in {path} keeps its own Mean and Std; leave mean_std out.")
    _check_sizes(path, tokenizer.config, {"features": len(folder.mean), **changes})
    return tokenizer


def pretrained_transformer(
    path: str | os.PathLike,
    tokenizer: Tokenizer,
    text_encoder: TextEncoder,
    changes: dict[str, Any],
    new_codes: bool = False,
) -> tuple[MaskedTransformer, Path]:
    """The transformer of a run or model folder to start from, and the folder that says how it was trained.

    `changes` to its sizes must not contradict it.
    """
    run = Path(path) / "transformer"
    candidates = (run / "model", Path(path) / "model" / "transformer", run)
    places = [place for place in candidates if (place / "config.json").is_file()]
    require(
        places,
        f"there is no transformer in {path}; give the folder of a run or of a model.",
        FileNotFoundError,
    )
    transformer = MaskedTransformer.from_pretrained(places[0])
    codebook = tokenizer.codebook.detach().cpu()
    if new_codes and transformer.codebook.shape == codebook.shape:
        transformer.codebook.copy_(codebook)
    require(
        torch.equal(transformer.codebook.cpu(), codebook),
        f"the transformer in {path} was trained with another tokenizer's codebook; give the tokenizer it was "
        "trained with, or allow another codebook of its size with new_codes (--new-codes).",
    )
    _check_sizes(path, transformer.config, {"text_dim": text_encoder.width, **changes})
    return transformer, run


def fingerprint(module: nn.Module) -> str:
    """Changes with any weight: a run that started from one model is not continued with another."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_sizes(
    path: str | os.PathLike, config: TokenizerConfig | TransformerConfig, requested: dict[str, Any]
) -> None:
    """Refuse sizes that contradict a model to start from."""
    for name, value in requested.items():
        own = getattr(config, name)
        require(
            own == value,
            f"the model in {path} has {name} {own}, but {name} {value} is requested; start from a model that fits, "
            "leave that out, or start without init.",
        )
