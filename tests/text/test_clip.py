"""CLIP as the paper uses it, against transformers' own outputs on ids that are written out by hand."""

import pytest
import torch
from made_up import clip as made_up
from transformers import CLIPTextModelWithProjection

from mmm.text import (
    CLIP_PADDING,
    WIDTHS,
    ClipTextEncoder,
    TextCache,
    TextEncoder,
    load_text_encoder,
    text_source,
)

IDS, START, END = made_up.IDS, made_up.START, made_up.END
WAVE = ["w", "a", "v", "e</w>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_up.write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder):
    return load_text_encoder("clip", folder=folder)


def ids_of(tokens, padding):
    """(1, 77): START, the tokens, END, and `padding` in all other places."""
    tokens = [START, *tokens, END]
    return torch.tensor([[IDS[token] for token in tokens] + [padding] * (77 - len(tokens))])


@torch.no_grad()
def reference(folder, ids):
    """Last hidden states of all places; the END place projected by hand, not normalised."""
    model = CLIPTextModelWithProjection.from_pretrained(folder).eval()
    words = model(input_ids=ids).last_hidden_state
    end = (ids[0] == IDS[END]).nonzero()[0, 0]
    return words, model.text_projection(words[:, end])


@pytest.mark.parametrize("eos", [2, IDS[END]])  # what openai/clip-vit-base-patch32 says, and what is meant
def test_words_are_all_77_places_and_the_sentence_is_the_projected_end(tmp_path, eos):
    folder = made_up.write_clip(tmp_path / "clip", eos_token_id=eos)
    clip = load_text_encoder("clip", folder=folder)
    texts = ["wave", "a person walks and turns left"]
    out = clip.encode(texts)
    assert isinstance(clip, ClipTextEncoder) and clip.name == "clip"
    assert out.words.shape == (2, 77, 16) and out.mask.all() and clip.count_words(texts) == [77, 77]
    words, sentence = reference(folder, ids_of(WAVE, padding=0))
    torch.testing.assert_close(out.words[:1], words, atol=1e-6, rtol=0)
    torch.testing.assert_close(out.sentence[:1], sentence, atol=1e-6, rtol=0)
    assert abs(float(out.sentence[0].norm()) - 1) > 1e-2  # not normalised


def test_the_places_behind_end_hold_zeros_and_it_matters(folder, clip):
    """OpenAI's padding is 0, transformers' own is END: the paper's transformer reads these places as words."""
    assert CLIP_PADDING == 0 == IDS["!"] and clip.tokenizer.pad_token_id == IDS[END]
    own = clip.tokenizer(["wave"], padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
    assert torch.equal(own, ids_of(WAVE, padding=IDS[END]))
    words, sentence = reference(folder, own)
    out = clip.encode(["wave"])
    torch.testing.assert_close(out.words[:, :6], words[:, :6], atol=1e-6, rtol=0)  # attention is causal
    torch.testing.assert_close(out.sentence, sentence, atol=1e-6, rtol=0)
    assert float((out.words[:, 6:] - words[:, 6:]).abs().amin(dim=(0, 1)).max()) > 0.05


def test_a_long_text_is_cut_and_keeps_its_end(folder, clip):
    out = clip.encode(["wave " * 40])
    words, sentence = reference(folder, ids_of((WAVE * 19)[:75], padding=0))
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
def test_texts_are_mended_as_openai_does(clip, text, plain):
    assert clip._ids([text]) == clip._ids([plain])


def test_a_text_that_is_no_unicode_is_named(clip):
    with pytest.raises(ValueError, match=r"text 2 of 2, 'wave \\udcff', holds bytes that are no UTF-8"):
        clip.encode(["wave", b"wave \xff".decode(errors="surrogateescape")])


def test_the_widths_that_are_known_beforehand(folder):
    assert WIDTHS == {"minilm": 384, "clip": 512}
    assert load_text_encoder("minilm").width == WIDTHS["minilm"]


def test_a_folder_with_clip_is_treated_alike(folder, clip):
    other = load_text_encoder(str(folder))
    assert isinstance(other, ClipTextEncoder) and other.name.startswith(f"{folder}@")
    assert torch.equal(other.encode(["wave"]).words, clip.encode(["wave"]).words)


def test_embeddings_of_another_padding_are_not_mixed_up(clip, tmp_path, monkeypatch):
    """The file says what its encoder did; one that now does something else writes it anew."""
    path = tmp_path / "clip.safetensors"
    old = text_source(["wave"], clip, path).lookup(["wave"])
    assert TextCache.load(path).how == clip.how != TextEncoder.how and "filled with 0" in clip.how
    monkeypatch.setattr("mmm.text.CLIP_PADDING", IDS[END])
    monkeypatch.setattr(ClipTextEncoder, "how", clip.how.replace("filled with 0", "filled with END"))
    with pytest.raises(ValueError, match=r"gives 77 places.*filled with 0.*now it gives.*filled with END"):
        TextCache.load(path, "clip", how=clip.how)
    new = text_source(["wave"], clip, path).lookup(["wave"])
    assert not torch.equal(new.words, old.words) and torch.equal(new.sentence, old.sentence)
    assert torch.equal(text_source(["wave"], clip, path).lookup(["wave"]).words, new.words)
