"""How fast a gait is: metres per second, seconds of a marching foot in the air, degrees per second of a turn."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.events import between, crossing, speed_between
from mmm.lab.oracle.gaits import Piece
from mmm.lab.oracle.signals import LEFT, RATE, RIGHT, Signals

# (slower than this is slow, faster is fast): m/s; of a march the seconds a foot is up, of a turn times the usual time.
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
    name, direction = piece.name, piece.direction
    if name == "turn":
        degrees, seconds = _turn(s, piece)
        usual = 0.8 + degrees / 110
        return Action(name, direction=direction, speed=speed_between(seconds / usual, *LIMITS["turn"]))
    if name == "march":
        seconds = _air_seconds(s, piece)
        return Action(name, direction=direction, speed=speed_between(seconds, *LIMITS["march"]))
    kind = (
        "run" if name == "run" else "side" if direction in ("left", "right") and name == "walk" else "forward"
    )
    kind = "backward" if direction == "backward" else kind
    speed = abs(piece.speed)
    if (
        kind != "side"
    ):  # side steps pulse; of the others the plateau counts, not how long it took to get there
        speed = float(np.percentile(np.abs(s.forward[piece.start : piece.end]), 70))
    return Action(name, direction=direction, speed=speed_between(speed, *LIMITS[kind]))


def _turn(s: Signals, piece: Piece) -> tuple[float, float]:
    """Degrees turned, and the seconds it took: measured between a tenth and nine tenths of the way."""
    heading = gaussian_filter1d(s.heading[max(piece.start - 3, 0) : piece.end + 3], 1.5)
    way = heading[-1] - heading[0]
    share = np.maximum.accumulate((heading - heading[0]) / way)
    first, last = np.interp([0.1, 0.9], share, np.arange(len(share)) / RATE)
    return float(abs(np.degrees(way))), 1.3 * float(last - first) + 0.66


def _air_seconds(s: Signals, piece: Piece) -> float:
    """How long a foot of a march is in the air: the median over its steps."""
    a, b = piece.start, min(piece.end, len(s))
    steps = [
        crossing(s.feet[a:b, side], j, 0.1) - crossing(s.feet[a:b, side], i, 0.1)
        for side in (LEFT, RIGHT)
        for i, j in between(s.feet[a:b, side], 0.1, 0.25)
    ]
    return float(np.median(steps)) / RATE if steps else 0.45
