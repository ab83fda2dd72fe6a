"""Does asking again for the least sure places help? Rules of re-masking against each other, where the truth is known.

A gap is cut into held-out clips and filled by each rule with equally many passes, that is with equal compute, and the
frames of the gap are compared with those of the clip. `mmm evaluate --remask` judges whole generated motions.


Pictures of decoding: a canvas filling up, what the sampler's knobs change, whether confidence is honest.

Every function takes arrays and returns a matplotlib figure, or draws into axes; none computes what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from torch import Tensor

from mmm.errors import require
from mmm.motion import measures
from mmm.sampling import REMASKING, Step, decode_many, fill
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, MaskedTransformer

if TYPE_CHECKING:
    from pandas import DataFrame

MASKED = "#c9ccd3"
BODY_PARTS = {1: ("",), 2: (", upper body", ", lower body")}
RIGHT, WRONG, IDEAL = "#2a788e", "#e07b39", "#8a8f99"
Numbers = Float[np.ndarray, " n"] | Float[Tensor, " n"]


def filling_rows(trace: Sequence[Step], item: int, length: int, part: int = 0) -> Float[np.ndarray, "rows n"]:
    """One item's decode as rows of confidence: before and after its first pass, before and after its second …

    NaN where the place is masked. Passes that the item did not need (it was done) are left out; one that wrote only
    the other body part is not, so that the rows of the parts stay side by side.
    """
    rows = []
    for step in trace:
        open_places = (step.canvas[item, :, :length] == MASK).numpy()
        masked = open_places[part]
        if open_places.any():
            # A place that is kept holds in this pass what it held before: the pass did not touch it.
            after = step.confidence[item, part, :length].double().numpy()
            rows += [np.where(masked, np.nan, after), after]
    return np.array(rows).reshape(-1, length)


def plot_filling(trace: Sequence[Step], lengths: Int64[Tensor, " b"], titles: Sequence[str]) -> Figure:
    """Steps × places: every pass of every item, what it found (masked in grey) above what it left.

    Of two body parts the upper one is on the left, the lower one on the right.

    Args:
        trace: of `fill(..., trace=True)`. lengths: tokens of each item. titles: one for each item.
    """
    sizes = lengths.tolist()
    require(len(titles) == len(sizes), f"{len(titles)} titles for {len(sizes)} items: give one an item")
    parts = range(trace[0].canvas.shape[1])
    pictures = [[filling_rows(trace, item, size, part) for part in parts] for item, size in enumerate(sizes)]
    # The colours reach to the next tenth above the surest place: a young model is nowhere near 1.
    surest = max(np.nanmax(rows, initial=0.0) for own in pictures for rows in own)
    highest = max(0.1, math.ceil(10 * surest) / 10)
    heights = [len(own[0]) + 2.0 for own in pictures]  # two rows' worth for the title
    figure = Figure(figsize=(11, 0.17 * sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(len(sizes), len(parts), squeeze=False, height_ratios=heights)
    panels = [
        (ax, rows) for row, own in zip(axes, pictures, strict=True) for ax, rows in zip(row, own, strict=True)
    ]
    for ax, rows in panels:
        passes, length = len(rows) // 2, rows.shape[1]
        colours = ListedColormap(_viridis()).with_extremes(bad=MASKED)
        edges = np.sort(np.concatenate([np.arange(passes + 1), np.arange(passes) + 0.42]))
        mesh = ax.pcolormesh(
            np.arange(length + 1), edges, np.ma.masked_invalid(rows), cmap=colours, vmin=0, vmax=highest
        )
        ax.hlines(np.arange(1, passes), 0, length, color="white", linewidth=3)
        ax.set_yticks(np.arange(passes) + 0.5, np.arange(1, passes + 1))
        ax.set(ylim=(passes, 0), xlim=(0, max(sizes)))
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    for ax, title in zip(axes[:, 0], titles, strict=True):
        ax.set(ylabel="pass")
        ax.set_title(title, loc="left", fontsize=10)
    for ax, name in zip(axes[-1], BODY_PARTS[len(parts)], strict=True):
        ax.set_xlabel(f"place on the canvas{name} (one token: 4 frames, 0.2 s)")
    axes[0, -1].legend(
        handles=[Patch(color=MASKED, label="MASK")],
        loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderpad=0,
    )  # fmt: skip
    figure.colorbar(mesh, ax=list(axes.flat), label="confidence", fraction=0.025, pad=0.01)
    return figure


def _viridis() -> Float[np.ndarray, "256 4"]:
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0.05, 1, 256))


def plot_knobs(tables: Mapping[str, DataFrame], marks: Mapping[str, Mapping[str, float]]) -> Figure:
    """Small multiples: a row for each knob, a column for each measure, a line at each mark.

    Args:
        tables: by knob ("steps"): a row for each setting (its index), a column for each measure.
        marks: by name ("real clips"): values of those measures that it has, to compare with; at most three.
    """
    measures = list(next(iter(tables.values())).columns)
    styles = ("--", ":", "-.")
    require(len(marks) <= len(styles), f"{len(marks)} marks, expected at most {len(styles)}: show fewer")
    widest = max(len(table) for table in tables.values())
    figure = Figure(figsize=(2.6 * len(measures), 1.7 * len(tables) + 0.3), layout="constrained")
    axes = figure.subplots(len(tables), len(measures), squeeze=False, sharey="col")
    for row, (knob, table) in zip(axes, tables.items(), strict=True):
        for ax, measure in zip(row, measures, strict=True):
            names = [
                f"{setting:g}" if isinstance(setting, float) else str(setting) for setting in table.index
            ]
            ax.bar(names, table[measure], width=0.6 * len(table) / widest, color=RIGHT)
            for style, values in zip(styles, marks.values(), strict=False):
                if measure in values:
                    ax.axhline(values[measure], color=WRONG, linestyle=style, linewidth=1.5)
            ax.set(xlabel=knob, xlim=(-0.5, len(table) - 0.5))
            ax.grid(axis="y", alpha=0.3)
    for ax, measure in zip(axes[0], measures, strict=True):
        ax.set_title(measure, fontsize=10)
    if marks:
        lines = [Line2D([], [], color=WRONG, linestyle=style) for style in styles[: len(marks)]]
        figure.legend(lines, list(marks), loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    return figure


def plot_reliability(
    ax: Axes, said: Numbers, true: Numbers, share: Numbers, title: str = "reliability diagram"
) -> None:
    """Confidence against accuracy, one bar a bin; the area of its dot says how much lies in the bin.

    Args:
        said: mean confidence of each bin. true: share of right answers. share: of all answers, in [0, 1].
    """
    said, true, share = (np.asarray(values, np.float64) for values in (said, true, share))
    ax.plot([0, 1], [0, 1], "--", color=IDEAL, linewidth=1.2, label="honest: accuracy = confidence")
    ax.vlines(said, said, true, color=WRONG, linewidth=5, alpha=0.55, label="gap")
    ax.scatter(said, true, s=20 + 600 * share, color=RIGHT, zorder=3)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")
    ax.set_title(title, fontsize=10)
    ax.legend(loc="upper left", fontsize=8, frameon=False)
    ax.grid(alpha=0.3)


GROUP = 32  # items that go through the network together: statistics need no single decodes


def cut_gap(
    truth: Int64[Tensor, "b p n"], sizes: Int64[Tensor, " b"], share: float = 0.5
) -> Int64[Tensor, "b p n"]:
    """Canvases whose middle `share` of the real places is MASK (the paper's in-betweening: 25 % | 50 % | 25 %)."""
    places = torch.arange(truth.shape[2])
    keep = (sizes * (1 - share) / 2).round().long()[:, None]
    gap = (places >= keep) & (places < (sizes[:, None] - keep))
    return truth.masked_fill(gap[:, None], MASK)


def gap_errors(
    tokenizer: Tokenizer,
    filled: Int64[Tensor, "b p n"],
    canvas: Int64[Tensor, "b p n"],
    motions: Sequence[np.ndarray],
    skeleton: str = "humanml3d",
) -> Float[np.ndarray, " b"]:
    """Mean local error (cm) over the frames of each canvas's gap, `filled` decoded against the real motion.

    Args:
        motions: features (T, D) of the clips. Pass the true tokens as `filled` for the tokenizer's own error.
    """
    ratio, found = tokenizer.config.ratio, []
    frames = [len(motion) for motion in motions]
    rows = [row[:, : -(-count // ratio)] for row, count in zip(filled, frames, strict=True)]
    for made, motion, gap in zip(decode_many(tokenizer, rows, frames), motions, canvas == MASK, strict=True):
        inside_gap = gap.any(0).repeat_interleave(ratio)[: len(motion)]
        error = measures.mpjpe_local(made, np.asarray(motion), skeleton)
        found.append(float(error[inside_gap].mean()))
    return np.array(found)


def compare_rules(
    tokenizer: Tokenizer,
    transformer: MaskedTransformer,
    truth: Int64[Tensor, "b p n"],
    sizes: Int64[Tensor, " b"],
    text: TextEmbedding,
    motions: Sequence[np.ndarray],
    steps: Sequence[int],
    rules: Sequence[str] = REMASKING,
    seeds: Sequence[int] = (0,),
    share: float = 0.5,
    skeleton: str = "humanml3d",
    **options: Any,
) -> dict[tuple[str, int], Float[np.ndarray, " b"]]:
    """Errors of every clip's gap by (rule, passes), the mean over `seeds`.

    One pass masks nothing again: it is the same for all rules ("none": everything at once), and is filled only once.

    Args:
        truth, sizes, text, motions: the clips as tokens, their captions and features, in one order.
        share: of each clip that is the gap (`cut_gap`).
        options: for `fill` (guidance, temperature, argmax).
    """
    canvas = cut_gap(truth, sizes, share)
    found: dict[tuple[str, int], np.ndarray] = {}
    for count in steps:
        for rule in rules:
            if count == 1 and rule != rules[0]:
                found[rule, count] = found[rules[0], count]
                continue
            errors = []
            for seed in seeds:
                noise = [seed * len(truth) + i for i in range(len(truth))]
                how = {"steps": count, "remask": rule, "seeds": noise, "group": GROUP, **options}
                filled = fill(transformer, canvas, sizes, text, **how).tokens
                errors.append(gap_errors(tokenizer, filled, canvas, motions, skeleton))
            found[rule, count] = np.mean(errors, axis=0)
    return found


def rules_table(
    errors: Mapping[tuple[str, int], Float[np.ndarray, " b"]], against: str = "random"
) -> pd.DataFrame:
    """By rule and passes: the mean error, and mean differences clip by clip.

    Errors of the same clips are compared: hard clips are hard for every rule, so that differences have a far smaller
    spread than the errors themselves.

    Args:
        errors: of `compare_rules`, one pass among them.
    Returns:
        columns error (cm); change, from everything in one pass; less, how much smaller the error is than that of the
        rule `against` with as many passes; of both the half of the 95 % interval over clips, change_half and less_half.
    """
    rows = {}
    for (rule, count), values in errors.items():
        change, less = values - errors[rule, 1], errors[against, count] - values
        rows[rule, count] = {
            "error": values.mean(),
            "change": change.mean(), "change_half": _half(change),
            "less": less.mean(), "less_half": _half(less),
        }  # fmt: skip
    return pd.DataFrame(rows).T.rename_axis(["rule", "passes"])


def _half(values: Float[np.ndarray, " n"]) -> float:
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
