"""Motion ↔ tokens: the VQ-VAE, its quantizer and its training."""

from mmm.tokenizer.codebook import CodebookReport, code_counts, codebook_report, entropy
from mmm.tokenizer.layers import TokenizerConfig
from mmm.tokenizer.model import PRESETS, Tokenizer, VQOutput, count_parameters, tokenizer_loss
from mmm.tokenizer.quantizer import RESETS, Quantized, Quantizer, perplexity

__all__ = [
    "PRESETS",
    "RESETS",
    "CodebookReport",
    "Quantized",
    "Quantizer",
    "Tokenizer",
    "TokenizerConfig",
    "VQOutput",
    "code_counts",
    "codebook_report",
    "count_parameters",
    "entropy",
    "perplexity",
    "tokenizer_loss",
]
