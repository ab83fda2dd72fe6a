"""Jerk at seams; means with intervals, paired differences and FIDs of many edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.evaluation import metrics
from mmm.evaluation.metrics import interval
from mmm.motion import features_to_joints, get_skeleton
from mmm.motion.measures import CENTIMETRES

STRADDLE = 3  # third differences, each over four frames, that contain frames of both sides of a seam
SPLITS = 20  # random splits of which the split-half FID is the mean
RESAMPLES = 200  # of the clips, for the interval of a difference of two FIDs
FEWEST = 8  # motions; there is no FID of fewer


def world(features: Float[np.ndarray, "t d"], skeleton: str = "humanml3d") -> Float[Tensor, "t j 3"]:
    """World joints, float64, in the skeleton's unit."""
    return features_to_joints(torch.from_numpy(np.array(features)).double(), skeleton)


def jerk_by_frame(
    joints: Float[Tensor, "t j 3"], fps: float = 20.0, skeleton: str = "humanml3d"
) -> Float[Tensor, " t_3"]:
    """Norm of the third difference × fps³, mean over joints, m/s³; number i belongs to frames i to i + 3."""
    metres = joints * (CENTIMETRES[get_skeleton(skeleton).unit] / 100)
    return metres.diff(n=3, dim=0).norm(dim=-1).mean(-1) * fps**3


def seam_jerk(jerk: Float[Tensor, " t_3"], seams: Sequence[int]) -> float:
    """The peak jerk at a seam, mean over seams, m/s³.

    A seam `s` lies between frames s − 1 and s. The peak is taken over the three numbers of `jerk_by_frame` that contain
    frames of both sides, s − 3 to s − 1; at an end of the clip there are fewer.
    """
    peaks = [jerk[max(0, s - STRADDLE) : s].max() for s in seams]
    return float(torch.stack(peaks).mean())


def interior_jerk(jerk: Float[Tensor, " t_3"], start: int, stop: int) -> float:
    """What `seam_jerk` would be within frames start … stop − 1, where nothing was joined, m/s³.

    The mean over the peaks of all three consecutive numbers; NaN if there are none (fewer than 6 frames).
    """
    inside = jerk[start : max(start, stop - 3)]
    if len(inside) < STRADDLE:
        return float("nan")
    return float(inside.unfold(0, STRADDLE, 1).amax(-1).mean())


# ---------------------------------------------------------------------- tables


def in_order(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Rows sorted by columns whose values stay in the order of their first appearance."""
    ranks = [rows[name].map({value: i for i, value in enumerate(rows[name].unique())}) for name in columns]
    return rows.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)


def summarise(rows: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Mean of each column over the rows (clips) of each group, and half of its 95 % interval as COLUMN_half.

    Missing numbers (NaN) are left out.
    """
    table = {}
    for key, group in rows.groupby(list(by), sort=False):
        row: dict[str, float] = {"clips": len(group)}
        for name in columns:
            values = group[name].dropna().to_numpy(float)
            row[name], row[f"{name}_half"] = interval(values) if len(values) else (np.nan, np.nan)
        table[key if len(by) > 1 else key[0]] = row
    summary = pd.DataFrame.from_dict(table, orient="index").astype({"clips": int})
    return summary.rename_axis(index=list(by) if len(by) > 1 else by[0])


def paired(
    rows: pd.DataFrame,
    item: str,
    pairs: Sequence[tuple[str, str]],
    columns: Sequence[str],
    method: str = "method",
) -> list[dict[str, object]]:
    """How much smaller a metric is than a baseline's, as the mean of the differences between the same items.

    Args:
        rows: columns `item`, `method`, and the metrics. item: the column that says which rows belong together.
        pairs: (method, baseline).
    Returns:
        method, baseline, measure, clips, less (baseline − method), low, high (95 % interval) of each pair and metric.
    """
    wide = rows.set_index([item, method])[list(columns)].unstack(method)
    table = []
    for one, baseline in pairs:
        for name in columns:
            if (name, one) not in wide or (name, baseline) not in wide:
                continue
            less = (wide[name, baseline] - wide[name, one]).dropna().to_numpy(float)
            if len(less):
                mean, half = interval(less)
                table.append(_difference(one, baseline, name, len(less), mean, mean - half, mean + half))
    return table


def _difference(
    method: str, baseline: str, metric: str, clips: int, less: float, low: float, high: float
) -> dict[str, object]:
    values = {"clips": clips, "less": less, "low": low, "high": high}
    return {"method": method, "baseline": baseline, "measure": metric, **values}


def fid(real: Float[Tensor, "_n width"], other: Float[Tensor, "_m width"]) -> float:
    """FID; NaN if there are too few motions to say anything."""
    if min(len(real), len(other)) < FEWEST:
        return float("nan")
    return metrics.fid(real, other, warn=False)


def split_half_fid(
    real: Float[Tensor, "n width"], other: Float[Tensor, "n width"], generator: torch.Generator
) -> float:
    """`mmm.evaluation.metrics.split_half_fid`; NaN if there are too few motions.

    An edited clip shares most frames with the real one, so its plain FID would be below that of real motion. The row
    with `other` = `real` is the floor.
    """
    if len(real) // 2 < FEWEST:
        return float("nan")
    return metrics.split_half_fid(real, other, generator, SPLITS)


def paired_fid(
    real: Float[Tensor, "_n width"],
    embeddings: Mapping[str, Float[Tensor, "_m width"]],
    pairs: Sequence[tuple[str, str]],
    generator: torch.Generator,
    name: str = "fid",
    same_clips: bool = True,
) -> list[dict[str, object]]:
    """How much smaller the FID of a method is than a baseline's, as `paired`; intervals are percentiles of RESAMPLES.

    Args:
        embeddings: method → its motions, item for item the same in all. pairs: (method, baseline), of these.
        name: of the metric in the result.
        same_clips: the real motions are of the same items and are drawn with them; else they are drawn on their own.
    """
    whole = {method: fid(real, motions) for method, motions in embeddings.items()}
    count = len(next(iter(embeddings.values())))
    if not np.isfinite(list(whole.values())).all():
        return [_difference(*pair, name, count, np.nan, np.nan, np.nan) for pair in pairs]
    drawn: dict[str, list[float]] = {method: [] for method in embeddings}
    for _ in range(RESAMPLES):
        rows = torch.randint(count, (count,), generator=generator)
        real_rows = rows if same_clips else torch.randint(len(real), (len(real),), generator=generator)
        for method, motions in embeddings.items():
            drawn[method].append(fid(real[real_rows], motions[rows]))
    table = []
    for method, baseline in pairs:
        low, high = np.percentile(np.subtract(drawn[baseline], drawn[method]), [2.5, 97.5])
        less = whole[baseline] - whole[method]
        table.append(_difference(method, baseline, name, count, less, float(low), float(high)))
    return table
