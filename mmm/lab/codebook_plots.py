"""Chapter 02, tokenizer: plots of the codebook, how its codes are used, where they lie, how they follow each other.

Every function takes arrays, and tables where there are several, and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Int64, Integer
from matplotlib import colormaps
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from pandas import DataFrame
from torch import Tensor

from mmm.lab.codebook import Succession
from mmm.tokenizer.codebook import usage_report
from mmm.viz.style import BAD, DASHED, GOOD, MARK, MASKED, panels, plain_numbers, styled, whole_numbers

UNUSED = MASKED
SOFT = "#9fb8c4"  # of what is shown for comparison


# ---------------------------------------------------------------------- use


@styled
def plot_usage(counts: Int[Tensor, " k"], title: str = "") -> Figure:
    """How often each code is used, by rank, both axes logarithmic; dashed: if all were used equally.

    The text gives entropy and perplexity beside the most that the codebook allows, and the codes that are never used,
    which a logarithmic axis cannot show.
    """
    report = usage_report(counts)
    used = np.sort(counts.cpu().numpy())[::-1][: report.used]
    equal = report.tokens / report.codes
    figure, ax = panels((6.2, 3.6))
    ax.plot(np.arange(1, len(used) + 1), used, color=GOOD, lw=2, label="codes, most used first")
    ax.plot([1, report.codes], [equal, equal], **DASHED, label=f"all used equally: {equal:.3g} times each")
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
    ax.set_title(title or f"{report.tokens:,} tokens, {report.codes} codes")
    plain_numbers(ax.xaxis, ax.yaxis)
    ax.legend(loc="upper right")
    return figure


@styled
def plot_history(history: DataFrame, codes: int) -> Figure:
    """Entropy, perplexity, dead codes and resets, epoch by epoch of training; dashed: the most that is possible.

    Args:
        history: of `mmm.lab.tokenizer.usage_history`.
    """
    figure, axes = panels((11, 2.8), 1, 4)
    curves = {
        "entropy, bits": (history["entropy"], math.log2(codes), "log₂ K"),
        "perplexity, codes": (history["perplexity"], codes, "K"),
        "dead codes in the epoch": (history["dead"], codes, "K"),
        "resets in the epoch": (np.diff(history["resets"], prepend=0), None, ""),
    }
    for ax, (title, (values, most, name)) in zip(axes, curves.items(), strict=True):
        ax.plot(history["epoch"], values, color=GOOD, marker="o" if len(history) <= 30 else None, ms=3)
        ax.set(title=title, xlabel="epoch", ylim=(0, 1.12 * most if most else None))
        whole_numbers(ax.xaxis)
        if most:
            ax.axhline(most, **DASHED)
            at = {"xy": (1, most), "xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            ax.annotate(f"{name} = {most:g}", **at, fontsize=8)
    return figure


@styled
def plot_resets(resets: Integer[np.ndarray, " k"], counts: Int[Tensor, " k"]) -> Figure:
    """How often codes were replaced in training (left), and how much those codes are used after it (right).

    Args:
        resets: replacements of each code. counts: how often each is used by the trained tokenizer.
    """
    used, most = counts.cpu().numpy(), int(resets.max())
    figure, (left, right) = panels((8.6, 3.0), 1, 2)
    width = math.ceil((most + 1) / 40)  # of a bar: whole numbers, at most 40 bars
    left.hist(resets, bins=np.arange(-0.5, most + width + 0.5, width), color=GOOD, rwidth=0.92)
    left.axvline(resets.mean(), **DASHED, label=f"mean {resets.mean():.1f}")
    left.set(xlabel="resets of a code", ylabel="codes", title=f"{resets.sum():,} resets in all")
    left.legend()
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
        whole_numbers(ax.xaxis)
    return figure


# ---------------------------------------------------------------------- where the codes lie


@styled
def plot_distances(
    nearest: Float[Tensor, " k"], used: Bool[Tensor, " k"], quantised: Float[Tensor, " m"]
) -> Figure:
    """Distances in the code space: from code to nearest code, and from encoder outputs to their codes.

    The axis ends where 99 % of either are shown.

    Args:
        nearest: of each code. used: which codes are. quantised: of encoder outputs from their codes.
    """
    figure, ax = panels((6.2, 3.2))
    outputs, alive, dead = quantised.numpy(), nearest[used].numpy(), nearest[~used].numpy()
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
    ax.legend()
    return figure


@styled
def plot_map(
    positions: Float[Tensor, "k 2"],
    variance: Float[Tensor, "2"],
    counts: Int[Tensor, " k"],
    meanings: Mapping[str, Float[Tensor, " k"]],
) -> Figure:
    """The codebook on a plane, one panel for each meaning: a dot a code, as large as its use, coloured by the meaning.

    Colours end at the 2nd and the 98th percentile; a meaning that takes both signs is coloured evenly about 0. Unused
    codes are small and grey. Single codes far out lie outside the panel.

    Args:
        positions, variance: of `codebook_map`. meanings: title ("speed, cm/s") → a number for each code, NaN if unused.
    """
    shape = {"columns": len(meanings), "sharex": True, "sharey": True, "squeeze": False}
    figure, axes = panels((3.1 * len(meanings), 2.9), **shape)
    order = counts.argsort(descending=True, stable=True)  # small dots on top
    used, unused = order[counts[order] > 0], positions[counts == 0].numpy()
    dots, often = positions[used].numpy(), counts[used].numpy()
    # From the 0.5th to the 99.5th percentile, and a tenth of that on either side.
    low, high = np.quantile(dots, [0.005, 0.995], axis=0)
    limits = np.stack([low - 0.1 * (high - low), high + 0.1 * (high - low)], 1)
    for ax, (title, values) in zip(axes[0], meanings.items(), strict=True):
        ax.scatter(*unused.T, s=8, color=UNUSED, lw=0)
        shown = values[used].numpy()
        low, high = np.nanpercentile(shown, [2, 98])
        if signed := low < 0 < high:
            low, high = -max(-low, high), max(-low, high)
        colours = colormaps["coolwarm" if signed else "viridis"].resampled(9)
        size = 5 + 120 * often / often.max()
        dotted = ax.scatter(*dots.T, s=size, c=shown, vmin=low, vmax=high, cmap=colours, lw=0)
        figure.colorbar(dotted, ax=ax, extend="both", shrink=0.85)
        ax.set(title=title, xlabel=f"first axis ({variance[0]:.0%} of the variance)", xticks=[], yticks=[])
        ax.set(xlim=limits[0], ylim=limits[1])
    axes[0, 0].set_ylabel(f"second axis ({variance[1]:.0%})")
    dead = f", {len(unused)} unused grey" if len(unused) else ""
    figure.suptitle(f"a dot is a code, its size its use{dead}", fontsize=10)
    return figure


# ---------------------------------------------------------------------- how tokens follow each other


@styled
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
    figure, (left, middle, right) = panels((11.5, 3.5), 1, 3, width_ratios=[1.1, 1, 1.15])
    for lengths, name, colour in ((shuffled, "shuffled", SOFT), (runs, "in their order", GOOD)):
        x = np.arange(1, int(lengths.max()) + 1)
        ratios = (lengths.numpy() >= x[:, None]).mean(1)
        left.plot(x, ratios, ".-", color=colour, label=f"{name}: mean {lengths.double().mean():.2f}")
    left.set(yscale="log", xlabel=f"length, tokens of {seconds:g} s", ylabel="ratio of runs at least as long")
    left.set_title("runs of one token")
    whole_numbers(left.xaxis)
    plain_numbers(left.yaxis)
    left.legend()
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
    image = right.imshow(ratio.numpy(), cmap="viridis", norm=norm)
    figure.colorbar(image, ax=right, label="ratio", shrink=0.85)
    right.set(title=f"followers of the {len(top)} most used codes", xticks=[], yticks=[])
    right.set(xlabel="next code, by use", ylabel="code, by use")
    return figure
