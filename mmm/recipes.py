"""The options of training: what each means, and its value in the recipes and presets of `recipes.yaml`.

A *recipe* says how the networks are trained, a *preset* how large they are and for how long. Each option is declared
once, as a field below; its values are one line of `recipes.yaml`, and `mmm train` has a flag for it. A `Recipe` is
passed whole, under the name `recipe`, to where its options are read. `python -m figures.recipes.ablations` measured
each choice of ours, one at a time, with the same budget and seed (figures/recipes, chapter 08).

Sources: paper sections 3.1, 3.2 and 4; docs/REPRODUCTION.md, "Tokenizer" and "Transformer". This module imports no
torch, since `mmm --help` reads it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from mmm.errors import check_ranges, require
from mmm.training.config import TrainConfig

_RATIOS = "random_codes drop_edge borrowed_part both_parts crop then at_once repeat typed typos text_dropout"
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(_RATIOS.split(), (0.0, 1.0)),
    "feature_bias": (0.001, 1000.0),
    "geometry": (0.0, 1000.0),
    "tokenizer_balance": (0.0, 2.0),
    "transformer_balance": (0.0, 2.0),
    "guidance": (0.0, 100.0),
}


@dataclass(frozen=True, kw_only=True)
class _Optimizer:
    optimizer: Literal["ours", "authors"]
    """ours: a cosine to 0, a rate that fits the size, and for the transformer averaged weights. authors: a rate of
    2e-4 that falls once, to 5 %, at half of the steps (tokenizer: at two thirds), and no averaging."""


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions(_Optimizer):
    """How the tokenizer is trained."""

    feature_bias: float
    """How much more root and contacts count in the loss: it divides their Std. They decide on drift and foot skating.
    1: as the data are; 5: the loaders of Guo et al.; 25: the release's own file."""
    reset: Literal["dead", "release", "none"]
    """What happens to codes that no longer occur. dead: replaced for good (the paper). release: the release's flags
    never turn off again, and its replaced codes fall back in the next step. none: nothing."""
    short: Literal["pad", "drop"]
    """Clips shorter than the window (38 % of Bandai's takes) are padded, the padding not counting, or dropped."""
    geometry: tuple[float, float, float, float]
    """With --init: weights of position, speed, acceleration and standing feet in the loss on recovered joints
    (`mmm.tokenizer.train.geometry_loss`). From random weights, the error of the path would drown the pose."""
    tokenizer_balance: float
    """Each action class is drawn in proportion to (its amount of data) ** this; 1 leaves the data as they are."""


@dataclass(frozen=True, kw_only=True)
class TransformerOptions(_Optimizer):
    """How the transformer is trained."""

    transformer_balance: float
    """Each action class is drawn in proportion to (its number of clips) ** this; 1 leaves the data as they are.
    Bandai has 36 takes of one class and 300 of another."""
    all_phases: bool
    """Encode each clip four times, with the token grid beginning at frame 0, 1, 2 and 3; the authors encode it once."""
    mask_schedule: str
    """Ratio of positions that are masked: "uniform(a, b)", or "cosine", which meets every stage of sampling equally
    often."""
    random_codes: float
    """Ratio of the visible tokens that are replaced by random codes. The first choices of the sampler can be wrong; a
    model that has seen wrong tokens trusts them less."""
    loss_on: Literal["all", "masked"]
    """The loss counts all positions, so that wrong visible tokens are corrected, too, or the masked ones (the paper's
    equation 3)."""
    drop_edge: float
    """Chance that a clip loses its first or last token, so that clips do not always begin with the same one."""
    borrowed_part: float
    """With two body parts: chance that an item with one masked part sees the other part of another clip, so that an
    edit follows the text and not the visible part (`mmm.transformer.masking.borrow_visible_part`)."""
    both_parts: float
    """With two body parts: chance that both are masked, as in generation; otherwise one is, as in editing."""
    crop: float
    """Chance that a clip of an action that any piece of it shows (walking) is cropped, so that the length of a motion
    and its action become independent. This and the next four need a data set with compositions.json
    (`mmm.transformer.compose`)."""
    then: float
    """Chance that another action follows, with a caption of both."""
    at_once: float
    """With two body parts: chance that an action of the legs gets the arms of another clip, with a caption of both."""
    repeat: float
    """Chance that a clip of a repeated action is joined with another of it, so that long ones are not rare."""
    typed: float
    """Chance that the caption of a clip, or of two actions at once, is replaced by a sentence as people type it. Clips
    that are joined (then, repeat) keep their captions."""
    typos: float
    """Ratio of the captions that are shown misspelled, for users who type fast. Each caption is embedded three times
    for it."""
    text_dropout: float
    """Ratio of the texts that are left out, which guidance needs. It is commented out in the release."""
    guidance: float
    """How closely the model follows the text when it samples: 1 is the plain model, 0 ignores the text."""


@dataclass(frozen=True, kw_only=True)
class Recipe(TransformerOptions, TokenizerOptions):
    """How tokenizer and transformer are trained, apart from sizes and budget. `get_recipe` makes one.

    Raises:
        ValueError: an option is out of its range.
    """

    def __post_init__(self) -> None:
        check_ranges(self, **RANGES)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_FILE = yaml.safe_load((Path(__file__).parent / "recipes.yaml").read_text(encoding="utf-8"))
RECIPES = {
    name: Recipe(**{option: _tuples(values[column]) for option, values in _FILE["options"].items()})
    for column, name in enumerate(_FILE["recipes"])
}
OURS = RECIPES["ours"]
PRESETS: dict[str, dict[str, Any]] = _FILE["presets"]
ABOUT_RECIPES: dict[str, str] = _FILE["recipes"]
ABOUT_PRESETS = {name: preset["about"] for name, preset in PRESETS.items()}
RecipeName = Literal[tuple(RECIPES)]
PresetName = Literal[tuple(PRESETS)]
LENGTH_MODEL: dict[str, float] = _FILE["length"]["model"]


def _train_config(settings: dict[str, Any]) -> TrainConfig:
    return TrainConfig(**{name: _tuples(value) for name, value in settings.items()})


def get_recipe(recipe: Recipe | str, **changes: Any) -> Recipe:
    """A recipe by its name, or as it is, with `changes` to its options; None leaves the recipe's value.

    Raises:
        ValueError: no recipe of that name.
    """
    if isinstance(recipe, str):
        require(recipe in RECIPES, f"recipe is {recipe!r}, expected one of {', '.join(RECIPES)}.")
        recipe = RECIPES[recipe]
    return dataclasses.replace(
        recipe, **{name: value for name, value in changes.items() if value is not None}
    )


def get_preset(preset: str) -> dict[str, Any]:
    """Sizes and budgets of a preset.

    Raises:
        ValueError: no preset of that name.
    """
    require(preset in PRESETS, f"preset is {preset!r}, expected one of {', '.join(PRESETS)}.")
    return PRESETS[preset]


def training(part: Literal["tokenizer", "transformer"], preset: str, recipe: Recipe) -> TrainConfig:
    """How a part is trained: the budget of the preset, with the optimizer of the recipe."""
    settings = get_preset(preset)[f"{part}_training"]  # with our optimizer
    if recipe.optimizer == "authors":
        budget = ("steps", "batch_size", "eval_every", "checkpoint_every")
        kept = {name: settings[name] for name in budget if name in settings}
        settings = _FILE["authors"][part] | kept
    return _train_config(settings)


def evaluator_training(preset: str = "small") -> TrainConfig:
    """How an evaluator is trained; it has one size, and the preset only says for how long."""
    return _train_config(_FILE["evaluator"]["training"] | get_preset(preset)["evaluator_training"])


def length_training(clips: int | None = None) -> TrainConfig:
    """How the length estimator is trained: so long that each of the clips (a mirrored one counts) is drawn 50 times.

    Without `clips`, for 1,500 steps, which are those 50 rounds on Bandai.

    With a fixed number of steps the estimator learns a small set by heart. Log loss on val with 1,500 steps and with 50
    rounds: 4.18 and 3.43 on the 288 clips of the quick profile (576 with mirrored ones; 3.54 without the text), 3.24
    and 3.21 on the 1,450 clips of the synthetic set.
    """
    config = _train_config(_FILE["length"]["training"])
    if clips is None:
        return config
    steps = max(1, round(_FILE["length"]["rounds"] * clips / config.batch_size))
    return dataclasses.replace(config, steps=steps)
