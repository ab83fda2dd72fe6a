"""Answers of readers compared with the key: which strips were recognised.

The most frequent answer to a strip counts; in a tie that of the first reader among them. Actions and manner are counted
each by itself. An answer to a built-in prompt is one action class. An answer to free text may also be `other`, or name
two actions, and is right, half right or wrong (see `figures.blind.answers`).
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from scipy.stats import binomtest

from figures.blind.answers import ACTIONS, MANNERS, OTHER, Answer, is_valid, mark_of, parse
from figures.blind.prompts import CONTENTS, KINDS, form_of, read_json, wanted_of
from mmm.errors import atomic_write, require
from mmm.viz.table import markdown_table


@dataclasses.dataclass(frozen=True)
class Strip:
    """One strip: its row of the key, every reader's answer, the one that counts, and "right", "half" or "wrong"."""

    row: dict[str, Any]
    answers: list[str]
    counted: str
    mark: str


def read_key(strips: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """key.json of a folder of strips. Raises FileNotFoundError, ValueError: none there, or no JSON."""
    return read_json(Path(strips) / "key.json", dict, "the key that `blind make` writes")


def is_free(key: dict[str, dict[str, Any]]) -> bool:
    """Was the key written for a file of prompts?"""
    return any("prompt" in row for row in key.values())


def find_answers(strips: str | os.PathLike) -> list[Path]:
    """answers_1.json … of a folder of strips, in order. Raises FileNotFoundError if there is none."""
    found = sorted(Path(strips).glob("answers_*.json"))
    require(found, f"{strips} has no answers_*.json; name the files of the readers.", FileNotFoundError)
    return found


def score(strips: str | os.PathLike, answers: Iterable[str | os.PathLike]) -> dict[str, Strip]:
    """Every strip of a folder, by name, with its answers and its mark.

    Raises:
        FileNotFoundError: no key, or no such answers.
        ValueError: no reader; a strip without an answer, or with a wrong name.
    """
    key, answers = read_key(strips), list(answers)
    require(answers, f"there are no answers to the strips in {strips}; name a file of a reader.")
    form = form_of_key(key)
    readers = [_read_answers(path, list(key), form) for path in answers]
    scored = {}
    for name, row in key.items():
        given = [reader[name] for reader in readers]
        counted = _most_frequent(given)
        if "prompt" in row:
            wanted = wanted_of(row["prompt"])
        else:
            wanted = row if "actions" in row else {"actions": [[row["content"]]]}
        scored[name] = Strip(row, list(map(str, given)), str(counted), mark_of(wanted, counted))
    return scored


def _most_frequent(given: list[Answer]) -> Answer:
    """The most frequent actions with the most frequent manner."""
    action = Counter(answer.action for answer in given).most_common(1)[0][0]
    manner = Counter(answer.manner for answer in given).most_common(1)[0][0]
    return dataclasses.replace(parse(action), manner=manner)


def form_of_key(key: dict[str, dict[str, Any]]) -> str:
    """What readers were asked: "built-in" (one class), "contents" (one or two), "actions" (also order and manner)."""
    return form_of([row["prompt"] for row in key.values() if "prompt" in row]) if is_free(key) else "built-in"


def _read_answers(path: str | os.PathLike, strips: list[str], form: str) -> dict[str, Answer]:
    """The answers of one reader, by strip; no manner is the normal one if readers were asked for it."""
    given = read_json(path, dict, "an object with an answer for each strip")
    names, links, manners = {
        "built-in": (CONTENTS, (), ()),
        "contents": ({*CONTENTS, OTHER}, ("any",), ()),
        "actions": ({*ACTIONS, OTHER}, ("then", "while"), MANNERS),
    }[form]
    expected = f"one of {', '.join(ACTIONS if form == 'actions' else CONTENTS)}"
    if form == "contents":
        expected += f', {OTHER}, or two classes joined by "+"'
    if form == "actions":
        expected += (
            f', {OTHER}, or two of them joined by ", then " or " while "; and perhaps "; " and one of '
            f"{', '.join(MANNERS)}"
        )
    read = {}
    for strip in strips:
        text = given.get(strip, "")
        answer = parse(text) if isinstance(text, str) else Answer(())
        valid = is_valid(answer, names, links, manners)
        require(valid, f"{path}: strip {strip} has the answer {text!r}, expected {expected}.")
        read[strip] = dataclasses.replace(answer, manner="") if answer.manner == "normal" else answer
    return read


# --- Built-in prompts ------------------------------------------------------------------------------------


def count_contents(strips: Iterable[Strip]) -> dict[str, Any]:
    """result.json of the built-in prompts: right answers, and [right, strips] of both data sets' classes."""
    strips, names = list(strips), list(CONTENTS)
    result = {}
    for kind in ("generated", "real"):
        total = Counter(strip.row["content"] for strip in strips if strip.row["kind"] == kind)
        right = Counter(
            s.row["content"] for s in strips if s.row["kind"] == kind and s.counted == s.row["content"]
        )
        result[kind] = {
            label: [sum(counts[name] for name in group) for counts in (right, total)]
            for label, group in (("contents 1-10", names[:10]), ("contents 11-17", names[10:]))
        } | {"right": {name: right[name] for name in names}}
    return result


def draw_confusion(strips: Iterable[Strip], path: str | os.PathLike) -> None:
    """Both confusion tables side by side: rows the requested (or performed) class, columns the one that was seen."""
    strips, names = list(strips), list(CONTENTS)
    figure, axes = plt.subplots(1, 2, figsize=(17, 8), sharey=True, layout="constrained")
    for axis, kind in zip(axes, ("generated", "real"), strict=True):
        counts = Counter((s.row["content"], s.counted) for s in strips if s.row["kind"] == kind)
        table = np.array([[counts[row, column] for column in names] for row in names])
        shown = np.where(table > 0, table.astype(str), "")
        style = {"cmap": "Blues", "cbar": False, "linewidths": 0.5, "linecolor": "0.9"}
        sns.heatmap(table, annot=shown, fmt="", ax=axis, xticklabels=names, yticklabels=names, **style)
        title = f"{kind}: {table.trace()} of {table.sum()} recognised"
        axis.set(title=title, xlabel="the reader saw")
    axes[0].set_ylabel("requested (generated) or performed (real)")
    with atomic_write(path) as part:
        figure.savefig(part, dpi=80)
    plt.close(figure)


# --- Free text -------------------------------------------------------------------------------------------


def wilson(right: int, of: int) -> tuple[float, float]:
    """95 % interval of a ratio by Wilson's score (1927): within [0, 1], and of some width even at 0 and 1.

    Raises:
        ValueError: nothing was counted.
    """
    require(0 <= right <= of and of > 0, f"{right} of {of} is no ratio; count at least one strip.")
    low, high = binomtest(right, of).proportion_ci(method="wilson")
    return float(low), float(high)


def tally(strips: Iterable[Strip]) -> dict[str, dict[str, dict[str, Any]]]:
    """result.json of free text: counts by kind of prompt and for "all" of "generated" and "real".

    Real clips have kinds if readers were asked for everyday actions and manners. "share" counts right answers, no half
    ones; "interval" is Wilson's.
    """
    marks: dict[tuple[str, str], list[str]] = {}
    for strip in strips:
        marks.setdefault((strip.row["kind"], "all"), []).append(strip.mark)
        kind = strip.row["prompt"]["kind"] if "prompt" in strip.row else strip.row.get("like")
        marks.setdefault((strip.row["kind"], kind), []).append(strip.mark)
    return {
        source: {kind: _counts(marks[source, kind]) for kind in (*KINDS, "all") if (source, kind) in marks}
        for source in ("generated", "real")
    }


def _counts(marks: Sequence[str]) -> dict[str, Any]:
    right, half, of = marks.count("right"), marks.count("half"), len(marks)
    return {"right": right, "half": half, "of": of, "share": right / of, "interval": [*wilson(right, of)]}


def table(counts: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The tally in Markdown."""
    rows = []
    for source, kinds in counts.items():
        for kind, n in kinds.items():
            low, high = n["interval"]
            ratio = f"{100 * n['share']:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
            what = KINDS.get(kind, "all prompts" if source == "generated" else "one action, captured")
            name = f"**{source}**" if kind == "all" else f"{source}, {kind}"
            rows.append((name, what, n["right"], n["half"], n["of"], ratio))
    return markdown_table(
        ("strips", "", "right", "half", "of", "ratio right (95 % interval)"), rows, "llrrrr"
    )
