"""The authors' checkpoints become model folders: the same weights, or one sentence that says what is wrong."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import clip as made_up_clip
from made_up import release as made_up

from mmm import MMM
from mmm.release.convert import convert, describe

HERE = Path(__file__).parent


def largest(one, other):
    assert one.shape == other.shape and one.dtype == other.dtype
    return float((one - other).abs().max())


# -- the same weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("body", ["whole", "upper"])
def test_a_converted_model_is_the_native_one_to_the_last_bit(request, tmp_path, clip, body, carried):
    vq, net = request.getfixturevalue(body)
    tokenizer, transformer, meta = made_up.write_release(tmp_path, vq, net)
    made = convert(None if carried else tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    model = MMM.from_pretrained(tmp_path / "out")
    assert model.transformer.config == net.config and model.tokenizer.config == vq.config
    assert model.info | {"format": None} == made.info | {"format": None}
    for found in (made, model):
        assert largest(made_up.random_logits(found.transformer), made_up.random_logits(net)) == 0
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(2, 40, 263, generator=generator) * vq.std + vq.mean
        tokens = vq.encode(features)
        assert torch.equal(found.tokenizer.encode(features), tokens)
        assert largest(found.tokenizer.decode(tokens), vq.decode(tokens)) == 0
    assert model.info["converted_from"].keys() == (
        {"transformer"} if carried else {"tokenizer", "transformer"}
    )


def test_the_models_folder_generates_and_says_what_it_is(files, tmp_path, clip, whole):
    tokenizer, transformer, meta = files
    made = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    model = MMM.from_pretrained(tmp_path / "out")
    motion = model.generate("a person walks", length=45, seed=3)
    assert motion.features.shape == (45, 263) and motion.fps == 20.0 and np.isfinite(motion.joints).all()
    with pytest.raises(ValueError, match="no length estimator"):
        model.generate("a person walks")
    assert (model.info["guidance"], model.info["skeleton"], model.info["data"]) == (
        1,
        "humanml3d",
        "HumanML3D",
    )
    assert model.info["text_encoder"].startswith(f"{clip}@") and "CC BY-NC-ND 4.0" in model.info["licence"]
    card = (tmp_path / "out" / "README.md").read_text()
    for told in (
        "net_last.pth sha256",
        "CC BY-NC-ND 4.0",
        "mmm train length",
        "width 32, 2 + 4 layers, 4 heads",
    ):
        assert told in card
    lines = describe(made)
    assert "whole body, 263 numbers a frame, width 16, 32 codes of width 8" in lines[0]
    assert "49 tokens (196 frames)" in lines[1]
    unused = ["trans_base.pos_embedding.weight", "trans_base.pos_embed.embed"]
    unused += [f"trans_base.cross_att.{block}.attn.mask" for block in range(2)]
    assert sorted(made.info["left_aside"]) == sorted(unused)
    assert all(name in lines[-1] for name in unused)


def test_an_upper_body_model_only_edits(upper, tmp_path, clip):
    tokenizer, transformer, meta = made_up.write_release(tmp_path, *upper)
    model = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    assert (model.transformer.config.parts, model.transformer.config.predicted) == (2, 1)
    assert "upper and lower body" in describe(model)[0] and "upper body only" in describe(model)[2]
    assert "mmm train length" not in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ValueError, match="lower body|upper body"):
        model.generate("a person walks", length=45)


@pytest.mark.parametrize("parts", [1, 2])
def test_arrays_of_the_goldens_convert_and_give_the_goldens_logits(golden, tmp_path, clip, parts):
    """From files: the arrays that the reference code wrote, the tokenizer with the transformer's codebook."""
    end, books = ("", ["codebook"]) if parts == 1 else ("_parts", ["codebook_upper", "codebook_lower"])
    arrays, vq = golden(f"transformer{end}"), golden(f"tokenizer{end}")
    net = {name[6:]: torch.from_numpy(vq[name]) for name in vq if name.startswith("state/")}
    trans = {name[6:]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("state/")}
    for name, book in zip(
        sorted((n for n in net if n.endswith("codebook")), reverse=True), books, strict=True
    ):
        net[name] = torch.from_numpy(arrays[book])
    torch.save({"net": net}, tmp_path / "vq.pth")
    torch.save({"trans": trans}, tmp_path / "trans.pth")
    meta = made_up.write_statistics(tmp_path / "meta", made_up.make_parts()[0], ("Mean", "Std"))
    wide = str(made_up_clip.write_clip(tmp_path / "clip", width=32))
    convert(tmp_path / "vq.pth", tmp_path / "trans.pth", tmp_path / "out", meta, heads=4, text=wide)
    model = MMM.from_pretrained(tmp_path / "out").transformer
    ids = ["canvas"] if parts == 1 else ["upper", "lower"]
    ids = torch.stack([torch.from_numpy(arrays[name]) for name in ids], dim=1)
    valid, words, sentence, logits = (
        torch.from_numpy(arrays[name]) for name in ("valid", "words", "sentence", "logits")
    )
    with torch.no_grad():
        found = model.forward_ids(ids, valid, words, torch.ones(words.shape[:2], dtype=torch.bool), sentence)
    assert largest(found, logits) < 1e-4


@pytest.mark.parametrize("local", [1, 3])
def test_the_cut_between_the_releases_two_halves_does_not_matter(whole, tmp_path, clip, local):
    tokenizer, transformer, meta = made_up.write_release(tmp_path, *whole, local=local)
    model = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    assert largest(made_up.random_logits(model.transformer), made_up.random_logits(whole[1])) == 0


def test_files_of_old_torch_of_several_gpus_and_with_the_running_sums_of_training(whole, tmp_path, clip):
    tokenizer, transformer, meta = made_up.write_release(
        tmp_path, *whole, _use_new_zipfile_serialization=False
    )
    made_up.changed(
        tokenizer, vqvae__quantizer__code_sum=torch.zeros(32, 8), vqvae__quantizer__code_count=torch.zeros(32)
    )
    for file in (tokenizer, transformer):
        found = torch.load(file, weights_only=True)
        ((entry, state),) = found.items()
        state = {f"module.{name}": value for name, value in state.items()}
        torch.save({entry: state, "epoch": 3}, file, _use_new_zipfile_serialization=False)
    model = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    assert largest(made_up.random_logits(model.transformer), made_up.random_logits(whole[1])) == 0
    assert "vqvae.quantizer.code_sum" in model.info["left_aside"]


def test_half_precision_and_kit(tmp_path, clip):
    vq, net = made_up.make_parts(dataclasses.replace(made_up.TINY_TOKENIZER, features=251))
    tokenizer, transformer, meta = made_up.write_release(tmp_path, vq, net)
    for file in (tokenizer, transformer):
        ((entry, state),) = torch.load(file, weights_only=True).items()
        torch.save({entry: {name: value.half() for name, value in state.items()}}, file)
    with pytest.raises(ValueError, match="251 numbers a frame, but humanml3d has 263; give --data-name kit"):
        convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip)
    model = convert(tokenizer, transformer, tmp_path / "out", meta, heads=4, text=clip, data_name="kit")
    assert (model.info["fps"], model.info["skeleton"], model.info["data"]) == (12.5, "kit", "KIT-ML")
    for name, value in net.named_parameters():
        assert torch.equal(model.transformer.get_parameter(name), value.half().float())


# -- Mean and Std -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("mean", "std"), ("Mean", "Std")])
def test_mean_and_std_come_from_the_folder(whole, files, tmp_path, clip, names):
    meta = made_up.write_statistics(tmp_path / "other", whole[0], names)
    model = convert(*files[:2], tmp_path / "out", meta, heads=4, text=clip)
    assert torch.equal(model.tokenizer.mean, whole[0].mean) and torch.equal(model.tokenizer.std, whole[0].std)
    assert model.tokenizer.config.feature_bias == 1  # the evaluator's Std holds it already
    assert np.array_equal(np.load(tmp_path / "out" / "Std.npy"), whole[0].std.numpy())


def test_mean_and_std_must_be_given_unless_a_checkpoint_holds_them(whole, files, tmp_path, clip):
    with pytest.raises(
        ValueError, match=r"hold no Mean and Std, but their weights.*--mean-std FOLDER.*evaluator"
    ):
        convert(*files[:2], tmp_path / "out", heads=4, text=clip)
    made_up.changed(files[0], vqvae__mean=whole[0].mean, vqvae__std=whole[0].std)
    model = convert(*files[:2], tmp_path / "out", heads=4, text=clip)
    assert torch.equal(model.tokenizer.mean, whole[0].mean) and torch.equal(model.tokenizer.std, whole[0].std)


def test_mean_and_std_that_do_not_fit_are_named(whole, files, tmp_path, clip):
    def refused(error, match):
        with pytest.raises(error, match=match) as caught:
            convert(*files[:2], tmp_path / "out", tmp_path / "bad", heads=4, text=clip)
        assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()

    bad = tmp_path / "bad"
    refused(FileNotFoundError, r"no file .*bad/mean\.npy, nor Mean\.npy; give --mean-std")
    bad.mkdir()
    np.save(bad / "Mean.npy", np.zeros(251))
    refused(ValueError, r"Mean\.npy has shape \(251,\) .*expected \(263,\) finite")
    np.save(bad / "Mean.npy", np.zeros(263))
    for std in (np.zeros(263), np.full(263, np.nan), np.full(263, "a")):
        np.save(bad / "Std.npy", std)
        refused(ValueError, r"Std\.npy")
    np.save(bad / "Std.npy", np.ones(263))
    np.save(bad / "std.npy", np.full(263, 2.0))
    refused(ValueError, r"std\.npy and .*Std\.npy differ; remove")
