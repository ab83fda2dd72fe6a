"""Exercises of chapter 06: editing."""

from functools import cache

import torch
import torch.nn.functional as F
from scipy.interpolate import BPoly

from mmm.editing import encode_kept, next_frame_indices
from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import clip, integers, normal, uniform
from mmm.model import SHIPPED
from mmm.pretrained import load_tokenizer

chapter = Chapter("06_editing", "editing", "import torch\n\nMASK = -1")
MASK = -1


# 06.1
def open_tokens_stub(kept):
    return ~kept[::4]  # TODO: a token has four frames


def open_tokens(kept):
    """kept (T,) of bool, True at frames that stay → (N,) of bool, N = ceil(T / 4): True at tokens to predict."""
    missing = -len(kept) % 4
    full = torch.cat([kept, torch.ones(missing, dtype=torch.bool)])  # the last token may be incomplete
    return ~full.view(-1, 4).all(1)


def _open_cases():
    kept = torch.ones(98, dtype=torch.bool)
    kept[41:79] = False
    other = torch.ones(60, dtype=torch.bool)
    other[3:9], other[30:32] = False, False
    return [(kept,), (other,), (uniform(45) < 0.9,)]


chapter.add(
    """
    06.1 · From frames to tokens (5 minutes, write a function)

    In-betweening keeps some frames and predicts the others (paper, section 3.4). The network works on tokens: token 0
    is frames 0 to 3, token 1 frames 4 to 7, and so on. The last token of a clip may have fewer frames. If **all**
    frames of a token are kept, the token is kept. Otherwise it must be predicted. Which tokens must be predicted?
    """,
    open_tokens,
    """
    hint | Add frames at the end, up to a multiple of 4, then view(-1, 4).
    hint | Must the added frames count as kept or not? The last token depends on its real frames only.
    stub | only the first frame of each token is looked at.
    .all(1) → .any(1) | a token with one kept frame is kept here. Its code describes frames of the gap.
    torch.ones → torch.zeros | a last token with fewer than four frames is never kept here, although all its frames are.
    ~full → full | True and False are exchanged: True is a token to predict.
    missing = -len(kept) % 4 → kept, missing = kept[: len(kept) // 4 * 4], 0 | the last, incomplete token is missing: N
      is rounded up.
    else | the open tokens are wrong. Test it with 8 kept frames of which only frame 5 is False.
    """,
    cases=_open_cases,
    truth=lambda kept: [not all(kept[i : i + 4]) for i in range(0, len(kept), 4)],
)


# 06.2
def part_canvas_stub(tokens, part, gap):
    return tokens.masked_fill(gap, MASK)  # TODO: part


def part_canvas(tokens, part, gap):
    """tokens (2, N): upper, lower; part: "whole", "upper" or "lower"; gap (N,) of bool → the canvas (2, N)."""
    chosen = {"whole": [True, True], "upper": [True, False], "lower": [False, True]}[part]
    return tokens.masked_fill(torch.tensor(chosen)[:, None] & gap, MASK)


def _token_by_token(tokens, part, gap):
    canvas = tokens.clone()
    for row, name in enumerate(("upper", "lower")):
        for i in range(len(gap)):
            if gap[i] and part in (name, "whole"):
                canvas[row, i] = MASK
    return canvas


chapter.add(
    """
    06.2 · The canvas of a body part (5 minutes, write a function)

    The shipped model has two rows of tokens: row 0 is the upper body, row 1 the lower body. An edit of the part "upper"
    masks row 0, "lower" masks row 1, "whole" masks both rows: each only in the gap. All other tokens stay, because the
    network reads them. (Paper, section 3.4, "upper body editing".)
    """,
    part_canvas,
    """
    hint | If `rows` has shape (2, 1) and `gap` has shape (N,), then `rows & gap` has shape (2, N).
    stub | both rows are opened, whatever the part is.
    "upper": [True, False], "lower": [False, True] → "lower": [True, False], "upper": [False, True] | the rows are
      exchanged: row 0 is the upper body.
    "whole": [True, True] → "whole": [False, False] | "whole" must open both rows.
    [:, None] & gap → [:, None].expand_as(tokens) | the row is opened everywhere, not only in the gap.
    & gap → & ~gap | the tokens outside of the gap are opened.
    , MASK) → , 0) | 0 is the id of a code. MASK is -1.
    else | the canvas is wrong. The tests 1, 2 and 3 are whole, upper and lower.
    """,
    truth=_token_by_token,
    cases=lambda: [(integers(512, 2, 15), part, uniform(15) < 0.4) for part in ("whole", "upper", "lower")],
)


# 06.3
def extend_stub(tokens, before, after):
    new = torch.zeros(len(tokens), before + after, dtype=tokens.dtype)
    return torch.cat([tokens, new], dim=1)  # TODO: where do the new tokens stand, and what do they hold?


def extend(tokens, before, after):
    """tokens (P, N), how many tokens to add before and after → the canvas (P, before + N + after)."""
    canvas = torch.full((len(tokens), before + tokens.shape[1] + after), MASK)
    canvas[:, before : before + tokens.shape[1]] = tokens
    return canvas


chapter.add(
    """
    06.3 · The canvas of outpainting (5 minutes, write a function)

    Outpainting continues a motion: `before` new tokens are added before it and `after` new tokens after it (paper,
    section 3.4). The network will predict them. Make the canvas.
    """,
    extend,
    """
    hint | Begin with torch.full(shape, MASK). Then write the tokens into a slice.
    stub | all new tokens stand after the motion, and they hold code 0.
    , MASK) → , 0) | the new tokens hold 0, which is the id of a code. MASK is -1.
    canvas[:, before : before + tokens.shape[1]] → canvas[:, after : after + tokens.shape[1]] | before and after are
      exchanged.
    canvas[:, before : before + tokens.shape[1]] → canvas[:, : tokens.shape[1]] | all new tokens stand after the motion.
    canvas = torch.full → before, after = before // 4, after // 4; canvas = torch.full | the numbers are tokens, not
      frames: nothing is divided by 4.
    else | the canvas is wrong. How many tokens are new on each side, and what must they hold?
    """,
    truth=lambda tokens, before, after: F.pad(tokens, (before, after), value=MASK),
    cases=lambda: [(integers(512, 2, 9), 4, 8), (integers(512, 1, 5), 0, 4), (integers(512, 2, 5), 8, 0)],
)


# 06.4
def join_stub(kept, decoded, blend):
    return torch.cat([kept, decoded[len(kept) :]])  # TODO: this jumps where the gap begins


def join(kept, decoded, blend):
    """kept (A, D): frames before a gap; decoded (A + G, D): the same frames and the gap → joined (A + G, D)."""
    last = len(kept) - 1
    difference = kept[last] - decoded[last]
    tau = (torch.arange(1, len(decoded) - last) / blend).clamp(max=1)
    weight = 1 - 10 * tau**3 + 15 * tau**4 - 6 * tau**5
    return torch.cat([kept, decoded[last + 1 :] + weight[:, None] * difference])


def _by_scipy(kept, decoded, blend):
    # The polynomial that falls from 1 to 0, with speed and acceleration 0 at both ends.
    fade = BPoly.from_derivatives([0, blend], [[1, 0, 0], [0, 0, 0]])
    i = torch.arange(1, len(decoded) - len(kept) + 1).clamp(max=blend)
    shift = torch.outer(torch.from_numpy(fade(i)), (kept[-1] - decoded[len(kept) - 1]).double())
    return torch.cat([kept, decoded[len(kept) :] + shift])


def _join_cases():
    return [
        (normal(10, 6), normal(30, 6, seed=1).cumsum(0), 8),
        (normal(5, 3, seed=2), normal(12, 3, seed=3), 12),
    ]


chapter.add(
    r"""
    06.4 · A seam without a jump (20 minutes, write a function)

    The frames before the gap are the original ones, `kept`. The frames in the gap come from the decoder. The decoder
    does not return kept frames exactly, so the motion would jump where the gap begins. Take the difference of the two
    at the **last kept frame**, $A - 1$. Add it to the frames of the gap, less and less (`mmm/seams.py`):

    $$y_{A - 1 + i} = \text{decoded}_{A - 1 + i} + w(i / \text{blend}) \,
    (\text{kept}_{A - 1} - \text{decoded}_{A - 1}), \qquad w(\tau) = 1 - 10\tau^3 + 15\tau^4 - 6\tau^5$$

    for $i = 1, 2, \dots$ For $\tau > 1$ the weight $w$ is 0. Kept frames stay exactly as they are.
    """,
    join,
    """
    hint | The difference is one vector (D,). The weights have one number for each frame of the gap.
    hint | Use τ.clamp(max=1): for larger τ the polynomial is not 0.
    hint | weight[:, None] * difference has shape (G, D).
    stub | a plain cut: the motion jumps at the first frame of the gap.
    weight = 1 - 10 * tau**3 + 15 * tau**4 - 6 * tau**5 → weight = torch.ones_like(tau) | the difference never fades:
      the whole gap is shifted.
    torch.arange(1, len(decoded) - last) → torch.arange(len(decoded) - last - 1) | the fade is one frame late: the first
      frame of the gap has i = 1.
    kept[last] - decoded[last] → decoded[last] - kept[last] | the sign of the difference is wrong: the jump is twice as
      large.
    - decoded[last] → - decoded[last + 1] | the difference is taken between two different frames: both are frame A - 1.
    weight = 1 - 10 * tau**3 + 15 * tau**4 - 6 * tau**5 → weight = 1 - tau | a linear fade: the speed jumps at both of
      its ends.
    .clamp(max=1) → | after the fade the polynomial is not 0: clamp τ at 1.
    torch.cat([kept, → torch.cat([decoded[: last + 1], | the kept frames come from the decoder, expected the original
      ones.
    else | the frames of the gap are wrong. At i = 0 the formula must give the last kept frame.
    """,
    cases=_join_cases,
    truth=_by_scipy,
)


# 06.5
def encode_around_stub(encode, features, start, stop, to_next):
    canvas = encode(features)
    canvas[:, start // 4 : stop // 4] = MASK  # TODO: what do the kept tokens know about the gap?
    return canvas


def encode_around(encode, features, start, stop, to_next):
    """encode(features (T, D)) → tokens (P, T / 4); gap start:stop in frames, multiples of 4; to_next: numbers of
    features → the canvas (P, N)."""
    before, after = features[:start].clone(), features[stop:]
    before[-1, to_next] = before[-2, to_next]  # they describe the movement into the gap
    left, right = encode(before), encode(after)
    gap = torch.full((len(left), (stop - start) // 4), MASK)
    return torch.cat([left, gap, right], dim=1)


def _gap_as_zeros(encode, features, start, stop, to_next):
    features = features.clone()
    features[start:stop] = 0
    return encode_around_stub(encode, features, start, stop, to_next)


@cache
def _tokenizer():
    return load_tokenizer(SHIPPED).eval()


def _encode(features):
    with torch.no_grad():
        return _tokenizer().encode(features[None])[0].clone()


def _around_cases():
    cases = []
    for index in (3, 4):
        features = clip(index)[:72].float()
        features[30, next_frame_indices("humanml3d")] += (
            2  # a strong movement before the gap, another one into it
        )
        features[31, next_frame_indices("humanml3d")] += 1
        cases.append((_encode, features, 32, 52, next_frame_indices("humanml3d")))
    return cases


def _package_around(encode, features, start, stop, to_next):
    kept = torch.ones(2, len(features), dtype=torch.bool)
    kept[:, start:stop] = False
    with torch.no_grad():
        return encode_kept(_tokenizer(), features, kept)[0]


chapter.add(
    """
    06.5 · What the kept tokens may not know (60 minutes, write a function)

    The authors encode the whole motion and then mask the tokens of the gap. The stub does this. But the encoder is a
    convolution: a token depends on many frames around its own four. So the kept tokens know the gap, and a test of
    in-betweening is told part of the answer (`docs/REPRODUCTION.md`, "Sampling").

    Encode the frames before the gap and the frames after it **separately**. Then one leak is left. Some features
    describe the movement to the *next* frame: velocities, contacts, the steps of the root. In the last frame before the
    gap, `start - 1`, they describe the movement into the gap. `to_next` is the list of their indices. Replace them by
    those of frame `start - 2` before you encode. There are at least two frames before the gap and four after it. The
    input `features` must not change.
    """,
    encode_around,
    """
    hint | Call encode twice: with features[:start] and with features[stop:].
    hint | before = features[:start].clone(); before[-1, to_next] = before[-2, to_next]
    hint | Then torch.cat([left, gap, right], dim=1), where gap holds MASK.
    stub | the kept tokens know the gap: all frames went through the encoder together.
    before[-1, to_next] = before[-2, to_next] → pass | the last frame before the gap still tells where the motion goes.
    left, right = encode(before), encode(after) → left, right = encode(torch.cat([before, after])).split([start // 4,
      len(after) // 4], dim=1) | the frames before and after the gap are encoded as if they were neighbours.
    _gap_as_zeros | the encoder sees zeros in the gap, which no motion contains. Encode the two sides alone.
    = before[-2, to_next] → = 0 | zeros are a movement too (a stop). Copy the numbers of the frame before.
    .clone() → | the input features have changed: write into a copy.
    else | some tokens differ. Change the frames of the gap: do kept tokens change?
    """,
    cases=_around_cases,
    probe=lambda function, encode, features, *rest: (function(encode, features, *rest), features),
    names=("the canvas", "the input"),
    truth=_package_around,
)


# 06.6
def measure_gap():
    """Which tokens hold frames of the gap 41:79?"""
    tokens = torch.arange(120) // 4
    in_gap = tokens[41:79].unique()
    print(f"tokens {in_gap[0]} to {in_gap[-1]}: {len(in_gap)} of {len(tokens.unique())}")
    return len(in_gap)


chapter.add(
    """
    06.6 · A gap of 38 frames (5 minutes, predict, then measure)

    A clip has 120 frames, so 30 tokens. The frames 41 to 78 must be predicted: the gap is `41:79`. How many tokens must
    be masked?
    """,
    10,
    """
    hint | Which token holds frame 41, and which one holds frame 78?
    hint | Frame 41 is in token 10 (frames 40 to 43).
    38 | this is the number of frames.
    9.5 | 38 / 4 is not a whole number, and the gap does not begin at a multiple of 4.
    9 | count again: both the first and the last token are incomplete.
    8 | these are the tokens that lie in the gap completely.
    else | not this number of tokens. Write down the first and the last token of the gap.
    why | They are tokens 10 to 19. Tokens 10 and 19 also hold frames that the user keeps: frame 40 and frame 79. The
      editor copies these from the original afterwards.
    """,
    tolerance=0.001,
    measure=measure_gap,
)
