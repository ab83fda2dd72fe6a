"""The network of the tokenizer: its sizes, its blocks of convolutions, the encoder and the decoder.

Paper, section 3.1; docs/REPRODUCTION.md, "Tokenizer". The encoder makes one vector of every 4 frames, the decoder
makes 4 frames of every vector:

    encoder:  (B, T, D)    → conv3 → ReLU → 2 × [strided conv, 3 residual blocks] → conv3 → (B, T / 4, C)
    decoder:  (B, T/4, C)  → conv3 → ReLU → 2 × [3 residual blocks, upsampling, conv3]
                                          → conv3 → ReLU → conv3 → (B, T, D)

Sequences are kept as pictures one pixel high, (B, channels, 1, T), stored channels-last. This is how (B, T, channels)
lies in memory already, so nothing is copied, and it is the fastest layout on a CPU (width 176, 64 windows of 64
frames, two cores: a training step takes 79 ms in bfloat16 and 133 ms in float32; 97 and 187 ms with Conv1d).

In a batch of clips of different lengths, `real` marks what belongs to a clip and what is padding. The last token of a
clip is completed with the clip's last frame (`Tokenizer.encode`). Everything behind it is zero before every layer,
exactly as a convolution pads a clip that is alone: neither the other clips nor the padding change the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmm.errors import check_ranges, require
from mmm.tokenizer import parts


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes and rules of a tokenizer. The default sizes are the paper's; a recipe sets `reset` and `feature_bias`.

    `code_dim` (C) is the width of a time step, all body parts together: with two parts, a code of one part has half of
    it. `ema`, `reset` and `dead_below` belong to the quantizer. `feature_bias` divides the standard deviation of the
    root features and of the contacts, so that they count more in the loss (5 in Guo's loaders); it influences drift.
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
        check_ranges(
            self, features=(16, 10_000), width=(1, 1 << 14), depth=(0, 16), down=(0, 6), stride=(2, 8)
        )
        check_ranges(self, dilation_growth=(1, 64), codes=(1, 1 << 20), code_dim=(1, 1 << 14), parts=(1, 2))
        check_ranges(self, ema=(0.0, 1.0), dead_below=(0.0, 1e9), feature_bias=(0.0, 1e6))
        check_ranges(self, position_weight=(0.0, 1e6), commitment_weight=(0.0, 1e6))
        require(
            self.stride % 2 == 0 and self.ratio <= 64,
            f"stride is {self.stride} and down {self.down}, expected an even stride and at most 64 frames per token",
        )
        reach = self.dilation_growth**self.depth
        require(reach <= 10_000, f"dilations grow to {reach:,} frames, expected 10,000 at most")
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
        """The features that are joint positions: 4:67 of 263. J joints make 12 J - 1 features."""
        return slice(4, 4 + 3 * ((self.features + 1) // 12 - 1))


class Encoder(nn.Module):
    """Features (B, T, D) → vectors (B, T / ratio, C)."""

    def __init__(self, config: TokenizerConfig, features: int, code_dim: int) -> None:
        super().__init__()
        self.ratio = config.ratio
        self.first = conv(features, config.width, 3)
        self.stages = nn.ModuleList(Down(config) for _ in range(config.down))
        self.last = conv(config.width, code_dim, 3)

    def forward(self, x: Float[Tensor, "b t d"], real: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n c"]:
        """`real`: which tokens are no padding."""
        real = None if real is None else real[:, None, None].repeat_interleave(self.ratio, -1)
        y = _zero_padding(F.relu(self.first(_zero_padding(_as_picture(x), real))), real)
        for stage in self.stages:
            y, real = stage(y, real)
        return _as_sequence(self.last(y))


class Decoder(nn.Module):
    """Vectors (B, N, C) → features (B, N · ratio, D)."""

    def __init__(self, config: TokenizerConfig, features: int, code_dim: int) -> None:
        super().__init__()
        self.first = conv(code_dim, config.width, 3)
        self.stages = nn.ModuleList(Up(config) for _ in range(config.down))
        self.smooth = conv(config.width, config.width, 3)
        self.last = conv(config.width, features, 3)

    def forward(self, z: Float[Tensor, "b n c"], real: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b t d"]:
        """`real`: which tokens are no padding."""
        real = None if real is None else real[:, None, None]
        y = _zero_padding(F.relu(self.first(_zero_padding(_as_picture(z), real))), real)
        for stage in self.stages:
            y, real = stage(y, real)
        return _as_sequence(self.last(_zero_padding(F.relu(self.smooth(y)), real)))


class Down(nn.Module):
    """A strided convolution, then the residual blocks: `stride` times fewer time steps."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width, stride = config.width, config.stride
        self.stride = stride
        self.conv = nn.Conv2d(width, width, (1, 2 * stride), (1, stride), (0, stride // 2))
        self.blocks = residuals(config)

    def forward(self, x: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        real = None if real is None else real[..., :: self.stride]
        x = _zero_padding(self.conv(x), real)
        for block in self.blocks:
            x = block(x, real)
        return x, real


class Up(nn.Module):
    """The residual blocks, nearest-neighbour upsampling, a convolution: `stride` times more time steps."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.blocks = residuals(config)
        self.conv = conv(config.width, config.width, 3)

    def forward(self, x: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for block in self.blocks:
            x = block(x, real)
        real = None if real is None else real.repeat_interleave(self.stride, -1)
        x = F.interpolate(x, scale_factor=(1, self.stride), mode="nearest")
        return _zero_padding(self.conv(x), real), real


def residuals(config: TokenizerConfig) -> nn.ModuleList:
    """`depth` residual blocks, the largest dilation first: 9, 3, 1."""
    dilations = [config.dilation_growth**i for i in reversed(range(config.depth))]
    return nn.ModuleList(Residual(config.width, dilation) for dilation in dilations)


class Residual(nn.Module):
    """x + conv1(ReLU(conv3 dilated(ReLU(x)))), without normalisation."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilated = conv(width, width, 3, dilation)
        self.pointwise = conv(width, width, 1)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        return _zero_padding(x + self.pointwise(F.relu(self.dilated(F.relu(x)))), real)


def conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """A convolution over time that keeps the length."""
    padding = (0, dilation * (kernel // 2))
    return nn.Conv2d(inputs, outputs, (1, kernel), padding=padding, dilation=(1, dilation))


def decoder_reach(config: TokenizerConfig) -> int:
    """How many tokens to either side can influence a frame: the receptive field of the decoder.

    A convolution of kernel 3 reaches one time step to either side, and `dilation` steps if it is dilated. With the
    default sizes, in tokens: 1 (first convolution) + 13 + 1/2 (stage 1: dilations 9 + 3 + 1, then a convolution at 2
    steps per token) + 13/2 + 1/4 (stage 2) + 2/4 (the last two convolutions) = 21.75, so 22.
    """
    dilations = sum(config.dilation_growth**i for i in range(config.depth))
    reach = 1.0
    for stage in range(config.down):
        steps = config.stride**stage  # time steps per token at this stage
        reach += dilations / steps + 1 / (steps * config.stride)
    return int(reach + 2 / config.ratio) + 1


def _zero_padding(x: Tensor, real: Tensor | None) -> Tensor:
    """x (B, C, 1, T) with zeros where `real` (B, 1, 1, T) is False; None: there is no padding."""
    return x if real is None else x * real


def _as_picture(x: Float[Tensor, "b t d"]) -> Float[Tensor, "b d 1 t"]:
    return x.transpose(1, 2).unsqueeze(2)


def _as_sequence(x: Float[Tensor, "b d 1 t"]) -> Float[Tensor, "b t d"]:
    return x.squeeze(2).transpose(1, 2)
