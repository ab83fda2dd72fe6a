"""Free text to be judged: a file of prompts, what kind each is and which contents a reader may see in it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from figures.blind.contents import CONTENTS
from mmm.data import mirror_text
from mmm.errors import require

KINDS = {
    "plain": "one action, in everyday words",
    "style": "one action and how it is done",
    "order": "one action, the words in an unusual order",
    "typo": "one action, misspelt",
    "two": "two actions",
    "beyond": "something that the data do not show",
}
ORDERS = ("then", "while")


def read_json(path: str | os.PathLike[str], kind: type, told: str) -> Any:
    """What a JSON file holds.

    Args:
        kind: list or dict. told: what was expected, for the sentence.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or holds something else than `kind`.
    """
    path = Path(path)
    require(path.is_file(), f"there is no file {path}; expected {told}.", FileNotFoundError)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); expected {told}.") from error
    require(isinstance(content, kind), f"{path} holds a {type(content).__name__}; expected {told}.")
    return content


def read_prompts(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The prompts of a file, in its order: a list of {"text", "contents", "kind"} and perhaps "order".

    `contents` are the names of which an answer must be one, or, of kind "two", both; empty where no name tells
    what is asked for. `order` ("then" or "while") says how the two actions follow each other.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no list, no prompt, a prompt without text or twice, an unknown content, kind or order, a kind
            "two" with other than two contents.
    """
    prompts = read_json(path, list, 'a list of {"text": …, "contents": […], "kind": …}')
    require(prompts, f"{path} holds no prompt; give at least one.")
    seen: set[str] = set()
    for number, prompt in enumerate(prompts, 1):
        where = f"{path}: prompt {number}"
        _check(where, prompt)
        require(
            prompt["text"] not in seen, f"{where} ({prompt['text']!r}) stands there twice; leave one out."
        )
        seen.add(prompt["text"])
    return prompts


def _check(where: str, prompt: Any) -> None:
    """Raise ValueError, naming `where`, unless this is one prompt of a file."""
    known = isinstance(prompt, dict) and {"text", "contents", "kind"} <= prompt.keys()
    require(known, f"{where} is {prompt!r}; expected an object with text, contents and kind.")
    text, contents, kind = prompt["text"], prompt["contents"], prompt["kind"]
    require(
        isinstance(text, str) and text.strip(), f"{where} has the text {text!r}; say what the person does."
    )
    require(kind in tuple(KINDS), f"{where} has the kind {kind!r}, expected one of {', '.join(KINDS)}.")
    require(isinstance(contents, list), f"{where} has the contents {contents!r}, expected a list of names.")
    for content in contents:
        require(
            content in tuple(CONTENTS),
            f"{where} has the content {content!r}, expected one of {', '.join(CONTENTS)}.",
        )
    require(
        len(set(contents)) == len(contents), f"{where} names a content twice in {contents}; leave one out."
    )
    require(
        kind != "two" or len(contents) == 2, f"{where} is of kind two, expected two contents: {contents}."
    )
    order = prompt.get("order", ORDERS[0])
    require(order in ORDERS, f"{where} has the order {order!r}, expected {' or '.join(ORDERS)}.")


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def check_unseen(prompts: list[str], captions: list[str]) -> None:
    """Raise ValueError if a prompt, in letters alone, is a training caption or the mirror image of one."""
    seen = {_plain(text) for caption in captions for text in (caption, mirror_text(caption))}
    known = [prompt for prompt in prompts if _plain(prompt) in seen]
    require(
        not known,
        f"the prompt {known[:1]} is a training caption; judge with phrasings the model has not seen.",
    )
