"""Software rendering of a mannequin: triangles into a depth buffer, and its soft shadow on the ground. No GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.ndimage import gaussian_filter

from mmm.motion.skeleton import Skeleton
from mmm.viz.body import SOLE, Mannequin, Points
from mmm.viz.camera import UP, Camera, facing

FINE = 2  # a figure is drawn this many times finer and averaged, which smooths its edges
LIGHT = np.array([-0.5, 1.0, 0.55])  # towards it: right in the picture, up, towards the viewer
SKY, SUN, AMBIENT = 0.22, 0.42, 0.48  # shares of the light
BANDS = (0.0, 0.12, 0.4, 0.9, np.inf)  # metres above ground: the higher, the softer the shadow
SOFT = 0.075  # metres of blur for each metre of height: a lamp of about 9 degrees
SHADE, CONTACT = 0.3, 0.26  # how dark the ground is in the shadow, and more so just below a limb
TOUCH = 0.16  # metres above ground from which a limb darkens the ground below it
STILL_SCALE, MOST_PIXELS = (
    200,
    2400,
)  # for a metre in pictures that matplotlib places; and along a side at most
BLOCK = 0.03  # metres: cells of the map of what the light reaches


@dataclass(frozen=True)
class View:
    """A camera and its picture: pixels for a metre at the target, and the pixel where the target is."""

    camera: Camera
    scale: float
    centre: tuple[float, float]
    ground: float = -SOLE

    def pixels(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """World points → pixels to the right and down, and metres from the viewer."""
        seen = self.camera.project(points)
        seen[..., 0] = self.centre[0] + self.scale * seen[..., 0]
        seen[..., 1] = self.centre[1] - self.scale * seen[..., 1]
        return seen

    @property
    def light(self) -> Float[np.ndarray, "3"]:
        """Unit vector towards the light, which stands still in the picture."""
        level = Camera(yaw=self.camera.yaw, pitch=0.0).axes
        return LIGHT / np.linalg.norm(LIGHT) @ level


@dataclass(frozen=True)
class Cut:
    """A part of a picture: channels times their alpha (h, w, c), 0 to 255, alpha (h, w), and its left upper pixel."""

    colour: Float[np.ndarray, "h w c"]
    alpha: Float[np.ndarray, "h w"]
    left: int
    top: int

    def onto(self, picture: Float[np.ndarray, "rows columns c"]) -> None:
        """Paint it into a picture; what lies outside is left out."""
        (height, width), (rows, columns) = self.alpha.shape, picture.shape[:2]
        y, x = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + height, rows), min(self.left + width, columns)
        own = slice(y - self.top, max(bottom, y) - self.top), slice(x - self.left, max(right, x) - self.left)
        part = picture[y:bottom, x:right]
        part *= 1 - self.alpha[own][..., None]
        part += self.colour[own]


def figure(body: Mannequin, points: Points, normals: Points, view: View, fine: int = FINE) -> Cut:
    """The mannequin, lit, with smooth edges; nothing of it is cut off."""
    seen = view.pixels(points)
    seen[:, :2] *= fine
    left, top = (np.floor(seen[:, :2].min(0) / fine)).astype(int)
    right, bottom = (np.floor(seen[:, :2].max(0) / fine)).astype(int) + 1
    shape = (int(bottom - top) * fine, int(right - left) * fine)
    seen[:, :2] -= fine * np.array([left, top])
    colours = body.tints * _lit(points, normals, view)[:, None]
    picture = _rasterised(seen, body.faces, colours, shape)
    small = sum(picture[i::fine, j::fine] for i in range(fine) for j in range(fine)) / fine**2
    return Cut(small[..., :3], small[..., 3], int(left), int(top))


def _lit(points: Points, normals: Points, view: View) -> Float[np.ndarray, " n"]:
    """How bright each vertex is: sky from above, a lamp that the body itself shades, less light near the ground."""
    light = view.light
    across = np.cross(light, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    x, y, z = np.stack([across, np.cross(across, light), light]).astype(np.float32) @ points.T
    column, row = (np.floor((one - one.min()) / BLOCK).astype(np.int32) + 1 for one in (x, y))
    height = int(row.max()) + 2
    index = column * height + row
    nearest = np.full(height * (int(column.max()) + 2), -np.inf, np.float32)
    np.maximum.at(nearest, index, z)
    away = (
        sum(np.clip((nearest[index + step] - z - 0.06) / 0.05, 0, 1) for step in (0, -1, 1, -height, height))
        / 5
    )
    sun = np.clip(normals @ light.astype(np.float32), 0, 1) * (1 - 0.85 * away)
    near = np.clip((points[:, 1] - view.ground) / 0.25, 0, 1)
    return (AMBIENT + SKY * (0.5 + 0.5 * normals[:, 1])) * (0.8 + 0.2 * near) + SUN * sun


def _rasterised(
    seen: Points, faces: Int[np.ndarray, "f 3"], colours: Points, shape: tuple[int, int]
) -> Float[np.ndarray, "h w 4"]:
    """Red, green, blue and 1 where a triangle covers the middle of a pixel, by a depth buffer over triangles."""
    x, y, z = seen.T.astype(np.float32)
    (ax, bx, cx), (ay, by, cy) = x[faces.T], y[faces.T]
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    front = np.flatnonzero(area < -1e-6)  # pixels count downwards
    front = front[np.argsort(-z[faces[front]].sum(1), kind="stable")]  # the nearest last
    faces, area = faces[front], area[front]
    ax, bx, cx, ay, by, cy = (one[front] for one in (ax, bx, cx, ay, by, cy))
    left, top = (
        np.ceil(np.minimum(np.minimum(*two), one) - 0.5) for *two, one in ((ax, bx, cx), (ay, by, cy))
    )
    wide = np.floor(np.maximum(np.maximum(ax, bx), cx) - 0.5) + 1 - left
    tall = np.floor(np.maximum(np.maximum(ay, by), cy) - 0.5) + 1 - top
    # the ratios of the corners b and c at a pixel are linear in its position
    b_x, b_y, c_x, c_y = (cy - ay) / area, (ax - cx) / area, (ay - by) / area, (bx - ax) / area
    b_0 = b_x * (left + 0.5 - ax) + b_y * (top + 0.5 - ay)
    c_0 = c_x * (left + 0.5 - ax) + c_y * (top + 0.5 - ay)
    left, top = left.astype(np.int32), top.astype(np.int32)
    buffer = np.full(shape[0] * shape[1], -1, np.int32)
    reach, most = np.where((wide > 0) & (tall > 0), np.maximum(wide, tall), 0), 0
    while (reach > most).any():  # triangles of about one size together
        least, most = most, max(2, most + most // 2)
        own = np.flatnonzero((reach > least) & (reach <= most))
        down, right = np.divmod(np.arange(most * most, dtype=np.int32), np.int32(most))
        b, c = (
            one_0[own, None]
            + one_x[own, None] * right.astype(np.float32)
            + one_y[own, None] * down.astype(np.float32)
            for one_0, one_x, one_y in ((b_0, b_x, b_y), (c_0, c_x, c_y))
        )
        which, pixel = np.nonzero((b >= -1e-4) & (c >= -1e-4) & (b + c <= 1.0001))
        which = own[which]
        np.maximum.at(
            buffer, (top[which] + down[pixel]) * shape[1] + left[which] + right[pixel], which.astype(np.int32)
        )
    found = np.flatnonzero(buffer >= 0)
    own, (y, x) = buffer[found], np.divmod(found, shape[1])
    b, c = (
        (one_0[own] + one_x[own] * (x - left[own]) + one_y[own] * (y - top[own]))[:, None].astype(np.float32)
        for one_0, one_x, one_y in ((b_0, b_x, b_y), (c_0, c_x, c_y))
    )
    first, second, third = (colours[faces[own, corner]] for corner in range(3))
    picture = np.zeros((len(buffer), 4), np.float32)
    picture[found, :3] = np.clip(first + b * (second - first) + c * (third - first), 0, 255)
    picture[found, 3] = 1
    return picture.reshape(*shape, 4)


def shadow(points: Points, cell: float, view: View, shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """How dark the ground is, 0 to 1, in a picture of `shape`: the shadow of a lamp, and of limbs that touch it.

    Args:
        points: the vertices of a mannequin. cell: metres between them.
    """
    height = np.maximum(points[:, 1] - view.ground, 0)
    level = points.copy()
    level[:, 1] = view.ground
    aside, up, along = view.light
    cast = view.pixels(level - height[:, None] * np.array([aside / up, 0, along / up], np.float32))
    lift = np.sin(view.camera.pitch)
    unit = 0.8 * (cell * view.scale) ** 2 * lift  # of the ground that a vertex covers, in pixels
    bright = np.ones(shape, np.float32)
    for low, high in zip(BANDS, BANDS[1:], strict=False):
        own = (height >= low) & (height < high)
        if own.any():
            blur = (0.012 + SOFT * float(height[own].mean())) * view.scale
            _darken(bright, cast[own], None, blur, lift, unit, 1.0)
    bright = 1 - SHADE * (1 - bright)
    near = height < TOUCH
    _darken(
        bright,
        view.pixels(level[near]),
        (1 - height[near] / TOUCH) ** 2,
        0.03 * view.scale,
        lift,
        unit,
        CONTACT,
    )
    return 1 - bright


def _darken(
    bright: Float[np.ndarray, "h w"],
    seen: Points,
    weights: Float[np.ndarray, " n"] | None,
    blur: float,
    lift: float,
    unit: float,
    strength: float,
) -> None:
    """Less light where points are near a pixel; a circle on the ground is seen `lift` times as high as wide."""
    sigma = max(blur * lift, 0.6), max(blur, 0.8)
    room = np.ceil(3 * np.array(sigma)).astype(int) + 1
    place = np.floor(seen[:, 1::-1]).astype(int)
    inside = ((place >= -room) & (place < bright.shape + room)).all(1)
    if not inside.any():
        return
    place, weights = place[inside], None if weights is None else weights[inside]
    low = place.min(0) - room
    size = place.max(0) + room + 1 - low
    counts = np.bincount((place - low) @ [size[1], 1], weights, int(size.prod()))
    near = gaussian_filter(counts.reshape(size).astype(np.float32), sigma, truncate=3, mode="constant")
    top, left = np.maximum(low, 0)
    bottom, right = np.maximum(np.minimum(low + size, bright.shape), (top, left))
    near = near[top - low[0] : bottom - low[0], left - low[1] : right - low[1]]
    bright[top:bottom, left:right] *= 1 - strength * (1 - np.exp(-unit * near))


@dataclass(frozen=True)
class Still:
    """Figures with their shadows on nothing, and left, right, bottom, top in picture metres."""

    rgba: UInt8[np.ndarray, "h w 4"]
    extent: tuple[float, float, float, float]


def still(
    body: Mannequin,
    skins: Sequence[tuple[Points, Points]],
    camera: Camera,
    shadows: bool = True,
    ground: float = -SOLE,
) -> Still:
    """Poses (vertices and normals of `Mannequin.skin`) as one picture, the later ones in front; none is cropped."""
    seen = np.concatenate([camera.project(points)[:, :2] for points, _ in skins])
    low, high = seen.min(0) - 0.02, seen.max(0) + 0.02
    if shadows:
        low, high = low - [0.3, 0.1], high + [0.5, 0]
    scale = min(STILL_SCALE, MOST_PIXELS / float((high - low).max()))
    size = np.ceil((high - low) * scale).astype(int)
    shape, end = (int(size[1]), int(size[0])), low + size / scale
    view = View(camera, scale, (-low[0] * scale, end[1] * scale), ground)
    dark = np.zeros(shape)
    for points, _ in skins if shadows else ():
        dark = 1 - (1 - dark) * (1 - shadow(points, body.cell, view, shape))
    picture = np.concatenate([np.zeros((*shape, 3)), dark[..., None]], -1)
    for points, normals in skins:
        cut = figure(body, points, normals, view)
        whole = replace(cut, colour=np.concatenate([cut.colour, cut.alpha[..., None]], -1))
        whole.onto(picture)
    picture[..., :3] /= np.maximum(picture[..., 3:], 1e-9)
    picture[..., 3] *= 255
    return Still(np.rint(picture).clip(0, 255).astype(np.uint8), (low[0], end[0], low[1], end[1]))


def facing_arrow(
    pose: Float[np.ndarray, "j 3"], skeleton: Skeleton, ground: float
) -> Float[np.ndarray, "7 3"]:
    """Outline of an arrow on the ground that starts before the body and points where it faces."""
    ahead = facing(pose, skeleton)
    arrow = [[0.34, 0.03], [0.5, 0.03], [0.5, 0.09], [0.68, 0], [0.5, -0.09], [0.5, -0.03], [0.34, -0.03]]
    flat = np.array(arrow) @ np.stack([ahead, np.cross(UP, ahead)])
    return pose[0] * [1, 0, 1] + flat + [0, ground, 0]
