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


def test_clips_words_and_splits():
    clips = pd.DataFrame({
        "seconds": [2.0, 3.0, 8.0, 4.0],
        "split": ["train", "train", "val", "train"],
        "actions": [("walk",), ("walk", "wave"), ("walk",), ("bow",)],
    })  # fmt: skip
    lengths, actions = plots.plot_clips(clips).axes
    assert sum(bar.get_height() for bar in lengths.patches) == 4
    assert [bar.get_width() for bar in actions.patches] == [1, 1, 3]
    splits = plots.plot_splits(clips).axes[0]
    widths = [[round(bar.get_width()) for bar in bars] for bars in splits.containers]
    assert [label.get_text() for label in splits.get_yticklabels()][-1] == "walk"
    assert widths[0][-1] == 67 and widths[1][-1] == 33 and np.sum(widths) == 300
    assert {text.get_text() for text in splits.texts} == {"", "1", "2"}
    assert [text.get_text() for text in splits.get_legend().get_texts()] == ["train", "val"]
    words = pd.DataFrame({"word": list("abcdef"), "tag": ["VERB", "NOUN"] * 3, "count": range(6, 0, -1)})
    assert [len(ax.patches) for ax in plots.plot_words(words, shown=2).axes] == [2, 2, 0, 0]
    untagged = plots.plot_words(words.assign(tag="OTHER"), shown=2).axes
    assert [label.get_text() for label in untagged[1].get_yticklabels()] == ["d", "c"]


def test_framed_are_the_combinations_that_train_lacks():
    axes = plots.plot_combinations({("walk", "clap"): 3}, {("walk", "wave"): 2, ("walk", "clap"): 1}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3", "0 | 2"]
    assert len(axes.patches) == 1


def test_the_map_shows_all_numbers_once():
    features = np.random.default_rng(0).normal(size=(30, 263)).astype(np.float32)
    images = [ax.images[0] for ax in plots.plot_feature_map(features).axes if ax.images and ax.get_ylabel()]
    shown = np.concatenate([image.get_array() for image in images[:5]])
    assert np.array_equal(shown, features.T)
    assert images[0].get_clim() == (-plots.RANGE, plots.RANGE)


def test_turning_is_to_the_left_in_degrees_and_speed_in_metres_a_second():
    features = walker()
    path, root, feet, speed = plots.plot_root_and_feet(features, features_to_joints(features)).axes
    assert np.allclose(root.lines[0].get_ydata(), 90, atol=1e-3)
    assert np.allclose(speed.lines[0].get_ydata(), 1, atol=1e-6)
    assert path.xaxis_inverted() and path.lines[0].get_xdata()[-1] > 0  # left is +x, drawn at the left
    assert len(feet.lines) == 4


def test_drift_is_the_distance_from_the_ground_truth():
    joints = features_to_joints(walker())
    moved = joints + np.linspace(0, 1, len(joints))[:, None, None] * [1, 0, 0]
    _, grows = plots.plot_drift({"truth": joints, "moved": moved.astype(np.float32)}, "truth").axes
    truth, line = grows.lines
    assert not truth.get_ydata().any() and np.isclose(line.get_ydata()[-1], 100, atol=1e-3)


def test_numbers_that_never_change_are_shown_as_triangles():
    std = np.full(263, 0.1)
    std[115:121] = 0
    lines = plots.plot_spread(std, np.full(263, 0.1)).axes[0].lines
    triangles = np.concatenate([line.get_xdata() for line in lines if line.get_marker() == "v"])
    assert list(triangles) == list(range(115, 121))
    assert {line.get_label() for line in lines if line.get_label()[0] != "_"} == set(feature_slices())
