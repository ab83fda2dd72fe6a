import json
import shutil

import numpy as np
import pytest
import torch

from mmm import MMM, fit
from mmm.data import MotionFolder
from mmm.fit import balanced_weights, fit_tokenizer, fit_transformer, load_tokenizer, resolve
from mmm.recipes import TOKENIZER_TRAINING
from mmm.tokenizer import Tokenizer


def test_generate_gives_what_was_asked_for(model):
    motion = model.generate("a person walks", length=50, seed=3)
    assert motion.features.shape == (50, 263) and motion.joints.shape == (50, 22, 3)
    assert motion.text == "a person walks" and motion.fps == 20
    assert np.isfinite(motion.features).all()


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


def test_estimated_length_is_legal(model):
    frames = model.estimate_length("a person walks forward")
    assert 24 <= frames <= 196
    assert len(model.generate("a person walks forward").features) == frames


def test_a_drawn_length_depends_on_its_text_and_seed_alone(model):
    texts = ["a person bows"] * 12
    drawn = model.estimate_length(texts, "draw", seed=5)
    assert len(set(drawn)) > 1 and all(24 <= frames <= 196 for frames in drawn)
    assert model.estimate_length(texts[0], "draw", seed=8) == drawn[3]
    with pytest.raises(ValueError, match="rule is 'mode'"):
        model.estimate_length("a person bows", "mode")


@pytest.mark.parametrize(
    ("text", "length", "message"),
    [
        ("", 60, "the text '' is empty"),
        ("  ", 60, "is empty"),
        ("walks", 10, "length is 10 frames, expected 24 to 196"),
        ("walks", 500, "length is 500 frames, expected 24 to 196"),
        (["walks", "runs"], [60], "1 lengths for 2 texts"),
        ([], None, "no text was given"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(model, text, length, message):
    with pytest.raises(ValueError, match=message):
        model.generate(text, length)


def test_saved_and_loaded_in_half_precision(model, tmp_path):
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
    assert "toy" in (tmp_path / "m" / "README.md").read_text()


def test_damaged_models_are_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        MMM.from_pretrained(tmp_path / "nowhere")
    weights = tmp_path / "m" / "transformer" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="model.safetensors is damaged or cut off"):
        MMM.from_pretrained(tmp_path / "m")
    weights.write_bytes(whole)
    (tmp_path / "m" / "config.json").write_text(json.dumps({"fps": 20}))
    with pytest.raises(ValueError, match="lacks text_encoder, skeleton"):
        MMM.from_pretrained(tmp_path / "m")


def test_parts_that_do_not_belong_together(model):
    other = Tokenizer(model.tokenizer.config)
    with pytest.raises(ValueError, match="another tokenizer's codebook"):
        MMM(other, model.transformer, None, model.info)


def test_a_transformer_does_not_overwrite_the_tokenizers_run(toy, trained):
    tokenizer = load_tokenizer(trained / "tokenizer")
    with pytest.raises(ValueError, match="is a tokenizer's run"):
        fit_transformer(toy, tokenizer, trained / "tokenizer", "tiny", steps=1)
    assert load_tokenizer(trained / "tokenizer").config == tokenizer.config


def test_beginning_anew_removes_the_old_model_first(toy, trained, tmp_path, monkeypatch):
    shutil.copytree(trained / "model_run", tmp_path / "run")

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fit.transformer_train, "train_transformer", stopped)
    for resume, kept in ((True, True), (False, False)):
        with pytest.raises(KeyboardInterrupt):
            options = {"resume": resume, "progress": False}
            fit_transformer(
                toy, load_tokenizer(trained / "tokenizer"), tmp_path / "run", "tiny", options=options
            )
        assert (tmp_path / "run" / "model").exists() == kept


def test_numpy_numbers_will_do(model):
    one = model.generate("a person bows", np.int64(40), seed=np.int64(3))
    assert np.array_equal(one.features, model.generate("a person bows", 40, seed=3).features)


def test_weights_follow_contents(toy):
    packed = toy.pack("train")
    groups = [toy.program(clip)["content"] for clip in packed.ids]
    counts = {content: groups.count(content) for content in groups}
    assert len(set(counts.values())) == len(counts) > 1
    for power, expected in ((0.0, lambda n: 1 / len(counts)), (1.0, lambda n: n / len(groups))):
        weights = balanced_weights(toy, packed, np.ones(len(packed)), power)
        for content, count in counts.items():
            share = (
                sum(w for w, group in zip(weights, groups, strict=True) if group == content) / weights.sum()
            )
            assert share == pytest.approx(expected(count))


def test_recipes_take_changes_and_keep_the_rest():
    config = resolve(TOKENIZER_TRAINING["small"], steps=100, lr=None, precision="no")
    kept = TOKENIZER_TRAINING["small"]  # its warmup too: a run is continued only with the same
    assert (config.steps, config.lr, config.warmup) == (100, kept.lr, kept.warmup)


def test_an_unknown_preset_is_refused(toy: MotionFolder, tmp_path):
    with pytest.raises(ValueError, match="preset is 'huge', expected one of tiny, light, small, paper"):
        fit_tokenizer(toy, tmp_path / "run", "huge")
    assert not (tmp_path / "run").exists()


def test_a_model_of_two_parts_generates_and_is_saved(of_parts, tmp_path):
    halves = of_parts(2)
    texts, frames = ["a person walks", "a person bows"], [50, 77]
    motions = halves.generate(texts, frames, seed=3)
    assert [motion.features.shape for motion in motions] == [(50, 263), (77, 263)]
    assert np.array_equal(motions[1].features, halves.generate(texts[1], 77, seed=4).features)
    tokens = halves.sample(texts, frames, 3).tokens
    assert tokens.shape == (2, 2, 20) and (tokens[:, 0] != tokens[:, 1]).any()
    assert halves.encode(motions[0]).shape == (1, 2, 13)
    bulk = halves.generate_bulk(halves.embed(texts), frames, [3, 4], batch_size=1, precision="no")
    for motion, features in zip(motions, bulk, strict=True):
        np.testing.assert_allclose(features, motion.features, atol=1e-4)
    halves.save_pretrained(tmp_path / "m", torch.float32)
    again = MMM.from_pretrained(tmp_path / "m")
    assert again.transformer.config.predicted == 2
    assert np.array_equal(again.generate(texts, frames, seed=3)[0].features, motions[0].features)


def test_a_model_of_the_upper_body_does_not_generate(of_parts, tmp_path):
    upper = of_parts(1)
    upper.length = None  # as a converted one: the reason must be the body, not the length
    text, refused = upper.embed(["bows"]), "predicts the upper body only and needs the lower body of a motion"
    for call in (
        lambda: upper.generate("bows"),
        lambda: upper.sample(["bows"], [60]),
        lambda: upper.generate_bulk(text, [60], [0]),
    ):
        with pytest.raises(ValueError, match=refused):
            call()
    upper.save_pretrained(tmp_path / "m")
    assert MMM.from_pretrained(tmp_path / "m").transformer.config.predicted == 1


def test_random_places_need_noise_even_where_the_likeliest_codes_are_taken(model):
    """Which places are asked again is drawn, too: seeds must reach the sampler whatever else is asked."""
    how = {"argmax": True, "remask": "random"}
    one, two, again = (model.sample(["a person bows"], [120], seed, **how).tokens for seed in (0, 1, 0))
    assert torch.equal(one, again) and one.shape == two.shape
