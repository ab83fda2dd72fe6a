"""The pictures of notebook 01 hold the numbers they were given."""

import numpy as np

from mmm.lab.data import RANGE, plot_drift, plot_feature_map, plot_root_and_feet, plot_spread
from mmm.motion import feature_slices, features_to_joints


def still(frames: int = 30) -> np.ndarray:
    """Features of nobody in particular who walks ahead at 1 m/s and turns left at 90 degrees a second."""
    features = np.zeros((frames, 263), np.float32)
    features[:, 0] = -np.radians(90) / 20 / 2
    features[:, 2] = 1 / 20
    features[:, 3] = 0.9
    features[:, 4:67] = np.random.default_rng(0).normal(size=63)
    return features


def test_the_map_shows_all_numbers_once():
    features = np.random.default_rng(0).normal(size=(30, 263)).astype(np.float32)
    images = [axes.images[0] for axes in plot_feature_map(features).axes if axes.images and axes.get_ylabel()]
    shown = np.concatenate([image.get_array() for image in images[:5]])
    assert np.array_equal(shown, features.T)
    assert images[0].get_clim() == (-RANGE, RANGE)


def test_turning_is_to_the_left_in_degrees_and_speed_in_metres_a_second():
    features = still()
    path, root, feet, speed = plot_root_and_feet(features, features_to_joints(features)).axes
    assert np.allclose(root.lines[0].get_ydata(), 90, atol=1e-3)
    assert np.allclose(speed.lines[0].get_ydata(), 1, atol=1e-6)
    assert path.xaxis_inverted() and path.lines[0].get_xdata()[-1] > 0  # left is +x, drawn at the left
    assert len(feet.lines) == 4


def test_drift_is_measured_from_the_true_path():
    joints = features_to_joints(still())
    moved = joints + np.linspace(0, 1, len(joints))[:, None, None] * [1, 0, 0]
    _, grows = plot_drift({"true": joints, "moved": moved.astype(np.float32)}, "true").axes
    true, moved_line = grows.lines
    assert not true.get_ydata().any() and np.isclose(moved_line.get_ydata()[-1], 100, atol=1e-3)


def test_numbers_that_never_change_are_shown_as_triangles():
    std, grouped = np.full(263, 0.1), np.full(263, 0.1)
    std[115:121] = 0
    triangles = [line for line in plot_spread(std, grouped).axes[0].lines if line.get_marker() == "v"]
    at = np.concatenate([line.get_xdata() for line in triangles])
    assert list(at) == list(range(115, 121))
    assert set(feature_slices()) == {
        line.get_label() for line in plot_spread(std, grouped).axes[0].lines if line.get_label()[0] != "_"
    }
