"""What a reader may answer, the built-in prompts, and files of free text."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from figures.blind.answers import ACTIONS, MANNERS
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

KINDS = {
    "plain": "one action, in everyday words",
    "single": "one action",
    "style": "one action and how it is done",
    "order": "one action, the words in an unusual order",
    "typo": "one action, misspelt",
    "two": "two actions",
    "sequence": "two actions, one after the other",
    "while": "two actions at once",
    "everyday": "one action of everyday life, sport or dance",
    "odd": "in odd words: misspelt, shouted, or in an unusual order",
    "beyond": "something that the data do not show",
}
ORDERS = ("then", "while", "any")


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
    """Free text to be judged: a JSON list of objects with text, kind, actions and, where they count, order and manner.

    See `figures.blind.answers` for actions, order and manner. The key "shows" (what the text requests, in plain words)
    is for the page. Earlier prompts have "contents" (classes that are right) in place of actions; of kind "two" they
    have two contents, in any order. All prompts of a file have the same form.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no list, or a prompt that cannot be judged, which the message names.
    """
    prompts = read_json(path, list, 'a list of {"text": …, "kind": …, "actions": [[…]]}')
    require(prompts, f"{path} holds no prompt; give at least one.")
    form = form_of(prompts)
    texts: set[str] = set()
    for number, prompt in enumerate(prompts, 1):
        where = f"{path}: prompt {number}"
        _check(where, prompt, form)
        require(prompt["text"] not in texts, f"{where} ({prompt['text']!r}) is there twice; leave one out.")
        texts.add(prompt["text"])
    return prompts


def form_of(prompts: list[Any]) -> str:
    """ "actions", or "contents" for the form of the earlier prompts."""
    return "contents" if any(isinstance(p, dict) and "contents" in p for p in prompts) else "actions"


def wanted_of(prompt: dict[str, Any]) -> dict[str, Any]:
    """What the strip of a prompt should show, as `figures.blind.answers.mark_of` takes it."""
    if "contents" not in prompt:
        return prompt
    contents = prompt["contents"]
    return {"actions": [[name] for name in contents] if prompt["kind"] == "two" else [contents]}


def _check(where: str, prompt: Any, form: str) -> None:
    """Raise ValueError, naming `where`, unless this is a prompt that can be judged."""
    known = isinstance(prompt, dict) and {"text", form, "kind"} <= prompt.keys()
    require(known, f"{where} is {prompt!r}; expected an object with text, {form} and kind.")
    text, kind = prompt["text"], prompt["kind"]
    require(
        isinstance(text, str) and text.strip(), f"{where} has the text {text!r}; say what the person does."
    )
    require(kind in tuple(KINDS), f"{where} has the kind {kind!r}, expected one of {', '.join(KINDS)}.")
    order = prompt.get("order", ORDERS[0])
    require(order in ORDERS, f"{where} has the order {order!r}, expected {', '.join(ORDERS)}.")
    (_check_contents if form == "contents" else _check_actions)(where, prompt)


def _check_contents(where: str, prompt: dict[str, Any]) -> None:
    kind, contents = prompt["kind"], prompt["contents"]
    require(
        isinstance(contents, list) and all(content in tuple(CONTENTS) for content in contents),
        f"{where} has the contents {contents!r}, expected a list of some of {', '.join(CONTENTS)}.",
    )
    count = 2 if kind == "two" else len(contents)
    require(
        len(set(contents)) == len(contents) == count,
        f"{where} is of kind {kind} and has the contents {contents}; each may come once, of kind two there are two.",
    )


def _check_actions(where: str, prompt: dict[str, Any]) -> None:
    actions, manner = prompt["actions"], prompt.get("manner", [])
    lists = isinstance(actions, list) and all(isinstance(names, list) and names for names in actions)
    require(
        lists and all(name in tuple(ACTIONS) for names in actions for name in names),
        f"{where} has the actions {actions!r}, expected lists of some of {', '.join(ACTIONS)}.",
    )
    require(
        len(actions) in (1, 2) and (len(actions) == 2) == ("order" in prompt),
        f"{where} has {len(actions)} actions and the order {prompt.get('order')!r}; one action has none, two have one.",
    )
    require(
        isinstance(manner, list) and all(name in tuple(MANNERS) for name in manner),
        f"{where} has the manner {manner!r}, expected a list of some of {', '.join(MANNERS)}.",
    )
    require(
        bool(manner) == (prompt["kind"] == "style"),
        f"{where} is of kind {prompt['kind']} and has the manner {manner!r}; a manner is given for kind style only.",
    )


def plain(text: str) -> str:
    """The text in letters alone: small, words separated by one space."""
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def check_unseen(prompts: list[str], captions: list[str]) -> None:
    """Raise ValueError if a prompt, in letters alone, is a training caption or the mirror image of one."""
    seen = {plain(text) for caption in captions for text in (caption, mirror_text(caption))}
    known = [prompt for prompt in prompts if plain(prompt) in seen]
    require(
        not known,
        f"the prompt {known[:1]} is a training caption; use words that the model has not seen.",
    )
