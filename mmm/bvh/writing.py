"""Writing BVH files that animation tools can use: a rigid body that turns at its joints and moves at its root.

`write_bvh` writes the nearest rigid body of any joints (`mmm.motion.rigid`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mmm.bvh.placement import AXES
from mmm.bvh.reading import CENTIMETRES, Tree
from mmm.errors import atomic_write, require
from mmm.motion.rigid import RigidMotion, fit_rigid, rest_directions
from mmm.motion.skeleton import Skeleton, get_skeleton


def write_bvh(
    path: str | os.PathLike,
    joints: Float[np.ndarray, "t j 3"],
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
    stretch: bool = False,
    unit: float = 1 / CENTIMETRES,
    up: str = "y",
) -> None:
    """Write world joints as a BVH file, in centimetres and with y up unless `unit` and `up` say otherwise.

    The rest pose (all angles zero) is a T-pose above the origin that faces z+, left is x+: arms along x, legs
    along -y, feet forward and down. Joints have the skeleton's names and three rotation channels; the root also
    has three position channels. Angles do not jump by whole turns, so tools may interpolate between frames.
    The file is written atomically.

    Args:
        path: the file to write.
        joints: world joints (T, J, 3) in metres, y up, T at least 1.
        fps: frames per second.
        skeleton: whose names and parents to use.
        stretch: False writes the nearest rigid body (`fit_rigid`), which can be retargeted, but whose joints
            differ a little from those of a generated clip. True gives every joint position channels too, as
            Bandai-Namco's files have them: bones stretch, and the joints are kept exactly.
        unit: metres per unit of the file. up: its axis that points up (`mmm.bvh.placement.AXES`).
    Raises:
        ValueError: joints do not have the skeleton's number of joints or are not all finite, or fps is not
            above 0.
    """
    skeleton = get_skeleton(skeleton)
    require(0 < fps < float("inf"), f"fps is {fps:g}, expected a number above 0.")
    rigid = fit_rigid(joints, skeleton)
    axes = np.array(AXES[up], np.float64)
    rotations = axes.T @ rigid.local_rotations @ axes
    positions = (rigid.relative_to_parents(joints) if stretch else rigid.root[:, None]) @ axes / unit
    tree, values = Tree(names=list(skeleton.joints), parents=list(skeleton.parents)), []
    for joint in range(skeleton.num_joints):
        order = "".join("XYZ"[np.abs(axes["XYZ".index(axis)]).argmax()] for axis in _order(joint, skeleton))
        names, numbers = (
            [f"{axis.lower()}rotation" for axis in order],
            unwrapped_angles(rotations[:, joint], order),
        )
        if joint < positions.shape[1]:
            names = ["xposition", "yposition", "zposition", *names]
            numbers = np.concatenate((positions[:, joint], numbers), 1)
        tree.offsets.append((rigid.offsets[joint] @ axes / unit).tolist())
        tree.channels.append(tuple(names))
        values.append(numbers)
        if joint not in skeleton.parents:
            tree.ends.append((_end(joint, rigid, skeleton) @ axes / unit).tolist())
            tree.end_parents.append(joint)
    write_tree(path, tree, np.concatenate(values, 1), fps)


def write_tree(path: str | os.PathLike, tree: Tree, rows: Float[np.ndarray, "t c"], fps: float) -> None:
    """Write a BVH file from its tree and the numbers of each frame, in the order of the tree's joints; atomically."""
    firsts = np.cumsum([0, *map(len, tree.channels)])
    lines, columns, depth, open_joints, to_come = ["HIERARCHY"], [], {-1: -1}, 0, [tree.parents.index(-1)]
    while to_come:
        joint = to_come.pop()
        depth[joint] = depth[tree.parents[joint]] + 1
        lines += _closed(open_joints, depth[joint])
        tab, open_joints = "\t" * depth[joint], depth[joint] + 1
        channels = " ".join(name.capitalize() for name in tree.channels[joint])
        lines += [
            f"{tab}{'JOINT' if depth[joint] else 'ROOT'} {tree.names[joint]}",
            f"{tab}{{",
            f"{tab}\tOFFSET {_numbers(tree.offsets[joint])}",
            f"{tab}\tCHANNELS {len(tree.channels[joint])} {channels}".rstrip(),
        ]
        for parent, offset in zip(tree.end_parents, tree.ends, strict=True):
            if parent == joint:
                lines += [
                    f"{tab}\tEnd Site",
                    f"{tab}\t{{",
                    f"{tab}\t\tOFFSET {_numbers(offset)}",
                    f"{tab}\t}}",
                ]
        columns += range(firsts[joint], firsts[joint + 1])
        to_come += [child for child, parent in enumerate(tree.parents) if parent == joint][::-1]
    lines += [*_closed(open_joints, 0), "MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.8f}"]
    with atomic_write(path) as target:
        text = "\n".join((*lines, *map(_numbers, rows[:, columns]), ""))
        target.write_text(text, encoding="utf-8", newline="\n")


def _closed(depth: int, to: int) -> list[str]:
    """The braces that end the open joints from the innermost on."""
    return ["\t" * level + "}" for level in range(depth - 1, to - 1, -1)]


def unwrapped_angles(rotations: Float[np.ndarray, "t 3 3"], order: str) -> Float[np.ndarray, "t 3"]:
    """Euler angles in degrees whose steps from frame to frame are small (`unwrap`).

    Args:
        rotations: (T, 3, 3) matrices.
        order: three different axes as BVH lists its channels (the last one is applied first), such as "YZX".
    """
    angles = euler_angles(rotations, order)
    unwrap(angles[:, None])
    return angles


def euler_angles(rotations: Float[np.ndarray, "t 3 3"], order: str) -> Float[np.ndarray, "t 3"]:
    """Euler angles in degrees, between -180 and 180."""
    with (
        warnings.catch_warnings()
    ):  # where two axes coincide scipy sets one angle to 0, which is a valid choice
        warnings.filterwarnings("ignore", "Gimbal lock")
        return Rotation.from_matrix(rotations).as_euler(order, degrees=True)


def unwrap(
    angles: Float[np.ndarray, "t j 3"],
    new: Bool[np.ndarray, "t j"] | None = None,
    free: Bool[np.ndarray, " j"] | None = None,
) -> None:
    """Make the steps of Euler angles from frame to frame small, in place.

    Every rotation has two triples of angles, to each of which whole turns may be added: the triple nearest to the last
    frame's is taken.

    Args:
        angles: of each joint, in degrees.
        new: angles that may be changed so; to a run of others only whole turns are added, the same ones to all of
            it; by default all may.
        free: joints with all three rotation channels, for which alone the second triple exists; by default all.
    """
    new = np.ones(angles.shape[:2], bool) if new is None else new
    free = np.ones(angles.shape[1], bool) if free is None else free
    shift = np.zeros(angles.shape[1:])
    for frame in range(1, len(angles)):
        last, angle = angles[frame - 1], angles[frame]
        both = np.stack((angle, np.where(free[:, None], angle * (1, -1, 1) + 180, angle)))
        both += 360 * np.round((last - both) / 360)
        nearest = np.abs(both - last).sum(-1).argmin(0)
        begins = new[frame - 1] & ~new[frame]
        shift[begins] = (both[0] - angle)[begins]
        angle[:] = np.where(new[frame][:, None], both[nearest, range(len(nearest))], angle + shift)


def _order(joint: int, skeleton: Skeleton) -> str:
    """Order of the rotation channels: the middle angle must stay off ±90°, where the other two coincide.

    For limbs, spine and head the middle one is the rotation about the bone itself, which is small. The root
    turns about y without limit and may bend far forward about x: its middle one is the lean to the side.
    """
    if joint == 0:
        return "YZX"
    return "ZXY" if abs(rest_directions(skeleton)[joint, 0]) == 1 else "XYZ"


def _end(leaf: int, rigid: RigidMotion, skeleton: Skeleton) -> Float[np.ndarray, "3"]:
    """End of the last bone: half as long as the one before, so that viewers show head, hands and toes."""
    length = np.linalg.norm(rigid.offsets[leaf]) / 2
    toes = [toe for _, toe in skeleton.feet]
    return np.array((0.0, 0.0, length)) if leaf in toes else rest_directions(skeleton)[leaf] * length


def _numbers(row: Iterable[float]) -> str:
    return " ".join(f"{number:.6f}" for number in row)
