"""Writing BVH files that animation tools can use: a rigid body that turns at its joints and moves at its root.

`write_bvh` writes the nearest rigid body of any joints (`mmm.motion.rigid`).
"""

from __future__ import annotations

import os
import warnings

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mmm.bvh.reading import CENTIMETRES
from mmm.errors import atomic_write, require
from mmm.motion.rigid import RigidMotion, fit_rigid, rest_directions
from mmm.motion.skeleton import Skeleton, get_skeleton


def write_bvh(
    path: str | os.PathLike,
    joints: Float[np.ndarray, "t j 3"],
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
    stretch: bool = False,
) -> None:
    """Write world joints as a BVH file in centimetres.

    The rest pose (all angles zero) is a T-pose above the origin that faces z+, left is x+: arms along x, legs
    along -y, feet forward and down. Joints have the skeleton's names and three rotation channels; the root also
    has three position channels. Angles do not jump by whole turns, so tools may interpolate between frames.
    The file is written atomically.

    Args:
        path: the file to write.
        joints: world joints (T, J, 3) in metres, T at least 1.
        fps: frames per second.
        skeleton: whose names and parents to use.
        stretch: False writes the nearest rigid body (`fit_rigid`), which can be retargeted, but whose joints
            differ a little from those of a generated clip. True gives every joint position channels too, as
            Bandai-Namco's files have them: bones stretch, and the joints are kept exactly.
    Raises:
        ValueError: joints do not have the skeleton's number of joints or are not all finite, or fps is not
            above 0.
    """
    skeleton = get_skeleton(skeleton)
    require(0 < fps < float("inf"), f"fps is {fps:g}, expected a number above 0.")
    rigid = fit_rigid(joints, skeleton)
    rotations = rigid.local_rotations
    positions = rigid.relative_to_parents(joints) if stretch else rigid.root[:, None]
    channels, values = [], []
    for joint in range(skeleton.num_joints):
        order = _order(joint, skeleton)
        names, numbers = [f"{axis}rotation" for axis in order], unwrapped_angles(rotations[:, joint], order)
        if joint < positions.shape[1]:
            names = ["Xposition", "Yposition", "Zposition", *names]
            numbers = np.concatenate((positions[:, joint] * CENTIMETRES, numbers), 1)
        channels.append(f"CHANNELS {len(names)} {' '.join(names)}")
        values.append(numbers)
    head, order = _hierarchy(0, rigid, channels, skeleton)
    frames = np.concatenate([values[joint] for joint in order], 1)
    lines = ["HIERARCHY", *head, "MOTION", f"Frames: {len(frames)}", f"Frame Time: {1 / fps:.8f}"]
    with atomic_write(path) as target:
        text = "\n".join((*lines, *map(_numbers, frames), ""))
        target.write_text(text, encoding="ascii", newline="\n")


def unwrapped_angles(rotations: Float[np.ndarray, "t 3 3"], order: str) -> Float[np.ndarray, "t 3"]:
    """Euler angles in degrees whose steps from frame to frame are small.

    Every rotation has two triples of angles, to each of which whole turns may be added: the triple nearest to
    the last frame's is taken. The first frame's are between -180 and 180.

    Args:
        rotations: (T, 3, 3) matrices.
        order: three different axes as BVH lists its channels (the last one is applied first), such as "YZX".
    """
    with (
        warnings.catch_warnings()
    ):  # where two axes coincide scipy sets one angle to 0, which is a valid choice
        warnings.filterwarnings("ignore", "Gimbal lock")
        angles = Rotation.from_matrix(rotations).as_euler(order, degrees=True)
    for last, angle in zip(angles, angles[1:], strict=False):
        both = np.stack((angle, angle * (1, -1, 1) + 180))
        both += 360 * np.round((last - both) / 360)
        angle[:] = both[np.abs(both - last).sum(-1).argmin()]
    return angles


def _order(joint: int, skeleton: Skeleton) -> str:
    """Order of the rotation channels: the middle angle must stay off ±90°, where the other two coincide.

    For limbs, spine and head the middle one is the rotation about the bone itself, which is small. The root
    turns about y without limit and may bend far forward about x: its middle one is the lean to the side.
    """
    if joint == 0:
        return "YZX"
    return "ZXY" if abs(rest_directions(skeleton)[joint, 0]) == 1 else "XYZ"


def _hierarchy(
    joint: int, rigid: RigidMotion, channels: list[str], skeleton: Skeleton, tab: str = ""
) -> tuple[list[str], list[int]]:
    """Lines of the joint and of all below it, and these joints in the order of the lines."""
    lines = [
        f"{tab}{'JOINT' if joint else 'ROOT'} {skeleton.joints[joint]}",
        f"{tab}{{",
        f"{tab}\tOFFSET {_numbers(rigid.offsets[joint] * CENTIMETRES)}",
        f"{tab}\t{channels[joint]}",
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
