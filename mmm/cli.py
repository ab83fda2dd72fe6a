"""The command line, `mmm …`. Every command is a dataclass: its fields are the flags, its docstrings the help."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, UseAppendAction, arg, subcommand

# Only light modules at the top: `mmm --help` should not wait for torch.
from mmm.errors import require

Preset = Literal["tiny", "small", "paper"]


@dataclasses.dataclass
class PrepareSynthetic:
    """Make the synthetic data set: a procedural choreographer, no download needed."""

    out: Path = Path("data/synthetic")
    """Folder to write."""
    clips: int = 2000
    """How many clips."""
    seed: int = 0
    """Same seed, same clips."""

    def run(self) -> None:
        from mmm.data import synthetic

        _report(synthetic.prepare(self.out, clips=self.clips, seed=self.seed, progress=True))


@dataclasses.dataclass
class PrepareBandai:
    """Convert Bandai-Namco Research Motiondataset 1 and 2 (BVH, real motion capture, CC BY-NC 4.0)."""

    source: UseAppendAction[tuple[Path, ...]]
    """Folder (searched recursively) or .zip / .tar.xz archive; give it again for more."""
    out: Path = Path("data/bandai")
    """Folder to write."""
    seed: int = 0
    """Of captions and splits."""
    limit: int | None = None
    """Only so many takes of each content (5 or more), for a quick look."""

    def run(self) -> None:
        from mmm.data import bandai

        _report(bandai.prepare(self.out, list(self.source), seed=self.seed, limit=self.limit))


@dataclasses.dataclass
class _PrepareUsers:
    source: Path
    """The folder you have obtained; it is checked and never altered."""
    out: Path | None = None
    """Folder for our side files (splits without bad clips, report); data/NAME by default."""

    kind = ""

    def run(self) -> None:
        from mmm.data import humanml3d

        _report(
            humanml3d.prepare(self.source, self.out or Path("data") / self.kind, self.kind, progress=True)
        )


@dataclasses.dataclass
class PrepareHumanML3D(_PrepareUsers):
    """Check a HumanML3D folder; bad clips are reported and left out by name."""

    kind = "humanml3d"


@dataclasses.dataclass
class PrepareKIT(_PrepareUsers):
    """Check a KIT-ML folder; bad clips are reported and left out by name."""

    kind = "kit"


@dataclasses.dataclass
class Prepare:
    """Make or check a data set (synthetic, bandai, humanml3d, kit)."""

    what: (
        Annotated[PrepareSynthetic, subcommand("synthetic")]
        | Annotated[PrepareBandai, subcommand("bandai")]
        | Annotated[PrepareHumanML3D, subcommand("humanml3d")]
        | Annotated[PrepareKIT, subcommand("kit")]
    )

    def run(self) -> None:
        self.what.run()


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
class Train:
    """Train a part: first the tokenizer, then the transformer.

    Several GPUs: `accelerate launch -m mmm.cli train …`"""

    part: (
        Annotated[TrainTokenizer, subcommand("tokenizer")]
        | Annotated[TrainTransformer, subcommand("transformer")]
    )

    def run(self) -> None:
        self.part.run()


@dataclasses.dataclass
class Generate:
    """Text to motion: `mmm generate "a person waves with the left hand" --out wave.gif --out wave.html`"""

    text: Positional[tuple[str, ...]]
    """What the person does; several texts make several motions."""
    model: Path | None = None
    """Model or run folder; the shipped model by default."""
    length: UseAppendAction[tuple[int, ...]] = ()
    """Frames (24 to 196, 20 per second); once, or once per text. By default estimated from the text."""
    seed: int = 0
    """Same text, length and seed, same motion; text i has seed + i."""
    out: UseAppendAction[tuple[Path, ...]] = ()
    """File to write: .gif .mp4 .png (film strip) .html (player) .bvh .npy; give it again for more.
    With several texts, -0, -1, … is put before the suffix."""
    steps: int | None = None
    """Passes of the sampler; by default ten for 196 frames, fewer for shorter ones."""
    guidance: float | None = None
    """How closely to follow the text (1: plain; by default the model's own, 2 for ours)."""
    temperature: float = 1.0
    """Below 1 more of the same, above 1 more varied."""
    device: str = "cpu"
    """cpu, cuda, mps."""

    def run(self) -> None:
        import torch

        from mmm.motion.clip import SUFFIXES
        from mmm.pipeline import MMM, SHIPPED

        require(
            self.device.split(":")[0] in ("cpu", "cuda", "mps")
            and (not self.device.startswith("cuda") or torch.cuda.is_available())
            and (self.device != "mps" or torch.backends.mps.is_available()),
            f"--device {self.device}: this machine has no such device for torch; use cpu.",
        )
        outs = self.out or (Path("motion.gif"),)
        for path in outs:
            require(
                path.suffix.lower() in SUFFIXES,
                f"--out {path}: cannot write {path.suffix or 'a file without suffix'}; "
                f"use one of {', '.join(SUFFIXES)}.",
            )
        start = time.perf_counter()
        model = MMM.from_pretrained(self.model or SHIPPED, self.device)
        length = self.length[0] if len(self.length) == 1 else list(self.length) or None
        frames = model.frame_counts(
            list(self.text), length
        )  # also loads the text encoder if lengths are estimated
        _ = model.encoder
        loaded = time.perf_counter()
        options = {} if self.guidance is None else {"guidance": self.guidance}
        motions = model.generate(
            list(self.text), frames, self.seed, steps=self.steps, temperature=self.temperature, **options
        )
        sampled = time.perf_counter()
        for number, motion in enumerate(motions):
            for path in outs:
                path = path if len(motions) == 1 else path.with_stem(f"{path.stem}-{number}")
                motion.save(path)
                print(f"{path}: {len(motion.features)} frames, {motion.text!r}")
        print(
            f"loaded in {loaded - start:.1f} s, sampled in {sampled - loaded:.2f} s, "
            f"written in {time.perf_counter() - sampled:.1f} s"
        )


@dataclasses.dataclass
class Course:
    """Run the notebooks in order, headlessly; executed notebooks, figures and metrics go under runs/."""

    profile: str = "quick"
    """quick (a laptop, CI), full (a GPU), or a YAML file."""
    only: UseAppendAction[tuple[str, ...]] = ()
    """Chapter to run, such as 02; give it again for more. All by default."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Change a setting of the profile: --set steps=100, or --set 02.steps=100 in one chapter."""
    data: str = "synthetic"
    """synthetic, bandai, or the folder of a data set."""
    source: UseAppendAction[tuple[Path, ...]] = ()
    """For bandai: folder or archives to prepare it from, the first time."""
    out: Path | None = None
    """Where everything goes; runs/course-DATA-PROFILE by default."""
    keep: bool = False
    """Write the outputs of notebooks that passed back into notebooks/ (for the reference run that is committed)."""

    def run(self) -> int:
        from mmm.course import run_course
        from mmm.profiles import parse_assignments

        result = run_course(
            self.profile,
            self.only,
            parse_assignments(self.set),
            self.data,
            self.source,
            self.out,
            keep=self.keep,
        )
        return 0 if result.ok else 1


Command = (
    Annotated[Prepare, subcommand("prepare")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Generate, subcommand("generate")]
    | Annotated[Course, subcommand("course")]
)


def main(args: list[str] | None = None) -> None:
    """Entry point of `mmm`. Bad input prints one sentence and exits 2; a failed course exits 1."""
    command = tyro.cli(
        OmitArgPrefixes[OmitSubcommandPrefixes[Command]],
        prog="mmm",
        description="Text to 3D human motion by masked modelling of motion tokens (MMM, CVPR 2024).",
        args=args,
    )
    try:
        sys.exit(command.run() or 0)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"mmm: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        print(f"mmm: {error or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


def _report(folder) -> None:
    report = folder.path / "report.md"
    if report.is_file():
        print(report.read_text())
    for why, names in folder.info.get("left_out", {}).items():
        print(
            f"left out, {why}: {len(names)} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}; see dataset.json)"
        )
    print(f"{folder.path}: " + ", ".join(f"{name} {len(ids)}" for name, ids in folder.splits.items()))


def _print_metrics(metrics: dict[str, float]) -> None:
    print(", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
