"""What a body does, as a few curves over time that have names: speed, turning, hips, trunk, feet, hands, gaze.

Everything is told in the body's own frame and in its own sizes (legs, arms), so that where the clip stands in
the world, which way it faces and how tall the body is do not matter. The curves are sampled at RATE.
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
PAIRS = {
    name: [JOINT[f"left_{name}"], JOINT[f"right_{name}"]]
    for name in ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
}
UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Signals:
    """Curves of T frames at RATE. Angles in radians, lengths in leg lengths (l) or arm lengths (a), speeds per
    second. Pairs are (left, right).

    forward, sideways: speed of the hips in the way they face, and to their left (m/s of a leg of 0.82 m).
    turning: how fast the hips turn, to the left positive (rad/s).  heading: the angle, unwrapped.
    hips: height of the pelvis above the floor (l), about 1.1 standing.  back: how far it is behind the feet (l).
    tilt: the trunk's lean forward; aside: its lean to the right.
    feet: height of the toes above the floor (l).  knees: height of the knee over the hip less a standing one (l).
    reach: how far the ankle is in front of the hip (l).  swing: speed of the toes (l/s).
    hands: wrist seen from its own shoulder: outward, up, forward (a), in the chest's frame.
    upper, fold: angle of the upper arm from hanging straight down; bend of the elbow.
    apart: distance of the two wrists (a).  gaze: yaw of the head against the hips, to the left positive.
    """

    forward: Float[np.ndarray, " t"]
    sideways: Float[np.ndarray, " t"]
    turning: Float[np.ndarray, " t"]
    heading: Float[np.ndarray, " t"]
    hips: Float[np.ndarray, " t"]
    back: Float[np.ndarray, " t"]
    tilt: Float[np.ndarray, " t"]
    aside: Float[np.ndarray, " t"]
    feet: Float[np.ndarray, "t 2"]
    knees: Float[np.ndarray, "t 2"]
    reach: Float[np.ndarray, "t 2"]
    swing: Float[np.ndarray, "t 2"]
    hands: Float[np.ndarray, "t 2 3"]
    forearm: Float[np.ndarray, "t 2 3"]
    upper: Float[np.ndarray, "t 2"]
    fold: Float[np.ndarray, "t 2"]
    apart: Float[np.ndarray, " t"]
    gaze: Float[np.ndarray, " t"]

    def __len__(self) -> int:
        return len(self.forward)


def measure(joints: Float[np.ndarray, "t 22 3"], fps: float = 20.0) -> Signals:
    """The curves of a clip. Raises ValueError for fewer than 12 frames at RATE, or numbers that are not finite."""
    require(fps > 0, f"fps is {fps}; expected frames per second above 0.")
    require(bool(np.isfinite(joints).all()), "the joints hold NaN or infinite numbers; give a whole motion.")
    joints = _resampled(np.asarray(joints, np.float64), fps)
    require(
        len(joints) >= 12,
        f"the clip has {len(joints)} frames at {RATE:g} per second; an action takes at least 12.",
    )
    x = _smooth(joints, 1.0)
    quick = _smooth(joints, 0.6)  # hands clap and wave up to three times a second
    arms = ("shoulder", "elbow", "wrist")
    pair = {name: (quick if name in arms else x)[:, index] for name, index in PAIRS.items()}
    leg = _length(pair["hip"], pair["knee"]) + _length(pair["knee"], pair["ankle"])
    arm = _length(pair["shoulder"], pair["elbow"]) + _length(pair["elbow"], pair["wrist"])
    floor = np.percentile(pair["foot"][..., 1].min(1), 10)

    across = pair["hip"][:, LEFT] - pair["hip"][:, RIGHT]
    heading = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    left, ahead = _axes(heading)
    pelvis = x[:, 0]
    velocity = np.gradient(_smooth(pelvis, 2.5), axis=0) * RATE / leg * 0.82
    steady = _smooth(heading, 3.5)
    calm_left, calm_ahead = _axes(_smooth(heading, 5.0))

    trunk = _unit(x[:, JOINT["neck"]] - pelvis)
    between = pair["ankle"].mean(1)
    span = pair["shoulder"][:, LEFT] - pair["shoulder"][:, RIGHT]
    out = _unit(span - (span * trunk).sum(-1, keepdims=True) * trunk)
    front = np.cross(out, trunk)
    frame = np.stack([out, trunk, front], -2)  # rows: to the left, along the trunk, forward
    mirror = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    seen = np.einsum("tij,tsj->tsi", frame, pair["wrist"] - pair["shoulder"]) * mirror / arm
    lower = np.einsum("tij,tsj->tsi", frame, _unit(pair["wrist"] - pair["elbow"])) * mirror
    raised = _unit(pair["elbow"] - pair["shoulder"])
    nose = x[:, JOINT["head"]] - x[:, JOINT["neck"]]
    return Signals(
        forward=(velocity * calm_ahead).sum(-1),
        sideways=(velocity * calm_left).sum(-1),
        turning=np.gradient(steady) * RATE,
        heading=heading,
        hips=(pelvis[:, 1] - floor) / leg,
        back=((between - pelvis) * ahead).sum(-1) / leg,
        tilt=np.arctan2((trunk * ahead).sum(-1), trunk[:, 1]),
        aside=np.arctan2(-(trunk * left).sum(-1), trunk[:, 1]),
        feet=(pair["foot"][..., 1] - floor) / leg,
        knees=(pair["knee"][..., 1] - pair["hip"][..., 1]) / leg,
        reach=((pair["ankle"] - pair["hip"]) * ahead[:, None]).sum(-1) / leg,
        swing=np.linalg.norm(np.gradient(pair["foot"], axis=0), axis=-1) * RATE / leg,
        hands=seen,
        forearm=lower,
        upper=_angle(raised, -trunk[:, None]),
        fold=_angle(raised, _unit(pair["wrist"] - pair["elbow"])),
        apart=np.linalg.norm(pair["wrist"][:, LEFT] - pair["wrist"][:, RIGHT], axis=-1) / arm,
        gaze=_gaze(nose, heading),
    )


def _gaze(nose: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Yaw of neck → head against the hips; 0 where that bone hardly points anywhere (straight up, in many bodies)."""
    level = np.hypot(nose[:, 0], nose[:, 2])
    seen = np.median(level / np.linalg.norm(nose, axis=-1)) > 0.3
    return _wrapped(np.arctan2(nose[:, 0], nose[:, 2]) - heading) * seen


def _resampled(joints: np.ndarray, fps: float) -> np.ndarray:
    if abs(fps - RATE) < 1e-6:
        return joints
    old = np.arange(len(joints)) / fps
    new = np.arange(int(old[-1] * RATE + 1e-6) + 1) / RATE
    place = np.minimum(np.searchsorted(old, new, side="right") - 1, len(old) - 2)
    share = ((new - old[place]) * fps)[:, None, None]
    return joints[place] * (1 - share) + joints[place + 1] * share


def _smooth(x: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter1d(x, sigma, axis=0, mode="nearest")


def _length(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(a - b, axis=-1)))


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)


def _axes(heading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (T, 3) to the left and ahead of who faces `heading` (0: z+, left positive)."""
    sin, cos, zero = np.sin(heading), np.cos(heading), np.zeros_like(heading)
    return np.stack([cos, zero, -sin], -1), np.stack([sin, zero, cos], -1)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.arccos(np.clip((a * b).sum(-1), -1.0, 1.0))


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi
