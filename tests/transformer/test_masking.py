"""Masked and corrupted canvases are drawn as often as they should be, and the loss is a mean of means."""

import math

import pytest
import torch

from mmm.transformer import (
    MASK,
    borrow_visible_part,
    corrupt_tokens,
    draw_masked_parts,
    drop_edge_token,
    inside,
    mask_ratios,
    mask_tokens,
    masked_loss,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(size=400, n=49, parts=1, codes=64):
    lengths = torch.randint(1, n + 1, (size,), generator=generator(1))
    return torch.randint(codes, (size, parts, n), generator=generator(2)), lengths


def test_masking_schedules():
    cosine = mask_ratios("cosine", 20_000, generator())
    assert 0 < cosine.min() and cosine.max() <= 1
    assert abs(cosine.mean() - 2 / math.pi) < 0.01  # the mean of a cosine over a quarter turn
    uniform = mask_ratios("uniform(0.3, 1)", 20_000, generator())
    assert 0.3 <= uniform.min() and uniform.max() <= 1 and abs(uniform.mean() - 0.65) < 0.01
    assert torch.equal(mask_ratios("uniform(0.5,0.5)", 3, generator()), torch.full((3,), 0.5))


def test_masked_positions_are_real_and_as_many_as_the_ratio_says():
    tokens, lengths = batch()
    canvas = mask_tokens(tokens, lengths, "uniform(0.4, 0.4)", generator())
    masked = canvas[:, 0] == MASK
    assert not (masked & ~inside(lengths, 49)).any()
    assert torch.equal(masked.sum(1), (0.4 * lengths).round().long().clamp(min=1))
    assert torch.equal(canvas[:, 0][~masked], tokens[:, 0][~masked])
    everything = mask_tokens(tokens, lengths, "uniform(1, 1)", generator())[:, 0] == MASK
    assert torch.equal(everything, inside(lengths, 49))
    one, two, three = (mask_tokens(tokens, lengths, "cosine", generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_no_position_is_preferred():
    tokens, lengths = torch.zeros(4000, 1, 10, dtype=torch.long), torch.full((4000,), 8)
    rate = (mask_tokens(tokens, lengths, "uniform(0.5, 0.5)", generator())[:, 0] == MASK).float().mean(0)
    assert (rate[:8] - 0.5).abs().max() < 0.03 and rate[8:].sum() == 0


def test_a_model_of_the_upper_part_learns_it_alone():
    tokens, lengths = batch(parts=2)
    visible = corrupt_tokens(tokens, lengths, 0.5, 64, generator(), predicted_parts=1)
    canvas = mask_tokens(visible, lengths, "cosine", generator(), draw_masked_parts(400, 1, 0.5, generator()))
    assert torch.equal(canvas[:, 1], tokens[:, 1])
    # The same numbers are drawn as for a whole body.
    whole = corrupt_tokens(tokens[:, :1], lengths, 0.5, 64, generator())
    assert torch.equal(canvas[:, :1], mask_tokens(whole, lengths, "cosine", generator()))


@pytest.mark.parametrize("both", [0.0, 0.5, 0.8, 1.0])
def test_masked_parts_are_drawn_with_their_probabilities(both):
    drawn = draw_masked_parts(20_000, 2, both, generator())
    rates = [(drawn == torch.tensor(kind)).all(1).double().mean() for kind in ((1, 1), (1, 0), (0, 1))]
    assert rates == pytest.approx([both, (1 - both) / 2, (1 - both) / 2], abs=0.01)
    assert drawn.any(1).all()


def test_one_part_draws_no_number():
    untouched = generator()
    assert draw_masked_parts(5, 1, 0.5, untouched).all()
    assert torch.equal(untouched.get_state(), generator().get_state())


def test_two_masked_parts_share_one_ratio():
    tokens, lengths = batch(parts=2)
    kinds = torch.tensor([[True, True], [True, False], [False, True], [True, True]]).repeat(100, 1)
    canvas = mask_tokens(tokens, lengths, "uniform(0.4, 0.4)", generator(), kinds)
    masked = canvas == MASK
    assert not (masked & ~(kinds[:, :, None] & inside(lengths, 49)[:, None])).any()
    positions = lengths * kinds.sum(1)  # of both parts together, not as many of each
    assert torch.equal(masked.sum((1, 2)), (0.4 * positions).round().long().clamp(min=1))
    assert torch.equal(canvas[~masked], tokens[~masked])
    both = masked[kinds.all(1)].sum(2)
    assert (both[:, 0] != both[:, 1]).any() and abs((both[:, 0] - both[:, 1]).double().mean()) < 1
    one = torch.zeros(300, 2, 1, dtype=torch.long)
    single = (mask_tokens(one, torch.ones(300).long(), "uniform(0, 0)", generator()) == MASK)[:, :, 0]
    assert (single.sum(1) == 1).all() and 0.4 < single[:, 0].double().mean() < 0.6


@pytest.mark.parametrize("parts", [1, 2])
def test_real_tokens_are_corrupted_each_part_independently(parts):
    tokens, lengths = batch(size=2000, parts=parts)
    wrong = corrupt_tokens(tokens, lengths, 0.5, 64, generator()) != tokens
    real = inside(lengths, 49)
    for part in range(parts):
        assert not wrong[:, part][~real].any()
        assert abs(wrong[:, part][real].double().mean() - 0.5 * 63 / 64) < 0.01
    both = wrong[:, 0] & wrong[:, -1]
    assert abs(both[real].double().mean() - (0.5 * 63 / 64) ** parts) < 0.01
    assert torch.equal(corrupt_tokens(tokens, lengths, 0.0, 64, generator()), tokens)


def test_the_visible_part_may_be_borrowed_from_a_clip_that_is_long_enough():
    lengths = torch.tensor([4, 9]).repeat(300)
    number = torch.arange(600)[:, None, None]
    tokens = (number * 100 + torch.tensor([0, 50])[:, None] + torch.arange(9)).contiguous()
    masked = draw_masked_parts(600, 2, 0.4, generator(2))
    lent = borrow_visible_part(tokens, lengths, masked, 0.5, generator())
    owner = lent // 100
    changed = (owner != number).any(2)
    assert not changed[masked].any(), "a masked part is the clip's own"
    assert torch.equal(lent % 100, tokens % 100), "the same part, position by position"
    assert (lengths[owner[:, :, 0]] >= lengths[:, None]).all()
    # of the short clips half (the probability), of the long ones as many as draw a long one
    one = masked.sum(1) == 1
    short, long = (changed.any(1)[one & (lengths == n)].double().mean() for n in (4, 9))
    assert abs(short - 0.5) < 0.1 and abs(long - 0.25) < 0.1
    assert torch.equal(borrow_visible_part(tokens, lengths, masked, 0.0, generator()), tokens)
    assert torch.equal(borrow_visible_part(tokens, lengths, masked[:, :1], 0.5, generator()), tokens)


def test_an_edge_token_is_dropped():
    lengths = torch.tensor([5, 1, 7]).repeat(3000)
    tokens = torch.stack([torch.arange(8), torch.arange(8) + 20]).expand(9000, 2, 8).contiguous()
    dropped, shorter = drop_edge_token(tokens, lengths, generator())
    lost = lengths - shorter
    assert lost[lengths == 1].sum() == 0
    assert abs(lost[lengths > 1].float().mean() - 1 / 3) < 0.02
    first = dropped[:, 0, 0] == 1
    assert (lost[first] == 1).all() and abs(first[lengths > 1].float().mean() - 1 / 6) < 0.02
    assert (dropped[first][:, 0, :4] == torch.arange(1, 5)).all()
    assert torch.equal(dropped[~first], tokens[~first])
    assert torch.equal(dropped[:, 1], dropped[:, 0] + 20), "all parts lose the same token"


@pytest.mark.parametrize("loss_on", ["all", "masked"])
@pytest.mark.parametrize(("parts", "predicted"), [(1, 1), (2, 1), (2, 2)])
def test_loss_is_a_mean_of_means(loss_on, parts, predicted):
    tokens, lengths = batch(size=6, n=12, codes=10, parts=parts)
    masked_parts = draw_masked_parts(6, predicted, 0.5, generator(4))
    canvas = mask_tokens(tokens, lengths, "cosine", generator(), masked_parts)
    logits = torch.randn(6, predicted, 12, 10, generator=generator(3))
    clips = []
    for row in range(6):
        positions = [(part, i) for part in range(predicted) for i in range(lengths[row])]
        positions = [at for at in positions if loss_on == "all" or canvas[row][at] == MASK]
        terms = [-logits[row][at].log_softmax(0)[tokens[row][at]] for at in positions]
        clips.append(torch.stack(terms).mean())
    targets = tokens.masked_fill(~inside(lengths, 12)[:, None], MASK)  # padding may hold anything
    loss = masked_loss(logits, targets, lengths, loss_on=loss_on, canvas=canvas)
    assert torch.allclose(loss, torch.stack(clips).mean())


TOKENS, LENGTHS = batch(size=2, n=4)
ONE = torch.ones(2, 2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: mask_ratios("sine", 3, generator()), "sine"),
        (lambda: mask_ratios("uniform(0.5)", 3, generator()), "0.5"),
        (lambda: mask_ratios("uniform(0.9, 0.2)", 3, generator()), "0.9, 0.2"),
        (lambda: mask_ratios("uniform(0, 1.5)", 3, generator()), "1.5"),
        (lambda: draw_masked_parts(5, 2, 1.5, generator()), "both_parts is 1.5"),
        (lambda: borrow_visible_part(TOKENS, LENGTHS, ONE, 1.5, generator()), "borrowed_part is 1.5"),
        (lambda: corrupt_tokens(TOKENS, LENGTHS, 1.2, 64, generator()), "random_codes is 1.2"),
        (lambda: masked_loss(torch.zeros(2, 1, 4, 64), TOKENS, LENGTHS, loss_on="masked"), "canvas"),
    ],
)
def test_refusals(call, named):
    with pytest.raises(ValueError, match=named):
        call()
