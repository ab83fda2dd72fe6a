"""What the arms and the head do: hands above the shoulders, fists in guard, palms that meet, a gaze that turns."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.events import (
    Event,
    Run,
    between,
    covered,
    crossing,
    cycle,
    event,
    paced,
    span,
    speed_between,
    summit,
)
from mmm.lab.oracle.signals import LEFT, RATE, RIGHT, Signals
from mmm.motion.runs import runs

SIDES = {LEFT: "left", RIGHT: "right"}
HIGH = (
    0.12  # a raised wrist comes so far above its shoulder (arm lengths), and stays above -HIGH between swings
)
HANGING = -0.6  # the wrist is down again
LONG_ENOUGH = 8  # frames that a hand is up on purpose


def arm_events(s: Signals) -> list[Event]:
    """Events of the arms and the head in their order; they may overlap with those of the legs."""
    events = _high(s, {side: _lifted(s, side) for side in SIDES})
    for detect in (_punches, _half_raised, _claps, _looks):
        events += detect(s, covered(events, len(s)))
    return sorted(events, key=lambda one: one.start)


# ---- hands above the shoulders


def _lifted(s: Signals, side: int) -> list[Run]:
    up = s.hands[:, side, 1]
    return [(a, b) for a, b in runs(up > -HIGH, gap=3, least=LONG_ENOUGH) if up[a:b].max() > HIGH]


def _half_raised(s: Signals, taken: np.ndarray) -> list[Event]:
    """Hands held up before the shoulders, elbows folded, that do not strike: a timid way to raise or to wave."""
    held = (s.fold > 1.75) & (s.hands[..., 1] > -0.2) & ~taken[:, None]
    return _high(s, {side: runs(held[:, side], gap=3, least=LONG_ENOUGH) for side in SIDES})


def _high(s: Signals, ups: dict[int, list[Run]]) -> list[Event]:
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


def _together(a: Run, b: Run) -> bool:
    return min(a[1], b[1]) - max(a[0], b[0]) > 0.5 * max(a[1] - a[0], b[1] - b[0])


def _one_high(s: Signals, side: int, core: Run, other: Run | None) -> Event:
    """The event of the hand `side`, which is up in the run `core`, and of the other hand if it is up in `other`."""
    run = (min(core[0], other[0]), max(core[1], other[1])) if other else core
    start, end = _until_hanging(s.hands[:, side, 1], core)
    if other:
        mate = _until_hanging(s.hands[:, 1 - side, 1], other)
        start, end = min(start, mate[0]), max(end, mate[1])
    name = "both" if other else SIDES[side]
    swings = max((_swings(s, arm, run) for arm in ([side, 1 - side] if other else [side])), key=len)
    if len(swings) >= 2:
        seconds = cycle(swings)
        speed = paced(
            "wave", seconds + min(0.825, 0.6 * seconds), len(swings)
        )  # the hand goes up and down too
        return Event(Action("wave", side=name, count=len(swings), speed=speed), start, end)
    if not other and _thrown(s, side, core):
        return Event(Action("throw", side=name, count=1), start, end + 6)
    lean = _lean(s, run)
    if other and (lean != "up" or _arched(s, *run)):
        speed = _stretch_speed(s, side, start, end)
        return Event(Action("stretch", side="both", direction=lean, speed=speed), start, end)
    return Event(Action("raise", side=name, speed=_raise_speed(s, side, core)), start, end)


def _until_hanging(up: np.ndarray, core: Run, most: int = 14) -> Run:
    """The run, widened to where the hand hung before and hangs again, by at most `most` frames."""
    a, b = core
    first = max(a - most, 0)
    while a > first and up[a - 1] > HANGING and up[a - 1] < up[a] + 0.02:
        a -= 1
    last = min(b + most, len(up))
    while b < last and up[b] > HANGING and up[b] < up[b - 1] + 0.02:
        b += 1
    return a, b


def _swings(s: Signals, side: int, core: Run) -> list[float]:
    """Times of the swings of a hand that is up; none where it does not go to and fro at least twice.

    Where the forearm swings about the elbow, the elbow's bend shows them. Where the whole arm swings, they are seen
    in the position of the wrist along the line on which it moves most.
    """
    a, b = core
    up = s.hands[a:b, side, 1].max() > HIGH  # hands that are only half raised wave with the wrist
    peaks = _peaks(s.fold[a:b, side], 0.175, 0.1)
    if not _steady(peaks, b - a):
        wrist = s.hands[a:b, side] - gaussian_filter1d(s.hands[a:b, side], 10.0, axis=0, mode="nearest")
        inner = wrist[3:-3]
        line = np.linalg.svd(inner - inner.mean(0), full_matrices=False)[2][0]
        peaks = _peaks((wrist - inner.mean(0)) @ line, 0.05 if up else 0.015, -0.2)
        if len(peaks) < (3 if up else 5) or not _steady(peaks, b - a):
            return []
    return [a + time for time in peaks]


def _peaks(x: np.ndarray, least: float, between_peaks: float) -> list[float]:
    """Times of the peaks of a curve that swings by `least` or more about the middle of its range."""
    inner = x[2:-2] if len(x) > 12 else x
    low, high = np.percentile(inner, [8, 92])
    middle, amplitude = (low + high) / 2, (high - low) / 2
    if amplitude < least:
        return []
    tops = between(x, middle - between_peaks * amplitude, middle + 0.4 * amplitude)
    return [summit(x, i, j) for i, j in tops]


def _steady(peaks: list[float], frames: int) -> bool:
    """Whether the peaks are swings of a wave: an elbow that bends only on the way up and down makes two far apart."""
    return len(peaks) > 1 and (peaks[-1] - peaks[0]) * len(peaks) / (len(peaks) - 1) < 1.25 * frames


def _thrown(s: Signals, side: int, core: Run) -> bool:
    """Elbow bent while the hand is highest, beside or behind the head, then flung straight to the front."""
    a, b = core
    up = s.hands[a:b, side, 1]
    bent = float(np.median(s.fold[a:b, side][up > up.max() - 0.35]))
    after = slice(a, min(b + 6, len(s)))
    flung = s.hands[after, side, 2].max() - s.hands[a:b, side, 2].min()
    return bool(bent > 1.0 and flung > 0.5)


def _middle(run: Run) -> slice:
    """The middle half of a run."""
    a, b = run
    return slice(a + (b - a) // 4, b - (b - a) // 4)


def _lean(s: Signals, run: Run) -> str:
    """Direction in which a stretch leans."""
    lean = float(np.median(s.aside[_middle(run)]))
    return "up" if not abs(lean) > 0.17 else "right" if lean > 0 else "left"


def _arched(s: Signals, a: int, b: int) -> bool:
    """The hands of a stretch come close over the head, elbows a little bent, and the trunk is arched back."""
    middle = _middle((a, b))
    fold, apart, tilt = (float(np.median(x[middle])) for x in (s.fold.mean(1), s.apart, s.tilt))
    bent, close = min(fold, 0.5) - 0.385, float(np.clip(0.7 - apart, -0.15, 0.06))
    return bent / 0.05 + close / 0.04 + (-0.15 - tilt) / 0.03 > 0


def _rise(s: Signals, side: int, start: int, end: int) -> float:
    """Seconds in which the upper arm goes from 0.8 to 2 radians, the mean of up and down; NaN if it never does."""
    x, times = s.upper[max(start, 0) : min(end, len(s)), side], []
    for values in (x, x[::-1]):
        above = np.flatnonzero(values > 2.0)
        if not len(above):
            continue
        below = np.flatnonzero(values[: above[0]] < 0.8)
        if len(below):
            times.append(crossing(values, int(above[0]), 2.0) - crossing(values, int(below[-1]) + 1, 0.8))
    return float(np.mean(times)) / RATE if times else np.nan


def _raise_speed(s: Signals, side: int, core: Run) -> str:
    seconds = _rise(s, side, core[0] - 20, core[1] + 20)
    return "normal" if np.isnan(seconds) else speed_between(seconds, 0.23, 0.145)


def _stretch_speed(s: Signals, side: int, start: int, end: int) -> str:
    if _rise(s, side, start - 10, end + 10) < 0.195:  # not if it is NaN
        return "fast"
    return "slow" if (end - start) / RATE > 3.25 else "normal"


# ---- fists, palms, gaze


def _punches(s: Signals, taken: np.ndarray) -> list[Event]:
    """Elbows folded and fists before the chin, from which straight blows go forward."""
    near = (s.hands[..., 1] > -0.35) & ~taken[:, None]
    guard = ((s.fold > 1.7) & near).any(1) & near.all(1)
    events = []
    for a, b in runs(guard, gap=6, least=8):
        a, b = max(a - 2, 0), min(b + 2, len(s))
        blows = {k: [(a + i, a + j) for i, j in between(s.hands[a:b, k, 2], 0.66, 0.76)] for k in SIDES}
        counts = {k: len(blows[k]) for k in SIDES}
        if not any(counts.values()):
            continue
        if min(counts.values()) > 0.4 * max(counts.values()):
            side, count, arms = "both", sum(counts.values()), (LEFT, RIGHT)
        else:
            arm = max(SIDES, key=lambda k: counts[k])
            side, count, arms = SIDES[arm], counts[arm], (arm,)
        peaks = sorted(summit(s.hands[:, k, 2], i, j) for k in arms for i, j in blows[k])
        if len(peaks) > 1:
            active = cycle(peaks)
            seconds = active / 0.76 if active < 1.71 else active + 0.54
        else:
            seconds = _guard_seconds(s.fold[a:b, 1 - arms[0]])
        action = Action("punch", side=side, count=count, speed=paced("punch", seconds, count))
        events.append(event(action, (a, b), 3, len(s)))
    return events


def _guard_seconds(fold: np.ndarray) -> float:
    """Seconds of a single punch, from how long the elbow of the other arm stays folded."""
    up = np.flatnonzero(fold > 1.3)
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
        active = cycle([summit(-s.apart, a + i, a + j) for i, j in meets])
        seconds = active / 0.68 if active < 1.53 else active + 0.72
        action = Action("clap", count=len(meets), speed=paced("clap", seconds, len(meets)))
        events.append(event(action, (a, b), 3, len(s)))
    return events


def _looks(s: Signals, taken: np.ndarray) -> list[Event]:
    """The head goes far to one side, then far to the other."""
    far = [(a, b, sign) for sign in (1, -1) for a, b in between(sign * s.gaze, 0.5, 0.7)]
    far = sorted((a, b, sign) for a, b, sign in far if taken[a:b].mean() < 0.5)
    groups: list[list[tuple[int, int, int]]] = []
    for turn in far:
        if groups and groups[-1][-1][2] != turn[2] and turn[0] - groups[-1][-1][1] < 16:
            groups[-1].append(turn)
        else:
            groups.append([turn])
    events = []
    for group in groups:
        count, turns = len(group) // 2, [(a, b) for a, b, _ in group]
        if not count:
            continue
        seconds = span(np.abs(s.gaze), turns, 0.5) / (count - 0.2) * count
        if seconds / count < 1.0:  # so fast it is the swing of a gait
            continue
        direction = "left" if group[0][2] > 0 else "right"
        action = Action("look", direction=direction, count=count, speed=paced("look", seconds, count))
        events.append(event(action, (turns[0][0], turns[-1][1]), 3, len(s)))
    return events
