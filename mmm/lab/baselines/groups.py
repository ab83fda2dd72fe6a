"""Items go through a network in groups of a fixed shape, so that none depends on the others (see `mmm.sampling`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm.errors import require
from mmm.sampling import by_shape, check_options
from mmm.text import TextEmbedding


@dataclass(frozen=True)
class Group:
    """Some items of a batch.

    Attributes:
        items: their numbers. rows: the same, filled up to the size of the group with copies of the first.
        positions: in tokens; not below the length of any item, and it depends on each item alone.
        text: words, word_mask and sentence of the rows; with guidance, the same rows again without a text behind them.
    """

    items: list[int]
    rows: list[int]
    positions: int
    text: tuple[Tensor, Tensor, Tensor]


def groups_of(
    model: nn.Module,
    text: TextEmbedding,
    seeds: Sequence[int],
    sizes: Sequence[int],
    size: int,
    guidance: float,
    temperature: float = 1.0,
) -> Iterator[Group]:
    """The items in groups of `size`, on the model's device.

    Args:
        model: an `Autoregressive` or a `Denoiser`. sizes: tokens of each item.
    Raises:
        ValueError: not one seed and length for each text; a length, guidance or temperature out of range.
    """
    longest = model.config.max_tokens
    require(
        len(text) == len(seeds) == len(sizes),
        f"{len(seeds)} seeds and {len(sizes)} lengths for {len(text)} texts; give one of each per text.",
    )
    require(
        all(1 <= n <= longest for n in sizes),
        f"lengths run from {min(sizes)} to {max(sizes)} tokens, expected 1 to {longest}; shorten the motion.",
    )
    check_options(model.config, None, "cosine", "least", temperature, guidance, size)
    model.eval()
    for (positions, count), items in by_shape(list(sizes), text.mask, size, longest).items():
        more = count - text.words.shape[1]
        words = F.pad(text.words.masked_fill(~text.mask[..., None], 0), (0, 0, 0, more))
        inputs = (words, F.pad(text.mask, (0, more)), text.sentence)
        for first in range(0, len(items), size):
            some = items[first : first + size]
            rows = some + some[:1] * (size - len(some))
            own = tuple(y[rows].to(model.device) for y in inputs)
            if guidance != 1:
                drop = torch.arange(2 * size, device=model.device) >= size
                own = model.without_text(*(torch.cat([y, y]) for y in own), drop)
            yield Group(some, rows, positions, own)


def guided(output: Tensor, guidance: float) -> Tensor:
    """uncond + g · (cond − uncond), from the rows with a text and those without."""
    if guidance == 1:
        return output
    conditional, unconditional = output.chunk(2)
    return unconditional + guidance * (conditional - unconditional)
