"""How long should the motion be? Text → a distribution over its number of tokens.

Source: MMM (arXiv 2312.03596), section 3.3: a pretrained estimator gives the length at inference. The release
ships none; this is a small one on the sentence embedding.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mmm.errors import require
from mmm.storage import load_config, load_state, save_module


@dataclass(frozen=True)
class LengthConfig:
    """text_dim: width of the sentence embedding (E). max_tokens: longest motion. hidden, dropout: the MLP."""

    text_dim: int
    max_tokens: int = 49
    hidden: int = 192
    dropout: float = 0.1


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
    def estimate(
        self, sentence: Float[Tensor, "b e"], generator: torch.Generator | None = None
    ) -> Int64[Tensor, " b"]:
        """Lengths in tokens: the likeliest ones, or with a CPU `generator` a draw from the distribution.

        Dropout is off whatever the mode. Every item goes through on its own, so that the last bits of its
        logits, hence its length, do not depend on its batch mates.
        """
        training = self.training
        self.eval()
        try:
            logits = torch.cat([self(row[None]) for row in sentence]).cpu()
        finally:
            self.train(training)
        if generator is None:
            return logits.argmax(dim=1) + 1
        return torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0] + 1

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


def length_loss(logits: Float[Tensor, "b m"], lengths: Int64[Tensor, " b"]) -> Float[Tensor, ""]:
    """Cross-entropy of the true lengths (tokens, 1 … m), mean over the batch.

    Raises:
        ValueError: a length is below 1 or above m.
    """
    low, high = int(lengths.min()), int(lengths.max())
    require(
        1 <= low and high <= logits.shape[1],
        f"lengths run from {low} to {high} tokens, expected 1 to {logits.shape[1]}: leave the others out",
    )
    return F.cross_entropy(logits.float(), lengths - 1)
