"""From a data folder to a trained model: the few calls that join the rooms.

`mmm train` and the notebooks call these; every step is a plain function of the package that can be called alone.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmm.data import MotionFolder
from mmm.errors import require
from mmm.pipeline import MMM
from mmm.precision import resolve_precision
from mmm.recipes.begin import (
    fingerprint,
    statistics,
    tokenizer_to_go_on_with,
    transformer_to_go_on_with,
)
from mmm.recipes.data import (
    balanced_weights,
    captions_source,
    facts,
    has_mirrored,
    held_back,
    length_sets,
    token_sets,
)
from mmm.recipes.rules import (
    LENGTH_MODEL,
    PRESETS,
    Recipe,
    get_recipe,
    length_training,
    tokenizer_training,
    transformer_training,
)
from mmm.text import load_text_encoder
from mmm.text.typos import with_variants
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.tokenizer import Tokenizer
from mmm.tokenizer import train as tokenizer_train
from mmm.training import TrainConfig, TrainResult
from mmm.training.process import main_process_first
from mmm.transformer import LengthConfig, LengthEstimator, MaskedTransformer
from mmm.transformer import preset as transformer_preset
from mmm.transformer import train as transformer_train
from mmm.transformer.tokens import TokenSet


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


def fit_tokenizer(
    folder: MotionFolder,
    out: str | os.PathLike,
    preset: str = "small",
    window: int = 64,
    model: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    recipe: Recipe | str = "ours",
    mean_std: str | os.PathLike | None = None,
    init: str | os.PathLike | None = None,
    code_noise: float | None = None,
    **changes: Any,
) -> TrainResult:
    """Train a tokenizer of a preset on the train split, judged on val; the model goes to OUT/model.

    Args:
        window: frames, a multiple of 4. Data that bring their clips mirrored are not mirrored once more.
        model: changes to the preset's `TokenizerConfig`. changes: to its `TrainConfig`.
        options: for `mmm.training.train` (resume, cpu, progress).
        recipe: a `Recipe`, or the name of one.
        mean_std: a folder with Mean.npy and Std.npy (or mean.npy, std.npy) to train with instead of the data's own. The
            release takes those of Guo et al.'s evaluator, which hold a feature bias already: give a recipe
            with feature_bias 1 then.
        init: a tokenizer to begin with (run, model or its own folder) instead of random weights. Sizes, Mean and Std
            are its, whatever preset and recipe say.
        code_noise: train its decoders alone, with that share of the tokens replaced by near ones: every clip keeps its
            tokens, so that a transformer trained on them still fits.
    Raises:
        ValueError: code_noise without init; init is of other features, or `model` or `mean_std` is given beside it.
    """
    _known(preset)
    options, recipe = options or {}, get_recipe(recipe)
    config = resolve(tokenizer_training(preset, recipe), options.get("cpu", False), **changes)
    rule = tokenizer_train.WindowRule(window, recipe.short, not has_mirrored(folder), folder.skeleton)
    with main_process_first(options.get("cpu", False)):
        train, val = folder.pack("train"), folder.pack("val")
    torch.manual_seed(config.seed)  # initial weights come from torch's own generator
    if init is None:
        require(code_noise is None, "code_noise needs a tokenizer that has codes: give init.")
        sizes = {"features": len(folder.mean), **(model or {})}
        tokenizer = Tokenizer(
            dataclasses.replace(recipe.tokenizer(TOKENIZERS[preset]), **sizes), *statistics(folder, mean_std)
        )
    else:
        tokenizer = tokenizer_to_go_on_with(init, folder, model or {}, mean_std)
        options = {**options, "config_extra": {"init": fingerprint(tokenizer)}}
    amounts = np.maximum(train.lengths, rule.window)
    weights = balanced_weights(folder, train, amounts, recipe.tokenizer_balance)
    return tokenizer_train.train_tokenizer(
        train,
        val,
        tokenizer,
        config,
        out,
        rule,
        weights,
        geometry=None if init is None else recipe.seen(),
        code_noise=code_noise,
        begun=init is not None,
        manifest=facts(folder) | ({} if init is None else {"init": str(init)}),
        **options,
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
    recipe: Recipe | str = "ours",
    sets: tuple[TokenSet, TokenSet] | None = None,
    hold_back: float = 0.0,
    init: str | os.PathLike | None = None,
    **changes: Any,
) -> MMM:
    """Train transformer and length estimator of a preset; OUT/model is a whole model that can generate.

    Args:
        encoder: name or folder of the text encoder.
        task: masking; the recipe's by default.
        model: changes to the preset's `TransformerConfig`. changes: to its `TrainConfig`.
        options: for `mmm.training.train` (resume, cpu, progress).
        recipe: a `Recipe`, or the name of one.
        sets: train and val as tokens, where they are at hand; made by `token_sets` by default.
        hold_back: share of the training clips that the transformer never sees, to calibrate its confidence on
            (`held_back`); the length estimator sees them.
        init: a model to begin with (run or model folder), whose transformer was trained on this tokenizer's codes,
            instead of random weights. Sizes and text dropout are its.
    Raises:
        ValueError: init was trained on other codes or another text encoder, or `model` says otherwise.
    """
    _known(preset)
    require(
        not (Path(out) / "model" / "model.safetensors").is_file(),
        f"{out} is a tokenizer's run, whose model/ would be overwritten; name another --out folder.",
    )
    options, recipe = options or {}, get_recipe(recipe)
    if not options.get("resume", True):
        shutil.rmtree(
            Path(out) / "model", ignore_errors=True
        )  # a stale model must not be taken for this run's
    config = resolve(transformer_training(preset, recipe), options.get("cpu", False), **changes)
    progress = options.get("progress", True)
    with main_process_first(options.get("cpu", False)) as device:
        for split in ("train", "val"):
            folder.pack(split)
    text_encoder = load_text_encoder(encoder, device)
    train, val = sets or token_sets(folder, tokenizer.to(device), progress, recipe)
    seen = train.select(~held_back(train.ids, hold_back)) if hold_back else train
    task = task or recipe.task()
    texts = with_variants(train.texts()) if task.typos else train.texts()
    with main_process_first(options.get("cpu", False)):
        text = captions_source(folder, texts + val.texts(), text_encoder, progress)
    torch.manual_seed(config.seed)
    known, begun = facts(folder), {}
    if init is None:
        parts, codes, code_dim = tokenizer.codebook.shape
        own = {"parts": parts, "text_dropout": recipe.text_dropout, **(model or {})}
        sizes = transformer_preset(preset, codes=codes, code_dim=code_dim, text_dim=text_encoder.width, **own)
        transformer = MaskedTransformer(sizes, tokenizer.codebook.detach().cpu())
    else:
        transformer, begin = transformer_to_go_on_with(init, tokenizer, text_encoder.width, model or {})
        sizes, begun = transformer.config, {"config_extra": {"init": fingerprint(transformer)}}
    result = transformer_train.train_transformer(
        seen,
        text,
        transformer,
        config,
        Path(out) / "transformer",
        val,
        task,
        manifest=known if init is None else known | {"init": str(begin)},
        **options,
        **begun,
    )
    train, val = length_sets(folder, tokenizer.config.ratio, sizes.max_tokens)
    estimator = LengthEstimator(LengthConfig(text_encoder.width, sizes.max_tokens, **LENGTH_MODEL))
    length = length_training(len(train))
    steps = min(length.steps, config.steps) if length_steps is None else length_steps
    length = resolve(length, steps=steps, seed=config.seed, precision="no")
    transformer_train.train_length(
        train, text, estimator, length, Path(out) / "length", val, manifest=known, **options
    )
    info = {
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "licence": folder.info.get("licence", "unknown"),
        "fps": folder.fps,
        "skeleton": folder.skeleton,
        "text_encoder": text_encoder.name,
        "guidance": recipe.guidance if sizes.text_dropout > 0 else 1.0,
    } | ({"held_back": hold_back} if hold_back else {})
    text_encoder.model.cpu()
    whole = MMM(tokenizer.cpu().eval(), transformer.cpu().eval(), estimator.cpu().eval(), info, text_encoder)
    if result.is_main_process:
        whole.save_pretrained(Path(out) / "model", dtype=torch.float32)
    return whole


def fit_length(
    folder: MotionFolder,
    model: str | os.PathLike,
    out: str | os.PathLike,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> LengthEstimator:
    """Train a length estimator for a model that lies in a folder, and put it there (MODEL/length).

    The authors' release has none; a converted model cannot tell how long a motion should be without it.

    Args:
        model: model folder, or folder of a run. out: folder of this training.
        options: for `mmm.training.train` (resume, cpu, progress). changes: to `length_training`'s.
    Raises:
        FileNotFoundError, ValueError: no model there; it makes motions of another skeleton.
    """
    place, options = Path(model), options or {}
    whole = MMM.from_pretrained(place)
    require(
        whole.info["skeleton"] == folder.skeleton,
        f"the model in {place} makes motions of skeleton {whole.info['skeleton']}, but {folder.path} has "
        f"{folder.skeleton}; give the data it was trained on.",
    )
    with main_process_first(options.get("cpu", False)):
        train, val = length_sets(folder, whole.tokenizer.config.ratio, whole.transformer.config.max_tokens)
        text = captions_source(
            folder, train.texts() + val.texts(), whole.encoder, options.get("progress", True)
        )
    config = resolve(length_training(len(train)), **{**changes, "precision": "no"})
    torch.manual_seed(config.seed)
    places = whole.transformer.config.max_tokens
    estimator = LengthEstimator(LengthConfig(whole.encoder.width, places, **LENGTH_MODEL))
    result = transformer_train.train_length(
        train, text, estimator, config, out, val, manifest=facts(folder), **options
    )
    if result.is_main_process:
        inner = place / "model"
        estimator.save_pretrained((inner if (inner / "transformer").is_dir() else place) / "length")
    return estimator


def _known(preset: str) -> None:
    require(preset in PRESETS, f"preset is {preset!r}, expected one of {', '.join(PRESETS)}.")
