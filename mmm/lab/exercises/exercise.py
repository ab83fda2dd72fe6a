"""An exercise: its stub, its solution, its check, its hints.

A check runs the student's answer on several inputs and compares with the truth. If it differs, it also runs a list of
typical mistakes. If the student's results equal those of a mistake, the student reads the sentence of this mistake.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from mmm.errors import require

FOLDER = Path(__file__).parent


class NotYet(AssertionError):
    """The answer is not right yet. A notebook shows one line instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def apply(answer: Callable, *case: Any) -> Any:
    return answer(*case)


@dataclass(frozen=True)
class Exercise:
    """One exercise; see chapter_02.py for examples.

    Attributes:
        number: "02.3": the chapter and the number in it. minutes: 5, 20 or 60. text: Markdown.
        stub: what the student starts from: a function that runs but is wrong, named like the solution with `_stub`
            behind, or a wrong value (a number or the letter of a choice).
        solution: the function or the value.
        mistakes: the sentence that the student reads, and the wrong function or value that it belongs to.
        hints: shown one after another.
        otherwise: the sentence for all other wrong answers.
        cases: makes the inputs, anew for each call (the answer may write into them). Each is a tuple of arguments.
        probe: what is compared: by default the results. It takes a function and one case.
        truth: the package's function that the results must equal, by default the solution.
        tolerance: relative, and absolute for numbers below 1.
        why: Markdown, shown with the solution.
        measure: a function without arguments that a student runs after a prediction.
    """

    number: str
    minutes: int
    title: str
    text: str
    stub: Any
    solution: Any
    hints: tuple[str, ...]
    otherwise: str
    mistakes: dict[str, Any] = field(default_factory=dict)
    cases: Callable[[], list[tuple]] = lambda: [()]
    probe: Callable[..., Any] = apply
    truth: Callable | None = None
    tolerance: float = 1e-4
    why: str = ""
    measure: Callable | None = None

    def results(self, answer: Any) -> list[list[Any]]:
        """The results of all cases, each a list of float64 tensors and strings."""
        function = answer if callable(answer) else lambda: answer
        return [_leaves(self.probe(function, *case)) for case in self.cases()]

    @cached_property
    def expected(self) -> list[list[Any]]:
        return self.results(self.truth or self.solution)

    @cached_property
    def expected_of_mistakes(self) -> dict[str, list[list[Any]]]:
        return {sentence: self.results(mistake) for sentence, mistake in self.mistakes.items()}

    def fault(self, answer: Any) -> str:
        """What is wrong with an answer, in one sentence; empty if it is right."""
        if callable(answer) != callable(self.solution):
            kind = "function itself, without brackets" if callable(self.solution) else "value, not a function"
            return f'give the {kind}: check("{self.number}", …).'
        try:
            given = self.results(answer)
        except Exception as error:
            return f"your answer stopped with {type(error).__name__}: {error}"
        if self._same(given, self.expected):
            return ""
        for sentence, results in self.expected_of_mistakes.items():
            if self._same(given, results):
                return sentence
        return _difference(given, self.expected) or self.otherwise

    def _same(self, given: list[list[Any]], expected: list[list[Any]]) -> bool:
        def close(a: Any, b: Any) -> bool:
            if isinstance(a, str) or isinstance(b, str):
                return isinstance(a, str) and a == b
            return a.shape == b.shape and torch.allclose(a, b, self.tolerance, self.tolerance, True)

        pairs = zip(given, expected, strict=True)
        return all(len(a) == len(b) and all(map(close, a, b)) for a, b in pairs)


def _leaves(result: Any) -> list[Any]:
    if result is None:
        raise TypeError("the result is None; does the function end with return?")
    if isinstance(result, str):
        return [result.strip().lower()]
    if isinstance(result, tuple) or (
        isinstance(result, list) and any(isinstance(x, torch.Tensor) for x in result)
    ):
        return [leaf for part in result for leaf in _leaves(part)]
    return [torch.as_tensor(result).detach().double()]


def _difference(given: list[list[Any]], expected: list[list[Any]]) -> str:
    """What differs in form: number of results, shapes, NaN."""
    for a, b in zip(given, expected, strict=True):
        if len(a) != len(b):
            return f"the function returns {len(a)} result(s), expected {len(b)}."
        for x, y in zip(a, b, strict=True):
            if isinstance(x, str) or isinstance(y, str):
                continue
            if x.shape != y.shape:
                return f"a result has shape {tuple(x.shape)}, expected {tuple(y.shape)}."
            if not x.isfinite().all() and y.isfinite().all():
                return "a result contains NaN or infinity: is something divided by 0, or is it the logarithm of 0?"
    return ""


# ---------------------------------------------------------------------- what students call


def chapters() -> list[str]:
    """The chapters that have exercises: "01", "02", …"""
    return sorted(path.stem.removeprefix("chapter_") for path in FOLDER.glob("chapter_*.py"))


@cache
def find(number: str) -> Exercise:
    """The exercise with this number, such as "02.3"."""
    chapter = str(number).partition(".")[0]
    known = import_module(f"{__package__}.chapter_{chapter}").EXERCISES if chapter in chapters() else []
    found = [exercise for exercise in known if exercise.number == number]
    names = ", ".join(exercise.number for exercise in known) or f"those of chapters {', '.join(chapters())}"
    require(bool(found), f"there is no exercise {number!r}; expected one of {names}")
    return found[0]


def check(number: str, answer: Any) -> None:
    """Print that the answer is right, or raise `NotYet` with one sentence that says what is wrong."""
    if fault := find(number).fault(answer):
        raise NotYet(f"{number}: {fault}")
    print(f"✓ {number} is right.")


_shown: dict[str, int] = {}


def hint(number: str) -> None:
    """Print the next hint."""
    hints, shown = find(number).hints, _shown.get(number, 0)
    _shown[number] = shown + 1
    if shown < len(hints):
        print(f"Hint {shown + 1} of {len(hints)}: {hints[shown]}")
    else:
        print(f'There are no more hints. solution("{number}") shows the solution.')
        _shown[number] = 0


def solution(number: str) -> None:
    """Print the solution."""
    exercise = find(number)
    print(f"{source(exercise, exercise.solution)}\n{inspect.cleandoc(exercise.why)}".strip())


def answer_name(exercise: Exercise) -> str:
    """The name that the answer has in the notebooks."""
    number = exercise.number.partition(".")[2]
    return exercise.solution.__name__ if callable(exercise.solution) else f"answer_{number}"


def source(exercise: Exercise, answer: Any) -> str:
    """The code of the stub or of the solution, as it stands in a notebook."""
    name = answer_name(exercise)
    if not callable(answer):
        return f"{name} = {answer!r}"
    return inspect.getsource(answer).replace(f"def {name}_stub(", f"def {name}(", 1).rstrip()
