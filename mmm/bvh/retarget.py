"""An edit of a BVH file, given back as that file: with its skeleton, joint names, unit, axes and frame rate.

Where the edit has kept the motion, the numbers of the file are written again. Elsewhere inverse kinematics
(`mmm.bvh.kinematics`) brings the file's own skeleton to the 22 joints of the edit. Rotations that these do not show
(fingers, tips of the toes, the twist of a forearm) are

- where nothing of a frame was kept: a transition from the last kept frame before it to the first one after it, or
  those of the one that there is;
- elsewhere, where a body part was regenerated: those of the file.

Joints that an edit keeps are exactly the file's where it keeps legs and path. Under other legs the upper body goes
along with them: between the features' 20 frames a second its joints lie on a curve, in a ballet of CMU at 120 fps up to
7.6 cm from the file's pose (05_17, frame 619; 0.3 cm in the mean), beside a T-pose that is jumped out of up to 23 cm.

The features lack the last frame of a clip: what the file has after theirs is written if its end was kept, and left out
if not.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from mmm.bvh.capture import Captured
from mmm.bvh.joint_map import JointMap
from mmm.bvh.kinematics import Rig
from mmm.bvh.placement import stand_on, to_y_up
from mmm.bvh.reading import BvhMotion, Tree, local_position, local_rotation
from mmm.bvh.writing import euler_angles, unwrap, write_bvh, write_tree
from mmm.errors import require
from mmm.motion.clip import Motion
from mmm.motion.runs import runs
from mmm.motion.skeleton import HUMANML3D

SLACK = 1e-4  # frames: 1/0.0333333 is not quite 30
MOST_JOINTS = 2000
FARTHEST = 0.1  # m between kept joints and the file's; more is another motion


def save_edit(
    path: str | os.PathLike,
    source: Captured,
    edited: Motion,
    fps: float | None = None,
    names: str = "own",
) -> int:
    """Write an edit of a BVH file as BVH, standing where the file's motion stood, in its unit and axes.

    Args:
        source: the file, as `load_motion` has read it. edited: what an editing method of `MMM` made of it.
        fps: frames per second; by default the file's. Then kept frames are the file's, else they lie between these.
        names: "own" writes the file's skeleton (see above); "humanml3d" the nearest rigid body of its 22 joints, with
            their names, in the user's size.
    Returns:
        The number of frames.
    Raises:
        ValueError: another value of `names`, fps out of range, `source` is no BVH file or `edited` no edit of it.
    """
    check_format(fps, names)
    bvh = source.source.bvh
    require(
        bvh is not None,
        f"{source.source.path} is no BVH file, so it has no skeleton; save the motion itself.",
    )
    timed = _timed(source, edited, fps or bvh.fps)
    if names == "humanml3d":
        up, unit = source.placement.up, source.placement.unit
        joints = to_y_up(timed.joints.astype(np.float32), up) * np.float32(unit)
        write_bvh(path, joints, fps or bvh.fps, unit=unit, up=up)
    else:
        require(
            len(bvh.names) <= MOST_JOINTS,
            f"{source.source.path} has {len(bvh.names):,} joints, expected at most {MOST_JOINTS:,} to move them; write "
            "the 22 joints with --names humanml3d.",
        )
        write_tree(path, *_own(source, timed), fps or bvh.fps)
    return len(timed.joints)


def check_format(fps: float | None, names: str) -> None:
    """Raise ValueError for a frame rate or a choice of names that `save_edit` does not know."""
    require(fps is None or 1 <= fps <= 1000, f"fps is {fps}, expected 1 to 1000 frames per second.")
    require(names in ("own", "humanml3d"), f"names is {names!r}, expected own or humanml3d.")


@dataclasses.dataclass(frozen=True)
class _Timed:
    """An edit in the frames that are written.

    Attributes:
        at: the frame of the file, not always a whole number; beyond its ends where frames were added.
        joints: the 22 joints in the unit and axes of the file. moved: which of them are not those of the file.
        blank: whether nothing of the frame was kept.
    """

    at: Float[np.ndarray, " t"]
    joints: Float[np.ndarray, "t 22 3"]
    moved: Bool[np.ndarray, "t 22"]
    blank: Bool[np.ndarray, " t"]


def _timed(source: Captured, edited: Motion, fps: float) -> _Timed:
    """The edit at `fps` in the user's world: kept joints are exactly those of the file."""
    bvh, kept, rate = source.source.bvh, edited.captured, HUMANML3D.fps
    features = len(source.motion.features)
    require(
        kept.any() and len(kept) >= features and len(kept) == len(edited.joints),
        f"the motion of {len(edited)} frames is no edit of {source.source.path}; edit its .motion first.",
    )
    added = _frames_added_before(source.motion.features, edited, kept.any(1))
    frame = int(kept.sum(1).argmax())
    joints = stand_on(edited.joints, frame, source.motion.joints[frame - added], kept[frame])
    joints = source.placement.to_file(joints).astype(np.float64)

    moved = ~kept | ~kept[:, :1]  # all joints hang on the pelvis
    first = int(np.floor(added / rate * fps + SLACK))  # frames before the file's first
    kept_to_the_end = not moved[-1].any() and added + features == len(kept)
    seconds = (len(bvh.rows) - 1) / bvh.fps if kept_to_the_end else (len(kept) - 1 - added) / rate
    times = (np.arange(first + int(np.floor(seconds * fps + SLACK)) + 1) - first) / fps
    frames = np.clip(times * rate + added, 0, len(kept) - 1)
    low, high = np.floor(frames + SLACK).astype(int), np.ceil(frames - SLACK).astype(int)
    moved, blank = moved[low] | moved[high], ~(kept[low].any(1) & kept[high].any(1))

    at = times * bvh.fps
    at = np.where(np.abs(at - np.round(at)) < 10 * SLACK, np.round(at), at)
    inside = np.clip(at, 0, len(bvh.rows) - 1)
    own = source.source.joint_map.apply(bvh).astype(np.float64)
    left, right, weight = _between(inside)
    own = own[left] * (1 - weight[:, None, None]) + own[right] * weight[:, None, None]
    placed = make_interp_spline(np.arange(len(joints)), joints, k=min(3, len(joints) - 1))(frames)
    off = own - placed
    for joint in range(off.shape[1]):
        stays = np.flatnonzero(~moved[:, joint])
        if len(stays) == 0:
            off[:, joint] = 0
            continue
        far = np.median(np.linalg.norm(off[stays, joint], axis=-1)) * source.placement.unit
        require(
            far < FARTHEST,
            f"the motion is no edit of {source.source.path}: its kept joints are {far:.2f} m off.",
        )
        for axis in range(3):  # what the file's body differs from HumanML3D's fades over into a gap
            off[:, joint, axis] = np.interp(np.arange(len(off)), stays, off[stays, joint, axis])
    return _Timed(at, placed + off, moved, blank)


def _frames_added_before(
    features: Float[np.ndarray, "t d"], edited: Motion, kept: Bool[np.ndarray, " n"]
) -> int:
    """Where the user's motion begins in the edit: where its poses agree with the kept ones.

    The first kept frame does not say it: an edit of an edit may have no kept frame at the start.
    """
    count, pose = len(features), slice(4, 67)  # joints around the root, wherever it stands

    def error(added: int) -> float:
        rows = kept[added : added + count]
        off = edited.features[added : added + count, pose] - features[:, pose]
        return float(np.abs(off[rows]).mean()) if rows.any() else np.inf

    fits = [
        added
        for added in range(len(kept) - count + 1)
        if not (kept[:added].any() or kept[added + count :].any())
    ]
    require(
        fits, "the motion is no edit of this file, whose frames it keeps elsewhere; edit its .motion first."
    )
    return min(fits, key=error)


def _between(at: Float[np.ndarray, " t"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames on either side of a time in frames, and the weight of the later one."""
    left = np.floor(at).astype(int)
    return left, np.ceil(at).astype(int), at - left


def _own(source: Captured, timed: _Timed) -> tuple[Tree, Float[np.ndarray, "t c"]]:
    """The file's tree, with channels for whatever is to move, and the rows of its numbers."""
    bvh = source.source.bvh
    rig = Rig(bvh.tree, _weights(source.source.joint_map, bvh))
    rotations, positions = _own_pose(bvh, np.clip(timed.at, 0, len(bvh.rows) - 1))
    for start, stop in runs(timed.blank):
        _go_over(rotations, positions, start, stop)
    some = timed.moved.any(1)
    pose = rotations[some], positions[some]
    rig.follow(*pose, timed.joints[some], timed.moved[some], source.placement.unit)
    rotations[some], positions[some] = pose

    turning, whole = rig.turning(timed.moved), timed.moved.all(1)
    new = np.repeat((timed.blank | (timed.at != np.round(timed.at)))[:, None], len(bvh.names), axis=1)
    new[:, rig.inner] |= turning
    new[:, rig.carrier] |= whole
    tree = dataclasses.replace(bvh.tree, channels=list(bvh.tree.channels))
    for joint, channels in enumerate(bvh.tree.channels):
        places = [name for name in channels if name.endswith("position")]
        turns = [name for name in channels if name.endswith("rotation")]
        if joint == rig.carrier and whole.any() and len(places) < 3:
            places = [f"{axis}position" for axis in "xyz"]
        if joint in rig.inner and turning[:, rig.inner.index(joint)].any() and len(turns) < 3:
            turns = [f"{axis}rotation" for axis in "zxy"]
        if len(places) + len(turns) > len(channels):
            tree.channels[joint] = (*places, *turns)
            new[:, joint] = True
    return tree, _rows(bvh, tree, timed.at, new, rotations, positions)


def _weights(joint_map: JointMap, bvh: BvhMotion) -> Float[np.ndarray, "22 n"]:
    """Each of the 22 joints as a mean of the file's joints and End Sites: the map applied to each of these alone."""
    joints, ends = len(bvh.names), len(bvh.end_parents)
    one = np.repeat(np.eye(joints + ends, dtype=np.float32)[..., None], 3, axis=-1)
    return joint_map.apply(dataclasses.replace(bvh, joints=one[:, :joints], ends=one[:, joints:]))[
        ..., 0
    ].T.astype(float)


def _own_pose(
    bvh: BvhMotion, at: Float[np.ndarray, " t"]
) -> tuple[Float[np.ndarray, "t j 3 3"], Float[np.ndarray, "t j 3"]]:
    """Rotations and positions relative to the parents, of all joints of the file at times in its frames."""
    left, right, weight = _between(at)
    rotations, positions, first = [], [], 0
    for offset, channels in zip(bvh.tree.offsets, bvh.tree.channels, strict=True):
        values = torch.from_numpy(bvh.rows[:, first : first + len(channels)])
        first += len(channels)
        turns = Rotation.from_quat(local_rotation(channels, values).numpy()[:, [1, 2, 3, 0]])
        turn, place = turns[left], local_position(offset, channels, values).numpy()
        if weight.any():
            turn = turn * Rotation.from_rotvec((turn.inv() * turns[right]).as_rotvec() * weight[:, None])
        rotations.append(turn.as_matrix())
        positions.append(place[left] * (1 - weight[:, None]) + place[right] * weight[:, None])
    return np.stack(rotations, 1), np.stack(positions, 1)


def _go_over(
    rotations: Float[np.ndarray, "t j 3 3"], positions: Float[np.ndarray, "t j 3"], start: int, stop: int
) -> None:
    """Fill a gap, in place, with a transition from the frame before it to the one after it; one is enough."""
    ends = [frame for frame in (start - 1, stop) if 0 <= frame < len(rotations)]
    if not ends:
        return
    one, other = ends[0], ends[-1]
    weight = (np.arange(stop - start) + 1) / (stop - start + 1)
    turn = (
        Rotation.from_matrix(rotations[one].swapaxes(-1, -2) @ rotations[other]).as_rotvec()
        * weight[:, None, None]
    )
    turns = Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix().reshape(*turn.shape, 3)
    rotations[start:stop] = rotations[one] @ turns
    positions[start:stop] = positions[one] + (positions[other] - positions[one]) * weight[:, None, None]


def _rows(
    bvh: BvhMotion,
    tree: Tree,
    at: Float[np.ndarray, " t"],
    new: Bool[np.ndarray, "t j"],
    rotations: Float[np.ndarray, "t j 3 3"],
    positions: Float[np.ndarray, "t j 3"],
) -> Float[np.ndarray, "t c"]:
    """The numbers of the channels: new ones where `new` says so, else those of the file (but for whole turns)."""
    frames = np.clip(np.round(at).astype(int), 0, len(bvh.rows) - 1)
    angles, places, free, first = np.zeros(positions.shape), positions.copy(), [], 0
    for joint, (old, channels) in enumerate(zip(bvh.tree.channels, tree.channels, strict=True)):
        letters = _letters(channels)
        free.append(len(letters) == 3)
        order = letters + "".join(axis for axis in "ZXY" if axis not in letters)
        fresh, same = new[:, joint], ~new[:, joint]
        if fresh.any():
            angles[fresh, joint] = euler_angles(rotations[fresh, joint], order)
        if same.any():
            for number, name in enumerate(old):
                values = bvh.rows[frames[same], first + number]
                if name.endswith("rotation"):
                    angles[same, joint, letters.index(name[0].upper())] = values
                else:
                    places[same, joint, "xyz".index(name[0])] = values
        first += len(old)
    unwrap(angles, new, np.array(free))
    columns = []
    for joint, channels in enumerate(tree.channels):
        letters = _letters(channels)
        for name in channels:
            turns = name.endswith("rotation")
            axis = letters.index(name[0].upper()) if turns else "xyz".index(name[0])
            columns.append((angles if turns else places)[:, joint, axis])
    return np.stack(columns, 1)


def _letters(channels: tuple[str, ...]) -> str:
    """The order of the rotations, such as ZXY."""
    return "".join(name[0].upper() for name in channels if name.endswith("rotation"))
