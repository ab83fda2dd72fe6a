"""How good is it? The paper's measures (`metrics.py`) and blind judgement of film strips (`blind/`)."""

from mmm.evaluation.metrics import (
    Interval,
    diversity,
    fid,
    interval,
    mm_dist,
    multimodality,
    r_precision,
)

__all__ = ["Interval", "diversity", "fid", "interval", "mm_dist", "multimodality", "r_precision"]
