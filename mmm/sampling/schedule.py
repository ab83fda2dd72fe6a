"""How many places each pass of the sampler masks, and which: MMM, section 3.3; REPRODUCTION.md, "Sampling"."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable


def _cosine(progress: float) -> float:
    # The angle is rounded to single precision, as in the golden decodes: at two thirds of the passes the
    # cosine is then a little under 1/2, not a little over, and an even number of places gives one place less.
    (angle,) = struct.unpack("f", struct.pack("f", math.pi / 2 * progress))
    return math.cos(angle)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "linear": lambda progress: 1.0 - progress,
}
"""Share of the open places that is masked when that share of the passes is done; 1 at the start."""

REMASKING = ("least", "most", "random")
"""Which of the open places are masked again before a pass: those the model was least sure of (the paper's rule), those
it was surest of, or any. The last two are there to be compared with (chapter 04): what the first one gains over
`random` is what confidence is worth. One pass masks nothing again, so with steps=1 all three are the same."""


def default_steps(length: int) -> int:
    """S = round(10 · N / 49), at least 1: ten passes for the longest motion of HumanML3D."""
    return max(1, round(10 * length / 49))


def masked_counts(places: int, steps: int, schedule: str = "cosine") -> list[int]:
    """How many of `places` open places are masked before each pass, at least one; no pass if none is open."""
    if places == 0:
        return []
    return [max(1, math.floor(SCHEDULES[schedule](step / steps) * places)) for step in range(steps)]
