import json

import numpy as np
import pytest
import torch

from mmm import storage
from mmm.release.transformer import from_release_state
from mmm.transformer import (
    MASK,
    LengthConfig,
    LengthEstimator,
    MaskedTransformer,
    TransformerConfig,
    preset,
)


def tensors(arrays, *names):
    return [torch.from_numpy(arrays[name]) for name in names]


def release(arrays, *codebooks):
    state = {name[6:]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("state/")}
    return state, torch.stack(tensors(arrays, *codebooks))


def small_model(**changes):
    torch.manual_seed(0)
    config = preset("tiny", codes=20, code_dim=6, text_dim=16, **changes)
    return MaskedTransformer(config, torch.randn(config.parts, 20, 6)).eval()


def random_input(batch=3, n=9, words=5, parts=1, codes=20, text_dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "canvas": torch.randint(MASK, codes, (batch, parts, n), generator=generator),
        "lengths": torch.randint(1, n + 1, (batch,), generator=generator),
        "words": torch.randn(batch, words, text_dim, generator=generator),
        "word_mask": torch.ones(batch, words, dtype=torch.bool),
        "sentence": torch.randn(batch, text_dim, generator=generator),
    }


@torch.no_grad()
def test_logits_of_the_release(golden):
    arrays = golden("transformer")
    config, model = from_release_state(*release(arrays, "codebook"), heads=4)
    assert (config.layers, config.cross_layers, config.max_tokens, config.mlp_ratio) == (6, 2, 49, 4)
    ids, valid, words, sentence, expected = tensors(arrays, "canvas", "valid", "words", "sentence", "logits")
    word_mask = torch.ones(words.shape[:2], dtype=torch.bool)
    logits = model.forward_ids(ids[:, None], valid, words, word_mask, sentence)
    assert (logits - expected).abs().max() < 1e-4

    # The public door: MASK is −1 and the model puts END and PAD itself.
    lengths = torch.from_numpy(arrays["lengths"]) // 4
    canvas = torch.where(ids == 66, MASK, ids)[:, None, :49]
    logits = model(canvas, lengths, words, word_mask, sentence)[:, 0]
    for row, length in enumerate(lengths):
        assert (logits[row, :length] - expected[row, 1 : length + 1]).abs().max() < 1e-4


@torch.no_grad()
def test_logits_of_the_release_with_two_parts(golden):
    arrays = golden("transformer_parts")
    config, model = from_release_state(*release(arrays, "codebook_upper", "codebook_lower"), heads=4)
    assert (config.parts, config.predicts, config.code_dim) == (2, 1, 4)
    ids = torch.stack(tensors(arrays, "upper", "lower"), dim=1)
    valid, words, sentence, expected = tensors(arrays, "valid", "words", "sentence", "logits")
    logits = model.forward_ids(ids, valid, words, torch.ones(words.shape[:2], dtype=torch.bool), sentence)
    assert (logits - expected).abs().max() < 1e-4


def test_release_state_carries_a_tokenizer_and_is_checked(golden):
    state, codebook = release(golden("transformer"), "codebook")
    from_release_state(state | {"trans_base.vqvae.encoder.0.weight": torch.zeros(1)}, codebook, heads=4)
    with pytest.raises(ValueError, match="65 codes of width 8"):
        from_release_state(state, torch.zeros(1, 65, 8), heads=4)
    with pytest.raises(ValueError, match="trans_head.extra.weight"):
        from_release_state(state | {"trans_head.extra.weight": torch.zeros(1)}, codebook, heads=4)
    for name in (
        "trans_head.blocks.1.attn.key.weight",
        "trans_base.learn_tok_emb.weight",
        "trans_head.head.weight",
    ):
        with pytest.raises(ValueError, match="does not fit|lacks trans_head.head.weight"):
            from_release_state({key: state[key] for key in state if key != name}, codebook, heads=4)


def test_sizes(monkeypatch):
    monkeypatch.setattr(MaskedTransformer, "reset_parameters", lambda model: None)

    def count(name, **sizes):
        config = preset(name, **sizes)
        with torch.device("meta"):  # shapes without memory
            model = MaskedTransformer(config, torch.zeros(1, config.codes, config.code_dim))
        return sum(parameter.numel() for parameter in model.parameters())

    assert round(count("paper", codes=8192, code_dim=32, text_dim=512) / 1e6) == 236
    length = sum(p.numel() for p in LengthEstimator(LengthConfig(text_dim=384)).parameters())
    assert count("small", codes=1024, code_dim=32, text_dim=384) < 4.5e6  # a tokenizer has 2.2 M: 7 M in all
    assert length < 0.2e6


@torch.no_grad()
def test_padding_is_not_seen():
    model, given = small_model(), random_input()
    logits = model(**given)
    padded = {
        "canvas": torch.nn.functional.pad(given["canvas"], (0, 4), value=7),
        "lengths": given["lengths"],
        "words": torch.nn.functional.pad(given["words"], (0, 0, 0, 3), value=9.0),
        "word_mask": torch.nn.functional.pad(given["word_mask"], (0, 3)),
        "sentence": given["sentence"],
    }
    wide = model(**padded)
    beyond = given | {"canvas": given["canvas"].clone()}
    for row, length in enumerate(given["lengths"]):
        assert torch.allclose(wide[row, 0, :length], logits[row, 0, :length], atol=1e-5)
        beyond["canvas"][row, :, length:] = 3
    for row, length in enumerate(given["lengths"]):
        assert torch.equal(model(**beyond)[row, 0, :length], logits[row, 0, :length])


@torch.no_grad()
def test_everything_that_should_matter_does():
    model, given = small_model(), random_input()
    given["lengths"] = torch.tensor([9, 5, 3])
    logits = model(**given)
    changed = [
        given | {"words": given["words"] + 1},
        given | {"sentence": given["sentence"] + 1},
        given | {"lengths": torch.tensor([8, 6, 4])},  # END is attended to, so the length is known
        given | {"canvas": (given["canvas"] + 2) % 20},
    ]
    for other in changed:
        assert ((model(**other) - logits)[:, :, :3].abs().amax(dim=(1, 2, 3)) > 1e-4).all()


@torch.no_grad()
def test_dropped_text_is_one_and_the_same():
    model, one, other = small_model(), random_input(seed=0), random_input(seed=1)
    other["canvas"], other["lengths"] = one["canvas"], one["lengths"]
    drop = torch.tensor([True, False, True])
    first, second = model(**one, drop_text=drop), model(**other, drop_text=drop)
    assert torch.equal(first[drop], second[drop])
    assert not torch.allclose(first[1], second[1])
    assert torch.allclose(first[1], model(**one)[1], atol=1e-6)
    plain = small_model(text_dropout=0.0)
    assert {name for name, _ in model.named_parameters()} - {
        name for name, _ in plain.named_parameters()
    } == {
        "no_word",
        "no_sentence",
    }
    with pytest.raises(ValueError, match="without text dropout"):
        plain(**one, drop_text=drop)


@pytest.mark.parametrize(("predicts", "predicted"), [(0, 2), (1, 1), (2, 2)])
def test_two_parts_share_the_special_vectors_and_the_codebook_is_not_trained(predicts, predicted):
    model = small_model(parts=2, predicts=predicts)
    assert model.specials.shape == (3, 6) and model.config.predicted == predicted
    given = random_input(parts=2)
    given["lengths"].fill_(9)
    assert model(**given).shape == (3, predicted, 9, 20)
    assert "codebook" not in dict(model.named_parameters()) and "codebook" in model.state_dict()
    model(**given).sum().backward()
    untouched = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert untouched == {"no_word", "no_sentence"}


@torch.no_grad()
def test_each_part_has_its_own_rows_of_the_head_and_all_parts_are_seen():
    model, given = small_model(parts=2), random_input(parts=2)
    given["lengths"] = torch.tensor([9, 5, 3])
    logits = model(**given)
    ids, valid = model.token_ids(given["canvas"], given["lengths"])
    flat = model.forward_ids(ids, valid, given["words"], given["word_mask"], given["sentence"])[:, 1:-1]
    assert torch.equal(logits[:, 0], flat[..., :20]) and torch.equal(logits[:, 1], flat[..., 20:])
    for part in (0, 1):
        other = given["canvas"].clone()
        other[:, part] = (other[:, part] + 2) % 20
        moved = (model(**given | {"canvas": other}) - logits)[:, :, :3].abs().amax((2, 3))
        assert (moved > 1e-4).all()  # what one part holds tells on the logits of both
    model.head.weight[20:] = 0
    assert torch.equal(model(**given)[:, 0], logits[:, 0]) and model(**given)[:, 1].eq(0).all()


def test_a_folder_from_before_there_was_predicts_is_loaded(tmp_path):
    model = small_model()
    model.save_pretrained(tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    values = json.loads(config.read_text())
    del values["predicts"]
    config.write_text(json.dumps(values))
    again = MaskedTransformer.from_pretrained(tmp_path / "m")
    assert again.config == model.config and again.config.predicted == 1
    assert torch.equal(again.head.weight, model.head.weight)


@torch.no_grad()
@pytest.mark.parametrize("predicts", [1, 2])
def test_two_parts_saved_and_loaded(tmp_path, predicts):
    model, given = small_model(parts=2, predicts=predicts), random_input(parts=2)
    model.save_pretrained(tmp_path / "m")
    again = MaskedTransformer.from_pretrained(tmp_path / "m")
    assert again.config == model.config and torch.equal(again(**given), model(**given))
    config = tmp_path / "m" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"predicts": 3 - predicts}))
    with pytest.raises(ValueError, match="does not fit its config.json: .*head.weight"):
        MaskedTransformer.from_pretrained(tmp_path / "m")


@torch.no_grad()
def test_saved_and_loaded(tmp_path, monkeypatch):
    model, given = small_model(), random_input()
    model.save_pretrained(tmp_path / "full")
    again = MaskedTransformer.from_pretrained(tmp_path / "full")
    assert again.config == model.config and not again.training
    assert torch.equal(again(**given), model(**given))

    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    again = MaskedTransformer.from_pretrained(tmp_path / "half")
    assert again.head.weight.dtype == torch.float32
    assert torch.allclose(again(**given), model(**given), atol=2e-2)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.55 * sizes[0]

    monkeypatch.setattr(storage, "SHARD_SIZE", "300KB")
    model.save_pretrained(tmp_path / "full")  # replaces the folder as a whole
    assert not (tmp_path / "full" / "model.safetensors").exists()
    assert len(list((tmp_path / "full").glob("model-*.safetensors"))) > 2
    assert torch.equal(MaskedTransformer.from_pretrained(tmp_path / "full")(**given), model(**given))
    next((tmp_path / "full").glob("model-*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match="model-0000"):
        MaskedTransformer.from_pretrained(tmp_path / "full")


def test_damaged_folders(tmp_path):
    folder = tmp_path / "model"
    with pytest.raises(FileNotFoundError, match="config.json"):
        MaskedTransformer.from_pretrained(folder)
    small_model().save_pretrained(folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole, text = weights.read_bytes(), config.read_text()

    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="model.safetensors is damaged or cut off"):
        MaskedTransformer.from_pretrained(folder)
    weights.write_bytes(b"")
    with pytest.raises(ValueError, match="model.safetensors is damaged or cut off"):
        MaskedTransformer.from_pretrained(folder)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        MaskedTransformer.from_pretrained(folder)

    weights.write_bytes(whole)
    config.write_text(json.dumps(json.loads(text) | {"layers": 3}))
    with pytest.raises(ValueError, match="does not fit its config.json: .*blocks.2"):
        MaskedTransformer.from_pretrained(folder)
    config.write_text(json.dumps(json.loads(text) | {"colour": "red"}))
    with pytest.raises(ValueError, match="config.json is no TransformerConfig .*colour"):
        MaskedTransformer.from_pretrained(folder)
    config.write_text(text[:20])
    with pytest.raises(ValueError, match="config.json is no TransformerConfig"):
        MaskedTransformer.from_pretrained(folder)


def test_refusals():
    with pytest.raises(ValueError, match="heads"):
        preset("tiny", codes=20, code_dim=6, text_dim=16, heads=5)
    with pytest.raises(ValueError, match="'huge', expected one of tiny, light, small, paper"):
        preset("huge", codes=20, code_dim=6, text_dim=16)
    with pytest.raises(ValueError, match="parts is 3"):
        TransformerConfig(codes=20, code_dim=6, text_dim=16, dim=32, layers=1, parts=3)
    for parts, predicts in ((1, 2), (2, 3), (2, -1)):
        with pytest.raises(ValueError, match=f"predicts is {predicts}, expected 1 to {parts}"):
            small_model(parts=parts, predicts=predicts)
    config = preset("tiny", codes=20, code_dim=6, text_dim=16)
    with pytest.raises(ValueError, match=r"codebook is \(1, 21, 6\), expected .* \(1, 20, 6\)"):
        MaskedTransformer(config, torch.zeros(1, 21, 6))
    model = small_model()
    with pytest.raises(ValueError, match="1 part.s. of 50 tokens, this model takes 1 of at most 49"):
        model(**random_input(n=50))
    with pytest.raises(ValueError, match="2 part"):
        model(**random_input(parts=2))


def test_initial_loss_is_that_of_a_guess():
    model, given = small_model(), random_input(batch=8)
    entropy = -torch.log_softmax(model(**given), -1).mean().item()
    assert abs(entropy - np.log(20)) < 0.2
