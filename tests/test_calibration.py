"""Metrics of calibration: known answers, an independent library, planted overconfidence."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryAUROC, BinaryCalibrationError

from mmm import calibration

RNG = np.random.default_rng


def made_up(count=3000, seed=0):
    """Confidences, and answers that are correct with exactly these probabilities."""
    rng = RNG(seed)
    confidence = rng.random(count)
    return confidence, rng.random(count) < confidence


def planted(temperature, count=4000, codes=12, seed=0):
    """Ids drawn from the softmax of some logits, and these logits times a temperature: an overconfident model."""
    rng = RNG(seed)
    calibrated = 2 * rng.standard_normal((count, codes))
    targets = (calibrated + rng.gumbel(size=calibrated.shape)).argmax(1)
    return torch.from_numpy(temperature * calibrated), torch.from_numpy(targets)


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_ece_and_auc_equal_torchmetrics(bins, kind):
    rng = RNG(1)
    confidence = np.round(rng.random(500), 2)  # many ties
    correct = rng.random(500) < confidence**2
    # torchmetrics puts a confidence on an edge into the bin below, we into the one above: none is on an edge here
    inside = (confidence * bins) % 1 != 0
    theirs = BinaryCalibrationError(n_bins=bins, norm="l1")(
        torch.tensor(confidence[inside]), torch.tensor(correct[inside]).int()
    )
    assert calibration.ece(kind(confidence[inside]), kind(correct[inside]), bins) == pytest.approx(
        float(theirs), abs=1e-6
    )
    auc = BinaryAUROC()(torch.tensor(confidence), torch.tensor(correct).int())
    assert calibration.roc_auc(kind(confidence), kind(correct)) == pytest.approx(float(auc), abs=1e-6)


def test_a_perfectly_calibrated_toy_has_no_error():
    confidence = np.repeat([0.2, 0.5, 0.8], 10)
    correct = np.concatenate([np.arange(10) < 10 * ratio for ratio in (0.2, 0.5, 0.8)])
    assert calibration.ece(confidence, correct) == pytest.approx(0, abs=1e-12)
    diagram = calibration.reliability(confidence, correct)
    assert diagram.confidence.tolist() == pytest.approx([0.2, 0.5, 0.8]) == diagram.accuracy.tolist()
    assert diagram.ratio.tolist() == pytest.approx([1 / 3] * 3)
    # the Brier score of a calibrated model is not 0
    assert calibration.brier(confidence, correct) == pytest.approx(np.mean([0.16, 0.25, 0.16]))


def test_overconfidence_is_detected_and_the_ranking_is_not_calibration():
    confidence, _ = made_up()
    correct = RNG(2).random(len(confidence)) < confidence**2
    assert calibration.ece(confidence, correct) == pytest.approx(1 / 6, abs=0.02)
    assert calibration.ece(confidence**2, correct) < 0.03
    assert calibration.roc_auc(confidence, correct) == calibration.roc_auc(confidence**2, correct)


def test_the_base_rate_is_calibrated_and_not_sharp():
    correct = np.arange(100) < 30
    confidence = np.full(100, 0.3)
    report = calibration.calibration_report(confidence, correct)
    assert report["ece"] == pytest.approx(0, abs=1e-12) and report["sharpness"] == pytest.approx(0, abs=1e-12)
    assert report["auc"] == 0.5 and report["brier"] == pytest.approx(0.21)
    assert (report["accuracy"], report["confidence"]) == (pytest.approx(0.3), pytest.approx(0.3))


def test_auc_by_hand():
    confidence, correct = np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, False, True, False])
    assert calibration.roc_auc(confidence, correct) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(calibration.roc_auc(confidence, np.ones(4, bool)))


def test_easy_and_hard_clips_are_no_ranking_within_clips():
    """Confident and correct in one clip, not confident and wrong in the other, no order within each."""
    groups = np.repeat([0, 1, 2], 20)
    confidence = np.repeat([0.9, 0.1, 0.5], 20)
    correct = np.concatenate([np.arange(20) < 18, np.arange(20) < 2, np.ones(20, bool)])
    assert calibration.roc_auc(confidence, correct) > 0.75
    assert calibration.auc_within_groups(confidence, correct, groups) == 0.5
    assert np.isnan(calibration.auc_within_groups(confidence[40:], correct[40:], groups[40:]))


def test_chance_alone_leaves_a_calibrated_model_some_error():
    confidence, correct = made_up(200)
    mean, spread = calibration.calibrated_ece(confidence)
    assert 0.02 < mean < 0.12 and 0 < spread < mean
    assert calibration.calibrated_ece(confidence) == (mean, spread), "the same seed, the same result"
    assert abs(calibration.ece(confidence, correct) - mean) < 4 * spread
    assert calibration.calibrated_ece(np.tile(confidence, 50))[0] < mean / 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_planted_overconfidence_is_measured_and_scaled_away(temperature):
    logits, targets = planted(temperature)
    fitted = calibration.fit_temperature(logits, targets)
    assert fitted == pytest.approx(temperature, rel=0.06)
    fresh_logits, fresh_targets = planted(temperature, seed=1)
    before = calibration.ece(*calibration.answers(fresh_logits, fresh_targets))
    confidence, correct = calibration.answers(fresh_logits, fresh_targets, fitted)
    assert calibration.ece(confidence, correct) < 0.03
    if temperature != 1:
        assert before > 0.1
        assert calibration.log_loss(fresh_logits, fresh_targets, fitted) < calibration.log_loss(
            fresh_logits, fresh_targets
        )
    assert correct.tolist() == calibration.answers(fresh_logits, fresh_targets)[1].tolist()


def test_no_group_helps_to_choose_its_own_temperature():
    logits, targets = planted(3.0, count=2000)
    groups = np.arange(2000) // 10
    temperatures, fold = calibration.cross_fitted_temperatures(logits, targets, groups, folds=2)
    assert all(value == pytest.approx(3.0, rel=0.1) for value in temperatures)
    assert len({(group, where) for group, where in zip(groups, fold, strict=True)}) == 200
    assert 900 < (fold == 0).sum() < 1100
    wrong = targets.clone()
    wrong[fold == 0] = logits[fold == 0].argmin(
        1
    )  # changes only what the other fold's temperature is fitted on
    changed, _ = calibration.cross_fitted_temperatures(logits, wrong, groups, folds=2)
    assert changed[0] == temperatures[0] and changed[1] > 2 * temperatures[1]
    confidence, correct = calibration.scaled_answers(logits, targets, [1.0, 3.0], fold)
    for number, temperature in enumerate((1.0, 3.0)):
        own = fold == number
        expected, same = calibration.answers(logits[own], targets[own], temperature)
        np.testing.assert_allclose(confidence[own], expected)
        assert np.array_equal(correct[own], same)


def test_correlation_and_an_interval_that_resamples_clips():
    rng = RNG(3)
    clip = np.repeat(np.arange(60), 15)
    difficulty = rng.standard_normal(60)[clip]  # a whole clip is easy or hard
    confidence = 1 / (1 + np.exp(-difficulty - 0.2 * rng.standard_normal(900)))
    error = np.exp(-difficulty + 0.2 * rng.standard_normal(900))
    by_clip = calibration.correlation(confidence, error, clip, resamples=300)
    alone = calibration.correlation(confidence, error, resamples=300)
    assert by_clip.value == alone.value < -0.8
    assert by_clip.low < by_clip.value < by_clip.high
    assert by_clip.high - by_clip.low > 2 * (alone.high - alone.low)
    nothing = calibration.correlation(confidence, rng.random(900), clip, resamples=300)
    assert nothing.low < 0 < nothing.high
    assert str(nothing) == f"{nothing.value:.3f} ({nothing.low:.3f} to {nothing.high:.3f})"


HALF, TRUE, ZEROS = np.array([0.5]), np.array([True]), torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: calibration.ece(HALF[:0], TRUE[:0]), "0 answers"),
        (lambda: calibration.ece(HALF, np.array([True, False])), "1 confidences for 2 answers"),
        (lambda: calibration.brier(np.array([1.5]), TRUE), "from 1.5 to 1.5"),
        (lambda: calibration.reliability(HALF, TRUE, 0), "bins is 0"),
        (lambda: calibration.correlation(np.array([0.1, 0.2]), HALF), "2 confidences, 1 errors and 2 groups"),
        (lambda: calibration.correlation(HALF, HALF, np.array([7])), "1 groups"),
        (lambda: calibration.fit_temperature(ZEROS, torch.tensor([0, 3])), "from 0 to 3"),
        (lambda: calibration.log_loss(ZEROS, torch.tensor([0])), "2 rows of logits for 1 ids"),
        (
            lambda: calibration.cross_fitted_temperatures(ZEROS, torch.tensor([0, 1]), np.array([1, 1])),
            "1 groups for 2 folds",
        ),
    ],
)
def test_refusals(call, named):
    with pytest.raises(ValueError, match=named):
        call()
