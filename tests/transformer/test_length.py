"""The length estimator: its rules on known distributions, draws, blur and folder."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mmm.transformer import LengthConfig, LengthEstimator, length_loss


def estimator(**changes):
    torch.manual_seed(0)
    return LengthEstimator(LengthConfig(text_dim=12, hidden=32, **changes))


def test_it_learns_which_text_is_long():
    model = estimator(dropout=0.0)
    sentences, lengths = torch.eye(12)[:3].repeat(8, 1), torch.tensor([6, 20, 49]).repeat(8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = length_loss(model(sentences), lengths).item()
    for _ in range(60):
        loss = length_loss(model(sentences), lengths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first
    assert model.estimate(torch.eye(12)[:3]).tolist() == [6, 20, 49]
    assert model.training  # as it was


def fixed(probabilities):
    """An estimator that gives every sentence the same distribution."""
    model = estimator()
    with torch.no_grad():
        model.layers[-1].weight.zero_()
        model.layers[-1].bias.fill_(-40.0)
        for length, probability in probabilities.items():
            model.layers[-1].bias[length - 1] = math.log(probability)
    return model


def sentences(count):
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rule", ["median", "argmax", "draw"])
def test_a_length_depends_on_its_sentence_and_seed_alone(rule):
    model, batch = estimator(), sentences(64)
    seeds = list(range(64)) if rule == "draw" else None
    together = model.estimate(batch, rule, seeds)
    alone = [
        model.estimate(row[None], rule, seeds and [seed]).item()
        for row, seed in zip(batch, seeds or batch, strict=True)
    ]
    assert together.tolist() == alone
    assert 1 <= together.min() and together.max() <= 49
    assert model.training  # dropout was off, and is on again


def test_the_rules_on_a_distribution_with_known_answers():
    model, batch = fixed({10: 0.4, 20: 0.35, 30: 0.25}), sentences(3)
    torch.testing.assert_close(
        model.distribution(batch)[:, [9, 19, 29]], torch.tensor([[0.4, 0.35, 0.25]] * 3).double()
    )
    assert model.estimate(batch, "argmax").tolist() == [10] * 3
    assert model.estimate(batch).tolist() == model.estimate(batch, "median").tolist() == [20] * 3
    assert fixed({7: 1.0}).estimate(batch).tolist() == [7] * 3


def test_draws_follow_the_distribution_and_their_seeds():
    model, batch = fixed({1: 0.75, 49: 0.25}), sentences(600)
    drawn = model.estimate(batch, "draw", range(600))
    assert set(drawn.tolist()) == {1, 49}
    assert abs((drawn == 1).float().mean() - 0.75) < 0.06
    assert torch.equal(drawn, model.estimate(batch, "draw", range(600)))
    assert not torch.equal(drawn, model.estimate(batch, "draw", range(1, 601)))
    # The sampler starts a generator with the same seed: its first number must not be the length's.
    sampler = torch.tensor(
        [torch.rand(1, generator=torch.Generator().manual_seed(seed)) for seed in range(600)]
    )
    gap = (drawn[sampler < 0.5] == 1).float().mean() - (drawn[sampler >= 0.5] == 1).float().mean()
    assert abs(gap) < 0.12


@pytest.mark.parametrize(
    ("rule", "seeds", "named"),
    [
        ("mode", None, "'mode', expected one of median, argmax, draw"),
        ("draw", None, "'draw' with 0 seeds"),
        ("draw", [1], "'draw' with 1 seeds"),
        ("median", [1, 2], "'median' with 2 seeds"),
    ],
)
def test_a_rule_without_its_seeds_is_refused(rule, seeds, named):
    with pytest.raises(ValueError, match=named):
        estimator().estimate(sentences(2), rule, seeds)


def test_a_blurred_length_is_a_bell():
    """Checked against torch's own cross-entropy with probabilities from scipy's normal density."""
    logits, lengths = torch.randn(2, 49, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 30])
    bell = norm.pdf(np.arange(1, 50), lengths.numpy()[:, None], 1.5)
    target = torch.from_numpy(bell / bell.sum(1, keepdims=True)).float()
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(length_loss(logits, lengths, blur=1.5), expected)
    torch.testing.assert_close(length_loss(logits, lengths, blur=0.01), length_loss(logits, lengths))
    with pytest.raises(ValueError, match="blur is -1"):
        LengthConfig(12, blur=-1)


@pytest.mark.parametrize("lengths", [[0, 3], [3, 50]])
def test_loss_refuses_lengths_out_of_range(lengths):
    with pytest.raises(ValueError, match="from {} to {}".format(*lengths)):
        length_loss(torch.zeros(2, 49), torch.tensor(lengths), blur=1.0)


def test_saved_and_loaded(tmp_path):
    model = estimator(max_tokens=30).eval()
    model.save_pretrained(tmp_path / "length")
    again = LengthEstimator.from_pretrained(tmp_path / "length")
    sentences = torch.randn(3, 12)
    assert again.config == model.config
    assert torch.equal(again(sentences), model(sentences))
