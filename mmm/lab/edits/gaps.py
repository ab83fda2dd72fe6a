"""In-betweening of held-out clips by the length of the gap: the model, with and without a text, against curves.

Both sides of a gap stand fixed in the world, so the edit and the clip can be compared frame by frame. In a short gap
hardly anything can happen, and a curve from the last pose to the next one is hard to beat. The question is from which
length on a model is better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from mmm.editing import join_features
from mmm.editing_tasks import keep_outside
from mmm.errors import require
from mmm.lab.edits.held_out import HeldOut
from mmm.lab.edits.interpolate import interpolate
from mmm.lab.edits.metrics import (
    fid,
    in_order,
    interior_jerk,
    jerk_by_frame,
    paired,
    paired_fid,
    seam_jerk,
    split_half_fid,
    summarise,
    world,
)
from mmm.model import MMM
from mmm.motion import Motion, get_skeleton, measures
from mmm.motion.measures import CENTIMETRES
from mmm.tokenizer import Tokenizer

METHODS = ("text", "no text", "linear", "cubic", "tokenizer", "real")
BASELINES = ("linear", "cubic", "no text", "tokenizer", "real")
METRICS = (
    "mpjpe_world",
    "mpjpe_local",
    "kept_error",
    "seam_jerk",
    "interior_jerk",
    "seam_excess",
    "gap_jerk",
    "skating",
)
WINS = ("mpjpe_world", "mpjpe_local", "fid", "fid_gap", "r1", "r1_gap", "skating")
SIDE = 8  # frames that a clip needs on either side of a gap given as a fraction: two tokens
MARGIN = 16  # and on either side of the longest gap given in frames
SEEN = 24  # frames that a gap needs to be evaluated alone: evaluators were trained on clips, not on moments


@dataclass(frozen=True)
class Gap:
    """A gap in the middle of a clip: a `fraction` of its frames, or 4, 8, … `frames`; the other is 0."""

    fraction: float = 0.0
    frames: int = 0

    def __str__(self) -> str:
        return f"{self.fraction:.0%} of the clip" if self.fraction else f"{self.frames} frames"

    def within(self, frames: int) -> tuple[int, int]:
        """(start, stop) in a clip of `frames` frames; both are borders of tokens."""
        size = self.frames or max(4, 4 * round(self.fraction * frames / 4))
        start = 4 * round((frames - size) / 8)
        return start, start + size


GAPS = (*(Gap(fraction=s) for s in (0.25, 0.5, 0.75)), *(Gap(frames=n) for n in (8, 16, 32, 64)))


def long_enough(gap: Gap, gaps: Sequence[Gap], lengths: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which clips a gap is cut into: the same clips for all fractions, and the same for all numbers of frames.

    Otherwise longer gaps would be evaluated on other clips, which are longer for a reason.
    """
    if gap.fraction:
        widest = max((g for g in gaps if g.fraction), key=lambda g: g.fraction)
        sides = [min(a, n - b) for n in lengths.tolist() for a, b in [widest.within(n)]]
        return np.array(sides) >= SIDE
    return lengths >= max(g.frames for g in gaps) + 2 * MARGIN


# ---------------------------------------------------------------------- one gap


def fill_gap(
    model: MMM, motion: Motion, gap: tuple[int, int], method: str, seed: int = 0, **options: Any
) -> Float[np.ndarray, "t d"]:
    """Features of `motion` with the gap filled by one of METHODS.

    Args:
        motion: with its caption. options: of the sampler; guidance is the model's own by default.
    Raises:
        ValueError: another method; "no text" for a model that was never trained without a text.
    """
    require(method in METHODS, f"method is {method!r}, expected one of {', '.join(METHODS)}.")
    features, skeleton = np.asarray(motion.features, np.float32), model.info["skeleton"]
    if method == "real":
        return features
    if method == "tokenizer":
        return reconstruct_gap(model.tokenizer, features, gap, skeleton)
    if method in ("linear", "cubic"):
        kept = keep_outside(len(features), [gap])
        return interpolate(torch.from_numpy(features), kept, method, skeleton).numpy()
    text = motion.text if method == "text" else None
    return model.edit(motion, gap, text=text, seed=seed, **options).features.numpy()


@torch.no_grad()
def reconstruct_gap(
    tokenizer: Tokenizer,
    features: Float[np.ndarray, "t d"],
    gap: tuple[int, int],
    skeleton: str = "humanml3d",
) -> Float[np.ndarray, "t d"]:
    """The gap filled with the tokenizer's reconstruction of the real clip, joined as in `mmm.editing.edit`.

    This is what a transformer would give that predicts every token correctly.
    """
    source, device = torch.from_numpy(features), tokenizer.codebook.device
    tokens = tokenizer.encode(source[None].to(device))
    decoded = tokenizer.decode(tokens, torch.tensor([len(source)], device=device))[0, : len(source)].cpu()
    kept = keep_outside(len(source), [gap]).repeat(tokenizer.config.parts, 1)
    return join_features(source, decoded, kept, skeleton).numpy()


def gap_numbers(
    source: Float[np.ndarray, "t d"],
    edited: Float[np.ndarray, "t d"],
    gap: tuple[int, int],
    fps: float = 20.0,
    skeleton: str = "humanml3d",
) -> dict[str, float]:
    """All METRICS of one filled gap.

    Args:
        source: the real clip. edited: with the frames of `gap` (start, stop) filled.
    Returns:
        mpjpe_world, mpjpe_local: mean over the gap's frames, cm. kept_error: the largest distance of any joint in any
        kept frame, cm. seam_jerk (at both ends of the gap), interior_jerk, seam_excess (their difference: what joining
        adds), gap_jerk (mean over the gap), m/s³. skating: fraction of the gap's frame pairs, including those across
        its ends.
    """
    start, stop = gap
    real, joints = world(source, skeleton), world(edited, skeleton)
    distance = (joints - real).norm(dim=-1) * CENTIMETRES[get_skeleton(skeleton).unit]
    kept = keep_outside(len(real), [gap])
    jerk = jerk_by_frame(joints, fps, skeleton)
    at_seams, within = seam_jerk(jerk, (start, stop)), interior_jerk(jerk, start, stop)
    local = measures.mpjpe_local(np.array(edited), np.array(source), skeleton)
    return {
        "mpjpe_world": float(distance[start:stop].mean()),
        "mpjpe_local": float(local[start:stop].mean()),
        "kept_error": float(distance[kept].max()),
        "seam_jerk": at_seams,
        "interior_jerk": within,
        "seam_excess": at_seams - within,
        "gap_jerk": float(jerk[start : max(start + 1, stop - 3)].mean()),
        "skating": float(measures.foot_skating(joints[start - 1 : stop + 1], fps, skeleton)),
    }


# ---------------------------------------------------------------------- all gaps

# (gap, "") holds embeddings of whole clips by method, (gap, "_gap") those of the gap's frames alone.
Embeddings = dict[tuple[str, str], dict[str, Float[Tensor, "_n width"]]]


def evaluate_gaps(
    model: MMM, held: HeldOut, gaps: Sequence[Gap] = GAPS, progress: bool = True
) -> tuple[pd.DataFrame, Embeddings]:
    """Fill each gap of each clip by each method.

    Returns:
        a row for each gap, method and clip: gap, method, clip (its number), id, frames, text, the METRICS, r1 and r3
        of the whole clip, r1_gap of the gap's frames alone (NaN below SEEN); and embeddings.
    Raises:
        ValueError: no clip is long enough; as `fill_gap`.
    """
    lengths, fps, skeleton = held.packed.lengths, held.folder.fps, held.folder.skeleton
    items = [(gap, clip) for gap in gaps for clip in held.choose(long_enough(gap, gaps, lengths))]
    rows = []
    embeddings: dict = defaultdict(lambda: {method: [] for method in METHODS})
    for gap, clip in tqdm(items, "gaps", unit="clip", disable=not progress):
        motion, query = held.motion(clip), held.query(clip)
        start, stop = gap.within(len(motion.features))
        about = {"id": held.packed.ids[clip], "frames": len(motion.features), "text": motion.text}
        for method in METHODS:
            edited = fill_gap(model, motion, (start, stop), method, held.noise(clip), **held.config.sampler())
            numbers = gap_numbers(motion.features, edited, (start, stop), fps, skeleton)
            embedded = held.embed(edited)
            embeddings[str(gap), ""][method].append(embedded)
            numbers |= query.hits(embedded) | {"r1_gap": np.nan}
            if stop - start >= SEEN:
                embedded = held.embed(edited[start:stop])
                embeddings[str(gap), "_gap"][method].append(embedded)
                numbers["r1_gap"] = query.hits(embedded)["r1"]
            rows.append({"gap": str(gap), "method": method, "clip": clip, **about, **numbers})
    table = in_order(pd.DataFrame(rows), "gap", "method")
    return table, {key: {m: torch.cat(v) for m, v in some.items()} for key, some in embeddings.items()}


def gap_tables(rows: pd.DataFrame, embeddings: Embeddings, held: HeldOut) -> dict[str, pd.DataFrame]:
    """The results of `evaluate_gaps` in three tables.

    Returns:
        summary: by gap and method, the means of all metrics, their intervals (METRIC_half), fid (of all clips against
        the same real clips) and fid_halves (split-half FID; the row "real" is its floor); the same of the gaps' frames
        alone as fid_gap and fid_halves_gap.
        less: how much smaller a metric is than a baseline's, clip by clip; FID by resampling.
        wins: from which gap on the model is better than a curve (`wins_table`).
    """
    columns = [*METRICS, "r1", "r3", "r1_gap"]
    summary = summarise(rows, ("gap", "method"), columns)
    pairs = [(method, baseline) for method in METHODS for baseline in BASELINES if method != baseline]
    less = [
        {"gap": gap, **row}
        for gap, group in rows.groupby("gap", sort=False)
        for row in paired(group, "clip", pairs, columns)
    ]
    generated_pairs = [pair for pair in pairs if "real" not in pair]
    for (gap, suffix), by_method in embeddings.items():
        real = by_method["real"]
        for method, motions in by_method.items():
            row = (gap, method)
            summary.loc[row, f"fid{suffix}"] = fid(real, motions)
            summary.loc[row, f"fid_halves{suffix}"] = split_half_fid(
                real, motions, held.generator("bootstrap")
            )
        generator = held.generator("bootstrap", 1)
        differences = paired_fid(real, by_method, generated_pairs, generator, f"fid{suffix}")
        less += [{"gap": gap, **row} for row in differences]
    table = pd.DataFrame(less)
    return {"summary": summary, "less": table, "wins": wins_table(table)}


def wins_table(less: pd.DataFrame) -> pd.DataFrame:
    """`wins_from` of the model with and without a text against both curves: measure, method, linear, cubic."""
    rows = [
        [metric, method, *(wins_from(less, metric, method, baseline) for baseline in ("linear", "cubic"))]
        for metric in WINS
        for method in ("text", "no text")
    ]
    return pd.DataFrame(rows, columns=["measure", "method", "linear", "cubic"])


def wins_from(
    less: pd.DataFrame,
    metric: str,
    method: str = "text",
    baseline: str = "cubic",
    gaps: Sequence[str] = tuple(str(gap) for gap in GAPS if gap.frames),
) -> str | None:
    """The shortest of the gaps (in their order) from which on the method beats the baseline in all longer ones.

    A method beats the baseline if the whole interval of the difference is on the better side of 0. None: it does not,
    or not in the longest gap.
    """
    sign = -1 if metric.startswith("r") else 1  # R-precision is better if it is larger
    chosen = (less.method == method) & (less.baseline == baseline) & (less.measure == metric)
    by_gap: Mapping[str, pd.Series] = dict(less[chosen].set_index("gap").iterrows())
    first = None
    for gap in reversed([gap for gap in gaps if gap in by_gap]):
        if not min(sign * by_gap[gap]["low"], sign * by_gap[gap]["high"]) > 0:
            break
        first = gap
    return first
