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


def mask_ratios(law: str, batch: int, generator: torch.Generator) -> Float[Tensor, " b"]:
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


def draw_masked_parts(
    batch: int, predicted: int, both: float, generator: torch.Generator
) -> Bool[Tensor, "b {predicted}"]:
    """Which of the predicted parts each item is asked for: both, only the upper one, or only the lower one.

    With chance `both` it is both parts; what is left is divided evenly between the two. Of one part there is
    nothing to draw.

    Raises:
        ValueError: both is not in [0, 1].
    """
    require(0 <= both <= 1, f"both is {both}, expected a chance in [0, 1]")
    if predicted == 1:
        return torch.ones(batch, 1, dtype=torch.bool)
    u, upper_until = torch.rand(batch, generator=generator), (1 + both) / 2
    return torch.stack([u < upper_until, (u < both) | (u >= upper_until)], dim=1)


def borrow_visible_part(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    asked: Bool[Tensor, "b r"],
    chance: float,
    generator: torch.Generator,
) -> Int64[Tensor, "b p n"]:
    """Of items that are asked for one body part, some get the other one from another clip of the batch.

    Where every clip shows one action, a lower body in sight tells the upper one's action better than the text does: a
    model learns to look there, and asked to make someone wave who walks, it swings the arms. A borrowed lower body
    says nothing of the action, so that the text has to be read. Only from clips that are at least as long.

    Raises:
        ValueError: chance is not in [0, 1].
    """
    require(0 <= chance <= 1, f"borrow is {chance}, expected a chance in [0, 1]")
    if chance == 0 or asked.shape[1] < 2:
        return tokens
    batch = len(tokens)
    draw, lender = torch.rand(batch, generator=generator), torch.randperm(batch, generator=generator)
    asked, sizes = asked.cpu(), lengths.cpu()
    rows = ((asked.sum(1) == 1) & (draw < chance) & (sizes[lender] >= sizes)).nonzero()[:, 0]
    seen = (~asked[rows]).int().argmax(1)
    result = tokens.clone()
    result[rows, seen] = tokens[lender[rows], seen]
    return result


def mask_tokens(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    law: str,
    generator: torch.Generator,
    asked: Bool[Tensor, "b r"] | None = None,
) -> Int64[Tensor, "b p n"]:
    """A canvas: in every item a share (drawn by `law`, at least one place) of the real places becomes MASK.

    Args:
        asked: which of the first r parts may be masked; all parts by default. The share is of the real places of
            the parts that an item is asked for, taken together; its other parts stay in sight.
    """
    batch, parts, n = tokens.shape
    asked = torch.ones(batch, parts, dtype=torch.bool) if asked is None else asked.cpu()
    free = asked[:, :, None] & inside(lengths.cpu(), n)[:, None]
    counts = (mask_ratios(law, batch, generator) * free.sum((1, 2))).round().clamp(min=1)
    # The places with the smallest of many random numbers are a uniform draw without replacement; infinity keeps
    # the places that may not be masked out of it.
    noise = torch.rand(free.shape, generator=generator).masked_fill(~free, math.inf).flatten(1)
    chosen = (noise.argsort(dim=1).argsort(dim=1) < counts[:, None]).view_as(free)
    canvas = tokens.clone()
    canvas[:, : asked.shape[1]].masked_fill_(chosen.to(tokens.device), MASK)
    return canvas


def corrupt_tokens(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    share: float,
    codes: int,
    generator: torch.Generator,
    predicted: int | None = None,
) -> Int64[Tensor, "b p n"]:
    """Each real token becomes, with chance `share`, a random code (possibly itself).

    The sampler's own early choices can be wrong; a model that has seen wrong tokens trusts them less. The
    release uses 0.5, the paper speaks of 0.1.

    Args:
        predicted: only the first so many parts are changed, all by default. What a model never predicts is
            always right when it is used, and stays so.

    Raises:
        ValueError: share is not in [0, 1].
    """
    require(0 <= share <= 1, f"random_codes is {share}, expected a share in [0, 1]")
    result = tokens.clone()
    changed = result[:, :predicted]
    hit = torch.rand(changed.shape, generator=generator) < share
    hit &= inside(lengths.cpu(), tokens.shape[2])[:, None]
    random = torch.randint(codes, changed.shape, generator=generator)
    changed.copy_(torch.where(hit.to(tokens.device), random.to(tokens.device), changed))
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
    logits: Float[Tensor, "b r n k"],
    targets: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    where: Literal["all", "masked"] = "all",
    canvas: Int64[Tensor, "b p n"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the r predicted parts, mean within a clip over all its places, then over the batch.

    Args:
        targets: the true tokens, neither masked nor corrupted.
        where: "all" real places, as the release does (the model then also learns to put right the wrong
            tokens among those it is shown), or only the "masked" ones, as the paper writes; these need the
            `canvas`.

    Raises:
        ValueError: another `where`; "masked" without a canvas.
    """
    require(where in ("all", "masked"), f"where is {where!r}, expected 'all' or 'masked'")
    targets = targets[:, : logits.shape[1]]
    counted = inside(lengths, targets.shape[2])[:, None].expand_as(targets)
    if where == "masked":
        require(
            canvas is not None, "where is 'masked', but no canvas was given: pass the canvas the model saw"
        )
        counted = counted & (canvas[:, : logits.shape[1]] == MASK)
    targets = targets.masked_fill(~counted, 0)  # padding may hold anything, MASK too
    loss = F.cross_entropy(logits.float().movedim(-1, 1), targets, reduction="none").flatten(1)
    weight = counted.flatten(1).to(loss.dtype)
    return ((loss * weight).sum(1) / weight.sum(1).clamp(min=1)).mean()
