"""The sampler: replaces every MASK of a canvas by a code, in a few passes, the most confident positions first.

Source: MMM (arXiv 2312.03596), section 3.3; docs/REPRODUCTION.md, "Sampling". There is no other sampler in the
project: generation fills an empty canvas, and every editing task fills a canvas that is partly empty.

The tokens of an item depend on its canvas, text and seed, never on the other items of its batch. A random generator
for each item is not enough for that. A matrix product rounds differently when it has more rows, the last bit can
change a token, and this token changes all later ones. So the network always meets an item in the same shape: alone,
cut to its own length and words (on the CPU); or in a group with a fixed number of rows, filled up with copies, and
padded to a width that depends on the item alone (on other devices, and in `mmm.sampling_many`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from mmm.errors import require
from mmm.philox import Philox
from mmm.text import TextEmbedding
from mmm.training.processes import resolve_precision
from mmm.transformer.masking import MASK, inside
from mmm.transformer.model import MaskedTransformer, TransformerConfig

# More passes than positions are of no use; a motion of HumanML3D has 98 positions (2 parts × 49).
MAX_STEPS = 1000
ACCELERATOR_GROUP = 8  # rows of a group where the device is not a CPU
# Groups pad positions and words to multiples of these. A half-empty group costs more than a wide one, so it is
# better to have few different shapes and full groups.
POSITIONS_MULTIPLE, WORDS_MULTIPLE = 16, 32


# ---- The masking schedule: how many positions are masked before each pass, and which


SCHEDULES: dict[str, Callable[[float], float]] = {
    # The angle is rounded to single precision, as in the golden decodes. At two thirds of the passes the cosine is
    # then slightly below 1/2, not slightly above, and an even number of positions gives one position less.
    "cosine": lambda progress: math.cos(float(np.float32(math.pi / 2 * progress))),
    "linear": lambda progress: 1.0 - progress,
}
"""Masking schedules: progress (0 at the first pass, 1 after the last) → ratio of the open positions to mask."""

REMASKING = ("least", "most", "random")
"""Which positions are masked again before a pass: the least confident (the paper's rule), the most confident, or random
ones. The last two are for comparison (chapter 04): the gain of "least" over "random" shows what confidence adds. With
steps=1 nothing is masked again, and all three are the same."""

Generator = torch.Generator | Philox
RANDOM: dict[str, Callable[[int], Generator]] = {
    "torch": lambda seed: torch.Generator().manual_seed(seed),
    "portable": Philox,
}
"""Where the noise of a seed comes from: torch's generator, or one that every language can have."""

Steer = Callable[[int, Tensor, Tensor], Tensor]


def default_steps(length: int) -> int:
    """S = round(10 · N / 49), at least 1: ten passes for the longest motion of HumanML3D."""
    return max(1, round(10 * length / 49))


def masked_counts(positions: int, steps: int, schedule: str = "cosine") -> list[int]:
    """How many of the open positions are masked before each pass, at least one; no pass if none is open."""
    if positions == 0:
        return []
    return [max(1, math.floor(SCHEDULES[schedule](step / steps) * positions)) for step in range(steps)]


def choose_masked(
    confidence: Float64[Tensor, "p n"],
    written: Bool[Tensor, "p n"],
    count: int,
    remask: str,
    generator: Generator | None,
) -> Bool[Tensor, "p n"]:
    """The `count` positions to mask next, among those that the last pass has `written`.

    All parts share one ranking. At equal confidence the upper part comes first, then the earlier time step.
    """
    if remask == "random":
        rank = _rand(generator, *written.shape)
    else:
        rank = confidence if remask == "least" else -confidence
    order = rank.masked_fill(~written, math.inf).flatten().argsort(stable=True)
    masked = torch.zeros(written.numel(), dtype=torch.bool)
    masked[order[:count]] = True
    return masked.view_as(written)


def choose_codes(
    logits: Float[Tensor, "m k"], uniform: Float[Tensor, "m k"] | None, temperature: float
) -> tuple[Int64[Tensor, " m"], Float64[Tensor, " m"]]:
    """A code for each of M positions, and its confidence: the model's probability of it, without temperature.

    Args:
        uniform: numbers in [0, 1) that become Gumbel noise; None takes the most likely codes.
    """
    noisy = logits
    if uniform is not None:
        noisy = logits / temperature - (-uniform.to(logits.device).log()).log()
    codes = noisy.argmax(dim=1)
    # In double precision: in single precision many confidences would be exactly 1, and the order of the positions
    # would decide which of them is masked again.
    confidence = logits.double().log_softmax(dim=1).gather(1, codes[:, None])[:, 0].exp()
    return codes, confidence


# ---- Filling a canvas


@dataclass(frozen=True)
class Step:
    """One pass of every item, on the CPU.

    Attributes:
        canvas: before the pass: MASK at the positions that it predicts; no MASK in items whose passes are over.
        tokens: after the pass.
        confidence: after the pass (see Filled).
    """

    canvas: Int64[Tensor, "b p n"]
    tokens: Int64[Tensor, "b p n"]
    confidence: Float[Tensor, "b p n"]


@dataclass(frozen=True)
class Filled:
    """The result of `fill`, on the device of the canvas.

    Attributes:
        tokens: code ids; 0 beyond an item's length.
        confidence: the probability of each token in the pass that chose it last (with guidance and `steer`, without
            temperature); 1 where the canvas held a code, 0 beyond an item's length.
        trace: every pass, or None.
    """

    tokens: Int64[Tensor, "b p n"]
    confidence: Float[Tensor, "b p n"]
    trace: list[Step] | None = None


@torch.no_grad()
def fill(
    model: MaskedTransformer,
    canvas: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    text: TextEmbedding,
    *,
    steps: int | None = None,
    schedule: str = "cosine",
    remask: str = "least",
    temperature: float = 1.0,
    argmax: bool = False,
    guidance: float = 1.0,
    seeds: Sequence[int] | None = None,
    generators: Sequence[Generator] | None = None,
    random: str = "torch",
    group: int | None = None,
    precision: str = "no",
    steer: Steer | None = None,
    trace: bool = False,
) -> Filled:
    """Replace every MASK of the canvas by a code; positions that hold a code stay as they are.

    For one item, the algorithm is:

        masked = canvas == MASK
        for count in masked_counts(masked.sum(), steps, schedule):  # the first count is all of them
            masked = choose_masked(confidence, masked, count)       # the least confident stay masked
            logits = model(canvas with MASK where masked, text)[masked]  # (count, K); guidance: see `_predict`
            canvas[masked], confidence[masked] = choose_codes(logits, noise, temperature)

    A position that is not masked again is final. The rest of the code is about batches: items of different lengths
    have different numbers of passes.

    Args:
        lengths: tokens of each item; what the canvas holds beyond is ignored.
        text: one text for each item.
        steps: passes for every item; by default `default_steps` of its own length.
        schedule: the masking schedule, "cosine" (the paper) or "linear".
        remask: "least" (the paper), "most" or "random", see `REMASKING`.
        temperature: divides the logits before a code is drawn.
        argmax: take the most likely code instead of drawing; needs no seeds, except with remask="random".
        guidance: g in uncond + g · (cond − uncond). 0 ignores the text, 1 is the plain model with the text, and a
            larger number follows the text more closely.
        seeds, generators: the noise: one seed, or one CPU generator, for each item; one of the two.
        random: the generator of the seeds, "torch" or "portable" (`mmm.philox`, which a browser has too). Edits
            bring generators of their own and take "torch" only.
        group: items that go through the network together; by default 1 on the CPU, 8 elsewhere. It changes the last
            bits of the logits, so that a rare token may differ. For many items: `mmm.sampling_many.generate_many`.
        precision: "no" (float32), "bf16", or "auto": bf16 where the machine is fast in it (`resolve_precision`). In
            bfloat16 every second motion is another draw, of the same quality.
        steer: changes the logits of an item in every pass (`mmm.control`): item, canvas (P, N) with MASK where the pass
            predicts, logits (M, K) of these positions → logits.
        trace: keep every pass.

    Raises:
        ValueError: an argument out of range; MASK in a part that the model does not predict; guidance of a model
            without text dropout; seeds missing or too few.
    """
    batch, _, width = canvas.shape
    _check_input(model.config, canvas, lengths, text.mask)
    check_options(model.config, steps, schedule, remask, temperature, guidance, group)
    precision = resolve_precision(precision, model.device)
    require(precision in ("no", "bf16"), f"precision is {precision!r}, expected one of auto, no, bf16")
    needs_noise = not argmax or remask == "random"
    noise = _make_generators(batch, seeds, generators, random) if needs_noise else [None] * batch
    group = group or (1 if model.device.type == "cpu" else ACCELERATOR_GROUP)

    sizes, real = lengths.tolist(), inside(lengths.cpu(), width)[:, None]
    tokens = canvas.cpu().masked_fill(~real, 0)
    # What the next pass predicts. After the pass it is what the pass wrote, so only the last pass's tokens can be
    # masked again.
    masked = tokens == MASK
    confidence = (~masked & real).double()
    counts = [  # positions to mask before each pass that is still to come
        masked_counts(int(item.sum()), steps or default_steps(size), schedule)
        for item, size in zip(masked, sizes, strict=True)
    ]
    history: list[tuple[list[int], Tensor, Tensor, Tensor]] = []

    with _evaluating(model, precision):
        for shape, waiting in by_shape(sizes, text.mask, group, model.config.max_tokens).items():
            while waiting := [i for i in waiting if counts[i]]:
                # Items of one group may be at different passes. Those with the most passes left go first, so that
                # groups stay full to the end.
                waiting.sort(key=lambda i: len(counts[i]), reverse=True)
                some = waiting[:group]
                for i in some:
                    within, count = slice(sizes[i]), counts[i].pop(0)
                    masked[i, :, within] = choose_masked(
                        confidence[i, :, within], masked[i, :, within], count, remask, noise[i]
                    )
                before = tokens[some].masked_fill(masked[some], MASK)
                logits = _predict(model, before, lengths[some], text[some], shape, group, guidance)
                if steer:
                    rows = logits.split(masked[some].sum((1, 2)).tolist())
                    canvases = [before[row, :, : sizes[i]] for row, i in enumerate(some)]
                    logits = torch.cat([steer(*item) for item in zip(some, canvases, rows, strict=True)])
                uniform = (
                    None if argmax else _uniform(masked[some], logits.shape[1], [noise[i] for i in some])
                )
                codes, probability = choose_codes(logits, uniform, temperature)
                tokens[some] = before.masked_scatter(masked[some], codes.cpu())
                confidence[some] = confidence[some].masked_scatter(masked[some], probability.cpu())
                if trace:
                    history.append((some, before, tokens[some], confidence[some]))

    confidence = confidence.float()
    passes = _side_by_side(history, tokens, confidence) if trace else None
    return Filled(tokens.to(canvas.device), confidence.to(canvas.device), passes)


@contextmanager
def _evaluating(model: MaskedTransformer, precision: str) -> Iterator[None]:
    """The model in evaluation mode and in this precision; weights become bfloat16 once, in the first pass."""
    training = model.training
    model.eval()
    try:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        model.train(training)


def by_shape(
    sizes: list[int], word_mask: Bool[Tensor, "b s"], group: int, max_tokens: int
) -> dict[tuple[int, int], list[int]]:
    """Items by the (positions, words) in which the network meets them: their own, or rounded up for a group."""
    alike: dict[tuple[int, int], list[int]] = {}
    for i, (positions, num_words) in enumerate(zip(sizes, word_mask.sum(1).tolist(), strict=True)):
        if group > 1:
            positions = _round_up(positions, POSITIONS_MULTIPLE)
            if positions + POSITIONS_MULTIPLE > max_tokens:  # no further multiple fits: the full width
                positions = max_tokens
            num_words = _round_up(num_words, WORDS_MULTIPLE)
        alike.setdefault((positions, num_words), []).append(i)
    return alike


def _predict(
    model: MaskedTransformer,
    canvas: Int64[Tensor, "g p n"],
    lengths: Int64[Tensor, " g"],
    text: TextEmbedding,
    shape: tuple[int, int],
    group: int,
    guidance: float,
) -> Float[Tensor, "m k"]:
    """Logits of all M masked positions, item by item. The network meets `group` rows: the items, and copies of one."""
    (positions, num_words), device, dtype = shape, model.device, model.embed.weight.dtype
    rows = list(range(len(canvas))) + [0] * (group - len(canvas))
    more_words = num_words - text.words.shape[1]
    words = text.words.masked_fill(~text.mask[..., None], 0)
    canvas = F.pad(canvas, (0, positions - canvas.shape[2]))  # a negative number crops
    inputs = (
        canvas[rows].to(device),
        lengths[rows].to(device),
        F.pad(words, (0, 0, 0, more_words))[rows].to(device, dtype),
        F.pad(text.mask, (0, more_words))[rows].to(device),
        text.sentence[rows].to(device, dtype),
    )
    if guidance == 1:
        logits = model(*inputs).float()
    else:  # rows with and without text, as one batch
        drop = torch.arange(2 * group, device=device) >= group
        both = model(*(torch.cat([value, value]) for value in inputs), drop_text=drop)
        conditional, unconditional = both.float().chunk(2)
        logits = unconditional + guidance * (conditional - unconditional)
    masked = canvas[:, : logits.shape[1]] == MASK  # the other parts have none, see _check_input
    logits = logits[: len(canvas)][masked.to(device)]
    return logits.cpu() if device.type == "mps" else logits  # mps has no double precision for the confidence


def _uniform(
    masked: Bool[Tensor, "g p n"], codes: int, generators: list[Generator]
) -> Float[Tensor, "m {codes}"]:
    """Numbers in [0, 1) for all M masked positions: each item draws for its own, from its own generator."""
    counts = masked.sum((1, 2)).tolist()
    draws = zip(counts, generators, strict=True)
    return torch.cat([_rand(generator, count, codes) for count, generator in draws])


def _rand(generator: Generator | None, *shape: int) -> Float[Tensor, "..."]:
    """Numbers in [0, 1), from either kind of generator."""
    if isinstance(generator, Philox):
        return generator.uniform(*shape)
    return torch.rand(shape, generator=generator)


def _side_by_side(
    history: list[tuple[list[int], Tensor, Tensor, Tensor]], tokens: Tensor, confidence: Tensor
) -> list[Step]:
    """A Step for each pass number, over all items; an item whose passes are over keeps its result."""
    steps, passes = [], [0] * len(tokens)
    for items, *states in history:
        for row, i in enumerate(items):
            if passes[i] == len(steps):
                steps.append(Step(tokens.clone(), tokens.clone(), confidence.clone()))
            step, passes[i] = steps[passes[i]], passes[i] + 1
            step.canvas[i], step.tokens[i], step.confidence[i] = (state[row] for state in states)
    return steps


def _round_up(number: int, multiple: int) -> int:
    return math.ceil(number / multiple) * multiple


# ---- What is refused


def check_options(
    config: TransformerConfig,
    steps: int | None,
    schedule: str,
    remask: str,
    temperature: float,
    guidance: float,
    group: int | None,
) -> None:
    """Options of `fill` in range; guidance only for a model that was trained with text dropout."""
    require(
        steps is None or 1 <= steps <= MAX_STEPS,
        f"steps is {steps}, expected 1 to {MAX_STEPS} (or None for the default)",
    )
    require(group is None or group >= 1, f"group is {group}, expected at least 1 (or None)")
    require(schedule in SCHEDULES, f"schedule is {schedule!r}, expected one of {', '.join(SCHEDULES)}")
    require(remask in REMASKING, f"remask is {remask!r}, expected one of {', '.join(REMASKING)}")
    require(
        0 < temperature < math.inf,
        f"temperature is {temperature}, expected a number above 0: use argmax=True for the most likely codes",
    )
    require(
        math.isfinite(guidance), f"guidance is {guidance}, expected a finite number (1 is the plain model)"
    )
    require(
        guidance == 1 or config.text_dropout > 0,
        f"guidance is {guidance}, but the model was trained without text dropout: use guidance=1",
    )


def check_predicts_all(config: TransformerConfig) -> None:
    """A model that predicts only some of the parts cannot generate a motion from a text alone."""
    require(
        config.predicted_parts == config.parts,
        "this model predicts the upper body only and needs the lower body of a motion: use it to edit motions, or "
        "take a model that predicts both parts",
    )


def _check_input(
    config: TransformerConfig,
    canvas: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    mask: Bool[Tensor, "texts s"],
) -> None:
    """What would otherwise give wrong tokens without an error."""
    batch, parts, n = canvas.shape
    require(len(mask) == batch, f"{len(mask)} texts were given for {batch} canvases: give one per item")
    require(bool(mask.any(dim=1).all()), "a text has no word, its mask is False everywhere: leave it out")
    require(
        parts == config.parts, f"the canvas has {parts} part(s), expected {config.parts}: use another model"
    )
    low, high, longest = int(lengths.min()), int(lengths.max()), min(n, config.max_tokens)
    require(
        1 <= low and high <= longest,
        f"lengths run from {low} to {high} tokens, expected 1 to {longest}: shorten or split the motion",
    )
    real = inside(lengths, n)[:, None].expand_as(canvas)
    low, high = int(canvas[real].min()), int(canvas[real].max())
    require(
        MASK <= low and high < config.codes,
        f"the canvas holds ids from {low} to {high}, expected 0 to {config.codes - 1} and MASK ({MASK}): "
        "use the tokenizer that the model was trained with",
    )
    require(
        not (real & (canvas == MASK))[:, config.predicted_parts :].any(),
        "the lower part of the canvas has masked positions, but this model predicts only the upper one: give the "
        "lower part's codes of a motion",
    )


def _make_generators(
    batch: int, seeds: Sequence[int] | None, generators: Sequence[Generator] | None, random: str
) -> list[Generator]:
    """One CPU generator for each item, from exactly one of the two arguments."""
    require(
        (seeds is None) != (generators is None),
        "the noise comes from one of seeds and generators: give seeds=[…], one per item, or argmax=True",
    )
    known = RANDOM if generators is None else ("torch",)
    require(random in known, f"random is {random!r}, expected one of {', '.join(known)}")
    noise = generators if seeds is None else [RANDOM[random](int(seed)) for seed in seeds]
    require(len(noise) == batch, f"{len(noise)} seeds or generators for {batch} items: give one per item")
    return list(noise)
