"""Animations: GIF through Pillow, MP4 through the ffmpeg program where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from mmm.errors import atomic_write, require
from mmm.motion.skeleton import Skeleton
from mmm.viz.body import as_scene, body_shapes, ground_shapes
from mmm.viz.camera import Camera, best_yaw
from mmm.viz.style import (
    ARROW,
    BACK,
    DARK,
    FLOOR,
    FRONT,
    LEFT,
    NOSE,
    PAPER,
    PATH,
    RIGHT,
    SHADOW,
    SKIN,
    Colour,
)

FINE = 2  # pictures are drawn this many times finer and averaged, which smooths edges
STILL = 2.2  # metres: the camera rests if the root stays within this
COLOURS = 40  # in a GIF's palette, of which these first:
_SOLID: tuple[Colour, ...] = (PAPER, LEFT, RIGHT, FLOOR, DARK, PATH, ARROW, NOSE, SKIN, FRONT, BACK, SHADOW)


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

    The camera rests if the person stays in place and follows otherwise; floor lines are a metre apart.
    Colours and arrow are those of the film strip.

    Args:
        motion: a Motion, or joints (T, J, 3).
        path: where to write, atomically; the suffix decides the format.
        fps: the motion's by default (20 for bare joints). A GIF counts in hundredths of a second: frames get
            whole hundredths such that the total time is right.
        title: the motion's text by default, "" for none.
        skeleton: needed for bare joints only.
        size: width and height in pixels, even.
    Returns:
        The path.
    Raises:
        ValueError: joints of another shape or not finite, another suffix, .mp4 without ffmpeg.
    """
    path = _checked(path, size)
    joints, fps, skeleton, text = as_scene(motion, fps, skeleton)
    frames = _frames(joints, fps, skeleton, text if title is None else title, size)
    return _write(path, frames, fps, size, size)


def animate_beside(
    motions: Sequence, path: str | os.PathLike[str], titles: Sequence[str] | None = None, *, size: int = 320
) -> Path:
    """Write motions as one animation, side by side, such as before and after an edit; a shorter one rests at its end.

    Args:
        motions: Motions of one frame rate. titles: their texts by default.
        path, size: as for `animate`; size is that of each picture.
    Raises:
        ValueError: no motion, different frame rates, titles of another number; as for `animate`.
    """
    path = _checked(path, size)
    require(len(motions) > 0, "there is no motion to draw; give at least one.")
    scenes = [as_scene(motion) for motion in motions]
    rates = sorted({fps for _, fps, _, _ in scenes})
    require(len(rates) == 1, f"the motions have {rates} frames per second, expected one rate; resample them.")
    titles = [text for *_, text in scenes] if titles is None else list(titles)
    require(len(titles) == len(scenes), f"{len(titles)} titles for {len(scenes)} motions; give one each.")
    longest = max(len(joints) for joints, *_ in scenes)
    columns = []
    for (joints, fps, skeleton, _), title in zip(scenes, titles, strict=True):
        joints = np.concatenate([joints, joints[-1:].repeat(longest - len(joints), 0)])
        columns.append(_frames(joints, fps, skeleton, title, size))
    rows = zip(*columns, strict=True)
    frames = (Image.fromarray(np.concatenate([np.asarray(picture) for picture in row], 1)) for row in rows)
    return _write(path, frames, rates[0], size * len(scenes), size)


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


def _frames(
    joints: Float[np.ndarray, "t j 3"], fps: float, skeleton: Skeleton, title: str, size: int
) -> Iterator[Image.Image]:
    """The pictures of an animation, RGB, `size` pixels square."""
    targets, reach = _follow(joints, fps)
    yaw = best_yaw(joints, skeleton)
    fine = size * FINE
    floor_path = joints[:, 0] * [1, 0, 1]
    for at, pose in enumerate(joints):
        camera = Camera(tuple(targets[at]), yaw, 0.3, 3.4 * reach)
        picture = Image.new("RGB", (fine, fine), PAPER)
        draw = ImageDraw.Draw(picture)
        for line in _grid(targets[at], 2.6 * reach):
            draw.line(_pixels(camera.project(line), fine, reach), FLOOR, FINE)
        if at:
            path = _pixels(camera.project(floor_path[: at + 1]), fine, reach)
            draw.line(path, PATH, 2 * FINE, joint="curve")
        for shape in ground_shapes(pose, skeleton, camera) + body_shapes(pose, skeleton, camera):
            draw.polygon(_pixels(shape.polygon, fine, reach), shape.colour, PAPER)
        _write_words(draw, title, at / fps, fine)
        yield picture.reduce(FINE)


def _pixels(points: Float[np.ndarray, "n d"], fine: int, reach: float) -> list[tuple[float, float]]:
    """Picture metres (right, up) → pixels of a picture that shows `reach` metres to either side."""
    scale = fine / (2 * reach)
    pixels = np.stack([fine / 2 + points[:, 0] * scale, fine * 0.53 - points[:, 1] * scale], -1)
    return list(map(tuple, pixels.tolist()))


def _write_words(draw: ImageDraw.ImageDraw, title: str, seconds: float, fine: int) -> None:
    """The title above; the time and the colours of left and right below."""
    font, small = _font(round(fine * 0.038)), _font(round(fine * 0.032))
    words = textwrap.fill(title, 46, max_lines=3, placeholder=" …")
    edge = round(fine * 0.025)
    draw.multiline_text((edge, edge), words, DARK, font, spacing=FINE * 2)
    draw.text((edge, fine - edge), f"{seconds:.1f} s", DARK, small, anchor="ld")
    draw.text((fine - edge, fine - edge), "right", RIGHT, small, anchor="rd")
    draw.text((fine - edge - small.getlength("right  "), fine - edge), "left", LEFT, small, anchor="rd")


def _follow(joints: Float[np.ndarray, "t j 3"], fps: float) -> tuple[Float[np.ndarray, "t 3"], float]:
    """The target of the camera in each frame, and how many metres it shows to either side."""
    root = joints[:, 0] * [1, 0, 1]
    middle = (root.min(0) + root.max(0)) / 2
    if np.linalg.norm(root - middle, axis=-1).max() * 2 < STILL:
        targets = np.repeat(middle[None], len(root), 0)
    else:  # a moving mean over a second, so that the picture does not shake with every step
        half = max(1, round(fps / 2))
        padded = np.concatenate([root[:1].repeat(half, 0), root, root[-1:].repeat(half, 0)])
        targets = np.stack([padded[at : at + 2 * half + 1].mean(0) for at in range(len(root))])
    height = float(np.percentile(joints[..., 1], 99.5))
    aside = np.linalg.norm((joints - targets[:, None])[..., [0, 2]], axis=-1).max()
    return targets + [0, 0.5 * height, 0], float(max(0.78 * height, aside + 0.15, 0.6))


def _grid(target: Float[np.ndarray, "3"], reach: float) -> list[Float[np.ndarray, "2 3"]]:
    """Floor lines every metre around a point, fixed to the world."""
    x, _, z = target
    lines = [[[at, 0, z - reach], [at, 0, z + reach]] for at in np.arange(np.ceil(x - reach), x + reach)]
    lines += [[[x - reach, 0, at], [x + reach, 0, at]] for at in np.arange(np.ceil(z - reach), z + reach)]
    return [np.array(line) for line in lines]


@lru_cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: the same letters on every machine."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), pixels)


def _write_gif(path: Path, frames: Iterable[Image.Image], fps: float) -> None:
    """One palette for all frames: unchanged pixels are stored once."""
    pictures = [np.asarray(frame) for frame in frames]
    table, palette = _palette(pictures[:: max(1, len(pictures) // 8)])
    indexed = []
    for picture in pictures:
        bits = (picture >> 3).astype(np.uint16)  # 5 of each channel
        image = Image.fromarray(table[bits[..., 0] << 10 | bits[..., 1] << 5 | bits[..., 2]])
        image.putpalette(palette)
        indexed.append(image)
    ends = np.round(np.arange(len(indexed) + 1) * 100 / fps).astype(int)
    with atomic_write(path) as target:
        # browsers slow down frames shorter than 0.02 s
        waits = (10 * np.maximum(np.diff(ends), 2)).tolist()
        indexed[0].save(
            target, save_all=True, append_images=indexed[1:], duration=waits, loop=0, optimize=False
        )


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
        require(
            pipe.returncode == 0, f"{path} was not written: ffmpeg said {message!r}; write a .gif instead."
        )
