"""Inputs of the checks: clips of the synthetic data set, and random numbers."""

from functools import cache

import torch

from mmm.datasets.synthetic import make_clip


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
