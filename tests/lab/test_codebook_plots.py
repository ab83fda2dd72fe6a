"""Plots of a codebook, on arrays and tables with known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection

from mmm.lab import codebook_plots as plots
from mmm.lab.codebook import Succession


def texts(ax) -> str:
    return "\n".join(text.get_text() for text in [*ax.texts, *ax.get_legend().get_texts()])


def test_use_of_a_uniform_and_of_a_collapsed_codebook():
    ax = plots.plot_usage(torch.full((32,), 7)).axes[0]
    codes, equal = ax.lines
    assert set(codes.get_ydata()) == {7} == set(equal.get_ydata())
    assert "entropy 5.00 of 5.00 bits\nperplexity 32 of 32 codes\n0.0% of the codes dead" in texts(ax)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log") and "dead codes" not in texts(ax)
    ax = plots.plot_usage(torch.tensor([0, 10, 0, 70, 10, 10])).axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[1, 70], [2, 10], [3, 10], [4, 10]]
    assert "2 dead codes" in texts(ax) and "33.3% of the codes dead" in texts(ax)
    assert "all used equally: 16.7 times each" in texts(ax)
    assert ax.get_title() == "100 tokens, 6 codes"
    assert plots.spaced(12345) == "12 345"


def test_history_is_drawn_with_the_most_that_is_possible():
    perplexity = np.array([2.0, 8.0, 16.0])
    history = pd.DataFrame({
        "epoch": [1.0, 2.0, 3.0], "entropy": np.log2(perplexity), "perplexity": perplexity,
        "dead": [10.0, 3.0, 0.0], "resets": [0.0, 12.0, 15.0],
    })  # fmt: skip
    axes = plots.plot_history(history, 16).axes
    curves = [ax.lines[0].get_ydata().tolist() for ax in axes]
    assert curves == [[1, 3, 4], [2, 8, 16], [10, 3, 0], [0, 12, 3]], "resets of each epoch, not all so far"
    assert [set(ax.lines[1].get_ydata()) for ax in axes[:3]] == [{4.0}, {16}, {16}]
    assert axes[1].lines[0].get_xdata().tolist() == [1, 2, 3]


def test_resets_are_counted_for_each_code():
    left, right = plots.plot_resets(np.array([0, 2, 2, 5]), torch.tensor([7, 0, 3, 1])).axes
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in left.patches}
    assert {number: count for number, count in heights.items() if count} == {0: 1, 2: 2, 5: 1}
    assert left.get_title() == "9 resets in all"
    dots = right.collections[0].get_offsets()
    assert np.round(dots[:, 0]).tolist() == [0, 2, 2, 5]
    assert dots[:, 1].tolist() == [7, 0.5, 3, 1], "a dead code is drawn below 1"
    with pytest.raises(ValueError, match="resets are of 3 codes, counts of 4"):
        plots.plot_resets(np.zeros(3, np.int64), torch.ones(4, dtype=torch.int64))
    left, _ = plots.plot_resets(np.arange(1000), torch.ones(1000, dtype=torch.int64)).axes
    assert 20 < len(left.patches) <= 41 and sum(bar.get_height() for bar in left.patches) == 1000


def test_distances_between_codes_and_from_outputs():
    near, used = torch.tensor([1.0, 1.0, 3.0, 9.0]), torch.tensor([True, True, True, False])
    ax = plots.plot_distances(near, used, torch.full((50,), 2.0)).axes[0]
    legend = texts(ax)
    assert "encoder output to its code: median 2" in legend and "code to nearest code: median 1" in legend
    assert "1 dead codes to nearest code: median 9" in legend
    assert ax.lines[0].get_xdata().tolist() == [9.0]
    assert "dead" not in texts(plots.plot_distances(near, used | True, torch.full((50,), 2.0)).axes[0])


def test_the_map_colours_used_codes_by_each_meaning():
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    counts, nan = torch.tensor([10, 20, 30, 0]), float("nan")
    meanings = {
        "speed": torch.tensor([0.0, 50.0, 100.0, nan]),
        "turning": torch.tensor([-10.0, 0.0, 30.0, nan]),
    }
    figure = plots.plot_map(places, torch.tensor([0.5, 0.25]), counts, meanings)
    speed, turning = figure.axes[:2]
    grey, dots = (c for c in speed.collections if isinstance(c, PathCollection))
    assert grey.get_offsets().tolist() == [[5, 5]]
    assert dots.get_offsets().tolist() == [[0, 1], [1, 0], [0, 0]], "the most used lie below the others"
    assert dots.get_array().tolist() == [100, 50, 0] and np.all(np.diff(dots.get_sizes()) < 0)
    both = turning.collections[1]
    assert both.norm.vmin == -both.norm.vmax, "no turning must have the middle colour"
    assert dots.norm.vmin >= 0
    assert "50%" in speed.get_xlabel() and "25%" in speed.get_ylabel()
    assert "1 unused" in figure.get_suptitle()


def test_succession_shows_runs_bits_and_followers():
    follow = torch.zeros(5, 5, dtype=torch.int64)
    follow[3, 3], follow[3, 1], follow[1, 3] = 6, 2, 4
    known = Succession(5.0, 1.5, 3.0, 0.5)
    runs, shuffled = torch.tensor([1, 1, 3, 3]), torch.tensor([1, 1, 1, 2])
    left, bits, matrix = plots.plot_succession(runs, shuffled, known, follow, shown=2).axes[:3]
    assert [line.get_ydata().tolist() for line in left.lines] == [[1, 0.25], [1, 0.5, 0.5]]
    assert "in their order: mean 2.00" in texts(left)
    assert [bar.get_height() for bar in bits.patches] == [5.0, 3.0, 1.5]
    np.testing.assert_allclose(matrix.images[0].get_array(), [[0.75, 0.25], [1.0, 0.0]])  # codes 3 and 1
