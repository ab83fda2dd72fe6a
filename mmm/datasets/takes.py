"""Takes of motion capture (Bandai-Namco's and a user's own): frame rate, lengths, and how a take is cut into clips."""

from __future__ import annotations

import math
import string

import numpy as np

FPS = 20.0
MIN_FRAMES, MAX_FRAMES = 24, 196  # 24 is KIT-ML's minimum, 196 frames are 49 tokens


def cut(name: str, frames: int) -> dict[str, slice]:
    """Equal pieces of a take of `frames` joint frames, by id, each of at most MAX_FRAMES feature frames.

    Features have one frame fewer than joints, so the last frame of a piece is also the first of the next.
    """
    count = math.ceil((frames - 1) / MAX_FRAMES)
    edges = np.linspace(0, frames - 1, count + 1).astype(int)
    pieces = [slice(int(a), int(b) + 1) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    if count == 1:
        return {name: pieces[0]}
    return {f"{name}_{letters(number)}": piece for number, piece in enumerate(pieces)}


def letters(number: int) -> str:
    """0, 1, … as a, b, … z, aa, ab, …"""
    before, last = divmod(number, 26)
    return (letters(before - 1) if before else "") + string.ascii_lowercase[last]
