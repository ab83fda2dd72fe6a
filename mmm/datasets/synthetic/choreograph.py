"""Draw programs at random and turn them into motion.

`draw_program` chooses the actions and how long they take; `dance` turns a program into joints. The program alone
(with its seed) decides every number of the clip.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from mmm.datasets.synthetic.lower import LEGS, PACE, flows
from mmm.datasets.synthetic.plan import FPS, Plan
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.datasets.synthetic.upper import ARMS

MIN_FRAMES, MAX_FRAMES = 40, 196

# Weights of the actions: walking is the most frequent, and the base of most parallel programs.
LEG_WEIGHTS = {
    "walk": 5, "walk_curve": 2, "walk_turn": 2, "run": 2.5, "march": 2, "turn": 1.5, "jump": 3, "squat": 1.7,
    "bow": 1.6, "sit": 1.6, "kick": 2, "stand": 13,
}  # fmt: skip
ARM_WEIGHTS = {
    "wave": 2.2, "raise": 2.2, "clap": 1.5, "punch": 1.7, "throw": 1.5, "stretch": 1.3, "look": 1.3,
}  # fmt: skip
# The actions of the arms that fit to an action of the legs.
MEANWHILE = {
    "walk": ("wave", "raise", "clap", "punch", "look", "stretch"),
    "walk_curve": ("wave", "raise", "clap", "look"),
    "walk_turn": ("wave", "raise", "clap"),
    "run": ("wave", "raise", "clap"),
    "march": ("wave", "raise", "clap", "punch"),
    "turn": ("wave", "raise", "clap"),
    "squat": ("raise", "clap", "punch"),
    "jump": ("raise",),
}

# Held out of train, val and test; only in test_compositional. Both sides are held out: mirrored training clips would
# show the other side.
HELD_OUT_PARALLEL = frozenset(
    {("walk", "wave"), ("run", "raise"), ("march", "clap"), ("squat", "punch"), ("turn", "raise")}
)
HELD_OUT_THEN = frozenset({
    ("squat", "wave"), ("jump", "clap"), ("kick", "bow"), ("run", "sit"), ("walk", "throw"), ("punch", "kick"),
    ("bow", "walk"), ("raise", "jump"), ("march", "squat"), ("stretch", "run"), ("sit", "turn"), ("throw", "look"),
})  # fmt: skip


def held_out(program: Program) -> bool:
    """Whether the program has a combination that training must not see."""
    return bool(program.parallels() & HELD_OUT_PARALLEL or program.successions() & HELD_OUT_THEN)


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    values = np.array([weights[n] for n in names], dtype=float)
    return names[rng.choice(len(names), p=values / values.sum())]


def _speed(rng: np.random.Generator) -> str:
    return str(rng.choice(["slow", "normal", "fast"], p=[0.25, 0.5, 0.25]))


def _size(rng: np.random.Generator) -> str:
    return str(rng.choice(["small", "normal", "big"], p=[0.22, 0.56, 0.22]))


def draw_legs(name: str, rng: np.random.Generator) -> Action:
    """An action of the legs with its parameters."""
    side = str(rng.choice(["left", "right"]))
    if name == "stand":
        return Action("stand")
    if name == "walk":
        direction = str(rng.choice(["forward", "backward", "left", "right"], p=[0.46, 0.22, 0.16, 0.16]))
        if direction == "forward" and rng.random() < 0.3:  # captions name step length at one speed only
            return Action("walk", size=str(rng.choice(["small", "big"])), direction=direction)
        return Action("walk", speed=_speed(rng), direction=direction)
    if name == "walk_curve":
        return Action(name, speed=_speed(rng), direction=side, angle=int(rng.choice([90, 120, 180])))
    if name == "walk_turn":
        return Action(name, speed=_speed(rng), direction=side, angle=int(rng.choice([90, 180], p=[0.6, 0.4])))
    if name == "run":
        if rng.random() < 0.3:
            return Action(name, speed=_speed(rng), direction=side, angle=int(rng.choice([90, 120])))
        return Action(name, speed=_speed(rng), direction="forward")
    if name == "march":
        return Action(name, speed=_speed(rng), direction=str(rng.choice(["forward", "place"])))
    if name == "turn":
        return Action(
            name,
            speed=_speed(rng),
            direction=side,
            angle=int(rng.choice([90, 180, 360], p=[0.4, 0.45, 0.15])),
        )
    if name == "jump":
        count = int(rng.integers(1, 5))
        return Action(name, size=_size(rng), count=count, direction=str(rng.choice(["place", "forward"])))
    if name == "kick":
        return Action(name, side=side, speed=_speed(rng), size=_size(rng), count=int(rng.integers(1, 4)))
    if name == "sit":
        return Action(name, speed=_speed(rng))
    count = int(rng.integers(1, 4)) if name == "squat" else int(rng.integers(1, 3))
    return Action(name, speed=_speed(rng), size=_size(rng), count=count)


def draw_arms(name: str, rng: np.random.Generator) -> Action:
    """An action of the arms with its parameters."""
    side = str(rng.choice(["left", "right"]))
    third = str(rng.choice(["left", "right", "both"], p=[0.38, 0.38, 0.24]))
    if name == "wave":
        return Action(name, side=third, speed=_speed(rng), size=_size(rng), count=int(rng.integers(2, 6)))
    if name == "raise":
        return Action(name, side=third, speed=_speed(rng))
    if name == "clap":
        return Action(name, speed=_speed(rng), count=int(rng.integers(2, 7)))
    if name == "punch":
        return Action(
            name, side=third, speed=_speed(rng), count=int(rng.integers(1, 5)) * (2 if third == "both" else 1)
        )
    if name == "throw":
        return Action(name, side=side, count=1)
    if name == "stretch":
        return Action(
            name, side="both", speed=_speed(rng), direction=str(rng.choice(["up", "left", "right"]))
        )
    return Action(name, speed=_speed(rng), direction=side, count=int(rng.integers(1, 3)))


# Seconds at normal speed: (fixed, per repetition).
_LENGTH = {
    "squat": (0.1, 1.45), "bow": (0.2, 1.9), "jump": (0.3, 1.3), "kick": (0.25, 1.3), "sit": (3.6, 0.0),
    "wave": (0.9, 0.52), "clap": (0.7, 0.44), "punch": (0.5, 0.62), "throw": (1.9, 0.0), "stretch": (3.2, 0.0),
    "look": (0.3, 2.0), "raise": (2.4, 0.0), "stand": (1.6, 0.0),
}  # fmt: skip


def seconds(action: Action, rng: np.random.Generator) -> float:
    """How long the action takes, with a natural variation."""
    if action.name in _LENGTH:
        fixed, each = _LENGTH[action.name]
        pace = PACE[action.speed] ** (0.6 if action.name == "kick" else 1.0)
        if action.name in ("jump", "throw"):
            pace = 1.0
        if each:
            return (fixed + each * (action.count or 1) * pace) * rng.uniform(0.94, 1.1)
        return fixed * (0.5 + 0.5 * pace) * rng.uniform(0.9, 1.25)
    if action.name == "turn":
        return (0.8 + abs(action.angle) / 110) * (0.35 + 0.65 * PACE[action.speed]) * rng.uniform(0.95, 1.1)
    if action.name == "walk_turn":
        return rng.uniform(3.8, 5.2) + (0.6 if action.angle > 90 else 0.0)
    low, high = {"walk_curve": (3.2, 5.4), "run": (2.3, 3.8)}.get(action.name, (2.6, 5.2))
    return rng.uniform(low, high)


def _fitted(legs: Action, arms: Action, length: float) -> tuple[Action, float]:
    """An action of the arms for as long as the legs take, and the seconds for both.

    Its speed is "normal", its count is what fits. If not even two repetitions fit, the arms are raised instead.
    """
    fixed, each = _LENGTH[arms.name]
    if legs.count is None and legs.name != "turn":
        length = max(length, fixed + 2 * each)
    if not each:
        return replace(arms, speed="normal"), length
    count = min(int(max(length - fixed, 0.0) / each * 1.06), 10)
    count -= count % 2 if arms.side == "both" and arms.name == "punch" else 0
    if count < (1 if arms.name == "look" else 2):
        return Action("raise", side=arms.side or "both"), length
    return replace(arms, speed="normal", count=count), length


def draw_program(seed: int) -> Program:
    """A program of 40 to 196 frames, one to three segments, drawn from its seed."""
    rng = np.random.default_rng([seed, 0])
    while True:
        parts, previous = [], None
        for _ in range(int(rng.choice([1, 2, 3], p=[0.42, 0.43, 0.15]))):
            legs = draw_legs(_pick(rng, LEG_WEIGHTS), rng)
            arms = None
            if legs.name == "stand" and rng.random() < 0.93:
                arms = draw_arms(_pick(rng, ARM_WEIGHTS), rng)
            elif legs.name in MEANWHILE and rng.random() < 0.45:
                arms = draw_arms(str(rng.choice(MEANWHILE[legs.name])), rng)
            main = arms if arms and legs.name == "stand" else legs
            if previous == main.name:
                continue  # "squats, then squats" is one action with a bad caption
            previous = main.name
            length = seconds(arms, rng) if arms and legs.name == "stand" else seconds(legs, rng)
            if arms and legs.name != "stand":
                arms, length = _fitted(legs, arms, length)
            parts.append((legs, arms, length))
        frames = [max(round(length * FPS), 24) for _, _, length in parts]
        if MIN_FRAMES <= sum(frames) <= MAX_FRAMES:
            edges = np.concatenate([[0], np.cumsum(frames)])
            segments = tuple(
                Segment(legs, arms, int(a), int(b))
                for (legs, arms, _), a, b in zip(parts, edges[:-1], edges[1:], strict=True)
            )
            return Program(segments, int(edges[-1]), seed)


def dance(program: Program) -> tuple[Float[np.ndarray, "t 22 3"], Program]:
    """Joints of `program.frames` + 1 frames (features have one fewer), and the program with its measured path.

    Joints are in metres; the lowest is at y = 0, and the first frame faces z+.
    """
    plan = Plan(program.frames + 1, np.random.default_rng([program.seed, 1]))
    last = len(program.segments) - 1
    for index, segment in enumerate(program.segments):
        t0, t1 = segment.start / FPS, segment.end / FPS
        going = flows(segment.legs)
        into = index > 0 and going and flows(program.segments[index - 1].legs)
        onward = index < last and going and flows(program.segments[index + 1].legs)
        LEGS[segment.legs.name](plan, segment.legs, t0, t1, into, onward)
        if segment.arms is not None:
            ARMS[segment.arms.name](plan, segment.arms, t0, t1, segment.legs.name == "stand")
    plan.walk_path()
    joints = plan.to_joints()
    joints[..., 1] -= joints[..., 1].min()
    return joints, replace(program, segments=tuple(_measured(plan, s) for s in program.segments))


def _measured(plan: Plan, segment: Segment) -> Segment:
    """The segment with the distance and the turn of the path from its start to its end."""
    times = np.linspace(segment.start / FPS, segment.end / FPS, 200)
    path = plan.path(times)
    distance = np.linalg.norm(np.diff(path[:, :2], axis=0), axis=-1).sum()
    return replace(
        segment,
        distance=round(float(distance), 3),
        turn=round(float(np.degrees(path[-1, 2] - path[0, 2])), 1),
    )
