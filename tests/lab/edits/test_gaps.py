"""Gaps in held-out clips: where they lie, who fills them, and what the tables say."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmm.lab.edits.gaps import (
    MEASURES,
    METHODS,
    Gap,
    fill_gap,
    gap_tables,
    long_enough,
    measure_gaps,
    reconstruct_gap,
    wins_from,
    wins_table,
)
from mmm.lab.edits.measures import gap_numbers
from mmm.motion import Motion
from mmm.motion.trajectory import Trajectory, put_together, take_apart

GAPS = (Gap(share=0.5), Gap(frames=8), Gap(frames=16))


@pytest.fixture(scope="module")
def measured(model, toy_judge):
    return measure_gaps(model, toy_judge, GAPS, count=9, progress=False)


@pytest.mark.parametrize("frames", [57, 64, 90, 93, 150, 196])
def test_gaps_lie_in_the_middle_on_borders_of_tokens(frames):
    for gap in (Gap(share=0.25), Gap(share=0.5), Gap(share=0.75), Gap(frames=8), Gap(frames=16)):
        start, stop = gap.within(frames)
        assert start % 4 == stop % 4 == 0 and 0 < start < stop < frames
        assert abs(start - (frames - stop)) <= 4
        assert stop - start == gap.frames or abs((stop - start) / frames - gap.share) <= 2.01 / frames


def test_gaps_that_mean_nothing_are_refused():
    for wrong in ({}, {"share": 1.0}, {"frames": 6}, {"share": 0.5, "frames": 8}):
        with pytest.raises(ValueError, match="give a share between 0 and 1, or 4, 8"):
            Gap(**wrong)


def test_all_gaps_of_a_kind_are_cut_into_the_same_clips():
    lengths = np.array([24, 40, 48, 57, 64, 100, 196])
    gaps = (Gap(share=0.25), Gap(share=0.75), Gap(frames=8), Gap(frames=32))
    chosen = [long_enough(gap, gaps, lengths) for gap in gaps]
    assert np.array_equal(chosen[0], chosen[1]) and np.array_equal(chosen[2], chosen[3])
    assert chosen[2].tolist() == [False, False, False, False, True, True, True]
    for frames in lengths[chosen[1]].tolist():
        start, stop = Gap(share=0.75).within(frames)
        assert min(start, frames - stop) >= 8
    assert not chosen[1][0]


def test_on_a_straight_line_curves_are_perfect(model, golden):
    """A body that glides on without turning or bending: nothing is left to be told by a model."""
    one = take_apart(torch.from_numpy(golden("features_free")["1/features"][:1]).repeat(80, 1))
    path = torch.arange(80, dtype=torch.float64)[:, None] * torch.tensor([[0.01, 0.03]], dtype=torch.float64)
    line = put_together(Trajectory(one.poses[:1].expand(80, -1, -1), one.heading * 0, path)).float().numpy()
    for method in ("linear", "cubic", "real"):
        made = fill_gap(model, Motion(line, text="it glides"), (32, 48), method)
        found = gap_numbers(line, made, (32, 48))
        assert found["mpjpe_world"] < 1e-3 and found["mpjpe_local"] < 1e-3 and found["kept_error"] < 1e-3
        assert found["seam_jerk"] < 0.1
    assert (
        gap_numbers(line, fill_gap(model, Motion(line), (32, 48), "no text"), (32, 48))["mpjpe_world"] > 0.1
    )


def test_the_tokenizers_own_error_is_what_true_tokens_give(model, of_parts, golden):
    clip = np.asarray(golden("features_free")["1/features"], np.float32)
    for some in (model, of_parts()):
        made = reconstruct_gap(some.tokenizer, clip, (40, 80))
        found = gap_numbers(clip, made, (40, 80))
        assert found["kept_error"] < 0.01 < found["mpjpe_local"]
        assert np.array_equal(made[:39], clip[:39]) and np.array_equal(made[80:138], clip[80:138])
        whole = some.tokenizer.decode(some.tokenizer.encode(torch.from_numpy(clip)[None]))[0, 40:80].numpy()
        # far from the ends of the gap nothing of the joining is left in the poses
        assert np.abs(made[52:68, 4:67] - whole[12:28, 4:67]).max() < 1e-4


def test_every_clip_is_filled_in_every_way(measured, model, toy_judge):
    table, judged = measured
    assert list(table.columns[:6]) == ["gap", "method", "clip", "id", "frames", "text"]
    for gap in map(str, GAPS):
        counts = table[table.gap == gap].groupby("method")["clip"].apply(set)
        assert set(counts.index) == set(METHODS) and all(c == set(judged[gap].clips) for c in counts)
    assert np.isfinite(table[[*MEASURES, "r1", "r3"]]).to_numpy().all()
    assert table["kept_error"].max() < 0.01
    real = table[table.method == "real"]
    assert (real[["mpjpe_world", "mpjpe_local", "kept_error"]] == 0).to_numpy().all()
    assert (table[table.method == "text"]["mpjpe_world"] > 0).all()
    told = table.set_index(["gap", "clip", "method"])["mpjpe_world"].unstack("method")
    assert (told["tokenizer"] < told["linear"]).any() and (told["text"] != told["no text"]).any()
    short = table["gap"] != "50% of the clip"
    assert table["r1_gap"].notna().any() and table[short]["r1_gap"].isna().all(), (
        "moments are not judged alone"
    )


def test_a_clip_does_not_depend_on_its_mates(measured, model, toy_judge):
    table, _ = measured
    few, _ = measure_gaps(model, toy_judge, GAPS[:2], count=2, progress=False)
    both = few.merge(table, on=["gap", "method", "clip"], suffixes=("", "_all"))
    assert len(both) == len(few) == 2 * 2 * len(METHODS)
    # among other lengths in frames other clips may be long enough, but here they are the same
    for name in (*MEASURES, "r1", "r3"):
        assert np.array_equal(both[name], both[f"{name}_all"], equal_nan=True), name


def test_other_noise_fills_otherwise(model, toy_judge):
    motion = toy_judge.held.motion(0)
    one, same, other = (fill_gap(model, motion, (20, 40), "text", seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    told = (fill_gap(model, motion, (20, 40), "no text", 1, guidance=g) for g in (1.0, 3.0))
    assert np.array_equal(*told), "guidance has no meaning without a text"
    with pytest.raises(ValueError, match="method is 'magic', expected one of text, no text"):
        fill_gap(model, motion, (20, 40), "magic")


def test_the_tables_hold_all_conditions(measured, toy_judge, monkeypatch):
    monkeypatch.setattr("mmm.lab.edits.judge.RESAMPLES", 10)
    monkeypatch.setattr("mmm.lab.edits.judge.HALVINGS", 4)
    table, judged = measured
    summary, less = gap_tables(table, judged, toy_judge.held)
    assert set(summary.index) == {(str(gap), method) for gap in GAPS for method in METHODS}
    assert summary.xs("real", level="method")["fid"].max() < 1e-6
    assert (summary.xs("text", level="method")["fid"] > 0).all()
    assert set(less.columns) == {"gap", "method", "baseline", "measure", "clips", "less", "low", "high"}
    found = less.set_index(["gap", "method", "baseline", "measure"])
    direct = table[table.gap == "8 frames"].set_index(["clip", "method"])["mpjpe_world"].unstack()
    expected = (direct["cubic"] - direct["text"]).mean()
    assert found.loc[("8 frames", "text", "cubic", "mpjpe_world"), "less"] == pytest.approx(expected)
    by_fid = found.loc[("8 frames", "text", "cubic", "fid"), "less"]
    fids = summary.loc["8 frames", "fid"]
    assert by_fid == pytest.approx(fids["cubic"] - fids["text"])
    assert len(wins_table(less)) == 14


def test_a_method_wins_from_where_it_wins_in_all_longer_gaps():
    def less(measure, *intervals):
        rows = [[g, "text", "cubic", measure, 9, 0.0, *i] for g, i in zip("abc", intervals, strict=True)]
        return pd.DataFrame(
            rows, columns=["gap", "method", "baseline", "measure", "clips", "less", "low", "high"]
        )

    def wins(measure, *intervals):
        return wins_from(less(measure, *intervals), measure, gaps=("a", "b", "c"))

    assert wins("fid", (-1, 1), (1, 2), (1, 2)) == "b"
    assert wins("fid", (1, 2), (1, 2), (1, 2)) == "a"
    assert wins("fid", (1, 2), (-1, 2), (1, 2)) == "c", (
        "a shorter gap does not count after one that is not won"
    )
    assert wins("fid", (1, 2), (1, 2), (-1, 2)) is None
    assert wins("r1", (-1, 1), (-3, -2), (-2, -1)) == "b", "R-precision is better where it is larger"
    assert wins("r1", (1, 2), (1, 2), (1, 2)) is None
