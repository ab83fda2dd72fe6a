"""Calibration of lengths, on distributions with known answers and against scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from mmm.lab import length_calibration as calibration
from mmm.text import TextEmbedding
from mmm.transformer import LengthConfig, LengthEstimator
from mmm.transformer.tokens import TokenSet

LEVELS = (0.5, 0.8, 0.9)


def bells(spread=4.0, count=6000):
    """Bells with centres drawn at random over 49 lengths, and lengths drawn from those of spread 4."""
    rng = np.random.default_rng(0)
    centres, tokens = rng.uniform(8, 42, (count, 1)), np.arange(1, 50)
    true, predicted = (np.exp(-0.5 * ((tokens - centres) / s) ** 2) for s in (4.0, spread))
    true, predicted = true / true.sum(1, keepdims=True), predicted / predicted.sum(1, keepdims=True)
    lengths = (true.cumsum(1) < rng.uniform(size=(count, 1))).sum(1) + 1
    return predicted, lengths


def test_draws_from_the_distributions_themselves_are_calibrated():
    predicted, lengths = bells()
    np.testing.assert_allclose(calibration.coverage(predicted, lengths, LEVELS), LEVELS, atol=0.015)
    np.testing.assert_allclose(calibration.pit_histogram(predicted, lengths), np.ones(10), atol=0.12)
    assert calibration.coverage_error(predicted, lengths) < 0.01
    assert calibration.log_loss(predicted, lengths) == pytest.approx(calibration.entropy(predicted), abs=0.03)


@pytest.mark.parametrize(
    (
        "spread",
        "shift",
        "first",
        "last",
    ),  # spread of the predictions, delay of the lengths, density at both ends
    [
        (2.0, 0, (2, 9), (2, 9)),
        (8.0, 0, (0, 0.3), (0, 0.3)),
        (4.0, 2, (0, 0.6), (1.5, 9)),
        (4.0, -2, (1.5, 9), (0, 0.6)),
    ],
)
def test_wrong_distributions_show_at_the_ends_of_the_pit(spread, shift, first, last):
    predicted, lengths = bells(spread)
    density = calibration.pit_histogram(predicted, np.clip(lengths + shift, 1, 49))
    assert first[0] <= density[0] < first[1] and last[0] <= density[-1] < last[1]


def test_wrong_distributions_have_more_loss_and_another_coverage():
    (true, lengths), (narrow, _), (broad, _) = (bells(spread) for spread in (4.0, 2.0, 8.0))
    # Of a normal density with half the true spread: the 80 % interval is ± 1.28 × 2, so ± 0.64 of the true one.
    expected = 2 * stats.norm.cdf(0.5 * stats.norm.ppf([0.75, 0.9, 0.95])) - 1
    np.testing.assert_allclose(calibration.coverage(narrow, lengths, LEVELS), expected, atol=0.03)
    assert calibration.coverage_error(narrow, lengths) > 0.15
    assert calibration.log_loss(narrow, lengths) > calibration.entropy(narrow) + 0.5
    assert calibration.log_loss(broad, lengths) < calibration.entropy(broad)
    # The true distribution has the least loss, and among the calibrated ones the sharp one is better.
    flat = calibration.marginal(lengths, 49, len(lengths))
    losses = [calibration.log_loss(predicted, lengths) for predicted in (true, broad, narrow, flat)]
    assert losses[0] == min(losses)
    np.testing.assert_allclose(calibration.coverage(flat, lengths, LEVELS), LEVELS, atol=0.015)
    assert calibration.width(flat) > 2 * calibration.width(true)


@pytest.mark.parametrize(("spread", "calibrated"), [(4.0, True), (3.0, False)])
def test_the_pit_is_that_of_a_randomised_test(spread, calibrated):
    """Drawn within its bounds, the PIT passes Kolmogorov and Smirnov's test if calibrated, and fails if not."""
    predicted, lengths = bells(spread)
    low, high = calibration.pit_bounds(predicted, lengths)
    drawn = low + (high - low) * np.random.default_rng(1).uniform(size=len(low))
    assert (stats.kstest(drawn, "uniform").pvalue > 0.01) == calibrated
    density = np.histogram(drawn, np.linspace(0, 1, 6), density=True)[0]
    np.testing.assert_allclose(calibration.pit_histogram(predicted, lengths, 5), density, atol=0.05)
    inside = ((drawn > 0.1) & (drawn < 0.9)).mean()
    assert calibration.coverage(predicted, lengths, [0.8])[0] == pytest.approx(inside, abs=0.01)


def test_the_numbers_are_scipys():
    rng = np.random.default_rng(2)
    predicted, lengths = rng.dirichlet(np.full(49, 0.3), 40), rng.integers(1, 50, 40)
    own = [stats.rv_discrete(values=(np.arange(1, 50), row)) for row in predicted]
    pairs = list(zip(own, lengths, strict=True))
    assert calibration.entropy(predicted) == pytest.approx(stats.entropy(predicted, axis=1).mean())
    assert calibration.log_loss(predicted, lengths) == pytest.approx(
        -np.mean([p.logpmf(n) for p, n in pairs])
    )
    errors = calibration.point_errors(predicted, lengths)
    assert errors["median"] == np.abs([p.median() for p in own] - lengths).mean()
    assert errors["mean"] == pytest.approx(np.abs([p.mean() for p in own] - lengths).mean())
    assert errors["argmax"] == np.abs(predicted.argmax(1) + 1 - lengths).mean()
    for level in LEVELS:  # rounded up to whole tokens, the ends are the quantiles of the counts
        ends = np.array([p.interval(level) for p in own])
        np.testing.assert_array_equal(np.ceil(calibration.interval(predicted, level)), ends)
    low, high = calibration.pit_bounds(predicted, lengths)
    np.testing.assert_allclose(high, [p.cdf(n) for p, n in pairs])
    np.testing.assert_allclose(low, [p.cdf(n - 1) for p, n in pairs], atol=1e-12)


def test_a_length_counts_in_part_where_an_edge_cuts_its_token():
    predicted = np.array([[0.25, 0.5, 0.25]])
    # The central half runs from the end of the first token to the beginning of the third.
    assert calibration.interval(predicted, 0.5).tolist() == [[1.0, 2.0]]
    assert calibration.width(predicted, 0.5) == 1
    for length, ratio in ((1, 0.0), (2, 1.0), (3, 0.0)):
        assert calibration.coverage(predicted, np.array([length]), [0.5])[0] == pytest.approx(ratio)
    # 80 %: from 0.1 / 0.25 of the first token on, so 0.6 of it is inside.
    np.testing.assert_allclose(calibration.interval(predicted, 0.8), [[0.4, 2.6]])
    assert calibration.coverage(predicted, np.array([1]), [0.8])[0] == pytest.approx(0.6)
    assert calibration.pit_histogram(predicted, np.array([2]), 4).tolist() == [0, 2, 2, 0]


def test_a_length_of_probability_0_is_outside_and_has_infinite_loss():
    predicted, lengths = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]), np.array([1, 3])
    assert calibration.log_loss(predicted, lengths) == np.inf
    assert calibration.coverage(predicted, lengths, [0.9])[0] == 0
    smooth = calibration.marginal(np.array([2, 2]), 3, count=2)
    np.testing.assert_allclose(smooth, [[0.5 / 3.5, 2.5 / 3.5, 0.5 / 3.5]] * 2)
    assert np.isfinite(calibration.log_loss(smooth, lengths))


@pytest.mark.parametrize(
    ("predicted", "lengths", "named"),
    [
        (np.full((2, 4), 0.3), [1, 2], "1.2 to 1.2"),
        (np.array([[1.5, -0.5]]), [1], "-0.5"),
        (np.full((2, 4), 0.25), [0, 5], "0 to 5 tokens, expected 1 to 4"),
    ],
)
def test_bad_input_is_refused(predicted, lengths, named):
    with pytest.raises(ValueError, match=named):
        calibration.calibration_report(predicted, np.array(lengths, int))


class Sentences:
    """A text source whose sentence shows which caption it is."""

    name, width = "sentences", 12

    def lookup(self, captions):
        rows = torch.eye(12)[[int(caption) for caption in captions]]
        return TextEmbedding(rows[:, None], torch.ones(len(captions), 1, dtype=torch.bool), rows)


def test_every_caption_is_predicted_and_compared_with_the_length_of_its_whole_clip():
    torch.manual_seed(0)
    estimator = LengthEstimator(LengthConfig(12, max_tokens=9))
    tokens = TokenSet(
        torch.zeros(4, 1, 8, dtype=torch.int16),
        torch.tensor([8, 7, 5, 4]),  # two variants of each clip; the first begins with its first frame
        torch.tensor([0, 2, 4]),
        [["3", "1"], ["0", "7", "3"]],
        np.ones(2),
        ["a", "b"],
    )
    predicted, lengths = calibration.predict_lengths(estimator.train(), tokens, Sentences())
    assert lengths.tolist() == [8, 8, 5, 5, 5]
    expected = estimator.distribution(torch.eye(12)[[3, 1, 0, 7, 3]]).numpy()
    np.testing.assert_array_equal(predicted, expected)
    assert not np.allclose(predicted[0], predicted[1])


def test_the_plot_shows_coverage_and_pit_beside_what_is_expected_of_100_clips():
    coverage = {"model": np.array([0.4, 0.7]), "marginal": np.array([0.5, 0.8])}
    pit = {"model": np.array([1.5, 0.5, 0.5, 1.5]), "marginal": np.ones(4)}
    left, right = calibration.plot_length_calibration([0.5, 0.8], coverage, pit, clips=100).axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in left.lines}
    assert curves["model"] == [[0.5, 0.4], [0.8, 0.7]] and curves["marginal"] == [[0.5, 0.5], [0.8, 0.8]]
    stairs = {patch.get_label(): patch.get_data() for patch in right.patches if hasattr(patch, "get_data")}
    np.testing.assert_array_equal(stairs["model"].values, pit["model"])
    # A quarter of 100 clips is 25 ± 8.5 in a bin, so a density of 1 ± 0.34.
    band = next(patch for patch in right.patches if not hasattr(patch, "get_data"))
    assert band.get_height() == pytest.approx(2 * 0.3395, abs=1e-3)
