"""Chapter 02, tokenizer: plots of quantisation in the plane, reconstruction errors, poses, and the collapse.

Those of the codebook are in `codebook_plots`. Every function takes arrays or tables and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from pandas import DataFrame, Series
from torch import Tensor

from mmm.lab.tokenizer import in_words
from mmm.motion import Skeleton, get_skeleton
from mmm.viz.body import mannequin
from mmm.viz.camera import Camera, facing
from mmm.viz.render import still
from mmm.viz.strip import place
from mmm.viz.style import (
    BAD,
    DARK,
    DASHED,
    GOOD,
    LEFT,
    MARK,
    RIGHT,
    panels,
    plain_numbers,
    rgb,
    styled,
    whole_numbers,
)

PALE = 0.4  # strength of the colours of tokenizers without reset


@styled
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
    ax.legend(loc="lower right")
    return figure


# ---------------------------------------------------------------------- reconstruction errors


def plot_joint_errors(errors: Float[Tensor, " bones"], skeleton: str = "humanml3d") -> Figure:
    """Bars: mean error (cm) of each joint but the root, worst first; left limbs blue, right ones orange."""
    body = get_skeleton(skeleton)
    sides = dict.fromkeys(body.left, LEFT) | dict.fromkeys(body.right, RIGHT)
    values = Series(errors.detach().cpu().numpy(), range(1, len(body.joints)))
    values = values.sort_values(ascending=False, kind="stable")
    colours = [rgb(sides.get(joint, DARK)) for joint in values.index]
    named = values.rename(lambda joint: body.joints[joint].replace("_", " "))
    title = "local error of each joint (blue: left, orange: right)"
    return _error_bars(named, float(errors.mean()), title, "MPJPE, cm", colours)


def plot_action_errors(table: DataFrame, title: str = "local error by action") -> Figure:
    """Bars: mean error (cm) of each action, worst first, with the number of clips that show it.

    Args:
        table: of `error_by_action`: index action; columns error, frames, clips.
    """
    named = table["error"].set_axis([f"{name}  ({clips})" for name, clips in table["clips"].items()])
    mean = float(np.average(table["error"], weights=table["frames"]))
    return _error_bars(named, mean, title, "MPJPE, cm (in brackets: clips that show it)", GOOD)


@styled
def _error_bars(values: Series, mean: float, title: str, label: str, colours: str | list) -> Figure:
    """A bar for each error, the first on top, and a line at the mean."""
    figure, ax = panels((7.0, 0.8 + 0.19 * len(values)))
    bars = ax.barh(values.index, values, color=colours, height=0.75)
    ax.bar_label(bars, fmt="%.1f", fontsize=8, padding=3, bbox={"fc": "white", "ec": "none", "pad": 0.3})
    ax.axvline(mean, **DASHED, zorder=0)
    ax.annotate(f"mean {mean:.1f} cm", (mean, 1), xycoords=("data", "axes fraction"), fontsize=8, va="bottom")
    ax.set_xlabel(label)
    ax.set_title(title, pad=14)
    ax.tick_params(axis="y", labelsize=8, length=0)
    ax.margins(x=0.1, y=0.01)
    ax.invert_yaxis()
    return figure


@styled
def plot_frequency_errors(table: DataFrame) -> Figure:
    """Movement, its reconstruction and the error in each band of frequency (left, cm), and error / movement (right).

    Args:
        table: of `error_by_frequency`: index band; columns clip, reconstruction, error, ratio.
    """
    figure, (sizes, ratio) = panels((9.0, 3.2), 1, 2, width_ratios=[1.5, 1])
    bands = [name.replace(" ", "\n", 1) for name in table.index]
    for column, colour, style in (("clip", MARK, "o-"), ("reconstruction", GOOD, "s:"), ("error", BAD, "D-")):
        sizes.plot(bands, table[column], style, color=colour, label=column, markersize=5)
    sizes.set(yscale="log", ylabel="root mean square, cm", title="how much moves, and how much is wrong")
    plain_numbers(sizes.yaxis)
    sizes.legend()
    sizes.grid(alpha=0.3, which="both")
    ratio.bar_label(ratio.bar(bands, table["ratio"], color=BAD, width=0.6), fmt="%.2f", fontsize=8)
    ratio.axhline(1, **DASHED)
    ratio.set(title="error / movement of the clip", ylim=(0, max(1.15, 1.1 * float(table["ratio"].max()))))
    _note(ratio, "1: no better than leaving it out", 1)
    for ax in (sizes, ratio):
        ax.tick_params(axis="x", labelsize=8)
    return figure


def _note(ax: Axes, text: str, height: float) -> None:
    """A small text at the left, above a height of the y axis."""
    ax.annotate(text, (0.02, height), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)


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
    person = mannequin(joints.reshape(-1, *joints.shape[2:]), body)
    rows = math.ceil(len(joints) / columns)
    # All axes have one scale: of the outermost corners.
    options = {"squeeze": False, "sharex": True, "sharey": True}
    figure, axes = panels((1.75 * columns, 2.5 * rows), rows, columns, **options)
    corners = []
    for ax, clip, title in zip(axes.flat, joints.astype(np.float64), titles, strict=False):
        camera = _half_front(clip, body)
        for frame, pose in enumerate(person.pose(clip)):
            seen = still(person, [person.skin(pose)], camera, shadows=False)
            place(ax, seen, alpha=0.15 if frame < len(clip) - 1 else 1.0)
            corners.append(np.reshape(seen.extent, (2, 2)).T)
        ax.set_title(title, fontsize=9)
    corners = np.concatenate(corners)
    (left, bottom), (right, top) = corners.min(0) - 0.05, corners.max(0) + 0.05
    for ax in axes.flat:
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        ax.set_axis_off()
    return figure


def _half_front(clip: np.ndarray, body: Skeleton) -> Camera:
    """A camera that looks at the last frame, turned by 0.6 rad from the first frame's facing."""
    ahead = facing(clip[0], body)
    target = clip[-1, 0] * [1, 0, 1] + [0, 0.85, 0]
    return Camera(tuple(target), float(np.arctan2(ahead[0], ahead[2])) + 0.6, 0.1, 9.0)


# ---------------------------------------------------------------------- collapse on purpose


@styled
def plot_race(table: DataFrame, histories: Mapping[str, DataFrame], codes: int) -> Figure:
    """Tokenizers with and without narrow codes, running means and resets: perplexity by epoch, and results.

    Colour: narrow or wide. Line: EMA (solid) or gradient (dashed). Thin line, pale bar: without reset.

    Args:
        table, histories: of `mmm.lab.tokenizer.race`. codes: in each codebook.
    """
    epochs = pd.concat(histories, names=["name"]).join(in_words(table), on="name")
    figure, (curves, *others) = panels((11.5, 4.0), 1, 4, width_ratios=[2.1, 0.8, 0.8, 0.8])
    sns.lineplot(
        epochs, x="epoch", y="perplexity", ax=curves, marker="o", ms=3, mec="none", errorbar=None,
        hue="narrow", palette={"narrow": GOOD, "wide": BAD},
        style="ema", dashes={"EMA": "", "gradient": (4, 2)},
        size="reset", sizes={"reset": 2.2, "no reset": 0.9},
    )  # fmt: skip
    curves.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    curves.axhline(codes, color=MARK, lw=1, ls=":")
    _note(curves, f"K = {codes}", codes)
    curves.set(ylabel="codes", yscale="log", title="perplexity in each epoch of training")
    whole_numbers(curves.xaxis)
    plain_numbers(curves.yaxis)
    results = {
        "codes used, %": (100 * table["usage"], "%.0f"),
        "perplexity": (table["perplexity"], "%.0f"),
        "local error, cm": (table["mpjpe_local"], "%.1f"),
    }
    pairs = zip(table["narrow"], table["reset"], strict=True)
    colours = [(GOOD if narrow else BAD, 1.0 if reset else PALE) for narrow, reset in pairs]
    for ax, (title, (values, form)) in zip(others, results.items(), strict=True):
        bars = ax.barh(table.index, values, color=colours, height=0.75)
        ax.bar_label(bars, fmt=form, fontsize=8, padding=2)
        ax.set(title=title, xticks=[])
        ax.tick_params(axis="y", length=0, labelsize=8, labelleft=ax is others[0])
        ax.margins(x=0.22)
        ax.spines["bottom"].set_visible(False)
        ax.invert_yaxis()
    figure.suptitle("results on the validation clips", x=0.78, fontsize=10)
    return figure
