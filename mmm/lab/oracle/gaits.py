"""Where the body goes: walks, runs, marches and turns as the fewest pieces that explain path and knees.

Five curves say where a body goes: its speed forward and to the left, its turning, how high the knees come, and
whether both feet leave the floor between two steps.
A gait is a simple shape of them: a plateau from rest to rest (or cut off where another gait takes over in full
stride), with turning all along (a curve), or a hump of turning in the middle (a turn). `explain` divides a stretch
of time into such pieces by dynamic programming: squared error of the best-fitting shapes plus a price per piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d, grey_closing, maximum_filter1d

from mmm.lab.oracle.signals import RATE, Signals
from mmm.motion.runs import runs

GRID = 4  # frames between possible boundaries
PRICE = 5.0  # of a piece, in units of the error of a frame
SCALE = np.array([0.16, 0.16, 0.40, 0.22, 0.3])  # of forward, sideways (m/s), turning (rad/s), knees, flight
STILL = 6  # frames of standing at least
SHORTEST = {"stand": STILL, "turn": 18, "walk_turn": 44}  # of a gait else 28, unless there is no more time
WIDTH = {"narrow": 1.3, "wide": 1.85}  # seconds that a quarter and a half turn of a walk take
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
    knees: float | None = 0.1  # None: as high as they like
    flight: float = 0.0
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
    level, stride = "plateau", "stride"
    walking, running = dict(knees=0.25, flows=True), dict(knees=None, flight=1.0, flows=True)
    found = [
        Shape("stand", None, knees=0.05),
        Shape("walk", "forward", (level, 0.35, 1.8), **walking),
        Shape("walk", "backward", (level, -1.5, -0.25), knees=0.2),
        Shape("run", "forward", (stride, 1.6, 5.0), **running),
        Shape("march", "forward", (level, 0.3, 1.2), knees=1.0),
        Shape("march", "place", knees=1.0),
    ]
    for way, sign in (("left", 1.0), ("right", -1.0)):

        def to(form: str, low: float, high: float, sign: float = sign) -> tuple[str, float, float]:
            return (form, *sorted((sign * low, sign * high)))

        found += [
            Shape("walk", way, sideways=to(level, 0.17, 1.2), knees=0.2),
            Shape("turn", way, turning=to("whole", 0.35, 5.0), knees=0.12),
            Shape("walk_curve", way, (level, 0.35, 1.8), turning=to(level, 0.25, 1.4), **walking),
            Shape("run", way, (stride, 1.6, 5.0), turning=to(stride, 0.25, 1.6), **running),
        ]
        for wide in WIDTH:
            hump, dip = to(f"hump {wide}", 0.9, 3.2), (f"dip {wide}", 0.35, 1.8)
            found.append(Shape("walk_turn", way, dip, turning=hump, **walking))
    return tuple(found)


SHAPES = _shapes()
FORMS = ("", "plateau", "whole", "dip narrow", "hump narrow", "dip wide", "hump wide", "stride")
# Candidates: every shape from rest to rest, and those that flow in the three other ways too; one block a way.
WAY, SHAPE = np.array(
    [(e, k) for e in range(len(ENDS)) for k, shape in enumerate(SHAPES) if e == 0 or shape.flows]
).T
BLOCKS = np.searchsorted(WAY, np.arange(len(ENDS) + 1))


def _candidates(value: Callable[[Shape], list]) -> np.ndarray:
    return np.array([value(SHAPES[k]) for k in SHAPE]).T


ROW = WAY * len(FORMS) + _candidates(
    lambda x: [FORMS.index(f[0]) for f in (x.forward, x.sideways, x.turning)]
)
LOW = _candidates(lambda x: [x.forward[1], x.sideways[1], x.turning[1]]) / SCALE[:3, None]
HIGH = _candidates(lambda x: [x.forward[2], x.sideways[2], x.turning[2]]) / SCALE[:3, None]
FREE = _candidates(lambda x: x.knees is None)
KNEES = _candidates(lambda x: x.knees or 0.0) / SCALE[3]
FLIGHT = _candidates(lambda x: x.flight) / SCALE[4]
LEAST = _candidates(lambda x: SHORTEST.get(x.name, 28))


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
    """(T, 5): forward, sideways, turning; knees, 0 standing and 1 marching; flight, 0 walking and 1 running."""
    knees = np.clip((_upper(maximum_filter1d(s.knees.max(1), 3)) + 0.45) / 0.42, 0.0, 1.2)
    flight = np.clip((_upper(s.feet.min(1)) - 0.02) / 0.04, 0.0, 1.0)
    return np.stack([s.forward, s.sideways, s.turning, knees, flight], -1)


def _upper(x: np.ndarray, size: int = 17) -> np.ndarray:
    """The curve with its valleys between steps filled in."""
    return grey_closing(np.pad(x, size, mode="edge"), size)[size:-size]


def moving(x: np.ndarray, start: int, end: int) -> list[tuple[int, int]]:
    """Stretches between two frames in which anything goes on at all; the rest is standing."""
    level = np.array([0.12, 0.1, 0.25, 0.4, 0.5])
    busy = maximum_filter1d((np.abs(x[start:end]) > level).any(1).astype(np.int8), 17) > 0
    return [(start + a, start + b) for a, b in runs(busy)]


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
        a, e = back[onward, b].tolist()
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
    """The piece with the sizes that fit it; `k` is the shape, `e` how it begins and ends."""
    shape = SHAPES[k]
    size, _ = _fit(window[None, a:b, :3] / SCALE[:3], _forms(b - a))
    size = size[0, :, int(np.flatnonzero((WAY == e) & (SHAPE == k))[0])] * SCALE[:3]
    speed = size[0] if shape.forward[0] else size[1]
    return Piece(shape.name, shape.direction, offset + a, offset + b, float(speed), float(size[2]))


def _fit(x: np.ndarray, forms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best sizes (S, 3, candidates) of the shapes in windows (S, L, 3), and what they take off the squares."""
    rows = forms.reshape(-1, forms.shape[-1])
    dots = x.transpose(0, 2, 1) @ rows.T  # (S, 3, ways · forms)
    norms = (rows**2).sum(-1)
    gain, sizes = 0.0, []
    for c in range(3):
        d, n = dots[:, c, ROW[c]], norms[ROW[c]]
        size = np.minimum(np.maximum(d / np.maximum(n, 1e-6), LOW[c]), HIGH[c])
        gain = gain + size * (size * n - 2 * d)
        sizes.append(size)
    return np.stack(sizes, 1), gain


def _sums(x: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])


def _price_list(window: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(4, edges, edges) cost of the best shape from one edge to another, and which one it is."""
    x = window / SCALE
    way, level = x[:, :3], x[:, 3:]
    squares = _sums((way**2).sum(1, keepdims=True))
    off = (level[:, :1] - KNEES) ** 2 * ~FREE + (level[:, 1:] - FLIGHT) ** 2
    levels = _sums(off)  # (T + 1, candidates)
    first, last = np.triu_indices(len(edges), 1)
    lengths = edges[last] - edges[first]
    cost = np.full((4, len(edges), len(edges)), np.inf)
    choice = np.zeros((4, len(edges), len(edges)), int)
    for length in np.unique(lengths[lengths >= STILL]):
        a, b = first[lengths == length], last[lengths == length]
        begin = edges[a]
        total = _fit(way[begin[:, None] + np.arange(length)], _forms(int(length)))[1]
        total += squares[begin + length] - squares[begin] + levels[begin + length] - levels[begin]
        if length < len(window):
            total[:, length < LEAST] = np.inf
        for e, (start, end) in enumerate(zip(BLOCKS[:-1], BLOCKS[1:], strict=True)):
            k = total[:, start:end].argmin(-1)
            choice[e, a, b] = SHAPE[start + k]
            cost[e, a, b] = (
                total[np.arange(len(a)), start + k] / 5.0
            )  # neighbouring frames say nearly the same
    return cost, choice
