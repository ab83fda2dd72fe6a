import pytest
import torch

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


def test_estimates_do_not_depend_on_the_batch_and_draws_follow_the_distribution():
    model = estimator()
    sentences = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))
    together = model.estimate(sentences)
    assert together.tolist() == [model.estimate(row[None]).item() for row in sentences]
    assert 1 <= together.min() and together.max() <= 49

    with torch.no_grad():
        model.layers[-1].weight.zero_()
        model.layers[-1].bias.fill_(-20.0)
        model.layers[-1].bias[[0, 48]] = torch.tensor([0.0, 0.0]) + torch.tensor([0.75, 0.25]).log()
    drawn = model.estimate(sentences.repeat(20, 1), torch.Generator().manual_seed(1))
    assert set(drawn.tolist()) == {1, 49}
    assert abs((drawn == 1).float().mean() - 0.75) < 0.05
    again = model.estimate(sentences.repeat(20, 1), torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)


def test_loss_refuses_lengths_it_does_not_know():
    for lengths, found in (([0, 3], "from 0 to 3"), ([3, 50], "from 3 to 50")):
        with pytest.raises(ValueError, match=f"lengths run {found} tokens, expected 1 to 49"):
            length_loss(torch.zeros(2, 49), torch.tensor(lengths))


def test_saved_and_loaded(tmp_path):
    model = estimator(max_tokens=30).eval()
    model.save_pretrained(tmp_path / "length")
    again = LengthEstimator.from_pretrained(tmp_path / "length")
    sentences = torch.randn(3, 12)
    assert again.config == model.config
    assert torch.equal(again(sentences), model(sentences))
