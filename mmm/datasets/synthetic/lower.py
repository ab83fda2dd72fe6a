"""Actions of the legs. Each writes one segment, from `t0` to `t1` seconds, into a plan.

Speeds and cadences of the gaits are in `GAIT`; how long an action takes is decided in `choreograph`.
"""

from __future__ import annotations

import numpy as np

from mmm.datasets.synthetic.body import LEFT, RIGHT
from mmm.datasets.synthetic.plan import Plan, Step, hold, smooth
from mmm.datasets.synthetic.program import Action

# speed: (metres per second low, high, seconds per step)
GAIT = {
    "forward": {"slow": (0.52, 0.66, 0.68), "normal": (0.98, 1.16, 0.53), "fast": (1.5, 1.68, 0.43)},
    "backward": {"slow": (0.34, 0.42, 0.72), "normal": (0.6, 0.74, 0.58), "fast": (0.95, 1.08, 0.46)},
    "side": {"slow": (0.24, 0.3, 0.62), "normal": (0.42, 0.5, 0.5), "fast": (0.66, 0.76, 0.4)},
    "run": {"slow": (1.75, 1.95, 0.37), "normal": (2.4, 2.65, 0.345), "fast": (3.1, 3.4, 0.315)},
    "march": {"slow": (0.36, 0.42, 0.72), "normal": (0.55, 0.65, 0.55), "fast": (0.78, 0.9, 0.42)},
}
PACE = {"slow": 1.5, "normal": 1.0, "fast": 0.68}  # of all other actions: factor on their duration
LEVEL = {"small": 0, "normal": 1, "big": 2}
FLOWING = ("walk", "walk_curve", "walk_turn", "run")  # may follow each other without a stop


def flows(action: Action) -> bool:
    """Whether the action keeps going forward, so that the next may follow without a stop."""
    sideways = action.name == "walk" and action.direction in ("left", "right")
    return action.name in FLOWING and action.direction != "backward" and not sideways


def _footwork(
    plan: Plan,
    t0: float,
    t1: float,
    tau: float,
    air: float,
    into: bool,
    onward: bool,
    pairs: bool = False,
    **step,
) -> None:
    """Alternate steps every `tau` seconds, each `air` seconds long; settle at the end unless `onward`."""
    last = t1 - 1e-6 if onward else t1 - air - 0.06
    first = t0 + (0.02 if not into else 0.0)
    if into and plan.steps:
        first = max(s.off for s in plan.steps) + tau
    first = max([first, *(s.land + 0.06 for s in plan.steps if s.foot == plan.next_foot)])
    count = max(2, round((last - first) / tau) + 1) if not onward else int((last - first) / tau) + 1
    if pairs:
        count += count % 2
    if not onward:
        tau = (last - first) / (count - 1)
    lifts = first + tau * np.arange(count)
    lifts[1:-1] += plan.rng.normal(0, 0.012 * tau, max(count - 2, 0))
    half = max(tau - air / 2, 0.02)  # from landing to the middle of the stance
    for index, off in enumerate(lifts):
        at = off + air + half
        if pairs:  # side steps: both feet of a pair go to where the body is when the pair ends
            at = lifts[min(index | 1, count - 1)] + air + 0.05
        plan.steps.append(Step(plan.next_foot, off, off + air, at, gait=not pairs, **step))
        plan.next_foot = 1 - plan.next_foot
        plan.beats.append((off + air + half - tau, len(plan.beats)))  # mid-stance of the other foot


def _drive(
    plan: Plan, t0: float, t1: float, air: float, into: bool, onward: bool, ramp: float = 0.6
) -> np.ndarray:
    """Envelope of the speed on the path's grid, from rest to rest; no rest where a flowing action adjoins."""
    start = t0 - ramp / 2 if into else t0 + 0.05
    end = t1 + ramp / 2 if onward else t1 - air / 2
    return hold(plan.grid, start, end, ramp, ramp)


def _gait(plan: Plan, action: Action, t0: float, t1: float, into: bool, onward: bool) -> None:
    """Walking forward, backward, sideways, in a curve, with a turn; running; marching."""
    rng, time = plan.rng, plan.time
    direction = action.direction or "forward"
    run, march = action.name == "run", action.name == "march"
    side = action.name == "walk" and direction in ("left", "right")
    backward = direction == "backward"
    kind = action.name if run or march else "side" if side else "backward" if backward else "forward"
    low, high, tau = GAIT[kind][action.speed]
    speed, tau = rng.uniform(low, high), tau * plan.style.tempo * rng.uniform(0.98, 1.02)
    air = tau * (1.28 if run else 0.92 if march else 0.8)
    envelope = _drive(plan, t0, t1, air, into, onward, 0.8 if run else 0.6)
    body = np.interp(time, plan.grid, envelope)
    if side:
        sign = 1.0 if direction == "left" else -1.0
        plan.velocity[:, 1] += sign * speed * envelope
        plan.next_foot = LEFT if sign > 0 else RIGHT
        step = dict(height=0.1, toe_off=0.35, heel_kick=0.45, strike=0.0)
    elif backward:
        plan.velocity[:, 0] -= speed * envelope
        step = dict(height=0.1, toe_off=0.25, heel_kick=0.6, strike=-0.35)
        plan.add(lean=0.08 * body)
    elif run:
        plan.velocity[:, 0] += speed * envelope
        height, heel_kick = 0.2 + 0.06 * speed, 1.35 + 0.1 * speed
        step = dict(height=height, toe_off=1.0, heel_kick=heel_kick, strike=0.12, reach=0.06)
        plan.add(lean=(0.06 + 0.04 * speed) * body, tilt=0.06 * body, elbow=(1.35 - plan.style.elbow) * body)
        plan.add(bounce=-0.035 * body, crouch=0.045 * body, swing=0.25 * body)
    elif march:
        plan.velocity[:, 0] += (speed if direction == "forward" else 0.0) * envelope
        step = dict(height=0.36, toe_off=0.5, heel_kick=0.5, strike=-0.1, reach=0.24)
        plan.add(lift=1.0 * body, lean=-0.05 * body, elbow=0.5 * body, swing=0.5 * body)
    else:
        factor = (0.72, 1.0, 1.28)[LEVEL[action.size]]
        tau, air = tau * factor, air * factor  # same speed, shorter or longer steps
        plan.velocity[:, 0] += speed * envelope
        step = dict(height=0.1, toe_off=0.75, heel_kick=0.95, strike=0.33)
        plan.add(bounce=0.012 * body)
        if action.speed == "slow":
            plan.add(nod=0.12 * body)
    if action.name in ("walk_curve", "walk_turn", "run") and action.angle:
        turn = np.radians(action.angle) * (1.0 if direction == "left" else -1.0)
        _turn(plan, action, t0, t1, turn, envelope, into, onward)
    _footwork(plan, t0, t1, tau, air, into, onward, pairs=side, **step)


def _turn(plan: Plan, action: Action, t0: float, t1: float, turn: float, envelope, into, onward) -> None:
    """Turn while walking: evenly in a curve, or slowly in the middle of a walk with a turn."""
    if action.name == "walk_turn":
        middle, width = (t0 + t1) / 2, 0.75 + 0.35 * abs(turn)
        shape = hold(plan.grid, middle - width / 2, middle + width / 2, width / 2, width / 2)
        plan.velocity[:, 0] *= 1 - 0.4 * shape
    else:
        shape = envelope
    rate = turn * shape / (shape.sum() * (plan.grid[1] - plan.grid[0]))
    plan.velocity[:, 2] += rate
    body = np.interp(plan.time, plan.grid, rate)
    plan.add(gaze=np.clip(0.16 * body, -0.5, 0.5), side=np.clip(-0.05 * body, -0.1, 0.1))


def _turn_around(plan: Plan, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Turning in place: steps on the spot, the head first."""
    turn = np.radians(action.angle) * (1.0 if action.direction == "left" else -1.0)
    tau = 0.46 * {"slow": 1.35, "normal": 1.0, "fast": 0.75}[action.speed] * plan.style.tempo
    air = 0.72 * tau
    shape = hold(plan.grid, t0 + 0.1, t1 - air / 2, 0.5, 0.5)
    rate = turn * shape / (shape.sum() * (plan.grid[1] - plan.grid[0]))
    plan.velocity[:, 2] += rate
    plan.add(gaze=np.clip(0.35 * np.interp(plan.time + 0.12, plan.grid, rate), -0.6, 0.6))
    plan.next_foot = LEFT if turn > 0 else RIGHT
    _footwork(plan, t0, t1, tau, air, False, False, height=0.08, toe_off=0.35, heel_kick=0.4, strike=0.0)


def _stand(plan: Plan, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Standing: breathing, and the weight from one leg to the other."""
    envelope = hold(plan.time, t0, t1, 0.5, 0.5)
    plan.add(side=plan.wander(0.03, 0.4) * envelope, crouch=(0.006 + plan.wander(0.003)) * envelope)


def beats(t0: float, t1: float, count: int) -> list[tuple[float, float]]:
    """Start and end of each repetition."""
    edges = np.linspace(t0, t1, count + 1)
    return list(zip(edges[:-1], edges[1:], strict=True))


def _jump(plan: Plan, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Crouch, take off, fly by gravity, land softly; in a jump forward the path moves during the flight."""
    rise = (0.14, 0.26, 0.4)[LEVEL[action.size]] * plan.rng.uniform(0.93, 1.07)
    length = (0.35, 0.6, 0.9)[LEVEL[action.size]] * plan.rng.uniform(0.93, 1.07)
    time, flight = plan.time, 2 * np.sqrt(2 * rise / 9.81)
    for start, end in beats(t0, t1, action.count or 1):
        spare = end - start - flight
        off = start + 0.52 * spare
        land = off + flight
        u = (time - off) / flight
        air = (u > 0) & (u < 1)
        tiptoe = 0.05 * hold(time, off - 0.16, land + 0.16, 0.16, 0.16)
        plan.add(rise=np.where(air, 4 * rise * u * (1 - u), 0.0) + tiptoe)
        dip = 0.16 + 0.25 * rise
        down = hold(time, start + 0.02, off + 0.01, off - start - 0.17, 0.16)
        soft = hold(time, land - 0.02, end, 0.16, end - land - 0.14)
        plan.add(crouch=dip * down + dip * 0.85 * soft, back=0.1 * down + 0.07 * soft)
        plan.add(lean=0.32 * down + 0.28 * soft, tilt=0.2 * down + 0.18 * soft)
        fly = hold(time, off - 0.1, land + 0.1, 0.25, 0.3)
        plan.add(arms_forward=-0.7 * down + 1.7 * fly, elbow=0.3 * fly)
        if action.direction == "forward":
            push = hold(plan.grid, off - 0.12, land + 0.14, 0.2, 0.22)
            plan.velocity[:, 0] += length * push / (push.sum() * (plan.grid[1] - plan.grid[0]))
        arc = _flight(rise, action.direction)
        for foot in (LEFT, RIGHT):
            plan.steps.append(Step(foot, off, land, land + 0.4, 0.0, toe_off=0.75, strike=-0.3, arc=arc))


def _flight(rise: float, direction: str | None) -> tuple[tuple[float, float, float, float], ...]:
    """Arc of the feet in a jump: they rise with the body, toes down."""
    fractions = (0.15, 0.35, 0.5, 0.65, 0.85)
    tuck = 1.08 if direction == "forward" else 1.0
    pitch = (-0.8, -0.6, -0.45, -0.3, -0.3)
    return tuple((u, 0.0, tuck * 4 * rise * u * (1 - u), p) for u, p in zip(fractions, pitch, strict=True))


def _squat(plan: Plan, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Knees bend, hips go down and back, arms come forward for balance."""
    depth = (0.24, 0.38, 0.5)[LEVEL[action.size]] * plan.rng.uniform(0.95, 1.05)
    for start, end in beats(t0, t1, action.count or 1):
        third = (end - start) * 0.44
        down = hold(plan.time, start, end, third, third)
        plan.add(crouch=depth * down, back=(0.06 + 0.28 * depth) * down, tilt=(0.2 + 0.5 * depth) * down)
        plan.add(lean=0.5 * depth * down, nod=-0.25 * down, arms_forward=1.35 * down)


def _bow(plan: Plan, action: Action, t0: float, t1: float, *_: bool) -> None:
    """The trunk bends forward and stays a moment; the hips go back for balance."""
    depth = (0.55, 0.95, 1.4)[LEVEL[action.size]] * plan.rng.uniform(0.94, 1.06)
    for start, end in beats(t0, t1, action.count or 1):
        part = (end - start) * 0.36
        down = hold(plan.time, start, end, part, part)
        plan.add(tilt=0.55 * depth * down, lean=0.5 * depth * down, back=0.13 * depth * down, nod=0.25 * down)
        plan.add(arms_forward=0.12 * depth * down, crouch=0.02 * down)


def _sit(plan: Plan, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Sit down on a seat of 45 cm, stay, get up: lean forward to move, upright while seated."""
    time, length = plan.time, t1 - t0
    move = min(1.25 * {"slow": 1.3, "normal": 1.0, "fast": 0.72}[action.speed], 0.4 * length)
    seated = hold(time, t0, t1, move, move)
    plan.add(crouch=0.43 * plan.rng.uniform(0.97, 1.03) * seated, back=0.36 * seated)
    down = hold(time, t0, t0 + 1.2 * move, 0.6 * move, 0.6 * move)
    bend = down + hold(time, t1 - 1.2 * move, t1, 0.6 * move, 0.6 * move)
    plan.add(tilt=0.35 * bend, lean=0.4 * bend, nod=-0.2 * bend)
    for side in (LEFT, RIGHT):  # hands on the thighs
        plan.arm(side, smooth(1.4 * seated - 0.2), abduct=0.1, elevate=0.42, elbow=0.85, twist=-0.45)


def _kick(plan: Plan, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Knee up, foot out, knee back, foot down; the trunk leans away and the other arm comes forward."""
    foot = LEFT if action.side == "left" else RIGHT
    up = (0.3, 0.6, 0.92)[LEVEL[action.size]] * plan.rng.uniform(0.95, 1.05)
    out = (0.62, 0.78, 0.84)[LEVEL[action.size]]
    for start, end in beats(t0, t1, action.count or 1):
        length = end - start
        off, land = start + 0.2 * length, end - 0.12 * length
        arc = (
            (0.25, -0.05, 0.22 + 0.12 * up, -0.9),
            (0.5, out, up, -0.35),
            (0.58, out, up * 1.01, -0.3),
            (0.8, 0.1, 0.16 + 0.1 * up, -0.6),
        )
        plan.steps.append(Step(foot, off, land, land, toe_off=0.55, strike=0.0, arc=arc))
        whole = hold(plan.time, start, end, 0.3 * length, 0.3 * length)
        out_now = hold(plan.time, off + 0.22 * length, land, 0.16 * length, 0.3 * length)
        plan.add(sway=0.5 * whole, tilt=-(0.12 + 0.12 * up) * out_now, lean=0.1 * out_now)
        plan.add(crouch=0.03 * whole, arms_out=0.35 * whole, elbow=0.6 * whole, swing=-0.35 * whole)


LEGS = dict.fromkeys(("walk", "walk_curve", "walk_turn", "run", "march"), _gait) | {
    "stand": _stand, "turn": _turn_around, "jump": _jump, "squat": _squat, "bow": _bow, "sit": _sit,
    "kick": _kick,
}  # fmt: skip
