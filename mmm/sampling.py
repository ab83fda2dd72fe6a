"""Many motions at once, several times faster than one by one: for whoever samples a whole split, again and again.

One by one, a small model leaves most of a machine idle. Here the items go through the network in groups of a
fixed number of rows (`fill`), in bfloat16 where the machine is fast in it, and their tokens are decoded in
groups too. What bfloat16 costs was measured with the shipped model on its val split. The transformer loses
nothing that counts: over masked codes of real clips the Kullback–Leibler divergence from float32 is 0.0005 (with
guidance 2), the loss rises by 0.001. The decoder stays in float32: in bfloat16 the path of the walk, summed up over
the frames, would be 2.7 mm off on average and up to 17 mm.


How many places each pass of the sampler masks, and which: MMM, section 3.3; REPRODUCTION.md, "Sampling".

What `fill` refuses, each in one sentence.

The sampler: fills the open places of any canvas, a few at a time, the surest first.

Source: MMM (arXiv 2312.03596), section 3.3; REPRODUCTION.md, "Sampling". There is no other sampler in the
project: generation fills an empty canvas, and every editing task is a canvas that is filled in part.

An item's tokens depend on its canvas, text and seed, never on its batch mates. A generator of its own is not
enough for that: a matrix product rounds differently when it has more rows, one last bit can turn over a
token, and the token turns over all that come after it. So the network meets an item always in the same shape:
alone, cut to its own length and words (on the CPU); or in a group of a fixed number of rows, filled up with
copies, as wide as its own length and words rounded up (elsewhere, and in bulk).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from tqdm import tqdm

from mmm.errors import require
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.training.processes import resolve_precision
from mmm.transformer.masking import MASK, inside
from mmm.transformer.model import MaskedTransformer, TransformerConfig


def _cosine(progress: float) -> float:
    # The angle is rounded to single precision, as in the golden decodes: at two thirds of the passes the
    # cosine is then a little under 1/2, not a little over, and an even number of places gives one place less.
    (angle,) = struct.unpack("f", struct.pack("f", math.pi / 2 * progress))
    return math.cos(angle)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "linear": lambda progress: 1.0 - progress,
}
"""Share of the open places that is masked when that share of the passes is done; 1 at the start."""

REMASKING = ("least", "most", "random")
"""Which of the open places are masked again before a pass: those the model was least sure of (the paper's rule), those
it was surest of, or any. The last two are there to be compared with (chapter 04): what the first one gains over
`random` is what confidence is worth. One pass masks nothing again, so with steps=1 all three are the same."""


def default_steps(length: int) -> int:
    """S = round(10 · N / 49), at least 1: ten passes for the longest motion of HumanML3D."""
    return max(1, round(10 * length / 49))


def masked_counts(places: int, steps: int, schedule: str = "cosine") -> list[int]:
    """How many of `places` open places are masked before each pass, at least one; no pass if none is open."""
    if places == 0:
        return []
    return [max(1, math.floor(SCHEDULES[schedule](step / steps) * places)) for step in range(steps)]


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


ACCELERATOR_GROUP = 8
# In groups, places and words are padded to a multiple of these: a pass costs more for being half empty than
# for being wide, so it is better to have few different shapes and full groups.
PLACES_MULTIPLE, WORDS_MULTIPLE = 16, 32


@runtime_checkable
class Text(Protocol):
    """What the sampler needs of text embeddings; `mmm.text.TextEmbedding` has it."""

    words: Tensor  # float (B, S, E)
    mask: Tensor  # bool (B, S), True at words
    sentence: Tensor  # float (B, E)


@dataclass(frozen=True)
class Step:
    """One pass of every item, on the CPU.

    Attributes:
        canvas: before the pass: MASK where it predicts; an item that is done stands in it complete.
        tokens: after the pass.
        confidence: after the pass, of every place that holds a token (see Filled).
    """

    canvas: Int64[Tensor, "b p n"]
    tokens: Int64[Tensor, "b p n"]
    confidence: Float[Tensor, "b p n"]


@dataclass(frozen=True)
class Filled:
    """The result of `fill`, on the device of the canvas.

    Attributes:
        tokens: code ids; 0 beyond an item's length.
        confidence: the probability the model gave a token in the pass that chose it for good (with guidance,
            without temperature); 1 at given places, 0 beyond an item's length.
        trace: every pass, if it was asked for.
    """

    tokens: Int64[Tensor, "b p n"]
    confidence: Float[Tensor, "b p n"]
    trace: list[Step] | None = None


@torch.no_grad()
def fill(
    model: MaskedTransformer,
    canvas: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    text: Text,
    *,
    steps: int | None = None,
    schedule: str = "cosine",
    remask: str = "least",
    temperature: float = 1.0,
    argmax: bool = False,
    guidance: float = 1.0,
    seeds: Sequence[int] | None = None,
    generators: Sequence[torch.Generator] | None = None,
    group: int | None = None,
    trace: bool = False,
) -> Filled:
    """Replace every MASK of the canvas by a code; places that hold a code stay as they are.

    Before each pass the least sure of the open places are masked, fewer from pass to pass, and the pass
    predicts them all at once; what is not masked again is final. The open places of all parts stand in one
    ranking; they may lie in any part that the model predicts.

    Args:
        lengths: tokens of each item; what the canvas holds beyond is ignored.
        text: one text an item.
        steps: passes for every item; by default `default_steps` of its own length.
        schedule: "cosine" (the paper) or "linear".
        remask: which places are masked again before a pass: the "least" sure (the paper), the "most" sure, or
            "random" ones (`REMASKING`).
        temperature: the logits are divided by it before a code is drawn (Gumbel maximum).
        argmax: take the likeliest code instead of drawing; needs no seeds, but for remask="random".
        guidance: g in uncond + g · (cond − uncond); 1 is the conditional model alone.
        seeds, generators: the noise: one seed, or one CPU generator, an item; one of the two.
        group: items that go through the network together; by default 1 on the CPU, 8 elsewhere. It bears on
            the last bits of the logits, hence on rare tokens; batch size and batch mates do not. For many
            items there is `mmm.sampling.generate_many`.
        trace: keep every pass.

    Raises:
        ValueError: an argument out of range (lengths, ids, an open place in a part that the model does not
            predict, steps, schedule, remask, temperature, guidance of a model without text dropout, seeds missing or
            of another number).
    """
    batch, _, width = canvas.shape
    check_canvas(model.config, canvas, lengths)
    check_text(text.mask, batch)
    check_options(model.config, steps, schedule, remask, temperature, guidance, group)
    needs_noise = not argmax or remask == "random"
    noise = make_generators(batch, seeds, generators) if needs_noise else [None] * batch
    group = group or (1 if model.device.type == "cpu" else ACCELERATOR_GROUP)
    rule = (steps, schedule, remask)
    items = [
        _Item(row[:, :size], noise[i], text.words[i][text.mask[i]], text.sentence[i], *rule)
        for i, (row, size) in enumerate(zip(canvas.cpu(), lengths.tolist(), strict=True))
    ]
    training = model.training
    model.eval()
    try:
        for frame, places, num_words in _frames(items, group, model.config.max_tokens):
            for item in frame:
                item.mask_again()
            before = [item.tokens.clone() for item in frame] if trace else []
            logits = _predict(model, frame, group, places, num_words, guidance)
            _write(frame, logits, temperature, argmax)
            if trace:
                for item, seen in zip(frame, before, strict=True):
                    item.passes.append((seen, item.tokens.clone(), item.sure.clone()))
    finally:
        model.train(training)
    tokens, confidence = _results(items, width)
    passes = _side_by_side(items, width) if trace else None
    return Filled(tokens.to(canvas.device), confidence.to(canvas.device), passes)


class _Item:
    """One item while it is being filled; all on the CPU but its text."""

    def __init__(
        self,
        canvas: Tensor,
        generator: torch.Generator | None,
        words: Tensor,
        sentence: Tensor,
        steps: int | None,
        schedule: str,
        remask: str,
    ) -> None:
        self.tokens = canvas.clone()  # (P, N), N the item's own length
        self.open = canvas == MASK  # (P, N), the places the next pass writes
        # Places that are masked before each pass that is still to come, the next one's first.
        self.counts = masked_counts(int(self.open.sum()), steps or default_steps(canvas.shape[1]), schedule)
        self.passes: list[tuple[Tensor, Tensor, Tensor]] = []  # for the trace: what a Step holds
        # In double precision: where the model is sure, single precision would make all confidences 1, and the
        # order of the places would decide.
        self.sure = (canvas != MASK).double()  # (P, N)
        self.generator, self.words, self.sentence, self.remask = generator, words, sentence, remask

    def mask_again(self) -> None:
        """Open again the least sure (or others: `remask`) of the places the last pass wrote, as many as are due.

        One ranking over all parts; ties go by part, then by place.
        """
        rank = {"least": self.sure, "most": -self.sure}.get(self.remask)
        if rank is None:
            rank = torch.rand(self.open.shape, generator=self.generator)
        order = rank.masked_fill(~self.open, math.inf).flatten().argsort(stable=True)
        again = torch.zeros(self.open.numel(), dtype=torch.bool)
        again[order[: self.counts.pop(0)]] = True
        self.open = again.view_as(self.open)
        self.tokens[self.open] = MASK
        self.sure[self.open] = 0.0

    def uniform(self, codes: int) -> Tensor:
        """(open places, K) numbers in [0, 1) from the item's own generator, for its own places only."""
        return torch.rand(int(self.open.sum()), codes, generator=self.generator)


def _padded(length: int, multiple: int, longest: int) -> int:
    """The width in which a group meets an item: a multiple, or `longest` from the last whole multiple on."""
    width = math.ceil(length / multiple) * multiple
    return longest if width + multiple > longest else width


def _frames(items: list[_Item], group: int, max_tokens: int) -> Iterator[tuple[list[_Item], int, int]]:
    """(items, places, words) of every run of the network, until no item has a pass left.

    The shape an item is met in is its own affair. Among items of one shape those go first that have the most
    passes left, so that groups stay full to the end: items of a group need not be at the same pass.
    """
    alike: dict[tuple[int, int], list[_Item]] = {}
    for item in items:
        places, num_words = item.tokens.shape[1], len(item.words)
        if group > 1:
            places = _padded(places, PLACES_MULTIPLE, max_tokens)
            num_words = math.ceil(num_words / WORDS_MULTIPLE) * WORDS_MULTIPLE
        alike.setdefault((places, num_words), []).append(item)
    for shape, waiting in alike.items():
        while waiting := [item for item in waiting if item.counts]:
            waiting.sort(key=lambda item: len(item.counts), reverse=True)
            yield waiting[:group], *shape


def _predict(
    model: MaskedTransformer, frame: list[_Item], group: int, places: int, num_words: int, guidance: float
) -> Float[Tensor, "group r places k"]:
    """Logits of the predicted parts; with guidance, rows with and without text go as one batch."""
    rows = frame + [frame[0]] * (group - len(frame))
    dtype, device = model.embed.weight.dtype, model.device
    canvas = _stack([item.tokens for item in rows], places).to(device)
    lengths = torch.tensor([item.tokens.shape[1] for item in rows], device=device)
    words = torch.stack([F.pad(item.words, (0, 0, 0, num_words - len(item.words))) for item in rows])
    counts = torch.tensor([len(item.words) for item in rows], device=device)
    mask = torch.arange(num_words, device=device) < counts[:, None]
    sentence = torch.stack([item.sentence for item in rows])
    words, sentence = words.to(device, dtype), sentence.to(device, dtype)
    if guidance == 1:
        return model(canvas, lengths, words, mask, sentence).float()
    twice = [torch.cat([value, value]) for value in (canvas, lengths, words, mask, sentence)]
    drop = torch.arange(2 * group, device=device) >= group
    conditional, unconditional = model(*twice, drop_text=drop).float().chunk(2)
    return unconditional + guidance * (conditional - unconditional)


def _write(
    frame: list[_Item], logits: Float[Tensor, "group r places k"], temperature: float, argmax: bool
) -> None:
    """Choose a code for every open place of the items, and note its probability."""
    predicted, places, codes = logits.shape[1:]
    if logits.device.type == "mps":
        logits = logits.cpu()  # has no double precision
    # No other part has an open place: check_canvas.
    is_open = _stack([item.open for item in frame], places)[:, :predicted]
    logits = logits[: len(frame)][is_open.to(logits.device)]  # (open places of all items, K)
    if argmax:
        chosen = logits.argmax(dim=1)
    else:
        uniform = torch.cat([item.uniform(codes) for item in frame]).to(logits.device)
        chosen = (logits / temperature - (-uniform.log()).log()).argmax(dim=1)
    sure = logits.double().log_softmax(dim=1).gather(1, chosen[:, None])[:, 0].exp()
    counts = [int(item.open.sum()) for item in frame]
    written = zip(frame, chosen.cpu().split(counts), sure.cpu().split(counts), strict=True)
    for item, tokens, probabilities in written:
        item.tokens[item.open] = tokens
        item.sure[item.open] = probabilities


def _results(items: list[_Item], width: int) -> tuple[Tensor, Tensor]:
    confidence = _stack([item.sure for item in items], width).float()
    return _stack([item.tokens for item in items], width), confidence


def _side_by_side(items: list[_Item], width: int) -> list[Step]:
    """The passes of all items; one that has had its last stands as it is."""
    steps = []
    for number in range(max(len(item.passes) for item in items)):
        rows = [
            item.passes[number] if number < len(item.passes) else (item.tokens, item.tokens, item.sure)
            for item in items
        ]
        canvas, tokens, sure = (_stack(list(column), width) for column in zip(*rows, strict=True))
        steps.append(Step(canvas, tokens, sure.float()))
    return steps


def _stack(rows: list[Tensor], width: int) -> Tensor:
    """(P, N) of different N → (B, P, width), 0 at the end."""
    return torch.stack([F.pad(row, (0, width - row.shape[1])) for row in rows])


PORTION = 8  # batches that are filled at one go: enough for full groups, few enough for a bar to move
DECODER_ROWS, DECODER_MULTIPLE = 8, 8


def generate_many(
    tokenizer: Tokenizer,
    transformer: MaskedTransformer,
    text: TextEmbedding,
    frames: Sequence[int],
    seeds: Sequence[int],
    *,
    batch_size: int = 32,
    precision: str = "auto",
    progress: bool = False,
    **options: Any,
) -> list[np.ndarray]:
    """Raw features (frames, D) of each item, float32, in the order of the items.

    What an item gives depends on its own text embedding, frames and seed, on batch_size and precision; not on its
    mates, their order or their number. It is not bit for bit what `fill` alone gives with the same seed: in float32
    the last bits of the logits differ, which may turn over a rare token; in bfloat16 every second motion is
    another draw. Mind that an embedding's last bits depend on the number of threads it was computed with: where that
    differs, take them from a cache.

    Args:
        text: one an item. frames: lengths. seeds: of the noise; not looked at with argmax.
        batch_size: rows of a group, each an item; with guidance as many again without text.
        precision: of the transformer: "bf16", "no" (float32) or "auto" (`resolve_precision`).
        progress: show a bar.
        options: for `fill`: guidance, steps, temperature, argmax, schedule.
    Raises:
        ValueError: texts, frames and seeds are not equally many, or none; the model predicts only the upper
            body; and what `fill` refuses.
    """
    check_predicts_all(transformer.config)
    require(len(frames) > 0, "no item was given: give texts, frames and seeds")
    require(
        len(text) == len(frames) == len(seeds),
        f"{len(text)} texts, {len(frames)} lengths and {len(seeds)} seeds were given: give one of each an item",
    )
    require(batch_size >= 1, f"batch_size is {batch_size}, expected at least 1")
    device = transformer.device
    precision = resolve_precision(precision, device)
    require(
        precision in ("no", "bf16"),
        f"precision is {precision!r}, expected one of auto, no, bf16 for sampling",
    )
    ratio = tokenizer.config.ratio
    order = sorted(range(len(frames)), key=lambda item: frames[item])  # groups are of items of like length
    motions: list[np.ndarray] = [np.empty(0)] * len(frames)
    with tqdm(total=len(frames), desc="sampling", unit="clip", disable=not progress) as bar:
        for first in range(0, len(order), PORTION * batch_size):
            items = order[first : first + PORTION * batch_size]
            lengths = torch.tensor([math.ceil(frames[item] / ratio) for item in items])
            canvas = torch.full((len(items), transformer.config.parts, int(lengths.max())), MASK)
            noise = [seeds[item] for item in items]
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                filled = fill(
                    transformer, canvas, lengths, text[items], seeds=noise, group=batch_size, **options
                )
            tokens = [row[:, :length] for row, length in zip(filled.tokens, lengths.tolist(), strict=True)]
            decoded = decode_many(tokenizer, tokens, [frames[item] for item in items])
            for item, motion in zip(items, decoded, strict=True):
                motions[item] = motion
            bar.update(len(items))
    return motions


def decode_many(
    tokenizer: Tokenizer, tokens: Sequence[Int64[Tensor, "p _"]], frames: Sequence[int]
) -> list[np.ndarray]:
    """Raw features (frames, D) of each item's tokens, decoded in groups of one shape, so that mates do not matter.

    Equal to `tokenizer.decode` of the item alone up to rounding: 0.001 mm of any joint.

    Raises:
        ValueError: a token is no code id, or there are more frames than tokens hold.
    """
    alike: dict[int, list[int]] = {}
    for item, row in enumerate(tokens):
        alike.setdefault(math.ceil(row.shape[1] / DECODER_MULTIPLE) * DECODER_MULTIPLE, []).append(item)
    motions: list[np.ndarray] = [np.empty(0)] * len(tokens)
    for width, items in alike.items():
        for first in range(0, len(items), DECODER_ROWS):
            some = items[first : first + DECODER_ROWS]
            rows = some + some[:1] * (DECODER_ROWS - len(some))
            batch = torch.stack([F.pad(tokens[item], (0, width - tokens[item].shape[1])) for item in rows])
            counts = torch.tensor([frames[item] for item in rows])
            features = tokenizer.decode(batch.to(tokenizer.codebook.device), counts).cpu().numpy()
            for item, motion in zip(some, features, strict=False):
                motions[item] = motion[: frames[item]].copy()  # not a view that keeps the whole group
    return motions
