"""The user's world and HumanML3D's: size, position, heading, unit and axes of a motion, in both directions.

HumanML3D's features know one body, which starts above the origin and faces z+ (`mmm.motion.features`, steps 1 and 2).
A `Placement` keeps what they drop.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from mmm.errors import require
from mmm.motion.skeleton import HUMANML3D

# Rows: what x, y (up) and z are in the axes of the file. Each is a turn, so that left stays left.
AXES = {
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-y": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}
# Metres, the most usual first
UNITS = {"cm": 0.01, "m": 1.0, "mm": 0.001, "inch": 0.0254, "cmu": 0.0254 / 0.45}
# Metres from ankle to head along the bones, of people and of any figure; HumanML3D's body has 1.47.
USUAL_HEIGHTS, HEIGHTS = (0.75, 2.0), (0.5, 2.5)
_LEG, _TRUNK = (2, 5, 8), (0, 3, 6, 9, 12, 15)


@dataclasses.dataclass(frozen=True)
class Placement:
    """How to return a motion of HumanML3D's body to the world that it came from.

    Attributes:
        scale: how much larger the user's body is: its leg length ÷ HumanML3D's.
        start: (x, y, z) in metres, y up: the user's root in the first frame, and y of HumanML3D's floor.
        heading: radians about y from z+ to where the user's body faces in the first frame.
        bones: the user's lengths in metres of the bones to the 22 joints (0 for the root); None: HumanML3D's × scale.
        fps: frames per second of the file. unit: metres per unit of the file. up: its axis that points up.
    """

    scale: float = 1.0
    start: tuple[float, float, float] = (0.0, 0.0, 0.0)
    heading: float = 0.0
    bones: tuple[float, ...] | None = None
    fps: float = HUMANML3D.fps
    unit: float = 1.0
    up: str = "y"

    def to_world(self, joints: Float[np.ndarray, "t 22 3"]) -> Float[np.ndarray, "t 22 3"]:
        """Joints as features give them (first root above the origin, facing z+), in the user's world.

        The root's path is scaled back, bones keep their directions and get the user's lengths: the inverse of step 1.
        The feet of a generated motion stand where HumanML3D's scaled legs would stand, except for the difference
        between its proportions of thigh and shin and the user's.

        Returns:
            (T, 22, 3) in metres, y up, float32: of the user's size, where the user's motion was.
        """
        placed = np.asarray(joints, np.float64) @ _about_y(self.heading).T * self.scale + np.array(self.start)
        if self.bones is not None:
            placed = _with_lengths(placed, np.array(self.bones))
        return placed.astype(np.float32)

    def to_file(self, joints: Float[np.ndarray, "t 22 3"]) -> Float[np.ndarray, "t 22 3"]:
        """The same in the unit and the axes of the user's file."""
        return (self.to_world(joints) @ np.array(AXES[self.up], np.float64) / self.unit).astype(np.float32)


def _about_y(angle: float) -> Float[np.ndarray, "3 3"]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array(((cos, 0, sin), (0, 1, 0), (-sin, 0, cos)))


def _across(joints: Float[np.ndarray, "*t 22 3"]) -> Float[np.ndarray, "*t 3"]:
    """From left to right across hips and shoulders; y × this is where the body faces."""
    right_hip, left_hip, right_shoulder, left_shoulder = (joints[..., joint, :] for joint in HUMANML3D.face)
    return right_hip - left_hip + right_shoulder - left_shoulder


def _with_lengths(
    joints: Float[np.ndarray, "t 22 3"], lengths: Float[np.ndarray, " 22"]
) -> Float[np.ndarray, "t 22 3"]:
    """The same root and directions of bones, with other lengths."""
    body = joints.copy()
    for joint, parent in enumerate(HUMANML3D.parents):  # parents come before their children
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            bone /= np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9)
            body[:, joint] = body[:, parent] + bone * lengths[joint]
    return body


def to_humanml3d_body(
    joints: Float[np.ndarray, "t 22 3"], mapped: bool = True
) -> tuple[Float[np.ndarray, "t 22 3"], Placement]:
    """HumanML3D's body in the user's motion, standing at the origin, and the placement that undoes it.

    Bones get the directions of the user's and the lengths of HumanML3D's, the root's path is scaled by the length of
    the legs: steps 1 and 2 of the features, for all frames (features have one less).

    Args:
        joints: the user's, metres, y up.
        mapped: as in `check_body`, for the message.
    Raises:
        ValueError: a bone without length in some frame.
    """
    joints = np.asarray(joints, np.float64)
    lengths = np.linalg.norm(joints - joints[:, [0, *HUMANML3D.parents[1:]]], axis=-1)
    empty = [HUMANML3D.joints[joint] for joint in np.flatnonzero((lengths < 1e-6).any(0)) if joint > 0]
    require(
        not empty,
        f"{', '.join(empty)} have the same position as the joint above them, expected bones with length; "
        f"{other_joints(mapped)}.",
    )
    target, legs = np.linalg.norm(HUMANML3D.target_offsets, axis=-1), list(HUMANML3D.legs)
    scale = float(lengths[0, legs].sum() / target[legs].sum())
    body = _with_lengths(joints + joints[:, :1] * (1 / scale - 1), target)
    start = np.array((body[0, 0, 0], body[..., 1].min(), body[0, 0, 2]))
    across = _across(body[0])
    heading = float(np.arctan2(across[2], -across[0]))  # of y × across, to which z+ is to be turned
    placed = (body - start) @ _about_y(heading)
    # the median: linear resampling in time shortens the bones between two frames a little
    bones = tuple(map(float, np.median(lengths, axis=0)))
    return placed.astype(np.float32), Placement(scale, tuple(map(float, start * scale)), heading, bones)


def other_joints(mapped: bool) -> str:
    """What to do where joints are not those that were meant."""
    order = "save the joints in HumanML3D's order (mmm.motion.skeleton.HUMANML3D.joints)"
    return "give a map that takes other joints" if mapped else order


def stand_on(
    joints: Float[np.ndarray, "t j 3"],
    frame: int,
    pose: Float[np.ndarray, "j 3"],
    kept: Bool[np.ndarray, " j"],
) -> Float[np.ndarray, "t j 3"]:
    """A motion turned about y and moved along the floor, so that its kept joints in one frame are nearest to `pose`.

    Features begin at the origin. Where frames are added in front of a motion, these begin there, and the rest has to be
    moved back to where it was. Joints that are not kept say nothing about where that is: other arms would turn the
    whole path.
    """
    flat, goal = joints[frame][kept][:, [0, 2]].astype(np.float64), pose[kept][:, [0, 2]].astype(np.float64)
    centre, aim = flat.mean(0), goal.mean(0)
    u, w = flat - centre, goal - aim
    # least squares in the plane: the angle that turns (x, z) about y
    angle = np.arctan2((u[:, 1] * w[:, 0] - u[:, 0] * w[:, 1]).sum(), (u * w).sum())
    turned = joints.astype(np.float64) - [centre[0], 0, centre[1]]
    turned = turned @ _about_y(angle).T + [aim[0], 0, aim[1]]
    return turned.astype(np.float32)


def to_y_up(joints: Float[np.ndarray, "t 22 3"], up: str) -> Float[np.ndarray, "t 22 3"]:
    """Joints whose axis `up` points up, with y up."""
    return (joints @ np.array(AXES[up], joints.dtype).T).astype(joints.dtype)


def guess_up(joints: Float[np.ndarray, "t 22 3"]) -> str | None:
    """The axis along which the head is above the feet, in the median over the frames; None where there is none.

    From the frames and not from a rest pose: in many files that is a heap of bones along one axis.
    """
    body = joints[:, HUMANML3D.joints.index("head")] - joints[:, [7, 8]].mean(1)
    rise = np.median(body / np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), 1e-12), axis=0)
    axis = int(np.abs(rise).argmax())
    # cos 37°: a body that leans less is upright; one that crawls or lies down does not show the axis
    return None if abs(rise[axis]) < 0.8 else ("-" if rise[axis] < 0 else "") + "xyz"[axis]


def body_height(joints: Float[np.ndarray, "t 22 3"]) -> float:
    """From ankle to hip plus from pelvis to head, along the bones of the first frame; in the unit of `joints`."""
    bones = [np.linalg.norm(np.diff(joints[0, list(chain)], axis=0), axis=-1) for chain in (_LEG, _TRUNK)]
    return float(sum(lengths.sum() for lengths in bones))


def toes_point_back(joints: Float[np.ndarray, "t 22 3"]) -> bool:
    """Whether the feet mostly point away from where hips and shoulders face: left and right may be swapped."""
    across = _across(joints)
    toes = (joints[:, [10, 11]] - joints[:, [7, 8]]).sum(1)
    return bool(np.median(toes[:, 0] * across[:, 2] - toes[:, 2] * across[:, 0]) < 0)  # along y × across


def guess_unit(joints: Float[np.ndarray, "t 22 3"]) -> str | None:
    """The name of the first unit in which the body has a usual height, else a possible one; None if there is none."""
    height = body_height(joints)
    for low, high in (USUAL_HEIGHTS, HEIGHTS):
        for name, metres in UNITS.items():
            if low <= height * metres <= high:
                return name
    return None


def metres_of(unit: str | float) -> float:
    """Metres per unit: of a name of UNITS, or a number.

    Raises:
        ValueError: neither.
    """
    if unit in UNITS:
        return UNITS[unit]
    try:
        metres = float(unit)
    except ValueError:
        metres = 0.0
    require(
        0 < metres < float("inf"),
        f"unit is {unit!r}, expected cm, m, mm, inch, cmu or a number: the metres that one unit of the file is.",
    )
    return metres
