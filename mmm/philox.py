"""A random generator that is the same in every language: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers:
as easy as 1, 2, 3", doi 10.1145/2063384.2063405).

Torch's generator cannot be rebuilt outside torch in a few lines. This one can (`docs/demo/src/sampler.js`), so that a
browser draws the same tokens as Python (`mmm.sampling.fill` with random="portable").
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, UInt32
from torch import Tensor

MULTIPLIERS, STEPS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)


class Philox:
    """A stream of numbers that depends on the seed alone (64 bits; of a larger one the lowest 64)."""

    def __init__(self, seed: int) -> None:
        self.key = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
        self.blocks = 0  # four numbers each, used so far

    def uniform(self, *shape: int) -> Float[Tensor, "..."]:
        """The next numbers, multiples of 2⁻²⁴ in [0, 1), float32: 24 bits are what float32 holds exactly.

        A call begins a new block of four; what the last call left of its block is not used.
        """
        count = math.prod(shape)
        counters = np.zeros((-(-count // 4), 4), np.uint32)
        counters[:, 0] = np.arange(self.blocks, self.blocks + len(counters))
        self.blocks += len(counters)
        numbers = philox(counters, self.key).reshape(-1)[:count] >> np.uint32(8)
        return torch.from_numpy(numbers.astype(np.float32) * np.float32(2**-24)).view(shape)


def philox(counters: UInt32[np.ndarray, "blocks 4"], key: tuple[int, int]) -> UInt32[np.ndarray, "blocks 4"]:
    """Four random words for each counter of four words."""
    c0, c1, c2, c3 = counters.astype(np.uint64).T
    for round_ in range(ROUNDS):
        k0, k1 = (np.uint64(k + round_ * step & 0xFFFFFFFF) for k, step in zip(key, STEPS, strict=True))
        a, b = np.uint64(MULTIPLIERS[0]) * c0, np.uint64(MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = b >> np.uint64(32) ^ c1 ^ k0, b & _LOW, a >> np.uint64(32) ^ c3 ^ k1, a & _LOW
    return np.stack((c0, c1, c2, c3), 1).astype(np.uint32)
