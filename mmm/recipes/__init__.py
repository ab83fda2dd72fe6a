"""From a data folder to a trained model: recipes, and the few calls that join the rooms."""

from mmm.recipes.begin import load_tokenizer
from mmm.recipes.data import (
    balanced_weights,
    captions_source,
    facts,
    has_mirrored,
    held_back,
    length_sets,
    token_sets,
)
from mmm.recipes.fit import fit_length, fit_tokenizer, fit_transformer, resolve
from mmm.recipes.rules import (
    LENGTH_MODEL,
    LENGTH_TRAINING,
    PRESETS,
    RECIPES,
    TOKENIZER_TRAINING,
    TRANSFORMER_TRAINING,
    Recipe,
    get_recipe,
    length_training,
    tokenizer_training,
    transformer_training,
)

__all__ = [
    "LENGTH_MODEL",
    "LENGTH_TRAINING",
    "PRESETS",
    "RECIPES",
    "TOKENIZER_TRAINING",
    "TRANSFORMER_TRAINING",
    "Recipe",
    "balanced_weights",
    "captions_source",
    "facts",
    "fit_length",
    "fit_tokenizer",
    "fit_transformer",
    "get_recipe",
    "has_mirrored",
    "held_back",
    "length_sets",
    "length_training",
    "load_tokenizer",
    "resolve",
    "token_sets",
    "tokenizer_training",
    "transformer_training",
]
