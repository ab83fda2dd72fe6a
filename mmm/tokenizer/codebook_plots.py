"""Pictures of notebook 02: how the codes are used, where they lie, what they mean, how they follow each other.

Every function takes arrays, and tables where there are several, and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Int64
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from mmm.tokenizer.codebook import Succession, usage_report

UNUSED, MARK, FIRST, SECOND = "#c9ccd3", "#3b3f46", "#2a788e", "#e07b39"
SOFT = "#9fb8c4"  # of what stands beside for comparison


def plot_usage(counts: Int[Tensor, " k"], title: str = "") -> Figure:
    """How often each code is used, by rank, both axes logarithmic; dashed: if all were used alike.

    Written in: entropy and perplexity beside what the codebook allows, and the codes that are never used, which have
    no place on a logarithmic axis.
    """
    report = usage_report(counts)
    used = np.sort(counts.cpu().numpy())[::-1][: report.used]
    figure, ax = _one_panel((6.2, 3.6))
    ax.plot(np.arange(1, len(used) + 1), used, color=FIRST, lw=2, label="codes, most used first")
    alike = report.tokens / report.codes
    ax.plot(
        [1, report.codes],
        [alike, alike],
        "--",
        color=MARK,
        lw=1.2,
        label=f"all used alike: {alike:.3g} times each",
    )
    if report.dead:
        ax.axvspan(
            report.used, report.codes, color=UNUSED, alpha=0.6, lw=0, label=f"{report.dead} dead codes"
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="rank of the code",
        ylabel="times used",
        xlim=(0.9, report.codes * 1.1),
    )
    ax.set_ylim(bottom=min(0.8, alike / 2))
    told = (
        f"entropy {report.entropy:.2f} of {math.log2(report.codes):.2f} bits\n"
        f"perplexity {report.perplexity:.0f} of {report.codes} codes\n"
        f"{report.dead / report.codes:.1%} of the codes dead"
    )
    ax.text(0.03, 0.06, told, transform=ax.transAxes, va="bottom", fontsize=9)
    ax.set_title(title or f"{spaced(report.tokens)} tokens, {report.codes} codes")
    plain_numbers(ax, "x", "y")
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    return figure


def plot_distances(
    nearest: Float[Tensor, " k"], used: Bool[Tensor, " k"], quantised: Float[Tensor, " m"]
) -> Figure:
    """Distances in the code space: from code to nearest code, and from encoder outputs to their codes.

    The axis ends where 99 % of either are shown.

    Args:
        nearest: of each code. used: which codes are. quantised: of encoder outputs from their codes.
    """
    figure, ax = _one_panel((6.2, 3.2))
    near, far = nearest.numpy(), quantised.numpy()
    alive, dead = near[used.numpy()], near[~used.numpy()]
    top = float(max(np.quantile(alive, 0.99), np.quantile(far, 0.99))) or 1.0
    kinds = {
        "encoder output to its code": (far, SOFT, "stepfilled"),
        "code to nearest code": (alive, FIRST, "step"),
    }
    for name, (values, colour, kind) in kinds.items():
        ax.hist(
            values,
            bins=np.linspace(0, top, 41),
            weights=np.full(len(values), 1 / len(values)),
            color=colour,
            histtype=kind,
            lw=0 if kind == "stepfilled" else 1.8,
            label=f"{name}: median {np.median(values):.2g}",
        )
    if len(dead):
        level = np.full(len(dead), -0.04 * ax.get_ylim()[1])
        label = f"{len(dead)} dead codes to nearest code: median {np.median(dead):.2g}"
        ax.plot(dead, level, "|", color=SECOND, ms=7, label=label)
    ax.set(xlabel="distance in the code space", ylabel="share", xlim=(0, top))
    ax.set_title("do the codes keep their distance?")
    ax.legend(frameon=False, fontsize=8)
    return figure


def plot_map(
    places: Float[Tensor, "k 2"],
    share: Float[Tensor, "2"],
    counts: Int[Tensor, " k"],
    meanings: Mapping[str, Float[Tensor, " k"]],
) -> Figure:
    """The codebook on a plane, one panel for each meaning: a dot a code, as large as its use, coloured by the meaning.

    Colours end at the 2nd and the 98th percentile; a meaning that takes both signs is coloured evenly about 0. Unused
    codes are small and grey. Single codes far out lie outside the picture.

    Args:
        places, share: of `codebook_map`. meanings: title ("speed, cm/s") → a number for each code, NaN if unused.
    """
    figure = Figure(figsize=(3.1 * len(meanings), 2.9), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(meanings), sharex=True, sharey=True))
    (x, y), often, (first, second) = places.numpy().T, counts.numpy(), share.tolist()
    used = often > 0
    size = 5 + 120 * often / max(1, often.max())
    for ax, (title, values) in zip(axes, meanings.items(), strict=True):
        ax.scatter(x[~used], y[~used], s=8, color=UNUSED, lw=0)
        shown = values.numpy()[used]
        low, high = np.nanpercentile(shown, [2, 98])
        if low < 0 < high:
            high = max(-low, high)
            low = -high
        order = np.argsort(-size[used])  # small dots on top
        picture = ax.scatter(
            x[used][order], y[used][order], s=size[used][order], c=shown[order], vmin=low, vmax=high,
            cmap=colormaps["coolwarm" if low < 0 < high else "viridis"].resampled(9), lw=0,
        )  # fmt: skip
        figure.colorbar(picture, ax=ax, extend="both", shrink=0.85)
        ax.set(title=title, xlabel=f"first axis ({first:.0%} of the variance)", xticks=[], yticks=[])
        ax.set(xlim=_wide(x[used]), ylim=_wide(y[used]))
    axes[0].set_ylabel(f"second axis ({second:.0%})")
    dead = f", {int((~used).sum())} unused grey" if not used.all() else ""
    figure.suptitle(f"a dot is a code, its size its use{dead}", fontsize=10)
    return figure


def plot_succession(
    runs: Int64[Tensor, " runs"],
    mixed: Int64[Tensor, " mixed_runs"],
    known: Succession,
    follow: Int64[Tensor, "k k"],
    shown: int = 24,
    seconds: float = 0.2,
) -> Figure:
    """How tokens follow each other: run lengths, bits needed for the next token, and who follows whom.

    Args:
        runs: lengths of runs of one token. mixed: the same of shuffled tokens.
        known: of `transition_entropy`. follow: of `transitions`; the `shown` most used codes are drawn.
        seconds: that a token lasts.
    """
    figure = Figure(figsize=(11.5, 3.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.1, 1, 1.15]})
    for lengths, name, colour in ((mixed, "shuffled", SOFT), (runs, "in their order", FIRST)):
        longest = int(lengths.max())
        lasts = [float((lengths >= n).double().mean()) for n in range(1, longest + 1)]
        label = f"{name}: mean {lengths.double().mean():.2f}"
        left.plot(range(1, longest + 1), lasts, ".-", color=colour, label=label)
    left.set(yscale="log", xlabel=f"length, tokens of {seconds:g} s", ylabel="share of runs at least as long")
    left.set_title("runs of one token")
    left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    plain_numbers(left, "y")
    left.legend(frameon=False, fontsize=8)
    bars = {
        "knowing\nnothing": known.unconditional,
        "the one before,\nshuffled": known.after_shuffled,
        "the one\nbefore": known.after,
    }
    drawn = middle.bar(list(bars), list(bars.values()), color=[MARK, SOFT, FIRST], width=0.7)
    middle.bar_label(drawn, fmt="%.1f", fontsize=9)
    middle.set(title="bits for the next token", ylabel="bits")
    middle.tick_params(axis="x", labelsize=8)
    top = follow.sum(1).argsort(descending=True, stable=True)[:shown]
    share = (follow[top].double() / follow[top].sum(1, keepdim=True).clamp(min=1))[:, top]
    picture = right.imshow(
        share.numpy(), cmap="viridis", norm=PowerNorm(0.5, 0, max(1e-9, float(share.max())))
    )
    figure.colorbar(picture, ax=right, label="share", shrink=0.85)
    right.set(
        title=f"followers of the {len(top)} most used codes",
        xlabel="next code, by use",
        ylabel="code, by use",
    )
    right.set(xticks=[], yticks=[])
    for ax in (left, middle):
        bare(ax)
    return figure


def _one_panel(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    ax = figure.subplots()
    bare(ax)
    return figure, ax


def _wide(values: np.ndarray) -> tuple[float, float]:
    """From the 0.5th to the 99.5th percentile, and a tenth of that on either side."""
    low, high = np.quantile(values, [0.005, 0.995])
    return low - 0.1 * (high - low), high + 0.1 * (high - low)


def bare(ax: Axes) -> None:
    """Without the frame's upper and right line."""
    ax.spines[["top", "right"]].set_visible(False)


def spaced(number: int) -> str:
    """12345 → "12 345"."""
    return f"{number:,}".replace(",", " ")


def plain_numbers(ax: Axes, *which: str) -> None:
    """1, 10, 100 in place of powers of ten."""
    for name in which:
        getattr(ax, f"{name}axis").set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
