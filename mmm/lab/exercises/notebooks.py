"""From the source of a chapter to its two notebooks: the exercises, and the same with the solutions."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from mmm.lab.exercises.exercise import FOLDER, Exercise, answer_name, chapter, chapters, source

NOTEBOOKS = FOLDER.parents[2] / "notebooks"
ABOUT = """
# {number} · Exercises: {title}

They belong to [chapter {number}](../{name}.ipynb). The title of each says how long it takes and what you do:

- *write a function*: you get a function that runs but is wrong. Change it, then run its `check`;
- *predict, then measure*: write down a number or a letter **and your reason**, run the `check`, then `measure`.

A `check` takes seconds (the first one half a minute) and says what is wrong. `hint("{number}.1")` gives a hint; run it
again for the next one.
`example("{number}.1")` returns the arguments with which the check calls your function in its first test,
`example("{number}.1", 2)` those of its second test: try your function on them. `solution("{number}.1")` prints the
solution.

The first line of each function names its inputs and, after the arrow, its result. Letters in shapes: B batch, T frames,
N tokens, P body parts, J joints, K codes.
"""
SOLVED = """
# {number} · Solutions: {title}

The solutions of [these exercises](../exercises/{name}.ipynb). Every check passes.
"""


def _cell(kind: str, id: str, text: str, **metadata: Any) -> dict[str, Any]:
    lines = text.strip("\n").splitlines(keepends=True)
    cell = {"cell_type": kind, "id": id.replace(".", "-"), "metadata": metadata, "source": lines}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _exercise_cells(exercise: Exercise, solved: bool) -> list[dict[str, Any]]:
    number, name = exercise.number, answer_name(exercise)
    # The tag lets "Run all" go on behind a check that fails.
    tags = {} if solved else {"tags": ["raises-exception"]}
    call = f'check("{number}", {name})' + ("" if solved else f'  # hint("{number}"), solution("{number}")')
    answer = source(exercise, exercise.solution if solved else exercise.stub)
    todo = "" if solved or callable(exercise.stub) else "  # TODO: your answer"
    cells = [
        _cell("markdown", f"{number}-text", f"## {inspect.cleandoc(exercise.text)}"),
        _cell("code", f"{number}-answer", answer + todo),
        _cell("code", f"{number}-check", call, **tags),
    ]
    if solved:
        cells += [_cell("markdown", f"{number}-why", why) for why in exercise.said("why")]
    if exercise.measure:
        cells.append(_cell("code", f"{number}-measure", f'measure("{number}")'))
    return cells


def notebook(number: str, solved: bool) -> tuple[str, str]:
    """The file name and the text of a chapter's notebook."""
    made = chapter(number)
    values = {"number": number, "title": made.title, "name": made.notebook}
    called = "check, measure" if solved else "check, example, hint, measure, solution"
    start = f"{made.imports}\n\nfrom mmm.lab.exercises import {called}"
    about = (SOLVED if solved else ABOUT).format(**values)
    cells = [_cell("markdown", "about", about), _cell("code", "imports", start)]
    for exercise in made.exercises:
        cells += _exercise_cells(exercise, solved)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return f"{made.notebook}.ipynb", json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def build(folder: Path = NOTEBOOKS) -> list[Path]:
    """Write the notebooks of all chapters into `folder`/exercises and `folder`/solutions."""
    written = []
    for number in chapters():
        for solved in (False, True):
            name, text = notebook(number, solved)
            path = folder / ("solutions" if solved else "exercises") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            written.append(path)
    return written
