"""What a caption of the choreographer says about each action: only that can be expected of a motion made from it.

The caption is read with the choreographer's own phrases (`mmm.datasets.synthetic.phrases`). The phrase of an action,
with the adverb before it and the manners and numerals after it, shows what the caption names.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mmm.datasets.grammar import inflect
from mmm.datasets.synthetic.captions import choices
from mmm.datasets.synthetic.phrases import NUMBERS, SIZE, SPEED
from mmm.datasets.synthetic.program import Action, Program
from mmm.lab.oracle.recognition import actions_of

_NOUNS = "leap|jump|squat|bend|bow|kick|punch|blow"
_TIMES = rf"(?:once|twice|one time|(?:{'|'.join(NUMBERS)}) times)"
_SIZES = sorted(
    {words for sizes in SIZE.values() for group in sizes.values() for words in group}, key=len, reverse=True
)
_MANNERS = sorted({words for group in SPEED.values() for words in group}, key=len, reverse=True)
_EXTRA = rf"(?: (?:{_TIMES}|several times|{'|'.join(_SIZES + _MANNERS)})(?![a-z]))*"
_BEFORE = rf"(?:(?P<adverb>{'|'.join(m for m in _MANNERS if ' ' not in m)}) )?"
# Phrases that name no direction, though their actions have one.
BARE = {
    "<walk>", "<run>", "<jog>", "<go> for a run", "<stretch>", "<stretch> {the} back", "<yawn> and <stretch>",
    "<loosen> up with a stretch", "<look> around", "<gaze> about", "<peer> around", "<hop> with both feet",
    "<check> both sides of the road",
}  # fmt: skip


def named_by(caption: str, program: Program) -> set[tuple[int, str, str]]:
    """(index of the segment, action's name, attribute) of everything that the caption names.

    Args:
        caption: a text that `mmm.datasets.synthetic.captions` wrote for `program`.
    """
    text = re.sub(r"[.,]", "", caption).replace("  ", " ")
    named = set()
    for index, segment in enumerate(program.segments):
        for action in actions_of(segment):
            match, phrase = _longest(text, action)
            if match is not None:
                named |= {(index, action.name, attribute) for attribute in _attributes(action, match, phrase)}
    return named


def _longest(text: str, action: Action) -> tuple[re.Match | None, str]:
    """The longest phrase for the action that the text holds."""
    side = action.side if action.side in ("left", "right") else action.direction
    best: tuple[re.Match | None, str] = None, ""
    for phrase in choices(action):
        for match in _pattern(phrase, side, action.count).finditer(text):
            if best[0] is None or len(match["phrase"]) > len(best[0]["phrase"]):
                best = match, phrase
    return best


def _attributes(action: Action, match: re.Match, phrase: str) -> set[str]:
    extra = match["extra"]
    manner = any(re.search(rf"(?<![a-z]){re.escape(m)}(?![a-z])", extra) for m in SPEED[action.speed])
    counted = "{N}" in phrase or re.search(rf"(?<![a-z]){_TIMES}", extra)
    return {
        "action",
        *(("side",) if action.side else ()),
        *(("direction",) if action.direction and phrase not in BARE else ()),
        *(("speed",) if manner or match["adverb"] in SPEED[action.speed] else ()),
        *(("count",) if counted else ()),
    }


@lru_cache(maxsize=4096)
def _pattern(phrase: str, side: str | None, count: int | None) -> re.Pattern:
    """The phrase as a regular expression, with its placeholders filled in."""
    text = re.escape(phrase.replace(",", "")).replace(r"\ ", " ").replace(r"\-", "-")
    if side in ("left", "right"):
        turnwise = "counterclockwise" if side == "left" else "clockwise"
        other = "right" if side == "left" else "left"
        text = text.replace("SIDE", side).replace("OTHER", other).replace("TURNWISE", turnwise)
    if count == 1 and r"\{N\}" in text:
        text = re.sub(rf"\b({_NOUNS})(e?s)\b", r"\1", text)
    text = text.replace(r"\{N\}", f"(?:{NUMBERS[count or 0]}|a)")
    text = text.replace(r"\{the\}", "(?:the|his|her|their)").replace(r"\{he\}", "(?:he|she|they)")
    text = re.sub(r"<([a-z-]+)(?::ing)?>", lambda m: _forms(m[1]), text)
    return re.compile(rf"(?<![a-z-]){_BEFORE}(?P<phrase>{text})(?![a-z])(?P<extra>{_EXTRA})")


def _forms(verb: str) -> str:
    return "(?:" + "|".join(inflect(verb, form) for form in ("third", "ing", "base")) + ")"
