"""What fitting refuses, what it removes, and how clips are weighted."""

import shutil

import numpy as np
import pytest

from mmm import fit
from mmm.data import MotionFolder
from mmm.fit import balanced_weights, fit_tokenizer, fit_transformer, load_tokenizer, resolve
from mmm.recipes import TOKENIZER_TRAINING


def test_a_transformer_does_not_overwrite_the_tokenizers_run(toy, trained):
    tokenizer = load_tokenizer(trained / "tokenizer")
    with pytest.raises(ValueError, match="is a tokenizer's run"):
        fit_transformer(toy, tokenizer, trained / "tokenizer", "tiny", steps=1)
    assert load_tokenizer(trained / "tokenizer").config == tokenizer.config


def test_beginning_anew_removes_the_old_model_first(toy, trained, tmp_path, monkeypatch):
    shutil.copytree(trained / "model_run", tmp_path / "run")

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fit.transformer_train, "train_transformer", stopped)
    for resume, kept in ((True, True), (False, False)):
        with pytest.raises(KeyboardInterrupt):
            options = {"resume": resume, "progress": False}
            fit_transformer(
                toy, load_tokenizer(trained / "tokenizer"), tmp_path / "run", "tiny", options=options
            )
        assert (tmp_path / "run" / "model").exists() == kept


def test_weights_follow_contents(toy):
    packed = toy.pack("train")
    groups = [toy.program(clip)["content"] for clip in packed.ids]
    counts = {content: groups.count(content) for content in groups}
    assert len(set(counts.values())) == len(counts) > 1
    for power, expected in ((0.0, lambda n: 1 / len(counts)), (1.0, lambda n: n / len(groups))):
        weights = balanced_weights(toy, packed, np.ones(len(packed)), power)
        for content, count in counts.items():
            share = (
                sum(w for w, group in zip(weights, groups, strict=True) if group == content) / weights.sum()
            )
            assert share == pytest.approx(expected(count))


def test_recipes_take_changes_and_keep_the_rest():
    config = resolve(TOKENIZER_TRAINING["small"], steps=100, lr=None, precision="no")
    kept = TOKENIZER_TRAINING["small"]  # its warmup too: a run is continued only with the same
    assert (config.steps, config.lr, config.warmup) == (100, kept.lr, kept.warmup)


def test_an_unknown_preset_is_refused(toy: MotionFolder, tmp_path):
    with pytest.raises(ValueError, match="preset is 'huge', expected one of tiny, light, small, paper"):
        fit_tokenizer(toy, tmp_path / "run", "huge")
    assert not (tmp_path / "run").exists()
