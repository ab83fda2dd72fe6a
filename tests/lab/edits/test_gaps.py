"""Gaps in held-out clips: where they lie, how they are filled, what the tables say."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmm.lab.edits import metrics
from mmm.lab.edits.gaps import (
    METHODS,
    METRICS,
    Gap,
    evaluate_gaps,
    fill_gap,
    gap_numbers,
    gap_tables,
    long_enough,
    reconstruct_gap,
    wins_from,
)
from mmm.lab.edits.metrics import interior_jerk, jerk_by_frame, seam_jerk, world
from mmm.motion import Motion, measures
from mmm.motion.trajectory import Trajectory, put_together, take_apart

GAPS = (Gap(fraction=0.5), Gap(frames=8), Gap(frames=16))


@pytest.fixture(scope="module")
def results(model, toy_held):
    return evaluate_gaps(model, toy_held(9), GAPS, progress=False)


@pytest.fixture
def clip(golden):
    return np.asarray(golden("features_free")["1/features"], np.float32)


@pytest.mark.parametrize("frames", [57, 64, 90, 93, 150, 196])
def test_gaps_lie_in_the_middle_on_borders_of_tokens(frames):
    for gap in (Gap(fraction=0.25), Gap(fraction=0.5), Gap(fraction=0.75), Gap(frames=8), Gap(frames=16)):
        start, stop = gap.within(frames)
        assert start % 4 == stop % 4 == 0 and 0 < start < stop < frames
        assert abs(start - (frames - stop)) <= 4
        assert stop - start == gap.frames or abs((stop - start) / frames - gap.fraction) <= 2.01 / frames


def test_all_gaps_of_a_kind_are_cut_into_the_same_clips():
    lengths = np.array([24, 40, 48, 57, 64, 100, 196])
    gaps = (Gap(fraction=0.25), Gap(fraction=0.75), Gap(frames=8), Gap(frames=32))
    chosen = [long_enough(gap, gaps, lengths) for gap in gaps]
    assert np.array_equal(chosen[0], chosen[1]) and np.array_equal(chosen[2], chosen[3])
    assert chosen[2].tolist() == [False, False, False, False, True, True, True]
    for frames in lengths[chosen[1]].tolist():
        start, stop = Gap(fraction=0.75).within(frames)
        assert min(start, frames - stop) >= 8
    assert not chosen[1][0]


# ---------------------------------------------------------------------- one gap


def test_a_perfect_edit_has_no_error(clip):
    numbers, jerk = gap_numbers(clip, clip.copy(), (40, 80)), jerk_by_frame(world(clip))
    assert numbers["mpjpe_world"] == numbers["mpjpe_local"] == numbers["kept_error"] == 0
    assert numbers["gap_jerk"] == pytest.approx(float(measures.jerk(world(clip)[40:80])[0]))
    assert numbers["seam_jerk"] == seam_jerk(jerk, (40, 80))
    assert numbers["seam_excess"] == numbers["seam_jerk"] - interior_jerk(jerk, 40, 80)
    assert numbers["skating"] == float(measures.foot_skating(world(clip)[39:81])), "with its ends"


def test_errors_of_the_gap_and_of_kept_frames_are_separate(clip):
    raised = clip.copy()
    raised[50, 3] += 0.22  # the root's height: one of 22 joints, in one of 40 frames
    numbers = gap_numbers(clip, raised, (40, 80))
    assert numbers["mpjpe_world"] == pytest.approx(22 / 22 / 40, rel=1e-4) and numbers["kept_error"] == 0
    assert numbers["mpjpe_local"] == 0, "the root is not among the local joints"
    outside = gap_numbers(clip, raised, (60, 80))
    assert outside["mpjpe_world"] == 0 and outside["kept_error"] == pytest.approx(22, rel=1e-4)


def test_on_a_straight_line_curves_are_perfect(model, clip):
    one = take_apart(torch.from_numpy(clip[:1]).repeat(80, 1))
    path = torch.arange(80, dtype=torch.float64)[:, None] * torch.tensor([[0.01, 0.03]], dtype=torch.float64)
    line = (
        put_together(Trajectory(one.poses[:1].expand(80, -1, -1), one.half_heading * 0, path)).float().numpy()
    )
    for method in ("linear", "cubic", "real"):
        filled = fill_gap(model, Motion(line, text="it glides"), (32, 48), method)
        numbers = gap_numbers(line, filled, (32, 48))
        assert max(numbers[name] for name in ("mpjpe_world", "mpjpe_local", "kept_error")) < 1e-3
        assert numbers["seam_jerk"] < 0.1
    sampled = fill_gap(model, Motion(line), (32, 48), "no text")
    assert gap_numbers(line, sampled, (32, 48))["mpjpe_world"] > 0.1


def test_the_tokenizers_own_error_is_that_of_the_correct_tokens(model, of_parts, clip):
    for some in (model, of_parts()):
        edited = reconstruct_gap(some.tokenizer, clip, (40, 80))
        numbers = gap_numbers(clip, edited, (40, 80))
        assert numbers["kept_error"] < 0.01 < numbers["mpjpe_local"]
        assert np.array_equal(edited[:39], clip[:39]) and np.array_equal(edited[80:138], clip[80:138])
        whole = some.tokenizer.decode(some.tokenizer.encode(torch.from_numpy(clip)[None]))[0].numpy()
        # far from the ends of the gap nothing of the joining is left in the poses
        assert np.abs(edited[52:68, 4:67] - whole[52:68, 4:67]).max() < 1e-4


def test_the_seed_decides_and_without_a_text_guidance_does_not(model, toy_held):
    motion = toy_held().motion(0)
    one, same, other = (fill_gap(model, motion, (20, 40), "text", seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    without = (fill_gap(model, motion, (20, 40), "no text", 1, guidance=g) for g in (1.0, 3.0))
    assert np.array_equal(*without)
    with pytest.raises(ValueError, match="'magic'"):
        fill_gap(model, motion, (20, 40), "magic")


# ---------------------------------------------------------------------- all gaps


def test_every_clip_is_filled_by_every_method(results):
    rows, embeddings = results
    assert list(rows.columns[:6]) == ["gap", "method", "clip", "id", "frames", "text"]
    for gap in map(str, GAPS):
        clips = rows[rows.gap == gap].groupby("method")["clip"].apply(set)
        assert set(clips.index) == set(METHODS) and all(c == clips.iloc[0] for c in clips)
        assert all(len(motions) == len(clips.iloc[0]) for motions in embeddings[gap, ""].values())
    assert np.isfinite(rows[[*METRICS, "r1", "r3"]]).to_numpy().all()
    assert rows["kept_error"].max() < 0.01
    assert (rows[rows.method == "real"][["mpjpe_world", "mpjpe_local", "kept_error"]] == 0).to_numpy().all()
    assert (rows[rows.method == "text"]["mpjpe_world"] > 0).all()
    wide = rows.set_index(["gap", "clip", "method"])["mpjpe_world"].unstack("method")
    assert (wide["tokenizer"] < wide["linear"]).any() and (wide["text"] != wide["no text"]).any()
    short = rows["gap"] != "50% of the clip"
    assert rows["r1_gap"].notna().any() and rows[short]["r1_gap"].isna().all(), "too short to be seen alone"


def test_a_clip_does_not_depend_on_the_other_clips(results, model, toy_held):
    few, _ = evaluate_gaps(model, toy_held(2), GAPS[:2], progress=False)
    both = few.merge(results[0], on=["gap", "method", "clip"], suffixes=("", "_all"))
    assert len(both) == len(few) == 2 * 2 * len(METHODS)
    for name in (*METRICS, "r1", "r3"):
        assert np.array_equal(both[name], both[f"{name}_all"], equal_nan=True), name


def test_the_tables(results, toy_held, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 10)
    monkeypatch.setattr(metrics, "SPLITS", 4)
    rows, embeddings = results
    tables = gap_tables(rows, embeddings, toy_held())
    summary = tables["summary"]
    assert set(summary.index) == {(str(gap), method) for gap in GAPS for method in METHODS}
    assert summary.xs("real", level="method")["fid"].max() < 1e-6
    assert (summary.xs("text", level="method")["fid"] > 0).all()
    less = tables["less"].set_index(["gap", "method", "baseline", "measure"])
    assert list(less.columns) == ["clips", "less", "low", "high"]
    wide = rows[rows.gap == "8 frames"].set_index(["clip", "method"])["mpjpe_world"].unstack()
    expected = (wide["cubic"] - wide["text"]).mean()
    assert less.loc[("8 frames", "text", "cubic", "mpjpe_world"), "less"] == pytest.approx(expected)
    fids = summary.loc["8 frames", "fid"]
    expected = fids["cubic"] - fids["text"]
    assert less.loc[("8 frames", "text", "cubic", "fid"), "less"] == pytest.approx(expected)
    assert len(tables["wins"]) == 14


@pytest.mark.parametrize(
    ("metric", "intervals", "first"),
    [
        ("fid", [(-1, 1), (1, 2), (1, 2)], "b"),
        ("fid", [(1, 2), (1, 2), (1, 2)], "a"),
        ("fid", [(1, 2), (-1, 2), (1, 2)], "c"),  # a win before a gap that is not won does not count
        ("fid", [(1, 2), (1, 2), (-1, 2)], None),
        ("r1", [(-1, 1), (-3, -2), (-2, -1)], "b"),  # R-precision is better if it is larger
        ("r1", [(1, 2), (1, 2), (1, 2)], None),
    ],
)
def test_a_method_wins_from_where_it_wins_in_all_longer_gaps(metric, intervals, first):
    rows = [[gap, "text", "cubic", metric, *interval] for gap, interval in zip("abc", intervals, strict=True)]
    less = pd.DataFrame(rows, columns=["gap", "method", "baseline", "measure", "low", "high"])
    assert wins_from(less, metric, gaps=("a", "b", "c")) == first
