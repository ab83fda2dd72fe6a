"""The authors' checkpoints become model folders with the same weights; wrong files are refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from goldens import state_of
from made_up import clip as made_up_clip
from made_up import release as made_up
from made_up.guo import Trap

from mmm import MMM
from mmm.release.convert import convert, describe
from mmm.tokenizer import TokenizerConfig


def largest(one, other):
    assert one.shape == other.shape and one.dtype == other.dtype
    return float((one - other).abs().max())


# -- the same weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("body", ["whole", "upper"])
def test_a_converted_model_equals_the_native_one(request, tmp_path, clip, body, carried):
    vq, net = request.getfixturevalue(body)
    tokenizer, transformer, meta = made_up.write_release(tmp_path, vq, net)
    file = None if carried else tokenizer
    converted = convert(file, transformer, tmp_path / "out", meta, heads=4, text=clip)
    model = MMM.from_pretrained(tmp_path / "out")
    assert model.transformer.config == net.config and model.tokenizer.config == vq.config
    assert model.info | {"format": None} == converted.info | {"format": None}
    for found in (converted, model):
        assert largest(made_up.random_logits(found.transformer), made_up.random_logits(net)) == 0
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(2, 40, 263, generator=generator) * vq.std + vq.mean
        tokens = vq.encode(features)
        assert torch.equal(found.tokenizer.encode(features), tokens)
        assert largest(found.tokenizer.decode(tokens), vq.decode(tokens)) == 0
    assert set(model.info["converted_from"]) == {"transformer"} | (set() if carried else {"tokenizer"})


def test_the_model_folder_generates_and_describes_itself(files, tmp_path, clip, whole):
    tokenizer, transformer, meta = files
    converted = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    model = MMM.from_pretrained(tmp_path / "out")
    assert np.array_equal(np.load(tmp_path / "out" / "Std.npy"), whole[0].std.numpy())
    motion = model.generate("a person walks", length=45, seed=3)
    assert motion.features.shape == (45, 263) and motion.fps == 20.0 and np.isfinite(motion.joints).all()
    with pytest.raises(ValueError, match="no length estimator"):
        model.generate("a person walks")
    info = [model.info[key] for key in ("guidance", "skeleton", "data")]
    assert info == [1, "humanml3d", "HumanML3D"]
    assert model.info["text_encoder"].startswith(f"{clip}@") and "CC BY-NC-ND 4.0" in model.info["licence"]
    card = (tmp_path / "out" / "README.md").read_text()
    for words in ("net_last.pth sha256", "CC BY-NC-ND 4.0", "mmm train length", "2 + 4 layers, 4 heads"):
        assert words in card
    lines = describe(converted)
    assert "whole body, 263 numbers a frame, width 16, 32 codes of width 8" in lines[0]
    assert "49 tokens (196 frames)" in lines[1]
    unused = ["trans_base.pos_embedding.weight", "trans_base.pos_embed.embed"]
    unused += [f"trans_base.cross_att.{block}.attn.mask" for block in range(2)]
    assert sorted(converted.info["left_aside"]) == sorted(unused)
    assert all(name in lines[-1] for name in unused)


def test_an_upper_body_model_only_edits(upper, tmp_path, clip):
    tokenizer, transformer, meta = made_up.write_release(tmp_path, *upper)
    model = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    assert (model.transformer.config.parts, model.transformer.config.predicted_parts) == (2, 1)
    assert "upper and lower body" in describe(model)[0] and "upper body only" in describe(model)[2]
    assert "mmm train length" not in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ValueError, match="lower body|upper body"):
        model.generate("a person walks", length=45)


@pytest.mark.parametrize("parts", [1, 2])
def test_arrays_of_the_goldens_convert_and_give_the_goldens_logits(golden, tmp_path, clip, parts):
    """From files: the arrays that the reference code wrote, the tokenizer with the transformer's codebook."""
    end, books = ("", ["codebook"]) if parts == 1 else ("_parts", ["codebook_upper", "codebook_lower"])
    arrays, vq = golden(f"transformer{end}"), golden(f"tokenizer{end}")
    net, trans = state_of(vq), state_of(arrays)
    codebooks = sorted((name for name in net if name.endswith("codebook")), reverse=True)
    for name, book in zip(codebooks, books, strict=True):
        net[name] = torch.from_numpy(arrays[book])
    torch.save({"net": net}, tmp_path / "vq.pth")
    torch.save({"trans": trans}, tmp_path / "trans.pth")
    meta = made_up.write_statistics(tmp_path / "meta", made_up.make_parts()[0], ("Mean", "Std"))
    wide = str(made_up_clip.write_clip(tmp_path / "clip", width=32))
    convert(tmp_path / "vq.pth", tmp_path / "trans.pth", tmp_path / "out", meta, heads=4, text=wide)
    model = MMM.from_pretrained(tmp_path / "out").transformer
    ids = ["canvas"] if parts == 1 else ["upper", "lower"]
    ids = torch.stack([torch.from_numpy(arrays[name]) for name in ids], dim=1)
    names = ("valid", "words", "sentence", "logits")
    valid, words, sentence, logits = (torch.from_numpy(arrays[name]) for name in names)
    with torch.no_grad():
        found = model.forward_ids(ids, valid, words, torch.ones(words.shape[:2], dtype=torch.bool), sentence)
    assert largest(found, logits) < 1e-4


def test_old_torch_several_gpus_and_running_sums(whole, tmp_path, clip):
    old = {"_use_new_zipfile_serialization": False}
    tokenizer, transformer, meta = made_up.write_release(tmp_path, *whole, **old)
    made_up.changed(tokenizer, vqvae__quantizer__code_sum=torch.zeros(32, 8))
    for file in (tokenizer, transformer):
        ((entry, state),) = torch.load(file, weights_only=True).items()
        state = {f"module.{name}": value for name, value in state.items()}
        torch.save({entry: state, "epoch": 3}, file, **old)
    model = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    assert largest(made_up.random_logits(model.transformer), made_up.random_logits(whole[1])) == 0
    assert "vqvae.quantizer.code_sum" in model.info["left_aside"]


def test_half_precision_and_kit(tmp_path, clip):
    vq, net = made_up.make_parts(dataclasses.replace(made_up.TINY_TOKENIZER, features=251))
    tokenizer, transformer, meta = made_up.write_release(tmp_path, vq, net)
    for file in (tokenizer, transformer):
        ((entry, state),) = torch.load(file, weights_only=True).items()
        torch.save({entry: {name: value.half() for name, value in state.items()}}, file)
    with pytest.raises(ValueError, match="251 .* 263; give --data-name kit"):
        convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    model = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip, data_name="kit")
    assert (model.info["fps"], model.info["skeleton"], model.info["data"]) == (12.5, "kit", "KIT-ML")
    for name, value in net.named_parameters():
        assert torch.equal(model.transformer.get_parameter(name), value.half().float())


# -- Mean and Std -------------------------------------------------------------------------------------------


def test_mean_and_std_must_be_given_unless_a_checkpoint_holds_them(whole, files, tmp_path, clip):
    with pytest.raises(ValueError, match="--mean-std FOLDER"):
        convert(*files[:2], tmp_path / "out", heads=4, text=clip)
    made_up.changed(files[0], vqvae__mean=whole[0].mean, vqvae__std=whole[0].std)
    model = convert(*files[:2], tmp_path / "out", heads=4, text=clip)
    assert torch.equal(model.tokenizer.mean, whole[0].mean) and torch.equal(model.tokenizer.std, whole[0].std)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({}, r"bad/mean\.npy"),
        ({"Mean": np.zeros(251), "Std": np.ones(263)}, r"Mean\.npy .*\(251,\)"),
        *(({"Mean": np.zeros(263), "Std": np.full(263, bad)}, r"Std\.npy") for bad in (0.0, np.nan, "a")),
        ({"Mean": np.zeros(263), "Std": np.ones(263), "std": np.ones(263) * 2}, r"std\.npy and .*Std\.npy"),
    ],
)
def test_mean_and_std_that_do_not_fit_are_named(files, tmp_path, clip, arrays, named):
    (tmp_path / "bad").mkdir()
    for name, values in arrays.items():
        np.save(tmp_path / "bad" / f"{name}.npy", values)
    with pytest.raises((ValueError, FileNotFoundError), match=named) as caught:
        convert(*files[:2], tmp_path / "out", tmp_path / "bad", heads=4, text=clip)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
def test_a_checkpoint_that_would_run_code_is_refused_before_it_does(files, tmp_path, clip, which):
    marker = tmp_path / "executed"
    content = torch.load(files[which], weights_only=True)
    torch.save(content | {"epoch": Trap(marker)}, files[which])
    with pytest.raises(ValueError, match=r"net_last\.pth wants to call \w+\.open"):
        convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    assert not marker.exists() and not (tmp_path / "out").exists()


# What is wrong: the file (0 tokenizer, 1 transformer), how it is changed, and what the sentence names.
WRONG = {
    "absent": (0, lambda file: file.unlink(), ""),
    "damaged": (1, lambda file: file.write_bytes(file.read_bytes()[:-400]), ""),
    "a list": (0, lambda file: torch.save([1], file), "list"),
    "another checkpoint": (1, lambda file: torch.save({"model": {}, "epoch": 3}, file), "'model', 'epoch'"),
    "swapped": (0, lambda file: torch.save({"trans": {}}, file), "--transformer"),
    "missing": (0, {"vqvae__decoder__model__6__bias": None}, "missing: decoder.model.6.bias"),
    "no codebook": (0, {"vqvae__quantizer__codebook": None}, "codebook"),
    "unknown": (0, {"vqvae__encoder__model__9__weight": torch.zeros(2)}, "vqvae.encoder.model.9.weight"),
    "of another shape": (
        0,
        {"vqvae__decoder__model__6__bias": torch.zeros(9)},
        "bias (9,) instead of (263,)",
    ),
    "no array": (0, {"vqvae__decoder__model__6__bias": "text"}, "vqvae.decoder.model.6.bias"),
    "another codebook": (0, {"vqvae__quantizer__codebook": torch.zeros(32, 8)}, "codebook"),
    "missing in the transformer": (1, {"trans_head__ln_f__bias": None}, "missing: trans_head.ln_f.bias"),
    "unknown in the transformer": (1, {"trans_base__extra": torch.zeros(1)}, "unknown: trans_base.extra"),
    "no head": (1, {"trans_head__head__weight": None}, "trans_head.head.weight"),
    "not finite": (1, {"trans_head__ln_f__bias": torch.full((32,), torch.nan)}, "trans_head.ln_f.bias"),
    "sizes of no memory": (
        0,
        {"vqvae__encoder__model__0__weight": torch.zeros(1 << 14, 263, 1)},
        "instead of (16384, 16384",
    ),
    "no width": (1, {"trans_head__blocks__0__mlp__0__weight": torch.zeros(128, 0)}, "mlp_ratio is 128"),
    "other positions": (1, {"trans_base__pos_embed__embed": torch.zeros(51, 1, 32)}, "pos_embed.embed"),
}


@pytest.mark.parametrize(("which", "change", "named"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_named_and_nothing_is_written(files, tmp_path, clip, which, change, named):
    made_up.changed(files[which], **change) if isinstance(change, dict) else change(files[which])
    before = sorted(tmp_path.iterdir())
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    assert str(files[which]) in str(caught.value) and named in str(caught.value)
    assert "\n" not in str(caught.value) and sorted(tmp_path.iterdir()) == before


def test_a_transformer_without_tokenizer_needs_the_right_one(files, tmp_path, clip):
    state = torch.load(files[1], weights_only=True)["trans"]
    bare = {name: value for name, value in state.items() if not name.startswith("trans_base.vqvae.")}
    torch.save({"trans": bare}, files[1])
    with pytest.raises(ValueError, match="--tokenizer"):
        convert(None, files[1], tmp_path / "out", files[2], heads=4, text=clip)
    convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    vq, net = made_up.make_parts(TokenizerConfig(width=16, depth=2, codes=64, code_dim=8))
    other, _, _ = made_up.write_release(tmp_path / "other", vq, net)
    with pytest.raises(ValueError, match="32 codes .* 64 codes"):
        convert(other, files[1], tmp_path / "out", files[2], heads=4, text=clip)
    assert MMM.from_pretrained(tmp_path / "out").tokenizer.config.codes == 32  # the old folder stays


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"heads": 5}, "--heads is 5"),
        ({"heads": 0}, "--heads is 0"),
        ({"text": "clip"}, "clip gives 512"),
        ({"text": "nowhere"}, "'nowhere'"),
        ({"data_name": "bandai"}, "bandai"),
    ],
)
def test_wrong_arguments_are_refused(files, tmp_path, clip, changes, named):
    with pytest.raises((ValueError, FileNotFoundError), match=named):
        convert(*files[:2], tmp_path / "out", files[2], **({"heads": 4, "text": clip} | changes))
    assert not (tmp_path / "out").exists()


def test_other_folders_are_left_alone(files, tmp_path, clip):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    files[0].unlink()  # the folder is checked before anything is read
    with pytest.raises(ValueError, match="mine"):
        convert(*files[:2], tmp_path / "mine", files[2], heads=4, text=clip)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_an_interrupted_conversion_leaves_the_old_folder(files, tmp_path, clip, monkeypatch):
    convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    before = json.loads((tmp_path / "out" / "config.json").read_text())
    names = sorted(path.name for path in tmp_path.iterdir())

    def full(*args, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space"):
        convert(*files[:2], tmp_path / "out", files[2], heads=2, text=clip)
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names
