"""Training by recipe from the command line, and a length estimator for a model that has none."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from mmm import MMM
from mmm.cli import main
from mmm.fit import fit_length, fit_tokenizer, fit_transformer, held_back
from mmm.tokenizer import Tokenizer
from mmm.transformer.tokens import TokenSet


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code


def on_the_trained(toy, trained, steps):
    """Arguments of `train transformer` on the tokenizer of `trained`."""
    return (
        f"--data {toy.path} --tokenizer {trained / 'tokenizer'} --preset tiny --steps {steps} --cpu".split()
    )


def test_a_model_by_the_release_s_recipe_with_one_choice_changed(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    common = ("--data", toy.path, "--preset", "tiny", "--steps", 2, "--cpu")
    choices = ("--recipe", "paper", "--short", "pad", "--feature-bias", 5, "--reset", "release")
    assert run("train", "tokenizer", *common, *choices, "--out", tmp_path / "tok") == 0
    config = Tokenizer.from_pretrained(tmp_path / "tok" / "model").config
    assert (config.reset, config.feature_bias, config.parts) == ("release", 5.0, 1)
    told = yaml.safe_load((tmp_path / "tok" / "config.yaml").read_text())
    assert told["windows"]["short"] == "pad" and told["train"]["schedule"] == "milestones"
    args = ("--recipe", "release", "--random-codes", 0.1, "--out", tmp_path / "mmm")
    assert run("train", "transformer", *common, *args, "--tokenizer", tmp_path / "tok") == 0
    task = yaml.safe_load((tmp_path / "mmm" / "transformer" / "config.yaml").read_text())["task"]
    assert (task["mask_law"], task["random_codes"], task["where"]) == ("uniform(0.5, 1)", 0.1, "all")
    model = MMM.from_pretrained(tmp_path / "mmm")
    assert model.transformer.config.text_dropout == 0 and model.info["guidance"] == 1


def test_another_mean_and_std_with_their_own_feature_bias(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "meta").mkdir()
    mean, std = toy.mean + 1, toy.std * 2
    np.save(tmp_path / "meta" / "mean.npy", mean)
    np.save(tmp_path / "meta" / "std.npy", std)
    args = ("--data", toy.path, "--preset", "tiny", "--steps", 2, "--cpu", "--mean-std", tmp_path / "meta")
    assert run("train", "tokenizer", *args, "--out", tmp_path / "tok") == 0
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tok" / "model")
    assert np.array_equal(tokenizer.mean.numpy(), mean) and np.array_equal(tokenizer.scale.numpy(), std)
    wrong = ("--out", tmp_path / "other", "--mean-std", tmp_path)
    assert run("train", "tokenizer", *args[:-2], *wrong) == 2 and not (tmp_path / "other").exists()


def test_clips_that_are_held_back_are_never_drawn_and_the_model_says_so(toy, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    seen = []
    draw = TokenSet.draw
    monkeypatch.setattr(
        TokenSet, "draw", lambda self, *args, **how: seen.append(self.ids) or draw(self, *args, **how)
    )
    args = on_the_trained(toy, trained, 2)
    assert run("train", "transformer", *args, "--hold-back", 0.2, "--out", tmp_path / "mmm") == 0
    ids = toy.ids("train")
    aside = {name for name, kept in zip(ids, held_back(ids, 0.2), strict=True) if kept}
    transformer, length = seen[0], seen[-1]
    assert aside and not aside & {name.removeprefix("M") for name in transformer}
    assert {name.removeprefix("M") for name in transformer} == set(ids) - aside
    assert {name.removeprefix("M") for name in length} == set(ids), "the length estimator sees them all"
    assert MMM.from_pretrained(tmp_path / "mmm").info["held_back"] == 0.2
    assert "held_back" not in MMM.from_pretrained(trained / "model_run").info
    assert run("train", "transformer", *args, "--hold-back", 1, "--out", tmp_path / "none") == 2


@pytest.fixture
def without_length(trained, tmp_path):
    place = tmp_path / "bare"
    shutil.copytree(trained / "model_run" / "model", place)
    shutil.rmtree(place / "length")
    return place


def test_a_length_estimator_is_put_into_the_model(toy, without_length, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    assert MMM.from_pretrained(without_length).length is None
    weights = (without_length / "transformer" / "model.safetensors").read_bytes()
    args = ("--model", without_length, "--out", tmp_path / "length", "--steps", 20, "--cpu")
    assert run("train", "length", "--data", toy.path, *args) == 0
    model = MMM.from_pretrained(without_length)
    assert 24 <= len(model.generate("a person bows", seed=0).features) <= 196
    assert (without_length / "transformer" / "model.safetensors").read_bytes() == weights
    assert json.loads((tmp_path / "length" / "metrics.json").read_text())["val/error_tokens"] >= 0


def test_the_same_seed_gives_the_same_estimator(toy, without_length, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    quiet = {"progress": False, "cpu": True}
    one, other = (
        fit_length(toy, without_length, tmp_path / name, quiet, steps=5, seed=3) for name in ("a", "b")
    )
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_another_skeleton_is_refused(toy, without_length, tmp_path):
    config = without_length / "config.json"
    config.write_text(config.read_text().replace('"humanml3d"', '"kit"'))
    with pytest.raises(ValueError, match="motions of skeleton kit, but"):
        fit_length(toy, without_length, tmp_path / "length")
    assert not (without_length / "length").exists()


def test_a_tokenizer_goes_on_from_another_with_its_sizes_and_normalisation(toy, trained, tmp_path, capsys):
    args = f"train tokenizer --data {toy.path} --preset light --steps 2 --cpu --window 32".split()
    begin = Tokenizer.from_pretrained(trained / "tokenizer" / "model")
    common = (*args, "--init", trained / "tokenizer")
    assert run(*common, "--out", tmp_path / "on") == 0
    after = Tokenizer.from_pretrained(tmp_path / "on" / "model")
    assert after.config == begin.config and torch.equal(after.mean, begin.mean)
    told = yaml.safe_load((tmp_path / "on" / "config.yaml").read_text())
    assert told["windows"]["window"] == 32 and told["geometry"]["place"] == 0.5
    another = ("--init", tmp_path / "on", "--out", tmp_path / "on")
    assert run(*args, *another) == 2 and "was begun with init=" in capsys.readouterr().err
    assert run(*common, "--code-noise", 0.1, "--geometry", 0, 0, 0, 0, "--out", tmp_path / "frozen") == 0
    frozen = Tokenizer.from_pretrained(tmp_path / "frozen" / "model")
    assert torch.equal(frozen.codebook, begin.codebook) and not torch.equal(after.codebook, begin.codebook)
    assert "geometry" not in yaml.safe_load((tmp_path / "frozen" / "config.yaml").read_text())
    capsys.readouterr()
    for wrong, sentence in (
        ((*common, "--codes", 7), "brings its own sizes, rules, Mean and Std, but codes 7 is asked for"),
        ((*common, "--reset", "none"), "keeps its rules, and --reset is one"),
        ((*args, "--code-noise", 0), "give init"),
        ((*args, "--geometry", 1, 1, 1, 1), "give --init, or leave --geometry out"),
    ):
        assert run(*wrong, "--out", tmp_path / "no") == 2 and not (tmp_path / "no").exists()
        assert sentence in capsys.readouterr().err


def test_a_transformer_that_reads_typos(toy, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    args = on_the_trained(toy, trained, 3)
    assert run("train", "transformer", *args, "--typos", 0.5, "--out", tmp_path / "mmm") == 0
    task = yaml.safe_load((tmp_path / "mmm" / "transformer" / "config.yaml").read_text())["task"]
    assert task["typos"] == 0.5
    plain = yaml.safe_load((trained / "model_run" / "transformer" / "config.yaml").read_text())["task"]
    assert "typos" not in plain


def test_a_transformer_goes_on_from_another_of_the_same_codes(toy, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    args = (
        "train",
        "transformer",
        "--data",
        toy.path,
        "--preset",
        "light",
        "--steps",
        1,
        "--lr",
        1e-9,
        "--cpu",
    )
    on = ("--init", trained / "model_run", "--tokenizer", trained / "tokenizer")
    assert run(*args, *on, "--out", tmp_path / "on") == 0
    before, after = (
        MMM.from_pretrained(place).transformer for place in (trained / "model_run", tmp_path / "on")
    )
    assert after.config == before.config
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(old, new, rtol=1e-5, atol=1e-7)
    told = json.loads((tmp_path / "on" / "transformer" / "manifest.json").read_text())
    assert told["init"] == str(trained / "model_run" / "transformer")
    assert "init" not in json.loads((tmp_path / "on" / "length" / "manifest.json").read_text())  # begun anew
    tokenizer, quiet = (
        Tokenizer.from_pretrained(trained / "tokenizer" / "model"),
        {"progress": False, "cpu": True},
    )
    how = {"model": {"dim": 8}, "init": trained / "model_run", "precision": "no", "options": quiet}
    with pytest.raises(ValueError, match="but dim 8 is asked for"):
        fit_transformer(toy, tokenizer, tmp_path / "no", "tiny", **how)
    fit_tokenizer(
        toy, tmp_path / "tok", "tiny", steps=1, precision="no", options={"progress": False, "cpu": True}
    )
    capsys.readouterr()
    for wrong, sentence in (
        ((*on[:2], "--tokenizer", tmp_path / "tok"), "with another tokenizer's codebook"),
        (("--init", tmp_path, *on[2:]), "there is no transformer in"),
        ((*on, "--text-dropout", 0.3), "keeps its text dropout"),
    ):
        assert run(*args, *wrong, "--out", tmp_path / "no") == 2 and not (tmp_path / "no" / "model").exists()
        assert sentence in capsys.readouterr().err
