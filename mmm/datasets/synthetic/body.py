"""From a few controls per frame to 22 joints: forward kinematics above the hips, two-bone IK for the legs.

Everything is vectorised over frames. Bone lengths are those of HumanML3D's target skeleton, so that features keep the
joints as they are. Axes: y up, z forward, x to the person's left; angles in radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mmm.motion.skeleton import HUMANML3D

LEFT, RIGHT = 0, 1
# Directions of the bones of a person standing upright, arms aside (scaled to the skeleton's lengths below).
_DIRECTIONS = {
    1: (0.058, -0.085, -0.01), 2: (-0.058, -0.085, -0.01), 3: (0, 0.128, -0.028), 6: (0, 0.142, 0.01),
    9: (0, 0.056, 0.012), 12: (0, 0.216, -0.036), 15: (0, 0.086, 0.056), 13: (0.082, 0.106, -0.026),
    14: (-0.082, 0.106, -0.026), 16: (0.122, 0.036, -0.016), 17: (-0.122, 0.036, -0.016),
}  # fmt: skip
LENGTHS = np.linalg.norm(np.asarray(HUMANML3D.target_offsets, dtype=np.float64), axis=-1)
REST = {j: np.array(v) / np.linalg.norm(v) * LENGTHS[j] for j, v in _DIRECTIONS.items()}
ANKLE_HEIGHT = 0.07  # of the ankle joint above the toe joint of a foot flat on the floor
HEEL = 0.05  # the heel's distance behind the ankle
FOOT_LENGTH = (LENGTHS[10] ** 2 - ANKLE_HEIGHT**2) ** 0.5  # ankle to toe joint along the floor
LEG = np.array([LENGTHS[4] + LENGTHS[7], LENGTHS[5] + LENGTHS[8]])
STAND = float(LEG.min() * 0.99 + ANKLE_HEIGHT - REST[2][1])  # pelvis height of a person standing


@dataclass
class Pose:
    """Controls of T frames. Angle triples are (yaw, pitch, roll): turn left, lean forward, lean right.

    Arms hold (abduction, azimuth, elevation, twist, elbow): the arm hangs at zero, elevation lifts it
    forward, azimuth turns that outward, elbow folds the forearm forward, a negative twist folds it inward.
    """

    pelvis: Float[np.ndarray, "t 3"]
    hips: Float[np.ndarray, "t 3"]
    spine: Float[np.ndarray, "t 3"]  # all three spine joints together, relative to the hips
    head: Float[np.ndarray, "t 3"]  # relative to the chest
    arms: Float[np.ndarray, "t 2 5"]
    toes: Float[np.ndarray, "t 2 3"]
    feet: Float[np.ndarray, "t 2 2"]  # yaw, pitch (toe up)


def rotation(axis: str, angle: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t 3 3"]:
    """Rotation matrices about one axis."""
    c, s, z, o = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = {
        "x": ((o, z, z), (z, c, -s), (z, s, c)),
        "y": ((c, z, s), (z, o, z), (-s, z, c)),
        "z": ((c, -s, z), (s, c, z), (z, z, o)),
    }[axis]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def euler(angles: Float[np.ndarray, "*t 3"]) -> Float[np.ndarray, "*t 3 3"]:
    """(yaw, pitch, roll) → matrices yaw · pitch · roll."""
    return rotation("y", angles[..., 0]) @ rotation("x", angles[..., 1]) @ rotation("z", angles[..., 2])


def ankle_of(toe: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, side: int) -> np.ndarray:
    """Position of the ankle from the toe joint, the foot's yaw and its pitch."""
    back = (LENGTHS[10 + side] ** 2 - ANKLE_HEIGHT**2) ** 0.5
    turn = rotation("y", yaw) @ rotation("x", -pitch)
    return toe + turn @ np.array([0.0, ANKLE_HEIGHT, -back])


def hip_positions(pelvis: np.ndarray, hips: np.ndarray) -> np.ndarray:
    """(T, 2, 3) hip joints from the pelvis's position and rotation."""
    turn = euler(hips)
    return np.stack([pelvis + turn @ REST[1], pelvis + turn @ REST[2]], 1)


def _leg(hip: np.ndarray, ankle: np.ndarray, lateral: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Knee and ankle of a leg; the knee bends at right angles to `lateral`. An ankle out of reach is pulled in."""
    thigh, shin = LENGTHS[4 + side], LENGTHS[7 + side]
    line = ankle - hip
    far = np.linalg.norm(line, axis=-1, keepdims=True)
    reach = np.clip(far, abs(thigh - shin) + 0.12, (thigh + shin) * 0.9995)
    line = line / far
    along = (thigh**2 - shin**2 + reach**2) / (2 * reach)
    fold = np.cross(line, lateral)
    fold /= np.linalg.norm(fold, axis=-1, keepdims=True)
    knee = hip + along * line + np.sqrt(np.maximum(thigh**2 - along**2, 0.0)) * fold
    return knee, hip + reach * line


def arm_joints(
    shoulder: np.ndarray, chest: np.ndarray, arm: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Elbow and wrist of an arm from its five angles (see `Pose`) in the chest's frame."""
    sign = 1.0 if side == LEFT else -1.0
    abduct, azimuth, elevate, twist, elbow = np.moveaxis(arm, -1, 0)
    upper = chest @ rotation("z", sign * abduct) @ rotation("y", sign * azimuth) @ rotation("x", -elevate)
    upper = upper @ rotation("y", sign * twist)
    down = np.array([0.0, -1.0, 0.0])
    elbow_joint = shoulder + upper @ down * LENGTHS[18 + side]
    return elbow_joint, elbow_joint + (upper @ rotation("x", -elbow)) @ down * LENGTHS[20 + side]


def pose_to_joints(pose: Pose) -> Float[np.ndarray, "t 22 3"]:
    """Joints of HumanML3D's skeleton, metres, float64, with exactly constant bone lengths."""
    frames = len(pose.pelvis)
    joints = np.zeros((frames, 22, 3))
    joints[:, 0] = pose.pelvis
    turn = euler(pose.hips)
    joints[:, 1], joints[:, 2] = pose.pelvis + turn @ REST[1], pose.pelvis + turn @ REST[2]
    bend = euler(pose.spine / 3)  # the three joints of the spine share its bend
    for joint, parent in ((3, 0), (6, 3), (9, 6)):
        turn = turn @ bend
        joints[:, joint] = joints[:, parent] + turn @ REST[joint]
    chest = turn
    neck = chest @ euler(pose.head * 0.4)
    joints[:, 12] = joints[:, 9] + neck @ REST[12]
    joints[:, 15] = joints[:, 12] + (neck @ euler(pose.head * 0.6)) @ REST[15]
    for side in (LEFT, RIGHT):
        # a lifted arm lifts its collar bone, as in a real reach
        lift = np.clip((pose.arms[:, side, 2] - 1.0) * 0.25, 0.0, 0.35) * (1 if side == LEFT else -1)
        collar = chest @ rotation("z", lift)
        joints[:, 13 + side] = joints[:, 9] + chest @ REST[13 + side]
        joints[:, 16 + side] = joints[:, 13 + side] + collar @ REST[16 + side]
        joints[:, 18 + side], joints[:, 20 + side] = arm_joints(
            joints[:, 16 + side], chest, pose.arms[:, side], side
        )
        yaw = (pose.feet[:, side, 0] + pose.hips[:, 0]) / 2
        lateral = np.stack([np.cos(yaw), np.zeros(frames), -np.sin(yaw)], -1)
        target = ankle_of(pose.toes[:, side], pose.feet[:, side, 0], pose.feet[:, side, 1], side)
        joints[:, 4 + side], joints[:, 7 + side] = _leg(joints[:, 1 + side], target, lateral, side)
        joints[:, 10 + side] = joints[:, 7 + side] + (pose.toes[:, side] - target)
    return joints
