"""The named recipes: where the release, the paper and this project differ in how they train, and why.

REPRODUCTION.md, "Tokenizer" and "Transformer". Sizes and budget (steps, batch) are a preset's; everything else that
bears on what is learned is here. `--recipe release` is what the authors' code does, `--recipe paper` what their
text says, `ours` what we found to do best at small size; `python -m figures.recipes.ablations` measured each choice,
one at a time, with the same budget and seed (figures/recipes, notebook 03).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from mmm.errors import require
from mmm.tokenizer import TokenizerConfig
from mmm.tokenizer import train as tokenizer_train
from mmm.tokenizer.train import Geometry
from mmm.training.config import TrainConfig
from mmm.transformer import train as transformer_train
from mmm.transformer.train import TransformerTask


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train, but for sizes and budget; the defaults are ours.

    Args:
        feature_bias: divides the Std of root and contacts, so that these count more in the tokenizer's loss (they
            decide on drift and on skating). 1: as the data are; 5: Guo's loaders; 25: the release's own file.
        reset: what happens to codes that nobody chooses (`mmm.tokenizer.quantizer.RESETS`). The release's flags
            never turn off again and its replaced codes fall back in the next step; "dead" is what the paper
            describes: any code that dies is replaced, for good.
        short: clips shorter than the tokenizer's window are left out ("drop", the authors) or padded, the padding
            not counting ("pad": of Bandai's takes 38 % are shorter).
        geometry: weights of place, speed, acceleration and standing feet of the tokenizer's reconstruction in the world
            (`mmm.tokenizer.train`), of one that goes on from a trained tokenizer: from random weights the path's
            error drowns the pose (figures/LOG.md). The authors have none of these.
        tokenizer_balance, transformer_balance: share of a content in training ∝ (its share in the data) ** this;
            1 leaves the data as they are. Bandai has 36 takes of one content and 300 of another.
        all_phases: encode each clip in every phase of the token grid, as time is cut into fours where it happens to
            begin; the authors encode it once.
        mask_law: share of places that is hidden: "uniform(0.5, 1)" in the release, "uniform(0.3, 1)" preferred by
            the paper's ablation, "cosine" as the sampler uncovers them.
        random_codes: share of the shown tokens that are replaced by random codes: 0.5 in the release, 0.1 in the
            paper. The sampler's early choices can be wrong; who has seen wrong tokens trusts them less.
        loss_on: "all" real places (the release: wrong tokens that are shown are to be put right, too) or the
            "masked" ones (the paper's equation 3).
        drop_edge: chance of losing a token at head or tail, so that clips do not always begin with the same.
        borrow: of a model with two body parts, the chance that an item asked for one of them has the other one from
            another clip, so that an edit follows the text and not the legs (`borrow_visible_part`). On
            Bandai's val split the action that is asked for is seen in 47 and 59 % of upper-body edits (guidance 1 and
            2), without borrowing in 3 and 30 % (figures/editing).
        both: of a model with two body parts, the chance that an item is asked for both of them, as generation does; the
            rest is asked for one with the other in sight, as editing does.
        typos: share of the captions that the transformer is shown misspelled, for users who type fast. Each caption
            is embedded two times more for it.
        text_dropout: share of the texts that are left out in training, without which there is no guidance. The
            release's is commented out.
        guidance: of the sampler of the model that is written; 1 is none.
        optimizer: "authors": AdamW with β (0.5, 0.9) for the transformer, a constant rate of 2e-4 that falls once,
            to 5 %, at half of the steps (tokenizer: at two thirds), no averaging; "ours": a cosine to 0, a rate
            that fits the size, and the moving average of the weights, which make more of few steps.
    """

    feature_bias: float = 5.0
    reset: str = "dead"
    short: Literal["pad", "drop"] = "pad"
    geometry: tuple[float, float, float, float] = dataclasses.astuple(Geometry())
    tokenizer_balance: float = 0.5
    transformer_balance: float = 0.25
    all_phases: bool = True
    mask_law: str = "cosine"
    random_codes: float = 0.1
    loss_on: Literal["all", "masked"] = "all"
    drop_edge: float = 1 / 3
    borrow: float = 0.5
    both: float = 0.5
    typos: float = 0.0
    text_dropout: float = 0.1
    guidance: float = 2.0
    optimizer: Literal["authors", "ours"] = "ours"

    def task(self) -> TransformerTask:
        """What the transformer is asked to do in training."""
        return TransformerTask(
            mask_law=self.mask_law,
            random_codes=self.random_codes,
            drop_edge=self.drop_edge,
            both=self.both,
            borrow=self.borrow,
            typos=self.typos,
            where=self.loss_on,
        )

    def seen(self) -> Geometry | None:
        """Weights of the tokenizer's loss in the world."""
        return Geometry(*self.geometry) if any(self.geometry) else None

    def tokenizer(self, sizes: TokenizerConfig) -> TokenizerConfig:
        """A preset's sizes with this recipe's rules."""
        return dataclasses.replace(sizes, reset=self.reset, feature_bias=self.feature_bias)


_PAPER = Recipe(
    short="drop",
    geometry=(0.0, 0.0, 0.0, 0.0),
    tokenizer_balance=1.0,
    transformer_balance=1.0,
    all_phases=False,
    mask_law="uniform(0.3, 1)",
    loss_on="masked",
    borrow=0.0,
    text_dropout=0.0,
    guidance=1.0,
    optimizer="authors",
)
RECIPES = {
    "ours": Recipe(),
    "paper": _PAPER,
    "release": dataclasses.replace(
        _PAPER,
        feature_bias=25.0,
        reset="release",
        mask_law="uniform(0.5, 1)",
        random_codes=0.5,
        loss_on="all",
    ),
}

# Budgets, and the optimizer of "ours". "auto" precision is resolved by `resolve`.
TOKENIZER_TRAINING = {
    "tiny": TrainConfig(steps=600, batch_size=32, lr=1e-3, warmup=50, schedule="cosine", eval_every=300),
    "light": TrainConfig(
        steps=14_000, batch_size=32, lr=1e-3, warmup=200, schedule="cosine", eval_every=2000
    ),
    "small": TrainConfig(steps=9000, batch_size=64, lr=5e-4, warmup=500, schedule="cosine", eval_every=1000),
    "paper": TrainConfig(
        steps=300_000,
        batch_size=256,
        warmup=1000,
        schedule="cosine",
        eval_every=10_000,
        checkpoint_every=5000,
    ),
}
_OURS = {"betas": (0.9, 0.98), "schedule": "cosine"}
TRANSFORMER_TRAINING = {
    "tiny": TrainConfig(steps=800, batch_size=32, lr=1e-3, warmup=50, ema=0.98, **_OURS),
    "light": TrainConfig(
        steps=14_000,
        batch_size=32,
        lr=8e-4,
        weight_decay=0.01,
        warmup=400,
        ema=0.999,
        eval_every=2000,
        **_OURS,
    ),
    "small": TrainConfig(
        steps=8000,
        batch_size=64,
        lr=6e-4,
        weight_decay=0.01,
        warmup=400,
        ema=0.999,
        eval_every=1000,
        **_OURS,
    ),
    "paper": TrainConfig(
        steps=300_000,
        batch_size=128,
        weight_decay=0.01,
        warmup=2000,
        ema=0.9999,
        eval_every=10_000,
        checkpoint_every=5000,
        **_OURS,
    ),
}
# The steps are those for Bandai; other data get as many rounds over their clips (`length_training`).
LENGTH_TRAINING = TrainConfig(
    steps=1500, batch_size=128, lr=1e-3, weight_decay=0.01, warmup=50, schedule="cosine"
)
# What keeps the length estimator from being surer than it can be: log loss on Bandai val 2.80 without, 2.64 with
# (what it expects of itself: 2.37 and 2.66 nats). No temperature is needed besides: one fitted on a tenth of the
# training clips is 1.04.
LENGTH_MODEL = {"dropout": 0.5, "blur": 1.0}
LENGTH_ROUNDS = 50
PRESETS = tuple(TOKENIZER_TRAINING)


def length_training(clips: int, **changes: object) -> TrainConfig:
    """How the length estimator is trained on so many clips (a mirrored one counts): each is drawn about 50 times.

    With a fixed number of steps few clips are learned by heart: on the 288 clips of the quick profile (576 with
    mirrored ones) 1,500 steps give a log loss on val of 4.18, worse than not reading at all (3.54), 50 rounds 3.43;
    on the 1,450 of the synthetic set 3.24 and 3.21; on Bandai both are the same.
    """
    steps = max(1, round(LENGTH_ROUNDS * clips / LENGTH_TRAINING.batch_size))
    return dataclasses.replace(LENGTH_TRAINING, steps=steps, **changes)


def get_recipe(recipe: Recipe | str, **changes: object) -> Recipe:
    """A recipe by its name, or as it is, with what the user asked for; None leaves the recipe's value.

    Raises:
        ValueError: no recipe of that name.
    """
    if isinstance(recipe, str):
        known = ", ".join(RECIPES)
        require(recipe in RECIPES, f"recipe is {recipe!r}, expected one of {known}.")
        recipe = RECIPES[recipe]
    return dataclasses.replace(
        recipe, **{name: value for name, value in changes.items() if value is not None}
    )


def tokenizer_training(preset: str, recipe: Recipe) -> TrainConfig:
    """Budget of the preset, optimizer of the recipe."""
    return _training(TOKENIZER_TRAINING, tokenizer_train.PAPER_TRAINING, preset, recipe)


def transformer_training(preset: str, recipe: Recipe) -> TrainConfig:
    """Budget of the preset, optimizer of the recipe."""
    return _training(TRANSFORMER_TRAINING, transformer_train.PAPER_TRAINING, preset, recipe)


def _training(ours: dict[str, TrainConfig], authors: TrainConfig, preset: str, recipe: Recipe) -> TrainConfig:
    require(preset in ours, f"preset is {preset!r}, expected one of {', '.join(ours)}.")
    if recipe.optimizer == "ours":
        return ours[preset]
    budget = {
        name: getattr(ours[preset], name)
        for name in ("steps", "batch_size", "eval_every", "checkpoint_every")
    }
    return dataclasses.replace(authors, **budget)
