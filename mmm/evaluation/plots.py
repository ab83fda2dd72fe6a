"""Pictures of notebook 06: the table as intervals, contents, and what the sampler's knobs do to the measures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmm.evaluation.results import PHYSICAL, QUALITY, ROWS, Results

COLOURS = {
    "real": "black",
    "real_real": "grey",
    "reconstruction": "C0",
    "given": "C3",
    "estimated": "C1",
}


def plot_results(
    results: Results, measures: tuple[str, ...] = ("r1", "r3", "fid", "fid_halves", "mm_dist", "diversity")
) -> Figure:
    """Each measure in a panel of its own: a dot a row with its 95 % interval."""
    figure = Figure(figsize=(2.2 * len(measures) + 1, 2.4), layout="constrained")
    rows = [row for row in ROWS if row in results.rows]
    for ax, measure in zip(
        np.atleast_1d(figure.subplots(1, len(measures), sharey=True)), measures, strict=True
    ):
        for place, row in enumerate(rows):
            found = results.interval(row, measure)
            if found is not None:
                half = 0.0 if np.isnan(found.half) else found.half
                ax.errorbar(found.mean, -place, xerr=half, fmt="o", color=COLOURS[row], capsize=3)
        ax.set(title=QUALITY.get(measure, measure), yticks=[-place for place in range(len(rows))])
        ax.set_yticklabels([ROWS[row] for row in rows])
        ax.margins(0.15)
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(axis="x", alpha=0.3)
    return figure


def plot_contents(table: pd.DataFrame, measure: str = "r1", most: int = 24) -> Figure:
    """Bars: R-precision of each content, real clips and generated ones; the number of clips beside its name."""
    table = table.head(most)
    rows = [column.split("/")[0] for column in table.columns if column.endswith(f"/{measure}")]
    figure = Figure(figsize=(8, 0.8 + 0.28 * len(table)), layout="constrained")
    ax, height = figure.subplots(), 0.8 / len(rows)
    for number, row in enumerate(rows):
        places = -np.arange(len(table)) - number * height
        ax.barh(places, table[f"{row}/{measure}"], height, color=COLOURS[row], label=ROWS[row])
    names = [f"{name} ({count})" for name, count in zip(table.index, table["clips"], strict=True)]
    ax.set_yticks(-np.arange(len(table)) - 0.4 + height / 2, names, fontsize=8)
    ax.set(xlabel=f"R@{measure[1:]}, all repeats (number of clips in brackets)", xlim=(0, 1.02))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8, frameon=False)
    return figure


def plot_sweep(
    tables: Mapping[str, pd.DataFrame],
    reference: Mapping[str, float],
    measures: tuple[str, ...] = ("fid", "r1"),
) -> Figure:
    """Measures against a knob of the sampler.

    Args:
        tables: knob → a line for each of its values (the index), a column for each measure.
        reference: measure → its value for the tokenizer's reconstruction, a dashed line.
    """
    figure = Figure(figsize=(3.6 * len(tables), 1.7 * len(measures)), layout="constrained")
    axes = figure.subplots(len(measures), len(tables), squeeze=False, sharex="col", sharey="row")
    for column, (knob, table) in enumerate(tables.items()):
        for ax, measure in zip(axes[:, column], measures, strict=True):
            half = table.get(f"{measure}_half")
            ax.errorbar(table.index.astype(float), table[measure], yerr=half, fmt="o-", color="C3", capsize=3)
            if measure in reference:
                ax.axhline(reference[measure], color="C0", linestyle="--", linewidth=1)
            ax.grid(alpha=0.3)
            if column == 0:
                ax.set_ylabel(QUALITY.get(measure) or PHYSICAL.get(measure, measure))
        axes[-1, column].set_xlabel(knob)
    return figure


def plot_choices(table: pd.DataFrame, measures: Mapping[str, str], reference: str = "ours") -> Figure:
    """What each choice of a recipe is worth: a panel for each measure, a dot for each training.

    The grey band is what other seeds alone make of the reference's: a dot within it says nothing.

    Args:
        table: a row for each training; those whose names begin with `reference` make the band.
        measures: column → what stands above its panel; COLUMN_half, where there is one, is half of an interval.
    """
    figure = Figure(figsize=(2.0 + 1.9 * len(measures), 0.9 + 0.26 * len(table)), layout="constrained")
    same = table[[name.startswith(reference) for name in table.index]]
    places = -np.arange(len(table))
    for ax, (measure, label) in zip(
        np.atleast_1d(figure.subplots(1, len(measures), sharey=True)), measures.items(), strict=True
    ):
        ax.axvspan(same[measure].min(), same[measure].max(), color="grey", alpha=0.3, linewidth=0)
        colours = ["black" if name in same.index else "C3" for name in table.index]
        ax.errorbar(
            table[measure], places, xerr=table.get(f"{measure}_half"), fmt="none", ecolor="grey", linewidth=1
        )
        ax.scatter(table[measure], places, c=colours, s=18, zorder=3)
        ax.set_yticks(places, table.index, fontsize=8)
        ax.set_title(label, fontsize=9)
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(alpha=0.3)
    return figure
