"""BVH motion capture files read: world joints of a file, whatever its channels (`mmm.bvh.writing` writes them).

The text of a BVH file: its tree of joints and its table of numbers, however programs write them.

The format was never written down by its maker (Biovision). What is common, and read here: key words in capitals or
not, braces on lines of their own or not, tabs, Windows line ends, names with blanks ("Bip01 L Thigh"), any channels in
any order on any joint, several End Sites.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pymotion.rotations.quat_np as quat
from jaxtyping import Float

from mmm.errors import require

CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "xyz")


@dataclasses.dataclass
class BvhText:
    """What the file says, in its own unit, angles in degrees.

    Attributes:
        names: of the J joints, in the order of the file; parents: of each, -1 for the root.
        offsets: (J, 3) from the parent.
        channels: of each joint, lower-case names such as "zrotation", in the order of its numbers.
        ends: (E, 3) offsets of the End Sites from their joints; end_parents: their joints.
        rows: (T, C) the numbers of each frame.
        frame_time: seconds.
    """

    names: list[str]
    parents: list[int]
    offsets: Float[np.ndarray, "j 3"]
    channels: list[tuple[str, ...]]
    ends: Float[np.ndarray, "e 3"]
    end_parents: list[int]
    rows: Float[np.ndarray, "t c"]
    frame_time: float


def parse_bvh(path: Path) -> BvhText:
    """Read the file.

    Raises:
        ValueError: it is not a BVH file or a part of it is missing or cannot be read; one sentence.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    head, *rest = re.split(r"(?im)^[ \t]*MOTION[ \t]*$", text, maxsplit=1)
    try:
        require(bool(rest) and "HIERARCHY" in head.upper(), "no HIERARCHY or no MOTION")
        tree = _tree(head)
        frames, frame_time, lines = _motion(rest[0])
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole BVH file ({error}): expected HIERARCHY, then MOTION with 'Frames:' and "
            "'Frame Time:'; copy or export it again."
        ) from error
    require(
        0 < frame_time < float("inf"),
        f"{path} has the frame time {frame_time:g} s, expected one above 0; mend its 'Frame Time:' line or export "
        "it again.",
    )
    return BvhText(**tree, rows=_rows(path, lines, frames, tree["channels"]), frame_time=frame_time)


def _tree(head: str) -> dict:
    """The joints. Raises ValueError or IndexError, whose words go into a sentence, where a line cannot be read."""
    names, parents, offsets, channels, ends, end_parents = [], [], [], [], [], []
    open_joints: list[int | None] = []  # the joints whose braces are open; None for an End Site
    new: int | None = None
    for line in re.sub(r"([{}])", r"\n\1\n", head).splitlines():
        word, *rest = line.split(maxsplit=1) or [""]
        key, rest = word.upper(), rest[0].strip() if rest else ""
        if key in ("ROOT", "JOINT"):
            require(key == "JOINT" or not names, "a second ROOT; one body a file can be read")
            require(bool(rest), f"a {key} without a name")
            new = len(names)
            parents.append(open_joints[-1] if open_joints else -1)
            names.append(rest)
            offsets.append(None)
            channels.append(())
        elif key == "END":
            new = None
            ends.append(None)
            end_parents.append(open_joints[-1])
        elif key == "{":
            open_joints.append(new)
        elif key == "}":
            open_joints.pop()
        elif key == "OFFSET":
            place = [float(number) for number in rest.split()]
            require(len(place) == 3, f"an OFFSET with {len(place)} numbers")
            (ends if open_joints[-1] is None else offsets)[-1] = place
        elif key == "CHANNELS":
            count, *found = rest.lower().split()
            require(int(count) == len(found), f"the line 'CHANNELS {rest}'")
            unknown = [name for name in found if name not in CHANNELS]
            require(not unknown, f"the channel {unknown[:1]}")
            channels[-1] = tuple(found)
    require(bool(names) and not open_joints, f"{len(names)} joints, {len(open_joints)} of them not closed")
    require(None not in offsets and None not in ends, "a joint without OFFSET")
    return {
        "names": names,
        "parents": parents,
        "offsets": np.array(offsets, np.float64).reshape(-1, 3),
        "channels": channels,
        "ends": np.array(ends, np.float64).reshape(-1, 3),
        "end_parents": end_parents,
    }


def _motion(text: str) -> tuple[int, float, list[str]]:
    """Frames, frame time and the lines of numbers that are not blank."""
    lines = [line for line in text.splitlines() if line.strip()]
    frames = re.fullmatch(r"\s*frames\s*:\s*(\d+)\s*", lines[0], re.IGNORECASE)
    time = re.fullmatch(r"\s*frame\s*time\s*:\s*(\S+)\s*", lines[1], re.IGNORECASE)
    require(frames and time, "no 'Frames:' and 'Frame Time:' after MOTION")
    return int(frames[1]), float(time[1]), lines[2:]


def _rows(
    path: Path, lines: list[str], frames: int, channels: list[tuple[str, ...]]
) -> Float[np.ndarray, "t c"]:
    """The numbers, one row a frame; some programs break the rows, so that only their number counts."""
    width = sum(map(len, channels))
    words = [line.split() for line in lines]
    require(
        frames > 0 and width > 0 and sum(map(len, words)) == frames * width,
        f"{path} is cut off: found {len(lines)} frames, the last with {len(words[-1]) if words else 0} numbers, "
        f"expected {frames} frames of {width} numbers; copy or export it again.",
    )
    try:
        rows = np.array([float(word) for line in words for word in line]).reshape(frames, width)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as BVH ({error}); copy or export it again.") from error
    bad = int((~np.isfinite(rows)).any(1).sum())
    require(bad == 0, f"{path} holds NaN or infinity in {bad} of {frames} frames; mend or export it again.")
    return rows


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
