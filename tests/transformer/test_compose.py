"""Crops and compositions: what they are made of, that their captions fit, and that a batch does not depend on order."""

import dataclasses

import numpy as np
import pytest
import torch

from mmm.recipes import OURS
from mmm.transformer.compose import SHORTEST, Composer
from mmm.transformer.tokens import TokenSet

LONGEST = 49
LENGTHS = {"walk": 30, "wave-left-hand": 20, "sit-down": 12, "juggle": 10}
TABLE = {
    "actions": {
        "walk": {"part": "legs", "repeats": True, "start": "stand", "end": "stand"},
        "wave-left-hand": {"part": "arms", "repeats": False, "start": "stand", "end": "stand"},
        "wave-right-hand": {"part": "arms", "repeats": False, "start": "stand", "end": "stand"},
        "sit-down": {"part": "whole", "repeats": False, "start": "stand", "end": "sit"},
    },
    "clips": {"walk": "walk", "wave-left-hand": "wave-left-hand", "sit-down": "sit-down"},
    "then": {
        "walk|wave-left-hand": ["walks, then waves the left hand"],
        "walk|wave-right-hand": ["walks, then waves the right hand"],
        "wave-left-hand|walk": ["waves the left hand, then walks"],
        "walk|sit-down": ["walks, then sits down"],
    },
    "while": {
        "walk|wave-left-hand": ["walks waving the left hand"],
        "walk|wave-right-hand": ["walks waving the right hand"],
    },
}
ALONE = {"crop": 0.0, "then": 0.0, "at_once": 0.0, "repeat": 0.0}


def tokens():
    """Four clips and their mirror images; the code says which clip it is, which part and which position."""
    names = [*LENGTHS, *(f"M{name}" for name in LENGTHS)]
    lengths = torch.tensor([LENGTHS[name.removeprefix("M")] for name in names])
    ids = (
        torch.arange(len(names))[:, None, None] * 1000
        + torch.arange(2)[:, None] * 100
        + torch.arange(LONGEST)
    )
    starts = torch.arange(len(names) + 1)
    captions = [[name] for name in names]
    return TokenSet(ids.to(torch.int16), lengths, starts, captions, np.ones(len(names)), names)


def draw(name, seed=0, times=40, **chances):
    """Rows (2, n) and captions of `times` draws of one clip."""
    composer = Composer(tokens(), TABLE, LONGEST)
    clip = torch.full((times,), composer.tokens.ids.index(name))
    options = dataclasses.replace(OURS, **ALONE | chances)
    generator = torch.Generator().manual_seed(seed)
    batch, lengths, captions = composer.draw(clip, clip, [name] * times, options, generator)
    return [row[:, :n] for row, n in zip(batch, lengths.tolist(), strict=True)], captions


def source(row, part=1):
    """Which clip each position of a part comes from."""
    return (row[part] // 1000).tolist()


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


def test_one_after_the_other_the_outer_ends_are_cut_and_the_caption_is_of_the_pair():
    rows, captions = draw("walk", then=1.0)
    assert set(captions) == {text for pair, (text,) in TABLE["then"].items() if pair.startswith("walk")}
    for row, caption in zip(rows, captions, strict=True):
        clips = {"left": [1], "right": [5], "down": [2, 6]}  # sitting down is its own mirror image
        seen, word = source(row), next(word for word in clips if word in caption)
        second = seen[-1]
        assert second in clips[word]
        assert seen == sorted(seen) and set(seen) == {0, second} and row.shape[1] <= LONGEST
        assert seen.count(0) >= SHORTEST
        assert int(row[1][seen.index(second)]) % 100 == 0  # the second begins with its beginning
        if word == "down":
            assert seen.count(second) == 12  # an action of the whole body is never cut
        assert source(row, 0) == seen


def test_no_pair_no_composition():
    rows, captions = draw("sit-down", then=1.0, at_once=0.0)
    assert set(captions) == {"sit-down"} and {row.shape[1] for row in rows} == {12}


def test_at_once_the_arms_of_one_clip_lie_on_the_legs_of_another():
    rows, captions = draw("walk", at_once=1.0)
    assert set(captions) == {"walks waving the left hand", "walks waving the right hand"}
    for row, caption in zip(rows, captions, strict=True):
        assert set(source(row, 1)) == {0} and set(source(row, 0)) == {1 if "left" in caption else 5}
        assert bool((row[1].diff() == 1).all())  # the path is a piece of the walk
        assert bool((row[0].diff() >= 0).all())  # the arms go on in time, held longer where the legs are


def test_mirrored_clips_are_composed_as_the_mirrored_action():
    _, captions = draw("Mwave-left-hand", then=1.0)
    assert set(captions) == {"Mwave-left-hand"}  # there is no pair that begins with the right hand
    _, captions = draw("wave-left-hand", then=1.0)
    assert set(captions) == {"waves the left hand, then walks"}


def test_a_repeated_action_gets_longer_than_its_clip():
    rows, captions = draw("walk", repeat=1.0)
    assert set(captions) == {"walk"} and {row.shape[1] for row in rows} == {LONGEST}


def test_the_same_generator_gives_the_same_items_and_an_item_does_not_depend_on_what_became_of_the_others():
    chances = {"crop": 0.5, "then": 0.3, "at_once": 0.3, "repeat": 0.2}
    once, again = draw("walk", **chances), draw("walk", **chances)
    assert all(torch.equal(a, b) for a, b in zip(once[0], again[0], strict=True)) and once[1] == again[1]
    rows, _ = draw("walk", seed=1, **chances)
    assert any(a.shape != b.shape for a, b in zip(once[0], rows, strict=True))


@pytest.mark.parametrize("change", ["caption", "rule"])
def test_the_fingerprint_changes_with_captions_and_rules(change):
    table = {**TABLE, "then": dict(TABLE["then"]), "actions": dict(TABLE["actions"])}
    if change == "caption":
        table["then"]["walk|sit-down"] = ["walks and sits"]
    else:
        table["actions"]["walk"] = {**TABLE["actions"]["walk"], "repeats": False}
    assert Composer(tokens(), table, LONGEST).fingerprint != Composer(tokens(), TABLE, LONGEST).fingerprint
