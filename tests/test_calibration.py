"""Measures of calibration: known answers, an independent library, planted over-confidence."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryAUROC, BinaryCalibrationError

from mmm import calibration

RNG = np.random.default_rng


def made_up(count=3000, seed=0):
    """Confidences, and answers that are right as often as they say."""
    rng = RNG(seed)
    said = rng.random(count)
    return said, rng.random(count) < said


def planted(temperature, count=4000, codes=12, seed=0):
    """Ids drawn from the softmax of some logits, and those logits as a model shows them that is surer than right."""
    rng = RNG(seed)
    honest = 2 * rng.standard_normal((count, codes))
    targets = (honest + rng.gumbel(size=honest.shape)).argmax(1)
    return torch.from_numpy(temperature * honest), torch.from_numpy(targets)


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_ece_and_auc_equal_torchmetrics(bins, kind):
    rng = RNG(1)
    said = np.round(rng.random(500), 2)  # many ties
    right = rng.random(500) < said**2
    # torchmetrics puts a confidence on an edge into the bin below, we into the one above: none is on an edge here
    inside = (said * bins) % 1 != 0
    theirs = BinaryCalibrationError(n_bins=bins, norm="l1")(
        torch.tensor(said[inside]), torch.tensor(right[inside]).int()
    )
    assert calibration.ece(kind(said[inside]), kind(right[inside]), bins) == pytest.approx(
        float(theirs), abs=1e-6
    )
    auc = BinaryAUROC()(torch.tensor(said), torch.tensor(right).int())
    assert calibration.roc_auc(kind(said), kind(right)) == pytest.approx(float(auc), abs=1e-6)


def test_a_perfectly_calibrated_toy_has_no_error():
    said = np.repeat([0.2, 0.5, 0.8], 10)
    right = np.concatenate([np.arange(10) < 10 * share for share in (0.2, 0.5, 0.8)])
    assert calibration.ece(said, right) == pytest.approx(0, abs=1e-12)
    found = calibration.reliability(said, right)
    assert found.confidence.tolist() == pytest.approx([0.2, 0.5, 0.8]) == found.accuracy.tolist()
    assert found.ratio.tolist() == pytest.approx([1 / 3] * 3)
    # all that is left of the Brier score is what nobody who says so could know
    assert calibration.brier(said, right) == pytest.approx(np.mean([0.16, 0.25, 0.16]))


def test_a_boaster_is_caught_and_the_order_is_not_calibration():
    said, _ = made_up()
    right = RNG(2).random(len(said)) < said**2
    assert calibration.ece(said, right) == pytest.approx(1 / 6, abs=0.02)
    assert calibration.ece(said**2, right) < 0.03
    assert calibration.roc_auc(said, right) == calibration.roc_auc(said**2, right)


def test_who_always_says_the_base_rate_is_calibrated_and_says_nothing():
    right = np.arange(100) < 30
    said = np.full(100, 0.3)
    report = calibration.calibration_report(said, right)
    assert report["ece"] == pytest.approx(0, abs=1e-12) and report["sharpness"] == pytest.approx(0, abs=1e-12)
    assert report["auc"] == 0.5 and report["brier"] == pytest.approx(0.21)
    assert (report["accuracy"], report["confidence"]) == (pytest.approx(0.3), pytest.approx(0.3))


def test_auc_by_hand():
    said, right = np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, False, True, False])
    assert calibration.roc_auc(said, right) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(calibration.roc_auc(said, np.ones(4, bool)))


def test_easy_and_hard_clips_do_not_make_an_order_within_clips():
    """Sure and right in one clip, unsure and wrong in the other, within each no order at all."""
    groups = np.repeat([0, 1, 2], 20)
    said = np.repeat([0.9, 0.1, 0.5], 20)
    right = np.concatenate([np.arange(20) < 18, np.arange(20) < 2, np.ones(20, bool)])
    assert calibration.roc_auc(said, right) > 0.75
    assert calibration.auc_within_groups(said, right, groups) == 0.5
    assert np.isnan(calibration.auc_within_groups(said[40:], right[40:], groups[40:]))


def test_luck_alone_leaves_an_honest_model_some_error():
    said, right = made_up(200)
    mean, spread = calibration.calibrated_ece(said)
    assert 0.02 < mean < 0.12 and 0 < spread < mean
    assert calibration.calibrated_ece(said) == (mean, spread), "the same seed, the same luck"
    assert abs(calibration.ece(said, right) - mean) < 4 * spread
    assert calibration.calibrated_ece(np.tile(said, 50))[0] < mean / 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_planted_over_confidence_is_found_and_scaled_away(temperature):
    logits, targets = planted(temperature)
    found = calibration.fit_temperature(logits, targets)
    assert found == pytest.approx(temperature, rel=0.06)
    fresh_logits, fresh_targets = planted(temperature, seed=1)
    before = calibration.ece(*calibration.answers(fresh_logits, fresh_targets))
    said, right = calibration.answers(fresh_logits, fresh_targets, found)
    assert calibration.ece(said, right) < 0.03
    if temperature != 1:
        assert before > 0.1
        assert calibration.log_loss(fresh_logits, fresh_targets, found) < calibration.log_loss(
            fresh_logits, fresh_targets
        )
    assert right.tolist() == calibration.answers(fresh_logits, fresh_targets)[1].tolist()


def test_no_group_helps_to_choose_its_own_temperature():
    logits, targets = planted(3.0, count=2000)
    groups = np.arange(2000) // 10
    temperatures, fold = calibration.cross_fitted_temperatures(logits, targets, groups, folds=2)
    assert all(value == pytest.approx(3.0, rel=0.1) for value in temperatures)
    assert len({(group, where) for group, where in zip(groups, fold, strict=True)}) == 200
    assert 900 < (fold == 0).sum() < 1100
    spoilt = targets.clone()
    spoilt[fold == 0] = logits[fold == 0].argmin(
        1
    )  # changes only what the other fold's temperature is fitted on
    changed, _ = calibration.cross_fitted_temperatures(logits, spoilt, groups, folds=2)
    assert changed[0] == temperatures[0] and changed[1] > 2 * temperatures[1]
    said, right = calibration.scaled_answers(logits, targets, [1.0, 3.0], fold)
    for number, temperature in enumerate((1.0, 3.0)):
        own = fold == number
        expected, same = calibration.answers(logits[own], targets[own], temperature)
        np.testing.assert_allclose(said[own], expected)
        assert np.array_equal(right[own], same)


def test_correlation_and_an_interval_that_knows_of_clips():
    rng = RNG(3)
    clip = np.repeat(np.arange(60), 15)
    mood = rng.standard_normal(60)[clip]  # a whole clip is easy or hard
    said = 1 / (1 + np.exp(-mood - 0.2 * rng.standard_normal(900)))
    error = np.exp(-mood + 0.2 * rng.standard_normal(900))
    by_clip = calibration.correlation(said, error, clip, resamples=300)
    alone = calibration.correlation(said, error, resamples=300)
    assert by_clip.value == alone.value < -0.8
    assert by_clip.low < by_clip.value < by_clip.high
    assert by_clip.high - by_clip.low > 2 * (alone.high - alone.low)
    nothing = calibration.correlation(said, rng.random(900), clip, resamples=300)
    assert nothing.low < 0 < nothing.high
    assert str(nothing) == f"{nothing.value:.3f} ({nothing.low:.3f} to {nothing.high:.3f})"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: calibration.ece(np.array([]), np.array([], bool)), "there are no answers"),
        (lambda: calibration.ece(np.array([0.5]), np.array([True, False])), "1 confidences for 2 answers"),
        (lambda: calibration.brier(np.array([1.5]), np.array([True])), "run from 1.5 to 1.5"),
        (lambda: calibration.reliability(np.array([0.5]), np.array([True]), 0), "bins is 0"),
        (
            lambda: calibration.correlation(np.array([0.1, 0.2]), np.array([1.0]), None),
            "2 confidences, 1 errors and 2 groups",
        ),
        (
            lambda: calibration.correlation(np.array([0.1, 0.2]), np.array([1.0, 2.0]), np.array([7, 7])),
            "there are 1 groups",
        ),
        (lambda: calibration.fit_temperature(torch.zeros(2, 3), torch.tensor([0, 3])), "ids run from 0 to 3"),
        (lambda: calibration.log_loss(torch.zeros(2, 3), torch.tensor([0])), "2 rows of logits for 1 ids"),
        (
            lambda: calibration.cross_fitted_temperatures(
                torch.zeros(2, 3), torch.tensor([0, 1]), np.array([1, 1])
            ),
            "there are 1 groups for 2 folds",
        ),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
