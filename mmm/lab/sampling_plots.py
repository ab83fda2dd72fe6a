"""Chapter 04, sampling: plots of a canvas that fills up, and of the sampler's options.

Every function takes arrays and tables and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int64
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from pandas import DataFrame
from torch import Tensor

from mmm.sampling import Step
from mmm.transformer import MASK
from mmm.viz.style import BAD, GOOD, MASKED, bare, panels, styled

BODY_PARTS = {1: ("",), 2: (", upper body", ", lower body")}
LINES = ("--", ":", "-.")


# ---------------------------------------------------------------------- a canvas that fills up


def filling_rows(trace: Sequence[Step], item: int, length: int, part: int = 0) -> Float[np.ndarray, "rows n"]:
    """One item's decode as rows of confidence: before and after its first pass, before and after its second, and so on.

    NaN where the position is masked. Passes that the item did not need (it was complete) are left out. A pass that
    wrote only the other body part is kept, so that the rows of the parts stay side by side.
    """
    rows = []
    for step in trace:
        masked = (step.canvas[item, :, :length] == MASK).numpy()
        if masked.any():
            # A position that is kept has the same confidence before and after the pass.
            after = step.confidence[item, part, :length].double().numpy()
            rows += [np.where(masked[part], np.nan, after), after]
    return np.array(rows).reshape(-1, length)


@styled
def plot_filling(trace: Sequence[Step], lengths: Int64[Tensor, " b"], titles: Sequence[str]) -> Figure:
    """Steps × positions: for every pass of every item the canvas before it (masked in grey) and after it.

    Of two body parts the upper one is on the left, the lower one on the right.

    Args:
        trace: of `fill(..., trace=True)`. lengths: tokens of each item. titles: one for each item.
    """
    sizes = lengths.tolist()
    parts = range(trace[0].canvas.shape[1])
    decodes = [[filling_rows(trace, item, size, part) for part in parts] for item, size in enumerate(sizes)]
    # The colours end at the next tenth above the most confident position: a new model is far from 1.
    highest = max(np.nanmax(rows, initial=0.0) for row in decodes for rows in row)
    highest = max(0.1, math.ceil(10 * highest) / 10)
    heights = [len(row[0]) + 2.0 for row in decodes]  # two rows' height for the title
    size = (11, 0.17 * sum(heights) + 0.9)
    figure, axes = panels(size, len(sizes), len(parts), squeeze=False, height_ratios=heights)
    for row, decode, title in zip(axes, decodes, titles, strict=True):
        for ax, rows in zip(row, decode, strict=True):
            mesh = _draw_filling(ax, rows, highest)
            ax.set_xlim(0, max(sizes))
        row[0].set(ylabel="pass")
        row[0].set_title(title, loc="left")
    for ax, name in zip(axes[-1], BODY_PARTS[len(parts)], strict=True):
        ax.set_xlabel(f"position on the canvas{name} (one token: 4 frames, 0.2 s)")
    masked = Patch(color=MASKED, label="MASK")
    axes[0, -1].legend(handles=[masked], loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    figure.colorbar(mesh, ax=list(axes.flat), label="confidence", fraction=0.025, pad=0.01)
    return figure


def _draw_filling(ax: Axes, rows: Float[np.ndarray, "rows n"], highest: float) -> QuadMesh:
    passes, length = len(rows) // 2, rows.shape[1]
    colours = ListedColormap(colormaps["viridis"](np.linspace(0.05, 1, 256))).with_extremes(bad=MASKED)
    edges = np.sort(np.concatenate([np.arange(passes + 1), np.arange(passes) + 0.42]))
    values = np.ma.masked_invalid(rows)
    mesh = ax.pcolormesh(np.arange(length + 1), edges, values, cmap=colours, vmin=0, vmax=highest)
    ax.hlines(np.arange(1, passes), 0, length, color="white", linewidth=3)
    ax.set_yticks(np.arange(passes) + 0.5, np.arange(1, passes + 1))
    ax.set_ylim(passes, 0)
    ax.tick_params(length=0)
    bare(ax, "all")
    return mesh


# ---------------------------------------------------------------------- options


@styled
def plot_knobs(tables: Mapping[str, DataFrame], marks: Mapping[str, Mapping[str, float]]) -> Figure:
    """Small multiples: a row for each option of the sampler, a column for each metric, a line at each mark.

    Args:
        tables: by option ("steps"): a row for each setting (its index), a column for each metric.
        marks: by name ("real clips"): their values of the metrics, for comparison; at most three.
    """
    metrics = next(iter(tables.values())).columns
    widest, lines = max(len(table) for table in tables.values()), {}
    size = (2.6 * len(metrics), 1.7 * len(tables) + 0.3)
    figure, axes = panels(size, len(tables), len(metrics), squeeze=False, sharey="col")
    for row, (option, table) in zip(axes, tables.items(), strict=True):
        names = [f"{setting:g}" if isinstance(setting, float) else str(setting) for setting in table.index]
        for ax, metric in zip(row, metrics, strict=True):
            ax.bar(names, table[metric], width=0.6 * len(table) / widest, color=GOOD)
            for number, (name, values) in enumerate(marks.items()):
                if metric in values:
                    lines[name] = ax.axhline(values[metric], color=BAD, linestyle=LINES[number])
            ax.set(xlabel=option, xlim=(-0.5, len(table) - 0.5))
            ax.grid(axis="y", alpha=0.3)
    for ax, metric in zip(axes[0], metrics, strict=True):
        ax.set_title(metric)
    figure.legend(lines.values(), lines, loc="outside upper right", ncols=3, fontsize=9)
    return figure
