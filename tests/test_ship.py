import json

import pytest

from mmm import MMM, ship
from mmm.data import MotionFolder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))


def test_what_is_shipped_is_half_the_size_measured_and_described(trained, toy, tmp_path):
    measured = ship.ship(trained, toy.path, tmp_path / "toy-tiny")
    shipped = MMM.from_pretrained(tmp_path / "toy-tiny")
    assert shipped.generate("a person bows", 40).features.shape == (40, 263)
    assert measured == json.loads((tmp_path / "toy-tiny" / "results.json").read_text())
    assert 0 < measured["mpjpe_local"] < measured["mpjpe_global"] and 0 <= measured["accuracy_masked"] <= 1
    card = (tmp_path / "toy-tiny" / "README.md").read_text()
    assert f"{measured['mpjpe_local']:.2f} cm" in card and "(20 steps)" in card
    training = json.loads((tmp_path / "toy-tiny" / "training.json").read_text())
    assert training["transformer"]["config"]["train"]["steps"] == 20


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


def test_a_shipped_model_is_packed_anew_and_its_codes_stay(trained, toy, tmp_path):
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
    with pytest.raises(ValueError, match="bits is 4, expected 8 or 16"):
        ship.ship(trained, toy.path, tmp_path / "small", bits=4)
