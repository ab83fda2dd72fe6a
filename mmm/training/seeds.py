"""Where the random numbers of a step come from: its seed is a function of the run's seed and the step alone."""

from __future__ import annotations

import numpy as np
import torch


def step_seed(seed: int, step: int, stream: int = 0) -> int:
    """A 63-bit seed for one stream of random numbers of one step, independent of all others."""
    return int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def step_generator(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """A CPU generator with the seed `step_seed`."""
    return torch.Generator().manual_seed(step_seed(seed, step, stream))
