"""Misspelled captions: one typing error in a word, the same for the same seed."""

import re

import torch
from hypothesis import given
from hypothesis import strategies as st

from mmm.data.typos import VARIANTS, draw_misspelled, misspell, with_variants

CAPTION = "a tired person walks forward and turns left, then waves"


def one_error(word: str, typed: str) -> bool:
    """Two letters swapped, one more, one less, or one other."""
    swaps = {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    less = {word[:i] + word[i + 1 :] for i in range(len(word))}
    more = any(typed[:i] + typed[i + 1 :] == word for i in range(len(typed)))
    other = len(word) == len(typed) and sum(a != b for a, b in zip(word, typed, strict=True)) <= 1
    return typed in swaps | less or more or other


@given(st.text(alphabet="abcdefghij XYZ,.'é3", max_size=60), st.integers(0, 5))
def test_only_long_words_change_and_by_one_error_each(text, seed):
    typed = misspell(text, seed)
    assert typed == misspell(text, seed)
    old, new = text.split(" "), typed.split(" ")
    assert len(old) == len(new)
    for pair in zip(old, new, strict=True):
        pieces = [re.findall(r"[A-Za-z]+|[^A-Za-z]+", word) for word in pair]
        assert len(pieces[0]) == len(pieces[1])
        for a, b in zip(*pieces, strict=True):
            assert a == b or (len(a) >= 4 and a[0] == b[0] and a[0].isalpha() and one_error(a, b))


def test_each_caption_with_a_long_word_gets_an_error_and_short_words_none():
    for text in (CAPTION, "aaaa bbbbb", "a book"):
        assert all(misspell(text, seed) != text for seed in range(50))
    assert misspell("go up to me", 1) == "go up to me" and misspell("", 0) == ""
    assert len({misspell(CAPTION, seed) for seed in range(50)}) > 25


def test_a_ratio_is_misspelled_and_all_that_can_be_drawn_is_embedded():
    captions = [CAPTION.replace("tired", f"tired{'x' * i}") for i in range(400)]
    drawn = draw_misspelled(captions, 0.25, torch.Generator().manual_seed(0))
    changed = [(a, b) for a, b in zip(captions, drawn, strict=True) if a != b]
    assert 70 < len(changed) < 130
    assert set(drawn) <= set(with_variants(captions))
    assert len({captions.index(a) % 2 for a, _ in changed}) == 2 and VARIANTS > 1
    generator = torch.Generator().manual_seed(0)
    assert set(draw_misspelled([CAPTION] * 40, 1.0, generator)) == {
        misspell(CAPTION, k) for k in range(VARIANTS)
    }
    assert draw_misspelled(captions, 0.0, torch.Generator().manual_seed(0)) == captions
