"""The diffusion baseline: motion features are denoised step by step, as the text says.

Source: MDM (Tevet et al. 2023, arXiv 2209.14916): a transformer predicts the clean motion x0 from a noisy one, and a
text is left out now and then, so that it can be guided. Sizes, blocks and text are those of our masked transformer.
Noise schedule and samplers (DDPM, DDIM) are those of the library diffusers.

        noisy features (B, T, D) → embed (B, T, dim) + time + positions → cross-attention to the words
        sentence (B, E) + time   → (B, 1, dim) in front                 → self-attention → norm, head → x0 (B, T, D)
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mmm.errors import check_ranges
from mmm.lab.baselines.frames import RATIO, FrameSource
from mmm.lab.baselines.groups import groups_of, guided
from mmm.recipes import OURS, Recipe
from mmm.storage import load_config, load_module, save_module
from mmm.text import TextEmbedding, TextSource
from mmm.training.config import TrainConfig
from mmm.training.loop import TrainResult, train_and_save
from mmm.transformer.compose import Composer
from mmm.transformer.masking import drop_edge_token, inside
from mmm.transformer.model import Block, MaskedTransformer, TransformerConfig, sinusoids
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import draw_clips, embeddings_of, val_batches

Sampler = Literal["ddpm", "ddim"]


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig(TransformerConfig):
    """Sizes of a Denoiser: those of a MaskedTransformer; codes, code_dim and parts (1) mean nothing here.

    Attributes:
        features: numbers of a frame (D). max_tokens: longest motion, in groups of 4 frames.
        noise_steps: steps of the forward process, from the motion (0) to noise.
        noise_schedule: of their variances, a name in diffusers; "squaredcos_cap_v2" is the cosine of MDM.
    """

    features: int
    noise_steps: int = 1000
    noise_schedule: Literal["squaredcos_cap_v2", "linear"] = "squaredcos_cap_v2"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, features=(1, 1 << 16), noise_steps=(1, 100_000))


class Denoiser(nn.Module):
    """Predicts the clean motion from a noisy one, both normalised by `mean` and `std`, which belong to the model."""

    def __init__(self, config: DenoiserConfig, mean: Float[Tensor, " d"], std: Float[Tensor, " d"]) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.register_buffer("mean", mean.detach().clone().float())
        self.register_buffer("std", std.detach().clone().float())
        self.register_buffer("positions", sinusoids(config.max_tokens * RATIO + 1, dim), persistent=False)
        self.register_buffer("times", sinusoids(config.noise_steps, dim), persistent=False)
        self.embed = nn.Linear(config.features, dim)
        self.embed_time = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.embed_words = nn.Linear(config.text_dim, dim)
        self.embed_sentence = nn.Linear(config.text_dim, dim)
        self.cross = nn.ModuleList(Block(config, cross=True) for _ in range(config.cross_layers))
        self.blocks = nn.ModuleList(Block(config, cross=False) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, config.features)
        if config.text_dropout > 0:
            self.no_word = nn.Parameter(torch.randn(config.text_dim) * config.text_dim**-0.5)
            self.no_sentence = nn.Parameter(torch.randn(config.text_dim) * config.text_dim**-0.5)

    without_text = MaskedTransformer.without_text

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def forward(
        self,
        noisy: Float[Tensor, "b t d"],
        time: Int64[Tensor, " b"],
        lengths: Int64[Tensor, " b"],
        words: Float[Tensor, "b s e"],
        word_mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
        drop_text: Bool[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """x0 for each frame, normalised.

        Args:
            time: the step of the forward process, 0 to noise_steps − 1. lengths: frames; those behind are ignored.
            drop_text: as in `MaskedTransformer.forward`.
        """
        if drop_text is not None:
            words, word_mask, sentence = self.without_text(words, word_mask, sentence, drop_text)
        time = self.embed_time(self.times[time])[:, None]
        first, words = self.embed_sentence(sentence)[:, None], self.embed_words(words)
        x = torch.cat([first, self.embed(noisy)], dim=1) + time + self.positions[: noisy.shape[1] + 1]
        for block in self.cross:
            x = block(x, word_mask, words)
        valid = inside(lengths + 1, x.shape[1])
        for block in self.blocks:
            x = block(x, valid)
        return self.head(self.norm(x[:, 1:]))

    def normalise(self, features: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        return (features - self.mean) / self.std

    def denormalise(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        return x * self.std + self.mean

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors, mean and std included."""
        save_module(self, self.config, folder)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Denoiser:
        """The denoiser of a folder, in evaluation mode, on the CPU.

        Raises:
            FileNotFoundError, ValueError: files are missing, damaged, or do not fit each other.
        """
        config = load_config(DenoiserConfig, folder)
        size = config.features
        return load_module(lambda: cls(config, torch.zeros(size), torch.ones(size)), folder)


def make_scheduler(config: DenoiserConfig, sampler: Sampler = "ddpm") -> Any:
    """The noise schedule of the model, and the sampler, by diffusers.

    Steps are counted from the end ("trailing"), so that few steps, too, begin with pure noise.
    """
    from diffusers import DDIMScheduler, DDPMScheduler  # seconds to import

    kind = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}[sampler]
    return kind(
        num_train_timesteps=config.noise_steps,
        beta_schedule=config.noise_schedule,
        prediction_type="sample",
        clip_sample=False,  # normalised features go beyond ±1
        timestep_spacing="trailing",
    )


@torch.no_grad()
def denoise(
    model: Denoiser,
    text: TextEmbedding,
    frames: Sequence[int],
    seeds: Sequence[int],
    *,
    sampler: Sampler = "ddim",
    steps: int = 50,
    guidance: float = 2.5,
    group: int = 1,
    known: Sequence[tuple[Float[Tensor, "_t d"], Bool[Tensor, "_t d"]]] | None = None,
) -> list[Float[np.ndarray, "_t d"]]:
    """Raw features (frames, D), float32, for each text.

    The features of an item depend on its own text, frames and seed, and on `group`; not on the other items.

    Args:
        sampler, steps: "ddpm" with 1,000 steps is MDM's; "ddim" needs 50 or 10.
        guidance: g in uncond + g · (cond − uncond), of the predicted x0; 2.5 is MDM's.
        group: items that go through the network together.
        known: raw features of each item and which of them are given: x0 is replaced there at each step, as in
            MDM, section 3, "Editing".
    Raises:
        ValueError: not one seed and length for each text; a length or an option out of range; guidance of a model
            without text dropout.
    """
    scheduler = make_scheduler(model.config, sampler)
    scheduler.set_timesteps(steps)
    sizes = [-(-int(count) // RATIO) for count in frames]
    motions: list[np.ndarray] = [np.empty(0)] * len(sizes)
    for some in groups_of(model, text, seeds, sizes, group, guidance):
        shape = (some.positions * RATIO, model.config.features)
        noise = [torch.Generator().manual_seed(int(seeds[i])) for i in some.rows]
        x = torch.stack([torch.randn(shape, generator=generator) for generator in noise]).to(model.device)
        lengths = torch.tensor([sizes[i] * RATIO for i in some.rows], device=model.device)
        if known is not None:
            given, kept = torch.zeros_like(x), torch.zeros_like(x, dtype=torch.bool)
            for row, i in enumerate(some.rows):
                features, known_numbers = (y.to(x.device) for y in known[i])
                given[row, : len(features)] = model.normalise(features)
                kept[row, : len(features)] = known_numbers
        copies = len(some.text[2]) // group  # 2 with guidance
        for time in scheduler.timesteps:
            inputs = (x, time.to(x.device).expand(group), lengths)
            clean = model(*(y.repeat(copies, *[1] * (y.ndim - 1)) for y in inputs), *some.text)
            clean = guided(clean.float(), guidance)
            if known is not None:
                clean = torch.where(kept, given, clean)
            x = scheduler.step(clean, time, x, generator=noise).prev_sample
        for i, row in zip(some.items, model.denormalise(x).cpu().numpy(), strict=False):
            motions[i] = row[: int(frames[i])].copy()
    return motions


def train_diffusion(
    tokens: TokenSet,
    frames: FrameSource,
    text: TextSource,
    model: Denoiser,
    config: TrainConfig,
    out: str | Path,
    val: tuple[TokenSet, FrameSource] | None = None,
    recipe: Recipe = OURS,
    composer: Composer | None = None,
    **options: Any,
) -> TrainResult:
    """Train `model` on the clips that `mmm.transformer.train.train_transformer` draws; write it to `out/model`.

    The loss is MDM's simple one: the mean square of the error of x0, normalised.

    Args:
        tokens, frames: clips whose tokens stand for 4 frames each, and these frames (`frames.frame_sets`).
        others: as `train_transformer`.
    """
    scheduler, sizes = make_scheduler(model.config), model.config

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        groups, lengths, captions = draw_clips(tokens, config.batch_size, generator, recipe, composer)
        if recipe.drop_edge:
            groups, lengths = drop_edge_token(groups, lengths, generator, recipe.drop_edge)
        drop_text = torch.rand(config.batch_size, generator=generator) < sizes.text_dropout
        data = {"features": frames.lookup(groups), "lengths": lengths * RATIO, "drop_text": drop_text}
        return data | embeddings_of(text, captions)

    def loss(
        network: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return _denoising_loss(model, network, data, scheduler, generator).mean(), {}

    def evaluate(network: nn.Module) -> dict[str, float]:
        return evaluate_diffusion(network, *val, text)

    settings = {
        "baseline": "diffusion",
        "denoiser": dataclasses.asdict(sizes),
        "recipe": dataclasses.asdict(recipe),
        "text": text.name,
        "data": tokens.fingerprint,
        "compositions": composer and composer.fingerprint,
    }
    return train_and_save(model, batch, loss, config, out, evaluate if val else None, settings, **options)


def _denoising_loss(
    model: Denoiser,
    network: nn.Module,
    data: dict[str, Tensor],
    scheduler: Any,
    generator: torch.Generator,
) -> Float[Tensor, " b"]:
    """The loss of each clip, at a random step of the forward process, with random noise."""
    clean = model.normalise(data["features"])
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    time = torch.randint(model.config.noise_steps, (len(clean),), generator=generator).to(clean.device)
    drop_text = data.get("drop_text") if model.config.text_dropout else None
    text = (data["words"], data["word_mask"], data["sentence"], drop_text)
    predicted = network(scheduler.add_noise(clean, noise, time), time, data["lengths"], *text)
    error = (predicted.float() - clean).square().mean(-1)
    return (error * inside(data["lengths"], error.shape[1])).sum(1) / data["lengths"]


@torch.no_grad()
def evaluate_diffusion(
    model: Denoiser,
    val: TokenSet,
    frames: FrameSource,
    text: TextSource,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """The training loss over all clips of `val`; steps and noise are always the same."""
    scheduler, total = make_scheduler(model.config), 0.0
    for variants, embeddings, generator in val_batches(val, text, batch_size, seed):
        groups, lengths = val.batch(variants)
        data = {"features": frames.lookup(groups), "lengths": lengths * RATIO} | embeddings
        data = {name: tensor.to(model.device) for name, tensor in data.items()}
        total += float(_denoising_loss(model, model, data, scheduler, generator).double().sum())
    return {"loss": total / len(val.lengths)}
