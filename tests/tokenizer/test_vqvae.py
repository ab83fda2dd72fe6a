"""The tokenizer: goldens, masks and ragged batches, normalisation, body parts, loss, files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_up import tokenizer as made_up

from mmm.release.tokenizer import from_release_state, release_names, to_release_state
from mmm.tokenizer import PRESETS, Tokenizer, TokenizerConfig, count_parameters, tokenizer_loss
from mmm.tokenizer import parts as body

SMALL, seeded, noise, made, raw = made_up.SMALL, made_up.seeded, made_up.noise, made_up.made, made_up.raw


def state_of(arrays) -> dict[str, np.ndarray]:
    return {name.removeprefix("state/"): arrays[name] for name in arrays if name.startswith("state/")}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return made()


@pytest.fixture(scope="module")
def two_parts() -> Tokenizer:
    model = made(replace(SMALL, parts=2))
    model.set_normalisation(model.mean, model.std, body.relative_height_statistics(raw(model, 500)))
    return model


# ---------------------------------------------------------------------- the release


def test_golden_tokenizer(golden):
    arrays = golden("tokenizer")
    model = from_release_state(state_of(arrays))
    expected = json.loads(str(arrays["config"]))
    assert {name: getattr(model.config, name) for name in expected} == expected
    x = torch.from_numpy(arrays["x"])
    with torch.no_grad():
        out = model(x)
    np.testing.assert_array_equal(out.tokens[:, 0], arrays["tokens"])
    np.testing.assert_array_equal(model.encode(x)[:, 0], arrays["tokens"])  # mean 0, std 1
    np.testing.assert_allclose(out.reconstruction, arrays["reconstruction"], atol=1e-5)
    np.testing.assert_allclose(model.decode(out.tokens), arrays["decoded"], atol=1e-5)
    np.testing.assert_allclose(out.commitment, arrays["commitment"], atol=1e-6)
    np.testing.assert_allclose(out.perplexity, arrays["perplexity"], rtol=1e-5)


def test_golden_parts(golden):
    arrays = golden("tokenizer_parts")
    model = from_release_state(
        state_of(arrays), torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["std"])
    )
    assert (model.config.parts, model.config.code_dim, model.codebook.shape) == (2, 8, (2, 64, 4))
    x, tokens = torch.from_numpy(arrays["x"]), arrays["tokens"].transpose(0, 2, 1)
    with torch.no_grad():
        np.testing.assert_array_equal(model(x).tokens, tokens)
    np.testing.assert_array_equal(model.encode(model.denormalise(x)), tokens)
    decoded = model.decode(torch.from_numpy(tokens.copy()))
    np.testing.assert_allclose(model.normalise(decoded), arrays["decoded"], atol=1e-5)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("prefix", ["", "vqvae.", "trans_base.vqvae."])
def test_release_names_both_ways(tokenizer, two_parts, number, prefix):
    model = tokenizer if number == 1 else two_parts
    state = {prefix + name: value for name, value in to_release_state(model).items()}
    state["trans_base.tok_emb.weight"] = torch.zeros(3)  # what else a checkpoint holds is left aside
    again = from_release_state(state, model.mean, model.std)
    assert again.config == replace(model.config, feature_bias=1.0)
    for name, value in model.state_dict().items():
        if "quantizers" not in name or name.endswith("codebook"):
            assert torch.equal(value, again.state_dict()[name]), name
    learned = {name for name, _ in model.named_parameters()}
    assert learned < set(release_names(model.config))


def test_a_state_that_does_not_fit_is_refused(tokenizer):
    state = to_release_state(tokenizer)
    with pytest.raises(ValueError, match="0 tokenizers, expected 1"):
        from_release_state({"weight": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"missing: decoder\.model\.6\.bias"):
        from_release_state({name: value for name, value in state.items() if name != "decoder.model.6.bias"})
    with pytest.raises(
        ValueError, match=r"of another shape: decoder\.model\.6\.bias \(9,\) instead of \(263,\)"
    ):
        from_release_state({**state, "decoder.model.6.bias": torch.zeros(9)})


def test_sizes_of_the_presets():
    assert count_parameters(Tokenizer("paper"))["network"] == 17_961_767  # 17.96 M in the paper's release
    assert count_parameters(Tokenizer("small"))["total"] < 2_400_000
    assert count_parameters(Tokenizer("tiny"))["total"] < 400_000
    assert PRESETS["paper"].codes == 8192 and PRESETS["paper"].code_dim == 32
    with pytest.raises(ValueError, match="'huge' is not known, expected one of tiny, light, small, paper"):
        Tokenizer("huge")


# ---------------------------------------------------------------------- lengths


@pytest.mark.parametrize("number", [1, 2])
def test_a_clip_is_encoded_alike_alone_and_in_any_batch(tokenizer, two_parts, number):
    model = tokenizer if number == 1 else two_parts
    lengths = torch.tensor([60, 3, 25, 41, 8, 1])
    features = raw(model, 6, 60)
    together = model.encode(features, lengths)
    for row, length, tokens in zip(features, lengths.tolist(), together, strict=True):
        count = -(-length // 4)
        alone = model.encode(row[None, :length])
        assert alone.shape == (1, number, count)
        assert torch.equal(tokens[:, :count], alone[0])
        assert (tokens[:, count:] == 0).all()


def test_the_last_frame_fills_the_last_token(tokenizer):
    features = raw(tokenizer, 2, 22)
    padded = torch.cat([features, features[:, -1:], features[:, -1:]], 1)
    assert torch.equal(tokenizer.encode(features), tokenizer.encode(padded))


@pytest.mark.parametrize("number", [1, 2])
def test_a_clip_is_decoded_alike_alone_and_in_any_batch(tokenizer, two_parts, number):
    model = tokenizer if number == 1 else two_parts
    lengths = torch.tensor([60, 3, 25, 8])
    tokens = torch.randint(0, 32, (4, number, 15), generator=seeded())
    together = model.decode(tokens, lengths)
    assert together.shape == (4, 60, 263)
    for row, length, features in zip(tokens, lengths.tolist(), together, strict=True):
        alone = model.decode(row[None, :, : -(-length // 4)])[0, :length]
        torch.testing.assert_close(features[:length], alone, atol=1e-5, rtol=1e-5)
        assert (features[length:] == 0).all()


def test_padding_in_training_changes_nothing():
    """Short clips padded and masked: same outputs, loss, gradients and codebook as with the clips alone."""
    x = noise(1, 40, 263)
    padded = torch.cat([x[:, :22], x[:, 21:22].expand(1, 18, 263)], 1)  # as short clips are padded
    mask = torch.arange(40)[None] < 22
    a, b = made().train(), made().train()
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
    # and whatever lies beyond the last token is not looked at
    other = torch.cat([padded[:, :24], noise(1, 16, 263) * 100], 1)
    again = made().train()(other, mask, seeded())
    assert torch.equal(again.reconstruction[:, :24], out_a.reconstruction[:, :24])


def test_wrong_lengths_and_tokens_are_refused(tokenizer):
    features = raw(tokenizer, 2, 20)
    with pytest.raises(ValueError, match=r"lengths are \[20, 24\] frames, expected 1 to 20"):
        tokenizer.encode(features, torch.tensor([20, 24]))
    with pytest.raises(ValueError, match="at least one"):
        tokenizer.encode(features[:, :0])
    tokens = tokenizer.encode(features)
    with pytest.raises(ValueError, match=r"-1…\d+, expected code ids in 0…31: fill the canvas"):
        tokenizer.decode(torch.where(tokens == tokens[0, 0, 0], -1, tokens))
    with pytest.raises(ValueError, match="22 frames, expected a multiple of 4"):
        tokenizer(noise(1, 22, 263))


# ---------------------------------------------------------------------- normalisation and loss


def test_normalisation_travels_inside(tokenizer):
    features = raw(tokenizer, 3, 24)
    moved = made()
    moved.set_normalisation(tokenizer.mean + 5, tokenizer.std * 3)
    same = (features - tokenizer.mean) * 3 + tokenizer.mean + 5
    assert torch.equal(moved.encode(same), tokenizer.encode(features))
    tokens = tokenizer.encode(features)
    expected = (tokenizer.decode(tokens) - tokenizer.mean) * 3 + tokenizer.mean + 5
    torch.testing.assert_close(moved.decode(tokens), expected)


def test_feature_bias_is_for_root_and_contacts():
    model = Tokenizer(replace(SMALL, feature_bias=5.0), torch.zeros(263), torch.full((263,), 2.0))
    scaled = torch.full((263,), 0.5)
    scaled[:4] = scaled[-4:] = 2.5
    torch.testing.assert_close(model.normalise(torch.ones(263)), scaled)
    torch.testing.assert_close(model.denormalise(scaled), torch.ones(263))
    assert (model.std == 2).all()  # the stored one is the plain one


def test_bad_statistics_are_refused(tokenizer):
    with pytest.raises(ValueError, match="std has entries that are not above 0"):
        Tokenizer(SMALL, torch.zeros(263), torch.zeros(263))
    with pytest.raises(ValueError, match=r"mean has shape \(251,\), expected \(263,\)"):
        Tokenizer(SMALL, torch.zeros(251), torch.ones(251))


def test_loss_by_hand():
    config = replace(SMALL, position_weight=0.5, commitment_weight=0.02)
    model, x = made(config).train(), noise(2, 16, 263)
    mask = torch.tensor([[True] * 16, [True] * 6 + [False] * 10])
    out = model(x, mask, seeded())
    real, given = out.reconstruction[mask], x[mask]
    expected = (
        F.smooth_l1_loss(real, given)
        + 0.5 * F.smooth_l1_loss(real[:, 4:67], given[:, 4:67])
        + 0.02 * out.commitment
    )
    loss, terms = tokenizer_loss(out, x, mask, config)
    torch.testing.assert_close(loss, expected)
    assert set(terms) == {"loss", "reconstruction", "positions", "commitment", "perplexity"}
    assert not any(term.requires_grad for term in terms.values())


def test_positions_of_kit():
    assert TokenizerConfig().positions == slice(4, 67)
    assert TokenizerConfig(features=251).positions == slice(4, 64)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("ema", [0.99, 0.0])
def test_it_learns_also_in_bfloat16(number, ema):
    config = replace(SMALL, parts=number, ema=ema, width=32)
    model = made(config).train()
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


@pytest.mark.parametrize("number", [1, 2])
def test_saved_and_loaded_is_the_same(tmp_path, tokenizer, two_parts, number):
    model = tokenizer if number == 1 else two_parts
    model.save_pretrained(tmp_path / "t")
    again = Tokenizer.from_pretrained(tmp_path / "t")
    assert again.config == model.config and not again.training
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["config.json", "model.safetensors"]


def test_float16_halves_the_file_and_keeps_the_motion(tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path / "full")
    tokenizer.save_pretrained(tmp_path / "half", torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    again = Tokenizer.from_pretrained(tmp_path / "half")
    assert all(not v.is_floating_point() or v.dtype == torch.float32 for v in again.state_dict().values())
    assert torch.equal(again.mean, tokenizer.mean) and torch.equal(again.std, tokenizer.std)
    tokens = torch.randint(0, 32, (2, 1, 10), generator=seeded())
    error = tokenizer.normalise(again.decode(tokens)) - tokenizer.normalise(tokenizer.decode(tokens))
    assert error.abs().max() < 5e-3


def test_damaged_folders_are_refused_in_one_sentence(tmp_path, tokenizer):
    folder = tmp_path / "t"
    with pytest.raises(FileNotFoundError, match=r"t/config\.json does not exist"):
        Tokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole, text = weights.read_bytes(), config.read_text()
    for cut in (4, 300, len(whole) - 1):
        weights.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"model\.safetensors is damaged or cut off") as caught:
            Tokenizer.from_pretrained(folder)
        assert "\n" not in str(caught.value)
    weights.write_bytes(whole)
    for old, new, message in (
        ('"width": 16', '"width": 24', r"does not fit its config\.json: .*decoders\.0"),
        ('"width": 16', '"breadth": 16', r"config\.json is no TokenizerConfig .*breadth"),
        ("{", "", r"config\.json is no TokenizerConfig"),
        ('"reset": "dead"', '"reset": "daily"', "reset is 'daily'"),
    ):
        config.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match=message) as caught:
            Tokenizer.from_pretrained(folder)
        assert "\n" not in str(caught.value)
    config.write_text(text)
    Tokenizer.from_pretrained(folder)
