"""Training curves: the numbers that a run has logged are drawn."""

import json

import pytest

from mmm.lab.training import SPEED, plot_training


def test_panels_show_the_numbers_of_the_run(tmp_path):
    metrics = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0}, {"step": 20, "val/loss": 2.5}]
    # 10 steps in 2 s, 10 more in 1 s; then the run was resumed, and its clock began again.
    timing = [{"step": 10, "seconds": 2.0}, {"step": 20, "seconds": 3.0}, {"step": 30, "seconds": 1.0}]
    for name, lines in (("metrics", metrics), ("timing", timing)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    loss, speed = plot_training({"a": tmp_path, "b": tmp_path}, {"loss": ["loss", "val/loss"]}).axes
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[10, 3], [20, 2]], [[20, 2.5]]] * 2
    labels = [text.get_text() for text in loss.get_legend().get_texts()]
    assert labels == ["a, train", "a, val", "b, train", "b, val"]
    assert speed.get_title() == SPEED
    assert speed.lines[0].get_xydata().tolist() == [[10, 5], [20, 10]]
    assert (
        [line.get_color() for line in speed.lines] == ["C0", "C1"] == [x.get_color() for x in loss.lines[::2]]
    )
    with pytest.raises(ValueError, match="perplexity"):
        plot_training({"mine": tmp_path}, {"codes": ["perplexity"]})
