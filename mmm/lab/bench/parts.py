"""What the process of a part does: sampling (AITS, by length), and steps per second of every training.

Models have random weights and clips are made up unless the user has some: sizes and shapes are real, and speed depends
on nothing else.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from typing import Any

import numpy as np
import torch

from mmm import fit, recipes
from mmm.data import Caption, Clip, MotionFolder, PackedSplit, write_folder
from mmm.data.batches import pack
from mmm.data.text_cache import TextCache
from mmm.evaluation.evaluator import EvaluatorConfig, MotionTextEvaluator
from mmm.evaluation.timing import synchronise, timed
from mmm.evaluation.train_evaluator import Pairs, train_evaluator
from mmm.lab.bench.run import TEXT, Job, note
from mmm.model import MMM
from mmm.sampling import default_steps
from mmm.text import TextEncoder, load_text_encoder
from mmm.tokenizer import PRESETS, Tokenizer, TokenizerConfig
from mmm.tokenizer.train import Windows, train_tokenizer
from mmm.training.config import RANGES, TrainConfig
from mmm.training.loop import TrainResult
from mmm.training.processes import resolve_precision
from mmm.transformer import LengthConfig, LengthEstimator, MaskedTransformer
from mmm.transformer import preset as transformer_preset
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import train_length, train_transformer

LONGER = 4  # times the budget of a call: training steps take long, and one is not enough
CLIPS = 256  # of the training: more would only take longer to pack and to embed
FRAMES = 140  # of every made-up clip, the mean of HumanML3D (7.1 s): all training steps cost the same
ACTIONS = ("walks", "runs", "turns left", "turns right", "bows", "waves", "jumps", "raises both hands")
MANNERS = ("slowly", "with energy", "like somebody old", "in good spirits")


# --- Sampling --------------------------------------------------------------------------------------------


def save_random(job: Job) -> dict[str, int]:
    """Write a model of the preset with random weights to `job.model`, in float16, as models are shipped."""
    encoder = load_text_encoder(job.settings.encoder)
    tokenizer = random_tokenizer(job.settings.preset).eval()
    transformer = random_transformer(job.settings.preset, tokenizer.config, encoder.width).eval()
    for quantizer, codes in zip(tokenizer.quantizers, transformer.codebook, strict=True):
        quantizer.set_codebook(codes)
    info = {
        "data": "none, random weights",
        "fps": 20.0,
        "skeleton": "humanml3d",
        "text_encoder": encoder.name,
        "guidance": 2.0 if transformer.config.text_dropout > 0 else 1.0,  # as in `mmm train`
    }
    length = LengthEstimator(LengthConfig(encoder.width)).eval()
    model = MMM(tokenizer, transformer, length, info, encoder)
    model.save_pretrained(job.model)
    return model.count_parameters()


def sample(job: Job, part: str) -> dict[str, Any]:
    """Seconds at each length, model and text encoder loaded. All seconds are those of a whole call.

    AITS is the paper's average inference time per sentence (section 4).

    Args:
        part: "single": one text in `MMM.generate`; also `decode_seconds`, the tokenizer's part of it. "batch": many
            texts in one `MMM.generate`. "bulk": many texts in one `MMM.generate_bulk`, text encoder included.

    Returns:
        lengths: a row for each length. text_seconds: the text encoder's part, which does not depend on the length.
        aits: seconds for one text, the mean over the lengths. batch: texts in a call.
    """
    settings = job.settings
    how = (settings.device, settings.repeats, settings.budget)
    model = MMM.from_pretrained(job.model, settings.device)
    model.frame_counts([TEXT] * len(settings.lengths), settings.lengths)  # refuses lengths beyond the model
    _ = model.encoder
    texts = [TEXT] * (1 if part == "single" else settings.batch)
    # A single text is filled up to eight on an accelerator, so that batch mates cannot matter; not here.
    alone = {"group": 1} if part == "single" and settings.device != "cpu" else {}
    precision = "float32"
    if part == "bulk":  # fp16 is for training only
        wanted = "auto" if settings.precision == "fp16" else settings.precision
        precision = resolve_precision(wanted, model.device)

    def call(frames: int) -> None:
        if part == "bulk":
            options = {"batch_size": len(texts), "precision": precision}
            model.generate_bulk(model.embed(texts), [frames] * len(texts), range(len(texts)), **options)
        else:
            model.generate(texts, frames, **alone)

    rows = []
    for frames in settings.lengths:
        row = {"frames": frames, "passes": default_steps(-(-frames // model.tokenizer.config.ratio))}
        row |= timed(lambda frames=frames: call(frames), *how)
        if part == "single":
            tokens = model.sample(texts, [frames], **alone).tokens
            decoding = timed(lambda tokens=tokens, frames=frames: model.decode(tokens, [frames]), *how)
            row["decode_seconds"] = decoding["seconds"]
        note(f"      {frames} frames: {row['seconds']:.3g} s (median of {row['repeats']})")
        rows.append(row)
    return {
        "batch": len(texts),
        "precision": precision.replace("no", "float32"),
        "guidance": model.info.get("guidance", 1.0),
        "parameters": model.count_parameters(),
        "text_seconds": timed(lambda: model.embed(texts), *how)["seconds"],
        "aits": sum(row["seconds"] for row in rows) / len(rows) / len(texts),
        "lengths": rows,
    }


# --- Training --------------------------------------------------------------------------------------------


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


def train(job: Job, part: str) -> dict[str, Any]:
    """Steps per second of a training: the real loop, loss, batch size and precision.

    Not included: checkpoints, evaluation, and what happens once (tokens, text embeddings).
    """
    settings, cpu = job.settings, job.settings.device == "cpu"
    timer = StepTimer(settings.device, settings.repeats, settings.block, LONGER * settings.budget)
    options = {"resume": False, "cpu": cpu, "progress": False, "stop": timer}
    trainings = {
        "tokenizer": train_a_tokenizer,
        "transformer": train_a_transformer,
        "length": train_a_length_estimator,
        "evaluator": train_an_evaluator,
    }
    config, trained = trainings[part](job, options)
    result = timer.summary()
    note(f"      {result['steps_per_second']:.3g} steps per second ({result['steps']} steps)")
    return {
        **result,
        "batch_size": config.batch_size,
        "precision": config.precision.replace("no", "float32"),
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
    preset, recipe, tokens = job.settings.preset, _recipe(job), random_tokens(job)
    text, encoder = _text(job, tokens.texts())
    model = random_transformer(preset, PRESETS[preset], encoder.width)
    config = _endless(job, recipes.training("transformer", preset, recipe))
    result = train_transformer(tokens, text, model, config, job.scratch / "run", None, recipe, **options)
    return config, result


def train_a_length_estimator(job: Job, options: dict[str, Any]) -> tuple[TrainConfig, TrainResult]:
    tokens = random_tokens(job)
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
    _, most = RANGES["steps"]
    endless = {"steps": most, "checkpoint_every": most, "eval_every": 0}
    return fit.resolve(config, cpu, precision=precision, **endless)


def _recipe(job: Job) -> recipes.Recipe:
    """The paper's sizes are timed as the authors train them."""
    return recipes.get_recipe("release" if job.settings.preset == "paper" else "ours")


def _text(job: Job, captions: list[str]) -> tuple[TextCache, TextEncoder]:
    """Embeddings of captions, and their encoder, which stays in memory as it does in `mmm train`."""
    encoder = load_text_encoder(job.settings.encoder)
    return TextCache.build(job.scratch / "text.safetensors", captions, encoder), encoder


# --- Random weights and made-up clips --------------------------------------------------------------------


def random_tokenizer(preset: str, features: int = 263) -> Tokenizer:
    """A tokenizer of a preset's size as at the start of training: its codebook is still empty."""
    torch.manual_seed(0)
    return Tokenizer(dataclasses.replace(PRESETS[preset], features=features))


def random_transformer(preset: str, config: TokenizerConfig, text_dim: int) -> MaskedTransformer:
    """A transformer of a preset's size for that tokenizer, with a random codebook."""
    torch.manual_seed(0)
    width = config.code_dim // config.parts
    sizes = transformer_preset(preset, codes=config.codes, code_dim=width, text_dim=text_dim)
    return MaskedTransformer(sizes, torch.randn(config.parts, config.codes, width))


def data_folder(job: Job) -> MotionFolder:
    """The user's data folder, else a folder of made-up clips (noise, with captions) among the scratch files."""
    if job.settings.data is not None:
        return MotionFolder.open(job.settings.data)
    path = job.scratch / "made-up"
    if path.is_dir():
        return MotionFolder.open(path)
    generator = np.random.default_rng(0)
    clips = [
        Clip(
            f"{number:03d}",
            generator.standard_normal((FRAMES, 263), np.float32),
            np.zeros((FRAMES, 22, 3), np.float32),
            [Caption(f"a person {one} {how} and then {two}")],
        )
        for number, (one, how, two) in enumerate(itertools.product(ACTIONS, MANNERS, ACTIONS))
    ]
    splits = {"train": [clip.id for clip in clips], "val": [], "test": []}
    info = {"name": "made-up", "fps": 20.0, "skeleton": "humanml3d", "source": "noise", "licence": "none"}
    return write_folder(path, clips, splits, info)


def train_split(job: Job, folder: MotionFolder) -> PackedSplit:
    """Up to `CLIPS` clips of the train split, from all over it, memory-mapped as in training."""
    ids = folder.ids("train")
    chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, CLIPS).astype(int))]
    clips = ((clip, folder.features(clip), folder.captions(clip)) for clip in chosen)
    return pack(job.scratch / "train", clips)


def random_tokens(job: Job, max_tokens: int = 49) -> TokenSet:
    """Random tokens, as many as the clips have, with the clips' captions."""
    packed, config = train_split(job, data_folder(job)), PRESETS[job.settings.preset]
    lengths = torch.from_numpy(np.minimum(-(-packed.lengths // config.ratio), max_tokens))
    shape = (len(packed), config.parts, int(lengths.max()))
    generator = torch.Generator().manual_seed(0)
    return TokenSet(
        torch.randint(config.codes, shape, generator=generator, dtype=torch.int16),
        lengths,
        torch.arange(len(packed) + 1),
        [[caption.text for caption in captions] for captions in packed.captions],
        np.ones(len(packed)),
        packed.ids,
    )
