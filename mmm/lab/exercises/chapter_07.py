"""Exercises of chapter 07: evaluation."""

import torch

from mmm.evaluation import metrics
from mmm.evaluation.metrics import fid as package_fid
from mmm.lab.exercises.exercise import Exercise
from mmm.lab.exercises.inputs import clip, generator, integers, normal
from mmm.motion import features_to_joints
from mmm.motion.measures import foot_skating

TITLE, NOTEBOOK = "evaluation", "07_evaluation"
IMPORTS = """
import torch

from mmm.evaluation.metrics import fid as package_fid
"""


# ---------------------------------------------------------------------- 07.1


def r_precision_stub(text, motion, top):
    """text (n, D), motion (n, D) in pairs → (top,): R@1, R@2, … of this pool of n motions."""
    nearest = torch.cdist(text, motion).argmin(1)
    right = (nearest == torch.arange(len(text))).float().mean()
    return right.expand(top)  # TODO: R@k asks for the k nearest


def r_precision(text, motion, top):
    """text (n, D), motion (n, D) in pairs → (top,): R@1, R@2, … of this pool of n motions."""
    distances = torch.cdist(text, motion)  # (n, n): row i belongs to text i
    closer = (distances < distances.diagonal()[:, None]).sum(1)  # motions that are nearer than the right one
    return torch.stack([(closer < k).float().mean() for k in range(1, top + 1)])


def _r(text, motion, top, transpose=False, offset=0, exact=False, product=False):
    distances = -(text @ motion.T) if product else torch.cdist(text, motion)
    distances = distances.T if transpose else distances
    closer = (distances < distances.diagonal()[:, None]).sum(1) + offset
    ratios = [(closer == k - 1 if exact else closer < k).float().mean() for k in range(1, top + 1)]
    return torch.stack(ratios)


def _r_cases():
    text = normal(32, 6)
    return [(text, text + 1.2 * normal(32, 6, seed=1), 3), (text, text * 1.5 + normal(32, 6, seed=2), 5)]


# ---------------------------------------------------------------------- 07.2


def fid_stub(real, generated):
    """real (n, D), generated (m, D) → the Fréchet distance of two Gaussians."""
    return (real.mean(0) - generated.mean(0)).square().sum()  # TODO: the covariances


def fid(real, generated):
    """real (n, D), generated (m, D) → the Fréchet distance of two Gaussians."""
    shift = (real.mean(0) - generated.mean(0)).square().sum()
    first, second = torch.cov(real.T), torch.cov(generated.T)
    roots = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt()
    return shift + first.trace() + second.trace() - 2 * roots.sum()


def _fid(real, generated, power=1.0, ddof=1, factor=2.0, diagonal=False, root=True):
    shift = (real.mean(0) - generated.mean(0)).square().sum() ** power
    first, second = (torch.cov(x.T, correction=ddof) for x in (real, generated))
    values = torch.linalg.eigvals(first @ second).real.clamp(min=0)
    overlap = (values.sqrt() if root else values).sum()
    if diagonal:
        overlap = (first.diagonal() * second.diagonal()).sqrt().sum()
    return shift + first.trace() + second.trace() - factor * overlap


def _fid_cases():
    mix = normal(5, 5, seed=7).double()
    real = normal(40, 5).double() @ mix
    return [(real, 0.5 + normal(30, 5, seed=1).double()), (real, 1.3 * real + 1), (real, real.flip(1))]


# ---------------------------------------------------------------------- 07.3


def multimodality_stub(samples, first, second):
    """samples (texts, S, D), first and second (pairs,): numbers of samples → how much samples of one text differ."""
    return samples.std(1).mean()  # TODO: the mean distance of the pairs


def multimodality(samples, first, second):
    """samples (texts, S, D), first and second (pairs,): numbers of samples → how much samples of one text differ."""
    return (samples[:, first] - samples[:, second]).norm(dim=-1).mean()


# ---------------------------------------------------------------------- 07.4


def skating_stub(joints):
    """joints (T, 22, 3) in metres, 20 frames per second → the ratio of frame pairs in which a foot skates."""
    feet = joints[:, [7, 10, 8, 11]]
    # TODO: a foot in the air may move
    return ((feet[1:] - feet[:-1]).norm(dim=-1) > 0.025).any(1).float().mean()


def skating(joints):
    """joints (T, 22, 3) in metres, 20 frames per second → the ratio of frame pairs in which a foot skates."""
    feet = joints[:, [7, 10, 8, 11]]
    low = feet[..., 1] < 0.05
    moves = (feet[1:] - feet[:-1])[..., [0, 2]].norm(dim=-1) > 0.025
    return (low[1:] & low[:-1] & moves).any(1).float().mean()


def _skating(joints, axes=(0, 2), both=True, every=False, low=0.05, far=0.025):
    feet = joints[:, [7, 10, 8, 11]]
    near = feet[..., 1] < low
    moves = (feet[1:] - feet[:-1])[..., list(axes)].norm(dim=-1) > far
    slides = (near[1:] & near[:-1] if both else near[:-1]) & moves
    return slides.float().mean() if every else slides.any(1).float().mean()


def _skating_cases():
    # Feet that hop and slide, and a clip whose body is pushed sideways.
    joints = features_to_joints(clip(3)).float()
    noise = joints.clone()
    noise[:, [7, 8, 10, 11]] = 0.03 + 0.03 * normal(len(joints), 4, 3)
    pushed = joints + torch.arange(len(joints))[:, None, None] * torch.tensor([0.03, 0.0, 0.0])
    return [(noise,), (noise * torch.tensor([0.4, 1, 0.4]),), (pushed,)]


# ---------------------------------------------------------------------- 07.5


def unbiased_fid_stub(real, generated, sizes, draw):
    """real, generated (n, D), sizes: list of numbers, draw(x, m): m random rows of x → FID for infinitely many."""
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


def _fids(real, generated, sizes, draw):
    return [
        sum(package_fid(draw(real, m), draw(generated, m), warn=False) for _ in range(20)) / 20 for m in sizes
    ]


def _against_n(real, generated, sizes, draw):
    x, y = torch.tensor(sizes).double(), torch.tensor(_fids(real, generated, sizes, draw)).double()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return y.mean() - slope * x.mean()


def _unbiased_probe(function, real, generated, sizes):
    noise = generator(5)
    return function(real, generated, sizes, lambda x, m: x[torch.randperm(len(x), generator=noise)[:m]])


def _unbiased_cases():
    return [(normal(300, 12).double(), normal(300, 12, seed=1).double() + 0.25, [50, 75, 100, 150, 200])]


# ---------------------------------------------------------------------- 07.6


def measure_interval():
    """How often an interval of 20 repeats contains the true mean, and how wide it is."""
    values = 0.5 + 0.04 * torch.randn(10_000, 20, generator=torch.Generator().manual_seed(0))
    half = 1.96 * values.std(1, correction=0) / 20**0.5
    inside = (values.mean(1) - 0.5).abs() < half
    print(f"mean half width {half.mean():.4f}; the true mean is inside in {inside.float().mean():.1%}")


EXERCISES = [
    Exercise(
        "07.1",
        20,
        "R-precision",
        """
        An evaluator maps texts and motions into one space. For each **text** the n motions of the pool are
        ordered by their Euclidean distance. R@k is the ratio of texts whose own motion is among the k nearest.
        (Paper, section 4, "Evaluation Metrics"; the pool has 32 motions there.) R@k never falls with k.
        """,
        r_precision_stub,
        r_precision,
        (
            "Count for each text how many motions are nearer than its own.",
            "The own motion is among the k nearest if fewer than k others are nearer.",
        ),
        "at least one of the ratios is wrong. If text and motion are equal, all of them must be 1.",
        {
            "all k give R@1.": r_precision_stub,
            "the pool is one of texts: for each text, order the motions.": lambda *a: _r(*a, transpose=True),
            "off by one: the own motion is the nearest if 0 others are nearer.": lambda *a: _r(*a, offset=1),
            "this counts the own motion at exactly place k. R@k adds the places up to k.": lambda *a: _r(
                *a, exact=True
            ),
            "this orders by the inner product, expected by the Euclidean distance.": lambda *a: _r(
                *a, product=True
            ),
        },
        _r_cases,
        truth=lambda text, motion, top: list(metrics.r_precision(text, motion, top, pool=len(text))),
    ),
    Exercise(
        "07.2",
        20,
        "FID",
        r"""
        The Fréchet distance compares two clouds of embeddings by their means and covariances (Heusel et al.
        2017):

        $$\text{FID} = |\mu_1 - \mu_2|^2 + \text{tr}\, C_1 + \text{tr}\, C_2 - 2\, \text{tr} \sqrt{C_1 C_2}$$

        $\text{tr} \sqrt{C_1 C_2}$ is the sum of the square roots of the eigenvalues of the matrix $C_1 C_2$.
        Covariances are divided by $n - 1$.
        """,
        fid_stub,
        fid,
        (
            "torch.cov wants one row for each variable: torch.cov(real.T). It divides by n - 1.",
            "torch.linalg.eigvals(C1 @ C2).real are the eigenvalues. Clamp them at 0 before the root.",
        ),
        "the FID is wrong. FID of a set with itself must be 0.",
        {
            "only the means are compared. Two clouds may have one mean and quite different shapes.": fid_stub,
            "the distance of the means must be squared.": lambda *a: _fid(*a, power=0.5),
            "the covariances are divided by n, expected by n - 1.": lambda *a: _fid(*a, ddof=0),
            "the factor 2 before the last trace is missing.": lambda *a: _fid(*a, factor=1.0),
            "the root is taken of the diagonals only: correlations are lost.": lambda *a: _fid(
                *a, diagonal=True
            ),
            "the square root is missing: this is the trace of the product.": lambda *a: _fid(*a, root=False),
        },
        _fid_cases,
        truth=package_fid,
        tolerance=1e-3,
    ),
    Exercise(
        "07.3",
        5,
        "MultiModality",
        """
        Are all motions of one text the same? MultiModality is the mean Euclidean distance between two samples
        of the **same** text, over pairs of samples and over texts. `first` and `second` say which samples make
        the pairs. (Diversity is the same between motions of different texts.)
        """,
        multimodality_stub,
        multimodality,
        ("samples[:, first] has shape (texts, pairs, D).", "The norm over the last axis is the distance."),
        "the mean distance is wrong.",
        {
            "this is a standard deviation, expected a mean distance of pairs.": multimodality_stub,
            "the pairs choose texts, expected samples of one text: this is closer to Diversity.": lambda s, a, b: (
                (s[a] - s[b]).norm(dim=-1).mean()
            ),
            "these are squared distances.": lambda s, a, b: (s[:, a] - s[:, b]).square().sum(-1).mean(),
            "absolute differences are averaged, expected Euclidean distances.": lambda s, a, b: (
                (s[:, a] - s[:, b]).abs().mean()
            ),
            "the mean over pairs comes before the distance: differences cancel.": lambda s, a, b: (
                (s[:, a] - s[:, b]).mean(1).norm(dim=-1).mean()
            ),
        },
        lambda: [
            (normal(12, 10, 6) + 3 * normal(12, 1, 6, seed=1), integers(10, 8), integers(10, 8, seed=1))
        ],
    ),
    Exercise(
        "07.4",
        20,
        "Foot skating",
        """
        A foot that stands must not slide. A pair of neighbouring frames *skates* if at least one foot joint (7,
        8, 10, 11) is below 5 cm in **both** frames and moves more than 2.5 cm **horizontally** between them.
        Return the ratio of such pairs. (`docs/REPRODUCTION.md`, "Measures of motion".) Joints are in metres, y
        is up.
        """,
        skating_stub,
        skating,
        (
            "low has shape (T, 4); low[1:] & low[:-1] is both frames.",
            "Horizontal are the axes 0 and 2.",
            "any(1) over the four joints, then the mean over the pairs.",
        ),
        "the ratio is wrong. Are all three conditions there: low in both frames, moves far, horizontally?",
        {
            "a foot in the air may move: ask for its height too.": skating_stub,
            "vertical movement counts here, expected horizontal only.": lambda j: _skating(j, axes=(0, 1, 2)),
            "the foot must be low in both frames of the pair.": lambda j: _skating(j, both=False),
            "this is a ratio of joints, expected of frame pairs in which any joint slides.": lambda j: (
                _skating(j, every=True)
            ),
            "lengths are in metres: 5 cm is 0.05.": lambda j: _skating(j, low=5.0, far=2.5),
            "y is up, and horizontal are x and z.": lambda j: _skating(j, axes=(0, 1)),
        },
        _skating_cases,
        truth=foot_skating,
    ),
    Exercise(
        "07.5",
        60,
        "FID without its bias",
        r"""
        FID is too large for few samples, even for two sets from the same distribution. Its bias is nearly
        proportional to $1/n$ (Chong and Forsyth 2020). So compute FID for several sizes $n$, each a mean over
        20 random subsets, fit a straight line to FID over $1/n$, and return its value at $1/n = 0$. Use
        `package_fid(real, generated, warn=False)`, which is right.
        """,
        unbiased_fid_stub,
        unbiased_fid,
        (
            "Draw both sets anew for each FID: draw(real, size), draw(generated, size).",
            "The slope of a line is covariance(x, y) / variance(x), with x = 1/n.",
            "The value at 0 is mean(y) - slope · mean(x).",
        ),
        "the value is not that of the line at 1/n = 0. Plot FID over 1/n: is it nearly straight?",
        {
            "this is the FID of all samples, with its bias.": unbiased_fid_stub,
            "the line is fitted over n. Its value at n = 0 means nothing.": _against_n,
            "this is the mean over the sizes, with the bias of all of them.": lambda r, g, s, d: (
                sum(_fids(r, g, s, d)) / len(s)
            ),
        },
        _unbiased_cases,
        _unbiased_probe,
        tolerance=0.1,
        why="""
        So FIDs may only be compared if they have the same number of samples. The project's split-half FID does
        that.
        """,
    ),
    Exercise(
        "07.6",
        5,
        "Predict, then measure: the interval of 20 repeats",
        """
        R@1 was measured 20 times. The mean is 0.500, the standard deviation of the 20 values is 0.040. The
        papers write 0.500 ± half the width of the 95 % interval of the mean. What stands behind the ±? Give
        three decimals.
        """,
        0.04,
        0.0175,
        (
            "The mean of n values has a standard deviation that is √n times smaller.",
            "95 % are 1.96 standard deviations.",
        ),
        "not this number.",
        {
            "this is the standard deviation of one repeat.": 0.04,
            "this is where 95 % of single repeats lie. The mean of 20 is more certain.": 0.0784,
            "this is the standard deviation of the mean, not yet 95 %.": 0.0089,
            "the standard deviation must be divided by √20, not by 20.": 0.0039,
        },
        tolerance=0.0006,
        why="""
        1.96 · 0.040 / √20 = 0.0175. It says how certain the mean is for this evaluator, these clips and this
        model; it says nothing about another training run. (Of 20 values the usual formula is a little too
        narrow: about 93 % of such intervals contain the true mean.)
        """,
        measure=measure_interval,
    ),
]
