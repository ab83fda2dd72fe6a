"""What is measured of one edit, and how many of them become a table."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmm.lab.edits.measures import (
    gap_numbers,
    interior_jerk,
    jerk_by_frame,
    paired,
    seam_jerk,
    summarise,
    world,
)
from mmm.motion import measures


def curve(frames=60):
    """22 joints on smooth, slow curves, metres."""
    t = torch.arange(frames, dtype=torch.float64)[:, None, None]
    phase = torch.linspace(0, 3, 66, dtype=torch.float64).reshape(1, 22, 3)
    return torch.sin(0.1 * t + phase)


def test_the_seam_measure_finds_a_planted_jump_and_not_a_smooth_curve():
    smooth = curve()
    jumped = smooth.clone()
    jumped[30:] += torch.tensor([0.05, 0.0, 0.0], dtype=torch.float64)
    jerk, spoilt = jerk_by_frame(smooth), jerk_by_frame(jumped)
    assert seam_jerk(jerk, [30]) == pytest.approx(interior_jerk(jerk, 20, 40), rel=0.1)
    # a jump of d between two frames has third differences d, −2 d, d
    assert seam_jerk(spoilt, [30]) == pytest.approx(2 * 0.05 * 20**3, rel=0.02)
    for elsewhere in (27, 33):
        assert seam_jerk(spoilt, [elsewhere]) == pytest.approx(seam_jerk(jerk, [elsewhere]))
    assert seam_jerk(spoilt, [15, 30]) == pytest.approx((seam_jerk(jerk, [15]) + seam_jerk(spoilt, [30])) / 2)


def test_a_jump_of_speed_is_found_too():
    moved = curve()
    moved[30:] += 0.05 * torch.arange(30, dtype=torch.float64)[:, None, None] + 0.05
    assert seam_jerk(jerk_by_frame(moved), [30]) > 10 * seam_jerk(jerk_by_frame(curve()), [30])


def test_jerk_is_the_projects():
    joints = curve(20)
    assert float(jerk_by_frame(joints).mean()) == pytest.approx(float(measures.jerk(joints)[0]))


def test_seams_outside_are_refused_and_short_stretches_say_nothing():
    jerk = jerk_by_frame(curve(20))
    with pytest.raises(ValueError, match="expected frames 1 to 19 of a clip of 20"):
        seam_jerk(jerk, [20])
    assert seam_jerk(jerk, [19]) > 0 and seam_jerk(jerk, [1]) > 0
    assert np.isnan(interior_jerk(jerk, 4, 9)) and interior_jerk(jerk, 4, 10) > 0


def test_a_perfect_editor_has_no_error(golden):
    clip = np.asarray(golden("features_free")["1/features"], np.float32)
    found = gap_numbers(clip, clip.copy(), (40, 80))
    assert found["mpjpe_world"] == found["mpjpe_local"] == found["kept_error"] == 0
    whole = measures.jerk(world(clip)[40:80])[0]
    assert found["gap_jerk"] == pytest.approx(float(whole))
    assert found["seam_jerk"] == seam_jerk(jerk_by_frame(world(clip)), (40, 80))
    assert found["seam_excess"] == found["seam_jerk"] - interior_jerk(jerk_by_frame(world(clip)), 40, 80)


def test_errors_of_the_gap_and_of_kept_frames_are_told_apart(golden):
    clip = np.asarray(golden("features_free")["1/features"], np.float32)
    raised = clip.copy()
    raised[50, 3] += 0.22  # the root's height: one of 22 joints, in one of 40 frames
    found = gap_numbers(clip, raised, (40, 80))
    assert found["mpjpe_world"] == pytest.approx(22 / 22 / 40, rel=1e-4) and found["kept_error"] == 0
    assert found["mpjpe_local"] == 0, "the root is not among the local joints"
    outside = gap_numbers(clip, raised, (60, 80))
    assert outside["mpjpe_world"] == 0 and outside["kept_error"] == pytest.approx(22, rel=1e-4)


def test_skating_counts_the_pairs_across_the_ends(golden):
    clip = np.asarray(golden("features_free")["1/features"], np.float32)
    joints = world(clip)
    found = gap_numbers(clip, clip, (40, 80))["skating"]
    assert found == float(measures.foot_skating(joints[39:81]))


def table():
    rows = [
        ("8", "a", 0, 1.0), ("8", "a", 1, 3.0), ("8", "b", 0, 2.0), ("8", "b", 1, 6.0),
        ("16", "a", 0, 5.0), ("16", "a", 1, np.nan), ("16", "b", 0, 4.0), ("16", "b", 1, 9.0),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["gap", "method", "clip", "error"])


def test_means_with_intervals_in_the_order_of_the_rows():
    found = summarise(table(), ("gap", "method"), ("error",))
    assert list(found.index) == [("8", "a"), ("8", "b"), ("16", "a"), ("16", "b")]
    assert found.loc[("8", "b"), "error"] == 4
    assert found.loc[("8", "b"), "error_half"] == pytest.approx(1.96 * 2 / np.sqrt(2))
    assert found.loc[("16", "a"), "error"] == 5 and np.isnan(found.loc[("16", "a"), "error_half"])
    assert summarise(table(), ("method",), ("error",)).index.name == "method"


def test_differences_are_made_clip_by_clip():
    found = paired(table(), ("gap",), "clip", [("a", "b"), ("a", "missing")], ("error",)).set_index("gap")
    assert found.loc["8", "less"] == 2 and found.loc["8", "clips"] == 2
    half = 1.96 * 1 / np.sqrt(2)
    assert found.loc["8", "low"] == pytest.approx(2 - half) and found.loc["8", "high"] == pytest.approx(
        2 + half
    )
    assert found.loc["16", "less"] == -1 and found.loc["16", "clips"] == 1, (
        "a clip without a number has no pair"
    )
    assert (found["baseline"] == "b").all()
