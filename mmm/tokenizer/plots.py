"""Pictures of notebook 02: quantisation in the plane, errors by joint, usage of the codes, codes as poses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from torch import Tensor

from mmm.motion import get_skeleton
from mmm.motion.body import DARK, LEFT, RIGHT, body_shapes
from mmm.motion.camera import Camera, facing

FEW = 2 / 3  # share of all tokens that is marked in the usage picture


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


def plot_usage(counts: Int[Tensor, " k"], title: str = "") -> Figure:
    """How often each code is used: by rank, and as a histogram; both with a logarithmic axis.

    The dashed line is where all codes would lie if they were used alike.
    """
    used = np.sort(counts.cpu().numpy())[::-1]
    alike, dead = used.sum() / len(used), int((used == 0).sum())
    figure = Figure(figsize=(9.5, 3.3), layout="constrained")
    by_rank, histogram = figure.subplots(1, 2)
    by_rank.bar(range(1, len(used) + 1), used, width=1.0)
    most = int(np.searchsorted(used.cumsum(), FEW * used.sum())) + 1
    by_rank.axvspan(0.5, most + 0.5, color="C1", alpha=0.15, label=f"{most} codes: two thirds of all tokens")
    by_rank.axhline(alike, color="black", linestyle="--", linewidth=1)
    by_rank.set(yscale="log", xlabel="code, by rank", ylabel="times used", title=title or "codes by rank")
    by_rank.legend(frameon=False, fontsize=8)
    bins = np.geomspace(0.75, max(used.max(), 1) * 1.1, 25)
    histogram.hist(used[used > 0], bins=bins)
    histogram.axvline(alike, color="black", linestyle="--", linewidth=1, label="all used alike")
    histogram.set(xscale="log", xlabel="times used", ylabel="codes")
    histogram.set_title(f"{len(used)} codes, {dead} never used")
    histogram.legend(frameon=False, fontsize=8)
    for ax in (by_rank, histogram):
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
