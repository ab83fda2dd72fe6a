"""The paper's five metrics: embeddings of texts and motions in, floats out.

The paper (section 4, "Evaluation Metrics") evaluates as Guo et al. do (CVPR 2022, "Generating diverse and natural 3D
human motions from text"); FID is by Heusel et al. (NeurIPS 2017). See docs/REPRODUCTION.md, "Evaluation". Numbers of
different evaluators cannot be compared. Embeddings are tensors on any device or NumPy arrays, of any float type; all
sums are computed in float64.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.errors import require

# Underscored axes are not compared with one another: a mismatch raises ValueError, not a type error.
Embeddings = Float[Tensor, "_n _d"] | Float[np.ndarray, "_n _d"]
Samples = Float[Tensor, "_texts _samples _d"] | Float[np.ndarray, "_texts _samples _d"]

QUERIES_AT_ONCE = 256  # with 31 distractors 512 wide: 34 MB of gathered motions


class Interval(NamedTuple):
    """A mean and half the width of its 95 % interval; `half` is NaN for a single value."""

    mean: float
    half: float

    def __str__(self) -> str:
        """ "0.515 ± 0.003", or "0.515" for a single value."""
        return f"{self.mean:.3f}" + ("" if math.isnan(self.half) else f" ± {self.half:.3f}")


def interval(values: Sequence[float] | Float[np.ndarray, " _repeats"]) -> Interval:
    """Mean ± 1.96 · std / √repeats, with the std of ddof 0 (NumPy's default), as Guo et al. report it.

    Args:
        values: the same metric of every repeat.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    require(values.size > 0, "there are no values to take the mean of; give the metric of each repeat")
    require(np.isfinite(values).all(), f"values {values.tolist()} are not all finite; look at these repeats")
    half = 1.96 * values.std() / math.sqrt(values.size) if values.size > 1 else math.nan
    return Interval(float(values.mean()), float(half))


def r_precision(
    text: Embeddings,
    motion: Embeddings,
    top_k: int = 3,
    pool: int = 32,
    distractors: Int64[Tensor, "_n _others"] | None = None,
) -> tuple[float, ...]:
    """R@1 … R@k: the ratio of texts whose own motion is among the k nearest of a pool of motions.

    Args:
        text: (n, d), the queries.
        motion: (n, d); motion i belongs to text i.
        top_k: the largest k.
        pool: motions in a pool, the right one included.
        distractors: (n, pool - 1) indices of the wrong motions of each text. By default the pool is a batch of `pool`
            motions in their order, and the last, incomplete batch is dropped: the protocol of Guo et al. The order
            must then be random, since neighbours in a data set are often cuts of one take.

    Returns:
        `top_k` floats in [0, 1], which never fall. Ties: see `hits`.

    Raises:
        ValueError: shapes do not fit, a number is not finite, too few samples for one pool, `top_k` not in
            1 … `pool`, distractors out of range, twice in a row or the right answer itself.
    """
    text, motion = _pairs(text, motion)
    require(1 <= top_k <= pool, f"top_k is {top_k}; with a pool of {pool} it must be from 1 to {pool}")
    if distractors is None:
        distractors = _batch_mates(len(text), pool)
    else:
        _check_distractors(distractors, len(text), pool)
    used = len(distractors)
    closer, tied = count_closer(text[:used], motion[:used], motion, distractors)
    return tuple(float(hits(closer, tied, k).mean()) for k in range(1, top_k + 1))


def count_closer(
    text: Float[Tensor, "n d"],
    motion: Float[Tensor, "n d"],
    others: Float[Tensor, "_m d"],
    distractors: Int64[Tensor, "n _others"],
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """How many distractors are closer to each text than its own motion, and how many are exactly as far.

    Args:
        motion: motion i belongs to text i.
        others: the motions from which `distractors` chooses by index.
    """
    text, motion, others = text.double(), motion.double(), others.double()
    closer, tied = [], []
    for query, own, indices in zip(
        *(x.split(QUERIES_AT_ONCE) for x in (text, motion, distractors.to(text.device))), strict=True
    ):
        distances = _cdist(query[:, None], torch.cat((own[:, None], others[indices]), dim=1))[:, 0]
        closer.append((distances[:, 1:] < distances[:, :1]).sum(-1))
        tied.append((distances[:, 1:] == distances[:, :1]).sum(-1))
    return torch.cat(closer), torch.cat(tied)


def hits(closer: Int64[Tensor, " n"], tied: Int64[Tensor, " n"], top_k: int) -> Float[Tensor, " n"]:
    """1 where the own motion is among the `top_k` nearest, else 0, from the counts of `count_closer`.

    A tie counts as what random order among the tied would give on average: if c motions are closer than the right
    one and m others just as far, it is among the first k with probability (k - c) / (m + 1). Embeddings that are all
    the same therefore score k / pool, which is chance.
    """
    return ((top_k - closer) / (tied + 1)).clamp(0, 1).double()


def mm_dist(text: Embeddings, motion: Embeddings) -> float:
    """Mean Euclidean distance of each text to its own motion, over all pairs.

    The protocol of Guo et al. drops the last, incomplete batch here too; that is left to the caller.

    Args:
        text, motion: (n, d).

    Raises:
        ValueError: shapes do not fit, a number is not finite, or there are no samples.
    """
    text, motion = _pairs(text, motion)
    return float((text - motion).norm(dim=-1).mean())


def fid(real: Embeddings, generated: Embeddings, warn: bool = True) -> float:
    """Fréchet distance of two Gaussians fitted to the embeddings: |µ₁ - µ₂|² + tr C₁ + tr C₂ - 2 tr √(C₁C₂).

    Covariances have ddof 1. No matrix square root is computed, so no complex numbers can appear: with C = RᵀR, where
    R is the triangular factor of the centred samples, C₁C₂ has the same eigenvalues as MMᵀ for M = R₁R₂ᵀ, and
    tr √(C₁C₂) is the sum of the singular values of M. This also holds for singular covariances.

    Args:
        real: (n, d).
        generated: (m, d); n and m may differ.
        warn: False where the caller says itself that few samples bias FID.

    Returns:
        At least 0, symmetric in its arguments, and in squared units of the embedding.

    Raises:
        ValueError: widths differ, a number is not finite, or fewer than two samples.
    Warns:
        UserWarning: fewer samples than twice the width; FID is then strongly biased upwards.
    """
    real, generated = _exact(real, "real"), _exact(generated, "generated")
    width = real.shape[1]
    require(
        width == generated.shape[1],
        f"embeddings of widths {width} and {generated.shape[1]} cannot be compared; use one evaluator for both",
    )
    fewest = min(len(real), len(generated))
    require(fewest >= 2, f"FID needs at least 2 samples of each kind, found {len(real)} and {len(generated)}")
    if warn and fewest < 2 * width:
        warnings.warn(
            f"FID of {len(real)} real and {len(generated)} generated samples of width {width} is biased upwards: "
            f"give at least {2 * width} of each, or compare only FIDs of equally many samples.",
            stacklevel=2,
        )
    roots = [_covariance_root(x) for x in (real, generated)]
    overlap = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    spread = sum(root.square().sum() for root in roots)
    distance = (real.mean(0) - generated.mean(0)).square().sum() + spread - 2 * overlap
    return max(0.0, float(distance))  # a squared distance; below zero there is only rounding


def split_half_fid(
    real: Embeddings, other: Embeddings, generator: torch.Generator, repeats: int = 1
) -> float:
    """FID of one random half of the real motions against the other half in another row, the mean of some draws.

    FID is biased upwards for few samples. The split-half FID of real motion against itself (`other` = `real`) shows
    by how much, and the split-half FIDs of other rows have as many samples and can be compared with it. It also
    keeps a motion from being compared with its own reconstruction or edit.

    Args:
        real: (n, d).
        other: (n, d); row i is another version of motion i.
        generator: on the CPU, so that the same halves are drawn for embeddings on any device.
        repeats: draws of halves.

    Raises:
        ValueError: as `fid`.
    """
    middle = len(real) // 2
    values = []
    for _ in range(repeats):
        order = torch.randperm(len(real), generator=generator)
        values.append(fid(real[order[:middle]], other[order[middle:]], warn=False))
    return float(np.mean(values))


def diversity(motion: Embeddings, generator: torch.Generator, pairs: int = 300) -> float:
    """Mean Euclidean distance between motions of two random draws of `pairs`, each without replacement (Guo's).

    A motion is paired with itself (distance 0) with probability 1 / n. If there are fewer motions than `pairs`, as
    many pairs as motions are drawn; the number is then noisier and the zeros count more.

    Args:
        motion: (n, d).
        generator: on the CPU, so that the same pairs are drawn for embeddings on any device.
        pairs: how many, 300 in the papers.

    Raises:
        ValueError: fewer than two samples, a number that is not finite, no pairs.
    """
    motion = _exact(motion, "motion")
    require(len(motion) >= 2, f"diversity needs at least 2 motions, found {len(motion)}")
    first, second = _two_draws(len(motion), pairs, generator, motion.device)
    return float((motion[first] - motion[second]).norm(dim=-1).mean())


def multimodality(motion: Samples, generator: torch.Generator, pairs: int = 10) -> float:
    """Mean Euclidean distance between two samples of one text, over `pairs` random pairs of samples (Guo's).

    As in Guo's, two draws without replacement choose the pairs, and all texts use the same pairs. A sample is paired
    with itself with probability 1 / samples, so one call is noisy: the papers give the mean of 20 repeats. If a text
    has fewer samples than `pairs`, as many pairs as samples are drawn.

    Args:
        motion: (texts, samples, d); the paper's protocol has 100 texts of 30 samples, the authors' release
            11 samples of every test text.
        generator: on the CPU, so that the same pairs are drawn for embeddings on any device.
        pairs: how many, 10 in the papers.

    Raises:
        ValueError: fewer than two samples of a text, no text, a number that is not finite, no pairs.
    """
    motion = _exact(motion, "motion")
    require(
        motion.shape[1] >= 2, f"multimodality needs at least 2 samples of each text, found {motion.shape[1]}"
    )
    first, second = _two_draws(motion.shape[1], pairs, generator, motion.device)
    return float((motion[:, first] - motion[:, second]).norm(dim=-1).mean())


def _exact(x: Embeddings | Samples, name: str) -> Tensor:
    x = torch.as_tensor(x).detach()
    require(x.numel() > 0, f"{name} embeddings are empty, of shape {tuple(x.shape)}; give at least one")
    x = (x.cpu() if x.device.type == "mps" else x).double()  # Apple's GPUs have no float64
    bad = int((~x.isfinite()).sum())
    require(
        not bad, f"{bad} of {x.numel()} numbers of the {name} embeddings are not finite; look at their inputs"
    )
    return x


def _pairs(text: Embeddings, motion: Embeddings) -> tuple[Tensor, Tensor]:
    require(
        tuple(text.shape) == tuple(motion.shape),
        f"embeddings of texts {tuple(text.shape)} and motions {tuple(motion.shape)} do not pair up; give one "
        "motion for each text, of the same evaluator",
    )
    return _exact(text, "text"), _exact(motion, "motion")


def _cdist(text: Tensor, motion: Tensor) -> Tensor:
    # Equal embeddings must have exactly equal distances, or ties would be missed: a matrix product would not do.
    return torch.cdist(text, motion, compute_mode="donot_use_mm_for_euclid_dist")


def _batch_mates(count: int, pool: int) -> Int64[Tensor, "_n _others"]:
    """The other motions of each text's batch; texts after the last full batch have none and are left out."""
    used = count // pool * pool
    require(used, f"{count} sample(s) do not fill one pool of {pool}; give more, or set pool={count}")
    positions = torch.arange(used)[:, None]
    return positions // pool * pool + (positions + torch.arange(1, pool)) % pool


def _check_distractors(distractors: Tensor, count: int, pool: int) -> None:
    require(
        tuple(distractors.shape) == (count, pool - 1),
        f"distractors have shape {tuple(distractors.shape)}; {count} texts and a pool of {pool} need "
        f"{(count, pool - 1)}",
    )
    candidates = torch.cat((torch.arange(count)[:, None], distractors.cpu()), dim=1)
    require(
        bool(((candidates >= 0) & (candidates < count)).all()),
        f"distractors must be indices from 0 to {count - 1}, found {int(candidates.min())} to "
        f"{int(candidates.max())}",
    )
    repeated = (candidates.sort(dim=1).values.diff(dim=1) == 0).any(1).nonzero().flatten().tolist()
    require(
        not repeated,
        f"{len(repeated)} text(s) have a distractor twice or their own motion among them, such as {repeated[:3]}; "
        "draw them without replacement from the other motions",
    )


def _covariance_root(x: Tensor) -> Tensor:
    """R, (min(n, d), d), with RᵀR the covariance (ddof 1) of the rows of x."""
    return torch.linalg.qr((x - x.mean(0)) / math.sqrt(len(x) - 1), mode="r").R


def _two_draws(count: int, pairs: int, generator: torch.Generator, device: torch.device) -> list[Tensor]:
    require(pairs >= 1, f"pairs is {pairs}; at least 1 is needed")
    return [torch.randperm(count, generator=generator)[:pairs].to(device) for _ in range(2)]
