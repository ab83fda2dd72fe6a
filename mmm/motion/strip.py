"""Where everything in a film strip goes; pure arithmetic, painted by draw.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mmm.motion.body import Colour, Shape, body_shapes, ground_shapes, limbs
from mmm.motion.camera import Camera, facing, key_frames, telling_yaw
from mmm.motion.skeleton import Skeleton

TRAIL = 0.4  # seconds before each pose over which the ways of hands and root are drawn
PITCH = 0.24  # radians: the viewer looks down a little, so that the floor is seen
LONGEST = 11.0  # metres across the picture; along a longer path people would be too small to read
OVERLAP = 0.3  # share of the narrower pose that its neighbour may cover before they are spread side by side

WORTH_A_MAP = 0.8  # metres: a root that stays within this is in place

Curve = Float[np.ndarray, "_ 2"]


@dataclass(frozen=True)
class PathMap:
    """The root's path from above in metres, the viewer below: the way, places and facing of the poses."""

    way: Curve
    places: Curve
    ahead: Curve


@dataclass(frozen=True)
class Strip:
    """One strip, laid out in picture metres.

    Attributes:
        shapes: polygons in the order of painting.
        floor: outline of the floor; grid: its metre lines; path: ways of the root along it.
        trails: ways of the hands with their colours.
        labels: (x, y, text) of the times, y being the top of the text.
        bounds: left, right, bottom, top of all this.
        above: the map of the path, where the poses do not stand in their places and it is worth showing.
    """

    shapes: list[Shape]
    floor: Curve
    grid: list[Curve]
    path: list[Curve]
    trails: list[tuple[Curve, Colour]]
    labels: list[tuple[float, float, str]]
    bounds: tuple[float, float, float, float]
    above: PathMap | None


def lay_out(joints: Float[np.ndarray, "t j 3"], fps: float, skeleton: Skeleton, poses: int) -> Strip:
    """Choose the poses, the view and the places of a film strip of joints in metres."""
    yaw = telling_yaw(joints, skeleton)
    across, _, towards = Camera(yaw=yaw, pitch=0.0).axes
    reach = (joints - joints[:, :1]) @ across
    # hands and feet are thicker than their joints
    reach = np.stack([reach.min(1) - 0.12, reach.max(1) + 0.12], -1)
    # poses that are picked too freely may come to stand in each other's way
    for freedom in (1 / 3, 1 / 6, 0.0):
        frames = key_frames(joints, poses, freedom)
        in_place = not _apart(joints[frames, 0] @ across, *reach[frames].T)
        if not in_place:
            break
    else:
        frames = key_frames(joints, poses)
    roots, (low, high) = joints[frames, 0] * [1, 0, 1], reach[frames].T
    shifts = _side_by_side(low, high)[:, None] * across - roots if in_place else np.zeros_like(roots)
    spots = roots + shifts
    middle = (spots.min(0) + spots.max(0)) / 2
    span = float(np.ptp(spots @ across))
    camera = Camera((middle[0], 0.9, middle[2]), yaw, PITCH, max(9.0, 1.7 * span))

    edges = [(spots @ across + low).min() - 0.25, (spots @ across + high).max() + 0.25]
    floor, grid = _floor(camera, edges, [(spots @ towards).min() - 0.75, (spots @ towards).max() + 0.75])
    order = np.argsort(spots @ towards)  # far to near
    ground = [ground_shapes(joints[frames[i]] + shifts[i], skeleton, camera) for i in order]
    bodies = [body_shapes(joints[frames[i]] + shifts[i], skeleton, camera) for i in order]
    shapes = [shape for pose in ground + bodies for shape in pose]

    window = round(TRAIL * fps)
    recent = [slice(max(0, frame - window), frame + 1) for frame in frames]
    path = [joints[:, 0]] if not in_place else [joints[r, 0] + s for r, s in zip(recent, shifts, strict=True)]
    path = [camera.project(line * [1, 0, 1])[:, :2] for line in path]
    hands = [(b, colour) for a, b, *_, colour in limbs(skeleton) if a == b]
    trails = [
        (camera.project(joints[part, hand] + shift)[:, :2], colour)
        for part, shift in zip(recent, shifts, strict=True)
        for hand, colour in hands
    ]
    below = camera.project(spots + (0.8 if in_place else 0.55) * towards)
    times = [f"{frame / fps:.1f} s" for frame in frames]
    labels = [(float(x), float(y), time) for (x, y, _), time in zip(below, times, strict=True)]

    outline = np.concatenate([shape.polygon for shape in shapes] + [line for line, _ in trails] + [floor])
    left, bottom, right, top = *outline.min(0), *outline.max(0)
    flat = np.stack([across, -towards], -1)
    way = joints[:, 0] @ flat
    above = None
    if in_place and np.ptp(way, axis=0).max() > WORTH_A_MAP:
        above = PathMap(way, way[frames], facing(joints[frames], skeleton) @ flat)
    lowest = min(bottom, min(y for _, y, _ in labels) - 0.22)
    return Strip(shapes, floor, grid, path, trails, labels, (left, right, lowest, top + 0.05), above)


def _apart(at: Float[np.ndarray, " n"], low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"]) -> bool:
    """Whether the poses can be told apart in their own places and the whole is not too wide."""
    if len(at) == 1:
        return True
    order = np.argsort(at)
    at, low, high = at[order], low[order], high[order]
    covered = (at + high)[:-1] - (at + low)[1:]
    narrow = np.minimum(high - low, 0.8)
    return bool((covered <= OVERLAP * np.minimum(narrow[1:], narrow[:-1])).all() and np.ptp(at) < LONGEST)


def _side_by_side(low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Places across the picture at which neighbours just do not touch."""
    steps = np.maximum(high[:-1] - low[1:] + 0.1, 0.8)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _floor(camera: Camera, across: list[float], towards: list[float]) -> tuple[Curve, list[Curve]]:
    """Outline of the floor between two bounds across and towards the viewer, and its lines every metre."""
    right, _, near = Camera(yaw=camera.yaw, pitch=0.0).axes

    def seen(points: list[tuple[float, float]]) -> Curve:
        return camera.project(np.array([x * right + z * near for x, z in points]))[:, :2]

    (x0, x1), (z0, z1) = across, towards
    lines = [[(x, z0), (x, z1)] for x in np.arange(np.ceil(x0), x1)]
    lines += [[(x0, z), (x1, z)] for z in np.arange(np.ceil(z0), z1)]
    return seen([(x0, z0), (x1, z0), (x1, z1), (x0, z1)]), [seen(line) for line in lines]
