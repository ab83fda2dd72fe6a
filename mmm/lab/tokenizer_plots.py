"""Chapter 02, tokenizer: plots of quantisation in the plane, reconstruction errors, poses, and the collapse.

Those of the codebook are in `codebook_plots`. Every function takes arrays or tables and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mmm.motion import Skeleton, get_skeleton
from mmm.viz.body import Shape, body_shapes
from mmm.viz.camera import Camera, facing
from mmm.viz.style import BAD, DARK, GOOD, LEFT, RIGHT, bare, panels, plain_numbers, rgb

if TYPE_CHECKING:
    from pandas import DataFrame

MARK = "#3b3f46"
PALE = 0.4  # strength of the colours of tokenizers without reset


def plot_quantisation(
    z: Float[Tensor, "m 2"],
    before: Float[Tensor, "k 2"],
    tokens: Int[Tensor, " m"],
    after: Float[Tensor, "k 2"],
) -> Figure:
    """Points of the plane, each tied to its code, and how each code moves in one update."""
    z, before, after, tokens = (x.detach().cpu().numpy() for x in (z, before, after, tokens))
    figure, ax = panels((5.2, 4.4))
    colours = [f"C{token % 10}" for token in tokens]
    ax.add_collection(LineCollection(list(zip(z, before[tokens], strict=True)), colors=colours, alpha=0.35))
    ax.scatter(*z.T, c=colours, s=14)
    ax.scatter(*before.T, marker="x", s=70, c="black", label="code", zorder=3)
    moved = np.linalg.norm(after - before, axis=1) > 1e-6
    steps = (after - before)[moved]
    ax.quiver(*before[moved].T, *steps.T, angles="xy", scale_units="xy", scale=1, width=0.006, zorder=4)
    for number, code in enumerate(before):
        ax.annotate(str(number), code, xytext=(6, 6), textcoords="offset points", fontweight="bold")
    ax.set(title="every point takes the nearest code; the codes follow", aspect="equal")
    ax.set(xlabel="first number of the code space", ylabel="second number")
    ax.margins(0.12)
    ax.legend(loc="lower right", frameon=False)
    return figure


# ---------------------------------------------------------------------- reconstruction errors


def plot_joint_errors(errors: Float[Tensor, " bones"], skeleton: str = "humanml3d") -> Figure:
    """Bars: mean error (cm) of each joint but the root; left limbs blue, right ones orange, as in strips."""
    body, values = get_skeleton(skeleton), errors.detach().cpu().numpy()
    figure, ax = panels((7.5, 3.6))
    colour = {**dict.fromkeys(body.left, LEFT), **dict.fromkeys(body.right, RIGHT)}
    order = np.argsort(values, kind="stable")
    names = [body.joints[joint + 1].replace("_", " ") for joint in order]
    ax.bar(names, values[order], color=[rgb(colour.get(int(joint) + 1, DARK)) for joint in order])
    mean = float(errors.mean())
    ax.axhline(mean, color="grey", linewidth=1, linestyle="--")
    ax.text(-0.4, mean, f"mean {mean:.1f} cm", va="bottom", fontsize=9)
    ax.set(title="local error of each joint (blue: left, orange: right)", ylabel="MPJPE, cm")
    ax.tick_params(axis="x", rotation=60)
    bare(ax)
    return figure


def plot_action_errors(table: DataFrame, title: str = "local error by action") -> Figure:
    """Bars: mean error (cm) of each action, worst first, with the number of clips that show it.

    Args:
        table: of `error_by_action`: index action; columns error, frames, clips.
    """
    figure, ax = panels((7.0, 0.8 + 0.19 * len(table)))
    names = [f"{name}  ({clips})" for name, clips in table["clips"].items()]
    bars = ax.barh(names, table["error"], color=GOOD, height=0.75)
    ax.bar_label(bars, fmt="%.1f", fontsize=8, padding=3, bbox={"fc": "white", "ec": "none", "pad": 0.3})
    mean = float(np.average(table["error"], weights=table["frames"]))
    ax.axvline(mean, color="grey", linewidth=1, linestyle="--", zorder=0)
    ax.annotate(f"mean {mean:.1f} cm", (mean, 1), xycoords=("data", "axes fraction"), fontsize=8, va="bottom")
    ax.set(xlabel="MPJPE, cm (in brackets: clips that show it)")
    ax.set_title(title, pad=14)
    ax.tick_params(axis="y", labelsize=8, length=0)
    ax.margins(x=0.1, y=0.01)
    ax.invert_yaxis()
    bare(ax)
    return figure


def plot_frequency_errors(table: DataFrame) -> Figure:
    """Movement, its reconstruction and the error in each band of frequency (left, cm), and error / movement (right).

    Args:
        table: of `error_by_frequency`: index band; columns clip, reconstruction, error, ratio.
    """
    figure, (sizes, ratio) = panels((9.0, 3.2), 1, 2, gridspec_kw={"width_ratios": [1.5, 1]})
    x = np.arange(len(table))
    for column, colour, style in (("clip", MARK, "o-"), ("reconstruction", GOOD, "s:"), ("error", BAD, "D-")):
        sizes.plot(x, table[column], style, color=colour, label=column, markersize=5)
    sizes.set(yscale="log", ylabel="root mean square, cm", title="how much moves, and how much is wrong")
    plain_numbers(sizes.yaxis)
    sizes.legend(frameon=False, fontsize=8)
    sizes.grid(alpha=0.3, which="both")
    ratio.bar_label(ratio.bar(x, table["ratio"], color=BAD, width=0.6), fmt="%.2f", fontsize=8)
    ratio.axhline(1, color="grey", linewidth=1, linestyle="--")
    ratio.set(title="error / movement of the clip", ylim=(0, max(1.15, 1.1 * float(table["ratio"].max()))))
    _note(ratio, "1: no better than leaving it out", (0.02, 1))
    for ax in (sizes, ratio):
        ax.set_xticks(x, [name.replace(" ", "\n", 1) for name in table.index], fontsize=8)
    bare((sizes, ratio))
    return figure


def _note(ax: Axes, text: str, at: tuple[float, float]) -> None:
    """A small text above a height of the y axis; `at` is a fraction of the width, and the height."""
    ax.annotate(text, at, xycoords=("axes fraction", "data"), va="bottom", fontsize=8)


# ---------------------------------------------------------------------- poses


def plot_poses(
    joints: Float[np.ndarray, "clips t j 3"],
    titles: Sequence[str],
    skeleton: str = "humanml3d",
    columns: int = 6,
) -> Figure:
    """A grid of short clips (decoded codes, moments): frames on top of each other, earlier ones pale.

    Every clip is seen half from the front, whichever way it faces in the world.
    """
    body = get_skeleton(skeleton)
    rows = math.ceil(len(joints) / columns)
    figure, axes = panels((1.75 * columns, 2.5 * rows), rows, columns, squeeze=False)
    corners = []
    for ax, clip, title in zip(axes.flat, joints.astype(np.float64), titles, strict=False):
        camera = _half_front(clip, body)
        for frame, pose in enumerate(clip):
            shapes = body_shapes(pose, body, camera)
            corners += [shape.polygon for shape in shapes]
            ax.add_collection(_polygons(shapes, strength=0.15 if frame < len(clip) - 1 else 1.0))
        ax.set_title(title, fontsize=9)
    (left, bottom), (right, top) = (
        np.concatenate(corners).min(0) - 0.05,
        np.concatenate(corners).max(0) + 0.05,
    )
    for ax in axes.flat:  # all axes have the same scale
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        ax.set_axis_off()
    return figure


def _half_front(clip: np.ndarray, body: Skeleton) -> Camera:
    """A camera that looks at the last frame, turned by 0.6 rad from the first frame's facing."""
    ahead = facing(clip[0], body)
    target = clip[-1, 0] * [1, 0, 1] + [0, 0.85, 0]
    return Camera(tuple(target), float(np.arctan2(ahead[0], ahead[2])) + 0.6, 0.1, 9.0)


def _polygons(shapes: Sequence[Shape], strength: float) -> PolyCollection:
    colours = [rgb(shape.colour) for shape in shapes]
    outlines = [shape.polygon for shape in shapes]
    return PolyCollection(outlines, facecolors=colours, alpha=strength, edgecolors="white", linewidths=0.4)


# ---------------------------------------------------------------------- collapse on purpose


def plot_race(table: DataFrame, histories: Mapping[str, DataFrame], codes: int) -> Figure:
    """Tokenizers with and without narrow codes, running means and resets: perplexity by epoch, and results.

    Colour: narrow or wide. Line: EMA (solid) or gradient (dashed). Strong: with reset, pale: without.

    Args:
        table, histories: of `mmm.lab.tokenizer.race`. codes: in each codebook.
    """
    flags = {name: row for name, *row in table[["narrow", "ema", "reset"]].itertuples(name=None)}
    colours = {name: GOOD if narrow else BAD for name, (narrow, _, _) in flags.items()}
    strengths = {name: 1.0 if reset else PALE for name, (_, _, reset) in flags.items()}
    figure = Figure(figsize=(11.5, 4.0), layout="constrained")
    grid = figure.add_gridspec(1, 4, width_ratios=[2.1, 0.8, 0.8, 0.8])
    curves = figure.add_subplot(grid[0])
    for name, history in histories.items():
        style = {"color": colours[name], "ls": "-" if flags[name][1] else "--", "alpha": strengths[name]}
        curves.plot(history["epoch"], history["perplexity"], marker="o", ms=2.5, lw=1.8, **style)
    curves.axhline(codes, color=MARK, lw=1, ls=":")
    _note(curves, f"K = {codes}", (0.01, codes))
    curves.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    curves.set(xlabel="epoch", ylabel="codes", yscale="log", title="perplexity in each epoch of training")
    plain_numbers(curves.yaxis)
    _race_legend(curves)
    bare(curves)
    results = {
        "codes used, %": (100 * table["usage"], "%.0f"),
        "perplexity": (table["perplexity"], "%.0f"),
        "local error, cm": (table["mpjpe_local"], "%.1f"),
    }
    first = None
    for cell, (title, (values, form)) in zip(list(grid)[1:], results.items(), strict=True):
        ax = figure.add_subplot(cell, sharey=first)
        for row, (name, value) in enumerate(values.items()):
            bar = ax.barh(row, value, color=colours[name], alpha=strengths[name], height=0.75)
            ax.bar_label(bar, fmt=form, fontsize=8, padding=2)
        ax.set_title(title, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks(range(len(table)), table.index, fontsize=8)
        ax.tick_params(axis="y", length=0, labelleft=first is None)
        ax.margins(x=0.22)
        bare(ax, ("top", "right", "bottom"))
        first = first or ax
    first.invert_yaxis()
    figure.suptitle("results on the validation clips", x=0.78, fontsize=10)
    return figure


def _race_legend(ax: Axes) -> None:
    styles = {
        "narrow": {"color": GOOD, "lw": 3},
        "wide": {"color": BAD, "lw": 3},
        "EMA": {"color": MARK, "ls": "-"},
        "gradient": {"color": MARK, "ls": "--"},
        "reset": {"color": MARK, "lw": 3},
        "no reset": {"color": MARK, "lw": 3, "alpha": PALE},
    }
    handles = [Line2D([], [], label=label, **style) for label, style in styles.items()]
    ax.legend(
        handles=handles, ncols=3, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15)
    )
