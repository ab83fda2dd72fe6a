"""The exercises: solutions pass, stubs fail, typical mistakes get their sentence, notebooks are those of the source."""

import json
from importlib import import_module

import nbformat
import pytest
import torch

from mmm.lab.exercises import Exercise, check, hint, solution
from mmm.lab.exercises.exercise import NotYet, answer_name, chapters, find
from mmm.lab.exercises.notebooks import NOTEBOOKS, notebook

ALL = [e for number in chapters() for e in import_module(f"mmm.lab.exercises.chapter_{number}").EXERCISES]
numbered = pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.number)


@numbered
def test_the_solution_passes_and_the_stub_fails(exercise, capsys):
    check(exercise.number, exercise.solution)
    assert capsys.readouterr().out == f"✓ {exercise.number} is right.\n"
    with pytest.raises(NotYet, match=exercise.number) as failed:
        check(exercise.number, exercise.stub)
    assert "stopped with" not in str(failed.value), "a stub runs"


@numbered
def test_each_typical_mistake_gets_its_own_sentence(exercise):
    for sentence, mistake in exercise.mistakes.items():
        assert exercise.fault(mistake) == sentence


@numbered
def test_an_exercise_is_complete(exercise):
    assert exercise.minutes in (5, 20, 60) and exercise.hints and exercise.otherwise
    if callable(exercise.stub):
        assert exercise.stub.__name__ == f"{exercise.solution.__name__}_stub"
        assert exercise.stub.__doc__ == exercise.solution.__doc__ and exercise.stub.__doc__
    else:  # a question: every other choice has its sentence, and the answer is explained
        assert exercise.mistakes and exercise.why
    assert all(len(sentence) < 160 for sentence in (*exercise.mistakes, exercise.otherwise))


@pytest.mark.parametrize("number", chapters())
def test_a_chapter_has_four_to_six_exercises_of_several_lengths(number):
    exercises = [e for e in ALL if e.number.startswith(number)]
    assert [e.number for e in exercises] == [f"{number}.{i + 1}" for i in range(len(exercises))]
    assert 4 <= len(exercises) <= 6 and {5, 20, 60} == {e.minutes for e in exercises}
    assert any(not callable(e.solution) for e in exercises), "one to predict and measure"


@pytest.mark.parametrize("solved", [False, True], ids=["exercises", "solutions"])
@pytest.mark.parametrize("number", chapters())
def test_the_notebooks_are_those_of_the_source_and_run(number, solved):
    name, text = notebook(number, solved)
    path = NOTEBOOKS / ("solutions" if solved else "exercises") / name
    assert path.read_text("utf-8") == text, "run: python -m mmm.lab.exercises build"
    nbformat.validate(nbformat.reads(text, 4))
    namespace, failed = {}, 0
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            try:
                exec("".join(cell["source"]), namespace)
            except NotYet:
                assert not solved and cell["metadata"]["tags"] == ["raises-exception"]
                failed += 1
    assert failed == (0 if solved else sum(e.number.startswith(number) for e in ALL))


def double_stub(x):
    return x


def double(x):
    return 2 * x


TOY = Exercise(
    "99.1",
    5,
    "Double",
    "",
    double_stub,
    double,
    ("Twice.", "Times 2."),
    "not doubled.",
    cases=lambda: [(torch.ones(3),)],
)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda x: None, "stopped with TypeError: the result is None; does the function end with return?"),
        (lambda x: 1 / 0, "your answer stopped with ZeroDivisionError: division by zero"),
        (lambda x: x[:2], r"a result has shape \(2,\), expected \(3,\)"),
        (lambda x: x * float("nan"), "NaN or infinity"),
        (lambda x: (2 * x, x), r"returns 2 result\(s\), expected 1"),
        (lambda x: x, "not doubled"),
        (torch.ones(3), "give the function itself, without brackets"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(answer, sentence):
    import re

    assert re.search(sentence, TOY.fault(answer))


def test_an_answer_may_write_into_its_input_and_may_be_of_another_type():
    assert TOY.fault(lambda x: x.mul_(2)) == ""
    assert TOY.fault(lambda x: [2, 2, 2]) == "" and TOY.fault(lambda x: (2 * x).numpy()) == ""


def test_hints_come_one_after_another_and_solutions_are_printed(capsys):
    exercise = next(e for e in ALL if callable(e.solution) and len(e.hints) > 1)
    for shown in exercise.hints:
        hint(exercise.number)
        assert shown in capsys.readouterr().out
    hint(exercise.number)
    assert "no more hints" in capsys.readouterr().out
    solution(exercise.number)
    assert f"def {answer_name(exercise)}(" in capsys.readouterr().out
    question = next(e for e in ALL if not callable(e.solution))
    solution(question.number)
    assert question.why.strip()[:20] in capsys.readouterr().out


def test_an_exercise_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="there is no exercise '01.99'; expected one of 01.1, 01.2"):
        find("01.99")
    with pytest.raises(ValueError, match="there is no exercise '77.1'; expected one of those of chapters 01"):
        hint("77.1")


def test_a_notebook_shows_one_line_instead_of_a_traceback():
    assert NotYet("01.1: no.")._render_traceback_() == ["✗ 01.1: no."]
