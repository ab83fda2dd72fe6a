"""BVH motion capture files in and out (upc-pymotion parses and writes, we check and give world joints)."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pymotion.rotations.quat_np as quat
from jaxtyping import Float
from pymotion.io.bvh import BVH

from mmm.errors import require

CENTIMETRES = 100.0  # per metre: the unit of most BVH files, and what viewers' cameras are set for


@dataclasses.dataclass(frozen=True)
class BvhMotion:
    """A BVH file: names and parents (root −1) of its J joints, world joints (T, J, 3) in metres, frames per second."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "t j 3"]
    fps: float


def _check_text(path: Path) -> None:
    """Raise ValueError if the file is cut off (pymotion would leave zeros) or time does not go on in it."""
    head, motion, rest = path.read_text(errors="replace").partition("MOTION")
    lines = rest.split("\n")
    try:
        frames = int(lines[1].split(":")[1])
        frame_time = float(lines[2].split(":")[1])
        channels = sum(int(line.split()[1]) for line in head.split("\n") if "CHANNELS" in line)
    except (IndexError, ValueError):
        motion = ""
    require(
        bool(motion) and "HIERARCHY" in head,
        f"{path} is not a whole BVH file: expected HIERARCHY, then MOTION with 'Frames:' and 'Frame Time:'; "
        "copy or export it again.",
    )
    require(
        0 < frame_time < float("inf"),
        f"{path} has the frame time {frame_time:g} s, expected one above 0; mend its 'Frame Time:' line or export "
        "it again.",
    )
    rows = [line for line in lines[3:] if line.strip()]
    last = len(rows[-1].split()) if rows else 0
    require(
        len(rows) == frames and last == channels,
        f"{path} is cut off: found {len(rows)} frames, the last with {last} numbers, expected {frames} frames of "
        f"{channels} numbers; copy or export it again.",
    )


def read_bvh(path: str | os.PathLike, unit: float = 1 / CENTIMETRES) -> BvhMotion:
    """Read a BVH file and run forward kinematics.

    Joints may have position channels of their own (Bandai-Namco's files have six channels everywhere).

    Args:
        path: the file.
        unit: metres per unit of the file (centimetres by default).
    Returns:
        World joints (T, J, 3) in metres, y up, with names, parents and frames per second.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not a BVH file, one that is cut off, or one whose frame time is not above 0.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no BVH file {path}; give the path of an existing .bvh file.")
    _check_text(path)
    bvh = BVH()
    try:
        bvh.load(str(path))
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise ValueError(f"{path} cannot be read as BVH ({error}); copy or export it again.") from error
    rotations, positions, parents, *_ = bvh.get_data()
    turn, place = [rotations[:, 0]], [positions[:, 0]]
    for joint, parent in list(enumerate(parents))[1:]:
        turn.append(quat.mul(turn[parent], rotations[:, joint]))
        place.append(place[parent] + quat.mul_vec(turn[parent], positions[:, joint]))
    return BvhMotion(
        names=tuple(str(name) for name in bvh.data["names"]),
        parents=(-1, *(int(parent) for parent in parents[1:])),
        joints=(np.stack(place, 1) * unit).astype(np.float32),
        fps=round(1 / bvh.data["frame_time"], 3),  # files say 0.0333333 and mean a thirtieth
    )


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
