"""Film strips: a motion as one still picture. First the layout, in picture metres; then the painting."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmm.errors import atomic_write, require
from mmm.motion.skeleton import Skeleton
from mmm.viz.body import SOLE, as_scene, mannequin, side_colours
from mmm.viz.camera import UP, Camera, best_yaw, facing, key_frames
from mmm.viz.render import Still, facing_arrow, still
from mmm.viz.style import ARROW, DARK, FLOOR, GENERATED, LEFT, PATH, RIGHT, Colour, drawable, rgb, small_png

TRAIL = 0.4  # seconds before each pose over which the paths of hands and root are drawn
PITCH = 0.24  # radians: the viewer looks down a little, so that the floor is visible
LONGEST = 11.0  # metres across the picture; along a longer path people would be too small to read
OVERLAP = 0.3  # ratio of the narrower pose that its neighbour may cover before they are spread side by side
IN_PLACE = 0.8  # metres: a root that moves less needs no map of its path
SHADE = rgb(GENERATED, 0.35)  # one tone behind poses and in the legend: a small PNG has few colours
MAP_WIDTH = 1.5  # metres of the picture that the map of the path takes

Curve = Float[np.ndarray, "_ 2"]


def film_strip(
    motion,
    path: str | os.PathLike[str] | None = None,
    poses: int = 7,
    title: str | None = None,
    *,
    fps: float | int | None = None,
    skeleton: str | Skeleton | None = None,
    ax: Axes | None = None,
    width: float | int = 11.0,
) -> Figure:
    """A motion as one still picture: `poses` poses from the first frame to the last, with their times.

    Poses stand at their positions along the path on the floor if they do not cover each other there. Otherwise (a
    wave in place, a walk in a circle) they are spread side by side and a small map shows the path from above.
    Left limbs are blue, right limbs orange. The nose and the green arrow on the floor show where the body
    faces; thin lines are the paths of the hands just before each pose.

    Args:
        motion: a Motion, or joints (T, J, 3).
        path: where to write a PNG, atomically.
        poses: how many (fewer if there are fewer frames).
        title: the motion's text by default, "" for none.
        fps, skeleton: needed for bare joints only; 20 and "humanml3d" by default.
        ax: draw into these axes rather than a new figure.
        width: inches of a new figure; the height follows from the content.
    Returns:
        The figure.
    Raises:
        ValueError: joints of another shape or not finite, poses < 1, a path that does not end in .png.
    """
    if ax is None:
        return film_strips([motion], path, poses, [title], fps=fps, skeleton=skeleton, width=width)
    _paint(*_prepare(motion, title, poses, fps, skeleton), ax)
    _legend(ax)
    return _save(ax.figure, path)


def film_strips(
    motions: Sequence,
    path: str | os.PathLike[str] | None = None,
    poses: int = 7,
    titles: Sequence[str | None] | None = None,
    *,
    fps: float | int | None = None,
    skeleton: str | Skeleton | None = None,
    width: float | int = 11.0,
    compare: bool = False,
    generated: Sequence | None = None,
) -> Figure:
    """Film strips of several motions below each other, each with its text (or `titles`), one legend for all.

    All strips have one scale.

    Args:
        compare: every strip shows the moments of the first one, from the same camera, and their maps have one scale.
            Moments behind the end of a shorter motion are left out.
        generated: for each motion None, or booleans (T,): which frames a model generated. Such poses are shaded.

    Raises:
        ValueError: as film_strip, or when there are no motions, or not one title or one entry of `generated` for each.
    """
    require(len(motions) > 0, "film_strips got no motions; give at least one.")
    titles = [None] * len(motions) if titles is None else list(titles)
    require(
        len(titles) == len(motions),
        f"film_strips got {len(titles)} titles for {len(motions)} motions; give one title for each.",
    )
    generated = [None] * len(motions) if generated is None else list(generated)
    require(
        len(generated) == len(motions),
        f"film_strips got {len(generated)} entries of generated for {len(motions)} motions; give one for each.",
    )
    view = _view(motions, poses, fps, skeleton) if compare else None
    pairs = [_prepare(m, t, poses, fps, skeleton, view) for m, t in zip(motions, titles, strict=True)]
    figure = _new_figure(pairs, width)
    for (strip, words), new, ax in zip(pairs, generated, figure.axes, strict=True):
        if new is not None:
            _shade(strip, np.asarray(new, bool), ax)
        _paint(strip, words, ax)
    _legend(figure, any(new is not None for new in generated))
    return _save(figure, path)


def _view(motions: Sequence, poses: int, fps: float | int | None, skeleton) -> View:
    """The moments and the camera of the first motion; poses are spread if those of any motion cover each other."""
    scenes = [as_scene(motion, fps, skeleton) for motion in motions]
    joints, _, body, _ = scenes[0]
    yaw, frames = best_yaw(joints, body), key_frames(joints, poses)
    across, _, towards = Camera(yaw=yaw, pitch=0.0).axes
    apart = (_apart_at(other, frames[frames < len(other)], across) for other, *_ in scenes)
    size = max(np.ptp(other[:, 0] @ np.stack([across, -towards], -1), axis=0).max() for other, *_ in scenes)
    return View(yaw, frames, not all(apart), float(size))


def _prepare(
    motion, title: str | None, poses: int, fps: float | int | None, skeleton, view: View | None = None
) -> tuple[Strip, str]:
    """The layout of the strip, and the words above it."""
    require(poses >= 1, f"poses is {poses}, expected at least 1.")
    joints, fps, skeleton, text = as_scene(motion, fps, skeleton)
    words = text if title is None else title
    return lay_out(joints, fps, skeleton, poses, view), textwrap.fill(drawable(words), 110)


def _save(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    if path is not None:
        require(str(path).lower().endswith(".png"), f"{path} is not a .png: film strips are written as PNG.")
        with atomic_write(path) as target:
            target.write_bytes(small_png(figure, 128))
    return figure


# ---------------------------------------------------------------------- layout


@dataclass(frozen=True)
class PathMap:
    """The root's path from above in metres, the viewer below: the path, positions and facing of the poses.

    `size` are the metres that the map is wide.
    """

    path: Curve
    poses: Curve
    ahead: Curve
    size: float


@dataclass(frozen=True)
class View:
    """What strips that are compared share: camera, frames, whether poses are spread side by side, metres of the map."""

    yaw: float
    frames: Int[np.ndarray, " n"]
    spread: bool
    size: float


@dataclass(frozen=True)
class Strip:
    """The layout of one strip in picture metres.

    Attributes:
        frames: of the poses; reach: how far each pose reaches to the left and right in the picture.
        figures: the poses and their shadows. arrows: on the floor, where each pose faces.
        floor: outline of the floor; grid: its metre lines; path: paths of the root along it.
        trails: paths of the hands with their colours.
        labels: (x, y, text) of the times, y being the top of the text.
        bounds: left, right, bottom, top of all this.
        map: the path from above, if the poses are spread side by side and the root does not stay in place.
    """

    frames: Int[np.ndarray, " n"]
    reach: Float[np.ndarray, "n 2"]
    figures: Still
    arrows: list[Curve]
    floor: Curve
    grid: list[Curve]
    path: list[Curve]
    trails: list[tuple[Curve, Colour]]
    labels: list[tuple[float, float, str]]
    bounds: tuple[float, float, float, float]
    map: PathMap | None


def lay_out(
    joints: Float[np.ndarray, "t j 3"], fps: float, skeleton: Skeleton, poses: int, view: View | None = None
) -> Strip:
    """Choose the poses, the view (unless it is given) and the positions of a film strip of joints in metres."""
    yaw = best_yaw(joints, skeleton) if view is None else view.yaw
    across, _, towards = Camera(yaw=yaw, pitch=0.0).axes
    if view is None:
        frames, (low, high), spread = _choose_poses(joints, across, poses)
    else:
        frames, spread = view.frames[view.frames < len(joints)], view.spread
        low, high = _reach(joints, across)[frames].T
    roots = joints[frames, 0] * [1, 0, 1]
    shifts = _side_by_side(low, high)[:, None] * across - roots if spread else np.zeros_like(roots)
    spots = roots + shifts
    middle = (spots.min(0) + spots.max(0)) / 2
    span = float(np.ptp(spots @ across))
    camera = Camera((middle[0], 0.9, middle[2]), yaw, PITCH, max(9.0, 1.7 * span))

    edges = [(spots @ across + low).min() - 0.25, (spots @ across + high).max() + 0.25]
    floor, grid = _floor(camera, edges, [(spots @ towards).min() - 0.75, (spots @ towards).max() + 0.75])
    order = np.argsort(spots @ towards)  # far to near
    body = mannequin(joints, skeleton)
    moved = joints[frames[order]] + shifts[order, None]
    figures = still(body, [body.skin(pose) for pose in body.pose(moved)], camera)
    arrows = [camera.project(facing_arrow(pose, skeleton, -SOLE))[:, :2] for pose in moved]

    window = round(TRAIL * fps)
    recent = [slice(max(0, frame - window), frame + 1) for frame in frames]
    path = [joints[r, 0] + s for r, s in zip(recent, shifts, strict=True)] if spread else [joints[:, 0]]
    path = [camera.project(line * [1, 0, 1])[:, :2] for line in path]
    sides = side_colours(skeleton)
    trails = [
        (camera.project(joints[part, hand] + shift)[:, :2], sides[hand])
        for part, shift in zip(recent, shifts, strict=True)
        for hand in skeleton.hands
    ]
    below = camera.project(spots + (0.8 if spread else 0.55) * towards)
    labels = [(float(x), float(y), f"{f / fps:.1f} s") for (x, y, _), f in zip(below, frames, strict=True)]

    outline = np.concatenate(
        [*arrows, *(line for line, _ in trails), floor, np.reshape(figures.extent, (2, 2)).T]
    )
    left, bottom, right, top = *outline.min(0), *outline.max(0)
    lowest = min(bottom, min(y for _, y, _ in labels) - 0.22)
    flat = np.stack([across, -towards], -1)
    middles = camera.project(spots)[:, 0]
    reach = np.stack([middles + low, middles + high], -1)
    seen_path, path_map = joints[:, 0] @ flat, None
    if spread and (size := float(np.ptp(seen_path, axis=0).max())) > IN_PLACE:
        size = size if view is None else view.size
        path_map = PathMap(seen_path, seen_path[frames], facing(joints[frames], skeleton) @ flat, size)
    bounds = (left, right, lowest, top + 0.05)
    return Strip(frames, reach, figures, arrows, floor, grid, path, trails, labels, bounds, path_map)


def _choose_poses(
    joints: Float[np.ndarray, "t j 3"], across: Float[np.ndarray, "3"], poses: int
) -> tuple[np.ndarray, Float[np.ndarray, "2 n"], bool]:
    """Frames, how far each pose reaches to the left and right of its root, and whether they must be spread."""
    reach = _reach(joints, across)
    for freedom in (1 / 3, 1 / 6, 0.0):  # poses that are chosen too freely may cover each other
        frames = key_frames(joints, poses, freedom)
        if _are_apart(joints[frames, 0] @ across, *reach[frames].T):
            return frames, reach[frames].T, False
    frames = key_frames(joints, poses)
    return frames, reach[frames].T, True


def _reach(joints: Float[np.ndarray, "t j 3"], across: Float[np.ndarray, "3"]) -> Float[np.ndarray, "t 2"]:
    """How far each pose reaches to the left and right of its root."""
    away = (joints - joints[:, :1]) @ across
    return np.stack(
        [away.min(1) - 0.12, away.max(1) + 0.12], -1
    )  # hands and feet are thicker than their joints


def _apart_at(joints: Float[np.ndarray, "t j 3"], frames: np.ndarray, across: Float[np.ndarray, "3"]) -> bool:
    return _are_apart(joints[frames, 0] @ across, *_reach(joints, across)[frames].T)


def _are_apart(
    at: Float[np.ndarray, " n"], low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"]
) -> bool:
    """Whether the poses hardly cover each other at their positions and the whole is not too wide."""
    if len(at) == 1:
        return True
    order = np.argsort(at)
    at, low, high = at[order], low[order], high[order]
    covered = (at + high)[:-1] - (at + low)[1:]
    narrow = np.minimum(high - low, 0.8)
    return bool((covered <= OVERLAP * np.minimum(narrow[1:], narrow[:-1])).all() and np.ptp(at) < LONGEST)


def _side_by_side(low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Positions across the picture at which neighbours just do not touch."""
    steps = np.maximum(high[:-1] - low[1:] + 0.1, 0.8)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _floor(camera: Camera, across: list[float], towards: list[float]) -> tuple[Curve, list[Curve]]:
    """Outline of the floor between two bounds across and towards the viewer, and its lines every metre."""
    right, _, near = Camera(yaw=camera.yaw, pitch=0.0).axes

    def seen(points: list[tuple[float, float]]) -> Curve:
        return camera.project(np.array([x * right + z * near - SOLE * UP for x, z in points]))[:, :2]

    (x0, x1), (z0, z1) = across, towards
    lines = [[(x, z0), (x, z1)] for x in np.arange(np.ceil(x0), x1)]
    lines += [[(x0, z), (x1, z)] for z in np.arange(np.ceil(z0), z1)]
    return seen([(x0, z0), (x1, z0), (x1, z1), (x0, z1)]), [seen(line) for line in lines]


# ---------------------------------------------------------------------- painting


class FilmStrip(Figure):
    """A matplotlib Figure that shows itself in a notebook as a small PNG, once, with any backend."""

    def _ipython_display_(self) -> None:
        from IPython.display import Image as Picture
        from IPython.display import display

        display(Picture(data=small_png(self, 128)))


def _new_figure(pairs: list[tuple[Strip, str]], width: float) -> FilmStrip:
    """A figure with one row of axes for each strip and its words, all drawn to the width; heights in proportion."""
    margin, legend = 0.08, 0.2  # inches
    bounds = [strip.bounds for strip, _ in pairs]
    widest = max(
        b[1] - b[0] + MAP_WIDTH * (strip.map is not None) for (strip, _), b in zip(pairs, bounds, strict=True)
    )
    scale = min((width - 2 * margin) / widest, 1.6)  # inches per metre, the same for all strips
    above = [0.1 + 0.24 * (len(words.splitlines()) if words else 0) for _, words in pairs]
    tall = [scale * (b[3] - b[2]) for b in bounds]
    height = sum(above) + sum(tall) + legend + margin
    figure = FilmStrip(figsize=(width, height), dpi=100, facecolor="white")
    top = height
    for words, own in zip(above, tall, strict=True):
        top -= words + own
        figure.add_axes((margin / width, top / height, 1 - 2 * margin / width, own / height))
    return figure


def _paint(strip: Strip, words: str, ax: Axes) -> None:
    """Paint one strip into axes."""
    ax.set_axis_off()
    ax.set_aspect("equal", anchor="W")
    left, right, bottom, top = strip.bounds
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.add_collection(
        PolyCollection([strip.floor], facecolors=[rgb(FLOOR, 0.45)], edgecolors="none", zorder=0)
    )
    ax.add_collection(LineCollection(strip.grid, colors=[rgb(FLOOR)], linewidths=0.8, zorder=1))
    ax.add_collection(
        LineCollection(strip.path, colors=[rgb(PATH)], linewidths=2.2, capstyle="round", zorder=2)
    )
    for line, colour in strip.trails:
        ax.plot(*line.T, color=rgb(colour), alpha=0.45, linewidth=1.4, solid_capstyle="round", zorder=3)
    ax.add_collection(PolyCollection(strip.arrows, facecolors=[rgb(ARROW)], edgecolors="none", zorder=2))
    place(ax, strip.figures, zorder=4)
    for x, y, text in strip.labels:
        ax.text(x, y, text, ha="center", va="top", fontsize=9, color=rgb(DARK), zorder=5)
    if words:
        ax.set_title(words, fontsize=11, loc="left", color=rgb(DARK), pad=3, parse_math=False)
    if strip.map is not None:
        _paint_map(strip.map, ax)


def place(ax: Axes, figures: Still, shift: float = 0.0, **options) -> None:
    """Draw figures into axes in picture metres, `shift` to the right; `options` are of `Axes.imshow`."""
    left, right, bottom, top = figures.extent
    limits = ax.axis()
    ax.imshow(figures.rgba, extent=(left + shift, right + shift, bottom, top), aspect="equal", **options)
    ax.axis(limits)


def _shade(strip: Strip, generated: np.ndarray, ax: Axes) -> None:
    """A band behind each run of neighbouring poses that were generated."""
    order = np.argsort(strip.reach.mean(1))
    new, reach = generated[strip.frames[order]], strip.reach[order]
    starts = np.flatnonzero(new & ~np.insert(new, 0, False)[:-1])
    stops = np.flatnonzero(new & ~np.append(new, False)[1:])
    for start, stop in zip(starts, stops, strict=True):
        ax.axvspan(reach[start, 0], reach[stop, 1], color=SHADE, linewidth=0, zorder=-1)


def _paint_map(path_map: PathMap, ax: Axes) -> None:
    """The path from above, to the right of the poses: where the root went, where each pose faced."""
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    scale = 1.0 / max(path_map.size, 0.5)  # the map is 1 m of the picture wide
    middle = (path_map.path.min(0) + path_map.path.max(0)) / 2
    centre = np.array([right + 0.75, (top + bottom) / 2])
    path, poses = ((points - middle) * scale + centre for points in (path_map.path, path_map.poses))
    small = {"fontsize": 8, "color": rgb(DARK), "ha": "center"}
    ax.plot(*path.T, color=rgb(PATH), linewidth=1.8, zorder=2)
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 4.5, "width": 0.0035}
    ax.quiver(*poses.T, *path_map.ahead.T, color=rgb(ARROW), **arrows)
    ax.plot(*poses.T, "o", color=rgb(DARK), markersize=3.5, zorder=3)
    ax.plot(*poses[0], "o", color="white", markeredgecolor=rgb(DARK), markersize=5, zorder=4)
    ax.text(centre[0], path[:, 1].max() + 0.32, "path from above", **small)
    low = path[:, 1].min() - 0.35
    metre = scale * (1.0 if path_map.size < 4 else 5.0)
    ax.plot([centre[0] - metre / 2, centre[0] + metre / 2], [low, low], color=rgb(DARK), linewidth=1.2)
    ax.text(centre[0], low - 0.05, f"{metre / scale:g} m", va="top", **small)
    ax.set_xlim(left, right + MAP_WIDTH)


def _legend(where: Axes | Figure, shaded: bool = False) -> None:
    labels = {LEFT: "left limbs", RIGHT: "right limbs", ARROW: "faces this way"}
    handles = [Patch(color=rgb(colour), label=label) for colour, label in labels.items()]
    handles += [Patch(color=SHADE, label="generated")] if shaded else []
    # below the caller's axes, where it does not cover the times; in the corner of our own figure
    position = (
        {"loc": "upper right", "bbox_to_anchor": (1, 0)}
        if isinstance(where, Axes)
        else {"loc": "lower right"}
    )
    where.legend(
        handles=handles, ncols=len(handles), fontsize=8, frameon=False, borderaxespad=0.1, **position
    )
