"""Means of the numbers of a row's motions."""

import numpy as np

from mmm.evaluation.rows import mean_numbers


def test_means_over_motions_or_frames_without_those_that_go_nowhere():
    nan = np.nan
    numbers = {"slip": [4.0, nan, 8.0], "jerk_mean": [1.0, 2.0, 6.0], "mpjpe_local": [1.0, 2.0, 4.0]}
    numbers |= {"speed": [1.0, 1.0, 1.0]}  # compared by action class
    arrays = {name: np.array(values) for name, values in numbers.items()}
    frames = np.array([10, 10, 20])
    assert mean_numbers(arrays, frames) == {"slip": 6.0, "jerk_mean": 3.0, "mpjpe_local": 2.75}
    assert mean_numbers({"slip": np.full(3, nan)}, frames) == {}
