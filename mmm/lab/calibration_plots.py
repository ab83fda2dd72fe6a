"""Pictures of notebook 04's second half: what confidence is worth. Arrays and tables in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from mmm.lab.sampling import IDEAL, RIGHT, WRONG, plot_reliability

if TYPE_CHECKING:
    from pandas import DataFrame

NEAR_COLOUR = "#6a4c93"
RULES = {"least": RIGHT, "random": IDEAL, "most": WRONG}
RULE_NAMES = {
    "least": "least sure masked again",
    "random": "random ones masked again",
    "most": "most sure masked again",
}
Numbers = Float[np.ndarray, " n"] | Float[Tensor, " n"]


def plot_by_share(table: DataFrame, bins: Mapping[float, Bins]) -> Figure:
    """Calibration by the share of places that is hidden.

    Args:
        table: index share; columns accuracy, near (share within the limit in cm), confidence, ece, ece_honest, auc,
            auc_near, auc_within.
        bins: by share, the reliability of the exact code.
    """
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    diagram, said, gap, order = figure.subplots(1, 4)
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(bins)))
    diagram.plot([0, 1], [0, 1], "--", color=IDEAL, linewidth=1)
    for colour, (share, found) in zip(colours, bins.items(), strict=True):
        full = found.ratio >= 0.01  # a bin of a few places is luck
        diagram.plot(
            found.confidence[full], found.accuracy[full], color=colour, linewidth=1.5, label=f"{share:.0%}"
        )
    diagram.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy (exact code)", aspect="equal")
    names = list(bins)
    diagram.legend(
        handles=[diagram.lines[1 + names.index(share)] for share in (names[0], names[-1])],
        title="hidden", fontsize=8, title_fontsize=8, frameon=False,
    )  # fmt: skip
    _lines(said, table, {"near": ("right within 2 cm", NEAR_COLOUR), "accuracy": ("right code", RIGHT),
                         "confidence": ("confidence", "black")})  # fmt: skip
    _lines(gap, table, {"ece": ("ECE", WRONG), "ece_honest": ("of an honest model", IDEAL)})
    _lines(order, table, {"auc": ("right code", RIGHT), "auc_near": ("within 2 cm", NEAR_COLOUR),
                          "auc_within": ("right code, within a clip", "C2")})  # fmt: skip
    order.axhline(0.5, color=IDEAL, linestyle="--", linewidth=1)
    for ax, title in (
        (diagram, "reliability"), (said, "said and true"), (gap, "calibration error"), (order, "AUC"),
    ):  # fmt: skip
        ax.set_title(title, fontsize=10)
    said.set_ylim(0, 1)
    gap.set_ylim(0, None)
    return figure


def _lines(ax: Axes, table: DataFrame, columns: Mapping[str, tuple[str, str]]) -> None:
    for column, (label, colour) in columns.items():
        ax.plot(table.index, table[column], "o-", markersize=3, color=colour, label=label)
    ax.set(xlabel=table.index.name or "share hidden")
    ax.legend(fontsize=8, frameon=False)
    ax.grid(alpha=0.3)


def plot_cost(
    confidence: Numbers,
    error: Numbers,
    cost: Float[np.ndarray, "places k"],
    near: float = 2.0,
    bins: int = 10,
) -> Figure:
    """Left: what a choice costs by the confidence it was made with. Right: how many codes cost at most so much.

    Args:
        confidence, error: of each choice; cm. cost: of every code at some places, cm (`held_out.synonyms`).
    """
    said, far = np.asarray(confidence, np.float64), np.asarray(error, np.float64)
    figure = Figure(figsize=(9.5, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    which = np.minimum((said * bins).astype(int), bins - 1)
    used = [number for number in range(bins) if (which == number).any()]
    boxes = [far[which == number] for number in used]
    left.boxplot(
        boxes, positions=[(number + 0.5) / bins for number in used], widths=0.6 / bins, showfliers=False,
        whis=(10, 90), manage_ticks=False, medianprops={"color": WRONG, "linewidth": 2},
    )  # fmt: skip
    left.axhline(near, color=NEAR_COLOUR, linestyle="--", linewidth=1.2, label=f"{near:g} cm")
    left.set(xlim=(0, 1), xlabel="confidence of the likeliest code", ylabel="cost of the choice, cm")
    left.set_title("sure choices cost less (median, quartiles, 10 % and 90 %)", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    limits = np.geomspace(0.25, max(20.0, near), 60)
    counts = (cost[:, None, :] <= limits[:, None]).sum(-1)  # (places, limits); the true code costs 0
    low, middle, high = np.quantile(counts, [0.25, 0.5, 0.75], axis=0)
    right.fill_between(
        limits, low, high, color=NEAR_COLOUR, alpha=0.2, linewidth=0, label="half of the places"
    )
    right.plot(limits, middle, color=NEAR_COLOUR, label="median place")
    right.axvline(near, color=NEAR_COLOUR, linestyle="--", linewidth=1.2)
    right.axhline(cost.shape[1], color=IDEAL, linestyle=":", linewidth=1.2, label="all codes")
    right.set(xscale="log", yscale="log", xlabel="within so many cm of the truth", ylabel="codes")
    right.set_title("synonyms: how many codes say nearly the same", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper left")
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_passes(table: DataFrame) -> Figure:
    """A decode pass by pass.

    Args:
        table: index number of the pass; columns answered, settled (places a clip, on average), accuracy, near,
            confidence, ece, auc, and settled_accuracy of those that the pass chose for good.
    """
    figure = Figure(figsize=(12, 3), layout="constrained")
    places, said, gap, order = figure.subplots(1, 4)
    places.bar(table.index, table.answered, color="#c9ccd3", label="asked for")
    places.bar(table.index, table.settled, color=RIGHT, label="settled for good")
    places.legend(fontsize=8, frameon=False)
    _lines(said, table, {"near": ("right within 2 cm", NEAR_COLOUR), "accuracy": ("right code", RIGHT),
                         "settled_accuracy": ("right code, of the settled", "C2"),
                         "confidence": ("confidence", "black")})  # fmt: skip
    _lines(gap, table, {"ece": ("ECE", WRONG)})
    _lines(order, table, {"auc": ("AUC of the right code", RIGHT)})
    order.axhline(0.5, color=IDEAL, linestyle="--", linewidth=1)
    for ax, title in (
        (places, "places of a clip"), (said, "said and true"), (gap, "calibration error"), (order, "order"),
    ):  # fmt: skip
        ax.set(xlabel="pass")
        ax.set_title(title, fontsize=10)
    said.set_ylim(0, 1)
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
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, title, found, (said, right) in zip(
        axes, ("before", "after"), bins, (before, after), strict=False
    ):
        gap = float((found.ratio * np.abs(found.confidence - found.accuracy)).sum())
        plot_reliability(
            ax, *found, f"{title}: says {np.mean(said):.2f}, is {np.mean(right):.2f}; ECE {gap:.3f}"
        )
    for number, (label, (temperatures, losses)) in enumerate(curves.items()):
        axes[2].plot(temperatures, losses, color=f"C{number}", label=label)
    for number, (label, value) in enumerate(fitted.items()):
        axes[2].axvline(value, color=f"C{number}", linestyle="--", linewidth=1, label=f"{label}: {value:.2f}")
    axes[2].set(xscale="log", xlabel="temperature", ylabel="log loss, nats")
    axes[2].set_xticks([0.5, 1, 2], ["0.5", "1", "2"])
    axes[2].minorticks_off()
    axes[2].set_title("which temperature?", fontsize=10)
    axes[2].legend(fontsize=8, frameon=False)
    axes[2].grid(alpha=0.3)
    return figure


def plot_rules(panels: Mapping[str, DataFrame], better: Mapping[str, str] | None = None) -> Figure:
    """The rules of re-masking against each other: a panel for each measure, error against passes.

    Args:
        panels: title → index (rule, passes), columns value and half (of the 95 % interval).
        better: title → "less" or "more"; written under the title.
    """
    figure = Figure(figsize=(2.8 * len(panels), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, table) in zip(axes, panels.items(), strict=True):
        for shift, (rule, colour) in enumerate(RULES.items()):
            require(rule in table.index.levels[0], f"{title}: the table has no rule {rule!r}")
            rows = table.loc[rule]
            several = rows.loc[rows.index > 1]
            ax.errorbar(
                several.index * (1 + 0.03 * (shift - 1)), several["value"], several["half"], fmt="o-",
                color=colour, markersize=4, capsize=2, linewidth=1.4, label=RULE_NAMES[rule],
            )  # fmt: skip
        once = table.loc["least"].loc[1]
        spread = (once["value"] - once["half"], once["value"] + once["half"])
        ax.axhspan(*spread, color="black", alpha=0.08, linewidth=0)
        ax.axhline(once["value"], color="black", linestyle=":", linewidth=1.4, label="none: all in one pass")
        ax.set(xscale="log", xlabel="passes")
        passes = sorted({count for _, count in table.index})
        ax.set_xticks(passes, [str(count) for count in passes])
        ax.minorticks_off()
        told = f"\n({better[title]} is better)" if better and title in better else ""
        ax.set_title(title + told, fontsize=10)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def plot_known_truth(
    lines: Mapping[str, tuple[Numbers, Numbers]],
    distances: DataFrame,
    example: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    title: str,
    codes: int = 24,
) -> Figure:
    """Probabilities against true frequencies, how far they are apart, and one program place by place.

    Args:
        lines: label → mean probability said and mean true frequency, bin by bin.
        distances: rows (what was shown), columns (who answers): total variation from the true frequencies.
        example: true frequencies and said probabilities (N, K) of one program, of which the `codes` most frequent codes
            are shown.
    """
    figure = Figure(figsize=(12.5, 3.7), layout="constrained")
    diagram, bars, true, said = figure.subplots(1, 4, width_ratios=[1.1, 1.1, 1, 1])
    lowest = min(
        float(np.min(values[values > 0])) for pair in lines.values() for values in map(np.asarray, pair)
    )
    diagram.plot([lowest, 1], [lowest, 1], "--", color=IDEAL, linewidth=1, label="honest")
    for number, (label, (p, f)) in enumerate(lines.items()):
        diagram.plot(p, f, "o-", markersize=3, color=f"C{number}", label=label)
    diagram.set(xscale="log", yscale="log", xlabel="probability said", ylabel="true frequency")
    diagram.set_title("every code at every place", fontsize=10)
    diagram.legend(fontsize=8, frameon=False)
    diagram.grid(alpha=0.3)
    width = 0.8 / len(distances.columns)
    for number, column in enumerate(distances.columns):
        places = np.arange(len(distances)) + (number - (len(distances.columns) - 1) / 2) * width
        drawn = bars.bar(places, distances[column], 0.92 * width, color=f"C{number}", label=column)
        bars.bar_label(drawn, fmt="%.2f", fontsize=7)
    bars.set_xticks(range(len(distances)), list(distances.index))
    bars.set(ylim=(0, 1.35), ylabel="total variation from the truth")
    bars.set_title("how far from the true frequencies", fontsize=10)
    bars.legend(fontsize=8, frameon=False, ncols=2)
    order = example[0].sum(0).argsort()[::-1][:codes]
    for ax, values, name in ((true, example[0], "true frequency"), (said, example[1], "probability said")):
        picture = ax.imshow(
            np.maximum(values[:, order].T, 1e-3), aspect="auto", norm=LogNorm(1e-3, 1), cmap="viridis",
            interpolation="nearest",
        )  # fmt: skip
        ax.set(xlabel="place", yticks=[])
        ax.set_title(name, fontsize=10)
    true.set_ylabel(f"the {min(codes, len(order))} most frequent codes")
    figure.colorbar(picture, ax=said, fraction=0.08)
    figure.suptitle(f"right: “{title}”", fontsize=9)
    return figure
