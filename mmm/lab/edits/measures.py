"""What is measured of an edited clip beside the clip it was made from; and means with intervals of many of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.evaluation.metrics import interval
from mmm.motion import features_to_joints, get_skeleton, measures
from mmm.motion.measures import CENTIMETRES

STRADDLE = 3  # third differences, each over four frames, that hold frames of both sides of a seam


def world(features: Float[np.ndarray, "t d"], skeleton: str = "humanml3d") -> Float[Tensor, "t j 3"]:
    """Joints in the world, float64, in the skeleton's unit."""
    return features_to_joints(torch.from_numpy(np.array(features)).double(), skeleton)


def jerk_by_frame(
    joints: Float[Tensor, "t j 3"], fps: float = 20.0, skeleton: str = "humanml3d"
) -> Float[Tensor, " t_3"]:
    """Third difference of the joints × fps³, its size, the mean over joints, m/s³; number i is of frames i to i + 3."""
    metres = joints * (CENTIMETRES[get_skeleton(skeleton).unit] / 100)
    return metres.diff(n=3, dim=0).norm(dim=-1).mean(-1) * fps**3


def seam_jerk(jerk: Float[Tensor, " t_3"], seams: Sequence[int]) -> float:
    """The peak jerk at a seam, the mean over seams, m/s³.

    A seam `s` lies between frames s − 1 and s. Of the jerk (`jerk_by_frame`) the three numbers are looked at that
    hold frames of both sides, s − 3 to s − 1; fewer at an end of the clip.

    Raises:
        ValueError: a seam without a frame before it or behind it.
    """
    frames = len(jerk) + 3
    require(
        all(0 < s < frames for s in seams) and len(seams) > 0,
        f"seams are {list(seams)}, expected frames 1 to {frames - 1} of a clip of {frames}.",
    )
    peaks = [jerk[max(0, s - STRADDLE) : s].max() for s in seams]
    return float(torch.stack(peaks).mean())


def interior_jerk(jerk: Float[Tensor, " t_3"], start: int, stop: int) -> float:
    """What `seam_jerk` would be at a place within frames start … stop − 1 where nothing was joined, m/s³.

    The mean peak of all three numbers in a row that lie within; NaN where there are none (fewer than 6 frames).
    """
    inside = jerk[start : max(start, stop - 3)]
    if len(inside) < STRADDLE:
        return float("nan")
    return float(inside.unfold(0, STRADDLE, 1).amax(-1).mean())


def gap_numbers(
    source: Float[np.ndarray, "t d"],
    made: Float[np.ndarray, "t d"],
    gap: tuple[int, int],
    fps: float = 20.0,
    skeleton: str = "humanml3d",
) -> dict[str, float]:
    """All that is measured of one filled gap.

    Args:
        source: the clip as it really is. made: with the frames of `gap` (first, behind the last) made anew.
    Returns:
        mpjpe_world, mpjpe_local: mean over the gap's frames, cm. kept_error: the largest distance of any joint in any
        kept frame, cm. seam_jerk (at both ends of the gap), interior_jerk, seam_excess (the first less the second: what
        the joining adds), gap_jerk (mean over the gap), m/s³.
        skating: share of the gap's frame pairs, those across its ends among them.
    """
    start, stop = gap
    true, joints = world(source, skeleton), world(made, skeleton)
    away = (joints - true).norm(dim=-1) * CENTIMETRES[get_skeleton(skeleton).unit]
    kept = torch.ones(len(true), dtype=torch.bool)
    kept[start:stop] = False
    jerk = jerk_by_frame(joints, fps, skeleton)
    at_seams, within = seam_jerk(jerk, (start, stop)), interior_jerk(jerk, start, stop)
    local = measures.mpjpe_local(np.array(made), np.array(source), skeleton)
    return {
        "mpjpe_world": float(away[start:stop].mean()),
        "mpjpe_local": float(local[start:stop].mean()),
        "kept_error": float(away[kept].max()),
        "seam_jerk": at_seams,
        "interior_jerk": within,
        "seam_excess": at_seams - within,
        "gap_jerk": float(jerk[start : max(start + 1, stop - 3)].mean()),
        "skating": float(measures.foot_skating(joints[start - 1 : stop + 1], fps, skeleton)),
    }


def summarise(table: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Means over the rows (clips) of each group, in their order, with MEASURE_half: half of the 95 % interval.

    Numbers that are not there (NaN) are left out.
    """
    rows = {}
    for key, group in table.groupby(list(by), sort=False):
        row: dict[str, float] = {"clips": len(group)}
        for name in columns:
            values = group[name].dropna().to_numpy(float)
            row[name], row[f"{name}_half"] = interval(values) if len(values) else (np.nan, np.nan)
        rows[key if len(by) > 1 else key[0]] = row
    found = pd.DataFrame.from_dict(rows, orient="index").astype({"clips": int})
    return found.rename_axis(index=list(by) if len(by) > 1 else by[0])


def paired(
    table: pd.DataFrame,
    by: Sequence[str],
    item: str,
    pairs: Sequence[tuple[str, str]],
    columns: Sequence[str],
) -> pd.DataFrame:
    """Differences clip by clip between methods: how much smaller a measure is than the baseline's.

    Args:
        table: columns `by`, `item`, method, and the measures. item: what is compared with itself.
        pairs: (method, baseline).
    Returns:
        columns of `by`, method, baseline, measure, clips, less (baseline − method), low, high (95 % interval).
    """
    rows = []
    for key, group in table.groupby(list(by), sort=False):
        wide = group.set_index([item, "method"])[list(columns)].unstack("method")
        for method, baseline in pairs:
            for name in columns:
                if (name, method) not in wide or (name, baseline) not in wide:
                    continue
                less = (wide[name, baseline] - wide[name, method]).dropna().to_numpy(float)
                if not len(less):
                    continue
                mean, half = interval(less)
                rows.append([*key, method, baseline, name, len(less), mean, mean - half, mean + half])
    names = [*by, "method", "baseline", "measure", "clips", "less", "low", "high"]
    return pd.DataFrame(rows, columns=names)
