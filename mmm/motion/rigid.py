"""The nearest rigid body of a motion: bones keep their lengths.

The joints of a generated clip are no rigid body: bones stretch by centimetres, and the angles between the hips and
between the collars change. `fit_rigid` finds the nearest rigid body: bone lengths and the shapes of pelvis and chest
are the clip's medians, and the pose of each frame is the one whose joints are nearest in the sense of least squares.
The joints of a body that is rigid stay as they are. Pictures, .npy and BVH of a generated motion show that body
(`Motion.joints`); its features stay the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mmm.errors import require
from mmm.motion import quaternion
from mmm.motion.skeleton import Skeleton, get_skeleton

FOOT_SLOPE = 40.0  # degrees below the horizontal from ankle to toe, the median of standing feet of Bandai
STEPS = 3  # of Gauss-Newton; further ones change the mean distance by less than 0.01 mm
# m²/rad²: the weight that keeps a joint near the rotation fitted to its own bones, against errors further out.
# Without it the spine's twist, which no bone shows, jumps by up to 170° from frame to frame; with it the mean
# distance to the joints of generated clips grows from 5.9 to 6.3 mm.
STIFFNESS = 0.03
# Weight of ankles and toes; other joints have 1. With 1, feet skate by 4 % more and sink 0.02 cm deeper.
FEET = 4.0
CAPTURED = 1e4  # weight of captured joints: generated ones follow them
CHUNK = 500  # frames fitted at once: 60 MB


@dataclass(frozen=True, eq=False)
class RigidMotion:
    """A rigid body in motion, in the unit of the joints that it was fitted to.

    Attributes:
        offsets: (J, 3) each joint from its parent in the rest pose, a T-pose that faces z+; the root's is zero.
        root: (T, 3) positions of the root in the world.
        rotations: (T, J, 3, 3) rotations from the rest pose, in the world.
        parents: J indices, the root's is -1.
    """

    offsets: Float[np.ndarray, "j 3"]
    root: Float[np.ndarray, "t 3"]
    rotations: Float[np.ndarray, "t j 3 3"]
    parents: tuple[int, ...]

    @property
    def joints(self) -> Float[np.ndarray, "t j 3"]:
        """World joints (T, J, 3): what a reader of the file sees."""
        joints = [self.root]
        for joint, parent in list(enumerate(self.parents))[1:]:
            joints.append(joints[parent] + self.rotations[:, parent] @ self.offsets[joint])
        return np.stack(joints, 1)

    @property
    def local_rotations(self) -> Float[np.ndarray, "t j 3 3"]:
        """(T, J, 3, 3) rotations relative to the parents; the root's are those in the world."""
        local = self.rotations.copy()
        local[:, 1:] = self.rotations[:, self.parents[1:]].swapaxes(-1, -2) @ self.rotations[:, 1:]
        return local

    def relative_to_parents(self, joints: Float[np.ndarray, "t j 3"]) -> Float[np.ndarray, "t j 3"]:
        """World joints (T, J, 3) in the frames of their parents; the root as it is.

        For `self.joints` these are the offsets, the same in all frames; for other joints, bones that stretch.
        """
        relative = np.array(joints, np.float64)
        bones = relative[:, 1:] - relative[:, self.parents[1:]]
        relative[:, 1:] = (self.rotations[:, self.parents[1:]].swapaxes(-1, -2) @ bones[..., None])[..., 0]
        return relative


def fit_rigid(
    joints: Float[np.ndarray, "t j 3"],
    skeleton: str | Skeleton = "humanml3d",
    body: Float[np.ndarray, "j 3"] | None = None,
    captured: Bool[np.ndarray, "t j"] | None = None,
) -> RigidMotion:
    """The rigid body and the poses whose joints are nearest to `joints`.

    The body is measured in all frames, unless it is given; then the pose of each frame is fitted alone.

    Joints do not show a rotation about a bone's own axis: it is taken from the parent.

    Args:
        joints: world joints (T, J, 3) in metres, T at least 1.
        skeleton: whose names and parents they have.
        body: offsets (`rigid_body`) of the body to fit; by default the clip's own.
        captured: joints that should hardly move.
    Raises:
        ValueError: joints do not have the skeleton's number of joints, or are not all finite.
    """
    skeleton = get_skeleton(skeleton)
    joints = _checked(joints, skeleton)
    body = _body(joints, skeleton) if body is None else body
    weights = np.ones(joints.shape[:2])
    weights[:, [joint for side in skeleton.feet for joint in side]] = FEET
    if captured is not None:
        weights[captured] = CAPTURED
    chunks = [slice(start, start + CHUNK) for start in range(0, len(joints), CHUNK)]
    fits = [_nearest_pose(joints[chunk], weights[chunk], body, skeleton) for chunk in chunks]
    root, rotations = (np.concatenate(parts) for parts in zip(*fits, strict=True))
    return RigidMotion(body, root, rotations, skeleton.parents)


def rigid_body(
    joints: Float[np.ndarray, "t j 3"], skeleton: str | Skeleton = "humanml3d"
) -> Float[np.ndarray, "j 3"]:
    """The body of a clip in metres: offsets (J, 3) of its rest pose. Raises ValueError as `fit_rigid` does."""
    skeleton = get_skeleton(skeleton)
    return _body(_checked(joints, skeleton), skeleton)


def rigid_joints(
    joints: Float[np.ndarray, "t j 3"],
    skeleton: str | Skeleton = "humanml3d",
    body: Float[np.ndarray, "j 3"] | None = None,
    captured: Bool[np.ndarray, "t j"] | None = None,
) -> Float[np.ndarray, "t j 3"]:
    """The joints of the nearest rigid body, float32; captured joints are returned as they are.

    Arguments and errors are those of `fit_rigid`.
    """
    rigid = fit_rigid(joints, skeleton, body, captured).joints.astype(np.float32)
    return rigid if captured is None else np.where(captured[..., None], joints, rigid).astype(np.float32)


def _checked(joints: Float[np.ndarray, "t j 3"], skeleton: Skeleton) -> Float[np.ndarray, "t j 3"]:
    count = skeleton.num_joints
    require(
        joints.ndim == 3 and joints.shape[1:] == (count, 3) and len(joints) > 0,
        f"joints have shape {joints.shape}, expected (T, {count}, 3) with T ≥ 1 for {skeleton.name}.",
    )
    joints = np.asarray(joints, np.float64)
    bad = np.flatnonzero(~np.isfinite(joints).all((1, 2)))
    require(len(bad) == 0, f"joints hold NaN or infinity in {len(bad)} of {len(joints)} frames; repair them.")
    return joints


def rest_directions(skeleton: Skeleton) -> Float[np.ndarray, "j 3"]:
    """Directions (J, 3) of the bones in a T-pose; the raw offsets of the features let the arms hang."""
    slope = np.radians(FOOT_SLOPE)
    directions = np.zeros((len(skeleton.joints), 3))
    for joint, name in list(enumerate(skeleton.joints))[1:]:
        part = name.removeprefix("left_").removeprefix("right_")
        side = 1.0 if joint in skeleton.left else -1.0
        directions[joint] = {
            # The shapes of pelvis and chest are the clip's; this gives their direction.
            "hip": (side * 0.8, -0.6, 0.0),
            "knee": (0.0, -1.0, 0.0),
            "ankle": (0.0, -1.0, 0.0),
            "foot": (0.0, -np.sin(slope), np.cos(slope)),
            "midfoot": (0.0, -np.sin(slope), np.cos(slope)),
            "toe": (0.0, 0.0, 1.0),
            "collar": (side, 0.0, 0.0),
            "shoulder": (side, 0.0, 0.0),
            "elbow": (side, 0.0, 0.0),
            "wrist": (side, 0.0, 0.0),
        }.get(part, (0.0, 1.0, 0.0))
    return directions


def _children(skeleton: Skeleton) -> dict[int, list[int]]:
    """Joints that have children, with these; parents before their children."""
    children: dict[int, list[int]] = {}
    for child, parent in list(enumerate(skeleton.parents))[1:]:
        children.setdefault(parent, []).append(child)
    reached = [0]
    for joint in reached:  # grows while it is walked
        reached += children.get(joint, [])
    return {joint: children[joint] for joint in reached if joint in children}


def _body(joints: Float[np.ndarray, "t j 3"], skeleton: Skeleton) -> Float[np.ndarray, "j 3"]:
    """Offsets (J, 3) of the rest pose: median lengths, median shapes where a joint has several children."""
    bones = joints - joints[:, [0, *skeleton.parents[1:]]]
    lengths = np.median(np.linalg.norm(bones, axis=-1), 0)[:, None]
    offsets = rest_directions(skeleton) * lengths
    for children in _children(skeleton).values():
        if len(children) > 1:
            guess = shape = offsets[children]
            # Procrustes: rotate all frames onto the shape, take their median as the next shape.
            for _ in range(10):
                turns = _best_rotations(shape, bones[:, children])
                shape = np.median(bones[:, children] @ turns, 0)  # rows times a rotation: rotated back
                norm = np.linalg.norm(shape, axis=-1, keepdims=True)
                shape = shape * (lengths[children] / np.maximum(norm, 1e-12))
            offsets[children] = shape @ _best_rotations(shape, guess[None])[0].T
    return offsets


def _best_rotations(
    shape: Float[np.ndarray, "n 3"], seen: Float[np.ndarray, "t n 3"]
) -> Float[np.ndarray, "t 3 3"]:
    """Rotations (T, 3, 3) that bring the vectors `shape` nearest to `seen` (Kabsch 1976)."""
    u, _, vh = np.linalg.svd(seen.swapaxes(-1, -2) @ shape)
    sign = np.ones((len(seen), 3))
    sign[:, 2] = np.where(np.linalg.det(u @ vh) < 0, -1, 1)  # never a reflection
    return (u * sign[:, None]) @ vh


def bone_rotations(
    joints: Float[np.ndarray, "t j 3"], offsets: Float[np.ndarray, "j 3"], skeleton: Skeleton
) -> Float[np.ndarray, "t j 3 3"]:
    """World rotations (T, J, 3, 3) from the rest pose, each from the joint's own bones; a leaf has its parent's.

    Args:
        joints: world joints (T, J, 3) in metres, finite. offsets: of `rigid_body`.
    """
    rotations = np.zeros((*joints.shape[:2], 3, 3))
    for joint, children in _children(skeleton).items():
        seen = joints[:, children] - joints[:, [joint]]
        if len(children) > 1:
            rotations[:, joint] = _best_rotations(offsets[children], seen)
            continue
        carried = rotations[:, skeleton.parents[joint]]
        # a bone of no length has no direction: with the zero vector the rotation is the parent's
        bone = seen[:, 0] / np.maximum(np.linalg.norm(seen[:, 0], axis=-1, keepdims=True), 1e-12)
        ahead = carried @ rest_directions(skeleton)[children[0]]
        swing = quaternion.between(torch.from_numpy(ahead), torch.from_numpy(bone)).numpy()
        rotations[:, joint] = Rotation.from_quat(swing[:, [1, 2, 3, 0]]).as_matrix() @ carried
    return _with_leaves(rotations, skeleton)


def _with_leaves(rotations: Float[np.ndarray, "t j 3 3"], skeleton: Skeleton) -> Float[np.ndarray, "t j 3 3"]:
    """The same array; joints without children have got the rotations of their parents."""
    leaves = [joint for joint in range(skeleton.num_joints) if joint not in _children(skeleton)]
    rotations[:, leaves] = rotations[:, [skeleton.parents[leaf] for leaf in leaves]]
    return rotations


def _nearest_pose(
    joints: Float[np.ndarray, "t j 3"],
    weights: Float[np.ndarray, "t j"],
    offsets: Float[np.ndarray, "j 3"],
    skeleton: Skeleton,
) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t j 3 3"]]:
    """Positions of the root and world rotations whose joints are nearest to all `joints`, by Gauss-Newton."""
    parents, inner = skeleton.parents, list(_children(skeleton))
    owner = np.array(parents[1:])[:, None] == inner  # (bone, inner joint): which joint rotates the bone
    hangs = bones_above(skeleton)  # (joint, bone): which bones a joint hangs on
    first = bone_rotations(joints, offsets, skeleton)
    root, rotations, turning = joints[:, 0].copy(), first.copy(), 3 * len(inner)
    for _ in range(STEPS):
        pose = RigidMotion(offsets, root, rotations, parents)
        bones = (rotations[:, parents[1:]] @ offsets[1:, :, None])[..., 0]
        # A small rotation w of an inner joint moves what hangs on its bone b by w × b.
        slopes = np.einsum("jb,txyb,bi->tjxiy", hangs, _cross(bones), owner, optimize=True)
        slopes = slopes.reshape(len(joints), -1, turning)
        moves = np.broadcast_to(np.tile(np.eye(3), (joints.shape[1], 1)), (*slopes.shape[:2], 3))
        slopes = np.concatenate((slopes, moves), -1)
        weighted = slopes.swapaxes(-1, -2) * np.repeat(weights, 3, axis=-1)[:, None]
        normal = weighted @ slopes
        normal[:, range(turning), range(turning)] += STIFFNESS
        wanted = weighted @ (joints - pose.joints).reshape(len(joints), -1, 1)
        away = rotations[:, inner] @ first[:, inner].swapaxes(-1, -2)
        away = Rotation.from_matrix(away.reshape(-1, 3, 3)).as_rotvec()
        wanted[:, :turning, 0] -= STIFFNESS * away.reshape(len(joints), -1)
        step = np.linalg.solve(normal, wanted)[..., 0]
        root = root + step[:, turning:]
        turns = Rotation.from_rotvec(step[:, :turning].reshape(-1, 3)).as_matrix()
        rotations[:, inner] = turns.reshape(len(joints), -1, 3, 3) @ rotations[:, inner]
    return root, _with_leaves(rotations, skeleton)


def bones_above(skeleton: Skeleton) -> Bool[np.ndarray, "j bones"]:
    """True where bone b (to joint b + 1) lies between the root and joint j."""
    hangs = np.zeros((skeleton.num_joints, skeleton.num_joints), bool)
    for joint in range(1, len(hangs)):
        ancestor = joint
        while ancestor > 0:
            hangs[joint, ancestor] = True
            ancestor = skeleton.parents[ancestor]
    return hangs[:, 1:]


def _cross(bones: Float[np.ndarray, "t b 3"]) -> Float[np.ndarray, "t 3 3 b"]:
    """Matrices M (T, :, :, bones) with M w = w × bone."""
    x, y, z = np.moveaxis(bones, -1, 0)
    zero = np.zeros_like(x)
    return np.stack((zero, z, -y, -z, zero, x, y, -x, zero), 1).reshape(len(bones), 3, 3, -1)
