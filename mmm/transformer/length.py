"""How long should the motion be? Text → a distribution over its number of tokens.

Source: MMM (arXiv 2312.03596), section 3.3: a pretrained estimator gives the length at inference. The release
ships none; this is a small one on the sentence embedding. Whether its distributions can be believed is measured
by `mmm.lab.length_calibration`.
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

from mmm.errors import require
from mmm.storage import load_config, load_state, save_module
from mmm.training.seeds import step_generator


@dataclass(frozen=True)
class LengthConfig:
    """Sizes of the estimator, and what keeps it from being surer than it can be.

    Args:
        text_dim: width of the sentence embedding (E).
        max_tokens: the longest motion.
        hidden, dropout: of the MLP.
        blur: in training a length counts as a bell of this standard deviation around it (tokens), 0 = as itself
            alone. A clip of 20 tokens might as well have had 19 or 21; not so told, the network learns by heart
            which lengths happened to occur.

    Raises:
        ValueError: blur is negative.
    """

    text_dim: int
    max_tokens: int = 49
    hidden: int = 192
    dropout: float = 0.1
    blur: float = 0.0

    def __post_init__(self) -> None:
        require(self.blur >= 0, f"blur is {self.blur} tokens, expected 0 or more")


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

        Dropout is off whatever the mode. Every item goes through on its own, so that the last bits of its
        probabilities, hence its length, do not depend on its batch mates.
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
            rule: "median" is off by the fewest tokens on average; "argmax" is the likeliest length, which is no
                better than its neighbours where the distribution is broad; "draw" varies as the data do.
            seeds: one for each item, for "draw" only; an item's draw depends on its sentence and seed alone.

        Raises:
            ValueError: an unknown rule; draws without seeds, not as many seeds as items, or seeds without draws.
        """
        rules = ("median", "argmax", "draw")
        require(rule in rules, f"rule is {rule!r}, expected one of {', '.join(rules)}")
        require(
            (seeds is None) == (rule != "draw"),
            f"rule {rule!r} with seeds {seeds}: a draw needs a seed for each item, the other rules none",
        )
        probabilities = self.distribution(sentence)
        if rule == "argmax":
            return probabilities.argmax(1) + 1
        level = torch.full((len(sentence), 1), 0.5, dtype=torch.float64)
        if seeds is not None:
            require(len(seeds) == len(level), f"{len(seeds)} seeds for {len(level)} items, expected one each")
            for row, seed in zip(level, seeds, strict=True):
                # A stream of its own: the sampler will draw from a generator with the same seed.
                row.uniform_(generator=step_generator(int(seed) % (1 << 64), 0))
        # The first length that is not exceeded with this probability.
        below = (probabilities.cumsum(1) < level).sum(1)
        return (below + 1).clamp(max=self.config.max_tokens)  # all may sum to a hair less than 1

    def save_pretrained(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write config.json and model.safetensors."""
        save_module(self, self.config, folder, dtype)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> LengthEstimator:
        """The estimator that `save_pretrained` wrote, in evaluation mode.

        Raises:
            FileNotFoundError, ValueError: files missing, damaged, or not fitting each other.
        """
        model = cls(load_config(LengthConfig, folder))
        load_state(model, folder)
        return model.eval()


def length_loss(
    logits: Float[Tensor, "b m"], lengths: Int64[Tensor, " b"], blur: float = 0.0
) -> Float[Tensor, ""]:
    """Cross-entropy of the true lengths (tokens, 1 … m), mean over the batch.

    Args:
        blur: standard deviation (tokens) of the bell that stands for a length; 0 = the length alone.

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
    places = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    distance = (places - lengths[:, None]) / blur
    return F.cross_entropy(logits.float(), (-0.5 * distance.square()).softmax(1))


def point_errors(probabilities: Float[np.ndarray, "n k"], lengths: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Mean distance (tokens) of the true length from the likeliest one, the median and the mean.

    Args:
        probabilities: of the lengths 1 … K, a row per clip.
    """
    guesses = {
        "argmax": probabilities.argmax(1) + 1,
        "median": (probabilities.cumsum(1) < 0.5).sum(1) + 1,
        "mean": probabilities @ np.arange(1, probabilities.shape[1] + 1),
    }
    return {name: float(np.abs(guess - lengths).mean()) for name, guess in guesses.items()}
