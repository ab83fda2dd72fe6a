"""Chapter 02: where the codes of a tokenizer lie, what they stand for, and how tokens follow each other.

Tokens are a list of clips, each (P, N), called `rows`. Body parts have codebooks of their own, so every answer is
given for each part. Bits are base 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices
from mmm.motion.measures import CENTIMETRES
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.tokenizer import Tokenizer, entropy

# A clip's raw features. The underscore: clips differ in length and are not compared with one another.
Clip = Float[Tensor, "_t _d"] | Float[np.ndarray, "_t _d"]


# ---------------------------------------------------------------------- where the codes lie


def nearest_distances(codebook: Float[Tensor, "k c"]) -> Float[Tensor, " k"]:
    """Distance of each code to the nearest other code.

    Two codes are redundant if they lie closer to each other than encoder outputs lie to their codes.
    """
    # Not by |a|² - 2ab + |b|²: for near codes little but rounding would be left.
    distances = torch.cdist(codebook.detach(), codebook.detach(), compute_mode="donot_use_mm_for_euclid_dist")
    return distances.fill_diagonal_(torch.inf).min(1).values


@torch.no_grad()
def quantisation_distances(tokenizer: Tokenizer, clips: Sequence[Clip]) -> Float[Tensor, "p m"]:
    """Distance of each encoder output to its code, over all tokens of raw clips."""
    distances = []
    for clip in clips:
        frames = torch.tensor(np.asarray(clip), dtype=torch.float32, device=tokenizer.mean.device)
        outputs, _ = tokenizer.encoder_outputs(frames[None])
        pairs = zip(tokenizer.quantizers, outputs, strict=True)
        distances.append(torch.stack([(z - q.lookup(q.nearest(z)))[0].norm(dim=1) for q, z in pairs]))
    return torch.cat(distances, 1).cpu()


def codebook_map(
    codebook: Float[Tensor, "k c"], used: Bool[Tensor, " k"]
) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "2"]]:
    """All codes on the plane in which the used ones differ most (PCA), and each axis's ratio of their variance.

    Unused codes do not influence the plane: they may lie anywhere.

    Raises:
        ValueError: fewer than three codes are used, or a code has fewer than two numbers.
    """
    require(
        int(used.sum()) >= 3 and codebook.shape[1] >= 2,
        f"{int(used.sum())} used codes of {codebook.shape[1]} numbers do not span a plane, expected 3 codes of 2",
    )
    codes = codebook.detach().double()
    centred = codes - codes[used].mean(0)
    _, sizes, axes = torch.linalg.svd(centred[used], full_matrices=False)
    axes = axes[:2]
    # The sign of an axis is arbitrary. Its largest number is made positive, so that the map is reproducible.
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    ratio = sizes[:2].square() / sizes.square().sum().clamp(min=torch.finfo(torch.float64).tiny)
    return (centred @ axes.T).float(), ratio.float()


# ---------------------------------------------------------------------- what the codes stand for


class Meanings(NamedTuple):
    """Means over the frames that each code stands for; NaN for codes that never occur."""

    speed: Float[Tensor, "p k"]  # of the root on the floor, cm/s
    height: Float[Tensor, "p k"]  # of the root above the floor, cm
    turning: Float[Tensor, "p k"]  # degrees/s, to the left positive


def meanings(
    rows: Sequence[Int[Tensor, "p _n"]],
    clips: Sequence[Clip],
    codes: int,
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
    ratio: int = 4,
) -> Meanings:
    """What the root does in the frames that each code stands for: speed, height, turning.

    Args:
        rows: tokens (P, N) of each clip.
        clips: their raw features (T, D). Frames after the last token's are ignored (long clips are cut).
        ratio: frames per token.

    Raises:
        ValueError: a clip is too short for its tokens.
    """
    body = get_skeleton(skeleton)
    part, unit = feature_slices(body), CENTIMETRES[body.unit]
    sums = torch.zeros(3, len(rows[0]), codes, dtype=torch.float64)
    counts = torch.zeros(len(rows[0]), codes, dtype=torch.float64)
    for number, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        frames = torch.tensor(np.asarray(clip), dtype=torch.float64)[: row.shape[1] * ratio]
        require(
            len(frames) > (row.shape[1] - 1) * ratio,
            f"clip {number} has {len(frames)} frames for {row.shape[1]} tokens of {ratio}; give tokens of these clips",
        )
        speed = frames[:, part["root_linear"]].norm(dim=1) * fps * unit
        height = frames[:, part["root_height"]][:, 0] * unit
        half_turn = frames[:, part["root_angular"]][:, 0]  # half the angle, to the right positive
        numbers = torch.stack((speed, height, torch.rad2deg(-2 * fps * half_turn)))
        for p, token in enumerate(row.long().repeat_interleave(ratio, 1)[:, : len(frames)]):
            sums[:, p].index_add_(1, token, numbers)
            counts[p].index_add_(0, token, torch.ones(len(token), dtype=torch.float64))
    return Meanings(*(sums / torch.where(counts > 0, counts, torch.nan)).float())


# ---------------------------------------------------------------------- how tokens follow each other


def shuffled(rows: Sequence[Int[Tensor, "p _n"]], seed: int = 0) -> list[Int64[Tensor, "p _n"]]:
    """The same tokens in random order, dealt to the positions of all clips, each part by itself.

    A pattern that also shows in them is due to chance or to a small sample, not to the order in time.
    """
    flat = torch.cat([row.long() for row in rows], 1)
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.stack([part[torch.randperm(len(part), generator=generator)] for part in flat])
    return list(mixed.split([row.shape[1] for row in rows], 1))


def run_lengths(rows: Sequence[Int[Tensor, "p _n"]]) -> list[Int64[Tensor, " runs"]]:
    """For each part, the lengths of the runs of one token. No run spans two clips."""
    return [
        torch.cat([row[part].unique_consecutive(return_counts=True)[1] for row in rows])
        for part in range(len(rows[0]))
    ]


def transitions(rows: Sequence[Int[Tensor, "p _n"]], codes: int) -> Int64[Tensor, "p k k"]:
    """How often a token (row) is followed by another (column) within a clip."""
    first, then = _pairs(rows)
    pairs = first * codes + then
    return torch.stack([torch.bincount(part, minlength=codes**2).view(codes, codes) for part in pairs])


class Succession(NamedTuple):
    """How uncertain the next token is, in bits, of one part."""

    unconditional: float  # if nothing is known: the entropy of the tokens that follow another
    after: float  # if the token before is known
    after_shuffled: float  # the same of shuffled tokens: what `after` would be without any order
    repeats: float  # ratio of tokens that are followed by themselves


def transition_entropy(rows: Sequence[Int[Tensor, "p _n"]], seed: int = 0) -> list[Succession]:
    """Entropy of a token given the one before it, H(pair) - H(first), for each part.

    The estimate from few tokens is far too low: most of K² transitions never occur, and one that occurs once looks
    certain. Shuffled tokens have the same bias and no order, so compare with theirs, not with the unconditional
    entropy.

    Raises:
        ValueError: no clip has two tokens.
    """
    pairs, mixed = _pairs(rows), _pairs(shuffled(rows, seed))
    return [
        Succession(
            float(entropy(torch.bincount(then))),
            _entropy_after(first, then),
            _entropy_after(*(side[part] for side in mixed)),
            float((first == then).double().mean()),
        )
        for part, (first, then) in enumerate(zip(*pairs, strict=True))
    ]


def _entropy_after(first: Tensor, then: Tensor) -> float:
    """H(pair) - H(first)."""
    _, pairs = torch.stack([first, then]).unique(dim=1, return_counts=True)
    return float(entropy(pairs) - entropy(torch.bincount(first)))


def _pairs(rows: Sequence[Tensor]) -> tuple[Int64[Tensor, "p m"], Int64[Tensor, "p m"]]:
    """Every token that has a follower in its clip, and that follower."""
    first = torch.cat([row[:, :-1].long() for row in rows], 1)
    require(first.numel(), "no clip has two tokens, so that none follows another; give longer clips")
    return first, torch.cat([row[:, 1:].long() for row in rows], 1)
