"""Plots of a data set and of one clip hold the numbers of their tables and arrays."""

import numpy as np
import pandas as pd

from mmm.lab import data_plots as plots
from mmm.motion import feature_slices, features_to_joints


def walker(frames: int = 30) -> np.ndarray:
    """Features of a body that walks ahead at 1 m/s and turns left at 90 degrees a second."""
    features = np.zeros((frames, 263), np.float32)
    features[:, 0] = -np.radians(90) / 20 / 2
    features[:, 2] = 1 / 20
    features[:, 3] = 0.9
    features[:, 4:67] = np.random.default_rng(0).normal(size=63)
    return features


def test_plots_of_a_data_set():
    actions = [("walk",), ("walk", "wave"), ("walk",), ("bow",)]
    splits = ["train", "train", "val", "train"]
    clips = pd.DataFrame({"seconds": [2.0, 3.0, 8.0, 4.0], "split": splits, "actions": actions})
    lengths, classes = plots.plot_clips(clips).axes
    assert sum(bar.get_height() for bar in lengths.patches) == 4
    assert [bar.get_width() for bar in classes.patches] == [1, 1, 3]
    ax = plots.plot_splits(clips).axes[0]
    assert ax.get_yticklabels()[-1].get_text() == "walk"
    assert [round(bars[-1].get_width()) for bars in ax.containers] == [67, 33]
    words = pd.DataFrame({"word": list("abcdef"), "tag": ["VERB", "NOUN"] * 3, "count": range(6, 0, -1)})
    assert [len(ax.patches) for ax in plots.plot_words(words, shown=2).axes] == [2, 2, 0, 0]
    untagged = plots.plot_words(words.assign(tag="OTHER"), shown=2).axes
    assert [label.get_text() for label in untagged[1].get_yticklabels()] == ["d", "c"]
    held_out = {("walk", "wave"): 2, ("walk", "clap"): 1}
    ax = plots.plot_combinations({("walk", "clap"): 3}, held_out).axes[0]
    assert [text.get_text() for text in ax.texts] == ["3", "0 | 2"] and len(ax.patches) == 1


def test_plots_of_a_clip():
    features = walker()
    joints = features_to_joints(features)
    axes = plots.plot_feature_map(features).axes
    images = [ax.images[0].get_array() for ax in axes if ax.images and ax.get_ylabel()]
    assert np.array_equal(np.concatenate(images[:5]), features.T), "all numbers once"

    path, root, feet, speed = plots.plot_root_and_feet(features, joints).axes
    assert np.allclose(root.lines[0].get_ydata(), 90, atol=1e-3)
    assert np.allclose(speed.lines[0].get_ydata(), 1, atol=1e-6)
    assert path.xaxis_inverted() and path.lines[0].get_xdata()[-1] > 0  # left is +x, drawn at the left
    assert len(feet.lines) == 4

    moved = (joints + np.linspace(0, 1, len(joints))[:, None, None] * [1, 0, 0]).astype(np.float32)
    truth, line = plots.plot_drift({"truth": joints, "moved": moved}, "truth").axes[1].lines
    assert not truth.get_ydata().any() and np.isclose(line.get_ydata()[-1], 100, atol=1e-3)

    std = np.full(263, 0.1)
    std[115:121] = 0  # these never change: triangles
    lines = plots.plot_spread(std, np.full(263, 0.1)).axes[0].lines
    triangles = np.concatenate([line.get_xdata() for line in lines if line.get_marker() == "v"])
    assert list(triangles) == list(range(115, 121))
    assert {line.get_label() for line in lines if line.get_label()[0] != "_"} == set(feature_slices())
