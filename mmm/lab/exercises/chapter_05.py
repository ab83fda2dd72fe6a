"""Exercises of chapter 05: calibration."""

import math

import numpy as np
import torch

from mmm import calibration
from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import generator, normal, uniform

chapter = Chapter("05_calibration", "calibration", "import math\n\nimport torch")


def answers(count, seed=0):
    """Made-up confidences, and whether each answer is correct: less often than its confidence says."""
    confidence = uniform(count, seed=seed)
    confidence[0] = 1.0
    return confidence, uniform(count, seed=seed + 50) < confidence**1.5


# 05.1
def reliability_stub(confidence, correct, bins):
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


def _reliability_cases():
    confidence, correct = answers(300)
    confident = confidence > 0.35  # the first bins are empty
    return [
        (confidence, correct, 10),
        (confidence[confident], correct[confident], 10),
        (confidence, correct, 4),
    ]


chapter.add(
    """
    05.1 · The reliability diagram (20 minutes, write a function)

    Sort the answers by confidence into `bins` bins of equal width. Return three numbers for each bin that is **not
    empty**: the mean confidence of its answers, the ratio of correct ones among them (accuracy), and the ratio of all
    answers that are in this bin. A confidence of exactly 1 belongs to the last bin. (Guo et al. 2017, section 2.)
    """,
    reliability,
    """
    hint | The bin of an answer: (confidence * bins).long(), and at most bins - 1.
    hint | torch.bincount(which, weights, bins) adds up the weights of each bin.
    stub | the answers are in no bins yet.
    mean = torch.bincount(which, confidence, bins)[used] / count[used] → mean = ((torch.arange(bins) + 0.5) /
      bins)[used] | the first result is the middle of the bin, expected the mean confidence in it.
    .clamp(max=bins - 1) → | a confidence of exactly 1 has made a bin of its own.
    count > 0 → count >= 0 | there are empty bins in the result: 0 / 0 is NaN.
    count[used] / len(confidence) → count[used] | the third result is a count, expected a ratio of all answers.
    return mean, accuracy → return accuracy, mean | the first two results are exchanged: confidence comes first.
    else | at least one of the three results is wrong. Test it with four answers and two bins.
    """,
    cases=_reliability_cases,
    truth=lambda *a: tuple(calibration.reliability(*a)),
    names=("the mean confidence", "the accuracy", "the ratio"),
)


# 05.2
def ece_stub(mean, accuracy, ratio):
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


chapter.add(
    r"""
    05.2 · Expected calibration error (5 minutes, write a function)

    The ECE is one number for the whole diagram: the mean gap between confidence and accuracy, weighted by the ratio of
    answers in each bin,

    $$\text{ECE} = \sum_b \text{ratio}_b \; \lvert \text{accuracy}_b - \text{confidence}_b \rvert$$
    """,
    ece,
    """
    hint | Take absolute values before you add.
    hint | The ratios add up to 1: no division is needed.
    stub | gaps of opposite sign cancel, and a bin of one answer counts as much as a full one.
    (mean - accuracy).abs() → (mean - accuracy) | gaps of opposite sign cancel.
    (mean - accuracy).abs()).sum() → (mean - accuracy)).sum().abs() | gaps of opposite sign cancel: the absolute value
      comes too late.
    (ratio * (mean - accuracy).abs()).sum() → (mean - accuracy).abs().mean() | a bin of one answer counts as much as a
      full one: weight by the ratio.
    (ratio * (mean - accuracy).abs()).sum() → (mean - accuracy).abs().max() | this is the largest gap (MCE), expected
      the mean one.
    .abs() → .square() | the gaps are squared.
    .sum() → .mean() | the weights add up to 1 already: use sum, not mean.
    else | the ECE is wrong. Two bins with half of the answers each and gaps of +0.1 and -0.1 must give 0.1.
    """,
    cases=_ece_cases,
    truth=lambda mean, accuracy, ratio: np.average((mean - accuracy).abs().numpy(), weights=ratio),
)


# 05.3
def fit_temperature_stub(logits, targets):
    return torch.tensor(1.0)  # TODO: try temperatures, or let PyTorch find the best one


def fit_temperature(logits, targets):
    """logits (M, K), targets (M,) → the temperature that gives the least cross-entropy."""
    candidates = torch.linspace(math.log(0.05), math.log(20), 400).exp()
    losses = [torch.nn.functional.cross_entropy(logits / t, targets) for t in candidates]
    return candidates[torch.stack(losses).argmin()]


def _temperature_cases():
    cases = []
    for seed, scale in ((1, 3.0), (2, 0.5)):
        true = 2 * normal(400, 8, seed=seed)
        targets = torch.multinomial(true.softmax(1), 1, generator=generator(seed))[:, 0]
        cases.append((scale * true, targets))  # overconfident by the factor 3; not confident enough by 2
    return cases


chapter.add(
    r"""
    05.3 · Fit a temperature (20 minutes, write a function)

    Temperature scaling (Guo et al. 2017, section 4.2) divides all logits by one number, the temperature $\tau$. Find
    the $\tau$ between 0.05 and 20 for which the cross-entropy is least. An error of 2 % is allowed. So you may try many
    candidates, in equal steps of $\ln \tau$.
    """,
    fit_temperature,
    """
    hint | The candidates: torch.linspace(math.log(0.05), math.log(20), 400).exp()
    hint | Compute the cross-entropy of logits / t for each, and return the candidate with the smallest.
    stub | a temperature of 1 leaves the logits as they are. Search for the one with the least cross-entropy.
    logits / t → logits * t | this is 1 / τ: the logits must be divided by the temperature.
    torch.nn.functional.cross_entropy(logits / t, targets) → -(logits / t).softmax(1).gather(1, targets[:, None]).mean()
      | this maximises the probability of the true code, not its logarithm: it prefers too much confidence.
    torch.nn.functional.cross_entropy(logits / t, targets) → -((logits / t).argmax(1) == targets).float().mean() |
      accuracy does not depend on the temperature, so it cannot choose one.
    candidates[torch.stack(losses).argmin()] → min(losses) | this is the least cross-entropy, expected the temperature
      that gives it.
    else | this is not the temperature with the least cross-entropy. Print the loss of your τ and of its neighbours.
    """,
    cases=_temperature_cases,
    truth=calibration.fit_temperature,
    tolerance=0.02,
)


# 05.4
def auc_stub(confidence, correct):
    return ((confidence > 0.5) == correct).float().mean()  # TODO: compare pairs, without a threshold


def auc(confidence, correct):
    """confidence (M,), correct (M,) of bool → the area under the ROC curve."""
    right, wrong = confidence[correct], confidence[~correct]
    difference = right[:, None] - wrong[None]
    return ((difference > 0).float() + 0.5 * (difference == 0).float()).mean()


def _auc_cases():
    confidence, correct = answers(200, seed=3)
    return [(confidence, correct), ((confidence * 5).round() / 5, correct)]  # the second has many ties


chapter.add(
    """
    05.4 · Does confidence order the answers? (20 minutes, write a function)

    The sampler only needs the **order**: do wrong tokens have less confidence than correct ones? Draw a correct and a
    wrong answer at random. The AUC is the probability that the correct one has more confidence. If both have the same,
    count half. 1 is perfect, 0.5 is chance.
    """,
    auc,
    """
    hint | Compare all pairs: right[:, None] - wrong[None] has one number for each.
    hint | Count 1 where it is positive and 0.5 where it is 0. Take the mean.
    stub | a threshold of 0.5 measures accuracy, not order.
    0.5 * → 0.0 * | equal confidences count 0 here, expected half.
    0.5 * → 1.0 * | equal confidences count 1 here, expected half.
    difference > 0 → difference < 0 | correct and wrong answers are exchanged: this is 1 - AUC.
    ((difference > 0).float() + 0.5 * (difference == 0).float()) → difference | this is the mean difference of the
      confidences, expected how often it is positive.
    else | the AUC is wrong. All correct answers at 0.9 and all wrong ones at 0.1 must give 1.
    """,
    cases=_auc_cases,
    truth=calibration.roc_auc,
)


# 05.5
def half_width_stub(error, clip, draws, seed):
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


def _normal_interval(error, clip, draws, seed):
    return (
        1.96 * error.view(40, 15).mean(1).std(correction=0) / 40**0.5
    )  # clips of equal length: their means suffice


def _half_width_cases():
    clip = torch.arange(40).repeat_interleave(15)
    return [(50 + 10 * normal(40, seed=1)[clip] + 3 * normal(600, seed=2), clip, 1000, 0)]


chapter.add(
    """
    05.5 · An interval for tokens of clips (60 minutes, write a function)

    40 clips with 15 tokens each have a mean error. How uncertain is this mean? The *bootstrap* draws 600 of the 600
    values **with replacement** and computes their mean. It repeats this `draws` times. The middle 95 % of the means is
    the interval. The stub does it. But the tokens of one clip are alike: they are not 600 independent values. So draw
    40 **clips** with replacement, and take all tokens of each of them. An error of 10 % is allowed.

    Compare the width of your interval with that of the stub.
    """,
    half_width,
    """
    hint | Make a list with the errors of each clip.
    hint | Draw 40 clip numbers with replacement. A clip that is drawn twice counts twice.
    hint | torch.cat([groups[i] for i in chosen]).mean()
    stub | the interval is too narrow: it treats the tokens as independent.
    / 2 → / 1 | this is the whole width, expected half of it.
    (means.quantile(0.975) - means.quantile(0.025)) / 2 → means.std() | this is the standard deviation of the means,
      expected half of their middle 95 %.
    torch.randint(len(groups), (len(groups),), generator=generator) → torch.randperm(len(groups), generator=generator) |
      all means are equal. Draw with replacement, not a permutation.
    else | this is not the width for drawn clips. Do you draw 40 clips each time, and take all their tokens?
    why | 15 tokens of one clip are worth little more than one. With the wrong interval, two equal models look
      different.
    """,
    cases=_half_width_cases,
    truth=_normal_interval,
    tolerance=0.1,
)


# 05.6
def measure_temperature():
    """The four numbers of made-up answers at two temperatures."""
    numbers = []
    generator = torch.Generator().manual_seed(0)
    true = 2 * torch.randn(4000, 8, generator=generator)
    targets = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    for temperature in (1.0, 2.0):
        confidence, correct = calibration.answers(3 * true, targets, temperature)
        error = calibration.ece(confidence, correct)
        loss = calibration.log_loss(3 * true, targets, temperature)
        numbers.append({"a": confidence.mean(), "b": correct.mean(), "c": error, "d": loss})
        print(
            f"T = {temperature}:", {letter: round(float(value), 3) for letter, value in numbers[-1].items()}
        )
    return min("abcd", key=lambda letter: abs(numbers[0][letter] - numbers[1][letter]))


chapter.add(
    """
    05.6 · A higher temperature (5 minutes, predict, then measure)

    A network is overconfident. You divide its logits by 2. Which of these numbers **cannot** change?

    - "a": the mean confidence of the most likely codes;
    - "b": the accuracy: the ratio of positions at which the most likely code is correct;
    - "c": the ECE;
    - "d": the cross-entropy.
    """,
    "b",
    """
    hint | Which logit is the largest after all were divided by 2?
    "a" | a temperature makes the probabilities more equal, so the largest one becomes smaller.
    "c" | the confidences become smaller and the accuracy of an answer does not. So the gap changes.
    "d" | a temperature is chosen because it makes this number smaller, so it can change.
    else | answer with "a", "b", "c" or "d".
    why | Division by a positive number keeps the order within a position. Only the probabilities move.
    """,
    measure=measure_temperature,
)
