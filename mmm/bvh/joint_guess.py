"""Guessing which joint is which, from names and from the tree: for files that no known map fits.

The tree decides where names are vague: what hangs between hip and ankle is a knee, whatever it is called, and
"LeftShoulder" is the collar bone where an upper arm hangs below it, else the upper arm itself. Only ends (foot, hand,
head) and sides must be told by names.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from jaxtyping import Float

from mmm.motion.skeleton import HUMANML3D

Place = tuple[
    str, str, float
]  # on the way from a joint to another, by a share; twice the same where it is one joint

# Words of names, without their side; each is searched for anywhere in the name.
_FOOT, _TOE = r"foot|ankle", r"toe|ball|footbase|foottip"
_KNEE, _THIGH = (
    r"knee|shin|calf|lowerleg|lowleg|tibia|(?<!up)(?<!upper)leg",
    r"thigh|femur|upleg|upperleg|hip|leg",
)
_HAND = r"hand|wrist"
_ELBOW, _ARM = r"elbow|forearm|lowerarm|lowarm|radius", r"arm|humerus|shoulder|shldr"
_HEAD, _NECK, _PELVIS = r"head|skull", r"neck|cervi", r"pelvis|hips?$|hips?joint"
_FINGERS = r"thumb|index|middle|mid$|ring|pinky|little|finger|palm|meta|prop|weapon"
# Helpers of animators, no bones: they hang beside the body or repeat a part of it.
_HELPERS = (
    r"\b(ik|fk|twist|roll|target|pole|ctrl|end|tip|nub|top|eff|effector|effectors|helper|socket|dummy)\b"
)


@dataclasses.dataclass(frozen=True)
class Body:
    """What a guess looks at: names, parents (root -1), places (J, 3) in one frame, and End Sites."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "j 3"]
    end_parents: tuple[int, ...]
    ends: Float[np.ndarray, "e 3"]

    def above(self, joint: int) -> list[int]:
        """Its ancestors, the nearest first."""
        found = []
        while (joint := self.parents[joint]) >= 0:
            found.append(joint)
        return found

    def below(self, joint: int) -> list[int]:
        return [i for i, parent in enumerate(self.parents) if parent == joint]

    def length(self) -> float:
        """Size of the body, to tell what is no length at all."""
        return float(np.ptp(self.joints, axis=0).max())

    def apart(self, one: int, other: int) -> bool:
        return bool(np.linalg.norm(self.joints[one] - self.joints[other]) > 1e-3 * self.length())


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


def guess_places(body: Body) -> dict[str, Place]:
    """Where HumanML3D's joints are, for as many of the 22 as can be told."""
    told = [split_side(name) for name in body.names]
    sides = [side for side, _ in told]
    words = [re.sub(r"[\s\d]", "", rest) for _, rest in told]
    helper = [bool(re.search(_HELPERS, rest)) for _, rest in told]
    return _Guess(body, sides, words, helper).places()


class _Guess:
    def __init__(self, body: Body, sides: list[str], words: list[str], helper: list[bool]) -> None:
        self.body, self.sides, self.words, self.helper = body, sides, words, helper
        self.found: dict[str, Place] = {}

    def places(self) -> dict[str, Place]:
        # without hands (Blender's simple rigs), the End Site of the forearm is the wrist
        elbows = {side: self.first(side, _ELBOW) for side in ("left", "right")}
        hands = {side: self.first(side, _HAND, _FINGERS) for side in ("left", "right")}
        feet = {side: self.first(side, _FOOT, _TOE) for side in ("left", "right")}
        legs_meet = self.meet(feet)
        arms_meet = self.meet(elbows if None in hands.values() else hands)
        if legs_meet is None:  # a foot that cannot be told is no reason to lose trunk and other leg, too
            legs_meet = self.first("", _PELVIS)
        for side in ("left", "right"):
            self.leg(side, feet[side], legs_meet)
        self.trunk(legs_meet, arms_meet)
        for side in ("left", "right"):
            self.arm(side, hands[side], elbows[side], arms_meet)
        return self.found

    def put(self, joint: str, name: int) -> None:
        self.found[joint] = (self.body.names[name], self.body.names[name], 0.0)

    def between(self, joint: str, name: int, other: int, share: float = 0.5) -> None:
        self.found[joint] = (self.body.names[name], self.body.names[other], round(share, 3))

    def first(self, side: str, pattern: str, but: str = r"$^") -> int | None:
        """The joint nearest to the root that is called so."""
        fits = [
            joint
            for joint, word in enumerate(self.words)
            if self.sides[joint] == side
            and not self.helper[joint]
            and re.search(pattern, word)
            and not re.search(but, word)
        ]
        return min(fits, key=lambda joint: len(self.body.above(joint)), default=None)

    def meet(self, pair: dict[str, int | None]) -> int | None:
        """The lowest joint that both hang on."""
        left, right = pair["left"], pair["right"]
        if left is None or right is None:
            return None
        shared = set(self.body.above(right))
        return next((joint for joint in self.body.above(left) if joint in shared), None)

    def chain(self, end: int, top: int) -> list[int]:
        """Joints strictly between, from the end up, without helpers such as rolls."""
        above = self.body.above(end)
        above = above[: above.index(top)] if top in above else []
        return [joint for joint in above if not self.helper[joint]]

    def pick(self, chain: list[int], pattern: str) -> int | None:
        """Where in the chain the first is that is called so; else its first joint."""
        named = (place for place, joint in enumerate(chain) if re.search(pattern, self.words[joint]))
        return next(named, 0 if chain else None)

    def leg(self, side: str, foot: int | None, top: int | None) -> None:
        if foot is None:
            return
        self.put(f"{side}_ankle", foot)
        self.toe(side, foot)
        chain = self.chain(foot, top) if top is not None else []
        knee = self.pick(chain, _KNEE)
        if knee is None:
            return
        self.put(f"{side}_knee", chain[knee])
        chain = chain[knee + 1 :]
        hip = self.pick(chain, _THIGH)
        if hip is not None:
            self.put(f"{side}_hip", chain[hip])

    def toe(self, side: str, foot: int) -> None:
        """A joint below the foot, one that is called a toe before others; else the End Site of the foot."""
        below = [joint for joint in self.body.below(foot) if self.body.apart(joint, foot)]
        named = [joint for joint in below if re.search(_TOE, self.words[joint])]
        base = [joint for joint in named if re.search(r"base|ball|^toes?$", self.words[joint])]
        for choice in (base, named, below):
            if len(choice) == 1:
                return self.put(f"{side}_foot", choice[0])
        if named:
            return self.put(f"{side}_foot", named[len(named) // 2])  # single toes: the middle one
        self.end(f"{side}_foot", foot)

    def end(self, joint: str, parent: int) -> None:
        for number, owner in enumerate(self.body.end_parents):
            away = np.linalg.norm(self.body.ends[number] - self.body.joints[parent])
            if owner == parent and away > 1e-3 * self.body.length():
                name = f"{self.body.names[parent]}/end"
                self.found[joint] = (name, name, 0.0)

    def trunk(self, legs_meet: int | None, arms_meet: int | None) -> None:
        """Pelvis, three joints of the spine, neck and head."""
        if legs_meet is None or arms_meet is None:
            return
        pelvis = legs_meet
        for joint in (legs_meet, *self.body.above(legs_meet)):
            if re.search(_PELVIS, self.words[joint]) and not self.sides[joint]:
                pelvis = joint
                break
        self.put("pelvis", pelvis)
        head = self.first("", _HEAD)
        necks = [j for j, word in enumerate(self.words) if re.search(_NECK, word) and not self.helper[j]]
        if head is None and necks:  # called otherwise: what the neck carries
            carried = [j for j in self.body.below(necks[-1]) if not (self.sides[j] or self.helper[j])]
            head = carried[0] if len(carried) == 1 else None
        if head is not None:
            self.put("head", head)
            necks = [joint for joint in self.body.above(head)[::-1] if joint in necks]
        elif necks:
            self.end("head", max(necks, key=lambda joint: len(self.body.above(joint))))
        above = self.body.above(arms_meet)
        if pelvis not in above:
            return
        spine = [arms_meet, *above[: above.index(pelvis)]][::-1]
        spine = [
            j
            for i, j in enumerate(spine)
            if self.body.apart(j, pelvis) and (i == 0 or self.body.apart(j, spine[i - 1]))
        ]
        if len(spine) > 1 and re.search(_NECK, self.words[spine[-1]]):
            spine.pop()  # collar bones that hang on the neck, as in 3ds Max's bipeds
        if not spine:
            return
        self.spine(pelvis, spine)
        necks = [joint for joint in necks if joint not in spine and self.body.apart(joint, spine[-1])]
        if necks:
            self.put("neck", necks[0])
        elif head is not None:
            self.between("neck", spine[-1], head, 0.7)

    def spine(self, pelvis: int, spine: list[int]) -> None:
        """Three joints of as many as there are; the last is the one that the arms hang on."""
        if len(spine) >= 3:
            way = np.linalg.norm(np.diff(self.body.joints[[pelvis, *spine]], axis=0), axis=-1).cumsum()
            target = HUMANML3D.target_offsets[[3, 6, 9], 1].cumsum()
            middle = np.abs(way[1:-1] / way[-1] - target[1] / target[2]).argmin() + 1
            first = np.abs(way[:middle] / way[-1] - target[0] / target[2]).argmin()
            for joint, chosen in zip(("spine1", "spine2", "spine3"), (first, middle, -1), strict=True):
                self.put(joint, spine[chosen])
        elif len(spine) == 2:
            self.put("spine1", spine[0])
            self.between("spine2", spine[0], spine[1])
            self.put("spine3", spine[1])
        elif spine:
            self.between("spine1", pelvis, spine[0], 0.4)
            self.between("spine2", pelvis, spine[0], 0.8)
            self.put("spine3", spine[0])

    def arm(self, side: str, hand: int | None, forearm: int | None, top: int | None) -> None:
        if hand is not None:
            self.put(f"{side}_wrist", hand)
            chain = self.chain(hand, top) if top is not None else []
        elif forearm is not None:
            self.end(f"{side}_wrist", forearm)
            chain = [forearm, *(self.chain(forearm, top) if top is not None else [])]
        else:
            return
        elbow = self.pick(chain, _ELBOW)
        if elbow is None:
            return
        self.put(f"{side}_elbow", chain[elbow])
        chain = chain[elbow + 1 :]
        shoulder = self.pick(chain, _ARM)
        if shoulder is None:
            return
        upper = chain[shoulder]
        self.put(f"{side}_shoulder", upper)
        collars = [j for j in chain[shoulder + 1 :] if self.body.apart(j, upper) and self.body.apart(j, top)]
        if collars:
            self.put(f"{side}_collar", collars[0])
        else:
            self.between(f"{side}_collar", top, upper)
