"""`mmm train`: the trainable parts, one after another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg, subcommand

from mmm.errors import require

Preset = Literal["tiny", "light", "small", "paper"]
RecipeName = Literal["release", "paper", "ours"]


@dataclasses.dataclass
class _Training:
    data: Path = Path("data/bandai")
    """A data folder, as `mmm prepare` makes it."""
    out: Path = Path("runs/tok")
    """The run: checkpoints, metrics.jsonl, manifest.json, model/. Run again to continue where it stopped."""
    preset: Preset = "small"
    """tiny: minutes on two cores. light: hours, what we ship. small: many hours. paper: the authors' sizes."""
    steps: int | None = None
    """Optimizer steps; by default the preset's."""
    batch_size: int | None = None
    """Items per step."""
    lr: float | None = None
    """Learning rate."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """"no" is float32, reproducible bit for bit on a CPU; auto takes bf16 where the machine is fast in it."""
    seed: int = 0
    """Same seed, same run."""
    checkpoint_every: int | None = None
    """Steps between checkpoints."""
    fresh: bool = False
    """Begin anew instead of continuing the run in --out."""
    cpu: bool = False
    """Stay on the CPU even if there is a GPU."""

    def changes(self) -> dict:
        names = ("steps", "batch_size", "lr", "precision", "seed", "checkpoint_every")
        options = {"resume": not self.fresh, "cpu": self.cpu}
        return {name: getattr(self, name) for name in names} | {"options": options}


@dataclasses.dataclass
class TrainTokenizer(_Training):
    """Train the VQ-VAE: 4 frames of motion become one token."""

    codes: int | None = None
    """Codes in the codebook; by default the preset's."""
    parts: Literal[1, 2] | None = None
    """2: upper and lower body get codebooks of their own, so that either can be edited. 1: one for the whole body,
    the default without --init."""
    recipe: RecipeName = "ours"
    """release: what the authors' code does; paper: what their text says; ours. The options below change one choice."""
    feature_bias: float | None = None
    """How much more root and contacts count: 1, 5 (Guo's loaders, ours) or 25 (release)."""
    reset: Literal["dead", "release", "none"] | None = None
    """Dead codes are replaced when they die (ours), by the release's rule, or not."""
    mean_std: Path | None = None
    """Folder with Mean.npy and Std.npy to train with instead of the data's. The release takes those of Guo et al.'s
    evaluator, in which the feature bias is contained: --feature-bias is 1 then, unless you give it."""
    short: Literal["pad", "drop"] | None = None
    """Clips shorter than 64 frames are padded, the padding not counting (ours), or left out (release, paper)."""
    geometry: tuple[float, float, float, float] | None = None
    """With --init: weights of what is seen in the world: place, speed, acceleration, standing feet. Ours: 0.5 0.5 0.25
    0.25; the authors': 0 0 0 0."""
    optimizer: Literal["ours", "authors"] | None = None
    """A cosine that fits the size (ours), or 2e-4 that falls once, at two thirds of the steps."""
    window: int = 64
    """Frames of a window, a multiple of 4."""
    init: Path | None = None
    """A trained tokenizer to go on with: a run or a model folder, such as data/pretrained/bandai-small for motions of
    your own. Sizes, Mean and Std are its."""
    code_noise: float | None = None
    """With --init: train the decoders alone, this share of the tokens being replaced by near ones. Every clip keeps its
    tokens, so that a transformer trained on them still fits."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.fit import fit_tokenizer

        require(
            self.geometry is None or self.init is not None,
            "--geometry is for a tokenizer that is taken further; give --init, or leave --geometry out.",
        )
        for name in ("feature_bias", "reset"):
            flag = "--" + name.replace("_", "-")
            require(
                self.init is None or getattr(self, name) is None,
                f"a tokenizer that is taken further keeps its rules, and {flag} is one; leave {flag} out.",
            )
        given = {"parts": self.parts, "codes": self.codes}
        model = {name: value for name, value in given.items() if value is not None}
        if self.mean_std is not None and self.feature_bias is None:
            self.feature_bias = 1.0
        recipe = _recipe(self, "feature_bias", "reset", "short", "geometry", "optimizer")
        rules = {"recipe": recipe, "mean_std": self.mean_std, "window": self.window}
        rules |= {"init": self.init, "code_noise": self.code_noise}
        result = fit_tokenizer(
            MotionFolder.open(self.data), self.out, self.preset, model=model, **rules, **self.changes()
        )
        _print_metrics(result.metrics)
        print(f"tokenizer: {self.out / 'model'}")


@dataclasses.dataclass
class TrainTransformer(_Training):
    """Train the masked transformer and the length estimator; OUT/model is a whole model that can generate."""

    out: Path = Path("runs/mmm")
    """The run: transformer/, length/, model/. Run again to continue where it stopped."""
    tokenizer: Annotated[Path, arg(help="Run or model folder of the tokenizer.")] = Path("runs/tok")
    text: str = "minilm"
    """Text encoder: minilm, clip (the paper's), or the folder of any transformers text model."""
    recipe: RecipeName = "ours"
    """release: what the authors' code does; paper: what their text says; ours. The options below change one choice."""
    mask_law: str | None = None
    """Share of places that is hidden: cosine (ours), "uniform(0.5, 1)" (release), "uniform(0.3, 1)" (paper)."""
    random_codes: float | None = None
    """Share of shown tokens replaced by random ones: 0.5 (release), 0.1 (paper, ours)."""
    loss_on: Literal["all", "masked"] | None = None
    """The loss counts all places (release, ours) or the masked ones (paper)."""
    drop_edge: float | None = None
    """Chance of losing a token at head or tail (1/3)."""
    borrow: float | None = None
    """With two body parts: chance that one asked for alone has the other from another clip (0.5; release, paper 0)."""
    both: float | None = None
    """With two body parts: chance that both are asked for, as in generation (0.5); the rest is one, as in editing."""
    typos: float | None = None
    """Share of captions that are shown misspelled (0)."""
    text_dropout: float | None = None
    """Share of texts left out, which guidance needs: 0 (release, paper), 0.1 (ours)."""
    guidance: float | None = None
    """How closely the model follows the text when it samples: 1 is none (release, paper), 2 ours."""
    optimizer: Literal["ours", "authors"] | None = None
    """A cosine that fits the size and averaged weights (ours), or 2e-4 that falls once, at half of the steps."""
    init: Path | None = None
    """A trained model to go on with (run or model folder), for the same tokenizer. Sizes and text dropout are its."""
    hold_back: float = 0.0
    """Share of train's takes that the transformer never sees, so that its confidence can be calibrated on them
    (chapter 04): 0.1 is a tenth."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.fit import fit_transformer, load_tokenizer

        options = (
            "mask_law",
            "random_codes",
            "loss_on",
            "drop_edge",
            "borrow",
            "both",
            "typos",
            "text_dropout",
            "guidance",
            "optimizer",
        )
        require(
            self.init is None or self.text_dropout is None,
            "a model that is taken further keeps its text dropout; leave --text-dropout out.",
        )
        recipe = _recipe(self, *options)
        tokenizer = load_tokenizer(self.tokenizer)
        folder = MotionFolder.open(self.data)
        changes = self.changes() | {"hold_back": self.hold_back, "init": self.init}
        fit_transformer(folder, tokenizer, self.out, self.preset, self.text, recipe=recipe, **changes)
        print(
            f'model: {self.out / "model"}\ntry: mmm generate "a person walks" --model {self.out} --out walk.gif'
        )


@dataclasses.dataclass
class TrainLength:
    """Train a length estimator for a model that has none (a converted one); it is put into the model's folder."""

    data: Path = Path("data/humanml3d")
    """The data folder that the model was trained on."""
    model: Path = Path("runs/mmm")
    """Model folder, or folder of a run; gets length/."""
    out: Path = Path("runs/length")
    """The run: checkpoints, metrics.jsonl. Run again to continue where it stopped."""
    steps: int | None = None
    """Optimizer steps; by default as many as show each clip 50 times."""
    seed: int = 0
    """Same seed, same run."""
    fresh: bool = False
    """Begin anew instead of continuing the run in --out."""
    cpu: bool = False
    """Stay on the CPU even if there is a GPU."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.fit import fit_length

        options = {"resume": not self.fresh, "cpu": self.cpu}
        folder = MotionFolder.open(self.data)
        fit_length(folder, self.model, self.out, options, steps=self.steps, seed=self.seed)
        print(
            f'the model in {self.model} has a length estimator\ntry: mmm generate "a person walks" --model {self.model}'
        )


@dataclasses.dataclass
class TrainEvaluator(_Training):
    """Train a text–motion evaluator for a data set that has none; OUT/model judges with `mmm evaluate`.

    It has one size; the preset only says how long: tiny 300 steps, else 2000."""

    out: Path = Path("runs/evaluator")
    """The run: checkpoints, metrics.jsonl, manifest.json, model/. Run again to continue where it stopped."""
    text: str = "minilm"
    """Text encoder: minilm, clip, or the folder of any transformers text model."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.evaluation.train_evaluator import fit_evaluator

        changes = self.changes()
        if self.preset == "tiny" and self.steps is None:
            changes["steps"] = 300
        evaluator = fit_evaluator(MotionFolder.open(self.data), self.out, self.text, **changes)
        print(f"evaluator {evaluator.name}: {self.out / 'model'}")
        print(f"try: mmm evaluate --data {self.data} --evaluator {self.out / 'model'}")


@dataclasses.dataclass
class Train:
    """Train a part: first the tokenizer, then the transformer; and the evaluator that judges them.

    Several GPUs: `accelerate launch -m mmm.cli train …`"""

    part: (
        Annotated[TrainTokenizer, subcommand("tokenizer")]
        | Annotated[TrainTransformer, subcommand("transformer")]
        | Annotated[TrainLength, subcommand("length")]
        | Annotated[TrainEvaluator, subcommand("evaluator")]
    )

    def run(self) -> None:
        self.part.run()


def _recipe(command: Any, *options: str) -> Any:
    """The recipe that was named, with the options that were given."""
    from mmm.recipes import get_recipe

    return get_recipe(command.recipe, **{name: getattr(command, name) for name in options})


def _print_metrics(metrics: dict[str, float]) -> None:
    print(", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
