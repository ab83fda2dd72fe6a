"""Plots of the tokenizer chapter, on arrays and tables with known answers."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from mmm.lab import tokenizer_plots as plots
from mmm.motion import HUMANML3D
from mmm.viz.style import BAD, GOOD


def test_quantisation_and_errors():
    z, before = torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 1.0], [2.0, 1.0], [9.0, 9.0]])
    after = torch.tensor([[0.0, 0.5], [2.0, 1.5], [9.0, 9.0]])
    ax = plots.plot_quantisation(z, before, torch.tensor([0, 1]), after).axes[0]
    ties = [segment.tolist() for segment in ax.collections[0].get_segments()]
    assert ties == [[[0, 0], [0, 1]], [[2, 2], [2, 1]]]
    arrows = next(c for c in ax.collections if hasattr(c, "U"))
    assert (arrows.U.tolist(), arrows.V.tolist()) == ([0, 0], [-0.5, 0.5]), "only moved codes have arrows"

    ax = plots.plot_joint_errors(torch.arange(21.0)).axes[0]  # the last joint is the worst
    assert [bar.get_width() for bar in ax.patches] == list(range(20, -1, -1))
    assert ax.get_yticklabels()[0].get_text() == HUMANML3D.joints[-1].replace("_", " ")

    table = pd.DataFrame({"error": [4.0, 1.0], "frames": [10, 30], "clips": [2, 7]}, index=["bow", "walk"])
    ax = plots.plot_action_errors(table).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["bow  (2)", "walk  (7)"]
    assert [bar.get_width() for bar in ax.patches] == [4, 1] and ax.yaxis_inverted()  # the first on top
    assert "mean 1.8 cm" in [text.get_text() for text in ax.texts]  # over frames, not actions

    columns = {"clip": [8.0, 2.0], "reconstruction": [7.0, 1.0], "error": [2.0, 3.0], "ratio": [0.25, 1.5]}
    sizes, ratio = plots.plot_frequency_errors(pd.DataFrame(columns, index=["0–1 Hz", "1–2 Hz"])).axes
    curves = {line.get_label(): line.get_ydata().tolist() for line in sizes.lines}
    assert curves | {"ratio": [bar.get_height() for bar in ratio.patches]} == columns


@pytest.mark.parametrize("height", [0.0, 1.5])
def test_poses_are_wholly_inside_their_axes(height):
    rest = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D.parents):
        if parent >= 0:
            rest[joint] = rest[parent] + 0.25 * HUMANML3D.raw_offsets[joint]
    rest[:, 1] += 0.9 + height  # a jump must not leave the panel
    figure = plots.plot_poses(np.tile(rest, (3, 2, 1, 1)), ["a", "b", "c"], columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", ""]
    for ax in figure.axes[:3]:
        corners = np.concatenate([np.reshape(image.get_extent(), (2, 2)).T for image in ax.images])
        assert len(ax.images) == 2 and all(image.get_array()[[0, -1], :, 3].max() == 0 for image in ax.images)
        limits = np.array([ax.get_xlim(), ax.get_ylim()])
        assert (limits[:, 0] < corners.min(0)).all() and (corners.max(0) < limits[:, 1]).all()


def test_the_race_shows_its_eight_by_colour_line_and_strength():
    flags = list(product((True, False), repeat=3))
    table = pd.DataFrame(flags, index=[f"runner {i}" for i in range(8)], columns=["narrow", "ema", "reset"])
    table = table.assign(usage=0.1, perplexity=range(10, 18), mpjpe_local=3.0)
    histories = {name: pd.DataFrame({"epoch": [1, 2], "perplexity": [2.0, 5.0]}) for name in table.index}
    curves, usage, perplexity, _ = plots.plot_race(table, histories, 64).axes
    looks = {
        (to_hex(line.get_color()), line.get_linestyle(), line.get_linewidth() > 2)
        for line in curves.lines[:8]
    }
    assert looks == {(GOOD if narrow else BAD, "-" if ema else "--", reset) for narrow, ema, reset in flags}
    assert [bar.get_width() for bar in perplexity.patches] == list(range(10, 18))
    assert [tick.get_text() for tick in usage.get_yticklabels()] == list(
        table.index
    ) and usage.yaxis_inverted()
