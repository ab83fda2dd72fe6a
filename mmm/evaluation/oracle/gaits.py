"""Where the body goes: walks, runs, marches and turns as the fewest pieces that explain path and knees.

Four curves say where a body goes: its speed forward and to the left, its turning, and how high the knees come.
A gait is a simple shape of them: a plateau from rest to rest (or cut off where another gait takes over in full
stride), with turning all along (a curve), or a hump of turning in the middle (a turn). `explain` divides a stretch
of time into such pieces by dynamic programming: squared error of the best-fitting shapes plus a price per piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d, grey_closing, maximum_filter1d

from .signals import RATE, Signals

GRID = 3  # frames between possible boundaries
PRICE = 5.0  # of a piece, in units of the error of a frame
SCALE = np.array([0.16, 0.16, 0.40, 0.22])  # of forward, sideways (m/s), turning (rad/s), knees
SHORTEST, STILL = 18, 6  # frames of a gait, of standing
STOP, FLOW = 0, 1
ENDS = ((STOP, STOP), (STOP, FLOW), (FLOW, STOP), (FLOW, FLOW))


@dataclass(frozen=True)
class Shape:
    """A gait as curves: for each a form ("" flat zero, plateau, dip, hump, whole) and the sizes it may have."""

    name: str
    direction: str | None
    forward: tuple[str, float, float] = ("", 0.0, 0.0)
    sideways: tuple[str, float, float] = ("", 0.0, 0.0)
    turning: tuple[str, float, float] = ("", 0.0, 0.0)
    knees: float = 0.1
    flows: bool = False


@dataclass(frozen=True)
class Piece:
    """A gait from frame `start` to frame `end`; `size` is the fitted speed (m/s) and turning (rad/s)."""

    name: str
    direction: str | None
    start: int
    end: int
    speed: float
    turning: float


def _shapes() -> tuple[Shape, ...]:
    level = "plateau"
    found = [
        Shape("stand", None, knees=0.05),
        Shape("walk", "forward", forward=(level, 0.35, 1.9), knees=0.32, flows=True),
        Shape("walk", "backward", forward=(level, -1.5, -0.25), knees=0.2),
        Shape("run", "forward", forward=(level, 1.6, 5.0), knees=1.1, flows=True),
        Shape("march", "forward", forward=(level, 0.3, 1.2), knees=1.0),
        Shape("march", "place", knees=1.0),
    ]
    for direction, sign in (("left", 1.0), ("right", -1.0)):

        def to(low: float, high: float, form: str, sign: float = sign) -> tuple[str, float, float]:
            return (form, *sorted((sign * low, sign * high)))

        found += [
            Shape("walk", direction, sideways=to(0.17, 1.2, level), knees=0.2),
            Shape("turn", direction, turning=to(0.35, 5.0, "whole"), knees=0.12),
            Shape(
                "walk_curve", direction, (level, 0.35, 1.9), turning=to(0.25, 1.4, level), knees=0.32, flows=True
            ),
            Shape("run", direction, (level, 1.6, 5.0), turning=to(0.25, 1.6, level), knees=1.1, flows=True),
        ]
        for wide in ("narrow", "wide"):
            turning = to(0.9, 3.2, f"hump {wide}")
            found.append(
                Shape("walk_turn", direction, (f"dip {wide}", 0.35, 1.9), turning=turning, knees=0.32, flows=True)
            )
    return tuple(found)


SHAPES = _shapes()
FORMS = ("", "plateau", "whole", "dip narrow", "hump narrow", "dip wide", "hump wide")
FORM = np.array(
    [[FORMS.index(f) for f in (x.forward[0], x.sideways[0], x.turning[0])] for x in SHAPES]
).T  # (3, shapes)
LOW = np.array([[x.forward[1], x.sideways[1], x.turning[1]] for x in SHAPES]).T
HIGH = np.array([[x.forward[2], x.sideways[2], x.turning[2]] for x in SHAPES]).T
KNEES = np.array([x.knees for x in SHAPES])
FLOWS = np.array([x.flows for x in SHAPES])
STANDS = np.array([x.name == "stand" for x in SHAPES])
WIDTH = {"narrow": 1.3, "wide": 1.85}  # seconds that a quarter and a half turn of a walk take


def _ease(u: np.ndarray) -> np.ndarray:
    u = np.clip(u, 0.0, 1.0)
    return u * u * u * (u * (6 * u - 15) + 10)


def _held(time: np.ndarray, start: float, end: float, ramp: float) -> np.ndarray:
    return _ease((time - start) / ramp) * _ease((end - time) / ramp)


@lru_cache(maxsize=512)
def _forms(frames: int) -> np.ndarray:
    """(4 ends, forms, frames): every form at this length, for each way to begin and to end."""
    time = (np.arange(frames) + 0.5) / RATE
    length = frames / RATE
    table = np.zeros((len(ENDS), len(FORMS), frames))
    for row, (into, onward) in zip(table, ENDS, strict=True):
        start = -0.3 if into == FLOW else 0.05
        end = length + (0.3 if onward == FLOW else -0.22)
        row[1] = _held(time, start, end, 0.6)
        row[2] = _held(time, 0.1, max(length - 0.15, 0.6), 0.5)
        for place, width in ((3, WIDTH["narrow"]), (5, WIDTH["wide"])):
            hump = _held(time, length / 2 - width / 2, length / 2 + width / 2, width / 2)
            row[place] = row[1] * (1 - 0.4 * hump)
            row[place + 1] = hump
    return gaussian_filter1d(table, 2.0, axis=-1, mode="nearest")


def curves(s: Signals) -> np.ndarray:
    """(T, 4): forward, sideways, turning, knees, of which 0 is standing and 1 marching."""
    high = maximum_filter1d(s.knees.max(1), 3)
    lifted = grey_closing(np.pad(high, 17, mode="edge"), 17)[17:-17]
    return np.stack([s.forward, s.sideways, s.turning, np.clip((lifted + 0.45) / 0.42, 0.0, 1.2)], -1)


def explain(x: np.ndarray, start: int, end: int, open_start: bool, open_end: bool) -> list[Piece]:
    """Pieces of the frames from `start` to `end` of `curves`; an open end is one of the clip's own."""
    window = x[start:end] / SCALE
    frames = len(window)
    edges = np.unique(np.append(np.arange(0, frames, GRID), frames))
    if frames - edges[-2] < GRID and len(edges) > 2:
        edges = np.delete(edges, -2)
    count = len(edges)
    best = np.full((count, 2), np.inf)
    best[0, STOP] = 0.0
    if open_start:
        best[0, FLOW] = 0.0
    back: dict[tuple[int, int], tuple] = {}
    costs = _all_costs(window, edges)
    for b in range(1, count):
        for a in range(b):
            entry = costs.get((a, b))
            if entry is None:
                continue
            cost, _ = entry  # (4, shapes)
            for e, (into, onward) in enumerate(ENDS):
                if not np.isfinite(best[a, into]):
                    continue
                if onward == FLOW and b == count - 1 and not open_end:
                    continue
                k = int(np.argmin(cost[e]))
                total = best[a, into] + cost[e, k] + PRICE
                if total < best[b, onward]:
                    best[b, onward] = total
                    back[b, onward] = (a, into, e, k)
    state = (count - 1, int(np.argmin(best[-1])))
    pieces = []
    while state[0] > 0:
        a, into, e, k = back[state]
        amplitude = costs[a, state[0]][1][e, :, k]
        shape = SHAPES[k]
        pieces.append(
            Piece(
                shape.name,
                shape.direction,
                start + int(edges[a]),
                start + int(edges[state[0]]),
                float(amplitude[0] if shape.sideways[0] == "" else amplitude[1]),
                float(amplitude[2]),
            )
        )
        state = (a, into)
    return pieces[::-1]


def _all_costs(window: np.ndarray, edges: np.ndarray) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """For each pair of edges the cost (4, shapes) and the fitted sizes (4, 3, shapes)."""
    squares = np.concatenate([np.zeros((1, 4)), np.cumsum(window**2, axis=0)])
    sums = np.concatenate([[0.0], np.cumsum(window[:, 3])])
    by_length: dict[int, list[tuple[int, int]]] = {}
    for b in range(1, len(edges)):
        for a in range(b):
            length = int(edges[b] - edges[a])
            if length >= STILL:
                by_length.setdefault(length, []).append((a, b))
    scale = SCALE[:3]
    low, high = LOW / scale[:, None], HIGH / scale[:, None]
    knees = KNEES / SCALE[3]
    found = {}
    for length, pairs in by_length.items():
        forms = _forms(length)
        starts = edges[[a for a, _ in pairs]]
        x = window[starts[:, None] + np.arange(length)][..., :3]  # (S, L, 3)
        dots = np.einsum("slc,efl->secf", x, forms)  # (S, 4, 3, forms)
        norms = (forms**2).sum(-1)  # (4, forms)
        channel = np.arange(3)[:, None]
        d = dots[:, :, channel, FORM]  # (S, 4, 3, shapes)
        n = norms[:, FORM][None]  # (1, 4, 3, shapes)
        size = np.clip(d / np.maximum(n, 1e-6), low, high)
        total = squares[starts + length] - squares[starts]  # (S, 4)
        cost = (size * size * n - 2 * size * d).sum(2) + total[:, None, :3].sum(-1, keepdims=True)
        ksum = sums[starts + length] - sums[starts]
        cost += (total[:, 3, None] - 2 * ksum[:, None] * knees + length * knees**2)[:, None]
        cost = cost / 5.0  # neighbouring frames say nearly the same
        cost[:, 1:, ~FLOWS] = np.inf
        if length < SHORTEST:
            cost[:, :, ~STANDS] = np.inf
        for pair, c, z in zip(pairs, cost, size * scale[:, None], strict=True):
            found[pair] = (c, z)
    return found
