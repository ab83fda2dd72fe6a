"""The tokenizer: ragged batches and masks, normalisation, loss, decoding in pieces, files."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from made_up.tokenizer import SMALL, noise, random_features, random_tokenizer, seeded

from mmm.tokenizer import PRESETS, Tokenizer, TokenizerConfig, count_parameters, tokenizer_loss
from mmm.tokenizer.layers import decoder_reach
from mmm.tokenizer.model import decode_in_pieces


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return random_tokenizer()


@pytest.fixture(scope="module", params=[1, 2])
def either(request) -> Tokenizer:
    """A tokenizer of the whole body, and one of two parts."""
    return random_tokenizer(replace(SMALL, parts=request.param))


def test_sizes_of_the_presets():
    assert count_parameters(Tokenizer("paper"))["network"] == 17_961_767  # 17.96 M in the paper's release
    assert count_parameters(Tokenizer("small"))["total"] < 2_400_000
    assert count_parameters(Tokenizer("tiny"))["total"] < 400_000
    assert PRESETS["paper"].codes == 8192 and PRESETS["paper"].code_dim == 32
    with pytest.raises(ValueError, match="huge"):
        Tokenizer("huge")


@pytest.mark.parametrize("wrong", [{"parts": 3}, {"parts": 2, "features": 251}, {"feature_bias": 0.0}])
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{list(wrong)[-1]} is {list(wrong.values())[-1]}"):
        TokenizerConfig(**wrong)


# ---------------------------------------------------------------------- lengths


def test_a_clip_is_encoded_alike_alone_and_in_any_batch(either):
    lengths = torch.tensor([60, 3, 25, 41, 8, 1])
    features = random_features(either, 6, 60)
    together = either.encode(features, lengths)
    for row, length, tokens in zip(features, lengths.tolist(), together, strict=True):
        count = -(-length // 4)
        alone = either.encode(row[None, :length])
        assert alone.shape == (1, either.config.parts, count)
        assert torch.equal(tokens[:, :count], alone[0])
        assert (tokens[:, count:] == 0).all()


def test_a_clip_is_decoded_alike_alone_and_in_any_batch(either):
    lengths = torch.tensor([60, 3, 25, 8])
    tokens = torch.randint(0, 32, (4, either.config.parts, 15), generator=seeded())
    together = either.decode(tokens, lengths)
    assert together.shape == (4, 60, 263)
    for row, length, features in zip(tokens, lengths.tolist(), together, strict=True):
        alone = either.decode(row[None, :, : -(-length // 4)])[0, :length]
        torch.testing.assert_close(features[:length], alone, atol=1e-5, rtol=1e-5)
        assert (features[length:] == 0).all()


def test_the_last_frame_fills_the_last_token(tokenizer):
    features = random_features(tokenizer, 2, 22)
    padded = torch.cat([features, features[:, -1:], features[:, -1:]], 1)
    assert torch.equal(tokenizer.encode(features), tokenizer.encode(padded))


def test_padding_in_training_changes_nothing():
    """Short clips padded and masked: same outputs, loss, gradients and codebook as with the clips alone."""
    x = noise(1, 40, 263)
    padded = torch.cat([x[:, :22], x[:, 21:22].expand(1, 18, 263)], 1)  # as short clips are padded
    mask = torch.arange(40)[None] < 22
    a, b = random_tokenizer().train(), random_tokenizer().train()
    out_a, out_b = a(padded, mask, seeded()), b(padded[:, :24], mask[:, :24], seeded())
    torch.testing.assert_close(out_a.reconstruction[:, :24], out_b.reconstruction, atol=1e-5, rtol=1e-5)
    loss_a, _ = tokenizer_loss(out_a, padded, mask, SMALL)
    loss_b, _ = tokenizer_loss(out_b, padded[:, :24], mask[:, :24], SMALL)
    torch.testing.assert_close(loss_a, loss_b)
    loss_a.backward()
    loss_b.backward()
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name, atol=1e-6, rtol=1e-3)
    for name, value in a.state_dict().items():
        torch.testing.assert_close(value, b.state_dict()[name], msg=name)
    # what lies beyond the last token has no influence
    other = torch.cat([padded[:, :24], noise(1, 16, 263) * 100], 1)
    again = random_tokenizer().train()(other, mask, seeded())
    assert torch.equal(again.reconstruction[:, :24], out_a.reconstruction[:, :24])


def test_wrong_lengths_and_tokens_are_refused(tokenizer):
    features = random_features(tokenizer, 2, 20)
    with pytest.raises(ValueError, match=r"\[20, 24\]"):
        tokenizer.encode(features, torch.tensor([20, 24]))
    with pytest.raises(ValueError, match="no frames"):
        tokenizer.encode(features[:, :0])
    tokens = tokenizer.encode(features)
    with pytest.raises(ValueError, match=r"-1…\d+, expected code ids in 0…31"):
        tokenizer.decode(torch.where(tokens == tokens[0, 0, 0], -1, tokens))
    with pytest.raises(ValueError, match="22 frames"):
        tokenizer(noise(1, 22, 263))
    with pytest.raises(ValueError, match="41"):
        decode_in_pieces(tokenizer, torch.zeros(1, 10, dtype=torch.long), 41)


@pytest.mark.parametrize("frames", [397, 400])
def test_decoding_in_pieces_equals_decoding_at_once(either, frames):
    tokens = torch.randint(32, (either.config.parts, 100), generator=seeded())
    whole = either.decode(tokens[None], torch.tensor([frames]))[0, :frames]
    torch.testing.assert_close(decode_in_pieces(either, tokens, frames, piece=16), whole, atol=1e-5, rtol=0)


def test_the_reach_of_the_decoder_is_exact(either):
    """A token within reach changes the frames of another one; the next one farther off does not."""
    reach = decoder_reach(either.config)
    tokens = torch.zeros(1, either.config.parts, 4 * reach, dtype=torch.long)
    other = tokens.clone()
    other[:, :, 2 * reach] = 5
    moved = (either.decode(tokens) != either.decode(other)).any(2)[0].nonzero()[:, 0]
    assert int((moved // 4 - 2 * reach).abs().max()) in (reach - 1, reach)


# ---------------------------------------------------------------------- normalisation and loss


def test_normalisation_is_part_of_the_model(tokenizer):
    features = random_features(tokenizer, 3, 24)
    moved = random_tokenizer()
    moved.set_normalisation(tokenizer.mean + 5, tokenizer.std * 3)
    same = (features - tokenizer.mean) * 3 + tokenizer.mean + 5
    tokens = tokenizer.encode(features)
    assert torch.equal(moved.encode(same), tokens)
    expected = (tokenizer.decode(tokens) - tokenizer.mean) * 3 + tokenizer.mean + 5
    torch.testing.assert_close(moved.decode(tokens), expected)


def test_feature_bias_is_for_root_and_contacts():
    model = Tokenizer(replace(SMALL, feature_bias=5.0), torch.zeros(263), torch.full((263,), 2.0))
    scaled = torch.full((263,), 0.5)
    scaled[:4] = scaled[-4:] = 2.5
    torch.testing.assert_close(model.normalise(torch.ones(263)), scaled)
    torch.testing.assert_close(model.denormalise(scaled), torch.ones(263))
    assert (model.std == 2).all()  # the stored one is the plain one


def test_code_noise_disturbs_what_the_decoders_get_and_nothing_else(either):
    x = noise(2, 32, 263)
    clean, noisy = either(x), either(x, None, seeded(), 0.5)
    assert torch.equal(noisy.tokens, clean.tokens)
    assert not torch.allclose(noisy.reconstruction, clean.reconstruction)
    assert torch.equal(either(x, None, seeded(), 0.5).reconstruction, noisy.reconstruction)
    noisy.reconstruction.sum().backward()
    assert all(p.grad is None for p in either.encoders.parameters())
    assert all(p.grad is not None for p in either.decoders.parameters())


def test_loss_by_hand():
    config = replace(SMALL, position_weight=0.5, commitment_weight=0.02)
    model, x = random_tokenizer(config).train(), noise(2, 16, 263)
    mask = torch.tensor([[True] * 16, [True] * 6 + [False] * 10])
    out = model(x, mask, seeded())
    real, truth = out.reconstruction[mask], x[mask]
    expected = (
        F.smooth_l1_loss(real, truth)
        + 0.5 * F.smooth_l1_loss(real[:, 4:67], truth[:, 4:67])
        + 0.02 * out.commitment
    )
    loss, terms = tokenizer_loss(out, x, mask, config)
    torch.testing.assert_close(loss, expected)
    assert set(terms) == {"loss", "reconstruction", "positions", "commitment", "perplexity"}
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize(("parts", "ema"), [(1, 0.99), (2, 0.0)])
def test_it_learns_also_in_bfloat16(parts, ema):
    config = replace(SMALL, parts=parts, ema=ema, width=32)
    model = random_tokenizer(config).train()
    time = torch.arange(32)[None, :, None] / 10
    x = torch.sin(time * (1 + torch.arange(4)[:, None, None] / 2) + torch.arange(263) / 40)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    errors = []
    for step in range(30):
        with torch.autocast("cpu", torch.bfloat16):
            out = model(x, None, seeded(step))
            loss, terms = tokenizer_loss(out, x, None, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float(terms["reconstruction"]))
    assert errors[-1] < 0.5 * errors[0]
    if ema == 0:
        assert all(q.codebook.grad is not None for q in model.quantizers)


# ---------------------------------------------------------------------- files


def test_a_saved_tokenizer_is_loaded_unchanged(tmp_path, either):
    either.save_pretrained(tmp_path / "t")
    again = Tokenizer.from_pretrained(tmp_path / "t")
    assert again.config == either.config and not again.training
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in either.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["config.json", "model.safetensors"]


def test_float16_halves_the_file_and_keeps_the_motion(tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path / "full")
    tokenizer.save_pretrained(tmp_path / "half", torch.float16)
    half, full = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full"))
    assert half < 0.6 * full
    again = Tokenizer.from_pretrained(tmp_path / "half")
    assert all(not v.is_floating_point() or v.dtype == torch.float32 for v in again.state_dict().values())
    assert torch.equal(again.mean, tokenizer.mean) and torch.equal(again.std, tokenizer.std)
    tokens = torch.randint(0, 32, (2, 1, 10), generator=seeded())
    error = tokenizer.normalise(again.decode(tokens)) - tokenizer.normalise(tokenizer.decode(tokens))
    assert error.abs().max() < 5e-3
