"""Is the codebook alive, and what do its codes mean? Numbers about codes and tokens (notebook 02).

Tokens come as `encode` gives them: (…, P, N), or a list of clips, each (P, N). Everything is answered for each body
part by itself: parts have codebooks of their own. Bits are base 2 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices
from mmm.motion.measures import CENTIMETRES
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.tokenizer.model import Tokenizer

# A clip's features; the underscore: clips differ in length, and a mismatch gets a sentence of ours.
Clip = Float[Tensor, "_t _d"] | Float[np.ndarray, "_t _d"]


@dataclass(frozen=True)
class CodebookReport:
    """Of one part's codebook: numbers over all tokens of the set."""

    codes: int
    tokens: int
    used: int  # codes chosen at least once
    entropy: float  # of the codes' frequencies, in bits; at most log2(codes)
    perplexity: float  # 2 ** entropy: as many equally frequent codes would be as varied

    @property
    def dead(self) -> int:
        """Codes never chosen."""
        return self.codes - self.used

    @property
    def usage(self) -> float:
        """Share of the codes that is used."""
        return self.used / self.codes


def code_counts(tokens: Int[Tensor, "*batch p n"] | list[Tensor], codes: int) -> Int[Tensor, "p k"]:
    """How often each code of each part occurs in (…, P, N) tokens, or in a list of (P, N).

    Raises:
        ValueError: there is no token, or one that is no code id (an unfilled place of a canvas).
    """
    rows = tokens if isinstance(tokens, list) else [tokens]
    require(rows and all(row.numel() for row in rows), "there are no tokens to count")
    flat = torch.cat([row.movedim(-2, 0).flatten(1) for row in rows], 1)
    require(
        bool(((flat >= 0) & (flat < codes)).all()),
        f"tokens lie in {int(flat.min())}…{int(flat.max())}, expected code ids in 0…{codes - 1}",
    )
    return torch.stack([torch.bincount(part, minlength=codes) for part in flat])


def entropy(counts: Int[Tensor, "*p k"] | Float[Tensor, "*p k"]) -> Float[Tensor, "*p"]:
    """Entropy of the frequencies, in bits."""
    share = counts.double() / counts.sum(-1, keepdim=True)
    return -torch.special.xlogy(share, share).sum(-1) / torch.log(torch.tensor(2.0, dtype=torch.float64))


def usage_report(counts: Int[Tensor, " k"]) -> CodebookReport:
    """Of how often each code was chosen.

    Raises:
        ValueError: none was.
    """
    require(bool(counts.sum() > 0), "no code was chosen even once: there are no tokens to count")
    bits = float(entropy(counts))
    return CodebookReport(len(counts), int(counts.sum()), int((counts > 0).sum()), bits, 2**bits)


def codebook_report(tokens: Int[Tensor, "*batch p n"] | list[Tensor], codes: int) -> list[CodebookReport]:
    """One report per part."""
    return [usage_report(counts) for counts in code_counts(tokens, codes)]


# ---------------------------------------------------------------------- where the codes lie


def nearest_distances(codebook: Float[Tensor, "k c"]) -> Float[Tensor, " k"]:
    """Distance of each code to the nearest other code.

    Codes that lie closer to each other than encoder outputs lie to their codes say the same thing twice.

    Raises:
        ValueError: there is only one code.
    """
    require(len(codebook) > 1, f"the codebook has {len(codebook)} code(s), expected at least 2")
    # Not by |a|² - 2ab + |b|²: of near codes that would leave little but the rounding.
    distances = torch.cdist(codebook.detach(), codebook.detach(), compute_mode="donot_use_mm_for_euclid_dist")
    return distances.fill_diagonal_(torch.inf).min(1).values


@torch.no_grad()
def quantisation_distances(tokenizer: Tokenizer, clips: Sequence[Clip]) -> Float[Tensor, "p m"]:
    """How far each encoder output is from the code that stands for it, over all tokens of raw clips."""
    found = []
    for clip in clips:
        outputs, _ = tokenizer.encoder_outputs(_frames(clip).float().to(tokenizer.mean.device)[None])
        found.append(
            torch.stack([
                (z[0] - quantizer.lookup(quantizer.nearest(z[0]))).norm(dim=1)
                for z, quantizer in zip(outputs, tokenizer.quantizers, strict=True)
            ])
        )  # fmt: skip
    return torch.cat(found, 1).cpu()


def codebook_map(
    codebook: Float[Tensor, "k c"], used: Bool[Tensor, " k"]
) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "2"]]:
    """All codes on the plane in which the used ones differ most (PCA), and each axis's share of their variance.

    Unused codes have no say in where the plane lies: they may be anywhere.

    Raises:
        ValueError: fewer than three codes are used, or codes are narrower than two numbers.
    """
    require(
        int(used.sum()) >= 3 and codebook.shape[1] >= 2,
        f"{int(used.sum())} used codes of {codebook.shape[1]} numbers make no plane; expected at least 3 of 2",
    )
    codes = codebook.detach().double()
    centred = codes - codes[used].mean(0)
    _, sizes, axes = torch.linalg.svd(centred[used], full_matrices=False)
    axes = axes[:2]
    # An axis may point either way; its largest number is made positive, so that the map is the same everywhere.
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    share = sizes[:2].square() / sizes.square().sum().clamp(min=torch.finfo(torch.float64).tiny)
    return (centred @ axes.T).float(), share.float()


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
        clips: their raw features (T, D). Frames behind the last token's are left out (long clips are cut).
        ratio: frames per token.

    Raises:
        ValueError: not as many clips as rows, or a clip too short for its tokens.
    """
    body = get_skeleton(skeleton)
    require(len(rows) == len(clips), f"there are tokens of {len(rows)} clips, but features of {len(clips)}")
    part, unit = feature_slices(body), CENTIMETRES[body.unit]
    sums = torch.zeros(3, len(rows[0]), codes, dtype=torch.float64)
    counts = torch.zeros(len(rows[0]), codes, dtype=torch.float64)
    for number, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        frames = _frames(clip).double()[: row.shape[1] * ratio]
        require(
            len(frames) > (row.shape[1] - 1) * ratio,
            f"clip {number} has {len(frames)} frames for {row.shape[1]} tokens of {ratio}; give tokens of these clips",
        )
        turn = frames[:, part["root_angular"]][
            :, 0
        ]  # half the turn, and to the right (as `plot_root_and_feet`)
        numbers = torch.stack([
            frames[:, part["root_linear"]].norm(dim=1) * fps * unit,
            frames[:, part["root_height"]][:, 0] * unit,
            torch.rad2deg(-2 * fps * turn),
        ])  # fmt: skip
        for p, token in enumerate(row.long().repeat_interleave(ratio, 1)[:, : len(frames)]):
            sums[:, p].index_add_(1, token, numbers)
            counts[p].index_add_(0, token, torch.ones(len(token), dtype=torch.float64))
    return Meanings(*(sums / torch.where(counts > 0, counts, torch.nan)).float())


# ---------------------------------------------------------------------- how tokens follow each other


def shuffled(rows: Sequence[Int[Tensor, "p _n"]], seed: int = 0) -> list[Int64[Tensor, "p _n"]]:
    """The same tokens in random order: each part's are dealt anew to the places of all clips.

    What is found in them too is no order in time but chance, or the bias of few tokens.
    """
    flat = torch.cat([row.long() for row in rows], 1)
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.stack([part[torch.randperm(len(part), generator=generator)] for part in flat])
    return list(mixed.split([row.shape[1] for row in rows], 1))


def run_lengths(rows: Sequence[Int[Tensor, "p _n"]]) -> list[Int64[Tensor, " runs"]]:
    """For each part, lengths of the runs of one and the same token, clip by clip; no run spans two clips."""
    found: list[list[Tensor]] = [[] for _ in rows[0]]
    for row in rows:
        for part, tokens in zip(found, row, strict=True):
            part.append(torch.unique_consecutive(tokens, return_counts=True)[1])
    return [torch.cat(part) for part in found]


def transitions(rows: Sequence[Int[Tensor, "p _n"]], codes: int) -> Int64[Tensor, "p k k"]:
    """How often a token (row) is followed by another (column) within a clip."""
    first, then = _pairs(rows)
    return torch.stack([
        torch.bincount(pairs, minlength=codes**2).view(codes, codes) for pairs in first * codes + then
    ])  # fmt: skip


class Succession(NamedTuple):
    """How uncertain the next token is, in bits, of one part."""

    unconditional: float  # if nothing is known: the entropy of the tokens that follow another
    after: float  # if the token before is known
    after_shuffled: float  # the same of shuffled tokens: what `after` would be if order said nothing
    repeats: float  # share of tokens that are followed by themselves


def transition_entropy(rows: Sequence[Int[Tensor, "p _n"]], seed: int = 0) -> list[Succession]:
    """Entropy of a token given the one before it, H(pair) - H(first), for each part.

    Estimated from few tokens it is far too low: of K² transitions most were never seen, and what was seen once looks
    certain. Shuffled tokens suffer the same and have no order, so the fair comparison is with theirs, not with the
    unconditional entropy.

    Raises:
        ValueError: no clip has two tokens.
    """

    def after(some: Sequence[Tensor]) -> list[float]:
        first, then = _pairs(some)
        codes = int(torch.maximum(first, then).max()) + 1
        joint = [pairs.unique(return_counts=True)[1] for pairs in first * codes + then]
        return [
            float(entropy(both) - entropy(torch.bincount(a))) for both, a in zip(joint, first, strict=True)
        ]

    first, then = _pairs(rows)
    return [
        Succession(float(entropy(torch.bincount(b))), known, mixed, float((a == b).double().mean()))
        for a, b, known, mixed in zip(first, then, after(rows), after(shuffled(rows, seed)), strict=True)
    ]


def _pairs(rows: Sequence[Tensor]) -> tuple[Int64[Tensor, "p m"], Int64[Tensor, "p m"]]:
    """Every token that has a follower in its clip, and that follower."""
    first = torch.cat([row[:, :-1].long() for row in rows], 1)
    require(first.numel(), "no clip has two tokens, so that none follows another; give longer clips")
    return first, torch.cat([row[:, 1:].long() for row in rows], 1)


def _frames(clip: Clip) -> Tensor:
    """A copy of what may lie in a file that is only to be read, of which torch would warn."""
    return clip if isinstance(clip, Tensor) else torch.from_numpy(np.array(clip))
