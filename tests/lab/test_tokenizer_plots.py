"""Pictures of notebook 02, on arrays with known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PolyCollection

from mmm.lab import tokenizer_plots as plots
from mmm.motion import HUMANML3D


def test_points_hang_on_their_codes_and_only_moved_codes_have_arrows():
    z, before = torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 1.0], [2.0, 1.0], [9.0, 9.0]])
    after = torch.tensor([[0.0, 0.5], [2.0, 1.5], [9.0, 9.0]])
    ax = plots.plot_quantisation(z, before, torch.tensor([0, 1]), after).axes[0]
    ties = [segment.tolist() for segment in ax.collections[0].get_segments()]
    assert ties == [[[0, 0], [0, 1]], [[2, 2], [2, 1]]]
    arrows = next(c for c in ax.collections if hasattr(c, "U"))
    assert (arrows.U.tolist(), arrows.V.tolist()) == ([0, 0], [-0.5, 0.5])


def test_joints_stand_in_the_order_of_their_errors_under_their_names():
    errors = torch.arange(21.0).flip(0)  # the last joint is best
    ax = plots.plot_joint_errors(errors).axes[0]
    assert [bar.get_height() for bar in ax.patches] == list(range(21))
    assert ax.get_xticklabels()[0].get_text() == HUMANML3D.joints[-1].replace("_", " ")
    assert ax.texts[0].get_text() == "mean 10.0 cm"


def test_contents_stand_with_the_number_of_their_clips():
    rows = {"bow": (4.0, 10, 2), "walk": (1.0, 30, 7)}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["error", "frames", "clips"])
    ax = plots.plot_content_errors(table).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["bow  (2)", "walk  (7)"]
    assert [bar.get_width() for bar in ax.patches] == [4, 1] and ax.yaxis_inverted()  # the first on top
    assert "mean 1.8 cm" in [text.get_text() for text in ax.texts]  # over frames, not contents


def test_bands_show_movement_copy_error_and_their_ratio():
    table = pd.DataFrame(
        {"true": [8.0, 2.0], "made": [7.0, 1.0], "error": [2.0, 3.0], "ratio": [0.25, 1.5]},
        index=["0–1 Hz", "1–2 Hz"],
    )
    sizes, ratio = plots.plot_frequency_errors(table).axes
    drawn = {line.get_label(): line.get_ydata().tolist() for line in sizes.lines}
    assert drawn == {"true movement": [8, 2], "from tokens": [7, 1], "error": [2, 3]}
    assert [bar.get_height() for bar in ratio.patches] == [0.25, 1.5]
    assert ratio.get_ylim()[1] > 1.5 and sizes.get_yscale() == "log"


@pytest.mark.parametrize("height", [0.0, 1.5])
def test_poses_are_wholly_inside_their_axes(height):
    rest = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D.parents):
        if parent >= 0:
            rest[joint] = rest[parent] + 0.25 * HUMANML3D.raw_offsets[joint]
    rest[:, 1] += 0.9 + height  # a jump must not leave the picture
    figure = plots.plot_poses(np.tile(rest, (7, 2, 1, 1)), [f"code {i}" for i in range(7)], columns=4)
    assert len(figure.axes) == 8 and [ax.get_title() for ax in figure.axes][-1] == ""
    for ax in figure.axes[:7]:
        drawn = [
            path.vertices for c in ax.collections if isinstance(c, PolyCollection) for path in c.get_paths()
        ]
        corners = np.concatenate(drawn)
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert left < corners[:, 0].min() and corners[:, 0].max() < right
        assert bottom < corners[:, 1].min() and corners[:, 1].max() < top
