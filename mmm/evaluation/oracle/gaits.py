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
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter1d, grey_closing, maximum_filter1d

from .signals import RATE, Signals

GRID = 3  # frames between possible boundaries
PRICE = 5.0  # of a piece, in units of the error of a frame
SCALE = np.array([0.16, 0.16, 0.40, 0.22])  # of forward, sideways (m/s), turning (rad/s), knees
STILL = 6  # frames of standing at least
SHORTEST = {"stand": STILL, "turn": 18, "walk_turn": 44}  # of a gait else 28, unless there is no more time
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
        Shape("run", "forward", forward=("stride", 1.6, 5.0), knees=1.1, flows=True),
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
                "walk_curve",
                direction,
                (level, 0.35, 1.9),
                turning=to(0.25, 1.4, level),
                knees=0.32,
                flows=True,
            ),
            Shape(
                "run", direction, ("stride", 1.6, 5.0), turning=to(0.25, 1.6, "stride"), knees=1.1, flows=True
            ),
        ]
        for wide in ("narrow", "wide"):
            turning = to(0.9, 3.2, f"hump {wide}")
            found.append(
                Shape(
                    "walk_turn",
                    direction,
                    (f"dip {wide}", 0.35, 1.9),
                    turning=turning,
                    knees=0.32,
                    flows=True,
                )
            )
    return tuple(found)


SHAPES = _shapes()
FORMS = ("", "plateau", "whole", "dip narrow", "hump narrow", "dip wide", "hump wide", "stride")
FORM = np.array(
    [[FORMS.index(f) for f in (x.forward[0], x.sideways[0], x.turning[0])] for x in SHAPES]
).T  # (3, shapes)
LOW = np.array([[x.forward[1], x.sideways[1], x.turning[1]] for x in SHAPES]).T
HIGH = np.array([[x.forward[2], x.sideways[2], x.turning[2]] for x in SHAPES]).T
KNEES = np.array([x.knees for x in SHAPES])
FLOWS = np.array([x.flows for x in SHAPES])
LEAST = np.array([SHORTEST.get(x.name, 28) for x in SHAPES])
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
        row[7] = _held(time, start - 0.1 * into, end + 0.1 * onward, 0.8)
    return gaussian_filter1d(table, 2.0, axis=-1, mode="nearest")


def curves(s: Signals) -> np.ndarray:
    """(T, 4): forward, sideways, turning, knees, of which 0 is standing and 1 marching."""
    high = maximum_filter1d(s.knees.max(1), 3)
    lifted = grey_closing(np.pad(high, 17, mode="edge"), 17)[17:-17]
    return np.stack([s.forward, s.sideways, s.turning, np.clip((lifted + 0.45) / 0.42, 0.0, 1.2)], -1)


def explain(x: np.ndarray, start: int, end: int, open_start: bool, open_end: bool) -> list[Piece]:
    """Pieces of the frames from `start` to `end` of `curves`; an open end is one of the clip's own."""
    window = x[start:end]
    edges = np.arange(0, len(window), GRID)
    edges = np.append(edges[edges <= len(window) - GRID], len(window))
    cost, choice = _price_list(window, edges)
    best = np.full((2, len(edges)), np.inf)  # of all before an edge, by how the next piece begins
    best[:, 0] = 0.0, (0.0 if open_start else np.inf)
    back = np.zeros((2, len(edges), 2), int)
    for b in range(1, len(edges)):
        last = b == len(edges) - 1
        for e, (into, onward) in enumerate(ENDS):
            if onward == FLOW and last and not open_end:
                continue
            total = best[into, :b] + cost[e, :b, b]
            a = int(np.argmin(total))
            if total[a] + PRICE < best[onward, b]:
                best[onward, b] = total[a] + PRICE
                back[onward, b] = a, e
    b, onward = len(edges) - 1, int(np.argmin(best[:, -1]))
    rows: list[tuple[int, int, int, int]] = []
    while b > 0:
        a, e = back[onward, b]
        k = int(choice[e, a, b])
        if rows and (SHAPES[k].name, SHAPES[k].direction) == (
            SHAPES[rows[-1][2]].name,
            SHAPES[rows[-1][2]].direction,
        ):  # a gait that pulses is still one
            rows[-1] = (int(edges[a]), rows[-1][1], k, ENDS.index((ENDS[e][0], ENDS[rows[-1][3]][1])))
        else:
            rows.append((int(edges[a]), int(edges[b]), k, e))
        b, onward = a, ENDS[e][0]
    return [_piece(window, start, *row) for row in reversed(rows)]


def _piece(window: np.ndarray, offset: int, a: int, b: int, k: int, e: int) -> Piece:
    shape = SHAPES[k]
    size, _ = _fit(window[None, a:b, :3] / SCALE[:3], _forms(b - a))
    speed = size[0, e, 0 if shape.forward[0] else 1, k] * SCALE[0]
    return Piece(
        shape.name, shape.direction, offset + a, offset + b, float(speed), float(size[0, e, 2, k] * SCALE[2])
    )


def _fit(x: np.ndarray, forms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best sizes (S, 4, 3, shapes) of the shapes in windows (S, L, 3), and what they take off the squares."""
    ends, kinds, length = forms.shape
    dots = (x.transpose(0, 2, 1) @ forms.reshape(-1, length).T).reshape(len(x), 3, ends, kinds)
    channel = np.arange(3)
    d = np.stack([dots[:, c][:, :, FORM[c]] for c in channel], 2)
    n = (forms**2).sum(-1)[:, FORM]
    size = np.clip(d / np.maximum(n, 1e-6), LOW / SCALE[:3, None], HIGH / SCALE[:3, None])
    return size, (size * (size * n - 2 * d)).sum(2)


def _price_list(window: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(4, edges, edges) cost of the best shape from one edge to another, and which one it is."""
    x = window / SCALE
    squares = np.concatenate([np.zeros(1), np.cumsum((x**2).sum(1))])
    knees = np.concatenate([np.zeros(1), np.cumsum(x[:, 3])])
    level = KNEES / SCALE[3]
    first, last = np.triu_indices(len(edges), 1)
    lengths = edges[last] - edges[first]
    cost = np.full((4, len(edges), len(edges)), np.inf)
    choice = np.zeros((4, len(edges), len(edges)), int)
    for length in np.unique(lengths[lengths >= STILL]):
        a, b = first[lengths == length], last[lengths == length]
        begin = edges[a]
        views = sliding_window_view(x[:, :3], length, axis=0)[begin].transpose(0, 2, 1)
        total = _fit(views, _forms(int(length)))[1]
        total += (squares[begin + length] - squares[begin])[:, None, None]
        total += (length * level**2 - 2 * (knees[begin + length] - knees[begin])[:, None] * level)[:, None]
        total /= 5.0  # neighbouring frames say nearly the same
        total[:, 1:, ~FLOWS] = np.inf
        if length < len(window):
            total[:, :, length < LEAST] = np.inf
        k = total.argmin(-1)
        choice[:, a, b] = k.T
        cost[:, a, b] = np.take_along_axis(total, k[..., None], -1)[..., 0].T
    return cost, choice
