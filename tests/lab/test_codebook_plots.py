"""Pictures of a codebook, on arrays with known answers."""

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection

from mmm.lab import tokenizer_plots as codebook_plots
from mmm.lab.codebook import Succession


def told(ax) -> str:
    return "\n".join(text.get_text() for text in [*ax.texts, *ax.get_legend().get_texts()])


def test_a_uniform_codebook_lies_on_the_line_of_equal_use():
    ax = codebook_plots.plot_usage(torch.full((32,), 7)).axes[0]
    codes, alike = ax.lines
    assert set(codes.get_ydata()) == {7} == set(alike.get_ydata())
    assert "entropy 5.00 of 5.00 bits\nperplexity 32 of 32 codes\n0.0% of the codes dead" in told(ax)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log") and "dead codes" not in told(ax)


def test_a_collapsed_one_falls_and_its_dead_codes_are_counted():
    ax = codebook_plots.plot_usage(torch.tensor([0, 10, 0, 70, 10, 10])).axes[0]
    assert ax.lines[0].get_ydata().tolist() == [70, 10, 10, 10]
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert "2 dead codes" in told(ax) and "33.3% of the codes dead" in told(ax)
    assert "all used alike: 16.7 times each" in told(ax)
    assert ax.get_title() == "100 tokens, 6 codes"


def test_distances_of_codes_and_of_what_they_stand_for():
    near, used = torch.tensor([1.0, 1.0, 3.0, 9.0]), torch.tensor([True, True, True, False])
    ax = codebook_plots.plot_distances(near, used, torch.full((50,), 2.0)).axes[0]
    legend = told(ax)
    assert "encoder output to its code: median 2" in legend and "code to nearest code: median 1" in legend
    assert "1 dead codes to nearest code: median 9" in legend
    assert ax.lines[0].get_xdata().tolist() == [9.0]
    alive = codebook_plots.plot_distances(near, used | True, torch.full((50,), 2.0)).axes[0]
    assert "dead" not in told(alive)


def test_the_map_colours_used_codes_by_each_meaning():
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    counts = torch.tensor([10, 20, 30, 0])
    nan = float("nan")
    meanings = {
        "speed": torch.tensor([0.0, 50.0, 100.0, nan]),
        "turning": torch.tensor([-10.0, 0.0, 30.0, nan]),
    }
    figure = codebook_plots.plot_map(places, torch.tensor([0.5, 0.25]), counts, meanings)
    speed, turning = figure.axes[:2]
    grey, dots = (c for c in speed.collections if isinstance(c, PathCollection))
    assert grey.get_offsets().tolist() == [[5, 5]]
    order = dots.get_offsets().tolist()
    assert order == [[0, 1], [1, 0], [0, 0]], "the most used lie below, or they would hide the others"
    assert dots.get_array().tolist() == [100, 50, 0] and np.all(np.diff(dots.get_sizes()) < 0)
    both = turning.collections[1]
    assert both.norm.vmin == -both.norm.vmax, "no turning must have the middle colour"
    assert dots.norm.vmin >= 0
    assert "50%" in speed.get_xlabel() and "25%" in speed.get_ylabel()
    assert "1 unused" in figure.get_suptitle()


def test_succession_shows_runs_bits_and_followers():
    follow = torch.zeros(5, 5, dtype=torch.int64)
    follow[3, 3], follow[3, 1], follow[1, 3] = 6, 2, 4
    figure = codebook_plots.plot_succession(
        torch.tensor([1, 1, 3, 3]),
        torch.tensor([1, 1, 1, 2]),
        Succession(5.0, 1.5, 3.0, 0.5),
        follow,
        shown=2,
    )
    runs, bits, matrix = figure.axes[:3]
    mixed, real = runs.lines
    assert real.get_ydata().tolist() == [1, 0.5, 0.5] and mixed.get_ydata().tolist() == [1, 0.25]
    assert "in their order: mean 2.00" in told(runs)
    assert [bar.get_height() for bar in bits.patches] == [5.0, 3.0, 1.5]
    picture = matrix.images[0].get_array()
    np.testing.assert_allclose(picture, [[0.75, 0.25], [1.0, 0.0]])  # codes 3 and 1, shares of what follows


@pytest.mark.parametrize("number", [999, 12345])
def test_long_numbers_are_spaced(number):
    assert codebook_plots.spaced(number).replace("\N{NARROW NO-BREAK SPACE}", "").replace(" ", "") == str(
        number
    )
    assert len(codebook_plots.spaced(number)) == (3 if number == 999 else 6)
