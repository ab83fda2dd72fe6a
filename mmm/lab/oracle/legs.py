"""What the legs and the trunk do on the spot: jumps, kicks, squats, sitting, bows."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from mmm.datasets.synthetic.program import Action
from mmm.lab.oracle.events import (
    Event,
    between,
    crossing,
    paced,
    span,
    speed_between,
)
from mmm.lab.oracle.signals import LEFT, RATE, RIGHT, Signals

STANDING = 1.17  # height of the hips over the leg length of a person who stands


def leg_events(s: Signals) -> list[Event]:
    """Jumps, kicks, squats, sitting and bows in their order; gaits are `gaits.gait_events`."""
    found = _jumps(s)
    found += [e for e in _kicks(s) if not any(e.overlap(f.start, f.end) > 0.3 for f in found)]
    taken = np.zeros(len(s), bool)
    for event in found:
        taken[event.start : event.end] = True
    found += _sinks(s, taken)
    found += [e for e in _bows(s) if not any(e.overlap(f.start, f.end) > 0.3 for f in found)]
    return sorted(found, key=lambda event: event.start)


def _jumps(s: Signals) -> list[Event]:
    """Both feet leave the floor together and come down together."""
    low = s.feet.min(1)
    apart = maximum_filter1d(np.abs(s.feet[:, LEFT] - s.feet[:, RIGHT]), 9)
    flights = [(a, b) for a, b in between(np.where(apart < 0.16, low, 0.0), 0.05, 0.09) if b - a < 20]
    events = []
    for group in _grouped(flights, 34):
        a, b = group[0][0], group[-1][1]
        gone = float(np.abs(s.forward[a - 2 if a > 2 else 0 : b + 2]).sum()) / RATE / len(group)
        moved = float(s.forward[max(a - 2, 0) : b + 2].sum()) / RATE / len(group)
        direction = "forward" if moved > 0.2 and gone > 0.2 else "place"
        events.append(
            Event(Action("jump", count=len(group), direction=direction), max(a - 9, 0), min(b + 9, len(s)))
        )
    return events


def _grouped(peaks: list[tuple[int, int]], gap: int) -> list[list[tuple[int, int]]]:
    groups: list[list[tuple[int, int]]] = []
    for peak in peaks:
        if groups and peak[0] - groups[-1][-1][1] <= gap:
            groups[-1].append(peak)
        else:
            groups.append([peak])
    return groups


def _kicks(s: Signals) -> list[Event]:
    """One foot goes up and far out to the front while the body stays where it is."""
    still = np.abs(s.forward) < 0.6
    events = []
    for side in (LEFT, RIGHT):
        out = np.where(still, np.minimum(s.feet[:, side] / 0.22, s.reach[:, side] / 0.6), 0.0)
        for group in _grouped(between(out, 0.7, 1.0), 34):
            count = len(group)
            each = span(s.feet[:, side], _airborne(s.feet[:, side], group), 0.06) / (count - 1 + 0.6)
            speed = paced("kick", each * count, count, slow=1.175, fast=0.925)
            action = Action("kick", side=("left", "right")[side], count=count, speed=speed)
            margin = int(0.3 * each * RATE)
            events.append(Event(action, max(group[0][0] - margin, 0), min(group[-1][1] + margin, len(s))))
    return events


def _airborne(height: np.ndarray, group: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretch in which a foot is off the floor, from before the first kick to behind the last."""
    a, b = group[0][0], group[-1][1]
    while a > 0 and height[a - 1] > 0.06:
        a -= 1
    while b < len(height) and height[b] > 0.06:
        b += 1
    return [(a, b)]


def _sinks(s: Signals, taken: np.ndarray) -> list[Event]:
    """Hips that go down and come up again: far back is a seat, else a squat."""
    depth = np.where(taken, 0.0, STANDING - s.hips)
    rows: list[list[tuple[int, int]]] = []
    seats: list[tuple[int, int]] = []
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
        events.append(Event(action, max(a - 6, 0), min(b + 6, len(s))))
    for group in rows:
        a, b = group[0][0], group[-1][1]
        level = 0.5 * float(np.percentile(depth[a:b], 95))
        peaks = [(i, j) for i, j in between(depth, level, 1.4 * level) if i < b and j > a]
        count = len(peaks)
        seconds = span(depth, peaks, level) / (count - 0.44) * count
        action = Action("squat", count=count, speed=paced("squat", seconds, count))
        events.append(Event(action, max(a - 5, 0), min(b + 5, len(s))))
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
    for group in _grouped([p for p in between(bend, 0.16, 0.3) if calm[p[0] : p[1]].mean() > 0.7], 30):
        level = 0.5 * max(float(bend[a:b].max()) for a, b in group)
        peaks = [(i, j) for i, j in between(bend, level, 1.4 * level) if i < group[-1][1] and j > group[0][0]]
        count = len(peaks)
        seconds = span(bend, peaks, level) / (count - 0.36) * count
        action = Action("bow", count=count, speed=paced("bow", seconds, count))
        events.append(Event(action, max(group[0][0] - 5, 0), min(group[-1][1] + 5, len(s))))
    return events
