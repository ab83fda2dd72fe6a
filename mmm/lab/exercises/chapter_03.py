"""Exercises of chapter 03: the masked transformer."""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import integers, normal, uniform
from mmm.transformer import MaskedTransformer, TransformerConfig
from mmm.transformer.masking import masked_loss
from mmm.transformer.model import Attention

chapter = Chapter(
    "03_transformer",
    "the masked transformer",
    "import math\n\nimport torch\nimport torch.nn.functional as F\n\nMASK = -1",
)
MASK = -1


# 03.1
def masked_count_stub(u, lengths):
    return (u * lengths).round()  # TODO: the cosine


def masked_count(u, lengths):
    """u (B,) in [0, 1), lengths (B,) → how many tokens of each clip are masked (B,)."""
    return (torch.cos(math.pi / 2 * u) * lengths).round().clamp(min=1)


def _one_by_one(u, lengths):
    pairs = zip(u.tolist(), lengths.tolist(), strict=True)
    return [max(1, round(math.cos(math.pi / 2 * x) * length)) for x, length in pairs]


chapter.add(
    r"""
    03.1 · How many tokens are masked? (5 minutes, write a function)

    In each training step other tokens of a clip are masked (paper, section 3.2). How many is random. The paper draws
    the ratio of masked tokens uniformly between 0.3 and 1. This project uses the cosine schedule of MaskGIT
    (`docs/REPRODUCTION.md`, "Transformer"): the ratio is $\cos(\frac{\pi}{2} u)$ with $u$ uniform in $[0, 1)$. Multiply
    it by the length of the clip and round to the nearest integer. **At least one** token is masked.
    """,
    masked_count,
    """
    hint | torch.cos takes radians: cos(π/2 · u) is 1 for u = 0 and 0 for u = 1.
    hint | At least one: `.clamp(min=1)`.
    stub | this masks uniform ratios. The cosine masks more on average.
    .clamp(min=1) → | there is a clip in which nothing is masked: it would have no loss.
    .round() → .floor() | the counts must be rounded to the nearest number, not down.
    .round() → .ceil() | the counts must be rounded to the nearest number, not up.
    torch.cos → torch.sin | u = 0 must mask everything, u near 1 hardly anything: this is the sine.
    math.pi / 2 * u → u | the angle runs from 0 to 1 here, expected 0 to π/2.
    math.pi / 2 → math.pi | the angle runs from 0 to π here, expected 0 to π/2.
    else | the counts are wrong. What does yours give for u = 0, for u = 0.5 and for u = 0.999, length 10?
    """,
    cases=lambda: [(torch.tensor([0.0, 0.3, 0.5, 0.8, 0.999]), torch.tensor([49, 20, 33, 17, 10]))],
    truth=_one_by_one,
)


# 03.2
def mask_tokens_stub(tokens, lengths, counts, noise):
    return tokens.masked_fill(noise < 0.5, MASK)  # TODO: exactly counts[b] of the first lengths[b] tokens


def mask_tokens(tokens, lengths, counts, noise):
    """tokens (B, N), lengths (B,), counts (B,), noise (B, N) in [0, 1) → the canvas (B, N)."""
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    ranks = noise.masked_fill(~real, math.inf).argsort(1).argsort(1)  # 0 for the smallest number of a row
    return tokens.masked_fill(ranks < counts[:, None], MASK)


def _by_sorting(tokens, lengths, counts, noise):
    canvas = tokens.clone()
    for row, numbers, length, count in zip(canvas, noise.tolist(), lengths, counts, strict=True):
        row[sorted(range(length), key=numbers.__getitem__)[:count]] = MASK
    return canvas


def _mask_cases():
    lengths = torch.tensor([20, 12, 5, 20])
    return [
        (integers(64, 4, 20), lengths, torch.tensor([7, 3, 5, 1]), uniform(4, 20, seed=seed))
        for seed in (1, 2)
    ]


chapter.add(
    """
    03.2 · Mask tokens (20 minutes, write a function)

    Which tokens are masked is random, too. `noise` holds a random number for every position. In clip b the `counts[b]`
    positions with the **smallest** numbers become MASK (-1). Only the first `lengths[b]` positions are real. The others
    are padding: they stay as they are. Do it for the whole batch at once, without a loop.
    """,
    mask_tokens,
    """
    hint | First give padding a number that is never small: infinity.
    hint | argsort gives the order: which position comes first. argsort of that gives the rank of every position.
    hint | Masked is where rank < counts[:, None].
    stub | a fixed threshold does not mask the number of tokens that counts asks for.
    noise.masked_fill(~real, math.inf) → noise | padding is masked: real tokens are then masked too rarely.
    noise.masked_fill(~real, math.inf).argsort(1).argsort(1) → noise.argsort(1) | two faults: padding is masked, and
      argsort gives the order, not the ranks.
    .argsort(1).argsort(1) → .argsort(1) | argsort gives the order, not the ranks. It needs one more step.
    noise.masked_fill → (-noise).masked_fill | these are the positions with the largest numbers.
    , MASK) → , 0) | 0 is the id of a code. MASK is -1.
    ranks < → ranks <= | one position too many is masked: the ranks begin at 0.
    argsort(1) → argsort(0) | argsort runs over the clips, expected over the positions of each clip.
    else | these are not the positions with the smallest numbers. Try a clip of 5 tokens: print noise and canvas.
    """,
    cases=_mask_cases,
    truth=_by_sorting,
)


# 03.3
def loss_stub(logits, tokens, canvas, lengths):
    return F.cross_entropy(logits.transpose(1, 2), tokens)  # TODO: this counts every position, padding too


def loss(logits, tokens, canvas, lengths):
    """logits (B, N, K), tokens (B, N), canvas (B, N), lengths (B,) → the loss, one number."""
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    counted = (real & (canvas == MASK)).float()
    each = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")  # (B, N)
    return ((each * counted).sum(1) / counted.sum(1)).mean()


def _loss_cases():
    lengths, tokens = torch.tensor([12, 5, 8]), integers(9, 3, 12)
    canvas = tokens.masked_fill(uniform(3, 12, seed=4) < 0.6, MASK)  # padding holds MASK, too
    return [(2 * normal(3, 12, 9), tokens, canvas, lengths)]


def _package_loss(logits, tokens, canvas, lengths):
    return masked_loss(logits[:, None], tokens[:, None], lengths, "masked", canvas[:, None])


chapter.add(
    r"""
    03.3 · The loss (20 minutes, write a function)

    Write equation 3 of the paper: the cross-entropy of the true tokens, at the **masked** positions only,

    $$\mathcal{L} = -\frac{1}{B} \sum_b \frac{1}{|M_b|} \sum_{i \in M_b} \log p(x_{b,i} \mid
    \text{canvas}_b, \text{text}_b)$$

    $M_b$ are the masked real positions of clip $b$. Take the mean within each clip first, then the mean over the clips,
    so that a long clip counts as much as a short one. Padding may hold MASK too, but it does not count. (Chapter 03
    counts all real positions, as the authors' code does; `docs/REPRODUCTION.md`, "Transformer".)
    """,
    loss,
    """
    hint | F.cross_entropy(..., reduction="none") keeps one number for each position.
    hint | Cross-entropy wants the codes in axis 1: logits.transpose(1, 2).
    hint | Multiply by a weight, 0 or 1. Sum over the positions and divide by the sum of the weights, for each clip.
    stub | all positions count, padding too.
    real & (canvas == MASK) → canvas == MASK | padding that holds MASK is counted.
    real & (canvas == MASK) → real | visible positions are counted. (The authors' code does this too, equation 3 does
      not.)
    ((each * counted).sum(1) / counted.sum(1)).mean() → (each * counted).sum() / counted.sum() | the mean runs over all
      masked positions of the batch: long clips count more.
    / counted.sum(1) → / lengths | each clip is divided by its length, expected by its number of masked positions.
    ((each * counted).sum(1) / counted.sum(1)).mean() → (each * counted).mean() | the sum is divided by the number of
      all positions, padding too.
    ).mean() → ).sum() | the losses of the clips are added, expected their mean.
    else | the loss differs from equation 3. Which positions do you count, and by what do you divide?
    """,
    cases=_loss_cases,
    truth=_package_loss,
)


# 03.4
def drop_text_stub(words, word_mask, sentence, drop, no_word, no_sentence):
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


def _drop_probe(function, words, word_mask, *rest):
    """Words behind the mask do not matter."""
    result = function(words, word_mask, *rest)
    if not isinstance(result, tuple) or len(result) != 3 or result[1].shape != word_mask.shape:
        return result
    return result[0] * result[1][..., None], *result[1:]


def _package_drop(*args):
    *text, no_word, no_sentence = args
    config = SimpleNamespace(text_dropout=0.1)
    model = SimpleNamespace(config=config, no_word=no_word, no_sentence=no_sentence)
    return MaskedTransformer.without_text(model, *text)


def _drop_cases():
    word_mask = torch.arange(5) < torch.tensor([5, 3, 2, 4])[:, None]
    drop = torch.tensor([True, False, True, False])
    return [(normal(4, 5, 6), word_mask, normal(4, 6, seed=1), drop, normal(6, seed=2), normal(6, seed=3))]


chapter.add(
    """
    03.4 · Text dropout (20 minutes, write a function)

    Guidance (chapter 04; not in the paper) needs a network that also works without a text. So in training one text in
    ten is replaced by learned vectors: all words by **one** word `no_word`, the sentence by `no_sentence`. `word_mask`
    is True at the words of each text and False behind them. Where `drop` is True nothing of the old text may be left,
    not even its number of words. Where `drop` is False nothing changes.
    """,
    drop_text,
    """
    hint | torch.where(drop[:, None, None], new, old) chooses for each item.
    hint | The new mask is True at the first word and False behind it.
    stub | the words become zeros, and mask and sentence still tell about the text.
    torch.where(drop[:, None], no_sentence, sentence) → sentence | the sentence is still there, and the network reads
      it.
    word_mask = torch.where(drop[:, None], first, word_mask) → pass | the mask still says how many words the text had.
    == 0 → == -1 | no word is left: attention over nothing is NaN. One word must stay.
    == 0 → >= 0 | there is more than one no_word: only the first position is real.
    torch.where(drop → torch.where(~drop | the wrong texts are dropped: those where drop is False.
    else | where drop is True there must be one no_word and the no_sentence; where it is False nothing may change.
    """,
    cases=_drop_cases,
    probe=_drop_probe,
    truth=_package_drop,
    names=("the words", "word_mask", "the sentence"),
)


# 03.5
def attend_stub(x, mask, layer):
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


def _layer(seed):
    torch_layer = Attention(12, 3, 0.0, cross=False)
    with torch.no_grad():
        for i, parameter in enumerate(torch_layer.parameters()):
            parameter.copy_(0.5 * normal(*parameter.shape, seed=10 * seed + i))
    return torch_layer.eval()


def _attend_cases():
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    return [(normal(2, 7, 12), mask, _layer(1)), (normal(2, 7, 12, seed=5), mask, _layer(2))]


chapter.add(
    r"""
    03.5 · Attention by hand (60 minutes, write a function)

    Write the self-attention of the package without `scaled_dot_product_attention`. $D$ is the width of `x`, $H$ the
    number of heads. For each head $h$ of width $d = D / H$:

    $$\text{softmax}\Big(\frac{Q_h K_h^\top}{\sqrt d} + m\Big) V_h$$

    $m$ is 0 at keys where `mask` is True and $-\infty$ at the others, so that these get no weight.

    Use three parts of `layer`: `layer.query_key_value`, a linear layer that returns Q, K and V side by side (3D
    numbers); `layer.heads`, the number $H$; `layer.out`, the linear layer at the end. Head 0 is the first d numbers of
    Q, K and V, head 1 the next d, and so on.
    """,
    attend,
    """
    hint | y.reshape(B, M, heads, d).transpose(1, 2) has shape (B, heads, M, d).
    hint | Scores of shape (B, heads, M, M): the last axis runs over the keys. mask[:, None, None] fits it.
    hint | Set masked scores to -infinity before the softmax. Before layer.out, transpose back and reshape.
    stub | heads, scale and mask are missing.
    math.sqrt(width // layer.heads) → math.sqrt(width) | the scale is wrong: it is the width of one head, not the whole
      width.
    / math.sqrt(width // layer.heads) → | the scale is missing.
    softmax(-1) → softmax(-2) | softmax runs over the queries, expected over the keys (the last axis).
    scores.masked_fill(~mask[:, None, None], -math.inf).softmax(-1) → scores.softmax(-1) * mask[:, None, None] | the
      mask comes after the softmax: the weights do not add up to 1 any more.
    ~mask[:, None, None] → ~mask[:, None, :, None] | the mask is at the queries, expected at the keys (the last axis).
    y.reshape(heads).transpose(1, 2) → y.reshape(batch, positions, -1, layer.heads).permute(0, 3, 1, 2) | the heads are
      interleaved: head 0 is the first d numbers, head 1 the next d.
    -math.inf → 0 | masked scores are set to 0, but 0 is a score like any other.
    .masked_fill(~mask[:, None, None], -math.inf) → | the mask is not used.
    ~mask → mask | the mask is inverted: True marks the keys that count.
    y.reshape(heads).transpose(1, 2) → y.reshape(batch, layer.heads, positions, -1) ;; (weights @ value).transpose(1, 2)
      → (weights @ value) | the heads are mixed up with positions: reshape, then transpose.
    value).transpose(1, 2) → value) | the heads of the result are not put back: transpose before the last reshape.
    layer.out → | layer.out is missing.
    else | the result differs from layer(x, mask). Is it equal if the mask is True everywhere? If not, look at the
      heads.
    """,
    cases=_attend_cases,
    truth=lambda x, mask, layer: layer(x, mask),
)


# 03.6
def measure_first_loss():
    """The loss of a network of random weights, for a codebook of 8,192 codes."""
    torch.manual_seed(0)
    config = TransformerConfig(
        codes=8192, code_dim=16, text_dim=32, dim=64, layers=2, cross_layers=1, heads=4
    )
    network = MaskedTransformer(config, torch.randn(1, 8192, 16)).eval()
    canvas, lengths = torch.full((8, 1, 20), MASK), torch.full((8,), 20)
    words, word_mask = torch.randn(8, 5, 32), torch.ones(8, 5, dtype=torch.bool)
    with torch.no_grad():
        logits = network(canvas, lengths, words, word_mask, words[:, 0])
    loss = F.cross_entropy(logits.flatten(0, 2), torch.randint(8192, (160,)))
    print(f"loss {loss:.2f}")
    return loss


chapter.add(
    """
    03.6 · The first loss (5 minutes, predict, then measure)

    Chapter 03 trains with 128 codes (512 in the full profile), the authors with 8,192. What is the cross-entropy (in
    nats) with 8,192 codes before the first training step? The network has random weights and gives all codes about the
    same probability. One decimal is enough.
    """,
    9.0,
    """
    hint | The probability of the true code is 1/8192.
    hint | PyTorch's cross-entropy uses the natural logarithm.
    1.0 | a loss of 1 would be a network that knows a lot already.
    4.85 | this is the loss of chapter 03, with 128 codes.
    6.24 | this is the loss with 512 codes.
    13 | this is in bits. PyTorch's cross-entropy uses the natural logarithm.
    8192 | this is the number of codes.
    else | not this number. Which probability does the true code get, and what is its logarithm?
    why | The loss is -ln(1/8192) = ln 8192 = 9.01. If your first loss is much larger, the initial weights are too
      large. If it is smaller, the network sees the answer.
    """,
    tolerance=0.012,
    measure=measure_first_loss,
)
