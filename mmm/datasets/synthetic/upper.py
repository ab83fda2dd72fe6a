"""Actions of the arms, the trunk and the head, added to the actions of the legs.

Each writes one segment, from `t0` to `t1` seconds, into a plan. `standing` means that the legs only stand, so that
the whole body may take part.
"""

from __future__ import annotations

import numpy as np

from mmm.datasets.synthetic.body import LEFT, REST, RIGHT, arm_joints
from mmm.datasets.synthetic.lower import LEVEL, beats
from mmm.datasets.synthetic.plan import Plan, Step, hold
from mmm.datasets.synthetic.program import Action

SIGN = {"left": 1.0, "right": -1.0}


def _sides(action: Action) -> tuple[int, ...]:
    return {"left": (LEFT,), "right": (RIGHT,), "both": (LEFT, RIGHT)}[action.side or "both"]


def _cycles(time: np.ndarray, start: float, end: float, count: int) -> np.ndarray:
    """Phase in turns: 0 until `start`, `count` from `end` on."""
    return count * np.clip((time - start) / (end - start), 0.0, 1.0)


def _wave(plan: Plan, action: Action, t0: float, t1: float, standing: bool) -> None:
    """The hand beside or above the head; the forearm swings `count` times from side to side."""
    rng, time = plan.rng, plan.time
    reach = (0.42, 0.55, 0.68)[LEVEL[action.size]]
    high = rng.uniform(1.35, 1.75) if action.size != "big" else rng.uniform(1.9, 2.2)
    rise = min(0.55, 0.25 * (t1 - t0))
    weight = hold(time, t0, t1, rise, rise)
    phase = _cycles(time, t0 + 0.75 * rise, t1 - 0.75 * rise, action.count or 3)
    for side in _sides(action):
        swing = reach * np.sin(2 * np.pi * phase)
        plan.arm(
            side,
            weight,
            azimuth=rng.uniform(1.15, 1.4),
            elevate=high - 0.12 * swing,
            elbow=np.pi - high - 0.1 - swing,
            twist=rng.uniform(-0.1, 0.1),
        )
    if action.side != "both" and standing:
        sign = SIGN[action.side]
        plan.add(side=-0.05 * sign * weight, twist=0.06 * sign * weight)


def _raise(plan: Plan, action: Action, t0: float, t1: float, standing: bool) -> None:
    """The arm goes up, in front or at the side, stays, and comes down."""
    rng, time = plan.rng, plan.time
    top = rng.uniform(2.65, 2.95)
    rise = min({"slow": 1.2, "normal": 0.75, "fast": 0.45}[action.speed], 0.4 * (t1 - t0))
    weight = hold(time, t0, t1, rise, rise)
    azimuth = 1.45 if rng.random() < 0.4 else 0.12
    for side in _sides(action):
        plan.arm(side, weight, azimuth=azimuth, elevate=top, elbow=rng.uniform(0.08, 0.3), abduct=0.0)
    plan.add(lean=-0.05 * weight)
    if action.side != "both":
        plan.add(side=-0.05 * SIGN[action.side] * weight)


def _closing_twist(elevate: float, azimuth: float, elbow: float) -> float:
    """The forearm's twist with which the two wrists meet in front of the chest."""
    shoulder = REST[13] + REST[16]
    twists = np.linspace(-1.6, 0.0, 81)
    arm = np.stack([np.broadcast_to(v, twists.shape) for v in (0.0, azimuth, elevate, 0.0, elbow)], -1).copy()
    arm[:, 3] = twists
    _, wrist = arm_joints(np.tile(shoulder, (81, 1)), np.tile(np.eye(3), (81, 1, 1)), arm, LEFT)
    return float(twists[np.abs(wrist[:, 0] - 0.035).argmin()])


def _clap(plan: Plan, action: Action, t0: float, t1: float, standing: bool) -> None:
    """Both hands in front of the chest, apart and together `count` times."""
    rng, time = plan.rng, plan.time
    elevate, azimuth, elbow = rng.uniform(0.75, 1.0), rng.uniform(0.2, 0.4), rng.uniform(1.1, 1.3)
    closed = _closing_twist(elevate, azimuth, elbow)
    wide = rng.uniform(0.6, 0.85)
    rise = min(0.45, 0.2 * (t1 - t0))
    weight = hold(time, t0, t1, rise, rise)
    phase = _cycles(time, t0 + 0.8 * rise, t1 - 0.8 * rise, action.count or 3)
    opened = np.where(phase > 0, np.sin(np.pi * phase) ** 2, 0.0)
    opened = np.maximum(opened, 0.8 * (phase <= 0))  # hands come up apart
    opened = np.where(phase <= 0.5, np.maximum(opened, 0.8), opened)
    for side in (LEFT, RIGHT):
        plan.arm(
            side,
            weight,
            azimuth=azimuth + 0.35 * wide * opened,
            elevate=elevate,
            elbow=elbow,
            twist=closed + wide * opened,
        )
    plan.add(nod=0.08 * weight)


def _punch(plan: Plan, action: Action, t0: float, t1: float, standing: bool) -> None:
    """Fists in front of the chin; `count` quick straight blows, alternating if both arms punch."""
    rng, time = plan.rng, plan.time
    rise = min(0.45, 0.2 * (t1 - t0))
    weight = hold(time, t0, t1, rise, rise)
    sides, blows = _sides(action), {LEFT: np.zeros_like(time), RIGHT: np.zeros_like(time)}
    for index, (start, end) in enumerate(beats(t0 + 0.6 * rise, t1 - 0.6 * rise, action.count or 1)):
        length = min(end - start, 0.75)
        begin = (start + end - length) / 2
        blows[sides[index % len(sides)]] += hold(time, begin, begin + length, 0.4 * length, 0.5 * length)
    height = rng.uniform(1.45, 1.6)
    for side in (LEFT, RIGHT):
        blow = np.clip(blows[side], 0.0, 1.0)
        plan.arm(
            side,
            weight,
            azimuth=0.15 - 0.3 * blow,
            elevate=0.45 + (height - 0.45) * blow,
            elbow=2.25 - 2.1 * blow,
            twist=-0.3 + 0.3 * blow,
        )
    # the shoulder follows the blow: a left punch turns the chest to the right
    plan.add(twist=0.5 * (blows[RIGHT] - blows[LEFT]) * weight)
    plan.add(lean=0.1 * (blows[RIGHT] + blows[LEFT]) * weight)
    if standing:
        plan.add(crouch=0.05 * weight, back=-0.03 * weight)


def _throw(plan: Plan, action: Action, t0: float, t1: float, standing: bool) -> None:
    """Raise the arm behind the head, then throw it forward and across, with a step."""
    time, sign = plan.time, SIGN[action.side]
    side = LEFT if action.side == "left" else RIGHT
    power = plan.rng.uniform(0.9, 1.15)
    for start, end in beats(t0, t1, action.count or 1):
        length = end - start
        weight = hold(time, start, end, 0.26 * length, 0.34 * length)
        release = start + 0.5 * length
        fling = _rise(time, release - 0.14, 0.3)
        follow = _rise(time, release + 0.1, 0.4)
        plan.arm(
            side,
            weight,
            azimuth=1.75 - 1.7 * fling - 0.35 * follow,
            elevate=1.75 - 0.1 * fling - 0.95 * follow,
            elbow=1.75 - 1.5 * fling + 0.3 * follow,
            twist=-0.2 * follow,
        )
        # the other arm points in the direction of the throw
        plan.arm(1 - side, weight * (1 - fling), azimuth=0.1, elevate=1.3, elbow=0.35)
        plan.add(twist=sign * power * weight * (0.6 - 1.1 * fling))
        plan.add(lean=weight * (-0.16 + 0.45 * fling) * power, side=weight * sign * 0.08 * (1 - fling))
        if standing:
            for off, ahead in ((release - 0.38, 0.24 * power), (end - 0.5, 0.0)):
                step = dict(height=0.12, toe_off=0.4, heel_kick=0.3, strike=0.1, ahead=ahead)
                plan.steps.append(Step(1 - side, off, off + 0.32, off + 0.32, **step))
            plan.add(back=-0.11 * power * hold(time, release - 0.3, end - 0.1, 0.4, 0.5))


def _rise(time: np.ndarray, start: float, length: float) -> np.ndarray:
    return hold(time, start, 1e6, length, 1.0)


def _stretch(plan: Plan, action: Action, t0: float, t1: float, standing: bool) -> None:
    """Both arms high, the trunk arched, then leaning to a side if the action has a direction."""
    time = plan.time
    rise = min(1.0 if action.speed != "fast" else 0.7, 0.32 * (t1 - t0))
    weight = hold(time, t0, t1, rise, rise)
    for side in (LEFT, RIGHT):
        plan.arm(side, weight, azimuth=0.75, elevate=2.85, elbow=0.45, twist=-0.9, abduct=0.0)
    plan.add(lean=-0.16 * weight, nod=-0.2 * weight)
    if standing:
        plan.add(rise=0.008 * weight)
    sides = {"left": (-1.0,), "right": (1.0,)}.get(action.direction or "up", ())
    lean = plan.rng.uniform(0.5, 0.65)
    for (start, end), sign in zip(
        beats(t0 + 0.6 * rise, t1 - 0.6 * rise, max(len(sides), 1)), sides, strict=False
    ):
        part = 0.42 * (end - start)
        plan.add(side=sign * lean * hold(time, start, end, part, part))


def _look(plan: Plan, action: Action, t0: float, t1: float, standing: bool) -> None:
    """The head turns to one side, then to the other, `count` times; the chest follows a little."""
    time, sign = plan.time, SIGN[action.direction or "left"]
    count = action.count or 1
    far = plan.rng.uniform(0.9, 1.1)
    turn = np.zeros_like(time)
    for start, end in beats(t0, t1, count):
        half = (start + end) / 2
        part = 0.4 * (half - start)
        cross = 0.5 * part
        turn += hold(time, start, half + cross, part, 2 * cross) - hold(
            time, half - cross, end, 2 * cross, part
        )
    plan.add(gaze=sign * far * turn, twist=sign * (0.75 if standing else 0.35) * far * turn)
    plan.add(nod=0.15 * np.abs(turn))


ARMS = {
    "wave": _wave, "raise": _raise, "clap": _clap, "punch": _punch, "throw": _throw, "stretch": _stretch,
    "look": _look,
}  # fmt: skip
