"""Decoding any number of tokens in bounded memory, with the same result as all at once.

Sizes and rules of a tokenizer, and the named presets.

The convolutions of the tokenizer: encoder (features → vectors, 4 frames each) and decoder (back).

REPRODUCTION.md, "Tokenizer". The sequences are kept as pictures one pixel high, (B, channels, 1, T), stored
channels-last: this is what (B, T, channels) already is in memory, so no copy is made at either door, and it
is the fastest layout on a CPU (width 176, 64 windows of 64 frames, two cores, bfloat16: 79 ms a training
step, 97 ms with Conv1d; in float32 133 and 187 ms).

A mask keeps clips of different lengths apart: wherever a clip has ended, every layer's input is zero, exactly
the zeros that a convolution sees at the border of a clip on its own. So neither its batch mates nor its
padding change what a clip is encoded to.

The motion tokenizer: 4 frames of motion ↔ one entry of a learned codebook.

REPRODUCTION.md, "Tokenizer". Normalisation travels inside: `encode` and `decode` take and give raw features,
only the training path (`forward`) works on normalised ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmm.errors import require
from mmm.storage import load_config, load_state, save_module
from mmm.tokenizer import parts
from mmm.tokenizer.quantizer import Quantizer
from mmm.training.processes import mean_count


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


def conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """A convolution over time that keeps the length."""
    return nn.Conv2d(
        inputs, outputs, (1, kernel), padding=(0, dilation * (kernel // 2)), dilation=(1, dilation)
    )


def _keep(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _as_picture(x: Float[Tensor, "b t d"]) -> Float[Tensor, "b d 1 t"]:
    return x.transpose(1, 2).unsqueeze(2)


def _as_sequence(x: Float[Tensor, "b d 1 t"]) -> Float[Tensor, "b t d"]:
    return x.squeeze(2).transpose(1, 2)


class Residual(nn.Module):
    """x + conv1(ReLU(conv3 dilated(ReLU(x)))), no norm."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilated = conv(width, width, 3, dilation)
        self.pointwise = conv(width, width, 1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return _keep(x + self.pointwise(F.relu(self.dilated(F.relu(x)))), mask)


def residuals(width: int, depth: int, growth: int) -> nn.ModuleList:
    """`depth` residual blocks, the widest dilation first: 9, 3, 1."""
    return nn.ModuleList(Residual(width, growth**i) for i in reversed(range(depth)))


class Down(nn.Module):
    """A strided convolution, then the residual blocks: `stride` times fewer places."""

    def __init__(self, width: int, depth: int, stride: int, growth: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, width, (1, 2 * stride), (1, stride), (0, stride // 2))
        self.blocks = residuals(width, depth, growth)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        mask = mask if mask is None else mask[..., :: self.stride]
        x = _keep(self.conv(x), mask)
        for block in self.blocks:
            x = block(x, mask)
        return x, mask


class Up(nn.Module):
    """The residual blocks, nearest-neighbour upsampling, a convolution: `stride` times more places."""

    def __init__(self, width: int, depth: int, stride: int, growth: int) -> None:
        super().__init__()
        self.stride = stride
        self.blocks = residuals(width, depth, growth)
        self.conv = conv(width, width, 3)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for block in self.blocks:
            x = block(x, mask)
        mask = mask if mask is None else mask.repeat_interleave(self.stride, -1)
        x = F.interpolate(x, scale_factor=(1, self.stride), mode="nearest")
        return _keep(self.conv(x), mask), mask


class Encoder(nn.Module):
    """Features (B, T, D) → vectors (B, T / stride**down, C)."""

    def __init__(
        self, features: int, width: int, code_dim: int, depth: int, down: int, stride: int, growth: int
    ):
        super().__init__()
        self.ratio = stride**down
        self.first = conv(features, width, 3)
        self.stages = nn.ModuleList(Down(width, depth, stride, growth) for _ in range(down))
        self.last = conv(width, code_dim, 3)

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n c"]:
        """`mask` says which tokens are real."""
        keep = None if mask is None else mask[:, None, None].repeat_interleave(self.ratio, -1)
        y = _keep(F.relu(self.first(_keep(_as_picture(x), keep))), keep)
        for stage in self.stages:
            y, keep = stage(y, keep)
        return _as_sequence(self.last(y))


class Decoder(nn.Module):
    """Vectors (B, N, C) → features (B, N · stride**down, D)."""

    def __init__(
        self, features: int, width: int, code_dim: int, depth: int, down: int, stride: int, growth: int
    ):
        super().__init__()
        self.first = conv(code_dim, width, 3)
        self.stages = nn.ModuleList(Up(width, depth, stride, growth) for _ in range(down))
        self.smooth = conv(width, width, 3)
        self.last = conv(width, features, 3)

    def forward(self, z: Float[Tensor, "b n c"], mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b t d"]:
        """`mask` says which tokens are real."""
        keep = None if mask is None else mask[:, None, None]
        y = _keep(F.relu(self.first(_keep(_as_picture(z), keep))), keep)
        for stage in self.stages:
            y, keep = stage(y, keep)
        return _as_sequence(self.last(_keep(F.relu(self.smooth(y)), keep)))


NORMALISATION = ("mean", "std", "upper_mean", "upper_std")


class VQOutput(NamedTuple):
    """What the training path gives."""

    reconstruction: Float[Tensor, "b t d"]  # normalised
    tokens: Int[Tensor, "b p n"]
    commitment: Float[Tensor, ""]  # summed over parts
    codebook_loss: Float[Tensor, ""]  # summed over parts; 0 with an EMA codebook
    perplexity: Float[Tensor, ""]  # mean over parts


class Tokenizer(nn.Module):
    """VQ-VAE over motion features; `config.parts` independent encoders, codebooks and decoders.

    Args:
        config: sizes and rules, or the name of a preset.
        mean, std: (D,) of the raw features, see `set_normalisation`; 0 and 1 when left out.
    """

    mean: Tensor
    std: Tensor
    upper_mean: Tensor
    upper_std: Tensor

    def __init__(
        self,
        config: TokenizerConfig | str = "small",
        mean: Float[Tensor, " d"] | None = None,
        std: Float[Tensor, " d"] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(config, str):
            require(
                config in PRESETS, f"preset {config!r} is not known, expected one of {', '.join(PRESETS)}"
            )
            config = PRESETS[config]
        self.config = config
        sizes = (len(parts.UPPER), len(parts.LOWER)) if config.parts == 2 else (config.features,)
        code_dim = config.code_dim // config.parts
        shape = (config.width, code_dim, config.depth, config.down, config.stride, config.dilation_growth)
        self.encoders = nn.ModuleList(Encoder(size, *shape) for size in sizes)
        self.quantizers = nn.ModuleList(
            Quantizer(config.codes, code_dim, config.ema, config.reset, config.dead_below) for _ in sizes
        )
        self.decoders = nn.ModuleList(Decoder(size, *shape) for size in sizes)
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("std", torch.ones(config.features))
        if config.parts == 2:
            self.register_buffer("upper_mean", torch.zeros(len(parts.UPPER_HEIGHTS)))
            self.register_buffer("upper_std", torch.ones(len(parts.UPPER_HEIGHTS)))
        if mean is not None and std is not None:
            self.set_normalisation(mean, std)

    # ------------------------------------------------------------------ normalisation

    @torch.no_grad()
    def set_normalisation(
        self,
        mean: Float[Tensor, " d"],
        std: Float[Tensor, " d"],
        upper: tuple[Float[Tensor, " 13"], Float[Tensor, " 13"]] | None = None,
    ) -> None:
        """Store the data's plain Mean and Std; `feature_bias` is applied when they are used.

        `upper`, for two parts: mean and std of the upper joints' heights above the root
        (`parts.relative_height_statistics`).
        """
        for name, value in (("mean", mean), ("std", std)):
            require(
                value.shape == self.mean.shape,
                f"{name} has shape {tuple(value.shape)}, expected {tuple(self.mean.shape)}",
            )
        require(
            bool((std > 0).all()), "std has entries that are not above 0: compute it over data that moves"
        )
        self.mean.copy_(mean)
        self.std.copy_(std)
        if upper is not None and self.config.parts == 2:
            self.upper_mean.copy_(upper[0])
            self.upper_std.copy_(upper[1])

    @property
    def scale(self) -> Float[Tensor, " d"]:
        """What features are divided by: std, less the feature bias on root and contacts."""
        scale = self.std.clone()
        scale[:4] /= self.config.feature_bias
        scale[-4:] /= self.config.feature_bias
        return scale

    def normalise(self, features: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Raw → normalised features."""
        return (features - self.mean) / self.scale

    def denormalise(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Normalised → raw features."""
        return x * self.scale + self.mean

    # ------------------------------------------------------------------ the network

    @property
    def codebook(self) -> Float[Tensor, "p k c"]:
        """The code vectors of each part."""
        return torch.stack([q.codebook for q in self.quantizers])

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        mask: Bool[Tensor, "b t"] | None = None,
        generator: torch.Generator | None = None,
        code_noise: float | None = None,
    ) -> VQOutput:
        """Normalised features through the bottleneck; in training mode the codebooks are updated.

        `mask` says which frames are real; a token counts if any of its frames is real, as in `encode`.
        `generator` (on the CPU) draws the first codes and the replacements of dead ones.
        With a `code_noise`, encoders and codebooks stay as they are: decoders alone learn, from tokens of which that
        share is replaced by near ones (`Quantizer.disturb`), as a transformer that samples is sometimes near the truth.

        Raises:
            ValueError: T is not a multiple of the frames per token.
        """
        ratio = self.config.ratio
        require(x.shape[1] % ratio == 0, f"x has {x.shape[1]} frames, expected a multiple of {ratio}")
        tokens_mask = None if mask is None else mask.unflatten(1, (-1, ratio)).any(-1)
        if code_noise is not None:
            return self._through_frozen_codes(x, tokens_mask, generator, code_noise)
        outputs = [
            quantizer(encoder(part, tokens_mask), tokens_mask, generator)
            for encoder, quantizer, part in zip(self.encoders, self.quantizers, self._split(x), strict=True)
        ]
        return VQOutput(
            reconstruction=self._decode([o.vectors for o in outputs], tokens_mask),
            tokens=torch.stack([o.tokens for o in outputs], 1),
            commitment=torch.stack([o.commitment for o in outputs]).sum(),
            codebook_loss=torch.stack([o.codebook_loss for o in outputs]).sum(),
            perplexity=torch.stack([o.perplexity for o in outputs]).mean(),
        )

    def _through_frozen_codes(
        self,
        x: Float[Tensor, "b t d"],
        mask: Bool[Tensor, "b n"] | None,
        generator: torch.Generator | None,
        noise: float,
    ) -> VQOutput:
        """`forward` of which the decoders alone learn."""
        with torch.no_grad():
            pieces = zip(self.encoders, self.quantizers, self._split(x), strict=True)
            tokens = [quantizer.nearest(encoder(part, mask)) for encoder, quantizer, part in pieces]
            shown = [q.disturb(t, noise, generator) for q, t in zip(self.quantizers, tokens, strict=True)]
            vectors = [q.lookup(t) for q, t in zip(self.quantizers, shown, strict=True)]
        nothing = x.new_zeros(())
        return VQOutput(self._decode(vectors, mask), torch.stack(tokens, 1), nothing, nothing, nothing)

    def _split(self, x: Float[Tensor, "b t d"]) -> tuple[Tensor, ...]:
        if self.config.parts == 1:
            return (x,)
        return parts.split(x, self.mean, self.scale, self.upper_mean, self.upper_std)

    def _decode(self, vectors: list[Tensor], mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b t d"]:
        """Code vectors of each part → normalised features."""
        pieces = [decoder(z, mask).float() for decoder, z in zip(self.decoders, vectors, strict=True)]
        if self.config.parts == 1:
            return pieces[0]
        return parts.merge(*pieces, self.mean, self.scale, self.upper_mean, self.upper_std)

    # ------------------------------------------------------------------ the public door

    @torch.no_grad()
    def encode(
        self, features: Float[Tensor, "b t d"], lengths: Int[Tensor, " b"] | None = None
    ) -> Int[Tensor, "b p n"]:
        """Raw features → tokens, N = ceil(T / 4); a clip is padded to a multiple of 4 by its own last frame.

        With `lengths` (frames) the rest of a row is ignored: a clip gets the tokens that it gets alone.
        Tokens past ceil(length / 4) are 0.

        Raises:
            ValueError: a length is below 1 or above T.
        """
        outputs, mask = self.encoder_outputs(features, lengths)
        tokens = [quantizer.nearest(z) for quantizer, z in zip(self.quantizers, outputs, strict=True)]
        return torch.stack(tokens, 1) * mask[:, None]

    @torch.no_grad()
    def encoder_outputs(
        self, features: Float[Tensor, "b t d"], lengths: Int[Tensor, " b"] | None = None
    ) -> tuple[list[Float[Tensor, "b n c"]], Bool[Tensor, "b n"]]:
        """What the encoders say of raw features before that is quantised, and which places are real; see `encode`."""
        ratio, frames = self.config.ratio, features.shape[1]
        lengths = _frame_counts(lengths, features, frames)
        count = -(-frames // ratio)
        last = (lengths - 1)[:, None]
        rows = torch.arange(len(features), device=features.device)[:, None]
        places = torch.arange(count * ratio, device=features.device).expand(len(features), -1)
        x = self.normalise(features[rows, torch.minimum(places, last)])
        mask = places[:, ::ratio] <= last
        outputs = [encoder(part, mask) for encoder, part in zip(self.encoders, self._split(x), strict=True)]
        return outputs, mask

    @torch.no_grad()
    def decode(
        self, tokens: Int[Tensor, "b p n"], lengths: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Tokens → raw features, 4 frames each; with `lengths` (frames), frames past a clip's end are 0.

        Raises:
            ValueError: a token is no code id, or a length is below 1 or above 4 N.
        """
        codes, ratio = self.config.codes, self.config.ratio
        frames = tokens.shape[2] * ratio
        lengths = _frame_counts(lengths, tokens, frames)
        real = torch.arange(frames, device=tokens.device) < lengths[:, None]
        mask = real[:, ::ratio]
        tokens = torch.where(mask[:, None], tokens, 0)
        require(
            bool(((tokens >= 0) & (tokens < codes)).all()),
            f"tokens lie in {int(tokens.min())}…{int(tokens.max())}, expected code ids in 0…{codes - 1}: "
            "fill the canvas before decoding it",
        )
        vectors = [
            quantizer.lookup(t) for quantizer, t in zip(self.quantizers, tokens.unbind(1), strict=True)
        ]
        return self.denormalise(self._decode(vectors, mask)) * real[..., None]

    # ------------------------------------------------------------------ on disk

    def save_pretrained(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write config.json and model.safetensors; float16 halves the size, the normalisation stays float32."""
        save_module(self, self.config, folder, dtype, keep_float32=NORMALISATION)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Tokenizer:
        """The tokenizer that `save_pretrained` wrote, in float32, in evaluation mode, on the CPU.

        Raises:
            FileNotFoundError, ValueError: files missing, damaged, or not fitting each other.
        """
        model = cls(load_config(TokenizerConfig, folder))
        load_state(model, folder)
        return model.eval()


def tokenizer_loss(
    out: VQOutput, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None, config: TokenizerConfig
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Smooth-L1 on all features + 0.5 × smooth-L1 on the joint positions + 0.02 × commitment.

    Only real frames count. Also gives the terms, detached, for the log.
    """
    error = F.smooth_l1_loss(out.reconstruction.float(), x, reduction="none")
    weight = torch.ones_like(error[..., 0]) if mask is None else mask.to(error)
    weight = weight / mean_count(weight.sum()).clamp(min=1)
    reconstruction = (error.mean(-1) * weight).sum()
    positions = (error[..., config.positions].mean(-1) * weight).sum()
    loss = (
        reconstruction
        + config.position_weight * positions
        + config.commitment_weight * out.commitment
        + out.codebook_loss
    )
    terms = {
        "loss": loss,
        "reconstruction": reconstruction,
        "positions": positions,
        "commitment": out.commitment,
        "perplexity": out.perplexity,
    }
    return loss, {name: value.detach() for name, value in terms.items()}


def count_parameters(model: Tokenizer) -> dict[str, int]:
    """Weights of the network, of the codebooks, and in all (buffers of the training are not counted)."""
    codebook = model.codebook.numel()
    network = sum(p.numel() for name, p in model.named_parameters() if not name.endswith("codebook"))
    return {"network": network, "codebook": codebook, "total": network + codebook}


def _frame_counts(lengths: Tensor | None, rows: Tensor, most: int) -> Tensor:
    """Lengths on the device of `rows`; `most` each when None. A wrong one would crop in silence."""
    require(most > 0, "there are no frames: a clip needs at least one")
    if lengths is None:
        return torch.full((len(rows),), most, device=rows.device)
    require(
        bool(((lengths >= 1) & (lengths <= most)).all()),
        f"lengths are {lengths.tolist()} frames, expected 1 to {most}, the frames of the batch",
    )
    return lengths.to(rows.device)


PIECE = 128  # tokens that are decoded at a time, about 25 s


def decoder_reach(config: TokenizerConfig) -> int:
    """How many tokens to either side can bear on a frame: the receptive field of the decoder's convolutions."""
    blocks = sum(config.dilation_growth**i for i in range(config.depth))
    reach = 1.0  # the first convolution
    for stage in range(config.down):
        per_token = config.stride**stage  # places per token at this stage
        reach += blocks / per_token + 1 / (per_token * config.stride)
    return int(reach + 2 / config.ratio) + 1  # smoothing and last convolution


def decode_in_pieces(
    tokenizer: Tokenizer, tokens: Int[Tensor, "p n"], frames: int, piece: int = PIECE
) -> Iterator[Float[Tensor, "t d"]]:
    """Raw features of one clip, `piece` tokens at a time; together they are what `Tokenizer.decode` gives.

    Each piece is decoded with its neighbours in sight as far as they can bear on it (`decoder_reach`).

    Args:
        frames: of the whole clip, more than 4 (N − 1), at most 4 N.
    Raises:
        ValueError: other numbers of frames; a token is no code id.
    """
    ratio, count = tokenizer.config.ratio, tokens.shape[1]
    require(
        -(-frames // ratio) == count,
        f"{count} tokens are {(count - 1) * ratio + 1} to {count * ratio} frames, not {frames}; give as many as "
        "the motion has.",
    )
    reach = decoder_reach(tokenizer.config)
    for start in range(0, count, piece):
        left, stop = max(0, start - reach), min(count, start + piece)
        right = min(count, stop + reach)
        end = min(frames, right * ratio)
        length = torch.tensor([end - left * ratio], device=tokens.device)
        features = tokenizer.decode(tokens[None, :, left:right], length)[0]
        yield features[(start - left) * ratio : min(frames, stop * ratio) - left * ratio]
