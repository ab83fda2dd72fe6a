"""Names of actions and manners that readers of everyday prompts choose from; answers and how they are marked.

An answer names one action ("walk"), two after each other ("walk, then bow") or two at once ("walk while
wave-left-hand"), and perhaps a manner ("walk; tired"). Readers of the earlier pages joined two names with "+", in any
order. What a strip should show is a dict, here called `wanted`:

    {"actions": [["dash", "run"], ["kick"]], "order": "then", "manner": ["tired"]}

The list of actions has one entry for each requested action, with all names that are right for it; "order" ("then",
"while" or "any") stands where there are two; "manner" lists the right ones if the manner counts.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Any

OTHER = "other"  # the motion fits none of the names
STAND = "stand"

# Names of everyday prompts. A goodbye wave has no name of its own: in Bandai's data it looks like any other wave.
ACTIONS = {
    "walk": "walks straight ahead (on its way it may drift a little)",
    "walk-turn-left": "walks and turns to their own left, in a curve or at one point",
    "walk-turn-right": "walks and turns to their own right, in a curve or at one point",
    "walk-back": "walks backwards, away from where they face",
    "walk-left": "steps sideways or diagonally to their own left without turning that way",
    "walk-right": "steps sideways or diagonally to their own right without turning that way",
    "run": "runs or jogs at an ordinary pace",
    "dash": "runs very fast, with long strides and pumping arms",
    "run-in-place": "runs or marches on the spot, lifting the knees",
    "raise-up-left-hand": "raises the left hand or arm, without waving it",
    "raise-up-right-hand": "raises the right hand or arm, without waving it",
    "raise-up-both-hands": "raises both hands or arms, without waving them",
    "wave-left-hand": "waves with the left hand, held high or low",
    "wave-right-hand": "waves with the right hand, held high or low",
    "wave-both-hands": "waves with both hands",
    "guide": "shows somebody the way: holds one arm out to the side or front, the hand below the head",
    "reach-up": "stretches up high with one or both arms, as if to take something from a shelf",
    "bow": "bows: bends forward at the waist and comes up again",
    "laugh": "laughs hard: bends forward, the upper body shakes",
    "drink": "drinks: lifts one hand to the mouth and keeps it there",
    "wipe": "wipes a window: a raised hand moves in circles or from side to side in front of the body",
    "box": "boxes: throws punches",
    "swing-sword": "swings a sword or stick with one or both hands",
    "dribble": "bounces a ball with one hand, standing or walking",
    "throw": "throws or shoots a ball",
    "kick": "kicks, perhaps a ball",
    "jump-up": "jumps up on the spot",
    "jump-forward": "jumps forward, with both feet",
    "jumping-jacks": "jumps with legs opening and closing, arms swinging up and down at the sides",
    "squat": "squats: bends the knees deeply and comes up again",
    "toe-touch": "bends down until the hands are near the feet",
    "pick-up": "picks up something from the floor",
    "twist": "twists the upper body to the left and to the right",
    "arm-circles": "swings stretched arms around in circles",
    "sit-down": "sits down on a seat (which is not drawn)",
    "stand-up": "gets up from a seat (which is not drawn)",
    "climb-up": "climbs up a ladder, hands and feet",
    "climb-down": "climbs down a ladder, hands and feet",
    "steps-up": "goes up steps or stairs",
    "steps-down": "goes down steps or stairs",
    "leap": "leaps or hops like a dancer, one leg away from the other",
    "spin": "spins around once or more on the spot, perhaps like a dancer",
    "ballet-pose": "holds a pose of ballet, or lifts one leg slowly",
    "cartwheel": "turns over sideways on both hands",
    "dance": "dances: steps, turns and arms in changing ways",
    STAND: "only stands; nothing else happens",
}
MANNERS = {
    "normal": "nothing special",
    "tired": "tired or weak: slow and heavy, the upper body droops",
    "sad": "sad: head and shoulders hang, slow and weak",
    "old": "old: stooped back, short careful steps",
    "proud": "proud: upright, chest out, head high",
    "angry": "angry: hard, forceful, jerky",
    "energetic": "energetic, excited or happy: large and quick",
    "childlike": "like a child: playful, bouncy, loose arms",
    "heavy": "like a giant: big, slow, heavy steps",
    "drunk": "as if drunk: staggers, sways",
    "timid": "timid: arms close to the body, hesitating, small movements",
}
# Names for the action classes of Bandai-Namco's and CMU's data, where they differ; all that are right. The classes of
# ACTIONS are their own names; clips of other classes are not shown.
CLASSES: dict[str, tuple[str, ...]] = {
    "bye": ("wave-right-hand",),
    "byebye": ("wave-both-hands",),
    "kick-ball": ("kick",),
    "punch": ("box",),
    "punch-right": ("box",),
    "slash": ("swing-sword",),
    "walk-slow": ("walk",),
    "walk-fast": ("walk",),
    "walk-long-steps": ("walk",),
    "drink-left": ("drink",),
    "drink-right": ("drink",),
    "dribble-walk": ("dribble",),
    "shoot-basketball": ("throw",),
    "wipe-window": ("wipe",),
    "scoop": ("pick-up",),
    "climb-ladder-up": ("climb-up",),
    "climb-ladder-down": ("climb-down",),
    "dance-short": ("dance", "spin"),
    "ballet-spin": ("spin",),
    "ballet-hop": ("leap",),
    "ballet-leap": ("leap", "spin"),
}
# Manners of Bandai-Namco's styles that have one; clips of the other styles are judged by their action alone.
STYLES = {
    "active": "energetic",
    "happy": "energetic",
    "exhausted": "tired",
    "tired": "tired",
    "elderly": "old",
    "old": "old",
    "proud": "proud",
    "angry": "angry",
    "sad": "sad",
    "childish": "childlike",
    "giant": "heavy",
    "not-confident": "timid",
}

_LINKS = {"then": r"(?:\s*,\s*|\s+)then\s+", "while": r"\s+while\s+", "any": r"\s*\+\s*"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """Names of actions, how they are linked ("" for one name), and the manner ("" if none was given).

    `str(answer)` is the same for two answers that say the same.
    """

    names: tuple[str, ...]
    link: str = ""
    manner: str = ""

    def __str__(self) -> str:
        return self.action + (f"; {self.manner}" if self.manner else "")

    @property
    def action(self) -> str:
        """The answer without its manner."""
        if self.link == "then":
            return ", then ".join(self.names)
        return {"while": " while ", "any": "+"}.get(self.link, "").join(sorted(self.names))


def parse(text: str) -> Answer:
    """An answer as a reader wrote it; whether its names exist is for `is_valid` to say."""
    head, _, manner = text.partition(";")
    for link, pattern in _LINKS.items():
        names = re.split(pattern, head.strip())
        if len(names) > 1:
            return Answer(tuple(names), link, manner.strip())
    return Answer((head.strip(),), "", manner.strip())


def is_valid(
    answer: Answer, names: Collection[str], links: Collection[str], manners: Collection[str]
) -> bool:
    """One name or two different ones with an allowed link, `other` and `stand` only alone; a known manner or none."""
    links = (*links, "")
    known = all(name in names for name in answer.names)
    count = len(set(answer.names)) == len(answer.names) == (2 if answer.link else 1)
    alone = not answer.link or not {OTHER, STAND} & set(answer.names)
    return (
        known and count and alone and answer.link in links and (not answer.manner or answer.manner in manners)
    )


def mark_of(wanted: dict[str, Any], answer: Answer) -> str:
    """ "right", "half" or "wrong".

    One action: half is a right name beside another one. Two: half is one of them, or both in another order than the
    requested one. With a manner: right if action and manner are right, half if one of them or half the action is.
    """
    action = _mark_of_actions(wanted["actions"], wanted.get("order", "any"), answer)
    if not wanted.get("manner"):
        return action
    fits = (answer.manner or "normal") in wanted["manner"]
    return action if fits and action == "right" else "half" if fits or action != "wrong" else "wrong"


def _mark_of_actions(actions: list[list[str]], order: str, answer: Answer) -> str:
    forward, backward = (
        len(names) == len(actions) and all(n in a for n, a in zip(names, actions, strict=True))
        for names in (answer.names, answer.names[::-1])
    )
    fits = forward if order == "then" else forward or backward
    if fits and (len(actions) == 1 or order in ("any", answer.link)):
        return "right"
    return "half" if any(name in names for name in answer.names for names in actions) else "wrong"
