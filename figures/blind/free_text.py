"""Answers to free text compared with the key: right, half or wrong, and the share right of each kind of prompt."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from figures.blind.contents import CONTENTS, OTHER
from figures.blind.prompts import KINDS
from figures.blind.readers import majority, read_answers, read_key
from mmm.errors import require


@dataclasses.dataclass(frozen=True)
class Judged:
    """One strip: its row of the key, every reader's answer, the one that counts, and "right", "half" or "wrong"."""

    row: dict[str, Any]
    given: list[str]
    counted: str
    mark: str


def is_free(key: dict[str, dict[str, Any]]) -> bool:
    """Was the key made of a file of prompts?"""
    return any("prompt" in row for row in key.values())


def names_of(answer: str) -> list[str]:
    """The names that an answer joins, in alphabetical order: "walk + bow" → ["bow", "walk"]."""
    return sorted(name.strip() for name in answer.split("+"))


def is_answer(answer: str) -> bool:
    """One content, two that differ, or `other` alone?"""
    names = names_of(answer)
    return names == [OTHER] or len(set(names)) == len(names) <= 2 and all(name in CONTENTS for name in names)


def mark(contents: list[str], both: bool, answer: str) -> str:
    """ "right", "half" or "wrong".

    Args:
        contents: what was asked for or performed; nothing is right where there is none.
        both: must the answer name both contents (kind "two", half: one of them), or just one of them (half: one of
            them beside another action, which nobody asked for)?
    """
    names = names_of(answer)
    hits = sum(name in contents for name in names)
    right = set(names) == set(contents) if both else len(names) == hits == 1
    return "right" if right else "half" if hits else "wrong"


def judge(strips: str | os.PathLike, answers: Iterable[str | os.PathLike]) -> dict[str, Judged]:
    """Every strip of a folder made of a file of prompts, with its readers' answers; the most frequent one counts.

    "walk+bow" and "bow+walk" are the same. With a tie the first reader's answer counts.

    Raises:
        FileNotFoundError: no key, or no such answers.
        ValueError: no reader; the key is of the built-in prompts; a strip that has no answer, or a wrong name.
    """
    key, answers = read_key(strips), list(answers)
    require(is_free(key), f"{Path(strips) / 'key.json'} has no free text; it was made without --prompts.")
    require(answers, f"there are no answers to the strips in {strips}; name a reader's file.")
    expected = f'one of {", ".join([*CONTENTS, OTHER])}, or two contents joined by "+"'
    readers = [read_answers(path, list(key), is_answer, expected) for path in answers]
    judged = {}
    for name, row in key.items():
        given = ["+".join(names_of(reader[name])) for reader in readers]
        prompt = row.get("prompt") or {"contents": [row["content"]], "kind": "real"}
        counted = majority(given)
        judged[name] = Judged(row, given, counted, mark(prompt["contents"], prompt["kind"] == "two", counted))
    return judged


def wilson(right: int, of: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score (1927): within [0, 1], and of some width even at 0 and 1.

    Raises:
        ValueError: nothing was counted.
    """
    require(0 <= right <= of and of > 0, f"{right} of {of} has no share; count at least one strip.")
    low, high = binomtest(right, of).proportion_ci(method="wilson")
    return float(low), float(high)


def tally(judged: Iterable[Judged]) -> dict[str, dict[str, dict[str, Any]]]:
    """Counts and shares: "generated" by kind of prompt, and "all"; "real" "all". What result.json says.

    A share counts what is right, halves not; "interval" is Wilson's.
    """
    marks: dict[tuple[str, str], list[str]] = {}
    for one in judged:
        marks.setdefault((one.row["kind"], "all"), []).append(one.mark)
        if "prompt" in one.row:
            marks.setdefault(("generated", one.row["prompt"]["kind"]), []).append(one.mark)
    rows = {"generated": [*KINDS, "all"], "real": ["all"]}
    return {
        source: {kind: _counts(marks[source, kind]) for kind in kinds if (source, kind) in marks}
        for source, kinds in rows.items()
    }


def _counts(marks: list[str]) -> dict[str, Any]:
    right, half, of = marks.count("right"), marks.count("half"), len(marks)
    low, high = wilson(right, of)
    numbers = {"share": right / of, "interval": [low, high]}
    return {"right": right, "half": half, "of": of} | numbers


def table(counts: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The tally as a Markdown table."""
    lines = [
        "| strips | | right | half | of | share right (95 % interval) |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for source, kinds in counts.items():
        for kind, n in kinds.items():
            low, high = n["interval"]
            share = f"{100 * n['share']:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
            what = KINDS.get(kind, "all prompts" if source == "generated" else "one action, captured")
            name = f"**{source}**" if kind == "all" else f"{source}, {kind}"
            lines.append(f"| {name} | {what} | {n['right']} | {n['half']} | {n['of']} | {share} |")
    return "\n".join(lines)
