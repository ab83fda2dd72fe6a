"""The motion tokenizer, a VQ-VAE: 4 frames of motion ↔ one entry of a learned codebook.

Paper, section 3.1; docs/REPRODUCTION.md, "Tokenizer". Normalisation is part of the model: `encode` and `decode` work
on raw features, and only the training path (`forward`) works on normalised ones.

    features (B, T, 263) → encoder → vectors (B, N, C) → quantizer → tokens (B, P, N)
    tokens (B, P, N) → codes (B, N, C) → decoder → features (B, T, 263)
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmm import recipes
from mmm.errors import require
from mmm.storage import load_config, load_module, save_module
from mmm.tokenizer import parts
from mmm.tokenizer.layers import Decoder, Encoder, TokenizerConfig, decoder_reach
from mmm.tokenizer.quantizer import Quantizer
from mmm.training.processes import mean_count

PRESETS = {name: TokenizerConfig(**preset["tokenizer"]) for name, preset in recipes.PRESETS.items()}
NORMALISATION = ("mean", "std", "upper_mean", "upper_std")  # buffers that are always stored in float32
PIECE = 128  # tokens that are decoded at a time, about 25 s
# limits of decoded features. Some hardly vary: a sound model that was trained for a minute reaches 54 deviations
MOST_STDS, MOST_METRES = 100.0, 10.0


class VQOutput(NamedTuple):
    """What the training path returns."""

    reconstruction: Float[Tensor, "b t d"]  # normalised
    tokens: Int[Tensor, "b p n"]
    commitment: Float[Tensor, ""]  # summed over parts
    codebook_loss: Float[Tensor, ""]  # summed over parts; 0 with an EMA codebook
    perplexity: Float[Tensor, ""]  # mean over parts


class Tokenizer(nn.Module):
    """VQ-VAE over motion features; `config.parts` independent encoders, codebooks and decoders.

    Args:
        config: sizes and rules, or the name of a preset.
        mean, std: (D,) of the raw features, both or neither; 0 and 1 by default.
    """

    def __init__(
        self,
        config: TokenizerConfig | str = "small",
        mean: Float[Tensor, " d"] | None = None,
        std: Float[Tensor, " d"] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(config, str):
            config = TokenizerConfig(**recipes.get_preset(config)["tokenizer"])
        self.config = config
        sizes = (len(parts.UPPER), len(parts.LOWER)) if config.parts == 2 else (config.features,)
        code_dim = config.code_dim // config.parts
        self.encoders = nn.ModuleList(Encoder(config, size, code_dim) for size in sizes)
        self.quantizers = nn.ModuleList(
            Quantizer(config.codes, code_dim, config.ema, config.reset, config.dead_below) for _ in sizes
        )
        self.decoders = nn.ModuleList(Decoder(config, size, code_dim) for size in sizes)
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("std", torch.ones(config.features))
        if config.parts == 2:
            self.register_buffer("upper_mean", torch.zeros(len(parts.UPPER_HEIGHTS)))
            self.register_buffer("upper_std", torch.ones(len(parts.UPPER_HEIGHTS)))
        if mean is not None and std is not None:
            self.set_normalisation(mean, std)

    # ------------------------------------------------------------------ raw features ↔ tokens

    @torch.no_grad()
    def encode(
        self, features: Float[Tensor, "b t d"], lengths: Int[Tensor, " b"] | None = None
    ) -> Int[Tensor, "b p n"]:
        """Raw features → tokens, N = ceil(T / 4).

        With `lengths` (frames) a clip gets the tokens that it gets alone: its last token is completed with its last
        frame, and everything behind it counts as zero. Tokens behind the end of a clip are 0.

        Raises:
            ValueError: a length is below 1 or above T.
        """
        outputs, real = self.encoder_outputs(features, lengths)
        tokens = [quantizer.nearest(z) for quantizer, z in zip(self.quantizers, outputs, strict=True)]
        return torch.stack(tokens, 1) * real[:, None]

    @torch.no_grad()
    def encoder_outputs(
        self, features: Float[Tensor, "b t d"], lengths: Int[Tensor, " b"] | None = None
    ) -> tuple[list[Float[Tensor, "b n c"]], Bool[Tensor, "b n"]]:
        """The vectors that `encode` quantizes, for each part, and which of them are real (no padding)."""
        ratio = self.config.ratio
        longest = features.shape[1]
        last = (_frame_counts(lengths, features, longest) - 1)[:, None]
        row = torch.arange(len(features), device=features.device)[:, None]
        frame = torch.arange(-(-longest // ratio) * ratio, device=features.device).expand(len(features), -1)
        x = self.normalise(
            features[row, torch.minimum(frame, last)]
        )  # the last frame completes the last token
        real = frame[:, ::ratio] <= last
        return self._encode(x, real), real

    @torch.no_grad()
    def decode(
        self, tokens: Int[Tensor, "b p n"], lengths: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Tokens → raw features, 4 frames each; with `lengths` (frames), frames behind a clip's end are 0.

        Raises:
            ValueError: a token is not a code id, or a length is below 1 or above 4 N.
        """
        codes, longest = self.config.codes, tokens.shape[2] * self.config.ratio
        lengths = _frame_counts(lengths, tokens, longest)
        real_frames = torch.arange(longest, device=tokens.device) < lengths[:, None]
        real = real_frames[:, :: self.config.ratio]  # tokens
        tokens = torch.where(real[:, None], tokens, 0)
        require(
            bool(((tokens >= 0) & (tokens < codes)).all()),
            f"tokens lie in {int(tokens.min())}…{int(tokens.max())}, expected code ids in 0…{codes - 1}: "
            "fill the canvas before decoding it",
        )
        vectors = [q.lookup(part) for q, part in zip(self.quantizers, tokens.unbind(1), strict=True)]
        return self.denormalise(self._decode(vectors, real)) * real_frames[..., None]

    def decode_vectors(self, vectors: list[Float[Tensor, "b n c"]]) -> Float[Tensor, "b t d"]:
        """Raw features (t = n × ratio frames) of any vectors, an entry for each part; all are real. With gradients."""
        return self.denormalise(self._decode(vectors, None))

    @property
    def codebook(self) -> Float[Tensor, "p k c"]:
        """The code vectors of each part."""
        return torch.stack([q.codebook for q in self.quantizers])

    # ------------------------------------------------------------------ training

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        real: Bool[Tensor, "b t"] | None = None,
        generator: torch.Generator | None = None,
        code_noise: float | None = None,
    ) -> VQOutput:
        """Normalised features through the bottleneck; in training mode the codebooks are updated.

        Args:
            real: which frames are no padding; all when None. A token is real if one of its frames is, as in `encode`.
            generator: on the CPU; draws the first codes and the replacements of dead ones.
            code_noise: train the decoders only. Codebooks stay as they are, and this ratio of the codes that the
                decoders get is replaced by near ones (`Quantizer.noisy`): sampled tokens, too, are often only near.

        Raises:
            ValueError: T is not a multiple of the frames per token.
        """
        ratio = self.config.ratio
        require(x.shape[1] % ratio == 0, f"x has {x.shape[1]} frames, expected a multiple of {ratio}")
        real_tokens = None if real is None else real.unflatten(1, (-1, ratio)).any(-1)
        outputs = [
            quantizer(z, real_tokens, generator)
            if code_noise is None
            else quantizer.noisy(z, code_noise, generator)
            for quantizer, z in zip(self.quantizers, self._encode(x, real_tokens), strict=True)
        ]
        return VQOutput(
            reconstruction=self._decode([o.vectors for o in outputs], real_tokens),
            tokens=torch.stack([o.tokens for o in outputs], 1),
            commitment=torch.stack([o.commitment for o in outputs]).sum(),
            codebook_loss=torch.stack([o.codebook_loss for o in outputs]).sum(),
            perplexity=torch.stack([o.perplexity for o in outputs]).mean(),
        )

    def _encode(self, x: Float[Tensor, "b t d"], real: Bool[Tensor, "b n"] | None) -> list[Tensor]:
        """Normalised features → vectors (B, N, C) of each part."""
        features = (x,)
        if self.config.parts == 2:
            features = parts.split(x, self.mean, self.scale, self.upper_mean, self.upper_std)
        return [encoder(part, real) for encoder, part in zip(self.encoders, features, strict=True)]

    def _decode(self, vectors: list[Tensor], real: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b t d"]:
        """Code vectors of each part → normalised features."""
        decoded = [decoder(z, real).float() for decoder, z in zip(self.decoders, vectors, strict=True)]
        if self.config.parts == 1:
            return decoded[0]
        return parts.merge(*decoded, self.mean, self.scale, self.upper_mean, self.upper_std)

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
        require((std > 0).all(), "std has entries that are not above 0: compute it over data that moves")
        self.mean.copy_(mean)
        self.std.copy_(std)
        if upper is not None and self.config.parts == 2:
            self.upper_mean.copy_(upper[0])
            self.upper_std.copy_(upper[1])

    @property
    def scale(self) -> Float[Tensor, " d"]:
        """What features are divided by: std, divided by the feature bias at the root and the contacts."""
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
        config = load_config(TokenizerConfig, folder)
        model = load_module(lambda: cls(config), folder)
        scales = [model.std, *([model.upper_std] if config.parts == 2 else [])]
        require(
            all(bool((scale > 0).all()) for scale in scales),
            f"{folder} has a Std that is not above 0: save the model again",
        )
        return model


def tokenizer_loss(
    output: VQOutput, x: Float[Tensor, "b t d"], real: Bool[Tensor, "b t"] | None, config: TokenizerConfig
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Smooth-L1 on all features + 0.5 × that on joint positions + 0.02 × commitment (config) + codebook loss.

    Frames that are not `real` do not count. Returns the loss, and its terms, detached, for the log.
    """
    error = F.smooth_l1_loss(output.reconstruction.float(), x, reduction="none")
    weight = torch.ones_like(error[..., 0]) if real is None else real.to(error)
    weight = weight / mean_count(weight.sum()).clamp(min=1)  # with one process: / the number of real frames
    reconstruction = (error.mean(-1) * weight).sum()
    positions = (error[..., config.positions].mean(-1) * weight).sum()
    loss = (
        reconstruction
        + config.position_weight * positions
        + config.commitment_weight * output.commitment
        + output.codebook_loss
    )
    terms = {
        "loss": loss,
        "reconstruction": reconstruction,
        "positions": positions,
        "commitment": output.commitment,
        "perplexity": output.perplexity,
    }
    return loss, {name: value.detach() for name, value in terms.items()}


def check_decoded(tokenizer: Tokenizer, features: Float[Tensor, "t d"], unit: float) -> None:
    """Refuse features that no body can have; damaged weights or a diverged training give them.

    Args:
        features: raw, as decoded. unit: of length, in metres.
    Raises:
        ValueError: a number is more than MOST_STDS standard deviations from the mean, or above MOST_METRES.
    """
    stds = float(tokenizer.normalise(features.to(tokenizer.mean.device)).abs().max())
    metres = float(features.abs().max()) * unit
    require(
        stds <= MOST_STDS and metres <= MOST_METRES,
        f"the model made a motion with features {stds:.3g} standard deviations from the mean and up to {metres:.3g} m, "
        f"expected at most {MOST_STDS:g} and {MOST_METRES:g}: its weights are damaged, or its training diverged; copy "
        "or train it again.",
    )


@torch.no_grad()
def decode_in_pieces(
    tokenizer: Tokenizer, tokens: Int[Tensor, "p n"], frames: int, piece: int = PIECE
) -> Float[Tensor, "t d"]:
    """What `Tokenizer.decode` gives for one clip, in bounded memory: `piece` tokens at a time, collected on the CPU.

    Each piece is decoded together with all neighbours that influence it (`decoder_reach`).

    Args:
        frames: of the clip, more than 4 (N − 1), at most 4 N.
    Raises:
        ValueError: another number of frames; a token is not a code id.
    """
    ratio, count = tokenizer.config.ratio, tokens.shape[1]
    require(
        -(-frames // ratio) == count,
        f"frames is {frames}, expected {(count - 1) * ratio + 1} to {count * ratio} for {count} tokens",
    )
    reach = decoder_reach(tokenizer.config)
    pieces = []
    for start in range(0, count, piece):
        stop = min(count, start + piece)
        left, right = max(0, start - reach), min(count, stop + reach)  # with the neighbours
        length = torch.tensor([min(frames, right * ratio) - left * ratio], device=tokens.device)
        features = tokenizer.decode(tokens[None, :, left:right], length)[0]
        features = features[(start - left) * ratio : min(frames, stop * ratio) - left * ratio]
        pieces.append(features.cpu())
    return torch.cat(pieces)


def count_parameters(model: Tokenizer) -> dict[str, int]:
    """Weights of the network, of the codebooks, and in all (without the running counts and sums of training)."""
    codebook = model.codebook.numel()
    network = sum(p.numel() for name, p in model.named_parameters() if not name.endswith("codebook"))
    return {"network": network, "codebook": codebook, "total": network + codebook}


def _frame_counts(lengths: Tensor | None, rows: Tensor, most: int) -> Tensor:
    """Lengths on the device of `rows`; `most` each when None. A wrong one would crop without notice."""
    require(most > 0, "there are no frames: a clip needs at least one")
    if lengths is None:
        return torch.full((len(rows),), most, device=rows.device)
    require(
        bool(((lengths >= 1) & (lengths <= most)).all()),
        f"lengths are {lengths.tolist()} frames, expected 1 to {most}, the frames of the batch",
    )
    return lengths.to(rows.device)
