"""Training of the tokenizer: which windows are drawn, that it learns and resumes, its evaluation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmm.data import PackedSplit
from mmm.data.captions import Caption
from mmm.datasets.synthetic import make_clip
from mmm.motion import mirror_features
from mmm.tokenizer import Tokenizer, TokenizerConfig, train
from mmm.tokenizer.train import Windows, codebook_usage, evaluate_tokenizer, geometry_loss, train_tokenizer
from mmm.training.config import TrainConfig
from mmm.training.run_folder import read_metrics

SMALL = TokenizerConfig(width=16, depth=1, codes=32, code_dim=8)
GEOMETRY = (0.5, 0.5, 0.25, 0.25)


def packed(lengths=(24, 30, 64, 100, 150), features=263):
    """Clips that swing in a few simple ways; number 0 of a frame is its row in the pack, to know it again."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rng = np.random.default_rng(0)
    time = np.arange(starts[-1])[:, None]
    swings = np.concatenate([np.sin(time * 0.2), np.cos(time * 0.2), np.sin(time * 0.05)], 1)
    waves = (swings @ rng.standard_normal((3, features))).astype(np.float32)
    waves[:, 0] = time[:, 0]
    captions = [[Caption("a person walks")] for _ in lengths]
    return PackedSplit([f"clip{i}" for i in range(len(lengths))], waves, starts, captions)


def _statistics(split):
    features = torch.from_numpy(split.features)
    return features.mean(0), features.std(0).clamp(min=1e-3)


def draw(windows, count=400, seed=0):
    return windows.draw(count, torch.Generator().manual_seed(seed))


def test_windows_lie_within_their_clips_and_short_ones_are_padded():
    split = packed()
    features, real = draw(Windows(split, mirror=False))
    assert features.shape == (400, 64, 263) and features.dtype == torch.float32
    rows = features[:, :, 0].long()
    clips = np.searchsorted(split.starts, rows[:, 0].numpy(), side="right") - 1
    assert set(clips) == {0, 1, 2, 3, 4}
    for row, keep, clip in zip(rows, real, clips, strict=True):
        length = split.lengths[clip]
        count = min(64, length)
        assert keep.sum() == count and keep[:count].all()
        assert torch.equal(row[:count], torch.arange(row[0], row[0] + count))
        assert (row[count:] == split.starts[clip] + length - 1).all()  # the last frame, repeated
        assert row.max() < split.starts[clip + 1]
    # the first and the last possible window occur
    assert {0, 36} <= set((rows[clips == 3, 0] - split.starts[3]).tolist())


def test_the_papers_rule_drops_short_clips():
    split = packed()
    features, real = draw(Windows(split, short="drop", mirror=False))
    assert real.all() and features[:, :, 0].min() >= split.starts[2]
    with pytest.raises(ValueError, match="30 frames"):
        Windows(packed((24, 30)), short="drop")


def test_half_of_the_windows_are_mirrored():
    split = packed()
    plain, _ = draw(Windows(split, mirror=False))
    mixed, _ = draw(Windows(split))
    sided = (mixed != plain).flatten(1).any(1)
    assert 150 < sided.sum() < 250
    assert torch.equal(mixed[sided], mirror_features(plain[sided]))


def test_every_frame_is_drawn_about_equally_often_and_weights_rule():
    split = packed((24, 100, 200))
    real, features = (lambda x, keep: (keep, x))(*draw(Windows(split, mirror=False), 3000))
    rows = features[:, :, 0][real].long()
    per_frame = torch.bincount(rows, minlength=324).split([24, 100, 200])
    means = [float(count.double().mean()) for count in per_frame]
    assert max(means) < 1.15 * min(means)
    features, _ = draw(Windows(split, mirror=False, weights=[0.0, 1.0, 0.0]))
    assert features[:, :, 0].min() == 24 and features[:, :, 0].max() == 123
    with pytest.raises(ValueError, match="weights has 2 entries for 3 clips"):
        Windows(split, weights=[1.0, 1.0])


def small_tokenizer(split, config=SMALL):
    torch.manual_seed(0)
    return Tokenizer(
        config, torch.from_numpy(split.features.mean(0)), torch.from_numpy(split.features.std(0))
    )


def quick(steps, **changes):
    return TrainConfig(**{"steps": steps, "batch_size": 8, "lr": 2e-3, "log_every": 5, **changes})


@pytest.mark.parametrize("ema", [0.99, 0.0])
def test_it_learns_and_resumes_exactly_codebook_included(tmp_path, ema):
    split = packed((40, 24, 64, 80))
    config = TokenizerConfig(width=16, depth=1, codes=32, code_dim=8, ema=ema)

    def go(name, steps):
        tokenizer = small_tokenizer(split, config)
        out = tmp_path / name
        windows = Windows(split, 32, mirror=False)
        return train_tokenizer(windows, split, tokenizer, quick(steps, lr=1e-2), out, progress=False)

    before = evaluate_tokenizer(small_tokenizer(split, config).eval(), split)
    whole = go("whole", 40)
    assert whole.metrics["val/mpjpe_local"] < 0.8 * before["mpjpe_local"]
    go("parts", 23)
    parts = go("parts", 40)
    assert whole.metrics == parts.metrics
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, parts.module.state_dict()[name]), name
    loaded = Tokenizer.from_pretrained(tmp_path / "parts" / "model")
    clip = torch.from_numpy(split.clip(0))[None]
    assert torch.equal(loaded.encode(clip), whole.module.encode(clip))


def test_body_parts_get_their_relative_heights(tmp_path):
    split = packed((40, 64))
    tokenizer = small_tokenizer(split, TokenizerConfig(width=16, depth=1, codes=16, code_dim=8, parts=2))
    train_tokenizer(Windows(split), split, tokenizer, quick(3), tmp_path, progress=False)
    heights = split.features[:, 4 + 3 * 2 + 1] - split.features[:, 3]  # joint 3 (spine1) above the root
    assert float(tokenizer.upper_mean[0]) == pytest.approx(heights.mean(), abs=1e-5)
    assert float(tokenizer.upper_std[0]) == pytest.approx(heights.std(), rel=1e-2)


@pytest.mark.parametrize("parts", [1, 2])
def test_frozen_codes_leave_every_token_and_train_the_decoders(tmp_path, parts):
    split, config = packed(), TrainConfig(steps=4, batch_size=4, precision="no")
    tokenizer = Tokenizer(replace(SMALL, parts=parts), *_statistics(split))
    train_tokenizer(Windows(split), None, tokenizer, config, tmp_path / "first", progress=False)
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    how = {"geometry": GEOMETRY, "code_noise": 0.2, "pretrained": True, "progress": False}
    train_tokenizer(Windows(split), None, tokenizer.train(), config, tmp_path / "second", **how)
    same = {name for name, value in tokenizer.state_dict().items() if torch.equal(value, before[name])}
    changed = set(before) - same
    assert changed and all(name.startswith("decoders.") for name in changed)
    silent = {"epoch", "commitment", "perplexity"}  # numbers that do not change are not logged
    assert not any(silent & set(line) for line in read_metrics(tmp_path / "second" / "metrics.jsonl"))


def test_recovered_joints_are_learned_and_a_run_without_that_loss_is_another(tmp_path):
    features = make_clip(0).features
    split = PackedSplit(["a"], features, np.array([0, len(features)]), [[Caption("a person walks")]])
    config, losses = TrainConfig(steps=60, batch_size=8, lr=2e-3, precision="no"), {}
    for name, geometry in (("without", None), ("with", GEOMETRY)):
        torch.manual_seed(0)
        tokenizer = Tokenizer(SMALL, *_statistics(split))
        train_tokenizer(Windows(split), None, tokenizer, config, tmp_path / name, geometry, progress=False)
        x = torch.from_numpy(features)[None]
        decoded = tokenizer.decode(tokenizer.encode(x))[:, : x.shape[1]]
        losses[name], _ = geometry_loss(decoded, x, None, GEOMETRY)
    assert losses["with"] < 0.9 * losses["without"]
    run = tmp_path / "without"
    with pytest.raises(ValueError, match="geometry"):
        train_tokenizer(Windows(split), None, tokenizer, config, run, GEOMETRY, progress=False)


def test_a_run_is_not_continued_on_other_data(tmp_path):
    first, other = packed((40, 64)), packed((40, 68))
    train_tokenizer(Windows(first), None, small_tokenizer(first), quick(2), tmp_path, progress=False)
    with pytest.raises(ValueError, match="data="):
        train_tokenizer(Windows(other), None, small_tokenizer(other), quick(2), tmp_path, progress=False)


@pytest.mark.parametrize(
    ("lengths", "batch", "steps"),
    [((64, 64), 1, 2), ((65, 10), 1, 3), ((64,) * 10, 4, 2), ((64,) * 11, 4, 3), ((24,), 8, 1)],
)
def test_an_epoch_draws_as_many_windows_as_hold_every_clip_once(lengths, batch, steps):
    assert Windows(packed(lengths)).epoch(batch) == steps


def usage(run):
    return [line for line in read_metrics(run / "metrics.jsonl") if "epoch" in line]


@pytest.mark.parametrize("parts", [1, 2])
def test_each_epoch_logs_the_codebook_and_a_resumed_run_logs_the_same(tmp_path, parts):
    split = packed((40, 24, 64, 80))
    windows = Windows(split, 32, mirror=False)
    # A limit near the average and a short memory: codes die and are replaced within these few steps.
    config = replace(SMALL, parts=parts, ema=0.8, dead_below=0.9)
    assert windows.epoch(2) == 4  # 2 + 1 + 2 + 3 windows, 2 a step

    def go(name, steps, **changes):
        tokenizer = small_tokenizer(split, config)
        settings = quick(steps, batch_size=2, checkpoint_every=5, **changes)
        train_tokenizer(windows, None, tokenizer, settings, tmp_path / name, progress=False)

    go("whole", 22)
    lines = usage(tmp_path / "whole")
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    for line in lines:
        # Of two parts both are means, and the mean of the powers is not the power of the mean, but above it.
        of_entropy = 2 ** line["epoch/entropy"]
        assert of_entropy <= line["epoch/perplexity"] * (1 + 1e-6) < 32
        if parts == 1:
            assert line["epoch/perplexity"] == pytest.approx(of_entropy)
        assert 0 <= line["epoch/dead"] < 32
    resets = np.load(tmp_path / "whole" / "resets.npy")
    assert resets.shape == (parts, 32) and resets.dtype == np.int64 and resets.sum() > 0
    so_far = [line["epoch/resets"] for line in lines]
    assert so_far == sorted(so_far) and so_far[-1] <= resets.sum() / parts
    go("parts", 10)  # within the third epoch, whose choices so far the checkpoint must hold
    go("parts", 22)
    assert usage(tmp_path / "parts") == lines
    assert np.array_equal(np.load(tmp_path / "parts" / "resets.npy"), resets)


def test_a_long_epoch_is_logged_in_between(tmp_path, monkeypatch):
    """A run shorter than an epoch would have no history at all otherwise."""
    monkeypatch.setattr(train, "USAGE_EVERY", 3)
    split = packed((40, 24, 64, 80))
    windows, config = Windows(split, 32, mirror=False), quick(7, batch_size=2)
    train_tokenizer(windows, None, small_tokenizer(split), config, tmp_path, progress=False)
    assert [(line["step"], line["epoch"]) for line in usage(tmp_path)] == [(3, 0.75), (6, 1.5)]


def test_the_usage_of_an_epoch_counts_its_own_choices():
    tokenizer = Tokenizer(SMALL)
    (quantizer,) = tokenizer.quantizers
    quantizer.chosen[:4], quantizer.resets[5] = 7, 3
    first = codebook_usage(tokenizer, 2.0)
    expected = {"epoch": 2, "epoch/entropy": 2, "epoch/perplexity": 4, "epoch/dead": 28, "epoch/resets": 3}
    assert first == pytest.approx(expected)
    quantizer.chosen[0] = 1
    again = codebook_usage(tokenizer, 3.0)
    assert again["epoch/perplexity"] == pytest.approx(1) and again["epoch/resets"] == 3


class Perfect(Tokenizer):
    """Returns its input, changed by `spoil`; tokens count up from 0."""

    spoil = staticmethod(lambda features: features)

    def encode(self, features, lengths=None):
        self.kept = features
        tokens = torch.arange(-(-features.shape[1] // 4)) % 8
        return tokens.expand(len(features), 1, -1)

    def decode(self, tokens, lengths=None):
        extra = tokens.shape[2] * 4 - self.kept.shape[1]
        features = torch.nn.functional.pad(self.kept, (0, 0, 0, extra), value=float("nan"))
        return self.spoil(features.clone())


def evaluated(spoil, lengths=(24, 30, 41)):
    split = packed(lengths)
    split.features[:, 0] = 0.0
    split.features[:, 2] = 0.05  # walks straight on
    tokenizer = Perfect(SMALL)
    tokenizer.spoil = spoil
    return evaluate_tokenizer(tokenizer, split, batch_size=2)


def test_evaluation_of_known_errors():
    perfect = evaluated(lambda features: features)
    assert perfect["mpjpe_local"] == perfect["mpjpe_global"] == perfect["turn_share"] == 0
    assert perfect["usage"] == 8 / 32 and 7 < perfect["perplexity"] <= 8

    def higher(features):
        features[..., 4 + 1 : 67 : 3] += 0.02
        return features

    shifted = evaluated(higher)
    assert shifted["mpjpe_local"] == pytest.approx(2.0, abs=1e-3)
    assert shifted["mpjpe_global"] == pytest.approx(2.0 * 21 / 22, abs=1e-3)  # the root is right
    assert shifted["turn_share"] == pytest.approx(0, abs=1e-6)

    def turned(features):
        features[:, 0, 0] += 0.3
        return features

    wrong = evaluated(turned)
    assert wrong["mpjpe_local"] == 0 and wrong["mpjpe_global"] > 5
    assert wrong["turn_share"] == pytest.approx(1, abs=1e-6)
