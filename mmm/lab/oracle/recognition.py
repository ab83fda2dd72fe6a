"""From joints to what was done: the events of legs and arms, put together into segments."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from mmm.datasets.synthetic.program import Action, Segment
from mmm.errors import require
from mmm.lab.oracle.arms import arm_events
from mmm.lab.oracle.events import Event
from mmm.lab.oracle.gaits import curves, explain, moving
from mmm.lab.oracle.legs import leg_events
from mmm.lab.oracle.pace import gait_action
from mmm.lab.oracle.signals import RATE, Signals, measure
from mmm.motion.runs import runs

QUIET = 22  # frames without any action that count as standing


@dataclass(frozen=True)
class Recognised:
    """What was seen in a clip: segments in their order, in the words of `mmm.datasets.synthetic.Program`.

    `start` and `end` are frames at 20 per second, whatever the clip's own rate.
    """

    segments: tuple[Segment, ...]

    def __str__(self) -> str:
        return ", then ".join(
            " while ".join(_said(action) for action in actions_of(segment)) for segment in self.segments
        )


def actions_of(segment: Segment) -> tuple[Action, ...]:
    """The actions of a segment that one would name: standing is none where the arms do something."""
    arms = () if segment.arms is None else (segment.arms,)
    return arms if arms and segment.legs.name == "stand" else (segment.legs, *arms)


def _said(action: Action) -> str:
    words = [
        None if action.speed == "normal" else action.speed,
        action.name.replace("_", " "),
        action.side,
        action.direction,
        f"{action.count}x" if action.count else None,
    ]
    return " ".join(word for word in words if word)


def recognise(joints: Float[np.ndarray, "_t _j _xyz"], fps: float = 20.0) -> Recognised:
    """Which actions a clip shows, in their order, each with side, count, direction and speed.

    Nothing but the joints is looked at. Moving, turning or scaling the world changes nothing.

    Args:
        joints: (T, 22, 3) of HumanML3D's skeleton in the world, y up, metres, at least 0.6 seconds.
        fps: frames per second.
    Raises:
        ValueError: another shape, too few frames, numbers that are not finite, fps not above 0.
    """
    require(
        joints.ndim == 3 and joints.shape[1:] == (22, 3),
        f"the joints have shape {tuple(joints.shape)}; expected (frames, 22, 3), HumanML3D's skeleton.",
    )
    signals = measure(joints, fps)
    return Recognised(tuple(_segments(signals)))


def _segments(s: Signals) -> list[Segment]:
    legs = leg_events(s)
    arms = arm_events(s)
    legs = sorted(legs + _gaits(s, legs + _planted(s, arms)), key=lambda event: event.start)
    rows = [[event, None] for event in legs]
    alone = []
    for event in arms:
        shares = [event.overlap(row[0].start, row[0].end) for row in rows]
        home = int(np.argmax(shares)) if shares else -1
        if home < 0 or shares[home] < 0.5:
            alone.append(Segment(Action("stand"), event.action, event.start, event.end))
        elif not _own(rows[home][0], event) and (rows[home][1] is None or _longer(event, rows[home][1])):
            rows[home][1] = event
    found = [Segment(leg.action, _beside(leg, arm), leg.start, leg.end) for leg, arm in rows] + alone
    found = sorted(found, key=lambda segment: segment.start)
    return _with_pauses(found, len(s))


def _own(leg: Event, arm: Event) -> bool:
    """Whether the movement of the arms belongs to that of the legs: the swing of a jump, balance of a squat."""
    short = arm.end - arm.start < 0.6 * (leg.end - leg.start)
    if leg.action.name == "jump":
        return arm.action.name not in ("raise", "stretch") or short
    return leg.action.name in ("kick", "sit", "bow") or (
        leg.action.name == "turn" and arm.action.name == "look"
    )


def _beside(leg: Event, arm: Event | None) -> Action | None:
    """What the arms do beside the legs; a raised hand that shakes with every jump does not wave."""
    if arm is not None and leg.action.name == "jump" and arm.action.name == "wave":
        return Action("raise", side=arm.action.side)
    return arm.action if arm else None


def _longer(a: Event, b: Event) -> bool:
    return a.end - a.start > b.end - b.start


def _planted(s: Signals, arms: list[Event]) -> list[Event]:
    """Throws on the spot, with the time around them: the step forward and back belongs to the throw."""
    throws = [
        Event(e.action, max(e.start - 5, 0), min(e.end + 6, len(s))) for e in arms if e.action.name == "throw"
    ]
    return [e for e in throws if abs(float(s.forward[e.start : e.end].sum())) / RATE < 0.4]


def _gaits(s: Signals, legs: list[Event]) -> list[Event]:
    """Gaits in the time that the other events of the legs leave."""
    x = curves(s)
    free = np.ones(len(s), bool)
    for event in legs:
        free[event.start : event.end] = False
    found = []
    for first, last in runs(free, least=16):
        for start, end in moving(x, first, last):
            pieces = explain(x, start, end, start == 0, end == len(s))
            found += [Event(gait_action(s, p), p.start, p.end) for p in pieces if p.name != "stand"]
    return found


def _with_pauses(segments: list[Segment], frames: int) -> list[Segment]:
    """The segments, and standing where nothing happens for long enough."""
    found, before = [], 0
    for segment in [*segments, None]:
        until = segment.start if segment else frames
        if until - before >= QUIET or (segment is None and not found):
            found.append(Segment(Action("stand"), None, before, until))
        if segment:
            found.append(replace(segment, start=max(segment.start, 0), end=min(segment.end, frames)))
            before = max(before, segment.end)
    return found
