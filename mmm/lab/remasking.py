"""Chapter 05, calibration: which positions should be remasked? The rules against each other, where the truth is known.

A gap is cut into held-out clips and filled by each rule with equally many passes, which is equal compute. The frames
of the gap are compared with those of the clip. `mmm evaluate --remask` evaluates whole generated motions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from scipy.stats import sem
from torch import Tensor

from mmm.motion import measures
from mmm.sampling import REMASKING, fill
from mmm.sampling_many import decode_many
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, MaskedTransformer

GROUP = 32  # items that go through the network together, for speed


def cut_gap(
    truth: Int64[Tensor, "b p n"], sizes: Int64[Tensor, " b"], ratio: float = 0.5
) -> Int64[Tensor, "b p n"]:
    """Canvases in whose middle a `ratio` of the positions is MASK (the paper's in-betweening: 25 % | 50 % | 25 %)."""
    position = torch.arange(truth.shape[2])
    keep = (sizes * (1 - ratio) / 2).round().long()[:, None]
    gap = (position >= keep) & (position < (sizes[:, None] - keep))
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
    ratio, errors = tokenizer.config.ratio, []
    frames = [len(motion) for motion in motions]
    rows = [row[:, : -(-count // ratio)] for row, count in zip(filled, frames, strict=True)]
    decoded = decode_many(tokenizer, rows, frames)
    for features, motion, gap in zip(decoded, motions, canvas == MASK, strict=True):
        inside_gap = gap.any(0).repeat_interleave(ratio)[: len(motion)]
        error = measures.mpjpe_local(features, np.asarray(motion), skeleton)
        errors.append(float(error[inside_gap].mean()))
    return np.array(errors)


def compare_rules(
    tokenizer: Tokenizer,
    transformer: MaskedTransformer,
    truth: Int64[Tensor, "b p n"],
    sizes: Int64[Tensor, " b"],
    text: TextEmbedding,
    motions: Sequence[np.ndarray],
    steps: Sequence[int],
    rules: Sequence[str] = REMASKING,
    seeds: Sequence[int] = (0,),
    ratio: float = 0.5,
    skeleton: str = "humanml3d",
    **options: Any,
) -> dict[tuple[str, int], Float[np.ndarray, " b"]]:
    """Errors of every clip's gap by (rule, passes), the mean over `seeds`.

    One pass remasks nothing: it is the same for all rules, and is computed only once.

    Args:
        truth, sizes, text, motions: the clips as tokens, their captions and features, in one order.
        ratio: of each clip that is the gap (`cut_gap`).
        options: for `fill` (guidance, temperature, argmax).
    """
    canvas = cut_gap(truth, sizes, ratio)
    errors: dict[tuple[str, int], np.ndarray] = {}
    for count, rule in product(steps, rules):
        if count == 1 and rule != rules[0]:
            errors[rule, count] = errors[rules[0], count]
            continue
        by_seed = []
        for seed in seeds:
            own = [seed * len(truth) + i for i in range(len(truth))]
            how = {"steps": count, "remask": rule, "seeds": own, "group": GROUP, **options}
            filled = fill(transformer, canvas, sizes, text, **how).tokens
            by_seed.append(gap_errors(tokenizer, filled, canvas, motions, skeleton))
        errors[rule, count] = np.mean(by_seed, axis=0)
    return errors


def rules_table(
    errors: Mapping[tuple[str, int], Float[np.ndarray, " b"]], against: str = "random"
) -> pd.DataFrame:
    """By rule and passes: the mean error, and mean differences clip by clip.

    Errors of the same clip are compared: hard clips are hard for every rule, so differences spread far less than the
    errors themselves.

    Args:
        errors: of `compare_rules`, one pass among them.
    Returns:
        columns error (cm); change, from everything in one pass; less, how much smaller the error is than that of the
        rule `against` with as many passes. change_half and less_half are half of their 95 % intervals over clips.
    """
    rows = {}
    for (rule, count), values in errors.items():
        change, less = values - errors[rule, 1], errors[against, count] - values
        rows[rule, count] = {
            "error": values.mean(),
            "change": change.mean(), "change_half": 1.96 * sem(change),
            "less": less.mean(), "less_half": 1.96 * sem(less),
        }  # fmt: skip
    return pd.DataFrame(rows).T.rename_axis(["rule", "passes"])
