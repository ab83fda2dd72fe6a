"""Edited motions before the data set's evaluator: are they told by their texts, and are they like real motion?"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.data import Caption
from mmm.evaluation import metrics
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.pools import embed_clips
from mmm.lab.edits.clips import HeldOut

HALVINGS = 20  # of which the FID of halves is the mean
RESAMPLES = 200  # of the clips, for an interval of a difference of two FIDs
FEWEST = 8  # motions; of fewer no FID is given


@dataclass(frozen=True)
class Judge:
    """An evaluator with the real clips of a split before it.

    Attributes:
        real: (n, width) embeddings of all clips of the split. pool: motions that a text is to choose from.
    """

    evaluator: Evaluator
    held: HeldOut
    real: Float[Tensor, "n width"]
    pool: int = 32

    @classmethod
    def of(cls, evaluator: Evaluator, held: HeldOut, pool: int = 32) -> Judge:
        """Embed the split."""
        clips = [np.asarray(held.packed.clip(i)) for i in range(len(held))]
        return cls(evaluator, held, embed_clips(evaluator, clips), pool)

    def embed(self, motions: Sequence[np.ndarray]) -> Float[Tensor, "n width"]:
        """Embeddings of features (T, D), one by one, so that batch mates do not matter."""
        return torch.cat([embed_clips(self.evaluator, [motion]) for motion in motions])

    def found(
        self,
        motions: Float[Tensor, "n width"],
        captions: Sequence[Caption],
        own: Sequence[tuple[Hashable, ...]],
        items: Sequence[int],
    ) -> dict[str, Float[np.ndarray, " n"]]:
        """R-precision motion by motion: is the motion among the k that are nearest to its text, for k = 1 and 3?

        The other motions of a text's pool are real clips of the split that the text does not tell, and the same
        ones for every motion of an item: two ways of editing are compared against one pool.

        Args:
            own: what each text tells. items: number of each text, which draws its pool.
        Returns:
            r1, r3: shares of 1, a tie counting as what random order would give.
        """
        text = self.evaluator.embed_text(list(captions)).float().cpu()
        wrong = self.held.distractors([c.text for c in captions], own, items, self.pool)
        return {f"r{k}": found_among(text, motions, self.real, wrong, k) for k in (1, 3)}


def found_among(
    text: Float[Tensor, "n width"],
    motion: Float[Tensor, "n width"],
    others: Float[Tensor, "m width"],
    wrong: Int64[Tensor, "n pool"],
    top_k: int = 1,
) -> Float[np.ndarray, " n"]:
    """Is motion i among the `top_k` nearest to text i, the others being `others[wrong[i]]`? Ties as in r_precision."""
    text, motion, others = text.double(), motion.double(), others.double()
    own = (text - motion).norm(dim=-1)[:, None]
    away = (text[:, None] - others[wrong]).norm(dim=-1)
    closer, tied = (away < own).sum(1), 1 + (away == own).sum(1)
    return ((top_k - closer) / tied).clamp(0, 1).double().numpy()


def fid(real: Float[Tensor, "_n width"], made: Float[Tensor, "_m width"]) -> float:
    """FID; NaN where there are too few motions to say anything."""
    if min(len(real), len(made)) < FEWEST:
        return float("nan")
    with warnings.catch_warnings():  # said where the table is shown
        warnings.filterwarnings("ignore", message="FID of")
        return metrics.fid(real, made)


def fid_halves(
    real: Float[Tensor, "n width"], made: Float[Tensor, "n width"], generator: torch.Generator
) -> float:
    """FID of one half of the clips as they are against the other half as they were made, the mean of HALVINGS.

    `made` of the same clips shares most frames with `real`, so that plain FID would be below that of real motion
    against real. With `made` = `real` this is the floor of as many clips.
    """
    middle = len(real) // 2
    found = []
    for _ in range(HALVINGS):
        order = torch.randperm(len(real), generator=generator)
        found.append(fid(real[order[:middle]], made[order[middle:]]))
    return float(np.mean(found))


def fids_of_resamples(
    real: Float[Tensor, "_n width"],
    made: Mapping[str, Float[Tensor, "_m width"]],
    generator: torch.Generator,
    same_clips: bool = True,
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """FID of each method over the same RESAMPLES of the items, drawn with replacement: what intervals are made of.

    Args:
        made: method → embeddings, item for item the same in all. same_clips: `real` is of these items, too, and drawn
            with them; else on its own.
    """
    count = len(next(iter(made.values())))
    found: dict[str, list[float]] = {method: [] for method in made}
    for _ in range(RESAMPLES):
        rows = torch.randint(count, (count,), generator=generator)
        truth = real[rows if same_clips else torch.randint(len(real), (len(real),), generator=generator)]
        for method, motions in made.items():
            found[method].append(fid(truth, motions[rows]))
    return {method: np.array(values) for method, values in found.items()}


def fids_less(
    real: Float[Tensor, "_n width"],
    made: Mapping[str, Float[Tensor, "_m width"]],
    pairs: Sequence[tuple[str, str]],
    generator: torch.Generator,
    same_clips: bool = True,
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """How much smaller the FID of a method is than a baseline's, with its 95 % interval: percentiles of resamples.

    Args:
        pairs: (method, baseline), of `made`. The rest as in `fids_of_resamples`.
    Returns:
        pair → difference, low, high; NaN where there are too few items.
    """
    whole = {method: fid(real, motions) for method, motions in made.items()}
    if not np.isfinite(list(whole.values())).all():
        return {pair: (np.nan, np.nan, np.nan) for pair in pairs}
    drawn = fids_of_resamples(real, made, generator, same_clips)
    found = {}
    for method, baseline in pairs:
        low, high = np.percentile(drawn[baseline] - drawn[method], [2.5, 97.5])
        found[method, baseline] = (whole[baseline] - whole[method], float(low), float(high))
    return found
