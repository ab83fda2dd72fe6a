"""From a data folder to a trained model: the presets' recipes, and the few calls that join the rooms.

`mmm train` and the notebooks call these; every step is a plain function of the package that can be called alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmm.data import MotionFolder, PackedSplit
from mmm.data.folder import cache_dir
from mmm.errors import require
from mmm.pipeline import MMM
from mmm.precision import resolve_precision
from mmm.text import TextEncoder, TextSource, load_text_encoder, text_source
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.tokenizer import Tokenizer
from mmm.tokenizer import train as tokenizer_train
from mmm.training import TrainConfig, TrainResult
from mmm.transformer import LengthConfig, LengthEstimator, MaskedTransformer
from mmm.transformer import preset as transformer_preset
from mmm.transformer import train as transformer_train
from mmm.transformer.tokens import TokenSet, make_token_set

PRESETS = tuple(TOKENIZERS)

# Our presets: a cosine to zero makes the most of few steps. "auto" is resolved by `resolve_precision`.
TOKENIZER_TRAINING = {
    "tiny": TrainConfig(steps=600, batch_size=32, lr=1e-3, warmup=50, schedule="cosine", eval_every=300),
    "small": TrainConfig(steps=9000, batch_size=64, lr=5e-4, warmup=500, schedule="cosine", eval_every=1000),
    "paper": tokenizer_train.PAPER_TRAINING,
}
TRANSFORMER_TRAINING = {
    "tiny": TrainConfig(
        steps=800, batch_size=32, lr=1e-3, betas=(0.9, 0.98), warmup=50, schedule="cosine", ema=0.98
    ),
    "small": TrainConfig(
        steps=8000,
        batch_size=64,
        lr=6e-4,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        warmup=400,
        schedule="cosine",
        ema=0.999,
        eval_every=1000,
    ),
    "paper": transformer_train.PAPER_TRAINING,
}
LENGTH_TRAINING = TrainConfig(
    steps=1500, batch_size=128, lr=1e-3, weight_decay=0.01, warmup=50, schedule="cosine"
)

# The release's corruption and mask law; the loss over all real places is the default of `TransformerTask`.
PAPER_TASK = transformer_train.TransformerTask(mask_law="uniform(0.5, 1)", random_codes=0.5)

# Share of a content in training ∝ (its share in the data) ** power: 1 leaves the data as they are, 0 shows all alike.
TOKENIZER_BALANCE = 0.5
TRANSFORMER_BALANCE = 0.25


def resolve(config: TrainConfig, cpu: bool = False, **changes: Any) -> TrainConfig:
    """The recipe with what the user asked for; None leaves the recipe's value.

    Args:
        cpu: training stays on the CPU even if there is a GPU, which bears on what "auto" precision means.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    given["precision"] = resolve_precision(
        given.get("precision", "auto"), torch.device("cpu") if cpu else None
    )
    return dataclasses.replace(config, **given)


def balanced_weights(
    folder: MotionFolder, packed: PackedSplit, amounts: np.ndarray, power: float
) -> np.ndarray:
    """Sampling weights of clips: each content's total ∝ its total amount ** power, within it ∝ amount.

    A content is what a clip's program calls so (Bandai); clips without one are all of one content.
    """
    programs = [folder.program(clip) or {} for clip in packed.ids]
    groups = [(program.get("dataset"), program.get("content")) for program in programs]
    total: dict[tuple, float] = defaultdict(float)
    for group, amount in zip(groups, amounts, strict=True):
        total[group] += amount
    return np.array(
        [amount * total[group] ** (power - 1) for group, amount in zip(groups, amounts, strict=True)]
    )


def fit_tokenizer(
    folder: MotionFolder,
    out: str | os.PathLike,
    preset: str = "small",
    rule: tokenizer_train.WindowRule | None = None,
    model: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> TrainResult:
    """Train a tokenizer of a preset on the train split, judged on val; the model goes to OUT/model.

    Args:
        rule: windows; the preset's own by default (the paper drops short clips, ours pads them).
        model: changes to the preset's `TokenizerConfig`. changes: to its `TrainConfig`.
        options: for `mmm.training.train` (resume, cpu, progress).
    """
    _known(preset)
    options = options or {}
    config = resolve(TOKENIZER_TRAINING[preset], options.get("cpu", False), **changes)
    rule = rule or tokenizer_train.WindowRule(short="drop" if preset == "paper" else "pad")
    train, val = folder.pack("train"), folder.pack("val")
    torch.manual_seed(config.seed)  # initial weights come from torch's own generator
    tokenizer = Tokenizer(
        dataclasses.replace(TOKENIZERS[preset], features=len(folder.mean), **(model or {})),
        torch.from_numpy(folder.mean),
        torch.from_numpy(folder.std),
    )
    weights = balanced_weights(folder, train, np.maximum(train.lengths, rule.window), TOKENIZER_BALANCE)
    rule = dataclasses.replace(rule, skeleton=folder.skeleton)
    return tokenizer_train.train_tokenizer(
        train, val, tokenizer, config, out, rule, weights, manifest=facts(folder), **options
    )


def load_tokenizer(path: str | os.PathLike) -> Tokenizer:
    """The tokenizer of a run folder (…/model), of a model folder (…/tokenizer), or of its own folder."""
    for place in (Path(path) / "model", Path(path) / "tokenizer"):
        if (place / "config.json").is_file():
            return Tokenizer.from_pretrained(place)
    return Tokenizer.from_pretrained(path)


def captions_source(
    folder: MotionFolder, captions: Iterable[str], encoder: TextEncoder, progress: bool
) -> TextSource:
    """Embeddings of a data set's captions: from the user's cache folder, computed once."""
    captions = sorted(set(captions))
    name = encoder.name.replace("/", "_")
    return text_source(
        captions,
        encoder,
        cache_dir() / "text" / f"{folder.name}-{folder.content_hash}-{name}.safetensors",
        progress=progress,
    )


def token_sets(
    folder: MotionFolder, tokenizer: Tokenizer, progress: bool = False
) -> tuple[TokenSet, TokenSet]:
    """Train (four phases, mirrored, balanced) and val (one phase, as they are) as tokens."""
    train, val = folder.pack("train"), folder.pack("val")
    weights = balanced_weights(folder, train, np.ones(len(train)), TRANSFORMER_BALANCE)
    return (
        make_token_set(tokenizer, train, weights=weights, skeleton=folder.skeleton, progress=progress),
        make_token_set(tokenizer, val, (0,), False, skeleton=folder.skeleton),
    )


def fit_transformer(
    folder: MotionFolder,
    tokenizer: Tokenizer,
    out: str | os.PathLike,
    preset: str = "small",
    encoder: str = "minilm",
    task: transformer_train.TransformerTask | None = None,
    model: dict[str, Any] | None = None,
    length_steps: int | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> MMM:
    """Train transformer and length estimator of a preset; OUT/model is a whole model that can generate.

    Args:
        encoder: name or folder of the text encoder.
        task: masking; the preset's own by default (the paper's and the release's differ from ours).
        model: changes to the preset's `TransformerConfig`. changes: to its `TrainConfig`.
        options: for `mmm.training.train` (resume, cpu, progress).
    """
    _known(preset)
    require(
        not (Path(out) / "model" / "model.safetensors").is_file(),
        f"{out} is a tokenizer's run, whose model/ would be overwritten; name another --out folder.",
    )
    options = options or {}
    if not options.get("resume", True):
        shutil.rmtree(
            Path(out) / "model", ignore_errors=True
        )  # a stale model must not be taken for this run's
    config = resolve(TRANSFORMER_TRAINING[preset], options.get("cpu", False), **changes)
    progress = options.get("progress", True)
    text_encoder = load_text_encoder(encoder)
    train, val = token_sets(folder, tokenizer, progress)
    text = captions_source(folder, train.texts() + val.texts(), text_encoder, progress)
    parts, codes, code_dim = tokenizer.codebook.shape
    torch.manual_seed(config.seed)
    sizes = transformer_preset(
        preset, codes=codes, code_dim=code_dim, text_dim=text_encoder.width, parts=parts, **(model or {})
    )
    transformer = MaskedTransformer(sizes, tokenizer.codebook.detach().cpu())
    task = task or (PAPER_TASK if preset == "paper" else transformer_train.TransformerTask())
    known = facts(folder)
    result = transformer_train.train_transformer(
        train, text, transformer, config, Path(out) / "transformer", val, task, manifest=known, **options
    )
    estimator = LengthEstimator(LengthConfig(text_encoder.width))
    steps = min(LENGTH_TRAINING.steps, config.steps) if length_steps is None else length_steps
    length = resolve(LENGTH_TRAINING, steps=steps, seed=config.seed, precision="no")
    transformer_train.train_length(
        train, text, estimator, length, Path(out) / "length", val, manifest=known, **options
    )
    guided = sizes.text_dropout > 0
    info = {
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "licence": folder.info.get("licence", "unknown"),
        "fps": folder.fps,
        "skeleton": folder.skeleton,
        "text_encoder": text_encoder.name,
        "guidance": 2.0 if guided else 1.0,
    }
    whole = MMM(tokenizer.cpu().eval(), transformer.cpu().eval(), estimator.cpu().eval(), info, text_encoder)
    if result.is_main_process:
        whole.save_pretrained(Path(out) / "model", dtype=torch.float32)
    return whole


def _known(preset: str) -> None:
    require(preset in PRESETS, f"preset is {preset!r}, expected one of {', '.join(PRESETS)}.")


def facts(folder: MotionFolder) -> dict[str, Any]:
    """What a manifest says of the data: name, hash of the content, of the splits, of Mean and Std."""
    normalisation = np.concatenate([folder.mean, folder.std]).tobytes()
    return {
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "mean_std_hash": hashlib.sha256(normalisation).hexdigest()[:16],
    }
