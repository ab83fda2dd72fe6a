"""Runs: where a condition holds in consecutive frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from torch import Tensor


def runs(
    where: Bool[Tensor, " t"] | Bool[np.ndarray, " t"], gap: int = 0, least: int = 1
) -> list[tuple[int, int]]:
    """The first and the last + 1 of the frames of each run of True.

    Args:
        where: one flag for each frame.
        gap: runs with at most so many frames between them are joined.
        least: shorter runs are left out.
    """
    flags = np.asarray(where.cpu() if isinstance(where, Tensor) else where)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    joined: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if joined and start - joined[-1][1] <= gap:
            start = joined.pop()[0]
        joined.append((start, stop))
    return [(start, stop) for start, stop in joined if stop - start >= least]
