"""Readers' answers to the built-in prompts, compared with the key; and what all answers have in common."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from figures.blind.contents import CONTENTS
from figures.blind.prompts import read_json
from mmm.errors import atomic_write, require


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Of strips of one kind ("generated" or "real"): right answers and strips per content, and what was confused."""

    right: dict[str, int]
    total: dict[str, int]
    confusion: dict[tuple[str, str], int]  # (content, answer) → strips

    def of(self, contents: list[str]) -> tuple[int, int]:
        """Right answers and strips of some contents together."""
        return sum(self.right[c] for c in contents), sum(self.total[c] for c in contents)


def read_key(strips: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """key.json of a folder of strips. Raises FileNotFoundError, ValueError: none there, or no JSON."""
    return read_json(Path(strips) / "key.json", dict, "the key that `blind make` writes")


def find_answers(strips: str | os.PathLike) -> list[Path]:
    """answers_1.json … of a folder of strips, in order. Raises FileNotFoundError where there is none."""
    found = sorted(Path(strips).glob("answers_*.json"))
    require(found, f"{strips} has no answers_*.json; name the readers' files.", FileNotFoundError)
    return found


def read_answers(
    path: str | os.PathLike[str], names: list[str], valid: Callable[[str], bool], expected: str
) -> dict[str, str]:
    """One reader's answers, by strip.

    Args:
        names: the strips. valid: is this an answer? expected: what is, for the sentence.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no JSON object; a strip that has no answer, or one that is not valid.
    """
    given = read_json(path, dict, "an object with an answer for each strip")
    for name in names:
        answer = given.get(name, "")
        ok = isinstance(answer, str) and valid(answer)
        require(ok, f"{path}: strip {name} has the answer {answer!r}, expected {expected}.")
    return {name: given[name] for name in names}


def majority(given: list[str]) -> str:
    """The most frequent answer; with a tie that of the first reader among them."""
    return Counter(given).most_common(1)[0][0]


def score(strips: str | os.PathLike, answers: list[str | os.PathLike]) -> dict[str, Verdict]:
    """Verdicts of the "generated" and the "real" strips; of several readers the most frequent answer counts.

    With a tie the first reader's answer counts.

    Raises:
        ValueError: a strip has no answer, or one that is not a content.
    """
    key = read_key(strips)
    expected = f"one of {', '.join(CONTENTS)}"
    readers = [read_answers(path, list(key), CONTENTS.__contains__, expected) for path in answers]
    verdicts = {}
    for kind in ("generated", "real"):
        right, total, confusion = Counter(), Counter(), Counter()
        for name, row in key.items():
            if row["kind"] == kind:
                answer = majority([reader[name] for reader in readers])
                total[row["content"]] += 1
                right[row["content"]] += answer == row["content"]
                confusion[row["content"], answer] += 1
        verdicts[kind] = Verdict(
            {c: right[c] for c in CONTENTS}, {c: total[c] for c in CONTENTS}, dict(confusion)
        )
    return verdicts


def told(verdicts: dict[str, Verdict]) -> dict[str, Any]:
    """What result.json says of the built-in prompts: right and strips of both data sets' contents."""
    names = list(CONTENTS)
    return {
        kind: {"contents 1-10": v.of(names[:10]), "contents 11-17": v.of(names[10:]), "right": v.right}
        for kind, v in verdicts.items()
    }


def draw_confusion(verdicts: dict[str, Verdict], path: str | os.PathLike) -> None:
    """Both confusion tables side by side: rows what was asked for (or performed), columns what was seen."""
    names = list(CONTENTS)
    figure, axes = plt.subplots(1, 2, figsize=(17, 8), sharey=True, layout="constrained")
    for axis, (kind, verdict) in zip(axes, verdicts.items(), strict=True):
        table = np.array([[verdict.confusion.get((row, column), 0) for column in names] for row in names])
        sns.heatmap(
            table,
            annot=np.where(table > 0, table.astype(str), ""),
            fmt="",
            cmap="Blues",
            cbar=False,
            ax=axis,
            xticklabels=names,
            yticklabels=names,
            linewidths=0.5,
            linecolor="0.9",
        )
        right, total = verdict.of(names)
        axis.set(title=f"{kind}: {right} of {total} recognised", xlabel="the reader saw")
    axes[0].set_ylabel("asked for (generated) or performed (real)")
    with atomic_write(path) as part:
        figure.savefig(part, dpi=80)
    plt.close(figure)
