"""The recipes: what the authors' code and paper do (docs/REPRODUCTION.md), and how one choice is changed."""

import dataclasses

import pytest

from mmm.fit import resolve
from mmm.recipes import (
    PRESETS,
    RECIPES,
    TokenizerOptions,
    TransformerOptions,
    evaluator_training,
    get_preset,
    get_recipe,
    length_training,
    training,
)
from mmm.tokenizer import TokenizerConfig
from mmm.training.config import TrainConfig, learning_rate


def test_release_and_paper_are_as_reported():
    release, paper, ours = (RECIPES[name] for name in ("release", "paper", "ours"))
    assert (release.random_codes, paper.random_codes) == (0.5, 0.1)
    assert (release.mask_schedule, paper.mask_schedule) == ("uniform(0.5, 1)", "uniform(0.3, 1)")
    assert (release.loss_on, paper.loss_on) == ("all", "masked")
    assert (release.reset, paper.reset, ours.reset) == ("release", "dead", "dead")
    assert release.feature_bias == 25 and release.text_dropout == 0 and release.guidance == 1
    assert {recipe.drop_edge for recipe in RECIPES.values()} == {1 / 3}
    assert len(set(RECIPES.values())) == 3


def test_every_option_belongs_to_a_network_and_has_a_type_that_fits_its_values():
    options = {
        field.name for part in (TokenizerOptions, TransformerOptions) for field in dataclasses.fields(part)
    }
    for recipe in RECIPES.values():
        assert options == set(dataclasses.asdict(recipe))
        assert recipe.reset in ("dead", "release", "none") and recipe.short in ("pad", "drop")
        assert len(recipe.geometry) == 4 and isinstance(recipe.all_phases, bool)


@pytest.mark.parametrize(
    ("part", "batch_size", "fall", "betas"),
    [("tokenizer", 256, 200_000, (0.9, 0.99)), ("transformer", 128, 150_000, (0.5, 0.9))],
)
def test_the_authors_rate_falls_once_to_a_twentieth(part, batch_size, fall, betas):
    config = training(part, "paper", RECIPES["release"])
    assert (config.steps, config.batch_size) == (300_000, batch_size)
    assert (config.betas, config.lr, config.ema) == (betas, 2e-4, 0)
    assert learning_rate(fall - 1, config) == pytest.approx(2e-4)
    assert learning_rate(fall, config) == pytest.approx(1e-5)
    shorter = resolve(config, steps=300, precision="no")  # falls as late in a shorter run
    assert learning_rate(fall // 1000, shorter) == pytest.approx(1e-5)
    assert learning_rate(fall // 1000 - 1, shorter) == pytest.approx(2e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_recipe_keeps_the_budget_of_the_preset(preset):
    for part in ("tokenizer", "transformer"):
        ours, release = (training(part, preset, RECIPES[name]) for name in ("ours", "release"))
        assert (ours.steps, ours.batch_size, ours.eval_every) == (
            release.steps,
            release.batch_size,
            release.eval_every,
        )
        assert (ours.schedule, release.schedule) == ("cosine", "milestones")
    assert TokenizerConfig(**get_preset(preset)["tokenizer"]).codes >= 128
    assert evaluator_training(preset).steps == (300 if preset == "tiny" else 2000)


def test_none_leaves_the_value_of_the_recipe():
    recipe = get_recipe("paper", mask_schedule="cosine", random_codes=0.0, loss_on=None)
    assert (recipe.mask_schedule, recipe.random_codes, recipe.loss_on) == ("cosine", 0.0, "masked")
    assert get_recipe(recipe) == recipe
    kept = training("tokenizer", "small", get_recipe("ours"))
    changed = resolve(kept, steps=100, lr=None, precision="no")
    assert changed == dataclasses.replace(kept, steps=100)


@pytest.mark.parametrize(
    ("call", "value"),
    [(lambda: get_recipe("mine"), "mine"), (lambda: training("tokenizer", "huge", RECIPES["ours"]), "huge")],
)
def test_unknown_names_are_refused(call, value):
    with pytest.raises(ValueError, match=f"'{value}', expected one of"):
        call()


def test_the_length_estimator_sees_few_clips_as_often_as_many():
    assert [length_training(clips).steps for clips in (576, 3916, 46_000, 1)] == [225, 1530, 17_969, 1]
    assert length_training(3916).batch_size == 128 and isinstance(length_training(), TrainConfig)
