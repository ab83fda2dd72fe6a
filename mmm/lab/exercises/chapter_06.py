"""Exercises of chapter 06: editing."""

from functools import cache

import torch

from mmm.editing import encode_kept, next_frame_indices
from mmm.fit import load_tokenizer
from mmm.lab.exercises.exercise import Exercise
from mmm.lab.exercises.inputs import clip, integers, normal, uniform
from mmm.model import SHIPPED

TITLE, NOTEBOOK = "editing", "06_editing"
IMPORTS = """
import torch

MASK = -1
"""
MASK = -1


# ---------------------------------------------------------------------- 06.1


def open_tokens_stub(kept):
    """kept (T,) of bool, True at frames that stay → (N,) of bool, N = ceil(T / 4): True at tokens to predict."""
    return ~kept[::4]  # TODO: a token has four frames


def open_tokens(kept):
    """kept (T,) of bool, True at frames that stay → (N,) of bool, N = ceil(T / 4): True at tokens to predict."""
    missing = -len(kept) % 4
    full = torch.cat([kept, torch.ones(missing, dtype=torch.bool)])  # the last token may be incomplete
    return ~full.view(-1, 4).all(1)


def _open(kept, fill=True, ask=torch.all):
    full = torch.cat([kept, torch.full((-len(kept) % 4,), fill)])
    return ~ask(full.view(-1, 4), 1)


def _open_cases():
    kept = torch.ones(98, dtype=torch.bool)
    kept[41:79] = False
    other = torch.ones(60, dtype=torch.bool)
    other[3:9], other[30:32] = False, False
    return [(kept,), (other,), (uniform(45) < 0.9,)]


# ---------------------------------------------------------------------- 06.2


def part_canvas_stub(tokens, part, gap):
    """tokens (2, N): upper, lower; part: "whole", "upper" or "lower"; gap (N,) of bool → the canvas (2, N)."""
    return tokens.masked_fill(gap, MASK)  # TODO: part


def part_canvas(tokens, part, gap):
    """tokens (2, N): upper, lower; part: "whole", "upper" or "lower"; gap (N,) of bool → the canvas (2, N)."""
    chosen = {"whole": [True, True], "upper": [True, False], "lower": [False, True]}[part]
    return tokens.masked_fill(torch.tensor(chosen)[:, None] & gap, MASK)


def _part(tokens, part, gap, rows=("upper", "lower"), everywhere=False, value=MASK):
    chosen = torch.tensor([part in ("whole", row) for row in rows])[:, None]
    return tokens.masked_fill(chosen.expand_as(tokens) if everywhere else chosen & gap, value)


# ---------------------------------------------------------------------- 06.3


def extend_stub(tokens, before, after):
    """tokens (P, N), how many tokens to add before and after → the canvas (P, before + N + after)."""
    new = torch.zeros(len(tokens), before + after, dtype=tokens.dtype)
    return torch.cat([tokens, new], dim=1)  # TODO: where do the new tokens stand, and what do they hold?


def extend(tokens, before, after):
    """tokens (P, N), how many tokens to add before and after → the canvas (P, before + N + after)."""
    canvas = torch.full((len(tokens), before + tokens.shape[1] + after), MASK)
    canvas[:, before : before + tokens.shape[1]] = tokens
    return canvas


def _extend(tokens, before, after, value=MASK):
    new = [torch.full((len(tokens), count), value) for count in (before, after)]
    return torch.cat([new[0], tokens, new[1]], 1)


# ---------------------------------------------------------------------- 06.4


def join_stub(kept, decoded, blend):
    """kept (A, D): frames before a gap; decoded (A + G, D): the same frames and the gap → joined (A + G, D)."""
    return torch.cat([kept, decoded[len(kept) :]])  # TODO: this jumps where the gap begins


def join(kept, decoded, blend):
    """kept (A, D): frames before a gap; decoded (A + G, D): the same frames and the gap → joined (A + G, D)."""
    last = len(kept) - 1
    difference = kept[last] - decoded[last]
    tau = (torch.arange(1, len(decoded) - last) / blend).clamp(max=1)
    weight = 1 - 10 * tau**3 + 15 * tau**4 - 6 * tau**5
    return torch.cat([kept, decoded[last + 1 :] + weight[:, None] * difference])


def _join(
    kept,
    decoded,
    blend,
    start=1,
    sign=1,
    anchor=-1,
    weight=lambda x: 1 - 10 * x**3 + 15 * x**4 - 6 * x**5,
    clamp=True,
):
    count = len(kept)
    tau = torch.arange(start, len(decoded) - count + start) / blend
    tau = tau.clamp(max=1) if clamp else tau
    difference = sign * (kept[-1] - decoded[count + anchor])
    return torch.cat([kept, decoded[count:] + weight(tau)[:, None] * difference])


def _join_cases():
    return [
        (normal(10, 6), normal(30, 6, seed=1).cumsum(0), 8),
        (normal(5, 3, seed=2), normal(12, 3, seed=3), 12),
    ]


# ---------------------------------------------------------------------- 06.5


def encode_around_stub(encode, features, start, stop, to_next):
    """encode(features (T, D)) → tokens (P, T / 4); gap start:stop in frames, multiples of 4; to_next: numbers of
    features → the canvas (P, N)."""
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


def _around(encode, features, start, stop, to_next, together=False, zero=False, hide=True):
    before, after = features[:start].clone(), features[stop:]
    if zero:
        before[-1, to_next] = 0
    elif hide:
        before[-1, to_next] = before[-2, to_next]
    both = encode(torch.cat([before, after])) if together else torch.cat([encode(before), encode(after)], 1)
    gap = torch.full((len(both), (stop - start) // 4), MASK)
    return torch.cat([both[:, : start // 4], gap, both[:, start // 4 :]], 1)


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
        features[31, next_frame_indices("humanml3d")] += 1  # a strong movement into the gap
        cases.append((_encode, features, 32, 52, next_frame_indices("humanml3d")))
    return cases


def _package_around(encode, features, start, stop, to_next):
    kept = torch.ones(2, len(features), dtype=torch.bool)
    kept[:, start:stop] = False
    with torch.no_grad():
        return encode_kept(_tokenizer(), features, kept)[0]


# ---------------------------------------------------------------------- 06.6


def measure_gap():
    """Which tokens hold frames of the gap 41:79?"""
    tokens = torch.arange(120) // 4
    in_gap = tokens[41:79].unique()
    print(f"tokens {in_gap[0]} to {in_gap[-1]}: {len(in_gap)} of {len(tokens.unique())}")


EXERCISES = [
    Exercise(
        "06.1",
        5,
        "From frames to tokens",
        """
        In-betweening keeps some frames and predicts the others (paper, section 3.4). The network works on
        tokens of four frames. A token may only be kept if **all** its frames are kept; otherwise it must be
        predicted. The last token of a clip may have fewer than four frames.
        """,
        open_tokens_stub,
        open_tokens,
        (
            "Fill up to a multiple of 4, then view(-1, 4).",
            "What must the frames be that you add: kept or not?",
        ),
        "the open tokens are wrong. Test it with 8 kept frames of which only frame 5 is False.",
        {
            "only the first frame of each token is looked at.": open_tokens_stub,
            "a token with one kept frame is kept here. Its code describes frames of the gap.": lambda k: (
                _open(k, True, torch.any)
            ),
            "a last token with fewer than four frames is never kept here, although all its frames are.": lambda k: (
                _open(k, False)
            ),
            "True and False are exchanged: True is a token to predict.": lambda k: ~open_tokens(k),
            "the last, incomplete token is missing: N is rounded up.": lambda k: open_tokens(
                k[: len(k) // 4 * 4]
            ),
        },
        _open_cases,
    ),
    Exercise(
        "06.2",
        5,
        "The canvas of a body part",
        """
        The shipped model has two rows of tokens: row 0 is the upper body, row 1 the lower body. To edit "upper"
        only row 0 is opened, and only in the gap. "whole" opens both rows in the gap. All other tokens stay:
        the network reads them. (Paper, section 3.4, "upper body editing".)
        """,
        part_canvas_stub,
        part_canvas,
        ("A mask of shape (2, 1) and one of shape (N,) give one of shape (2, N) with &.",),
        "the canvas is wrong. Print it for each of the three parts.",
        {
            "both rows are opened, whatever the part is.": part_canvas_stub,
            "the rows are exchanged: row 0 is the upper body.": lambda *a: _part(*a, rows=("lower", "upper")),
            "the row is opened everywhere, not only in the gap.": lambda *a: _part(*a, everywhere=True),
            "0 is the id of a code. MASK is -1.": lambda *a: _part(*a, value=0),
        },
        lambda: [(integers(512, 2, 15), part, uniform(15) < 0.4) for part in ("whole", "upper", "lower")],
    ),
    Exercise(
        "06.3",
        5,
        "The canvas of outpainting",
        """
        Outpainting continues a motion: new tokens stand before it, after it, or both. Make the canvas.
        """,
        extend_stub,
        extend,
        ("torch.full(shape, MASK), and then write the tokens into a slice.",),
        "the canvas is wrong.",
        {
            "all new tokens stand after the motion, and they hold code 0.": extend_stub,
            "the new tokens hold 0, which is the id of a code. MASK is -1.": lambda *a: _extend(*a, value=0),
            "before and after are exchanged.": lambda t, b, a: _extend(t, a, b),
            "all new tokens stand after the motion.": lambda t, b, a: _extend(t, 0, b + a),
            "the numbers are tokens, not frames: nothing is divided by 4.": lambda t, b, a: _extend(
                t, b // 4, a // 4
            ),
        },
        lambda: [(integers(512, 2, 9), 4, 8), (integers(512, 1, 5), 0, 4), (integers(512, 2, 5), 8, 0)],
    ),
    Exercise(
        "06.4",
        20,
        "A seam without a jump",
        r"""
        The frames before the gap are the original ones. The frames in the gap come from the decoder. The
        decoder does not return the kept frames exactly, so a plain cut jumps. Carry the difference at the
        **last kept frame** into the gap and fade it out (`mmm/seams.py`):

        $$y_{A - 1 + i} = \text{decoded}_{A - 1 + i} + w(i / \text{blend}) \,
        (\text{kept}_{A - 1} - \text{decoded}_{A - 1}), \qquad w(\tau) = 1 - 10\tau^3 + 15\tau^4 - 6\tau^5$$

        for $i = 1, 2, \dots$; $w$ is 0 for $\tau > 1$. Kept frames stay exactly as they are.
        """,
        join_stub,
        join,
        (
            "The difference is one vector (D,). The weights have one number for each frame of the gap.",
            "Clamp τ at 1: behind it the polynomial is not 0.",
            "weight[:, None] * difference has shape (G, D).",
        ),
        "the frames of the gap are wrong. At i = 0 the formula must give the last kept frame.",
        {
            "a plain cut: the motion jumps at the first frame of the gap.": join_stub,
            "the difference never fades: the whole gap is shifted.": lambda *a: _join(
                *a, weight=torch.ones_like
            ),
            "the fade is one frame late: the first frame of the gap has i = 1.": lambda *a: _join(
                *a, start=0
            ),
            "the sign of the difference is wrong: the jump is twice as large.": lambda *a: _join(*a, sign=-1),
            "the difference is taken between two different frames: both are frame A - 1.": lambda *a: _join(
                *a, anchor=0
            ),
            "a linear fade: the speed jumps at both of its ends.": lambda *a: _join(
                *a, weight=lambda x: 1 - x
            ),
            "behind the fade the polynomial grows again: clamp τ at 1.": lambda *a: _join(*a, clamp=False),
        },
        _join_cases,
    ),
    Exercise(
        "06.5",
        60,
        "What the kept tokens may not know",
        """
        The simple way is: encode the whole motion, then mask the tokens of the gap. But the encoder is a
        convolution, and a token depends on many frames around its own four. So the kept tokens know the gap,
        and a test of in-betweening is too good (the authors' code does it; `docs/REPRODUCTION.md`, "Sampling").

        Encode the frames before the gap and the frames after it **separately**. One leak is left: some features
        describe the movement to the *next* frame (velocities, contacts, the steps of the root). In the last
        frame before the gap that is the movement into the gap. `to_next` are the indices of these features.
        In frame `start - 1` replace these features by those of frame `start - 2`. You may assume that
        0 < start < stop < T and that there are two frames before the gap. The input `features` must not change.
        """,
        encode_around_stub,
        encode_around,
        (
            "Two calls of encode: features[:start] and features[stop:].",
            "Change a copy (clone) of the frames before the gap: in the columns to_next row -1 gets row -2.",
            "torch.cat([left, gap, right], dim=1), where gap is MASK.",
        ),
        "some tokens differ. Change the frames of the gap: do kept tokens change?",
        {
            "the kept tokens know the gap: all frames went through the encoder together.": encode_around_stub,
            "the last frame before the gap still tells where the motion goes.": lambda *a: _around(
                *a, hide=False
            ),
            "the frames before and after the gap are encoded as if they were neighbours.": lambda *a: _around(
                *a, together=True
            ),
            "the encoder sees zeros in the gap, which no motion contains. Encode both runs alone.": _gap_as_zeros,
            "zeros are a movement too (a stop). Copy the numbers of the frame before.": lambda *a: _around(
                *a, zero=True
            ),
        },
        _around_cases,
        truth=_package_around,
    ),
    Exercise(
        "06.6",
        5,
        "Predict, then measure: a gap of 38 frames",
        """
        A clip has 120 frames, so 30 tokens. The frames 41 to 78 are to be predicted anew (a gap `41:79`). How
        many tokens must be opened?
        """,
        38,
        10,
        (
            "Which token holds frame 41, and which one holds frame 78?",
            "Frame 41 is in token 10 (frames 40 to 43).",
        ),
        "not this number of tokens. Write down the first and the last token of the gap.",
        {
            "this is the number of frames.": 38,
            "38 / 4 is not a whole number, and the gap does not begin at a multiple of 4.": 9.5,
            "count again: both the first and the last token are incomplete.": 9,
            "these are the tokens that lie in the gap completely.": 8,
        },
        tolerance=0.001,
        why="""
        Tokens 10 to 19. The first and the last hold one frame each that the user wants to keep. These frames
        are copied from the original afterwards.
        """,
        measure=measure_gap,
    ),
]
