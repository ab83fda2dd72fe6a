"""Steps per second of every trainable part: the real loop, loss, batch size and precision, on made-up clips."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from mmm import fit, recipes
from mmm.data.text_cache import TextCache
from mmm.evaluation.evaluator import EvaluatorConfig, MotionTextEvaluator
from mmm.evaluation.timing import synchronise
from mmm.evaluation.train_evaluator import Pairs, train_evaluator
from mmm.lab.bench.made_up import (
    data_folder,
    random_tokenizer,
    random_tokens,
    random_transformer,
    train_split,
)
from mmm.lab.bench.settings import Job, note
from mmm.text import TextEncoder, load_text_encoder
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.tokenizer.train import Windows, train_tokenizer
from mmm.training.config import TrainConfig
from mmm.transformer import LengthConfig, LengthEstimator
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import train_length, train_transformer

LONGER = 4  # times the budget of a call: training steps take long, and one is not enough


class StepTimer:
    """Steps per second of a training, which it ends: the `stop` of `mmm.training.loop.train`.

    A step is everything between two calls: drawing the batch, both passes, the optimizer, the moving average, the log.

    Args:
        blocks: rates from which the median is taken.
        block: seconds that a block takes at least; it has at least one step.
        budget: seconds after which there is no further block.
    """

    WARM_UP = 3  # steps before the first block, fewer if they take long: memory, kernels, the first codebook

    def __init__(self, device: str, blocks: int, block: float, budget: float) -> None:
        self.device, self.most, self.block, self.budget = device, blocks, block, budget
        self.warm_up = 0
        self.blocks: list[tuple[int, float]] = []  # steps, seconds
        self.first, self.begin = 0, time.perf_counter()

    def __call__(self, step: int) -> bool:
        """Look at the clock after step number `step`; True once enough is measured."""
        seconds = time.perf_counter() - self.begin
        if not self.warm_up:
            if (step >= self.WARM_UP and seconds >= self.block) or seconds > self.budget / 4:
                self.warm_up = step
                self._start(step)
        elif seconds >= self.block:
            synchronise(self.device)  # only here: a loop that waits after every step would be another loop
            self.blocks.append((step - self.first, time.perf_counter() - self.begin))
            spent = sum(seconds for _, seconds in self.blocks)
            if len(self.blocks) == self.most or spent + self.blocks[-1][1] > self.budget:
                return True
            self._start(step)
        return False

    def _start(self, step: int) -> None:
        synchronise(self.device)
        self.first, self.begin = step, time.perf_counter()

    def summary(self) -> dict[str, Any]:
        """The median rate, least and most, and from how many blocks and steps."""
        rates = [steps / seconds for steps, seconds in self.blocks]
        return {
            "steps_per_second": statistics.median(rates),
            "least": min(rates),
            "most": max(rates),
            "repeats": len(rates),
            "steps": sum(steps for steps, _ in self.blocks),
            "warmup_steps": self.warm_up,
        }


class Prepared(NamedTuple):
    """A part that is ready to be trained.

    Attributes:
        config: its recipe.
        train: trains it; takes a config and the options of `mmm.training.loop.train`.
        encoder: stays in memory during the training, as it does when the recipes train.
    """

    module: nn.Module
    config: TrainConfig
    train: Callable[..., Any]
    encoder: TextEncoder | None = None


def steps(job: Job, part: str) -> dict[str, Any]:
    """Measure a part. Not included: checkpoints, evaluation, and what happens once (tokens, text embeddings)."""
    settings = job.settings
    prepared = {
        "tokenizer": _tokenizer,
        "transformer": _transformer,
        "length": _length,
        "evaluator": _evaluator,
    }[part](job)
    # More steps than are measured, and nothing between them but what every step has.
    config = dataclasses.replace(
        prepared.config, steps=sys.maxsize >> 16, checkpoint_every=sys.maxsize, eval_every=0
    )
    timer = StepTimer(settings.device, settings.repeats, settings.block, LONGER * settings.budget)
    cpu = settings.device == "cpu"
    prepared.train(config, resume=False, cpu=cpu, progress=False, stop=timer)
    result = timer.summary()
    note(f"      {result['steps_per_second']:.3g} steps per second ({result['steps']} steps)")
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
    windows = Windows(packed, short=recipe.short, skeleton=folder.skeleton)
    config = recipes.training("tokenizer", preset, recipe)
    config = fit.resolve(config, job.settings.device == "cpu", precision=job.settings.precision)

    def train(config: TrainConfig, **options: Any) -> None:
        train_tokenizer(windows, None, model, config, job.scratch / "run", **options)

    return Prepared(model, config, train)


def _transformer(job: Job) -> Prepared:
    tokens = _tokens(job)
    text, encoder = _text(job, tokens.texts())
    preset = job.settings.preset
    model = random_transformer(preset, TOKENIZERS[preset], encoder.width)
    recipe = _recipe(preset)
    config = recipes.training("transformer", preset, recipe)
    config = fit.resolve(config, job.settings.device == "cpu", precision=job.settings.precision)

    def train(config: TrainConfig, **options: Any) -> None:
        train_transformer(tokens, text, model, config, job.scratch / "run", None, recipe, **options)

    return Prepared(model, config, train, encoder)


def _length(job: Job) -> Prepared:
    tokens = _tokens(job)
    text, encoder = _text(job, tokens.texts())
    model = LengthEstimator(LengthConfig(encoder.width, **recipes.LENGTH_MODEL))
    config = fit.resolve(recipes.length_training(), precision="no")  # as `fit_transformer` trains it

    def train(config: TrainConfig, **options: Any) -> None:
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
    config = recipes.evaluator_training()
    config = fit.resolve(config, job.settings.device == "cpu", precision=job.settings.precision)

    def train(config: TrainConfig, **options: Any) -> None:
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
