"""Captions of a program: phrases for its actions, manners, counts, and a syntax that joins them.

A caption always states side and direction of an action (a reader could not guess them), and often speed, size and
count.
"""

from __future__ import annotations

import re

import numpy as np

from mmm.data.captions import Caption, untagged
from mmm.datasets.grammar import inflect
from mmm.datasets.synthetic.phrases import NUMBERS, PHRASES, SIZE, SPEED, SUBJECTS
from mmm.datasets.synthetic.program import Action, Program, Segment

OPPOSITE = {"left": "right", "right": "left"}
_POSSESSIVE = {"he": "his", "she": "her", "they": "their"}
_VERB = re.compile(r"<([a-z-]+)(?::(ing))?>")
_FORM = re.compile(r"<([a-z-]+):(third|ing|base)>")

# S subject, H pronoun (with its own verb form), A B C clauses; the suffix gives the form of the verb.
SINGLE = [
    ("S A:third", 8),
    ("S is A:ing", 4),
    ("S A:third", 2),
    ("there is S who A:third", 1),
    ("we see S A:ing", 1),
    ("S can be seen A:ing", 1),
    ("in this scene S A:third", 1),
    ("this is S A:ing", 0.7),
    ("S who is A:ing", 0.7),
    ("the video of S A:ing", 0.5),
]
TWICE = [
    ("S A:third, then B:third", 4),
    ("S A:third and then B:third", 5),
    ("S first A:third, then B:third", 2),
    ("after A:ing, S B:third", 2),
    ("S A:third before B:ing", 2),
    ("S A:third, after that H B:pronoun", 1.5),
    ("first S A:third, then H B:pronoun", 2),
    ("S A:third and afterwards B:third", 2),
    ("S A:third. then H B:pronoun", 1.5),
    ("S is A:ing, next H B:pronoun", 1),
    ("S B:third after A:ing", 1.5),
    ("S A:third. later H also B:pronoun", 0.7),
]
THRICE = [
    ("S A:third, then B:third, and finally C:third", 3),
    ("S A:third, B:third and then C:third", 3),
    ("first S A:third, then H B:pronoun, and finally H C:pronoun", 2),
    ("after A:ing, S B:third and then C:third", 1.5),
    ("S A:third, after that H B:pronoun and then C:pronoun", 1.5),
    ("S A:third, then B:third before C:ing", 1.5),
    ("S A:third. then H B:pronoun. finally H C:pronoun", 1),
]
# Legs L and arms R of one clause; "L" takes the clause's form, "R:ing" stands as a participle.
PARALLEL = [
    ("L while R:ing", 5),
    ("R while L:ing", 3),
    ("L and R at the same time", 2),
    ("L, R:ing", 1),
    ("R and simultaneously L", 0.8),
    ("L and also R at the same time", 0.6),
]


def _pick(rng: np.random.Generator, options: list[tuple[str, float]]) -> str:
    weights = np.array([w for _, w in options])
    return options[rng.choice(len(options), p=weights / weights.sum())][0]


def key(action: Action) -> str:
    """The entry of PHRASES for this action."""
    sideways = action.direction in ("left", "right")
    if action.name in ("walk", "march", "jump", "stretch"):
        return f"{action.name} {'side' if sideways else action.direction}"
    if action.name == "run" and sideways:
        return "run side"
    if action.name in ("wave", "raise", "punch") and action.side == "both":
        return f"{action.name} both"
    return action.name


def choices(action: Action) -> list[str]:
    """Phrases that are true of the action."""
    count = action.count or 1
    facts = {action.speed, action.size, str(action.angle), "one" if count == 1 else "many", "count"}
    split = (phrase.partition("|") for phrase in PHRASES[key(action)])
    return [phrase for phrase, _, fact in split if not fact or fact in facts]


def _times(count: int, rng: np.random.Generator) -> str:
    if count == 1:
        return str(rng.choice(["once", "one time"]))
    if count == 2 and rng.random() < 0.6:
        return "twice"
    if count >= 4 and rng.random() < 0.2:
        return "several times"
    return f"{NUMBERS[count]} times"


def _numbered(phrase: str, count: int) -> str:
    """Put the numeral in; after "one" (or "a") the noun loses its plural."""
    if count == 1:
        phrase = re.sub(
            r"\{N\} ((?:vertical |long |knee )?)(leaps|jumps|squats|bends|bows|kicks|punches|blows)",
            r"a \1\2",
            phrase,
        )
        return re.sub(r"\b(leap|jump|squat|bend|bow|kick|punch|blow)(e?s)\b", r"\1", phrase)
    return phrase.replace("{N}", NUMBERS[count])


def phrase(action: Action, rng: np.random.Generator, detail: float = 1.0) -> str:
    """A verb phrase for one action, verbs still in angle brackets; `detail` scales the chance of a manner."""
    text = str(rng.choice(choices(action)))
    counted = "{N}" in text
    text = _numbered(text, action.count or 1)
    side = action.side if action.side in OPPOSITE else action.direction
    if side in OPPOSITE:
        turnwise = "counterclockwise" if side == "left" else "clockwise"
        text = text.replace("SIDE", side).replace("OTHER", OPPOSITE[side]).replace("TURNWISE", turnwise)
    extra = []
    sizes = SIZE.get(key(action), SIZE.get(action.name, {})).get(action.size)
    if sizes and rng.random() < 0.75 * detail:
        extra.append(str(rng.choice(sizes)))
    if action.count and not counted and rng.random() < (0.3 if action.count == 1 else 0.65) * detail:
        if action.name not in ("look", "stretch", "throw"):
            extra.append(_times(action.count, rng))
    if rng.random() < {"slow": 0.85, "normal": 0.06, "fast": 0.85}[action.speed] * detail and not extra[1:]:
        manner = str(rng.choice(SPEED[action.speed]))
        if " " not in manner and manner.endswith("ly") and rng.random() < 0.3:
            text = f"{manner} {text}"
        else:
            extra.append(manner)
    return " ".join([text, *extra])


def _as_ing(text: str) -> str:
    return _VERB.sub(r"<\1:ing>", text)


def clause(segment: Segment, rng: np.random.Generator, detail: float = 1.0) -> str:
    """The verb phrase of one segment, legs and arms joined if both have something to do."""
    if segment.arms is None:
        return phrase(segment.legs, rng, detail)
    arms = phrase(segment.arms, rng, detail)
    if segment.legs.name == "stand":
        return f"<stand> and {arms}" if rng.random() < 0.12 else arms
    legs = phrase(segment.legs, rng, detail)
    parts = {"L": legs, "R": arms, "L:ing": _as_ing(legs), "R:ing": _as_ing(arms)}
    return re.sub(r"\b([LR](?::ing)?)(?![a-z])", lambda m: parts[m[1]], _pick(rng, PARALLEL))


def sentence(program: Program, rng: np.random.Generator) -> Caption:
    """One caption of the program."""
    gender = str(rng.choice(["he", "she", "they"], p=[0.32, 0.2, 0.48]))
    subject = str(rng.choice(SUBJECTS[gender]))
    # a sentence about three actions has less detail on each
    detail = (1.0, 0.8, 0.5)[len(program.segments) - 1]
    clauses = [clause(segment, rng, detail) for segment in program.segments]
    pattern = _pick(rng, (SINGLE, TWICE, THRICE)[len(clauses) - 1])
    owner = _POSSESSIVE[gender] if rng.random() < 0.6 else "the"
    plural = "base" if gender == "they" else "third"

    def fill(match: re.Match) -> str:
        text, form = clauses["ABC".index(match[1])], match[2]
        form = plural if form == "pronoun" else form
        text = text.replace("<be>", f"<be:{plural}>")
        return _VERB.sub(lambda verb: f"<{verb[1]}:{verb[2] or form}>", text)

    text = re.sub(r"\b([ABC]):(third|ing|base|pronoun)", fill, pattern)
    text = re.sub(r"\bS\b", subject, text)
    text = re.sub(r"\bH\b", gender, text).replace("{he}", gender).replace("{the}", owner)
    text = _FORM.sub(lambda verb: inflect(verb[1], verb[2]), text)
    return untagged(text)


def captions(program: Program, count: int = 4) -> list[Caption]:
    """`count` different captions (fewer if the grammar has no more), decided by the program's seed."""
    rng = np.random.default_rng([program.seed, 2])
    different: list[Caption] = []
    for _ in range(20 * count):
        if len(different) == count:
            break
        caption = sentence(program, rng)
        if caption not in different:
            different.append(caption)
    return different
