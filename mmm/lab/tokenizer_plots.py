"""Pictures of notebook 02: the life of a codebook in training, by epoch, by code, and where it collapses on purpose.

Every function takes arrays or tables and returns a matplotlib figure.


Pictures of notebook 02: quantisation in the plane, errors of what comes back, codes as poses.

Those of the codebook are in `codebook_plots`.

Pictures of notebook 02: how the codes are used, where they lie, what they mean, how they follow each other.

Every function takes arrays, and tables where there are several, and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, Int64, Integer
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from mmm.errors import require
from mmm.lab.codebook import Succession
from mmm.motion import get_skeleton
from mmm.tokenizer.codebook import usage_report
from mmm.viz.body import body_shapes
from mmm.viz.camera import Camera, facing
from mmm.viz.style import DARK, LEFT, RIGHT

if TYPE_CHECKING:
    from pandas import DataFrame


def plot_quantisation(
    z: Float[Tensor, "m 2"],
    before: Float[Tensor, "k 2"],
    tokens: Int[Tensor, " m"],
    after: Float[Tensor, "k 2"],
) -> Figure:
    """Points of the plane, each tied to its code, and the way each code went in one update."""
    z, before, after, tokens = (x.detach().cpu().numpy() for x in (z, before, after, tokens))
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    ax = figure.subplots()
    colours = [f"C{token % 10}" for token in tokens]
    ax.add_collection(LineCollection(list(zip(z, before[tokens], strict=True)), colors=colours, alpha=0.35))
    ax.scatter(*z.T, c=colours, s=14)
    ax.scatter(*before.T, marker="x", s=70, c="black", label="code", zorder=3)
    moved = np.linalg.norm(after - before, axis=1) > 1e-6
    ways = (after - before)[moved]
    ax.quiver(*before[moved].T, *ways.T, angles="xy", scale_units="xy", scale=1, width=0.006, zorder=4)
    for number, code in enumerate(before):
        ax.annotate(str(number), code, xytext=(6, 6), textcoords="offset points", fontweight="bold")
    ax.set(title="every point takes the nearest code; the codes follow", aspect="equal")
    ax.set(xlabel="first number of the code space", ylabel="second number")
    ax.margins(0.12)
    ax.legend(loc="lower right", frameon=False)
    return figure


def plot_joint_errors(errors: Float[Tensor, " bones"], skeleton: str = "humanml3d") -> Figure:
    """Bars: mean error (cm) of each joint but the root; left limbs blue, right ones orange, as in strips."""
    body = get_skeleton(skeleton)
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    ax = figure.subplots()
    colour = {**dict.fromkeys(body.left, LEFT), **dict.fromkeys(body.right, RIGHT)}
    order = np.argsort(errors.detach().cpu().numpy(), kind="stable")
    sides = [[c / 255 for c in colour.get(int(joint) + 1, DARK)] for joint in order]
    ax.bar([body.joints[joint + 1].replace("_", " ") for joint in order], errors.numpy()[order], color=sides)
    ax.axhline(float(errors.mean()), color="grey", linewidth=1, linestyle="--")
    ax.text(-0.4, float(errors.mean()), f"mean {float(errors.mean()):.1f} cm", va="bottom", fontsize=9)
    ax.set(title="local error of each joint (blue: left, orange: right)", ylabel="MPJPE, cm")
    ax.tick_params(axis="x", rotation=60)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_content_errors(table: DataFrame, title: str = "local error by content") -> Figure:
    """Bars: mean error (cm) of each content, worst first, with the number of clips that show it.

    Args:
        table: of `error_by_content`: index content; columns error, frames, clips.
    """
    figure = Figure(figsize=(7.0, 0.8 + 0.19 * len(table)), layout="constrained")
    ax = figure.subplots()
    names = [f"{name}  ({clips})" for name, clips in table["clips"].items()]
    bars = ax.barh(names, table["error"], color="#2a788e", height=0.75)
    ax.bar_label(bars, fmt="%.1f", fontsize=8, padding=3, bbox={"fc": "white", "ec": "none", "pad": 0.3})
    mean = float(np.average(table["error"], weights=table["frames"]))
    ax.axvline(mean, color="grey", linewidth=1, linestyle="--", zorder=0)
    ax.annotate(f"mean {mean:.1f} cm", (mean, 1), xycoords=("data", "axes fraction"), fontsize=8, va="bottom")
    ax.set(xlabel="MPJPE, cm (in brackets: clips that show it)")
    ax.set_title(title, pad=14)
    ax.tick_params(axis="y", labelsize=8, length=0)
    ax.margins(x=0.1, y=0.01)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_frequency_errors(table: DataFrame) -> Figure:
    """Movement, its copy and the error in each band of frequency (left, cm), and error / movement (right).

    Args:
        table: of `error_by_frequency`: index band; columns true, made, error, ratio.
    """
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    sizes, ratio = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.5, 1]})
    at = np.arange(len(table))
    kinds = {
        "true": ("true movement", "#3b3f46", "o-"),
        "made": ("from tokens", "#2a788e", "s:"),
        "error": ("error", "#e07b39", "D-"),
    }
    for column, (label, colour, style) in kinds.items():
        sizes.plot(at, table[column], style, color=colour, label=label, markersize=5)
    sizes.set(yscale="log", ylabel="root mean square, cm", title="how much moves, and how much is wrong")
    sizes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    sizes.legend(frameon=False, fontsize=8)
    sizes.grid(alpha=0.3, which="both")
    bars = ratio.bar(at, table["ratio"], color="#e07b39", width=0.6)
    ratio.bar_label(bars, fmt="%.2f", fontsize=8)
    ratio.axhline(1, color="grey", linewidth=1, linestyle="--")
    ratio.set(title="error / true movement", ylim=(0, max(1.15, 1.1 * float(table["ratio"].max()))))
    ratio.annotate(
        "1: no better than leaving it out",
        (0.02, 1),
        xycoords=("axes fraction", "data"),
        fontsize=8,
        va="bottom",
    )
    names = [name.replace(" ", "\n", 1) for name in table.index]
    for ax in (sizes, ratio):
        ax.set_xticks(at, names, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_poses(
    joints: Float[np.ndarray, "clips t j 3"],
    titles: Sequence[str],
    skeleton: str = "humanml3d",
    columns: int = 6,
) -> Figure:
    """A grid of short clips (what codes decode to, moments): frames on top of each other, earlier ones pale.

    Every clip is seen half from the front, whatever way it faces in the room.
    """
    body = get_skeleton(skeleton)
    rows = math.ceil(len(joints) / columns)
    figure = Figure(figsize=(1.75 * columns, 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax in axes:
        ax.set_axis_off()
    low, high = np.full(2, np.inf), np.full(2, -np.inf)  # of everything drawn: the axes share their scale
    for ax, clip, title in zip(axes, joints.astype(np.float64), titles, strict=False):
        ahead = facing(clip[0], body)
        target = clip[-1, 0] * [1, 0, 1] + [0, 0.85, 0]
        camera = Camera(tuple(target), float(np.arctan2(ahead[0], ahead[2])) + 0.6, 0.1, 9.0)
        for frame, pose in enumerate(clip):
            shapes = body_shapes(pose, body, camera)
            polygons = [shape.polygon for shape in shapes]
            low, high = (
                np.stack([low, *(x.min(0) for x in polygons)]).min(0),
                np.stack([high, *(x.max(0) for x in polygons)]).max(0),
            )
            colours = [[c / 255 for c in shape.colour] for shape in shapes]
            strength = 0.15 if frame < len(clip) - 1 else 1.0
            ax.add_collection(
                PolyCollection(
                    polygons, facecolors=colours, alpha=strength, edgecolors="white", linewidths=0.4
                )
            )
        ax.set_title(title, fontsize=9)
    for ax in axes:
        ax.set(xlim=(low[0] - 0.05, high[0] + 0.05), ylim=(low[1] - 0.05, high[1] + 0.05), aspect="equal")
    return figure


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
        table, histories: of `mmm.lab.tokenizer.race`. codes: in each codebook.
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
