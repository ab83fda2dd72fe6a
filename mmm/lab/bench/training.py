"""Steps per second of every trainable part: the real loop, loss, batch size and precision, on made-up clips.

A part is one function in `STEPS` that sets its training going; `StepClock` ends it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from mmm import fit, recipes
from mmm.evaluation.evaluator import EvaluatorConfig, MotionTextEvaluator
from mmm.evaluation.train_evaluator import TRAINING as EVALUATOR_TRAINING
from mmm.evaluation.train_evaluator import Pairs, train_evaluator
from mmm.lab.bench.clocks import StepClock
from mmm.lab.bench.made_up import (
    data_folder,
    random_tokenizer,
    random_tokens,
    random_transformer,
    train_split,
)
from mmm.lab.bench.settings import Job
from mmm.text import TextCache, TextEncoder, load_text_encoder
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.tokenizer.train import WindowRule, train_tokenizer
from mmm.training.config import TrainConfig
from mmm.transformer import LengthConfig, LengthEstimator
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import train_length, train_transformer

LONGER = 4  # times the budget of a call: steps of training take long, and one is not enough


class Prepared(NamedTuple):
    """A part that could be trained now.

    Attributes:
        config: its recipe.
        train: trains it, given a recipe and the options of `mmm.training.loop.train`.
        encoder: stays in memory while the part is trained, as it does when the recipes train it.
    """

    module: nn.Module
    config: TrainConfig
    train: Callable[[TrainConfig, dict[str, Any]], Any]
    encoder: TextEncoder | None = None


def steps(job: Job, part: str) -> dict[str, Any]:
    """Measure a part; see `StepClock` for what a step is.

    Not in it: checkpoints, evaluation, and what happens once (tokens and embeddings of the data).
    """
    settings = job.settings
    prepared = STEPS[part](job)
    # More steps than are measured, and nothing between them but what every step has.
    config = dataclasses.replace(
        prepared.config, steps=sys.maxsize >> 16, checkpoint_every=sys.maxsize, eval_every=0
    )
    clock = StepClock(settings.device, settings.repeats, settings.block, LONGER * settings.budget)
    options = {"resume": False, "cpu": settings.device == "cpu", "progress": False}
    with clock.watching():
        prepared.train(config, options)
    result = clock.figure()
    job.note(f"{result['steps_per_second']:.3g} steps per second ({result['steps']} steps)")
    return {
        **result,
        "batch_size": config.batch_size,
        "precision": {"no": "float32"}.get(config.precision, config.precision),
        "parameters": sum(p.numel() for p in prepared.module.parameters()),
    }


def _tokenizer(job: Job) -> Prepared:
    preset, folder = job.settings.preset, data_folder(job)
    packed = train_split(job, folder)
    model = random_tokenizer(preset, len(folder.mean))
    model.set_normalisation(torch.from_numpy(folder.mean), torch.from_numpy(folder.std))
    recipe = _recipe(preset)
    rule = WindowRule(short=recipe.short, skeleton=folder.skeleton)
    config = recipes.tokenizer_training(preset, recipe)
    config = fit.resolve(config, job.settings.device == "cpu", precision=job.settings.precision)

    def train(config: TrainConfig, options: dict[str, Any]) -> None:
        train_tokenizer(packed, None, model, config, job.scratch / "run", rule, **options)

    return Prepared(model, config, train)


def _transformer(job: Job) -> Prepared:
    tokens = _tokens(job)
    text, encoder = _text(job, tokens.texts())
    preset = job.settings.preset
    model = random_transformer(preset, TOKENIZERS[preset], encoder.width)
    recipe = _recipe(preset)
    task = recipe.task()
    config = recipes.transformer_training(preset, recipe)
    config = fit.resolve(config, job.settings.device == "cpu", precision=job.settings.precision)

    def train(config: TrainConfig, options: dict[str, Any]) -> None:
        train_transformer(tokens, text, model, config, job.scratch / "run", None, task, **options)

    return Prepared(model, config, train, encoder)


def _length(job: Job) -> Prepared:
    tokens = _tokens(job)
    text, encoder = _text(job, tokens.texts())
    model = LengthEstimator(LengthConfig(encoder.width, **recipes.LENGTH_MODEL))
    config = fit.resolve(recipes.LENGTH_TRAINING, precision="no")  # as `fit_transformer` trains it

    def train(config: TrainConfig, options: dict[str, Any]) -> None:
        train_length(tokens, text, model, config, job.scratch / "run", **options)

    return Prepared(model, config, train, encoder)


def _evaluator(job: Job) -> Prepared:
    folder = data_folder(job)
    packed = train_split(job, folder)
    pairs = Pairs(folder, packed, np.ones(len(packed)))
    text, encoder = _text(job, pairs.texts())
    torch.manual_seed(0)
    model = MotionTextEvaluator(
        EvaluatorConfig(features=len(folder.mean), text_dim=encoder.width),
        torch.from_numpy(folder.mean),
        torch.from_numpy(folder.std),
    )
    config = fit.resolve(EVALUATOR_TRAINING, job.settings.device == "cpu", precision=job.settings.precision)

    def train(config: TrainConfig, options: dict[str, Any]) -> None:
        train_evaluator(pairs, text, model, config, job.scratch / "run", **options)

    return Prepared(model, config, train, encoder)


def _recipe(preset: str) -> recipes.Recipe:
    """The paper's sizes are timed as the authors train them."""
    return recipes.get_recipe("release" if preset == "paper" else "ours")


def _tokens(job: Job) -> TokenSet:
    packed = train_split(job, data_folder(job))
    return random_tokens(packed, TOKENIZERS[job.settings.preset])


def _text(job: Job, captions: list[str]) -> tuple[TextCache, TextEncoder]:
    """Embeddings of captions, and the encoder they come from."""
    encoder = load_text_encoder(job.settings.encoder)
    return TextCache.build(job.scratch / "text.safetensors", captions, encoder), encoder


STEPS: dict[str, Callable[[Job], Prepared]] = {
    "tokenizer": _tokenizer,
    "transformer": _transformer,
    "length": _length,
    "evaluator": _evaluator,
}
