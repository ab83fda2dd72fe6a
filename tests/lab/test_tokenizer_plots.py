"""Plots of the tokenizer chapter, on arrays and tables with known answers."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from mmm.lab import tokenizer_plots as plots
from mmm.motion import HUMANML3D
from mmm.viz.style import BAD, GOOD


def test_points_are_tied_to_their_codes_and_only_moved_codes_have_arrows():
    z, before = torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 1.0], [2.0, 1.0], [9.0, 9.0]])
    after = torch.tensor([[0.0, 0.5], [2.0, 1.5], [9.0, 9.0]])
    ax = plots.plot_quantisation(z, before, torch.tensor([0, 1]), after).axes[0]
    ties = [segment.tolist() for segment in ax.collections[0].get_segments()]
    assert ties == [[[0, 0], [0, 1]], [[2, 2], [2, 1]]]
    arrows = next(c for c in ax.collections if hasattr(c, "U"))
    assert (arrows.U.tolist(), arrows.V.tolist()) == ([0, 0], [-0.5, 0.5])


def test_errors_by_joint_action_and_frequency():
    ax = plots.plot_joint_errors(torch.arange(21.0).flip(0)).axes[0]  # the last joint is best
    assert [bar.get_height() for bar in ax.patches] == list(range(21))
    assert ax.get_xticklabels()[0].get_text() == HUMANML3D.joints[-1].replace("_", " ")
    assert ax.texts[0].get_text() == "mean 10.0 cm"

    rows = {"bow": (4.0, 10, 2), "walk": (1.0, 30, 7)}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["error", "frames", "clips"])
    ax = plots.plot_action_errors(table).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["bow  (2)", "walk  (7)"]
    assert [bar.get_width() for bar in ax.patches] == [4, 1] and ax.yaxis_inverted()  # the first on top
    assert "mean 1.8 cm" in [text.get_text() for text in ax.texts]  # over frames, not actions

    columns = {"clip": [8.0, 2.0], "reconstruction": [7.0, 1.0], "error": [2.0, 3.0], "ratio": [0.25, 1.5]}
    table = pd.DataFrame(columns, index=["0–1 Hz", "1–2 Hz"])
    sizes, ratio = plots.plot_frequency_errors(table).axes
    assert {line.get_label(): line.get_ydata().tolist() for line in sizes.lines} == {
        name: values for name, values in columns.items() if name != "ratio"
    }
    assert [bar.get_height() for bar in ratio.patches] == [0.25, 1.5] and ratio.get_ylim()[1] > 1.5


@pytest.mark.parametrize("height", [0.0, 1.5])
def test_poses_are_wholly_inside_their_axes(height):
    rest = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D.parents):
        if parent >= 0:
            rest[joint] = rest[parent] + 0.25 * HUMANML3D.raw_offsets[joint]
    rest[:, 1] += 0.9 + height  # a jump must not leave the panel
    figure = plots.plot_poses(np.tile(rest, (7, 2, 1, 1)), [f"code {i}" for i in range(7)], columns=4)
    assert len(figure.axes) == 8 and [ax.get_title() for ax in figure.axes][-1] == ""
    for ax in figure.axes[:7]:
        polygons = [c for c in ax.collections if isinstance(c, PolyCollection)]
        corners = np.concatenate([path.vertices for c in polygons for path in c.get_paths()])
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert left < corners[:, 0].min() and corners[:, 0].max() < right
        assert bottom < corners[:, 1].min() and corners[:, 1].max() < top


def test_the_race_shows_its_eight_by_colour_line_and_strength():
    rows, histories = [], {}
    for number, (narrow, ema, reset) in enumerate(product((True, False), repeat=3)):
        rows.append((narrow, ema, reset, 0.1 * number, 10.0 + number, 3.0))
        histories[f"runner {number}"] = pd.DataFrame({"epoch": [1, 2], "perplexity": [2.0, 5.0 + number]})
    columns = ["narrow", "ema", "reset", "usage", "perplexity", "mpjpe_local"]
    table = pd.DataFrame(rows, index=list(histories), columns=columns)
    curves, usage, perplexity, error = plots.plot_race(table, histories, 64).axes
    lines = curves.lines[:8]
    for number, (line, (narrow, ema, reset, *_)) in enumerate(zip(lines, rows, strict=True)):
        assert line.get_ydata()[-1] == 5 + number
        assert to_hex(line.get_color()) == (GOOD if narrow else BAD)
        assert line.get_linestyle() == ("-" if ema else "--")
        assert (line.get_alpha() == 1) == reset
    assert len({(to_hex(line.get_color()), line.get_linestyle(), line.get_alpha()) for line in lines}) == 8
    np.testing.assert_allclose([bar.get_width() for bar in usage.patches], 10 * np.arange(8))
    assert [bar.get_width() for bar in perplexity.patches] == list(range(10, 18))
    assert [tick.get_text() for tick in usage.get_yticklabels()] == list(histories) and usage.yaxis_inverted()
    assert error.get_ylim() == usage.get_ylim()
