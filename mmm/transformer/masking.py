"""What the transformer learns from: canvases that are partly masked and corrupted, and the loss on its predictions.

Source: MMM (arXiv 2312.03596), section 3.2, equation 3; docs/REPRODUCTION.md, "Transformer". All functions are pure.
Randomness comes from an explicit CPU generator; results are on the device of the tokens.
"""

from __future__ import annotations

import math
import re
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.errors import require

MASK = -1
"""The id of a position that the sampler may write. Code ids are 0 … K − 1; a canvas holds nothing else."""

_UNIFORM = re.compile(r"uniform\(\s*([0-9.]+)\s*,\s*([0-9.]+)\s*\)")


def inside(lengths: Int64[Tensor, " b"], n: int) -> Bool[Tensor, "b n"]:
    """True at the real positions of each item, False at padding."""
    return torch.arange(n, device=lengths.device) < lengths[:, None]


def mask_ratios(mask_schedule: str, batch: int, generator: torch.Generator) -> Float[Tensor, " b"]:
    """The ratio of real positions to mask, drawn once for each item.

    Args:
        mask_schedule: "cosine": cos(π/2 · u) as in MaskGIT, where u in [0, 1) is the sampler's progress, drawn at
            random: training meets every stage of sampling equally often. "uniform(a, b)": a ratio between a and b;
            (0.5, 1) is the release, (0.3, 1) the paper's ablation.

    Raises:
        ValueError: another schedule, or not 0 <= a <= b <= 1.
    """
    u = torch.rand(batch, generator=generator)
    if mask_schedule == "cosine":
        return torch.cos(math.pi / 2 * u)
    match = _UNIFORM.fullmatch(mask_schedule)
    low, high = (float(value) for value in match.groups()) if match else (1.0, 0.0)
    require(
        0 <= low <= high <= 1,
        f"mask_schedule is {mask_schedule!r}, expected 'cosine' or 'uniform(a, b)' with 0 <= a <= b <= 1",
    )
    return low + (high - low) * u


def draw_masked_parts(
    batch: int, predicted_parts: int, both_parts: float, generator: torch.Generator
) -> Bool[Tensor, "b {predicted_parts}"]:
    """Which of the predicted parts are masked, for each item: both, only the upper one, or only the lower one.

    Both parts are masked with probability `both_parts`; the rest is divided evenly between upper and lower. A model
    that predicts one part masks it always, and nothing is drawn.
    """
    require(0 <= both_parts <= 1, f"both_parts is {both_parts}, expected a probability in [0, 1]")
    if predicted_parts == 1:
        return torch.ones(batch, 1, dtype=torch.bool)
    # u in [0, both_parts): both; up to the middle of the rest: only the upper one; above: only the lower one.
    u, middle = torch.rand(batch, generator=generator), (1 + both_parts) / 2
    return torch.stack([u < middle, (u < both_parts) | (u >= middle)], dim=1)


def borrow_visible_part(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    masked_parts: Bool[Tensor, "b r"],
    borrowed_part: float,
    generator: torch.Generator,
) -> Int64[Tensor, "b p n"]:
    """Where only one body part is masked, take the visible one from another clip, with probability `borrowed_part`.

    The reason: if every clip shows one action, the visible part shows the action of the masked part better than the
    text does. The model learns to look there, and an edit "wave" of a walking person then swings the arms. A borrowed
    part says nothing about the action, so the model has to read the text.

    The other clip is one of the batch, at least as long; where the clip that is drawn is shorter, nothing changes.
    """
    require(0 <= borrowed_part <= 1, f"borrowed_part is {borrowed_part}, expected a probability in [0, 1]")
    if borrowed_part == 0 or masked_parts.shape[1] < 2:
        return tokens
    batch = len(tokens)
    draw, other = torch.rand(batch, generator=generator), torch.randperm(batch, generator=generator)
    masked_parts, sizes = masked_parts.cpu(), lengths.cpu()
    one_masked = masked_parts.sum(1) == 1
    changed = (one_masked & (draw < borrowed_part) & (sizes[other] >= sizes)).nonzero()[:, 0]
    visible = (~masked_parts[changed]).int().argmax(1)
    result = tokens.clone()
    result[changed, visible] = tokens[other[changed], visible]
    return result


def mask_tokens(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    mask_schedule: str,
    generator: torch.Generator,
    masked_parts: Bool[Tensor, "b r"] | None = None,
) -> Int64[Tensor, "b p n"]:
    """A canvas: in every item a ratio of the real positions (see `mask_ratios`), at least one, becomes MASK.

    Args:
        masked_parts: which of the first r parts may be masked; all by default. The ratio is of their real positions,
            taken together; the other parts stay visible.
    """
    batch, parts, n = tokens.shape
    chosen = torch.ones(batch, parts, dtype=torch.bool) if masked_parts is None else masked_parts.cpu()
    maskable = chosen[:, :, None] & inside(lengths.cpu(), n)[:, None]
    counts = (mask_ratios(mask_schedule, batch, generator) * maskable.sum((1, 2))).round().clamp(min=1)
    # The positions with the smallest random numbers are a uniform draw without replacement. Infinity excludes the
    # positions that may not be masked.
    noise = torch.rand(maskable.shape, generator=generator).masked_fill(~maskable, math.inf).flatten(1)
    ranks = noise.argsort(dim=1).argsort(dim=1)  # 0 for the smallest number of an item, 1 for the next, …
    masked = (ranks < counts[:, None]).view_as(maskable)
    canvas = tokens.clone()
    canvas[:, : chosen.shape[1]].masked_fill_(masked.to(tokens.device), MASK)
    return canvas


def corrupt_tokens(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    random_codes: float,
    codes: int,
    generator: torch.Generator,
    predicted_parts: int | None = None,
) -> Int64[Tensor, "b p n"]:
    """Each real token becomes, with probability `random_codes`, a random code (possibly itself).

    The sampler's own early choices can be wrong; a model that has seen wrong tokens trusts them less. The release
    uses 0.5, the paper 0.1.

    Args:
        predicted_parts: only the first so many parts are changed, all by default. A part that is never predicted is
            always right when the model is used.
    """
    require(0 <= random_codes <= 1, f"random_codes is {random_codes}, expected a ratio in [0, 1]")
    result = tokens.clone()
    predicted = result[:, :predicted_parts]  # a view: what is written here is written to the result
    corrupted = torch.rand(predicted.shape, generator=generator) < random_codes
    corrupted &= inside(lengths.cpu(), tokens.shape[2])[:, None]
    noise = torch.randint(codes, predicted.shape, generator=generator)
    predicted.copy_(torch.where(corrupted.to(tokens.device), noise.to(tokens.device), predicted))
    return result


def drop_edge_token(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    generator: torch.Generator,
    drop_edge: float = 1 / 3,
) -> tuple[Int64[Tensor, "b p n"], Int64[Tensor, " b"]]:
    """With probability `drop_edge` an item loses its first or its last token (equally often).

    So clips do not always begin with the same token. Items of one token stay as they are.

    Returns:
        tokens, lengths. Tokens beyond the new length have no meaning.
    """
    draw = torch.rand(len(tokens), generator=generator).to(tokens.device)
    draw = draw.masked_fill(lengths <= 1, 1.0)
    first = draw < drop_edge / 2
    shifted = torch.where(first[:, None, None], tokens.roll(-1, dims=2), tokens)
    return shifted, lengths - (draw < drop_edge).long()


def masked_loss(
    logits: Float[Tensor, "b r n k"],
    targets: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    loss_on: Literal["all", "masked"] = "all",
    canvas: Int64[Tensor, "b p n"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the r predicted parts: the mean over the positions of a clip, then over the batch.

    Args:
        targets: the original tokens, neither masked nor corrupted.
        loss_on: "all" real positions (the release; the model then also learns to correct wrong visible tokens), or only
            the "masked" ones (the paper, equation 3); these need the `canvas`.
    """
    require(loss_on in ("all", "masked"), f"loss_on is {loss_on!r}, expected 'all' or 'masked'")
    targets = targets[:, : logits.shape[1]]
    counted = inside(lengths, targets.shape[2])[:, None].expand_as(targets)
    if loss_on == "masked":
        require(canvas is not None, "loss_on is 'masked': pass the canvas that the model saw")
        counted = counted & (canvas[:, : logits.shape[1]] == MASK)
    targets = targets.masked_fill(~counted, 0)  # padding may hold anything, MASK too
    # one row for each position: with the codes on another axis it takes three times as long
    rows = F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), reduction="none")
    loss = rows.view(len(targets), -1)
    weight = counted.flatten(1).to(loss.dtype)
    return ((loss * weight).sum(1) / weight.sum(1).clamp(min=1)).mean()
