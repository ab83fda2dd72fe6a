"""Plots of the transformer chapter, on arrays with known answers."""

import numpy as np
import torch
from matplotlib.colors import to_rgb

from mmm.lab import transformer_plots as plots
from mmm.transformer import MASK


def test_a_row_ends_at_its_length_and_a_code_has_one_colour():
    rows, lengths = torch.tensor([[3, MASK, 3], [5, 3, 4]]), torch.tensor([3, 2])
    wrong = torch.tensor([[False, False, True], [False, False, False]])
    ax = plots.plot_tokens(rows, lengths, ["a", "b"], wrong).axes[0]
    colours = [patch.get_facecolor()[:3] for patch in ax.patches if patch.get_fill()]
    assert len(colours) == 5 and len(ax.patches) == 6, "one frame"
    assert colours[0] == colours[2] == colours[4] != colours[3] and colours[1] == to_rgb(plots.DARK_MASK)
    assert [text.get_text() for text in ax.texts] == ["3", "3", "5", "3"], "MASK has no number"


def test_loss_accuracy_lengths_and_attention():
    figure = plots.plot_listening({"half": {"right": 1.0, "wrong": 2.0}, "all": {"right": 3.0, "wrong": 4.0}})
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [1, 3, 2, 4]
    assert bars[0].get_facecolor() == bars[1].get_facecolor() != bars[2].get_facecolor()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["right", "wrong"]
    ax = plots.plot_accuracy([0.1, 1.0], {"model": [0.5, 0.2]}, {"blind": 0.01}).axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[0.1, 0.5], [1.0, 0.2]]
    assert list(ax.lines[1].get_ydata()) == [0.01, 0.01]
    ax = plots.plot_lengths(torch.tensor([[0.25, 0.75]]), ["walks"], seconds=0.5).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.5, 0.25], [1.0, 0.75]])
    ax = plots.plot_word_attention(torch.rand(3, 2), ["walks", "fast"]).axes[0]
    assert ax.images[0].get_array().shape == (2, 3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["walks", "fast"]
