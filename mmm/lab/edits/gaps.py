"""In-betweening of held-out clips, by the length of the gap: the model, with and without a text, against curves.

Both sides of a gap stand fixed in the world, so that edit and clip can be compared frame by frame. Over a short gap
hardly anything can happen, and a curve from the last pose to the next one is hard to beat; the question is from
which length on a model is worth its trouble.

    table, judged, made = measure_gaps(model, judge)
    summary, less = gap_tables(table, judged)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from mmm.editing import join_features, keep_outside
from mmm.errors import require
from mmm.lab.edits.clips import HeldOut
from mmm.lab.edits.interpolate import interpolate
from mmm.lab.edits.judge import Judge, fid, fid_halves, fids_less
from mmm.lab.edits.measures import gap_numbers, paired, summarise
from mmm.model import MMM
from mmm.motion import Motion
from mmm.seams import BLEND
from mmm.tokenizer import Tokenizer

METHODS = ("text", "no text", "linear", "cubic", "tokenizer", "real")
MEASURES = (
    "mpjpe_world",
    "mpjpe_local",
    "kept_error",
    "seam_jerk",
    "interior_jerk",
    "seam_excess",
    "gap_jerk",
    "skating",
)
BASELINES = ("linear", "cubic", "no text", "tokenizer", "real")
SIDE = 8  # frames that a clip has at least on either side of a gap given as a share: two tokens
ROOM = 16  # and on either side of the longest of the gaps given in frames
SEEN = (
    24  # frames that a gap has at least to be judged alone: evaluators were trained on clips, not on moments
)


@dataclass(frozen=True)
class Gap:
    """A gap in the middle of a clip: a `share` of its frames, or so many `frames`; the other is 0."""

    share: float = 0.0
    frames: int = 0

    def __post_init__(self) -> None:
        require(
            (0 < self.share < 1 and self.frames == 0)
            or (self.share == 0 and self.frames > 0 and self.frames % 4 == 0),
            f"a gap of share {self.share} and {self.frames} frames; give a share between 0 and 1, or 4, 8, … frames.",
        )

    def __str__(self) -> str:
        return f"{self.share:.0%} of the clip" if self.share else f"{self.frames} frames"

    def within(self, frames: int) -> tuple[int, int]:
        """(first, behind the last) in a clip of so many frames; both on borders of tokens, as the data allow."""
        size = self.frames or max(4, 4 * round(self.share * frames / 4))
        start = 4 * round((frames - size) / 8)
        return start, start + size


GAPS = (*(Gap(share=s) for s in (0.25, 0.5, 0.75)), *(Gap(frames=n) for n in (8, 16, 32, 64)))


def long_enough(gap: Gap, gaps: Sequence[Gap], lengths: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which clips a gap is cut into: the same ones for all shares, and the same ones for all numbers of frames.

    Else longer gaps would be measured on other clips, which are longer for a reason.
    """
    if gap.share:
        widest = max((g for g in gaps if g.share), key=lambda g: g.share)
        sides = [min(a, n - b) for n in lengths.tolist() for a, b in [widest.within(n)]]
        return np.array(sides) >= SIDE
    return lengths >= max(g.frames for g in gaps) + 2 * ROOM


def reconstruct_gap(
    tokenizer: Tokenizer,
    features: Float[np.ndarray, "t d"],
    gap: tuple[int, int],
    skeleton: str = "humanml3d",
    blend: int = BLEND,
) -> Float[np.ndarray, "t d"]:
    """The gap filled with the tokenizer's reconstruction of what is really there: what a transformer would give that
    knew every token. Joined with the kept frames in the way of `mmm.editing.edit`."""
    source = torch.from_numpy(features)
    device = tokenizer.codebook.device
    with torch.no_grad():
        tokens = tokenizer.encode(source[None].to(device))
        made = tokenizer.decode(tokens, torch.tensor([len(source)], device=device))[0, : len(source)].cpu()
    kept = keep_outside(len(source), [gap]).repeat(tokenizer.config.parts, 1)
    return join_features(source, made, kept, skeleton, blend).numpy()


def fill_gap(
    model: MMM, motion: Motion, gap: tuple[int, int], method: str, seed: int = 0, **options: Any
) -> Float[np.ndarray, "t d"]:
    """Features of `motion` with the gap made anew by one of METHODS.

    Args:
        motion: with its caption. options: of the sampler; guidance is the model's own by default.
    Raises:
        ValueError: another method; a model that was never trained without a text, asked to go without.
    """
    require(method in METHODS, f"method is {method!r}, expected one of {', '.join(METHODS)}.")
    features = np.asarray(motion.features, np.float32)
    skeleton = model.info["skeleton"]
    if method == "real":
        return features
    if method == "tokenizer":
        return reconstruct_gap(model.tokenizer, features, gap, skeleton)
    if method in ("linear", "cubic"):
        kept = keep_outside(len(features), [gap])
        return interpolate(torch.from_numpy(features), kept, method, skeleton).numpy()
    text = motion.text if method == "text" else None
    if text is None:
        options.pop("guidance", None)
    return model.edit(motion, gap, text=text, seed=seed, **options).features.numpy()


@dataclass(frozen=True)
class Judged:
    """Embeddings of one gap's clips by method, and the numbers of the clips.

    Attributes:
        motions: of whole clips. pieces: of the frames of the gap alone, where they are SEEN or more.
    """

    clips: list[int]
    motions: dict[str, Float[Tensor, "n width"]]
    pieces: dict[str, Float[Tensor, "m width"]]


def measure_gaps(
    model: MMM,
    judge: Judge,
    gaps: Sequence[Gap] = GAPS,
    count: int | None = None,
    methods: Sequence[str] = METHODS,
    progress: bool = True,
    **options: Any,
) -> tuple[pd.DataFrame, dict[str, Judged]]:
    """Fill each gap of each clip in each way, and measure it.

    Args:
        judge: with the split's clips. count: only so many of them.
        options: of the sampler (steps, guidance, temperature, …).
    Returns:
        A row for each gap, clip and method: gap, method, clip (its number), id, frames, text, the MEASURES, r1 and r3
        of the whole clip, r1_gap of the gap's frames alone (NaN below SEEN); and embeddings by gap.
    Raises:
        ValueError: no clip is long enough; and as `fill_gap`.
    """
    held = judge.held
    chosen = {gap: held.choose(long_enough(gap, gaps, held.packed.lengths), count) for gap in gaps}
    rows, judged = [], {}
    with tqdm(total=sum(map(len, chosen.values())), desc="gaps", unit="clip", disable=not progress) as bar:
        for gap, clips in chosen.items():
            made: dict[str, list[np.ndarray]] = {method: [] for method in methods}
            found = []
            for clip in clips:
                motion = held.motion(clip)
                place = gap.within(len(motion.features))
                about = {"id": held.packed.ids[clip], "frames": len(motion.features), "text": motion.text}
                for method in methods:
                    result = fill_gap(model, motion, place, method, held.noise(clip), **options)
                    made[method].append(result)
                    numbers = gap_numbers(
                        np.asarray(motion.features), result, place, held.folder.fps, held.folder.skeleton
                    )
                    found.append({"gap": str(gap), "method": method, "clip": clip, **about, **numbers})
                bar.update()
            rows += _recognised(pd.DataFrame(found), judge, clips, made, judged, gap)
    return pd.concat(rows, ignore_index=True), judged


def _recognised(
    table: pd.DataFrame,
    judge: Judge,
    clips: list[int],
    made: dict[str, list[np.ndarray]],
    judged: dict[str, Judged],
    gap: Gap,
) -> list[pd.DataFrame]:
    """The table by method, with r1, r3 and r1_gap; embeddings go into `judged`."""
    places = [gap.within(int(judge.held.packed.lengths[clip])) for clip in clips]
    wide = [i for i, (start, stop) in enumerate(places) if stop - start >= SEEN]
    motions, pieces, tables = {}, {}, []
    for method, features in made.items():
        rows = table[table["method"] == method]
        motions[method] = judge.embed(features)
        hits = judge.found(motions[method], *_asked(judge, clips))
        hits["r1_gap"] = np.full(len(clips), np.nan)
        if wide:
            pieces[method] = judge.embed([features[i][slice(*places[i])] for i in wide])
            hits["r1_gap"][wide] = judge.found(pieces[method], *_asked(judge, [clips[i] for i in wide]))["r1"]
        tables.append(rows.assign(**hits))
    judged[str(gap)] = Judged(clips, motions, pieces)
    return tables


def _asked(judge: Judge, clips: list[int]) -> tuple[list, list, list[int]]:
    """Captions of clips, what they tell, and the numbers that draw their pools."""
    held = judge.held
    return [held.captions[clip] for clip in clips], [held.shown[clip] for clip in clips], clips


def gap_tables(
    table: pd.DataFrame, judged: dict[str, Judged], held: HeldOut
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `measure_gaps` found, in two tables.

    Returns:
        summary: by gap and method, the means of all measures, their intervals (MEASURE_half), fid (of all clips
            against the same clips as they are), fid_halves (`judge.fid_halves`; the row "real" is its floor); the
            same of the gaps' frames alone as fid_gap, fid_halves_gap.
        less: how much smaller a measure is than a baseline's, clip by clip (`measures.paired`), FID by resampling.
    """
    measured = [*MEASURES, "r1", "r3", "r1_gap"]
    summary = summarise(table, ("gap", "method"), measured)
    pairs = [(m, b) for m in table["method"].unique() for b in BASELINES if m != b]
    less = paired(table, ("gap",), "clip", pairs, measured)
    more = []
    for gap, found in judged.items():
        for suffix, motions in (("", found.motions), ("_gap", found.pieces)):
            if "real" not in motions:
                continue
            real = motions["real"]
            for method, embedded in motions.items():
                summary.loc[(gap, method), f"fid{suffix}"] = fid(real, embedded)
                halves = fid_halves(real, embedded, held.generator("bootstrap"))
                summary.loc[(gap, method), f"fid_halves{suffix}"] = halves
            some = [(m, b) for m, b in pairs if "real" not in (m, b) and m in motions and b in motions]
            differences = fids_less(real, motions, some, held.generator("bootstrap", 1))
            more += [[gap, *pair, f"fid{suffix}", len(real), *values] for pair, values in differences.items()]
    return summary, pd.concat([less, pd.DataFrame(more, columns=less.columns)], ignore_index=True)


def wins_from(
    less: pd.DataFrame,
    measure: str,
    method: str = "text",
    baseline: str = "cubic",
    gaps: Sequence[str] = tuple(str(gap) for gap in GAPS if gap.frames),
) -> str | None:
    """The shortest of the gaps (in their order) from which on the method beats the baseline in all longer ones.

    To beat is to have an interval of the difference that lies wholly on the better side of 0. None: it never does, or
    not in the longest one.
    """
    sign = -1 if measure.startswith("r") else 1  # these are better where they are larger
    rows = less[(less.method == method) & (less.baseline == baseline) & (less.measure == measure)]
    rows = rows.set_index("gap")
    found = None
    for gap in reversed(gaps):
        if gap not in rows.index:
            continue
        row = rows.loc[gap]
        if not min(sign * row["low"], sign * row["high"]) > 0:
            return found
        found = gap
    return found


def wins_table(
    less: pd.DataFrame,
    measures: Sequence[str] = ("mpjpe_world", "mpjpe_local", "fid", "fid_gap", "r1", "r1_gap", "skating"),
) -> pd.DataFrame:
    """`wins_from` of the model with and without a text against both curves: columns measure, method, linear, cubic."""
    rows = [
        [measure, method, *(wins_from(less, measure, method, baseline) for baseline in ("linear", "cubic"))]
        for measure in measures
        for method in ("text", "no text")
    ]
    return pd.DataFrame(rows, columns=["measure", "method", "linear", "cubic"])
