"""The range of every number on the command line, checked before a command begins its work."""

from __future__ import annotations

import dataclasses
from typing import Any

from mmm.errors import check_range
from mmm.recipes import RANGES as RECIPE
from mmm.training.config import RANGES as TRAINING

Range = tuple[float, float]

HOUR = 72_000  # frames
RANGES: dict[str, Range] = {
    "batch": (1, 4096),
    "batch_size": (1, 4096),
    "best_of": (1, 64),
    "clips": (1, 1_000_000),
    "code_noise": (0.0, 1.0),
    "codes": (1, 65_536),
    "fps": (1.0, 1000.0),
    "gap": (0, HOUR),
    "guidance": (-100.0, 100.0),
    "heads": (1, 1024),
    "held_out": (0.0, 1.0),
    "length": (1, HOUR),
    "limit": (1, 1_000_000),
    "pool": (1, 10_000),
    "repeats": (1, 1000),
    "seed": (0, 2**62),
    "share": (1e-6, 1e6),
    "source_fps": (1.0, 1000.0),
    "skip": (0.0, 3600.0),
    "steps": (1, 1000),
    "temperature": (0.001, 100.0),
    "test": (0.0, 1.0),
    "transition": (0, 48),
    "val": (0.0, 1.0),
    "window": (4, 1000),
}


def range_of(command: type, option: str) -> Range | None:
    """The smallest and the largest value of an option, None for one that is no number."""
    training = command.__module__ == "mmm.cli.train"  # where the same names mean other things
    return (RANGES | TRAINING | RECIPE if training else RANGES).get(option)


def check_options(command: Any) -> None:
    """Refuse a number that is out of its range, in a command or the command below it.

    Raises:
        ValueError: naming the option, its value and its range.
    """
    for field in dataclasses.fields(command):
        value, limits = getattr(command, field.name), range_of(type(command), field.name)
        if dataclasses.is_dataclass(value):
            check_options(value)
        elif None not in (limits, value):
            check_range(f"--{field.name.replace('_', '-')}", value, *limits)
