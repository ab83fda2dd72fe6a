"""From joints to actions: the events of legs and arms, put together into segments."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from mmm.datasets.synthetic.program import Action, Segment
from mmm.errors import require
from mmm.lab.oracle.arms import arm_events
from mmm.lab.oracle.events import Event, covered
from mmm.lab.oracle.gaits import curves, explain, gait_action, moving
from mmm.lab.oracle.legs import leg_events
from mmm.lab.oracle.signals import RATE, Signals, signals_of
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
            " while ".join(_described(action) for action in actions_of(segment)) for segment in self.segments
        )


def actions_of(segment: Segment) -> tuple[Action, ...]:
    """The actions of a segment that one would name: standing is none where the arms do something."""
    arms = () if segment.arms is None else (segment.arms,)
    return arms if arms and segment.legs.name == "stand" else (segment.legs, *arms)


def _described(action: Action) -> str:
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
    s = signals_of(joints, fps)
    arms, on_the_spot = arm_events(s), leg_events(s)
    gaits = _gaits(s, on_the_spot + _planted_throws(s, arms))
    legs = sorted(on_the_spot + gaits, key=lambda one: one.start)
    return Recognised(tuple(_with_pauses(_segments(legs, arms), len(s))))


def _gaits(s: Signals, legs: list[Event]) -> list[Event]:
    """Gaits in the time that the other events of the legs leave."""
    x = curves(s)
    events = []
    for first, last in runs(~covered(legs, len(s)), least=16):
        for start, end in moving(x, first, last):
            pieces = explain(x, start, end, start == 0, end == len(s))
            events += [Event(gait_action(s, p), p.start, p.end) for p in pieces if p.name != "stand"]
    return events


def _planted_throws(s: Signals, arms: list[Event]) -> list[Event]:
    """Throws on the spot, with the time around them: the step forward and back belongs to the throw."""
    throws = []
    for arm in arms:
        if arm.action.name == "throw":
            start, end = max(arm.start - 5, 0), min(arm.end + 6, len(s))
            if abs(float(s.forward[start:end].sum())) / RATE < 0.4:
                throws.append(Event(arm.action, start, end))
    return throws


def _segments(legs: list[Event], arms: list[Event]) -> list[Segment]:
    """Each event of the arms goes with the event of the legs that it overlaps most, or stands alone."""
    beside: list[Event | None] = [None] * len(legs)
    alone = []
    for arm in arms:
        overlaps = [arm.overlap(leg.start, leg.end) for leg in legs]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best < 0 or overlaps[best] < 0.5:
            alone.append(Segment(Action("stand"), arm.action, arm.start, arm.end))
        elif not _belongs_to(legs[best], arm) and (beside[best] is None or len(arm) > len(beside[best])):
            beside[best] = arm
    segments = [
        Segment(leg.action, _beside(leg, arm), leg.start, leg.end)
        for leg, arm in zip(legs, beside, strict=True)
    ]
    return sorted(segments + alone, key=lambda segment: segment.start)


def _belongs_to(leg: Event, arm: Event) -> bool:
    """Whether the movement of the arms is part of that of the legs: the swing of a jump, the balance of a kick."""
    if leg.action.name == "jump":
        return arm.action.name not in ("raise", "stretch") or len(arm) < 0.6 * len(leg)
    if leg.action.name == "turn":
        return arm.action.name == "look"
    return leg.action.name in ("kick", "sit", "bow")


def _beside(leg: Event, arm: Event | None) -> Action | None:
    """What the arms do beside the legs; a raised hand that shakes with every jump does not wave."""
    if arm is None:
        return None
    if leg.action.name == "jump" and arm.action.name == "wave":
        return Action("raise", side=arm.action.side)
    return arm.action


def _with_pauses(segments: list[Segment], frames: int) -> list[Segment]:
    """The segments, and standing where nothing happens for long enough."""
    rows, before = [], 0
    for segment in segments:
        if segment.start - before >= QUIET:
            rows.append(Segment(Action("stand"), None, before, segment.start))
        rows.append(replace(segment, start=max(segment.start, 0), end=min(segment.end, frames)))
        before = max(before, segment.end)
    if frames - before >= QUIET or not rows:
        rows.append(Segment(Action("stand"), None, before, frames))
    return rows
