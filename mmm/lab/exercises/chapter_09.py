"""Exercises of chapter 09: baselines."""

import math

import torch
from torch import nn

from mmm.lab.baselines.autoregressive import Autoregressive, sample
from mmm.lab.baselines.costs import flops
from mmm.lab.baselines.diffusion import denoise, make_scheduler
from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import SMOOTH, Predict, Writer, kept_ratios, normal
from mmm.sampling import fill
from mmm.text import TextEmbedding
from mmm.transformer import MASK, MaskedTransformer, TransformerConfig

chapter = Chapter("09_baselines", "baselines", "import math\n\nimport torch")
ONE_WORD = TextEmbedding(torch.ones(1, 1, 4), torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 4))


# 09.1
def causal_input_stub(text, steps):
    inputs = torch.cat(list(steps), dim=1)  # TODO: the text first, then what is already written
    return inputs, torch.ones(len(inputs), len(inputs), dtype=torch.bool)  # TODO: hide what comes later


def causal_input(text, steps):
    """text (P·C,), steps (P, N, C) → inputs (N+1, P·C), sees (N+1, N+1): True where an output sees an input."""
    together = torch.cat(list(steps), dim=1)  # (N, P·C)
    inputs = torch.cat([text[None], together])
    sees = torch.ones(len(inputs), len(inputs), dtype=torch.bool).tril()
    return inputs, sees


def _package_input(text, steps):
    """What the first block of the package's network gets if nothing in front of it changes the vectors."""
    parts, n, width = steps.shape
    config = TransformerConfig(
        codes=n, code_dim=width, text_dim=len(text), dim=len(text), layers=1, cross_layers=0, heads=1,
        max_tokens=n, parts=parts,
    )  # fmt: skip
    network, seen = Autoregressive(config, steps).eval(), []
    network.positions.zero_()
    for layer in (network.embed, network.embed_sentence):
        nn.init.eye_(layer.weight)
    network.blocks[0].register_forward_pre_hook(lambda _, args: seen.extend(args))
    tokens, word_mask = torch.arange(n).expand(1, parts, n), torch.ones(1, 1, dtype=torch.bool)
    network(tokens, torch.tensor([n]), text[None, None], word_mask, text[None])
    return seen[0][0], seen[1][0]


chapter.add(
    """
    09.1 · What may a position see? (20 minutes, write a function)

    An autoregressive network predicts step i of a motion from the text and the steps **before** i (chapter 09, section
    3). In training it predicts all steps in one pass. Two things make this possible. The input is *shifted*: position
    0 holds the text, and each step stands one position late. A *causal mask* hides what comes later.

    `steps` holds the code vectors of N steps, for P body parts. A step is **one** position: the vector of the upper
    part, then that of the lower part, side by side (P·C numbers; `text` is as wide). There are N + 1 positions, because
    the last one predicts END. Return the inputs, and the mask `sees`: row i is True at the inputs that the output of
    position i may use.
    """,
    causal_input,
    """
    hint | `steps` has a list of vectors for each part. Which axis must grow if you put two parts side by side?
    hint | What stands at position i of the inputs, and is it known when step i is predicted?
    hint | torch.ones(M, M, dtype=torch.bool).tril() keeps the diagonal and what lies below it.
    stub | each position holds the step that it must predict, and sees all others too.
    .tril() → .tril(-1) | no position sees its own input, and position 0 sees nothing, not even the text.
    .tril() → .tril(1) | each position sees one input too many: the step that it must predict.
    .tril() → .triu() | the mask is turned round: each position sees what comes later.
    .tril() → | nothing is hidden: the network could copy the answer from its input.
    [text[None], together] → [together, text[None]] | the text stands at the end, so step i stands at position i, where
      it must be predicted.
    together]) → together[:-1]]) | the last step is missing: without it nothing predicts END.
    torch.cat(list(steps), dim=1) → steps.reshape(steps.shape[1], -1) | vectors of different steps stand side by side:
      `reshape` reads the numbers in their order and moves no axis.
    list(steps) → list(steps.flip(0)) | the lower part comes first.
    else | the inputs or the mask are wrong. Which three inputs may the output of position 2 use?
    why | The output of position i gives the logits of both parts of step i. The lower part needs one thing more that
      these inputs do not hold: the upper code of the same step. The package adds it before the last layer, because
      two independent draws would not fit each other.
    """,
    cases=lambda: [(normal(6), normal(2, 5, 3, seed=1)), (normal(4, seed=2), normal(1, 7, 4, seed=3))],
    truth=_package_input,
    names=("the inputs", "the mask"),
)


# 09.2
def write_stub(network, text, count):
    inputs, tokens, logits = [text + network.places[0]], [], []
    for step in range(count):
        x = torch.stack(inputs)  # TODO: these are all positions again; compute only the new one
        for layer in network.layers:
            query, key, value = layer.query_key_value(x).chunk(3, dim=1)
            scores = query @ key.T / math.sqrt(len(text))
            future = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
            x = x + layer.out(scores.masked_fill(future, -math.inf).softmax(1) @ value)
        logits.append(network.head(x[-1]))
        tokens.append(int(logits[-1].argmax()))
        inputs.append(network.vectors[tokens[-1]] + network.places[step + 1])
    return torch.tensor(tokens), torch.stack(logits)


def write(network, text, count):
    """network (see the text), text (D,), count → tokens (count,), the logits of each step (count, K)."""
    caches = [([], []) for _ in network.layers]
    x, tokens, logits = text + network.places[0], [], []
    for step in range(count):
        for layer, (keys, values) in zip(network.layers, caches, strict=True):
            query, key, value = layer.query_key_value(x).chunk(3)  # of the new position only
            keys.append(key)
            values.append(value)
            scores = torch.stack(keys) @ query / math.sqrt(len(text))  # (step + 1,)
            x = x + layer.out(scores.softmax(0) @ torch.stack(values))
        logits.append(network.head(x))
        tokens.append(int(logits[-1].argmax()))
        x = network.vectors[tokens[-1]] + network.places[step + 1]
    return torch.tensor(tokens), torch.stack(logits)


def _recomputed(network, text, count):
    twin, tokens = Writer(network.seed), []  # what the twin computes is not counted
    for _ in range(count):
        tokens.append(int(twin.all_at_once(text, tokens)[-1].argmax()))
    return torch.tensor(tokens), network.all_at_once(text, tokens[:-1])


@torch.no_grad()
def _counted(function, network, text, count):
    """The results, and how many positions went through the layers."""
    rows = []
    for layer in network.layers:
        layer.query_key_value.register_forward_hook(lambda _, x, y: rows.append(y.numel() // y.shape[-1]))
    return function(network, text, count), sum(rows)


chapter.add(
    """
    09.2 · Keys and values are kept (60 minutes, write a function)

    The function below writes tokens from left to right. Its results are **right**, and it is slow: at each step it
    computes all earlier positions again, although nothing in them has changed. Rewrite it with a *cache*: each layer
    keeps the keys and values of earlier positions, and computes query, key and value of the **new position only**. The
    tokens and logits must stay the same. The check also counts how many positions go through the layers.

    The parts of `network` (D is its width): `layers`, a list in which each layer has `query_key_value` (a linear layer
    that returns Q, K and V side by side) and `out`; `vectors` (K, D), one for each code; `places` (N, D), one for each
    position; `head`, a linear layer from D to K logits. There is one head of attention, and always the most likely
    code is written.
    """,
    write,
    """
    hint | Which of Q, K and V of an earlier position does the new position need?
    hint | Each layer needs two lists of its own, made before the first step: one for keys, one for values.
    hint | For one position, x has shape (D,), and torch.stack(keys) @ query has one score for each position so far.
    hint | A causal mask is not needed any more. Why?
    stub | tokens and logits are right, but all positions are computed again at each step.
    torch.stack(keys) → key[None] ;; torch.stack(values) → value[None] | each position sees only itself: what the
      caches hold is never used.
    torch.stack(keys) → torch.stack(keys[:-1] or keys) ;; torch.stack(values) → torch.stack(values[:-1] or values) |
      a position does not see itself: when do its key and its value go into the cache?
    [([], []) for _ in network.layers] → [([], [])] * len(network.layers) | all layers write into the same lists.
    values.append(value) → values.append(key) | keys are kept in the place of values.
    keys.append(key) → keys.append(query) | queries are kept. Who asks for them later?
    places[step + 1] → places[step] | the new token stands at the position before its own.
    places[step + 1] → places[0] | every token is put at position 0: with one row at a time, who says where it stands?
    / math.sqrt(len(text)) → | the scale of the scores is missing.
    x = x + layer.out → x = layer.out | what a layer returns must be added to its input.
    else | the results differ from the slow function. Compare the logits step by step: the first step has no cache yet.
    why | 16 steps compute 16 positions in each layer; without the cache 1 + 2 + … + 16 = 136. It works only because the
      mask is causal: an earlier position never sees a later one, so it never changes. In the masked model every
      position sees all others and changes in each pass: nothing can be kept.
    """,
    cases=lambda: [(Writer(seed), normal(8, seed=seed).double(), count) for seed, count in ((1, 16), (4, 9))],
    probe=_counted,
    truth=_recomputed,
    names=("the tokens", "the logits", "the number of positions that go through the layers"),
)


# 09.3
def ddim_step_stub(x, clean, time, after, kept):
    return kept[after].sqrt() * clean + (1 - kept[after]).sqrt() * x  # TODO: x is not the noise


def ddim_step(x, clean, time, after, kept):
    """x (T, D) at step `time`, the predicted clean motion (T, D), time, after, kept (1000,) → x at step `after`."""
    now, then = kept[time], kept[after] if after >= 0 else torch.tensor(1.0)
    noise = (x - now.sqrt() * clean) / (1 - now).sqrt()
    return then.sqrt() * clean + (1 - then).sqrt() * noise


def _diffusers_step(x, clean, time, after, kept):
    scheduler = make_scheduler(SMOOTH, "ddim")
    scheduler.set_timesteps(1000 // (time - after))
    return scheduler.step(clean, time, x).prev_sample


chapter.add(
    r"""
    09.3 · One step of DDIM (20 minutes, write a function)

    At step $t$ a noisy motion is $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \varepsilon$ (chapter 09,
    section 4). `kept[t]` is $\bar\alpha_t$. The network has predicted the clean motion $x_0$ from $x_t$: it is `clean`.
    DDIM ([equation 12](https://arxiv.org/abs/2010.02502), without new noise) asks: if this prediction is right, which
    noise $\varepsilon$ is in $x_t$? Then it mixes the prediction with this **same** noise again, in the amounts of the
    next step, `after`. That is an earlier step of the forward process, with less noise.

    After the last step there is no noise. `after` is -1 then, and $\bar\alpha$ is 1.
    """,
    ddim_step,
    """
    hint | Solve the equation for ε: everything else in it is known.
    hint | The new x is the same equation with kept[after] in the place of kept[time].
    hint | For after = -1 take torch.tensor(1.0) in the place of kept[after].
    stub | x holds noise and motion, and here all of it counts as noise.
    kept[after] if after >= 0 else torch.tensor(1.0) → kept[after] | the last step ends in noise. What does Python take
      for kept[-1]?
    (x - now.sqrt() * clean) / (1 - now).sqrt() → x - clean | the difference of x and the clean motion is not the noise:
      both are scaled in x.
    / (1 - now).sqrt() → | this is the noise as much as x holds of it, not yet ε.
    .sqrt() → | kept is a ratio of squares. The motion and the noise are scaled by roots.
    (1 - then).sqrt() * noise → (1 - now).sqrt() * noise | the noise gets no smaller: it is mixed in the amount of the
      old step.
    + (1 - then).sqrt() * noise → | no noise is put back: each step then begins with a motion that is too clean.
    then.sqrt() * clean → now.sqrt() * clean | the motion is mixed in the amount of the old step.
    noise = (x - now.sqrt() * clean) / (1 - now).sqrt() → noise, clean = clean, (x - (1 - now).sqrt() * clean) /
      now.sqrt() | the prediction is used as if it were the noise.
    else | the result differs from the scheduler of the library diffusers. What must it be for after = -1?
    why | The step draws nothing: the same noise at the start gives the same motion. And `after` may be far from `time`.
      So ten steps can do what the forward process did in 1,000.
    """,
    cases=lambda: [
        (normal(8, 3), normal(8, 3, seed=1), time, time - skip, kept_ratios())
        for time, skip in ((499, 100), (999, 20), (99, 100), (19, 20))
    ],
    truth=_diffusers_step,
)


# 09.4
def fill_gap_stub(predict, step, x, given, known, times):
    for time in times:
        x = step(x, predict(x, time), time)
    return torch.where(known[:, None], given, x)  # TODO: the gap was made without seeing them


def fill_gap(predict, step, x, given, known, times):
    """predict, step: functions; x (T, D): noise; given (T, D), known (T,); times: a list → motion (T, D)."""
    for time in times:
        clean = predict(x, time)
        clean = torch.where(known[:, None], given, clean)
        x = step(x, clean, time)
    return x


def _package_gap(predict, step, x, given, known, times):
    edit = [(given, known[:, None].expand_as(given))]
    how = {"steps": len(times), "guidance": 1.0, "known": edit}
    return torch.from_numpy(denoise(predict.model, ONE_WORD, [len(x)], [predict.seed], **how)[0])


def _gap_cases():
    t, kept = torch.arange(48)[:, None] / 8, kept_ratios()
    given, cases = torch.cat([t.sin(), t.cos()], dim=1), []
    for seed, skip, first, end in ((0, 100, 16, 32), (1, 50, 28, 40)):
        step = lambda x, clean, time, skip=skip: ddim_step(x, clean, time, time - skip, kept)  # noqa: E731
        known = (torch.arange(48) < first) | (torch.arange(48) >= end)
        times = list(range(999, 0, -skip))
        cases.append((Predict(seed), step, normal(48, 2, seed=seed), given * known[:, None], known, times))
    return cases


chapter.add(
    """
    09.4 · Fill a gap by diffusion (20 minutes, write a function)

    In-betweening needs no other network (chapter 09, section 7; MDM, section 3). `given` holds the frames around a gap,
    and `known` is True there. `predict(x, time)` is the network, which predicts the clean motion. `step(x, clean,
    time)` is 09.3: it returns x with less noise. `x` is noise at the start. For each of `times`, from noise to motion:
    predict, **replace the prediction by the given frames where they are known**, then take the step.

    So the known frames of x become the given frames with as much noise as the network expects at that time, and at the
    end they are exactly the given ones. In the gap `given` holds zeros, which mean nothing.

    The motions here are smooth curves of two numbers. For these the best denoiser has a formula, so no network must be
    trained. Plot the result now, and again when the check passes: `example("09.4")` returns all arguments. How far does
    the motion jump at the two ends of the gap?
    """,
    fill_gap,
    """
    hint | torch.where(known[:, None], given, clean) takes the given frames where they are known.
    hint | Only what is inside the loop can change what the network sees at the next time.
    hint | The last step returns the clean motion without noise: what did you replace in it?
    stub | the known frames come in at the end: the gap does not know them, and the motion jumps.
    clean = torch.where(known[:, None], given, clean) → | the known frames are not used.
    known[:, None], given, clean → ~known[:, None], given, clean | the zeros of the gap are used, and the given frames
      are not.
    clean = predict(x, time) → x = torch.where(known[:, None], given, x) ;;
      clean = torch.where(known[:, None], given, clean) → clean = torch.where(known[:, None], given, predict(x, time)) |
      the network gets known frames without noise: at this time it expects noise in all of them.
    clean = torch.where(known[:, None], given, clean) → clean = torch.where(known[:, None] & (time > 500), given, clean)
      | the known frames are replaced in the first half only, and have moved at the end.
    clean = torch.where(known[:, None], given, clean) → clean = torch.where(known[:, None] & (time == 999), given,
      clean) | the known frames are replaced once, and the later steps forget them.
    else | the result differs from `denoise` of the package. Look at the known frames of x after each step.
    why | In test 1 the motion jumps by 0.5 and 1.0 at the ends of the gap. If the known frames come in at the end, it
      is 1.1 and 2.5. Elsewhere neighbours differ by 0.13. So replacing makes the jumps smaller and does not remove
      them, even with this denoiser: when the gap takes its form, the known frames are still covered by noise. More
      steps help slowly (the mean of 20 seeds is 0.61 with 10 steps, 0.44 with 250). A masked model is trained to see
      clean tokens on both sides of a gap.
    """,
    cases=_gap_cases,
    truth=_package_gap,
    tolerance=1e-3,
)


# 09.5
def measure_operations():
    """Operations of the two samplers for 48 tokens, with networks of the same layers."""
    sizes = {"codes": 16, "code_dim": 8, "text_dim": 4, "dim": 64, "layers": 1, "cross_layers": 1}
    config, books = TransformerConfig(**sizes, heads=4), normal(1, 16, 8)
    masked, autoregressive = MaskedTransformer(config, books).eval(), Autoregressive(config, books).eval()
    canvas, lengths = torch.full((1, 1, 48), MASK), torch.tensor([48])
    many = flops(lambda: fill(masked, canvas, lengths, ONE_WORD, steps=10, seeds=[0]))
    few = flops(lambda: sample(autoregressive, ONE_WORD, [0], [48]))
    print(f"masked {many / 1e6:.0f} million, autoregressive {few / 1e6:.0f} million: {many / few:.1f} times")
    return many / few


chapter.add(
    """
    09.5 · Ten passes or 48? (5 minutes, predict, then measure)

    A masked and an autoregressive network have the same layers. Both write a motion of 48 tokens. The masked one takes
    10 passes. The autoregressive one takes 48 and keeps keys and values (09.2). Count multiplications, not passes. How
    many times the operations of the autoregressive network does the masked network need? (An error of 15 % is allowed;
    nearly all operations are in the linear layers.)
    """,
    10.0,
    """
    hint | A linear layer does the same work for each position that goes through it.
    hint | How many positions does one pass of the masked network compute? And one pass with a cache?
    0.208 | this is the ratio of the passes. A pass does not always compute the same number of positions.
    0.408 | this is the ratio without a cache: 1 + 2 + … + 48 positions.
    1 | a pass of the masked network computes all positions, and it does so in every pass.
    48 | one masked pass costs about 48 times one pass with a cache. How many passes does each take?
    4.8 | this is 48 / 10, which compares passes the wrong way round. Count the positions that each network computes.
    else | not this number. Count the positions that go through the layers, over all passes.
    why | 10 · 48 = 480 positions against 48. And still the masked model takes less time in chapter 09: a processor
      computes 48 positions at once nearly as fast as one, and 48 small passes must wait for each other. So "faster"
      depends on what is counted. Without the cache the autoregressive network computes N(N + 1) / 2 positions, and the
      masked one is cheaper from 20 tokens on. Diffusion works on frames, four times as many: 10 steps are
      10 · 192 = 1,920 positions, and twice as many with guidance.
    """,
    tolerance=0.15,
    measure=measure_operations,
)
