"""The study with known probabilities: one program danced often, and which code may follow which."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import canvases
from made_up import tokenizer as tokenizers

from mmm.datasets.synthetic.choreograph import draw_program
from mmm.lab import known_truth
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
    with pytest.raises(ValueError, match="1000"):
        known_truth.simple_programs(1000)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_program_is_danced_each_time_in_another_style(parts):
    tokenizer = tokenizers.random_tokenizer(replace(tokenizers.SMALL, depth=1, parts=parts))
    programs = known_truth.simple_programs(2)
    one, two = known_truth.dance_often(tokenizer, programs, 4)
    assert one.tokens.shape == (4, -(-programs[0].frames // 4)) and one.frames == programs[0].frames
    assert parts == 2 or len(one.tokens.unique(dim=0)) > 1, "the dances are copies"
    assert one.caption != two.caption
    again = known_truth.dance_often(tokenizer, programs[:1], 4)[0]
    assert torch.equal(again.tokens, one.tokens)
    with pytest.raises(ValueError, match="times is 1"):
        known_truth.dance_often(tokenizer, programs, 1)


def test_frequencies_and_halves_by_hand():
    four = dances(torch.tensor([[0, 1], [0, 2], [0, 1], [3, 2]]))
    assert four.frequencies(4).tolist() == [[0.75, 0, 0, 0.25], [0, 0.5, 0.5, 0]]
    first, second = four.halves(4)
    assert first.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]] and second.tolist() == [
        [0.5, 0, 0, 0.5],
        [0, 0, 1, 0],
    ]
    assert known_truth.total_variation(first, second).tolist() == [0.5, 1.0]


def test_followers_are_counted_among_the_dances_that_show_the_token():
    tokens = torch.tensor([[0, 1, 2]] * 3 + [[0, 2, 2]] + [[5, 1, 0]] * 2)
    rows = zip(*known_truth.followers(dances(tokens), 6, least=3), strict=True)
    cases = {(int(after), tuple(canvas.tolist())): ratios.tolist() for canvas, after, ratios in rows}
    assert cases == {
        (1, (0, MASK, MASK)): [0, 0.75, 0.25, 0, 0, 0],
        (2, (MASK, 1, MASK)): pytest.approx([0.4, 0, 0.6, 0, 0, 0]),
    }
    canvas, after, ratios = known_truth.followers(dances(tokens), 6, least=7)
    assert (canvas.shape, after.shape, ratios.shape) == ((0, 3), (0,), (0, 6))


@pytest.mark.parametrize("parts", [1, 2])
def test_probabilities_are_the_models_own_with_the_other_part_masked(parts):
    model, text = canvases.make_model(codes=6, parts=parts), canvases.make_text(1)
    canvas = torch.tensor([[MASK, MASK, MASK], [2, MASK, 4]])
    predicted = known_truth.probabilities(model, text, canvas)
    torch.testing.assert_close(predicted.sum(-1), torch.ones(2, 3))
    whole = torch.stack([canvas[1:], *[torch.full_like(canvas[1:], MASK)] * (parts - 1)], 1)
    with torch.no_grad():
        logits = model(whole, torch.tensor([3]), text.words, text.mask, text.sentence)
    torch.testing.assert_close(predicted[1:], logits[:, 0].softmax(-1), rtol=1e-4, atol=1e-6)
    assert known_truth.probabilities(model, text, canvas[:0]).shape == (
        0,
        3,
        6,
    )  # no token is frequent enough


def test_predictions_against_frequencies_by_hand():
    predicted = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    truth = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    assert known_truth.impossible(predicted, truth).tolist() == pytest.approx([0.5, 0.1])
    table = known_truth.by_probability(predicted, truth, [0.15, 0.45])
    expected = [[0.1, 0.25, 2], [0.25, 0.0, 2], [0.65, 0.75, 2]]  # predicted, true, codes
    np.testing.assert_allclose(table, expected, rtol=1e-6)
