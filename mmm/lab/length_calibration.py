"""Chapter 08, ablations: is the length estimator calibrated? Probabilities over token counts against true counts.

A motion of n tokens is one whose time lies between n − 1 and n tokens, so a probability of n counts as spread
evenly over that token. Every quantile is then one number, and coverage and the probability integral transform (PIT)
are exact for counts as they are for times, without random numbers. It is the non-randomised PIT of Czado, Gneiting
and Held, "Predictive model assessment for count data" (2009).

Calibrated means: for every a, a ratio a of all true lengths lies below the a-quantile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from mmm.errors import require
from mmm.text import TextSource
from mmm.transformer.length import LengthEstimator, point_errors
from mmm.transformer.tokens import TokenSet
from mmm.viz.style import panels, styled

Probabilities = Float[np.ndarray, "n m"]
Lengths = Int[np.ndarray, " n"]

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))  # of the intervals of the calibration error


def predict_lengths(
    estimator: LengthEstimator, tokens: TokenSet, text: TextSource
) -> tuple[Float[np.ndarray, "n m"], Int[np.ndarray, " n"]]:
    """The estimator's distribution for every caption, and the true length of its clip.

    Returns:
        probabilities, one row for each caption, column i for i + 1 tokens; lengths in tokens.
    """
    captions = [caption for several in tokens.captions for caption in several]
    counts = torch.tensor([len(several) for several in tokens.captions])
    lengths = tokens.lengths[tokens.starts[:-1]].repeat_interleave(counts)
    device = next(estimator.parameters()).device
    rows = [
        estimator.distribution(text.lookup(captions[i : i + 256]).sentence.to(device))
        for i in range(0, len(captions), 256)
    ]
    return torch.cat(rows).numpy(), lengths.numpy()


def marginal(
    lengths: Int[np.ndarray, " clips"] | Int[Tensor, " clips"],
    max_tokens: int,
    count: int = 1,
    smoothing: float = 0.5,
) -> Float[np.ndarray, "n m"]:
    """The distribution of all lengths together, which needs no text: `count` equal rows.

    Args:
        smoothing: added to the number of clips of each length, so that none has probability 0.
    """
    counts = np.bincount(np.asarray(lengths) - 1, minlength=max_tokens) + smoothing
    return np.tile(counts / counts.sum(), (count, 1))


def log_loss(probabilities: Probabilities, lengths: Lengths) -> float:
    """Mean −log p of the true lengths, in nats: lower is better. A proper score: the true distribution is best."""
    p, n = _normalised(probabilities), lengths
    with np.errstate(divide="ignore"):  # infinite where the true length has probability 0
        return float(-np.log(p[np.arange(len(n)), n - 1]).mean())


def entropy(probabilities: Probabilities) -> float:
    """Mean entropy, in nats: the log loss that the distributions themselves expect.

    Below the log loss: over-confident.
    """
    p = _normalised(probabilities)
    return float(-(p * np.log(np.where(p > 0, p, 1))).sum(1).mean())


def pit_bounds(
    probabilities: Probabilities, lengths: Lengths
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Where the true lengths lie in their distributions: from P(shorter) to P(not longer), spread evenly between.

    If calibrated, all these intervals together cover [0, 1] evenly.
    """
    p, item = _normalised(probabilities), np.arange(len(lengths))
    high = np.minimum(p.cumsum(1)[item, lengths - 1], 1)
    return np.maximum(high - p[item, lengths - 1], 0), high


def pit_histogram(
    probabilities: Probabilities, lengths: Lengths, bins: int = 10
) -> Float[np.ndarray, " bins"]:
    """Density of the PIT in equal bins: 1 everywhere if calibrated.

    High at both ends: too narrow (over-confident). High in the middle: too broad. Sloping: too long (high at the
    left) or too short (at the right).
    """
    bounds = pit_bounds(probabilities, lengths)
    edges = np.linspace(0, 1, bins + 1)
    return np.array([_inside(*bounds, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]) * bins


def coverage(
    probabilities: Probabilities, lengths: Lengths, levels: Sequence[float] = LEVELS
) -> Float[np.ndarray, " levels"]:
    """Ratio of the true lengths within the central interval of each level; the level itself if calibrated.

    The edges of an interval lie within a token, which then counts in part.
    """
    bounds = pit_bounds(probabilities, lengths)
    return np.array([_inside(*bounds, (1 - level) / 2, (1 + level) / 2) for level in levels])


def coverage_error(probabilities: Probabilities, lengths: Lengths, levels: Sequence[float] = LEVELS) -> float:
    """Expected calibration error of the intervals: mean distance of coverage and level."""
    return float(np.abs(coverage(probabilities, lengths, levels) - np.asarray(levels)).mean())


def interval(probabilities: Probabilities, level: float = 0.8) -> Float[np.ndarray, "n 2"]:
    """Both ends of the central interval of each distribution, in tokens of time (0 … m)."""
    p = _normalised(probabilities)
    cumulative = np.concatenate([np.zeros((len(p), 1)), p.cumsum(1)], 1)
    ends = ((1 - level) / 2, (1 + level) / 2)
    return np.array([np.interp(ends, row, np.arange(len(row))) for row in cumulative]).reshape(-1, 2)


def width(probabilities: Probabilities, level: float = 0.8) -> float:
    """Sharpness: mean width of the central interval, in tokens. Of two calibrated estimators the narrower is better."""
    return float(np.diff(interval(probabilities, level), axis=1).mean())


def calibration_report(probabilities: Probabilities, lengths: Lengths) -> dict[str, float]:
    """All of the above as flat numbers; tokens and nats.

    Raises:
        ValueError: no probabilities, or lengths outside 1 to m.
    """
    most = probabilities.shape[1]
    require(
        (probabilities >= 0).all() and np.allclose(probabilities.sum(1), 1, atol=1e-4),
        f"rows sum to {probabilities.sum(1).min():.4g} to {probabilities.sum(1).max():.4g} and the smallest number is "
        f"{probabilities.min():.4g}; expected probabilities that sum to 1",
    )
    require(
        1 <= lengths.min() and lengths.max() <= most,
        f"lengths run from {lengths.min()} to {lengths.max()} tokens, expected 1 to {most}: leave the others out",
    )
    errors = point_errors(_normalised(probabilities), lengths)
    levels = (0.5, 0.8, 0.9)
    covered = coverage(probabilities, lengths, levels)
    return {
        "nll": log_loss(probabilities, lengths),
        "entropy": entropy(probabilities),
        **{f"error_{name}": value for name, value in errors.items()},
        **{f"coverage_{100 * level:.0f}": float(ratio) for level, ratio in zip(levels, covered, strict=True)},
        "coverage_error": coverage_error(probabilities, lengths),
        "width_80": width(probabilities),
    }


def _inside(low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"], start: float, end: float) -> float:
    """The mean part of the intervals [low, high] that lies in [start, end]; one of no width is in or out."""
    size = high - low
    part = np.clip(high, start, end) - np.clip(low, start, end)
    point = (start <= low) & (low < end)
    return float(np.where(size > 0, part / np.where(size > 0, size, 1), point).mean())


def _normalised(probabilities: Probabilities) -> Float[np.ndarray, "n m"]:
    """In double precision, so that every row sums to 1 more exactly than float32 allows."""
    p = probabilities.astype(np.float64)
    return p / p.sum(1, keepdims=True)


@styled
def plot_length_calibration(
    levels: Sequence[float],
    coverage: Mapping[str, Float[np.ndarray, " levels"]],
    pit: Mapping[str, Float[np.ndarray, " bins"]],
    clips: int,
) -> Figure:
    """Left: coverage of central intervals beside the diagonal. Right: histograms of the PIT beside 1.

    Args:
        levels: of the intervals. coverage, pit: of each estimator.
        clips: how many lengths there are; 95 % of calibrated estimators lie in the grey area with so many.
    """
    figure, (left, right) = panels((9.5, 3.6), 1, 2)
    ideal, bins = np.linspace(0, 1, 101), len(next(iter(pit.values())))
    spread = 1.96 * np.sqrt(ideal * (1 - ideal) / clips)
    left.fill_between(ideal, ideal - spread, ideal + spread, color="grey", alpha=0.2, linewidth=0)
    left.plot(ideal, ideal, color="grey", linewidth=1)
    for number, (label, values) in enumerate(coverage.items()):
        left.plot(levels, values, "o-", color=f"C{number}", markersize=3, label=label)
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="level of the interval", ylabel="ratio of true lengths in it")
    left.set_title("intervals: below the line, too narrow")
    left.legend()
    chance = 1.96 * np.sqrt((1 / bins) * (1 - 1 / bins) / clips) * bins
    right.axhspan(1 - chance, 1 + chance, color="grey", alpha=0.2, linewidth=0)
    right.axhline(1, color="grey", linewidth=1)
    for number, (label, values) in enumerate(pit.items()):
        right.stairs(values, np.linspace(0, 1, bins + 1), color=f"C{number}", linewidth=1.8, label=label)
    right.set(xlim=(0, 1), ylim=(0, None), ylabel="density", title="PIT: high at both ends, too narrow")
    right.set_xlabel("position of the true length: 0 shortest, 1 longest predicted")
    return figure
