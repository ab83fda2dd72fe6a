"""Gaits: walks, runs, marches and turns as the fewest pieces that explain path and knees, and how fast they are.

Five curves say where a body goes: its speed forward and to the left, its turning, how high the knees come, and
whether both feet leave the floor between two steps. A gait is a simple shape of them: a plateau from rest to rest (or
cut off where another gait takes over in full stride), with turning all along (a curve), or with a hump of turning in
the middle (a turn). `explain` divides time into such pieces by dynamic programming: it minimises the squared error of
the best-fitting shapes plus a price per piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d, grey_closing, maximum_filter1d

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.events import between, crossing, speed_between
from mmm.lab.oracle.signals import LEFT, RATE, RIGHT, Signals
from mmm.motion.runs import runs

GRID = 4  # frames between possible boundaries
PRICE = 5.0  # of a piece, in units of the error of a frame
SCALE = np.array([0.16, 0.16, 0.40, 0.22, 0.3])  # of forward, sideways (m/s), turning (rad/s), knees, flight
STILL = 6  # frames of standing at least
SHORTEST = {
    "stand": STILL,
    "turn": 18,
    "walk_turn": 44,
}  # frames; another gait lasts 28, unless the window is shorter
WIDTH = {"narrow": 1.3, "wide": 1.85}  # seconds that a quarter and a half turn of a walk take
STOP, FLOW = 0, 1  # a piece begins and ends at rest, or in full stride
ENDS = ((STOP, STOP), (STOP, FLOW), (FLOW, STOP), (FLOW, FLOW))  # how it begins, how it ends


Form = tuple[str, float, float]  # name of the form, smallest and largest size
NONE: Form = ("", 0.0, 0.0)


@dataclass(frozen=True)
class Shape:
    """A gait as curves: for each its form ("" is zero throughout) and the sizes that it may have."""

    name: str
    direction: str | None
    forward: Form = NONE
    sideways: Form = NONE
    turning: Form = NONE
    knees: float | None = 0.1  # None: any height
    flight: float = 0.0
    flows: bool = False  # may begin or end in full stride


@dataclass(frozen=True)
class Piece:
    """A gait from frame `start` to frame `end`; `speed` is its fitted speed (m/s)."""

    name: str
    direction: str | None
    start: int
    end: int
    speed: float


def _shapes() -> tuple[Shape, ...]:
    pace, stride = ("plateau", 0.35, 1.8), ("stride", 1.6, 5.0)
    walking, running = dict(knees=0.25, flows=True), dict(knees=None, flight=1.0, flows=True)
    shapes = [
        Shape("stand", None, knees=0.05),
        Shape("walk", "forward", pace, **walking),
        Shape("walk", "backward", ("plateau", -1.5, -0.25), knees=0.2),
        Shape("run", "forward", stride, **running),
        Shape("march", "forward", ("plateau", 0.3, 1.2), knees=1.0),
        Shape("march", "place", knees=1.0),
    ]
    for side in ("left", "right"):
        shapes += [
            Shape("walk", side, sideways=_towards(side, "plateau", 0.17, 1.2), knees=0.2),
            Shape("turn", side, turning=_towards(side, "whole", 0.35, 5.0), knees=0.12),
            Shape("walk_curve", side, pace, turning=_towards(side, "plateau", 0.25, 1.4), **walking),
            Shape("run", side, stride, turning=_towards(side, "stride", 0.25, 1.6), **running),
        ]
        for wide in WIDTH:
            hump, dip = _towards(side, f"hump {wide}", 0.9, 3.2), (f"dip {wide}", 0.35, 1.8)
            shapes.append(Shape("walk_turn", side, dip, turning=hump, **walking))
    return tuple(shapes)


def _towards(side: str, form: str, low: float, high: float) -> Form:
    """A form with sizes to the left (positive) or to the right (negative)."""
    return (form, low, high) if side == "left" else (form, -high, -low)


SHAPES = _shapes()
FORMS = ("", "plateau", "whole", "dip narrow", "hump narrow", "dip wide", "hump wide", "stride")
# Candidates: every shape from rest to rest, and those that flow with the three other ENDS too. They are sorted by
# their ends: END and SHAPE are indices into ENDS and SHAPES, BLOCKS are the limits of the four blocks.
END, SHAPE = np.array(
    [(e, k) for e in range(len(ENDS)) for k, shape in enumerate(SHAPES) if e == 0 or shape.flows]
).T
BLOCKS = np.searchsorted(END, np.arange(len(ENDS) + 1))


def _candidates(value: Callable[[Shape], object]) -> np.ndarray:
    return np.array([value(SHAPES[k]) for k in SHAPE]).T


ROW = END * len(FORMS) + _candidates(
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
    """(4 ends, forms, frames): every form at this length, with each way to begin and to end."""
    time = (np.arange(frames) + 0.5) / RATE
    length = frames / RATE
    table = np.zeros((len(ENDS), len(FORMS), frames))
    for row, (begins, ends) in zip(table, ENDS, strict=True):
        start = -0.3 if begins == FLOW else 0.05
        end = length + (0.3 if ends == FLOW else -0.22)
        row[1] = _held(time, start, end, 0.6)
        row[2] = _held(time, 0.1, max(length - 0.15, 0.6), 0.5)
        for index, width in ((3, WIDTH["narrow"]), (5, WIDTH["wide"])):
            hump = _held(time, length / 2 - width / 2, length / 2 + width / 2, width / 2)
            row[index] = row[1] * (1 - 0.4 * hump)
            row[index + 1] = hump
        row[7] = _held(time, start - 0.1 * begins, end + 0.1 * ends, 0.8)
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
    """Runs between two frames in which anything moves at all; the rest is standing."""
    level = np.array([0.12, 0.1, 0.25, 0.4, 0.5])
    busy = maximum_filter1d((np.abs(x[start:end]) > level).any(1).astype(np.int8), 17) > 0
    return [(start + a, start + b) for a, b in runs(busy)]


def explain(x: np.ndarray, start: int, end: int, open_start: bool, open_end: bool) -> list[Piece]:
    """Pieces of the frames from `start` to `end` of `curves`.

    Args:
        open_start, open_end: whether the clip itself begins or ends there, perhaps in full stride.
    """
    window = x[start:end]
    edges = np.arange(0, len(window), GRID)
    edges = np.append(edges[edges <= len(window) - GRID], len(window))
    pieces: list[list[int]] = []  # first frame, frame after the last, shape, ends
    for a, b, k, e in _cheapest(*_price_list(window, edges), open_start, open_end):
        if pieces and _same_gait(k, pieces[-1][2]):  # a gait that pulses is still one
            pieces[-1][1] = int(edges[b])
            pieces[-1][3] = ENDS.index((ENDS[pieces[-1][3]][0], ENDS[e][1]))
        else:
            pieces.append([int(edges[a]), int(edges[b]), k, e])
    return [_piece(window, start, *row) for row in pieces]


def _cheapest(
    cost: np.ndarray, choice: np.ndarray, open_start: bool, open_end: bool
) -> list[tuple[int, int, int, int]]:
    """The cheapest row of pieces: (first edge, last edge, shape, ends) of each."""
    edges = cost.shape[1]
    best = np.full((2, edges), np.inf)  # cost of everything before an edge, by how the next piece begins
    best[:, 0] = 0.0, (0.0 if open_start else np.inf)
    back = np.zeros((2, edges, 2), int)
    for b in range(1, edges):
        for e, (begins, ends) in enumerate(ENDS):
            if ends == FLOW and b == edges - 1 and not open_end:
                continue
            total = best[begins, :b] + cost[e, :b, b]
            a = int(np.argmin(total))
            if total[a] + PRICE < best[ends, b]:
                best[ends, b] = total[a] + PRICE
                back[ends, b] = a, e
    rows = []
    b, ends = edges - 1, int(np.argmin(best[:, -1]))
    while b > 0:
        a, e = back[ends, b].tolist()
        rows.append((a, b, int(choice[e, a, b]), e))
        b, ends = a, ENDS[e][0]
    return rows[::-1]


def _same_gait(k: int, other: int) -> bool:
    return (SHAPES[k].name, SHAPES[k].direction) == (SHAPES[other].name, SHAPES[other].direction)


def _piece(window: np.ndarray, offset: int, a: int, b: int, k: int, e: int) -> Piece:
    """The piece with the speed that fits it; `k` is the shape, `e` how it begins and ends."""
    shape = SHAPES[k]
    size, _ = _fit(window[None, a:b, :3] / SCALE[:3], _forms(b - a))
    candidate = int(np.flatnonzero((END == e) & (SHAPE == k))[0])
    axis = 0 if shape.forward[0] else 1
    speed = float(size[0, axis, candidate] * SCALE[axis])
    return Piece(shape.name, shape.direction, offset + a, offset + b, speed)


def _fit(x: np.ndarray, forms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best sizes (S, 3, candidates) of the shapes in windows (S, L, 3), and by how much they change the squares."""
    rows = forms.reshape(-1, forms.shape[-1])
    dots = x.transpose(0, 2, 1) @ rows.T  # (S, 3, ends · forms)
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
    path, level = x[:, :3], x[:, 3:]
    squares = _sums((path**2).sum(1, keepdims=True))
    off = (level[:, :1] - KNEES) ** 2 * ~FREE + (level[:, 1:] - FLIGHT) ** 2
    levels = _sums(off)  # (T + 1, candidates)
    first, last = np.triu_indices(len(edges), 1)
    lengths = edges[last] - edges[first]
    cost = np.full((4, len(edges), len(edges)), np.inf)
    choice = np.zeros((4, len(edges), len(edges)), int)
    for length in np.unique(lengths[lengths >= STILL]):
        a, b = first[lengths == length], last[lengths == length]
        begin = edges[a]
        total = _fit(path[begin[:, None] + np.arange(length)], _forms(int(length)))[1]
        total += squares[begin + length] - squares[begin] + levels[begin + length] - levels[begin]
        if length < len(window):
            total[:, length < LEAST] = np.inf
        for e, (start, end) in enumerate(zip(BLOCKS[:-1], BLOCKS[1:], strict=True)):
            k = total[:, start:end].argmin(-1)
            choice[e, a, b] = SHAPE[start + k]
            # Neighbouring frames are nearly the same, so five of them count as one.
            cost[e, a, b] = total[np.arange(len(a)), start + k] / 5.0
    return cost, choice


# ---------------------------------------------------------------------- how fast a gait is


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
