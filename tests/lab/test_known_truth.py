"""The study with known probabilities: the same program danced often, and what may follow what."""

import numpy as np
import pytest
import torch
from made_up import canvases
from made_up import tokenizer as tokenizers

from mmm.datasets.synthetic.choreograph import dance, draw_program
from mmm.lab import calibration as known_truth
from mmm.transformer import MASK


def dances(tokens):
    return known_truth.Dances(draw_program(0), "a person walks", 4 * tokens.shape[1], tokens)


def test_programs_are_simple_and_all_different(monkeypatch):
    programs = known_truth.simple_programs(8)
    assert known_truth.simple_programs(8) == programs != known_truth.simple_programs(8, seed=1)
    actions = [program.segments[0].main for program in programs]
    assert len({(a.name, a.direction, a.side) for a in actions}) == 8
    assert all(len(p.segments) == 1 and not p.parallels() for p in programs)
    assert all(a.speed == a.size == "normal" for a in actions)
    monkeypatch.setattr(known_truth, "MOST_DRAWS", 300)
    with pytest.raises(ValueError, match="count is 1000, but there are only"):
        known_truth.simple_programs(1000)


def test_the_same_program_is_danced_each_time_in_another_style():
    tokenizer, (program, other) = tokenizers.made(), known_truth.simple_programs(2)
    one, two = known_truth.dance_often(tokenizer, [program, other], 4)
    assert one.tokens.shape == (4, -(-program.frames // 4)) and one.frames == program.frames
    assert len(one.tokens.unique(dim=0)) > 1, "the dances are copies"
    assert one.caption != two.caption
    again = known_truth.dance_often(tokenizer, [program], 4)[0]
    assert torch.equal(again.tokens, one.tokens)
    assert dance(program)[1].segments[0].legs == program.segments[0].legs  # a style changes no action
    with pytest.raises(ValueError, match="times is 1"):
        known_truth.dance_often(tokenizer, [program], 1)


def test_frequencies_and_halves_by_hand():
    found = dances(torch.tensor([[0, 1], [0, 2], [0, 1], [3, 2]]))
    assert found.frequencies(4).tolist() == [[0.75, 0, 0, 0.25], [0, 0.5, 0.5, 0]]
    first, second = found.halves(4)
    assert first.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert known_truth.total_variation(first, second).tolist() == [0.5, 1.0]


def test_followers_are_counted_among_the_dances_that_show_the_token():
    tokens = torch.tensor([[0, 1, 2]] * 3 + [[0, 2, 2]] + [[5, 1, 0]] * 2)
    canvases, places, shares = known_truth.followers(dances(tokens), 6, least=3)
    cases = {
        (int(place), tuple(canvas.tolist())): share.tolist()
        for canvas, place, share in zip(canvases, places, shares, strict=True)
    }
    assert cases == {
        (1, (0, MASK, MASK)): [0, 0.75, 0.25, 0, 0, 0],
        (2, (MASK, 1, MASK)): pytest.approx([0.4, 0, 0.6, 0, 0, 0]),
    }
    empty = known_truth.followers(dances(tokens), 6, least=7)
    assert [len(x) for x in empty] == [0, 0, 0]


def test_probabilities_are_the_models_own():
    model, text = canvases.make_model(codes=6), canvases.make_text(1)
    canvas = torch.tensor([[MASK, MASK, MASK], [2, MASK, MASK]])
    found = known_truth.probabilities(model, text_of(text), canvas)
    assert found.shape == (2, 3, 6)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 3))
    with torch.no_grad():
        one = model(canvas[1:, None], torch.tensor([3]), text.words, text.mask, text.sentence)
    torch.testing.assert_close(found[1], one[0, 0].softmax(-1), rtol=1e-4, atol=1e-6)
    none = known_truth.probabilities(
        model, text_of(text), canvas[:0]
    )  # no token is frequent enough to be shown
    assert none.shape == (0, 3, 6) and none[torch.arange(0), torch.arange(0)].shape == (0, 6)


def test_of_two_body_parts_the_upper_one_is_asked_with_the_lower_one_hidden():
    model, text = canvases.make_model(codes=6, parts=2), canvases.make_text(1)
    canvas = torch.tensor([[2, MASK, 4]])
    found = known_truth.probabilities(model, text_of(text), canvas)
    whole = torch.stack([canvas, torch.full_like(canvas, MASK)], 1)
    with torch.no_grad():
        logits = model(whole, torch.tensor([3]), text.words, text.mask, text.sentence)
    torch.testing.assert_close(found, logits[:, 0].softmax(-1), rtol=1e-4, atol=1e-6)
    config = type(tokenizers.SMALL)(width=16, depth=1, codes=32, parts=2)
    (program,) = known_truth.simple_programs(1)
    (one,) = known_truth.dance_often(tokenizers.made(config), [program], 3)
    assert one.tokens.shape == (3, -(-program.frames // 4))


def text_of(text):
    from mmm.text import TextEmbedding

    return TextEmbedding(text.words, text.mask, text.sentence)


def test_probability_on_what_never_happens_and_by_what_was_said():
    said = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    true = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    assert known_truth.impossible(said, true).tolist() == pytest.approx([0.5, 0.1])
    p, f, counts = known_truth.by_probability(said, true, [0.15, 0.45])
    assert counts.tolist() == [2, 2, 2]
    np.testing.assert_allclose(p, [0.1, 0.25, 0.65], rtol=1e-6)
    np.testing.assert_allclose(f, [0.25, 0.0, 0.75], rtol=1e-6)


def test_a_model_that_says_the_frequencies_lies_on_the_line():
    tokens = torch.randint(0, 5, (200, 4), generator=torch.Generator().manual_seed(0))
    true = dances(tokens).frequencies(8)
    p, f, _ = known_truth.by_probability(true, true, np.geomspace(1e-3, 1, 7))
    np.testing.assert_allclose(p, f, rtol=1e-6)
    assert known_truth.total_variation(true, true).max() == 0
    assert known_truth.impossible(true, true).max() == 0
