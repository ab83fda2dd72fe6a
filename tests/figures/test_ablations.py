"""The ablation's lines: what they change, that they are trained and judged, and that they are not made twice."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from made_up.evaluator import RandomEvaluator
from matplotlib.collections import PathCollection

from figures.recipes import ablations
from figures.recipes.ablations import TOKENIZERS, TRANSFORMERS, Arguments, variant
from mmm.data import Clip, write_folder
from mmm.lab.evaluation import load_table, plot_choices
from mmm.motion import features_to_joints
from mmm.recipes import RECIPES

HERE = Path(__file__).parent


def test_every_line_but_the_seeds_changes_the_recipe():
    for lines in (TOKENIZERS, TRANSFORMERS):
        for name, changes in lines.items():
            recipe, seed = variant(changes)
            assert (recipe == RECIPES["ours"]) == ("ours" in name) and (seed != 0) == ("seed" in name), name
        assert variant(lines["recipe release"])[0] == RECIPES["release"]
    assert variant(TRANSFORMERS["loss on masked places (paper)"])[0].loss_on == "masked"


@pytest.fixture(scope="module")
def folder(toy, tmp_path_factory):
    """The toy set with more clips in val than in train: enough to be evaluated."""
    ids = toy.ids("all")
    clips = [
        Clip(clip, x := toy.features(clip), features_to_joints(x), toy.captions(clip), toy.program(clip))
        for clip in ids
    ]
    splits = {"train": ids[::3], "val": [*ids[1::3], *ids[2::3]], "test": ids[-2:]}
    return write_folder(tmp_path_factory.mktemp("more") / "more", clips, splits, {**toy.info, "name": "more"})


@pytest.fixture
def arguments(folder, trained, tmp_path, monkeypatch) -> Arguments:
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ablations, "load_evaluator", lambda folder: RandomEvaluator())
    return Arguments(
        data=folder.path,
        out=tmp_path / "out",
        only=("optimizer",),
        tokenizer=trained / "tokenizer",
        preset="tiny",
        tokenizer_steps=2,
        transformer_steps=2,
        repeats=2,
        pool=4,
    )


def test_lines_are_trained_judged_and_not_made_twice(arguments, monkeypatch, capsys):
    arguments.run()
    file = arguments.out / "results.json"
    tokenizer, transformer = (load_table(file, part) for part in ("tokenizer", "transformer"))
    assert list(tokenizer.index) == list(transformer.index) == ["authors' optimizer"]
    line = transformer.loc["authors' optimizer"]
    assert 0 <= line["masked_accuracy"] < 0.5 and 4 < line["masked_loss"] < 6  # two steps: ln 128 is 4.85
    assert line["fid@1"] > 0 and line["fid@2"] > 0 and line["r1@2_half"] >= 0
    assert tokenizer.loc["authors' optimizer", "mpjpe_local"] > 1
    assert tokenizer["fid"].item() > 0

    def refuse(*args, **kwargs):
        raise AssertionError("made twice")

    monkeypatch.setattr(ablations, "ablate_tokenizer", refuse)
    monkeypatch.setattr(ablations, "ablate_transformer", refuse)
    before = file.read_bytes()
    arguments.run()
    assert file.read_bytes() == before
    with pytest.raises(ValueError, match="was made with other transformer_steps"):
        dataclasses.replace(arguments, transformer_steps=3).run()


def test_the_picture_shows_the_table_and_what_seeds_alone_do():
    table = pd.DataFrame(
        {"r1": [0.9, 0.92, 0.5], "r1_half": 0.01, "fid": [1.0, 1.4, 9.0]},
        index=["ours", "ours, seed 1", "recipe release"],
    )
    figure = plot_choices(table, {"r1": "R@1 ↑", "fid": "FID ↓"})
    left, right = figure.axes
    [dots] = [c for c in left.collections if isinstance(c, PathCollection)]
    assert dots.get_offsets()[:, 0].tolist() == [0.9, 0.92, 0.5]
    band = right.patches[0]
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((1.0, 1.4))
    assert [tick.get_text() for tick in left.get_yticklabels()] == list(table.index)
