"""`mmm train`: the trainable parts, one after another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg, subcommand

Preset = Literal["tiny", "small", "paper"]


@dataclasses.dataclass
class _Training:
    data: Path = Path("data/bandai")
    """A data folder, as `mmm prepare` makes it."""
    out: Path = Path("runs/tok")
    """The run: checkpoints, metrics.jsonl, manifest.json, model/. Run again to continue where it stopped."""
    preset: Preset = "small"
    """tiny: minutes on two cores. small: what we ship. paper: the authors' sizes."""
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

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.recipes import fit_tokenizer

        model = {} if self.codes is None else {"codes": self.codes}
        result = fit_tokenizer(
            MotionFolder.open(self.data), self.out, self.preset, model=model, **self.changes()
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
    """Text encoder: minilm, clip, or the folder of any transformers text model."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.recipes import fit_transformer, load_tokenizer

        tokenizer = load_tokenizer(self.tokenizer)
        fit_transformer(
            MotionFolder.open(self.data), tokenizer, self.out, self.preset, self.text, **self.changes()
        )
        print(
            f'model: {self.out / "model"}\ntry: mmm generate "a person walks" --model {self.out} --out walk.gif'
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
        | Annotated[TrainEvaluator, subcommand("evaluator")]
    )

    def run(self) -> None:
        self.part.run()


def _print_metrics(metrics: dict[str, float]) -> None:
    print(", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
