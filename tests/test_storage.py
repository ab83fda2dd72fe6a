"""Trained networks on disk: complete or absent, and damaged folders are refused by name."""

import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from mmm import storage
from mmm.fit import load_tokenizer
from mmm.tokenizer import Tokenizer, TokenizerConfig

SMALL = TokenizerConfig(width=16, depth=1, codes=32, code_dim=4)


@dataclass(frozen=True)
class Config:
    width: int = 3


def same(one, other):
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_8_bits_are_a_quarter_of_the_size_and_nearly_the_same(tmp_path):
    def network(codebook):
        module = nn.Sequential(nn.Conv1d(64, 96, 3), nn.Linear(64, 256))
        module.register_buffer("codebook", codebook)
        return module

    torch.manual_seed(0)
    module, again = network(torch.randn(40, 8)), network(torch.zeros(40, 8))
    module[0].weight.data[5] = 0  # a row of zeros has no scale
    module[1].weight.data[3] *= 100
    for folder, dtype in (("whole", None), ("small", torch.int8)):
        storage.save_module(module, Config(), tmp_path / folder, dtype)
    whole, small = ((tmp_path / f / "model.safetensors").stat().st_size for f in ("whole", "small"))
    assert small < 0.3 * whole
    storage.load_state(again, tmp_path / "small")
    for old, new in ((module[0].weight, again[0].weight), (module[1].weight, again[1].weight)):
        half_a_step = old.flatten(1).abs().amax(1) / 254  # of its own row
        assert ((old - new).flatten(1).abs().amax(1) <= half_a_step + 1e-9).all()
    assert torch.equal(again.codebook, module.codebook.half().float()), "codes are looked up: not in 8 bits"
    assert torch.equal(again[1].bias, module[1].bias.half().float())


def test_a_save_that_fails_leaves_the_old_model(tmp_path, monkeypatch):
    old, new = Tokenizer(SMALL), Tokenizer(SMALL)
    old.save_pretrained(tmp_path / "t")

    def full(*args, **options):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(json, "dumps", full)
        new.save_pretrained(tmp_path / "t")
    assert same(Tokenizer.from_pretrained(tmp_path / "t"), old) and not same(old, new)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_large_tokenizer_is_stored_in_several_files_and_loaded_from_its_run(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SHARD_SIZE", "20KB")
    tokenizer = Tokenizer(SMALL)
    folder = tmp_path / "run" / "model"
    tokenizer.save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 2 and not (folder / "model.safetensors").exists()
    for path in (folder, tmp_path / "run"):
        assert same(load_tokenizer(path), tokenizer)
    index = folder / storage.INDEX
    whole = index.read_text()
    for damaged in (whole[:-20], "{}", "[]"):
        index.write_text(damaged)
        with pytest.raises(ValueError, match="index.json"):
            load_tokenizer(folder)


def test_damaged_folders_are_refused(tmp_path):
    folder = tmp_path / "t"
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        Tokenizer.from_pretrained(folder)
    Tokenizer(SMALL).save_pretrained(folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole, text = weights.read_bytes(), config.read_text()
    for cut in (4, 300, len(whole) - 1):
        weights.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            Tokenizer.from_pretrained(folder)
    weights.write_bytes(whole)
    for old, new, named in (
        ('"width": 16', '"width": 24', r"config\.json: .*decoders\.0"),
        ('"width": 16', '"breadth": 16', r"config\.json .*breadth"),
        ("{", "", r"config\.json"),
        ('"reset": "dead"', '"reset": "daily"', "daily"),
    ):
        config.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match=named):
            Tokenizer.from_pretrained(folder)
    config.write_text(text)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        Tokenizer.from_pretrained(folder)


def test_differences_of_names_and_shapes_are_listed_up_to_a_number():
    expected = {name: torch.zeros(2, 3) for name in "abcdefghijkl"}
    assert storage.differences(dict(expected), expected) == ""
    state = {"a": torch.zeros(2, 3), "b": torch.zeros(3), "x": torch.zeros(1)}
    faults = (
        "missing: c, d, e, f, g, h, i, j and 2 more; unknown: x; of another shape: b (3,) instead of (2, 3)"
    )
    assert storage.differences(state, expected) == faults
