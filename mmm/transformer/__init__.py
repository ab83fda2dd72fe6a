"""The masked transformer: from a canvas and a text to logits over the codes."""

from mmm.transformer.length import LengthConfig, LengthEstimator, length_loss
from mmm.transformer.masking import (
    MASK,
    borrow_visible_part,
    corrupt_tokens,
    draw_masked_parts,
    drop_edge_token,
    inside,
    mask_ratios,
    mask_tokens,
    masked_loss,
)
from mmm.transformer.model import MaskedTransformer, TransformerConfig, preset

__all__ = [
    "MASK",
    "LengthConfig",
    "LengthEstimator",
    "MaskedTransformer",
    "TransformerConfig",
    "borrow_visible_part",
    "corrupt_tokens",
    "draw_masked_parts",
    "drop_edge_token",
    "inside",
    "length_loss",
    "mask_ratios",
    "mask_tokens",
    "masked_loss",
    "preset",
]
