"""A transformer of random weights, texts and empty canvases, to sample with."""

import torch

from mmm.text import TextEmbedding
from mmm.transformer import MASK, MaskedTransformer, preset


def make_model(sharpness=1.0, codes=40, **changes):
    """Random weights, large enough that canvas and text matter; flat or sharp logits."""
    torch.manual_seed(0)
    config = preset("tiny", codes=codes, code_dim=6, text_dim=16, **changes)
    model = MaskedTransformer(config, torch.randn(config.parts, codes, 6)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0 if parameter.dim() == 2 else 1.0)
        model.head.weight.mul_(sharpness)
    return model


def make_text(batch, seed=0, longest=12):
    """Texts of 1 to `longest` words that no encoder made."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, longest + 1, (batch, 1), generator=generator)
    words = torch.randn(batch, longest, 16, generator=generator)
    sentence = torch.randn(batch, 16, generator=generator)
    return TextEmbedding(words, torch.arange(longest) < counts, sentence)


def one_of(text, item):
    """The text of one item as it would come alone: without the padding that the others need."""
    real = text.mask[item]
    return TextEmbedding(text.words[item][real][None], real[real][None], text.sentence[item][None])


def empty(*lengths, parts=1):
    """A canvas of MASK alone, and the lengths."""
    return torch.full((len(lengths), parts, max(lengths)), MASK), torch.tensor(lengths)
