"""The named recipes: what the authors' code and paper do (REPRODUCTION.md), and how a choice is changed."""

import pytest

from mmm.fit import resolve
from mmm.recipes import (
    RECIPES,
    Recipe,
    get_recipe,
    length_training,
    tokenizer_training,
    transformer_training,
)
from mmm.tokenizer import PRESETS
from mmm.training.config import learning_rate


def test_the_release_and_the_paper_are_what_was_reported_of_them():
    release, paper, ours = (RECIPES[name] for name in ("release", "paper", "ours"))
    assert (release.random_codes, paper.random_codes) == (0.5, 0.1)
    assert (release.mask_law, paper.mask_law) == ("uniform(0.5, 1)", "uniform(0.3, 1)")
    assert (release.loss_on, paper.loss_on) == ("all", "masked")
    assert (release.reset, paper.reset, ours.reset) == ("release", "dead", "dead")
    assert release.feature_bias == 25 and release.text_dropout == 0 and release.guidance == 1
    assert {recipe.drop_edge for recipe in RECIPES.values()} == {1 / 3}
    assert ours == Recipe()


@pytest.mark.parametrize(
    ("training", "steps", "fall", "betas"),
    [
        (tokenizer_training, 300_000, 200_000, (0.9, 0.99)),
        (transformer_training, 300_000, 150_000, (0.5, 0.9)),
    ],
)
def test_the_authors_rate_falls_once_to_a_twentieth(training, steps, fall, betas):
    config = training("paper", RECIPES["release"])
    assert (config.steps, config.betas, config.lr, config.ema) == (steps, betas, 2e-4, 0)
    assert config.batch_size == (256 if training is tokenizer_training else 128)
    assert learning_rate(fall - 1, config) == pytest.approx(2e-4)
    assert learning_rate(fall, config) == pytest.approx(1e-5)
    shorter = resolve(config, steps=300, precision="no")  # falls as late in a shorter run
    assert learning_rate(fall // 1000, shorter) == pytest.approx(1e-5)
    assert learning_rate(fall // 1000 - 1, shorter) == pytest.approx(2e-4)


def test_a_recipe_keeps_the_budget_of_the_preset():
    for training in (tokenizer_training, transformer_training):
        ours, release = training("small", RECIPES["ours"]), training("small", RECIPES["release"])
        assert (ours.steps, ours.batch_size) == (release.steps, release.batch_size)
        assert (ours.schedule, release.schedule) == ("cosine", "milestones")


def test_choices_reach_task_and_tokenizer():
    recipe = get_recipe(
        "paper", mask_law="cosine", random_codes=0.0, loss_on=None, reset="none", feature_bias=1.0
    )
    task = recipe.task()
    assert (task.mask_law, task.random_codes, task.where) == (
        "cosine",
        0.0,
        "masked",
    )  # None leaves the paper's
    sizes = recipe.tokenizer(PRESETS["small"])
    assert (sizes.reset, sizes.feature_bias, sizes.width) == ("none", 1.0, PRESETS["small"].width)
    assert get_recipe(recipe) == recipe


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: get_recipe("mine"), "recipe is 'mine', expected one of ours, paper, release"),
        (
            lambda: tokenizer_training("huge", Recipe()),
            "preset is 'huge', expected one of tiny, light, small, paper",
        ),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_the_length_estimator_sees_few_clips_as_often_as_many():
    assert [length_training(clips).steps for clips in (576, 3916, 46_000, 1)] == [225, 1530, 17_969, 1]
    assert length_training(3916).batch_size == 128
