"""What is to be measured, and what a part that measures is given. Light: the time of imports is measured too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

LENGTHS = (40, 80, 120, 160, 196)  # frames; HumanML3D's clips have 40 to 196
SAMPLING = ("loading", "single", "batch", "bulk")  # parts that need a model folder
TRAINING = ("tokenizer", "transformer", "length", "evaluator")  # each has a function in training.py
PARTS = SAMPLING + TRAINING

# As long as HumanML3D's descriptions are on average (12 words); what is said does not matter.
TEXT = "a person walks forward slowly, then turns around and waves with one hand"


@dataclasses.dataclass(frozen=True)
class BenchSettings:
    """What `run_bench` measures.

    Args:
        preset: sizes of the models, whose weights are random: no figure depends on them.
        model: a model folder to sample with instead; nothing is trained then.
        data: a data folder, whose train split gives features, lengths and captions for training, and whose
            packing and opening are timed; without one, training is on made-up clips.
        device: cpu, cuda or mps.
        precision: of training and of `generate_bulk` (auto, no, bf16, fp16); `generate` computes in float32.
        encoder: text encoder of the random models.
        lengths: of the motions, in frames.
        batch: texts that are sampled together, beside one alone.
        only: some of `PARTS`; all if empty.
        repeats: a time is the median of so many, after a call that does not count …
        budget: … but of fewer where they would take more than these seconds, and a call that takes longer
            than this is its own figure.
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
    """The same with one length and next to no repeats: whether it works, not how fast it is."""
    return dataclasses.replace(settings, lengths=settings.lengths[:1], repeats=2, budget=1.0, block=0.05)


@dataclasses.dataclass(frozen=True)
class Job:
    """One part in its process: what to measure, a folder for scratch files, the model, a line for the user."""

    settings: BenchSettings
    scratch: Path
    model: Path
    note: Callable[[str], None]
