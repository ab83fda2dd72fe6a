"""Pictures of what editing costs and gives: one for each of gaps, upper bodies and long sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmm.lab.edits.gaps import Gap

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
LONG_PANELS = {
    "seam_peak": "peak jerk at the seam (m/s³)",
    "mean": "mean jerk, 3.2 s (m/s³)",
    "skating": "foot skating",
    "fid": "FID of 3.2 s",
    "r1": "R@1 of the action",
}


def plot_gaps(summary: pd.DataFrame, gaps: Sequence[Gap], fps: float = 20.0) -> Figure:
    """Measures against the length of the gap: above in seconds, below as a share of the clip; bars are 95 % intervals.

    Args:
        summary: of `gaps.gap_tables`, by gap and method. gaps: those that are in it.
    """
    rows = [
        ([g for g in gaps if g.frames], [g.frames / fps for g in gaps if g.frames], "gap (s)"),
        ([g for g in gaps if g.share], [g.share for g in gaps if g.share], "gap (share of the clip)"),
    ]
    rows = [row for row in rows if row[0]]
    panels = {name: label for name, label in GAP_PANELS.items() if name in summary}
    figure = Figure(figsize=(2.5 * len(panels), 2.6 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), len(panels), squeeze=False)
    methods = list(dict.fromkeys(summary.index.get_level_values("method")))
    for row, (some, places, label) in zip(axes, rows, strict=True):
        for ax, (name, title) in zip(row, panels.items(), strict=True):
            for method in methods:
                if method == "real" and name.startswith(("mpjpe", "fid")):
                    continue  # 0 by definition
                found = summary.xs(method, level="method").reindex([str(gap) for gap in some])
                ax.errorbar(
                    places,
                    found[name],
                    yerr=found.get(f"{name}_half"),
                    fmt="o-",
                    color=COLOURS.get(method, "grey"),
                    markersize=3,
                    linewidth=1,
                    capsize=2,
                    label=method,
                )
            ax.set_title(title, fontsize=9)
            ax.set_xlabel(label, fontsize=8)
            ax.set_xticks(places)
            _quiet(ax)
            ax.set_ylim(bottom=0)
    handles = {
        label: handle
        for ax in axes.flat
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=6, frameon=False, fontsize=8
    )
    return figure


def plot_bodies(methods: pd.DataFrame, arms: pd.DataFrame) -> Figure:
    """Left: is the asked action there, as the oracle and the evaluator see it? Right: the oracle, action by action.

    Args:
        methods, arms: of `bodies.body_tables`.
    """
    figure = Figure(figsize=(12, 0.9 + 0.36 * len(methods)), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(methods.index.get_level_values("method"))
    panels = {
        "done": ("C3", "the action is seen"),
        "only": ("C1", "it alone"),
        "r1": ("C0", "R@1 of the text"),
    }
    for number, (name, (colour, label)) in enumerate(panels.items()):
        places, half = -np.arange(len(names)) - 0.26 * number, methods[f"{name}_half"].fillna(0)
        left.barh(
            places, methods[name], 0.24, xerr=half, color=colour, label=label, error_kw={"linewidth": 0.8}
        )
    left.set_yticks(-np.arange(len(names)) - 0.26, names, fontsize=8)
    left.set(xlim=(0, 1.02), xlabel="share of pairs")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8, frameon=False)
    table = arms["done"].unstack("method").reindex(columns=names)
    sns.heatmap(
        table.T,
        vmin=0,
        vmax=1,
        annot=True,
        fmt=".2f",
        cmap="viridis",
        cbar=False,
        ax=right,
        annot_kws={"size": 7},
    )
    right.set(xlabel="", ylabel="", title="the action is seen, by action")
    right.tick_params(labelsize=8)
    return figure


def plot_long(summary: pd.DataFrame) -> Figure:
    """Measures of the windows of each kind, a dot with its 95 % interval.

    Args:
        summary: of `long.long_tables`.
    """
    kinds = list(summary.index.get_level_values("kind"))
    figure = Figure(figsize=(2.4 * len(LONG_PANELS) + 1.5, 1.0 + 0.27 * len(kinds)), layout="constrained")
    places = -np.arange(len(kinds))
    colours = [
        "black" if kind.startswith("real") else "C0" if kind == "generated action" else "C3" for kind in kinds
    ]
    for ax, (name, title) in zip(
        figure.subplots(1, len(LONG_PANELS), sharey=True), LONG_PANELS.items(), strict=True
    ):
        half = summary.get(f"{name}_half")
        ax.errorbar(summary[name], places, xerr=half, fmt="none", ecolor="grey", linewidth=1)
        ax.scatter(summary[name], places, c=colours, s=18, zorder=3)
        widest = summary[name] + (0 if half is None else half.fillna(0))
        if name == "seam_peak":  # a bare cut would press all else to the axis: its number is told below
            widest = widest.drop("real, cut", errors="ignore")
        if widest.notna().any():
            ax.set_xlim(0, 1.1 * widest.max())
        if name == "seam_peak" and "real, cut" in kinds:
            ax.set_xlabel(f"real, cut: {summary[name]['real, cut']:.0f}", fontsize=8)
        ax.set_yticks(places, kinds, fontsize=8)
        ax.set_title(title, fontsize=9)
        _quiet(ax)
    return figure


def _quiet(ax: Axes) -> None:
    ax.grid(alpha=0.3)
    ax.tick_params(labelsize=8)
