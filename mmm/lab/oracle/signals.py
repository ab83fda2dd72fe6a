"""What a body does, as curves over time that have names: speed, turning, hips, trunk, feet, hands, gaze.

Everything is measured in the body's own frame and in units of its own legs and arms. So it does not matter where the
clip stands in the world, which way it faces and how tall the body is. The curves are sampled at RATE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from mmm.errors import require
from mmm.motion.skeleton import HUMANML3D

RATE = 20.0  # frames per second of all curves
LEFT, RIGHT = 0, 1
JOINT = {name: index for index, name in enumerate(HUMANML3D.joints)}
ARMS = ("shoulder", "elbow", "wrist")
LEGS = ("hip", "knee", "ankle", "foot")


Curve = Float[np.ndarray, " t"]
Pair = Float[np.ndarray, "t 2"]  # left, right


@dataclass(frozen=True)
class Signals:
    """Curves of T frames at RATE. Angles in radians, lengths in leg lengths (l) or arm lengths (a)."""

    forward: Curve  # speed of the hips in the direction they face, m/s of a leg of 0.82 m
    sideways: Curve  # and to their left
    turning: Curve  # how fast the hips turn, positive to the left, rad/s
    heading: Curve  # the direction the hips face, unwrapped
    hips: Curve  # height of the pelvis above the floor (l), about 1.1 standing
    back: Curve  # how far the pelvis is behind the feet (l)
    tilt: Curve  # the trunk's lean forward
    aside: Curve  # and to the right
    feet: Pair  # height of the toes above the floor (l)
    knees: Pair  # height of the knee above the hip (l), negative standing
    reach: Pair  # how far the ankle is in front of the hip (l)
    hands: Float[
        np.ndarray, "t 2 3"
    ]  # wrist from its own shoulder: outward, up, forward (a), in the chest's frame
    upper: Pair  # angle of the upper arm from hanging straight down
    fold: Pair  # bend of the elbow
    apart: Curve  # distance of the two wrists (a)
    gaze: Curve  # yaw of the head against the hips, positive to the left

    def __len__(self) -> int:
        return len(self.forward)


def signals_of(joints: Float[np.ndarray, "t 22 3"], fps: float = 20.0) -> Signals:
    """The curves of a clip. Raises ValueError for fewer than 12 frames at RATE, or numbers that are not finite."""
    require(fps > 0, f"fps is {fps}; expected frames per second above 0.")
    require(bool(np.isfinite(joints).all()), "the joints hold NaN or infinite numbers; give a whole motion.")
    joints = _resampled(np.asarray(joints, np.float64), fps)
    require(
        len(joints) >= 12,
        f"the clip has {len(joints)} frames at {RATE:g} per second; an action takes at least 12.",
    )
    x = _smooth(joints, 1.0)
    heading = _heading(x)
    return Signals(
        **_hip_curves(x, heading),
        **_trunk_curves(x, heading),
        **_leg_curves(x, heading),
        **_arm_curves(x, _smooth(joints, 0.6)),  # hands clap and wave up to three times a second
        gaze=_gaze(x[:, JOINT["head"]] - x[:, JOINT["neck"]], heading),
    )


def _heading(x: np.ndarray) -> np.ndarray:
    """Angle that the hips face, unwrapped; 0 is z+, positive to the left."""
    hips = _pair(x, "hip")
    across = hips[:, LEFT] - hips[:, RIGHT]
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def _hip_curves(x: np.ndarray, heading: np.ndarray) -> dict[str, np.ndarray]:
    velocity = np.gradient(_smooth(x[:, 0], 2.5), axis=0) * RATE / _leg_length(x) * 0.82
    left, ahead = _axes(_smooth(heading, 5.0))
    return {
        "forward": (velocity * ahead).sum(-1),
        "sideways": (velocity * left).sum(-1),
        "turning": np.gradient(_smooth(heading, 3.5)) * RATE,
        "heading": heading,
    }


def _trunk_curves(x: np.ndarray, heading: np.ndarray) -> dict[str, np.ndarray]:
    left, ahead = _axes(heading)
    trunk = _trunk(x)
    return {
        "tilt": np.arctan2((trunk * ahead).sum(-1), trunk[:, 1]),
        "aside": np.arctan2(-(trunk * left).sum(-1), trunk[:, 1]),
    }


def _leg_curves(x: np.ndarray, heading: np.ndarray) -> dict[str, np.ndarray]:
    hip, knee, ankle, foot = (_pair(x, name) for name in LEGS)
    leg, pelvis = _leg_length(x), x[:, 0]
    floor = np.percentile(foot[..., 1].min(1), 10)
    _, ahead = _axes(heading)
    return {
        "hips": (pelvis[:, 1] - floor) / leg,
        "back": ((ankle.mean(1) - pelvis) * ahead).sum(-1) / leg,
        "feet": (foot[..., 1] - floor) / leg,
        "knees": (knee[..., 1] - hip[..., 1]) / leg,
        "reach": ((ankle - hip) * ahead[:, None]).sum(-1) / leg,
    }


def _arm_curves(x: np.ndarray, quick: np.ndarray) -> dict[str, np.ndarray]:
    """From the trunk `x` and the arms `quick`, which are smoothed less."""
    shoulder, elbow, wrist = (_pair(quick, name) for name in ARMS)
    arm = _length(shoulder, elbow) + _length(elbow, wrist)
    trunk = _trunk(x)
    across = shoulder[:, LEFT] - shoulder[:, RIGHT]
    out = _unit(across - (across * trunk).sum(-1, keepdims=True) * trunk)
    frame = np.stack([out, trunk, np.cross(out, trunk)], -2)  # rows: to the left, along the trunk, forward
    mirror = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])  # outward is to the right for the right hand
    raised = _unit(elbow - shoulder)
    return {
        "hands": np.einsum("tij,tsj->tsi", frame, wrist - shoulder) * mirror / arm,
        "upper": _angle(raised, -trunk[:, None]),
        "fold": _angle(raised, _unit(wrist - elbow)),
        "apart": np.linalg.norm(wrist[:, LEFT] - wrist[:, RIGHT], axis=-1) / arm,
    }


def _gaze(nose: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Yaw of neck → head against the hips; 0 where that bone stands upright, as in many bodies, and has no yaw."""
    level = np.hypot(nose[:, 0], nose[:, 2])
    seen = np.median(level / np.linalg.norm(nose, axis=-1)) > 0.3
    angle = np.arctan2(nose[:, 0], nose[:, 2]) - heading
    return ((angle + np.pi) % (2 * np.pi) - np.pi) * seen


def _pair(x: np.ndarray, name: str) -> np.ndarray:
    return x[:, [JOINT[f"left_{name}"], JOINT[f"right_{name}"]]]


def _trunk(x: np.ndarray) -> np.ndarray:
    return _unit(x[:, JOINT["neck"]] - x[:, 0])


def _leg_length(x: np.ndarray) -> float:
    hip, knee, ankle = (_pair(x, name) for name in LEGS[:3])
    return _length(hip, knee) + _length(knee, ankle)


def _length(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(a - b, axis=-1)))


def _resampled(joints: np.ndarray, fps: float) -> np.ndarray:
    if abs(fps - RATE) < 1e-6:
        return joints
    old = np.arange(len(joints)) / fps
    new = np.arange(int(old[-1] * RATE + 1e-6) + 1) / RATE
    before = np.minimum(np.searchsorted(old, new, side="right") - 1, len(old) - 2)
    weight = ((new - old[before]) * fps)[:, None, None]
    return joints[before] * (1 - weight) + joints[before + 1] * weight


def _smooth(x: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter1d(x, sigma, axis=0, mode="nearest")


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)


def _axes(heading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (T, 3) to the left and ahead of a body that faces `heading`."""
    sin, cos, zero = np.sin(heading), np.cos(heading), np.zeros_like(heading)
    return np.stack([cos, zero, -sin], -1), np.stack([sin, zero, cos], -1)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.arccos(np.clip((a * b).sum(-1), -1.0, 1.0))
