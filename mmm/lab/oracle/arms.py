"""What the arms and the head do: hands above the shoulders, fists in guard, palms that meet, a gaze that turns."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.events import (
    Event,
    between,
    crossing,
    paced,
    span,
    speed_between,
    summit,
)
from mmm.lab.oracle.signals import LEFT, RATE, RIGHT, Signals
from mmm.motion.runs import runs

SIDES = {LEFT: "left", RIGHT: "right"}
HIGH = (
    0.12  # arm lengths that a wrist comes above its shoulder when the hand is up, and below it between swings
)
HANGING = -0.6  # and when it is down again
LONG_ENOUGH = 8  # frames that a hand is up on purpose


def arm_events(s: Signals) -> list[Event]:
    """Events of the arms and the head in their order; they may lie over those of the legs."""
    high = _high(s, {side: _lifted(s, side) for side in (LEFT, RIGHT)})
    taken = np.zeros(len(s), bool)
    for event in high:
        taken[event.start : event.end] = True
    found = high + _punches(s, taken)
    for event in found:
        taken[event.start : event.end] = True
    found += _half_raised(s, taken)
    for event in found:
        taken[event.start : event.end] = True
    found += _claps(s, taken)
    for event in found:
        taken[event.start : event.end] = True
    return sorted(found + _looks(s, taken), key=lambda event: event.start)


# ---- hands above the shoulders


def _high(s: Signals, ups: dict[int, list[tuple[int, int]]]) -> list[Event]:
    """Waves, raises, stretches and throws, by when each hand is up; hands that are up together are one event."""
    events = []
    while any(ups.values()):
        side = min((k for k in ups if ups[k]), key=lambda k: ups[k][0][0])
        core = ups[side].pop(0)
        other = next((c for c in ups[1 - side] if _together(core, c)), None)
        if other:
            ups[1 - side].remove(other)
        events.append(_one_high(s, side, core, other))
    return events


def _lifted(s: Signals, side: int) -> list[tuple[int, int]]:
    up = s.hands[:, side, 1]
    return [(a, b) for a, b in runs(up > -HIGH, gap=3, least=LONG_ENOUGH) if up[a:b].max() > HIGH]


def _together(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return min(a[1], b[1]) - max(a[0], b[0]) > 0.5 * max(a[1] - a[0], b[1] - b[0])


def _one_high(s: Signals, side: int, core: tuple[int, int], other: tuple[int, int] | None) -> Event:
    a, b = (min(core[0], other[0]), max(core[1], other[1])) if other else core
    start, end = _outward(s.hands[:, side, 1], core)
    if other:
        mate = _outward(s.hands[:, 1 - side, 1], other)
        start, end = min(start, mate[0]), max(end, mate[1])
    arms = [side, 1 - side] if other else [side]
    name = "both" if other else SIDES[side]
    swings = [_swings(s, arm, (a, b)) for arm in arms]
    cycles = max(len(w) for w in swings)
    if cycles >= 2:
        peaks = max(swings, key=len)
        seconds = (peaks[-1] - peaks[0]) / (cycles - 1) * cycles / RATE
        action = Action(
            "wave", side=name, count=cycles, speed=paced("wave", seconds + _ramps(seconds), cycles)
        )
        return Event(action, start, end)
    if not other and _thrown(s, side, core):
        return Event(Action("throw", side=SIDES[side], count=1), start, end + 6)
    if other:
        lean = float(np.median(s.aside[a + (b - a) // 4 : b - (b - a) // 4]))
        if abs(lean) > 0.17 or _arched(s, a, b):
            direction = "up" if abs(lean) < 0.17 else "right" if lean > 0 else "left"
            return Event(
                Action(
                    "stretch", side="both", direction=direction, speed=_stretch_speed(s, side, start, end)
                ),
                start,
                end,
            )
    return Event(Action("raise", side=name, speed=_raise_speed(s, side, core)), start, end)


def _outward(up: np.ndarray, core: tuple[int, int], most: int = 14) -> tuple[int, int]:
    """From where the hand hung until it hangs again."""
    a, b = core
    first = max(a - most, 0)
    while a > first and up[a - 1] > HANGING and up[a - 1] < up[a] + 0.02:
        a -= 1
    last = min(b + most, len(up))
    while b < last and up[b] > HANGING and up[b] < up[b - 1] + 0.02:
        b += 1
    return a, b


def _swings(s: Signals, side: int, core: tuple[int, int]) -> list[float]:
    """Times of the swings of a hand that is up; none where it does not go to and fro at least twice.

    The elbow's bend tells them where the forearm swings about it; where the whole arm swings, the wrist's place
    along the line on which it moves most.
    """
    a, b = core
    up = s.hands[a:b, side, 1].max() > HIGH  # hands that are only half raised wave with the wrist
    bend = s.fold[a:b, side]
    found = _peaks(bend, 0.175, 0.1)
    if not _steady(found, b - a):
        place = s.hands[a:b, side] - gaussian_filter1d(s.hands[a:b, side], 10.0, axis=0, mode="nearest")
        inner = place[3:-3]
        line = np.linalg.svd(inner - inner.mean(0), full_matrices=False)[2][0]
        found = _peaks((place - inner.mean(0)) @ line, 0.05 if up else 0.015, -0.2)
        if len(found) < (3 if up else 5) or not _steady(found, b - a):
            return []
    return [a + time for time in found]


def _peaks(x: np.ndarray, least: float, between_peaks: float) -> list[float]:
    """Times of the peaks of a curve that swings by `least` or more about the middle of its range."""
    inner = x[2:-2] if len(x) > 12 else x
    low, high = np.percentile(inner, [8, 92])
    middle, part = (low + high) / 2, (high - low) / 2
    if part < least:
        return []
    return [summit(x, i, j) for i, j in between(x, middle - between_peaks * part, middle + 0.4 * part)]


def _steady(peaks: list[float], frames: int) -> bool:
    """Whether the peaks are swings of a wave: an elbow that only bends on the way up and on the way down is none."""
    return len(peaks) > 1 and (peaks[-1] - peaks[0]) * len(peaks) / (len(peaks) - 1) < 1.25 * frames


def _ramps(active: float) -> float:
    """Seconds that the hand of a wave takes up and down, beside its swings."""
    return min(0.825, 0.6 * active)


def _thrown(s: Signals, side: int, core: tuple[int, int]) -> bool:
    """Elbow bent while the hand is highest, beside or behind the head, then flung straight to the front."""
    a, b = core
    up = s.hands[a:b, side, 1]
    bent = float(np.median(s.fold[a:b, side][up > up.max() - 0.35]))
    after = slice(a, min(b + 6, len(s)))
    flung = s.hands[after, side, 2].max() - s.hands[a:b, side, 2].min()
    return bool(bent > 1.0 and flung > 0.5)


def _arched(s: Signals, a: int, b: int) -> bool:
    """The hands of a stretch come close over the head, elbows a little bent, and the trunk is arched back."""
    middle = slice(a + (b - a) // 4, b - (b - a) // 4)
    fold, apart, tilt = (float(np.median(x[middle])) for x in (s.fold.mean(1), s.apart, s.tilt))
    bent, close = min(fold, 0.5) - 0.385, float(np.clip(0.7 - apart, -0.15, 0.06))
    return bent / 0.05 + close / 0.04 + (-0.15 - tilt) / 0.03 > 0


def _rise(x: np.ndarray, start: int, end: int, low: float, high: float) -> float:
    """Seconds from `low` to `high`, the mean of the way up and the way down."""
    times = []
    for values in (x[start:end], x[start:end][::-1]):
        above = np.flatnonzero(values > high)
        if not len(above):
            continue
        below = np.flatnonzero(values[: above[0]] < low)
        if len(below):
            times.append(crossing(values, int(above[0]), high) - crossing(values, int(below[-1]) + 1, low))
    return float(np.mean(times)) / RATE if times else np.nan


def _raise_speed(s: Signals, side: int, core: tuple[int, int]) -> str:
    a, b = max(core[0] - 20, 0), min(core[1] + 20, len(s))
    seconds = _rise(s.upper[:, side], a, b, 0.8, 2.0)
    return "normal" if np.isnan(seconds) else speed_between(seconds, 0.23, 0.145)


def _stretch_speed(s: Signals, side: int, start: int, end: int) -> str:
    seconds = _rise(s.upper[:, side], max(start - 10, 0), min(end + 10, len(s)), 0.8, 2.0)
    if not np.isnan(seconds) and seconds < 0.195:
        return "fast"
    return "slow" if (end - start) / RATE > 3.25 else "normal"


def _half_raised(s: Signals, taken: np.ndarray) -> list[Event]:
    """Hands held up before the shoulders, elbows folded, that do not strike: a timid way to raise or to wave."""
    held = (s.fold > 1.75) & (s.hands[..., 1] > -0.2) & ~taken[:, None]
    return _high(s, {side: runs(held[:, side], gap=3, least=LONG_ENOUGH) for side in (LEFT, RIGHT)})


# ---- fists, palms, gaze


def _punches(s: Signals, taken: np.ndarray) -> list[Event]:
    """Elbows folded and fists before the chin, from which straight blows go forward."""
    near = (s.hands[..., 1] > -0.35) & ~taken[:, None]
    guard = ((s.fold > 1.7) & near).any(1) & near.all(1)
    events = []
    for a, b in runs(guard, gap=6, least=8):
        a, b = max(a - 2, 0), min(b + 2, len(s))
        blows = {
            side: [(a + i, a + j) for i, j in between(s.hands[a:b, side, 2], 0.66, 0.76)]
            for side in (LEFT, RIGHT)
        }
        count = len(blows[LEFT]) + len(blows[RIGHT])
        if not count:
            continue
        many, few = sorted((len(blows[LEFT]), len(blows[RIGHT])), reverse=True)
        side = "both" if few > 0.4 * many else SIDES[LEFT if len(blows[LEFT]) == many else RIGHT]
        if side != "both":
            count = many
        seconds = _guard_seconds(s, side, (a, b), blows)
        events.append(
            Event(
                Action("punch", side=side, count=count, speed=paced("punch", seconds, count)),
                max(a - 3, 0),
                min(b + 3, len(s)),
            )
        )
    return events


def _guard_seconds(s: Signals, side: str, core: tuple[int, int], blows: dict) -> float:
    peaks = sorted(
        summit(s.hands[:, k, 2], i, j)
        for k in (LEFT, RIGHT)
        for i, j in blows[k]
        if side in ("both", SIDES[k])
    )
    if len(peaks) > 1:
        active = (peaks[-1] - peaks[0]) / (len(peaks) - 1) * len(peaks) / RATE
        return active / 0.76 if active < 1.71 else active + 0.54
    other = RIGHT if side == "left" else LEFT
    up = np.flatnonzero(s.fold[core[0] - 0 : core[1], other] > 1.3)
    held = (up[-1] - up[0] + 1) / RATE if len(up) else 0.0
    return held / 0.8 if held < 1.8 else held + 0.45


def _claps(s: Signals, taken: np.ndarray) -> list[Event]:
    """Both forearms before the chest, palms that meet again and again."""
    ready = ((s.fold > 0.85) & (s.fold < 1.8) & (s.hands[..., 1] > -0.7) & (s.hands[..., 2] > 0.4)).all(1)
    events = []
    for a, b in runs(ready & ~taken, gap=3, least=8):
        meets = between(-s.apart[a:b], -0.56, -0.45)
        if len(meets) < 2:
            continue
        times = [summit(-s.apart, a + i, a + j) for i, j in meets]
        active = (times[-1] - times[0]) / (len(times) - 1) * len(times) / RATE
        seconds = active / 0.68 if active < 1.53 else active + 0.72
        action = Action("clap", count=len(times), speed=paced("clap", seconds, len(times)))
        events.append(Event(action, max(a - 3, 0), min(b + 3, len(s))))
    return events


def _looks(s: Signals, taken: np.ndarray) -> list[Event]:
    """The head goes far to one side, then far to the other."""
    far = [(a, b, 1) for a, b in between(s.gaze, 0.5, 0.7)] + [
        (a, b, -1) for a, b in between(-s.gaze, 0.5, 0.7)
    ]
    far = sorted((a, b, sign) for a, b, sign in far if taken[a:b].mean() < 0.5)
    groups: list[list[tuple[int, int, int]]] = []
    for part in far:
        if groups and groups[-1][-1][2] != part[2] and part[0] - groups[-1][-1][1] < 16:
            groups[-1].append(part)
        else:
            groups.append([part])
    events = []
    for group in groups:
        if len(group) < 2:
            continue
        count = len(group) // 2
        seconds = span(np.abs(s.gaze), [(a, b) for a, b, _ in group], 0.5) / (count - 0.2) * count
        if seconds / count < 1.0:  # so fast it is the swing of a gait
            continue
        direction = "left" if group[0][2] > 0 else "right"
        action = Action("look", direction=direction, count=count, speed=paced("look", seconds, count))
        events.append(Event(action, max(group[0][0] - 3, 0), min(group[-1][1] + 3, len(s))))
    return events
