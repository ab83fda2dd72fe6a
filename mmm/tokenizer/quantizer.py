"""The quantizer: a vector is replaced by the nearest entry of a codebook, and the index of that entry is the token.

Paper, section 3.1; docs/REPRODUCTION.md, "Tokenizer". Three things keep a large codebook alive. Each can be switched
off to see what it does (notebook 02):

- *factorised look-up*: codes have few numbers (32 where the network is 512 wide). Here this is only the choice of
  `width`; the last convolution of the encoder projects to it.
- *EMA*: a code is the running mean of the encoder outputs that chose it (`ema` > 0). With `ema=0` the codebook is a
  parameter, trained by the gradient of `codebook_loss`.
- *reset*: codes that are not chosen are moved onto encoder outputs of the batch, see `RESETS`.

All state is in buffers or parameters, so a checkpoint is complete and a resumed training is exactly the same.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn

from mmm.errors import require
from mmm.training.processes import from_first_process, gather_items, mean_count, sum_over_processes

RESETS = ("dead", "release", "none")
"""The EMA count of a code is the running mean of how often it is chosen in a step.
`dead` (default): a code is replaced in the step in which its EMA count falls below min(1, `dead_below` × average
count), and its EMA sum and count are rewritten, so that the replacement lasts.
`release` (what the MMM authors' code does): a flag per code turns on, for good, when its EMA count reaches 1; every
21st step the codes whose flag is off are replaced, but their EMA sums stay, so the next update undoes the replacement.
`none`: no code is ever replaced."""

RELEASE_INTERVAL = 21
USAGE_DECAY = 0.99  # of the usage counts when the codebook itself is trained by gradient
NEAR = 8  # codes that may replace another one when tokens are disturbed
CHUNK = 1 << 24  # distances held at once: 64 MB in float32
TINY = 1e-6  # EMA counts below this carry no information: such a code stays where it is


class Quantized(NamedTuple):
    """The quantizer's results for encoder outputs (B, N, C)."""

    vectors: Float[Tensor, "b n c"]  # the codes; gradients pass straight through to the encoder outputs
    tokens: Int[Tensor, "b n"]
    commitment: Float[Tensor, ""]  # mean squared distance from the codes, pulls the encoder
    codebook_loss: Float[Tensor, ""]  # the same, pulls the codes; 0 with EMA
    perplexity: Float[Tensor, ""]  # of the batch, over all processes


class Quantizer(nn.Module):
    """A codebook of `codes` vectors of `width` numbers.

    Args:
        codes: number of codes, K.
        width: width of a code, C.
        ema: decay of the running means, or 0 to train the codebook by gradient.
        reset: one of `RESETS`.
        dead_below: with reset "dead", a code is dead when its EMA count is below 1 and below this ratio of the average
            count, which is tokens per batch / codes. A limit of 1 alone would declare most codes dead in every step at
            the paper's size: 4,096 tokens per batch for 8,192 codes.
    """

    def __init__(
        self, codes: int, width: int, ema: float = 0.99, reset: str = "dead", dead_below: float = 0.5
    ) -> None:
        super().__init__()
        require(reset in RESETS, f"reset is {reset!r:.60}, expected one of {', '.join(RESETS)}")
        require(0 <= ema < 1, f"ema is {ema}, expected a decay in [0, 1), 0 meaning trained by gradient")
        self.ema, self.reset, self.dead_below = ema, reset, dead_below
        codebook = torch.zeros(codes, width)
        if ema:
            self.register_buffer("codebook", codebook)
            self.register_buffer("ema_sums", torch.zeros(codes, width))
        else:
            self.codebook = nn.Parameter(codebook)
        self.register_buffer("ema_counts", torch.zeros(codes))
        self.register_buffer("used", torch.zeros(codes, dtype=torch.bool))  # flags of reset "release"
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        # For the log, not part of a model: how often each code was chosen since `take_usage`, and replaced in all.
        for name in ("chosen", "resets"):
            counts = torch.zeros(codes, dtype=torch.int64, device="cpu")  # see `mmm.storage.load_module`
            self.register_buffer(name, counts, persistent=False)
        self.register_buffer("initialised", torch.zeros((), dtype=torch.bool))

    def forward(
        self,
        z: Float[Tensor, "b n c"],
        real: Bool[Tensor, "b n"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Quantized:
        """Quantize; in training mode also update the codebook.

        Positions that are not `real` (padding) get a token too, but do not count in any statistic, loss or reset.
        `generator` (on the CPU) draws the replacements; the first training batch initialises the codebook.
        """
        # In float32 whatever the precision around it: bfloat16 cannot tell near codes apart.
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            rows = z.detach().flatten(0, 1) if real is None else z.detach()[real]
            all_rows = _all_rows(z.detach(), real) if self.training else rows
            if self.training and not self.initialised:
                self.set_codebook(self._draw(all_rows, generator))
            tokens = self.nearest(z)
            codes = self.lookup(tokens)
            row_tokens = tokens.flatten() if real is None else tokens[real]
            counts = self._counts(row_tokens)
            commitment = _mean_square(z - codes.detach(), real)
            codebook_loss = commitment.new_zeros(()) if self.ema else _mean_square(z.detach() - codes, real)
            vectors = z + (codes - z).detach()
            if self.training:
                self._update(rows, row_tokens, counts, all_rows, generator)
        return Quantized(vectors, tokens, commitment, codebook_loss, perplexity(counts))

    @torch.no_grad()
    def nearest(self, z: Float[Tensor, "*batch c"]) -> Int[Tensor, "*batch"]:
        """Index of the nearest code, in Euclidean distance.

        |z - c|² = |z|² - 2 z·c + |c|², and |z|² is the same for all codes: one matrix product is enough.
        """
        flat = z.reshape(-1, z.shape[-1]).float()
        squares = self.codebook.square().sum(1)
        chunks = flat.split(max(1, CHUNK // len(squares)))
        tokens = [torch.addmm(squares, chunk, self.codebook.t(), alpha=-2).argmin(1) for chunk in chunks]
        return torch.cat(tokens).view(z.shape[:-1])

    def lookup(self, tokens: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch c"]:
        """The codes of tokens."""
        return F.embedding(tokens, self.codebook)

    @torch.no_grad()
    def noisy(self, z: Float[Tensor, "b n c"], ratio: float, generator: torch.Generator | None) -> Quantized:
        """The codes of disturbed tokens as vectors, the undisturbed tokens, and no loss: to train a decoder alone."""
        tokens, zero = self.nearest(z), z.new_zeros((), dtype=torch.float32)
        return Quantized(self.lookup(self.disturb(tokens, ratio, generator)), tokens, zero, zero, zero)

    @torch.no_grad()
    def disturb(
        self, tokens: Int[Tensor, "*batch"], ratio: float, generator: torch.Generator | None
    ) -> Int[Tensor, "*batch"]:
        """`tokens` with about this ratio of them replaced, each by one of its `NEAR` nearest codes with equal chance.

        `generator` is on the CPU.
        """
        replace = (torch.rand(tokens.shape, generator=generator) < ratio).to(tokens.device)
        distances = torch.cdist(self.codebook[tokens[replace]], self.codebook)
        near = distances.topk(NEAR + 1, largest=False).indices[:, 1:]
        which = torch.randint(NEAR, (len(near), 1), generator=generator).to(tokens.device)
        return tokens.masked_scatter(replace, near.gather(1, which))

    @torch.no_grad()
    def set_codebook(self, codebook: Float[Tensor, "k c"]) -> None:
        """Start from these codes, each with an EMA count of 1."""
        self.codebook.copy_(codebook)
        if self.ema:
            self.ema_sums.copy_(codebook)
        self.ema_counts.fill_(1)
        self.initialised.fill_(True)

    @torch.no_grad()
    def take_usage(self) -> Int64[Tensor, " k"]:
        """How often each code was chosen in training since the last call (over all processes)."""
        usage = self.chosen.clone()
        self.chosen.zero_()
        return usage

    def _counts(self, tokens: Int[Tensor, " m"]) -> Float[Tensor, " k"]:
        """How often each code was chosen in this step, over all processes."""
        ones = torch.ones(len(tokens), device=tokens.device)
        return sum_over_processes(torch.zeros_like(self.ema_counts).index_add_(0, tokens, ones))

    @torch.no_grad()
    def _update(
        self,
        rows: Float[Tensor, "m c"],
        tokens: Int[Tensor, " m"],
        counts: Float[Tensor, " k"],
        all_rows: Float[Tensor, "all c"],
        generator: torch.Generator | None,
    ) -> None:
        """One step of the running counts and means, then of the reset rule, which draws from `all_rows`.

        The means use sums over processes, not sums of `all_rows`: the latter may differ in the last bit from process to
        process, and the codebooks would drift apart.
        """
        self.step += 1
        self.chosen += counts.long()
        self.ema_counts.lerp_(counts, 1 - (self.ema or USAGE_DECAY))
        self.used |= self.ema_counts >= 1
        if self.ema:
            sums = sum_over_processes(torch.zeros_like(self.ema_sums).index_add_(0, tokens, rows))
            self.ema_sums.lerp_(sums, 1 - self.ema)
            means = self.ema_sums / self.ema_counts.clamp(min=TINY)[:, None]
            self.codebook.copy_(torch.where(self.ema_counts[:, None] > TINY, means, self.codebook))
        if self.reset == "dead":
            average = counts.mean()
            dead = self.ema_counts < (self.dead_below * average).clamp(max=1)
            # An average count gives the new code time to be chosen before it can be dead again.
            self._replace(dead, all_rows, generator)
            self.ema_counts.copy_(torch.where(dead, average, self.ema_counts))
            if self.ema:
                rewritten = self.codebook * self.ema_counts[:, None]
                self.ema_sums.copy_(torch.where(dead[:, None], rewritten, self.ema_sums))
        elif self.reset == "release":
            self._replace(~self.used & (self.step % RELEASE_INTERVAL == 0), all_rows, generator)

    def _replace(
        self, which: Bool[Tensor, " k"], rows: Float[Tensor, "m c"], generator: torch.Generator | None
    ) -> None:
        """Replace some codes by random encoder outputs.

        They are drawn for all codes in every step: the generator's state never depends on how many are needed.
        """
        self.codebook.copy_(torch.where(which[:, None], self._draw(rows, generator), self.codebook))
        self.resets += which

    def _draw(self, rows: Float[Tensor, "m c"], generator: torch.Generator | None) -> Float[Tensor, "k c"]:
        """K different rows, in random order; fewer than K are repeated with noise of 0.01 / √C."""
        count, width = self.codebook.shape
        require(len(rows), "the batch has no real frame to learn codes from: it is all padding")
        if len(rows) < count:
            rows = rows.repeat(math.ceil(count / len(rows)), 1)
            rows = rows + torch.randn(rows.shape, generator=generator).to(rows) * 0.01 / math.sqrt(width)
        order = torch.randperm(len(rows), generator=generator)[:count].to(rows.device)
        return from_first_process(rows[order].contiguous())


def perplexity(counts: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """exp of the entropy of the codes' frequencies: as many equally frequent codes would have the same entropy."""
    frequency = counts / counts.sum().clamp(min=1)
    return torch.exp(-(frequency * torch.log(frequency + 1e-7)).sum())


def _all_rows(z: Float[Tensor, "b n c"], real: Bool[Tensor, "b n"] | None) -> Float[Tensor, "m c"]:
    """The real rows of the whole batch, over all processes, in the batch's order."""
    z = gather_items(z)
    return z.flatten(0, 1) if real is None else z[gather_items(real.float()) > 0]


def _mean_square(difference: Float[Tensor, "b n c"], real: Bool[Tensor, "b n"] | None) -> Float[Tensor, ""]:
    square = difference.square().mean(-1)
    if real is None:
        return square.mean()
    return (square * real).sum() / mean_count(real.sum()).clamp(min=1)  # with one process: the count
