"""Sampling: filling the open places of a canvas; many canvases at once."""

from mmm.sampling.bulk import decode_many, generate_many
from mmm.sampling.checks import check_predicts_all
from mmm.sampling.fill import Filled, Step, fill
from mmm.sampling.schedule import REMASKING, SCHEDULES, default_steps, masked_counts

__all__ = [
    "REMASKING",
    "SCHEDULES",
    "Filled",
    "Step",
    "check_predicts_all",
    "decode_many",
    "default_steps",
    "fill",
    "generate_many",
    "masked_counts",
]
