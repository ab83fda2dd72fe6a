"""The masked transformer: from a canvas and a text to logits over the codes."""

from mmm.transformer.config import PRESETS, TransformerConfig, preset
from mmm.transformer.length import LengthConfig, LengthEstimator, length_loss
from mmm.transformer.masking import (
    MASK,
    borrow_sight,
    corrupt_tokens,
    draw_asked,
    drop_edge_token,
    inside,
    mask_shares,
    mask_tokens,
    masked_loss,
)
from mmm.transformer.model import MaskedTransformer
from mmm.transformer.release import from_release_state

__all__ = [
    "MASK",
    "PRESETS",
    "LengthConfig",
    "LengthEstimator",
    "MaskedTransformer",
    "TransformerConfig",
    "borrow_sight",
    "corrupt_tokens",
    "draw_asked",
    "drop_edge_token",
    "from_release_state",
    "inside",
    "length_loss",
    "mask_shares",
    "mask_tokens",
    "masked_loss",
    "preset",
]
