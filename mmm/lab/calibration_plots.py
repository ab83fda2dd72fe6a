"""Chapter 05, calibration: plots of confidence against the truth. Arrays and tables in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from pandas import DataFrame, Series, concat
from torch import Tensor

from mmm.calibration import Bins
from mmm.viz.style import BAD, DASHED, GOOD, MASKED, NEUTRAL, grouped_bars, lines, panels, styled

NEAR_COLOUR = "#6a4c93"
RULES = {
    "least": (GOOD, "least confident remasked"),
    "random": (NEUTRAL, "random ones remasked"),
    "most": (BAD, "most confident remasked"),
}
# Panels of `plot_by_ratio` and `plot_passes`: column → label and colour.
QUALITY = {
    "predicted and true": {
        "near": ("right within 2 cm", NEAR_COLOUR),
        "accuracy": ("right code", GOOD),
        "settled_accuracy": ("right code, of the final ones", "C2"),
        "confidence": ("confidence", "black"),
    },
    "calibration error": {"ece": ("ECE", BAD), "ece_calibrated": ("of a calibrated model", NEUTRAL)},
    "AUC": {
        "auc": ("right code", GOOD),
        "auc_near": ("within 2 cm", NEAR_COLOUR),
        "auc_within": ("right code, within a clip", "C2"),
    },
}
Numbers = Float[np.ndarray, " n"] | Float[Tensor, " n"]


@styled
def plot_by_ratio(table: DataFrame, bins: Mapping[float, Bins]) -> Figure:
    """Calibration by the ratio of positions that are masked.

    Args:
        table: index ratio; columns accuracy, near (ratio within the limit in cm), confidence, ece, ece_calibrated, auc,
            auc_near, auc_within.
        bins: by ratio, the reliability of the exact code.
    """
    figure, (diagram, *others) = panels((12, 3.2), 1, 4)
    diagram.plot([0, 1], [0, 1], **DASHED)
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(bins)))
    for colour, (ratio, one) in zip(colours, bins.items(), strict=True):
        full = one.ratio >= 0.01  # a bin of a few answers is chance
        label = f"{ratio:.0%}" if ratio in (min(bins), max(bins)) else None
        diagram.plot(one.confidence[full], one.accuracy[full], color=colour, label=label)
    diagram.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy (exact code)", aspect="equal")
    diagram.set_title("reliability")
    diagram.legend(title="masked")
    _draw_quality(others, table)
    return figure


@styled
def plot_passes(table: DataFrame) -> Figure:
    """A decode pass by pass.

    Args:
        table: index number of the pass; columns answered, settled (positions a clip, on average), accuracy, near,
            confidence, ece, auc, auc_near, and settled_accuracy of those that no later pass changes.
    """
    figure, (counts, *others) = panels((12, 3), 1, 4)
    counts.bar(table.index, table.answered, color=MASKED, label="predicted")
    counts.bar(table.index, table.settled, color=GOOD, label="final")
    counts.set(title="positions of a clip", xlabel="pass")
    counts.legend()
    _draw_quality(others, table)
    return figure


def _draw_quality(axes: Sequence[Axes], table: DataFrame) -> None:
    """Three panels of `QUALITY`, each with the columns that the table has."""
    for ax, (title, columns) in zip(axes, QUALITY.items(), strict=True):
        lines(ax, table, {name: style for name, style in columns.items() if name in table})
        ax.set_title(title)
        ax.grid(alpha=0.3)
    means, gap, order = axes
    means.set_ylim(0, 1)
    gap.set_ylim(0, None)
    order.axhline(0.5, **DASHED)


@styled
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
    figure, (left, right) = panels((9.5, 3.3), 1, 2, grid=True)
    limit = {**DASHED, "color": NEAR_COLOUR}
    which = np.minimum((np.asarray(confidence, np.float64) * bins).astype(int), bins - 1)
    groups = dict(list(Series(np.asarray(error, np.float64)).groupby(which)))
    left.boxplot(
        groups.values(), positions=(np.array(list(groups)) + 0.5) / bins, widths=0.6 / bins, showfliers=False,
        whis=(10, 90), manage_ticks=False, medianprops={"color": BAD, "linewidth": 2},
    )  # fmt: skip
    left.axhline(near, **limit, label=f"{near:g} cm")
    left.set(
        xlim=(0, 1),
        xlabel="confidence of the likeliest code",
        ylabel="error, cm (quartiles, 10–90 %)",
    )
    left.set_title("confident choices have smaller errors")
    left.legend()
    limits = np.geomspace(0.25, max(20.0, near), 60)
    counts = (cost[:, None, :] <= limits[:, None]).sum(-1)  # (positions, limits); the true code has error 0
    low, middle, high = np.quantile(counts, [0.25, 0.5, 0.75], axis=0)
    label = "half of the positions"
    right.fill_between(limits, low, high, color=NEAR_COLOUR, alpha=0.2, linewidth=0, label=label)
    right.plot(limits, middle, color=NEAR_COLOUR, label="median position")
    right.axvline(near, **limit)
    right.axhline(cost.shape[1], color=NEUTRAL, linestyle=":", label="all codes")
    right.set(xscale="log", yscale="log", xlabel="distance from the truth at most, cm", ylabel="codes")
    right.set_title("synonyms: codes that decode to nearly the same")
    right.legend(loc="lower right")
    return figure


@styled
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
        curves: label → temperatures and log losses. fitted: label of a curve → its best temperature.
    """
    figure, (*diagrams, losses) = panels((11, 3.6), 1, 3, grid=True)
    names = ("before", "after")
    for ax, name, own, (confidence, correct) in zip(diagrams, names, bins, (before, after), strict=True):
        _draw_reliability(ax, own)
        ece = float((own.ratio * np.abs(own.confidence - own.accuracy)).sum())
        means = f"confidence {np.mean(confidence):.2f}, accuracy {np.mean(correct):.2f}"
        ax.set_title(f"{name}: {means}; ECE {ece:.3f}")
    for number, (label, curve) in enumerate(curves.items()):
        best = f", least at {fitted[label]:.2f}" if label in fitted else ""
        losses.plot(*curve, color=f"C{number}", label=label + best)
        if best:
            losses.axvline(fitted[label], **{**DASHED, "color": f"C{number}"})
    losses.margins(y=0.3)  # room for the legend
    losses.set(xscale="log", xlabel="temperature", ylabel="log loss, nats", title="which temperature?")
    losses.set_xticks([0.5, 1, 2], ["0.5", "1", "2"])
    losses.minorticks_off()
    losses.legend(loc="upper right")
    return figure


def _draw_reliability(ax: Axes, bins: Bins) -> None:
    """Confidence against accuracy: a dot for each bin, its area is the ratio of the answers in the bin."""
    confidence, accuracy, ratio = bins
    ax.plot([0, 1], [0, 1], **DASHED, label="calibrated: accuracy = confidence")
    ax.vlines(confidence, confidence, accuracy, color=BAD, linewidth=5, alpha=0.55, label="gap")
    ax.scatter(confidence, accuracy, s=20 + 600 * ratio, color=GOOD, zorder=3, clip_on=False)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")
    ax.legend(loc="upper left")


@styled
def plot_rules(tables: Mapping[str, DataFrame], better: Mapping[str, str] | None = None) -> Figure:
    """The rules of remasking against each other: a panel for each metric, its value against passes.

    Args:
        tables: title → index (rule, passes), columns value and half (of the 95 % interval).
        better: title → "less" or "more"; written under the title.
    """
    figure, axes = panels((2.8 * len(tables), 3.2), 1, len(tables), grid=True, squeeze=False)
    for ax, (title, table) in zip(axes[0], tables.items(), strict=True):
        for shift, (rule, (colour, label)) in enumerate(RULES.items()):
            rows = table.loc[rule].query("index > 1")
            x = rows.index * (1 + 0.03 * (shift - 1))  # so that the bars of the intervals stand side by side
            style = {"color": colour, "markersize": 4, "capsize": 2, "label": label}
            ax.errorbar(x, rows["value"], rows["half"], fmt="o-", **style)
        value, half = table.loc[("least", 1), ["value", "half"]]
        ax.axhspan(value - half, value + half, color="black", alpha=0.08, linewidth=0)
        ax.axhline(value, color="black", linestyle=":", label="none: all in one pass")
        passes = sorted({count for _, count in table.index})
        ax.set(xscale="log", xlabel="passes")
        ax.set_xticks(passes, passes)
        ax.minorticks_off()
        ax.margins(0.12)  # no dot is cut at the edge
        if passes[1:] == passes[-1:]:  # a single number of passes: the rules stand close together
            ax.set_xlim(passes[-1] / 2, passes[-1] * 2)
        ax.set_title(title + (f"\n({better[title]} is better)" if title in (better or {}) else ""))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


@styled
def plot_known_truth(
    curves: Mapping[str, DataFrame],
    distances: DataFrame,
    example: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    title: str,
    codes: int = 24,
) -> Figure:
    """Probabilities against true frequencies, how far apart they are, and one program position by position.

    Args:
        curves: label → columns predicted and true, a row for each bin (`by_probability`).
        distances: rows (what was shown), columns (which prediction): total variation from the true frequencies.
        example: true frequencies and predicted probabilities (N, K) of one program, of which the `codes` most frequent
            codes are shown.
    """
    figure, (diagram, bars, *matrices) = panels((12.5, 3.7), 1, 4, width_ratios=[1.1, 1.1, 1, 1])
    values = concat(curves.values())[["predicted", "true"]].to_numpy()
    lowest = values[values > 0].min()
    diagram.plot([lowest, 1], [lowest, 1], **DASHED, label="calibrated")
    for label, bins in curves.items():
        diagram.plot(bins["predicted"], bins["true"], "o-", markersize=3, label=label)
    diagram.set(xscale="log", yscale="log", xlabel="predicted probability", ylabel="true frequency")
    diagram.set_title("every code at every position")
    diagram.legend()
    diagram.grid(alpha=0.3)
    grouped_bars(bars, distances.rename(index=lambda shown: shown.replace(" ", "\n", 1)), label_size=7)
    bars.set(ylim=(0, 1.35), ylabel="total variation from the truth")
    bars.set_title("distance from the true frequencies")
    bars.legend(ncols=2)
    order = example[0].sum(0).argsort()[::-1][:codes]
    names = ("true frequency", "predicted probability")
    for ax, matrix, name in zip(matrices, example, names, strict=True):
        shown = np.maximum(matrix[:, order].T, 1e-3)
        image = ax.imshow(
            shown, aspect="auto", norm=LogNorm(1e-3, 1), cmap="viridis", interpolation="nearest"
        )
        ax.set(xlabel="position", yticks=[], title=name)
    matrices[0].set_ylabel(f"the {len(order)} most frequent codes")
    figure.colorbar(image, ax=matrices[1], fraction=0.08)
    figure.suptitle(f"both maps: “{title}”", fontsize=9, x=0.98, ha="right")
    return figure
