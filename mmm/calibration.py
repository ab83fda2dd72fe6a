"""Can confidence be trusted? Measures of predicted probabilities against what was true (notebook 04).

Everything here takes arrays: `confidence`, the probability a model gave to its answer, and `correct`, whether the
answer was right, by whatever standard; or `logits` and the true ids. Sources: reliability diagram and ECE, Guo et
al., "On Calibration of Modern Neural Networks" (2017), also for temperature scaling; Brier, "Verification of
forecasts" (1950); sharpness, Gneiting et al., "Probabilistic forecasts, calibration and sharpness" (2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from scipy import optimize, stats
from torch import Tensor

from mmm.errors import require

# Underscored axes are not compared with one another: a mismatch gets a sentence of ours, not a type error.
Confidence = Float[np.ndarray, " _n"] | Float[Tensor, " _n"]
Correct = Bool[np.ndarray, " _m"] | Bool[Tensor, " _m"]
Logits = Float[np.ndarray, "_n _k"] | Float[Tensor, "_n _k"]
Targets = Integer[np.ndarray, " _m"] | Int[Tensor, " _m"]

COOLEST, HOTTEST = 0.05, 20.0  # temperatures among which the best one is looked for


class Bins(NamedTuple):
    """Answers put together by their confidence; empty bins are left out."""

    confidence: Float[np.ndarray, " bins"]  # mean confidence
    accuracy: Float[np.ndarray, " bins"]  # ratio of correct answers
    ratio: Float[np.ndarray, " bins"]  # of all answers


class Interval(NamedTuple):
    """A number and the interval in which it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def reliability(confidence: Confidence, correct: Correct, bins: int = 10) -> Bins:
    """The reliability diagram: answers in bins of equal width of their confidence, what was said and what was true.

    Raises:
        ValueError: no answers, not as many of the one as of the other, or a confidence outside [0, 1].
    """
    said, true = _pair(confidence, correct)
    require(bins >= 1, f"bins is {bins}, expected at least 1")
    which = np.minimum((said * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    used = count > 0
    sums = (np.bincount(which, weights, bins)[used] / count[used] for weights in (said, true))
    return Bins(*sums, count[used] / count.sum())


def ece(confidence: Confidence, correct: Correct, bins: int = 10) -> float:
    """Expected calibration error: the gap between confidence and accuracy of a bin, averaged over the answers."""
    found = reliability(confidence, correct, bins)
    return float((found.ratio * np.abs(found.confidence - found.accuracy)).sum())


def calibrated_ece(
    confidence: Confidence, seed: int = 0, bins: int = 10, repeats: int = 100
) -> tuple[float, float]:
    """Mean and standard deviation of the ECE that luck alone leaves to an honest model of these confidences.

    Of so many answers even a perfectly calibrated model has an ECE above 0; below this, there is nothing to mend. The
    answers are taken for independent; where several are of one clip, luck leaves more.
    """
    said, rng = _pair(confidence, np.zeros(len(confidence), bool))[0], np.random.default_rng(seed)
    found = [ece(said, rng.random(len(said)) < said, bins) for _ in range(repeats)]
    return float(np.mean(found)), float(np.std(found))


def brier(confidence: Confidence, correct: Correct) -> float:
    """Mean squared distance of confidence from 1 (right) or 0 (wrong): calibration and sharpness in one number."""
    said, true = _pair(confidence, correct)
    return float(np.square(said - true).mean())


def sharpness(confidence: Confidence) -> float:
    """Standard deviation of the confidences: 0 for who always says the same, however well calibrated."""
    return float(_pair(confidence, np.zeros(len(confidence), bool))[0].std())


def roc_auc(confidence: Confidence, correct: Correct) -> float:
    """Chance that a right answer was given with more confidence than a wrong one: 1 perfect, 1/2 a coin.

    Ties count half. Any rising function of the confidences leaves it as it is; a temperature of the logits is none
    from one row to another, and moves it a little. NaN where all answers are right, or all wrong.
    """
    said, true = _pair(confidence, correct)
    right, wrong = int(true.sum()), int((1 - true).sum())
    if not right or not wrong:
        return float("nan")
    ranks = stats.rankdata(said)  # Mann and Whitney's U from the sum of ranks
    return float((ranks[true > 0].sum() - right * (right + 1) / 2) / (right * wrong))


def calibration_report(confidence: Confidence, correct: Correct) -> dict[str, float]:
    """All of the above as flat numbers: accuracy, confidence, ece, brier, sharpness, auc."""
    said, true = _pair(confidence, correct)
    return {
        "accuracy": float(true.mean()),
        "confidence": float(said.mean()),
        "ece": ece(confidence, correct),
        "brier": brier(confidence, correct),
        "sharpness": sharpness(confidence),
        "auc": roc_auc(confidence, correct),
    }


def auc_within_groups(confidence: Confidence, correct: Correct, groups: Targets) -> float:
    """Mean AUC within each group (a clip): the sampler compares places of one canvas only.

    Over all clips together, easy clips (sure and right) against hard ones make the order look better than it is.
    Groups that are wholly right or wrong say nothing. NaN if none does.
    """
    said, true = _pair(confidence, correct)
    own = np.asarray(groups)
    found = [roc_auc(said[own == group], true[own == group] > 0) for group in np.unique(own)]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def correlation(
    confidence: Confidence,
    error: Confidence,
    groups: Targets | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Interval:
    """Spearman's rank correlation of confidence with an error, and its 95 % bootstrap interval.

    Args:
        groups: answers of one group (clip) are drawn together: they are not independent, and an interval that took
            them for it would be too narrow. None: each answer for itself.
    Raises:
        ValueError: fewer than two groups, or arrays of different lengths.
    """
    said, far = np.asarray(confidence, np.float64), np.asarray(error, np.float64)
    own = np.arange(len(said)) if groups is None else np.asarray(groups)
    require(
        len(said) == len(far) == len(own),
        f"{len(said)} confidences, {len(far)} errors and {len(own)} groups were given: give one of each an answer",
    )
    members = [np.flatnonzero(own == group) for group in np.unique(own)]
    require(
        len(members) > 1, f"there are {len(members)} groups, a bootstrap needs at least 2: give more clips"
    )

    def statistic(chosen: np.ndarray) -> float:
        rows = np.concatenate([members[i] for i in chosen])
        return float(stats.spearmanr(said[rows], far[rows]).statistic)

    everything = np.arange(len(members))
    found = stats.bootstrap(
        (everything,), statistic, vectorized=False, n_resamples=resamples, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Interval(statistic(everything), *map(float, found.confidence_interval))


def log_loss(logits: Logits, targets: Targets, temperature: float = 1.0) -> float:
    """Mean −log p of the true ids, in nats, with the logits divided by `temperature`."""
    rows, true = _rows(logits, targets)
    return float(torch.nn.functional.cross_entropy(rows / temperature, true))


def answers(
    logits: Logits, targets: Targets, temperature: float = 1.0
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The likeliest id's probability, and whether it is the true one. A temperature changes only the first."""
    rows, true = _rows(logits, targets)
    said, chosen = (rows / temperature).softmax(1).max(1)
    return said.numpy(), (chosen == true).numpy()


def fit_temperature(logits: Logits, targets: Targets) -> float:
    """The temperature by which the logits are to be divided for the least log loss (Guo et al. 2017, section 4.2).

    Above 1: the model was surer than right. Fit it on clips that the model has not learned from, and judge it on
    others: on its own training clips a model that knows them by heart looks modest.
    """
    rows, true = _rows(logits, targets)

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(rows / np.exp(log_temperature), true))

    bounds = (np.log(COOLEST), np.log(HOTTEST))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def cross_fitted_temperatures(
    logits: Logits, targets: Targets, groups: Targets, seed: int = 0, folds: int = 2
) -> tuple[Sequence[float], Int[np.ndarray, " n"]]:
    """A temperature for each fold of the groups, fitted on the others, and which fold each row is in.

    For a model that has learned from all training clips: no row is scaled by a temperature that it helped to choose.
    """
    rows, true = _rows(logits, targets)
    own = np.asarray(groups)
    names = np.unique(own)
    require(len(names) >= folds, f"there are {len(names)} groups for {folds} folds: give more clips")
    fold_of = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % folds, strict=True))
    fold = np.array([fold_of[name] for name in own])
    found = [fit_temperature(rows[fold != number], true[fold != number]) for number in range(folds)]
    return found, fold


def scaled_answers(
    logits: Logits, targets: Targets, temperatures: Sequence[float], fold: Int[np.ndarray, " _n"]
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """`answers`, the rows of each fold at its own temperature."""
    rows, true = _rows(logits, targets)
    return answers(rows / torch.tensor([temperatures[number] for number in fold])[:, None], true)


def _pair(
    confidence: Confidence, correct: Correct
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    said, true = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    require(len(said) > 0, "there are no answers: give at least one")
    require(len(said) == len(true), f"{len(said)} confidences for {len(true)} answers: give one for each")
    require(
        bool(((said >= 0) & (said <= 1)).all()),
        f"confidences run from {said.min():.4g} to {said.max():.4g}, expected probabilities in [0, 1]",
    )
    return said, true


def _rows(logits: Logits, targets: Targets) -> tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]:
    rows, true = torch.as_tensor(logits).double().cpu(), torch.as_tensor(targets).long().cpu()
    require(len(rows) > 0, "there are no logits: give at least one row")
    require(len(rows) == len(true), f"{len(rows)} rows of logits for {len(true)} ids: give one for each")
    require(
        bool(((true >= 0) & (true < rows.shape[1])).all()),
        f"ids run from {int(true.min())} to {int(true.max())}, expected 0 to {rows.shape[1] - 1}",
    )
    return rows, true
