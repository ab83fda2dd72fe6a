"""Decoding any number of tokens in bounded memory, with the same result as all at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmm.errors import require
from mmm.tokenizer.config import TokenizerConfig
from mmm.tokenizer.vqvae import Tokenizer

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
