"""Training by recipe from the command line, training further, and a length estimator for a model that has none."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from mmm import MMM, fit
from mmm.cli import main
from mmm.fit import fit_length, fit_tokenizer, fit_transformer
from mmm.pretrained import load_tokenizer
from mmm.tokenizer import Tokenizer
from mmm.training.data import held_out_clips
from mmm.transformer.tokens import TokenSet

QUIET = {"progress": False, "cpu": True}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))


def run(*args: object) -> int:
    """Exit code of `mmm train ARGS`."""
    with pytest.raises(SystemExit) as stop:
        main(["train", *map(str, args)])
    return stop.value.code


def settings(run):
    return yaml.safe_load((run / "config.yaml").read_text())


@pytest.fixture
def transformer(toy, trained):
    """Arguments of `mmm train` for a transformer on the tokenizer of `trained`."""
    place = trained / "tokenizer"
    return f"transformer --data {toy.path} --tokenizer {place} --preset tiny --steps 2 --cpu".split()


def test_a_model_by_a_recipe_with_single_options_changed(toy, tmp_path):
    common = ("--data", toy.path, "--preset", "tiny", "--steps", 2, "--cpu")
    options = ("--recipe", "paper", "--short", "pad", "--feature-bias", 5, "--reset", "release")
    assert run("tokenizer", *common, *options, "--out", tmp_path / "tok") == 0
    config = Tokenizer.from_pretrained(tmp_path / "tok" / "model").config
    assert (config.reset, config.feature_bias, config.parts) == ("release", 5.0, 1)
    resolved = settings(tmp_path / "tok")
    assert resolved["windows"]["short"] == "pad" and resolved["train"]["schedule"] == "milestones"
    options = ("--recipe", "release", "--random-codes", 0.1, "--typos", 0.5, "--out", tmp_path / "mmm")
    assert run("transformer", *common, *options, "--tokenizer", tmp_path / "tok") == 0
    recipe = settings(tmp_path / "mmm" / "transformer")["recipe"]
    assert (recipe["mask_schedule"], recipe["random_codes"]) == ("uniform(0.5, 1)", 0.1)
    assert (recipe["loss_on"], recipe["typos"]) == ("all", 0.5)
    model = MMM.from_pretrained(tmp_path / "mmm")
    assert model.transformer.config.text_dropout == 0 and model.info["guidance"] == 1


def test_typed_sentences_need_data_that_have_some(toy, transformer, tmp_path, capsys):
    assert run(*transformer, "--typed", 0.5, "--out", tmp_path / "mmm") == 2
    assert "has no sentences that people type" in capsys.readouterr().err and not (tmp_path / "mmm").exists()


def test_a_training_with_typed_sentences_knows_its_captions_alone(toy, transformer, trained, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(toy.path, folder)
    clip = toy.ids("train")[0]
    table = {
        "actions": {"walk": {"part": "legs", "repeats": True}},
        "clips": {clip: "walk"},
        "then": {},
        "while": {},
    }
    (folder / "compositions.json").write_text(json.dumps(table | {"typed": {"walk": ["off to the bakery"]}}))
    options = (
        "--crop",
        0,
        "--then",
        0,
        "--at-once",
        0,
        "--repeat",
        0,
        "--typed",
        1,
        "--out",
        tmp_path / "mmm",
    )
    arguments = [folder if argument == str(toy.path) else argument for argument in transformer]
    assert run(*arguments, *options) == 0
    assert settings(tmp_path / "mmm" / "transformer")["compositions"]
    assert settings(tmp_path / "mmm" / "length")["compositions"]
    known = MMM.from_pretrained(tmp_path / "mmm").known
    assert known.captions and "off to the bakery" not in known.captions


def test_another_mean_and_std_with_their_own_feature_bias(toy, tmp_path):
    (tmp_path / "meta").mkdir()
    mean, std = toy.mean + 1, toy.std * 2
    np.save(tmp_path / "meta" / "mean.npy", mean)
    np.save(tmp_path / "meta" / "std.npy", std)
    args = ("tokenizer", "--data", toy.path, "--preset", "tiny", "--steps", 2, "--cpu", "--mean-std")
    assert run(*args, tmp_path / "meta", "--out", tmp_path / "tok") == 0
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tok" / "model")
    assert np.array_equal(tokenizer.mean.numpy(), mean) and np.array_equal(tokenizer.scale.numpy(), std)
    assert run(*args, tmp_path, "--out", tmp_path / "other") == 2 and not (tmp_path / "other").exists()


def test_held_out_clips_are_never_drawn_and_the_model_says_so(
    toy, trained, transformer, tmp_path, monkeypatch
):
    seen = []
    draw = TokenSet.draw
    monkeypatch.setattr(
        TokenSet, "draw", lambda self, *args, **how: seen.append(self.ids) or draw(self, *args, **how)
    )
    assert run(*transformer, "--held-out", 0.2, "--out", tmp_path / "mmm") == 0
    ids = toy.ids("train")
    chosen = {name for name, out in zip(ids, held_out_clips(ids, 0.2), strict=True) if out}
    of_transformer, of_length = ({name.removeprefix("M") for name in seen[i]} for i in (0, -1))
    assert chosen and of_transformer == set(ids) - chosen
    assert of_length == set(ids), "the length estimator sees them all"
    assert MMM.from_pretrained(tmp_path / "mmm").info["held_back"] == 0.2
    assert "held_back" not in MMM.from_pretrained(trained / "model_run").info
    assert run(*transformer, "--held-out", 1, "--out", tmp_path / "none") == 2


def test_a_transformer_does_not_overwrite_the_run_of_a_tokenizer(toy, trained):
    tokenizer = load_tokenizer(trained / "tokenizer")
    with pytest.raises(ValueError, match=str(trained / "tokenizer")):
        fit_transformer(toy, tokenizer, trained / "tokenizer", "tiny", steps=1)
    assert load_tokenizer(trained / "tokenizer").config == tokenizer.config


@pytest.mark.parametrize("resume", [True, False])
def test_starting_again_removes_the_old_model_first(toy, trained, tmp_path, monkeypatch, resume):
    shutil.copytree(trained / "model_run", tmp_path / "run")

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "train_transformer", interrupted)
    tokenizer, options = load_tokenizer(trained / "tokenizer"), {"resume": resume, **QUIET}
    with pytest.raises(KeyboardInterrupt):
        fit_transformer(toy, tokenizer, tmp_path / "run", "tiny", options=options)
    assert (tmp_path / "run" / "model").exists() == resume


def test_a_tokenizer_starts_from_another_with_its_sizes_and_normalisation(toy, trained, tmp_path):
    args = f"tokenizer --data {toy.path} --preset light --steps 2 --cpu --window 32".split()
    first = Tokenizer.from_pretrained(trained / "tokenizer" / "model")
    args += ["--init", str(trained / "tokenizer")]
    assert run(*args, "--out", tmp_path / "on") == 0
    further = Tokenizer.from_pretrained(tmp_path / "on" / "model")
    assert further.config == first.config and torch.equal(further.mean, first.mean)
    resolved = settings(tmp_path / "on")
    assert resolved["windows"]["window"] == 32 and resolved["geometry"] == [0.5, 0.5, 0.25, 0.25]
    assert run(*args, "--init", tmp_path / "on", "--out", tmp_path / "on") == 2, "from another start"
    frozen = (*args, "--code-noise", 0.1, "--geometry", 0, 0, 0, 0)
    assert run(*frozen, "--out", tmp_path / "frozen") == 0
    codebook = Tokenizer.from_pretrained(tmp_path / "frozen" / "model").codebook
    assert torch.equal(codebook, first.codebook) and not torch.equal(further.codebook, first.codebook)
    assert settings(tmp_path / "frozen")["geometry"] is None


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--init TOKENIZER --codes 7", "codes 7"),
        ("--init TOKENIZER --reset none", "--reset"),
        ("--init TOKENIZER --feature-bias 1", "--feature-bias"),
        ("--code-noise 0", "init"),
        ("--geometry 1 1 1 1", "--geometry"),
        ("--window 62", "62"),
    ],
)
def test_options_of_a_tokenizer_that_contradict_each_other(toy, trained, tmp_path, capsys, flags, named):
    flags = flags.replace("TOKENIZER", str(trained / "tokenizer")).split()
    args = ("tokenizer", "--data", toy.path, "--preset", "tiny", "--steps", 2, "--cpu", *flags)
    assert run(*args, "--out", tmp_path / "no") == 2 and not (tmp_path / "no").exists()
    assert named in capsys.readouterr().err


def test_a_transformer_starts_from_another_of_the_same_codes(trained, transformer, tmp_path):
    args = (*transformer, "--init", trained / "model_run", "--preset", "light", "--lr", 1e-9)
    assert run(*args, "--out", tmp_path / "on") == 0
    before, after = (MMM.from_pretrained(run).transformer for run in (trained / "model_run", tmp_path / "on"))
    assert after.config == before.config
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(old, new, rtol=1e-5, atol=1e-7)
    manifests = {
        part: json.loads((tmp_path / "on" / part / "manifest.json").read_text())
        for part in ("transformer", "length")
    }
    assert manifests["transformer"]["init"] == str(trained / "model_run" / "transformer")
    assert "init" not in manifests["length"]  # which starts from random weights


def test_with_new_codes_a_transformer_starts_from_one_of_an_earlier_tokenizer(
    toy, trained, transformer, tmp_path
):
    fit_tokenizer(toy, tmp_path / "tok", "tiny", steps=1, precision="no", options=QUIET)
    args = (*transformer, "--init", trained / "model_run", "--tokenizer", tmp_path / "tok", "--lr", 1e-9)
    assert run(*args, "--new-codes", "--out", tmp_path / "on") == 0
    model, old = MMM.from_pretrained(tmp_path / "on"), MMM.from_pretrained(trained / "model_run")
    assert torch.equal(model.transformer.codebook, load_tokenizer(tmp_path / "tok").codebook)
    assert not torch.equal(model.transformer.codebook, old.transformer.codebook)
    for before, after in zip(old.transformer.parameters(), model.transformer.parameters(), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--init MODEL --tokenizer ANOTHER", "codebook"),
        ("--init NOWHERE", "nowhere"),
        ("--init MODEL --text-dropout 0.3", "--text-dropout"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(toy, trained, transformer, tmp_path, capsys, flags, named):
    if "ANOTHER" in flags:
        fit_tokenizer(toy, tmp_path / "tok", "tiny", steps=1, precision="no", options=QUIET)
    places = {"MODEL": trained / "model_run", "ANOTHER": tmp_path / "tok", "NOWHERE": tmp_path / "nowhere"}
    flags = [str(places.get(flag, flag)) for flag in flags.split()]
    assert run(*transformer, *flags, "--out", tmp_path / "no") == 2
    assert named in capsys.readouterr().err and not (tmp_path / "no" / "model").exists()


def test_sizes_that_contradict_the_model_to_start_from(toy, trained, tmp_path):
    tokenizer = load_tokenizer(trained / "tokenizer")
    how = {"model": {"dim": 8}, "init": trained / "model_run", "precision": "no", "options": QUIET}
    with pytest.raises(ValueError, match="dim 8"):
        fit_transformer(toy, tokenizer, tmp_path / "no", "tiny", **how)


def test_an_unknown_preset_is_refused_before_anything_is_written(toy, tmp_path):
    with pytest.raises(ValueError, match="'huge'"):
        fit_tokenizer(toy, tmp_path / "run", "huge")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def without_length(trained, tmp_path):
    place = tmp_path / "bare"
    shutil.copytree(trained / "model_run" / "model", place)
    shutil.rmtree(place / "length")
    return place


def test_a_length_estimator_is_written_into_the_model(toy, without_length, tmp_path):
    assert MMM.from_pretrained(without_length).length is None
    weights = (without_length / "transformer" / "model.safetensors").read_bytes()
    args = ("--model", without_length, "--out", tmp_path / "length", "--steps", 20, "--cpu")
    assert run("length", "--data", toy.path, *args) == 0
    model = MMM.from_pretrained(without_length)
    assert 24 <= len(model.generate("a person bows", seed=0).features) <= 196
    assert (without_length / "transformer" / "model.safetensors").read_bytes() == weights
    assert json.loads((tmp_path / "length" / "metrics.json").read_text())["val/error_tokens"] >= 0


def test_the_same_seed_gives_the_same_estimator(toy, without_length, tmp_path):
    one, other = (
        fit_length(toy, without_length, tmp_path / name, QUIET, steps=5, seed=3) for name in ("a", "b")
    )
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_a_length_estimator_for_another_skeleton_is_refused(toy, without_length, tmp_path):
    config = without_length / "config.json"
    config.write_text(config.read_text().replace('"humanml3d"', '"kit"'))
    with pytest.raises(ValueError, match="kit"):
        fit_length(toy, without_length, tmp_path / "length")
    assert not (without_length / "length").exists()
