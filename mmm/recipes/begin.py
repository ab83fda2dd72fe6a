"""What a training begins with: statistics of the data, and models that were trained before."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmm.data import MotionFolder
from mmm.errors import require
from mmm.interop import read_mean_std
from mmm.tokenizer import Tokenizer
from mmm.transformer import MaskedTransformer


def statistics(folder: MotionFolder, place: str | os.PathLike | None) -> tuple[Tensor, Tensor]:
    """Mean and Std of the data, or those in another folder."""
    if place is None:
        return torch.from_numpy(folder.mean), torch.from_numpy(folder.std)
    mean, std = read_mean_std(
        place, len(folder.mean), "give the folder of a Mean and a Std of these features"
    )
    return torch.from_numpy(mean), torch.from_numpy(std)


def load_tokenizer(path: str | os.PathLike) -> Tokenizer:
    """The tokenizer of a run folder (…/model), of a model folder (…/tokenizer), or of its own folder."""
    for place in (Path(path) / "model", Path(path) / "tokenizer"):
        if (place / "config.json").is_file():
            return Tokenizer.from_pretrained(place)
    return Tokenizer.from_pretrained(path)


def tokenizer_to_go_on_with(
    init: str | os.PathLike, folder: MotionFolder, model: dict[str, Any], mean_std: str | os.PathLike | None
) -> Tokenizer:
    """A trained tokenizer to go on with, if nothing that is asked for contradicts it."""
    tokenizer = load_tokenizer(init)
    have = dataclasses.asdict(tokenizer.config)
    asked = [f"{name} {value}" for name, value in model.items() if have[name] != value]
    asked += ["another Mean and Std"] * (mean_std is not None)
    require(
        not asked,
        f"the tokenizer in {init} brings its own sizes, rules, Mean and Std, but {', '.join(asked)} is asked for; "
        "leave that out, or begin without init.",
    )
    require(
        have["features"] == len(folder.mean),
        f"the tokenizer in {init} knows {have['features']} features, {folder.path} has {len(folder.mean)}; give one of "
        "the same skeleton.",
    )
    return tokenizer


def fingerprint(module: nn.Module) -> str:
    """Changes with any weight: a run that began with one model is not continued with another."""
    told = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        told.update(name.encode() + value.cpu().numpy().tobytes())
    return told.hexdigest()[:16]


def transformer_to_go_on_with(
    path: str | os.PathLike, tokenizer: Tokenizer, text_width: int, model: dict[str, Any]
) -> tuple[MaskedTransformer, Path]:
    """The transformer of a run or model folder, and the folder that tells how it was trained.

    Args:
        text_width: of the embeddings that it will read. model: sizes that are asked for besides.
    """
    run = Path(path) / "transformer"
    places = [run / "model", Path(path) / "model" / "transformer", run]
    found = [place for place in places if (place / "config.json").is_file()]
    require(
        found,
        f"there is no transformer in {path}; give the folder of a run or of a model.",
        FileNotFoundError,
    )
    transformer = MaskedTransformer.from_pretrained(found[0])
    require(
        torch.equal(transformer.codebook.cpu(), tokenizer.codebook.cpu()),
        f"the transformer in {path} was trained with another tokenizer's codebook; give the tokenizer it was "
        "trained with.",
    )
    have = dataclasses.asdict(transformer.config)
    asked = [
        f"{name} {value}" for name, value in {"text_dim": text_width, **model}.items() if have[name] != value
    ]
    require(
        not asked,
        f"the transformer in {path} brings its own sizes, text encoder and text dropout, but {', '.join(asked)} is "
        "asked for; leave that out, or begin without init.",
    )
    return transformer, run
