"""Many motions at once: from texts to features, several times faster than one by one.

`generate_many` calls the one sampler (`mmm.sampling.fill`) with groups of items, and `decode_many` decodes their tokens
in groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor
from tqdm import tqdm

from mmm.errors import require
from mmm.sampling import check_predicts_all, fill
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.transformer.masking import MASK
from mmm.transformer.model import MaskedTransformer

PORTION = 256  # items in one call of `fill`: enough to keep groups full, few enough for the bar to move
# Rows of a group by default. On a CPU a product for 4 motions is nearly as fast as one for 32, and a group that lacks
# items, filled up with copies, costs less.
CPU_ROWS, ACCELERATOR_ROWS = 4, 32
# A group of the decoder: its rows, and the multiple to which the tokens of its items are rounded up.
DECODER_ROWS, DECODER_MULTIPLE = 8, 8


def generate_many(
    tokenizer: Tokenizer,
    transformer: MaskedTransformer,
    text: TextEmbedding,
    frames: Sequence[int],
    seeds: Sequence[int],
    *,
    batch_size: int | None = None,
    precision: str = "auto",
    progress: bool = False,
    **options: Any,
) -> list[np.ndarray]:
    """Raw features (frames, D) of each item, float32, in the order of the items.

    One by one, a small model leaves most of a machine idle. Here the network meets groups of `batch_size` rows, in
    bfloat16 where the machine is fast in it, and tokens are decoded in groups too.

    The result of an item depends on its own text embedding, frames and seed, on batch_size and precision; not on the
    other items. It is not bit for bit that of `fill` alone with the same seed. In float32 a rare token differs. In
    bfloat16 every second motion is another draw, of the same quality: with bandai-small on its val split the
    loss rises by 0.001. The decoder stays in float32: in bfloat16 the root path, which is a sum over the frames, would
    be off by up to 17 mm. The last bits of an embedding depend on the number of threads that computed it: where that
    differs, use a `TextCache`.

    Args:
        text: one for each item. frames: lengths. seeds: of the noise; with argmax used only for remask="random".
        batch_size: rows of a group, each an item; with guidance as many again without text. By default 4 on a CPU, 32
            elsewhere.
        precision: of the transformer, as in `fill`.
        progress: show a bar.
        options: for `fill`: guidance, steps, temperature, argmax, schedule, remask.

    Raises:
        ValueError: texts, frames and seeds are not equally many, or none; the model predicts only the upper
            body; and what `fill` refuses.
    """
    check_predicts_all(transformer.config)
    require(len(frames) > 0, "no item was given: give texts, frames and seeds")
    require(
        len(text) == len(frames) == len(seeds),
        f"{len(text)} texts, {len(frames)} lengths and {len(seeds)} seeds were given: give one of each per item",
    )
    if batch_size is None:
        batch_size = CPU_ROWS if transformer.device.type == "cpu" else ACCELERATOR_ROWS
    require(batch_size >= 1, f"batch_size is {batch_size}, expected at least 1")
    order = sorted(range(len(frames)), key=lambda item: frames[item])  # a group holds items of similar length
    motions: list[np.ndarray] = [np.empty(0)] * len(frames)
    with tqdm(total=len(frames), desc="sampling", unit="clip", disable=not progress) as bar:
        portion = max(PORTION, batch_size)
        for first in range(0, len(order), portion):
            items = order[first : first + portion]
            counts = [frames[item] for item in items]
            lengths = torch.tensor([math.ceil(count / tokenizer.config.ratio) for count in counts])
            canvas = torch.full((len(items), transformer.config.parts, int(lengths.max())), MASK)
            fixed = {"seeds": [seeds[item] for item in items], "group": batch_size, "precision": precision}
            filled = fill(transformer, canvas, lengths, text[items], **fixed, **options)
            tokens = [row[:, :length] for row, length in zip(filled.tokens, lengths.tolist(), strict=True)]
            for item, motion in zip(items, decode_many(tokenizer, tokens, counts), strict=True):
                motions[item] = motion
            bar.update(len(items))
    return motions


def decode_many(
    tokenizer: Tokenizer, tokens: Sequence[Int64[Tensor, "p _"]], frames: Sequence[int]
) -> list[np.ndarray]:
    """Raw features (frames, D) of each item's tokens, decoded in groups of one shape.

    So an item does not depend on the others. It equals `tokenizer.decode` of the item alone up to rounding: 0.001 mm of
    any joint.
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
