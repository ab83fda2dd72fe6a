"""A user's own motion as a `Motion`: a BVH file of any skeleton, unit and axes, or an array of joints or features.

Everything guessed is kept for the report, and so is the placement, which returns a motion to the user's world.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.bvh.anatomy import check_body, doubts
from mmm.bvh.joint_map import JointMap, choose_map
from mmm.bvh.parsing import LARGEST
from mmm.bvh.placement import (
    AXES,
    HEIGHTS,
    UNITS,
    Placement,
    body_height,
    guess_unit,
    guess_up,
    metres_of,
    to_humanml3d_body,
    to_y_up,
    toes_point_back,
)
from mmm.bvh.reading import LONGEST, BvhMotion, read_bvh, resample
from mmm.errors import require
from mmm.motion.clip import Motion
from mmm.motion.features import features_to_joints
from mmm.motion.skeleton import HUMANML3D

SUFFIXES = (".bvh", ".npy")
FARTHEST = 10_000.0  # metres


@dataclasses.dataclass(frozen=True)
class Source:
    """The content of a file before units and axes are known.

    Attributes:
        path: the file. frames, fps: its own.
        joints: (T, 22, 3) HumanML3D's joints at 20 fps, in the unit and axes of the file.
        joint_map: where they are in the file; None for an array, which has them already.
        features: unchanged, of a file that holds features: computed from the joints they would be a frame shorter.
        bvh: the file itself, with all frames of `joints` and no others; None for an array.
        start: seconds of the file that were left out before the first frame.
        notes: sentences on what is odd about the file and was mended, or may be wrong.
    """

    path: Path
    frames: int
    fps: float
    joints: Float[np.ndarray, "t 22 3"]
    joint_map: JointMap | None
    features: Float[np.ndarray, "t d"] | None = None
    bvh: BvhMotion | None = None
    start: float = 0.0
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Captured:
    """A user's motion and how it was understood.

    Attributes:
        motion: HumanML3D's body at 20 fps, first root above the origin, facing z+.
        placement: returns a motion to the user's world.
        source: the content of the file.
        unit: name or number of the unit; unit_guessed, up_guessed: whether unit and axis were guessed.
        height: of the user's body in metres, from ankle to head.
        doubts: sentences on what is hardly a person's motion.
    """

    motion: Motion
    placement: Placement
    source: Source
    unit: str
    unit_guessed: bool
    up_guessed: bool
    height: float
    doubts: tuple[str, ...] = ()

    def report(self) -> str:
        """What was understood, for the screen: the joint map in 22 lines, then rate, unit, axis and length."""
        source, motion = self.source, self.motion
        origin = {True: "guessed", False: "as given"}
        lines = []
        if source.joint_map is not None:
            lines += [f"joint map: {source.joint_map.name}", source.joint_map.table()]
        size = f"the body is {self.height:.2f} m from ankle to head"
        lines += [
            f"frames  {source.frames} at {source.fps:g} fps, {len(motion)} at {motion.fps:g} fps",
            f"length  {motion.duration:.1f} s",
            f"unit    {self.unit} ({origin[self.unit_guessed]}): {size}",
            f"up      {self.placement.up} ({origin[self.up_guessed]})",
        ]
        return "\n".join(lines + [f"note    {note}" for note in source.notes + self.doubts])


def load_motion(
    path: str | os.PathLike,
    joint_map: str | os.PathLike | JointMap | None = None,
    unit: str | float | None = None,
    up: str | None = None,
    fps: float | None = None,
    skip: float = 0.0,
) -> Captured:
    """Read a user's motion.

    Args:
        path: .bvh of any skeleton, or .npy with joints (T, 22, 3) or features (T, 263) of HumanML3D at 20 fps.
        joint_map: path of a YAML map, a name of `joint_map.KNOWN` ("cmu", "mixamo", …); by default the known
            one that fits, else guessed from names and tree.
        unit: cm, m, mm, inch or metres per unit; by default guessed from the size of the body.
        up: x, y, z, -x, -y or -z; by default guessed: where the head is above the feet.
        fps: frames per second of a .bvh whose header is wrong.
        skip: seconds at the start to leave out, such as a T-pose.
    Raises:
        FileNotFoundError: no such file or map.
        ValueError: the file cannot be read, or its joints, unit or axis can be neither known nor guessed; one sentence
            that names the file and says what to give.
    """
    return capture(read_source(path, joint_map, fps, skip), unit, up)


def read_source(
    path: str | os.PathLike,
    joint_map: str | os.PathLike | JointMap | None = None,
    fps: float | None = None,
    skip: float = 0.0,
) -> Source:
    """Joints of a file at 20 fps, in its own unit and axes. Raises as `load_motion` does."""
    path = Path(path)
    require(not path.is_dir(), f"{path} is a folder; give one of its .bvh or .npy files.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no motion {path}; give the path of an existing .bvh or .npy file.")
    suffix = path.suffix.lower()
    require(suffix in SUFFIXES, f"{path} cannot be read: its suffix is {suffix!r}, expected .bvh or .npy.")
    if suffix == ".npy":
        require(fps is None, f"{path}: --fps is for .bvh files; an array has {HUMANML3D.fps:g} fps.")
        values = _from_array(path)
        _check_skip(path, skip, len(values), HUMANML3D.fps)
        values = values[_frames_to_skip(skip, HUMANML3D.fps) :]
        features = values if values.ndim == 2 else None
        joints = values if features is None else features_to_joints(features)
        source = Source(path, len(joints), HUMANML3D.fps, joints, None, features)
    else:
        bvh = read_bvh(path, unit=1.0, fps=fps)
        _check_skip(path, skip, len(bvh.rows), bvh.fps)
        bvh = bvh.since(_frames_to_skip(skip, bvh.fps))
        with while_reading(path):
            chosen = choose_map(bvh, joint_map)
            joints = resample(chosen.apply(bvh), bvh.fps, HUMANML3D.fps)
        source = Source(
            path, len(bvh.joints), bvh.fps, joints, chosen, bvh=bvh, notes=bvh.notes + chosen.notes
        )
    require(
        len(joints) > 1,
        f"{path} has {source.frames} frames at {source.fps:g} fps, which is too short; expected more than 1/20 s.",
    )
    with while_reading(path):
        odd = check_body(joints, mapped=source.joint_map is not None)
    start = _frames_to_skip(skip, source.fps) / source.fps
    return dataclasses.replace(source, start=start, notes=source.notes + tuple(odd))


def _frames_to_skip(skip: float, fps: float) -> int:
    return int(np.ceil(skip * fps - 1e-6))


def capture(source: Source, unit: str | float | None = None, up: str | None = None) -> Captured:
    """The motion in a file's content; see `load_motion`."""
    require(up is None or up in AXES, f"up is {up!r}, expected one of {', '.join(AXES)}.")
    axis = up or guess_up(source.joints)
    require(
        axis,
        f"{source.path}: in most frames no axis has the head above the feet, so up cannot be guessed; give it with "
        "--up y or --up z.",
    )
    name = guess_unit(source.joints) if unit is None else str(unit)
    size = body_height(source.joints)
    require(
        name,
        f"{source.path}: the body is {size:.3g} units from ankle to head, which is {HEIGHTS[0]} to "
        f"{HEIGHTS[1]} m in none of {', '.join(UNITS)}; give the metres of one unit with --unit, such as --unit "
        f"{1.6 / max(size, 1e-9):.2g}.",
    )
    metres = metres_of(name)
    require(
        HEIGHTS[0] <= size * metres <= HEIGHTS[1],
        f"{source.path}: with the unit {name} the body is {size * metres:.3g} m from ankle to head, expected "
        f"{HEIGHTS[0]} to {HEIGHTS[1]} m; give the metres of one unit with --unit, such as --unit "
        f"{1.6 / max(size, 1e-9):.2g}, or none.",
    )
    farthest = float(np.abs(source.joints).max()) * metres
    require(
        farthest <= FARTHEST,
        f"{source.path}: the body is up to {farthest / 1000:.3g} km from the origin, expected at most "
        f"{FARTHEST / 1000:g} km; mend the positions of its root.",
    )
    world = to_y_up(source.joints, axis) * np.float32(metres)
    with while_reading(source.path):
        joints, placement = to_humanml3d_body(world, mapped=source.joint_map is not None)
    placement = dataclasses.replace(placement, fps=source.fps, unit=metres, up=axis)
    motion = Motion.from_joints(joints) if source.features is None else Motion(source.features)
    said = doubts(world, HUMANML3D.fps, source.start)
    if toes_point_back(motion.joints):
        place = "file or its map" if source.joint_map else "array"
        said.append(f"the toes point backwards: left and right may be swapped in the {place}")
    return Captured(motion, placement, source, name, unit is None, up is None, size * metres, tuple(said))


def _check_skip(path: Path, skip: float, frames: int, fps: float) -> None:
    require(
        0 <= skip < max(1, frames - 1) / fps,
        f"{path} has {frames} frames at {fps:g} fps, of which --skip {skip:g} leaves none; give fewer seconds.",
    )


@contextmanager
def while_reading(path: Path) -> Iterator[None]:
    """Put the file's name before the sentence of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _from_array(path: Path) -> Float[np.ndarray, "t ..."]:
    """Joints (T, 22, 3) or features (T, 263) of a .npy file."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError, OverflowError) as error:
        require(
            "Python objects" not in str(error),
            f"{path} holds pickled Python objects, as MDM's results.npy does, and a pickle can run code: open it "
            "yourself if you trust it, with np.load(path, allow_pickle=True).item(), and save a motion i of it alone: "
            "['motion'][i].transpose(2, 0, 1) has the shape (T, 22, 3).",
        )
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"{path} cannot be read as a NumPy array ({reason}); write it again.") from error
    shape = getattr(values, "shape", ())
    hint = next((f": {words}" for fits, words in _OTHERS if fits(shape)), "")
    require(
        len(shape) > 1 and shape[0] > 1 and shape[1:] in ((22, 3), (HUMANML3D.num_features,)),
        f"{path} holds an array of shape {str(shape)[:100]}{hint}; expected one motion of at least 2 frames: joints "
        "(T, 22, 3) or features (T, 263) of HumanML3D at 20 fps.",
    )
    require(
        shape[0] <= LONGEST * HUMANML3D.fps,
        f"{path} holds {shape[0]:,} frames, expected at most an hour; cut it.",
    )
    require(
        values.dtype.kind in "fiu" and np.isfinite(values).all() and float(np.abs(values).max()) <= LARGEST,
        f"{path} holds {values.dtype} with NaN or infinity, numbers above {LARGEST:,.0f} or no numbers at all, "
        "expected usual numbers.",
    )
    values = values.astype(np.float32)
    if values.ndim == 2:
        # The first column of a rotation has length 1, unless each number was divided by its own deviation
        columns = np.linalg.norm(values[:, 67:193].reshape(len(values), 21, 2, 3), axis=-1)
        require(
            np.abs(np.median(columns) - 1) < 0.2 and np.median(np.abs(columns - 1)) < 0.2,
            f"{path} holds features whose rotations are none: they are probably normalised; multiply by Std and add "
            "Mean (Std.npy and Mean.npy of their data set).",
        )
    return values


# Shapes of other projects, and what to do with them
_OTHERS = (
    (
        lambda s: len(s) == 3 and s[1:] == (24, 3),
        "these are SMPL's 24 joints, of which the first 22 are HumanML3D's; save [:, :22]",
    ),
    (
        lambda s: len(s) == 3 and s[1] > 24 and s[2] == 3,
        "if these are SMPL-H's or SMPL-X's joints, the first 22 are HumanML3D's; save [:, :22]",
    ),
    (
        lambda s: len(s) == 4 and s[1:3] == (22, 3),
        "these are motions as MDM writes them; save [i].transpose(2, 0, 1)",
    ),
    (lambda s: len(s) == 3 and s[:2] == (22, 3), "the frames come last; save .transpose(2, 0, 1)"),
    (
        lambda s: len(s) == 4 and s[2:] == (22, 3) or len(s) == 3 and s[2] == 263,
        "these are several motions; save one, [i]",
    ),
    (lambda s: len(s) == 2 and s[1] == 66, "if these are joints in one row, save .reshape(-1, 22, 3)"),
    (lambda s: len(s) == 3 and s[1:] == (21, 3) or len(s) == 2 and s[1] == 251, "this is KIT-ML's skeleton"),
)
