"""From a data folder to a trained model: the few calls that join the rooms.

`mmm train` and the notebooks call these; every step is a plain function of the package that can be called alone.


What a training begins with: statistics of the data, and models that were trained before.

What training needs of a data set: weights of its clips, captions' embeddings, tokens, and facts for manifests.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from mmm.data import MotionFolder, PackedSplit
from mmm.data.captions import mirror_text
from mmm.data.folder import cache_dir
from mmm.data.reading import read_mean_std
from mmm.data.text_cache import text_source
from mmm.data.typos import with_variants
from mmm.errors import require
from mmm.model import MMM
from mmm.recipes import (
    LENGTH_MODEL,
    PRESETS,
    Recipe,
    get_recipe,
    length_training,
    tokenizer_training,
    transformer_training,
)
from mmm.text import TextEncoder, TextSource, load_text_encoder
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.tokenizer import Tokenizer
from mmm.tokenizer import train as tokenizer_train
from mmm.training.config import TrainConfig
from mmm.training.launch import main_process_first
from mmm.training.loop import TrainResult
from mmm.training.processes import resolve_precision
from mmm.transformer import LengthConfig, LengthEstimator, MaskedTransformer
from mmm.transformer import preset as transformer_preset
from mmm.transformer import train as transformer_train
from mmm.transformer.tokens import TokenSet, make_token_set


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


def has_mirrored(folder: MotionFolder) -> bool:
    """HumanML3D and KIT-ML bring each clip mirrored ("M" before its id); other sets are mirrored in training."""
    ids = set(folder.ids("train"))
    return any(clip.startswith("M") and clip[1:] in ids for clip in ids)


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
    folder: MotionFolder, tokenizer: Tokenizer, progress: bool = False, recipe: Recipe | str = "ours"
) -> tuple[TokenSet, TokenSet]:
    """Train (in all phases of the token grid, mirrored, balanced) and val (one phase, as they are) as tokens."""
    recipe, train, val = get_recipe(recipe), folder.pack("train"), folder.pack("val")
    weights = balanced_weights(folder, train, np.ones(len(train)), recipe.transformer_balance)
    phases = None if recipe.all_phases else (0,)
    how = {"mirror": not has_mirrored(folder), "skeleton": folder.skeleton, "progress": progress}
    return (
        make_token_set(tokenizer, train, phases, weights=weights, **how),
        make_token_set(tokenizer, val, (0,), False, skeleton=folder.skeleton),
    )


def held_back(ids: Sequence[str], share: float) -> Bool[np.ndarray, " clips"]:
    """Which of the clips the transformer is not to see, so that its confidence can be judged on them.

    Takes are put aside whole: a clip, its mirror image (M…) and its pieces (…@1) together. Which ones is decided by a
    hash of their names, so that it is the same whenever it is asked.

    Args:
        share: of the takes, in [0, 1); at least one take where it is above 0.
    Raises:
        ValueError: a share out of range, or nothing would be left to learn from.
    """
    require(0 <= share < 1, f"hold_back is {share}, expected a share of the clips in [0, 1).")
    takes = [name.removeprefix("M").split("@")[0] for name in ids]
    order = sorted(set(takes), key=lambda take: hashlib.sha256(take.encode()).digest())
    count = max(1, round(share * len(order))) if share else 0
    require(
        count < len(order), f"hold_back {share} of {len(order)} takes leaves none to learn from; give less."
    )
    aside = set(order[:count])
    return np.array([take in aside for take in takes], dtype=bool)


def length_sets(folder: MotionFolder, ratio: int, max_tokens: int) -> tuple[TokenSet, TokenSet]:
    """Train and val as the length estimator needs them: lengths and captions, the tokens themselves all 0.

    Nothing is encoded: with the paper's tokenizer that takes hours on a CPU. Every clip counts alike: how long
    things take is a question of how often they do, and the few takes of a rare content, shown more often, would
    only be learned by heart (log loss on Bandai val 3.00 with the transformer's weights, 2.80 with equal ones).
    """
    sets = []
    for split in ("train", "val"):
        packed = folder.pack(split)
        mirror = split == "train" and not has_mirrored(folder)
        texts = [[caption.text for caption in captions] for captions in packed.captions]
        if mirror:
            texts += [[mirror_text(text) for text in own] for own in texts]
        lengths = torch.from_numpy(-(-packed.lengths // ratio)).clamp(max=max_tokens)
        sides = 1 + mirror
        sets.append(
            TokenSet(
                torch.zeros(sides * len(packed), 1, 1, dtype=torch.int16),
                lengths.repeat(sides),
                torch.arange(sides * len(packed) + 1),
                texts,
                np.ones(sides * len(packed)),
                packed.ids + [f"M{name}" for name in packed.ids] * mirror,
            )
        )
    return sets[0], sets[1]


def facts(folder: MotionFolder) -> dict[str, Any]:
    """What a manifest says of the data: name, hash of the content, of the splits, of Mean and Std."""
    normalisation = np.concatenate([folder.mean, folder.std]).tobytes()
    return {
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "mean_std_hash": hashlib.sha256(normalisation).hexdigest()[:16],
    }


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
        options: for `mmm.training.loop.train` (resume, cpu, progress).
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
        options: for `mmm.training.loop.train` (resume, cpu, progress).
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
    if result.saves:
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
        options: for `mmm.training.loop.train` (resume, cpu, progress). changes: to `length_training`'s.
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
    if result.saves:
        inner = place / "model"
        estimator.save_pretrained((inner if (inner / "transformer").is_dir() else place) / "length")
    return estimator


def _known(preset: str) -> None:
    require(preset in PRESETS, f"preset is {preset!r}, expected one of {', '.join(PRESETS)}.")
