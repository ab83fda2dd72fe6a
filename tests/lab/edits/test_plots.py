"""Pictures of a single edit: its canvas, and curves over its frames."""

import numpy as np
import pytest

from mmm.lab.edits.plots import plot_canvas, plot_over_time
from mmm.motion import Motion
from mmm.viz.style import KEPT


@pytest.fixture
def edit(of_parts, golden):
    motion = Motion(golden("features_free")["1/features"])
    return of_parts().edit(motion, (40, 80), part="upper", text="a person waves", steps=1)


def test_a_canvas_shows_what_is_kept_and_the_confidence_of_the_rest(edit):
    figure = plot_canvas([edit, edit], ["one", "two"])
    ax = figure.axes[0]
    assert ax.get_title(loc="left") == "one"
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        f"{part} body, {when}" for when in ("before", "after") for part in ("upper", "lower")
    ]
    meshes = ax.collections
    before, after = meshes[0].get_array().ravel(), meshes[2].get_array()
    assert np.flatnonzero(before).tolist() == list(range(10, 20)), "MASK before"
    sampled = after.ravel()
    assert sampled.mask.sum() == 25 and np.allclose(sampled.compressed(), edit.confidence[0, 10:20].numpy())
    assert meshes[0].get_cmap()(0.0) == pytest.approx(
        tuple(int(KEPT[i : i + 2], 16) / 255 for i in (1, 3, 5)) + (1,)
    )


def test_curves_over_the_gap(edit):
    figure = plot_over_time({"a": np.arange(138.0), "b": np.zeros(138)}, edit, "cm")
    (ax,) = figure.axes
    (shade,) = ax.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((2.0, 4.0))
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    with pytest.raises(ValueError, match="5 curves"):
        plot_over_time({str(i): np.zeros(3) for i in range(5)}, edit, "cm")
