"""Reading BVH files: world joints by forward kinematics of what `mmm.bvh.parsing` finds in the text.

Any channels in any order on any joint, several End Sites.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.bvh.parsing import Tree, parse, shown
from mmm.errors import require
from mmm.motion.quaternion import multiply, rotate

CENTIMETRES = 100.0  # per metre: the unit of most BVH files
SLOWEST, FASTEST = 1.0, 1000.0  # frames per second
LONGEST = 3600.0  # seconds
MOST, PIECE = 100_000_000, 20_000_000  # frames times joints: 1.2 GB in all, in pieces while they are float64


@dataclasses.dataclass(frozen=True)
class BvhMotion:
    """A BVH file: names and parents (root −1) of its J joints, world joints (T, J, 3) in metres, frames per second.

    The E End Sites have no names: `ends` (T, E, 3) are their positions in metres, `end_parents` their joints.
    `tree` and `rows` (frames, C) are the file as it is: offsets, channels, and one row of their numbers a frame.
    `notes` are sentences on what is amiss in the file and how it was read.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "t j 3"]
    fps: float
    ends: Float[np.ndarray, "t e 3"]
    end_parents: tuple[int, ...]
    tree: Tree
    rows: Float[np.ndarray, "frames c"]
    notes: tuple[str, ...] = ()

    def since(self, first: int) -> BvhMotion:
        """The same without its first frames."""
        changed = {name: getattr(self, name)[first:] for name in ("joints", "ends", "rows")}
        return dataclasses.replace(self, **changed)


def read_bvh(
    path: str | os.PathLike, unit: float = 1 / CENTIMETRES, fps: float | None = None, strict: bool = False
) -> BvhMotion:
    """Read a BVH file and run forward kinematics.

    Joints may have position channels of their own (Bandai-Namco's files have six channels everywhere), and any order
    of rotations.

    Args:
        path: the file.
        unit: metres per unit of the file (centimetres by default).
        fps: frames per second, instead of those of the line 'Frame Time:'.
        strict: refuse what is amiss instead of a note: rows that are missing in published data are a damaged copy.
    Returns:
        World joints (T, J, 3) in metres, in the axes of the file, with names, parents, End Sites and frames per second.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not a BVH file, one with a line that cannot be read, or a frame time, a length or a size out of
            bounds.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no BVH file {path}; give the path of an existing .bvh file.")
    try:
        tree, rows, frame_time, notes = parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read as BVH: {error}; mend it, or copy or export it again."
        ) from error
    if strict and notes:
        raise ValueError(f"{notes[0].replace('the file', str(path), 1)}; copy or download it again.")
    fps = _rate(path, frame_time) if fps is None else fps
    require(
        SLOWEST <= fps <= FASTEST, f"--fps is {fps:g}, expected {SLOWEST:g} to {FASTEST:g} frames a second."
    )
    require(
        len(rows) / fps <= LONGEST and len(rows) * len(tree.names) <= MOST,
        f"{path} has {len(rows):,} frames of {len(tree.names):,} joints at {fps:g} fps, expected at most an hour and "
        f"{MOST:,} places; cut it, or give the right rate with --fps.",
    )
    if fps < 5:
        notes.append(f"{fps:g} frames a second are few for a motion; give the right rate with --fps")
    pieces = np.array_split(rows, -(-len(rows) * len(tree.names) // PIECE))
    places = [[(at * unit).astype(np.float32) for at in _forward_kinematics(tree, piece)] for piece in pieces]
    joints, ends = (np.concatenate(some) for some in zip(*places, strict=True))
    return BvhMotion(
        names=tuple(tree.names),
        parents=tuple(tree.parents),
        joints=joints,
        fps=fps,
        ends=ends,
        end_parents=tuple(tree.end_parents),
        tree=tree,
        rows=rows,
        notes=tuple(notes),
    )


def _rate(path: Path, frame_time: str) -> float:
    """Frames per second from the word after 'Frame Time:'."""
    try:
        seconds = float(frame_time)
    except ValueError:
        seconds = float("nan")
    hint = f"{seconds:g}" if 5 <= seconds <= FASTEST else "30"
    # files say 0.0333333 and mean a thirtieth: hence the slack, and the rounded rate
    require(
        0.999 / FASTEST <= seconds <= 1.001 / SLOWEST,
        f"{path} has the frame time {shown(frame_time)} s, expected 1 to 1/1000 s (a thirtieth is 0.0333333); give the "
        f"frames per second with --fps {hint}, or mend the line 'Frame Time:'.",
    )
    return round(min(max(1 / seconds, SLOWEST), FASTEST), 3)


def unique_names(names: Sequence[str], parents: Sequence[int]) -> list[str]:
    """A name for each joint that no other joint has: its own, else PARENT/NAME, else NAME#2 for the second of it."""
    own = Counter(names)
    paths = [
        f"{names[parent]}/{name}" if parent >= 0 else name
        for name, parent in zip(names, parents, strict=True)
    ]
    both, seen = Counter(paths), Counter()
    unique: list[str | None] = []
    for name, path in zip(names, paths, strict=True):
        alone = both[path] == 1 and (path == name or path not in own)
        unique.append(name if own[name] == 1 else path if alone else None)
    taken = {*names, *unique}  # a file may call its joints Toe#2
    for number, name in enumerate(names):
        seen[name] += 1
        if unique[number] is None:
            count = seen[name]
            while (numbered := f"{name}#{count}") in taken:
                count += 1
            unique[number] = numbered
            taken.add(numbered)
    return unique


def end_names(joints: Sequence[str], end_parents: Sequence[int]) -> list[str]:
    """A name for each End Site that nothing else has: JOINT/end, and JOINT/end2 for the second one of a joint."""
    seen: Counter[int] = Counter()
    names: list[str] = []
    taken = set(joints)
    for joint in end_parents:
        seen[joint] += 1
        while (name := f"{joints[joint]}/end{seen[joint] if seen[joint] > 1 else ''}") in taken:
            seen[joint] += 1
        names.append(name)
        taken.add(name)
    return names


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


# ---------------------------------------------------------------------- forward kinematics


def _forward_kinematics(
    tree: Tree, rows: Float[np.ndarray, "t c"]
) -> tuple[Float[np.ndarray, "t j 3"], Float[np.ndarray, "t e 3"]]:
    """World positions of joints and End Sites in the unit of the file."""
    rotations, positions, first = [], [], 0
    for parent, offset, channels in zip(tree.parents, tree.offsets, tree.channels, strict=True):
        values = torch.from_numpy(rows[:, first : first + len(channels)])
        first += len(channels)
        rotation = local_rotation(channels, values)
        position = local_position(offset, channels, values)
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


def local_rotation(channels: tuple[str, ...], values: Float[Tensor, "t c"]) -> Float[Tensor, "t 4"]:
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


def local_position(
    offset: list[float], channels: tuple[str, ...], values: Float[Tensor, "t c"]
) -> Float[Tensor, "t 3"]:
    """A joint's position relative to its parent: position channels replace its offset, they are not added to it."""
    position = torch.tensor(offset, dtype=torch.float64).repeat(len(values), 1)
    for channel, value in zip(channels, values.T, strict=True):
        if channel.endswith("position"):
            position[:, "xyz".index(channel[0])] = value
    return position
