"""What is to be measured. This module imports little: the time of imports is measured too."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

LENGTHS = (40, 80, 120, 160, 196)  # frames; the clips of HumanML3D have 40 to 196
SAMPLING = ("loading", "single", "batch", "bulk")  # parts that need a model folder
TRAINING = ("tokenizer", "transformer", "length", "evaluator")
PARTS = SAMPLING + TRAINING

# As long as the descriptions of HumanML3D are on average (12 words); the content does not matter.
TEXT = "a person walks forward slowly, then turns around and waves with one hand"


@dataclasses.dataclass(frozen=True)
class BenchSettings:
    """What `run_bench` measures.

    Args:
        preset: sizes of the models, whose weights are random: no figure depends on them.
        model: a model folder to sample with instead; then nothing is trained.
        data: a data folder. Its train split gives features, lengths and captions for training, and its opening and
            packing are timed. By default training is on made-up clips.
        device: cpu, cuda or mps.
        precision: of training and of `generate_bulk` (auto, no, bf16, fp16); `generate` computes in float32.
        encoder: text encoder of the random models.
        lengths: of the motions, in frames.
        batch: texts that are sampled together, beside one alone.
        only: some of `PARTS`; all if empty.
        repeats: a time is the median of so many, after a warm-up call,
        budget: or of fewer if they would take more than these seconds; a call that takes longer than this is its own
            figure.
        block: seconds of training steps that make one of the `repeats` rates.
    """

    preset: str = "small"
    model: str | None = None
    data: str | None = None
    device: str = "cpu"
    precision: str = "auto"
    encoder: str = "minilm"
    lengths: tuple[int, ...] = LENGTHS
    batch: int = 32
    only: tuple[str, ...] = ()
    repeats: int = 5
    budget: float = 10.0
    block: float = 2.0

    @property
    def parts(self) -> tuple[str, ...]:
        """What is measured, in order."""
        possible = SAMPLING if self.model else PARTS
        return tuple(part for part in possible if not self.only or part in self.only)

    @property
    def name(self) -> str:
        """Of the results: the preset, or the model's folder."""
        return Path(self.model).resolve().name if self.model else self.preset


def quick(settings: BenchSettings) -> BenchSettings:
    """The same with one length and few repeats: does it work? Not: how fast is it?"""
    return dataclasses.replace(settings, lengths=settings.lengths[:1], repeats=2, budget=1.0, block=0.05)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a part needs in its process: settings, a folder for scratch files, the model folder."""

    settings: BenchSettings
    scratch: Path
    model: Path


def note(text: str) -> None:
    """A line for the user, who sees figures as they come."""
    print(text, file=sys.stderr, flush=True)
