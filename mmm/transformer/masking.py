"""What the transformer is given to solve: masked, partly corrupted canvases, and the loss on its answers.

Source: MMM (arXiv 2312.03596), section 3.2, equation 3; REPRODUCTION.md, "Transformer". All functions are
pure; what is random comes from an explicit CPU generator, and the result is on the device of the tokens.
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
"""The id of a place that the sampler may write. Code ids are 0 … K − 1; a canvas holds nothing else."""

_UNIFORM = re.compile(r"uniform\(\s*([0-9.]+)\s*,\s*([0-9.]+)\s*\)")


def inside(lengths: Int64[Tensor, " b"], n: int) -> Bool[Tensor, "b n"]:
    """True at the real places of each item."""
    return torch.arange(n, device=lengths.device) < lengths[:, None]


def mask_shares(law: str, batch: int, generator: torch.Generator) -> Float[Tensor, " b"]:
    """The share of real places to mask, one draw an item.

    Args:
        law: "cosine": cos(π/2 · u), u uniform in [0, 1), the law MaskGIT trains with, which meets every
            stage of the sampler's schedule as often as the sampler does; or "uniform(a, b)": (0.5, 1) is the
            release, (0.3, 1) the paper's ablation.

    Raises:
        ValueError: another law, or not 0 <= a <= b <= 1.
    """
    u = torch.rand(batch, generator=generator)
    if law == "cosine":
        return torch.cos(math.pi / 2 * u)
    found = _UNIFORM.fullmatch(law)
    require(found, f"mask_law is {law!r}, expected 'cosine' or 'uniform(a, b)', e.g. 'uniform(0.5, 1)'")
    low, high = (float(value) for value in found.groups())
    require(0 <= low <= high <= 1, f"mask_law is {law!r}, expected 0 <= a <= b <= 1")
    return low + (high - low) * u


def mask_tokens(
    tokens: Int64[Tensor, "b p n"], lengths: Int64[Tensor, " b"], law: str, generator: torch.Generator
) -> Int64[Tensor, "b p n"]:
    """A canvas: in every item a share (drawn by `law`, at least one place) of the real places becomes MASK.

    Of two parts the upper one (index 0) is masked; the lower one is what the upper one is predicted from.
    """
    batch, _, n = tokens.shape
    real = lengths.cpu()
    counts = (mask_shares(law, batch, generator) * real).round().clamp(min=1)
    # The places with the smallest of n random numbers are a uniform draw without replacement; infinity keeps
    # the places beyond the end out of it.
    noise = torch.rand(batch, n, generator=generator).masked_fill(~inside(real, n), math.inf)
    chosen = noise.argsort(dim=1).argsort(dim=1) < counts[:, None]
    canvas = tokens.clone()
    canvas[:, 0] = canvas[:, 0].masked_fill(chosen.to(tokens.device), MASK)
    return canvas


def corrupt_tokens(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    share: float,
    codes: int,
    generator: torch.Generator,
) -> Int64[Tensor, "b p n"]:
    """Each real token becomes, with chance `share`, a random code (possibly itself).

    The sampler's own early choices can be wrong; a model that has seen wrong tokens trusts them less. The
    release uses 0.5, the paper speaks of 0.1. Of two parts the upper one is changed.

    Raises:
        ValueError: share is not in [0, 1].
    """
    require(0 <= share <= 1, f"random_codes is {share}, expected a share in [0, 1]")
    batch, _, n = tokens.shape
    hit = (torch.rand(batch, n, generator=generator) < share) & inside(lengths.cpu(), n)
    random = torch.randint(codes, (batch, n), generator=generator)
    result = tokens.clone()
    result[:, 0] = torch.where(hit.to(tokens.device), random.to(tokens.device), result[:, 0])
    return result


def drop_edge_token(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    generator: torch.Generator,
    chance: float = 1 / 3,
) -> tuple[Int64[Tensor, "b p n"], Int64[Tensor, " b"]]:
    """With `chance` an item loses one token, at its head or at its tail (equally often).

    Items of one token stay as they are. What is left beyond the new length has no meaning.

    Returns:
        tokens, lengths.
    """
    batch, _, n = tokens.shape
    draw = torch.rand(batch, generator=generator).to(tokens.device)
    draw = draw.masked_fill(lengths <= 1, 1.0)
    head = draw < chance / 2
    shifted = torch.where(head[:, None, None], tokens.roll(-1, dims=2), tokens)
    return shifted, lengths - (draw < chance).long()


def masked_loss(
    logits: Float[Tensor, "b 1 n k"],
    targets: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    where: Literal["all", "masked"] = "all",
    canvas: Int64[Tensor, "b p n"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the predicted (upper) part, mean within a clip, then over the batch.

    Args:
        targets: the true tokens, neither masked nor corrupted.
        where: "all" real places, as the release does (the model then also learns to put right the wrong
            tokens among those it is shown), or only the "masked" ones, as the paper writes; these need the
            `canvas`.

    Raises:
        ValueError: another `where`; "masked" without a canvas.
    """
    require(where in ("all", "masked"), f"where is {where!r}, expected 'all' or 'masked'")
    counted = inside(lengths, targets.shape[2])
    if where == "masked":
        require(
            canvas is not None, "where is 'masked', but no canvas was given: pass the canvas the model saw"
        )
        counted = counted & (canvas[:, 0] == MASK)
    target = targets[:, 0].masked_fill(~counted, 0)  # padding may hold anything, MASK too
    loss = F.cross_entropy(logits[:, 0].float().transpose(1, 2), target, reduction="none")
    weight = counted.to(loss.dtype)
    return ((loss * weight).sum(1) / weight.sum(1).clamp(min=1)).mean()
