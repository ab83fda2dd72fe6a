"""Sizes of the masked transformer, and the named presets."""

from __future__ import annotations

from dataclasses import dataclass

from mmm.errors import require


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a MaskedTransformer.

    Attributes:
        codes: codes in the codebook (K), of each part.
        code_dim: width of a code vector of one part (C).
        text_dim: width of the text encoder's embeddings (E): 384 for minilm, 512 for clip.
        dim, heads, mlp_ratio, dropout: the blocks.
        cross_layers: blocks that attend to the words. layers: self-attention blocks behind them.
        max_tokens: longest motion (N), in tokens; there are two places more, for the sentence and END.
        parts: 1 whole body, or 2 (upper, lower); the canvas shows them all.
        predicts: how many of them are predicted, from the upper one on; 0 means all of them. The authors'
            upper-body model predicts 1 of 2: it can only edit. One that predicts both can also generate.
        text_dropout: share of training texts that are dropped. Above 0 the model has vectors for "no text"
            and can be guided; at 0 it has the authors' parameters exactly.
    """

    codes: int
    code_dim: int
    text_dim: int
    dim: int
    layers: int
    cross_layers: int = 2
    heads: int = 16
    max_tokens: int = 49
    mlp_ratio: int = 4
    dropout: float = 0.1
    parts: int = 1
    text_dropout: float = 0.1
    predicts: int = 0

    def __post_init__(self) -> None:
        require(
            self.dim % self.heads == 0 and self.dim % 2 == 0,
            f"dim is {self.dim}, expected an even multiple of heads ({self.heads}): change one of them",
        )
        require(
            self.parts in (1, 2), f"parts is {self.parts}, expected 1 (whole body) or 2 (upper and lower)"
        )
        require(
            0 <= self.predicts <= self.parts,
            f"predicts is {self.predicts}, expected 1 to {self.parts}, the number of parts (or 0 for all of them)",
        )
        require(
            0 <= self.text_dropout < 1, f"text_dropout is {self.text_dropout}, expected a share in [0, 1)"
        )

    @property
    def predicted(self) -> int:
        """Parts that are predicted (r), the first ones."""
        return self.predicts or self.parts


# What a preset leaves open (codes, code_dim, text_dim) comes from the tokenizer and the text encoder. `small`
# keeps one cross-attention block where the paper has two: with everything masked, the first of them knows no
# more than its place, and at five blocks in all the self-attention needs the parameters more.
PRESETS: dict[str, dict[str, int | float]] = {
    "tiny": dict(dim=96, cross_layers=1, layers=2, heads=4),
    "light": dict(dim=192, cross_layers=1, layers=4, heads=6),
    "small": dict(dim=256, cross_layers=1, layers=4, heads=8),
    "paper": dict(dim=1024, cross_layers=2, layers=16, heads=16, text_dropout=0.0),
}


def preset(
    name: str, *, codes: int, code_dim: int, text_dim: int, **changes: int | float
) -> TransformerConfig:
    """The configuration of that name ("tiny", "light", "small", "paper"), with `changes` made to it."""
    require(name in PRESETS, f"preset is {name!r}, expected one of {', '.join(PRESETS)}")
    return TransformerConfig(
        codes=codes, code_dim=code_dim, text_dim=text_dim, **{**PRESETS[name], **changes}
    )
