"""Exercises of chapter 02: the tokenizer."""

import torch
import torch.nn.functional as F

from mmm.lab.exercises.exercise import Exercise
from mmm.lab.exercises.inputs import generator, integers, normal, uniform
from mmm.tokenizer import Quantizer
from mmm.tokenizer.quantizer import perplexity as package_perplexity

TITLE, NOTEBOOK = "the tokenizer", "02_tokenizer"
IMPORTS = """
import torch
import torch.nn.functional as F
"""


# ---------------------------------------------------------------------- 02.1


def nearest_code_stub(z, codebook):
    """z (M, C), codebook (K, C) → tokens (M,): the index of the nearest code."""
    # TODO: this finds the code with the largest product, not the nearest one
    return (z @ codebook.T).argmax(1)


def nearest_code(z, codebook):
    """z (M, C), codebook (K, C) → tokens (M,): the index of the nearest code."""
    distances = (z[:, None] - codebook[None]).square().sum(-1)  # (M, K)
    return distances.argmin(1)


def _distances(z, codebook):
    return (z[:, None] - codebook[None]).square().sum(-1)


def _package_nearest(z, codebook):
    quantizer = Quantizer(len(codebook), codebook.shape[1], reset="none")
    quantizer.set_codebook(codebook)
    return quantizer.nearest(z)


# ---------------------------------------------------------------------- 02.2


def quantize_stub(z, codebook):
    """z (M, C), codebook (K, C) → vectors (M, C): the nearest codes, with a gradient for z."""
    tokens = torch.cdist(z, codebook).argmin(1)
    return codebook[tokens]  # TODO: argmin has no gradient, so the encoder behind z learns nothing


def quantize(z, codebook):
    """z (M, C), codebook (K, C) → vectors (M, C): the nearest codes, with a gradient for z."""
    tokens = torch.cdist(z, codebook).argmin(1)
    return z + (codebook[tokens] - z).detach()


def _chosen(z, codebook):
    return codebook[torch.cdist(z, codebook).argmin(1)]


def _values_and_gradients(function, z, codebook):
    """The result, and the gradients of a weighted sum of it with respect to z and to the codebook."""
    z, codebook = z.clone().requires_grad_(), codebook.clone().requires_grad_()
    result = function(z, codebook)
    if result is None or not result.requires_grad:
        return result, torch.zeros_like(z), torch.zeros_like(codebook)
    weights = torch.arange(1.0, result.numel() + 1).view_as(result)
    gradients = torch.autograd.grad((weights * result).sum(), (z, codebook), allow_unused=True)
    return result, *(
        torch.zeros_like(x) if g is None else g for x, g in zip((z, codebook), gradients, strict=True)
    )


# ---------------------------------------------------------------------- 02.3


def ema_step_stub(counts, sums, z, tokens, decay):
    """counts (K,), sums (K, C), z (M, C), tokens (M,) → new codebook (K, C), counts, sums."""
    chosen = F.one_hot(tokens, len(counts)).to(z)  # (M, K): 1 where a vector chose a code
    counts = chosen.sum(0)
    sums = chosen.T @ z  # TODO: these are the counts and sums of this batch alone
    return sums / counts.clamp(min=1)[:, None], counts, sums


def ema_step(counts, sums, z, tokens, decay):
    """counts (K,), sums (K, C), z (M, C), tokens (M,) → new codebook (K, C), counts, sums."""
    chosen = F.one_hot(tokens, len(counts)).to(z)  # (M, K): 1 where a vector chose a code
    counts = decay * counts + (1 - decay) * chosen.sum(0)
    sums = decay * sums + (1 - decay) * chosen.T @ z
    return sums / counts[:, None], counts, sums


def _ema(counts, sums, z, tokens, decay, new=None, divide=True, means=False, plain_counts=False):
    new = 1 - decay if new is None else new
    chosen = F.one_hot(tokens, len(counts)).to(z)
    batch = chosen.T @ z
    if means:
        batch = batch / chosen.sum(0).clamp(min=1)[:, None]
    counts = counts + chosen.sum(0) if plain_counts else decay * counts + new * chosen.sum(0)
    sums = decay * sums + new * batch
    return (sums / counts[:, None] if divide else sums), counts, sums


def _ema_cases():
    counts, z = 1 + uniform(6), normal(40, 3)
    return [
        (counts, normal(6, 3, seed=1) * counts[:, None], z, integers(6, 40), 0.9),
        (counts, normal(6, 3), z, integers(3, 40), 0.5),
    ]


def _package_ema(counts, sums, z, tokens, decay):
    quantizer = Quantizer(len(counts), z.shape[1], ema=decay, reset="none").train()
    quantizer.ema_counts.copy_(counts), quantizer.ema_sums.copy_(sums)
    batch = torch.bincount(tokens, minlength=len(counts)).float()
    quantizer._update(z, tokens, batch, z, None)
    return quantizer.codebook, quantizer.ema_counts, quantizer.ema_sums


# ---------------------------------------------------------------------- 02.4


def code_perplexity_stub(tokens, codes):
    """tokens (M,), number of codes K → the perplexity of the codes' frequencies."""
    counts = torch.bincount(tokens, minlength=codes)
    return (counts > 0).sum()  # TODO: this counts the codes that are used, however rarely


def code_perplexity(tokens, codes):
    """tokens (M,), number of codes K → the perplexity of the codes' frequencies."""
    p = torch.bincount(tokens, minlength=codes) / len(tokens)
    p = p[p > 0]  # p log p is 0 for a code that is never used
    return (-(p * p.log()).sum()).exp()


def _entropy(tokens, codes):
    p = torch.bincount(tokens, minlength=codes) / len(tokens)
    return -(p[p > 0] * p[p > 0].log()).sum()


# ---------------------------------------------------------------------- 02.5


def learn_codes_stub(points, codebook, draw):
    """points (M, 2), codebook (K, 2) → a codebook (K, 2). draw() gives K random points."""
    for _ in range(50):
        tokens = torch.cdist(points, codebook).argmin(1)
        chosen = F.one_hot(tokens, len(codebook)).float()
        counts = chosen.sum(0)
        means = chosen.T @ points / counts.clamp(min=1)[:, None]
        # TODO: a code that nobody chose stays where it is, for ever
        codebook = torch.where(counts[:, None] > 0, means, codebook)
    return codebook


def learn_codes(points, codebook, draw):
    """points (M, 2), codebook (K, 2) → a codebook (K, 2). draw() gives K random points."""
    for _ in range(50):
        tokens = torch.cdist(points, codebook).argmin(1)
        chosen = F.one_hot(tokens, len(codebook)).float()
        counts = chosen.sum(0)
        means = chosen.T @ points / counts.clamp(min=1)[:, None]
        codebook = torch.where(counts[:, None] > 0, means, draw())  # reset: onto a point of the batch
    return codebook


def _only_random(points, codebook, draw):
    return draw()


def _codes_cases():
    # The points lie in 8 groups; nearly all codes start far away from them.
    centres = 3 * normal(8, 2, seed=3)
    points = centres[integers(8, 600)] + 0.3 * normal(600, 2)
    start = 50 + normal(32, 2, seed=1)
    start[0] = points[0]
    return [(points, start)]


def _alive(function, points, codebook):
    """Two yes-or-no results: are nearly all codes used, and are the points near to their codes?"""
    noise = generator()
    codes = function(
        points,
        codebook.clone(),
        lambda: points[torch.randperm(len(points), generator=noise)[: len(codebook)]],
    )
    if codes is None or tuple(codes.shape) != tuple(codebook.shape):
        raise ValueError(f"expected a codebook of shape {tuple(codebook.shape)}")
    distances = torch.cdist(points, codes)
    used = len(distances.argmin(1).unique())
    return used >= 0.9 * len(codes), distances.amin(1).mean() < 0.25


# ---------------------------------------------------------------------- 02.6


def measure_perplexity():
    """The perplexity of a codebook of 512 codes of which four are used."""
    counts = torch.zeros(512)
    counts[:4] = torch.tensor([4.0, 2.0, 1.0, 1.0])
    p = counts[:4] / counts.sum()
    entropy = -(p * p.log2()).sum()
    print(f"entropy {entropy:.2f} bits, perplexity 2^{entropy:.2f} = {2**entropy:.2f}")


EXERCISES = [
    Exercise(
        "02.1",
        5,
        "The nearest code",
        r"""
        Quantizing means: replace a vector by the nearest entry of a list, the codebook (paper, section 3.1).
        The index of this entry is the token:

        $$\text{token}_m = \arg\min_k \; \lVert z_m - e_k \rVert^2$$
        """,
        nearest_code_stub,
        nearest_code,
        (
            "z[:, None] - codebook has shape (M, K, C).",
            "Sum the squares over the last axis, then take argmin over the codes.",
        ),
        "some vectors do not get their nearest code. Try two codes and one vector that you can draw on paper.",
        {
            "the largest product is not the nearest code: a long code wins although it is far away.": nearest_code_stub,
            "these are the farthest codes.": lambda z, c: _distances(z, c).argmax(1),
            "this compares the first coordinate only: sum over the last axis.": lambda z, c: _distances(
                z[:, :1], c[:, :1]
            ).argmin(1),
            "argmin runs over the vectors, expected over the codes.": lambda z, c: _distances(z, c).argmin(0),
            "the differences are summed without squares, so that positive and negative ones cancel.": lambda z, c: (
                (z[:, None] - c).sum(-1).argmin(1)
            ),
        },
        lambda: [(normal(50, 4), normal(20, 4, seed=1)), (normal(7, 2), 3 * normal(7, 2, seed=2))],
        truth=_package_nearest,
    ),
    Exercise(
        "02.2",
        20,
        "Straight through",
        r"""
        `argmin` has no gradient. The *straight-through* estimator sends the code forwards, and backwards it
        behaves as if the vector had gone on itself: the gradient of the loss with respect to the output is
        given to $z$ unchanged, and the codebook gets none.

        $$\text{output} = z + \text{sg}(e_{\text{token}} - z)$$

        sg is *stop gradient*, in PyTorch `detach()`. The check looks at the values and at both gradients.
        """,
        quantize_stub,
        quantize,
        (
            "The value must be the code: z + (code - z) is the code.",
            "The gradient must be that of z: everything but z is detached.",
        ),
        "the values or the gradients are wrong. Print z.grad after output.sum().backward(): all numbers must be 1.",
        {
            "z gets no gradient, the codebook gets it. What is detached, and what is not?": quantize_stub,
            "the output is z itself, it is not quantized.": lambda z, c: z,
            "nobody gets a gradient: too much is detached.": lambda z, c: _chosen(z, c).detach(),
            "z gets the right gradient, but the codebook gets one too.": lambda z, c: (
                z + _chosen(z, c) - z.detach()
            ),
            "the output is 2z - code: check the sign.": lambda z, c: z - (_chosen(z, c) - z).detach(),
        },
        lambda: [(normal(12, 3), normal(5, 3, seed=1))],
        _values_and_gradients,
    ),
    Exercise(
        "02.3",
        20,
        "Codes as running means",
        r"""
        The codes are not trained by gradient. Each is the running mean of the vectors that chose it (paper,
        section 3.1, "exponential moving average", EMA). For each code two numbers are kept, a count and a sum.
        With the decay $\lambda$:

        $$n_k \leftarrow \lambda n_k + (1 - \lambda) \sum_m [\text{token}_m = k], \qquad
        s_k \leftarrow \lambda s_k + (1 - \lambda) \sum_{m:\,\text{token}_m = k} z_m, \qquad e_k = s_k / n_k$$
        """,
        ema_step_stub,
        ema_step,
        (
            "The stub has the sums of the batch already. Mix them with the old values.",
            "Do the same for counts and sums, and divide at the end.",
        ),
        "codebook, counts or sums are wrong. Return them in this order.",
        {
            "the old counts and sums are forgotten: only this batch counts.": ema_step_stub,
            "decay and 1 - decay are exchanged: with 0.99 the old values must hardly change.": lambda n, s, z, t, d: (
                _ema(n, s, z, t, 1 - d)
            ),
            "the codebook is the running sum. Divide it by the count.": lambda *a: _ema(*a, divide=False),
            "the sums hold the mean of each code's vectors, expected their sum.": lambda *a: _ema(
                *a, means=True
            ),
            "the batch is added without the factor 1 - decay.": lambda *a: _ema(*a, new=1.0),
            "the counts never decay.": lambda *a: _ema(*a, plain_counts=True),
        },
        _ema_cases,
        truth=_package_ema,
    ),
    Exercise(
        "02.4",
        5,
        "Perplexity",
        r"""
        Is the codebook used? If codes have the frequencies $p_k$, the entropy is $H = -\sum_k p_k \ln p_k$, and
        the perplexity is $e^H$: as many codes, used equally often, would have the same entropy. Codes that are
        never used do not change it.
        """,
        code_perplexity_stub,
        code_perplexity,
        (
            "torch.bincount(tokens, minlength=codes) counts.",
            "0 · log 0 is NaN in PyTorch, but must count as 0.",
        ),
        "the perplexity is wrong. Test yours: 4 codes with equal frequencies must give 4.",
        {
            "this is the number of used codes. A code that is used once counts as much as one that is always used.": (
                code_perplexity_stub
            ),
            "this is the entropy, not yet the perplexity.": _entropy,
            "the bases do not match: an entropy in nats needs e, one in bits needs 2.": lambda t, k: (
                2 ** _entropy(t, k)
            ),
            "this is a ratio of the codebook, expected a number of codes.": lambda t, k: (
                code_perplexity(t, k) / k
            ),
            "the frequencies must be divided by the number of tokens, so that they add up to 1.": lambda t, k: (
                (_entropy(t, k) * len(t) / k).exp()
            ),
        },
        lambda: [
            (integers(6, 200), 8),
            (integers(4, 100).square(), 512),
            (torch.zeros(9, dtype=torch.int64), 4),
        ],
        truth=lambda tokens, codes: package_perplexity(torch.bincount(tokens, minlength=codes).float()),
    ),
    Exercise(
        "02.5",
        60,
        "Keep the codebook alive",
        """
        32 codes, 600 points in 8 groups. One code starts among the points, all others start far away. A code
        that nobody chooses never moves: it is *dead*. Change the loop, so that at the end at least 90 % of the
        codes are used, and the mean distance of a point from its code is below 0.25. `draw()` gives K random
        points of the batch, a new set at each call. (Paper, section 3.1: "reset"; `docs/REPRODUCTION.md`,
        "Tokenizer".)

        When it works, try it without the reset, but with all codes started at points of the batch. Which codes
        die now?
        """,
        learn_codes_stub,
        learn_codes,
        (
            "Print how many codes are used in each step of the stub.",
            "A dead code needs a new place where vectors are: a point of the batch.",
            "`torch.where(counts[:, None] > 0, means, draw())`",
        ),
        "codes are used, but the points are still far from them. Do the living codes still move to their means?",
        {
            "most codes are dead: nobody chose them, and nothing moves them.": learn_codes_stub,
            "the codes are random points: living codes must still move to the mean of their points.": _only_random,
        },
        _codes_cases,
        _alive,
        why="""
        The reset does nearly all of the work here, as in chapter 02. The package also rewrites the running sum
        and count of a reset code. Otherwise the next EMA step moves it back to where it was.
        """,
    ),
    Exercise(
        "02.6",
        5,
        "Predict, then measure: how many codes are that?",
        """
        Of 512 codes four are used, with the frequencies 1/2, 1/4, 1/8, 1/8. What is the perplexity? Give a
        number with two decimals.
        """,
        512,
        3.36,
        (
            "The entropy in bits is easy here: -log2 of the frequencies is 1, 2, 3, 3.",
            "1/2 · 1 + 1/4 · 2 + 2 · 1/8 · 3",
        ),
        "not this number. Compute the entropy in bits first.",
        {
            "codes that are never used do not count.": 512,
            "it would be 4 if all four were used equally often.": 4,
            "this is the entropy in bits.": 1.75,
        },
        tolerance=0.005,
        why="""
        The entropy is 1.75 bits, and 2^1.75 = 3.36. A codebook of 512 codes that is used like this is as good
        as one of 3 or 4.
        """,
        measure=measure_perplexity,
    ),
]
