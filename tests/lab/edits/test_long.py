"""Long sequences: which clips meet, what a window shows, and transitions compared with one another."""

import dataclasses

import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.lab.edits import long, metrics
from mmm.lab.edits.long import (
    METRICS,
    RELEASE,
    draw_sequences,
    evaluate_long,
    long_tables,
    release_tokens,
    window,
    window_numbers,
)
from mmm.sequences import long_tokens
from mmm.transformer import MaskedTransformer

KINDS = ["0 tokens", "4 tokens", RELEASE, "generated action", "real action", "real, cut"]


@pytest.fixture(scope="module")
def results(model, held):
    return evaluate_long(model, held(4), (0, 4), progress=False)


def test_sequences_and_reference_share_no_clip(held):
    sequences, reference = draw_sequences(held(5), 196)
    used = {clip for sequence in sequences for clip in sequence}
    assert len(sequences) == 5 and all(len(set(s)) == 3 for s in sequences) and not used & set(reference)
    lengths = held().packed.lengths
    assert all(72 <= lengths[clip] <= 196 for clip in used | set(reference))
    assert draw_sequences(held(2), 196) == (sequences[:2], reference)


def test_a_window_has_the_seam_in_its_middle(golden):
    clip = np.asarray(golden("features_free")["1/features"], np.float32)
    cut = np.concatenate([clip[:70], clip[30:100]])
    at_cut, beside = (window_numbers(window(cut, middle)) for middle in (70, 60))
    assert at_cut["seam_peak"] == at_cut["peak"] == pytest.approx(beside["peak"])
    assert at_cut["seam_peak"] > 3 * beside["seam_peak"]
    smooth = window_numbers(window(clip, 70))
    assert at_cut["seam_peak"] > 3 * smooth["seam_peak"] and smooth["mean"] < at_cut["mean"]


def test_the_release_opens_two_tokens_with_the_left_text_in_one_pass(model, monkeypatch):
    text = model.embed(["a person walks", "a person bows", "someone waves"])
    plain, bounds = long_tokens(model.transformer, text, [80, 72, 76], transition=0, seed=3)
    calls, fill = [], long.fill

    def spy(transformer, canvas, lengths, condition, **options):
        calls.append((int((canvas == -1).sum()), condition, options["steps"]))
        return fill(transformer, canvas, lengths, condition, **options)

    monkeypatch.setattr(long, "fill", spy)
    filled = release_tokens(model, plain, bounds, text, 3)
    changed = (filled != plain).any(0).nonzero().flatten().tolist()
    assert set(changed) <= {19, 20, 37, 38} and changed
    assert [(count, steps) for count, _, steps in calls] == [(2, 1), (2, 1)]
    assert all(torch.equal(own.sentence, text[[i]].sentence) for i, (_, own, _) in enumerate(calls))
    assert torch.equal(filled, release_tokens(model, plain, bounds, text, 3))


def test_a_short_canvas_shows_less_of_the_neighbours(model):
    config = dataclasses.replace(model.transformer.config, max_tokens=24)
    torch.manual_seed(0)
    transformer = MaskedTransformer(config, model.tokenizer.codebook).eval()
    small = MMM(model.tokenizer, transformer, None, model.info, model.encoder)
    text = small.embed(["a person walks", "a person bows"])
    plain, bounds = long_tokens(small.transformer, text, [80, 80], transition=0)
    filled = release_tokens(small, plain, bounds, text)
    assert set((filled != plain).any(0).nonzero().flatten().tolist()) <= {19, 20}


def test_all_kinds_are_evaluated_at_the_same_seams(results):
    rows, embeddings = results
    assert list(dict.fromkeys(rows["kind"])) == KINDS and set(embeddings) == {*KINDS, "reference"}
    assert all(len(motions) == 8 for motions in embeddings.values())
    for name in ("text", "next"):
        assert rows.groupby("window")[name].nunique().eq(1).all()
    assert np.isfinite(rows[[*METRICS, "r1", "r3"]]).to_numpy().all()
    wide = rows.set_index(["window", "kind"])["seam_peak"].unstack()
    assert (wide["real, cut"] > wide["real action"]).all(), "a cut is seen"
    assert (wide["0 tokens"] != wide["4 tokens"]).all() and (wide["0 tokens"] != wide[RELEASE]).any()


def test_a_sequence_does_not_depend_on_the_other_sequences(results, model, held):
    few, _ = evaluate_long(model, held(1), (0, 4), progress=False)
    both = few.merge(results[0], on=["kind", "window"], suffixes=("", "_all"))
    assert len(both) == len(few) == 2 * len(KINDS)
    for name in (*METRICS, "r1"):
        assert np.array_equal(both[name], both[f"{name}_all"])


def test_the_tables(results, held, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 10)
    tables = long_tables(*results, held())
    summary, less = tables["summary"], tables["less"].set_index(["method", "baseline", "measure"])
    assert list(summary.index) == KINDS and (summary["fid"] > 0).all() and (summary["clips"] == 8).all()
    expected = summary.loc["0 tokens", "seam_peak"] - summary.loc["4 tokens", "seam_peak"]
    assert less.loc[("4 tokens", "0 tokens", "seam_peak"), "less"] == pytest.approx(expected)
    expected = summary.loc[RELEASE, "fid"] - summary.loc["4 tokens", "fid"]
    assert less.loc[("4 tokens", RELEASE, "fid"), "less"] == pytest.approx(expected)


def test_models_of_two_parts_are_evaluated_too(of_parts, held):
    rows, _ = evaluate_long(of_parts(), held(1), (2,), progress=False)
    assert set(rows["kind"]) == {"2 tokens", *KINDS[2:]}
