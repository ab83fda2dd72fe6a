"""Guessing which joint is which, from names and from the tree: for files that no known map fits.

The tree decides where names are vague: what hangs between hip and ankle is a knee, whatever it is called, and
"LeftShoulder" is the collar bone where an upper arm hangs below it, else the upper arm itself. Only ends (foot, hand,
head) and sides must be recognisable by their names.
"""

from __future__ import annotations

import dataclasses
import re
from functools import cached_property

import numpy as np
from jaxtyping import Float

from mmm.bvh.reading import end_names, unique_names
from mmm.motion.skeleton import HUMANML3D

# (name, other name, weight of the other): a point between two joints; the same name twice for one joint. Names are
# those of `unique_names`: a joint is a node of the tree, and several may be called Toe.
Blend = tuple[str, str, float]

# Words of names, without their side; each is searched for anywhere in the name.
_FOOT, _TOE = r"foot|ankle", r"toe|ball|footbase|foottip"
_KNEE = r"knee|shin|calf|lowerleg|lowleg|tibia|(?<!up)(?<!upper)leg"
_THIGH = r"thigh|femur|upleg|upperleg|hip|leg"
_HAND = r"hand|wrist"
_ELBOW, _ARM = r"elbow|forearm|lowerarm|lowarm|radius", r"arm|humerus|shoulder|shldr"
_HEAD, _NECK, _PELVIS = r"head|skull", r"neck|cervi", r"pelvis|hips?$|hips?joint"
_FINGERS = r"thumb|index|middle|mid$|ring|pinky|little|finger|palm|meta|prop|weapon"
_FACE = r"face|jaw|eye|nose|tongue|hair|lip|teeth|mouth|brow|chin|ear|hat"
# Helpers of animators, no bones: they hang beside the body or repeat a part of it.
_HELPERS = (
    r"\b(ik|fk|twist|roll|target|pole|ctrl|end|tip|nub|top|eff|effector|effectors|helper|socket|dummy)\b"
)


@dataclasses.dataclass(frozen=True)
class Body:
    """What a guess looks at: names, parents (root -1), positions (J, 3) in one frame, and End Sites."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "j 3"]
    end_parents: tuple[int, ...]
    ends: Float[np.ndarray, "e 3"]

    @cached_property
    def keys(self) -> list[str]:
        """Of each joint: a name that no other joint has."""
        return unique_names(self.names, self.parents)

    @cached_property
    def sides(self) -> list[str]:
        """Of each joint: "left", "right" or ""."""
        return [split_side(name)[0] for name in self.names]

    @cached_property
    def words(self) -> list[str]:
        """Names without sides, blanks and digits, in lower case."""
        return [re.sub(r"[\s\d]", "", split_side(name)[1]) for name in self.names]

    @cached_property
    def helpers(self) -> list[bool]:
        """Of each joint: whether it is an animator's helper."""
        return [bool(re.search(_HELPERS, split_side(name)[1])) for name in self.names]

    def ancestors(self, joint: int) -> list[int]:
        """The nearest first."""
        above = []
        while (joint := self.parents[joint]) >= 0:
            above.append(joint)
        return above

    def children(self, joint: int) -> list[int]:
        return [child for child, parent in enumerate(self.parents) if parent == joint]

    def apart(self, one: int, other: int) -> bool:
        """Whether two joints differ in position."""
        return self.is_length(self.joints[one] - self.joints[other])

    def is_length(self, bone: Float[np.ndarray, "3"]) -> bool:
        size = float(np.ptp(self.joints, axis=0).max())
        return bool(np.linalg.norm(bone) > 1e-3 * size)

    def first(self, side: str, pattern: str, but: str = r"$^") -> int | None:
        """The joint nearest to the root whose name matches `pattern` and does not match `but`."""
        matches = [
            joint
            for joint, word in enumerate(self.words)
            if self.sides[joint] == side
            and not self.helpers[joint]
            and re.search(pattern, word)
            and not re.search(but, word)
        ]
        return min(matches, key=lambda joint: len(self.ancestors(joint)), default=None)

    def branch(self, pair: dict[str, int | None]) -> int | None:
        """The lowest joint that both of a left and a right joint hang on."""
        if None in pair.values():
            return None
        shared = set(self.ancestors(pair["right"]))
        return next((joint for joint in self.ancestors(pair["left"]) if joint in shared), None)

    def chain(self, end: int, top: int | None) -> list[int]:
        """Joints strictly between, from the end up, without helpers such as rolls; none if `end` is not below `top`."""
        above = self.ancestors(end)
        return (
            [joint for joint in above[: above.index(top)] if not self.helpers[joint]] if top in above else []
        )

    def split_chain(self, chain: list[int], pattern: str, above: int = 0) -> tuple[int | None, list[int]]:
        """The first joint of a chain whose name matches, else its first joint; and the chain above it.

        A bone in several parts (Rigify's shin and shin.001) begins with the highest of them. `above`: another joint has
        to be left for what lies above.
        """
        words = [self.words[joint] for joint in chain]
        number = next((number for number, word in enumerate(words) if re.search(pattern, word)), 0)
        higher = number
        while higher + 1 < len(chain) and words[higher + 1] == words[number]:
            higher += 1
        number = higher if higher + above < len(chain) else number
        return (chain[number] if chain else None), chain[number + 1 :]


def guess_joints(body: Body) -> dict[str, Blend]:
    """Where HumanML3D's joints are, for as many of the 22 as can be guessed."""
    sides = ("left", "right")
    feet = {side: body.first(side, _FOOT, _TOE) for side in sides}
    hands = {side: body.first(side, _HAND, _FINGERS) for side in sides}
    elbows = {side: body.first(side, _ELBOW) for side in sides}
    legs_meet = body.branch(feet)
    if legs_meet is None:  # one foot that is not recognised must not cost the trunk and the other leg
        legs_meet = body.first("", _PELVIS)
    arms_meet = body.branch(elbows if None in hands.values() else hands)
    guess: dict[str, Blend] = {}
    for side in sides:
        if feet[side] is not None:
            guess |= _leg(body, side, feet[side], legs_meet)
    if legs_meet is not None and arms_meet is not None:
        guess |= _trunk(body, legs_meet, arms_meet)
    for side in sides:
        guess |= _arm(body, side, hands[side], elbows[side], arms_meet)
    return guess


def split_side(name: str) -> tuple[str, str]:
    """("left", "right" or "", the rest in lower case): LeftUpLeg, l_thigh, Hip.L, "Bip01 R Calf", lShin, rightarm."""
    name = re.split(r"[:|]", name)[-1]
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    words = [part.lower() for part in parts]
    sides = {"l": "left", "left": "left", "r": "right", "right": "right"}
    for word in words:
        if word in sides:
            rest = words.copy()
            rest.remove(word)
            return sides[word], " ".join(rest)
    text = " ".join(words)
    if match := re.search(r"\b(left|right)|(left|right)\b", text):
        return match[0], (text[: match.start()] + " " + text[match.end() :]).strip()
    bones = "|".join((_FOOT, _TOE, _KNEE, _THIGH, _HAND, _ELBOW, _ARM, "clavicle", "collar"))
    if match := re.match(rf"([lr])({bones})", text):  # "lfoot"
        return sides[match[1]], text[1:]
    return "", text


def _one(body: Body, joint: int) -> Blend:
    return body.keys[joint], body.keys[joint], 0.0


def _between(body: Body, joint: int, other: int, weight: float = 0.5) -> Blend:
    return body.keys[joint], body.keys[other], weight


def _end_site(body: Body, joint: str, parent: int) -> dict[str, Blend]:
    """The last End Site of a joint that differs from it in position, if there is one."""
    names = end_names(body.keys, body.end_parents)
    for name, end, owner in reversed(list(zip(names, body.ends, body.end_parents, strict=True))):
        if owner == parent and body.is_length(end - body.joints[parent]):
            return {joint: (name, name, 0.0)}
    return {}


def _leg(body: Body, side: str, foot: int, top: int | None) -> dict[str, Blend]:
    guess = {f"{side}_ankle": _one(body, foot)} | _toe(body, f"{side}_foot", foot)
    knee, chain = body.split_chain(body.chain(foot, top), _KNEE, above=1)
    if knee is None:
        return guess
    guess[f"{side}_knee"] = _one(body, knee)
    hip, _ = body.split_chain(chain, _THIGH)
    return guess if hip is None else guess | {f"{side}_hip": _one(body, hip)}


def _toe(body: Body, name: str, foot: int) -> dict[str, Blend]:
    """A joint below the foot, preferably one that is called a toe; else the End Site of the foot."""
    below = [joint for joint in body.children(foot) if body.apart(joint, foot)]
    toes = [joint for joint in below if re.search(_TOE, body.words[joint])]
    base = [joint for joint in toes if re.search(r"base|ball|^toes?$", body.words[joint])]
    for choice in (base, toes, below):
        if len(choice) == 1:
            return {name: _one(body, choice[0])}
    if toes:  # single toes: the middle one
        return {name: _one(body, toes[len(toes) // 2])}
    return _end_site(body, name, foot)


def _trunk(body: Body, legs_meet: int, arms_meet: int) -> dict[str, Blend]:
    """Pelvis, three joints of the spine, neck and head."""
    pelvises = [
        joint
        for joint in (legs_meet, *body.ancestors(legs_meet))
        if re.search(_PELVIS, body.words[joint]) and not body.sides[joint]
    ]
    pelvis = (pelvises or [legs_meet])[0]
    guess = {"pelvis": _one(body, pelvis)}
    head, necks = _head_and_necks(body, arms_meet)
    if head is not None:
        guess["head"] = _one(body, head)
    elif necks:
        guess |= _end_site(body, "head", max(necks, key=lambda joint: len(body.ancestors(joint))))
    spine = _spine_joints(body, pelvis, arms_meet)
    if not spine:
        return guess
    guess |= _spine(body, pelvis, spine)
    necks = [joint for joint in necks if joint not in spine and body.apart(joint, spine[-1])]
    if necks:
        guess["neck"] = _one(body, necks[0])
    elif head is not None:
        guess["neck"] = _between(body, spine[-1], head, 0.7)
    return guess


def _head_and_necks(body: Body, arms_meet: int) -> tuple[int | None, list[int]]:
    """The head, and the joints of the neck: with a head only those above it, from the root up."""
    necks = [j for j, word in enumerate(body.words) if re.search(_NECK, word) and not body.helpers[j]]
    head = body.first("", _HEAD)
    if head is None and necks:  # a head of another name: the one joint that the neck carries
        carried = [j for j in body.children(necks[-1]) if not (body.sides[j] or body.helpers[j])]
        head = carried[0] if len(carried) == 1 else None
    if head is None and not necks:  # Rigify's are called spine.004 to spine.006
        line = _middle_line(body, arms_meet)
        return (line[-1], line[:-1]) if line else (None, [])
    if head is not None:
        necks = [joint for joint in body.ancestors(head)[::-1] if joint in necks]
    return head, necks


def _middle_line(body: Body, joint: int) -> list[int]:
    """The joints of no side that a joint carries one above the other, without those of the face."""
    line: list[int] = []
    while True:
        carried = [j for j in body.children(joint) if not (body.sides[j] or body.helpers[j])]
        carried = [j for j in carried if not re.search(_FACE, body.words[j])]
        same = [j for j in carried if body.words[j] == body.words[joint]]
        if len(same) != 1 and len(carried) != 1:
            return line
        joint = same[0] if len(same) == 1 else carried[0]
        line.append(joint)


def _spine_joints(body: Body, pelvis: int, arms_meet: int) -> list[int]:
    """Joints above the pelvis up to the one that the arms hang on, without bones of no length.

    The pelvis may stand beside the spine: then the trunk runs through the joint that both hang on.
    """
    below = [pelvis, *body.ancestors(pelvis)]
    above = [arms_meet, *body.ancestors(arms_meet)]
    shared = next((joint for joint in above if joint in below), None)
    if shared is None:
        return []
    spine = above[: above.index(shared)][::-1]
    if spine and shared != pelvis:  # a joint of the trunk, unless it is a root on the floor or far away
        low, high = body.joints[pelvis], body.joints[spine[0]]
        way = body.joints[shared] - low, high - body.joints[shared]
        if sum(map(np.linalg.norm, way)) < 1.2 * np.linalg.norm(high - low):
            spine.insert(0, shared)
    spine = [
        joint
        for joint, before in zip(spine, [pelvis, *spine], strict=False)
        if body.apart(joint, pelvis) and body.apart(joint, before)
    ]
    if len(spine) > 1 and re.search(_NECK, body.words[spine[-1]]):
        spine.pop()  # collar bones that hang on the neck, as in 3ds Max's bipeds
    return spine


def _spine(body: Body, pelvis: int, spine: list[int]) -> dict[str, Blend]:
    """Three joints of the spine from one or more; the last is the one that the arms hang on."""
    if len(spine) >= 3:
        height = np.linalg.norm(np.diff(body.joints[[pelvis, *spine]], axis=0), axis=-1).cumsum()
        target = HUMANML3D.target_offsets[[3, 6, 9], 1].cumsum()
        middle = np.abs(height[1:-1] / height[-1] - target[1] / target[2]).argmin() + 1
        first = np.abs(height[:middle] / height[-1] - target[0] / target[2]).argmin()
        chosen = [_one(body, spine[number]) for number in (first, middle, -1)]
    elif len(spine) == 2:
        chosen = [_one(body, spine[0]), _between(body, *spine), _one(body, spine[1])]
    else:
        chosen = [_between(body, pelvis, spine[0], 0.4), _between(body, pelvis, spine[0], 0.8)]
        chosen.append(_one(body, spine[0]))
    return dict(zip(("spine1", "spine2", "spine3"), chosen, strict=True))


def _arm(body: Body, side: str, hand: int | None, forearm: int | None, top: int | None) -> dict[str, Blend]:
    if hand is not None:
        guess, chain = {f"{side}_wrist": _one(body, hand)}, body.chain(hand, top)
    elif (
        forearm is not None
    ):  # no hands, as in Blender's simple rigs: the End Site of the forearm is the wrist
        guess, chain = _end_site(body, f"{side}_wrist", forearm), [forearm, *body.chain(forearm, top)]
    else:
        return {}
    elbow, chain = body.split_chain(chain, _ELBOW, above=1)
    if elbow is None:
        return guess
    guess[f"{side}_elbow"] = _one(body, elbow)
    shoulder, chain = body.split_chain(chain, _ARM)
    if shoulder is None:
        return guess
    guess[f"{side}_shoulder"] = _one(body, shoulder)
    collars = [j for j in chain if body.apart(j, shoulder) and body.apart(j, top)]
    collar = _one(body, collars[0]) if collars else _between(body, top, shoulder)
    return guess | {f"{side}_collar": collar}
