"""Jerk at seams; how many edits become a table; FIDs with a floor and intervals."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmm.lab.edits import metrics
from mmm.lab.edits.metrics import (
    fid,
    interior_jerk,
    jerk_by_frame,
    paired,
    paired_fid,
    seam_jerk,
    split_half_fid,
    summarise,
)
from mmm.motion import measures


def curve(frames=60):
    """22 joints on smooth, slow curves, metres."""
    t = torch.arange(frames, dtype=torch.float64)[:, None, None]
    phase = torch.linspace(0, 3, 66, dtype=torch.float64).reshape(1, 22, 3)
    return torch.sin(0.1 * t + phase)


def test_seam_jerk_finds_a_planted_jump_and_not_a_smooth_curve():
    jumped = curve()
    jumped[30:] += torch.tensor([0.05, 0.0, 0.0], dtype=torch.float64)
    smooth, spoilt = jerk_by_frame(curve()), jerk_by_frame(jumped)
    assert seam_jerk(smooth, [30]) == pytest.approx(interior_jerk(smooth, 20, 40), rel=0.1)
    # a jump of d between two frames has third differences d, −2 d, d
    assert seam_jerk(spoilt, [30]) == pytest.approx(2 * 0.05 * 20**3, rel=0.02)
    for elsewhere in (27, 33):
        assert seam_jerk(spoilt, [elsewhere]) == pytest.approx(seam_jerk(smooth, [elsewhere]))
    mean = (seam_jerk(smooth, [15]) + seam_jerk(spoilt, [30])) / 2
    assert seam_jerk(spoilt, [15, 30]) == pytest.approx(mean)


def test_a_jump_of_speed_is_found_too_and_short_gaps_have_no_interior():
    moved, jerk = curve(), jerk_by_frame(curve())
    moved[30:] += 0.05 * torch.arange(30, dtype=torch.float64)[:, None, None] + 0.05
    assert seam_jerk(jerk_by_frame(moved), [30]) > 10 * seam_jerk(jerk, [30])
    assert float(jerk.mean()) == pytest.approx(float(measures.jerk(curve())[0]))
    assert seam_jerk(jerk, [59]) > 0 and seam_jerk(jerk, [1]) > 0
    assert np.isnan(interior_jerk(jerk, 4, 9)) and interior_jerk(jerk, 4, 10) > 0


def table():
    rows = [
        ("8", "a", 0, 1.0), ("8", "a", 1, 3.0), ("8", "b", 0, 2.0), ("8", "b", 1, 6.0),
        ("16", "a", 0, 5.0), ("16", "a", 1, np.nan), ("16", "b", 0, 4.0), ("16", "b", 1, 9.0),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["gap", "method", "clip", "error"])


def test_means_with_intervals_in_the_order_of_the_rows():
    summary = summarise(table(), ("gap", "method"), ("error",))
    assert list(summary.index) == [("8", "a"), ("8", "b"), ("16", "a"), ("16", "b")]
    assert summary.loc[("8", "b"), "error"] == 4
    assert summary.loc[("8", "b"), "error_half"] == pytest.approx(1.96 * 2 / np.sqrt(2))
    assert summary.loc[("16", "a"), "error"] == 5 and np.isnan(summary.loc[("16", "a"), "error_half"])
    assert summarise(table(), ("method",), ("error",)).index.name == "method"


def test_differences_are_between_the_same_clips():
    pairs = [("a", "b"), ("a", "missing")]
    by_gap = table().groupby("gap")
    (wide,), (narrow,) = (paired(by_gap.get_group(gap), "clip", pairs, ("error",)) for gap in ("8", "16"))
    half = 1.96 * 1 / np.sqrt(2)
    names = {"method": "a", "baseline": "b", "measure": "error"}
    assert wide == pytest.approx(names | {"clips": 2, "less": 2, "low": 2 - half, "high": 2 + half})
    assert narrow["less"] == -1 and narrow["clips"] == 1, "a clip without a number has no pair"


def test_split_half_fid_has_a_floor_and_orders_damage():
    random = torch.Generator().manual_seed(0)
    real, noise = (torch.randn(60, 3, generator=random) for _ in range(2))
    floor, little, much = (
        split_half_fid(real, real + scale * noise + scale, torch.Generator().manual_seed(1))
        for scale in (0, 0.5, 2)
    )
    assert 0 < floor < little < much
    assert fid(real, real) == pytest.approx(0, abs=1e-9)
    assert np.isnan(fid(real[:7], real)) and np.isnan(split_half_fid(real[:14], real[:14], random))


def test_the_interval_of_a_difference_of_fids_contains_it(monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 50)
    random = torch.Generator().manual_seed(0)
    real = torch.randn(60, 3, generator=random)
    embeddings, pairs = {"near": real + 0.1, "far": real + 1.0}, [("near", "far"), ("far", "near")]
    for same in (True, False):
        near, far = paired_fid(real, embeddings, pairs, torch.Generator().manual_seed(1), same_clips=same)
        assert near["less"] == pytest.approx(3 - 0.03, rel=1e-3)
        assert 0 < near["low"] < near["less"] < near["high"]
        assert far["less"] == pytest.approx(-near["less"]) and far["low"] == pytest.approx(-near["high"])
    few = {name: rows[:4] for name, rows in embeddings.items()}
    assert np.isnan(paired_fid(real[:4], few, pairs, random)[0]["less"])
