"""Plots of the sampler, on traces and tables with known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mmm.lab import sampling_plots as plots
from mmm.sampling import Step
from mmm.transformer import MASK


def trace():
    """Two items of 3 and 2 positions; the first needs two passes, the second only one."""
    canvas = torch.tensor([[[MASK, MASK, MASK]], [[5, MASK, 0]]])
    tokens = torch.tensor([[[1, 2, 3]], [[5, 6, 0]]])
    first = Step(canvas, tokens, torch.tensor([[[0.9, 0.2, 0.4]], [[1.0, 0.3, 0.0]]]))
    canvas = torch.tensor([[[1, MASK, MASK]], [[5, 6, 0]]])
    tokens = torch.tensor([[[1, 4, 3]], [[5, 6, 0]]])
    return [first, Step(canvas, tokens, torch.tensor([[[0.9, 0.5, 0.6]], [[1.0, 0.3, 0.0]]]))]


def test_rows_of_a_decode_show_mask_and_confidence_before_and_after_each_pass():
    nan = np.nan
    expected = [[nan, nan, nan], [0.9, 0.2, 0.4], [0.9, nan, nan], [0.9, 0.5, 0.6]]
    np.testing.assert_allclose(plots.filling_rows(trace(), 0, 3), expected, rtol=1e-6)
    # Passes that an item does not need, and padding, are left out.
    np.testing.assert_allclose(plots.filling_rows(trace(), 1, 2), [[1.0, nan], [1.0, 0.3]], rtol=1e-6)


def test_the_filling_picture_has_one_panel_an_item_with_its_passes():
    figure = plots.plot_filling(trace(), torch.tensor([3, 2]), ["one", "two"])
    FigureCanvasAgg(figure).draw()
    panels = figure.axes[:2]
    assert [ax.get_title(loc="left") for ax in panels] == ["one", "two"]
    assert [[label.get_text() for label in ax.get_yticklabels()] for ax in panels] == [["1", "2"], ["1"]]
    top_row = panels[0].collections[0].get_array()[0]
    assert top_row.mask.all(), "before the first pass every position of an empty canvas is masked"
    with pytest.raises(ValueError, match="1 titles for 2 items"):
        plots.plot_filling(trace(), torch.tensor([3, 2]), ["one"])


def two_parts():
    """One item of two body parts; its last pass writes only the lower one."""
    canvas = torch.tensor([[[MASK, 2], [MASK, MASK]]])
    tokens = torch.tensor([[[1, 2], [3, 4]]])
    first = Step(canvas, tokens, torch.tensor([[[0.8, 1.0], [0.1, 0.7]]]))
    canvas = torch.tensor([[[1, 2], [MASK, 4]]])
    return [first, Step(canvas, tokens, torch.tensor([[[0.8, 1.0], [0.6, 0.7]]]))]


def test_two_body_parts_fill_side_by_side_pass_for_pass():
    nan, steps = np.nan, two_parts()
    upper = [[nan, 1.0], [0.8, 1.0], [0.8, 1.0], [0.8, 1.0]]
    np.testing.assert_allclose(plots.filling_rows(steps, 0, 2), upper, rtol=1e-6)
    lower = [[nan, nan], [0.1, 0.7], [nan, 0.7], [0.6, 0.7]]
    np.testing.assert_allclose(plots.filling_rows(steps, 0, 2, part=1), lower, rtol=1e-6)
    figure = plots.plot_filling(steps, torch.tensor([2]), ["one"])
    FigureCanvasAgg(figure).draw()
    shown = [np.ma.filled(ax.collections[0].get_array(), nan) for ax in figure.axes[:2]]
    np.testing.assert_allclose(shown, [upper, lower], rtol=1e-6)
    assert ["upper" in ax.get_xlabel() for ax in figure.axes[:2]] == [True, False]
    assert "lower" in figure.axes[1].get_xlabel()


def test_knobs_draw_every_setting_of_every_metric():
    steps = pd.DataFrame({"jerk": {1: 70.0, 10: 50.0, 20: 40.0}, "confidence": {1: 0.2, 10: 0.3, 20: 0.4}})
    guidance = pd.DataFrame({"jerk": {1.0: 60.0, 2.0: 90.0}, "confidence": {1.0: 0.2, 2.0: 0.5}})
    figure = plots.plot_knobs({"steps": steps, "guidance": guidance}, {"real": {"jerk": 55.0}})
    FigureCanvasAgg(figure).draw()
    heights = [[bar.get_height() for bar in ax.patches] for ax in figure.axes]
    assert heights == [[70, 50, 40], [0.2, 0.3, 0.4], [60, 90], [0.2, 0.5]]
    lines = [[float(line.get_ydata()[0]) for line in ax.lines] for ax in figure.axes]
    assert lines == [[55.0], [], [55.0], []]
    # no bar may stick out of its panel, whichever row holds the highest
    assert all(ax.get_ylim()[1] >= max(bars) for ax, bars in zip(figure.axes, heights, strict=True))
