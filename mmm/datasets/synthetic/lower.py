"""Actions of the legs. Each writes one segment, from `t0` to `t1` seconds, into a score.

Speeds and cadences of the gaits are in `GAIT`; how long an action takes is decided in `choreograph`.
"""

from __future__ import annotations

import numpy as np

from mmm.datasets.synthetic.body import LEFT, RIGHT
from mmm.datasets.synthetic.program import Action
from mmm.datasets.synthetic.score import Score, Step, hold, smooth

# speed → (metres per second low, high, seconds per step)
GAIT = {
    "forward": {"slow": (0.52, 0.66, 0.68), "normal": (0.98, 1.16, 0.53), "fast": (1.5, 1.68, 0.43)},
    "backward": {"slow": (0.34, 0.42, 0.72), "normal": (0.6, 0.74, 0.58), "fast": (0.95, 1.08, 0.46)},
    "side": {"slow": (0.24, 0.3, 0.62), "normal": (0.42, 0.5, 0.5), "fast": (0.66, 0.76, 0.4)},
    "run": {"slow": (1.75, 1.95, 0.37), "normal": (2.4, 2.65, 0.345), "fast": (3.1, 3.4, 0.315)},
    "march": {"slow": (0.36, 0.42, 0.72), "normal": (0.55, 0.65, 0.55), "fast": (0.78, 0.9, 0.42)},
}
PACE = {"slow": 1.5, "normal": 1.0, "fast": 0.68}  # of all other actions: factor on the time taken
LEVEL = {"small": 0, "normal": 1, "big": 2}
FLOWING = ("walk", "walk_curve", "walk_turn", "run")  # may follow each other without a stop


def flows(action: Action) -> bool:
    """Whether the action keeps going forward, so that another may take over in full stride."""
    return (
        action.name in FLOWING
        and action.direction not in ("backward",)
        and not (action.name == "walk" and action.direction in ("left", "right"))
    )


def _footwork(
    score: Score,
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
    if into and score.steps:
        first = max(s.off for s in score.steps) + tau
    first = max([first, *(s.land + 0.06 for s in score.steps if s.foot == score.next_foot)])
    count = max(2, round((last - first) / tau) + 1) if not onward else int((last - first) / tau) + 1
    if pairs:
        count += count % 2
    if not onward:
        tau = (last - first) / (count - 1)
    lifts = first + tau * np.arange(count)
    lifts[1:-1] += score.rng.normal(0, 0.012 * tau, max(count - 2, 0))
    half = max(tau - air / 2, 0.02)  # from landing to the middle of the stance
    for index, off in enumerate(lifts):
        at = off + air + half
        if pairs:  # side steps: both feet of a pair go to where the body is when the pair ends
            at = lifts[min(index | 1, count - 1)] + air + 0.05
        score.steps.append(Step(score.next_foot, off, off + air, at, gait=not pairs, **step))
        score.next_foot = 1 - score.next_foot
        score.beats.append((off + air + half - tau, len(score.beats)))  # mid-stance of the other foot


def _drive(
    score: Score, t0: float, t1: float, air: float, into: bool, onward: bool, ramp: float = 0.6
) -> np.ndarray:
    """Envelope of the speed on the path's grid: from rest to rest, or handed over in full stride."""
    start = t0 - ramp / 2 if into else t0 + 0.05
    end = t1 + ramp / 2 if onward else t1 - air / 2
    return hold(score.grid, start, end, ramp, ramp)


def _gait(score: Score, action: Action, t0: float, t1: float, into: bool, onward: bool) -> None:
    """Walking forward, backward, sideways, in a curve, with a turn; running; marching."""
    rng, time = score.rng, score.time
    direction = action.direction or "forward"
    run, march = action.name == "run", action.name == "march"
    side = action.name == "walk" and direction in ("left", "right")
    backward = direction == "backward"
    kind = action.name if run or march else "side" if side else "backward" if backward else "forward"
    low, high, tau = GAIT[kind][action.speed]
    speed, tau = rng.uniform(low, high), tau * score.style.tempo * rng.uniform(0.98, 1.02)
    air = tau * (1.28 if run else 0.92 if march else 0.8)
    envelope = _drive(score, t0, t1, air, into, onward, 0.8 if run else 0.6)
    body = np.interp(time, score.grid, envelope)
    if side:
        sign = 1.0 if direction == "left" else -1.0
        score.velocity[:, 1] += sign * speed * envelope
        score.next_foot = LEFT if sign > 0 else RIGHT
        step = dict(height=0.1, toe_off=0.35, heel_kick=0.45, strike=0.0)
    elif backward:
        score.velocity[:, 0] -= speed * envelope
        step = dict(height=0.1, toe_off=0.25, heel_kick=0.6, strike=-0.35)
        score.add("lean", 0.08 * body)
    elif run:
        score.velocity[:, 0] += speed * envelope
        step = dict(
            height=0.2 + 0.06 * speed, toe_off=1.0, heel_kick=1.35 + 0.1 * speed, strike=0.12, reach=0.06
        )
        score.add("lean", (0.06 + 0.04 * speed) * body)
        score.add("tilt", 0.06 * body)
        score.add("elbow", (1.35 - score.style.elbow) * body)
        score.add("bounce", -0.035 * body)
        score.add("crouch", 0.045 * body)
        score.add("swing", 0.25 * body)
    elif march:
        score.velocity[:, 0] += (speed if direction == "forward" else 0.0) * envelope
        step = dict(height=0.36, toe_off=0.5, heel_kick=0.5, strike=-0.1, reach=0.24)
        score.add("lift", 1.0 * body)
        score.add("lean", -0.05 * body)
        score.add("elbow", 0.5 * body)
        score.add("swing", 0.5 * body)
    else:
        share = (0.72, 1.0, 1.28)[LEVEL[action.size]]
        tau, air = tau * share, air * share  # same speed, shorter or longer steps
        score.velocity[:, 0] += speed * envelope
        step = dict(height=0.1, toe_off=0.75, heel_kick=0.95, strike=0.33)
        score.add("bounce", 0.012 * body)
        if action.speed == "slow":
            score.add("nod", 0.12 * body)
    if action.name in ("walk_curve", "walk_turn", "run") and action.angle:
        turn = np.radians(action.angle) * (1.0 if direction == "left" else -1.0)
        _turn(score, action, t0, t1, turn, envelope, into, onward)
    _footwork(score, t0, t1, tau, air, into, onward, pairs=side, **step)


def _turn(score: Score, action: Action, t0: float, t1: float, turn: float, envelope, into, onward) -> None:
    """Turn along the way: evenly in a curve, in the middle (and slower) where the walk has a turn."""
    if action.name == "walk_turn":
        middle, width = (t0 + t1) / 2, 0.75 + 0.35 * abs(turn)
        shape = hold(score.grid, middle - width / 2, middle + width / 2, width / 2, width / 2)
        score.velocity[:, 0] *= 1 - 0.4 * shape
    else:
        shape = envelope
    rate = turn * shape / (shape.sum() * (score.grid[1] - score.grid[0]))
    score.velocity[:, 2] += rate
    body = np.interp(score.time, score.grid, rate)
    score.add("gaze", np.clip(0.16 * body, -0.5, 0.5))
    score.add("side", np.clip(-0.05 * body, -0.1, 0.1))


def _turn_around(score: Score, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Turning in place: steps on the spot, the head first."""
    turn = np.radians(action.angle) * (1.0 if action.direction == "left" else -1.0)
    tau = 0.46 * {"slow": 1.35, "normal": 1.0, "fast": 0.75}[action.speed] * score.style.tempo
    air = 0.72 * tau
    shape = hold(score.grid, t0 + 0.1, t1 - air / 2, 0.5, 0.5)
    rate = turn * shape / (shape.sum() * (score.grid[1] - score.grid[0]))
    score.velocity[:, 2] += rate
    score.add("gaze", np.clip(0.35 * np.interp(score.time + 0.12, score.grid, rate), -0.6, 0.6))
    score.next_foot = LEFT if turn > 0 else RIGHT
    _footwork(score, t0, t1, tau, air, False, False, height=0.08, toe_off=0.35, heel_kick=0.4, strike=0.0)


def _stand(score: Score, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Standing: breathing, and the weight from one leg to the other."""
    envelope = hold(score.time, t0, t1, 0.5, 0.5)
    score.add("side", score.wander(0.03, 0.4) * envelope)
    score.add("crouch", (0.006 + score.wander(0.003)) * envelope)


def beats(t0: float, t1: float, count: int) -> list[tuple[float, float]]:
    """Start and end of each repetition."""
    edges = np.linspace(t0, t1, count + 1)
    return list(zip(edges[:-1], edges[1:], strict=True))


def _jump(score: Score, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Crouch, take off, fly by gravity, land softly; forward the path moves while in the air."""
    rise = (0.14, 0.26, 0.4)[LEVEL[action.size]] * score.rng.uniform(0.93, 1.07)
    length = (0.35, 0.6, 0.9)[LEVEL[action.size]] * score.rng.uniform(0.93, 1.07)
    time, flight = score.time, 2 * np.sqrt(2 * rise / 9.81)
    for start, end in beats(t0, t1, action.count or 1):
        spare = end - start - flight
        off = start + 0.52 * spare
        land = off + flight
        u = (time - off) / flight
        air = (u > 0) & (u < 1)
        score.add(
            "rise",
            np.where(air, 4 * rise * u * (1 - u), 0.0)
            + 0.05 * hold(time, off - 0.16, land + 0.16, 0.16, 0.16),
        )
        dip = 0.16 + 0.25 * rise
        down = hold(time, start + 0.02, off + 0.01, off - start - 0.17, 0.16)
        soft = hold(time, land - 0.02, end, 0.16, end - land - 0.14)
        score.add("crouch", dip * down + dip * 0.85 * soft)
        score.add("back", (0.1 * down + 0.07 * soft))
        score.add("lean", 0.32 * down + 0.28 * soft)
        score.add("tilt", 0.2 * down + 0.18 * soft)
        fly = hold(time, off - 0.1, land + 0.1, 0.25, 0.3)
        score.add("arms_forward", -0.7 * down + 1.7 * fly)
        score.add("elbow", 0.3 * fly)
        if action.direction == "forward":
            push = hold(score.grid, off - 0.12, land + 0.14, 0.2, 0.22)
            score.velocity[:, 0] += length * push / (push.sum() * (score.grid[1] - score.grid[0]))
        for foot in (LEFT, RIGHT):
            score.steps.append(
                Step(
                    foot,
                    off,
                    land,
                    land + 0.4,
                    0.0,
                    toe_off=0.75,
                    strike=-0.3,
                    arc=_flight(rise, action.direction),
                )
            )


def _flight(rise: float, direction: str | None) -> tuple[tuple[float, float, float, float], ...]:
    """Feet of a jump: they rise with the body and hang toes down; forward they are thrown ahead."""
    shares = (0.15, 0.35, 0.5, 0.65, 0.85)
    tuck = 1.08 if direction == "forward" else 1.0
    pitch = (-0.8, -0.6, -0.45, -0.3, -0.3)
    return tuple((u, 0.0, tuck * 4 * rise * u * (1 - u), p) for u, p in zip(shares, pitch, strict=True))


def _squat(score: Score, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Knees bend, hips go down and back, arms come forward for balance."""
    depth = (0.24, 0.38, 0.5)[LEVEL[action.size]] * score.rng.uniform(0.95, 1.05)
    for start, end in beats(t0, t1, action.count or 1):
        third = (end - start) * 0.44
        down = hold(score.time, start, end, third, third)
        score.add("crouch", depth * down)
        score.add("back", (0.06 + 0.28 * depth) * down)
        score.add("tilt", (0.2 + 0.5 * depth) * down)
        score.add("lean", 0.5 * depth * down)
        score.add("nod", -0.25 * down)
        score.add("arms_forward", 1.35 * down)


def _bow(score: Score, action: Action, t0: float, t1: float, *_: bool) -> None:
    """The trunk bends forward and stays a moment; the hips go back so that it does not fall."""
    depth = (0.55, 0.95, 1.4)[LEVEL[action.size]] * score.rng.uniform(0.94, 1.06)
    for start, end in beats(t0, t1, action.count or 1):
        part = (end - start) * 0.36
        down = hold(score.time, start, end, part, part)
        score.add("tilt", 0.55 * depth * down)
        score.add("lean", 0.5 * depth * down)
        score.add("back", 0.13 * depth * down)
        score.add("nod", 0.25 * down)
        score.add("arms_forward", 0.12 * depth * down)
        score.add("crouch", 0.02 * down)


def _sit(score: Score, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Sit down on a seat of 45 cm, stay, get up: lean forward to move, upright while seated."""
    time, length = score.time, t1 - t0
    move = min(1.25 * {"slow": 1.3, "normal": 1.0, "fast": 0.72}[action.speed], 0.4 * length)
    seated = hold(time, t0, t1, move, move)
    score.add("crouch", 0.43 * score.rng.uniform(0.97, 1.03) * seated)
    score.add("back", 0.36 * seated)
    bend = hold(time, t0, t0 + 1.2 * move, 0.6 * move, 0.6 * move) + hold(
        time, t1 - 1.2 * move, t1, 0.6 * move, 0.6 * move
    )
    score.add("tilt", 0.35 * bend)
    score.add("lean", 0.4 * bend)
    score.add("nod", -0.2 * bend)
    for side in (LEFT, RIGHT):  # hands on the thighs
        score.arm(side, smooth(1.4 * seated - 0.2), abduct=0.1, elevate=0.42, elbow=0.85, twist=-0.45)


def _kick(score: Score, action: Action, t0: float, t1: float, *_: bool) -> None:
    """Knee up, foot out, knee back, foot down; the trunk leans away and the other arm comes forward."""
    foot = LEFT if action.side == "left" else RIGHT
    up = (0.3, 0.6, 0.92)[LEVEL[action.size]] * score.rng.uniform(0.95, 1.05)
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
        score.steps.append(Step(foot, off, land, land, toe_off=0.55, strike=0.0, arc=arc))
        whole = hold(score.time, start, end, 0.3 * length, 0.3 * length)
        out_now = hold(score.time, off + 0.22 * length, land, 0.16 * length, 0.3 * length)
        score.add("sway", 0.5 * whole)
        score.add("tilt", -(0.12 + 0.12 * up) * out_now)
        score.add("lean", 0.1 * out_now)
        score.add("crouch", 0.03 * whole)
        score.add("arms_out", 0.35 * whole)
        score.add("elbow", 0.6 * whole)
        score.add("swing", -0.35 * whole)


LEGS = dict.fromkeys(("walk", "walk_curve", "walk_turn", "run", "march"), _gait) | {
    "stand": _stand, "turn": _turn_around, "jump": _jump, "squat": _squat, "bow": _bow, "sit": _sit,
    "kick": _kick,
}  # fmt: skip
