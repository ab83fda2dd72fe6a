"""Trained networks on disk: complete or absent, and damaged folders are refused by name."""

import json
import math
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mmm import storage
from mmm.evaluation.evaluator import EvaluatorConfig
from mmm.pretrained import load_tokenizer
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.tokenizer.model import NORMALISATION
from mmm.transformer import TransformerConfig
from mmm.transformer.length import LengthConfig

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
    module = network(torch.randn(40, 8))
    module[0].weight.data[5] = 0  # a row of zeros has no scale
    module[1].weight.data[3] *= 100
    for folder, dtype in (("whole", None), ("small", torch.int8)):
        storage.save_module(module, Config(), tmp_path / folder, dtype)
    whole, small = ((tmp_path / f / "model.safetensors").stat().st_size for f in ("whole", "small"))
    assert small < 0.3 * whole
    again = storage.load_module(lambda: network(torch.zeros(40, 8)), tmp_path / "small")
    for old, new in ((module[0].weight, again[0].weight), (module[1].weight, again[1].weight)):
        half_a_step = old.flatten(1).abs().amax(1) / 254  # of its own row
        assert ((old - new).flatten(1).abs().amax(1) <= half_a_step + 1e-9).all()
    assert torch.equal(again.codebook, module.codebook.half().float()), "codes are looked up: not in 8 bits"
    assert torch.equal(again[1].bias, module[1].bias.half().float())


def test_no_array_is_left_without_numbers(tmp_path):
    Tokenizer(SMALL).save_pretrained(tmp_path / "t")
    loaded = Tokenizer.from_pretrained(tmp_path / "t")
    assert all(value.device.type == "cpu" for value in (*loaded.parameters(), *loaded.buffers()))
    assert all(p.requires_grad for p in loaded.parameters()) and not loaded.quantizers[0].resets.any()


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


def changed_weights(folder, change):
    """The arrays of a folder, changed by `change`."""
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


NORM, MATRIX = "decoders.0.first.bias", "decoders.0.first.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s[NORM].__setitem__(3, torch.nan), f"NaN or infinite numbers: {NORM}"),
        (lambda s: s["mean"].__setitem__(0, torch.inf), "infinite numbers: mean"),
        (lambda s: s.update({NORM: s[NORM].double() * 0 + 1e200}), f"infinite numbers: {NORM}"),
        (lambda s: s.update({NORM: s[NORM].long()}), f"wrong type: {NORM} .torch.int64, expected torch.float32"),
        (lambda s: s.update({"quantizers.0.step": torch.tensor(1.0)}), "wrong type: quantizers.0.step"),
        (lambda s: s.pop(MATRIX + storage.SCALE), f"wrong type: {MATRIX} .torch.int8"),
        (lambda s: s.update({MATRIX + storage.SCALE: torch.ones(3)}), f"{MATRIX}.row_scale but no weights in 8 bits"),
        (
            lambda s: s.update({MATRIX + storage.SCALE: s[MATRIX + storage.SCALE].long()}),
            f"{MATRIX}.row_scale of type torch.int64, expected floating-point",
        ),
        (lambda s: s[MATRIX + storage.SCALE].__setitem__(0, torch.nan), f"NaN or infinite numbers: {MATRIX}"),
        (lambda s: s.update({NORM + storage.SCALE: torch.ones(16)}), f"{NORM}.row_scale but no weights in 8 bits"),
        (lambda s: s["mean"].__setitem__(0, -1e30), "numbers beyond ±100,000,000: mean"),
        (lambda s: s["std"].__setitem__(5, 0.0), "Std that is not above 0"),
    ],
)  # fmt: skip
def test_broken_weights_are_named(tmp_path, change, named):
    storage.save_module(Tokenizer(SMALL), SMALL, tmp_path / "t", torch.int8, keep_float32=NORMALISATION)
    changed_weights(tmp_path / "t", change)
    with pytest.raises(ValueError, match=named):
        Tokenizer.from_pretrained(tmp_path / "t")


def test_values_are_checked_in_the_type_in_which_they_are_used():
    state = {"a": torch.tensor([0.1], dtype=torch.float16), "n": torch.tensor([3])}
    expected = {"a": torch.zeros(1), "n": torch.zeros(1, dtype=torch.int64)}
    read = storage.checked_values(state, expected, "m")
    assert {name: value.dtype for name, value in read.items()} == {"a": torch.float32, "n": torch.int64}
    assert torch.equal(read["a"], state["a"].float())
    assert storage.checked_values(expected, expected, "m")["a"] is expected["a"], "it is not copied"


WRONG = {
    "width": (True, "16", 0, -16, 10**30, None, [16], 16.0, 1 << 14),
    "down": (-1, 7), "stride": (0, 1, 3), "dilation_growth": (10**9, 50, 0), "codes": (1 << 20, 0),
    "features": (10_000, 5), "parts": (3, "1"), "ema": (1.0, -0.1), "reset": ([], 5), "feature_bias": (0, 1e300),
}  # fmt: skip


def test_values_that_no_tokenizer_has_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    """Also sizes that are allowed, but are not those of the arrays: 1 << 14 wide, a tokenizer would take 60 GB."""
    small = replace(SMALL, depth=3)
    Tokenizer(small).save_pretrained(tmp_path / "t")
    config = tmp_path / "t" / "config.json"
    values, real = json.loads(config.read_text()), Tokenizer.__init__

    def init(self, config):
        real(self, config)
        assert self.mean.is_meta or config == small

    monkeypatch.setattr(Tokenizer, "__init__", init)
    for name, wrong in WRONG.items():
        for value in wrong:
            config.write_text(json.dumps(values | {name: value}))
            with pytest.raises(ValueError, match=f"{name}|dilations|does not fit its config.json"):
                Tokenizer.from_pretrained(tmp_path / "t")
    config.write_text(json.dumps(values))
    state = torch.random.get_rng_state()
    Tokenizer.from_pretrained(tmp_path / "t")
    assert torch.equal(torch.random.get_rng_state(), state), "loading draws no random numbers"


TRANSFORMER = {"codes": 8, "code_dim": 4, "text_dim": 4, "dim": 8, "layers": 1, "heads": 2}


@pytest.mark.parametrize(
    ("kind", "sizes", "wrong"),
    [
        *((TransformerConfig, TRANSFORMER, wrong) for wrong in (
            {"heads": 0}, {"dim": -8}, {"layers": 10**9}, {"mlp_ratio": 0}, {"dropout": 2.0},
            {"max_tokens": 10**12}, {"predicts": -1}, {"text_dropout": math.nan})),
        *((LengthConfig, {"text_dim": 4}, wrong) for wrong in (
            {"hidden": -1}, {"blur": math.inf})),
        *((EvaluatorConfig, {}, wrong) for wrong in (
            {"heads": 0}, {"hidden": 97}, {"layers": 10**6}, {"patch": 0})),
    ],
)  # fmt: skip
def test_values_that_no_network_has_are_refused(kind, sizes, wrong):
    kind(**sizes)
    [name] = wrong
    with pytest.raises(ValueError, match=f"{name} is .*, expected "):
        kind(**sizes | wrong)


def test_files_of_an_index_lie_in_the_folder(tmp_path):
    Tokenizer(SMALL).save_pretrained(tmp_path / "t")
    (tmp_path / "t" / storage.INDEX).write_text('{"weight_map": {"mean": "../../other.safetensors"}}')
    with pytest.raises(ValueError, match=r"index\.json is '../../other.safetensors', expected a plain name"):
        Tokenizer.from_pretrained(tmp_path / "t")


def test_differences_of_names_and_shapes_are_listed_up_to_a_number():
    expected = {name: torch.zeros(2, 3) for name in "abcdefghijkl"}
    assert storage.differences(dict(expected), expected) == ""
    state = {"a": torch.zeros(2, 3), "b": torch.zeros(3), "x": torch.zeros(1)}
    faults = (
        "missing: c, d, e, f, g, h, i, j and 2 more; unknown: x; of another shape: b (3,) instead of (2, 3)"
    )
    assert storage.differences(state, expected) == faults
