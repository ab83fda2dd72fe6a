"""Long sequences: actions are filled alone, transitions see both neighbours and both texts."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmm import sequences
from mmm.sequences import both_texts, long_tokens, segment_bounds, share, split_text, try_split
from mmm.transformer import MASK

TEXTS = ["a person walks", "someone bows", "a person jumps"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a person walks, then runs and then sits down.", ["a person walks", "a person runs", "a person sits down"]),
        ("A tired man walks then he waves; then, stops", ["A tired man walks", "he waves", "A tired man stops"]),
        ("walks, then runs", ["walks", "runs"]),
        ("someone bows and afterwards then leaves", ["someone bows", "someone leaves"]),
        ("a person strengthens the arms", ["a person strengthens the arms"]),
        ("a person walks. Then the person jumps", ["a person walks", "the person jumps"]),
        ("a woman with a hat walks, then her arms rise", ["a woman with a hat walks", "her arms rise"]),
        ("first a person walks, then runs", ["a person walks", "a person runs"]),
        ("a person walks and after that runs", ["a person walks", "a person runs"]),
        ("she kicks, followed by a jump", ["she kicks", "a jump"]),
        ("a man bows, next walks and finally sits", ["a man bows", "a man walks", "a man sits"]),
        ("she bows before turning left", ["she bows", "turning left"]),
        ("a man bows before he sits", ["a man bows", "he sits"]),
        ("After sitting down, she waves", ["sitting down", "she waves"]),
        ("a man waves after standing up", ["standing up", "a man waves"]),
        ("a man walks after running, then sits", ["running", "a man walks", "a man sits"]),
        ("a man stretches, then sits after walking", ["a man stretches", "walking", "a man sits"]),
        ("a man jumps after being pushed and then falls", ["being pushed", "a man jumps", "a man falls"]),
        ("After getting up from the chair she walks away", ["getting up from the chair", "she walks away"]),
        ("Before sitting down, the man waves", ["the man waves", "sitting down"]),
        ("before he sprints off, he gives a wave", ["he gives a wave", "he sprints off"]),
        ("once the man has bowed, he walks away", ["the man has bowed", "he walks away"]),
        ("Once he's done with his squats, he raises a hand", ["his squats", "he raises a hand"]),
        ("drink from your bottle; when you're finished, sit down", ["drink from your bottle", "sit down"]),
        ("once the music stops, he bows", ["once the music stops, he bows"]),
        ("once a day, he walks", ["once a day, he walks"]),
        ("Once a dancer, he now walks slowly", ["Once a dancer, he now walks slowly"]),
        ("once finished, he sits", ["he sits"]),
        ("she waves. Once she is done, she bows", ["she waves", "she bows"]),
        ("once he has done ten squats, he bows", ["he has done ten squats", "he bows"]),
        ("once done jumping, sit", ["jumping", "sit"]),
        ("After picking up the box he dropped, he walks", ["picking up the box he dropped", "he walks"]),
        ("after waving to someone she knows, he walks away", ["waving to someone she knows", "he walks away"]),
        ("After getting up she walks, limping", ["getting up", "she walks, limping"]),
        ("Before he knew it, he was running", ["Before he knew it, he was running"]),
        ("Before sitting down, he waves and then bows", ["he waves", "he bows", "sitting down"]),
        ("A man walks. After sitting down, he waves.", ["A man walks", "sitting down", "he waves"]),
        ("A man walks. Before sitting down, he waves.", ["A man walks", "he waves", "sitting down"]),
        ("a man walks, then before sitting down, he waves", ["a man walks", "he waves", "sitting down"]),
        ("legs swing over the hands, then she stands", ["legs swing over the hands", "she stands"]),
        ("waves once before the show", ["waves once before the show"]),
        ("once upon a time, a man walks", ["once upon a time, a man walks"]),
        ("dances before spring and after swing", ["dances before spring and after swing"]),
        ("stands next to a wall", ["stands next to a wall"]),
        ("stands before a wall and next to a door", ["stands before a wall and next to a door"]),
        ("walks before something falls", ["walks before something falls"]),
        ("takes a walk after the meal in the evening", ["takes a walk after the meal in the evening"]),
    ],
)  # fmt: skip
def test_a_text_is_cut_at_every_then(text, pieces):
    assert split_text(text) == pieces


@pytest.mark.parametrize(
    "text", ["then", "a person walks, then", "walks then then runs", "  ", "a person then walks"]
)
def test_a_then_without_an_action_is_refused(text):
    with pytest.raises(ValueError, match=text):
        split_text(text)


def test_a_then_without_an_action_is_one_action_for_generate():
    assert try_split("a person walks, then") == ["a person walks, then"]
    assert try_split("walks, then runs") == ["walks", "runs"]


@pytest.mark.parametrize(
    ("total", "estimated", "frames"),
    [
        (120, [60, 60], [60, 60]),
        (150, [40, 80, 30], [40, 80, 30]),
        (90, [40, 80], [30, 60]),
        (60, [40, 160], [24, 36]),  # a fifth of 60 would be too short
        (300, [60, 180], [104, 196]),  # three quarters of 300 would be too long
        (48, [150, 30], [24, 24]),
        (392, [150, 30], [196, 196]),
        (101, [1, 1], [50, 51]),
        (751, [24, 27, 27, 24], [179, 196, 196, 180]),  # no 197 by rounding
    ],
)
def test_actions_share_a_length_in_the_ratio_of_their_estimates(total, estimated, frames):
    assert share(total, estimated, 24, 196) == frames


@given(st.lists(st.integers(24, 196), min_size=2, max_size=6), st.floats(0, 1))
def test_shared_lengths_add_up_and_keep_their_range(estimated, where):
    total = round(len(estimated) * (24 + where * 172))
    frames = share(total, estimated, 24, 196)
    assert sum(frames) == total and all(24 <= n <= 196 for n in frames)


def test_bounds_are_rounded_and_their_errors_do_not_add_up():
    assert segment_bounds([30] * 5, 4) == [0, 8, 15, 23, 30, 38]
    assert segment_bounds([41], 4) == [0, 11]
    assert segment_bounds([194, 196], 4) == [0, 49, 98]  # a canvas holds 49 tokens


def test_a_transition_gets_both_texts(model):
    left, right = model.embed(TEXTS[:1]), model.embed(["a person bows very slowly"])
    both = both_texts(left, right)
    words = torch.cat((left.words[0][left.mask[0]], right.words[0][right.mask[0]]))
    assert torch.equal(both.words[0][both.mask[0]], words) and both.mask.sum() == len(words)
    assert torch.allclose(both.sentence, (left.sentence + right.sentence) / 2)


def test_actions_are_what_generate_gives_except_for_the_transitions(model):
    lengths, text = [60, 48, 80], model.embed(TEXTS)
    tokens, bounds = long_tokens(model.transformer, text, lengths, seed=7, transition=4)
    assert bounds == [0, 15, 27, 47] and tokens.shape == (1, 47) and (tokens != MASK).all()
    alone, _ = long_tokens(model.transformer, text, lengths, seed=7, transition=0)
    open_positions = [13, 14, 15, 16, 25, 26, 27, 28]
    rest = [i for i in range(47) if i not in open_positions]
    assert torch.equal(tokens[:, rest], alone[:, rest])
    assert (tokens[:, open_positions] != alone[:, open_positions]).any()
    for i, (a, b) in enumerate(itertools.pairwise(bounds)):
        single = model.sample(TEXTS[i : i + 1], lengths[i : i + 1], 7 + i, guidance=1.0)
        assert torch.equal(alone[:, a:b], single.tokens[0])


def test_a_transition_sees_both_sides(model, monkeypatch):
    calls, fill = [], sequences.fill

    def spy(transformer, canvas, size, text, **options):
        calls.append((canvas.clone(), size, text))
        return fill(transformer, canvas, size, text, **options)

    monkeypatch.setattr(sequences, "fill", spy)
    text = model.embed(TEXTS)
    tokens, _ = long_tokens(model.transformer, text, [60, 48, 80], seed=7, transition=4)
    canvas, size, conditions = calls[1]
    assert size.tolist() == [5 + 4 + 4, 4 + 4 + 8]
    for row, count, first, left in zip(canvas, size, (8, 21), (5, 4), strict=True):
        assert (row[0, :count] == MASK).nonzero().flatten().tolist() == list(range(left, left + 4))
        assert torch.equal(row[:, :left], tokens[:, first : first + left])
    words = [int(both_texts(text[i], text[i + 1]).mask.sum()) for i in (0, 1)]
    assert conditions.mask.sum(1).tolist() == words


def test_groups_do_not_matter(model, monkeypatch):
    text, lengths = model.embed(TEXTS * 2), [40, 60, 44, 90, 31, 52]
    once, _ = long_tokens(model.transformer, text, lengths, seed=1)
    monkeypatch.setattr(sequences, "GROUP", 2)
    assert torch.equal(once, long_tokens(model.transformer, text, lengths, seed=1)[0])


def test_transitions_beside_a_short_action_are_shorter(model):
    text, lengths = model.embed(TEXTS), [100, 24, 100]
    alone, _ = long_tokens(model.transformer, text, lengths, seed=3, transition=0)
    tokens, bounds = long_tokens(model.transformer, text, lengths, seed=3, transition=16)
    assert bounds == [0, 25, 31, 56]
    changed = (tokens != alone)[0].nonzero()[:, 0]
    assert set(changed.tolist()) <= {24, 25, 30, 31} and len(changed) > 0


def test_generate_long_has_the_requested_length_and_a_continuous_path(model):
    motion = model.generate_long(TEXTS, [50, 61, 70], seed=2)
    assert motion.segments == list(zip([0, 50, 111], TEXTS, strict=True))
    assert motion.features.shape == (181, 263) and motion.text.count(", then ") == 2
    steps = np.linalg.norm(np.diff(motion.joints[:, 0], axis=0), axis=1)
    assert steps.max() < 5 * np.median(steps) + 0.1
    estimated = model.generate_long("a person walks, then a person bows", seed=2)
    assert len(estimated.features) == sum(model.estimate_length(["a person walks", "a person bows"]))
    assert len(model.generate_long(["a person walks"], [40]).features) == 40
    options = {"argmax": True, "remask": "random"}
    assert len(model.generate_long(TEXTS, 40, **options).features) == 120


@pytest.mark.parametrize(
    ("lengths", "options", "named"),
    [([40, 40], {}, "2 lengths"), ([500, 40, 40], {}, "500"), (40, {"transition": 3}, "transition is 3")],
)
def test_refusals(model, lengths, options, named):
    with pytest.raises(ValueError, match=named):
        model.generate_long(TEXTS, lengths, **options)
