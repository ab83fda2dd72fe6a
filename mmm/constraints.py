"""Constraints: a joint at a position in a frame (`Reach`), and the root along a path (`RootPath`).

`targets_of` makes of them an array of world positions, NaN where a joint is free; `mmm.control` brings a motion there.
The world is the package's: metres, y up, the root starts at x = z = 0 and faces z+.
"""

from __future__ import annotations

import csv
import math
import numbers
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmm.errors import require, short
from mmm.motion.rigid import bones_above
from mmm.motion.skeleton import Skeleton, get_skeleton

SPEED = 8.0  # m/s, of a sprinter: nothing in a motion moves faster
ABOVE = 1.5  # metres that a jump or a ladder adds to the height of a joint; 1.2 in CMU's captures
CLOSE = 0.01  # metres that do not matter
MISSED = 0.03  # metres from a target that `missed` mentions


@dataclass(frozen=True)
class Reach:
    """A joint (its name in the skeleton) is at `position` (x, y, z in metres) in frame `frame`, counted from 0."""

    joint: str
    frame: Any
    position: Any


@dataclass(frozen=True)
class RootPath:
    """The root is above `points`, (M, 2), x and z in metres.

    Attributes:
        frames: the frame of each point; None: the root moves at constant speed along straight lines from the first
            point, (0, 0), to the last.
    """

    points: Any
    frames: Sequence[int] | None = None


def targets_of(
    constraints: Any,
    frames: int,
    skeleton: str | Skeleton = "humanml3d",
    fps: float = 20.0,
) -> Float[Tensor, "t j 3"]:
    """World positions (T, J, 3) that the joints are to have, metres, float64; NaN where a joint is free.

    Args:
        constraints: a list of Reach and RootPath. frames: T, of the motion.
    Raises:
        ValueError: no constraint, an unknown joint, a frame outside the motion, a number that is not finite, two
            positions of a joint in one frame, a path that does not start at (0, 0), a position that no body can reach.
    """
    skeleton = get_skeleton(skeleton)
    require(
        isinstance(constraints, Sequence) and not isinstance(constraints, str),
        f"constraints is {short(constraints)}, expected a list of Reach and RootPath.",
    )
    require(skeleton.target_offsets is not None, f"constraints are for humanml3d, not for {skeleton.name}.")
    require(
        len(constraints) > 0, "there is no constraint; give a Reach or a RootPath, or leave constraints out."
    )
    targets = np.full((frames, skeleton.num_joints, 3), np.nan)

    def put(frame: int, joint: int, axes: list[int], position: Float[np.ndarray, " n"]) -> None:
        there = targets[frame, joint, axes]
        require(
            bool((np.isnan(there) | (there == position)).all()),
            f"{skeleton.joints[joint]}@{frame} has two different positions; give one.",
        )
        targets[frame, joint, axes] = position

    for constraint in constraints:
        if isinstance(constraint, RootPath):
            for frame, point in zip(*_path_points(constraint, frames), strict=True):
                put(frame, 0, [0, 2], point)
            continue
        require(
            isinstance(constraint, Reach), f"{constraint!r} is no constraint; give a Reach or a RootPath."
        )
        require(
            constraint.joint in skeleton.joints,
            f"joint {constraint.joint!r} is unknown, expected one of {', '.join(skeleton.joints)}.",
        )
        _check_frame(constraint.frame, frames)
        name = f"{constraint.joint}@{constraint.frame}"
        position = _numbers(constraint.position, f"the position of {name}", "finite x, y, z in metres")
        require(
            position.shape == (3,) and bool(np.isfinite(position).all()),
            f"the position of {name} is {constraint.position}, expected finite x, y, z in metres.",
        )
        put(constraint.frame, skeleton.joints.index(constraint.joint), [0, 1, 2], position)
    targets = torch.from_numpy(targets)
    _check_reachable(targets, skeleton, fps)
    return targets


def _path_points(path: RootPath, frames: int) -> tuple[list[int], Float[np.ndarray, "n 2"]]:
    """Frames of a path and where the root is then."""
    points = _numbers(path.points, "the path", "points of x and z in metres")
    require(
        points.ndim == 2 and points.shape[1] == 2 and len(points) > 0,
        f"a path has points of shape {points.shape}, expected (M, 2): x and z in metres.",
    )
    bad = np.flatnonzero(~np.isfinite(points).all(1))
    require(len(bad) == 0, f"{len(bad)} of {len(points)} points of the path are not finite; repair them.")
    if path.frames is not None:
        require(
            len(path.frames) == len(points),
            f"the path has {len(points)} points and {len(path.frames)} frames; give one frame for each point.",
        )
        at = list(path.frames)
        for frame in at:
            _check_frame(frame, frames)
        require(len(set(at)) == len(at), "the path has two points for one frame; give one point for each.")
    else:
        require(len(points) > 1, "the path has one point, expected two or more; or give its frame.")
        along = np.concatenate(([0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()))
        even = np.linspace(0, along[-1], frames)
        points = np.stack([np.interp(even, along, column) for column in points.T], 1)
        at = list(range(frames))
    for point in points[[frame == 0 for frame in at]]:
        require(
            np.linalg.norm(point) < CLOSE,
            f"the path starts at ({point[0]:g}, {point[1]:g}), but a motion starts at (0, 0); subtract its start.",
        )
    return at, points


def _numbers(values: Any, name: str, expected: str) -> Float[np.ndarray, "..."]:
    """An array of what should be numbers."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {short(values)}, expected {expected}.") from None


def _check_frame(frame: Any, frames: int) -> None:
    require(
        isinstance(frame, numbers.Integral) and 0 <= frame < frames,
        f"frame {frame} is outside the motion, which has the frames 0, 1, … {frames - 1}; choose another.",
    )


def _check_reachable(targets: Float[Tensor, "t j 3"], skeleton: Skeleton, fps: float) -> None:
    """Two targets are at most as far apart as the bones between their joints, plus SPEED × the time between them."""
    frame, joint = (~targets.isnan()).any(-1).nonzero().T.numpy()
    where = targets[frame, joint].numpy()
    above = bones_above(skeleton)
    bones = (above[:, None] ^ above) @ np.linalg.norm(
        skeleton.target_offsets[1:], axis=1
    )  # between any two joints
    legs = bones[0, [toe for _, toe in skeleton.feet]].max()
    names = [f"{skeleton.joints[j]}@{f}" for f, j in zip(frame, joint, strict=True)]
    top = legs + bones[0, joint] + ABOVE
    for name, height, most in zip(names, where[:, 1], top, strict=True):
        require(not height < 0, f"{name} is {-height:.2f} m below the floor; give a height of 0 or more.")
        require(
            not height > most + CLOSE,
            f"{name} is {height:.2f} m high, {height - most:.2f} m more than a body reaches; give a lower position.",
        )
    # the start, too, is a position: the root in frame 0
    frame, joint, names = np.append(frame, 0), np.append(joint, 0), [*names, "the start"]
    where = np.concatenate((where, [[0.0, np.nan, 0.0]]))
    for at, name in enumerate(names):
        apart = np.sqrt(np.nansum(np.square(where - where[at]), axis=-1))
        excess = apart - bones[joint, joint[at]] - SPEED * np.abs(frame - frame[at]) / fps
        other = int(excess.argmax())
        require(
            excess[other] < CLOSE,
            f"{name} is {apart[other]:.2f} m from {names[other]}, {excess[other]:.2f} m more than a body reaches in "
            "that time; move it nearer or give it more frames.",
        )


def check_free(
    targets: Float[Tensor, "t j 3"], kept: Bool[np.ndarray, "t j"], skeleton: str | Skeleton = "humanml3d"
) -> None:
    """Raise ValueError for a target of a joint that an edit keeps."""
    both = (~targets.isnan()).any(-1).numpy() & kept
    frame, joint = np.unravel_index(both.argmax(), both.shape)
    require(
        not both.any(),
        f"{get_skeleton(skeleton).joints[joint]}@{frame} is kept by this edit; constrain what it regenerates, or make "
        "the gap larger.",
    )


def missed(
    targets: Float[Tensor, "t j 3"],
    joints: Float[np.ndarray, "t j 3"],
    skeleton: str | Skeleton = "humanml3d",
) -> str:
    """A sentence about the target that is missed most, if that is by 3 cm or more; else ""."""
    apart = torch.where(targets.isnan(), 0.0, torch.as_tensor(joints) - targets).norm(dim=-1)
    frame, joint = divmod(int(apart.argmax()), apart.shape[1])
    if apart[frame, joint] < MISSED:
        return ""
    return (
        f"{get_skeleton(skeleton).joints[joint]}@{frame} is {100 * apart[frame, joint]:.0f} cm from where it should "
        "be; move it nearer, or choose another text, length or seed."
    )


def parse_reach(text: str) -> Reach:
    """A Reach from the command line's `left_wrist@60:0.3,1.6,0.5`. Raises ValueError for anything else."""
    try:
        name, position = text.split(":")
        joint, frame = name.split("@")
        return Reach(joint.strip(), int(frame), tuple(float(number) for number in position.split(",")))
    except ValueError:
        raise ValueError(
            f"{short(text)!r} is no joint, frame and position; write JOINT@FRAME:X,Y,Z, such as head@60:0.3,1.6,0.5."
        ) from None


def read_path(file: str | os.PathLike[str]) -> RootPath:
    """A RootPath from a .csv: columns x and z in metres, or frame, x and z; a header may give them in another order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text, empty, or a row is not made of two or three finite numbers.
    """
    file = Path(file)
    require(
        file.is_file(),
        f"there is no file {short(file)}; give a .csv with columns x,z or frame,x,z.",
        FileNotFoundError,
    )
    require(file.stat().st_size < 1 << 24, f"{file} has more than 16 MB; a path has a row for each point.")
    try:
        lines = list(csv.reader(file.read_text("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read as .csv text ({error}); save it again as UTF-8.") from None
    rows = [(number, [cell.strip() for cell in row]) for number, row in enumerate(lines, 1) if any(row)]
    names = ["x", "z"] if rows and len(rows[0][1]) == 2 else ["frame", "x", "z"]
    if rows and not any(map(_is_number, rows[0][1])):
        names = [name.lower() for name in rows.pop(0)[1]]
    require(
        sorted(names) in (["x", "z"], ["frame", "x", "z"]),
        f"{file} has the columns {short(', '.join(names))}, expected x,z or frame,x,z.",
    )
    require(len(rows) > 0, f"{file} has no points; write one row x,z or frame,x,z for each.")
    for number, row in rows:
        require(
            len(row) == len(names) and all(map(_is_number, row)),
            f"{file}, line {number}: {short(','.join(row))!r} is not {','.join(names)} in finite numbers; repair it.",
        )
    columns = dict(zip(names, zip(*(map(float, row) for _, row in rows), strict=True), strict=True))
    frames = columns.get("frame")
    for frame in frames or ():
        require(frame.is_integer(), f"{file} has the frame {frame:g}, expected whole numbers.")
    points = list(zip(columns["x"], columns["z"], strict=True))
    return RootPath(points, None if frames is None else [int(frame) for frame in frames])


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
