"""Training curves: what a run has written is what is drawn."""

import json

import numpy as np
import pytest

from mmm.lab.training import SPEED, plot_training


@pytest.fixture
def run(tmp_path):
    metrics = [
        {"step": 10, "loss": 3.0},
        {"step": 20, "loss": 2.0},
        {"step": 20, "val/loss": 2.5},
    ]
    # 10 steps in 2 s, 10 more in 1 s; then the run was resumed, and its clock began anew.
    timing = [{"step": 10, "seconds": 2.0}, {"step": 20, "seconds": 3.0}, {"step": 30, "seconds": 1.0}]
    for name, lines in (("metrics", metrics), ("timing", timing)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_panels_show_the_numbers_of_the_run(run):
    loss, speed = plot_training({"mine": run}, {"loss": ["loss", "val/loss"]}).axes
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[10, 3], [20, 2]], [[20, 2.5]]]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["mine, train", "mine, val"]
    assert speed.get_title() == SPEED
    np.testing.assert_allclose(speed.lines[0].get_xydata(), [[10, 5], [20, 10]])


def test_each_run_has_its_colour_in_every_panel(run):
    loss, speed = plot_training({"a": run, "b": run}, {"loss": ["loss"]}).axes
    assert (
        [line.get_color() for line in loss.lines]
        == [line.get_color() for line in speed.lines]
        == ["C0", "C1"]
    )


def test_a_number_that_no_run_has_is_refused(run):
    with pytest.raises(ValueError, match="perplexity"):
        plot_training({"mine": run}, {"codes": ["perplexity"]})
