"""Token sets and captions' embeddings for the tests."""

import numpy as np
import torch

from mmm.data.text_cache import TextCache
from mmm.transformer.tokens import TokenSet

CODES, WIDTH = 16, 12


def token_set(lengths, captions, weights=None, parts=1):
    """One clip for each length, of one variant; the tokens of clip i are i, i + 1, …, of the lower part 5 more."""
    tokens = torch.zeros(len(lengths), parts, max(lengths), dtype=torch.int16)
    for i, length in enumerate(lengths):
        for part in range(parts):
            tokens[i, part, :length] = (torch.arange(length) + i + 5 * part) % CODES
    weights = np.ones(len(lengths)) if weights is None else np.asarray(weights, float)
    starts = torch.arange(len(lengths) + 1)
    return TokenSet(tokens, torch.tensor(lengths), starts, captions, weights, [f"c{i}" for i in starts[:-1]])


def text_of(*captions):
    """A cache in which every caption has a sentence and words of its own."""
    generator = torch.Generator().manual_seed(0)
    lengths = [2 + i % 3 for i in range(len(captions))]
    words = torch.randn(sum(lengths), WIDTH, generator=generator).half()
    sentences = torch.randn(len(captions), WIDTH, generator=generator).half()
    return TextCache("made-up", list(captions), words, torch.tensor([0, *np.cumsum(lengths)]), sentences)
