"""From the source of a chapter to its two notebooks: the exercises, and the same with the solutions."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from mmm.lab.exercises.exercise import FOLDER, Exercise, answer_name, chapters, source

NOTEBOOKS = FOLDER.parents[2] / "notebooks"
ABOUT = """
# {number} · Exercises: {title}

They belong to [chapter {number}](../{name}.ipynb). Each exercise is a function that runs but is wrong, or a question.
Write the answer and run its `check`, which says what is wrong. `hint("{number}.1")` gives a hint; run it again for the
next one. `solution("{number}.1")` prints the solution. The title says how many minutes you will need (5, 20 or 60).
Every check takes seconds. Letters in shapes: B batch, T frames, N tokens, P body parts, J joints, K codes.
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
    title = f"## {number} · {exercise.title} ({exercise.minutes} minutes)"
    # The tag lets "Run all" go on behind a check that fails.
    tags = {} if solved else {"tags": ["raises-exception"]}
    call = f'check("{number}", {name})' + ("" if solved else f'  # hint("{number}"), solution("{number}")')
    answer = source(exercise, exercise.solution if solved else exercise.stub)
    todo = "" if solved or callable(exercise.stub) else "  # TODO: your answer"
    cells = [
        _cell("markdown", f"{number}-text", f"{title}\n\n{inspect.cleandoc(exercise.text)}"),
        _cell("code", f"{number}-answer", answer + todo),
        _cell("code", f"{number}-check", call, **tags),
    ]
    if solved and exercise.why:
        cells.append(_cell("markdown", f"{number}-why", inspect.cleandoc(exercise.why)))
    if exercise.measure:
        measured = (
            f"# Now measure it.\n{inspect.getsource(exercise.measure)}\n\n{exercise.measure.__name__}()"
        )
        cells.append(_cell("code", f"{number}-measure", measured))
    return cells


def notebook(number: str, solved: bool) -> tuple[str, str]:
    """The file name and the text of a chapter's notebook."""
    chapter = import_module(f"{__package__}.chapter_{number}")
    about = (SOLVED if solved else ABOUT).format(number=number, title=chapter.TITLE, name=chapter.NOTEBOOK)
    start = f"{inspect.cleandoc(chapter.IMPORTS)}\n\nfrom mmm.lab.exercises import check, hint, solution"
    cells = [_cell("markdown", "about", about), _cell("code", "imports", start)]
    for exercise in chapter.EXERCISES:
        cells += _exercise_cells(exercise, solved)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return f"{chapter.NOTEBOOK}.ipynb", json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


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
