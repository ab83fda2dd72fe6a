"""Pictures of notebook 01: a clip as a map of numbers, its path and feet, drift, spread of the numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from mmm.motion.body import ARROW, DARK, LEFT, PATH, RIGHT
from mmm.motion.camera import facing
from mmm.motion.features import feature_slices
from mmm.motion.skeleton import Skeleton, get_skeleton

RANGE = 3.0  # Stds at which the colours of the map end
NEVER = 1e-4  # a number with a smaller Std practically never changes
COLOURS = {name: tuple(c / 255 for c in rgb) for name, rgb in dict(left=LEFT, right=RIGHT, dark=DARK).items()}
Joints = Float[np.ndarray, "t j 3"]


def plot_feature_map(
    normalised: Float[np.ndarray, "t d"], fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Figure:
    """All numbers of a clip: time to the right, the D numbers downwards, colour = Stds from the mean.

    The four root numbers and the four contacts get rows of their own height, or nobody would see them.
    """
    part = feature_slices(skeleton)
    root = slice(part["root_angular"].start, part["root_height"].stop)
    shown = {"root": root} | {k: v for k, v in part.items() if not k.startswith("root")}
    heights = [max(9, (where.stop - where.start) * 0.35) for where in shown.values()]
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(len(shown), 1, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.02})
    extent = (0.0, len(normalised) / fps)
    for ax, (name, where) in zip(axes, shown.items(), strict=True):
        picture = ax.imshow(
            normalised[:, where].T, aspect="auto", cmap="RdBu_r", vmin=-RANGE, vmax=RANGE,
            interpolation="nearest", extent=(*extent, where.stop, where.start),
        )  # fmt: skip
        ax.set_ylabel(f"{name}\n{where.start}:{where.stop}", rotation=0, ha="right", va="center")
        ax.set_yticks([])
    axes[0].set_title(f"one clip as {normalised.shape[1]} numbers a frame, normalised")
    axes[-1].set_xlabel("time, s")
    figure.colorbar(picture, ax=axes, label="Stds from the mean", shrink=0.5, aspect=30)
    return figure


def plot_root_and_feet(
    features: Float[np.ndarray, "t d"],
    joints: Joints,
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
) -> Figure:
    """What some groups hold: the path from above with the facing, turning and speed, feet and contacts."""
    body, part = get_skeleton(skeleton), feature_slices(skeleton)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 2])
    path, root, feet = (figure.add_subplot(place) for place in (grid[:, 0], grid[0, 1], grid[1, 1]))
    draw_path(path, joints, "the path from above", body)
    time = np.arange(len(features)) / fps
    turning = np.degrees(-2 * fps * features[:, part["root_angular"]][:, 0])
    speed = np.linalg.norm(features[:, part["root_linear"]], axis=1) * fps
    root.plot(time, turning, color="C4")
    root.set(title="root", ylabel="turning to the left, °/s")
    root.yaxis.label.set_color("C4")
    other = root.twinx()
    other.plot(time, speed, color="C2")
    other.set_ylim(bottom=0)
    other.set_ylabel("speed, m/s", color="C2")
    contacts = features[:, part["contacts"]].T
    names = ("ankle", "foot")
    for row, (joint, rest) in enumerate(zip(np.ravel(body.feet), contacts, strict=True)):
        side = "left" if joint in body.left else "right"
        line = joints[: len(time), joint, 1] * 100
        style = "-" if row % 2 else ":"
        feet.plot(time, line, style, color=COLOURS[side], lw=1.3, label=f"{side} {names[row % 2]}")
        feet.fill_between(
            time, -3.5 - 3 * row, -1 - 3 * row, where=rest > 0.5, step="mid", color=COLOURS[side], lw=0
        )
    feet.set(
        title="feet: height, and bars where the contact number is 1", xlabel="time, s", ylabel="height, cm"
    )
    feet.legend(fontsize=8, frameon=False, ncols=4, loc="upper right")
    feet.set_ylim(top=feet.get_ylim()[1] * 1.25)
    return figure


def draw_path(
    ax: Axes, joints: Joints, title: str = "", skeleton: str | Skeleton = "humanml3d", every: int = 20
) -> None:
    """The root's path from above: z up the page, x (the body's left at the start) to the left."""
    way = joints[:, 0, [0, 2]]
    ahead = facing(joints[::every], get_skeleton(skeleton))[..., [0, 2]]
    ax.plot(*way.T, color=[c / 255 for c in PATH], lw=2)
    places = way[::every]
    ax.quiver(*places.T, *ahead.T, angles="xy", color=[c / 255 for c in ARROW], width=0.008, scale=8)
    ax.plot(*way[0], "o", color="white", markeredgecolor="black", label="start")
    _as_map(ax)
    ax.set_title(title)


def plot_drift(paths: Mapping[str, Joints], true: str, fps: float = 20.0) -> Figure:
    """Root paths from above, and how far each is from the one called `true` as time goes on."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    above, grows = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.3]})
    for number, (name, joints) in enumerate(paths.items()):
        style = {"color": "black", "lw": 3} if name == true else {"color": f"C{number - 1}", "lw": 1.6}
        above.plot(*joints[:, 0, [0, 2]].T, label=name, zorder=1 if name == true else 2, **style)
        error = np.linalg.norm(joints - paths[true], axis=-1).mean(-1) * 100
        grows.plot(np.arange(len(joints)) / fps, error, label=name, **style)
    _as_map(above)
    above.set_title("the path from above")
    grows.set(title="mean distance of all joints from the true ones", xlabel="time, s", ylabel="cm")
    grows.legend(frameon=False)
    return figure


def plot_spread(
    std: Float[np.ndarray, " d"], grouped: Float[np.ndarray, " d"], skeleton: str = "humanml3d"
) -> Figure:
    """The Std of each number by itself (dots) and averaged within its group (lines), on a logarithmic axis.

    Triangles at the bottom stand for numbers that change less than the axis can show, or not at all.
    """
    floor = 10 ** np.floor(np.log10(std[std > NEVER].min()))
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    ax = figure.subplots()
    for number, (name, where) in enumerate(feature_slices(skeleton).items()):
        at = np.arange(where.start, where.stop)
        low = std[where] < NEVER
        ax.plot(at[~low], std[where][~low], ".", ms=5, color=f"C{number}")
        ax.plot(at[low], np.full(low.sum(), floor * 1.15), "v", ms=5, color=f"C{number}")
        ax.plot(
            [at[0] - 0.5, at[-1] + 0.5], 2 * [grouped[at[0]]], lw=3, alpha=0.6, color=f"C{number}", label=name
        )
    ax.set(yscale="log", xlabel="number", ylabel="Std (rad, m, m/frame, none)", xlim=(-3, len(std) + 2))
    ax.set_ylim(bottom=floor)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_title("Std of every number (dots) and of its group (lines)")
    ax.legend(fontsize=8, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure


def _as_map(ax: Axes) -> None:
    """Equal metres; x grows to the left, where a body that faces up the page (z) has its left hand."""
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.15)
    ax.invert_xaxis()
    ax.set(xlabel="x, m (left at the start)", ylabel="z, m (ahead at the start)")
    ax.grid(alpha=0.3)


def small_png(figure: Figure, colours: int = 64) -> bytes:
    """The figure as a PNG of at most so many colours: a third of the size, and the eye sees no difference."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    data = io.BytesIO()
    picture.quantize(colours, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return data.getvalue()
