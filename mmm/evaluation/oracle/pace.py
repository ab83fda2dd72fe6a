"""How fast a gait is: metres per second, steps of a march, degrees per second of a turn."""

from __future__ import annotations

import numpy as np

from mmm.data.synthetic import Action

from .events import between, speed_between
from .gaits import Piece
from .signals import RATE, Signals

# (slower than this is slow, faster is fast): m/s, for a march seconds per step, for a turn times the usual time.
LIMITS = {
    "forward": (0.8, 1.33),
    "backward": (0.5, 0.85),
    "side": (0.36, 0.58),
    "run": (2.17, 2.88),
    "march": (0.62, 0.48),
    "turn": (1.17, 0.91),
}


def gait_action(s: Signals, piece: Piece) -> Action:
    """The piece as an action with its speed."""
    name, direction = piece.name, piece.direction
    if name == "turn":
        degrees = abs(float(np.degrees(s.heading[min(piece.end, len(s) - 1)] - s.heading[piece.start])))
        usual = 0.8 + degrees / 110
        taken = _turn_seconds(s, piece)
        return Action(name, direction=direction, speed=speed_between(taken / usual, *LIMITS["turn"]))
    if name == "march":
        seconds = _step_seconds(s, piece)
        return Action(name, direction=direction, speed=speed_between(seconds, *LIMITS["march"]))
    kind = (
        "run" if name == "run" else "side" if direction in ("left", "right") and name == "walk" else "forward"
    )
    kind = "backward" if direction == "backward" else kind
    return Action(name, direction=direction, speed=speed_between(abs(piece.speed), *LIMITS[kind]))


def _turn_seconds(s: Signals, piece: Piece) -> float:
    return (piece.end - piece.start) / RATE


def _step_seconds(s: Signals, piece: Piece) -> float:
    """Seconds from one high knee to the next, of whichever leg."""
    a, b = piece.start, min(piece.end, len(s))
    peaks = sorted(
        a + i + float(np.argmax(s.knees[a + i : a + j, side]))
        for side in (0, 1)
        for i, j in between(s.knees[a:b, side], -0.3, -0.18)
    )
    if len(peaks) < 2:
        return 0.55
    return (peaks[-1] - peaks[0]) / (len(peaks) - 1) / RATE
