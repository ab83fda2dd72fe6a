"""Model folders to ship: their size, card and results, their history, and refusals."""

import json
import shutil

import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.data import MotionFolder
from mmm.fit import fit_tokenizer
from mmm.lab import ship


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))


def test_a_shipped_model_is_evaluated_and_described(trained, toy, tmp_path):
    results = ship.ship(trained, toy.path, tmp_path / "toy-tiny")
    shipped = MMM.from_pretrained(tmp_path / "toy-tiny")
    assert shipped.generate("a person bows", 40).features.shape == (40, 263)
    assert results == json.loads((tmp_path / "toy-tiny" / "results.json").read_text())
    assert 0 < results["mpjpe_local"] < results["mpjpe_global"] and 0 <= results["accuracy_masked"] <= 1
    card = (tmp_path / "toy-tiny" / "README.md").read_text()
    assert f"{results['mpjpe_local']:.2f} cm" in card and "(20 steps)" in card
    training = json.loads((tmp_path / "toy-tiny" / "training.json").read_text())
    assert training["transformer"]["config"]["train"]["steps"] == 20


def test_decoders_that_were_trained_further_are_shipped_with_their_history(trained, toy, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained / "model_run", run / "model_run")
    init = trained / "tokenizer"
    quiet = {"progress": False, "cpu": True}
    how = dict(init=init, code_noise=0.0, precision="no", options=quiet)
    fit_tokenizer(toy, run / "tokenizer", "tiny", steps=3, **how)
    ship.ship(run, toy.path, tmp_path / "m", bits=16)
    shipped, before = MMM.from_pretrained(tmp_path / "m"), MMM.from_pretrained(trained / "model_run")
    motion = before.generate("a person bows", 40)
    assert (shipped.encode(motion) == before.encode(motion)).all()
    joints = [m.decode(m.encode(motion), [40])[0].joints for m in (shipped, before)]
    assert not np.allclose(*joints, atol=1e-4)
    assert "(20 + 3 steps)" in (tmp_path / "m" / "README.md").read_text()
    history = (tmp_path / "m" / "training.json").read_text()
    assert (
        json.loads(history)["tokenizer"]["init"]["config"]["train"]["steps"] == 20
        and str(init) not in history
    )
    fit_tokenizer(toy, run / "tokenizer", "tiny", steps=4, options=quiet | {"resume": False}, precision="no")
    with pytest.raises(ValueError, match="another tokenizer's codebook"):
        ship.ship(run, toy.path, tmp_path / "m")


def test_training_on_a_shipped_tokenizer_and_transformer_keeps_their_history(trained, toy, tmp_path):
    ship.ship(trained, toy.path, tmp_path / "m", bits=8)
    run = tmp_path / "run"
    shutil.copytree(trained / "model_run", run / "model_run")
    shutil.copytree(trained / "model_run" / "model", tmp_path / "exact")  # with the codes of the transformer
    shutil.copy(tmp_path / "m" / "training.json", tmp_path / "exact")
    (run / "tokenizer").symlink_to(tmp_path / "exact")
    manifest = run / "model_run" / "transformer" / "manifest.json"
    facts = json.loads(manifest.read_text()) | {"init": str(tmp_path / "m" / "transformer")}
    manifest.write_text(json.dumps(facts))
    ship.ship(run, toy.path, tmp_path / "again", bits=8)
    old, new = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("m", "again"))
    assert new["tokenizer"] == old["tokenizer"] and new["transformer"]["init"] == old["transformer"]
    card = (tmp_path / "again" / "README.md").read_text()
    assert "(20 + 20 steps)" in card and "`mmm train tokenizer` (20 steps)" in card
    MMM.from_pretrained(tmp_path / "m").save_pretrained(tmp_path / "twice", torch.int8)
    for part in ("tokenizer", "transformer"):
        files = [tmp_path / name / part / "model.safetensors" for name in ("m", "twice")]
        assert files[0].read_bytes() == files[1].read_bytes(), "8 bits of 8 bits are the same"


def test_a_model_too_large_or_of_other_splits_leaves_what_was_there(trained, toy, tmp_path, monkeypatch):
    ship.ship(trained, toy.path, tmp_path / "m")
    before = sorted((p.name, p.read_bytes()) for p in (tmp_path / "m").iterdir() if p.is_file())
    monkeypatch.setattr(ship, "LIMIT", 1000)
    with pytest.raises(ValueError, match="can be shipped"):
        ship.ship(trained, toy.path, tmp_path / "m")
    monkeypatch.setattr(MotionFolder, "splits_hash", "another")
    with pytest.raises(ValueError, match="was trained on other splits"):
        ship.ship(trained, toy.path, tmp_path / "m")
    assert before == sorted((p.name, p.read_bytes()) for p in (tmp_path / "m").iterdir() if p.is_file())


def test_a_shipped_model_is_repacked_and_its_codes_stay(trained, toy, tmp_path):
    first = ship.ship(trained, toy.path, tmp_path / "m")
    before = MMM.from_pretrained(tmp_path / "m")
    motion = before.generate("a person bows", 40)
    second = ship.repack(tmp_path / "m", toy.path)
    after = MMM.from_pretrained(tmp_path / "m")
    assert second["megabytes"] < 0.8 * first["megabytes"]
    assert second["mpjpe_local"] == first["mpjpe_local"] and abs(second["loss"] - first["loss"]) < 0.01
    assert (after.encode(motion) == before.encode(motion)).all()
    assert "8 bits with a scale" in (tmp_path / "m" / "README.md").read_text()
    again = ship.ship(trained, toy.path, tmp_path / "small", bits=8)
    assert again["megabytes"] < 0.65 * first["megabytes"]
