"""Crops and compositions: what they are made of, that their captions fit, and that a batch does not depend on order."""

import dataclasses

import numpy as np
import pytest
import torch

from mmm.recipes import OURS
from mmm.transformer.compose import SHORTEST, STRETCH, Composer
from mmm.transformer.tokens import TokenSet

LONGEST = 49
LENGTHS = {"walk": 30, "wave-left-hand": 20, "sit-down": 12, "guide": 9, "juggle": 10}
NAMES = [*LENGTHS, *(f"M{name}" for name in LENGTHS)]
TABLE = {
    "actions": {
        "walk": {"part": "legs", "repeats": True},
        "wave-left-hand": {"part": "arms", "repeats": False},
        "guide": {"part": "arms", "repeats": False, "held": True},
        "sit-down": {"part": "whole", "repeats": False},
    },
    "clips": {name: name for name in ("walk", "wave-left-hand", "guide", "sit-down")},
    "then": {
        "walk|wave-left-hand": ["walks, then waves the left hand"],
        "wave-left-hand|walk": ["waves the left hand, then walks"],
        "walk|sit-down": ["walks, then sits down"],
    },
    "while": {
        "walk|wave-left-hand": ["walks waving the left hand"],
        "walk|guide": ["walks pointing with the right arm"],
        "walk|sit-down": [],
    },
}
ALONE = {"crop": 0.0, "then": 0.0, "at_once": 0.0, "repeat": 0.0, "typed": 0.0}


def tokens():
    """Four clips and their mirror images; the code says which clip it is, which part and which position."""
    names = [*LENGTHS, *(f"M{name}" for name in LENGTHS)]
    lengths = torch.tensor([LENGTHS[name.removeprefix("M")] for name in names])
    ids = (
        torch.arange(len(names))[:, None, None] * 1000
        + torch.arange(2)[:, None] * 100
        + torch.arange(LONGEST)
    )
    starts = torch.arange(len(NAMES) + 1)
    captions = [[name] for name in NAMES]
    return TokenSet(ids.to(torch.int16), lengths, starts, captions, np.ones(len(NAMES)), NAMES)


def composer(parts=2, table=TABLE, **chances):
    return Composer(tokens(), table, LONGEST, dataclasses.replace(OURS, **ALONE | chances), parts)


def draw(name, seed=0, times=40, caption=None, table=TABLE, **chances):
    """Rows (2, n) and captions of `times` draws of one clip."""
    clip = torch.full((times,), NAMES.index(name))
    generator = torch.Generator().manual_seed(seed)
    batch, lengths, captions = composer(table=table, **chances).draw(
        clip, clip, [caption or name] * times, generator
    )
    return [row[:, :n] for row, n in zip(batch, lengths.tolist(), strict=True)], captions


def source(row, part=1):
    """Which clip each position of a part comes from."""
    return [NAMES[number] for number in (row[part] // 1000).tolist()]


def test_nothing_changes_without_a_chance_or_a_rule():
    for name in ("walk", "juggle"):
        rows, captions = draw(name, **(ALONE if name == "walk" else dict.fromkeys(ALONE, 1.0)))
        assert {len(row[0]) for row in rows} == {LENGTHS[name]} and set(captions) == {name}


def test_a_crop_is_a_piece_of_the_clip_and_only_of_actions_that_repeat():
    rows, captions = draw("walk", crop=1.0)
    assert set(captions) == {"walk"} and len({len(row[0]) for row in rows}) > 5
    for row in rows:
        assert SHORTEST <= row.shape[1] <= 30 and bool((row.diff() == 1).all())
    rows, _ = draw("wave-left-hand", crop=1.0)
    assert {row.shape[1] for row in rows} == {20}


@pytest.mark.parametrize("caption", ["takes four steps", "walks and then stops", "walks twice around"])
def test_a_caption_that_counts_or_orders_is_not_given_to_a_piece_or_to_two_clips(caption):
    rows, captions = draw("walk", caption=caption, crop=1.0, repeat=0.5)
    assert set(captions) == {caption} and {row.shape[1] for row in rows} == {30}


def test_one_after_the_other_the_outer_ends_are_cut_and_the_caption_is_of_the_pair():
    rows, captions = draw("walk", then=1.0)
    assert set(captions) == {"walks, then waves the left hand", "walks, then sits down"}
    for row, caption in zip(rows, captions, strict=True):
        second = "wave-left-hand" if "left" in caption else "sit-down"
        seen = source(row)
        first = seen.index(second)
        assert set(seen[:first]) == {"walk"} and set(seen[first:]) == {second} and first >= SHORTEST
        assert row.shape[1] <= LONGEST and source(row, 0) == seen
        assert int(row[1][first]) % 100 == 0  # the second begins with its beginning
        if second == "sit-down":
            assert len(seen) - first == 12  # an action of the whole body is never cut


def test_no_pair_no_composition():
    rows, captions = draw("sit-down", then=0.5, at_once=0.5)
    assert set(captions) == {"sit-down"} and {row.shape[1] for row in rows} == {12}


def test_at_once_the_arms_of_one_clip_lie_on_the_legs_of_another():
    rows, captions = draw("walk", at_once=1.0)
    assert set(captions) == {"walks waving the left hand", "walks pointing with the right arm"}
    for row, caption in zip(rows, captions, strict=True):
        arms, n = ("wave-left-hand" if "left" in caption else "guide"), row.shape[1]
        assert set(source(row, 1)) == {"walk"} and set(source(row, 0)) == {arms}
        assert bool((row[1].diff() == 1).all())  # the path is a piece of the walk
        if arms == "guide":
            assert LENGTHS[arms] <= n <= STRETCH * LENGTHS[arms]
            assert bool((row[0].diff() >= 0).all()) and {0, 8} <= set((row[0] % 100).tolist())  # held longer
        else:  # a wave is neither held nor cut
            assert n == LENGTHS[arms] and (row[0] % 100).tolist() == list(range(n))


def test_mirrored_clips_are_composed_with_mirrored_ones_and_their_captions_are_mirrored():
    rows, captions = draw("Mwalk", at_once=0.5, then=0.5)
    assert set(captions) == {
        "walks waving the right hand",
        "walks pointing with the left arm",
        "walks, then waves the right hand",
        "walks, then sits down",
    }
    assert all(name.startswith("M") for row in rows for part in (0, 1) for name in source(row, part))
    assert set(captions) <= set(composer(at_once=0.5, then=0.5).texts())


def test_a_repeated_action_gets_longer_than_its_clip():
    rows, captions = draw("walk", repeat=1.0)
    assert set(captions) == {"walk"} and {row.shape[1] for row in rows} == {LONGEST}


def test_captions_of_what_cannot_occur_are_not_asked_for():
    both, one_part = composer(at_once=0.5, then=0.5), composer(parts=1, at_once=0.5, then=0.5)
    waving = {text for text in both.texts() if "waving" in text}
    assert waving == {"walks waving the left hand", "walks waving the right hand"}
    assert set(one_part.texts()) == {text for text in both.texts() if ", then" in text}
    assert composer(crop=1.0).texts() == []


def test_an_item_does_not_depend_on_what_becomes_of_the_others():
    chances = {"crop": 0.5, "then": 0.3, "at_once": 0.3, "repeat": 0.2}
    alone, again = draw("walk", **chances), draw("walk", **chances)
    assert all(torch.equal(a, b) for a, b in zip(alone[0], again[0], strict=True)) and alone[1] == again[1]
    others = torch.full((40,), NAMES.index("juggle"))
    others[7] = NAMES.index("walk")
    generator = torch.Generator().manual_seed(0)
    batch, lengths, captions = composer(**chances).draw(others, others, ["walk"] * 40, generator)
    assert torch.equal(batch[7][:, : lengths[7]], alone[0][7]) and captions[7] == alone[1][7]


@pytest.mark.parametrize("change", ["caption", "rule", "chance"])
def test_the_fingerprint_changes_with_captions_rules_and_chances(change):
    table = {**TABLE, "then": dict(TABLE["then"]), "actions": dict(TABLE["actions"])}
    chances = {"then": 0.5}
    before = composer(table=table, **chances).fingerprint
    if change == "caption":
        table["then"]["walk|sit-down"] = ["walks and sits"]
    elif change == "rule":
        table["actions"]["walk"] = {**TABLE["actions"]["walk"], "repeats": False}
    else:
        chances = {"then": 0.4}
    assert composer(table=table, **chances).fingerprint != before


TYPED = TABLE | {
    "typed": {
        "walk": ["off to work", "just strolling"],
        "walk, sad": ["a lonely walk home"],
        "wave-left-hand": ["his left arm greets us"],
        "walk while wave-left-hand": ["saluting with the left arm on the way"],
    },
    "styles": {"walk": "sad"},
}


def test_a_typed_sentence_is_about_the_action_its_style_or_both_actions_and_is_mirrored():
    said = TYPED["typed"]
    for name, expected in {
        "walk": {*said["walk"], *said["walk, sad"]},
        "wave-left-hand": {*said["wave-left-hand"]},
        "Mwave-left-hand": {"his right arm greets us"},
        "guide": {"guide"},
        "juggle": {"juggle"},
    }.items():
        rows, captions = draw(name, table=TYPED, typed=1.0)
        assert set(captions) == expected
        assert {len(row[0]) for row in rows} == {LENGTHS[name.removeprefix("M")]}
    _, captions = draw("walk", times=400, table=TYPED, typed=0.25)
    assert 0.18 < 1 - captions.count("walk") / 400 < 0.32
    assert 0.3 < captions.count("a lonely walk home") / (400 - captions.count("walk")) < 0.7
    _, captions = draw("Mwalk", times=400, table=TYPED, at_once=1.0, typed=0.5)
    pairs = [text for text in captions if "right arm" in text or "right hand" in text]
    assert 0.35 < pairs.count("saluting with the right arm on the way") / len(pairs) < 0.65


def test_a_typed_sentence_that_counts_is_not_cropped():
    for text, cropped in (("three steps to the door", False), ("off to the door", True)):
        table = TYPED | {"typed": {"walk": [text]}}
        rows, captions = draw("walk", table=table, typed=1.0, crop=1.0)
        assert set(captions) == {text} and (len({len(row[0]) for row in rows}) > 5) is cropped


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("repeat", {"walk"}),
        ("then", {*TABLE["then"]["walk|wave-left-hand"], *TABLE["then"]["walk|sit-down"]}),
    ],
)
def test_clips_that_are_joined_keep_their_captions(kind, expected):
    _, captions = draw("walk", table=TYPED, typed=1.0, **{kind: 1.0})
    assert set(captions) - {*TYPED["typed"]["walk"], *TYPED["typed"]["walk, sad"]} == expected


def test_texts_to_embed_are_those_that_are_drawn():
    made = composer(table=TYPED, typed=0.5, at_once=0.4)
    drawn = set()
    for name in NAMES:
        drawn |= set(draw(name, times=300, table=TYPED, typed=0.5, at_once=0.4)[1]) - {name}
    assert drawn == set(made.texts())
    without = composer(table=TYPED, at_once=0.4)
    assert without.fingerprint == composer(at_once=0.4).fingerprint != made.fingerprint
    assert without.texts() == composer(at_once=0.4).texts()
