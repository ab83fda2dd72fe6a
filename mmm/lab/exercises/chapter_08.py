"""Exercises of chapter 08: ablations."""

import itertools
import math

import torch
from scipy import stats
from scipy.integrate import quad

from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import integers, normal
from mmm.tokenizer import Quantizer

chapter = Chapter("08_ablations", "ablations", "import itertools\nimport math\n\nimport torch")


# 08.1
def codebook_use_stub(counts):
    p = counts / counts.sum()  # TODO: these are the frequencies in all trainings together
    return p.sum(1), (counts == 0).sum(1)


def codebook_use(counts):
    """counts (R, K): uses of K codes after each of R trainings → perplexity (R,), ratio of dead codes (R,)."""
    p = counts / counts.sum(1, keepdim=True)
    entropy = -torch.xlogy(p, p).sum(1)  # xlogy(0, 0) is 0
    return entropy.exp(), (counts == 0).float().mean(1)


def _use_cases():
    counts = integers(50, 4, 64)
    counts[1, 5:], counts[2, 1:] = 0, 0
    counts[:, 0] += 1
    return [(counts,), (integers(3, 2, 16) + torch.eye(2, 16, dtype=torch.int64),)]


chapter.add(
    """
    08.1 · Which codebook is in use? (5 minutes, write a function)

    Chapter 08 compares tokenizers by the codes that they use. You get a table of counts: one row for each trained
    tokenizer, one column for each code. Return two numbers for each row: the perplexity of its codes
    (as in 02.4), and the ratio of *dead* codes, those that are never used.
    """,
    codebook_use,
    """
    hint | The frequencies of a row must add up to 1: counts.sum(1, keepdim=True).
    hint | 0 · log 0 must count as 0: torch.xlogy(p, p) does that.
    stub | the frequencies must add up to 1 in each row, and the dead codes must be a ratio. The perplexity is missing.
    counts.sum(1, keepdim=True) → counts.sum() | the counts are divided by the sum of the table, expected by that of
      their row.
    entropy.exp() → entropy | this is the entropy, not yet the perplexity.
    -torch → torch | the sign of the entropy is wrong: a perplexity is at least 1.
    .float().mean(1) → .sum(1) | this is the number of dead codes, expected their ratio.
    == 0 → > 0 | this is the ratio of codes that are used, expected of those that are not.
    else | the perplexity or the ratio is wrong. A row (3, 3, 0, 0) has perplexity 2 and the ratio 0.5.
    """,
    cases=_use_cases,
    truth=lambda counts: ([math.exp(stats.entropy(row)) for row in counts], (counts == 0).double().mean(1)),
    names=("the perplexity", "the ratio of dead codes"),
)


# 08.2
def mean_ratio_stub(low, high):
    if low is None:
        return 0.5  # TODO: the cosine of a mean is not the mean of a cosine
    return high - low


def mean_ratio(low, high):
    """Bounds of a uniform masking schedule, or None, None for the cosine → the mean ratio of masked tokens."""
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    ratio = torch.cos(math.pi / 2 * u) if low is None else low + (high - low) * u
    return ratio.mean()


def _integral(low, high):
    return quad(
        (lambda u: math.cos(math.pi / 2 * u)) if low is None else (lambda u: low + (high - low) * u), 0, 1
    )[0]


chapter.add(
    r"""
    08.2 · How much is masked on average? (20 minutes, write a function)

    Chapter 08 compares four masking schedules. Each draws $u$ uniformly from $[0, 1)$ and masks a ratio of the tokens:
    $U(a, b)$ masks $a + (b - a) u$, the cosine masks $\cos(\frac{\pi}{2} u)$. If the loss counts masked positions only,
    the mean ratio says from how many positions each step learns. Compute it, with a formula or with many values of $u$.
    An error of 0.001 is allowed.

    Then look at the table: does the schedule that masks most have the best R@1?
    """,
    mean_ratio,
    """
    hint | Take 10,000 equally spaced values of u between 0 and 1, and the mean of their ratios.
    hint | The integral of cos(π/2 · u) from 0 to 1 is 2/π. For the uniform schedule: the middle of a and b.
    stub | the cosine is not 0.5, and the width of the interval is not its mean.
    torch.cos(math.pi / 2 * u) → torch.cos(math.pi / 2 * u.mean()) | this is the cosine of the mean u, expected the
      mean of the cosines.
    torch.cos(math.pi / 2 * u) → 1 - u | for the cosine this is the mean of a linear schedule.
    low + (high - low) * u → (high - low) * u | the uniform ratios begin at a, not at 0.
    low + (high - low) * u → high * u | the uniform ratios begin at a, not at 0: a + (b - a) u.
    math.pi / 2 * u → u | the angle runs from 0 to 1 here, expected 0 to π/2.
    else | a mean ratio is wrong. U(0, 1) must give 0.5, and the cosine more.
    why | The ratios are 0.75, 0.65, 0.5 and 2/π = 0.64. The cosine masks as much as the paper's U(0.3, 1), but it
      shows the network all stages of sampling, from 0 to 1. Chapter 08 says what else changes the result.
    """,
    cases=lambda: [(None, None), (0.5, 1.0), (0.3, 1.0), (0.0, 1.0)],
    truth=_integral,
    tolerance=1e-3,
)


# 08.3
def codebook_size_stub(codes, dim, parts):
    return codes * dim, math.log2(codes)  # TODO: how many codebooks, and how many tokens in a second?


def codebook_size(codes, dim, parts):
    """Number of codes K, their width, number of body parts P → numbers in the codebooks, bits in a second of motion."""
    return parts * codes * dim, parts * math.log2(codes) * 20 / 4


def _counted(codes, dim, parts):
    books = [Quantizer(codes, dim).codebook for _ in range(parts)]
    digits = len(f"{codes - 1:b}")  # of the largest token in binary; the numbers of codes are powers of 2
    return sum(book.numel() for book in books), 5 * digits * parts


chapter.add(
    """
    08.3 · The size of a codebook (5 minutes, write a function)

    An ablation changes the number of codes. What does that cost, and what can it bring? Return two numbers: how many
    numbers the codebooks hold (each body part has its own), and how many bits describe one second of motion. A token of
    K codes holds log2 K bits. Motion has 20 frames per second and one token of each body part for every 4 frames.
    """,
    codebook_size,
    """
    hint | A codebook holds K vectors, each of `dim` numbers.
    hint | There are 20 / 4 = 5 tokens of each body part in a second.
    stub | this is one codebook, and one token. Count the body parts and the tokens of a second.
    parts * codes → codes | each body part has a codebook of its own.
    parts * math → math | each body part has a token of its own.
    20 / 4 → 20 | a token describes four frames.
    20 / 4 → 4 | there are 20 frames in a second, so 5 tokens of each part.
    math.log2 → math.log | this is in nats. Bits need the logarithm to the base 2.
    math.log2(codes) → codes | a token of K codes holds log2 K bits, not K.
    else | a number is wrong. One part, 512 codes of width 16: 8,192 numbers and 45 bits.
    why | 16 times as many codes (8,192 instead of 512) are 16 times as many numbers, but only 13 instead of 9 bits for
      a token. And all of them must be kept alive (02.5).
    """,
    cases=lambda: [(512, 32, 1), (512, 16, 2), (8192, 32, 1)],
    truth=_counted,
    names=("the number of numbers", "the number of bits"),
)


# 08.4
def difference_stub(ours, other):
    differences = other - ours
    # TODO: is this the error of one difference, or of their mean? How many seeds are there?
    return differences.mean(), 1.96 * differences.std()


def difference(ours, other):
    """ours (S,), other (S,): results of S seeds → mean of other - ours, half the width of its 95 % interval."""
    seeds = len(ours)
    differences = other - ours
    error = differences.std() / math.sqrt(seeds)
    t = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 10: 2.262}[seeds]
    return differences.mean(), t * error


def _t_test(ours, other):
    low, high = stats.ttest_rel(other.numpy(), ours.numpy()).confidence_interval(0.95)
    return (low + high) / 2, (high - low) / 2


def _seed_cases():
    return [
        (5 + normal(n, seed=n).double(), 5.5 + normal(n, seed=n).double() + 0.3 * normal(n))
        for n in (3, 5, 10)
    ]


chapter.add(
    r"""
    08.4 · Is the difference real? (20 minutes, write a function)

    Train *ours* and another recipe with the same $S$ seeds. Seed $i$ gives the difference $d_i$, other minus ours. Its
    mean $\bar d$ is uncertain, because other seeds would give other differences. The 95 % interval of the mean is

    $$\bar d \pm t_S \, \frac{s}{\sqrt S}, \qquad s^2 = \frac{1}{S - 1} \sum_i (d_i - \bar d)^2$$

    With many seeds $t_S$ is 1.96. With few seeds it is larger, because $s$ is uncertain too (Student's t distribution):
    12.706 for 2 seeds, 4.303 for 3, 3.182 for 4, 2.776 for 5, 2.571 for 6, 2.262 for 10. You may also use
    `scipy.stats.t.ppf(0.975, S - 1)`. If 0 is outside of the interval, the difference is more than the luck of seeds.
    """,
    difference,
    """
    hint | Compute the differences first, one for each seed. Tensor.std() divides by S - 1.
    hint | The error of the mean is differences.std() / math.sqrt(S). Multiply it by t_S.
    stub | this is where 95 % of single differences lie, if there are many seeds. Of their mean we know more.
    t * error → 1.96 * error | 1.96 is for many seeds. With few seeds it is larger.
    t * error → error | this is the standard deviation of the mean, not yet 95 %.
    t * error → 2 * t * error | this is the whole width, expected half of it.
    differences.std() → differences.std(correction=0) | s divides by S, expected by S - 1.
    / math.sqrt(seeds) → / seeds | the standard deviation must be divided by √S, not by S.
    / math.sqrt(seeds) → | the mean of S differences is more certain than one: divide by √S.
    other - ours → ours - other | the sign is wrong: other minus ours.
    differences.std() / math.sqrt(seeds) → (ours.var() + other.var()).sqrt() / math.sqrt(seeds) | the two recipes are
      compared as if their seeds had nothing in common. Take the differences of equal seeds.
    else | the mean or the half width is wrong. Differences 1, 2, 3 have mean 2 and half width 2.484.
    """,
    cases=_seed_cases,
    truth=_t_test,
    names=("the mean", "the half width"),
    tolerance=5e-4,
)


# 08.5
def sign_flip_p_stub(differences):
    count = len(differences)
    flips = torch.where(torch.rand(1000, count, generator=torch.Generator().manual_seed(0)) < 0.5, -1.0, 1.0)
    # TODO: try all combinations, count both directions, and count equal means
    return ((flips * differences).mean(1) > differences.mean()).double().mean()


def sign_flip_p(differences):
    """differences (S,) of S seeds → the p-value of the exact sign-flip test, one number."""
    flips = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=len(differences))), dtype=torch.float64)
    means = (flips * differences).mean(1).abs()  # (2^S,)
    return (means >= differences.mean().abs() - 1e-9).double().mean()


def _permutation_test(differences):
    paired = (differences.numpy(),)
    test = stats.permutation_test(paired, lambda x: x.mean(), permutation_type="samples", n_resamples=10_000)
    return test.pvalue


def _flip_cases():
    mixed = torch.tensor([0.4, 0.1, -0.2, 0.5, 0.3], dtype=torch.float64)
    return [
        (mixed,),
        (mixed.abs()[:3],),
        (-(normal(8, seed=2).double() + 0.8),),
        (torch.ones(6).double() / 10,),
    ]


chapter.add(
    """
    08.5 · How many seeds are enough? (60 minutes, write a function)

    The interval of 08.4 assumes normal distributions. This test assumes less. If a recipe makes no difference, then
    other minus ours could as well be ours minus other: each difference could have the other sign. So try **all**
    combinations of signs, 2^S for S seeds. The p-value is the ratio of combinations whose mean is **at least as far
    from 0** (above or below) as the mean that was measured. The combination that was measured counts too. A small
    p-value (usually below 0.05) says that luck alone is an unlikely explanation.

    Rounding can make equal means differ in the last digit: count a mean that is less than 1e-9 smaller as equal.

    When the check passes, find out: what is the smallest p-value that 3 seeds can give, and how many seeds are needed
    to get below 0.05?
    """,
    sign_flip_p,
    """
    hint | itertools.product((-1.0, 1.0), repeat=S) gives all combinations of signs.
    hint | With `flips` of shape (2^S, S): (flips * differences).mean(1) has one mean for each combination.
    hint | Compare absolute values with >=, and take the mean over the combinations.
    stub | this draws combinations at random, in one direction only, and does not count equal means.
    .mean(1).abs() → .mean(1) ;; .mean().abs() → .mean() | only one direction counts here. A difference may also be
      below 0.
    >= differences.mean().abs() - 1e-9 → > differences.mean().abs() + 1e-9 | equal means must count, also the one that
      was measured: a p-value is never 0.
    .mean(1).abs() → .sum(1).abs() | sums are compared with a mean.
    >= → < | this is 1 - p.
    else | the p-value is wrong. Three differences of 1 must give 2/8: only + + + and - - - are as far from 0.
    why | The smallest p-value is 2 / 2^S: 0.25 with 3 seeds, 0.03 with 6. So three seeds alone cannot show a difference
      by this test. And if you test twenty rows of a table, one of them is below 0.05 by luck.
    """,
    cases=_flip_cases,
    truth=_permutation_test,
)


# 08.6
def measure_band():
    """How often the fourth of four equal trainings is outside of the range of the first three."""
    runs = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(0))
    fourth = runs[:, 3]
    outside = ((fourth < runs[:, :3].amin(1)) | (fourth > runs[:, :3].amax(1))).float().mean()
    print(f"{outside:.1%} are outside")
    return outside


chapter.add(
    """
    08.6 · The grey band (5 minutes, predict, then measure)

    The grey band of chapter 08 goes from the lowest to the highest result of three seeds of *ours*. You train *ours* a
    fourth time, with another seed. Nothing else changes. What is the probability that the result is **outside** of the
    band? Give a number between 0 and 1.
    """,
    0.5,
    """
    hint | Four results of the same recipe: each of them is the lowest of the four equally often.
    hint | The fourth is outside if it is the lowest or the highest of the four.
    0.05 | this would be a 95 % interval. A range of three values is much narrower.
    0.0 | another seed can give a result that none of the three gave.
    0.25 | this is the probability that it is the highest. It can also be the lowest.
    0.33 | there are four results, not three, and each has the same chance to be the lowest or the highest.
    else | not this probability. In how many of 4 places can the fourth result stand, and which of them are outside?
    why | 2 of 4 places: 0.5. So a dot just outside of the band shows little. Look for dots that are far outside, or
      train more seeds (08.5).
    """,
    tolerance=0.01,
    measure=measure_band,
)
