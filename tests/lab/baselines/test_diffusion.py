"""The diffusion baseline: samplers, batches, known frames, frames as tokens, training, folders."""

import dataclasses

import numpy as np
import pytest
import torch
from made_up.tokens import WIDTH, text_of

from mmm.lab.baselines.diffusion import (
    Denoiser,
    DenoiserConfig,
    denoise,
    make_scheduler,
    train_diffusion,
)
from mmm.lab.baselines.frames import frame_set
from mmm.model import MMM
from mmm.motion.mirror import mirror_features
from mmm.recipes import get_recipe
from mmm.tokenizer.parts import LOWER, UPPER, UPPER_HEIGHTS
from mmm.training.config import TrainConfig
from mmm.training.run_folder import read_metrics
from mmm.transformer.tokens import make_token_set

CAPTIONS = ["walks", "someone jumps up", "waves", "bows"]
TEXT = text_of(*CAPTIONS)
SIZES = DenoiserConfig(
    codes=1, code_dim=1, text_dim=WIDTH, dim=32, layers=1, heads=4, cross_layers=1, max_tokens=15,
    dropout=0.0, features=6,
)  # fmt: skip


def network(**changes):
    torch.manual_seed(0)
    config = dataclasses.replace(SIZES, **changes)
    return Denoiser(config, torch.arange(config.features) / 10, torch.full((config.features,), 2.0)).eval()


class Oracle(Denoiser):
    """Knows the clean motion."""

    def forward(self, noisy, time, lengths, *text):
        self.seen = [*getattr(self, "seen", []), int(time[0])]
        return self.clean.expand_as(noisy)


@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 250), ("ddim", 50), ("ddim", 10)])
def test_the_samplers_give_what_an_oracle_knows(sampler, steps):
    model = Oracle(SIZES, torch.zeros(6), torch.full((6,), 2.0))
    model.clean = torch.randn(1, 28, 6, generator=torch.Generator().manual_seed(1))
    how = {"sampler": sampler, "steps": steps, "guidance": 1.0}
    (motion,) = denoise(model, TEXT.lookup(["waves"]), [27], [0], **how)
    assert motion.shape == (27, 6) and motion.dtype == np.float32
    np.testing.assert_allclose(motion, 2 * model.clean[0, :27], atol=1e-4)
    assert (
        len(model.seen) == steps and model.seen[0] == 999 and model.seen == sorted(model.seen, reverse=True)
    )


def test_noise_grows_from_almost_none_to_all():
    scheduler = make_scheduler(SIZES)
    kept = scheduler.alphas_cumprod
    assert len(kept) == 1000 and kept[0] > 0.999 and kept[-1] < 1e-4 and (kept.diff() < 0).all()
    x, noise = torch.ones(1, 2, 6), torch.randn(1, 2, 6)
    noisy = scheduler.add_noise(x, noise, torch.tensor([300]))
    expected = kept[300].sqrt() * x + (1 - kept[300]).sqrt() * noise
    torch.testing.assert_close(noisy, expected)


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 4), ("ddpm", 4)])
def test_features_do_not_depend_on_the_batch(sampler, steps):
    model, text, frames = network(), TEXT.lookup(CAPTIONS), [24, 60, 37, 58]
    for group in (1, 3):
        how = {"sampler": sampler, "steps": steps, "guidance": 2.0, "group": group}
        together = denoise(model, text, frames, [5, 6, 7, 8], **how)
        assert [len(motion) for motion in together] == frames
        for i in (2, 1, 0, 3):
            (alone,) = denoise(model, text[i], [frames[i]], [5 + i], **how)
            assert np.array_equal(alone, together[i]), (group, i)
    (other,) = denoise(model, text[0], [24], [9], sampler=sampler, steps=steps)
    assert not np.allclose(other, together[0])


def test_the_text_counts_and_guidance_0_ignores_it():
    model, text = network(), TEXT.lookup(CAPTIONS[:2])
    for guidance, same in ((0.0, True), (1.0, False)):
        one, two = denoise(model, text, [28, 28], [3, 3], steps=3, guidance=guidance)
        assert np.allclose(one, two, atol=1e-5) == same
    with pytest.raises(ValueError, match="text dropout"):
        denoise(network(text_dropout=0.0), text, [28, 28], [3, 3])
    with pytest.raises(ValueError, match="expected 1 to 15"):
        denoise(model, text, [28, 61], [3, 3])


def test_padding_is_not_seen():
    model = network()
    noisy, time, lengths = torch.randn(2, 20, 6), torch.tensor([3, 900]), torch.tensor([20, 12])
    text = TEXT.lookup(CAPTIONS[:2])
    inputs = (text.words, text.mask, text.sentence)
    with torch.no_grad():
        whole = model(noisy, time, lengths, *inputs)
        noisy[1, 12:] = 100.0
        padded = model(noisy, time, lengths, *inputs)
        other = model(noisy, time + 50, lengths, *inputs)
    assert torch.equal(whole[0], padded[0]) and torch.equal(whole[1, :12], padded[1, :12])
    assert not torch.allclose(other[0], padded[0])


def test_known_frames_are_kept_and_matter_to_the_others():
    model, text = network(), TEXT.lookup(CAPTIONS[:1])
    given = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    kept = torch.ones(32, dtype=torch.bool)
    kept[12:20] = False
    results = []
    for features in (given, given + kept[:, None]):
        (motion,) = denoise(model, text, [32], [1], steps=5, known=[(features, kept[:, None].expand(-1, 6))])
        np.testing.assert_allclose(motion[kept], features[kept], atol=1e-5)
        results.append(motion[12:20])
    assert not np.allclose(*results, atol=1e-3)


def test_frames_as_tokens(toy):
    packed = toy.pack("train")
    tokens, frames = frame_set(packed, phases=(0, 1, 2, 3), mirror=True, max_tokens=10, parts=2)
    assert len(tokens) == 2 * len(packed) and tokens.ids[len(packed)] == f"M{packed.ids[0]}"
    for variant in (0, 3, 4 * len(packed) + 6):
        clip, phase = variant // 4, variant % 4
        groups, lengths = tokens.batch(torch.tensor([variant]))
        real = np.array(packed.clip(clip % len(packed)))[phase:]
        assert lengths[0] == min(10, -(-len(real) // 4))
        expected = mirror_features(real) if clip >= len(packed) else real
        size = int(lengths[0]) * 4
        repeated = np.minimum(np.arange(size), len(real) - 1)  # the last frame fills the last group
        np.testing.assert_array_equal(frames.lookup(groups)[0, :size], expected[repeated])


def test_clips_are_as_long_as_for_the_masked_model(toy, trained):
    tokenizer = MMM.from_pretrained(trained / "model_run").tokenizer
    packed, phases = toy.pack("train"), (0, 1, 2, 3)
    tokens = make_token_set(tokenizer, packed, phases)
    frames, source = frame_set(packed, phases, mirror=True)
    assert torch.equal(frames.lengths, tokens.lengths) and frames.ids == tokens.ids
    assert int((packed.lengths % 4 > 0).sum()), "some clips do not fill their last group"
    last = [int(frames.tokens[v, 0, n - 1]) for v, n in enumerate(frames.lengths.tolist())]
    mirrored = [v >= len(last) // 2 for v in range(len(last))]
    rows = source.lookup(torch.tensor(last)[:, None, None])
    for v in range(0, len(last), 7):
        clip = np.asarray(packed.clip(v // 4 % len(packed)))[-1:]
        expected = mirror_features(clip) if mirrored[v] else clip
        np.testing.assert_array_equal(rows[v, -1], expected[0])


def test_arms_of_one_clip_on_the_legs_of_another(toy):
    packed = toy.pack("train")
    tokens, frames = frame_set(packed, parts=2)
    groups, _ = tokens.batch(torch.tensor([0, 9]))
    mixed = torch.stack([groups[0, 0, :6], groups[1, 1, :6]])[None]
    x, arms, legs = (
        frames.lookup(mixed)[0],
        frames.lookup(groups[:1])[0, :24],
        frames.lookup(groups[1:])[0, :24],
    )
    others = [i for i in UPPER if i not in UPPER_HEIGHTS]
    assert torch.equal(x[:, LOWER], legs[:, LOWER]) and torch.equal(x[:, others], arms[:, others])
    relative = [y[:, UPPER_HEIGHTS] - y[:, 3:4] for y in (x, arms)]
    torch.testing.assert_close(*relative, atol=1e-5, rtol=0)


def test_training_lowers_the_loss_and_the_model_is_saved(toy, tmp_path):
    packed = toy.pack("train")
    captions = sorted({caption.text for captions in packed.captions for caption in captions})
    tokens, frames = frame_set(packed, mirror=False)
    model = network(features=263)
    std = torch.from_numpy(toy.std)
    model.mean.copy_(torch.from_numpy(toy.mean))
    model.std.copy_(std)
    config = TrainConfig(
        steps=25, batch_size=8, lr=5e-3, betas=(0.9, 0.98), ema=0.9, log_every=5, eval_every=25
    )
    recipe, text = get_recipe("ours", drop_edge=0.3), text_of(*captions)
    how = {"recipe": recipe, "val": (tokens, frames), "progress": False, "cpu": True}
    result = train_diffusion(tokens, frames, text, model, config, tmp_path, **how)
    losses = [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl") if "loss" in line]
    assert losses[-1] < 0.75 * losses[0] and result.metrics["val/loss"] < losses[0]
    loaded, embedding = Denoiser.from_pretrained(tmp_path / "model"), text.lookup(captions[:1])
    assert torch.equal(loaded.std, std) and loaded.config == model.config
    one, two = (denoise(each, embedding, [30], [0], steps=3)[0] for each in (model, loaded))
    assert np.array_equal(one, two)
