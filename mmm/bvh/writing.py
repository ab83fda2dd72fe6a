"""Joints to a BVH file that animation tools can use: a rigid body, turned, and moved only at its root.

The rigid body nearest to the joints of a clip: what animation tools need, and what a generated clip is not.

Joints of a generated clip are no rigid body: bones stretch by centimetres, and the hips and the collars change
the angles between them. Here bone lengths and the shapes of pelvis and chest are the clip's medians, and the
pose of each frame is the one whose joints are nearest in the sense of least squares. The joints of a body that
is rigid come back as they were.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mmm.errors import atomic_write, require
from mmm.motion import quaternion
from mmm.motion.skeleton import Skeleton, get_skeleton

FOOT_SLOPE = 40.0  # degrees below the horizontal from ankle to toe, the median of standing feet of Bandai
STEPS = 3  # of Gauss-Newton; further ones change the mean distance by less than 0.01 mm
# m²/rad²: a joint leaves the turn that its own bones ask for only where that pays at the joints further out.
# Without it the spine's twist, which no bone shows, jumps by up to 170° from frame to frame; with it the mean
# distance to the joints of generated clips grows from 5.9 to 6.3 mm.
STIFFNESS = 0.03
CHUNK = 500  # frames fitted at once: 60 MB


@dataclass(frozen=True, eq=False)
class RigidMotion:
    """A rigid body in motion, in the unit of the joints that it was made of.

    Attributes:
        offsets: (J, 3) each joint from its parent in the rest pose, a T-pose that faces z+; the root's is zero.
        root: (T, 3) places of the root in the world.
        rotations: (T, J, 3, 3) turns from the rest pose, in the world.
        parents: J indices, the root's is -1.
    """

    offsets: Float[np.ndarray, "j 3"]
    root: Float[np.ndarray, "t 3"]
    rotations: Float[np.ndarray, "t j 3 3"]
    parents: tuple[int, ...]

    @property
    def joints(self) -> Float[np.ndarray, "t j 3"]:
        """World joints (T, J, 3): what a reader of the file sees."""
        places = [self.root]
        for joint, parent in list(enumerate(self.parents))[1:]:
            places.append(places[parent] + self.rotations[:, parent] @ self.offsets[joint])
        return np.stack(places, 1)

    @property
    def local_rotations(self) -> Float[np.ndarray, "t j 3 3"]:
        """(T, J, 3, 3) turns as each parent sees them; the root's are those in the world."""
        local = self.rotations.copy()
        local[:, 1:] = self.rotations[:, self.parents[1:]].swapaxes(-1, -2) @ self.rotations[:, 1:]
        return local

    def seen_from_parents(self, joints: Float[np.ndarray, "t j 3"]) -> Float[np.ndarray, "t j 3"]:
        """World joints (T, J, 3) as each parent's rotation sees them from its own place; the root as it is.

        For `self.joints` that gives the offsets, the same in all frames; for other joints, bones that stretch.
        """
        places = np.array(joints, np.float64)
        bones = places[:, 1:] - places[:, self.parents[1:]]
        places[:, 1:] = (self.rotations[:, self.parents[1:]].swapaxes(-1, -2) @ bones[..., None])[..., 0]
        return places


def fit_rigid(joints: Float[np.ndarray, "t j 3"], skeleton: str | Skeleton = "humanml3d") -> RigidMotion:
    """The rigid body and the poses whose joints are nearest to `joints`.

    Turns about a bone's own axis are not to be seen in joints: they are those of the parent, carried along.

    Args:
        joints: world joints (T, J, 3) in metres, T at least 1.
        skeleton: whose names and parents they have.
    Raises:
        ValueError: joints do not have the skeleton's number of joints, or are not all finite.
    """
    skeleton = get_skeleton(skeleton)
    count = len(skeleton.joints)
    require(
        joints.ndim == 3 and joints.shape[1:] == (count, 3) and len(joints) > 0,
        f"joints of shape {joints.shape} are not of that skeleton: expected (T, {count}, 3) for {skeleton.name}.",
    )
    joints = np.asarray(joints, np.float64)
    bad = np.flatnonzero(~np.isfinite(joints).all((1, 2)))
    require(
        len(bad) == 0,
        f"joints hold NaN or infinity in {len(bad)} of {len(joints)} frames; repair them.",
    )
    offsets = _body(joints, skeleton)
    chunks = [joints[start : start + CHUNK] for start in range(0, len(joints), CHUNK)]
    fits = [_nearest_pose(chunk, offsets, skeleton) for chunk in chunks]
    root, rotations = (np.concatenate(parts) for parts in zip(*fits, strict=True))
    return RigidMotion(offsets, root, rotations, skeleton.parents)


def rest_directions(skeleton: Skeleton) -> Float[np.ndarray, "j 3"]:
    """Directions (J, 3) of the bones in a T-pose; the raw offsets of the features let the arms hang."""
    slope = np.radians(FOOT_SLOPE)
    directions = np.zeros((len(skeleton.joints), 3))
    for joint, name in list(enumerate(skeleton.joints))[1:]:
        part = name.removeprefix("left_").removeprefix("right_")
        side = 1.0 if joint in skeleton.left else -1.0
        directions[joint] = {
            "hip": (side * 0.8, -0.6, 0.0),  # pelvis and chest get their shape from the clip, this turns it
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
            for _ in range(10):  # Procrustes: turn all frames onto the shape, take their median for the next
                turns = _turns(shape, bones[:, children])
                shape = np.median(bones[:, children] @ turns, 0)  # rows times a rotation: turned back
                norm = np.linalg.norm(shape, axis=-1, keepdims=True)
                shape = shape * (lengths[children] / np.maximum(norm, 1e-12))
            offsets[children] = shape @ _turns(shape, guess[None])[0].T
    return offsets


def _turns(shape: Float[np.ndarray, "n 3"], seen: Float[np.ndarray, "t n 3"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotations (T, 3, 3) that bring the vectors `shape` nearest to `seen` (Kabsch 1976)."""
    u, _, vh = np.linalg.svd(seen.swapaxes(-1, -2) @ shape)
    sign = np.ones((len(seen), 3))
    sign[:, 2] = np.where(np.linalg.det(u @ vh) < 0, -1, 1)  # never a reflection
    return (u * sign[:, None]) @ vh


def _first_pose(
    joints: Float[np.ndarray, "t j 3"], offsets: Float[np.ndarray, "j 3"], skeleton: Skeleton
) -> Float[np.ndarray, "t j 3 3"]:
    """World rotations (T, J, 3, 3) from each joint's own bones; those of a last joint are its parent's."""
    rotations = np.zeros((*joints.shape[:2], 3, 3))
    for joint, children in _children(skeleton).items():
        seen = joints[:, children] - joints[:, [joint]]
        if len(children) > 1:
            rotations[:, joint] = _turns(offsets[children], seen)
            continue
        carried = rotations[:, skeleton.parents[joint]]
        # a bone without length has no direction: the zero vector lets the turn be as the parent's
        bone = seen[:, 0] / np.maximum(np.linalg.norm(seen[:, 0], axis=-1, keepdims=True), 1e-12)
        ahead = carried @ rest_directions(skeleton)[children[0]]
        swing = quaternion.between(torch.from_numpy(ahead), torch.from_numpy(bone)).numpy()
        rotations[:, joint] = Rotation.from_quat(swing[:, [1, 2, 3, 0]]).as_matrix() @ carried
    return rotations


def _nearest_pose(
    joints: Float[np.ndarray, "t j 3"], offsets: Float[np.ndarray, "j 3"], skeleton: Skeleton
) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t j 3 3"]]:
    """Places of the root and world rotations whose joints are nearest to all `joints`, by Gauss-Newton."""
    parents, inner = skeleton.parents, list(_children(skeleton))
    owner = np.array(parents[1:])[:, None] == inner  # (bone, inner joint): who turns the bone
    way = _on_the_way(skeleton)  # (joint, bone): which bones a joint hangs on
    first = _first_pose(joints, offsets, skeleton)
    root, rotations, turning = joints[:, 0].copy(), first.copy(), 3 * len(inner)
    for _ in range(STEPS):
        pose = RigidMotion(offsets, root, rotations, parents)
        bones = (rotations[:, parents[1:]] @ offsets[1:, :, None])[..., 0]
        # A small turn w of an inner joint moves what hangs on its bone b by w × b.
        slopes = np.einsum("jb,txyb,bi->tjxiy", way, _cross(bones), owner, optimize=True)
        slopes = slopes.reshape(len(joints), -1, turning)
        moves = np.broadcast_to(np.tile(np.eye(3), (joints.shape[1], 1)), (*slopes.shape[:2], 3))
        slopes = np.concatenate((slopes, moves), -1)
        normal = slopes.swapaxes(-1, -2) @ slopes
        normal[:, range(turning), range(turning)] += STIFFNESS
        wanted = slopes.swapaxes(-1, -2) @ (joints - pose.joints).reshape(len(joints), -1, 1)
        away = rotations[:, inner] @ first[:, inner].swapaxes(-1, -2)
        away = Rotation.from_matrix(away.reshape(-1, 3, 3)).as_rotvec()
        wanted[:, :turning, 0] -= STIFFNESS * away.reshape(len(joints), -1)
        step = np.linalg.solve(normal, wanted)[..., 0]
        root = root + step[:, turning:]
        turns = Rotation.from_rotvec(step[:, :turning].reshape(-1, 3)).as_matrix()
        rotations[:, inner] = turns.reshape(len(joints), -1, 3, 3) @ rotations[:, inner]
    leaves = [joint for joint in range(len(parents)) if joint not in inner]
    rotations[:, leaves] = rotations[:, [parents[leaf] for leaf in leaves]]
    return root, rotations


def _on_the_way(skeleton: Skeleton) -> Bool[np.ndarray, "j bones"]:
    """True where bone b (to joint b + 1) lies between the root and joint j."""
    way = np.zeros((len(skeleton.joints), len(skeleton.joints)), bool)
    for joint in range(1, len(way)):
        ancestor = joint
        while ancestor > 0:
            way[joint, ancestor] = True
            ancestor = skeleton.parents[ancestor]
    return way[:, 1:]


def _cross(bones: Float[np.ndarray, "t b 3"]) -> Float[np.ndarray, "t 3 3 b"]:
    """Matrices M (T, :, :, bones) with M w = w × bone."""
    x, y, z = np.moveaxis(bones, -1, 0)
    zero = np.zeros_like(x)
    return np.stack((zero, z, -y, -z, zero, x, y, -x, zero), 1).reshape(len(bones), 3, 3, -1)


CENTIMETRES = 100.0  # per metre: the unit of most BVH files, and what viewers' cameras are set for


def write_bvh(
    path: str | os.PathLike,
    joints: Float[np.ndarray, "t j 3"],
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
    stretch: bool = False,
) -> None:
    """Write world joints as a BVH file in centimetres.

    The rest pose (all angles zero) is a T-pose above the origin that faces z+, left is x+: arms along x, legs
    along -y, feet forward and down. Joints have the skeleton's names and three rotation channels; the root has
    three for its place besides. Angles go on without jumps by whole turns, so that tools may interpolate
    between frames. The file is written beside its place and renamed.

    Args:
        path: the file to write.
        joints: world joints (T, J, 3) in metres, T at least 1.
        fps: frames per second.
        skeleton: whose names and parents to use.
        stretch: False writes the nearest rigid body (`fit_rigid`), which can be retargeted, but whose joints
            are not quite those of a generated clip. True gives every joint place channels too, as
            Bandai-Namco's files have them: bones stretch, and the joints come back as they are.
    Raises:
        ValueError: joints do not have the skeleton's number of joints or are not all finite, or fps is not
            above 0.
    """
    skeleton = get_skeleton(skeleton)
    count = skeleton.num_joints
    require(
        joints.ndim == 3 and joints.shape[1:] == (count, 3) and len(joints) > 0,
        f"joints of shape {joints.shape} cannot be written as BVH: expected (T, {count}, 3) for {skeleton.name}.",
    )
    require(
        0 < fps < float("inf"), f"a BVH file of {fps:g} frames per second cannot be: give a number above 0."
    )
    rigid = fit_rigid(joints, skeleton)
    turned, moved = rigid.local_rotations, rigid.seen_from_parents(joints) if stretch else rigid.root[:, None]
    channels, values = {}, {}
    for joint in range(count):
        order = _order(joint, skeleton)
        channels[joint] = [f"{axis}rotation" for axis in order]
        values[joint] = unwrapped_angles(turned[:, joint], order)
        if joint < moved.shape[1]:
            channels[joint] = ["Xposition", "Yposition", "Zposition", *channels[joint]]
            values[joint] = np.concatenate((moved[:, joint] * CENTIMETRES, values[joint]), 1)
    head, order = _hierarchy(0, rigid, channels, skeleton)
    frames = np.concatenate([values[joint] for joint in order], 1)
    lines = ["HIERARCHY", *head, "MOTION", f"Frames: {len(frames)}", f"Frame Time: {1 / fps:.8f}"]
    with atomic_write(path) as target:
        text = "\n".join((*lines, *map(_numbers, frames), ""))
        target.write_text(text, encoding="ascii", newline="\n")


def unwrapped_angles(rotations: Float[np.ndarray, "t 3 3"], order: str) -> Float[np.ndarray, "t 3"]:
    """Euler angles in degrees whose steps from frame to frame are small.

    Every rotation has two triples of angles, to each of which whole turns may be added: that nearest to the
    last frame's is taken. The first frame's are between -180 and 180.

    Args:
        rotations: (T, 3, 3) matrices.
        order: three different axes as BVH lists its channels (the last one turns first), such as "YZX".
    """
    with warnings.catch_warnings():  # where two axes coincide scipy sets one angle to 0: as good as any other
        warnings.filterwarnings("ignore", "Gimbal lock")
        angles = Rotation.from_matrix(rotations).as_euler(order, degrees=True)
    for last, angle in zip(angles, angles[1:], strict=False):
        both = np.stack((angle, angle * (1, -1, 1) + 180))
        both += 360 * np.round((last - both) / 360)
        angle[:] = both[np.abs(both - last).sum(-1).argmin()]
    return angles


def _order(joint: int, skeleton: Skeleton) -> str:
    """Order of the rotation channels: the middle angle must stay off ±90°, where the other two coincide.

    For limbs, spine and head the middle one is the turn about the bone itself, which is small; for the root,
    which turns about y without limit and may bend far forward about x, it is the lean to the side.
    """
    if joint == 0:
        return "YZX"
    return "ZXY" if abs(rest_directions(skeleton)[joint, 0]) == 1 else "XYZ"


def _hierarchy(
    joint: int, rigid: RigidMotion, channels: dict[int, list[str]], skeleton: Skeleton, tab: str = ""
) -> tuple[list[str], list[int]]:
    """Lines of the joint and of all below it, and these joints in the order of the lines."""
    lines = [
        f"{tab}{'JOINT' if joint else 'ROOT'} {skeleton.joints[joint]}",
        f"{tab}{{",
        f"{tab}\tOFFSET {_numbers(rigid.offsets[joint] * CENTIMETRES)}",
        f"{tab}\tCHANNELS {len(channels[joint])} {' '.join(channels[joint])}",
    ]
    order = [joint]
    for child in (child for child, parent in enumerate(skeleton.parents) if parent == joint):
        more, below = _hierarchy(child, rigid, channels, skeleton, tab + "\t")
        lines, order = lines + more, order + below
    if len(order) == 1:
        end = _numbers(_end(joint, rigid, skeleton) * CENTIMETRES)
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {end}", f"{tab}\t}}"]
    return [*lines, f"{tab}}}"], order


def _end(leaf: int, rigid: RigidMotion, skeleton: Skeleton) -> Float[np.ndarray, "3"]:
    """End of the last bone: half as long as the one before, so that viewers show head, hands and toes."""
    length = np.linalg.norm(rigid.offsets[leaf]) / 2
    toes = [toe for _, toe in skeleton.feet]
    return np.array((0.0, 0.0, length)) if leaf in toes else rest_directions(skeleton)[leaf] * length


def _numbers(row: Float[np.ndarray, "n"]) -> str:
    return " ".join(f"{number:.5f}" for number in row)
