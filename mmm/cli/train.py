"""`mmm train`: the networks, one after another.

The flags of a training option are generated: `flags` turns the fields of a dataclass (`TrainConfig`, the options of a
`Recipe`) into flags that are None by default, with the field's docstring and its values as help.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import docstring_parser
from tyro.conf import arg, subcommand

from mmm.errors import require
from mmm.recipes import (
    ABOUT_PRESETS,
    ABOUT_RECIPES,
    RECIPES,
    PresetName,
    RecipeName,
    TokenizerOptions,
    TransformerOptions,
)
from mmm.training.config import TrainConfig


def flags(options: type, names: tuple[str, ...] = ()) -> type:
    """A dataclass with the fields of `options` (or those in `names`), each of them None by default."""
    types = get_type_hints(options)
    help_of = {
        param.arg_name: " ".join(param.description.split())
        for kind in options.__mro__[:-1]
        for param in docstring_parser.parse_from_object(kind).params
    }
    fields = []
    for name in names or types:
        described = arg(help=help_of[name], help_behavior_hint=f"({_defaults(name)})")
        fields.append((name, Annotated[types[name] | None, described], None))
    return dataclasses.make_dataclass(options.__name__, fields)


def _defaults(option: str) -> str:
    """The values of an option in the recipes."""
    if not hasattr(RECIPES["ours"], option):
        return "default: the preset's"
    return "; ".join(f"{name}: {_shown(getattr(recipe, option))}" for name, recipe in RECIPES.items())


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def values(command: Any, options: type) -> dict[str, Any]:
    """The fields of `options` that the command line sets."""
    flags = {field.name: getattr(command, field.name, None) for field in dataclasses.fields(options)}
    return {name: value for name, value in flags.items() if value is not None}


def _choices(about: dict[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in about.items())


Preset = Annotated[PresetName, arg(help=f"Sizes and training budget. {_choices(ABOUT_PRESETS)}.")]
RecipeFlag = Annotated[
    RecipeName,
    arg(help=f"How it is trained. {_choices(ABOUT_RECIPES)}. Other options change one choice of the recipe."),
]


@dataclasses.dataclass
class _Run:
    """Flags of every training."""

    data: Path = Path("data/bandai")
    """A data folder, as `mmm prepare` writes it."""
    out: Path = Path("runs/tok")
    """The run: checkpoints, metrics.jsonl, manifest.json, model/. Run again to continue where it stopped."""
    seed: int = 0
    """Same seed, same run; on a CPU bit for bit, with the same number of threads (OMP_NUM_THREADS)."""
    fresh: bool = False
    """Start again instead of continuing the run in --out."""
    cpu: bool = False
    """Stay on the CPU even if there is a GPU."""

    @property
    def options(self) -> dict[str, Any]:
        """For `mmm.training.loop.train`."""
        return {"resume": not self.fresh, "cpu": self.cpu}


@dataclasses.dataclass
class _Training(flags(TrainConfig, ("steps", "batch_size", "lr", "checkpoint_every")), _Run):
    preset: Preset = "small"
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """"no" is float32, reproducible bit for bit on a CPU with the same number of threads; auto takes
    bf16 where the machine is fast in it."""


@dataclasses.dataclass
class TrainTokenizer(flags(TokenizerOptions), _Training):
    """Train the VQ-VAE: 4 frames of motion become one token."""

    recipe: RecipeFlag = "ours"
    codes: int | None = None
    """Codes in the codebook; by default the preset's."""
    parts: Literal[1, 2] | None = None
    """2: upper and lower body get codebooks of their own, so that either can be edited. 1: one for the whole body,
    the default without --init."""
    window: int = 64
    """Frames of a window, a multiple of 4."""
    mean_std: Path | None = None
    """Folder with Mean.npy and Std.npy to train with instead of the data's. The release uses those of Guo et al.'s
    evaluator, which contain the feature bias: --feature-bias is 1 then, unless you give it."""
    init: Path | None = None
    """A trained tokenizer to start from: a run or a model folder, such as data/pretrained/everyday-small for motions of
    your own. It keeps its sizes, Mean and Std."""
    code_noise: float | None = None
    """With --init: train the decoders alone, with this ratio of the tokens replaced by near ones. Every clip keeps its
    tokens, so that a transformer trained on them still fits."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.fit import fit_tokenizer
        from mmm.recipes import get_recipe

        require(
            self.geometry is None or self.init is not None,
            "--geometry is for a tokenizer that starts from another; give --init, or leave --geometry out.",
        )
        for name, flag in (("feature_bias", "--feature-bias"), ("reset", "--reset")):
            require(
                self.init is None or getattr(self, name) is None,
                f"a tokenizer that starts from another keeps its rules; leave {flag} out.",
            )
        if self.mean_std is not None and self.feature_bias is None:
            self.feature_bias = 1.0
        sizes = {"parts": self.parts, "codes": self.codes}
        result = fit_tokenizer(
            MotionFolder.open(self.data),
            self.out,
            self.preset,
            get_recipe(self.recipe, **values(self, TokenizerOptions)),
            self.window,
            model={name: value for name, value in sizes.items() if value is not None},
            mean_std=self.mean_std,
            init=self.init,
            code_noise=self.code_noise,
            options=self.options,
            **values(self, TrainConfig),
        )
        print(", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items()))
        print(f"tokenizer: {self.out / 'model'}")


@dataclasses.dataclass
class TrainTransformer(flags(TransformerOptions), _Training):
    """Train the masked transformer and the length estimator; OUT/model is a whole model that can generate."""

    out: Path = Path("runs/mmm")
    """The run: transformer/, length/, model/. Run again to continue where it stopped."""
    recipe: RecipeFlag = "ours"
    tokenizer: Path = Path("runs/tok")
    """Run or model folder of the tokenizer."""
    text: str = "minilm"
    """Text encoder: minilm, clip (the paper's), or the folder of any transformers text model."""
    init: Path | None = None
    """A trained model to start from (run or model folder), for the same tokenizer. It keeps its sizes and text
    dropout."""
    new_codes: bool = False
    """With --init: the tokenizer may be one that was trained further since; its codebook must have the same size."""
    held_out: float = 0.0
    """Ratio of the training takes that the transformer never sees, so that its confidence can be calibrated on them
    (chapter 05): 0.1 is a tenth."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.fit import fit_transformer
        from mmm.pretrained import load_tokenizer
        from mmm.recipes import get_recipe

        require(
            self.init is None or self.text_dropout is None,
            "a model that starts from another keeps its text dropout; leave --text-dropout out.",
        )
        require(
            self.tokenizer.is_dir(),
            f"there is no tokenizer in {self.tokenizer}; train one first (mmm train tokenizer --out {self.tokenizer}), "
            "or give the folder of yours with --tokenizer.",
            FileNotFoundError,
        )
        tokenizer = load_tokenizer(self.tokenizer)
        fit_transformer(
            MotionFolder.open(self.data),
            tokenizer,
            self.out,
            self.preset,
            self.text,
            get_recipe(self.recipe, **values(self, TransformerOptions)),
            held_out=self.held_out,
            init=self.init,
            new_codes=self.new_codes,
            options=self.options,
            **values(self, TrainConfig),
        )
        print(f"model: {self.out / 'model'}")
        print(f'try: mmm generate "a person walks" --model {self.out} --out walk.gif')


@dataclasses.dataclass
class TrainLength(_Run):
    """Train a length estimator for a model that has none (a converted one); it is written to the model's folder."""

    data: Path = Path("data/humanml3d")
    """The data folder that the model was trained on."""
    model: Path = Path("runs/mmm")
    """Model folder, or folder of a run; gets length/."""
    out: Path = Path("runs/length")
    """The run: checkpoints, metrics.jsonl. Run again to continue where it stopped."""
    steps: int | None = None
    """Optimizer steps; by default as many as show each clip 50 times."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.fit import fit_length

        folder = MotionFolder.open(self.data)
        fit_length(folder, self.model, self.out, self.options, steps=self.steps, seed=self.seed)
        print(f"the model in {self.model} has a length estimator")
        print(f'try: mmm generate "a person walks" --model {self.model}')


@dataclasses.dataclass
class TrainEvaluator(_Training):
    """Train a text–motion evaluator for a data set that has none; `mmm evaluate` can use OUT/model.

    It has one size; the preset only says how long: tiny 300 steps, else 2000."""

    out: Path = Path("runs/evaluator")
    """The run: checkpoints, metrics.jsonl, manifest.json, model/. Run again to continue where it stopped."""
    text: str = "minilm"
    """Text encoder: minilm, clip, or the folder of any transformers text model."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.evaluation.train_evaluator import fit_evaluator

        folder, changes = MotionFolder.open(self.data), values(self, TrainConfig)
        evaluator = fit_evaluator(folder, self.out, self.text, self.preset, options=self.options, **changes)
        print(f"evaluator {evaluator.name}: {self.out / 'model'}")
        print(f"try: mmm evaluate --data {self.data} --evaluator {self.out / 'model'}")


@dataclasses.dataclass
class Train:
    """Train a network: first the tokenizer, then the transformer; and the evaluator that evaluates them.

    Several GPUs: `accelerate launch -m mmm.cli train …`"""

    part: (
        Annotated[TrainTokenizer, subcommand("tokenizer")]
        | Annotated[TrainTransformer, subcommand("transformer")]
        | Annotated[TrainLength, subcommand("length")]
        | Annotated[TrainEvaluator, subcommand("evaluator")]
    )

    def run(self) -> None:
        from mmm.training.run_folder import locked

        with locked(self.part.out):  # before the data are read: two trainings into one folder would mix
            self.part.run()
