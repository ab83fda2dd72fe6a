"""Plots of the sampler, on traces and tables with known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mmm.lab import sampling_plots as plots
from mmm.sampling import Step
from mmm.transformer import MASK

NAN = np.nan


def step(canvas, tokens, confidence):
    return Step(torch.tensor(canvas), torch.tensor(tokens), torch.tensor(confidence))


# Two items of 3 and 2 positions: the first needs two passes, the second only one.
ONE_PART = [
    step([[[MASK] * 3], [[5, MASK, 0]]], [[[1, 2, 3]], [[5, 6, 0]]], [[[0.9, 0.2, 0.4]], [[1.0, 0.3, 0.0]]]),
    step([[[1, MASK, MASK]], [[5, 6, 0]]], [[[1, 4, 3]], [[5, 6, 0]]], [[[0.9, 0.5, 0.6]], [[1.0, 0.3, 0]]]),
]
# One item of two body parts, whose last pass writes only the lower one.
TWO_PARTS = [
    step([[[MASK, 2], [MASK, MASK]]], [[[1, 2], [3, 4]]], [[[0.8, 1.0], [0.1, 0.7]]]),
    step([[[1, 2], [MASK, 4]]], [[[1, 2], [3, 4]]], [[[0.8, 1.0], [0.6, 0.7]]]),
]


# Without the passes that an item does not need, and without padding.
@pytest.mark.parametrize(
    ("trace", "item", "part", "rows"),
    [
        (ONE_PART, 0, 0, [[NAN, NAN, NAN], [0.9, 0.2, 0.4], [0.9, NAN, NAN], [0.9, 0.5, 0.6]]),
        (ONE_PART, 1, 0, [[1.0, NAN], [1.0, 0.3]]),
        (TWO_PARTS, 0, 0, [[NAN, 1.0], [0.8, 1.0], [0.8, 1.0], [0.8, 1.0]]),
        (TWO_PARTS, 0, 1, [[NAN, NAN], [0.1, 0.7], [NAN, 0.7], [0.6, 0.7]]),
    ],
)
def test_rows_of_a_decode_show_mask_and_confidence_before_and_after_each_pass(trace, item, part, rows):
    np.testing.assert_allclose(plots.filling_rows(trace, item, len(rows[0]), part), rows, rtol=1e-6)


def test_filling_has_a_panel_for_each_item_and_part():
    panels = plots.plot_filling(ONE_PART, torch.tensor([3, 2]), ["one", "two"]).axes[:2]
    assert [ax.get_title(loc="left") for ax in panels] == ["one", "two"]
    assert [[label.get_text() for label in ax.get_yticklabels()] for ax in panels] == [["1", "2"], ["1"]]
    figure = plots.plot_filling(TWO_PARTS, torch.tensor([2]), ["one"])
    FigureCanvasAgg(figure).draw()
    assert ["upper" in ax.get_xlabel() for ax in figure.axes[:2]] == [True, False]
    lower = np.ma.filled(figure.axes[1].collections[0].get_array(), NAN)
    np.testing.assert_allclose(lower, plots.filling_rows(TWO_PARTS, 0, 2, 1))


def test_knobs_draw_every_setting_of_every_metric():
    steps = pd.DataFrame({"jerk": {1: 70.0, 10: 50.0, 20: 40.0}, "confidence": {1: 0.2, 10: 0.3, 20: 0.4}})
    guidance = pd.DataFrame({"jerk": {1.0: 60.0, 2.0: 90.0}, "confidence": {1.0: 0.2, 2.0: 0.5}})
    figure = plots.plot_knobs({"steps": steps, "guidance": guidance}, {"real": {"jerk": 55.0}})
    FigureCanvasAgg(figure).draw()
    heights = [[bar.get_height() for bar in ax.patches] for ax in figure.axes]
    assert heights == [[70, 50, 40], [0.2, 0.3, 0.4], [60, 90], [0.2, 0.5]]
    lines = [[float(line.get_ydata()[0]) for line in ax.lines] for ax in figure.axes]
    assert lines == [[55.0], [], [55.0], []]
    assert all(ax.get_ylim()[1] >= max(bars) for ax, bars in zip(figure.axes, heights, strict=True))
