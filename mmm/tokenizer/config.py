"""Sizes and rules of a tokenizer, and the named presets."""

from __future__ import annotations

from dataclasses import dataclass

from mmm.errors import require
from mmm.tokenizer import parts


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes and rules of a tokenizer; the defaults are the paper's.

    `code_dim` is the width of a whole time step: with two parts each has codes of half of it. `ema`, `reset`
    and `dead_below` are the quantizer's. `feature_bias` divides the standard deviation of the root numbers
    and of the contacts, so that they count more in the loss (5 in Guo's loaders); it bears on drift.
    """

    features: int = 263
    width: int = 512
    depth: int = 3
    down: int = 2
    stride: int = 2
    dilation_growth: int = 3
    codes: int = 8192
    code_dim: int = 32
    parts: int = 1
    ema: float = 0.99
    reset: str = "dead"
    dead_below: float = 0.5
    feature_bias: float = 1.0
    position_weight: float = 0.5
    commitment_weight: float = 0.02

    def __post_init__(self) -> None:
        require(
            self.parts in (1, 2), f"parts is {self.parts}, expected 1 (whole body) or 2 (upper and lower)"
        )
        require(
            self.parts == 1 or self.features == parts.FEATURES,
            f"features is {self.features}, but body parts are defined for {parts.FEATURES} features only",
        )
        require(self.code_dim % self.parts == 0, f"code_dim is {self.code_dim}, expected a multiple of parts")
        require(self.feature_bias > 0, f"feature_bias is {self.feature_bias}, expected a positive number")

    @property
    def ratio(self) -> int:
        """Frames per token."""
        return self.stride**self.down

    @property
    def positions(self) -> slice:
        """Where the joint positions lie: 4:67 of 263. J joints make 12 J - 1 features."""
        return slice(4, 4 + 3 * ((self.features + 1) // 12 - 1))


PRESETS = {
    "tiny": TokenizerConfig(width=64, codes=128, code_dim=16, feature_bias=5.0),
    # with parts=2 the sizes of data/pretrained/bandai-small; dead_below: what that was trained with
    "light": TokenizerConfig(width=96, codes=512, code_dim=32, feature_bias=5.0, dead_below=0.125),
    "small": TokenizerConfig(width=176, codes=1024, code_dim=32, feature_bias=5.0, dead_below=0.125),
    "paper": TokenizerConfig(),
}
