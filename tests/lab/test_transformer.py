"""The attention shown is the attention used; a silent text is a dropped text; plots of arrays with known answers."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from mmm.lab import transformer as study
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


def test_a_row_ends_at_its_length_and_a_code_has_one_colour():
    rows, lengths = torch.tensor([[3, MASK, 3], [5, 3, 4]]), torch.tensor([3, 2])
    wrong = torch.tensor([[False, False, True], [False, False, False]])
    ax = study.plot_tokens(rows, lengths, ["a", "b"], wrong).axes[0]
    colours = [patch.get_facecolor()[:3] for patch in ax.patches if patch.get_fill()]
    assert len(colours) == 5 and len(ax.patches) == 6, "one frame"
    assert colours[0] == colours[2] == colours[4] != colours[3] and colours[1] == to_rgb(study.DARK_MASK)
    assert [text.get_text() for text in ax.texts] == ["3", "3", "5", "3"], "MASK has no number"


def test_loss_accuracy_lengths_and_attention():
    figure = study.plot_listening({"half": {"right": 1.0, "wrong": 2.0}, "all": {"right": 3.0, "wrong": 4.0}})
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [1, 3, 2, 4]
    assert bars[0].get_facecolor() == bars[1].get_facecolor() != bars[2].get_facecolor()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["right", "wrong"]
    ax = study.plot_accuracy([0.1, 1.0], {"model": [0.5, 0.2]}, {"blind": 0.01}).axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[0.1, 0.5], [1.0, 0.2]]
    assert list(ax.lines[1].get_ydata()) == [0.01, 0.01]
    ax = study.plot_lengths(torch.tensor([[0.25, 0.75]]), ["walks"], seconds=0.5).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.5, 0.25], [1.0, 0.75]])
    ax = study.plot_word_attention(torch.rand(3, 2), ["walks", "fast"]).axes[0]
    assert ax.collections[0].get_array().shape == (2, 3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["walks", "fast"]
