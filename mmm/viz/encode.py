"""Pictures become a file: GIF through Pillow, with one palette for all; MP4 through the ffmpeg program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mmm.errors import atomic_write, require
from mmm.viz.body import table
from mmm.viz.style import AMBER, DARK, FLOOR, GENERATED, GROUND, LEFT, PAPER, PATH, RIGHT, Colour

COLOURS = 63  # in a GIF's palette: these, the ground in shadow, the figure in light and shadow, and mixtures
_SOLID: tuple[Colour, ...] = (PAPER, FLOOR, DARK, PATH, GENERATED, AMBER, LEFT, RIGHT)
ALIKE = 9  # how far two colours are apart that an eye does not tell in a moving picture


def write_frames(path: Path, frames: Iterable[Image.Image], fps: float, width: int, height: int) -> Path:
    """Write RGB pictures, width × height pixels, as `path`: .gif, or .mp4 for any other suffix.

    Raises:
        ValueError: .mp4 without ffmpeg, or ffmpeg failed. DiskFullError: the disk is full; nothing is replaced.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, frames, fps)
    else:
        _write_mp4(path, frames, fps, width, height)
    return path


def _write_gif(path: Path, frames: Iterable[Image.Image], fps: float) -> None:
    """One palette for all frames; pixels that hardly change are transparent, which takes half the bytes."""
    pictures = [np.asarray(frame) for frame in frames]
    nearest, palette = _palette(pictures[:: max(1, len(pictures) // 8)])
    colours = np.array(palette, float).reshape(-1, 3)
    alike = ((colours[:, None] - colours) ** 2).sum(-1) < ALIKE**2
    indexed, before = [], None  # before: what is shown
    for picture in pictures:
        bits = (picture >> 3).astype(np.uint16)  # 5 of each channel
        now = nearest[bits[..., 0] << 10 | bits[..., 1] << 5 | bits[..., 2]]
        same = np.zeros(now.shape, bool) if before is None else alike[now, before]
        image = Image.fromarray(np.where(same, np.uint8(COLOURS), now))
        image.putpalette([*palette, *PAPER])
        indexed.append(image)
        before = np.where(same, before, now) if before is not None else now
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
    sheet = np.concatenate(samples).reshape(-1, 3)
    solid = [colour for colour in _SOLID if (sheet == colour).all(1).any()]
    ramps = [
        (table()["colours"][name], count, 0.45, 1.1)
        for name, count in (("left", 7), ("right", 7), ("middle", 11))
    ]
    for colour, count, darkest, lightest in [(GROUND, 8, 0.6, 1.0), *ramps]:
        lit = np.linspace(lightest, darkest, count)[:, None] * colour
        solid += map(tuple, np.rint(lit).clip(0, 255).astype(int).tolist())
    free = COLOURS - len(solid)
    vivid = sheet[np.ptp(sheet.astype(int), axis=1) > 20]
    mixed = Image.fromarray(vivid[None]).quantize(free, Image.Quantize.MEDIANCUT).getpalette()[: 3 * free]
    colours = np.concatenate([np.array(solid), np.array(mixed).reshape(-1, 3)])
    colours = np.concatenate([colours, np.zeros((COLOURS - len(colours), 3), int)])
    steps = (np.arange(32) << 3) + 4
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    exact = [int(((np.array(c) >> 3) * [1024, 32, 1]).sum()) for c in solid]
    distance = (cube**2).sum(1)[:, None] - 2 * cube @ colours.T + (colours**2).sum(1)
    nearest = distance.argmin(1).astype(np.uint8)
    nearest[exact[::-1]] = np.arange(len(solid))[::-1]  # large areas keep their exact colour
    return nearest, colours.ravel().tolist()


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
