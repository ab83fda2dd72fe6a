"""Exercises of chapter 07: evaluation."""

import math
from statistics import fmean

import numpy as np
import torch

from mmm.evaluation import metrics
from mmm.evaluation.metrics import fid as package_fid
from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import clip, generator, integers, normal
from mmm.motion import features_to_joints
from mmm.motion.measures import foot_skating

chapter = Chapter(
    "07_evaluation", "evaluation", "import torch\n\nfrom mmm.evaluation.metrics import fid as package_fid"
)


# 07.1
def r_precision_stub(text, motion, top):
    nearest = torch.cdist(text, motion).argmin(1)
    right = (nearest == torch.arange(len(text))).float().mean()
    return right.expand(top)  # TODO: R@k asks for the k nearest


def r_precision(text, motion, top):
    """text (n, D), motion (n, D) in pairs → (top,): R@1, R@2, … of this pool of n motions."""
    distances = torch.cdist(text, motion)  # (n, n): row i belongs to text i
    closer = (distances < distances.diagonal()[:, None]).sum(1)  # motions that are nearer than the right one
    return torch.stack([(closer < k).float().mean() for k in range(1, top + 1)])


def _r_cases():
    text = normal(32, 6)
    return [(text, text + 1.2 * normal(32, 6, seed=1), 3), (text, text * 1.5 + normal(32, 6, seed=2), 5)]


chapter.add(
    """
    07.1 · R-precision (20 minutes, write a function)

    An evaluator maps texts and motions into one space. Order the n motions of the pool by their Euclidean distance from
    a text. R@k is the ratio of **texts** whose own motion is among the k nearest. So R@2 is at least as large as R@1.
    (Paper, section 4, "Evaluation Metrics"; the pool has 32 motions there.)
    """,
    r_precision,
    """
    hint | Count for each text how many motions are nearer than its own.
    hint | The own motion is among the k nearest if fewer than k others are nearer.
    stub | all k give R@1.
    torch.cdist(text, motion) → torch.cdist(motion, text) | for each motion the texts are ordered, expected for each
      text the motions.
    closer < k → closer < k - 1 | off by one: R@1 counts the texts for which 0 other motions are nearer.
    closer < k → closer <= k | off by one: for R@1 no other motion may be nearer than the own one.
    closer < k → closer == k - 1 | this is the ratio of texts whose own motion is the k-th nearest. R@k counts the 1st
      to the k-th.
    torch.cdist(text, motion) → -(text @ motion.T) | this orders by the inner product, expected by the Euclidean
      distance.
    else | at least one of the ratios is wrong. If text and motion are equal, all of them must be 1. Else look at the
      distance: it is the Euclidean one, not the cosine.
    """,
    cases=_r_cases,
    truth=lambda text, motion, top: list(metrics.r_precision(text, motion, top, pool=len(text))),
)


# 07.2
def fid_stub(real, generated):
    return (real.mean(0) - generated.mean(0)).square().sum()  # TODO: the covariances


def fid(real, generated):
    """real (n, D), generated (m, D) → the Fréchet distance of two Gaussians."""
    shift = (real.mean(0) - generated.mean(0)).square().sum()
    first, second = torch.cov(real.T), torch.cov(generated.T)
    roots = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt()
    return shift + first.trace() + second.trace() - 2 * roots.sum()


def _fid_cases():
    mix = normal(5, 5, seed=7).double()
    real = normal(40, 5).double() @ mix
    return [(real, 0.5 + normal(30, 5, seed=1).double()), (real, 1.3 * real + 1), (real, real.flip(1))]


chapter.add(
    r"""
    07.2 · FID (20 minutes, write a function)

    The Fréchet distance compares two sets of embeddings by their means $\mu$ and covariances $C$ (Heusel et al. 2017):

    $$\text{FID} = |\mu_1 - \mu_2|^2 + \text{tr}\, C_1 + \text{tr}\, C_2 - 2\, \text{tr} \sqrt{C_1 C_2}$$

    $\text{tr} \sqrt{C_1 C_2}$ is the sum of the square roots of the eigenvalues of the matrix $C_1 C_2$. Covariances
    are divided by $n - 1$.
    """,
    fid,
    """
    hint | torch.cov needs one row for each dimension: torch.cov(real.T). It divides by n - 1.
    hint | torch.linalg.eigvals(C1 @ C2).real are the eigenvalues. Clamp them at 0 before the root.
    stub | only the means are compared. Two sets may have equal means and quite different covariances.
    .square().sum() → .norm() | the distance of the means must be squared.
    torch.cov(real.T), torch.cov(generated.T) → torch.cov(real.T, correction=0), torch.cov(generated.T, correction=0) |
      the covariances are divided by n, expected by n - 1.
    2 * roots → roots | the factor 2 before the last trace is missing.
    roots.sum() → (first.diagonal() * second.diagonal()).sqrt().sum() | the root is taken of the diagonals only:
      correlations are lost.
    .clamp(min=0).sqrt() → | the square root is missing: this is the trace of the product.
    first @ second → first * second | C1 * C2 multiplies number by number. The matrix product is C1 @ C2.
    else | the FID is wrong. FID of a set with itself must be 0.
    """,
    cases=_fid_cases,
    truth=package_fid,
    tolerance=1e-3,
)


# 07.3
def multimodality_stub(samples, first, second):
    return samples.std(1).mean()  # TODO: the mean distance of the pairs


def multimodality(samples, first, second):
    """samples (texts, S, D), first and second (pairs,): numbers of samples → how much samples of one text differ."""
    return (samples[:, first] - samples[:, second]).norm(dim=-1).mean()


def _pair_by_pair(samples, first, second):
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    return fmean(math.dist(text[i], text[j]) for text in samples.tolist() for i, j in pairs)


chapter.add(
    """
    07.3 · MultiModality (5 minutes, write a function)

    How different are the motions of one text? MultiModality is the mean Euclidean distance between two samples of the
    **same** text: the mean over pairs of samples, and over texts. Pair i consists of the samples `first[i]` and
    `second[i]` of a text. (Diversity is the same for motions of different texts.)
    """,
    multimodality,
    """
    hint | samples[:, first] has shape (texts, pairs, D).
    hint | The norm over the last axis is the distance.
    stub | this is a standard deviation, expected a mean distance of pairs.
    samples[:, first] - samples[:, second] → samples[first] - samples[second] | the pairs choose texts, expected samples
      of one text: this is closer to Diversity.
    .norm(dim=-1) → .square().sum(-1) | these are squared distances.
    .norm(dim=-1) → .abs() | absolute differences are averaged, expected Euclidean distances.
    .norm(dim=-1).mean() → .mean(1).norm(dim=-1).mean() | the mean over pairs comes before the distance: differences
      cancel.
    else | the mean distance is wrong. Two samples (0, 0) and (3, 4) must give 5.
    """,
    truth=_pair_by_pair,
    cases=lambda: [
        (normal(12, 10, 6) + 3 * normal(12, 1, 6, seed=1), integers(10, 8), integers(10, 8, seed=1))
    ],
)


# 07.4
def skating_stub(joints):
    feet = joints[:, [7, 10, 8, 11]]
    # TODO: a foot in the air may move
    return ((feet[1:] - feet[:-1]).norm(dim=-1) > 0.025).any(1).float().mean()


def skating(joints):
    """joints (T, 22, 3) in metres, 20 frames per second → the ratio of frame pairs in which a foot skates."""
    feet = joints[:, [7, 10, 8, 11]]
    low = feet[..., 1] < 0.05
    moves = (feet[1:] - feet[:-1])[..., [0, 2]].norm(dim=-1) > 0.025
    return (low[1:] & low[:-1] & moves).any(1).float().mean()


def _skating_cases():
    # Feet that hop and slide, and a clip whose body is pushed sideways.
    joints = features_to_joints(clip(3)).float()
    noise = joints.clone()
    noise[:, [7, 8, 10, 11]] = 0.03 + 0.03 * normal(len(joints), 4, 3)
    pushed = joints + torch.arange(len(joints))[:, None, None] * torch.tensor([0.03, 0.0, 0.0])
    return [(noise,), (noise * torch.tensor([0.4, 1, 0.4]),), (pushed,)]


chapter.add(
    """
    07.4 · Foot skating (20 minutes, write a function)

    A foot that stands must not slide. A pair of neighbouring frames *skates* if at least one foot joint (7, 8, 10, 11)
    is below 5 cm in **both** frames and moves more than 2.5 cm **horizontally** between them. Return the ratio of such
    pairs. (`docs/REPRODUCTION.md`, "Measures of motion".) Joints are in metres, y is up.
    """,
    skating,
    """
    hint | Let `low` (T, 4) be True where a joint is low. low[1:] & low[:-1] is True where it is low in both frames.
    hint | Horizontal are the axes 0 and 2.
    hint | any(1) combines the four joints. Then take the mean over the pairs.
    stub | a foot in the air may move: ask for its height too.
    [..., [0, 2]].norm → .norm | vertical movement counts here, expected horizontal only.
    low[1:] & low[:-1] & moves → low[:-1] & moves | the foot must be low in both frames of the pair.
    .any(1) → | this is a ratio of joints, expected of frame pairs in which any joint slides.
    .any(1) → .all(1) | all four joints must slide here. One is enough.
    0.05 → 5.0 ;; 0.025 → 2.5 | lengths are in metres: 5 cm is 0.05.
    [0, 2] → [0, 1] | y is up, and horizontal are x and z.
    else | the ratio is wrong. A joint must be low in both frames and move more than 2.5 cm, in x and z only.
    """,
    cases=_skating_cases,
    truth=foot_skating,
)


# 07.5
def unbiased_fid_stub(real, generated, sizes, draw):
    return package_fid(real, generated, warn=False)  # TODO: it is too large when n is small


def unbiased_fid(real, generated, sizes, draw):
    """real, generated (n, D), sizes: list of numbers, draw(x, m): m random rows of x → FID for infinitely many."""
    fids = []
    for size in sizes:
        several = [package_fid(draw(real, size), draw(generated, size), warn=False) for _ in range(20)]
        fids.append(sum(several) / len(several))
    x = 1 / torch.tensor(sizes, dtype=torch.float64)
    y = torch.tensor(fids, dtype=torch.float64)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return y.mean() - slope * x.mean()  # the line at 1 / n = 0


def _by_polyfit(real, generated, sizes, draw):
    fids = [
        np.mean([package_fid(draw(real, n), draw(generated, n), warn=False) for _ in range(20)])
        for n in sizes
    ]
    return np.polyfit(1 / np.array(sizes), fids, 1)[1]


def _unbiased_cases():
    real, generated, noise = normal(300, 12).double(), normal(300, 12, seed=1).double() + 0.25, generator(5)
    return [
        (
            real,
            generated,
            [50, 75, 100, 150, 200],
            lambda x, m: x[torch.randperm(len(x), generator=noise)[:m]],
        )
    ]


chapter.add(
    """
    07.5 · FID without its bias (60 minutes, write a function)

    FID is too large if there are few samples, even for two sets from the same distribution. The error is nearly
    proportional to $1/n$ (Chong and Forsyth 2020). So the FID of infinitely many samples can be estimated:

    1. For each $n$ in `sizes`, draw $n$ rows of both sets 20 times, and take the mean of the 20 FIDs.
    2. Fit a straight line to these means, as a function of $1/n$.
    3. Return its value at $1/n = 0$.

    Use the package's FID, `package_fid(real, generated, warn=False)`. An error of 0.1 is allowed.
    """,
    unbiased_fid,
    """
    hint | Draw both sets anew for each FID: draw(real, size), draw(generated, size).
    hint | The slope of a line is covariance(x, y) / variance(x), with x = 1/n.
    hint | The value at 0 is mean(y) - slope · mean(x).
    stub | this is the FID of all samples, with its bias.
    1 / torch.tensor(sizes → torch.tensor(sizes | the line is fitted over n. Its value at n = 0 means nothing.
    y.mean() - slope * x.mean() → y.mean() | this is the mean over the sizes, with the bias of all of them.
    y.mean() - slope * x.mean() → slope | this is the slope of the line, expected its value at 1/n = 0.
    else | this is not the value of the line at 1/n = 0. Plot the FIDs against 1/n: they lie nearly on a line.
    why | So FIDs may only be compared if they have the same number of samples. The project's split-half FID does that.
    """,
    cases=_unbiased_cases,
    truth=_by_polyfit,
    tolerance=0.1,
)


# 07.6
def measure_interval():
    """The middle 95 % of many means of 20 repeats, and how often the usual interval contains the true mean."""
    values = 0.5 + 0.04 * torch.randn(100_000, 20, generator=torch.Generator().manual_seed(0))
    means, half = values.mean(1), 1.96 * values.std(1, correction=0) / 20**0.5
    measured = (means.quantile(0.975) - means.quantile(0.025)) / 2
    inside = ((means - 0.5).abs() < half).float().mean()
    print(
        f"95 % of the means lie within ± {measured:.4f}; {inside:.1%} of the intervals contain the true mean"
    )
    return measured


chapter.add(
    """
    07.6 · The interval of 20 repeats (5 minutes, predict, then measure)

    R@1 was measured 20 times. The mean of the 20 values is 0.500, their standard deviation is 0.040. Papers write 0.500
    ± h, where h is half the width of the 95 % interval of the mean. How large is h? Give three decimals.
    """,
    0.0175,
    """
    hint | The mean of n values has a standard deviation that is √n times smaller.
    hint | 95 % are 1.96 standard deviations.
    0.04 | this is the standard deviation of one repeat.
    0.0784 | this is where 95 % of single repeats lie. The mean of 20 is more certain.
    0.0089 | this is the standard deviation of the mean, not yet 95 %.
    0.0039 | the standard deviation must be divided by √20, not by 20.
    0.035 | this is the whole width of the interval, expected half of it.
    else | not this number. How certain is the mean of 20 values, compared with one value?
    why | h = 1.96 · 0.040 / √20 = 0.0175. It says how certain the mean is for this evaluator, these clips and this
      model. It says nothing about another training run. (With 20 values the usual interval is a little too narrow:
      about 93 % of such intervals contain the true mean.)
    """,
    tolerance=0.0006,
    measure=measure_interval,
)
