"""Long sequences: which clips meet, what a window shows, and transitions beside one another."""

import dataclasses

import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.lab.edits import long
from mmm.lab.edits.clips import HeldOut
from mmm.lab.edits.long import (
    MEASURES,
    RELEASE,
    draw_sequences,
    long_tables,
    measure_long,
    release_tokens,
    window,
    window_numbers,
)
from mmm.sequences import long_tokens
from mmm.transformer import MaskedTransformer

KINDS = ["0 tokens", "4 tokens", RELEASE, "generated action", "real action", "real, cut"]


@pytest.fixture(scope="module")
def measured(model, judge):
    return measure_long(model, judge, (0, 4), count=4, progress=False)


def test_sequences_and_reference_share_no_clip(judge):
    sequences, reference = draw_sequences(judge.held, 5, 196)
    used = {clip for sequence in sequences for clip in sequence.clips}
    assert all(len(set(s.clips)) == 3 for s in sequences) and not used & set(reference)
    lengths = judge.held.packed.lengths
    assert all(72 <= lengths[clip] <= 196 for clip in used | set(reference))
    fewer, same = draw_sequences(judge.held, 2, 196)
    assert fewer == sequences[:2] and same == reference


def test_too_short_clips_are_refused(toy):
    with pytest.raises(
        ValueError, match="0 clips of this split of .* have 72 to 196 frames, but 6 are needed"
    ):
        draw_sequences(HeldOut.open(toy, "train"), 3, 196)


def test_a_window_has_the_seam_in_its_middle(golden):
    clip = np.asarray(golden("features_free")["1/features"], np.float32)
    cut = np.concatenate([clip[:70], clip[30:100]])
    numbers = [window_numbers(window(cut, middle)) for middle in (70, 60)]
    assert numbers[0]["seam_peak"] == numbers[0]["peak"] == pytest.approx(numbers[1]["peak"])
    assert numbers[0]["seam_peak"] > 3 * numbers[1]["seam_peak"]
    smooth = window_numbers(window(clip, 70))
    assert numbers[0]["seam_peak"] > 3 * smooth["seam_peak"] and smooth["mean"] < numbers[0]["mean"]
    with pytest.raises(ValueError, match="a window of 64 frames around frame 20 does not fit into 139"):
        window(clip, 20)


def test_the_release_opens_two_tokens_with_the_left_text_in_one_pass(model, monkeypatch):
    text = model.embed(["a person walks", "a person bows", "someone waves"])
    plain, bounds = long_tokens(model.transformer, text, [80, 72, 76], transition=0, seed=3)
    seen = []

    def fill(transformer, canvas, lengths, told, **options):
        seen.append((int((canvas == -1).sum()), told, options["steps"]))
        return original(transformer, canvas, lengths, told, **options)

    original = long.fill
    monkeypatch.setattr(long, "fill", fill)
    made = release_tokens(model, plain, bounds, text, 3)
    changed = (made != plain).any(0).nonzero().flatten().tolist()
    assert set(changed) <= {19, 20, 37, 38} and changed
    assert [(count, steps) for count, _, steps in seen] == [(2, 1), (2, 1)]
    assert all(torch.equal(told.sentence, text[[i]].sentence) for i, (_, told, _) in enumerate(seen))
    assert torch.equal(made, release_tokens(model, plain, bounds, text, 3))


def test_all_kinds_are_measured_at_the_same_places(measured):
    table, embedded = measured
    assert list(dict.fromkeys(table["kind"])) == KINDS and set(embedded) == {*KINDS, "reference"}
    assert all(len(rows) == 8 for rows in embedded.values())
    for name in ("text", "next"):
        assert table.groupby("window")[name].nunique().eq(1).all()
    assert np.isfinite(table[[*MEASURES, "r1", "r3"]]).to_numpy().all()
    wide = table.set_index(["window", "kind"])["seam_peak"].unstack()
    assert (wide["real, cut"] > wide["real action"]).all(), "a bare cut is seen"
    assert (wide["0 tokens"] != wide["4 tokens"]).all() and (wide["0 tokens"] != wide[RELEASE]).any()


def test_a_sequence_does_not_depend_on_the_others(measured, model, judge):
    table, _ = measured
    few, _ = measure_long(model, judge, (0, 4), count=1, progress=False)
    both = few.merge(table, on=["kind", "window"], suffixes=("", "_all"))
    assert len(both) == len(few) == 2 * len(KINDS)
    for name in (*MEASURES, "r1"):
        assert np.array_equal(both[name], both[f"{name}_all"])


def test_the_tables(measured, judge, monkeypatch):
    monkeypatch.setattr("mmm.lab.edits.judge.RESAMPLES", 10)
    summary, less = long_tables(*measured, judge.held)
    assert list(summary.index) == KINDS and (summary["fid"] > 0).all() and (summary["clips"] == 8).all()
    found = less.set_index(["method", "baseline", "measure"])
    expected = summary.loc["0 tokens", "seam_peak"] - summary.loc["4 tokens", "seam_peak"]
    assert found.loc[("4 tokens", "0 tokens", "seam_peak"), "less"] == pytest.approx(expected)
    by_fid = found.loc[("4 tokens", RELEASE, "fid"), "less"]
    assert by_fid == pytest.approx(summary.loc[RELEASE, "fid"] - summary.loc["4 tokens", "fid"])


def test_models_of_two_parts_are_measured_too(of_parts, judge):
    table, _ = measure_long(of_parts(), judge, (2,), count=1, progress=False)
    assert set(table["kind"]) == {"2 tokens", *KINDS[2:]}


def test_a_short_canvas_shows_less_of_the_neighbours(model):
    config = dataclasses.replace(model.transformer.config, max_tokens=24)
    torch.manual_seed(0)
    small = MMM(
        model.tokenizer,
        MaskedTransformer(config, model.tokenizer.codebook).eval(),
        None,
        model.info,
        model.encoder,
    )
    text = small.embed(["a person walks", "a person bows"])
    plain, bounds = long_tokens(small.transformer, text, [80, 80], transition=0)
    made = release_tokens(small, plain, bounds, text)
    assert made.shape == plain.shape and set((made != plain).any(0).nonzero().flatten().tolist()) <= {19, 20}
