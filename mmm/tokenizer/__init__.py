"""Motion ↔ tokens: the VQ-VAE, its quantizer and its training."""

from mmm.tokenizer.codebook import CodebookReport, code_counts, codebook_report, entropy
from mmm.tokenizer.config import PRESETS, TokenizerConfig
from mmm.tokenizer.quantizer import RESETS, Quantized, Quantizer, perplexity
from mmm.tokenizer.release import from_release_state, release_names, to_release_state
from mmm.tokenizer.vqvae import Tokenizer, VQOutput, count_parameters, tokenizer_loss

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
    "from_release_state",
    "perplexity",
    "release_names",
    "to_release_state",
    "tokenizer_loss",
]
