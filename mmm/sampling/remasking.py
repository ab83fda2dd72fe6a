"""Does asking again for the least sure places help? Rules of re-masking against each other, where the truth is known.

A gap is cut into held-out clips and filled by each rule with equally many passes, that is with equal compute, and the
frames of the gap are compared with those of the clip. `mmm evaluate --remask` judges whole generated motions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.motion import measures
from mmm.sampling.bulk import decode_many
from mmm.sampling.fill import Text, fill
from mmm.sampling.schedule import REMASKING
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, MaskedTransformer

GROUP = 32  # items that go through the network together: statistics need no single decodes


def cut_gap(
    truth: Int64[Tensor, "b p n"], sizes: Int64[Tensor, " b"], share: float = 0.5
) -> Int64[Tensor, "b p n"]:
    """Canvases whose middle `share` of the real places is MASK (the paper's in-betweening: 25 % | 50 % | 25 %)."""
    places = torch.arange(truth.shape[2])
    keep = (sizes * (1 - share) / 2).round().long()[:, None]
    gap = (places >= keep) & (places < (sizes[:, None] - keep))
    return truth.masked_fill(gap[:, None], MASK)


def gap_errors(
    tokenizer: Tokenizer,
    filled: Int64[Tensor, "b p n"],
    canvas: Int64[Tensor, "b p n"],
    motions: Sequence[np.ndarray],
    skeleton: str = "humanml3d",
) -> Float[np.ndarray, " b"]:
    """Mean local error (cm) over the frames of each canvas's gap, `filled` decoded against the real motion.

    Args:
        motions: features (T, D) of the clips. Pass the true tokens as `filled` for the tokenizer's own error.
    """
    ratio, found = tokenizer.config.ratio, []
    frames = [len(motion) for motion in motions]
    rows = [row[:, : -(-count // ratio)] for row, count in zip(filled, frames, strict=True)]
    for made, motion, gap in zip(decode_many(tokenizer, rows, frames), motions, canvas == MASK, strict=True):
        inside_gap = gap.any(0).repeat_interleave(ratio)[: len(motion)]
        error = measures.mpjpe_local(made, np.asarray(motion), skeleton)
        found.append(float(error[inside_gap].mean()))
    return np.array(found)


def compare_rules(
    tokenizer: Tokenizer,
    transformer: MaskedTransformer,
    truth: Int64[Tensor, "b p n"],
    sizes: Int64[Tensor, " b"],
    text: Text,
    motions: Sequence[np.ndarray],
    steps: Sequence[int],
    rules: Sequence[str] = REMASKING,
    seeds: Sequence[int] = (0,),
    share: float = 0.5,
    skeleton: str = "humanml3d",
    **options: Any,
) -> dict[tuple[str, int], Float[np.ndarray, " b"]]:
    """Errors of every clip's gap by (rule, passes), the mean over `seeds`.

    One pass masks nothing again: it is the same for all rules ("none": everything at once), and is filled only once.

    Args:
        truth, sizes, text, motions: the clips as tokens, their captions and features, in one order.
        share: of each clip that is the gap (`cut_gap`).
        options: for `fill` (guidance, temperature, argmax).
    """
    canvas = cut_gap(truth, sizes, share)
    found: dict[tuple[str, int], np.ndarray] = {}
    for count in steps:
        for rule in rules:
            if count == 1 and rule != rules[0]:
                found[rule, count] = found[rules[0], count]
                continue
            errors = []
            for seed in seeds:
                noise = [seed * len(truth) + i for i in range(len(truth))]
                how = {"steps": count, "remask": rule, "seeds": noise, "group": GROUP, **options}
                filled = fill(transformer, canvas, sizes, text, **how).tokens
                errors.append(gap_errors(tokenizer, filled, canvas, motions, skeleton))
            found[rule, count] = np.mean(errors, axis=0)
    return found


def rules_table(
    errors: Mapping[tuple[str, int], Float[np.ndarray, " b"]], against: str = "random"
) -> pd.DataFrame:
    """By rule and passes: the mean error, and mean differences clip by clip.

    Errors of the same clips are compared: hard clips are hard for every rule, so that differences have a far smaller
    spread than the errors themselves.

    Args:
        errors: of `compare_rules`, one pass among them.
    Returns:
        columns error (cm); change, from everything in one pass; less, how much smaller the error is than that of the
        rule `against` with as many passes; of both the half of the 95 % interval over clips, change_half and less_half.
    """
    rows = {}
    for (rule, count), values in errors.items():
        change, less = values - errors[rule, 1], errors[against, count] - values
        rows[rule, count] = {
            "error": values.mean(),
            "change": change.mean(), "change_half": _half(change),
            "less": less.mean(), "less_half": _half(less),
        }  # fmt: skip
    return pd.DataFrame(rows).T.rename_axis(["rule", "passes"])


def _half(values: Float[np.ndarray, " n"]) -> float:
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
