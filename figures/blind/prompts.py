"""What a reader may answer, the built-in prompts, and files of free text."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from mmm.data import mirror_text
from mmm.errors import require

# Action classes. The first ten are those of data set 2; the others have 12 training takes each.
CONTENTS = {
    "walk": "walks straight ahead",
    "run": "runs or jogs straight ahead",
    "walk-turn-left": "walks and turns to their own left",
    "walk-turn-right": "walks and turns to their own right",
    "raise-up-left-hand": "raises the left hand or arm, without waving it",
    "raise-up-right-hand": "raises the right hand or arm, without waving it",
    "raise-up-both-hands": "raises both hands or arms, without waving them",
    "wave-left-hand": "waves with the left hand, arm raised high",
    "wave-right-hand": "waves with the right hand, arm raised high",
    "wave-both-hands": "waves with both hands, arms raised high",
    "walk-back": "walks backwards",
    "walk-left": "walks sideways or diagonally to their own left, without turning that way",
    "walk-right": "walks sideways or diagonally to their own right, without turning that way",
    "dash": "sprints, as fast as possible",
    "bow": "bows",
    "bye": "says goodbye with a small wave of one hand",
    "guide": "shows somebody the way with one arm held out low",
}

PROMPTS = {
    "walk": ("a man goes for a walk", "somebody walks along a path"),
    "run": ("a jogger runs along", "a man is out for a run"),
    "walk-turn-left": ("a man walks and then makes a left", "someone walks before turning toward the left"),
    "walk-turn-right": (
        "a man walks and then makes a right",
        "someone walks before turning toward the right",
    ),
    "raise-up-left-hand": (
        "someone puts the left arm in the air",
        "a pupil raises his left hand to ask a question",
    ),
    "raise-up-right-hand": (
        "someone puts the right arm in the air",
        "a pupil raises his right hand to ask a question",
    ),
    "raise-up-both-hands": ("someone puts the two hands in the air", "a man lifts up both of his arms"),
    "wave-left-hand": (
        "someone says hi by waving the left hand",
        "a man is waving at a friend with his left arm",
    ),
    "wave-right-hand": (
        "someone says hi by waving the right hand",
        "a man is waving at a friend with his right arm",
    ),
    "wave-both-hands": (
        "someone says hi by waving two hands",
        "a man is waving at a friend with both of his arms",
    ),
    "walk-back": ("a man goes backward step by step", "someone is moving back on foot"),
    "walk-left": ("a man steps to his left side", "someone moves leftward with sideways steps"),
    "walk-right": ("a man steps to his right side", "someone moves rightward with sideways steps"),
    "dash": ("a man sprints at full tilt", "someone runs really fast"),
    "bow": ("a man bows to show respect", "someone bows to the audience"),
    "bye": ("a man waves goodbye to his friends", "a person gives a goodbye wave"),
    "guide": ("a man shows a guest the way", "someone leads a visitor with the right arm"),
}

OTHER = "other"  # free text only: the motion fits none of the classes
KINDS = {
    "plain": "one action, in everyday words",
    "style": "one action and how it is done",
    "order": "one action, the words in an unusual order",
    "typo": "one action, misspelt",
    "two": "two actions",
    "beyond": "something that the data do not show",
}
ORDERS = ("then", "while")


def read_json(path: str | os.PathLike[str], kind: type, expected: str) -> Any:
    """The content of a JSON file.

    Args:
        kind: list or dict. expected: for the message.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or its content is no `kind`.
    """
    path = Path(path)
    require(path.is_file(), f"there is no file {path}; expected {expected}.", FileNotFoundError)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); expected {expected}.") from error
    require(isinstance(content, kind), f"{path} holds a {type(content).__name__}; expected {expected}.")
    return content


def read_prompts(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Free text to be judged: a JSON list of objects with text, contents (classes that are right) and kind.

    A prompt of kind "two" has two contents, and perhaps the order in which they come.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no list, or a prompt that cannot be judged, which the message names.
    """
    prompts = read_json(path, list, 'a list of {"text": …, "contents": […], "kind": …}')
    require(prompts, f"{path} holds no prompt; give at least one.")
    texts: set[str] = set()
    for number, prompt in enumerate(prompts, 1):
        where = f"{path}: prompt {number}"
        _check(where, prompt)
        require(prompt["text"] not in texts, f"{where} ({prompt['text']!r}) is there twice; leave one out.")
        texts.add(prompt["text"])
    return prompts


def _check(where: str, prompt: Any) -> None:
    """Raise ValueError, naming `where`, unless this is a prompt that can be judged."""
    known = isinstance(prompt, dict) and {"text", "contents", "kind"} <= prompt.keys()
    require(known, f"{where} is {prompt!r}; expected an object with text, contents and kind.")
    text, contents, kind = prompt["text"], prompt["contents"], prompt["kind"]
    order = prompt.get("order", ORDERS[0])
    require(
        isinstance(text, str) and text.strip(), f"{where} has the text {text!r}; say what the person does."
    )
    require(kind in tuple(KINDS), f"{where} has the kind {kind!r}, expected one of {', '.join(KINDS)}.")
    require(
        isinstance(contents, list) and all(content in tuple(CONTENTS) for content in contents),
        f"{where} has the contents {contents!r}, expected a list of some of {', '.join(CONTENTS)}.",
    )
    count = 2 if kind == "two" else len(contents)
    require(
        len(set(contents)) == len(contents) == count,
        f"{where} is of kind {kind} and has the contents {contents}; each may come once, of kind two there are two.",
    )
    require(order in ORDERS, f"{where} has the order {order!r}, expected {' or '.join(ORDERS)}.")


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def check_unseen(prompts: list[str], captions: list[str]) -> None:
    """Raise ValueError if a prompt, in letters alone, is a training caption or the mirror image of one."""
    seen = {_plain(text) for caption in captions for text in (caption, mirror_text(caption))}
    known = [prompt for prompt in prompts if _plain(prompt) in seen]
    require(
        not known,
        f"the prompt {known[:1]} is a training caption; use words that the model has not seen.",
    )
