"""A strip for readers: poses in rows with their times, and the path from above.

`mmm.viz.film_strip` shows few poses in one row. Two actions, or the swings of a wave, need more moments; and every
strip needs a path from above, as the poses stand side by side.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmm.errors import atomic_write
from mmm.motion.skeleton import get_skeleton
from mmm.viz.body import SOLE, Mannequin, mannequin, side_colours
from mmm.viz.camera import Camera, best_yaw, facing, key_frames
from mmm.viz.render import Still, facing_arrow, still
from mmm.viz.strip import place
from mmm.viz.style import ARROW, DARK, LEFT, PATH, RIGHT, Colour, rgb, small_png

SPACING = 0.25  # seconds between poses, unless these would be fewer or more than POSES
POSES = (10, 26)
TRAIL = 0.35  # seconds before a pose over which the paths of the hands are drawn: no gap between two poses
WIDTH, MAP, SCALE = (
    12.0,
    2.2,
    1.15,
)  # inches: the picture, the path from above within it, a metre of the poses
GAP = 0.15  # metres between poses
ROW = (WIDTH - MAP) / SCALE - GAP  # metres
SKELETON = get_skeleton("humanml3d")

Curve = Float[np.ndarray, "_ 2"]


@dataclasses.dataclass(frozen=True)
class Pose:
    """One pose in picture metres, its left end at 0: figure, shift to there, arrow, paths of the hands, width, time."""

    figure: Still
    shift: float
    arrow: Curve
    trails: list[tuple[Curve, Colour]]
    width: float
    time: str


def pose_count(seconds: float) -> int:
    """How many poses show a motion of this length."""
    return int(np.clip(round(seconds / SPACING) + 1, *POSES))


def draw_strip(joints: Float[np.ndarray, "t j 3"], fps: float, path: str | os.PathLike[str]) -> None:
    """Write one motion (metres) as PNG: poses in rows, all seen from one side, and its path from above."""
    joints = np.asarray(joints, np.float64)
    frames = key_frames(joints, pose_count((len(joints) - 1) / fps))
    camera = Camera((0.0, 0.9, 0.0), best_yaw(joints, SKELETON), 0.2, 20.0)
    body = mannequin(joints, SKELETON)
    rows = _rows([_pose(joints, body, frame, fps, camera) for frame in frames])
    bounds = [_bounds(row) for row in rows]
    low = min(bottom for bottom, _ in bounds)
    tall = [SCALE * (high - low) for _, high in bounds]
    height = max(sum(tall), MAP) + 0.25
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    top = height
    for row, own in zip(rows, tall, strict=True):
        top -= own
        ax = figure.add_axes((0, top / height, (WIDTH - MAP) / WIDTH, own / height))
        ax.set(xlim=(0, ROW + GAP), ylim=(low, low + own / SCALE))
        _draw_row(row, low, ax)
    _draw_map(
        joints, frames, fps, figure.add_axes((1 - MAP / WIDTH, 1 - MAP / height, MAP / WIDTH, MAP / height))
    )
    names = {LEFT: "left limbs", RIGHT: "right limbs", ARROW: "faces this way"}
    handles = [Patch(color=rgb(colour), label=name) for colour, name in names.items()]
    figure.legend(handles=handles, ncols=3, fontsize=8, frameon=False, loc="lower right", borderaxespad=0.1)
    with atomic_write(path) as part:
        part.write_bytes(small_png(figure, 64))


def _rows(poses: list[Pose]) -> list[list[Pose]]:
    """The poses in rows of about the same width, each no wider than the space for them."""
    widths = np.array([pose.width + GAP for pose in poses])
    ends = widths.cumsum()
    count = int(
        np.ceil(ends[-1] / (ROW - widths.max()))
    )  # a row ends up to one pose after its part of the whole
    rows = np.minimum((ends - widths) * count // ends[-1], count - 1)
    return [[pose for pose, own in zip(poses, rows, strict=True) if own == row] for row in range(count)]


def _pose(
    joints: Float[np.ndarray, "t j 3"], body: Mannequin, frame: int, fps: float, camera: Camera
) -> Pose:
    """One frame at the origin; its hands' paths are those seen by somebody who moves along with the body."""
    recent = joints[max(0, frame - round(TRAIL * fps)) : frame + 1]
    recent = recent - recent[:, :1] * [1, 0, 1]
    points, normals = body.skin(body.pose(recent[-1:])[0])
    arrow = camera.project(facing_arrow(recent[-1], SKELETON, -SOLE))[:, :2]
    across = np.concatenate([camera.project(points)[:, 0], arrow[:, 0]])
    shift, sides = np.array([-across.min(), 0.0]), side_colours(SKELETON)
    return Pose(
        still(body, [(points, normals)], camera),
        float(shift[0]),
        arrow + shift,
        [(camera.project(recent[:, hand])[:, :2] + shift, sides[hand]) for hand in SKELETON.hands],
        max(float(np.ptp(across)), 0.75),
        f"{frame / fps:.1f} s",
    )


def _bounds(row: list[Pose]) -> tuple[float, float]:
    """Bottom and top of a row, with space for the times below."""
    lines = [line[:, 1] for pose in row for line in (pose.arrow, *(trail for trail, _ in pose.trails))]
    heights = np.concatenate([*lines, *(pose.figure.extent[2:] for pose in row)])
    return float(heights.min()) - 0.2, float(heights.max()) + 0.08


def _draw_row(row: list[Pose], low: float, ax: Axes) -> None:
    ax.set_axis_off()
    right = GAP
    for pose in row:
        shift = np.array([right, 0.0])
        for line, colour in pose.trails:
            ax.plot(*(line + shift).T, color=rgb(colour), alpha=0.5, linewidth=1.3, zorder=2)
        ax.add_collection(PolyCollection([pose.arrow + shift], facecolors=[rgb(ARROW)], zorder=2))
        place(ax, pose.figure, right + pose.shift, zorder=3)
        middle = right + pose.width / 2
        ax.text(middle, low + 0.03, pose.time, ha="center", va="bottom", fontsize=9, color=rgb(DARK))
        right += pose.width + GAP


def _draw_map(joints: Float[np.ndarray, "t j 3"], frames: np.ndarray, fps: float, ax: Axes) -> None:
    """The root's path from above. Up is where the person faces at the start, so that left is their left."""
    ahead = facing(joints, SKELETON)[:, [0, 2]]
    turn = np.stack([[-ahead[0, 1], ahead[0, 0]], ahead[0]], -1)  # columns: to their right, ahead
    path, facings = joints[:, 0, [0, 2]] @ turn, ahead @ turn
    path = path - (path.max(0) + path.min(0)) / 2
    size = max(float(np.ptp(path, axis=0).max()), 1.0)
    ax.set(xlim=(-0.8 * size, 0.8 * size), ylim=(-0.8 * size, 0.8 * size), aspect="equal")
    ax.set_axis_off()
    ax.plot(*path.T, color=rgb(PATH), linewidth=1.8)
    options = {"angles": "xy", "scale_units": "xy", "scale": 5 / size, "width": 0.014, "zorder": 3}
    ax.quiver(*path[frames].T, *facings[frames].T, color=rgb(ARROW), **options)
    ax.plot(*path[frames].T, "o", color=rgb(DARK), markersize=3, zorder=4)
    ax.plot(*path[0], "o", color="white", markeredgecolor=rgb(DARK), markersize=7, zorder=5)
    small = {"fontsize": 8, "color": rgb(DARK), "ha": "center", "va": "top"}
    ax.text(0, 0.78 * size, "path from above, ○ start", **small)
    metre = 1.0 if size < 4 else 2.0 if size < 8 else 5.0
    ax.plot([-metre / 2, metre / 2], [-0.65 * size] * 2, color=rgb(DARK), linewidth=1.2)
    seconds = (len(joints) - 1) / fps
    speed = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) / max(seconds, 1 / fps)
    ax.text(0, -0.68 * size, f"{metre:g} m; {speed:.1f} m/s on average", **small)
