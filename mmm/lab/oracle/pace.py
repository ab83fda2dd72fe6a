"""How fast a gait is: metres per second, seconds of a marching foot in the air, degrees per second of a turn."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.events import between, crossing, speed_between
from mmm.lab.oracle.gaits import Piece
from mmm.lab.oracle.signals import LEFT, RATE, RIGHT, Signals

# Limits of slow and fast. In m/s; of a march the seconds a foot is up; of a turn the time over the usual time.
LIMITS = {
    "forward": (0.8, 1.33),
    "backward": (0.5, 0.85),
    "side": (0.36, 0.58),
    "run": (2.17, 2.88),
    "march": (0.51, 0.405),
    "turn": (1.165, 0.915),
}


def gait_action(s: Signals, piece: Piece) -> Action:
    """The piece as an action with its speed."""
    kind = _kind(piece)
    if kind == "turn":
        value = _turning_time(s, piece)
    elif kind == "march":
        value = _air_seconds(s, piece)
    elif kind == "side":
        value = abs(piece.speed)  # side steps pulse, so the fitted plateau counts
    else:  # the plateau counts, not how long it took to reach it
        value = float(np.percentile(np.abs(s.forward[piece.start : piece.end]), 70))
    return Action(piece.name, direction=piece.direction, speed=speed_between(value, *LIMITS[kind]))


def _kind(piece: Piece) -> str:
    if piece.name in ("turn", "march", "run"):
        return piece.name
    if piece.direction == "backward":
        return "backward"
    return "side" if piece.name == "walk" and piece.direction in ("left", "right") else "forward"


def _turning_time(s: Signals, piece: Piece) -> float:
    """Seconds of a turn over the usual seconds of its angle, measured between a tenth and nine tenths of the angle."""
    heading = gaussian_filter1d(s.heading[max(piece.start - 3, 0) : piece.end + 3], 1.5)
    angle = heading[-1] - heading[0]
    done = np.maximum.accumulate((heading - heading[0]) / angle)
    first, last = np.interp([0.1, 0.9], done, np.arange(len(done)) / RATE)
    usual = 0.8 + float(abs(np.degrees(angle))) / 110
    return (1.3 * float(last - first) + 0.66) / usual


def _air_seconds(s: Signals, piece: Piece) -> float:
    """How long a foot of a march is in the air: the median over its steps."""
    feet = s.feet[piece.start : piece.end]
    steps = [
        crossing(feet[:, side], j, 0.1) - crossing(feet[:, side], i, 0.1)
        for side in (LEFT, RIGHT)
        for i, j in between(feet[:, side], 0.1, 0.25)
    ]
    return float(np.median(steps)) / RATE if steps else 0.45
