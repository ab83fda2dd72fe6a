"""Chapter 05, calibration: plots of confidence against the truth. Arrays and tables in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from mmm.calibration import Bins
from mmm.errors import require
from mmm.viz.style import BAD, GOOD, MASKED, NEUTRAL, bare, grouped_bars, panels

if TYPE_CHECKING:
    from pandas import DataFrame

NEAR_COLOUR = "#6a4c93"
RULES = {
    "least": (GOOD, "least confident remasked"),
    "random": (NEUTRAL, "random ones remasked"),
    "most": (BAD, "most confident remasked"),
}
Numbers = Float[np.ndarray, " n"] | Float[Tensor, " n"]


def plot_reliability(ax: Axes, bins: Bins, title: str = "reliability diagram") -> None:
    """Confidence against accuracy: a dot for each bin, its area is the ratio of the answers in the bin."""
    confidence, accuracy, ratio = (np.asarray(values, np.float64) for values in bins)
    ax.plot([0, 1], [0, 1], "--", color=NEUTRAL, linewidth=1.2, label="calibrated: accuracy = confidence")
    ax.vlines(confidence, confidence, accuracy, color=BAD, linewidth=5, alpha=0.55, label="gap")
    ax.scatter(confidence, accuracy, s=20 + 600 * ratio, color=GOOD, zorder=3)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")
    ax.set_title(title, fontsize=10)
    ax.legend(loc="upper left", fontsize=8, frameon=False)
    ax.grid(alpha=0.3)


def plot_by_ratio(table: DataFrame, bins: Mapping[float, Bins]) -> Figure:
    """Calibration by the ratio of positions that are masked.

    Args:
        table: index ratio; columns accuracy, near (ratio within the limit in cm), confidence, ece, ece_calibrated, auc,
            auc_near, auc_within.
        bins: by ratio, the reliability of the exact code.
    """
    figure, (diagram, means, gap, order) = panels((12, 3.2), 1, 4)
    diagram.plot([0, 1], [0, 1], "--", color=NEUTRAL, linewidth=1)
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(bins)))
    for colour, (ratio, one) in zip(colours, bins.items(), strict=True):
        full = one.ratio >= 0.01  # a bin of a few answers is chance
        label = f"{ratio:.0%}" if ratio in (min(bins), max(bins)) else None
        diagram.plot(one.confidence[full], one.accuracy[full], color=colour, linewidth=1.5, label=label)
    diagram.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy (exact code)", aspect="equal")
    diagram.legend(title="masked", fontsize=8, title_fontsize=8, frameon=False)
    _draw_lines(means, table, {
        "near": ("right within 2 cm", NEAR_COLOUR), "accuracy": ("right code", GOOD),
        "confidence": ("confidence", "black"),
    })  # fmt: skip
    _draw_lines(gap, table, {"ece": ("ECE", BAD), "ece_calibrated": ("of a calibrated model", NEUTRAL)})
    _draw_lines(order, table, {
        "auc": ("right code", GOOD), "auc_near": ("within 2 cm", NEAR_COLOUR),
        "auc_within": ("right code, within a clip", "C2"),
    })  # fmt: skip
    order.axhline(0.5, color=NEUTRAL, linestyle="--", linewidth=1)
    _set_titles(
        (diagram, means, gap, order), ("reliability", "predicted and true", "calibration error", "AUC")
    )
    means.set_ylim(0, 1)
    gap.set_ylim(0, None)
    return figure


def _draw_lines(ax: Axes, table: DataFrame, columns: Mapping[str, tuple[str, str]]) -> None:
    for column, (label, colour) in columns.items():
        ax.plot(table.index, table[column], "o-", markersize=3, color=colour, label=label)
    ax.set(xlabel=table.index.name or "mask ratio")
    ax.legend(fontsize=8, frameon=False)
    ax.grid(alpha=0.3)


def _set_titles(axes: Iterable[Axes], titles: Sequence[str]) -> None:
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)


def plot_cost(
    confidence: Numbers,
    error: Numbers,
    cost: Float[np.ndarray, "positions k"],
    near: float = 2.0,
    bins: int = 10,
) -> Figure:
    """Left: the error of a choice by its confidence. Right: how many codes have at most a certain error.

    Args:
        confidence, error: of each choice; cm. cost: error of every code at some positions, cm (`synonyms`).
    """
    figure, (left, right) = panels((9.5, 3.3), 1, 2)
    sure, error = np.asarray(confidence, np.float64), np.asarray(error, np.float64)
    which = np.minimum((sure * bins).astype(int), bins - 1)
    used = np.unique(which)
    left.boxplot(
        [error[which == number] for number in used], positions=(used + 0.5) / bins, widths=0.6 / bins,
        showfliers=False, whis=(10, 90), manage_ticks=False, medianprops={"color": BAD, "linewidth": 2},
    )  # fmt: skip
    left.axhline(near, color=NEAR_COLOUR, linestyle="--", linewidth=1.2, label=f"{near:g} cm")
    left.set(xlim=(0, 1), xlabel="confidence of the likeliest code", ylabel="error of the choice, cm")
    left.legend(frameon=False, fontsize=8)
    limits = np.geomspace(0.25, max(20.0, near), 60)
    counts = (cost[:, None, :] <= limits[:, None]).sum(-1)  # (positions, limits); the true code has error 0
    low, middle, high = np.quantile(counts, [0.25, 0.5, 0.75], axis=0)
    label = "half of the positions"
    right.fill_between(limits, low, high, color=NEAR_COLOUR, alpha=0.2, linewidth=0, label=label)
    right.plot(limits, middle, color=NEAR_COLOUR, label="median position")
    right.axvline(near, color=NEAR_COLOUR, linestyle="--", linewidth=1.2)
    right.axhline(cost.shape[1], color=NEUTRAL, linestyle=":", linewidth=1.2, label="all codes")
    right.set(xscale="log", yscale="log", xlabel="distance from the truth at most, cm", ylabel="codes")
    right.legend(frameon=False, fontsize=8, loc="upper left")
    titles = (
        "confident choices have smaller errors (median, quartiles, 10 % and 90 %)",
        "synonyms: how many codes decode to nearly the same",
    )
    _set_titles((left, right), titles)
    for ax in (left, right):
        ax.grid(alpha=0.3)
    bare((left, right))
    return figure


def plot_passes(table: DataFrame) -> Figure:
    """A decode pass by pass.

    Args:
        table: index number of the pass; columns answered, settled (positions a clip, on average), accuracy, near,
            confidence, ece, auc, and settled_accuracy of those that no later pass changes.
    """
    figure, axes = panels((12, 3), 1, 4)
    counts, means, gap, order = axes
    counts.bar(table.index, table.answered, color=MASKED, label="predicted")
    counts.bar(table.index, table.settled, color=GOOD, label="final")
    counts.legend(fontsize=8, frameon=False)
    _draw_lines(means, table, {
        "near": ("right within 2 cm", NEAR_COLOUR), "accuracy": ("right code", GOOD),
        "settled_accuracy": ("right code, of the final ones", "C2"), "confidence": ("confidence", "black"),
    })  # fmt: skip
    _draw_lines(gap, table, {"ece": ("ECE", BAD)})
    _draw_lines(order, table, {"auc": ("AUC of the right code", GOOD)})
    order.axhline(0.5, color=NEUTRAL, linestyle="--", linewidth=1)
    _set_titles(axes, ("positions of a clip", "predicted and true", "calibration error", "order"))
    for ax in axes:
        ax.set(xlabel="pass")
    means.set_ylim(0, 1)
    gap.set_ylim(0, None)
    return figure


def plot_temperature(
    before: tuple[Numbers, Bool[np.ndarray, " n"]],
    after: tuple[Numbers, Bool[np.ndarray, " n"]],
    bins: tuple[Bins, Bins],
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    fitted: Mapping[str, float],
) -> Figure:
    """Reliability before and after temperature scaling, and the log loss by temperature.

    Args:
        before, after: confidences and right answers. bins: their reliability.
        curves: label → temperatures and log losses. fitted: label → temperature, a mark each.
    """
    figure, (left, middle, right) = panels((11, 3.6), 1, 3)
    for ax, title, own, (sure, correct) in (
        (left, "before", bins[0], before),
        (middle, "after", bins[1], after),
    ):
        ece = float((own.ratio * np.abs(own.confidence - own.accuracy)).sum())
        means = f"confidence {np.mean(sure):.2f}, accuracy {np.mean(correct):.2f}"
        plot_reliability(ax, own, f"{title}: {means}; ECE {ece:.3f}")
    for number, (label, (temperatures, losses)) in enumerate(curves.items()):
        right.plot(temperatures, losses, color=f"C{number}", label=label)
    for number, (label, value) in enumerate(fitted.items()):
        right.axvline(value, color=f"C{number}", linestyle="--", linewidth=1, label=f"{label}: {value:.2f}")
    right.set(xscale="log", xlabel="temperature", ylabel="log loss, nats")
    right.set_xticks([0.5, 1, 2], ["0.5", "1", "2"])
    right.minorticks_off()
    right.set_title("which temperature?", fontsize=10)
    right.legend(fontsize=8, frameon=False)
    right.grid(alpha=0.3)
    return figure


def plot_rules(tables: Mapping[str, DataFrame], better: Mapping[str, str] | None = None) -> Figure:
    """The rules of remasking against each other: a panel for each metric, its value against passes.

    Args:
        tables: title → index (rule, passes), columns value and half (of the 95 % interval).
        better: title → "less" or "more"; written under the title.
    """
    figure, axes = panels((2.8 * len(tables), 3.2), 1, len(tables), squeeze=False)
    for ax, (title, table) in zip(axes[0], tables.items(), strict=True):
        _draw_rules(ax, title, table)
        note = f"\n({better[title]} is better)" if better and title in better else ""
        ax.set_title(title + note, fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def _draw_rules(ax: Axes, title: str, table: DataFrame) -> None:
    for shift, (rule, (colour, label)) in enumerate(RULES.items()):
        require(rule in table.index.levels[0], f"{title}: the table has no rule {rule!r}")
        rows = table.loc[rule]
        several = rows.loc[rows.index > 1]
        ax.errorbar(
            several.index * (1 + 0.03 * (shift - 1)), several["value"], several["half"], fmt="o-",
            color=colour, markersize=4, capsize=2, linewidth=1.4, label=label,
        )  # fmt: skip
    value, half = table.loc[("least", 1), ["value", "half"]]
    ax.axhspan(value - half, value + half, color="black", alpha=0.08, linewidth=0)
    ax.axhline(value, color="black", linestyle=":", linewidth=1.4, label="none: all in one pass")
    ax.set(xscale="log", xlabel="passes")
    passes = sorted({count for _, count in table.index})
    ax.set_xticks(passes, [str(count) for count in passes])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    bare(ax)


def plot_known_truth(
    lines: Mapping[str, tuple[Numbers, Numbers]],
    distances: DataFrame,
    example: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    title: str,
    codes: int = 24,
) -> Figure:
    """Probabilities against true frequencies, how far apart they are, and one program position by position.

    Args:
        lines: label → mean predicted probability and mean true frequency, bin by bin.
        distances: rows (what was shown), columns (which prediction): total variation from the true frequencies.
        example: true frequencies and predicted probabilities (N, K) of one program, of which the `codes` most frequent
            codes are shown.
    """
    figure, (diagram, bars, left, right) = panels((12.5, 3.7), 1, 4, width_ratios=[1.1, 1.1, 1, 1])
    values = np.concatenate([np.asarray(x) for pair in lines.values() for x in pair])
    lowest = float(values[values > 0].min())
    diagram.plot([lowest, 1], [lowest, 1], "--", color=NEUTRAL, linewidth=1, label="calibrated")
    for number, (label, (p, f)) in enumerate(lines.items()):
        diagram.plot(p, f, "o-", markersize=3, color=f"C{number}", label=label)
    diagram.set(xscale="log", yscale="log", xlabel="predicted probability", ylabel="true frequency")
    diagram.legend(fontsize=8, frameon=False)
    diagram.grid(alpha=0.3)
    columns = {name: list(distances[name]) for name in distances.columns}
    grouped_bars(bars, list(distances.index), columns, label_size=7)
    bars.set(ylim=(0, 1.35), ylabel="total variation from the truth")
    bars.legend(fontsize=8, frameon=False, ncols=2)
    order = example[0].sum(0).argsort()[::-1][:codes]
    for ax, matrix in zip((left, right), example, strict=True):
        shown = np.maximum(matrix[:, order].T, 1e-3)
        norm = LogNorm(1e-3, 1)
        image = ax.imshow(shown, aspect="auto", norm=norm, cmap="viridis", interpolation="nearest")
        ax.set(xlabel="position", yticks=[])
    left.set_ylabel(f"the {len(order)} most frequent codes")
    figure.colorbar(image, ax=right, fraction=0.08)
    titles = (
        "every code at every position", "distance from the true frequencies", "true frequency",
        "predicted probability",
    )  # fmt: skip
    _set_titles((diagram, bars, left, right), titles)
    figure.suptitle(f"right: “{title}”", fontsize=9)
    return figure
