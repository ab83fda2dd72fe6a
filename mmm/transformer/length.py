"""How long should the motion be? From a text to a distribution over its number of tokens.

Source: MMM (arXiv 2312.03596), section 3.3: a pretrained estimator gives the length at inference. The release
has none; this is a small one on the sentence embedding. `mmm.lab.length_calibration` tests its distributions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from mmm.errors import check_ranges, require
from mmm.storage import load_config, load_module, save_module
from mmm.training.seeds import step_generator


@dataclass(frozen=True)
class LengthConfig:
    """Sizes of the estimator, and the blur that keeps it from overconfidence.

    Attributes:
        text_dim: width of the sentence embedding (E).
        max_tokens: the longest motion.
        hidden, dropout: of the MLP.
        blur: standard deviation (tokens) of the bell that stands for a length in training; 0 is the length alone. A
            clip of 20 tokens could also have had 19 or 21. Without blur the network memorises which lengths occur.
    """

    text_dim: int
    max_tokens: int = 49
    hidden: int = 192
    dropout: float = 0.1
    blur: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, text_dim=(1, 1 << 16), max_tokens=(1, 4096), hidden=(1, 1 << 16))
        check_ranges(self, dropout=(0.0, 1.0), blur=(0.0, 1e4))


class LengthEstimator(nn.Module):
    """An MLP with one logit for each length 1 … max_tokens; 120,000 parameters for minilm."""

    def __init__(self, config: LengthConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(
            nn.LayerNorm(config.text_dim),  # encoders differ in the scale of their sentences
            nn.Linear(config.text_dim, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.max_tokens),
        )

    def forward(self, sentence: Float[Tensor, "b e"]) -> Float[Tensor, "b max_tokens"]:
        """Logits; column i stands for a motion of i + 1 tokens."""
        return self.layers(sentence)

    @torch.no_grad()
    def distribution(self, sentence: Float[Tensor, "b e"]) -> Float[Tensor, "b max_tokens"]:
        """Probabilities (float64, on the CPU); column i stands for a motion of i + 1 tokens.

        Dropout is off. Every item goes through the network alone, so that the last bits of its probabilities, and
        with them its length, do not depend on the other items.
        """
        training = self.training
        self.eval()
        try:
            logits = torch.cat([self(row[None]) for row in sentence])
        finally:
            self.train(training)
        return logits.cpu().double().softmax(1)

    def estimate(
        self,
        sentence: Float[Tensor, "b e"],
        rule: str = "median",
        seeds: Sequence[int] | None = None,
    ) -> Int64[Tensor, " b"]:
        """Lengths in tokens.

        Args:
            rule: "median" is off by the fewest tokens on average; "argmax" is the most likely length, which is hardly
                better than its neighbours where the distribution is broad; "draw" varies as the data do.
            seeds: one for each item, for "draw" only; a draw depends on the item's sentence and seed alone.

        Raises:
            ValueError: an unknown rule; "draw" without one seed for each item, or seeds with another rule.
        """
        rules = ("median", "argmax", "draw")
        require(rule in rules, f"rule is {rule!r}, expected one of {', '.join(rules)}")
        count = 0 if seeds is None else len(seeds)
        expected = len(sentence) if rule == "draw" else 0
        require(
            count == expected,
            f"rule {rule!r} with {count} seeds for {len(sentence)} items, expected {expected}",
        )
        probabilities = self.distribution(sentence)
        if rule == "argmax":
            return probabilities.argmax(1) + 1
        level = torch.full((len(sentence), 1), 0.5, dtype=torch.float64)
        if seeds is not None:
            for row, seed in zip(level, seeds, strict=True):
                # Another stream than the sampler's, which draws from a generator with the same seed.
                row.uniform_(generator=step_generator(int(seed) % (1 << 64), 0))
        # The first length whose cumulative probability reaches the level.
        below = (probabilities.cumsum(1) < level).sum(1)
        return (below + 1).clamp(max=self.config.max_tokens)  # the sum of all may be slightly below 1

    def save_pretrained(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write config.json and model.safetensors."""
        save_module(self, self.config, folder, dtype)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> LengthEstimator:
        """The estimator of a folder, in evaluation mode.

        Raises:
            FileNotFoundError, ValueError: files are missing, damaged, or do not fit each other.
        """
        config = load_config(LengthConfig, folder)
        return load_module(lambda: cls(config), folder)


def length_loss(
    logits: Float[Tensor, "b m"], lengths: Int64[Tensor, " b"], blur: float = 0.0
) -> Float[Tensor, ""]:
    """Cross-entropy of the lengths (tokens, 1 … m), mean over the batch.

    Args:
        blur: see `LengthConfig`.

    Raises:
        ValueError: a length is below 1 or above m.
    """
    low, high = int(lengths.min()), int(lengths.max())
    require(
        1 <= low and high <= logits.shape[1],
        f"lengths run from {low} to {high} tokens, expected 1 to {logits.shape[1]}: leave the others out",
    )
    if not blur:
        return F.cross_entropy(logits.float(), lengths - 1)
    columns = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    distance = (columns - lengths[:, None]) / blur
    return F.cross_entropy(logits.float(), (-0.5 * distance.square()).softmax(1))


def point_errors(probabilities: Float[np.ndarray, "n k"], lengths: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Mean distance (tokens) of the true length from the most likely one, the median and the mean.

    Args:
        probabilities: of the lengths 1 … K, a row per clip.
    """
    guesses = {
        "argmax": probabilities.argmax(1) + 1,
        "median": (probabilities.cumsum(1) < 0.5).sum(1) + 1,
        "mean": probabilities @ np.arange(1, probabilities.shape[1] + 1),
    }
    return {name: float(np.abs(guess - lengths).mean()) for name, guess in guesses.items()}
