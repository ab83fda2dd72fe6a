"""BVH motion capture files read: world joints of a file, whatever its channels (`mmm.motion.export` writes them)."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pymotion.rotations.quat_np as quat
from jaxtyping import Float

from mmm.motion.bvh_text import parse_bvh

CENTIMETRES = 100.0  # per metre: the unit of most BVH files, and what viewers' cameras are set for


@dataclasses.dataclass(frozen=True)
class BvhMotion:
    """A BVH file: names and parents (root −1) of its J joints, world joints (T, J, 3) in metres, frames per second.

    Also the E End Sites, which have no names: (T, E, 3) in metres, and the joint that each belongs to.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "t j 3"]
    fps: float
    ends: Float[np.ndarray, "t e 3"]
    end_parents: tuple[int, ...]


def read_bvh(path: str | os.PathLike, unit: float = 1 / CENTIMETRES) -> BvhMotion:
    """Read a BVH file and run forward kinematics.

    Joints may have position channels of their own (Bandai-Namco's files have six channels everywhere), and any order
    of rotations.

    Args:
        path: the file.
        unit: metres per unit of the file (centimetres by default).
    Returns:
        World joints (T, J, 3) in metres, in the axes of the file, with names, parents, End Sites and frames per second.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not a BVH file, one that is cut off or holds NaN, or one whose frame time is not above 0.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no BVH file {path}; give the path of an existing .bvh file.")
    text = parse_bvh(path)
    turn, place, first = [], [], 0
    for joint, (parent, channels) in enumerate(zip(text.parents, text.channels, strict=True)):
        own = text.rows[:, first : first + len(channels)]
        first += len(channels)
        rotation, position = _rotation(channels, own), _position(text.offsets[joint], channels, own)
        turn.append(rotation if parent < 0 else quat.mul(turn[parent], rotation))
        place.append(position if parent < 0 else place[parent] + quat.mul_vec(turn[parent], position))
    ends = [
        place[joint] + quat.mul_vec(turn[joint], np.broadcast_to(offset, place[joint].shape))
        for joint, offset in zip(text.end_parents, text.ends, strict=True)
    ]
    return BvhMotion(
        names=tuple(text.names),
        parents=tuple(text.parents),
        joints=(np.stack(place, 1) * unit).astype(np.float32),
        fps=round(1 / text.frame_time, 3),  # files say 0.0333333 and mean a thirtieth
        ends=(np.stack(ends, 1) * unit if ends else np.zeros((len(text.rows), 0, 3))).astype(np.float32),
        end_parents=tuple(text.end_parents),
    )


def _rotation(channels: tuple[str, ...], values: Float[np.ndarray, "t c"]) -> Float[np.ndarray, "t 4"]:
    """A joint's own rotation, the first channel outermost; none where it has no such channel."""
    rotation = None
    for channel, angle in reversed(list(zip(channels, values.T, strict=True))):
        if channel.endswith("rotation"):
            axis = np.eye(3)["xyz".index(channel[0])]
            one = quat.from_angle_axis(np.radians(angle)[:, None], axis)
            rotation = one if rotation is None else quat.mul(one, rotation)
    if rotation is None:
        return np.tile([1.0, 0.0, 0.0, 0.0], (len(values), 1))
    return quat.normalize(rotation)


def _position(
    offset: Float[np.ndarray, " 3"], channels: tuple[str, ...], values: Float[np.ndarray, "t c"]
) -> Float[np.ndarray, "t 3"]:
    """Where a joint is as its parent sees it: position channels replace its offset, they are not added to it."""
    position = np.tile(offset, (len(values), 1))
    for channel, value in zip(channels, values.T, strict=True):
        if channel.endswith("position"):
            position[:, "xyz".index(channel[0])] = value
    return position


def resample(values: Float[np.ndarray, "t ..."], fps: float, to: float) -> Float[np.ndarray, "n ..."]:
    """Linear interpolation in time from `fps` to `to` frames per second; the first frame stays."""
    # 1/0.0333333 is not quite 30: without the slack, times that hit a frame would miss it by a rounding error
    slack = 1e-4
    count = int(np.floor((len(values) - 1) * to / fps + slack)) + 1
    at = np.arange(count) * (fps / to)
    left = np.minimum(np.floor(at + slack).astype(int), len(values) - 1)
    right = np.minimum(left + 1, len(values) - 1)
    share = np.clip(at - left, 0, 1).reshape(-1, *[1] * (values.ndim - 1))
    return (values[left] * (1 - share) + values[right] * share).astype(values.dtype)
