"""The sampler: fills the open places of any canvas, a few at a time, the surest first.

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.sampling.checks import check_canvas, check_options, check_text, make_generators
from mmm.sampling.schedule import default_steps, masked_counts
from mmm.transformer.masking import MASK
from mmm.transformer.model import MaskedTransformer

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
