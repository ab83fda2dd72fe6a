"""The exercises: solutions pass, stubs fail, typical mistakes get their sentence, notebooks are those of the source."""

import json
import re

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmm.evaluation.metrics import fid
from mmm.lab.exercises import Exercise, check, example, hint, measure, solution
from mmm.lab.exercises.exercise import NotYet, chapter, chapters, find
from mmm.lab.exercises.notebooks import NOTEBOOKS, notebook

ALL = [exercise for number in chapters() for exercise in chapter(number).exercises]
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
    for sentence, results in exercise.results_of_mistakes.items():
        assert exercise.fault_of_results(results) == sentence


@numbered
def test_the_answer_is_compared_with_an_independent_truth(exercise, capsys):
    if callable(exercise.solution):
        assert exercise.truth and exercise.truth is not exercise.solution
    else:
        assert exercise.fault(exercise.measure()) == "" and capsys.readouterr().out


@numbered
def test_an_exercise_is_complete(exercise):
    assert exercise.said("hint") and len(exercise.said("else")) == 1
    assert len(exercise.lines) == len({sentence for _, sentence in exercise.lines})
    assert all(len(sentence) < 160 for what, sentence in exercise.lines if what != "why")
    if callable(exercise.solution):
        assert exercise.kind == "write a function"
        assert exercise.solution.__doc__ and not exercise.stub.__doc__, "both notebooks show the solution's"
    else:
        assert exercise.kind == "predict, then measure" and exercise.said("why")
        assert len(exercise.wrong_answers) >= 3


@pytest.mark.parametrize("number", chapters())
def test_a_chapter_has_four_to_six_exercises_of_several_lengths(number):
    exercises = chapter(number).exercises
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
    assert failed == (0 if solved else len(chapter(number).exercises))


def double_stub(x):
    return x


def double(x):
    return 2 * x


def add_one(x):
    return x + 1


TOY = Exercise(
    """
    99.1 · Double (5 minutes, write a function)

    Return the double.
    """,
    double,
    """
    hint | Twice.
    stub | nothing is doubled.
    2 * → 3 * | this is three times as much.
    2 → 4 ;; 4 → 0 | this is always 0.
    add_one | this adds 1, and the line
      goes on.
    else | not doubled.
    """,
    cases=lambda: [(torch.arange(8.0).view(2, 4) ** 2,), (torch.ones(2, 4),)],
)
QUESTION = Exercise(
    "99.2 · Which? (5 minutes, predict, then measure)\n\nWhich?",
    "b",
    'hint | No.\n"a" | not a.\nelse | answer "a", "b" or "c".',
)


def stops(x):
    y = x + 1
    return y[7]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda x: None, "the function returns None. Does it end with return?"),
        (stops, "stopped with IndexError: index 7 .* \\(line 3 of the function\\)"),
        (lambda x: 1 / 0, "your answer stopped with ZeroDivisionError: division by zero"),
        (lambda x: {"x": x}, "a result is of type dict, expected numbers"),
        (lambda x: "two", "the result is text, expected a number"),
        (lambda x: x[:1], r"the result has shape \(1, 4\), expected \(2, 4\)"),
        (lambda x: x * float("nan"), "NaN or infinity"),
        (lambda x: (2 * x, x), "the number of results is 2, expected 1"),
        (lambda x: x, "nothing is doubled"),
        (lambda x: 3 * x, "three times"),
        (lambda x: x + 1, "this adds 1, and the line goes on"),
        (lambda x: -2 * x, r"the result: the sign is wrong \(test 1 of 2\)"),
        (lambda x: 5 * x, r"the result: all values are wrong by the same factor \(test 1 of 2\)"),
        (
            lambda x: 2 * x.flip(1),
            "not doubled. .*Test 1 of 2, the result: 8 of 8 values are wrong, the first at .0, 0.",
        ),
        (lambda x: 2 * x.flip(0), r"the order is reversed \(test 1 of 2\)"),
        (lambda x: 2 * x + 7, "all values are wrong by the same amount"),
        (torch.ones(3), "give the function itself, without brackets"),
        (None, "write your answer instead of None"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(answer, sentence):
    assert re.search(sentence, TOY.fault(answer))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("a", "not a."),
        (" B ", ""),
        ("z", 'answer "a", "b" or "c".'),
        (3, 'the result is a number, expected a letter: "a".'),
    ],
)
def test_what_is_wrong_with_a_letter_is_said(answer, sentence):
    assert QUESTION.fault(answer) == sentence


def test_an_answer_may_write_into_its_input_and_may_be_of_another_type():
    assert TOY.fault(lambda x: x.mul_(2)) == ""
    assert TOY.fault(lambda x: (2 * x).tolist()) == "" and TOY.fault(lambda x: (2 * x).numpy()) == ""


@numbered
def test_what_an_answer_writes_into_its_inputs_stays_in_its_test(exercise):
    def spoils(*case):
        result = exercise.solution(*case)
        for part in case:
            if isinstance(part, torch.Tensor):
                part.data.zero_()
        return result

    if callable(exercise.solution) and exercise.number != "06.5":  # 06.5 forbids it
        assert exercise.fault(spoils) == ""


def test_a_mistake_must_change_the_solution():
    with pytest.raises(ValueError, match="99.1: the solution does not contain '3 \\* x'"):
        TOY._wrong_answer("3 * x → x")


def test_hints_come_one_after_another_and_solutions_are_printed(capsys):
    for shown in find("02.5").said("hint"):
        hint("02.5")
        assert shown in capsys.readouterr().out
    hint("02.5")
    assert "no more hints" in capsys.readouterr().out
    solution("02.5")
    printed = capsys.readouterr().out
    assert printed.startswith("def learn_codes(") and find("02.5").said("why")[0] in printed


def test_what_is_predicted_is_measured_without_showing_it_before(capsys):
    measure("02.6")
    assert "def measure_perplexity" in (printed := capsys.readouterr().out) and printed.endswith("= 3.36\n")
    shown = json.loads(notebook("02", solved=False)[1])["cells"][-1]["source"]
    assert shown == ['measure("02.6")']
    with pytest.raises(ValueError, match="in exercise 02.1 there is nothing to measure"):
        measure("02.1")


def test_an_example_is_the_input_of_a_test():
    z, codebook = example("02.1")
    assert find("02.1").solution(z, codebook).shape == (50,) and example("02.1", 2)[0].shape == (7, 2)
    with pytest.raises(ValueError, match="exercise 02.1 has 2 tests, there is no test 3"):
        example("02.1", 3)


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


def ema_step_in_place(counts, sums, z, tokens, decay):
    counts.mul_(decay).add_(torch.bincount(tokens, minlength=len(counts)), alpha=1 - decay)
    sums.mul_(decay).index_add_(0, tokens, z, alpha=1 - decay)
    return sums / counts[:, None], counts, sums


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


def by_the_cache_of_the_package(network, text, count):
    """With the cache of the package's attention."""
    x, tokens, logits, caches = text + network.places[0], [], [], [[] for _ in network.layers]
    for step in range(count):
        for layer, cache in zip(network.layers, caches, strict=True):
            x = x + layer(x[None, None], torch.ones(1, step + 1, dtype=torch.bool), cache=cache)[0, 0]
        logits.append(network.head(x))
        tokens.append(logits[-1].argmax().item())
        x = network.vectors[tokens[-1]] + network.places[step + 1]
    return tokens, torch.stack(logits)


def ddim_by_factors(x, clean, time, after, kept):
    then = kept[after] if after >= 0 else torch.ones(())
    ratio = ((1 - then) / (1 - kept[time])).sqrt()
    return ratio * x + (then.sqrt() - ratio * kept[time].sqrt()) * clean


def noised_frames(predict, step, x, given, known, times):
    """Writes the given frames, with the noise of the start, into x."""
    frames = x
    for time in times:
        frames, x = step(frames, given, time), step(x, predict(x, time), time)
        x = x.where(~known[:, None], frames)
    return x


RIGHT = {
    "01.2": normalised,
    "02.1": lambda z, codebook: torch.cdist(z, codebook).argmin(1),
    "02.3": ema_step_in_place,
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
    "07.1": lambda text, motion, top: [
        (torch.cdist(text, motion).argsort(1)[:, : k + 1] == torch.arange(len(text))[:, None])
        .any(1)
        .float()
        .mean()
        for k in range(top)
    ],
    "07.2": fid_by_singular_values,
    "07.5": polyfit,
    "08.1": lambda c: (torch.distributions.Categorical(c.float()).perplexity(), (c == 0).sum(1) / c.shape[1]),
    "08.2": lambda low, high: 2 / torch.pi if low is None else (low + high) / 2,
    "09.1": lambda text, steps: (
        torch.vstack([text, steps.transpose(0, 1).flatten(1)]),
        torch.arange(steps.shape[1] + 1)[:, None] >= torch.arange(steps.shape[1] + 1),
    ),
    "09.2": by_the_cache_of_the_package,
    "09.3": ddim_by_factors,
    "09.4": noised_frames,
}


@pytest.mark.parametrize("number", RIGHT)
def test_other_right_answers_pass(number):
    assert find(number).fault(RIGHT[number]) == ""
