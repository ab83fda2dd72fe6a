"""What `fill` refuses, each in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mmm.errors import require
from mmm.sampling.schedule import REMASKING, SCHEDULES
from mmm.transformer.config import TransformerConfig
from mmm.transformer.masking import MASK, inside


def check_canvas(
    config: TransformerConfig, canvas: Int64[Tensor, "b p n"], lengths: Int64[Tensor, " b"]
) -> None:
    """Lengths in range, the model's parts, ids of its codebook, open places only in parts that it predicts."""
    batch, parts, n = canvas.shape
    require(batch > 0, "the canvas has no items: give at least one")
    require(
        parts == config.parts, f"the canvas has {parts} part(s), expected {config.parts}: use another model"
    )
    longest = min(n, config.max_tokens)
    low, high = int(lengths.min()), int(lengths.max())
    require(
        1 <= low and high <= longest,
        f"lengths run from {low} to {high} tokens, expected 1 to {longest} (the canvas has {n} places, the "
        f"model takes {config.max_tokens}): shorten or split the motion",
    )
    real = inside(lengths, n)[:, None].expand_as(canvas)
    low, high = int(canvas[real].min()), int(canvas[real].max())
    require(
        MASK <= low and high < config.codes,
        f"the canvas holds ids from {low} to {high}, expected 0 to {config.codes - 1} and MASK ({MASK}): "
        "use the tokenizer that the model was trained with",
    )
    predicted = config.predicted
    require(
        not (real & (canvas == MASK))[:, predicted:].any(),
        f"the lower part (index {predicted}) of the canvas has open places, but this model predicts only the "
        "upper one: give the lower part's codes of a motion",
    )


def check_predicts_all(config: TransformerConfig) -> None:
    """A model that fills only some of the parts cannot make a motion out of nothing."""
    require(
        config.predicted == config.parts,
        "this model predicts the upper body only and needs the lower body of a motion, so it cannot make a motion "
        "from a text alone: use it to edit motions, or take a model that predicts both parts",
    )


def check_text(mask: Bool[Tensor, "texts s"], batch: int) -> None:
    """One text an item, each with a word."""
    require(len(mask) == batch, f"{len(mask)} texts were given for {batch} canvases: give one an item")
    empty = (~mask.any(dim=1)).nonzero()[:, 0].tolist()
    require(not empty, f"the word mask of text {empty[:1]} is False everywhere: give every text a word")


def check_options(
    config: TransformerConfig,
    steps: int | None,
    schedule: str,
    remask: str,
    temperature: float,
    guidance: float,
    group: int | None,
) -> None:
    """Numbers in range; guidance only of a model that knows what no text is."""
    require(steps is None or steps >= 1, f"steps is {steps}, expected at least 1 (or None for the rule)")
    require(group is None or group >= 1, f"group is {group}, expected at least 1 (or None)")
    require(schedule in SCHEDULES, f"schedule is {schedule!r}, expected one of {', '.join(SCHEDULES)}")
    require(remask in REMASKING, f"remask is {remask!r}, expected one of {', '.join(REMASKING)}")
    require(
        0 < temperature < math.inf,
        f"temperature is {temperature}, expected a number above 0: use argmax=True for the likeliest codes",
    )
    require(math.isfinite(guidance), f"guidance is {guidance}, expected a finite number (1 is no guidance)")
    require(
        guidance == 1 or config.text_dropout > 0,
        f"guidance is {guidance}, but the model was trained without text dropout: use guidance=1",
    )


def make_generators(
    batch: int, seeds: Sequence[int] | None, generators: Sequence[torch.Generator] | None
) -> list[torch.Generator]:
    """One CPU generator an item, from exactly one of the two arguments."""
    require(
        (seeds is None) != (generators is None),
        "the noise comes from one of seeds and generators: give seeds=[…], one an item, or argmax=True",
    )
    given = seeds if generators is None else generators
    require(len(given) == batch, f"{len(given)} seeds or generators for {batch} items: give one an item")
    if generators is None:
        return [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    devices = {generator.device.type for generator in generators}
    require(devices == {"cpu"}, f"generators are on {sorted(devices)}, expected the CPU: make them there")
    return list(generators)
