"""The attention shown is the attention used; a silent text is a dropped text."""

import pytest
import torch

from mmm.lab.transformer import SilentText, word_attention
from mmm.text import TextEmbedding
from mmm.transformer import MASK, MaskedTransformer, TransformerConfig


def small(**changes):
    torch.manual_seed(0)
    config = TransformerConfig(
        codes=7, code_dim=4, text_dim=6, dim=8, layers=1, cross_layers=2, heads=2, **changes
    )
    return MaskedTransformer(config, torch.randn(config.parts, 7, 4)).eval()


@pytest.fixture
def text():
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    return TextEmbedding(
        torch.randn(2, 5, 6, generator=generator), mask, torch.randn(2, 6, generator=generator)
    )


@pytest.mark.parametrize(("block", "parts"), [(0, 1), (1, 1), (0, 2)])
def test_the_attention_shown_gives_the_output_of_the_block(text, block, parts):
    model = small(parts=parts)
    for parameter in model.parameters():  # the small initial weights attend to all words alike
        parameter.data *= 20
    canvas, lengths = torch.full((2, parts, 3), MASK), torch.tensor([3, 2])
    weights = word_attention(model, canvas, lengths, text, block)
    assert weights.shape == (2, 2, 3, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3))
    assert weights[1, :, :, 2:].eq(0).all(), "padding was looked at"
    assert weights[0].std() > 0.01, "a test of uniform weights would show nothing"

    attention, kept = model.cross[block].attention, {}
    hook = attention.register_forward_hook(
        lambda _, inputs, output: kept.update(inputs=inputs, output=output)
    )
    model(canvas, lengths, text.words, text.mask, text.sentence)
    hook.remove()
    value = attention.key_value(kept["inputs"][2]).chunk(2, -1)[1].unflatten(-1, (2, 4)).transpose(1, 2)
    output = attention.out((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(output, kept["output"][:, :3])
    assert not attention._forward_hooks, "the hook must not stay behind"


class Source:
    name, width = "source", 6

    def __init__(self, text):
        self.text = text

    def lookup(self, captions):
        return self.text[: len(captions)]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_silent_text_is_a_dropped_text(text, parts):
    model, canvas, lengths = small(parts=parts), torch.full((2, parts, 3), MASK), torch.tensor([3, 2])
    nothing = SilentText(Source(text), model).lookup(["a", "b"])
    silent = model(canvas, lengths, nothing.words, nothing.mask, nothing.sentence)
    dropped = model(canvas, lengths, text.words, text.mask, text.sentence, torch.ones(2, dtype=torch.bool))
    torch.testing.assert_close(silent, dropped)
    assert not torch.allclose(silent, model(canvas, lengths, text.words, text.mask, text.sentence))


def test_a_model_without_text_dropout_cannot_be_silent(text):
    with pytest.raises(ValueError, match="trained without text dropout"):
        SilentText(Source(text), small(text_dropout=0.0)).lookup(["a"])
