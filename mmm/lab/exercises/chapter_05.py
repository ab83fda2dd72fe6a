"""Exercises of chapter 05: calibration."""

import math

import torch

from mmm import calibration
from mmm.lab.exercises.exercise import Exercise
from mmm.lab.exercises.inputs import generator, normal, uniform

TITLE, NOTEBOOK = "calibration", "05_calibration"
IMPORTS = """
import math

import torch

from mmm import calibration
"""


def answers(count, seed=0):
    """Made-up confidences, and answers that are right less often than they say."""
    confidence = uniform(count, seed=seed)
    confidence[0] = 1.0
    return confidence, uniform(count, seed=seed + 50) < confidence**1.5


# ---------------------------------------------------------------------- 05.1


def reliability_stub(confidence, correct, bins):
    """confidence (M,) in [0, 1], correct (M,) → mean confidence, accuracy, ratio of each bin."""
    ratio = torch.full((bins,), 1 / bins)
    centre = (torch.arange(bins) + 0.5) / bins
    return centre, centre, ratio  # TODO: put the answers into bins


def reliability(confidence, correct, bins):
    """confidence (M,) in [0, 1], correct (M,) → mean confidence, accuracy, ratio of each bin."""
    which = (confidence * bins).long().clamp(max=bins - 1)  # a confidence of 1 belongs to the last bin
    count = torch.bincount(which, minlength=bins)
    used = count > 0
    mean = torch.bincount(which, confidence, bins)[used] / count[used]
    accuracy = torch.bincount(which, correct.to(confidence), bins)[used] / count[used]
    return mean, accuracy, count[used] / len(confidence)


def _reliability(confidence, correct, bins, centres=False, last=False, empty=False, counts=False):
    which = (confidence * bins).long().clamp(max=bins if last else bins - 1)
    size = bins + last
    count = torch.bincount(which, minlength=size)
    used = (count >= 0) if empty else count > 0
    mean = torch.bincount(which, confidence, size)[used] / count[used]
    if centres:
        mean = ((torch.arange(size) + 0.5) / bins)[used]
    accuracy = torch.bincount(which, correct.to(confidence), size)[used] / count[used]
    return mean, accuracy, count[used] / (1 if counts else len(confidence))


def _reliability_cases():
    confidence, correct = answers(300)
    confident = confidence > 0.35  # the first bins are empty
    return [
        (confidence, correct, 10),
        (confidence[confident], correct[confident], 10),
        (confidence, correct, 4),
    ]


# ---------------------------------------------------------------------- 05.2


def ece_stub(mean, accuracy, ratio):
    """For each bin mean confidence, accuracy and ratio of all answers → the expected calibration error."""
    return (mean - accuracy).mean()  # TODO: what happens to gaps of opposite sign, and to small bins?


def ece(mean, accuracy, ratio):
    """For each bin mean confidence, accuracy and ratio of all answers → the expected calibration error."""
    return (ratio * (mean - accuracy).abs()).sum()


def _ece_cases():
    shy = (
        torch.tensor([0.2, 0.4, 0.5, 0.9]),
        torch.tensor([0.3, 0.35, 0.8, 0.7]),
        torch.tensor([0.5, 0.3, 0.05, 0.15]),
    )
    return [tuple(torch.as_tensor(x).float() for x in calibration.reliability(*answers(400), 10)), shy]


# ---------------------------------------------------------------------- 05.3


def fit_temperature_stub(logits, targets):
    """logits (M, K), targets (M,) → the temperature that gives the least cross-entropy."""
    return torch.tensor(1.0)  # TODO: try temperatures, or let PyTorch find the best one


def fit_temperature(logits, targets):
    """logits (M, K), targets (M,) → the temperature that gives the least cross-entropy."""
    candidates = torch.linspace(math.log(0.05), math.log(20), 500).exp()
    losses = [torch.nn.functional.cross_entropy(logits / t, targets) for t in candidates]
    return candidates[torch.stack(losses).argmin()]


def _fit(logits, targets, loss):
    candidates = torch.linspace(math.log(0.05), math.log(20), 200).exp()
    return candidates[torch.stack([torch.as_tensor(loss(logits / t, targets)) for t in candidates]).argmin()]


def _confidence_as_loss(logits, targets):
    return -logits.softmax(1).gather(1, targets[:, None]).mean()


def _temperature_cases():
    cases = []
    for seed, scale in ((1, 3.0), (2, 0.5)):
        true = 2 * normal(400, 8, seed=seed)
        targets = torch.multinomial(true.softmax(1), 1, generator=generator(seed))[:, 0]
        cases.append((scale * true, targets))  # overconfident by the factor 3; too modest by 2
    return cases


# ---------------------------------------------------------------------- 05.4


def auc_stub(confidence, correct):
    """confidence (M,), correct (M,) of bool → the area under the ROC curve."""
    return ((confidence > 0.5) == correct).float().mean()  # TODO: compare pairs, without a threshold


def auc(confidence, correct):
    """confidence (M,), correct (M,) of bool → the area under the ROC curve."""
    right, wrong = confidence[correct], confidence[~correct]
    difference = right[:, None] - wrong[None]
    return ((difference > 0).float() + 0.5 * (difference == 0).float()).mean()


def _auc(confidence, correct, ties):
    right, wrong = confidence[correct], confidence[~correct]
    return ((right[:, None] > wrong) + ties * (right[:, None] == wrong).float()).mean()


def _auc_cases():
    confidence, correct = answers(200, seed=3)
    return [(confidence, correct), ((confidence * 5).round() / 5, correct)]  # the second has many ties


# ---------------------------------------------------------------------- 05.5


def half_width_stub(error, clip, draws, seed):
    """error (M,), clip (M,): which clip an error belongs to → half the width of the 95 % interval of the mean."""
    generator = torch.Generator().manual_seed(seed)
    means = []
    for _ in range(draws):
        rows = torch.randint(len(error), (len(error),), generator=generator)
        means.append(error[rows].mean())  # TODO: tokens of one clip are not independent
    means = torch.stack(means)
    return (means.quantile(0.975) - means.quantile(0.025)) / 2


def half_width(error, clip, draws, seed):
    """error (M,), clip (M,): which clip an error belongs to → half the width of the 95 % interval of the mean."""
    generator = torch.Generator().manual_seed(seed)
    groups = [error[clip == number] for number in clip.unique()]
    means = []
    for _ in range(draws):
        chosen = torch.randint(len(groups), (len(groups),), generator=generator)
        means.append(torch.cat([groups[i] for i in chosen]).mean())
    means = torch.stack(means)
    return (means.quantile(0.975) - means.quantile(0.025)) / 2


def _once_each(error, clip, draws, seed):
    return torch.tensor(0.0)


def _range(error, clip, draws, seed):
    return 2 * half_width(error, clip, draws, seed)


def _half_width_cases():
    clip = torch.arange(40).repeat_interleave(15)
    return [(5 + normal(40, seed=1)[clip] + 0.3 * normal(600, seed=2), clip, 400, 0)]


# ---------------------------------------------------------------------- 05.6


def measure_temperature():
    """Accuracy, mean confidence and ECE of made-up answers at two temperatures."""
    generator = torch.Generator().manual_seed(0)
    true = 2 * torch.randn(4000, 8, generator=generator)
    targets = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    for temperature in (1.0, 2.0):
        confidence, correct = calibration.answers(3 * true, targets, temperature)
        error = calibration.ece(confidence, correct)
        print(
            f"T = {temperature}: accuracy {correct.mean():.3f}, confidence {confidence.mean():.3f}, ECE {error:.3f}"
        )


EXERCISES = [
    Exercise(
        "05.1",
        20,
        "The reliability diagram",
        """
        Put the answers into `bins` bins of equal width by their confidence. For each bin that is **not empty**
        return three numbers: the mean confidence of its answers, the ratio of correct answers (accuracy), and
        the ratio of all answers that are in it. A confidence of exactly 1 belongs to the last bin. (Guo et al.
        2017, section 2.)
        """,
        reliability_stub,
        reliability,
        (
            "The bin of an answer: (confidence * bins).long(), and at most bins - 1.",
            "torch.bincount(which, weights, bins) adds up the weights of each bin.",
        ),
        "at least one of the three results is wrong. Test it with four answers and two bins.",
        {
            "the answers are in no bins yet.": reliability_stub,
            "the first result is the middle of the bin, expected the mean confidence in it.": lambda *a: (
                _reliability(*a, centres=True)
            ),
            "a confidence of exactly 1 has made a bin of its own.": lambda *a: _reliability(*a, last=True),
            "there are empty bins in the result: 0 / 0 is NaN.": lambda *a: _reliability(*a, empty=True),
            "the third result is a count, expected a ratio of all answers.": lambda *a: _reliability(
                *a, counts=True
            ),
        },
        _reliability_cases,
        truth=lambda *a: tuple(calibration.reliability(*a)),
    ),
    Exercise(
        "05.2",
        5,
        "Expected calibration error",
        r"""
        One number for the whole diagram: the mean gap between confidence and accuracy, weighted by the ratio of
        answers in each bin,

        $$\text{ECE} = \sum_b \text{ratio}_b \; \lvert \text{accuracy}_b - \text{confidence}_b \rvert$$
        """,
        ece_stub,
        ece,
        ("Take absolute values before you add.", "The ratios add up to 1: no division is needed."),
        "the ECE is wrong.",
        {
            "gaps of opposite sign cancel, and a bin of one answer counts as much as a full one.": ece_stub,
            "gaps of opposite sign cancel.": lambda m, a, r: (r * (m - a)).sum(),
            "gaps of opposite sign cancel, and the absolute value comes too late.": lambda m, a, r: (
                (r * (m - a)).sum().abs()
            ),
            "a bin of one answer counts as much as a full one: weight by the ratio.": lambda m, a, r: (
                (m - a).abs().mean()
            ),
            "this is the largest gap (MCE), expected the mean one.": lambda m, a, r: (m - a).abs().max(),
            "the gaps are squared.": lambda m, a, r: (r * (m - a).square()).sum(),
            "the weights add up to 1 already: use sum, not mean.": lambda m, a, r: (r * (m - a).abs()).mean(),
        },
        _ece_cases,
    ),
    Exercise(
        "05.3",
        20,
        "Fit a temperature",
        r"""
        Temperature scaling (Guo et al. 2017, section 4.2): divide all logits by one number $\tau$, chosen so
        that the cross-entropy of held-out clips is least. Find $\tau$ between 0.05 and 20, to 2 %. A grid is
        good enough: many candidates, equal steps of $\ln \tau$.
        """,
        fit_temperature_stub,
        fit_temperature,
        (
            "torch.linspace(log 0.05, log 20, 500).exp() are candidates.",
            "Compute the cross-entropy of logits / t for each, take the candidate with the smallest.",
        ),
        "not the temperature with the least cross-entropy.",
        {
            "1 changes nothing.": fit_temperature_stub,
            "this is 1 / τ: the logits must be divided by the temperature.": lambda x, t: (
                1 / fit_temperature(x, t)
            ),
            "this maximises the probability of the true code, not its logarithm: it always wants to be too sure.": (
                lambda x, t: _fit(x, t, _confidence_as_loss)
            ),
            "accuracy does not depend on the temperature, so it cannot choose one.": lambda x, t: _fit(
                x, t, lambda y, t: -(y.argmax(1) == t).float().mean()
            ),
        },
        _temperature_cases,
        truth=calibration.fit_temperature,
        tolerance=0.02,
    ),
    Exercise(
        "05.4",
        20,
        "Does confidence order the answers?",
        """
        The sampler only needs the **order**: are wrong tokens less confident than right ones? The AUC is the
        probability that a random correct answer has more confidence than a random wrong one. Ties count half. 1
        is perfect, 0.5 is chance.
        """,
        auc_stub,
        auc,
        (
            "right[:, None] - wrong[None] has one number for each pair.",
            "Count 1 where it is positive and 0.5 where it is 0. Take the mean.",
        ),
        "the AUC is wrong. All correct answers at 0.9 and all wrong ones at 0.1 must give 1.",
        {
            "a threshold of 0.5 measures accuracy, not order.": auc_stub,
            "equal confidences count 0 here, expected half.": lambda c, y: _auc(c, y, 0.0),
            "equal confidences count 1 here, expected half.": lambda c, y: _auc(c, y, 1.0),
            "right and wrong are exchanged: this is 1 - AUC.": lambda c, y: 1 - auc(c, y),
            "this is the mean difference of the confidences, expected how often it is positive.": lambda c, y: (
                c[y].mean() - c[~y].mean()
            ),
        },
        _auc_cases,
        truth=calibration.roc_auc,
    ),
    Exercise(
        "05.5",
        60,
        "An interval for tokens of clips",
        """
        600 tokens of 40 clips have a mean error. How uncertain is it? The *bootstrap* draws as many values
        again, with replacement, computes the mean, repeats this, and takes the middle 95 % of the means. But
        the tokens of one clip are alike: they are not 600 independent values. Draw **clips**, and take all
        tokens of each drawn clip.

        Compare the width of your interval with that of the stub.
        """,
        half_width_stub,
        half_width,
        (
            "Make a list with the errors of each clip.",
            "Draw 40 clip numbers with replacement. A clip that is drawn twice counts twice.",
            "torch.cat([groups[i] for i in chosen]).mean()",
        ),
        "the width is not that of a bootstrap over clips. Do you draw as many clips as there are, with replacement?",
        {
            "the interval is too narrow: it takes the tokens for independent.": half_width_stub,
            "this is the whole width, expected half of it.": _range,
            "all means are equal. Draw with replacement, not a permutation.": _once_each,
        },
        _half_width_cases,
        tolerance=0.05,
        why="""
        15 tokens of one clip are worth little more than one. With the wrong interval, two equal models look
        different.
        """,
    ),
    Exercise(
        "05.6",
        5,
        "Predict, then measure: a higher temperature",
        """
        A network is overconfident. You divide its logits by 2. Which of these numbers **cannot** change?

        - "a": the mean confidence of the most likely codes;
        - "b": the ratio of correct answers, because the most likely code stays the most likely one;
        - "c": the ECE, because all confidences change in the same way;
        - "d": the cross-entropy.
        """,
        "c",
        "b",
        ("Which logit is the largest after all were divided by 2?",),
        'answer with "a", "b", "c" or "d".',
        {
            "a temperature makes the probabilities more equal, so the largest one becomes smaller.": "a",
            "the confidences change, the accuracy of each answer does not. So the gap changes.": "c",
            "the temperature is fitted by this number. So it must change.": "d",
        },
        why="""
        Division by a positive number keeps the order within a position. Only the probabilities move.
        """,
        measure=measure_temperature,
    ),
]
