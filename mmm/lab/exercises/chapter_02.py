"""Exercises of chapter 02: the tokenizer."""

import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2

from mmm.lab.exercises.exercise import Chapter, NotYet
from mmm.lab.exercises.inputs import generator, integers, normal, uniform
from mmm.tokenizer import Quantizer
from mmm.tokenizer.quantizer import perplexity as package_perplexity

chapter = Chapter("02_tokenizer", "the tokenizer", "import torch\nimport torch.nn.functional as F")


# 02.1
def nearest_code_stub(z, codebook):
    # TODO: this finds the code with the largest product, not the nearest one
    return (z @ codebook.T).argmax(1)


def nearest_code(z, codebook):
    """z (M, C), codebook (K, C) → tokens (M,): the index of the nearest code."""
    distances = (z[:, None] - codebook[None]).square().sum(-1)  # (M, K)
    return distances.argmin(1)


def _package(codebook):
    quantizer = Quantizer(*codebook.shape, reset="none").eval()
    quantizer.set_codebook(codebook.detach())
    return quantizer


chapter.add(
    r"""
    02.1 · The nearest code (5 minutes, write a function)

    Quantizing means: replace a vector by the nearest entry of a list, the codebook (paper, section 3.1). The index of
    this entry is the token:

    $$\text{token}_m = \arg\min_k \; \lVert z_m - e_k \rVert^2$$
    """,
    nearest_code,
    """
    hint | z[:, None] - codebook has shape (M, K, C).
    hint | Sum the squares over the last axis, then take argmin over the codes.
    stub | the largest product is not the nearest code: a long code wins although it is far away.
    argmin → argmax | these are the farthest codes.
    z[:, None] - codebook[None] → z[:, None, :1] - codebook[None, :, :1] | this compares the first coordinate only: sum
      over the last axis.
    argmin(1) → argmin(0) | argmin runs over the vectors, expected over the codes.
    .square() → | the differences are summed without squares, so that positive and negative ones cancel.
    .square() → .abs() | absolute differences are summed, expected their squares.
    else | some vectors do not get their nearest code. Try two codes and one vector that you can draw on paper.
    """,
    cases=lambda: [(normal(50, 4), normal(20, 4, seed=1)), (normal(7, 2), 3 * normal(7, 2, seed=2))],
    truth=lambda z, codebook: _package(codebook).nearest(z),
)


# 02.2
def quantize_stub(z, codebook):
    tokens = torch.cdist(z, codebook).argmin(1)
    return codebook[tokens]  # TODO: argmin has no gradient, so the encoder behind z learns nothing


def quantize(z, codebook):
    """z (M, C), codebook (K, C) → vectors (M, C): the nearest codes, with a gradient for z."""
    tokens = torch.cdist(z, codebook).argmin(1)
    return z + (codebook[tokens] - z).detach()


def _values_and_gradients(function, z, codebook):
    """The result, and the gradients of a weighted sum of it with respect to z and to the codebook."""
    z, codebook = z.clone().requires_grad_(), codebook.clone().requires_grad_()
    result = function(z, codebook)
    if not isinstance(result, torch.Tensor):
        raise NotYet("return one tensor, the vectors.")
    if not result.requires_grad:
        return result, torch.zeros_like(z), torch.zeros_like(codebook)
    weights = torch.arange(1.0, result.numel() + 1).view_as(result)
    gradients = torch.autograd.grad((weights * result).sum(), (z, codebook), allow_unused=True)
    return result, *(
        torch.zeros_like(x) if g is None else g for x, g in zip((z, codebook), gradients, strict=True)
    )


chapter.add(
    r"""
    02.2 · Straight through (20 minutes, write a function)

    `argmin` has no gradient. The *straight-through* estimator is a way out. In the forward pass the output is the
    nearest code. In the backward pass it pretends that the output was $z$: the gradient of the output is passed on to
    $z$ unchanged, and the codebook gets none.

    $$\text{output} = z + \text{sg}(e_{\text{token}} - z)$$

    sg is *stop gradient*, in PyTorch `detach()`. The check looks at the values and at both gradients.
    """,
    quantize,
    """
    hint | The value must be the code: z + (code - z) is the code.
    hint | The gradient must be that of z: everything but z is detached.
    stub | z gets no gradient, the codebook gets it. What is detached, and what is not?
    z + (codebook[tokens] - z).detach() → z | the output is z itself, it is not quantized.
    z + (codebook[tokens] - z).detach() → codebook[tokens].detach() | nothing gets a gradient: too much is detached.
    z + (codebook[tokens] - z).detach() → z + codebook[tokens] - z.detach() | z gets the right gradient, but the
      codebook gets one too.
    + (codebook → - (codebook | the output is 2z - code: check the sign.
    else | the values or the gradients are wrong. After output.sum().backward() all numbers of z.grad must be 1.
    """,
    cases=lambda: [(normal(12, 3), normal(5, 3, seed=1))],
    probe=_values_and_gradients,
    truth=lambda z, codebook: _package(codebook)(z[None]).vectors[0],
    names=("the output", "the gradient of z", "the gradient of the codebook"),
)


# 02.3
def ema_step_stub(counts, sums, z, tokens, decay):
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


chapter.add(
    r"""
    02.3 · Codes as running means (20 minutes, write a function)

    The codes are not trained by gradient. Each is the running mean of the vectors that chose it (paper, section 3.1,
    "exponential moving average", EMA). For each code $k$ keep a count $n_k$ and a sum $s_k$. With the decay $\lambda$,
    each batch changes them, and so the code $e_k$:

    $$n_k \leftarrow \lambda n_k + (1 - \lambda) \sum_m [\text{token}_m = k], \qquad
    s_k \leftarrow \lambda s_k + (1 - \lambda) \sum_{m:\,\text{token}_m = k} z_m, \qquad e_k = s_k / n_k$$
    """,
    ema_step,
    """
    hint | The stub has the sums of the batch already. Mix them with the old values.
    hint | Do the same for counts and sums, and divide at the end.
    stub | the old counts and sums are forgotten: only this batch counts.
    decay * counts + (1 - decay) * → (1 - decay) * counts + decay * ;; decay * sums + (1 - decay) * → (1 - decay) * sums
      + decay * | decay and 1 - decay are exchanged: with 0.99 the old values must hardly change.
    sums / counts[:, None], → sums, | the codebook is the running sum. Divide it by the count.
    chosen.T @ z → (chosen / chosen.sum(0).clamp(min=1)).T @ z | the sums hold the mean of each code's vectors, expected
      their sum.
    (1 - decay) * → | the batch is added without the factor 1 - decay.
    decay * counts + (1 - decay) * chosen → counts + chosen | the counts never decay.
    sums / counts[:, None], → sums / counts.clamp(min=1)[:, None], | small counts are replaced by 1. Running counts may
      be below 1: divide by them as they are.
    counts = decay → mean = chosen.T @ z / chosen.sum(0).clamp(min=1)[:, None]; mixed = decay * sums / counts[:, None] +
      (1 - decay) * mean; counts = decay ;; return sums / counts[:, None] → return mixed | the old code is mixed with
      the mean of the batch. Mix counts and sums, then divide.
    else | one of the three results is wrong. Compute one step by hand, with two codes and three vectors.
    """,
    cases=_ema_cases,
    truth=_package_ema,
    names=("the codebook", "the counts", "the sums"),
)


# 02.4
def code_perplexity_stub(tokens, codes):
    counts = torch.bincount(tokens, minlength=codes)
    return (counts > 0).sum()  # TODO: this counts the codes that are used, however rarely


def code_perplexity(tokens, codes):
    """tokens (M,), number of codes K → the perplexity of the codes' frequencies."""
    p = torch.bincount(tokens, minlength=codes) / len(tokens)
    p = p[p > 0]  # p log p is 0 for a code that is never used
    return (-(p * p.log()).sum()).exp()


chapter.add(
    r"""
    02.4 · Perplexity (5 minutes, write a function)

    How many codes are really in use? Let $p_k$ be the frequency of code $k$ (its count divided by the number of
    tokens). The entropy is $H = -\sum_k p_k \ln p_k$, and the perplexity is $e^H$. If $n$ codes are used equally often,
    it is $n$. Codes that are never used do not change it. (Chapter 02 uses $\log_2$ and $2^H$: the result is the same.)
    """,
    code_perplexity,
    """
    hint | torch.bincount(tokens, minlength=codes) counts.
    hint | 0 · log 0 is NaN in PyTorch, but must count as 0.
    stub | this is the number of used codes. A code that is used once counts as much as one that is always used.
    .sum()).exp() → .sum()) | this is the entropy, not yet the perplexity.
    (-(p * p.log()).sum()).exp() → 2 ** (-(p * p.log()).sum()) | the bases do not match: an entropy in nats needs e, one
      in bits needs 2.
    ).exp() → ).exp() / codes | this is a ratio of the codebook, expected a number of codes.
    / len(tokens) → / codes | the frequencies must be divided by the number of tokens, so that they add up to 1.
    (-(p → ((p | the sign of the entropy is wrong: a perplexity is at least 1.
    else | the perplexity is wrong. Test yours: 4 codes with equal frequencies must give 4.
    """,
    cases=lambda: [
        (integers(6, 200), 8),
        (integers(4, 100).square(), 512),
        (torch.zeros(9, dtype=torch.int64), 4),
    ],
    truth=lambda tokens, codes: package_perplexity(torch.bincount(tokens, minlength=codes).float()),
)


# 02.5
def learn_codes_stub(points, codebook, draw):
    return codebook  # TODO: 50 times: find the nearest codes, move each code to the mean of its points, reset dead ones


def learn_codes(points, codebook, draw):
    """points (M, 2), codebook (K, 2) → a codebook (K, 2). draw() gives K random points."""
    for _ in range(50):
        tokens = torch.cdist(points, codebook).argmin(1)
        chosen = F.one_hot(tokens, len(codebook)).float()
        counts = chosen.sum(0)
        means = chosen.T @ points / counts.clamp(min=1)[:, None]
        codebook = torch.where(counts[:, None] > 0, means, draw())  # reset: onto a point of the batch
    return codebook


def _codes_cases():
    # The points lie in 8 groups; nearly all codes start far away from them.
    centres = 3 * normal(8, 2, seed=3)
    points = centres[integers(8, 600)] + 0.3 * normal(600, 2)
    start = 50 + normal(32, 2, seed=1)
    start[0], noise = points[0], generator()
    return [(points, start, lambda: points[torch.randperm(len(points), generator=noise)[:32]])]


def _alive(function, points, codebook, draw):
    """The ratio of used codes and the mean distance of a point from its code. Better than asked for is good enough."""
    codes = function(points.clone(), codebook, draw)
    if codes.shape != codebook.shape:
        raise NotYet(f"the codebook has shape {tuple(codes.shape)}, expected {tuple(codebook.shape)}.")
    distances = torch.cdist(points, codes)
    return min(len(distances.argmin(1).unique()) / 32, 0.9), distances.amin(1).mean().clamp(min=0.25)


def _kmeans(points, codebook, draw):
    return torch.from_numpy(kmeans2(points.numpy(), len(codebook), minit="++", seed=0)[0])


chapter.add(
    """
    02.5 · Keep the codebook alive (60 minutes, write a function)

    Learn a codebook. You get 600 points in 8 groups and 32 codes. Repeat 50 times: find the nearest code of each point,
    then move each code to the mean of its points (here without a running mean). But only one code starts among the
    points, and all others start far away. A code that is never chosen never moves: it is *dead*. Move it to a random
    point (*reset*; paper, section 3.1; `docs/REPRODUCTION.md`, "Tokenizer"). `draw()` returns 32 random points, new
    ones at each call.

    At the end at least 90 % of the codes must be used, and the mean distance of a point from its code must be below
    0.25. When the check passes, take `points, codebook, draw = example("02.5")`, leave out the reset, and start at
    `draw()` instead of `codebook`. How many codes die now? Would this help while an encoder still moves the points?
    """,
    learn_codes,
    """
    hint | The nearest codes are those of 02.1. The sums and counts of 02.3 give the means.
    hint | Divide by counts.clamp(min=1)[:, None]: a dead code has count 0.
    hint | `torch.where(counts[:, None] > 0, means, draw())`
    stub | nothing is learned yet: the codes are where they started.
    means, draw()) → means, codebook) | most codes are dead: they are never chosen, and nothing moves them.
    torch.where(counts[:, None] > 0, means, draw()) → draw() | the codes are random points: codes that are used must
      move to the mean of their points.
    else | the codebook is not good enough.
    why | The reset does nearly all of the work here, as in chapter 02. The package also rewrites the running sum and
      count of a reset code. Otherwise the next EMA step moves it back to where it was. Without the reset, but from
      random points, no code dies: each has a point nearby from the start. In a training the encoder moves the points
      away, so a good start does not last.
    """,
    cases=_codes_cases,
    probe=_alive,
    truth=_kmeans,
    names=("the ratio of used codes", "the mean distance"),
)


# 02.6
def measure_perplexity():
    """The perplexity of a codebook of 512 codes of which four are used."""
    counts = torch.zeros(512)
    counts[:4] = torch.tensor([4.0, 2.0, 1.0, 1.0])
    p = counts[:4] / counts.sum()
    entropy = -(p * p.log2()).sum()
    print(f"entropy {entropy:.2f} bits, perplexity 2^{entropy:.2f} = {2**entropy:.2f}")
    return 2**entropy


chapter.add(
    """
    02.6 · How many codes are that? (5 minutes, predict, then measure)

    A codebook has 512 codes, but only four are used, with the frequencies 1/2, 1/4, 1/8, 1/8. What is the perplexity?
    Give two decimals.
    """,
    3.36,
    """
    hint | The entropy in bits is easy here: -log2 of the frequencies is 1, 2, 3, 3.
    hint | The entropy is 1/2 · 1 + 1/4 · 2 + 2 · 1/8 · 3 bits. The perplexity is 2 to this power.
    512 | codes that are never used do not count.
    4 | it would be 4 if all four were used equally often.
    1.75 | this is the entropy in bits.
    5.75 | the entropy here is in bits, so the perplexity is a power of 2, not of e.
    else | not this number. Compute the entropy in bits first.
    why | The entropy is 1.75 bits, and 2^1.75 = 3.36. A codebook of 512 codes that is used like this is as good as one
      of 3 or 4.
    """,
    tolerance=0.005,
    measure=measure_perplexity,
)
