"""Exercises of chapter 03: the masked transformer."""

import math

import torch
import torch.nn.functional as F

from mmm.lab.exercises.exercise import Exercise
from mmm.lab.exercises.inputs import integers, normal, uniform
from mmm.transformer import MaskedTransformer, TransformerConfig
from mmm.transformer.masking import inside, masked_loss
from mmm.transformer.model import Attention

TITLE, NOTEBOOK = "the masked transformer", "03_transformer"
IMPORTS = """
import math

import torch
import torch.nn.functional as F

from mmm.transformer import MaskedTransformer, TransformerConfig

MASK = -1
"""
MASK = -1


# ---------------------------------------------------------------------- 03.1


def masked_count_stub(u, lengths):
    """u (B,) in [0, 1), lengths (B,) → how many tokens of each clip are masked (B,)."""
    return (u * lengths).round()  # TODO: the cosine


def masked_count(u, lengths):
    """u (B,) in [0, 1), lengths (B,) → how many tokens of each clip are masked (B,)."""
    return (torch.cos(math.pi / 2 * u) * lengths).round().clamp(min=1)


# ---------------------------------------------------------------------- 03.2


def mask_tokens_stub(tokens, lengths, counts, noise):
    """tokens (B, N), lengths (B,), counts (B,), noise (B, N) in [0, 1) → the canvas (B, N)."""
    return tokens.masked_fill(noise < 0.5, MASK)  # TODO: exactly counts[b] of the first lengths[b] tokens


def mask_tokens(tokens, lengths, counts, noise):
    """tokens (B, N), lengths (B,), counts (B,), noise (B, N) in [0, 1) → the canvas (B, N)."""
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    ranks = noise.masked_fill(~real, math.inf).argsort(1).argsort(1)  # 0 for the smallest number of a row
    return tokens.masked_fill(ranks < counts[:, None], MASK)


def _mask(tokens, lengths, counts, noise, padding=False, sorts=2, largest=False, value=MASK):
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    noise = -noise if largest else noise
    ranks = noise if padding else noise.masked_fill(~real, math.inf)
    for _ in range(sorts):
        ranks = ranks.argsort(1)
    return tokens.masked_fill(ranks < counts[:, None], value)


def _mask_cases():
    lengths = torch.tensor([20, 12, 5, 20])
    return [
        (integers(64, 4, 20), lengths, torch.tensor([7, 3, 5, 1]), uniform(4, 20, seed=seed))
        for seed in (1, 2)
    ]


# ---------------------------------------------------------------------- 03.3


def loss_stub(logits, tokens, canvas, lengths):
    """logits (B, N, K), tokens (B, N), canvas (B, N), lengths (B,) → the loss, one number."""
    return F.cross_entropy(logits.transpose(1, 2), tokens)  # TODO: this counts every position, padding too


def loss(logits, tokens, canvas, lengths):
    """logits (B, N, K), tokens (B, N), canvas (B, N), lengths (B,) → the loss, one number."""
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    counted = (real & (canvas == MASK)).float()
    each = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")  # (B, N)
    return ((each * counted).sum(1) / counted.sum(1)).mean()


def _loss(logits, tokens, canvas, lengths, masked=True, real=True, pooled=False, by_length=False):
    counted = (canvas == MASK) if masked else torch.ones_like(tokens, dtype=torch.bool)
    if real:
        counted = counted & inside(lengths, tokens.shape[1])
    each = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none") * counted
    if pooled:
        return each.sum() / counted.sum()
    return (each.sum(1) / (lengths if by_length else counted.sum(1))).mean()


def _loss_cases():
    lengths, tokens = torch.tensor([12, 5, 8]), integers(9, 3, 12)
    canvas = tokens.masked_fill(uniform(3, 12, seed=4) < 0.6, MASK)  # padding holds MASK, too
    return [(2 * normal(3, 12, 9), tokens, canvas, lengths)]


def _package_loss(logits, tokens, canvas, lengths):
    return masked_loss(logits[:, None], tokens[:, None], lengths, "masked", canvas[:, None])


# ---------------------------------------------------------------------- 03.4


def drop_text_stub(words, word_mask, sentence, drop, no_word, no_sentence):
    """words (B, S, E), word_mask (B, S), sentence (B, E), drop (B,), no_word (E,), no_sentence (E,)
    → words, word_mask, sentence."""
    words = torch.where(drop[:, None, None], torch.zeros_like(words), words)
    # TODO: the mask still says how many words there were, and the sentence is there
    return words, word_mask, sentence


def drop_text(words, word_mask, sentence, drop, no_word, no_sentence):
    """words (B, S, E), word_mask (B, S), sentence (B, E), drop (B,), no_word (E,), no_sentence (E,)
    → words, word_mask, sentence."""
    first = torch.arange(words.shape[1]) == 0
    words = torch.where(drop[:, None, None], no_word, words)
    word_mask = torch.where(drop[:, None], first, word_mask)
    return words, word_mask, torch.where(drop[:, None], no_sentence, sentence)


def _drop(words, word_mask, sentence, drop, no_word, no_sentence, mask="first", with_sentence=True):
    first = torch.arange(words.shape[1]) == 0
    new = {"first": first, "same": word_mask, "none": torch.zeros_like(first), "all": torch.ones_like(first)}[
        mask
    ]
    words, sentences = (
        torch.where(drop[:, None, None], no_word, words),
        torch.where(drop[:, None], no_sentence, sentence),
    )
    return words, torch.where(drop[:, None], new, word_mask), sentences if with_sentence else sentence


def _drop_probe(function, words, word_mask, *rest):
    """Words behind the mask do not matter."""
    words, word_mask, sentence = function(words, word_mask, *rest)
    return words * word_mask[..., None], word_mask, sentence


def _drop_cases():
    word_mask = torch.arange(5) < torch.tensor([5, 3, 2, 4])[:, None]
    drop = torch.tensor([True, False, True, False])
    return [(normal(4, 5, 6), word_mask, normal(4, 6, seed=1), drop, normal(6, seed=2), normal(6, seed=3))]


# ---------------------------------------------------------------------- 03.5


def attend_stub(x, mask, layer):
    """x (B, M, D), mask (B, M), an Attention layer of the package → its result (B, M, D)."""
    query, key, value = layer.query_key_value(x).chunk(3, dim=-1)
    weights = (query @ key.transpose(1, 2)).softmax(-1)  # TODO: heads, scale and mask are missing
    return layer.out(weights @ value)


def attend(x, mask, layer):
    """x (B, M, D), mask (B, M), an Attention layer of the package → its result (B, M, D)."""
    batch, positions, width = x.shape
    heads = [batch, positions, layer.heads, width // layer.heads]
    query, key, value = (y.reshape(heads).transpose(1, 2) for y in layer.query_key_value(x).chunk(3, dim=-1))
    scores = query @ key.transpose(2, 3) / math.sqrt(width // layer.heads)  # (B, heads, M, M)
    weights = scores.masked_fill(~mask[:, None, None], -math.inf).softmax(-1)
    return layer.out((weights @ value).transpose(1, 2).reshape(batch, positions, width))


def _attend(x, mask, layer, scale=None, axis=-1, when="before", split=True, masked=True):
    batch, positions, width = x.shape
    parts = layer.query_key_value(x).chunk(3, dim=-1)
    if split:
        shape = [batch, positions, layer.heads, width // layer.heads]
        query, key, value = (y.reshape(shape).transpose(1, 2) for y in parts)
    else:
        query, key, value = (y.reshape(batch, layer.heads, positions, -1) for y in parts)
    scores = query @ key.transpose(2, 3) / (scale or math.sqrt(width // layer.heads))
    keys = mask[:, None, None] if masked else torch.ones_like(mask)[:, None, None]
    if when == "before":
        weights = scores.masked_fill(~keys, -math.inf).softmax(axis)
    elif when == "zero":
        weights = scores.masked_fill(~keys, 0).softmax(axis)
    else:
        weights = scores.softmax(axis) * keys
    result = (weights @ value).transpose(1, 2) if split else weights @ value
    return layer.out(result.reshape(batch, positions, width))


def _layer(seed):
    torch_layer = Attention(12, 3, 0.0, cross=False)
    with torch.no_grad():
        for i, parameter in enumerate(torch_layer.parameters()):
            parameter.copy_(0.5 * normal(*parameter.shape, seed=10 * seed + i))
    return torch_layer.eval()


def _attend_cases():
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    return [(normal(2, 7, 12), mask, _layer(1)), (normal(2, 7, 12, seed=5), mask, _layer(2))]


# ---------------------------------------------------------------------- 03.6


def measure_first_loss():
    """The loss of a network of random weights, for a codebook of 512 codes."""
    torch.manual_seed(0)
    config = TransformerConfig(codes=512, code_dim=16, text_dim=32, dim=64, layers=2, cross_layers=1, heads=4)
    network = MaskedTransformer(config, torch.randn(1, 512, 16)).eval()
    canvas, lengths = torch.full((8, 1, 20), MASK), torch.full((8,), 20)
    words, word_mask = torch.randn(8, 5, 32), torch.ones(8, 5, dtype=torch.bool)
    with torch.no_grad():
        logits = network(canvas, lengths, words, word_mask, words[:, 0])
    tokens = torch.randint(512, (8, 1, 20))
    print(f"loss {F.cross_entropy(logits.flatten(0, 2), tokens.flatten()):.2f}, ln 512 = {math.log(512):.2f}")


EXERCISES = [
    Exercise(
        "03.1",
        5,
        "How many tokens are masked?",
        r"""
        In each training step a new part of every clip is masked (paper, section 3.2). The paper draws the ratio
        evenly between 0.3 and 1, this project by the cosine schedule of MaskGIT (`docs/REPRODUCTION.md`,
        "Transformer"). With a random number $u$, uniform in $[0, 1)$, the number of masked tokens is
        $\cos(\frac{\pi}{2} u)$ times the length of the clip, rounded to the nearest number, and **at least
        one**.
        """,
        masked_count_stub,
        masked_count,
        ("torch.cos takes radians: cos(π/2 · u) is 1 for u = 0 and 0 for u = 1.", "clamp(min=1)"),
        "the counts are wrong. What does yours give for u = 0, for u = 0.5 and for u = 0.999, length 10?",
        {
            "this masks uniform ratios. The cosine masks more on average.": masked_count_stub,
            "there is a clip in which nothing is masked: it would have no loss.": lambda u, n: (
                torch.cos(math.pi / 2 * u) * n
            ).round(),
            "the counts must be rounded to the nearest number, not down.": lambda u, n: (
                (torch.cos(math.pi / 2 * u) * n).floor().clamp(min=1)
            ),
            "u = 0 must mask everything, u near 1 hardly anything: this is the sine.": lambda u, n: (
                (torch.sin(math.pi / 2 * u) * n).round().clamp(min=1)
            ),
            "the angle runs from 0 to 1 here, expected 0 to π/2.": lambda u, n: (
                (u.cos() * n).round().clamp(min=1)
            ),
        },
        lambda: [(torch.tensor([0.0, 0.3, 0.5, 0.8, 0.999]), torch.tensor([49, 20, 33, 17, 10]))],
    ),
    Exercise(
        "03.2",
        20,
        "Mask tokens",
        """
        Which tokens are masked is random. You get a random number for every position. In clip b the `counts[b]`
        positions with the **smallest** numbers become MASK (-1). Only the first `lengths[b]` positions are
        real, the others are padding and stay as they are. Do it for the whole batch at once, without a loop.
        """,
        mask_tokens_stub,
        mask_tokens,
        (
            "First give padding a number that is never small: infinity.",
            "argsort gives the order: which position comes first. argsort of that gives the rank of every position.",
            "Masked is where rank < counts[:, None].",
        ),
        "not the positions with the smallest numbers. Print noise, ranks and canvas of a clip of 5 tokens.",
        {
            "a fixed threshold does not mask the number of tokens that counts asks for.": mask_tokens_stub,
            "padding is masked: real tokens are then masked too rarely.": lambda *a: _mask(*a, padding=True),
            "argsort gives the order, not the ranks. It needs one more step.": lambda *a: _mask(*a, sorts=1),
            "these are the positions with the largest numbers.": lambda *a: _mask(*a, largest=True),
            "0 is the id of a code. MASK is -1.": lambda *a: _mask(*a, value=0),
        },
        _mask_cases,
    ),
    Exercise(
        "03.3",
        20,
        "The loss",
        r"""
        Equation 3 of the paper: the cross-entropy of the true tokens, at the **masked** positions only,

        $$\mathcal{L} = -\frac{1}{B} \sum_b \frac{1}{|M_b|} \sum_{i \in M_b} \log p(x_{b,i} \mid
        \text{canvas}_b, \text{text}_b)$$

        $M_b$ are the masked real positions of clip $b$. First the mean within a clip, then the mean over the
        clips: a long clip counts as much as a short one. Padding may hold MASK too, and it does not count.
        The package counts all real positions by default, as the authors' code does
        (`docs/REPRODUCTION.md`, "Transformer"). Here you write the paper's loss.
        """,
        loss_stub,
        loss,
        (
            'F.cross_entropy(..., reduction="none") keeps one number for each position.',
            "Cross-entropy wants the codes in axis 1: logits.transpose(1, 2).",
            "Multiply by a 0/1 weight, sum over the positions, divide by the sum of the weights.",
        ),
        "the loss differs from equation 3. Which positions do you count, and by what do you divide?",
        {
            "all positions count, padding too.": loss_stub,
            "padding that holds MASK is counted.": lambda *a: _loss(*a, real=False),
            "visible positions are counted. (The authors' code does this too, equation 3 does not.)": lambda *a: (
                _loss(*a, masked=False)
            ),
            "the mean runs over all masked positions of the batch: long clips count more.": lambda *a: _loss(
                *a, pooled=True
            ),
            "each clip is divided by its length, expected by its number of masked positions.": lambda *a: (
                _loss(*a, by_length=True)
            ),
        },
        _loss_cases,
        truth=_package_loss,
    ),
    Exercise(
        "03.4",
        20,
        "Text dropout",
        """
        For guidance (chapter 04) the network must also know motions without a text. (The paper has no
        guidance.) So one text in ten is replaced in training by learned vectors: the words by **one** word
        `no_word`, the sentence by `no_sentence`. `word_mask` says which words are real. Nothing of the old text
        may be left, not even its number of words. Items where `drop` is False stay as they are.
        """,
        drop_text_stub,
        drop_text,
        (
            "torch.where(drop[:, None, None], new, old) chooses for each item.",
            "The new mask is True at the first word and False behind it.",
        ),
        "the texts of the dropped items are not one no_word and the no_sentence, or others have changed.",
        {
            "the words become zeros, and mask and sentence still tell about the text.": drop_text_stub,
            "the sentence is still there: the network reads it there.": lambda *a: _drop(
                *a, with_sentence=False
            ),
            "the mask still says how many words the text had.": lambda *a: _drop(*a, mask="same"),
            "no word is left: attention over nothing is NaN. One word must stay.": lambda *a: _drop(
                *a, mask="none"
            ),
            "there is more than one no_word: only the first position is real.": lambda *a: _drop(
                *a, mask="all"
            ),
        },
        _drop_cases,
        _drop_probe,
    ),
    Exercise(
        "03.5",
        60,
        "Attention by hand",
        r"""
        Write the self-attention of the package without `scaled_dot_product_attention`. For each head $h$ of
        width $d = D / H$:

        $$\text{softmax}\Big(\frac{Q_h K_h^\top}{\sqrt d} + m\Big) V_h$$

        $m$ is 0 at keys where `mask` is True and $-\infty$ at the others, which so get no weight.

        Use `layer.query_key_value` (one linear layer of width 3D),
        `layer.heads` and `layer.out`. A head is a block of d neighbouring numbers of the width.
        """,
        attend_stub,
        attend,
        (
            "y.reshape(B, M, heads, d).transpose(1, 2) has shape (B, heads, M, d).",
            "Scores of shape (B, heads, M, M): the last axis runs over the keys. mask[:, None, None] fits it.",
            "Set masked scores to -infinity before the softmax. Before layer.out, transpose back and reshape.",
        ),
        "the result differs from the package's. Test with a mask that is True everywhere: is it equal then?",
        {
            "heads, scale and mask are missing.": attend_stub,
            "the scale is wrong: it is the width of one head, not the whole width.": lambda x, m, a: _attend(
                x, m, a, scale=math.sqrt(x.shape[2])
            ),
            "the scale is missing.": lambda x, m, a: _attend(x, m, a, scale=1.0),
            "softmax runs over the queries, expected over the keys (the last axis).": lambda x, m, a: _attend(
                x, m, a, axis=-2
            ),
            "the mask comes after the softmax: the weights do not add up to 1 any more.": lambda x, m, a: (
                _attend(x, m, a, when="after")
            ),
            "masked scores are set to 0, but 0 is a score like any other.": lambda x, m, a: _attend(
                x, m, a, when="zero"
            ),
            "the mask is not used.": lambda x, m, a: _attend(x, m, a, masked=False),
            "the heads are mixed up with positions: reshape, then transpose.": lambda x, m, a: _attend(
                x, m, a, split=False
            ),
        },
        _attend_cases,
        truth=lambda x, mask, layer: layer(x, mask),
    ),
    Exercise(
        "03.6",
        5,
        "Predict, then measure: the first loss",
        """
        The codebook has 512 codes. What is the cross-entropy (in nats) before the first training step, when the
        network has random weights and gives all codes about the same probability? One decimal is enough.
        """,
        1.0,
        6.2,
        ("The probability of the true code is 1/512.", "PyTorch's cross-entropy uses the natural logarithm."),
        "not this number. Which probability does the true code get, and what is its logarithm?",
        {
            "a loss of 1 would be a network that knows a lot already.": 1.0,
            "this is in bits. PyTorch's cross-entropy uses the natural logarithm.": 9,
            "this is the number of codes.": 512,
        },
        tolerance=0.03,
        why="""
        ln 512 = 6.24. If your first loss is much larger, the initial weights are too large; if it is smaller,
        the network sees the answer.
        """,
        measure=measure_first_loss,
    ),
]
