"""Can confidence be trusted? Predicted probabilities against the ground truth (notebook 05).

The functions take arrays: `confidence`, the probability that a model gave to its answer, and `correct`, whether the
answer was correct; or `logits` and the true ids. Sources: reliability diagram, expected calibration error (ECE) and
temperature scaling, Guo et al., "On Calibration of Modern Neural Networks" (2017); Brier, "Verification of forecasts"
(1950); sharpness, Gneiting et al., "Probabilistic forecasts, calibration and sharpness" (2007).
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

# Underscored axes are not compared with one another: a mismatch gets our message, not a type error.
Confidence = Float[np.ndarray, " _n"] | Float[Tensor, " _n"]
Correct = Bool[np.ndarray, " _m"] | Bool[Tensor, " _m"]
Logits = Float[np.ndarray, "_n _k"] | Float[Tensor, "_n _k"]
Targets = Integer[np.ndarray, " _m"] | Int[Tensor, " _m"]

TEMPERATURES = (0.05, 20.0)  # range in which the best one is searched


class Bins(NamedTuple):
    """Answers grouped by their confidence; empty bins are left out."""

    confidence: Float[np.ndarray, " bins"]  # mean confidence
    accuracy: Float[np.ndarray, " bins"]  # ratio of correct answers
    ratio: Float[np.ndarray, " bins"]  # of all answers


class Interval(NamedTuple):
    """A number and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


# ---- Metrics of confidence


def reliability(confidence: Confidence, correct: Correct, bins: int = 10) -> Bins:
    """The reliability diagram: mean confidence and accuracy of the answers in bins of equal width.

    Raises:
        ValueError: no answers, arrays of different lengths, or a confidence outside [0, 1].
    """
    confidence, correct = _arrays(confidence, correct)
    require(bins >= 1, f"bins is {bins}, expected at least 1")
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    used = count > 0
    means = (np.bincount(which, values, bins)[used] / count[used] for values in (confidence, correct))
    return Bins(*means, count[used] / count.sum())


def ece(confidence: Confidence, correct: Correct, bins: int = 10) -> float:
    """Expected calibration error: the gap between confidence and accuracy of a bin, averaged over the answers."""
    diagram = reliability(confidence, correct, bins)
    return float((diagram.ratio * np.abs(diagram.confidence - diagram.accuracy)).sum())


def calibrated_ece(
    confidence: Confidence, seed: int = 0, bins: int = 10, repeats: int = 100
) -> tuple[float, float]:
    """Mean and standard deviation of the ECE of a perfectly calibrated model with these confidences.

    With finitely many answers it is above 0, by chance alone; an ECE below it leaves nothing to improve. Answers are
    assumed to be independent; where several belong to one clip, chance adds more.
    """
    confidence, _ = _arrays(confidence, np.zeros(len(confidence), bool))
    rng = np.random.default_rng(seed)
    draws = [ece(confidence, rng.random(len(confidence)) < confidence, bins) for _ in range(repeats)]
    return float(np.mean(draws)), float(np.std(draws))


def brier(confidence: Confidence, correct: Correct) -> float:
    """Mean squared distance of confidence from 1 (correct) or 0 (wrong): calibration and sharpness in one number."""
    confidence, correct = _arrays(confidence, correct)
    return float(np.square(confidence - correct).mean())


def sharpness(confidence: Confidence) -> float:
    """Standard deviation of the confidences: 0 if all are equal, even if they are well calibrated."""
    return float(_arrays(confidence, np.zeros(len(confidence), bool))[0].std())


def roc_auc(confidence: Confidence, correct: Correct) -> float:
    """Probability that a correct answer has more confidence than a wrong one: 1 is perfect, 1/2 is chance.

    Ties count half. An increasing function of the confidences does not change it. A temperature of the logits is not
    such a function from one row to another, and changes it a little. NaN where all answers are correct, or all wrong.
    """
    confidence, correct = _arrays(confidence, correct)
    right, wrong = int(correct.sum()), int((1 - correct).sum())
    if not right or not wrong:
        return float("nan")
    ranks = stats.rankdata(confidence)  # Mann and Whitney's U from the sum of ranks
    return float((ranks[correct > 0].sum() - right * (right + 1) / 2) / (right * wrong))


def calibration_report(confidence: Confidence, correct: Correct) -> dict[str, float]:
    """The metrics above as flat numbers: accuracy, confidence, ece, brier, sharpness, auc."""
    values, truth = _arrays(confidence, correct)
    return {
        "accuracy": float(truth.mean()),
        "confidence": float(values.mean()),
        "ece": ece(confidence, correct),
        "brier": brier(confidence, correct),
        "sharpness": sharpness(confidence),
        "auc": roc_auc(confidence, correct),
    }


def auc_within_groups(confidence: Confidence, correct: Correct, groups: Targets) -> float:
    """Mean AUC within each group (a clip): the sampler compares positions of one canvas only.

    Over all clips together, easy clips against hard ones make the ranking look better than it is. Groups that are all
    correct or all wrong do not count. NaN if none counts.
    """
    confidence, correct = _arrays(confidence, correct)
    groups = np.asarray(groups)
    aucs = [roc_auc(confidence[groups == group], correct[groups == group] > 0) for group in np.unique(groups)]
    known = [auc for auc in aucs if not np.isnan(auc)]
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
        groups: answers of one group (clip) are resampled together, because they are not independent; otherwise the
            interval would be too narrow. None: each answer is its own group.

    Raises:
        ValueError: fewer than two groups, or arrays of different lengths.
    """
    confidence, error = np.asarray(confidence, np.float64), np.asarray(error, np.float64)
    groups = np.arange(len(confidence)) if groups is None else np.asarray(groups)
    require(
        len(confidence) == len(error) == len(groups),
        f"{len(confidence)} confidences, {len(error)} errors and {len(groups)} groups: give one of each per answer",
    )
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    require(
        len(members) > 1, f"there are {len(members)} groups, a bootstrap needs at least 2: give more clips"
    )

    def statistic(chosen: np.ndarray) -> float:
        rows = np.concatenate([members[i] for i in chosen])
        return float(stats.spearmanr(confidence[rows], error[rows]).statistic)

    everything = np.arange(len(members))
    result = stats.bootstrap(
        (everything,), statistic, vectorized=False, n_resamples=resamples, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Interval(statistic(everything), *map(float, result.confidence_interval))


# ---- Logits and temperature


def log_loss(logits: Logits, targets: Targets, temperature: float = 1.0) -> float:
    """Mean −log p of the true ids, in nats, with the logits divided by `temperature`."""
    logits, targets = _tensors(logits, targets)
    return float(torch.nn.functional.cross_entropy(logits / temperature, targets))


def answers(
    logits: Logits, targets: Targets, temperature: float = 1.0
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Confidence of the most likely id, and whether it is correct. A temperature changes only the first."""
    logits, targets = _tensors(logits, targets)
    confidence, chosen = (logits / temperature).softmax(1).max(1)
    return confidence.numpy(), (chosen == targets).numpy()


def fit_temperature(logits: Logits, targets: Targets) -> float:
    """The temperature that gives the least log loss when it divides the logits (Guo et al. 2017, section 4.2).

    Above 1 the model was overconfident. Fit it on held-out clips and evaluate it on others: on its own training clips a
    model that has memorised them looks underconfident.
    """
    logits, targets = _tensors(logits, targets)

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_temperature), targets))

    low, high = TEMPERATURES
    bounds = (np.log(low), np.log(high))
    result = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(result.x))


def cross_fitted_temperatures(
    logits: Logits, targets: Targets, groups: Targets, seed: int = 0, folds: int = 2
) -> tuple[Sequence[float], Int[np.ndarray, " n"]]:
    """A temperature for each fold of the groups, fitted on the other folds, and the fold of each row.

    For clips that must serve for fitting and for evaluation: no row is scaled by a temperature fitted on it.
    """
    logits, targets = _tensors(logits, targets)
    groups = np.asarray(groups)
    names = np.unique(groups)
    require(len(names) >= folds, f"there are {len(names)} groups for {folds} folds: give more clips")
    fold_of = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % folds, strict=True))
    fold = np.array([fold_of[name] for name in groups])
    return [fit_temperature(logits[fold != number], targets[fold != number]) for number in range(folds)], fold


def scaled_answers(
    logits: Logits, targets: Targets, temperatures: Sequence[float], fold: Int[np.ndarray, " _n"]
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """`answers`, with the temperature of each row's fold."""
    logits, targets = _tensors(logits, targets)
    return answers(logits / torch.tensor([temperatures[number] for number in fold])[:, None], targets)


def _arrays(
    confidence: Confidence, correct: Correct
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    require(
        len(confidence) == len(correct) > 0,
        f"{len(confidence)} confidences for {len(correct)} answers: give one for each, and at least one",
    )
    low, high = confidence.min(), confidence.max()
    require(
        0 <= low and high <= 1, f"confidences run from {low:.4g} to {high:.4g}, expected numbers in [0, 1]"
    )
    return confidence, correct


def _tensors(logits: Logits, targets: Targets) -> tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]:
    logits, targets = torch.as_tensor(logits).double().cpu(), torch.as_tensor(targets).long().cpu()
    require(
        len(logits) == len(targets) > 0,
        f"{len(logits)} rows of logits for {len(targets)} ids: give one for each, and at least one",
    )
    low, high = int(targets.min()), int(targets.max())
    require(
        0 <= low and high < logits.shape[1],
        f"ids run from {low} to {high}, expected 0 to {logits.shape[1] - 1}",
    )
    return logits, targets
