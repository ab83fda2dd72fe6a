"""Pictures of chapter "editing": canvases and seams of single edits, and the results of the three studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmm.editing import Edit
from mmm.errors import require
from mmm.lab.edits.gaps import Gap
from mmm.motion.runs import runs
from mmm.transformer import MASK
from mmm.viz.style import BAD, GOOD, KEPT, MASKED, NEUTRAL, bare

CELLS = {"vmin": 0, "vmax": 1, "edgecolors": "white", "linewidth": 0.6}
LINES = (GOOD, BAD, NEUTRAL, KEPT)
COLOURS = {
    "text": "C3",
    "no text": "C1",
    "linear": "C2",
    "cubic": "C4",
    "tokenizer": "C0",
    "real": "black",
}
GAP_PANELS = {
    "mpjpe_world": "MPJPE in the world (cm)",
    "mpjpe_local": "MPJPE local (cm)",
    "seam_jerk": "jerk at the seams (m/s³)",
    "skating": "foot skating in the gap",
    "fid": "FID, whole clips",
    "fid_gap": "FID, the gap alone",
    "r1_gap": "R@1, the gap alone",
}
BODY_BARS = {
    "done": ("C3", "the action is seen"),
    "only": ("C1", "it alone"),
    "r1": ("C0", "R@1 of the text"),
}
LONG_PANELS = {
    "seam_peak": "peak jerk at the seam (m/s³)",
    "mean": "mean jerk, 3.2 s (m/s³)",
    "skating": "foot skating",
    "fid": "FID of 3.2 s",
    "r1": "R@1 of the action",
}


# ---------------------------------------------------------------------- single edits


def plot_canvas(edits: Sequence[Edit], titles: Sequence[str], ratio: int = 4, fps: float = 20.0) -> Figure:
    """The canvas of each edit: a row for each body part before the sampler, and one after.

    Before: kept tokens are dark, MASK is grey. After: the sampled positions in the colour of their confidence.

    Args:
        titles: one for each edit. ratio: frames per token."""
    heights = [2 * len(edit.canvas) + 1.2 for edit in edits]
    figure = Figure(figsize=(11, 0.32 * sum(heights) + 0.5), layout="constrained")
    axes = figure.subplots(len(edits), 1, squeeze=False, height_ratios=heights)[:, 0]
    meshes = [
        _draw_canvas(ax, edit, title, ratio / fps)
        for ax, edit, title in zip(axes, edits, titles, strict=True)
    ]
    axes[-1].set_xlabel(f"seconds (one position: a token of {ratio} frames)")
    handles = [Patch(color=KEPT, label="kept"), Patch(color=MASKED, label="MASK")]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    if meshes:
        figure.colorbar(meshes[-1], ax=list(axes), label="confidence", fraction=0.025, pad=0.01)
    return figure


def _draw_canvas(ax: Axes, edit: Edit, title: str, seconds: float) -> QuadMesh:
    """One canvas; `seconds` is the length of a token. The cells that show confidence."""
    parts, count = edit.canvas.shape
    given = (edit.canvas != MASK).numpy()
    confidence = np.ma.masked_array(edit.confidence.numpy(), given)
    colours = ListedColormap([KEPT, MASKED])
    lows = [*range(parts), *(parts + 0.5 + part for part in range(parts))]  # before, after
    edges = np.arange(count + 1) * seconds

    def row(low: float, values: np.ndarray, colours: object) -> QuadMesh:
        return ax.pcolormesh(edges, [low, low + 0.86], values[None], cmap=colours, **CELLS)

    for part in range(parts):
        row(lows[part], np.where(given[part], 0.0, 1.0), colours)
        row(lows[parts + part], np.where(given[part], 0.0, 1.0), colours)
        cells = row(lows[parts + part], confidence[part], "viridis")
    names = ["whole body"] if parts == 1 else ["upper body", "lower body"]
    labels = [f"{name}, {when}" for when in ("before", "after") for name in names]
    ax.set_yticks([low + 0.43 for low in lows], labels, fontsize=8)
    ax.set(ylim=(2 * parts + 0.5, 0), xlim=(0, edges[-1]))
    ax.set_title(title, loc="left", fontsize=10)
    ax.tick_params(length=0)
    bare(ax, "all")
    return cells


def plot_over_time(
    curves: Mapping[str, Float[np.ndarray, " t"]], edit: Edit, ylabel: str, fps: float = 20.0, title: str = ""
) -> Figure:
    """Curves over the frames of an edit, the gaps shaded: speeds that jump at a seam, errors outside a gap.

    Args:
        curves: by name, at most four; they may be shorter than the edit (differences).
    Raises:
        ValueError: more than four curves.
    """
    require(len(curves) <= len(LINES), f"{len(curves)} curves, expected at most {len(LINES)}")
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    ax = figure.subplots()
    for start, stop in runs(~edit.kept.all(0)):
        ax.axvspan(start / fps, stop / fps, color=MASKED, alpha=0.35, linewidth=0)
    for (name, values), colour in zip(curves.items(), LINES, strict=False):
        ax.plot(np.arange(len(values)) / fps, values, color=colour, label=name, linewidth=1.6)
    ax.set(xlabel="seconds (shaded: regenerated)", ylabel=ylabel, xlim=(0, len(edit.features) / fps))
    ax.set_title(title, loc="left", fontsize=10)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, frameon=False, ncols=len(curves))
    return figure


# ---------------------------------------------------------------------- results


def plot_gaps(summary: pd.DataFrame, gaps: Sequence[Gap], fps: float = 20.0) -> Figure:
    """Metrics against the length of the gap: above in seconds, below as a fraction of the clip, with 95 % intervals.

    Args:
        summary: of `gaps.gap_tables`, by gap and method. gaps: those that are in it.
    """
    rows = [
        ({str(g): g.frames / fps for g in gaps if g.frames}, "gap (s)"),
        ({str(g): g.fraction for g in gaps if g.fraction}, "gap (fraction of the clip)"),
    ]
    rows = [row for row in rows if row[0]]
    panels = {name: label for name, label in GAP_PANELS.items() if name in summary}
    figure = Figure(figsize=(2.5 * len(panels), 2.6 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), len(panels), squeeze=False)
    for row, (sizes, label) in zip(axes, rows, strict=True):
        for ax, (name, title) in zip(row, panels.items(), strict=True):
            for method, values in summary.groupby("method", sort=False):
                if method == "real" and name.startswith(("mpjpe", "fid")):
                    continue  # 0 by definition
                values = values.droplevel("method").reindex(list(sizes))
                half, colour = values.get(f"{name}_half"), COLOURS.get(method, "grey")
                style = {"fmt": "o-", "markersize": 3, "linewidth": 1, "capsize": 2}
                ax.errorbar(list(sizes.values()), values[name], half, color=colour, label=method, **style)
            ax.set_title(title, fontsize=9)
            ax.set_xlabel(label, fontsize=8)
            ax.set_xticks(list(sizes.values()))
            _quiet(ax)
            ax.set_ylim(bottom=0)
    shown = [ax.get_legend_handles_labels() for ax in axes.flat]
    handles = {label: handle for pair in shown for handle, label in zip(*pair, strict=True)}
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=6, frameon=False, fontsize=8
    )
    return figure


def plot_bodies(methods: pd.DataFrame, arms: pd.DataFrame) -> Figure:
    """Left: is the requested action there, as the oracle and the evaluator see it? Right: the oracle, by action.

    Args:
        methods, arms: of `bodies.body_tables`.
    """
    figure = Figure(figsize=(12, 0.9 + 0.36 * len(methods)), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(methods.index)
    for number, (name, (colour, label)) in enumerate(BODY_BARS.items()):
        heights, half = -np.arange(len(names)) - 0.26 * number, methods[f"{name}_half"].fillna(0)
        error = {"xerr": half, "error_kw": {"linewidth": 0.8}}
        left.barh(heights, methods[name], 0.24, color=colour, label=label, **error)
    left.set_yticks(-np.arange(len(names)) - 0.26, names, fontsize=8)
    left.set(xlim=(0, 1.02), xlabel="fraction of pairs")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8, frameon=False)
    table = arms["done"].unstack("method").reindex(columns=names).T
    look = {"annot": True, "fmt": ".2f", "annot_kws": {"size": 7}, "cmap": "viridis", "cbar": False}
    sns.heatmap(table, vmin=0, vmax=1, ax=right, **look)
    right.set(xlabel="", ylabel="", title="the action is seen, by action")
    right.tick_params(labelsize=8)
    return figure


def plot_long(summary: pd.DataFrame) -> Figure:
    """Metrics of the windows of each kind, a dot with its 95 % interval.

    Args:
        summary: of `long.long_tables`.
    """
    kinds = list(summary.index)
    figure = Figure(figsize=(2.4 * len(LONG_PANELS) + 1.5, 1.0 + 0.27 * len(kinds)), layout="constrained")
    axes = figure.subplots(1, len(LONG_PANELS), sharey=True)
    heights = -np.arange(len(kinds))
    special = {"real action": "black", "real, cut": "black", "generated action": "C0"}
    for ax, (name, title) in zip(axes, LONG_PANELS.items(), strict=True):
        half = summary.get(f"{name}_half")
        ax.errorbar(summary[name], heights, xerr=half, fmt="none", ecolor="grey", linewidth=1)
        ax.scatter(summary[name], heights, c=[special.get(kind, "C3") for kind in kinds], s=18, zorder=3)
        widest = summary[name] + (0 if half is None else half.fillna(0))
        if name == "seam_peak" and "real, cut" in kinds:  # it would press all others to the axis
            widest = widest.drop("real, cut")
            ax.set_xlabel(f"real, cut: {summary[name]['real, cut']:.0f}", fontsize=8)
        if widest.notna().any():
            ax.set_xlim(0, 1.1 * widest.max())
        ax.set_yticks(heights, kinds, fontsize=8)
        ax.set_title(title, fontsize=9)
        _quiet(ax)
    return figure


def _quiet(ax: Axes) -> None:
    ax.grid(alpha=0.3)
    ax.tick_params(labelsize=8)
