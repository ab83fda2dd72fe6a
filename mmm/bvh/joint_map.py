"""Which joint of a file is which of HumanML3D's 22: maps in YAML, known ones and a user's own.

A map has one line for each of the 22 joints. Its value is

    a name                         left_hip: LeftUpLeg
    two names: halfway             spine2: [Spine, Chest]
    two names and a weight         spine2: [Spine, Chest, 0.3]     (0.7 Spine + 0.3 Chest)
    a name and "/end": End Site    left_foot: LeftFoot/end

Names may leave out what stands before all names of a file ("mixamorig:Hips" is read as Hips). Of several joints with
the same name each is PARENT/NAME, such as `left_foot: LeftFoot/Toe`, or NAME#2 for the second one in the file.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float

from mmm.bvh.anatomy import mend_guess, place
from mmm.bvh.joint_guess import Blend, Body, guess_joints
from mmm.bvh.reading import BvhMotion, end_names, unique_names
from mmm.errors import listed, require
from mmm.motion.skeleton import HUMANML3D

KNOWN = ("mixamo", "cmu", "daz", "bandai", "humanml3d")
HOW = "give a map of your own with --map my.yaml (one line for each of the 22 joints, such as `left_hip: LeftUpLeg`)"


@dataclasses.dataclass(frozen=True)
class JointMap:
    """Where HumanML3D's joints are in a file.

    Attributes:
        name: one of KNOWN, the path of a user's map, or "guessed".
        joints: (name, other name, weight of the other) for each of the 22 joints; the same name twice for one joint.
        notes: sentences on how a guess was mended.
    """

    name: str
    joints: dict[str, Blend]
    notes: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """Joints of the file that the map names, without repetition."""
        return tuple(dict.fromkeys(name for a, b, _ in self.joints.values() for name in (a, b)))

    def missing(self, motion: BvhMotion) -> list[str]:
        """Joints that the map needs and the file lacks."""
        positions = positions_by_name(motion)
        return [name for name in self.needed if name not in positions]

    def apply(self, motion: BvhMotion) -> Float[np.ndarray, "t 22 3"]:
        """HumanML3D's 22 joints, in the unit and axes of `motion`.

        Raises:
            ValueError: the file lacks joints; the sentence names them and those that the file has.
        """
        missing = self.missing(motion)
        keys = unique_names(motion.names, motion.parents)
        several = [key for key, name in zip(keys, motion.names, strict=True) if name in missing]
        require(
            not several,
            f"several joints of the file have a name that the joint map {self.name} needs; name one of "
            f"{listed(several)} in a map of your own with --map my.yaml.",
        )
        require(
            not missing,
            f"the file lacks {listed(missing)}, which the joint map {self.name} needs; its joints are "
            f"{listed(keys, 40)}: {HOW}.",
        )
        return place(self.joints, positions_by_name(motion))

    def table(self) -> str:
        """22 aligned lines: HumanML3D's joint, and what it is in the file."""
        width = max(map(len, HUMANML3D.joints))
        return "\n".join(f"{joint:{width}}  {_words(*self.joints[joint])}" for joint in HUMANML3D.joints)


def positions_by_name(motion: BvhMotion) -> dict[str, Float[np.ndarray, "t 3"]]:
    """Positions (T, 3) of a file's joints and, as "NAME/end", of its End Sites, by name with and without prefix.

    Names are those of `unique_names`: one that several joints have is none.
    """
    keys = unique_names(motion.names, motion.parents)
    names = keys + end_names(keys, motion.end_parents)
    places = [*motion.joints.swapaxes(0, 1), *motion.ends.swapaxes(0, 1)]
    positions: dict[str, Float[np.ndarray, "t 3"]] = {}
    for name, position in zip(names, places, strict=True):
        positions.setdefault(name, position)
    short = ["/".join(map(without_prefix, name.split("/"))) for name in names]
    count = Counter(short)
    for name, position in zip(short, places, strict=True):
        if count[name] == 1:  # whole names first
            positions.setdefault(name, position)
    return positions


def without_prefix(name: str) -> str:
    """ "mixamorig:Hips", "mixamorig9_Hips" and "Character|Hips" are Hips."""
    return re.sub(r"^(.*[:|]|mixamorig\d*_?)(?=.)", "", name)


def choose_map(motion: BvhMotion, requested: str | os.PathLike | JointMap | None = None) -> JointMap:
    """The requested map (a path, a name of KNOWN or a map), else the known one that fits, else a guess from the names.

    Raises:
        FileNotFoundError, ValueError: the requested map cannot be read or needs joints that the file lacks; or, without
            one, some joints cannot be guessed: the sentence lists them, those of the file, and how to give a map.
    """
    if requested is not None:
        if not isinstance(requested, JointMap):
            name = str(requested)
            requested = known_map(name) if name in KNOWN else load_map(requested)
        requested.apply(dataclasses.replace(motion, joints=motion.joints[:1], ends=motion.ends[:1]))
        return requested
    for name in KNOWN:
        if not known_map(name).missing(motion):
            return known_map(name)
    body = Body(motion.names, motion.parents, motion.joints[0], motion.end_parents, motion.ends[0])
    guess = guess_joints(body)
    missing = [joint for joint in HUMANML3D.joints if joint not in guess]
    require(
        not missing,
        f"the joints cannot be recognised by their names: none was recognised as {', '.join(missing)} among "
        f"{listed(body.keys, 40)}; {HOW}.",
    )
    guess, notes = mend_guess({joint: guess[joint] for joint in HUMANML3D.joints}, _some_frames(motion))
    return JointMap("guessed", guess, tuple(notes))


def _some_frames(motion: BvhMotion) -> dict[str, Float[np.ndarray, "t 3"]]:
    step = -(-len(motion.joints) // 50)
    return positions_by_name(
        dataclasses.replace(motion, joints=motion.joints[::step], ends=motion.ends[::step])
    )


@lru_cache
def known_map(name: str) -> JointMap:
    """One of KNOWN, which come with the package."""
    return _parse((resources.files("mmm.bvh") / "joint_maps" / f"{name}.yaml").read_text("utf-8"), name)


def load_map(path: str | os.PathLike) -> JointMap:
    """A map of the user's.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, a joint of the 22 is missing, there are others, or a value cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no joint map {path}; give a YAML file, or none to have it guessed."
        )
    return _parse(path.read_text(encoding="utf-8-sig", errors="replace"), str(path))


def _parse(text: str, name: str) -> JointMap:
    try:
        lines = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise ValueError(
            f"the joint map {name} is not YAML (line {line}); expected lines such as `left_hip: LeftUpLeg`."
        ) from error
    require(
        isinstance(lines, dict),
        f"the joint map {name} holds {type(lines).__name__}, expected lines such as `left_hip: LeftUpLeg`.",
    )
    missing = [joint for joint in HUMANML3D.joints if joint not in lines]
    require(not missing, f"the joint map {name} lacks {', '.join(missing)}; add a line for each.")
    unknown = [str(joint) for joint in lines if joint not in HUMANML3D.joints]
    require(
        not unknown,
        f"the joint map {name} names {listed(unknown)}, which HumanML3D does not have; its joints are "
        f"{', '.join(HUMANML3D.joints)}.",
    )
    return JointMap(name, {joint: _parse_blend(name, joint, lines[joint]) for joint in HUMANML3D.joints})


def _parse_blend(name: str, joint: str, value: object) -> Blend:
    if isinstance(value, str | int) and not isinstance(value, bool):  # a joint may be called 12
        return str(value), str(value), 0.0
    good = isinstance(value, list) and len(value) in (2, 3)
    weight = value[2] if good and len(value) == 3 else 0.5
    require(
        good
        and all(isinstance(part, str) for part in value[:2])
        and isinstance(weight, int | float)
        and 0 <= weight <= 1,
        f"the joint map {name} says `{joint}: {value}`, expected a name, or [name, other name] or [name, other name, "
        "weight from 0 to 1].",
    )
    return value[0], value[1], float(weight)


def _words(name: str, other: str, weight: float) -> str:
    if name == other:
        end = re.fullmatch(r"(.*)/end(\d*)", name, re.DOTALL)  # Hand/endEffector is a joint
        return f"End Site {end[2] + ' ' if end[2] else ''}of {end[1]}" if end else name
    name, other = _words(name, name, 0), _words(other, other, 0)
    if weight == 0.5:
        return f"halfway from {name} to {other}"
    return f"{weight:.0%} of the way from {name} to {other}"
