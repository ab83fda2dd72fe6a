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


@pytest.fixture(scope="module")
def tokenizer():
    torch.manual_seed(0)
    made = Tokenizer(TokenizerConfig(width=16, depth=1, codes=64, code_dim=4))
    made.quantizers[0].set_codebook(0.1 * torch.randn(64, 4))
    return made.eval()


def test_every_variant_holds_the_tokens_that_its_clip_gets_alone(tokenizer):
    split = clips()
    tokens = make_token_set(tokenizer, split, weights=[1, 2, 3], batch_size=5)
    assert tokens.ids == ["c0", "c1", "c2", "Mc0", "Mc1", "Mc2"] and tokens.starts.tolist() == list(
        range(0, 25, 4)
    )
    assert tokens.weights.tolist() == [1, 2, 3, 1, 2, 3]
    assert tokens.captions[1] == ["waves the left hand 1", "clip 1"]
    assert tokens.captions[4] == ["waves the right hand 1", "clip 1"]
    assert len({tuple(row.tolist()) for row in tokens.tokens[:, 0]}) == 24  # no two variants are alike
    for place, name in enumerate(tokens.ids):
        features = split.clip(int(name[-1]))
        features = mirror_features(features) if name.startswith("M") else features
        for phase in range(4):
            alone = tokenizer.encode(torch.from_numpy(np.array(features[phase:]))[None])[0]
            found, lengths = tokens.batch(tokens.starts[place : place + 1] + phase)
            assert int(lengths) == alone.shape[1] and torch.equal(found[0], alone), (name, phase)


def test_two_parts_are_two_rows_of_a_token_set():
    torch.manual_seed(0)
    halves = Tokenizer(TokenizerConfig(width=16, depth=1, codes=64, code_dim=8, parts=2)).eval()
    for quantizer in halves.quantizers:
        quantizer.set_codebook(0.1 * torch.randn(64, 4))
    split = clips()
    tokens = make_token_set(halves, split, batch_size=5)
    assert tokens.tokens.shape == (24, 2, 11) and (tokens.tokens[:, 0] != tokens.tokens[:, 1]).any()
    for variant in range(24):
        features = split.clip(variant // 4 % 3)
        features = mirror_features(features) if variant >= 12 else features
        alone = halves.encode(torch.from_numpy(np.array(features[variant % 4 :]))[None])[0]
        found, lengths = tokens.batch(torch.tensor([variant]))
        assert int(lengths) == alone.shape[1] and torch.equal(found[0], alone), variant


def test_long_clips_are_cut_and_validation_sets_are_plain(tokenizer):
    tokens = make_token_set(tokenizer, clips(), (0,), mirror=False, max_tokens=8)
    assert tokens.lengths.tolist() == [6, 8, 8] and tokens.tokens.shape == (3, 1, 8)
    assert tokens.ids == ["c0", "c1", "c2"]
    with pytest.raises(ValueError, match="a clip is too short for the phases"):
        make_token_set(tokenizer, clips((2, 30)))


def test_frames_per_token_are_the_tokenizers():
    torch.manual_seed(0)
    coarse = Tokenizer(TokenizerConfig(width=16, depth=1, down=3, codes=64, code_dim=4)).eval()
    coarse.quantizers[0].set_codebook(0.1 * torch.randn(64, 4))
    split = clips()
    tokens = make_token_set(coarse, split, mirror=False, max_tokens=4)
    assert tokens.starts.tolist() == [0, 8, 16, 24]  # every phase that differs
    for variant in range(24):
        features = np.array(split.clip(variant // 8)[variant % 8 :][:32])
        alone = coarse.encode(torch.from_numpy(features)[None])[0]
        found, lengths = tokens.batch(torch.tensor([variant]))
        assert int(lengths) == alone.shape[1] and torch.equal(found[0], alone), variant


def test_a_tokenizer_that_breaks_its_ratio_is_refused(tokenizer, monkeypatch):
    plain = tokenizer.encode
    monkeypatch.setattr(tokenizer, "encode", lambda x, lengths: plain(x, lengths)[..., ::2])
    with pytest.raises(ValueError, match="made 6 tokens of 44 frames, expected 11: .*4 frames per token"):
        make_token_set(tokenizer, clips((44, 44)), (0,), mirror=False)


def test_ids_of_a_large_codebook_are_kept():
    torch.manual_seed(0)
    large = Tokenizer(TokenizerConfig(width=16, depth=1, codes=40_000, code_dim=4)).eval()
    large.quantizers[0].set_codebook(0.1 * torch.randn(40_000, 4))
    split = clips()
    tokens = make_token_set(large, split, (0,), mirror=False)
    assert tokens.tokens.max() >= 1 << 15
    for clip in range(3):
        alone = large.encode(torch.from_numpy(np.array(split.clip(clip)))[None])[0]
        assert torch.equal(tokens.batch(torch.tensor([clip]))[0][0], alone)


def test_draws_follow_the_weights_though_lengths_are_alike():
    lengths, weights = [3, 4, 5, 6, 7, 8, 9, 10], np.array([1, 2, 3, 4, 5, 6, 0, 8.0])
    tokens = token_set(lengths, [["a"]] * 8, weights)
    generator = torch.Generator().manual_seed(0)
    counts, spread = np.zeros(8), []
    for _ in range(400):
        drawn, variants = tokens.draw(32, generator)
        assert torch.equal(drawn, variants)
        counts += np.bincount(drawn, minlength=8)
        spread.append(int(tokens.lengths[variants].max() - tokens.lengths[variants].min()))
    share = counts / counts.sum()
    assert counts[6] == 0 and np.abs(share - weights / weights.sum()).max() < 0.03
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


def test_some_clips_of_a_set_keep_all_that_is_theirs(tokenizer):
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


def test_bad_token_sets_are_refused():
    with pytest.raises(ValueError, match="1 clips have no caption, .*c1"):
        token_set([3, 4], [["a"], []])
    with pytest.raises(ValueError, match="weights must be finite"):
        token_set([3, 4], [["a"], ["b"]], [0, 0])
    with pytest.raises(ValueError, match="captions has 1 entries for 2 clips"):
        token_set([3, 4], [["a"]])
