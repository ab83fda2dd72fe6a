"""Trained parts on disk: whole or absent, and every part is stored alike."""

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


def test_arrays_to_keep_stay_in_float32(tmp_path):
    module = nn.BatchNorm1d(3)
    with torch.no_grad():
        for value in (module.running_mean, module.weight):
            value.copy_(torch.rand(3) + 1 / 3)
    storage.save_module(module, Config(), tmp_path / "m", torch.float16, keep_float32=("running_mean",))
    again = nn.BatchNorm1d(3)
    storage.load_state(again, tmp_path / "m")
    assert storage.load_config(Config, tmp_path / "m") == Config()
    assert torch.equal(again.running_mean, module.running_mean)
    assert torch.equal(again.weight, module.weight.half().float())
    assert not torch.equal(again.weight, module.weight) and again.weight.dtype == torch.float32
    assert again.num_batches_tracked.dtype == torch.int64


def test_a_save_cut_short_leaves_the_old_model(tmp_path, monkeypatch):
    old, new = Tokenizer(SMALL), Tokenizer(SMALL)
    old.save_pretrained(tmp_path / "t")
    assert not same(old, new)

    def full(*args, **options):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(json, "dumps", full)
        new.save_pretrained(tmp_path / "t")
    assert same(Tokenizer.from_pretrained(tmp_path / "t"), old)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_large_tokenizer_is_sharded_and_found_in_its_run(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SHARD_SIZE", "20KB")
    tokenizer = Tokenizer(SMALL)
    folder = tmp_path / "run" / "model"
    tokenizer.save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 2 and not (folder / "model.safetensors").exists()
    for place in (folder, tmp_path / "run"):
        assert same(load_tokenizer(place), tokenizer)
    index = folder / storage.INDEX
    whole = index.read_text()
    for damaged in (whole[:-20], "{}", "[]"):
        index.write_text(damaged)
        with pytest.raises(ValueError, match="index.json is damaged or cut off"):
            load_tokenizer(folder)


def test_differences_between_sets_of_arrays_are_listed_up_to_a_number():
    expected = {name: torch.zeros(2, 3) for name in "abcdef"}
    assert storage.differences(dict(expected), expected) == ""
    given = {"a": torch.zeros(2, 3), "b": torch.zeros(3), "x": torch.zeros(1)}
    found = "missing: c, d and 2 more; unknown: x; of another shape: b (3,) instead of (2, 3)"
    assert storage.differences(given, expected, most=2) == found


def test_8_bits_are_a_quarter_of_the_size_and_nearly_the_same(tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv1d(64, 96, 3), torch.nn.Linear(64, 256))
    module[0].weight.data[5] = 0  # a row that says nothing has no scale
    module[1].weight.data[3] *= 100
    module.register_buffer("codebook", torch.randn(40, 8))
    for folder, dtype in (("whole", None), ("small", torch.int8)):
        storage.save_module(module, Config(), tmp_path / folder, dtype)
    sizes = [(tmp_path / f / "model.safetensors").stat().st_size for f in ("whole", "small")]
    assert sizes[1] < 0.3 * sizes[0]
    again = torch.nn.Sequential(torch.nn.Conv1d(64, 96, 3), torch.nn.Linear(64, 256))
    again.register_buffer("codebook", torch.zeros(40, 8))
    storage.load_state(again, tmp_path / "small")
    for old, new in ((module[0].weight, again[0].weight), (module[1].weight, again[1].weight)):
        largest = old.flatten(1).abs().amax(1)
        assert ((old - new).flatten(1).abs().amax(1) <= largest / 254 + 1e-9).all(), (
            "half a step of its own row"
        )
    assert torch.equal(again.codebook, module.codebook.half().float()), "codes are looked up: not in 8 bits"
    assert torch.equal(again[1].bias, module[1].bias.half().float())
