"""Is the codebook alive? How often codes are used, as entropy, perplexity and dead codes.

Tokens come as `Tokenizer.encode` returns them, (…, P, N), or as a list of clips, each (P, N), with P body parts
(parts.py) and N time steps. Each part has its own codebook, so there is one report for each part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmm.errors import require


@dataclass(frozen=True)
class CodebookReport:
    """Use of one part's codebook over all tokens of a set."""

    codes: int  # in the codebook, K
    tokens: int  # in the set
    used: int  # codes chosen at least once
    entropy: float  # of the codes' frequencies, in bits; at most log2(codes)
    perplexity: float  # 2 ** entropy: as many equally frequent codes would have the same entropy

    @property
    def dead(self) -> int:
        """Codes never chosen."""
        return self.codes - self.used

    @property
    def usage(self) -> float:
        """Ratio of the codes that are used."""
        return self.used / self.codes


def codebook_report(tokens: Int[Tensor, "*batch p n"] | list[Tensor], codes: int) -> list[CodebookReport]:
    """One report per part."""
    return [usage_report(counts) for counts in code_counts(tokens, codes)]


def usage_report(counts: Int[Tensor, " k"]) -> CodebookReport:
    """The report of one part, from how often each code was chosen.

    Raises:
        ValueError: there are no tokens.
    """
    require(bool(counts.sum() > 0), "no code was chosen even once: there are no tokens to count")
    bits = float(entropy(counts))
    return CodebookReport(len(counts), int(counts.sum()), int((counts > 0).sum()), bits, 2**bits)


def code_counts(tokens: Int[Tensor, "*batch p n"] | list[Tensor], codes: int) -> Int[Tensor, "p k"]:
    """How often each code of each part occurs in (…, P, N) tokens, or in a list of (P, N).

    Raises:
        ValueError: there are no tokens, or one is not a code id (a canvas that is not filled).
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
    frequency = counts.double() / counts.sum(-1, keepdim=True)
    log2 = torch.log(torch.tensor(2.0, dtype=torch.float64))
    return -torch.special.xlogy(frequency, frequency).sum(-1) / log2
