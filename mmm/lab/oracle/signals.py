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
    body = {name: _pair(x, name) for name in ("hip", "knee", "ankle", "foot")}
    # The arms are smoothed less: hands clap and wave up to three times a second.
    body |= {name: _pair(_smooth(joints, 0.6), name) for name in ("shoulder", "elbow", "wrist")}
    across = body["hip"][:, LEFT] - body["hip"][:, RIGHT]
    heading = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))  # 0 is z+, positive to the left
    pelvis, trunk = x[:, 0], _unit(x[:, JOINT["neck"]] - x[:, 0])
    left, ahead = _axes(heading)
    return Signals(
        heading=heading,
        turning=np.gradient(_smooth(heading, 3.5)) * RATE,
        tilt=np.arctan2((trunk * ahead).sum(-1), trunk[:, 1]),
        aside=np.arctan2(-(trunk * left).sum(-1), trunk[:, 1]),
        gaze=_gaze(x[:, JOINT["head"]] - x[:, JOINT["neck"]], heading),
        **_leg_curves(body, pelvis, heading),
        **_arm_curves(body, trunk),
    )


def _leg_curves(
    body: dict[str, np.ndarray], pelvis: np.ndarray, heading: np.ndarray
) -> dict[str, np.ndarray]:
    hip, knee, ankle, foot = (body[name] for name in ("hip", "knee", "ankle", "foot"))
    leg = _length(hip, knee) + _length(knee, ankle)
    floor = np.percentile(foot[..., 1].min(1), 10)
    velocity = np.gradient(_smooth(pelvis, 2.5), axis=0) * RATE / leg * 0.82
    calm_left, calm_ahead = _axes(_smooth(heading, 5.0))
    _, ahead = _axes(heading)
    return {
        "forward": (velocity * calm_ahead).sum(-1),
        "sideways": (velocity * calm_left).sum(-1),
        "hips": (pelvis[:, 1] - floor) / leg,
        "back": ((ankle.mean(1) - pelvis) * ahead).sum(-1) / leg,
        "feet": (foot[..., 1] - floor) / leg,
        "knees": (knee[..., 1] - hip[..., 1]) / leg,
        "reach": ((ankle - hip) * ahead[:, None]).sum(-1) / leg,
    }


def _arm_curves(body: dict[str, np.ndarray], trunk: np.ndarray) -> dict[str, np.ndarray]:
    shoulder, elbow, wrist = (body[name] for name in ("shoulder", "elbow", "wrist"))
    arm = _length(shoulder, elbow) + _length(elbow, wrist)
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
