"""What the legs and the trunk do on the spot: jumps, kicks, squats, sitting, bows."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.events import (
    Event,
    Run,
    between,
    covered,
    crossing,
    event,
    grouped,
    paced,
    span,
    speed_between,
)
from mmm.lab.oracle.signals import LEFT, RATE, RIGHT, Signals

STANDING = 1.17  # height of the hips over the leg length of a person who stands


def leg_events(s: Signals) -> list[Event]:
    """Jumps, kicks, squats, sitting and bows in their order; gaits are found in `gaits`."""
    events = _jumps(s)
    events += _apart(_kicks(s), events)
    events += _sinks(s, covered(events, len(s)))
    events += _apart(_bows(s), events)
    return sorted(events, key=lambda one: one.start)


def _apart(candidates: list[Event], events: list[Event]) -> list[Event]:
    """The candidates that hardly overlap with any of the events."""
    return [e for e in candidates if not any(e.overlap(f.start, f.end) > 0.3 for f in events)]


def _jumps(s: Signals) -> list[Event]:
    """Both feet leave the floor together and come down together."""
    low = s.feet.min(1)
    apart = maximum_filter1d(np.abs(s.feet[:, LEFT] - s.feet[:, RIGHT]), 9)
    flights = [(a, b) for a, b in between(np.where(apart < 0.16, low, 0.0), 0.05, 0.09) if b - a < 20]
    events = []
    for group in grouped(flights, 34):
        a, b = group[0][0], group[-1][1]
        travelled = s.forward[max(a - 2, 0) : b + 2]
        length = float(np.abs(travelled).sum()) / RATE / len(group)
        gained = float(travelled.sum()) / RATE / len(group)
        direction = "forward" if gained > 0.2 and length > 0.2 else "place"
        events.append(event(Action("jump", count=len(group), direction=direction), (a, b), 9, len(s)))
    return events


def _kicks(s: Signals) -> list[Event]:
    """One foot goes up and far out to the front while the body stays where it is."""
    still = np.abs(s.forward) < 0.6
    events = []
    for side in (LEFT, RIGHT):
        height = s.feet[:, side]
        out = np.where(still, np.minimum(height / 0.22, s.reach[:, side] / 0.6), 0.0)
        for group in grouped(between(out, 0.7, 1.0), 34):
            count, run = len(group), (group[0][0], group[-1][1])
            each = span(height, [_airborne(height, run)], 0.06) / (count - 1 + 0.6)
            speed = paced("kick", each * count, count, slow=1.175, fast=0.925)
            action = Action("kick", side=("left", "right")[side], count=count, speed=speed)
            events.append(event(action, run, int(0.3 * each * RATE), len(s)))
    return events


def _airborne(height: np.ndarray, run: Run) -> Run:
    """The time in which a foot is off the floor, from before the first kick to after the last."""
    a, b = run
    while a > 0 and height[a - 1] > 0.06:
        a -= 1
    while b < len(height) and height[b] > 0.06:
        b += 1
    return a, b


def _sinks(s: Signals, taken: np.ndarray) -> list[Event]:
    """Hips that go down and come up again: far behind the feet it is sitting, otherwise a squat."""
    depth = np.where(taken, 0.0, STANDING - s.hips)
    rows: list[list[Run]] = []
    seats: list[Run] = []
    for a, b in between(depth, 0.12, 0.2):
        if abs(float(s.forward[a:b].mean())) > 0.7:
            continue  # hips that are low in passing
        if s.back[a:b].max() > 0.3:
            seats.append((a, b))
        elif rows and a - rows[-1][-1][1] <= 22 and not any(rows[-1][-1][1] <= c < a for c, _ in seats):
            rows[-1].append((a, b))
        else:
            rows.append([(a, b)])
    events = []
    for a, b in seats:
        action = Action("sit", speed=speed_between(_settling(depth[a:b]), 0.355, 0.27))
        events.append(event(action, (a, b), 6, len(s)))
    for row in rows:
        run = row[0][0], row[-1][1]
        level = 0.5 * float(np.percentile(depth[run[0] : run[1]], 95))
        events.append(_repeated("squat", depth, run, level, 0.44))
    return events


def _settling(depth: np.ndarray) -> float:
    """Seconds from a quarter to three quarters of the way down, the mean of down and up."""
    top = float(np.percentile(depth, 90))
    times = []
    for values in (depth, depth[::-1]):
        high = int(np.argmax(values > 0.75 * top))
        low = int(np.argmax(values > 0.3 * top))
        times.append(crossing(values, high, 0.75 * top) - crossing(values, low, 0.3 * top))
    return float(np.mean(times)) / RATE


def _bows(s: Signals) -> list[Event]:
    """The trunk bends far forward over legs that stay nearly straight."""
    bend = np.where(s.hips > STANDING - 0.15, s.tilt, 0.0)
    calm = np.abs(s.forward) < 0.5
    events = []
    for row in grouped([(a, b) for a, b in between(bend, 0.16, 0.3) if calm[a:b].mean() > 0.7], 30):
        level = 0.5 * max(float(bend[a:b].max()) for a, b in row)
        events.append(_repeated("bow", bend, (row[0][0], row[-1][1]), level, 0.36))
    return events


def _repeated(name: str, x: np.ndarray, run: Run, level: float, narrower: float) -> Event:
    """Squats or bows: peaks of the curve above `level`, counted and timed.

    Args:
        narrower: part of a repetition by which the time above `level` is shorter than all repetitions.
    """
    peaks = [(i, j) for i, j in between(x, level, 1.4 * level) if i < run[1] and j > run[0]]
    count = len(peaks)
    seconds = span(x, peaks, level) / (count - narrower) * count
    return event(Action(name, count=count, speed=paced(name, seconds, count)), run, 5, len(x))
