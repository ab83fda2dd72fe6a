"""`python -m mmm.lab.baselines train | evaluate`: see `mmm/lab/baselines/__init__.py`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, subcommand

from mmm.recipes import PresetName, RecipeName


@dataclasses.dataclass
class Train:
    """Train a baseline on the data, with the sizes, the tokenizer and the text encoder of a model folder."""

    kind: Positional[Literal["autoregressive", "diffusion"]]
    data: Path
    """A data folder, as `mmm prepare` makes it; the one the model was trained on."""
    model: Path
    """Model or run folder of the masked transformer."""
    out: Path
    """The run: checkpoints, metrics.jsonl, manifest.json, model/. Run again to continue where it stopped."""
    preset: PresetName = "light"
    """The training budget of the masked transformer: that of this preset."""
    recipe: RecipeName = "ours"
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    checkpoint_every: int | None = None
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    seed: int = 0
    fresh: bool = False
    """Start again instead of continuing the run in --out."""
    cpu: bool = False
    """Stay on the CPU even if there is a GPU."""

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.lab.baselines.models import fit_baseline
        from mmm.model import MMM

        names = ("steps", "batch_size", "lr", "checkpoint_every", "precision", "seed")
        result = fit_baseline(
            self.kind,
            MotionFolder.open(self.data),
            MMM.from_pretrained(self.model),
            self.out,
            self.preset,
            self.recipe,
            {"resume": not self.fresh, "cpu": self.cpu},
            **{name: getattr(self, name) for name in names},
        )
        print(", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items()))
        print(f"network: {self.out / 'model'}")


@dataclasses.dataclass
class Evaluate:
    """Compare baselines with the masked transformer: the paper's metrics, motion, time and cost, with given lengths.

    OUT gets results.md, results.json and a folder for each model. If it is stopped, the same call continues."""

    data: Path
    """A data folder, as `mmm prepare` makes it."""
    model: Path
    """Model or run folder of the masked transformer; a run folder also says how long it was trained."""
    out: Path
    run_folders: Annotated[UseAppendAction[tuple[Path, ...]], tyro.conf.arg(name="run")] = ()
    """Run of a baseline; repeatable."""
    samplers: UseAppendAction[tuple[str, ...]] = ()
    """Of diffusion ddim-STEPS or ddpm-STEPS, by default ddim-50 and ddim-10; of the masked model masked-STEPS, beside
    its own number of steps. Repeatable."""
    guidance_masked: float | None = None
    """The model's own by default."""
    guidance_autoregressive: float = 1.0
    guidance_diffusion: float = 2.5
    evaluator: Path | None = None
    """Folder of a text–motion evaluator; the one shipped for the data set by default."""
    split: str = "val"
    repeats: int = 20
    multimodality: Literal["one", "all", "none"] = "one"
    pool: int = 32
    seed: int = 0
    batch_size: int = 32
    precision: Literal["auto", "no", "bf16"] = "auto"
    aits: bool = True
    """Also sample some clips one by one, all models in turn, and measure the time."""
    timed: int = 20
    """So many clips."""
    gaps: bool = False
    """Also evaluate in-betweening."""
    clips: int | None = None
    """With --gaps: only so many clips."""
    other_splits: bool = False
    """Allow data of other splits than the model was trained on, which it may have seen in training."""
    fresh: bool = False
    cpu: bool = False

    def run(self) -> None:
        from mmm.data import MotionFolder
        from mmm.evaluation.config import ProtocolConfig
        from mmm.evaluation.evaluator import load_evaluator
        from mmm.lab.baselines.compare import SAMPLERS, compare, models_of
        from mmm.lab.edits import EditConfig
        from mmm.model import MMM

        names = ("split", "repeats", "multimodality", "pool", "seed", "batch_size", "precision", "aits")
        config = ProtocolConfig(lengths=("given",), **{name: getattr(self, name) for name in names})
        kinds = ("masked", "autoregressive", "diffusion")
        guidance = {kind: getattr(self, f"guidance_{kind}") for kind in kinds}
        shared = {"split": self.split, "seed": self.seed, "pool": self.pool}
        folder = MotionFolder.open(self.data)
        compare(
            models_of(
                MMM.from_pretrained(self.model),
                self.run_folders,
                self.samplers or SAMPLERS,
                guidance,
                self.model,
            ),
            folder,
            load_evaluator(folder, self.evaluator),
            config,
            self.out,
            EditConfig(clips=self.clips, **shared) if self.gaps else None,
            self.timed,
            resume=not self.fresh,
            cpu=self.cpu,
            other_splits=self.other_splits,
        )
        print((self.out / "results.md").read_text(encoding="utf-8"))


@dataclasses.dataclass
class Costs:
    """What a motion costs with networks of a model's size: passes, GFLOPs, CPU seconds. The baselines are untrained.

    OUT gets costs.json, costs.png and manifest.json."""

    model: Path
    """Model or run folder of the masked transformer."""
    out: Path
    samplers: UseAppendAction[tuple[str, ...]] = ()
    """As of evaluate."""
    lengths: tuple[int, ...] = (40, 80, 120, 160, 196)
    """In frames; 120 among them."""
    turns: int = 3

    def run(self) -> None:
        from mmm.lab.baselines.compare import SAMPLERS, models_of
        from mmm.lab.baselines.costs import cost_table
        from mmm.lab.baselines.models import new_network
        from mmm.lab.baselines.plots import plot_costs
        from mmm.model import MMM
        from mmm.training.run_folder import write_json, write_manifest
        from mmm.viz.style import small_png

        whole = MMM.from_pretrained(self.model)
        networks = [new_network(kind, whole) for kind in ("autoregressive", "diffusion")]
        models = models_of(whole, networks, self.samplers or SAMPLERS)
        models.pop("autoregressive-own-end")  # where it ends depends on the weights
        table = cost_table(models, self.lengths, self.turns)
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.out / "costs.json", table)
        (self.out / "costs.png").write_bytes(small_png(plot_costs(table)))
        about = {
            "model": str(self.model),
            "lengths": self.lengths,
            "turns": self.turns,
            "device": str(whole.device),
        }
        write_manifest(self.out / "manifest.json", about | {"command": "python -m mmm.lab.baselines costs"})
        for name, row in table.items():
            print(
                f"{name}: {row['times_masked'][0]:.2f} ± {row['times_masked'][1]:.2f} times the masked model"
            )


def main(args: list[str] | None = None) -> None:
    """Bad input prints one sentence and exits 2."""
    kinds = (
        Annotated[Train, subcommand("train")]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Costs, subcommand("costs")]
    )
    command = tyro.cli(OmitArgPrefixes[kinds], prog="python -m mmm.lab.baselines", args=args)
    try:
        command.run()
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"mmm.lab.baselines: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
