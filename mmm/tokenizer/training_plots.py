"""Pictures of notebook 02: the life of a codebook in training, by epoch, by code, and where it collapses on purpose.

Every function takes arrays or tables and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, Integer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mmm.errors import require
from mmm.tokenizer.codebook_plots import FIRST, MARK, SECOND, UNUSED, bare, plain_numbers, spaced

if TYPE_CHECKING:
    from pandas import DataFrame

PALE = 0.4  # how strong the ones without reset are drawn


def plot_history(history: DataFrame, codes: int) -> Figure:
    """Entropy, perplexity, dead codes and resets, epoch by epoch of training; dashed: the most there can be.

    Args:
        history: columns epoch, entropy (bits), perplexity, dead (codes), resets (since the start), one row an epoch.
    """
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    axes = figure.subplots(1, 4)
    epoch = history["epoch"].to_numpy()
    new = np.diff(history["resets"].to_numpy(), prepend=0)
    panels = {
        "entropy, bits": (history["entropy"].to_numpy(), math.log2(codes), "log₂ K"),
        "perplexity, codes": (history["perplexity"].to_numpy(), codes, "K"),
        "dead codes in the epoch": (history["dead"].to_numpy(), codes, "K"),
        "resets in the epoch": (new, None, ""),
    }
    for ax, (title, (values, most, name)) in zip(axes, panels.items(), strict=True):
        ax.plot(epoch, values, color=FIRST, lw=1.8, marker="o" if len(epoch) <= 30 else None, ms=3)
        if most is not None:
            ax.axhline(most, ls="--", color=MARK, lw=1)
            ax.annotate(
                f"{name} = {most:g}",
                (1, most),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
                color=MARK,
            )
        top = 1.12 * most if most is not None else None
        ax.set(title=title, xlabel="epoch", ylim=(0, top))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        bare(ax)
    return figure


def plot_resets(resets: Integer[np.ndarray, " _k"], counts: Int[Tensor, " k"]) -> Figure:
    """How often codes were replaced in training (left), and how much those are used in the end (right).

    Args:
        resets: replacements of each code. counts: how often each is used by the finished tokenizer.
    """
    often, used = resets, counts.cpu().numpy()
    require(
        len(often) == len(used),
        f"resets are of {len(often)} codes, counts of {len(used)}; give one codebook's",
    )
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = _whole_bins(int(often.max()))
    left.hist(often, bins=edges, color=FIRST, rwidth=0.92)
    left.axvline(often.mean(), color=MARK, ls="--", lw=1.2, label=f"mean {often.mean():.1f}")
    left.set(xlabel="resets of a code", ylabel="codes", title=f"{spaced(int(often.sum()))} resets in all")
    left.legend(frameon=False, fontsize=8)
    shown = np.maximum(used, 0.5)  # 0 has no place on a logarithmic axis
    apart = np.linspace(-0.3, 0.3, len(often))  # whole numbers lie on each other otherwise
    right.scatter(often + apart, shown, s=6, color=FIRST, alpha=0.5, lw=0)
    if not used.all():
        right.axhline(0.7, color=UNUSED, lw=1)
        right.annotate("dead", (0.01, 0.5), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    right.set(yscale="log", xlabel="resets of a code", ylabel="times used in the end", title="a dot a code")
    plain_numbers(right, "y")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        bare(ax)
    return figure


def plot_race(table: DataFrame, histories: Mapping[str, DataFrame], codes: int) -> Figure:
    """Tokenizers with and without narrow codes, running means and resets: perplexity by epoch, and how they end.

    Colour: narrow or wide; line: EMA (solid) or gradient (dashed); strong: with reset, pale: without.

    Args:
        table, histories: of `mmm.recipes.collapse.race`. codes: in each codebook.
    """
    styles = {
        name: _race_style(*flags) for name, *flags in table[["narrow", "ema", "reset"]].itertuples(name=None)
    }
    figure = Figure(figsize=(11.5, 4.0), layout="constrained")
    grid = figure.add_gridspec(1, 4, width_ratios=[2.1, 0.8, 0.8, 0.8])
    curves = figure.add_subplot(grid[0])
    for name, history in histories.items():
        curves.plot(history["epoch"], history["perplexity"], marker="o", ms=2.5, lw=1.8, **styles[name])
    curves.axhline(codes, color=MARK, lw=1, ls=":")
    curves.annotate(
        f"K = {codes}", (0.01, codes), xycoords=("axes fraction", "data"), va="bottom", fontsize=8
    )
    curves.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    curves.set(xlabel="epoch", ylabel="codes", yscale="log", title="perplexity in each epoch of training")
    plain_numbers(curves, "y")
    handles = [
        Line2D([], [], color=FIRST, lw=3, label="narrow"),
        Line2D([], [], color=SECOND, lw=3, label="wide"),
        Line2D([], [], color=MARK, ls="-", label="EMA"),
        Line2D([], [], color=MARK, ls="--", label="gradient"),
        Line2D([], [], color=MARK, lw=3, label="reset"),
        Line2D([], [], color=MARK, lw=3, alpha=PALE, label="no reset"),
    ]
    curves.legend(
        handles=handles, ncols=3, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15)
    )
    bare(curves)
    panels = {
        "usage": ("codes used, %", 100.0, "%.0f"),
        "perplexity": ("perplexity", 1.0, "%.0f"),
        "mpjpe_local": ("local error, cm", 1.0, "%.1f"),
    }
    first = None
    for number, (column, (title, scale, form)) in enumerate(panels.items(), 1):
        ax = figure.add_subplot(grid[number], sharey=first)
        first = first or ax
        for place, (name, value) in enumerate((scale * table[column]).items()):
            bar = ax.barh(place, value, color=styles[name]["color"], alpha=styles[name]["alpha"], height=0.75)
            ax.bar_label(bar, fmt=form, fontsize=8, padding=2)
        ax.set_title(title, fontsize=10)
        ax.set(xticks=[], yticks=range(len(table)))
        ax.set_yticklabels(table.index, fontsize=8)
        ax.tick_params(axis="y", length=0, labelleft=number == 1)
        ax.margins(x=0.22)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
    first.invert_yaxis()
    figure.suptitle("on the validation clips, in the end", x=0.78, fontsize=10)
    return figure


def _race_style(narrow: bool, ema: bool, reset: bool) -> dict[str, str | float]:
    return {
        "color": FIRST if narrow else SECOND,
        "ls": "-" if ema else "--",
        "alpha": 1.0 if reset else PALE,
    }


def _whole_bins(most: int, bins: int = 40) -> np.ndarray:
    """Edges about whole numbers 0 to `most`, of one width, in at most so many bins."""
    width = max(1, math.ceil((most + 1) / bins))
    return np.arange(-0.5, most + width + 0.5, width)
