"""Inputs of the checks: clips of the synthetic data set, random numbers, networks that need no training."""

import math
from functools import cache

import torch
from torch import nn

from mmm.datasets.synthetic import make_clip
from mmm.lab.baselines.diffusion import Denoiser, DenoiserConfig
from mmm.transformer.model import Attention


@cache
def _features(index: int) -> torch.Tensor:
    return torch.from_numpy(make_clip(index).features).float()


def clip(index: int) -> torch.Tensor:
    """Features (T, 263) of a synthetic clip."""
    return _features(index).clone()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=generator(seed))


def integers(high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(high, shape, generator=generator(seed))


class Writer(nn.Module):
    """A small causal network of random weights. It writes tokens from left to right."""

    def __init__(self, seed: int, width: int = 8, codes: int = 20, places: int = 20) -> None:
        super().__init__()
        self.seed = seed
        self.layers = nn.ModuleList(Attention(width, 1, 0.0, cross=False) for _ in range(2))
        self.head = nn.Linear(width, codes)
        for i, parameter in enumerate(self.parameters()):
            parameter.data = 0.4 * normal(*parameter.shape, seed=100 * seed + i).double()
        self.vectors = normal(codes, width, seed=seed + 1).double()
        self.places = normal(places, width, seed=seed + 2).double()

    def all_at_once(self, text, tokens):
        """The logits of all positions, as in training, by the attention of the package."""
        x = (torch.cat([text[None], self.vectors[tokens]]) + self.places[: len(tokens) + 1])[None]
        for layer in self.layers:
            x = x + layer(x, torch.ones(1, x.shape[1], x.shape[1], dtype=torch.bool).tril())
        return self.head(x[0])


SMOOTH = DenoiserConfig(
    codes=1, code_dim=1, text_dim=4, dim=2, layers=0, cross_layers=0, heads=1, text_dropout=0.0, features=2
)


def kept_ratios():
    """How much of the motion is left at each step: the cosine schedule of chapter 09."""
    whole = torch.cos((torch.arange(1001) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    return (whole[1:] / whole[:-1]).clamp(min=0.001).cumprod(0)


class Smooth(Denoiser):
    """The best denoiser there is for smooth curves: no training, the mean of all curves that fit x."""

    def forward(self, noisy, time, *_):
        t, kept = torch.arange(noisy.shape[1]).double(), kept_ratios().double()[time][:, None, None]
        distance = (t - t[:, None]) / 6  # frames are alike within about 6 frames
        covariance = torch.exp(-(distance**2) / 2)
        inverse = torch.linalg.inv(kept * covariance + (1 - kept) * torch.eye(len(t)))
        return (kept.sqrt() * covariance @ inverse @ noisy.double()).float()


class Predict:
    """`predict(x, time)` with the model, and the seed of x."""

    def __init__(self, seed: int) -> None:
        self.model, self.seed = Smooth(SMOOTH, torch.zeros(2), torch.ones(2)), seed

    def __call__(self, x, time):
        return self.model(x[None], torch.tensor([time]))[0]
