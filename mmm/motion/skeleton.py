"""The two skeletons of the field: HumanML3D (22 joints, metres, 20 fps) and KIT-ML (21, mm, 12.5 fps).

The numbers (joint order, kinematic chains, raw offsets, joints that define facing, leg length and foot contact) are
those of the HumanML3D repository of Guo et al. (MIT licence); docs/REPRODUCTION.md, "Representation".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmm.errors import require


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A body, as the features need it.

    Attributes:
        name: "humanml3d" or "kit".
        joints: J joint names.
        chains: kinematic chains as joint indices; one that does not start at the root branches off another one.
        raw_offsets: (J, 3) unit directions of the bones (parent to joint) in rest; the root's is zero.
        target_offsets: (J, 3) the bones of the body that every clip is retargeted to, in `unit`; None if no such
            body is published.
        left, right: joint indices in pairs.
        feet: ((left ankle, left foot), (right ankle, right foot)), the order of the contact features.
        face: (right hip, left hip, right shoulder, left shoulder), the joints that define facing.
        legs: the two joints whose bones make up the leg length.
        contact_threshold: a foot joint rests if its squared step to the next frame is smaller (`unit`²).
        fps: frames per second of the data set.
        unit: unit of length of joints and features, "m" or "mm".
    """

    name: str
    joints: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    raw_offsets: np.ndarray
    target_offsets: np.ndarray | None
    left: tuple[int, ...]
    right: tuple[int, ...]
    feet: tuple[tuple[int, int], tuple[int, int]]
    face: tuple[int, int, int, int]
    legs: tuple[int, int]
    contact_threshold: float
    fps: float
    unit: str

    @property
    def metres(self) -> float:
        """Metres in the unit of length."""
        return 0.001 if self.unit == "mm" else 1.0

    @property
    def num_joints(self) -> int:
        """J, the number of joints, the root included."""
        return len(self.joints)

    @property
    def num_features(self) -> int:
        """Numbers per frame: root 4, positions 3(J-1), rotations 6(J-1), velocities 3J, contacts 4."""
        return 4 + 9 * (self.num_joints - 1) + 3 * self.num_joints + 4

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint; -1 for the root."""
        parents = [-1] * self.num_joints
        for chain in self.chains:
            for parent, child in zip(chain, chain[1:], strict=False):
                parents[child] = parent
        return tuple(parents)

    @cached_property
    def hands(self) -> tuple[int, ...]:
        """The joints at the ends of the arms."""
        sides = self.left + self.right
        return tuple(chain[-1] for chain in self.chains if chain[0] and chain[-1] in sides)

    @cached_property
    def rotation_parents(self) -> tuple[int, ...]:
        """The joint in whose frame each joint's rotation is expressed; -1 for the root.

        The reference starts *every* chain, the arms included, from the root's rotation. So the first joint of a
        chain has the root here, although the bone of an arm starts at the chest.
        """
        parents = list(self.parents)
        for chain in self.chains:
            parents[chain[1]] = 0
        return tuple(parents)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Permutation of the joints that swaps left and right."""
        permutation = list(range(self.num_joints))
        for left, right in zip(self.left, self.right, strict=True):
            permutation[left], permutation[right] = right, left
        return tuple(permutation)


_X, _Y, _Z = np.eye(3, dtype=np.float32)
_ZERO = np.zeros(3, dtype=np.float32)


def _read_only(rows: list[np.ndarray]) -> np.ndarray:
    array = np.stack(rows).astype(np.float32)
    array.setflags(write=False)
    return array


# fmt: off
_HUMANML3D_RAW = _read_only([
    _ZERO, _X, -_X, _Y, -_Y, -_Y, _Y, -_Y, -_Y, _Y, _Z, _Z, _Y, _X, -_X, _Z, -_Y, -_Y, -_Y, -_Y, -_Y, -_Y,
])
# Bone lengths (metres) of the body of clip 000021, to which HumanML3D retargets every clip.
_HUMANML3D_LENGTHS = (
    0.0, 0.10307395, 0.10988335, 0.13156825, 0.39362314, 0.39018813, 0.14319026, 0.43243298, 0.42564332,
    0.05736471, 0.14338174, 0.14941867, 0.21936, 0.13748683, 0.14338283, 0.10303927, 0.13161398, 0.12298431,
    0.25683984, 0.26309186, 0.26601186, 0.2698763,
)

HUMANML3D = Skeleton(
    name="humanml3d",
    joints=(
        "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
        "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    ),
    chains=(
        (0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20),
    ),
    raw_offsets=_HUMANML3D_RAW,
    target_offsets=_read_only([d * n for d, n in zip(_HUMANML3D_RAW, _HUMANML3D_LENGTHS, strict=True)]),
    left=(1, 4, 7, 10, 13, 16, 18, 20),
    right=(2, 5, 8, 11, 14, 17, 19, 21),
    feet=((7, 10), (8, 11)),
    face=(2, 1, 17, 16),
    legs=(5, 8),
    contact_threshold=0.002,
    fps=20.0,
    unit="m",
)

# Left and right as in Guo's processed joints, on which the features are defined: feet 19 and 20 are the left.
KIT = Skeleton(
    name="kit",
    joints=(
        "root", "spine1", "spine2", "neck", "head", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "right_midfoot", "right_toe", "left_hip", "left_knee", "left_ankle", "left_midfoot", "left_toe",
    ),
    chains=((0, 11, 12, 13, 14, 15), (0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4), (3, 5, 6, 7), (3, 8, 9, 10)),
    raw_offsets=_read_only([
        _ZERO, _Y, _Y, _Y, _Y, _X, -_Y, -_Y, -_X, -_Y, -_Y, _X, -_Y, -_Y, _Z, _Z, -_X, -_Y, -_Y, _Z, _Z,
    ]),
    target_offsets=None,
    left=(8, 9, 10, 16, 17, 18, 19, 20),
    right=(5, 6, 7, 11, 12, 13, 14, 15),
    feet=((19, 20), (14, 15)),
    face=(11, 16, 5, 8),
    legs=(17, 18),
    contact_threshold=0.05,
    fps=12.5,
    unit="mm",
)
# fmt: on

_KNOWN = {skeleton.name: skeleton for skeleton in (HUMANML3D, KIT)}


def get_skeleton(skeleton: str | Skeleton) -> Skeleton:
    """The skeleton of that name; a Skeleton is returned unchanged.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(skeleton, Skeleton):
        return skeleton
    require(skeleton in tuple(_KNOWN), f"skeleton {skeleton!r} is unknown; use one of {', '.join(_KNOWN)}.")
    return _KNOWN[skeleton]
