"""Steps per second of every trainable part: the real loop, loss, batch size and precision, on made-up clips."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

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
from mmm.training.loop import TrainResult
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


def steps(job: Job, part: str) -> dict[str, Any]:
    """Measure a part. Not included: checkpoints, evaluation, and what happens once (tokens, text embeddings)."""
    settings, cpu = job.settings, job.settings.device == "cpu"
    timer = StepTimer(settings.device, settings.repeats, settings.block, LONGER * settings.budget)
    options = {"resume": False, "cpu": cpu, "progress": False, "stop": timer}
    prepare = {
        "tokenizer": train_a_tokenizer,
        "transformer": train_a_transformer,
        "length": train_a_length_estimator,
        "evaluator": train_an_evaluator,
    }[part]
    config, trained = prepare(job, options)
    result = timer.summary()
    note(f"      {result['steps_per_second']:.3g} steps per second ({result['steps']} steps)")
    return {
        **result,
        "batch_size": config.batch_size,
        "precision": {"no": "float32"}.get(config.precision, config.precision),
        "parameters": sum(p.numel() for p in trained.module.parameters()),
    }


def train_a_tokenizer(job: Job, options: dict[str, Any]) -> tuple[TrainConfig, TrainResult]:
    folder, recipe = data_folder(job), _recipe(job)
    model = random_tokenizer(job.settings.preset, len(folder.mean))
    model.set_normalisation(torch.from_numpy(folder.mean), torch.from_numpy(folder.std))
    windows = Windows(train_split(job, folder), short=recipe.short, skeleton=folder.skeleton)
    config = _endless(job, recipes.training("tokenizer", job.settings.preset, recipe))
    return config, train_tokenizer(windows, None, model, config, job.scratch / "run", **options)


def train_a_transformer(job: Job, options: dict[str, Any]) -> tuple[TrainConfig, TrainResult]:
    preset, recipe, tokens = job.settings.preset, _recipe(job), _tokens(job)
    text, encoder = _text(job, tokens.texts())
    model = random_transformer(preset, TOKENIZERS[preset], encoder.width)
    config = _endless(job, recipes.training("transformer", preset, recipe))
    result = train_transformer(tokens, text, model, config, job.scratch / "run", None, recipe, **options)
    return config, result


def train_a_length_estimator(job: Job, options: dict[str, Any]) -> tuple[TrainConfig, TrainResult]:
    tokens = _tokens(job)
    text, encoder = _text(job, tokens.texts())
    model = LengthEstimator(LengthConfig(encoder.width, **recipes.LENGTH_MODEL))
    config = _endless(job, recipes.length_training(), precision="no")  # as `fit_transformer` trains it
    return config, train_length(tokens, text, model, config, job.scratch / "run", **options)


def train_an_evaluator(job: Job, options: dict[str, Any]) -> tuple[TrainConfig, TrainResult]:
    folder = data_folder(job)
    packed = train_split(job, folder)
    pairs = Pairs(folder, packed, np.ones(len(packed)))
    text, encoder = _text(job, pairs.texts())
    torch.manual_seed(0)
    sizes = EvaluatorConfig(features=len(folder.mean), text_dim=encoder.width)
    model = MotionTextEvaluator(sizes, torch.from_numpy(folder.mean), torch.from_numpy(folder.std))
    config = _endless(job, recipes.evaluator_training())
    return config, train_evaluator(pairs, text, model, config, job.scratch / "run", **options)


def _endless(job: Job, config: TrainConfig, precision: str | None = None) -> TrainConfig:
    """The config with more steps than are measured, and nothing between them but what every step has."""
    cpu, precision = job.settings.device == "cpu", precision or job.settings.precision
    endless = {"steps": sys.maxsize >> 16, "checkpoint_every": sys.maxsize, "eval_every": 0}
    return fit.resolve(config, cpu, precision=precision, **endless)


def _recipe(job: Job) -> recipes.Recipe:
    """The paper's sizes are timed as the authors train them."""
    return recipes.get_recipe("release" if job.settings.preset == "paper" else "ours")


def _tokens(job: Job) -> TokenSet:
    return random_tokens(train_split(job, data_folder(job)), TOKENIZERS[job.settings.preset])


def _text(job: Job, captions: list[str]) -> tuple[TextCache, TextEncoder]:
    """Embeddings of captions, and their encoder, which stays in memory as it does in `mmm train`."""
    encoder = load_text_encoder(job.settings.encoder)
    return TextCache.build(job.scratch / "text.safetensors", captions, encoder), encoder
