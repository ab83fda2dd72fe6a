"""Captions in everyday wording: enough of them, well inflected, true of their action, and how actions combine."""

import itertools
import re

import numpy as np
import pytest
import yaml

from mmm.data.captions import mirror_text
from mmm.datasets.bandai_captions import ACTION_CLASSES, STYLES
from mmm.datasets.compositions import follows, together
from mmm.datasets.phrasing import (
    FOLDER,
    NEUTRAL,
    actions,
    at_once,
    captions_of,
    different,
    one,
    phrases,
    sentences,
    styles,
    then,
)
from mmm.sequences import try_split

GENERATOR = np.random.default_rng


def new_phrases():
    """The phrases of every class beside those of `bandai_captions`."""
    return {
        action: [phrase for phrase in own if phrase not in ACTION_CLASSES.get(action, [])]
        for action, own in phrases().items()
    }


def test_every_action_has_sixty_phrasings_and_every_style_fifteen():
    few = {action: len(own) for action, own in new_phrases().items() if len(own) < 60}
    assert not few
    poor = {
        style: count
        for style, kinds in styles().items()
        if (count := sum(map(len, kinds)) - sum(map(len, STYLES[style]))) < 15
    }
    assert not poor


def test_no_phrase_is_written_twice_or_in_a_way_that_files_cannot_hold():
    for action, own in phrases().items():
        plain = [" ".join(phrase.lower().split()) for phrase in own]
        assert len(set(plain)) == len(plain), action
        for phrase in own:
            assert phrase == phrase.strip() and "#" not in phrase and "SIDE" not in phrase, phrase
            assert re.fullmatch(r"[^<>{}]*(?:(?:<[a-z-]+>|\{the\})[^<>{}]*)*", phrase), phrase


@pytest.mark.parametrize("action", ["wave-left-hand", "walk-turn-right"])
def test_sides_are_named_and_swap_with_the_mirror(action):
    mirrored = mirror_text(action)
    assert sorted(map(mirror_text, phrases()[action])) == sorted(phrases()[mirrored])
    other = "right" if "left" in action else "left"
    assert not any(re.search(rf"\b{other}\b", phrase) for phrase in phrases()[action])


def test_captions_name_the_style_first_and_not_last():
    words = {word for own in styles()["angry"] for word in own if word}
    for seed in range(20):
        texts = captions_of("bow", "angry", GENERATOR(seed), 6)
        assert len(set(texts)) == len(texts) == 6
        assert any(word in texts[0] for word in words), texts[0]
        assert not any(word in texts[-1] for word in words), texts[-1]


def test_captions_are_sentences_without_marks_of_the_grammar():
    rng = GENERATOR(0)
    pairs = [("walk", "bow"), ("sit-down", "stand-up"), ("run", "wave-right-hand")]
    texts = [text for action in phrases() for text in captions_of(action, "normal", rng, 4)]
    texts += [then(a, b, rng) for a, b in pairs for _ in range(40)]
    texts += [at_once("walk", arms, rng) for arms in ("wave-left-hand", "bye") for _ in range(40)]
    for text in texts:
        assert not re.search(r"[<>{}#]|\b[A-Z]\b|  | ,|,$|^,", text), text
        assert text == text.strip() and len(text.split()) <= 45, text


def test_a_sequence_names_both_actions_in_their_order_and_possessives_fit():
    rng = GENERATOR(1)
    for _ in range(200):
        text = then("walk", "bow", rng)
        if re.match(r"(a|the) (man|guy|boy)\b", text):
            assert not re.search(r"\b(her|their)\b", text), text
        if re.match(r"(a|the) (woman|lady|girl)\b", text):
            assert not re.search(r"\b(his|their)\b", text), text


def test_a_clause_with_a_pronoun_has_a_finite_verb():
    rng = GENERATOR(2)
    texts = [at_once("walk", "wave-left-hand", rng) for _ in range(600)]
    clauses = [match[0] for text in texts if (match := re.search(r"\bas (he|she|they) \w+", text))]
    assert len(clauses) > 5 and not any(clause.endswith("ing") for clause in clauses), clauses


def test_what_does_not_go_together_is_excluded():
    assert follows("walk", "sit-down") and follows("stand-up", "walk") and follows("bow", "walk")
    assert not follows("sit-down", "walk") and not follows("walk", "stand-up")
    assert not follows("sit-down", "stand-up")  # the seats of the data have different heights
    assert not follows("steps-up", "walk") and follows("steps-up", "steps-down")
    assert together("walk", "wave-left-hand") and not together("wave-left-hand", "walk")
    assert not together("walk", "bow") and not together("bow", "wave-left-hand")


def test_rules_are_of_known_actions():
    known = actions()
    assert set(known) <= set(phrases()) and all(mirror_text(action) in known for action in known)
    assert {entry["part"] for entry in known.values()} == {"legs", "arms", "whole"}
    assert all(entry["part"] == "arms" for entry in known.values() if entry["held"] or entry["holding"])


@pytest.mark.parametrize(("style", "never"), [("feminine", "he"), ("masculine", "she")])
def test_subjects_do_not_contradict_the_style(style, never):
    rng = GENERATOR(3)
    texts = [one("walk", style, rng, False) for _ in range(300)]
    gone = "|".join(NEUTRAL[never])
    assert not [text for text in texts if re.match(rf"({gone})\b", text)]
    assert not [text for text in texts if re.match(r"(an?|the) (old|young) ", text)]


def test_too_few_different_captions_are_refused():
    words = itertools.cycle("ab")
    with pytest.raises(ValueError, match="3 different captions"):
        different(lambda: next(words), 3)


def test_sentences_are_about_known_actions_and_name_their_sides():
    table = sentences()
    for key, own in table.items():
        names, _, style = key.partition(", ")
        legs, _, arms = names.partition(" while ")
        assert {legs, arms or legs} <= set(actions()) and (not arms or together(legs, arms)), key
        assert not style or style in styles(), key
        assert len(set(own)) == len(own) > 2, key
        sides = {side for side in ("left", "right") if side in names}
        # the clips show a right arm that guides or says goodbye and a left one that answers; "both" may name each hand
        free = legs in ("guide", "bye", "byebye", "respond") or legs.endswith("both-hands")
        for text in own:
            assert text.isascii() and "SIDE" not in text and text == " ".join(text.split()), text
            said = set(re.findall(r"\b(left|right)\b", text.lower()))
            assert said == sides or free or (legs.startswith("drink") and not said), (key, text)
    assert table["walk while wave-left-hand"] != table["walk while wave-right-hand"]


def test_every_written_sentence_is_used_and_is_not_cut_into_two_actions():
    used = {text for own in sentences().values() for text in own}
    count = 0
    for file in (FOLDER / "sentences").glob("*.yaml"):
        for own in yaml.safe_load(file.read_text(encoding="utf-8")).values():
            count += len(own)
            written = {re.sub("[LA]?SIDE", "left", text) for text in own}
            assert written <= used and len(written) == len(own), file
    assert count > 3900
    cut = [
        text for text in used if [piece.strip(" ,;.") for piece in try_split(text)] != [text.strip(" ,;.")]
    ]
    assert not cut


def test_every_action_has_sentences_but_two_kinds_of_walks_with_one_take_each():
    assert set(actions()) - set(sentences()) == {"walk-back-diagonal", "walk-curve-left", "walk-curve-right"}
