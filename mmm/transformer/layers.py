"""What the masked transformer is built of: attention, a block of it, the positions.

Source: REPRODUCTION.md, "Transformer".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmm.transformer.config import TransformerConfig


class Attention(nn.Module):
    """Multi-head attention of x to `context` (or itself); keys where `mask` is False are not looked at."""

    def __init__(self, dim: int, heads: int, dropout: float, cross: bool) -> None:
        super().__init__()
        self.heads, self.cross = heads, cross
        self.dropout = dropout
        # One matrix product instead of three (or two): the names query, key, value of the authors' arrays are
        # mapped onto its rows in release.py.
        if cross:
            self.query = nn.Linear(dim, dim)
            self.key_value = nn.Linear(dim, 2 * dim)
        else:
            self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "b q d"],
        mask: Bool[Tensor, "b k"],
        context: Float[Tensor, "b k d"] | None = None,
    ) -> Float[Tensor, "b q d"]:
        if context is None:
            query, key, value = self.query_key_value(x).chunk(3, dim=-1)
        else:
            query, (key, value) = self.query(x), self.key_value(context).chunk(2, dim=-1)
        query, key, value = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (query, key, value))
        y = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None], dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm attention and MLP (GELU), each added to what came in; a cross block norms the words too."""

    def __init__(self, config: TransformerConfig, cross: bool) -> None:
        super().__init__()
        dim, hidden = config.dim, config.dim * config.mlp_ratio
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_words = nn.LayerNorm(dim) if cross else None
        self.attention = Attention(dim, config.heads, config.dropout, cross)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "b q d"],
        mask: Bool[Tensor, "b k"],
        words: Float[Tensor, "b k d"] | None = None,
    ) -> Float[Tensor, "b q d"]:
        context = None if self.norm_words is None else self.norm_words(words)
        x = x + self.dropout(self.attention(self.norm_attention(x), mask, context))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


def sinusoids(places: int, dim: int) -> Float[Tensor, "places dim"]:
    """Positions as in Vaswani et al. 2017, section 3.5: sines in even columns, cosines in odd ones."""
    place = torch.arange(places, dtype=torch.float64)[:, None]
    angle = place * 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()
