"""The exercises: solutions pass, stubs fail, typical mistakes get their sentence, notebooks are those of the source."""

import json
import re
from importlib import import_module

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmm.evaluation.metrics import fid
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


# ---------------------------------------------------------------------- other ways to write a right answer


def normalised(six):
    x = F.normalize(six[..., :3], dim=-1)
    z = F.normalize(torch.linalg.cross(x, six[..., 3:]), dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-1)


def loss_clip_by_clip(logits, tokens, canvas, lengths):
    losses = []
    for clip, row, shown, length in zip(logits, tokens, canvas, lengths, strict=True):
        masked = shown[:length] == -1
        losses.append(F.cross_entropy(clip[:length][masked], row[:length][masked]))
    return sum(losses) / len(losses)


def attention_of_torch(x, mask, layer):
    parts = (
        y.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for y in layer.query_key_value(x).chunk(3, -1)
    )
    return layer.out(
        F.scaled_dot_product_attention(*parts, attn_mask=mask[:, None, None]).transpose(1, 2).flatten(2)
    )


def late_reset(points, codebook, draw):
    """K-means that replaces dead codes only in the first 40 steps."""
    for step in range(60):
        tokens = torch.cdist(points, codebook).argmin(1)
        fresh = draw()
        for code in range(len(codebook)):
            mine = points[tokens == code]
            if len(mine):
                codebook[code] = mine.mean(0)
            elif step < 40:
                codebook[code] = fresh[code]
    return codebook


def numpy_bootstrap(error, clip, draws, seed):
    error, clip, rng = error.numpy(), clip.numpy(), np.random.default_rng(seed + 1)
    means = np.array([error[clip == number].mean() for number in np.unique(clip)])  # clips of equal length
    low, high = np.percentile(rng.choice(means, (draws, len(means))).mean(1), [2.5, 97.5])
    return (high - low) / 2


def fid_by_singular_values(real, generated):
    roots = [torch.linalg.cholesky(torch.cov(x.T) + 1e-9 * torch.eye(x.shape[1])) for x in (real, generated)]
    overlap = torch.linalg.matrix_norm(roots[0].T @ roots[1], "nuc")
    shift = (real.mean(0) - generated.mean(0)).square().sum()
    return shift + sum(root.square().sum() for root in roots) - 2 * overlap


def polyfit(real, generated, sizes, draw):
    fids = [np.mean([fid(draw(real, n), draw(generated, n), warn=False) for _ in range(15)]) for n in sizes]
    return np.polyfit(1 / np.array(sizes), fids, 1)[1]


RIGHT = {
    "01.2": normalised,
    "02.1": lambda z, codebook: torch.cdist(z, codebook).argmin(1),
    "02.4": lambda tokens, codes: torch.distributions.Categorical(
        torch.bincount(tokens, minlength=codes) / len(tokens)
    ).perplexity(),
    "02.5": late_reset,
    "03.3": loss_clip_by_clip,
    "03.5": attention_of_torch,
    "04.1": lambda m, s: (torch.cos(torch.arange(s) / s * torch.pi / 2) * m).floor().clamp(min=1).int(),
    "05.3": lambda x, t: min(torch.arange(0.05, 8, 0.01), key=lambda tau: F.cross_entropy(x / tau, t)),
    "05.5": numpy_bootstrap,
    "06.1": lambda kept: [not kept[i : i + 4].all() for i in range(0, len(kept), 4)],
    "07.2": fid_by_singular_values,
    "07.5": polyfit,
}


@pytest.mark.parametrize("number", RIGHT)
def test_other_right_answers_pass(number):
    assert find(number).fault(RIGHT[number]) == ""
