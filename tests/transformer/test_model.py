"""The masked transformer: the release's logits, what each input changes, what is not seen, folders."""

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

    # The public call: MASK is −1, and the model puts END and PAD itself.
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
    model, inputs = small_model(), random_input()
    logits = model(**inputs)
    padded = inputs | {
        "canvas": torch.nn.functional.pad(inputs["canvas"], (0, 4), value=7),
        "words": torch.nn.functional.pad(inputs["words"], (0, 0, 0, 3), value=9.0),
        "word_mask": torch.nn.functional.pad(inputs["word_mask"], (0, 3)),
    }
    beyond = inputs | {"canvas": inputs["canvas"].clone()}
    for row, length in enumerate(inputs["lengths"]):
        beyond["canvas"][row, :, length:] = 3
    for row, length in enumerate(inputs["lengths"]):
        assert torch.allclose(model(**padded)[row, 0, :length], logits[row, 0, :length], atol=1e-5)
        assert torch.equal(model(**beyond)[row, 0, :length], logits[row, 0, :length])


@torch.no_grad()
def test_every_input_changes_the_logits():
    model, inputs = small_model(), random_input()
    inputs["lengths"] = torch.tensor([9, 5, 3])
    logits = model(**inputs)
    changed = [
        inputs | {"words": inputs["words"] + 1},
        inputs | {"sentence": inputs["sentence"] + 1},
        inputs | {"lengths": torch.tensor([8, 6, 4])},  # END is attended to, so the length is known
        inputs | {"canvas": (inputs["canvas"] + 2) % 20},
    ]
    for other in changed:
        assert ((model(**other) - logits)[:, :, :3].abs().amax(dim=(1, 2, 3)) > 1e-4).all()


@torch.no_grad()
def test_dropped_text_is_the_same_for_every_text():
    model, one, other = small_model(), random_input(seed=0), random_input(seed=1)
    other["canvas"], other["lengths"] = one["canvas"], one["lengths"]
    drop = torch.tensor([True, False, True])
    first, second = model(**one, drop_text=drop), model(**other, drop_text=drop)
    assert torch.equal(first[drop], second[drop])
    assert not torch.allclose(first[1], second[1])
    assert torch.allclose(first[1], model(**one)[1], atol=1e-6)
    plain = small_model(text_dropout=0.0)
    assert model.state_dict().keys() - plain.state_dict().keys() == {"no_word", "no_sentence"}
    with pytest.raises(ValueError, match="without text dropout"):
        plain(**one, drop_text=drop)


@pytest.mark.parametrize(("predicts", "predicted"), [(0, 2), (1, 1), (2, 2)])
def test_two_parts_share_the_special_vectors_and_the_codebook_is_not_trained(predicts, predicted):
    model = small_model(parts=2, predicts=predicts)
    assert model.specials.shape == (3, 6) and model.config.predicted_parts == predicted
    inputs = random_input(parts=2)
    inputs["lengths"].fill_(9)
    assert model(**inputs).shape == (3, predicted, 9, 20)
    assert "codebook" not in dict(model.named_parameters()) and "codebook" in model.state_dict()
    model(**inputs).sum().backward()
    untouched = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert untouched == {"no_word", "no_sentence"}


@torch.no_grad()
def test_each_part_has_its_own_rows_of_the_head_and_all_parts_are_seen():
    model, inputs = small_model(parts=2), random_input(parts=2)
    inputs["lengths"] = torch.tensor([9, 5, 3])
    logits = model(**inputs)
    ids, valid = model.token_ids(inputs["canvas"], inputs["lengths"])
    flat = model.forward_ids(ids, valid, inputs["words"], inputs["word_mask"], inputs["sentence"])[:, 1:-1]
    assert torch.equal(logits[:, 0], flat[..., :20]) and torch.equal(logits[:, 1], flat[..., 20:])
    for part in (0, 1):
        other = inputs["canvas"].clone()
        other[:, part] = (other[:, part] + 2) % 20
        moved = (model(**inputs | {"canvas": other}) - logits)[:, :, :3].abs().amax((2, 3))
        assert (moved > 1e-4).all()  # a change in one part changes the logits of both
    model.head.weight[20:] = 0
    assert torch.equal(model(**inputs)[:, 0], logits[:, 0]) and model(**inputs)[:, 1].eq(0).all()


def test_initial_loss_is_that_of_a_guess():
    entropy = -torch.log_softmax(small_model()(**random_input(batch=8)), -1).mean().item()
    assert abs(entropy - np.log(20)) < 0.2


# ---- Folders


@torch.no_grad()
@pytest.mark.parametrize("sizes", [{}, {"parts": 2, "predicts": 1}, {"parts": 2, "predicts": 2}])
def test_saved_and_loaded(tmp_path, sizes):
    model, inputs = small_model(**sizes), random_input(parts=sizes.get("parts", 1))
    model.save_pretrained(tmp_path / "full")
    again = MaskedTransformer.from_pretrained(tmp_path / "full")
    assert again.config == model.config and not again.training
    assert torch.equal(again(**inputs), model(**inputs))
    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    again = MaskedTransformer.from_pretrained(tmp_path / "half")
    assert again.head.weight.dtype == torch.float32
    assert torch.allclose(again(**inputs), model(**inputs), atol=2e-2)


def test_a_large_model_is_sharded(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SHARD_SIZE", "300KB")
    model, folder = small_model(), tmp_path / "m"
    model.save_pretrained(folder)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2 and not (folder / "model.safetensors").exists()
    assert torch.equal(MaskedTransformer.from_pretrained(folder).head.weight, model.head.weight)
    shards[0].unlink()
    with pytest.raises(FileNotFoundError, match="model-0000"):
        MaskedTransformer.from_pretrained(folder)


def edit_config(folder, **changes):
    """Change keys of config.json; None removes one."""
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "error", "named"),
    [
        (lambda folder: (folder / "config.json").unlink(), FileNotFoundError, "config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), FileNotFoundError, "model.safetensors"),
        (lambda folder: cut(folder / "model.safetensors", 50_000), ValueError, "model.safetensors"),
        (lambda folder: cut(folder / "model.safetensors", 0), ValueError, "model.safetensors"),
        (lambda folder: cut(folder / "config.json", 20), ValueError, "config.json"),
        (lambda folder: edit_config(folder, layers=3), ValueError, "config.json: .*blocks.2"),
        (lambda folder: edit_config(folder, parts=2, predicts=1), ValueError, "config.json: .*"),
        (lambda folder: edit_config(folder, colour="red"), ValueError, "config.json .*colour"),
    ],
)
def test_damaged_folders(tmp_path, damage, error, named):
    small_model().save_pretrained(tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(error, match=named):
        MaskedTransformer.from_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: small_model(heads=5), "heads"),
        (lambda: preset("huge", codes=20, code_dim=6, text_dim=16), "'huge', expected one of tiny, light"),
        (lambda: small_model(parts=3), "parts is 3"),
        (lambda: small_model(parts=1, predicts=2), "predicts is 2"),
        (lambda: small_model(parts=2, predicts=-1), "predicts is -1"),
        (lambda: MaskedTransformer(small_model().config, torch.zeros(1, 21, 6)), r"\(1, 21, 6\)"),
        (lambda: small_model()(**random_input(n=50)), "50 tokens"),
        (lambda: small_model()(**random_input(parts=2)), "2 part"),
    ],
)
def test_refusals(call, named):
    with pytest.raises(ValueError, match=named):
        call()
