import numpy as np
import pytest

from mmm.lab.sanity import (
    DAMAGES,
    add_noise,
    change_speed,
    in_order,
    plot_sanity,
    shuffle_frames,
)


@pytest.fixture
def joints():
    time = np.linspace(0, 3, 61)[:, None, None]
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, 22, 3)) + time * np.array([0.2, 0.0, 1.0])


def test_no_dose_is_no_damage(joints):
    rng = np.random.default_rng(0)
    for _, doses, change in DAMAGES.values():
        assert list(doses) == sorted(doses)
        if change is not None:
            np.testing.assert_allclose(change(joints, doses[0], rng), joints, atol=1e-12)


def test_noise_has_the_size_it_says(joints):
    moved = add_noise(np.repeat(joints, 20, axis=0), 2.0, np.random.default_rng(1)) - np.repeat(
        joints, 20, axis=0
    )
    assert moved.std() == pytest.approx(0.02, rel=0.02) and abs(moved.mean()) < 1e-3


def test_a_faster_clip_is_shorter_and_goes_the_same_way(joints):
    fast = change_speed(joints, 2.0, np.random.default_rng(0))
    assert len(fast) == 30 and np.allclose(fast[[0, -1]], joints[[0, -1]])
    speed = np.diff(fast[:, 0, 2]) / np.diff(joints[:, 0, 2])[0]
    np.testing.assert_allclose(speed, 60 / 29, rtol=1e-6)
    assert len(change_speed(joints[:10], 3.0, np.random.default_rng(0))) == 8


def test_disorder_keeps_the_frames_and_stays_within_its_stretch(joints):
    mixed = shuffle_frames(joints, 0.4, np.random.default_rng(0))
    before, after = joints[:, 0, 2], mixed[:, 0, 2]
    assert sorted(after) == sorted(before) and (after != before).any()
    for start in range(0, 61, 8):
        assert sorted(after[start : start + 8]) == sorted(before[start : start + 8])


@pytest.mark.parametrize(
    ("values", "falling", "noise", "verdict"),
    [
        ([0.0, 1.0, 4.0], False, 0.0, True),
        ([0.0, 4.0, 1.0], False, 0.0, False),
        ([0.9, 0.901, 0.5], True, 0.002, True),
        ([0.9, 0.95, 0.5], True, 0.002, False),
        ([0.9, 0.9, 0.899], True, 0.002, False),  # nothing happened
    ],
)
def test_what_in_order_means(values, falling, noise, verdict):
    assert in_order(values, falling, noise) is verdict


def test_the_figure_shows_every_damage():
    found = {"dose": [0.0, 1.0], "fid": [0.0, 2.0], "r1": [0.9, 0.5], "r3": [1.0, 0.6]}
    result = {"evaluator": "toy-1", "clips": 3, "split": "val", "floor": [0.5, 0.1]}
    figure = plot_sanity(result | dict.fromkeys(DAMAGES, found))
    assert len(figure.axes) == 2 * len(DAMAGES)
    above, below = figure.axes[0], figure.axes[len(DAMAGES)]
    assert above.lines[0].get_ydata().tolist() == [0.0, 2.0]
    assert [line.get_ydata().tolist() for line in below.lines] == [[0.9, 0.5], [1.0, 0.6]]
