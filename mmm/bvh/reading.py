"""Reading BVH files: the tree of joints, the table of numbers, and world joints by forward kinematics.

Biovision, who made the format, never wrote it down. This module reads what programs commonly write: key words in
capitals or not, braces on lines of their own or not, tabs, Windows line ends, names with blanks ("Bip01 L Thigh"), any
channels in any order on any joint, several End Sites.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.motion.quaternion import multiply, rotate

CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "xyz")
CENTIMETRES = 100.0  # per metre: the unit of most BVH files


@dataclasses.dataclass
class Tree:
    """What HIERARCHY says, in the unit and axes of the file: J joints in the order of the file, E End Sites.

    Attributes:
        names, parents, offsets: of each joint; the root's parent is -1, offsets are (x, y, z) from the parent.
        channels: of each joint, lower-case names such as "zrotation", in the order of its numbers.
        ends, end_parents: offsets of the End Sites from their joints, and these joints.
    """

    names: list[str] = dataclasses.field(default_factory=list)
    parents: list[int] = dataclasses.field(default_factory=list)
    offsets: list[list[float] | None] = dataclasses.field(default_factory=list)
    channels: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    ends: list[list[float] | None] = dataclasses.field(default_factory=list)
    end_parents: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class BvhMotion:
    """A BVH file: names and parents (root −1) of its J joints, world joints (T, J, 3) in metres, frames per second.

    The E End Sites have no names: `ends` (T, E, 3) are their positions in metres, `end_parents` their joints.
    `tree` and `rows` (frames, C) are the file as it is: offsets, channels, and one row of their numbers a frame.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "t j 3"]
    fps: float
    ends: Float[np.ndarray, "t e 3"]
    end_parents: tuple[int, ...]
    tree: Tree
    rows: Float[np.ndarray, "frames c"]


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
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    head, *body = re.split(r"(?im)^[ \t]*MOTION[ \t]*$", text, maxsplit=1)
    try:
        require(bool(body) and "HIERARCHY" in head.upper(), "no HIERARCHY or no MOTION")
        tree = _parse_tree(head)
        frames, frame_time, lines = _parse_motion(body[0])
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
    rows = _parse_rows(path, lines, frames, sum(map(len, tree.channels)))
    joints, ends = _forward_kinematics(tree, rows)
    return BvhMotion(
        names=tuple(tree.names),
        parents=tuple(tree.parents),
        joints=(joints * unit).astype(np.float32),
        fps=round(1 / frame_time, 3),  # files say 0.0333333 and mean a thirtieth
        ends=(ends * unit).astype(np.float32),
        end_parents=tuple(tree.end_parents),
        tree=tree,
        rows=rows,
    )


def resample(values: Float[np.ndarray, "t ..."], fps: float, to: float) -> Float[np.ndarray, "n ..."]:
    """Linear interpolation in time from `fps` to `to` frames per second; the first frame stays."""
    # 1/0.0333333 is not quite 30: without the slack, times that hit a frame would miss it by a rounding error
    slack = 1e-4
    count = int(np.floor((len(values) - 1) * to / fps + slack)) + 1
    at = np.arange(count) * (fps / to)
    left = np.minimum(np.floor(at + slack).astype(int), len(values) - 1)
    right = np.minimum(left + 1, len(values) - 1)
    weight = np.clip(at - left, 0, 1).reshape(-1, *[1] * (values.ndim - 1))
    return (values[left] * (1 - weight) + values[right] * weight).astype(values.dtype)


# ---------------------------------------------------------------------- text → tree and table of numbers


def _parse_tree(head: str) -> Tree:
    """The joints. Raises ValueError or IndexError where a line cannot be read; `read_bvh` makes a sentence of it."""
    tree = Tree()
    open_joints: list[int | None] = []  # the joints whose braces are open; None for an End Site
    new: int | None = None
    for line in re.sub(r"([{}])", r"\n\1\n", head).splitlines():
        word, *rest = line.split(maxsplit=1) or [""]
        key, rest = word.upper(), rest[0].strip() if rest else ""
        if key in ("ROOT", "JOINT"):
            require(key == "JOINT" or not tree.names, "a second ROOT; one body a file can be read")
            require(bool(rest), f"a {key} without a name")
            new = len(tree.names)
            tree.parents.append(open_joints[-1] if open_joints else -1)
            tree.names.append(rest)
            tree.offsets.append(None)
            tree.channels.append(())
        elif key == "END":
            new = None
            tree.ends.append(None)
            tree.end_parents.append(open_joints[-1])
        elif key == "{":
            open_joints.append(new)
        elif key == "}":
            open_joints.pop()
        elif key == "OFFSET":
            offset = [float(number) for number in rest.split()]
            require(len(offset) == 3, f"an OFFSET with {len(offset)} numbers")
            (tree.ends if open_joints[-1] is None else tree.offsets)[-1] = offset
        elif key == "CHANNELS":
            count, *channels = rest.lower().split()
            require(int(count) == len(channels), f"the line 'CHANNELS {rest}'")
            unknown = [name for name in channels if name not in CHANNELS]
            require(not unknown, f"the channel {unknown[:1]}")
            tree.channels[-1] = tuple(channels)
    require(
        bool(tree.names) and not open_joints,
        f"{len(tree.names)} joints, {len(open_joints)} of them not closed",
    )
    require(None not in tree.offsets and None not in tree.ends, "a joint without OFFSET")
    return tree


def _parse_motion(text: str) -> tuple[int, float, list[str]]:
    """Frames, frame time in seconds and the lines of numbers that are not blank."""
    lines = [line for line in text.splitlines() if line.strip()]
    frames = re.fullmatch(r"\s*frames\s*:\s*(\d+)\s*", lines[0], re.IGNORECASE)
    time = re.fullmatch(r"\s*frame\s*time\s*:\s*(\S+)\s*", lines[1], re.IGNORECASE)
    require(frames and time, "no 'Frames:' and 'Frame Time:' after MOTION")
    return int(frames[1]), float(time[1]), lines[2:]


def _parse_rows(path: Path, lines: list[str], frames: int, width: int) -> Float[np.ndarray, "t c"]:
    """The numbers, one row a frame. Some programs break the rows, so only the total count is checked."""
    words = [line.split() for line in lines]
    require(
        frames > 0 and width > 0 and sum(map(len, words)) == frames * width,
        f"{path} is cut off: it has {len(lines)} frames, the last with {len(words[-1]) if words else 0} numbers, "
        f"expected {frames} frames of {width} numbers; copy or export it again.",
    )
    try:
        rows = np.array([float(word) for line in words for word in line]).reshape(frames, width)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as BVH ({error}); copy or export it again.") from error
    bad = int((~np.isfinite(rows)).any(1).sum())
    require(bad == 0, f"{path} holds NaN or infinity in {bad} of {frames} frames; mend or export it again.")
    return rows


# ---------------------------------------------------------------------- forward kinematics


def _forward_kinematics(
    tree: Tree, rows: Float[np.ndarray, "t c"]
) -> tuple[Float[np.ndarray, "t j 3"], Float[np.ndarray, "t e 3"]]:
    """World positions of joints and End Sites in the unit of the file."""
    rotations, positions, first = [], [], 0
    for parent, offset, channels in zip(tree.parents, tree.offsets, tree.channels, strict=True):
        values = torch.from_numpy(rows[:, first : first + len(channels)])
        first += len(channels)
        rotation = _local_rotation(channels, values)
        position = _local_position(offset, channels, values)
        if parent >= 0:
            position = positions[parent] + rotate(rotations[parent], position)
            rotation = multiply(rotations[parent], rotation)
        rotations.append(rotation)
        positions.append(position)
    ends = [
        positions[joint] + rotate(rotations[joint], torch.tensor(offset, dtype=torch.float64))
        for joint, offset in zip(tree.end_parents, tree.ends, strict=True)
    ]
    no_ends = np.zeros((len(rows), 0, 3))
    return torch.stack(positions, 1).numpy(), torch.stack(ends, 1).numpy() if ends else no_ends


def _local_rotation(channels: tuple[str, ...], values: Float[Tensor, "t c"]) -> Float[Tensor, "t 4"]:
    """A joint's own rotation as quaternions, the first channel outermost; none where it has no such channel."""
    total = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(len(values), 4)
    for channel, degrees in reversed(list(zip(channels, values.T, strict=True))):
        if channel.endswith("rotation"):
            half = torch.deg2rad(degrees) / 2
            one = torch.zeros_like(total)
            one[:, 0], one[:, 1 + "xyz".index(channel[0])] = half.cos(), half.sin()
            total = multiply(one, total)
    # Without 1e-8 some joints would change in their last bits, and with them the content hashes of data sets.
    return total / (total.norm(dim=-1, keepdim=True) + 1e-8)


def _local_position(
    offset: list[float], channels: tuple[str, ...], values: Float[Tensor, "t c"]
) -> Float[Tensor, "t 3"]:
    """A joint's position relative to its parent: position channels replace its offset, they are not added to it."""
    position = torch.tensor(offset, dtype=torch.float64).repeat(len(values), 1)
    for channel, value in zip(channels, values.T, strict=True):
        if channel.endswith("position"):
            position[:, "xyz".index(channel[0])] = value
    return position
