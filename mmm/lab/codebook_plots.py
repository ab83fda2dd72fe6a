"""Chapter 02, tokenizer: plots of the codebook, how its codes are used, where they lie, how they follow each other.

Every function takes arrays, and tables where there are several, and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, Int64, Integer
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mmm.errors import require
from mmm.lab.codebook import Succession
from mmm.tokenizer.codebook import usage_report
from mmm.viz.style import BAD, GOOD, MASKED, bare, panels, plain_numbers

if TYPE_CHECKING:
    from pandas import DataFrame

MARK = "#3b3f46"
UNUSED = MASKED
SOFT = "#9fb8c4"  # of what is shown for comparison


def spaced(number: int) -> str:
    """12345 → "12 345"."""
    return f"{number:,}".replace(",", " ")


# ---------------------------------------------------------------------- use


def plot_usage(counts: Int[Tensor, " k"], title: str = "") -> Figure:
    """How often each code is used, by rank, both axes logarithmic; dashed: if all were used equally.

    The text gives entropy and perplexity beside the most that the codebook allows, and the codes that are never used,
    which a logarithmic axis cannot show.
    """
    report = usage_report(counts)
    used = np.sort(counts.cpu().numpy())[::-1][: report.used]
    figure, ax = panels((6.2, 3.6))
    ax.plot(np.arange(1, len(used) + 1), used, color=GOOD, lw=2, label="codes, most used first")
    equal = report.tokens / report.codes
    ends, label = [1, report.codes], f"all used equally: {equal:.3g} times each"
    ax.plot(ends, [equal, equal], "--", color=MARK, lw=1.2, label=label)
    if report.dead:
        label = f"{report.dead} dead codes"
        ax.axvspan(report.used, report.codes, color=UNUSED, alpha=0.6, lw=0, label=label)
    ax.set(xscale="log", xlabel="rank of the code", xlim=(0.9, report.codes * 1.1))
    ax.set(yscale="log", ylabel="times used")
    ax.set_ylim(bottom=min(0.8, equal / 2))
    text = (
        f"entropy {report.entropy:.2f} of {math.log2(report.codes):.2f} bits\n"
        f"perplexity {report.perplexity:.0f} of {report.codes} codes\n"
        f"{report.dead / report.codes:.1%} of the codes dead"
    )
    ax.text(0.03, 0.06, text, transform=ax.transAxes, va="bottom", fontsize=9)
    ax.set_title(title or f"{spaced(report.tokens)} tokens, {report.codes} codes")
    plain_numbers(ax.xaxis, ax.yaxis)
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    bare(ax)
    return figure


def plot_history(history: DataFrame, codes: int) -> Figure:
    """Entropy, perplexity, dead codes and resets, epoch by epoch of training; dashed: the most that is possible.

    Args:
        history: of `mmm.lab.tokenizer.usage_history`.
    """
    figure, axes = panels((11, 2.8), 1, 4)
    epoch = history["epoch"].to_numpy()
    curves = {
        "entropy, bits": (history["entropy"], math.log2(codes), "log₂ K"),
        "perplexity, codes": (history["perplexity"], codes, "K"),
        "dead codes in the epoch": (history["dead"], codes, "K"),
        "resets in the epoch": (np.diff(history["resets"].to_numpy(), prepend=0), None, ""),
    }
    for ax, (title, (values, most, name)) in zip(axes, curves.items(), strict=True):
        ax.plot(epoch, np.asarray(values), color=GOOD, lw=1.8, marker="o" if len(epoch) <= 30 else None, ms=3)
        if most is not None:
            ax.axhline(most, ls="--", color=MARK, lw=1)
            place = {"xy": (1, most), "xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            ax.annotate(f"{name} = {most:g}", **place, fontsize=8, color=MARK)
        ax.set(title=title, xlabel="epoch", ylim=(0, 1.12 * most if most is not None else None))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    bare(axes)
    return figure


def plot_resets(resets: Integer[np.ndarray, " _k"], counts: Int[Tensor, " k"]) -> Figure:
    """How often codes were replaced in training (left), and how much those codes are used after it (right).

    Args:
        resets: replacements of each code. counts: how often each is used by the trained tokenizer.
    """
    used = counts.cpu().numpy()
    require(
        len(resets) == len(used),
        f"resets are of {len(resets)} codes, counts of {len(used)}; give one codebook's",
    )
    figure, (left, right) = panels((8.6, 3.0), 1, 2)
    left.hist(resets, bins=_whole_bins(int(resets.max())), color=GOOD, rwidth=0.92)
    left.axvline(resets.mean(), color=MARK, ls="--", lw=1.2, label=f"mean {resets.mean():.1f}")
    left.set(xlabel="resets of a code", ylabel="codes", title=f"{spaced(int(resets.sum()))} resets in all")
    left.legend(frameon=False, fontsize=8)
    shown = np.maximum(used, 0.5)  # a logarithmic axis cannot show 0
    apart = np.linspace(-0.3, 0.3, len(resets))  # so that whole numbers do not lie on each other
    right.scatter(resets + apart, shown, s=6, color=GOOD, alpha=0.5, lw=0)
    if not used.all():
        right.axhline(0.7, color=UNUSED, lw=1)
        right.annotate("dead", (0.01, 0.5), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    right.set(yscale="log", xlabel="resets of a code", ylabel="times used after training")
    right.set_title("a dot is a code")
    plain_numbers(right.yaxis)
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    bare((left, right))
    return figure


def _whole_bins(most: int, bins: int = 40) -> np.ndarray:
    """Edges about whole numbers 0 to `most`, of one width, in at most `bins` bins."""
    width = max(1, math.ceil((most + 1) / bins))
    return np.arange(-0.5, most + width + 0.5, width)


# ---------------------------------------------------------------------- where the codes lie


def plot_distances(
    nearest: Float[Tensor, " k"], used: Bool[Tensor, " k"], quantised: Float[Tensor, " m"]
) -> Figure:
    """Distances in the code space: from code to nearest code, and from encoder outputs to their codes.

    The axis ends where 99 % of either are shown.

    Args:
        nearest: of each code. used: which codes are. quantised: of encoder outputs from their codes.
    """
    figure, ax = panels((6.2, 3.2))
    outputs, alive, dead = quantised.numpy(), nearest.numpy()[used.numpy()], nearest.numpy()[~used.numpy()]
    top = float(max(np.quantile(alive, 0.99), np.quantile(outputs, 0.99))) or 1.0
    for name, values, style in (
        ("encoder output to its code", outputs, {"color": SOFT, "histtype": "stepfilled", "lw": 0}),
        ("code to nearest code", alive, {"color": GOOD, "histtype": "step", "lw": 1.8}),
    ):
        weights = np.full(len(values), 1 / len(values))
        label = f"{name}: median {np.median(values):.2g}"
        ax.hist(values, bins=np.linspace(0, top, 41), weights=weights, label=label, **style)
    if len(dead):
        level = np.full(len(dead), -0.04 * ax.get_ylim()[1])
        label = f"{len(dead)} dead codes to nearest code: median {np.median(dead):.2g}"
        ax.plot(dead, level, "|", color=BAD, ms=7, label=label)
    ax.set(xlabel="distance in the code space", ylabel="ratio", xlim=(0, top))
    ax.set_title("do the codes keep their distance?")
    ax.legend(frameon=False, fontsize=8)
    bare(ax)
    return figure


def plot_map(
    places: Float[Tensor, "k 2"],
    variance: Float[Tensor, "2"],
    counts: Int[Tensor, " k"],
    meanings: Mapping[str, Float[Tensor, " k"]],
) -> Figure:
    """The codebook on a plane, one panel for each meaning: a dot a code, as large as its use, coloured by the meaning.

    Colours end at the 2nd and the 98th percentile; a meaning that takes both signs is coloured evenly about 0. Unused
    codes are small and grey. Single codes far out lie outside the panel.

    Args:
        places, variance: of `codebook_map`. meanings: title ("speed, cm/s") → a number for each code, NaN if unused.
    """
    figure, axes = panels(
        (3.1 * len(meanings), 2.9), 1, len(meanings), sharex=True, sharey=True, squeeze=False
    )
    (x, y), often = places.numpy().T, counts.numpy()
    used = often > 0
    size = 5 + 120 * often[used] / max(1, often.max())
    order = np.argsort(-size)  # small dots on top
    dots = {"x": x[used][order], "y": y[used][order], "s": size[order]}
    for ax, (title, values) in zip(axes[0], meanings.items(), strict=True):
        ax.scatter(x[~used], y[~used], s=8, color=UNUSED, lw=0)
        shown = values.numpy()[used]
        low, high = np.nanpercentile(shown, [2, 98])
        if signed := low < 0 < high:
            low, high = -max(-low, high), max(-low, high)
        colours = colormaps["coolwarm" if signed else "viridis"].resampled(9)
        dotted = ax.scatter(**dots, c=shown[order], vmin=low, vmax=high, cmap=colours, lw=0)
        figure.colorbar(dotted, ax=ax, extend="both", shrink=0.85)
        ax.set(title=title, xlabel=f"first axis ({variance[0]:.0%} of the variance)", xticks=[], yticks=[])
        ax.set(xlim=_limits(x[used]), ylim=_limits(y[used]))
    axes[0, 0].set_ylabel(f"second axis ({variance[1]:.0%})")
    dead = f", {int((~used).sum())} unused grey" if not used.all() else ""
    figure.suptitle(f"a dot is a code, its size its use{dead}", fontsize=10)
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    """From the 0.5th to the 99.5th percentile, and a tenth of that on either side."""
    low, high = np.quantile(values, [0.005, 0.995])
    return low - 0.1 * (high - low), high + 0.1 * (high - low)


# ---------------------------------------------------------------------- how tokens follow each other


def plot_succession(
    runs: Int64[Tensor, " runs"],
    shuffled: Int64[Tensor, " shuffled_runs"],
    known: Succession,
    follow: Int64[Tensor, "k k"],
    shown: int = 24,
    seconds: float = 0.2,
) -> Figure:
    """How tokens follow each other: run lengths, bits needed for the next token, and which code follows which.

    Args:
        runs: lengths of runs of one token. shuffled: the same of shuffled tokens.
        known: of `transition_entropy`. follow: of `transitions`; the `shown` most used codes are drawn.
        seconds: of a token.
    """
    width_ratios = {"width_ratios": [1.1, 1, 1.15]}
    figure, (left, middle, right) = panels((11.5, 3.5), 1, 3, gridspec_kw=width_ratios)
    _draw_run_lengths(left, shuffled, "shuffled", SOFT)
    _draw_run_lengths(left, runs, "in their order", GOOD)
    left.set(yscale="log", xlabel=f"length, tokens of {seconds:g} s", ylabel="ratio of runs at least as long")
    left.set_title("runs of one token")
    left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    plain_numbers(left.yaxis)
    left.legend(frameon=False, fontsize=8)
    bits = {
        "knowing\nnothing": known.unconditional,
        "the one before,\nshuffled": known.after_shuffled,
        "the one\nbefore": known.after,
    }
    bars = middle.bar(list(bits), list(bits.values()), color=[MARK, SOFT, GOOD], width=0.7)
    middle.bar_label(bars, fmt="%.1f", fontsize=9)
    middle.set(title="bits for the next token", ylabel="bits")
    middle.tick_params(axis="x", labelsize=8)
    top = follow.sum(1).argsort(descending=True, stable=True)[:shown]
    ratio = (follow[top].double() / follow[top].sum(1, keepdim=True).clamp(min=1))[:, top]
    norm = PowerNorm(0.5, 0, max(1e-9, float(ratio.max())))
    figure.colorbar(
        right.imshow(ratio.numpy(), cmap="viridis", norm=norm), ax=right, label="ratio", shrink=0.85
    )
    right.set(title=f"followers of the {len(top)} most used codes", xticks=[], yticks=[])
    right.set(xlabel="next code, by use", ylabel="code, by use")
    bare((left, middle))
    return figure


def _draw_run_lengths(ax: Axes, lengths: Int64[Tensor, " runs"], name: str, colour: str) -> None:
    longest = int(lengths.max())
    ratios = [float((lengths >= n).double().mean()) for n in range(1, longest + 1)]
    label = f"{name}: mean {lengths.double().mean():.2f}"
    ax.plot(range(1, longest + 1), ratios, ".-", color=colour, label=label)
