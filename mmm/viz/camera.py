"""The view: a perspective camera, facing directions, and the choice of key frames and of the camera's yaw.

Joints are in metres, y up. A camera at yaw 0 stands on the z axis and looks back along it: it sees the face of a
person in HumanML3D's first-frame pose, whose left (+x) is on the right of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mmm.motion.skeleton import Skeleton

UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Camera:
    """A perspective camera on a sphere around `target`, looking at it with y up.

    Attributes:
        target: the point in the middle of the picture, metres.
        yaw: angle about y, radians; 0 stands towards +z, π/2 towards +x.
        pitch: height angle, radians; positive looks down.
        distance: metres from the target; a large one flattens the perspective.
    """

    target: tuple[float, float, float] = (0.0, 0.9, 0.0)
    yaw: float = 0.0
    pitch: float = 0.26
    distance: float = 8.0

    @property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Rows: right and up in the picture, and from the target towards the viewer."""
        sin, cos = np.sin(self.yaw), np.cos(self.yaw)
        dip, lift = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[cos, 0, -sin], [-sin * lift, dip, -cos * lift], [sin * dip, lift, cos * dip]])

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """World points → right, up (metres as measured at the target), depth (metres from the viewer)."""
        seen = (points - np.asarray(self.target)) @ self.axes.T
        depth = np.maximum(self.distance - seen[..., 2:], 0.05)
        return np.concatenate([seen[..., :2] * (self.distance / depth), depth], -1)


def fit(
    seen: Iterable[Float[np.ndarray, "n 3"]], across: float, upright: float, least: float = 0.0
) -> tuple[float, tuple[float, float]]:
    """From where a camera that looks along its third axis sees all points: nothing is cropped, perspective included.

    Args:
        seen: for each frame the points along the axes of the camera (right, up, towards the viewer), metres from what
            it follows.
        across, upright: half the width and half the height of the picture at a distance of one metre.
        least: metres of height, at the target, that the picture shows at least.
    Returns:
        The distance, metres, and how far the target is moved to the right and up.
    """
    slopes = np.array([[1 / across, 0, 1], [-1 / across, 0, 1], [0, 1 / upright, 1], [0, -1 / upright, 1]])
    right, left, top, bottom = np.max([(slopes @ points.T).max(1) for points in seen], 0)
    # a point x to the right is inside if (x - shift) / across + z is at most the distance; so on all four sides
    distance = max((right + left) / 2, (top + bottom) / 2, least / (2 * upright))
    return float(distance), (float(right - left) / 2 * across, float(top - bottom) / 2 * upright)


def facing(joints: Float[np.ndarray, "*n j 3"], skeleton: Skeleton) -> Float[np.ndarray, "*n 3"]:
    """Horizontal unit vectors in which the body faces: (across hips + across shoulders) × up."""
    r_hip, l_hip, r_shoulder, l_shoulder = skeleton.face
    hips = joints[..., l_hip, :] - joints[..., r_hip, :]
    left = hips + joints[..., l_shoulder, :] - joints[..., r_shoulder, :]
    return _unit(np.cross(left, UP) * [1, 0, 1])


def key_frames(
    joints: Float[np.ndarray, "t j 3"], count: int, freedom: float = 1 / 3
) -> Int[np.ndarray, " n"]:
    """Frames to show: about evenly spread, each moved to where the pose differs most from its neighbours.

    Evenly spaced frames can fall in step with a gait or a wave and show the same pose every time. The first and
    the last frame stay; every other may move by `freedom` times the spacing; the sum of the pose differences
    between neighbours is maximal (dynamic programming).

    Returns:
        int (min(count, T),) ascending frame numbers.
    """
    frames = len(joints)
    count = min(count, frames)
    even = np.linspace(0, frames - 1, count)
    reach = (frames - 1) / max(count - 1, 1) * freedom
    options = [np.unique(np.round(np.linspace(at - reach, at + reach, 9)).astype(int)) for at in even]
    options[0], options[-1] = np.array([0]), np.array([frames - 1 if count > 1 else 0])
    pose = joints - joints[:, :1] * [1, 0, 1]
    best, back = np.zeros(1), []
    for before, here in zip(options, options[1:], strict=False):
        change = np.linalg.norm(pose[here][:, None] - pose[before][None], axis=-1).mean(-1)
        change[here[:, None] <= before[None]] = -np.inf
        total = best[None] + change
        back.append(total.argmax(1))
        best = total.max(1)
    choice = [int(best.argmax())]
    for link in reversed(back):
        choice.append(int(link[choice[-1]]))
    return np.array([option[at] for option, at in zip(options, reversed(choice), strict=True)])


def best_yaw(joints: Float[np.ndarray, "t j 3"], skeleton: Skeleton) -> float:
    """The camera yaw from which this motion shows best; it turns with the motion.

    Best: the person is seen from the front, 20° to 62° off, while they are active (after a turn, the punch counts);
    moving bones lie and swing across the picture rather than towards the viewer (a bow is seen from the side, a
    wave from the front); moving hands are not in front of or behind the chest; the root moves from left to right; the
    side of the body that moves more, or whose hand is raised, is the nearer one. The weights were set by eye on real
    captures of walking, running, bowing, kicking, punching, waving, raising arms and turning.
    """
    ahead = facing(joints, skeleton)
    left = np.cross(UP, ahead)
    travel = joints[-1, 0] - joints[0, 0]
    pose = joints - joints[:, :1] * [1, 0, 1]
    active = np.abs(np.gradient(pose, axis=0)).sum((1, 2)) + 0.01 if len(pose) > 1 else np.ones(1)
    active = active / active.sum()
    spread = pose.std(0).sum(-1)
    busy = spread / (spread.sum() + 1e-6)
    bones = (pose - pose[:, list(skeleton.parents)])[:, 1:]
    lengths = np.linalg.norm(bones, axis=-1) + 1e-6
    hands = list(skeleton.hands)
    chest = pose[:, list(skeleton.face)].mean(1, keepdims=True)
    raised = pose[:, hands, 1] - pose[:, list(skeleton.face[2:]), 1].mean(1, keepdims=True)
    acts = spread.copy()
    acts[hands] += 3 * np.maximum(raised, 0).mean(0)
    acts_left, acts_right = acts[list(skeleton.left)].sum(), acts[list(skeleton.right)].sum()
    side = (acts_left - acts_right) / (acts_left + acts_right + 1e-6)
    least, most = np.cos(np.radians([62, 20]))

    def score(yaw: float) -> float:
        right, up, towards = Camera(yaw=yaw, pitch=0.0).axes
        frontal = ahead @ towards
        seen = (2 * np.minimum(frontal, least) - 0.2 * (frontal > most)) @ active
        shown = np.linalg.norm(bones @ np.stack([right, up]).T, axis=-1) / lengths
        swing = (pose @ right).std(0).mean()
        aside = np.minimum(np.abs((pose[:, hands] - chest) @ right), 0.3).mean(0) @ busy[hands]
        moved = np.clip(travel @ right, -2, 2)
        near = side * np.clip(left @ towards, -0.5, 0.5) @ active
        return seen + shown.mean(0) @ busy[1:] + 3 * swing + 2 * aside + 0.05 * moved + 0.6 * near

    first = np.arctan2(ahead[0, 0], ahead[0, 2])
    return float(max(first + np.radians(np.arange(-180, 180, 10) + 5), key=score))


def _unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-8)
