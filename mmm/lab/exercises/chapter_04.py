"""Exercises of chapter 04: sampling."""

import math

import torch

from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import normal, uniform
from mmm.sampling import choose_codes, choose_masked, masked_counts

chapter = Chapter("04_sampling", "sampling", "import math\n\nimport torch\n\nMASK = -1")
MASK = -1


# 04.1
def schedule_stub(positions, steps):
    return [round(positions * (1 - step / steps)) for step in range(steps)]  # TODO: the cosine


def schedule(positions, steps):
    """Number of open positions, number of passes S → a list of S numbers: how many are masked before each pass."""
    return [max(1, math.floor(math.cos(math.pi / 2 * step / steps) * positions)) for step in range(steps)]


chapter.add(
    r"""
    04.1 · The schedule of passes (5 minutes, write a function)

    The canvas is filled in $S$ passes (paper, section 3.3). Before pass $t = 0, \dots, S - 1$ the number of masked
    positions is

    $$\max\big(1, \lfloor \cos(\tfrac{\pi}{2} \cdot \tfrac{t}{S}) \cdot M \rfloor\big)$$

    $M$ is the number of positions that are masked at the start: before the first pass all of them are.
    """,
    schedule,
    """
    hint | The values of t are range(steps).
    hint | math.floor rounds down, and max(1, …) leaves at least one.
    stub | this schedule is linear: every pass decides equally many tokens.
    step / steps → (step + 1) / steps | before the first pass all positions are masked: t starts at 0.
    step / steps → step / (steps - 1) ;; max(1, → max(0, | the last pass masks nothing, since t / S runs to 1 here.
    step / steps → step / (steps - 1) | t / S must not reach 1 in the last pass: divide by S.
    math.floor → round | the numbers are rounded to the nearest, expected down.
    math.floor → math.ceil | the numbers are rounded up, expected down.
    math.cos → math.sin | this is the sine: it masks little at the start and everything at the end.
    max(1, → max(0, | a pass masks no position at all: at least one.
    else | the numbers are wrong. The first must be all positions, numbers are rounded down, and none may be 0.
    """,
    cases=lambda: [(49, 10), (20, 4), (7, 5), (3, 10)],
    truth=masked_counts,
)


# 04.2
def choose_stub(confidence, written, count):
    masked = torch.zeros_like(written)
    masked[confidence.argsort()[:count]] = True  # TODO: which positions may be masked at all?
    return masked


def choose(confidence, written, count):
    """confidence (N,), written (N,) of bool, count → masked (N,) of bool, with `count` times True."""
    masked = torch.zeros_like(written)
    masked[confidence.masked_fill(~written, math.inf).argsort()[:count]] = True
    return masked


def _choose_cases():
    return [(uniform(20, seed=seed).double(), uniform(20, seed=seed + 9) < 0.6, 5) for seed in (1, 2, 3)]


chapter.add(
    """
    04.2 · Which positions are predicted again? (5 minutes, write a function)

    After each pass the `count` positions with the **least** confidence are masked again. Only the positions that the
    last pass has written may be masked: `written` is True there. All others are final, or belong to the motion that the
    user keeps.
    """,
    choose,
    """
    hint | Give positions that are not written a confidence that is never the least.
    hint | masked_fill(~written, math.inf)
    stub | positions that are final or kept are masked too.
    confidence.masked_fill → (-confidence).masked_fill | these are the most confident ones. They would be lost.
    return masked → return written & ~masked | True marks the positions that stay, expected those that are masked.
    confidence.masked_fill(~written, math.inf) → confidence[written] | the first of confidence[written] is not
      position 0 of the canvas: keep all N positions.
    [:count] → [count:] | these are all positions except the least confident ones.
    else | these are not the least confident ones of the written positions.
    """,
    cases=_choose_cases,
    truth=lambda c, w, n: choose_masked(c[None], w[None], n, "least", None)[0],
)


# 04.3
def draw_codes_stub(logits, uniform, temperature):
    codes = logits.argmax(1)  # TODO: this is the most likely code, not a random one
    return codes, logits.softmax(1).amax(1)


def draw_codes(logits, uniform, temperature):
    """logits (M, K), uniform (M, K) in (0, 1), temperature → codes (M,), confidence (M,)."""
    gumbel = -(-uniform.log()).log()
    codes = (logits / temperature + gumbel).argmax(1)
    confidence = logits.softmax(1).gather(1, codes[:, None])[:, 0]
    return codes, confidence


def _draw_cases():
    return [
        (2 * normal(200, 12, seed=i), uniform(200, 12, seed=i + 5), t) for i, t in enumerate((1.0, 0.5, 2.0))
    ]


chapter.add(
    r"""
    04.3 · Draw a code (20 minutes, write a function)

    To draw a code with the probabilities $\text{softmax}(\ell / \tau)$, add *Gumbel noise* to each scaled logit and
    take the largest: $\arg\max_k \; \ell_k / \tau + g_k$ with $g = -\ln(-\ln u)$, $u$ uniform in $(0, 1)$.

    The **confidence** is the probability that the network gives to the code that was drawn: $\text{softmax}(\ell)$,
    without temperature. It decides which positions are masked again. (`docs/REPRODUCTION.md`, "Sampling".)
    """,
    draw_codes,
    """
    hint | The noise has two logarithms: -(-uniform.log()).log().
    hint | `gather(1, codes[:, None])` takes one probability of each row.
    stub | there is no noise: the same canvas always gives the same motion.
    -(-uniform.log()).log() → uniform | the noise is uniform. The largest sum is then not a draw from the softmax.
    -(-uniform.log()).log() → -uniform.log() | one logarithm is missing in the noise.
    -(-uniform → (-uniform | the sign of the noise is wrong.
    logits / temperature → logits * temperature | a low temperature must make likely codes more likely: divide the
      logits by it.
    logits / temperature + gumbel → (logits + gumbel) / temperature | the noise is divided by the temperature too:
      divide the logits only.
    = logits.softmax → = (logits / temperature).softmax | the confidence must not depend on the temperature.
    .gather(1, codes[:, None])[:, 0] → .amax(1) | the confidence is that of the most likely code, expected that of the
      drawn one.
    else | the codes or the confidences are wrong. Test 1 has temperature 1: begin there.
    """,
    cases=_draw_cases,
    truth=choose_codes,
    names=("the codes", "the confidence"),
)


# 04.4
def guided_stub(with_text, without_text, scale):
    return with_text  # TODO: a scale of 0 must ignore the text, 1 is the plain network


def guided(with_text, without_text, scale):
    """Logits (M, K) with and without the text, the scale g → guided logits (M, K)."""
    return without_text + scale * (with_text - without_text)


chapter.add(
    """
    04.4 · Guidance (5 minutes, write a function)

    Classifier-free guidance (Ho and Salimans 2022; not in the paper) compares the logits with and without the text. The
    difference is what the text changes. The result is the logits without the text, plus `scale` times this difference.
    A scale of **0 ignores the text, 1 is the plain network**, and more than 1 exaggerates. (Other papers use another
    scale, in which 0 is the plain network.)
    """,
    guided,
    """
    hint | With scale 0 only `without_text` is left, with scale 1 only `with_text`.
    stub | the scale is not used.
    without_text + scale → with_text + scale | in this convention 0 is the plain network. Here 1 must be.
    without_text + scale * (with_text - without_text) → with_text + scale * (without_text - with_text) | the text is
      exchanged with no text: 0 gives the network with the text.
    without_text + scale * (with_text - without_text) → scale * with_text | this scales the logits with the text only.
    else | the logits are wrong. What must they be for g = 0, for g = 1?
    """,
    cases=lambda: [(normal(6, 9), normal(6, 9, seed=1), g) for g in (0.0, 1.0, 2.5)],
    truth=lambda with_text, without_text, scale: torch.lerp(without_text, with_text, scale),
)


# 04.5
def fill_stub(predict, canvas, counts):
    best = predict(canvas).argmax(1)
    return torch.where(canvas == MASK, best, canvas)  # TODO: this is one pass


def fill(predict, canvas, counts):
    """predict(canvas (N,)) → logits (N, K); canvas (N,); counts: masked positions before each pass → tokens (N,)."""
    tokens, masked = canvas.clone(), canvas == MASK
    confidence = torch.zeros(len(canvas), dtype=torch.float64)
    for count in counts:
        least = confidence.masked_fill(~masked, math.inf).argsort()[:count]
        masked = torch.zeros_like(masked)
        masked[least] = True
        probability = predict(tokens.masked_fill(masked, MASK)).double().softmax(1)
        best, code = probability.max(1)
        tokens = torch.where(masked, code, tokens)
        confidence = torch.where(masked, best, confidence)
    return tokens


def _by_lists(predict, canvas, counts):
    tokens, confidence = canvas.tolist(), [0.0] * len(canvas)
    masked = [i for i, token in enumerate(tokens) if token == MASK]
    for count in counts:
        masked = sorted(masked, key=confidence.__getitem__)[:count]
        seen = [MASK if i in masked else token for i, token in enumerate(tokens)]
        probability = predict(torch.tensor(seen)).double().softmax(1).tolist()
        for i in masked:
            confidence[i] = max(probability[i])
            tokens[i] = probability[i].index(confidence[i])
    return tokens


class _Network:
    """A tiny network of random weights: every position looks at its neighbours."""

    def __init__(self, seed):
        self.vectors = normal(10, 8, seed=seed)  # of 9 codes and, last, of MASK
        self.kernel, self.head = normal(16, 8, 5, seed=seed + 1), normal(9, 16, seed=seed + 2)
        self.places = normal(24, 16, seed=seed + 3)

    def __call__(self, canvas):
        x = self.vectors[torch.where(canvas == MASK, 9, canvas)].T[None]
        x = torch.nn.functional.conv1d(x, 2 * self.kernel, padding=2)[0].T + self.places[: len(canvas)]
        return x.tanh() @ self.head.T


def _fill_cases():
    cases = []
    for seed in range(10, 70, 10):
        canvas = torch.full((24,), MASK)
        canvas[3:8] = torch.tensor([1, 4, 0, 2, 8])  # kept tokens, as in an edit
        cases.append((_Network(seed), canvas, masked_counts(19, 8)))
    return cases


chapter.add(
    """
    04.5 · The sampler (60 minutes, write a function)

    Put the last exercises together (paper, section 3.3). `predict(canvas)` is the network: it returns logits for every
    position. `counts` holds the number of masked positions before each pass (04.1). Each pass does this:

    1. Mask the `count` least confident of the positions that the last pass has written (04.2). In the first pass these
       are all positions that the canvas has masked.
    2. Predict.
    3. At the masked positions only: write the **most likely** code, and keep its probability as the confidence.

    Tokens that the canvas held at the start never change.
    """,
    fill,
    """
    hint | You need three tensors: tokens, masked, confidence. At the start confidence is 0 everywhere.
    hint | What the network sees: tokens.masked_fill(masked, MASK).
    hint | Then only masked positions get new tokens and new confidences: torch.where(masked, new, old).
    hint | Choose the next masked positions among the current ones: confidence.masked_fill(~masked, math.inf).
    stub | everything is decided in one pass: tokens cannot look at each other.
    ~masked, → canvas != MASK, | positions that are final are masked again: choose among those that the last pass wrote.
    confidence.masked_fill → (-confidence).masked_fill | the most confident positions are masked again.
    tokens.masked_fill(masked, MASK) → tokens | the network sees its own old tokens at the positions that it must
      predict again.
    torch.where(masked, code, tokens) → code ;; torch.where(masked, best, confidence) → best | kept and final tokens are
      overwritten: write at masked positions only.
    confidence = torch.where(masked, best, confidence) → pass | the confidences are never written, so positions are
      chosen by their order.
    else | some tokens differ. Print the canvas before each pass: how many MASK does it hold?
    why | `mmm.sampling.fill` is this loop, for batches, body parts, drawn codes and guidance.
    """,
    cases=_fill_cases,
    truth=_by_lists,
)


# 04.6
def measure_side():
    """How often three positions that are drawn independently agree on left or right."""
    sides = torch.rand(100_000, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    agree = (sides == sides[:, :1]).all(1).float().mean()
    print(f"{agree:.3f}")
    return agree


chapter.add(
    """
    04.6 · One pass (5 minutes, predict, then measure)

    The text is "walks", and all tokens are masked. Three neighbouring positions can show a left step or a right step,
    and all three must show the same step. For each of them the network gives 50 % to left and 50 % to right. One pass
    draws the three independently. How often do they agree? Give a number between 0 and 1.
    """,
    0.25,
    """
    hint | All three are left with the probability 1/2 · 1/2 · 1/2. Right: the same.
    1.0 | each position alone is fine, but nothing makes them agree.
    0.125 | this is the probability that all three are left.
    0.5 | this is the probability of two positions that agree.
    else | not this number. Count the eight cases.
    why | 2 of 8 cases. With several passes the first token is kept, and the next predictions can look at it.
    """,
    tolerance=0.01,
    measure=measure_side,
)
