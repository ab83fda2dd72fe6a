"""MMM: what it generates depends on text, length and seed alone; a model folder is whole or refused."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.tokenizer import Tokenizer
from mmm.transformer import LengthConfig, LengthEstimator


def test_a_motion_has_the_requested_length(model):
    motion = model.generate("a person walks", length=50, seed=3)
    assert motion.features.shape == (50, 263) and motion.joints.shape == (50, 22, 3)
    assert motion.text == "a person walks" and motion.fps == 20
    assert np.isfinite(motion.features).all()
    for length in (np.int64(50), 50.0, torch.tensor(50)):
        again = model.generate("a person walks", length, seed=np.int64(3))
        assert np.array_equal(again.features, motion.features)


def test_same_seed_same_motion_alone_or_in_a_batch(model):
    texts = [f"someone waves {i} times" for i in range(16)]
    lengths = [24 + 11 * i for i in range(15)] + [77]
    texts[7], lengths[7] = "a person bows", 90
    together = model.generate(texts, lengths, seed=list(range(100, 116)))
    alone = model.generate("a person bows", 90, seed=107)
    assert np.array_equal(together[7].features, alone.features)
    other = model.generate("a person bows", 90, seed=108)
    assert not np.array_equal(other.features, alone.features)


def test_list_items_have_consecutive_seeds(model):
    many = model.generate(["a person bows"] * 2, 60, seed=5)
    assert np.array_equal(many[1].features, model.generate("a person bows", 60, seed=6).features)


def test_random_remasking_needs_noise_even_with_argmax(model):
    options = {"argmax": True, "remask": "random"}
    one, two, again = (model.sample(["a person bows"], [120], seed, **options).tokens for seed in (0, 1, 0))
    assert torch.equal(one, again) and one.shape == two.shape


def test_estimated_lengths_are_legal_and_drawn_ones_depend_on_text_and_seed_alone(model):
    frames = model.estimate_length("a person walks forward")
    assert 24 <= frames <= 196
    assert len(model.generate("a person walks forward").features) == frames
    texts = ["a person bows"] * 12
    drawn = model.estimate_length(texts, "draw", seed=5)
    assert len(set(drawn)) > 1 and all(24 <= frames <= 196 for frames in drawn)
    assert model.estimate_length(texts[0], "draw", seed=8) == drawn[3]
    with pytest.raises(ValueError, match="'mode'"):
        model.estimate_length("a person bows", "mode")


@pytest.mark.parametrize(
    ("text", "length", "seed", "named"),
    [
        ("", 60, 0, "''"),
        ("  ", 60, 0, "'  '"),
        ("walks", 10, 0, "length is 10 frames, expected 24 to 196"),
        ("walks", 500, 0, "length is 500 frames, expected 24 to 196"),
        ("walks", 60.5, 0, "length is 60.5, expected a whole number"),
        ("walks", "60", 0, "length is '60', expected a whole number"),
        ("walks", float("nan"), 0, "length is nan, expected a whole number"),
        (["walks", "runs"], [60], 0, "1 lengths for 2 texts"),
        (["walks", "runs"], 60, [1], "1 seeds"),
        ([], None, 0, "no text"),
    ],
)
def test_bad_requests_are_refused(model, text, length, seed, named):
    with pytest.raises(ValueError, match=named):
        model.generate(text, length, seed)


def test_a_text_with_then_gets_a_canvas_for_each_action(model):
    text = "a person walks, then bows"
    motion, walk = model.generate([text, "a person walks"], [100, 60], seed=3)
    starts = [start for start, _ in motion.segments]
    long = model.generate_long(text, [starts[1], 100 - starts[1]], seed=3)
    assert motion.text == text and starts[0] == 0 and np.array_equal(motion.features, long.features)
    assert [t for _, t in motion.segments] == ["a person walks", "a person bows"]
    assert np.array_equal(walk.features, model.generate("a person walks", 60, seed=4).features)
    estimated = model.estimate_length(["a person walks", "a person bows"])
    assert len(model.generate(text, seed=3).features) == sum(estimated)
    assert len(model.generate(text, 390, seed=3).features) == 390  # longer than one canvas


def test_a_text_with_then_gets_one_canvas_where_it_is_told_or_too_short(model):
    text = "a person walks, then bows"
    one = model.generate(text, 100, seed=3, split=False)
    assert np.array_equal(
        one.features, model.decode(model.sample([text], [100], 3).tokens, [100])[0].features
    )
    assert not np.array_equal(one.features, model.generate(text, 100, seed=3).features)
    assert model.plan([text], 40) == [([text], 40)]  # two actions need 48
    assert model.plan([text], 48) == [(["a person walks", "a person bows"], 48)]


def test_a_model_of_two_parts_generates_and_is_saved(of_parts, tmp_path):
    model = of_parts(2)
    texts, frames = ["a person walks", "a person bows"], [50, 77]
    motions = model.generate(texts, frames, seed=3)
    assert [motion.features.shape for motion in motions] == [(50, 263), (77, 263)]
    assert np.array_equal(motions[1].features, model.generate(texts[1], 77, seed=4).features)
    tokens = model.sample(texts, frames, 3).tokens
    assert tokens.shape == (2, 2, 20) and (tokens[:, 0] != tokens[:, 1]).any()
    assert model.encode(motions[0]).shape == (1, 2, 13)
    bulk = model.generate_bulk(model.embed(texts), frames, [3, 4], batch_size=1, precision="no")
    for motion, features in zip(motions, bulk, strict=True):
        np.testing.assert_allclose(features, motion.features, atol=1e-4)
    model.save_pretrained(tmp_path / "m", torch.float32)
    again = MMM.from_pretrained(tmp_path / "m")
    assert again.transformer.config.predicted_parts == 2
    assert np.array_equal(again.generate(texts, frames, seed=3)[0].features, motions[0].features)


def test_a_model_that_predicts_the_upper_body_only_does_not_generate(of_parts, tmp_path):
    upper = of_parts(1)
    upper.length = None  # as in a converted model: the message must name the body, not the length
    text = upper.embed(["bows"])
    for call in (
        lambda: upper.generate("bows"),
        lambda: upper.sample(["bows"], [60]),
        lambda: upper.generate_bulk(text, [60], [0]),
    ):
        with pytest.raises(ValueError, match="upper body"):
            call()
    upper.save_pretrained(tmp_path / "m")
    assert MMM.from_pretrained(tmp_path / "m").transformer.config.predicted_parts == 1


def test_texts_are_read_and_encoded_once(model, monkeypatch):
    seen, encode = [], model.encoder.encode
    monkeypatch.setattr(model.encoder, "encode", lambda texts: seen.extend(texts) or encode(texts))
    model.generate(["a person walks", "a person bows, then waves"], seed=3)
    assert seen == ["a person walks", "a person bows", "a person waves"]
    seen.clear()
    model.generate_long(["a person walks", "a person bows"])
    assert seen == ["a person walks", "a person bows"]


def test_a_motion_is_generated_without_what_takes_long_to_import(trained):
    heavy = (
        "transformers",
        "accelerate",
        "huggingface_hub",
        "pandas",
        "sympy",
        "torch._dynamo",
        "matplotlib",
    )
    code = f"""
import sys
from mmm import MMM
MMM.from_pretrained({str(trained / "model_run")!r}).generate("a person walks, then bows").joints
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


# ---------------------------------------------------------------------- model folders


def test_a_saved_model_is_the_same_and_half_the_size_in_float16(model, tmp_path):
    model.save_pretrained(tmp_path / "m", dtype=torch.float32)
    again = MMM.from_pretrained(tmp_path / "m")
    assert again.info["data"] == "toy" and again.count_parameters() == model.count_parameters()
    one, two = (m.generate("a person bows", 60, seed=1) for m in (model, again))
    assert np.array_equal(one.features, two.features)
    model.save_pretrained(tmp_path / "half")
    size = {
        name: sum(f.stat().st_size for f in (tmp_path / name).rglob("*.safetensors"))
        for name in ("m", "half")
    }
    assert size["half"] < 0.55 * size["m"]
    half = MMM.from_pretrained(tmp_path / "half")
    assert half.generate("a person bows", 60).features.shape == (60, 263)
    card = (tmp_path / "m" / "README.md").read_text()
    assert "- data: toy" in card and f"total {model.count_parameters()['total']:,}" in card


@pytest.mark.parametrize("missing", ["", "config.json", "tokenizer", "transformer"])
def test_a_missing_part_is_named(model, tmp_path, missing):
    model.save_pretrained(tmp_path / "m")
    (tmp_path / "m" / missing).rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "m" / missing))):
        MMM.from_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("transformer/model.safetensors", b"half of it", "model.safetensors"),
        ("config.json", b"{", "config.json"),
        ("config.json", b'{"fps": 20}', "text_encoder, skeleton"),
        ("config.json", {"skeleton": "horse"}, "horse"),
    ],
)
def test_a_damaged_file_is_named(model, tmp_path, file, content, named):
    model.save_pretrained(tmp_path / "m")
    if isinstance(content, dict):
        content = json.dumps(model.info | content).encode()
    (tmp_path / "m" / file).write_bytes(content)
    with pytest.raises(ValueError, match=named):
        MMM.from_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (
            lambda tokenizer: tokenizer.decoders[0].last.bias[1].fill_(150.0),
            "features 1[45].* standard deviations",
        ),
        (lambda tokenizer: tokenizer.mean[3].fill_(12.0), "up to 12.* m, expected at most 100 and 10"),
    ],
)
def test_a_motion_that_no_body_can_make_is_refused(of_parts, damage, named):
    model = of_parts()
    source = model.generate("a person bows", 40)
    with torch.no_grad():
        damage(model.tokenizer)
    for make in (
        lambda: model.generate("a person bows", 40),
        lambda: model.generate_long(["a person bows", "a person walks"], 40),
        lambda: model.inbetween(source, (12, 24)),
    ):
        with pytest.raises(ValueError, match=f"{named}.*: its weights are damaged"):
            make()


def test_a_shipped_model_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert MMM.from_pretrained("everyday-small").info["data"] == MMM.from_pretrained().info["data"]
    with pytest.raises(FileNotFoundError, match="there is no bandai-smal; .* bandai-small, .*open-small"):
        MMM.from_pretrained("bandai-smal")
    (tmp_path / "bandai-small").mkdir()
    with pytest.raises(FileNotFoundError, match="config.json"):
        MMM.from_pretrained("bandai-small")


def test_parts_that_do_not_belong_together_are_refused(model):
    other = Tokenizer(model.tokenizer.config)
    with pytest.raises(ValueError, match="codebook"):
        MMM(other, model.transformer, None, model.info)
    with pytest.raises(ValueError, match="263 features, but the skeleton kit has 251"):
        MMM(model.tokenizer, model.transformer, None, model.info | {"skeleton": "kit"})
    for sizes in ({"text_dim": 512}, {"text_dim": model.transformer.config.text_dim, "max_tokens": 50}):
        with pytest.raises(ValueError, match="length estimator is of another"):
            MMM(model.tokenizer, model.transformer, LengthEstimator(LengthConfig(**sizes)), model.info)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": "mmm-2"}, "format 'mmm-2', expected mmm-1"),
        ({"fps": "20"}, "fps '20'"),
        ({"fps": -20}, "fps -20"),
        ({"guidance": 1e300}, r"guidance 1e\+300"),
        ({"skeleton": ["humanml3d"]}, "skeleton"),
        ({"text_encoder": 5}, "text_encoder is no text"),
    ],
)
def test_facts_that_cannot_be_used_are_named(model, tmp_path, changes, named):
    model.save_pretrained(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(json.dumps(model.info | changes))
    with pytest.raises(ValueError, match=named):
        MMM.from_pretrained(tmp_path / "m")
