"""Events: when an action was done, how often it was repeated, and whether it was slow or fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.signals import RATE
from mmm.motion.runs import runs

# Seconds that an action takes at normal speed: a fixed part, and a part for each repetition. Measured on the
# choreographer's training clips. A slow action takes 3/2 of it, a fast one 2/3.
TEMPO = {
    "squat": (0.1, 1.45), "bow": (0.2, 1.9), "kick": (0.25, 1.3), "wave": (0.9, 0.52), "clap": (0.7, 0.44),
    "punch": (0.5, 0.62), "look": (0.3, 2.0),
}  # fmt: skip
SLOW, FAST = 1.22, 0.81  # limits, as multiples of the time at normal speed
Run = tuple[int, int]  # first frame, frame after the last


@dataclass(frozen=True)
class Event:
    """An action from frame `start` to frame `end` (at RATE, exclusive)."""

    action: Action
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def overlap(self, start: int, end: int) -> float:
        """Fraction of the event that lies between two frames."""
        return max(0, min(self.end, end) - max(self.start, start)) / max(len(self), 1)


def event(action: Action, run: Run, margin: int, frames: int) -> Event:
    """The event of a run widened by `margin` frames on both sides, inside a clip of `frames` frames."""
    return Event(action, max(run[0] - margin, 0), min(run[1] + margin, frames))


def covered(events: Sequence[Event], frames: int) -> Bool[np.ndarray, " t"]:
    """Which frames belong to any of the events."""
    inside = np.zeros(frames, bool)
    for one in events:
        inside[one.start : one.end] = True
    return inside


def grouped(rows: Sequence[Run], gap: int) -> list[list[Run]]:
    """Runs in their order; those at most `gap` frames apart are in one group."""
    groups: list[list[Run]] = []
    for row in rows:
        if groups and row[0] - groups[-1][-1][1] <= gap:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def between(x: Float[np.ndarray, " t"], low: float, high: float) -> list[Run]:
    """Runs above `low` that also rise above `high` (hysteresis: jitter at one level counts once)."""
    return [(a, b) for a, b in runs(x > low) if x[a:b].max() > high]


def crossing(x: Float[np.ndarray, " t"], frame: int, level: float) -> float:
    """Where x passes `level` between frame - 1 and `frame`, in frames."""
    if frame <= 0 or frame >= len(x):
        return float(np.clip(frame, 0, len(x) - 1))
    before, after = x[frame - 1], x[frame]
    return frame - 1 + float(np.clip((level - before) / (after - before + 1e-12), 0.0, 1.0))


def span(x: Float[np.ndarray, " t"], peaks: Sequence[Run], level: float) -> float:
    """Seconds from where x first passes `level` upward, before the first peak, to where it last falls below."""
    return (crossing(x, peaks[-1][1], level) - crossing(x, peaks[0][0], level)) / RATE


def summit(x: Float[np.ndarray, " t"], start: int, end: int) -> float:
    """Time of the highest point between two frames, in frames: the top of a parabola through three of them."""
    top = start + int(np.argmax(x[start:end]))
    if not 0 < top < len(x) - 1:
        return float(top)
    before, here, after = x[top - 1 : top + 2]
    bend = before - 2 * here + after
    return top + float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < -1e-9 else float(top)


def cycle(peaks: Sequence[float]) -> float:
    """Seconds of `len(peaks)` repetitions, from the times of their peaks in frames."""
    return (peaks[-1] - peaks[0]) / (len(peaks) - 1) * len(peaks) / RATE


def paced(name: str, seconds: float, count: int, slow: float = SLOW, fast: float = FAST) -> str:
    """Speed of an action that took so many seconds for `count` repetitions."""
    fixed, each = TEMPO[name]
    return speed_between((seconds / 1.02 - fixed) / (each * count), slow, fast)


def speed_between(value: float, slow: float, fast: float) -> str:
    """Speed by two limits; `slow` may be the larger (a duration) or the smaller one (a velocity)."""
    sign = 1.0 if slow > fast else -1.0
    return "slow" if sign * value > sign * slow else "fast" if sign * value < sign * fast else "normal"
