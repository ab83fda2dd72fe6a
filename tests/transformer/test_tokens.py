"""A data set as tokens: its variants, its mirrored clips, and how often each is drawn."""

import numpy as np
import pytest
import torch
from made_up import tokens as made_up

from mmm.data import PackedSplit
from mmm.data.captions import Caption
from mmm.motion import mirror_features
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.transformer.tokens import TokenSet, make_token_set

token_set = made_up.token_set


def clips(lengths=(24, 41, 30)):
    starts = np.concatenate([[0], np.cumsum(lengths)])
    features = np.random.default_rng(0).standard_normal((starts[-1], 263)).astype(np.float32)
    captions = [[Caption(f"waves the left hand {i}"), Caption(f"clip {i}")] for i in range(len(lengths))]
    return PackedSplit([f"c{i}" for i in range(len(lengths))], features, starts, captions)


def make_tokenizer(**sizes):
    torch.manual_seed(0)
    config = TokenizerConfig(**{"width": 16, "depth": 1, "codes": 64, "code_dim": 4} | sizes)
    tokenizer = Tokenizer(config).eval()
    for quantizer in tokenizer.quantizers:
        quantizer.set_codebook(0.1 * torch.randn(config.codes, 4))
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def test_every_variant_holds_the_tokens_of_its_clip_encoded_alone(tokenizer):
    split = clips()
    tokens = make_token_set(tokenizer, split, weights=[1, 2, 3], batch_size=5)
    assert tokens.ids == ["c0", "c1", "c2", "Mc0", "Mc1", "Mc2"] and tokens.starts.tolist() == list(
        range(0, 25, 4)
    )
    assert tokens.weights.tolist() == [1, 2, 3, 1, 2, 3]
    assert tokens.captions[1] == ["waves the left hand 1", "clip 1"]
    assert tokens.captions[4] == ["waves the right hand 1", "clip 1"]
    assert len({tuple(row.tolist()) for row in tokens.tokens[:, 0]}) == 24  # no two variants are alike
    for i, name in enumerate(tokens.ids):
        features = split.clip(int(name[-1]))
        features = mirror_features(features) if name.startswith("M") else features
        for phase in range(4):
            alone = tokenizer.encode(torch.from_numpy(np.array(features[phase:]))[None])[0]
            row, length = tokens.batch(tokens.starts[i : i + 1] + phase)
            assert int(length) == alone.shape[1] and torch.equal(row[0], alone), (name, phase)


@pytest.mark.parametrize(
    "sizes",
    [
        {"parts": 2, "code_dim": 8},  # a row for each part
        {"down": 3},  # 8 frames for each token: 8 phases
        {"codes": 40_000},  # more than int16 holds
    ],
)
def test_tokens_of_other_tokenizers(sizes):
    other, split = make_tokenizer(**sizes), clips()
    ratio = other.config.ratio
    tokens = make_token_set(other, split, mirror=False, max_tokens=40 // ratio)
    assert tokens.starts.tolist() == [0, ratio, 2 * ratio, 3 * ratio]
    assert sizes.get("codes", 0) < 1 << 15 or tokens.tokens.max() >= 1 << 15
    for variant in range(3 * ratio):
        features = np.array(split.clip(variant // ratio)[variant % ratio :][:40])
        alone = other.encode(torch.from_numpy(features)[None])[0]
        row, length = tokens.batch(torch.tensor([variant]))
        assert int(length) == alone.shape[1] and torch.equal(row[0], alone), variant


def test_long_clips_are_cut_and_validation_sets_are_plain(tokenizer):
    tokens = make_token_set(tokenizer, clips(), (0,), mirror=False, max_tokens=8)
    assert tokens.lengths.tolist() == [6, 8, 8] and tokens.tokens.shape == (3, 1, 8)
    assert tokens.ids == ["c0", "c1", "c2"]
    with pytest.raises(ValueError, match="too short"):
        make_token_set(tokenizer, clips((2, 30)))


def test_draws_follow_the_weights_and_batches_have_similar_lengths():
    lengths, weights = [3, 4, 5, 6, 7, 8, 9, 10], np.array([1, 2, 3, 4, 5, 6, 0, 8.0])
    tokens = token_set(lengths, [["a"]] * 8, weights)
    generator = torch.Generator().manual_seed(0)
    counts, spread = np.zeros(8), []
    for _ in range(400):
        drawn, variants = tokens.draw(32, generator)
        assert torch.equal(drawn, variants)
        counts += np.bincount(drawn, minlength=8)
        spread.append(int(tokens.lengths[variants].max() - tokens.lengths[variants].min()))
    rates = counts / counts.sum()
    assert counts[6] == 0 and np.abs(rates - weights / weights.sum()).max() < 0.03
    assert np.mean(spread) < 2.5
    mixed = tokens.draw(64, generator, like_length=False)[1]
    assert tokens.lengths[mixed].max() - tokens.lengths[mixed].min() >= 6


def test_all_variants_and_captions_are_drawn():
    base = token_set([5] * 8, [["a"]] * 8)
    captions = [["a", "b"], ["c", "d", "e"]]
    tokens = TokenSet(base.tokens, base.lengths, torch.tensor([0, 4, 8]), captions, np.ones(2), ["x", "y"])
    generator = torch.Generator().manual_seed(0)
    drawn, variants = tokens.draw(200, generator)
    assert set(variants.tolist()) == set(range(8)) and torch.equal(variants // 4, drawn)
    texts = tokens.draw_captions(drawn, generator)
    assert {(int(clip), text) for clip, text in zip(drawn, texts, strict=True)} == {
        (0, "a"), (0, "b"), (1, "c"), (1, "d"), (1, "e"),
    }  # fmt: skip


def test_selected_clips_keep_their_variants_captions_and_weights(tokenizer):
    whole = make_token_set(tokenizer, clips(), weights=[1, 2, 3])
    some = whole.select(np.array([False, True, False, False, True, True]))
    assert some.ids == ["c1", "Mc1", "Mc2"] and some.weights.tolist() == [2, 2, 3]
    assert some.captions == [whole.captions[i] for i in (1, 4, 5)]
    for new, old in enumerate((1, 4, 5)):
        for phase in range(4):
            a, b = (
                some.batch(some.starts[new : new + 1] + phase),
                whole.batch(whole.starts[old : old + 1] + phase),
            )
            assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert len(some.tokens) == int(some.starts[-1]) == 12


@pytest.mark.parametrize(
    ("captions", "weights", "named"),
    [([["a"], []], None, "c1"), ([["a"], ["b"]], [0, 0], "weights"), ([["a"], ["b"]], [1], "1 weights")],
)
def test_bad_token_sets_are_refused(captions, weights, named):
    with pytest.raises(ValueError, match=named):
        token_set([3, 4], captions, weights)
