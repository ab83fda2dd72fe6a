import numpy as np
import pytest
import torch

from mmm import editing as long
from mmm.editing import both_texts, long_tokens, segment_bounds, split_text
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
    ],
)  # fmt: skip
def test_one_text_is_cut_at_every_then(text, pieces):
    assert split_text(text) == pieces


@pytest.mark.parametrize(
    "text", ["then", "a person walks, then", "walks then then runs", "  ", "a person then walks"]
)
def test_a_then_without_an_action_is_refused(text):
    with pytest.raises(ValueError, match='has a "then" with no action before or behind it'):
        split_text(text)


def test_bounds_are_rounded_and_their_errors_do_not_add_up():
    assert segment_bounds([30] * 5, 4) == [0, 8, 15, 22, 30, 38]
    assert segment_bounds([41], 4) == [0, 11]


def test_a_transition_is_told_both_texts(model):
    left, right = model.embed(TEXTS[:1]), model.embed(["a person bows very slowly"])
    both = both_texts(left, right)
    words = torch.cat((left.words[0][left.mask[0]], right.words[0][right.mask[0]]))
    assert torch.equal(both.words[0][both.mask[0]], words) and both.mask.sum() == len(words)
    assert torch.allclose(both.sentence, (left.sentence + right.sentence) / 2)


def test_segments_are_what_generate_gives_but_for_the_transitions(model):
    lengths = [60, 48, 80]
    told = model.embed(TEXTS)
    tokens, bounds = long_tokens(model.transformer, told, lengths, seed=7, transition=4)
    assert bounds == [0, 15, 27, 47] and tokens.shape == (1, 47) and (tokens != MASK).all()
    alone, _ = long_tokens(model.transformer, told, lengths, seed=7, transition=0)
    open_places = [13, 14, 15, 16, 25, 26, 27, 28]
    rest = [i for i in range(47) if i not in open_places]
    assert torch.equal(tokens[:, rest], alone[:, rest])
    assert (tokens[:, open_places] != alone[:, open_places]).any()
    for i, (a, b) in enumerate([(0, 15), (15, 27), (27, 47)]):
        single = model.sample(TEXTS[i : i + 1], lengths[i : i + 1], 7 + i, guidance=1.0)
        assert torch.equal(alone[:, a:b], single.tokens[0])


def test_a_transition_sees_both_sides(model):
    """Another neighbour, or another text of a neighbour, changes it (with the same noise)."""
    shown = []

    def spy(transformer, canvas, size, text, **options):
        shown.append((canvas.clone(), size, text))
        return long_fill(transformer, canvas, size, text, **options)

    long_fill = long.fill
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long, "fill", spy)
        tokens, _ = long_tokens(model.transformer, model.embed(TEXTS), [60, 48, 80], seed=7, transition=4)
    canvas, size, text = shown[1]
    assert size.tolist() == [5 + 4 + 4, 4 + 4 + 8]
    for row, first in zip(canvas, (8, 21), strict=True):
        row = row[:, : int((row != 0).any(0).nonzero().max()) + 1]
        assert (row == MASK).sum() == 4
        left = int((row[0] == MASK).nonzero()[0])
        assert torch.equal(row[:, :left], tokens[:, first : first + left])
    assert text.mask.sum(1).tolist() == [
        int(both_texts(*pair).mask.sum())
        for pair in [(model.embed(TEXTS[i : i + 1]), model.embed(TEXTS[i + 1 : i + 2])) for i in (0, 1)]
    ]


def test_groups_do_not_matter(model, monkeypatch):
    told = model.embed(TEXTS * 2)
    lengths = [40, 60, 44, 90, 31, 52]
    once, _ = long_tokens(model.transformer, told, lengths, seed=1)
    monkeypatch.setattr(long, "GROUP", 2)
    assert torch.equal(once, long_tokens(model.transformer, told, lengths, seed=1)[0])


def test_the_motion_is_as_long_as_asked_and_its_path_goes_on(model):
    motion = model.generate_long(TEXTS, [50, 61, 70], seed=2)
    assert motion.features.shape == (181, 263) and motion.text.count(", then ") == 2
    steps = np.linalg.norm(np.diff(motion.joints[:, 0], axis=0), axis=1)
    assert steps.max() < 5 * np.median(steps) + 0.1
    again = model.generate_long("a person walks, then a person bows", seed=2)
    assert len(again.features) == sum(model.estimate_length(["a person walks", "a person bows"]))
    assert len(model.generate_long(["a person walks"], [40]).features) == 40


def test_refusals(model):
    told = model.embed(TEXTS)
    with pytest.raises(ValueError, match="2 lengths for 3 texts; give one length, in frames, for each text"):
        long_tokens(model.transformer, told, [40, 40])
    with pytest.raises(ValueError, match="transition is 3 tokens, expected 0, 2, 4"):
        long_tokens(model.transformer, told, [40, 40, 40], transition=3)
    assert long_tokens(model.transformer, told, [40, 40, 40], argmax=True, remask="random")[1][-1] == 30
    assert len(model.generate_long(TEXTS, 40).features) == 120
    with pytest.raises(ValueError, match="length is 500 frames, expected 24 to 196"):
        model.generate_long(TEXTS, [500, 40, 40])


def test_beside_a_short_action_the_transition_is_shorter(model):
    told = model.embed(TEXTS)
    alone, _ = long_tokens(model.transformer, told, [100, 24, 100], seed=3, transition=0)
    tokens, bounds = long_tokens(model.transformer, told, [100, 24, 100], seed=3, transition=16)
    assert bounds == [0, 25, 31, 56]
    changed = (tokens != alone)[0].nonzero()[:, 0]
    assert set(changed.tolist()) <= {24, 25, 30, 31} and len(changed) > 0, "most of the short action is left"
