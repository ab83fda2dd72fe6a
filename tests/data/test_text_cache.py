"""Stored embeddings: what is looked up, what is refused, and that a failed build leaves the old file."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmm.data.text_cache import StaleCache, TextCache, text_source
from mmm.text import TextEmbedding, TextEncoder

CAPTIONS = ["a person walks", "someone waves the left hand, then sits down", "jump", "a man kicks — twice"]


class LetterEncoder(TextEncoder):
    """Words are letters; the vector of a letter says which letter and where. Keeps its calls."""

    def __init__(self, name: str = "letters", scale: float = 1.0):
        self.name, self.width, self.scale = name, 3, scale
        self.batches: list[list[str]] = []

    def count_words(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    def encode(self, texts: list[str]) -> TextEmbedding:
        self.batches.append(texts)
        longest = max(map(len, texts))
        words = torch.zeros(len(texts), longest, 3)
        for row, text in enumerate(texts):
            for i, letter in enumerate(text):
                words[row, i] = torch.tensor([ord(letter) % 64, i, 0.5]) * self.scale
        mask = torch.arange(longest) < torch.tensor(self.count_words(texts))[:, None]
        # What lies in the padding must not reach the cache.
        return TextEmbedding(words.masked_fill(~mask[..., None], 77.0), mask, words.sum(1) / 64)


@pytest.fixture
def encoder() -> LetterEncoder:
    return LetterEncoder()


def assert_same(actual: TextEmbedding, expected: TextEmbedding) -> None:
    torch.testing.assert_close(actual.mask, expected.mask)
    torch.testing.assert_close(actual.words[actual.mask], expected.words[expected.mask], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(actual.sentence, expected.sentence, atol=2e-3, rtol=1e-3)


def test_what_is_looked_up_is_what_the_encoder_gave(encoder: LetterEncoder, tmp_path: Path):
    path = tmp_path / "text.safetensors"
    built = TextCache.build(path, [*CAPTIONS, CAPTIONS[0]], encoder, batch_size=2)
    assert [len(batch) for batch in encoder.batches] == [2, 2]  # each caption once
    assert [len(text) for batch in encoder.batches for text in batch] == [4, 14, 19, 43]  # of similar length
    loaded = TextCache.load(path, "letters", CAPTIONS)
    assert loaded.captions == CAPTIONS and (loaded.name, loaded.width, len(loaded)) == ("letters", 3, 4)
    texts = [CAPTIONS[3], CAPTIONS[0], CAPTIONS[3]]
    for cache in (built, loaded):
        embedding = cache.lookup(texts)
        assert embedding.words.dtype == embedding.sentence.dtype == torch.float32
        assert embedding.words.shape == (3, 19, 3) and (embedding.words[~embedding.mask] == 0).all()
        assert_same(embedding, encoder.encode(texts))
    with pytest.raises(ValueError, match="fly"):
        loaded.lookup(["jump", "fly"])
    with safe_open(path, framework="pt") as file:  # without padding, in half precision
        assert file.get_tensor("words").shape == (sum(map(len, CAPTIONS)), 3)
        assert file.get_tensor("words").dtype == file.get_tensor("sentence").dtype == torch.float16
        assert file.metadata()["encoder"] == "letters"


def test_another_encoder_and_other_captions_are_refused(encoder: LetterEncoder, tmp_path: Path):
    path = tmp_path / "text.safetensors"
    TextCache.build(path, CAPTIONS, encoder)
    with pytest.raises(StaleCache, match="letters.*minilm"):
        TextCache.load(path, "minilm")
    with pytest.raises(StaleCache, match="fly"):
        TextCache.load(path, "letters", ["jump", "fly"])
    assert len(TextCache.load(path, "letters", ["jump"])) == 4  # some of the captions are fine


def test_damaged_and_foreign_files_are_refused_and_kept(encoder: LetterEncoder, tmp_path: Path):
    path = tmp_path / "text.safetensors"
    with pytest.raises(FileNotFoundError, match="text.safetensors"):
        TextCache.load(path)
    TextCache.build(path, CAPTIONS, encoder)
    whole = path.read_bytes()
    for size in (len(whole) - 10, 100, 3, 0):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"text.safetensors is damaged"):
            text_source(CAPTIONS, encoder, path)
        assert path.stat().st_size == size
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="text.safetensors is no text cache"):
        text_source(CAPTIONS, encoder, path)


def test_a_build_that_fails_leaves_the_old_cache_and_nothing_else(encoder: LetterEncoder, tmp_path: Path):
    path = tmp_path / "text.safetensors"
    TextCache.build(path, CAPTIONS, encoder)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="huge"):
        TextCache.build(path, CAPTIONS, LetterEncoder("huge", scale=1e6))
    with pytest.raises(ValueError, match="no captions"):
        TextCache.build(path, [], encoder)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_text_source_builds_once_then_reads(encoder: LetterEncoder, tmp_path: Path):
    path = tmp_path / "cache" / "text.safetensors"
    first = text_source(CAPTIONS, encoder, path)
    calls = len(encoder.batches)
    second = text_source(reversed(CAPTIONS), encoder, path)
    assert isinstance(first, TextCache) and isinstance(second, TextCache)
    assert len(encoder.batches) == calls
    more = text_source([*CAPTIONS[1:], "fly"], encoder, path)  # only what is new is encoded
    assert encoder.batches[calls:] == [["fly"]] and more.captions == [*CAPTIONS[1:], "fly"]
    assert_same(more.lookup(CAPTIONS[1:]), first.lookup(CAPTIONS[1:]))
    assert_same(more.lookup(["fly"]), encoder.encode(["fly"]))
    assert text_source(CAPTIONS, LetterEncoder("others"), path).name == "others"


def test_text_source_above_its_size_is_the_encoder(encoder: LetterEncoder, tmp_path: Path):
    size, path = 2 * 3 * (sum(map(len, CAPTIONS)) + len(CAPTIONS)), tmp_path / "text.safetensors"
    live = text_source(CAPTIONS, encoder, path, max_bytes=size - 1)
    assert live is encoder and not path.exists()
    cached = text_source(CAPTIONS, encoder, path, max_bytes=size)
    assert isinstance(cached, TextCache)
    assert_same(cached.lookup(CAPTIONS[:2]), live.lookup(CAPTIONS[:2]))


def test_an_encoder_that_now_does_something_else_makes_the_cache_stale(
    encoder: LetterEncoder, tmp_path: Path
):
    path = tmp_path / "text.safetensors"
    text_source(CAPTIONS, encoder, path)
    changed = LetterEncoder(scale=0.5)
    changed.how = "half as large"
    with pytest.raises(StaleCache, match="half as large"):
        TextCache.load(path, "letters", how=changed.how)
    assert_same(text_source([*CAPTIONS, "fly"], changed, path).lookup(CAPTIONS), changed.encode(CAPTIONS))
    assert TextCache.load(path).how == "half as large"
