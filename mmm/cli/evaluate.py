"""`mmm evaluate`: the paper's protocol, its table, and real motion beside it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, Literal

from tyro.conf import UseAppendAction

from mmm.errors import require

NOT_FOR_EDITS = ("repeats", "lengths", "multimodality", "batch_size", "precision", "aits", "fresh", "cpu")


@dataclasses.dataclass
class Evaluate:
    """The paper's metrics over a split, 20 repeats with 95 % intervals, beside real motion and the tokenizer.

    OUT gets results.md (the tables), results.json (the numbers of every repeat, and all settings) and repeats/
    (embeddings). If it is stopped, the same call continues. Several GPUs: `accelerate launch -m mmm.cli evaluate …`;
    several processes on the CPU: `torchrun --nproc_per_node 2 -m mmm.cli evaluate --cpu …`; the numbers are the same.

    With --edits editing is evaluated instead, with metrics of its own, in one process; `--edits gaps --clips 20` is a
    first look. OUT then gets a folder for each kind of edits: results.md, results.json, figure.png, rows.csv."""

    model: Path | None = None
    """Model or run folder; the shipped model by default."""
    data: Path = Path("data/bandai")
    """A data folder, as `mmm prepare` makes it; the one the model was trained on."""
    out: Path | None = None
    """Folder; runs/evaluate-MODEL-DATA by default. With NAME.json the folder is NAME, and results.json is copied
    to NAME.json."""
    evaluator: Path | None = None
    """Folder of a text–motion evaluator; the one shipped for the data set by default."""
    split: str = "val"
    """val, test, train, or any other split of the folder."""
    repeats: int = 20
    """Independent repeats with other captions, pools and seeds. More can be added to an evaluation later."""
    lengths: Literal["both", "given", "estimated"] = "both"
    """Generate at the clips' lengths, at lengths estimated from the text, or both (a row each)."""
    multimodality: Literal["one", "all", "none"] = "one"
    """30 samples of 100 texts, in one repeat or in all (which takes most of the time)."""
    pool: int = 32
    """Motions among which a text has to find its own (R-precision); a split needs as many clips."""
    seed: int = 0
    """Same seed, same numbers (on one machine with as many threads)."""
    steps: int | None = None
    """Passes of the sampler; by default ten for 196 frames, fewer for shorter ones."""
    guidance: float | None = None
    """How closely to follow the text; by default the model's own."""
    temperature: float = 1.0
    """Below 1 less varied, above 1 more varied."""
    remask: Literal["least", "most", "random"] = "least"
    """Which positions a pass masks again: the least confident (the paper), the most confident, or random ones."""
    batch_size: int = 32
    """Motions that are sampled together; another size changes the last digits by rounding."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """Of sampling: "no" is float32; auto takes bf16 if the machine is fast in it."""
    aits: bool = True
    """Also sample the clips one by one and measure the time (AITS)."""
    other_splits: bool = False
    """Allow data of other splits than the model was trained on, which it may have seen in training."""
    fresh: bool = False
    """Start again instead of continuing the evaluation in --out."""
    cpu: bool = False
    """Stay on the CPU even if there is a GPU."""
    edits: UseAppendAction[tuple[Literal["gaps", "bodies", "long"], ...]] = ()
    """Evaluate editing: gaps (in-betweening by the length of the gap, against interpolation), bodies (another upper
    body on the same legs, by guidance; needs a model with 2 body parts), long (transitions by length); repeatable."""
    clips: int | None = None
    """With --edits: only so many clips (gaps), pairs of a clip and an action (bodies), or sequences (long, 60 by
    default), drawn with --seed."""
    progress: bool = True
    """Show progress bars."""

    def run(self) -> None:
        if self.edits:
            return self._edits()
        require(
            self.clips is None,
            f"--clips {self.clips} is for --edits; the evaluation itself takes all clips of --split.",
        )
        from mmm.data import MotionFolder
        from mmm.evaluation.evaluator import load_evaluator
        from mmm.evaluation.protocol import ProtocolConfig, evaluate
        from mmm.model import MMM, SHIPPED

        lengths = ("given", "estimated") if self.lengths == "both" else (self.lengths,)
        config = ProtocolConfig(**self._settings_of(ProtocolConfig) | {"lengths": lengths})
        folder = MotionFolder.open(self.data)
        place = self.model or SHIPPED
        results = evaluate(
            MMM.from_pretrained(place),
            folder,
            load_evaluator(folder, self.evaluator),
            config,
            self._folder(place.resolve().name, folder.name),
            resume=not self.fresh,
            progress=self.progress,
            cpu=self.cpu,
            other_splits=self.other_splits,
        )
        if results is None:  # not the main process
            return
        print(results.report())
        file = results.folder / "results.json"
        if self.out is not None and self.out.suffix == ".json":
            file = Path(shutil.copyfile(file, self.out))
        print(f"tables: {results.folder / 'results.md'}\nnumbers: {file}")

    def _edits(self) -> None:
        from mmm.data import MotionFolder
        from mmm.evaluation.evaluator import load_evaluator
        from mmm.lab.edits.run import EditConfig, evaluate_edits
        from mmm.model import MMM, SHIPPED

        for field in dataclasses.fields(self):
            require(
                field.name not in NOT_FOR_EDITS or getattr(self, field.name) == field.default,
                f"--{field.name.replace('_', '-')} is not for --edits; leave it out.",
            )
        folder, place = MotionFolder.open(self.data), self.model or SHIPPED
        model, evaluator = MMM.from_pretrained(place), load_evaluator(folder, self.evaluator)
        config = EditConfig(**self._settings_of(EditConfig))
        out = self.out or Path("runs") / f"edits-{place.resolve().name}-{folder.name}-{self.split}"
        how = {"progress": self.progress, "other_splits": self.other_splits}
        for kind in dict.fromkeys(self.edits):
            evaluate_edits(kind, model, folder, evaluator, config, out / kind, **how)
            print((out / kind / "results.md").read_text(encoding="utf-8"))
            print(f"tables, figure, every clip: {out / kind}")

    def _settings_of(self, config: type) -> dict[str, Any]:
        """The options that are fields of `config`, which explains them."""
        names = {field.name for field in dataclasses.fields(config)}
        return {name: value for name, value in vars(self).items() if name in names}

    def _folder(self, model: str, data: str) -> Path:
        if self.out is None:
            return Path("runs") / f"evaluate-{model}-{data}"
        return self.out.with_suffix("") if self.out.suffix == ".json" else self.out
