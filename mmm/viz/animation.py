"""Animations: what is drawn in each frame of a GIF or MP4, and the camera that follows."""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import uniform_filter1d

from mmm.errors import require
from mmm.motion.skeleton import Skeleton
from mmm.viz.body import Mannequin, as_scene, mannequin, marked
from mmm.viz.camera import Camera, best_yaw, fit
from mmm.viz.encode import write_frames
from mmm.viz.render import FINE, View, figure, shadow
from mmm.viz.style import (
    AMBER,
    DARK,
    FLOOR,
    FONT,
    GENERATED,
    GROUND,
    LEFT,
    PAPER,
    PATH,
    RIGHT,
    Colour,
    drawable,
)

STILL = 2.2  # metres: the camera rests if the root stays within this
LEAST = 1.6  # metres that a picture shows at least: a body that lies is not drawn larger than one that stands
LENS = 0.26  # half the height of the picture at a distance of one metre
PITCH = 0.27  # radians: the viewer looks down a little, so that the floor is visible
BALL = 0.045  # metres: the radius of a mark
NO_BALLS = np.zeros((0, 3))
FAR = 4  # metres around the person in which the floor has lines
Titles = Sequence[tuple[int, str]]  # first frame and text


def animate(
    motion,
    path: str | os.PathLike[str],
    fps: float | int | None = None,
    title: str | None = None,
    *,
    skeleton: str | Skeleton | None = None,
    size: int = 400,
    generated=None,
    balls: Any = NO_BALLS,
) -> Path:
    """Write a motion as an animation that loops: .gif, or .mp4 where the ffmpeg program is installed.

    The camera rests if the person stays in place and follows otherwise; it never crops the body. Floor lines are a
    metre apart. Left limbs are blue, right limbs orange; the grey line is the path of the root. The same motion
    gives the same file.

    Args:
        motion: a Motion, or joints (T, J, 3).
        path: where to write, atomically; the suffix decides the format.
        fps: the motion's by default (20 for bare joints). A GIF counts in hundredths of a second: frames get
            whole hundredths such that the total time is right.
        title: the motion's text by default (of a sequence that of the current action), "" for none.
        skeleton: needed for bare joints only.
        size: width and height in pixels, even.
        generated: booleans (T,), which frames a model generated: a yellow line marks them. Of an edited motion those
            by default.
        balls: positions in the world, metres, to mark: what a hand is to reach, or points of a path. The camera does
            not follow them.
    Returns:
        The path.
    Raises:
        ValueError: joints or balls of another shape or not finite, another suffix, .mp4 without ffmpeg.
    """
    path = _checked(path, size)
    joints, fps, skeleton, _ = as_scene(motion, fps, skeleton)
    balls = np.asarray(balls, float)
    require(
        balls.ndim == 2 and balls.shape[1] == 3 and np.isfinite(balls).all(),
        f"balls have shape {balls.shape} or are not finite, expected positions (n, 3) in metres.",
    )
    titles = _titles(motion, title)
    frames = _frames(joints, fps, skeleton, titles, marked(motion, generated), _room([titles]), size, balls)
    return write_frames(path, frames, fps, size, size)


def animate_beside(
    motions: Sequence,
    path: str | os.PathLike[str],
    titles: Sequence[str] | None = None,
    *,
    size: int = 320,
    columns: int | None = None,
    repeat: bool = False,
    generated: Sequence | None = None,
) -> Path:
    """Write motions as one animation, such as before and after an edit; a shorter one rests at its end.

    Args:
        motions: Motions of one frame rate. titles, generated: as for `animate`, one for each.
        path, size: as for `animate`; size is that of each picture.
        columns: pictures in a row; all by default.
        repeat: a shorter one starts again instead.
    Raises:
        ValueError: no motion, different frame rates, titles or `generated` of another number; as for `animate`.
    """
    path = _checked(path, size)
    require(len(motions) > 0, "there is no motion to draw; give at least one.")
    scenes = [as_scene(motion) for motion in motions]
    rates = sorted({fps for _, fps, _, _ in scenes})
    require(len(rates) == 1, f"the motions have {rates} frames per second, expected one rate; resample them.")
    titles = [None] * len(motions) if titles is None else list(titles)
    require(len(titles) == len(scenes), f"{len(titles)} titles for {len(scenes)} motions; give one each.")
    new = [None] * len(motions) if generated is None else list(generated)
    require(len(new) == len(scenes), f"{len(new)} of generated for {len(scenes)} motions; give one each.")
    written = [_titles(motion, title) for motion, title in zip(motions, titles, strict=True)]
    lines, longest = _room(written), max(len(joints) for joints, *_ in scenes)
    pictures = []
    for motion, (joints, fps, skeleton, _), own, mine in zip(motions, scenes, written, new, strict=True):
        mine = marked(motion, mine)
        if not repeat:
            rest = longest - len(joints)
            joints = np.concatenate([joints, joints[-1:].repeat(rest, 0)])
            mine = None if mine is None else np.concatenate([mine, mine[-1:].repeat(rest)])
        frames = _frames(joints, fps, skeleton, own, mine, lines, size)
        pictures.append(itertools.cycle(frames) if repeat else frames)  # cycle keeps all frames in memory
    columns = min(columns or len(motions), len(motions))
    rows = -(-len(motions) // columns)

    def sheet(shown: Sequence[Image.Image]) -> Image.Image:
        whole = Image.new("RGB", (size * columns, size * rows), PAPER)
        for at, picture in enumerate(shown):
            whole.paste(picture, (size * (at % columns), size * (at // columns)))
        return whole

    sheets = map(sheet, itertools.islice(zip(*pictures, strict=True), longest))
    return write_frames(path, sheets, rates[0], size * columns, size * rows)


def _checked(path: str | os.PathLike[str], size: int) -> Path:
    """The path; refuses a wrong suffix or size."""
    path = Path(path)
    require(
        path.suffix.lower() in (".gif", ".mp4"),
        f"{path} cannot be written: an animation's suffix is .gif or .mp4.",
    )
    require(size >= 64 and size % 2 == 0, f"size is {size}, expected an even number of pixels, 64 or more.")
    return path


def _titles(motion, title: str | None) -> Titles:
    """What is written from which frame on: `title`, or the motion's own text or texts."""
    own = getattr(motion, "segments", ()) or [(0, getattr(motion, "text", ""))]
    return own if title is None else [(0, title)]


def _wrapped(text: str) -> list[str]:
    """The lines of a title: 36 letters of its font are as wide as a picture."""
    return textwrap.wrap(drawable(text), 36, max_lines=3, placeholder=" …")


def _room(titles: Sequence[Titles]) -> int:
    """Lines to leave below every picture."""
    return max(len(_wrapped(text)) for own in titles for _, text in own)


def _frames(
    joints: Float[np.ndarray, "t j 3"],
    fps: float,
    skeleton: Skeleton,
    titles: Titles,
    generated: Bool[np.ndarray, " t"] | None,
    lines: int,
    size: int,
    balls: Float[np.ndarray, "n 3"] = NO_BALLS,
) -> Iterator[Image.Image]:
    """The pictures of an animation, RGB, `size` pixels square, with room for so many lines of title."""
    body = mannequin(joints, skeleton)
    poses = body.pose(joints)
    edge, small, letters = size // 50, _font(round(size * 0.036)), _font(round(size * 0.044))
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    room = pen.multiline_textbbox((0, 0), "\n".join(["Ag"] * lines), letters, spacing=edge / 2)[3]
    right, bottom = size - edge, size - edge - (round(room) + edge if lines else 0)  # of the ground
    view, targets = _follow(
        joints, body, poses, fps, (2 * edge, 3 * edge + small.size, right - edge, bottom - 2 * edge)
    )
    floor_path = joints[:, 0] * [1, 0, 1] + [0, view.ground, 0]
    for at, target in enumerate(targets):
        here = replace(view, camera=replace(view.camera, target=tuple(target)))
        points, normals = body.skin(poses[at])
        picture = _ground(here, floor_path[: at + 1], size)
        picture *= 1 - shadow(points, body.cell, here, (size, size))[..., None]
        # one whose centre is farther away than the root is drawn before the figure, the others after it
        behind = here.pixels(balls)[:, 2] > here.pixels(joints[at, 0])[2]
        for ball in balls[behind]:
            _ball(picture, here, ball)
        figure(body, points, normals, here).onto(picture)
        for ball in balls[~behind]:
            _ball(picture, here, ball)
        picture[:edge], picture[bottom:], picture[:, :edge], picture[:, right:] = 4 * [PAPER]
        if generated is not None:
            _mark(picture, generated, at, (edge, bottom - 3, right))
        whole = Image.fromarray(np.rint(picture).astype(np.uint8))
        draw = ImageDraw.Draw(whole)
        words = f"{at / fps:.1f} s"
        draw.text((2 * edge, 1.6 * edge), words, DARK, small)
        if generated is not None and generated[at]:
            draw.text((2 * edge + small.getlength(words + "  "), 1.6 * edge), "generated", AMBER, small)
        draw.text((right - edge, 1.6 * edge), "right", RIGHT, small, anchor="ra")
        draw.text((right - edge - small.getlength("right  "), 1.6 * edge), "left", LEFT, small, anchor="ra")
        words = [text for first, text in titles if first <= at][-1]
        draw.multiline_text(
            (2 * edge, bottom + edge), "\n".join(_wrapped(words)), DARK, letters, spacing=edge / 2
        )
        yield whole


def _ball(picture: Float[np.ndarray, "h w 3"], view: View, centre: Float[np.ndarray, "3"]) -> None:
    """A lit ball at a position in the world."""
    x, y, depth = view.pixels(centre)
    if depth < 0.3 * view.camera.distance:  # close to the viewer, or behind
        return
    radius = BALL * view.scale * view.camera.distance / depth
    left, top = (max(0, int(one - radius - 1)) for one in (x, y))
    part = picture[top : max(top, int(y + radius + 2)), left : max(left, int(x + radius + 2))]
    down, across = np.mgrid[: part.shape[0], : part.shape[1]] + 0.5
    down, across = (top + down - y) / radius, (left + across - x) / radius
    alpha = np.clip((1 - np.hypot(across, down)) * radius + 0.5, 0, 1)[..., None]
    light = 1.1 - 0.5 * np.hypot(across + 0.35, down + 0.45)[..., None]
    part += alpha * (np.clip(light * GENERATED, 0, 255) - part)


def _mark(
    picture: Float[np.ndarray, "h w 3"], generated: Bool[np.ndarray, " t"], at: int, box: tuple[int, int, int]
) -> None:
    """A time line of three pixels: which frames are generated, and which one is shown."""
    left, top, right = box
    frames = np.minimum(np.arange(right - left) * len(generated) // (right - left), len(generated) - 1)
    line = np.where(generated[frames, None], GENERATED, FLOOR)
    line[np.abs(frames - at) <= max(1, len(generated) // (right - left))] = DARK
    picture[top : top + 3, left:right] = line


def _follow(
    joints: Float[np.ndarray, "t j 3"],
    body: Mannequin,
    poses: Float[np.ndarray, "t j 3 4"],
    fps: float,
    box: tuple[int, int, int, int],
) -> tuple[View, Float[np.ndarray, "t 3"]]:
    """The view, and what it looks at in each frame: the body is in the box (left, top, right, bottom)."""
    root = joints[:, 0] * [1, 0, 1]
    middle = (root.min(0) + root.max(0)) / 2
    if np.linalg.norm(root - middle, axis=-1).max() * 2 < STILL:
        targets = np.repeat(middle[None], len(root), 0)
    else:  # a moving mean over a second, so that the picture does not shake with every step
        half = max(1, round(fps / 2))
        targets = uniform_filter1d(root, 2 * half + 1, 0, mode="nearest")
    left, top, right, bottom = box
    upright = LENS
    across = LENS * (right - left) / (bottom - top)
    yaw = best_yaw(joints, body.skeleton)
    axes = Camera(yaw=yaw, pitch=PITCH).axes
    seen = (
        (body.place(pose, body.points) - target) @ axes.T for pose, target in zip(poses, targets, strict=True)
    )
    distance, (aside, above) = fit(seen, across, upright, LEAST)
    camera = Camera((0.0, 0.0, 0.0), yaw, PITCH, distance)
    scale = (bottom - top) / (2 * upright * distance)
    view = View(camera, scale, ((left + right) / 2, (top + bottom) / 2))
    return view, targets + aside * axes[0] + above * axes[1]


_GRID = [(k, m) for k in range(-FAR, FAR + 1) for m in range(-FAR, FAR) if np.hypot(k, m + 0.5) < FAR]
_LINES = np.array(
    [[[k, 0, m], [k, 0, m + 1]] for k, m in _GRID] + [[[m, 0, k], [m + 1, 0, k]] for k, m in _GRID]
)
_STRENGTH = 2 * [min(1, 1.5 - 1.5 * np.hypot(k, m + 0.5) / FAR) for k, m in _GRID]


def _faded(strength: float) -> Colour:
    return tuple(round(g + strength * (f - g)) for f, g in zip(FLOOR, GROUND, strict=True))


def _ground(view: View, path: Float[np.ndarray, "n 3"], size: int) -> Float[np.ndarray, "h w 3"]:
    """Lines every metre that fade away from the person, and the path of the root so far."""
    picture = Image.new("RGB", (FINE * size, FINE * size), GROUND)
    draw = ImageDraw.Draw(picture)

    def line(points: Float[np.ndarray, "n 3"], colour: Colour, width: int) -> None:
        seen = view.pixels(points)
        seen = seen[seen[:, 2] > 0.3 * view.camera.distance]  # not what is close to the viewer or behind
        draw.line([(FINE * x, FINE * y) for x, y, _ in seen.tolist()], colour, width, joint="curve")

    middle = np.rint(path[-1] * [1, 0, 1]) + [0, view.ground, 0]
    seen = view.pixels(_LINES + middle)
    for (a, b), strength in zip(seen, _STRENGTH, strict=True):
        if min(a[2], b[2]) > 0.3 * view.camera.distance:
            draw.line([*(FINE * a[:2]), *(FINE * b[:2])], _faded(strength), FINE)
    line(path, PATH, 2 * FINE)
    return np.asarray(picture.reduce(FINE), np.float32)


@lru_cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, pixels)
