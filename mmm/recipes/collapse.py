"""Collapse on purpose: the eight tokenizers with and without each of the three things that keep a codebook alive.

Paper, section 3.1, holds that a large codebook lives by three means: codes in a *narrow* space (factorised look-up),
running means instead of gradients (*EMA*), and replacement of dead codes (*reset*). Each is switched off alone and
with the others, same seed, same budget, so that every difference is the switch's. Notebook 02 shows the figure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from mmm.data import MotionFolder
from mmm.errors import require
from mmm.recipes.fit import fit_tokenizer
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.training import read_metrics

EMA = 0.99
FLAGS = tuple(product((True, False), repeat=3))  # narrow, EMA, reset of each combination


def combinations(preset: str) -> dict[str, dict[str, Any]]:
    """By name ("narrow · EMA · reset"): changes to the preset's `TokenizerConfig`.

    Narrow is the preset's own code width, wide is as wide as its network (no factorisation).

    Raises:
        ValueError: an unknown preset.
    """
    require(preset in TOKENIZERS, f"preset is {preset!r}, expected one of {', '.join(TOKENIZERS)}.")
    sizes, found = TOKENIZERS[preset], {}
    for narrow, ema, reset in FLAGS:
        name = " · ".join([
            "narrow" if narrow else "wide",
            "EMA" if ema else "gradient",
            "reset" if reset else "no reset",
        ])  # fmt: skip
        found[name] = {
            "code_dim": sizes.code_dim if narrow else sizes.width,
            "ema": EMA if ema else 0.0,
            "reset": "dead" if reset else "none",
        }
    return found


def race(
    folder: MotionFolder,
    out: str | os.PathLike,
    preset: str = "tiny",
    codes: int = 512,
    options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Train the eight, one run each in OUT (or go on with them; runs that are done are only read).

    Args:
        codes: of each codebook; about twice the tokens of a batch are the paper's proportion (8,192 to 4,096).
        options: for `mmm.training.train` (resume, cpu, progress).
        changes: to the preset's `TrainConfig` (steps, batch_size, lr, seed).
    Returns:
        a row for each combination: narrow, ema, reset (True or False); usage (share of the codes), perplexity,
        mpjpe_local and mpjpe_global (cm) of val. And by name what each noted per epoch: index step, columns entropy
        (bits), perplexity, dead, resets.
    """
    rows, histories = {}, {}
    for (name, switches), (narrow, ema, reset) in zip(combinations(preset).items(), FLAGS, strict=True):
        place = Path(out) / name.replace(" · ", "-").replace(" ", "-")
        model = {**switches, "codes": codes}
        result = fit_tokenizer(folder, place, preset, model=model, options=dict(options or {}), **changes)
        flags = {"narrow": narrow, "ema": ema, "reset": reset}
        rows[name] = flags | {key.removeprefix("val/"): value for key, value in result.metrics.items()}
        histories[name] = usage_history(place)
    return pd.DataFrame(rows).T.drop(columns="turn_share").infer_objects(), histories


def usage_history(run: str | os.PathLike) -> pd.DataFrame:
    """What a tokenizer's run noted of its codebook after every epoch: index step, columns as in its metrics.jsonl.

    Columns: epoch, entropy (bits), perplexity and dead (codes) of the choices made in that epoch, and resets, the
    replacements since the start.

    Raises:
        ValueError: the run noted none (it is too short, or older than these notes).
    """
    lines = [line for line in read_metrics(Path(run) / "metrics.jsonl") if "epoch" in line]
    require(lines, f"the run in {run} has noted no epoch; train it for longer, or anew.")
    frame = pd.DataFrame(lines).set_index("step")
    return frame.rename(columns=lambda name: name.removeprefix("epoch/"))
