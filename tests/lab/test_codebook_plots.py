"""Plots of a codebook, on arrays and tables with known answers."""

import numpy as np
import pandas as pd
import torch

from mmm.lab import codebook_plots as plots
from mmm.lab.codebook import Succession


def texts(ax) -> str:
    return "\n".join(text.get_text() for text in [*ax.texts, *ax.get_legend().get_texts()])


def test_use_history_and_resets():
    uniform = plots.plot_usage(torch.full((32,), 7)).axes[0]
    assert [set(line.get_ydata()) for line in uniform.lines] == [{7}, {7}]
    assert "entropy 5.00 of 5.00 bits\nperplexity 32 of 32 codes\n0.0% of the codes dead" in texts(uniform)
    ax = plots.plot_usage(torch.tensor([0, 10, 0, 70, 10, 10])).axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[1, 70], [2, 10], [3, 10], [4, 10]]
    assert "2 dead codes" in texts(ax) and "all used equally: 16.7 times each" in texts(ax)
    assert ax.get_title() == "100 tokens, 6 codes"

    columns = {"epoch": [1, 2, 3], "entropy": [1, 3, 4], "perplexity": [2, 8, 16], "dead": [9, 3, 0]}
    axes = plots.plot_history(pd.DataFrame(columns | {"resets": [0, 12, 15]}), 16).axes
    curves = [ax.lines[0].get_ydata().tolist() for ax in axes]
    assert curves == [[1, 3, 4], [2, 8, 16], [9, 3, 0], [0, 12, 3]], "resets of each epoch, not all so far"
    assert [set(ax.lines[1].get_ydata()) for ax in axes[:3]] == [{4.0}, {16}, {16}], (
        "the most that is possible"
    )

    left, right = plots.plot_resets(np.array([0, 2, 2, 5]), torch.tensor([7, 0, 3, 1])).axes
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in left.patches}
    assert {number: count for number, count in heights.items() if count} == {0: 1, 2: 2, 5: 1}
    dots = right.collections[0].get_offsets()
    assert dots[:, 1].tolist() == [7, 0.5, 3, 1], "a dead code is drawn below 1"
    left, _ = plots.plot_resets(np.arange(1000), torch.ones(1000, dtype=torch.int64)).axes
    assert 20 < len(left.patches) <= 41 and sum(bar.get_height() for bar in left.patches) == 1000


def test_distances_and_map():
    near, used = torch.tensor([1.0, 1.0, 3.0, 9.0]), torch.tensor([True, True, True, False])
    ax = plots.plot_distances(near, used, torch.full((50,), 2.0)).axes[0]
    assert "encoder output to its code: median 2\ncode to nearest code: median 1" in texts(ax)
    assert "1 dead codes to nearest code: median 9" in texts(ax)
    assert ax.lines[0].get_xdata().tolist() == [9.0]

    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    counts, nan = torch.tensor([10, 20, 30, 0]), float("nan")
    speed, turning = torch.tensor([0.0, 50.0, 100.0, nan]), torch.tensor([-10.0, 0.0, 30.0, nan])
    meanings = {"speed": speed, "turning": turning}
    figure = plots.plot_map(places, torch.tensor([0.5, 0.25]), counts, meanings)
    grey, dots = figure.axes[0].collections[:2]
    assert grey.get_offsets().tolist() == [[5, 5]] and "1 unused" in figure.get_suptitle()
    assert dots.get_offsets().tolist() == [[0, 1], [1, 0], [0, 0]], "the most used lie below the others"
    assert dots.get_array().tolist() == [100, 50, 0] and np.all(np.diff(dots.get_sizes()) < 0)
    both = figure.axes[1].collections[1].norm
    assert both.vmin == -both.vmax and dots.norm.vmin >= 0, "no turning must have the middle colour"


def test_succession_shows_runs_bits_and_followers():
    follow = torch.zeros(5, 5, dtype=torch.int64)
    follow[3, 3], follow[3, 1], follow[1, 3] = 6, 2, 4
    known = Succession(5.0, 1.5, 3.0, 0.5)
    runs, shuffled = torch.tensor([1, 1, 3, 3]), torch.tensor([1, 1, 1, 2])
    left, bits, matrix = plots.plot_succession(runs, shuffled, known, follow, shown=2).axes[:3]
    assert [line.get_ydata().tolist() for line in left.lines] == [[1, 0.25], [1, 0.5, 0.5]]
    assert [bar.get_height() for bar in bits.patches] == [5.0, 3.0, 1.5]
    np.testing.assert_allclose(matrix.images[0].get_array(), [[0.75, 0.25], [1.0, 0.0]])  # codes 3 and 1
