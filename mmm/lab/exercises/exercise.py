"""An exercise: its text, its stub, its solution, its check, its hints.

A check runs the student's answer on several inputs and compares with an independent truth: a function of the package
or of a library, or a loop without tricks. If it differs, typical mistakes are run too. If the student's results equal
those of a mistake, the student reads the sentence of this mistake.
"""

from __future__ import annotations

import inspect
import re
import traceback
from ast import literal_eval
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from mmm.errors import require

FOLDER = Path(__file__).parent
HEADING = re.compile(r"(\d\d\.\d) · (.+) \((5|20|60) minutes, (.+)\)\n\n")


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
        text: Markdown. Its first line is "02.3 · Title (20 minutes, write a function)".
        solution: a function, or for a question the value: a number, or the letter of a choice. The student starts
            from a function that runs but is wrong. It has the name of the solution and `_stub`, and no docstring.
        says: what the student reads, one in a line: `what | sentence`. An indented line goes on with the line above.
            hint: shown one after another. why: Markdown, shown with the solution. else: for a wrong answer that is no
            typical mistake. All others are typical mistakes: `stub`; or `old → new ;; old → new`, the solution with
            pieces of its code replaced; or Python, a function or a value.
        cases: makes the inputs, each a tuple of arguments. The answer gets a copy of each: it may write into them.
        probe: what is compared: by default the results. It takes a function and one case.
        truth: a function that does the same and was written independently of the solution.
        names: what the results are called, if there are several.
        tolerance: relative, and absolute for numbers below 1.
        measure: a function that a student runs after a prediction. It prints, and returns the right answer.
    """

    text: str
    solution: Any
    says: str
    cases: Callable[[], list[tuple]] = lambda: [()]
    probe: Callable[..., Any] = apply
    truth: Callable | None = None
    names: tuple[str, ...] = ()
    tolerance: float = 1e-4
    measure: Callable[[], Any] | None = None

    @cached_property
    def heading(self) -> re.Match:
        """Number, title, minutes and kind, as the first line of the text says them."""
        heading = HEADING.match(inspect.cleandoc(self.text))
        require(heading is not None, f"an exercise begins {self.text[:60]!r}, expected {HEADING.pattern!r}")
        return heading

    @cached_property
    def lines(self) -> list[tuple[str, str]]:
        """What is said, and on which occasion."""
        lines = re.sub(r"\n +", " ", inspect.cleandoc(self.says)).splitlines()
        return [(what, sentence) for what, _, sentence in (line.rpartition(" | ") for line in lines)]

    def said(self, occasion: str) -> list[str]:
        return [sentence for what, sentence in self.lines if what == occasion]

    number = property(lambda self: self.heading[1])
    minutes = property(lambda self: int(self.heading[3]))
    kind = property(lambda self: self.heading[4])

    @property
    def stub(self) -> Any:
        return self._space[f"{self.solution.__name__}_stub"] if callable(self.solution) else None

    @property
    def _space(self) -> dict[str, Any]:
        """The names of the chapter's module."""
        return inspect.unwrap(self.solution).__globals__

    def results(self, answer: Any) -> list[list[Any]]:
        """The results of all cases, each a list of float64 tensors and strings."""

        def function(*args: Any) -> Any:
            result = answer(*args) if callable(answer) else answer
            if result is None:
                raise NotYet("the function returns None. Does it end with return?")
            return result

        return [_leaves(self.probe(function, *deepcopy(case))) for case in self.cases()]

    @cached_property
    def expected(self) -> list[list[Any]]:
        return self.results(self.truth or self.solution)

    @cached_property
    def wrong_answers(self) -> dict[str, Any]:
        """The typical mistakes as functions or values, by their sentence."""
        mistakes = [line for line in self.lines if line[0] not in ("hint", "why", "else")]
        return {sentence: self._wrong_answer(what) for what, sentence in mistakes}

    def _wrong_answer(self, what: str) -> Any:
        if what == "stub":
            return self.stub
        if not callable(self.solution):
            return literal_eval(what)
        space = dict(self._space)
        if "→" not in what:
            return eval(what, space)
        code = inspect.getsource(self.solution)
        for piece in what.split(" ;; "):
            old, new = (part.strip() for part in piece.split("→"))
            require(old in code, f"{self.number}: the solution does not contain {old!r}")
            code = code.replace(old, new)
        exec(code, space)
        return space[self.solution.__name__]

    @cached_property
    def results_of_mistakes(self) -> dict[str, list[list[Any]]]:
        return {sentence: self.results(answer) for sentence, answer in self.wrong_answers.items()}

    def fault(self, answer: Any) -> str:
        """What is wrong with an answer, in a sentence or two; empty if it is right."""
        if answer is None:
            return "write your answer instead of None."
        if callable(answer) != callable(self.solution):
            kind = "function itself, without brackets" if callable(self.solution) else "value, not a function"
            return f'give the {kind}: check("{self.number}", …).'
        try:
            given = self.results(answer)
        except NotYet as error:
            return str(error)
        except Exception as error:
            return f"your answer stopped with {type(error).__name__}: {error}{_line(answer, error)}"
        return self.fault_of_results(given)

    def fault_of_results(self, given: list[list[Any]]) -> str:
        if not (difference := self._difference(given, self.expected)):
            return ""
        mistakes = self.results_of_mistakes.items()
        return next((said for said, wrong in mistakes if not self._difference(given, wrong)), difference)

    def _difference(self, given: list[list[Any]], expected: list[list[Any]]) -> str:
        """The first difference: in the number of results, in form, in values."""
        (otherwise,) = self.said("else")
        for test, (mine, right) in enumerate(zip(given, expected, strict=True), 1):
            names = self.names or ["the result"] * len(right)
            if len(mine) != len(right):
                return f"the number of results is {len(mine)}, expected {len(right)}: {', '.join(names)}."
            for name, x, y in zip(names, mine, right, strict=True):
                if form := _form(x, y):
                    return f"{name} {form}"
                if isinstance(x, str) and x != y:
                    return otherwise
                if isinstance(x, str) or (same := x.isclose(y, self.tolerance, self.tolerance, True)).all():
                    continue
                if not callable(self.solution):
                    return f"{otherwise} Your number is too {'large' if x > y else 'small'}."
                if pattern := self._pattern(x, y):
                    return f"{name}: {pattern} (test {test} of {len(expected)})."
                wrong = (~same).nonzero().tolist()
                which = f"{len(wrong)} of {y.numel()} values are wrong, the first at {wrong[0]}"
                which = which if y.ndim else f"yours is too {'large' if x > y else 'small'}"
                return f"{otherwise} (Test {test} of {len(expected)}, {name}: {which}.)"
        return ""

    def _pattern(self, x: torch.Tensor, y: torch.Tensor) -> str:
        """How all values differ from the right ones."""

        def close(a: torch.Tensor, b: torch.Tensor) -> bool:
            return a.shape == b.shape and torch.allclose(a, b, self.tolerance, self.tolerance, True)

        ratio = (x / y)[y != 0]
        patterns = {
            "the sign is wrong": close(x, -y),
            "rows and columns are exchanged": y.ndim > 1 and close(x.transpose(-1, -2), y),
            "the order is reversed": y.ndim > 0 and close(x.flip(0), y),
            "everything comes one step too late": y.ndim > 0 and len(y) > 3 and close(x[1:], y[:-1]),
            "everything comes one step too early": y.ndim > 0 and len(y) > 3 and close(x[:-1], y[1:]),
            "all values are wrong by the same factor": len(ratio) > 3 and close(x, ratio[0] * y),
            "all values are wrong by the same amount": y.numel() > 3 and close(x, y + (x - y).flatten()[0]),
        }
        return next((sentence for sentence, true in patterns.items() if true), "")


def _leaves(result: Any) -> list[Any]:
    if isinstance(result, str):
        return [result.strip().lower()]
    tensors = isinstance(result, list) and any(isinstance(x, torch.Tensor) and x.ndim for x in result)
    if isinstance(result, tuple) or tensors:  # a list of numbers is one result
        return [leaf for part in result for leaf in _leaves(part)]
    try:
        return [torch.as_tensor(result).detach().double()]
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(f"a result is of type {type(result).__name__}, expected numbers.") from None


def _form(x: Any, y: Any) -> str:
    """What is wrong with the form of a result."""
    if type(x) is not type(y):
        return "is text, expected a number." if isinstance(x, str) else 'is a number, expected a letter: "a".'
    if isinstance(x, str):
        return ""
    if x.shape != y.shape:
        return f"has shape {tuple(x.shape)}, expected {tuple(y.shape) or 'one number'}."
    if not x.isfinite().all() and y.isfinite().all():
        return "contains NaN or infinity: do you divide by 0, or take the logarithm of 0?"
    return ""


def _line(answer: Any, error: Exception) -> str:
    """The line of the answer in which it stopped."""
    code = getattr(answer, "__code__", None)
    frames = [at for frame, at in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
    return f" (line {frames[-1] - code.co_firstlineno + 1} of the function)" if frames else ""


# ---------------------------------------------------------------------- what students call


class Chapter:
    """The exercises of one chapter. `add` takes the attributes of an `Exercise`."""

    def __init__(self, notebook: str, title: str, imports: str) -> None:
        self.notebook, self.title, self.imports = notebook, title, inspect.cleandoc(imports)
        self.exercises: list[Exercise] = []

    def add(self, *args: Any, **kwargs: Any) -> None:
        self.exercises.append(Exercise(*args, **kwargs))


def chapters() -> list[str]:
    """The chapters that have exercises: "01", "02", …"""
    return sorted(path.stem.removeprefix("chapter_") for path in FOLDER.glob("chapter_*.py"))


def chapter(number: str) -> Chapter:
    return import_module(f"{__package__}.chapter_{number}").chapter


@cache
def find(number: str) -> Exercise:
    """The exercise with this number, such as "02.3"."""
    name = str(number).partition(".")[0]
    known = chapter(name).exercises if name in chapters() else []
    found = [exercise for exercise in known if exercise.number == number]
    names = ", ".join(exercise.number for exercise in known) or f"those of chapters {', '.join(chapters())}"
    require(bool(found), f"there is no exercise {number!r}; expected one of {names}")
    return found[0]


def check(number: str, answer: Any) -> None:
    """Print that the answer is right, or raise `NotYet` with a sentence that says what is wrong."""
    if fault := find(number).fault(answer):
        raise NotYet(f"{number}: {fault}")
    print(f"✓ {number} is right.")


def example(number: str, test: int = 1) -> tuple:
    """The arguments with which a test of the check calls the answer."""
    cases = find(number).cases()
    require(1 <= test <= len(cases), f"exercise {number} has {len(cases)} tests, there is no test {test}")
    return cases[test - 1]


_shown: dict[str, int] = {}


def hint(number: str) -> None:
    """Print the next hint."""
    hints, shown = find(number).said("hint"), _shown.get(number, 0)
    _shown[number] = shown + 1
    if shown < len(hints):
        print(f"Hint {shown + 1} of {len(hints)}: {hints[shown]}")
    else:
        print(f'There are no more hints. solution("{number}") shows the solution.')
        _shown[number] = 0


def measure(number: str) -> None:
    """Print the code that measures what was to be predicted, and what it prints."""
    function = find(number).measure
    require(function is not None, f"in exercise {number} there is nothing to measure")
    print(inspect.getsource(function))
    function()


def solution(number: str) -> None:
    """Print the solution."""
    exercise = find(number)
    print(source(exercise, exercise.solution), *exercise.said("why"), sep="\n")


def answer_name(exercise: Exercise) -> str:
    """The name that the answer has in the notebooks."""
    number = exercise.number.partition(".")[2]
    return exercise.solution.__name__ if callable(exercise.solution) else f"answer_{number}"


def source(exercise: Exercise, answer: Any) -> str:
    """The code of the stub or of the solution, as it stands in a notebook: both begin alike."""
    if not callable(answer):
        return f"{answer_name(exercise)} = {answer!r}"
    head, end, body = inspect.getsource(exercise.solution).partition('"""\n')
    if answer is exercise.stub:
        body = inspect.getsource(answer).partition(":\n")[2]
    return (head + end + body).rstrip()
