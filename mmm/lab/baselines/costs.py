"""What a model costs: parameters, training, passes and FLOPs of a motion, CPU seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmm.data import PackedSplit
from mmm.evaluation.metrics import Interval
from mmm.lab.baselines.diffusion import Denoiser
from mmm.lab.baselines.frames import RATIO
from mmm.model import MIN_FRAMES, MMM

SAME = 0.05  # parameters of equal models differ by at most this ratio


@dataclass(frozen=True)
class Entrant:
    """A model with the settings of its sampler.

    Attributes:
        sampler: changes to the settings of an evaluation: guidance, steps.
        budget: steps and batch size of its training; empty if they are not known.
    """

    model: MMM
    sampler: dict[str, Any]
    budget: dict[str, int] = field(default_factory=dict)


def budget_of(run: str | os.PathLike[str]) -> dict[str, int]:
    """Steps and batch size of the training in a run folder; empty if it has no config.yaml."""
    file = Path(run) / "config.yaml"
    if not file.is_file():
        return {}
    train = yaml.safe_load(file.read_text(encoding="utf-8"))["train"]
    return {"steps": train["steps"], "batch": train["batch_size"]}


def device_of(models: Mapping[str, Entrant]) -> torch.device:
    """The device of the first model."""
    return next(iter(models.values())).model.device


def training_cost(entrant: Entrant, frames: int) -> dict[str, float]:
    """Parameters (millions), and if the training is known its steps, batch size and TFLOPs.

    The network is counted once forward for a clip of `frames` frames; backward is counted as two more.
    """
    network, config = entrant.model.transformer, entrant.model.transformer.config
    costs: dict[str, float] = {"parameters": sum(p.numel() for p in network.parameters()) / 1e6}
    if not entrant.budget:
        return costs
    count, text = -(-frames // RATIO), torch.zeros(1, 8, config.text_dim)
    condition = (text, torch.ones(1, 8, dtype=torch.bool), text[:, 0])
    if isinstance(network, Denoiser):
        inputs = (
            torch.zeros(1, count * RATIO, config.features),
            torch.tensor([0]),
            torch.tensor([count * RATIO]),
        )
    else:
        inputs = (torch.zeros(1, config.parts, count, dtype=torch.long), torch.tensor([count]))
    inputs = tuple(y.to(entrant.model.device) for y in (*inputs, *condition))
    forward = flops(lambda: network(*inputs))
    clips = entrant.budget["steps"] * entrant.budget["batch"]
    return costs | entrant.budget | {"TFLOPs": 3 * forward * clips / 1e12}


def budget_note(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A sentence: whether all models were trained with the same steps and batch size, and have as many parameters."""
    trained = {name: row for name, row in rows.items() if "parameters" in row}
    unknown = [name for name, row in trained.items() if "steps" not in row]
    if unknown:
        return (
            f"How long {', '.join(unknown)} was trained is not known here, so the budgets cannot be compared."
        )
    budgets = {(row["steps"], row["batch"]) for row in trained.values()}
    sizes = [row["parameters"] for row in trained.values()]
    spread = max(sizes) / min(sizes) - 1
    if len(budgets) == 1 and spread <= SAME:
        steps, batch = budgets.pop()
        return (
            f"Equal budgets: {steps} steps of {batch} clips each; parameters differ by {spread:.1%} at most."
        )
    each = "; ".join(
        f"{name} {row['steps']} × {row['batch']}, {row['parameters']:.2f} M" for name, row in trained.items()
    )
    return f"The budgets DIFFER, so the rows do not compare the methods alone: {each}."


def times(
    models: Mapping[str, Entrant], items: Sequence[tuple[str, int]], seed: int = 0
) -> dict[str, list[float]]:
    """CPU seconds of each model for each item, one by one: from a text to features of so many frames.

    CPU seconds of the process do not depend on what else the machine does. The models take turns, so that all meet the
    same items and the same state of the machine. On a GPU they would say nothing: wall time is taken.
    """
    clock = time.process_time if device_of(models).type == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn, (text, frames) in enumerate([items[0], *items]):  # the first turn warms up
        for name, entrant in models.items():
            options = {key: value for key, value in entrant.sampler.items() if value is not None}
            start = clock()
            entrant.model.generate(text, frames, seed, split=False, **options)
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def items_of(packed: PackedSplit, count: int = 20) -> list[tuple[str, int]]:
    """First caption and frames of `count` clips, evenly spread over the split."""
    clips = np.linspace(0, len(packed) - 1, min(count, len(packed))).round().astype(int).tolist()
    frames = np.clip(packed.lengths, MIN_FRAMES, 196)  # the longest of the models
    return [(packed.captions[clip][0].text, int(frames[clip])) for clip in clips]


def ratio(
    seconds: Sequence[float] | Float[np.ndarray, " n"], others: Sequence[float] | Float[np.ndarray, " n"]
) -> Interval:
    """How many times as long the first take, item by item: geometric mean, and half of its 95 % interval."""
    logs = np.log(np.asarray(seconds) / np.asarray(others))
    half = 1.96 * logs.std() / np.sqrt(len(logs))
    middle = np.exp(logs.mean())
    return Interval(float(middle), float(middle * np.sinh(half)))


def cost_table(
    models: Mapping[str, Entrant], lengths: Sequence[int] = (40, 80, 120, 160, 196), turns: int = 3
) -> dict[str, dict[str, Any]]:
    """What a motion costs, by model: parameters (millions), passes and GFLOPs at 120 frames, CPU seconds by length
    (median of the turns), and how many times those of "masked" (over all lengths, with half of its 95 % interval).

    None of it depends on what the weights are, so untrained networks will do.
    """
    text, items = "a person walks forward", sorted(lengths) * turns
    seconds = times(models, [(text, frames) for frames in items])
    table: dict[str, dict[str, Any]] = {}
    for name, entrant in models.items():
        own = {key: value for key, value in entrant.sampler.items() if value is not None}
        table[name] = training_cost(entrant, 120) | cost(entrant.model, text, 120, own)
        table[name]["seconds"] = {
            frames: float(np.median([s for s, n in zip(seconds[name], items, strict=True) if n == frames]))
            for frames in sorted(lengths)
        }
        table[name]["times_masked"] = list(ratio(seconds[name], seconds["masked"]))
    return table


def cost(model: MMM, text: str, frames: int, options: dict[str, Any]) -> dict[str, float]:
    """Passes through the network and GFLOPs of one motion, without the text encoder."""
    passes: list[int] = []
    hook = model.transformer.blocks[0].register_forward_hook(lambda *_: passes.append(1))
    try:
        whole = flops(lambda: model.generate(text, frames, 0, split=False, **options))
    finally:
        hook.remove()
    return {"passes": float(len(passes)), "GFLOPs": (whole - flops(lambda: model.embed([text]))) / 1e9}


def flops(call: Any) -> int:
    # Of the kinds of attention only the plain one is counted on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
