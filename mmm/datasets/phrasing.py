"""Captions as people would write them: one action, one after another, or two at once.

The wording is hand-written and lies in the YAML files of `phrases`: 60 or more phrasings for every action class of
Bandai-Namco's and CMU's data, and subjects, adjectives and manners for every style. This module only inflects and
combines it.

A phrase with `<verb>` is a verb phrase; the others are whole captions ("hands up!"). SIDE is left or right, `{the}`
the article or a possessive.

`sentences` are another thing: whole sentences as people type them, each written singly (with the help of a language
model), with reasons, persons and circumstances that no grammar has ("no car today so I'm going by foot"). They are no
captions of clips, and val and test have none of them: training draws them for an action (`mmm.transformer.compose`).
"""

from __future__ import annotations

import functools
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mmm.data.captions import mirror_text
from mmm.datasets.bandai_captions import ACTION_CLASSES, STYLES
from mmm.datasets.grammar import OWNER, inflect
from mmm.datasets.synthetic.captions import PARALLEL, TWICE
from mmm.errors import require

FOLDER = Path(__file__).parent / "phrases"
SIDES = ("left", "right")
_SIDE = re.compile("[LA]?SIDE")
_VERB = re.compile(r"<([a-z-]+)>")
_CLAUSE = re.compile(r"\b([AB]):(third|ing|base|pronoun)")
_LIMB = re.compile(r"\b([LR])(:ing|:pronoun)?(?![a-z])")
_PLURAL = {"they": "base", "he": "third", "she": "third"}

# S subject, H pronoun, A action with the form of its verbs, M manner; the number says how often.
ONE = [
    ("S A:third M", 8),
    ("S is A:ing M", 4),
    ("A:ing M", 3),
    ("A:base M", 3),
    ("M, S A:third", 1),
    ("S M A:third", 0.7),
    ("there is S who A:third M", 0.5),
    ("we see S A:ing M", 0.5),
    ("S who is A:ing M", 0.5),
]
TWO = [
    *TWICE,
    ("A:third and then B:third", 1),
    ("A:base, then B:base", 2),
    ("A:base and then B:base", 2),
    ("first A:base, then B:base", 1),
    ("A:base before B:ing", 0.5),
    ("A:ing, then B:ing", 1),
    ("A:ing and afterwards B:ing", 0.5),
    ("S A:third, stops and B:third", 0.7),
    ("S A:third and finally B:third", 0.7),
    ("once H is done A:ing, S B:third", 0.3),
    ("S A:third and B:third", 1.5),
]
AT_ONCE = [("S A:third", 6), ("S is A:ing", 3), ("A:ing", 2), ("A:base", 2)]
WHILE = [*PARALLEL, ("L and R", 1), ("L as H R:pronoun", 0.5)]
# Subjects that say nothing about the style, by pronoun. For some styles not every pronoun is true.
NEUTRAL = {
    "he": "a man/the man/a guy/the guy/a male/this man/one man".split("/"),
    "she": "a woman/the woman/this woman/one woman".split("/"),
    "they": "a person/the person/someone/somebody/a human/the figure/a figure/the character/a stick figure/this person/"
    "one person/an individual/a human figure/the subject".split("/"),
}
PRONOUNS = {"he": 0.2, "she": 0.2, "they": 0.6}
NOT_OF_STYLE = {"feminine": "he", "masculine": "she", "masculinity": "she"}
SAME = {"elderly": "old", "masculinity": "masculine"}  # two names of one style
WHOLE_CAPTIONS = 0.5  # how often a phrase without a verb is drawn, against one with a verb


@functools.cache
def phrases() -> dict[str, list[str]]:
    """Verb phrases and whole captions of every action class, those of `bandai_captions` first."""
    table = {action: list(own) for action, own in ACTION_CLASSES.items()}
    for name in _tables():
        for action, own in yaml.safe_load(name.read_text(encoding="utf-8")).items():
            for side in SIDES if "SIDE" in action else ("",):
                known = table.setdefault(action.replace("SIDE", side), [])
                known += [new for phrase in own if (new := phrase.replace("SIDE", side)) not in known]
    # of an action that was seen to one side only, the other side comes from mirrored clips
    mirrored = {mirror_text(action): list(map(mirror_text, own)) for action, own in table.items()}
    return mirrored | table


def _tables() -> list[Path]:
    return [path for path in sorted(FOLDER.glob("*.yaml")) if path.stem not in ("styles", "actions")]


@functools.cache
def styles() -> dict[str, tuple[list[str], list[str], list[str]]]:
    """(subjects, adjectives, manners) of every style, those of `bandai_captions` first."""
    more = yaml.safe_load((FOLDER / "styles.yaml").read_text(encoding="utf-8"))
    kinds = ("subjects", "adjectives", "manners")
    return {
        style: tuple(
            list(dict.fromkeys([*own, *(more.get(SAME.get(style, style), {}).get(kind) or [])]))
            for own, kind in zip(known, kinds, strict=True)
        )
        for style, known in STYLES.items()
    }


@functools.cache
def sentences() -> dict[str, list[str]]:
    """What people type: about an action ("walk"), one in a style ("walk, sad"), two ("walk while wave-left-hand").

    In the files of phrases/sentences SIDE stands for one side throughout a sentence; LSIDE and ASIDE are those of legs
    and arms. A key may have a side that its sentences leave open. Styles have their names in `SAME`, so that "elderly"
    is "old".
    """
    table: dict[str, list[str]] = {}
    for file in sorted((FOLDER / "sentences").glob("*.yaml")):
        for key, own in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            written = {}
            for legs, arms in itertools.product(SIDES, SIDES):
                sides = {"LSIDE": legs, "ASIDE": arms, "SIDE": legs}
                named, *texts = [
                    _SIDE.sub(lambda found, sides=sides: sides[found[0]], text) for text in (key, *own)
                ]
                written[named] = texts
            for named, texts in written.items():
                table.setdefault(named, []).extend(texts)
    return table


@functools.cache
def actions() -> dict[str, dict[str, Any]]:
    """How each action class combines with others: the entries of mmm/datasets/phrases/actions.yaml, SIDE replaced."""
    table = {}
    for action, rules in yaml.safe_load((FOLDER / "actions.yaml").read_text(encoding="utf-8")).items():
        for side in SIDES if "SIDE" in action else ("",):
            holding = [phrase.replace("SIDE", side) for phrase in rules.get("holding", [])]
            defaults = {"repeats": False, "held": False, "start": "stand", "end": "stand"}
            table[action.replace("SIDE", side)] = defaults | rules | {"holding": holding}
    return table


def one(action: str, style: str, rng: np.random.Generator, styled: bool) -> str:
    """A caption of one action; with `styled` it shows the style, in subject, manner or both."""
    options = phrases()[action]
    weights = np.array([1.0 if "<" in phrase else WHOLE_CAPTIONS for phrase in options])
    phrase = str(rng.choice(options, p=weights / weights.sum()))
    subject, pronoun, manner = _subject(style, rng, styled)
    if "<" not in phrase:
        manner = manner or (str(rng.choice(styles()[style][2])) if styled else "")
        if manner:
            return f"{phrase.rstrip('!')}{rng.choice([', ', ' '])}{manner}"
        return phrase
    pattern = _pick(rng, ONE if manner else [(text, often) for text, often in ONE if "M," not in text])
    if styled and not manner and not re.search(r"\bS\b", pattern):
        manner = str(rng.choice(styles()[style][2]))  # without a subject, only the manner can show the style
    return _render(pattern, [phrase], subject, pronoun, rng, manner)


def then(first: str, second: str, rng: np.random.Generator) -> str:
    """A caption of two actions, one after the other."""
    subject, pronoun, _ = _subject("normal", rng, False)
    return _render(_pick(rng, TWO), [_verbs(first, rng), _verbs(second, rng)], subject, pronoun, rng, "")


def at_once(legs: str, arms: str, rng: np.random.Generator) -> str:
    """A caption of an action of the legs and one of the arms at the same time."""
    subject, pronoun, _ = _subject("normal", rng, False)
    walks, holding = _verbs(legs, rng), actions()[arms]["holding"]
    if holding and rng.random() < 0.45:
        phrase = f"{walks} {rng.choice(holding)}"
    else:
        clauses = {"L": walks, "R": _verbs(arms, rng)}
        forms = {":ing": "ing", ":pronoun": _PLURAL[pronoun]}  # without a form, that of the sentence
        pattern = _pick(rng, WHILE).replace("H", pronoun)
        phrase = _LIMB.sub(lambda limb: _inflected(clauses[limb[1]], forms.get(limb[2])), pattern)
    return _render(_pick(rng, AT_ONCE), [phrase], subject, pronoun, rng, "")


def different(write: Any, count: int, tries: int = 60) -> list[str]:
    """`count` different texts of `write()`; ValueError if it has fewer."""
    texts: dict[str, None] = {}
    for _ in range(tries * count):
        if len(texts) == count:
            break
        texts[write()] = None
    require(
        len(texts) == count, f"{count} different captions are requested, but there are only {len(texts)}."
    )
    return list(texts)


def captions_of(action: str, style: str, rng: np.random.Generator, count: int) -> list[str]:
    """`count` different captions; the first names the style (unless it is "normal"), the last does not."""
    numbers = iter(range(10**6))

    def write() -> str:
        number = next(numbers)
        styled = style != "normal" and (number == 0 or (number < count - 1 and rng.random() < 0.5))
        return one(action, style, rng, styled)

    return different(write, count)


def _verbs(action: str, rng: np.random.Generator) -> str:
    """A verb phrase of the action, without clauses of its own that a second action would confuse."""
    options = [phrase for phrase in phrases()[action] if "<" in phrase]
    short = [
        phrase for phrase in options if "," not in phrase and " then " not in phrase and len(phrase) < 60
    ]
    return str(rng.choice(short or options))


def _subject(style: str, rng: np.random.Generator, styled: bool) -> tuple[str, str, str]:
    """Subject, pronoun and manner."""
    own, adjectives, manners = styles()[style]
    where = int(rng.integers(3)) if styled else -1  # the style shows in subject (0), manner (1) or both (2)
    chances = {pronoun: often for pronoun, often in PRONOUNS.items() if pronoun != NOT_OF_STYLE.get(style)}
    pronoun = _pick(rng, list(chances.items()))
    subject, manner = str(rng.choice(NEUTRAL[pronoun])), ""
    if where in (0, 2) and (own or adjectives):
        if own and (not adjectives or rng.random() < 0.5):
            subject = str(rng.choice(own))
        else:
            noun = {"he": "man", "she": "woman"}.get(pronoun) or rng.choice(
                ["person", "figure", "human", "person"]
            )
            adjective = str(rng.choice(adjectives))
            subject = f"{'an' if adjective[0] in 'aeiou' else 'a'} {adjective} {noun}"
        pronoun = _pronoun(subject)
    if where in (1, 2) or (styled and subject in NEUTRAL[pronoun]):
        manner = str(rng.choice(manners))
    return subject, pronoun, manner


def _pronoun(subject: str) -> str:
    owner = OWNER.get(subject.split()[-1], "their")
    return {"his": "he", "her": "she"}.get(owner, "they")


def _pick(rng: np.random.Generator, options: list[tuple[str, float]]) -> str:
    weights = np.array([often for _, often in options])
    return options[rng.choice(len(options), p=weights / weights.sum())][0]


def _render(
    pattern: str, clauses: list[str], subject: str, pronoun: str, rng: np.random.Generator, manner: str
) -> str:
    """The pattern with its clauses, their verbs inflected, their possessives those of the subject."""
    owner = {"he": "his", "she": "her", "they": "their"}[pronoun]
    if not re.search(r"\b[SH]\b", pattern) and pronoun == "they":
        owner = "your" if ":base" in pattern and rng.random() < 0.5 else "the"
    forms = {"pronoun": _PLURAL[pronoun]}
    # subject and pronoun go in before the clauses, whose letters are not to be replaced
    text = re.sub(r"\bH is\b", "they are" if pronoun == "they" else f"{pronoun} is", pattern)
    text = re.sub(r"\bH\b", pronoun, re.sub(r"\bS\b", subject, re.sub(r"\bM\b", "{manner}", text)))
    text = _CLAUSE.sub(
        lambda clause: _inflected(clauses["AB".index(clause[1])], forms.get(clause[2], clause[2])), text
    ).replace("{manner}", manner)
    text = re.sub(r"\{the\}", lambda _: owner if rng.random() < 0.6 else "the", text)
    return re.sub(r"\s+", " ", text).replace(" ,", ",").strip(" ,")


def _inflected(clause: str, form: str | None) -> str:
    """A clause with its verbs in a form; None leaves them to the sentence."""
    return clause if form is None else _VERB.sub(lambda verb: inflect(verb[1], form), clause)
