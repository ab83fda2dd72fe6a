"""Pictures of notebook 02: quantisation in the plane, errors of what comes back, codes as poses.

Those of the codebook are in `codebook_plots`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from mmm.motion import get_skeleton
from mmm.motion.body import DARK, LEFT, RIGHT, body_shapes
from mmm.motion.camera import Camera, facing

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
