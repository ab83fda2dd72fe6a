"""Pictures of editing: the canvas of an edit before and after, and what happens at its seams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmm.editing import Edit
from mmm.errors import require
from mmm.motion.runs import runs
from mmm.transformer import MASK
from mmm.viz.style import MASKED

KEPT = "#39445c"
LINES = ("#2a788e", "#e07b39", "#8a8f99", "#39445c")


def plot_canvas(edits: Sequence[Edit], titles: Sequence[str], ratio: int = 4, fps: float = 20.0) -> Figure:
    """The canvas of each edit: a row for each body part before the sampler, and one after.

    Before: dark what is kept, grey MASK. After: the made places by their confidence.

    Args:
        titles: one an edit. ratio: frames a token.
    Raises:
        ValueError: titles of another number.
    """
    require(len(titles) == len(edits), f"{len(titles)} titles for {len(edits)} edits; give one each")
    heights = [2 * len(edit.canvas) + 1.2 for edit in edits]
    figure = Figure(figsize=(11, 0.32 * sum(heights) + 0.5), layout="constrained")
    axes = figure.subplots(len(edits), 1, squeeze=False, height_ratios=heights)[:, 0]
    mesh = None
    for ax, edit, title in zip(axes, edits, titles, strict=True):
        parts, count = edit.canvas.shape
        edges = np.arange(count + 1) * ratio / fps
        given = (edit.canvas != MASK).numpy()
        before = np.where(given, 0.0, 1.0)
        colours = [KEPT, MASKED]
        names = ["whole body"] if parts == 1 else ["upper body", "lower body"]
        for part in range(parts):
            kind = {
                "cmap": ListedColormap(colours),
                "vmin": 0,
                "vmax": 1,
                "edgecolors": "white",
                "linewidth": 0.6,
            }
            ax.pcolormesh(edges, [part, part + 0.86], before[part : part + 1], **kind)
            low = parts + 0.5 + part
            ax.pcolormesh(edges, [low, low + 0.86], before[part : part + 1], **kind)
            made = np.ma.masked_array(edit.confidence[part : part + 1].numpy(), given[part : part + 1])
            mesh = ax.pcolormesh(
                edges,
                [low, low + 0.86],
                made,
                cmap="viridis",
                vmin=0,
                vmax=1,
                edgecolors="white",
                linewidth=0.6,
            )
        places = [part + 0.43 for part in range(parts)] + [parts + 0.93 + part for part in range(parts)]
        labels = [f"{name}, {when}" for when in ("before", "after") for name in names]
        ax.set_yticks(places, labels, fontsize=8)
        ax.set(ylim=(2 * parts + 0.5, 0), xlim=(0, edges[-1]))
        ax.set_title(title, loc="left", fontsize=10)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    axes[-1].set_xlabel("seconds (one place: a token of 4 frames)")
    figure.legend(
        handles=[Patch(color=KEPT, label="kept"), Patch(color=MASKED, label="MASK")],
        loc="outside upper right", ncols=2, fontsize=8, frameon=False,
    )  # fmt: skip
    if mesh is not None:
        figure.colorbar(mesh, ax=list(axes), label="confidence", fraction=0.025, pad=0.01)
    return figure


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
    ax.set(xlabel="seconds (shaded: made anew)", ylabel=ylabel, xlim=(0, len(edit.features) / fps))
    ax.set_title(title, loc="left", fontsize=10)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, frameon=False, ncols=len(curves))
    return figure
