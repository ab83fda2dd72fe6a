"""Evaluation: the paper's metrics, protocol and evaluators."""

from mmm.evaluation.metrics import (
    Interval,
    diversity,
    fid,
    interval,
    mm_dist,
    multimodality,
    r_precision,
    split_half_fid,
)

__all__ = [
    "Interval",
    "diversity",
    "fid",
    "interval",
    "mm_dist",
    "multimodality",
    "r_precision",
    "split_half_fid",
]
