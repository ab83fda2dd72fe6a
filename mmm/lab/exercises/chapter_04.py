"""Exercises of chapter 04: sampling."""

import math

import torch

from mmm.lab.exercises.exercise import Exercise
from mmm.lab.exercises.inputs import normal, uniform
from mmm.sampling import choose_codes, choose_masked, masked_counts

TITLE, NOTEBOOK = "sampling", "04_sampling"
IMPORTS = """
import math

import torch

MASK = -1
"""
MASK = -1


# ---------------------------------------------------------------------- 04.1


def schedule_stub(positions, steps):
    """Number of open positions, number of passes S → a list of S numbers: how many are masked before each pass."""
    return [round(positions * (1 - step / steps)) for step in range(steps)]  # TODO: the cosine


def schedule(positions, steps):
    """Number of open positions, number of passes S → a list of S numbers: how many are masked before each pass."""
    return [max(1, math.floor(math.cos(math.pi / 2 * step / steps) * positions)) for step in range(steps)]


def _schedule(
    positions, steps, first=0, last=0, least=1, rounding=math.floor, curve=lambda x: math.cos(math.pi / 2 * x)
):
    return [max(least, rounding(curve((step + first) / (steps + last)) * positions)) for step in range(steps)]


# ---------------------------------------------------------------------- 04.2


def choose_stub(confidence, written, count):
    """confidence (N,), written (N,) of bool, count → masked (N,) of bool, with `count` times True."""
    masked = torch.zeros_like(written)
    masked[confidence.argsort()[:count]] = True  # TODO: which positions may be masked at all?
    return masked


def choose(confidence, written, count):
    """confidence (N,), written (N,) of bool, count → masked (N,) of bool, with `count` times True."""
    masked = torch.zeros_like(written)
    masked[confidence.masked_fill(~written, math.inf).argsort()[:count]] = True
    return masked


def _choose(confidence, written, count, sign=1, keep=False):
    masked = torch.zeros_like(written)
    masked[(sign * confidence).masked_fill(~written, math.inf).argsort()[:count]] = True
    return written & ~masked if keep else masked


def _choose_cases():
    return [(uniform(20, seed=seed).double(), uniform(20, seed=seed + 9) < 0.6, 5) for seed in (1, 2, 3)]


# ---------------------------------------------------------------------- 04.3


def draw_codes_stub(logits, uniform, temperature):
    """logits (M, K), uniform (M, K) in (0, 1), temperature → codes (M,), confidence (M,)."""
    codes = logits.argmax(1)  # TODO: this is the most likely code, not a random one
    return codes, logits.softmax(1).amax(1)


def draw_codes(logits, uniform, temperature):
    """logits (M, K), uniform (M, K) in (0, 1), temperature → codes (M,), confidence (M,)."""
    gumbel = -(-uniform.log()).log()
    codes = (logits / temperature + gumbel).argmax(1)
    confidence = logits.softmax(1).gather(1, codes[:, None])[:, 0]
    return codes, confidence


def _draw(
    logits, uniform, temperature, gumbel=lambda u: -(-u.log()).log(), multiply=False, hot=False, best=False
):
    scaled = logits * temperature if multiply else logits / temperature
    codes = (scaled + gumbel(uniform)).argmax(1)
    probability = (scaled if hot else logits).softmax(1)
    return codes, probability.amax(1) if best else probability.gather(1, codes[:, None])[:, 0]


def _draw_cases():
    return [
        (2 * normal(200, 12, seed=i), uniform(200, 12, seed=i + 5), t) for i, t in enumerate((1.0, 0.5, 2.0))
    ]


# ---------------------------------------------------------------------- 04.4


def guided_stub(with_text, without_text, scale):
    """Logits (M, K) with and without the text, the scale g → guided logits (M, K)."""
    return with_text  # TODO: a scale of 0 must ignore the text, 1 is the plain network


def guided(with_text, without_text, scale):
    """Logits (M, K) with and without the text, the scale g → guided logits (M, K)."""
    return without_text + scale * (with_text - without_text)


# ---------------------------------------------------------------------- 04.5


def fill_stub(predict, canvas, counts):
    """predict(canvas (N,)) → logits (N, K); canvas (N,); counts: masked positions before each pass → tokens (N,)."""
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


def _fill(predict, canvas, counts, final=True, remask=True, most=False, overwrite=False):
    tokens, masked = canvas.clone(), canvas == MASK
    open_positions, confidence = masked.clone(), torch.zeros(len(canvas), dtype=torch.float64)
    for count in counts:
        allowed = masked if final else open_positions
        rank = -confidence if most else confidence
        masked = torch.zeros_like(masked)
        masked[rank.masked_fill(~allowed, math.inf).argsort()[:count]] = True
        probability = predict(tokens.masked_fill(masked, MASK) if remask else tokens).double().softmax(1)
        best, code = probability.max(1)
        written = torch.ones_like(masked) if overwrite else masked
        tokens = torch.where(written, code, tokens)
        confidence = torch.where(written, best, confidence)
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


# ---------------------------------------------------------------------- 04.6


def measure_side():
    """How often three positions that are drawn independently agree on left or right."""
    sides = torch.rand(100_000, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    print(f"{((sides.sum(1) == 0) | (sides.sum(1) == 3)).float().mean():.3f}")


EXERCISES = [
    Exercise(
        "04.1",
        5,
        "The schedule of passes",
        r"""
        The canvas is filled in $S$ passes (paper, section 3.3). Before pass $t = 0, \dots, S - 1$ the number of
        masked positions is

        $$\max\big(1, \lfloor \cos(\tfrac{\pi}{2} \cdot \tfrac{t}{S}) \cdot M \rfloor\big)$$

        where $M$ is the number of positions that were open at the start. In the first pass all of them are
        masked.
        """,
        schedule_stub,
        schedule,
        ("range(steps) gives t.", "math.floor rounds down, and max(1, …) leaves at least one."),
        "the numbers are wrong. The first must be all positions, and no number may be 0.",
        {
            "this schedule is linear: it keeps as many tokens in the first pass as in the last.": schedule_stub,
            "the first pass must mask all open positions: t starts at 0.": lambda m, s: _schedule(
                m, s, first=1
            ),
            "the last pass masks nothing, since t / S runs to 1 here.": lambda m, s: _schedule(
                m, s, last=-1, least=0
            ),
            "t / S must not reach 1 in the last pass: divide by S.": lambda m, s: _schedule(m, s, last=-1),
            "the numbers must be rounded down.": lambda m, s: _schedule(m, s, rounding=round),
            "this is the sine: it masks little at the start and everything at the end.": lambda m, s: (
                _schedule(m, s, curve=lambda x: math.sin(math.pi / 2 * x))
            ),
            "a pass masks no position at all: at least one.": lambda m, s: _schedule(m, s, least=0),
        },
        lambda: [(49, 10), (20, 4), (7, 5), (3, 10)],
        truth=masked_counts,
    ),
    Exercise(
        "04.2",
        5,
        "Which positions are predicted again?",
        """
        After each pass the `count` positions with the **least** confidence are masked again, but only among
        those that the last pass has written. All others are final, or belong to the motion that the user keeps.
        `written` says which they are.
        """,
        choose_stub,
        choose,
        (
            "Give positions that are not written a confidence that is never the least.",
            "masked_fill(~written, math.inf)",
        ),
        "other positions than the least confident written ones are masked.",
        {
            "positions that are final or kept are masked too.": choose_stub,
            "these are the most confident ones. They would be lost.": lambda *a: _choose(*a, sign=-1),
            "True marks the positions that stay, expected those that are masked.": lambda *a: _choose(
                *a, keep=True
            ),
        },
        _choose_cases,
        truth=lambda c, w, n: choose_masked(c[None], w[None], n, "least", None)[0],
    ),
    Exercise(
        "04.3",
        20,
        "Draw a code",
        r"""
        To draw a code with the probabilities $\text{softmax}(\ell / \tau)$, add *Gumbel noise* to each scaled
        logit and take the largest: $\arg\max_k \; \ell_k / \tau + g_k$ with $g = -\ln(-\ln u)$, $u$ uniform in
        $(0, 1)$.

        The **confidence** is the probability that the network gives to the code that was drawn:
        $\text{softmax}(\ell)$, without temperature. It decides which positions are masked again.
        (`docs/REPRODUCTION.md`, "Sampling".)
        """,
        draw_codes_stub,
        draw_codes,
        (
            "Two logarithms: -(-uniform.log()).log().",
            "`gather(1, codes[:, None])` takes one probability of each row.",
        ),
        "codes or confidences are wrong. Which of the two results differs from yours at temperature 1?",
        {
            "there is no noise: the same canvas always gives the same motion.": draw_codes_stub,
            "the noise is uniform. The largest sum is then not a draw from the softmax.": lambda *a: _draw(
                *a, gumbel=lambda u: u
            ),
            "one logarithm is missing in the noise.": lambda *a: _draw(*a, gumbel=lambda u: -u.log()),
            "the sign of the noise is wrong.": lambda *a: _draw(*a, gumbel=lambda u: (-u.log()).log()),
            "a low temperature must make likely codes more likely: divide the logits by it.": lambda *a: (
                _draw(*a, multiply=True)
            ),
            "the confidence must not depend on the temperature.": lambda *a: _draw(*a, hot=True),
            "the confidence is that of the most likely code, expected that of the drawn one.": lambda *a: (
                _draw(*a, best=True)
            ),
        },
        _draw_cases,
        truth=choose_codes,
    ),
    Exercise(
        "04.4",
        5,
        "Guidance",
        r"""
        Classifier-free guidance (Ho and Salimans 2022; not in the paper) compares the logits with the text and
        without it, and goes further in that direction. In this package a scale of **0 ignores the text, 1 is
        the plain network**, and more than 1 exaggerates what the text changes. Other papers write $(1 + w)$,
        where 0 is the plain network.
        """,
        guided_stub,
        guided,
        ("Start at the logits without text and go g times the difference.",),
        "the logits are wrong. What must they be for g = 0, for g = 1?",
        {
            "the scale is not used.": guided_stub,
            "in this convention 0 is the plain network. Here 1 must be.": lambda c, u, g: c + g * (c - u),
            "the text is exchanged with no text: 0 gives the network with the text.": lambda c, u, g: (
                c + g * (u - c)
            ),
            "this scales the logits with the text only.": lambda c, u, g: g * c,
        },
        lambda: [(normal(6, 9), normal(6, 9, seed=1), g) for g in (0.0, 1.0, 2.5)],
    ),
    Exercise(
        "04.5",
        60,
        "The sampler",
        """
        Put it together. `predict(canvas)` is the network: it returns logits for every position. `counts` is the
        schedule. In each pass: mask the least confident of the positions that the last pass wrote (at the
        start: of all that are open), predict, take the **most likely** code at the masked positions only, and
        note its probability as the confidence. Tokens that the canvas held at the start never change. (Paper,
        section 3.3.)
        """,
        fill_stub,
        fill,
        (
            "You need three tensors: tokens, masked, confidence. At the start confidence is 0 everywhere.",
            "What the network sees: tokens.masked_fill(masked, MASK).",
            "Then only masked positions get new tokens and new confidences: torch.where(masked, new, old).",
            "Choose the next masked positions among the current ones: confidence.masked_fill(~masked, math.inf).",
        ),
        "some tokens differ. Print the canvas before each pass: how many MASK does it hold?",
        {
            "everything is decided in one pass: tokens cannot look at each other.": fill_stub,
            "positions that are final are masked again: choose among those that the last pass wrote.": lambda *a: (
                _fill(*a, final=False)
            ),
            "the most confident positions are masked again.": lambda *a: _fill(*a, most=True),
            "the network sees its own old tokens at the positions that it must predict anew.": lambda *a: (
                _fill(*a, remask=False)
            ),
            "kept and final tokens are overwritten: write at masked positions only.": lambda *a: _fill(
                *a, overwrite=True
            ),
        },
        _fill_cases,
        why="""
        `mmm.sampling.fill` is this loop, for batches, body parts, drawn codes and guidance.
        """,
    ),
    Exercise(
        "04.6",
        5,
        "Predict, then measure: one pass",
        """
        A text says "walks", and nothing else is known. Three neighbouring positions can show a left step or a
        right step, and all three must show the same. The network gives each of them 50 % and 50 %. One pass
        draws the three independently. How often do they agree? Give a number between 0 and 1.
        """,
        1.0,
        0.25,
        ("All left: 1/2 · 1/2 · 1/2. All right: the same.",),
        "not this number. Count the eight cases.",
        {
            "each position alone is fine, but nobody makes them agree.": 1.0,
            "this is the probability that all three are left.": 0.125,
            "this is the probability of two positions that agree.": 0.5,
        },
        tolerance=0.01,
        why="""
        2 of 8 cases. With several passes the first token is kept, and the next predictions can look at it.
        """,
        measure=measure_side,
    ),
]
