"""From a data folder to a trained model. `mmm train` and the notebooks call these three functions.

`fit_tokenizer`, then `fit_transformer`, which trains the length estimator, too; `fit_length` is for a model that has
none. Every step is a function of the package that can be called alone.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmm.data import MotionFolder
from mmm.data.reading import read_mean_std
from mmm.data.typos import with_variants
from mmm.errors import require
from mmm.known_texts import known_texts
from mmm.model import MMM
from mmm.pretrained import fingerprint, pretrained_tokenizer, pretrained_transformer
from mmm.recipes import LENGTH_MODEL, OURS, Recipe, get_preset, get_recipe, length_training, training
from mmm.text import TextEncoder, TextSource, load_text_encoder
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.tokenizer.train import Windows, train_tokenizer
from mmm.training.config import TrainConfig
from mmm.training.data import (
    balanced_weights,
    captions_source,
    facts,
    has_mirrored,
    held_out_clips,
    length_sets,
    token_sets,
)
from mmm.training.launch import main_process_first
from mmm.training.loop import TrainResult
from mmm.training.processes import resolve_precision
from mmm.transformer import LengthConfig, LengthEstimator, MaskedTransformer, TransformerConfig
from mmm.transformer.compose import Composer
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import train_length, train_transformer


def fit_tokenizer(
    folder: MotionFolder,
    out: str | os.PathLike,
    preset: str = "small",
    recipe: Recipe | str = "ours",
    window: int = 64,
    model: dict[str, Any] | None = None,
    mean_std: str | os.PathLike | None = None,
    init: str | os.PathLike | None = None,
    code_noise: float | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> TrainResult:
    """Train a tokenizer of a preset on the train split, evaluated on val; the model goes to OUT/model.

    Args:
        window: frames, a multiple of 4. Data that hold their clips mirrored are not mirrored again.
        model: changes to the preset's `TokenizerConfig`. changes: to its `TrainConfig`.
        mean_std: a folder with Mean.npy and Std.npy (or mean.npy, std.npy) instead of the data's own. The release
            uses those of Guo et al.'s evaluator, which contain a feature bias: give a recipe with feature_bias 1.
        init: a tokenizer to start from (run, model or its own folder) instead of random weights. It keeps its sizes,
            Mean and Std.
        code_noise: train its decoders alone (`mmm.tokenizer.train.train_tokenizer`), so that every clip keeps its
            tokens and a transformer that was trained on them still fits.
        options: for `mmm.training.loop.train` (resume, cpu, progress).
    Raises:
        ValueError: code_noise without init; init is of other features, or `model` or `mean_std` contradicts it.
    """
    recipe, options = get_recipe(recipe), options or {}
    cpu = options.get("cpu", False)
    config = resolve(training("tokenizer", preset, recipe), cpu, **changes)
    with main_process_first(cpu):
        train, val = folder.pack("train"), folder.pack("val")
    weights = balanced_weights(folder, train, np.maximum(train.lengths, window), recipe.tokenizer_balance)
    windows = Windows(train, window, recipe.short, not has_mirrored(folder), folder.skeleton, weights)
    torch.manual_seed(config.seed)  # initial weights come from torch's own generator
    manifest = facts(folder)
    if init is None:
        require(code_noise is None, "code_noise needs a tokenizer that has codes: give init.")
        sizes = get_preset(preset)["tokenizer"] | {"features": len(folder.mean)} | (model or {})
        rules = {"reset": recipe.reset, "feature_bias": recipe.feature_bias}
        tokenizer = Tokenizer(TokenizerConfig(**{**rules, **sizes}), *statistics(folder, mean_std))
    else:
        tokenizer = pretrained_tokenizer(init, folder, model or {}, mean_std)
        options = {**options, "config_extra": {"init": fingerprint(tokenizer)}}
        manifest["init"] = str(init)
    geometry = recipe.geometry if init is not None and any(recipe.geometry) else None
    return train_tokenizer(
        windows,
        val,
        tokenizer,
        config,
        out,
        geometry,
        code_noise,
        pretrained=init is not None,
        manifest=manifest,
        **options,
    )


def fit_transformer(
    folder: MotionFolder,
    tokenizer: Tokenizer,
    out: str | os.PathLike,
    preset: str = "small",
    encoder: str = "minilm",
    recipe: Recipe | str = "ours",
    model: dict[str, Any] | None = None,
    sets: tuple[TokenSet, TokenSet] | None = None,
    held_out: float = 0.0,
    init: str | os.PathLike | None = None,
    new_codes: bool = False,
    length_steps: int | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> MMM:
    """Train transformer and length estimator of a preset; OUT/model is a whole model that can generate.

    Args:
        encoder: name or folder of the text encoder.
        model: changes to the preset's `TransformerConfig`. changes: to its `TrainConfig`.
        sets: train and val as tokens, if they are known; otherwise `token_sets`.
        held_out: ratio of the training clips that the transformer never sees, to calibrate its confidence on
            (`held_out_clips`); the length estimator sees them.
        init: a model to start from (run or model folder) instead of random weights. It must have been trained on this
            tokenizer's codes, and keeps its sizes and text dropout.
        new_codes: the tokenizer was trained further than the one that `init` was trained on: the transformer gets its
            codebook (of the same size) and learns it, which is faster than from random weights.
        length_steps: steps of the length estimator; by default those of `length_training`, at most the transformer's.
        options: for `mmm.training.loop.train` (resume, cpu, progress).
    Raises:
        ValueError: OUT is a tokenizer's run; the data have no sentences for `recipe.typed`; init was trained on other
            codes (with `new_codes`: on a codebook of another size) or another text encoder, or `model` contradicts it.
    """
    recipe, options, out = get_recipe(recipe), options or {}, Path(out)
    _check_typed(folder, recipe)
    cpu, progress = options.get("cpu", False), options.get("progress", True)
    config = resolve(training("transformer", preset, recipe), cpu, **changes)
    _check_folder(out, options)
    with main_process_first(cpu) as device:
        for split in ("train", "val"):
            folder.pack(split)

    # 1. The data set as tokens.
    train, val = sets or token_sets(folder, tokenizer.to(device), recipe, progress)
    visible = train.select(~held_out_clips(train.ids, held_out)) if held_out else train

    # 2. The transformer. Initial weights come from torch's own generator.
    text_encoder = load_text_encoder(encoder, device)
    torch.manual_seed(config.seed)
    transformer, init_config, init_manifest = _first_transformer(
        tokenizer, text_encoder, preset, recipe.text_dropout, model or {}, init, new_codes
    )

    # 3. Captions of clips and of what is composed of them, as embeddings.
    longest, parts = transformer.config.max_tokens, transformer.config.parts
    length_data = length_sets(folder, tokenizer.config.ratio, longest)
    composer = make_composer(folder, visible, longest, parts, recipe)
    length_composer = _length_composer(folder, length_data[0], longest, parts, recipe)
    captions = train.texts() + [text for own in (composer, length_composer) if own for text in own.texts()]
    captions = with_variants(captions) if recipe.typos else captions
    with main_process_first(cpu):
        text = captions_source(folder, captions + val.texts(), text_encoder, progress)

    # 4. Training, then the length estimator.
    run = out / "transformer"
    about = {"manifest": facts(folder) | init_manifest, "config_extra": init_config}
    result = train_transformer(
        visible, text, transformer, config, run, val, recipe, composer, **about, **options
    )
    length_config = length_training(len(length_data[0]))
    # In a trial of a few steps the estimator gets no more steps than the transformer, so that the trial stays short.
    steps = min(length_config.steps, config.steps) if length_steps is None else length_steps
    length_config = dataclasses.replace(length_config, steps=steps, seed=config.seed)
    estimator, _ = _train_length(
        folder, length_data, text, transformer, length_config, out / "length", options, length_composer
    )

    # 5. All of it as one model.
    guidance = recipe.guidance if transformer.config.text_dropout else 1.0
    info = _info(folder, text_encoder, guidance, held_out)
    known = known_texts(visible.texts() + _captions(composer), val.texts(), text)
    text_encoder.model.cpu()
    networks = (tokenizer.cpu().eval(), transformer.cpu().eval(), estimator.cpu().eval())
    whole = MMM(*networks, info, text_encoder, known)
    if result.saves:
        whole.save_pretrained(out / "model", dtype=torch.float32)
    return whole


def fit_length(
    folder: MotionFolder,
    model: str | os.PathLike,
    out: str | os.PathLike,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> LengthEstimator:
    """Train a length estimator for a model folder that has none, and write it to MODEL/length.

    The authors' release has none; without it, a converted model cannot say how long a motion should be.

    Args:
        model: model folder, or folder of a run. out: folder of this training.
        options: for `mmm.training.loop.train` (resume, cpu, progress). changes: to `length_training`'s.
    Raises:
        FileNotFoundError, ValueError: no model there; its motions have another skeleton.
    """
    path, options = Path(model), options or {}
    whole = MMM.from_pretrained(path)
    require(
        whole.info["skeleton"] == folder.skeleton,
        f"the model in {path} generates motions of skeleton {whole.info['skeleton']}, but {folder.path} has "
        f"{folder.skeleton}; give the data it was trained on.",
    )
    with main_process_first(options.get("cpu", False)):
        longest, parts = whole.transformer.config.max_tokens, whole.transformer.config.parts
        sets = length_sets(folder, whole.tokenizer.config.ratio, longest)
        composer = _length_composer(folder, sets[0], longest, parts, OURS)
        captions = sets[0].texts() + sets[1].texts() + (composer.texts() if composer else [])
        text = captions_source(folder, captions, whole.encoder, options.get("progress", True))
    config = resolve(length_training(len(sets[0])), **{**changes, "precision": "no"})
    torch.manual_seed(config.seed)
    estimator, saves = _train_length(
        folder, sets, text, whole.transformer, config, Path(out), options, composer
    )
    if saves:
        inner = path / "model"
        estimator.save_pretrained((inner if (inner / "transformer").is_dir() else path) / "length")
    return estimator


def _train_length(
    folder: MotionFolder,
    sets: tuple[TokenSet, TokenSet],
    text: TextSource,
    transformer: MaskedTransformer,
    config: TrainConfig,
    out: Path,
    options: dict[str, Any],
    composer: Composer | None,
) -> tuple[LengthEstimator, bool]:
    """A length estimator for the transformer's texts and longest motion, and whether this process saves it."""
    sizes = LengthConfig(transformer.config.text_dim, transformer.config.max_tokens, **LENGTH_MODEL)
    estimator = LengthEstimator(sizes)
    train, val = sets
    about = {"manifest": facts(folder)}
    result = train_length(train, text, estimator, config, out, val, composer, **about, **options)
    return estimator, result.saves


def resolve(config: TrainConfig, cpu: bool = False, **changes: Any) -> TrainConfig:
    """The settings with `changes`; None leaves a setting as it is. Precision is "auto" by default.

    Args:
        cpu: training stays on the CPU even if there is a GPU, which decides what "auto" precision means.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    device = torch.device("cpu") if cpu else None
    changes["precision"] = resolve_precision(changes.get("precision", "auto"), device)
    return dataclasses.replace(config, **changes)


def statistics(folder: MotionFolder, mean_std: str | os.PathLike | None) -> tuple[Tensor, Tensor]:
    """Mean and Std of the data, or those in another folder."""
    mean, std = folder.mean, folder.std
    if mean_std is not None:
        mean, std = read_mean_std(mean_std, len(mean), "give a folder with Mean and Std of these features")
    return torch.from_numpy(mean), torch.from_numpy(std)


def _first_transformer(
    tokenizer: Tokenizer,
    text_encoder: TextEncoder,
    preset: str,
    text_dropout: float,
    changes: dict[str, Any],
    init: str | os.PathLike | None,
    new_codes: bool,
) -> tuple[MaskedTransformer, dict[str, str], dict[str, str]]:
    """The transformer that training starts from, and what configuration and manifest of the run say about `init`."""
    if init is not None:
        transformer, run = pretrained_transformer(init, tokenizer, text_encoder, changes, new_codes)
        return transformer, {"init": fingerprint(transformer)}, {"init": str(run)}
    parts, codes, code_dim = tokenizer.codebook.shape
    sizes = {"parts": parts, "codes": codes, "code_dim": code_dim, "text_dim": text_encoder.width}
    sizes |= get_preset(preset)["transformer"] | {"text_dropout": text_dropout} | changes
    return MaskedTransformer(TransformerConfig(**sizes), tokenizer.codebook.detach().cpu()), {}, {}


def make_composer(
    folder: MotionFolder, tokens: TokenSet, longest: int, parts: int, recipe: Recipe
) -> Composer | None:
    """Crops and composes clips, if the data set says how and the recipe how often."""
    table = folder.compositions()
    if table is None or not any((recipe.crop, recipe.then, recipe.at_once, recipe.repeat, recipe.typed)):
        return None
    return Composer(tokens, table, longest, recipe, parts)


def _length_composer(
    folder: MotionFolder, tokens: TokenSet, longest: int, parts: int, recipe: Recipe
) -> Composer | None:
    """Composes as in the training of the transformer, but neither crops nor repeats single actions."""
    return make_composer(folder, tokens, longest, parts, dataclasses.replace(recipe, crop=0.0, repeat=0.0))


def _captions(composer: Composer | None) -> list[str]:
    """Its captions without sentences that people type, which are as far from captions as what was not learned."""
    return composer.texts(typed=False) if composer else []


def _check_typed(folder: MotionFolder, recipe: Recipe) -> None:
    require(
        not recipe.typed or (folder.compositions() or {}).get("typed"),
        f"{folder.path} has no sentences that people type, which --typed draws; run `mmm prepare` again.",
    )


def _check_folder(out: Path, options: dict[str, Any]) -> None:
    require(
        not (out / "model" / "model.safetensors").is_file(),
        f"{out} is a tokenizer's run, whose model/ would be overwritten; name another --out folder.",
    )
    if not options.get("resume", True):
        shutil.rmtree(out / "model", ignore_errors=True)  # an old model must not be taken for this run's


def _info(folder: MotionFolder, encoder: TextEncoder, guidance: float, held_out: float) -> dict[str, Any]:
    """What a model's config.json says about its data and how to sample from it."""
    info = {
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "source_splits": folder.source_splits,
        "licence": folder.info.get("licence", "unknown"),
        "fps": folder.fps,
        "skeleton": folder.skeleton,
        "text_encoder": encoder.name,
        "guidance": guidance,
    }
    return info | ({"held_back": held_out} if held_out else {})  # "held_back" is the stored name of held_out
