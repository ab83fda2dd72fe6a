"""Animations: GIF through Pillow, MP4 through the ffmpeg program where there is one."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from mmm.errors import atomic_write, require
from mmm.motion.skeleton import Skeleton
from mmm.viz.body import Shape, as_scene, body_shapes, ground_shapes
from mmm.viz.camera import Camera, best_yaw
from mmm.viz.style import (
    ARROW,
    BACK,
    DARK,
    FLOOR,
    FONT,
    FRONT,
    LEFT,
    NOSE,
    PAPER,
    PATH,
    RIGHT,
    SHADOW,
    SKIN,
    Colour,
    drawable,
)

FINE = 2  # pictures are drawn this many times finer and averaged, which smooths edges
STILL = 2.2  # metres: the camera rests if the root stays within this
LEAST = 1.6  # metres that a picture shows at least: a body that lies is not drawn larger than one that stands
COLOURS = 31  # in a GIF's palette, of which these first:
_SOLID: tuple[Colour, ...] = (PAPER, LEFT, RIGHT, FLOOR, DARK, PATH, ARROW, NOSE, SKIN, FRONT, BACK, SHADOW)
Titles = Sequence[tuple[int, str]]  # first frame and text


def animate(
    motion,
    path: str | os.PathLike[str],
    fps: float | int | None = None,
    title: str | None = None,
    *,
    skeleton: str | Skeleton | None = None,
    size: int = 400,
) -> Path:
    """Write a motion as an animation that loops: .gif, or .mp4 where the ffmpeg program is installed.

    The camera rests if the person stays in place and follows otherwise; it never crops the body. Floor lines are a
    metre apart. Colours and arrow are those of the film strip.

    Args:
        motion: a Motion, or joints (T, J, 3).
        path: where to write, atomically; the suffix decides the format.
        fps: the motion's by default (20 for bare joints). A GIF counts in hundredths of a second: frames get
            whole hundredths such that the total time is right.
        title: the motion's text by default (of a sequence that of the current action), "" for none.
        skeleton: needed for bare joints only.
        size: width and height in pixels, even.
    Returns:
        The path.
    Raises:
        ValueError: joints of another shape or not finite, another suffix, .mp4 without ffmpeg.
    """
    path = _checked(path, size)
    joints, fps, skeleton, _ = as_scene(motion, fps, skeleton)
    titles = _titles(motion, title)
    frames = _frames(joints, fps, skeleton, titles, _room([titles]), size)
    return _write(path, frames, fps, size, size)


def animate_beside(
    motions: Sequence,
    path: str | os.PathLike[str],
    titles: Sequence[str] | None = None,
    *,
    size: int = 320,
    columns: int | None = None,
    repeat: bool = False,
) -> Path:
    """Write motions as one animation, such as before and after an edit; a shorter one rests at its end.

    Args:
        motions: Motions of one frame rate. titles: as `title` of `animate`, one for each.
        path, size: as for `animate`; size is that of each picture.
        columns: pictures in a row; all by default.
        repeat: a shorter one starts again instead.
    Raises:
        ValueError: no motion, different frame rates, titles of another number; as for `animate`.
    """
    path = _checked(path, size)
    require(len(motions) > 0, "there is no motion to draw; give at least one.")
    scenes = [as_scene(motion) for motion in motions]
    rates = sorted({fps for _, fps, _, _ in scenes})
    require(len(rates) == 1, f"the motions have {rates} frames per second, expected one rate; resample them.")
    titles = [None] * len(motions) if titles is None else list(titles)
    require(len(titles) == len(scenes), f"{len(titles)} titles for {len(scenes)} motions; give one each.")
    written = [_titles(motion, title) for motion, title in zip(motions, titles, strict=True)]
    lines, longest = _room(written), max(len(joints) for joints, *_ in scenes)
    pictures = []
    for (joints, fps, skeleton, _), own in zip(scenes, written, strict=True):
        if not repeat:
            joints = np.concatenate([joints, joints[-1:].repeat(longest - len(joints), 0)])
        frames = _frames(joints, fps, skeleton, own, lines, size)
        pictures.append(itertools.cycle(frames) if repeat else frames)  # cycle keeps all frames in memory
    columns = min(columns or len(motions), len(motions))
    rows = -(-len(motions) // columns)

    def sheet(shown: Sequence[Image.Image]) -> Image.Image:
        whole = Image.new("RGB", (size * columns, size * rows), PAPER)
        for at, picture in enumerate(shown):
            whole.paste(picture, (size * (at % columns), size * (at // columns)))
        return whole

    sheets = map(sheet, itertools.islice(zip(*pictures, strict=True), longest))
    return _write(path, sheets, rates[0], size * columns, size * rows)


def _checked(path: str | os.PathLike[str], size: int) -> Path:
    """The path; refuses a wrong suffix or size."""
    path = Path(path)
    require(
        path.suffix.lower() in (".gif", ".mp4"),
        f"{path} cannot be written: an animation's suffix is .gif or .mp4.",
    )
    require(size >= 64 and size % 2 == 0, f"size is {size}, expected an even number of pixels, 64 or more.")
    return path


def _write(path: Path, frames: Iterable[Image.Image], fps: float, width: int, height: int) -> Path:
    if path.suffix.lower() == ".gif":
        _write_gif(path, frames, fps)
    else:
        _write_mp4(path, frames, fps, width, height)
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
    joints: Float[np.ndarray, "t j 3"], fps: float, skeleton: Skeleton, titles: Titles, lines: int, size: int
) -> Iterator[Image.Image]:
    """The pictures of an animation, RGB, `size` pixels square, with room for so many lines of title."""
    cameras = _follow(joints, fps, best_yaw(joints, skeleton))
    poses = [
        ground_shapes(pose, skeleton, camera) + body_shapes(pose, skeleton, camera)
        for pose, camera in zip(joints, cameras, strict=True)
    ]
    fine = size * FINE
    edge, small, letters = round(fine * 0.02), _font(round(fine * 0.036)), _font(round(fine * 0.044))
    right, top, bottom = fine - 2 * edge, 2 * edge + small.size, fine - 2 * edge - lines * 2.6 * edge
    to_pixels = _fit(poses, (2 * edge, top, right, bottom))
    floor_path = joints[:, 0] * [1, 0, 1]
    for at, (shapes, camera) in enumerate(zip(poses, cameras, strict=True)):
        floor = Image.new(
            "RGB", (size, size), PAPER
        )  # coarse: smooth lines would take a quarter of a GIF's bytes
        for line in _grid(np.asarray(camera.target), 0.8 * camera.distance):
            ends = [(x / FINE, y / FINE) for x, y in to_pixels(camera.project(line))]
            ImageDraw.Draw(floor).line(ends, FLOOR)
        picture = floor.resize((fine, fine), Image.Resampling.NEAREST)
        draw = ImageDraw.Draw(picture)
        path = camera.project(floor_path[: at + 1])
        path = path[path[:, 2] > 0.3 * camera.distance]  # not what is close to the viewer or behind
        draw.line(to_pixels(path), PATH, 2 * FINE, joint="curve")
        for shape in shapes:
            draw.polygon(to_pixels(shape.polygon), shape.colour, PAPER)
        draw.rectangle((0, 0, fine, fine), outline=PAPER, width=edge)  # pictures side by side stay apart
        draw.rectangle((0, bottom + edge, fine, fine), PAPER)
        draw.text((2 * edge, edge), f"{at / fps:.1f} s", DARK, small)
        draw.text((right, edge), "right", RIGHT, small, anchor="ra")
        draw.text((right - small.getlength("right  "), edge), "left", LEFT, small, anchor="ra")
        words = [text for first, text in titles if first <= at][-1]
        draw.multiline_text(
            (2 * edge, bottom + edge), "\n".join(_wrapped(words)), DARK, letters, spacing=edge / 2
        )
        yield picture.reduce(FINE)


def _follow(joints: Float[np.ndarray, "t j 3"], fps: float, yaw: float) -> list[Camera]:
    """The camera of each frame."""
    root = joints[:, 0] * [1, 0, 1]
    middle = (root.min(0) + root.max(0)) / 2
    if np.linalg.norm(root - middle, axis=-1).max() * 2 < STILL:
        targets = np.repeat(middle[None], len(root), 0)
    else:  # a moving mean over a second, so that the picture does not shake with every step
        half = max(1, round(fps / 2))
        padded = np.concatenate([root[:1].repeat(half, 0), root, root[-1:].repeat(half, 0)])
        targets = np.stack([padded[at : at + 2 * half + 1].mean(0) for at in range(len(root))])
    aside = float(np.linalg.norm((joints - targets[:, None])[..., [0, 2]], axis=-1).max())
    return [Camera((x, 0.9, z), yaw, 0.3, 3.4 * max(1.35, aside)) for x, _, z in targets.tolist()]


def _fit(
    poses: Sequence[Sequence[Shape]], box: tuple[float, float, float, float]
) -> Callable[[Float[np.ndarray, "n d"]], list[tuple[float, float]]]:
    """Picture metres (right, up) → pixels: every shape of every pose is in the box (left, top, right, bottom)."""
    points = np.concatenate([shape.polygon for shapes in poses for shape in shapes])
    low, high = points.min(0), points.max(0)
    left, top, right, bottom = box
    scale = (np.array([right - left, bottom - top]) / np.maximum(high - low, LEAST)).min()
    x, y = (low + high) / 2

    def to_pixels(points: Float[np.ndarray, "n d"]) -> list[tuple[float, float]]:
        across = (left + right) / 2 + (points[:, 0] - x) * scale
        down = (top + bottom) / 2 - (points[:, 1] - y) * scale
        return list(zip(across.tolist(), down.tolist(), strict=True))

    return to_pixels


def _grid(target: Float[np.ndarray, "3"], reach: float) -> list[Float[np.ndarray, "2 3"]]:
    """Floor lines every metre around a point, fixed to the world."""
    x, _, z = target
    lines = [[[at, 0, z - reach], [at, 0, z + reach]] for at in np.arange(np.ceil(x - reach), x + reach)]
    lines += [[[x - reach, 0, at], [x + reach, 0, at]] for at in np.arange(np.ceil(z - reach), z + reach)]
    return [np.array(line) for line in lines]


@lru_cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, pixels)


def _write_gif(path: Path, frames: Iterable[Image.Image], fps: float) -> None:
    """One palette for all frames; pixels that do not change are transparent, which takes half the bytes."""
    pictures = [np.asarray(frame) for frame in frames]
    table, palette = _palette(pictures[:: max(1, len(pictures) // 8)])
    indexed, before = [], None
    for picture in pictures:
        bits = (picture >> 3).astype(np.uint16)  # 5 of each channel
        now = table[bits[..., 0] << 10 | bits[..., 1] << 5 | bits[..., 2]]
        image = Image.fromarray(now if before is None else np.where(now == before, np.uint8(COLOURS), now))
        image.putpalette([*palette, *PAPER])
        indexed.append(image)
        before = now
    ends = np.round(np.arange(len(indexed) + 1) * 100 / fps).astype(int)
    with atomic_write(path) as target:
        # browsers slow down frames shorter than 0.02 s
        waits = (10 * np.maximum(np.diff(ends), 2)).tolist()
        options = {"duration": waits, "loop": 0, "optimize": False, "transparency": COLOURS, "disposal": 1}
        indexed[0].save(target, save_all=True, append_images=indexed[1:], **options)


def _palette(samples: list[UInt8[np.ndarray, "h w 3"]]) -> tuple[UInt8[np.ndarray, " 32768"], list[int]]:
    """A palette of the samples' colours, and the nearest entry for each colour of 5 bits a channel.

    A look-up is ten times faster than Pillow's search, and equal colours always get the same entry.
    """
    sheet = Image.fromarray(np.concatenate(samples))
    free = COLOURS - len(_SOLID)
    mixed = sheet.quantize(free, Image.Quantize.MEDIANCUT).getpalette()[: 3 * free]
    colours = np.concatenate([np.array(_SOLID), np.array(mixed).reshape(-1, 3)])
    steps = (np.arange(32) << 3) + 4
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    solid = [int(((np.array(c) >> 3) * [1024, 32, 1]).sum()) for c in _SOLID]
    distance = (cube**2).sum(1)[:, None] - 2 * cube @ colours.T + (colours**2).sum(1)
    table = distance.argmin(1).astype(np.uint8)
    table[solid] = np.arange(len(_SOLID))  # large areas keep their exact colour
    return table, colours.ravel().tolist()


def _write_mp4(path: Path, frames: Iterable[Image.Image], fps: float, width: int, height: int) -> None:
    """Raw frames through a pipe to ffmpeg; H.264, which every browser and phone plays."""
    program = shutil.which("ffmpeg")
    require(
        program,
        f"{path} needs the ffmpeg program, which is not installed; write a .gif instead or install ffmpeg.",
    )
    with atomic_write(path) as target:
        raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps:g} -i -".split()
        out = "-pix_fmt yuv420p -movflags +faststart".split()
        command = [program, "-y", "-loglevel", "error", *raw, *out, str(target)]
        pipe = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            for frame in frames:
                pipe.stdin.write(frame.tobytes())
        except BrokenPipeError:  # ffmpeg has stopped; its message follows
            pass
        finally:
            message = pipe.communicate()[1].decode(errors="replace").strip()
        failed = pipe.returncode
        if not failed:  # also on a full disk, where the file is cut off: can it be read to its end?
            read = [program, "-v", "error", "-xerror", "-i", str(target), "-f", "null", "-"]
            reading = subprocess.run(read, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            failed, message = reading.returncode, message or reading.stderr.decode(errors="replace").strip()
        require(not failed, f"{path} was not written: ffmpeg said {message!r}; write a .gif instead.")
