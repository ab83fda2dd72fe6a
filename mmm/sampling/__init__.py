"""Sampling: filling the open places of a canvas."""

from mmm.sampling.fill import (
    SCHEDULES,
    Filled,
    Step,
    default_steps,
    fill,
    masked_counts,
)

__all__ = ["SCHEDULES", "Filled", "Step", "default_steps", "fill", "masked_counts"]
