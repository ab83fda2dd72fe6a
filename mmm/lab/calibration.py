"""A calibration study that no real data set allows: the probabilities themselves are known (notebook 04).

A held-out clip says what happened once. The synthetic choreographer can dance the same program as often as one likes,
each time in another style, and then the share of a code among the dances *is* the probability that a model which has
read the program ought to give it. So probabilities are compared with probabilities, not with single outcomes.

What a model reads is a caption, and a caption may leave something out. The programs of the study have one action at
normal speed and size, and of their captions the longest is taken: together with the length it leaves little open.

Of two body parts the upper one is studied: arms swing in every program, and the legs of many only stand. The lower part
is hidden from the model throughout, as it is from the frequencies.


What a model says of hidden places of held-out clips, where the truth is known (notebook 04).

Confidence is compared with two kinds of truth: the exact code, and what the choice costs. Many codes decode to nearly
the same pose, so "another code" need not be a mistake that anybody could see. What a choice costs is measured by
putting it in the place of the true token, with the true tokens around it, and decoding both (`choice_errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from tqdm import tqdm

from mmm.datasets.synthetic.captions import captions
from mmm.datasets.synthetic.choreograph import dance, draw_program, held_out
from mmm.datasets.synthetic.program import Program
from mmm.errors import require
from mmm.motion import features_to_joints, get_skeleton, joints_to_features
from mmm.motion.measures import CENTIMETRES
from mmm.sampling import Step
from mmm.text import TextEmbedding, TextSource
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, MaskedTransformer, inside, mask_tokens
from mmm.transformer.tokens import TokenSet

NEAR = 2.0  # cm: a choice that decodes to within this of the truth is right to the eye
BATCH = 32


@dataclass(frozen=True)
class Predictions:
    """The model's answers to m hidden places, one row a place.

    Attributes:
        logits: (m, K). targets: (m,) the true ids.
        clip, part, place: (m,) where each is; clip counts in the token set.
        share: (m,) of its clip's places that were hidden.
    """

    logits: Float[Tensor, "m k"]
    targets: Int64[Tensor, " m"]
    clip: Int64[Tensor, " m"]
    part: Int64[Tensor, " m"]
    place: Int64[Tensor, " m"]
    share: Float[Tensor, " m"]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def chosen(self) -> Int64[Tensor, " m"]:
        """The likeliest code of each place."""
        return self.logits.argmax(1)

    def where(self, rows: Bool[Tensor, " m"] | Bool[np.ndarray, " m"]) -> Predictions:
        """Some of the rows."""
        keep = torch.as_tensor(rows)
        return Predictions(*(value[keep] for value in vars(self).values()))

    @classmethod
    def join(cls, pieces: Sequence[Predictions]) -> Predictions:
        """All rows of several."""
        columns = zip(*(vars(piece).values() for piece in pieces), strict=True)
        return cls(*(torch.cat(column) for column in columns))


@torch.no_grad()
def predict_hidden(
    transformer: MaskedTransformer,
    tokens: TokenSet,
    text: TextSource,
    share: float,
    seed: int = 0,
    guidance: float = 1.0,
    clips: Sequence[int] | None = None,
) -> Predictions:
    """Hide a share of the places of each clip at random, and ask the model for all of them in one pass.

    Args:
        tokens: each clip in its first variant; each gets one of its captions by `seed`.
        share: of the places, at least one place of each clip.
        guidance: as in `mmm.sampling`; with any but 1 the softmax is no probability of the model's.
        clips: which of the clips; all by default.
    Raises:
        ValueError: a share outside [0, 1].
    """
    device, generator = transformer.device, torch.Generator().manual_seed(seed)
    chosen = torch.arange(len(tokens)) if clips is None else torch.as_tensor(clips)
    rows = tokens.starts[chosen]
    truth, sizes = tokens.batch(rows)
    canvas = mask_tokens(truth, sizes, f"uniform({share}, {share})", generator)
    captions = tokens.draw_captions(chosen, generator)
    transformer.eval()
    pieces = []
    for batch in sizes.argsort(stable=True).split(BATCH):
        longest = int(sizes[batch].max())
        seen, lengths = canvas[batch, :, :longest].to(device), sizes[batch].to(device)
        said = text.lookup([captions[i] for i in batch.tolist()]).to(device)
        inputs = (seen, lengths, said.words, said.mask, said.sentence)
        logits = transformer(*inputs).float()
        if guidance != 1:
            drop = torch.ones(len(batch), dtype=torch.bool, device=device)
            without = transformer(*inputs, drop_text=drop).float()
            logits = without + guidance * (logits - without)
        predicted = logits.shape[1]
        hidden = (seen[:, :predicted] == MASK) & inside(lengths, longest)[:, None]
        row, part, place = hidden.nonzero().cpu().unbind(1)
        pieces.append(
            Predictions(
                logits[hidden].cpu(),
                truth[batch][row, part, place],
                chosen[batch][row],
                part,
                place,
                torch.full((len(row),), float(share)),
            )
        )
    return Predictions.join(pieces)


@torch.no_grad()
def choice_errors(
    tokenizer: Tokenizer,
    tokens: TokenSet,
    clip: Int64[Tensor, " m"],
    part: Int64[Tensor, " m"],
    place: Int64[Tensor, " m"],
    code: Int64[Tensor, " m"],
    skeleton: str = "humanml3d",
) -> Float[np.ndarray, " m"]:
    """What each choice of a code costs, cm: mean distance of all joints over the token's frames.

    The choice stands alone among the true tokens of its clip; both rows are decoded, and of each the frames of this
    token are recovered from where the first of them stands and faces. So pose, way and turn within the token count,
    drift from before it does not. The true code costs 0.

    Args:
        clip, part, place: where; clip counts in the token set (first variant). code: the choice.
    """
    rows = torch.stack([clip, part, place, code], 1)
    unique, back = rows.unique(dim=0, return_inverse=True)
    clip, part, place, code = unique.unbind(1)
    first, ratio = tokens.starts[clip], tokenizer.config.ratio
    sizes = tokens.lengths[first]
    wrong = (tokens.tokens[first, part, place] != code).nonzero()[:, 0]
    found = torch.zeros(len(unique), dtype=torch.float64)
    body = get_skeleton(skeleton)
    order = wrong[(sizes[wrong] * len(tokens) + clip[wrong]).argsort()]  # by length, then clip by clip
    for batch in order.split(BATCH):
        truth = tokens.tokens[first[batch], :, : int(sizes[batch].max())].long()
        changed = truth.clone()
        changed[torch.arange(len(batch)), part[batch], place[batch]] = code[batch]
        clips, which = clip[batch].unique(return_inverse=True)
        where = torch.stack([(clip[batch] == c).nonzero()[0, 0] for c in clips])  # each true row once
        joint = torch.cat([changed, truth[where]])
        frames = ratio * torch.cat([sizes[batch], sizes[batch][where]])
        features = tokenizer.decode(joint.to(tokenizer.mean.device), frames.to(tokenizer.mean.device)).cpu()
        steps = ratio * place[batch][:, None] + torch.arange(ratio)
        made = features[torch.arange(len(batch))[:, None], steps]
        true = features[(len(batch) + which)[:, None], steps]
        a, b = (features_to_joints(piece.double(), skeleton) for piece in (made, true))
        found[batch] = (a - b).norm(dim=-1).mean((1, 2)) * CENTIMETRES[body.unit]
    return found[back].numpy()


def errors_of(
    tokenizer: Tokenizer, tokens: TokenSet, predictions: Predictions, skeleton: str = "humanml3d"
) -> Float[np.ndarray, " m"]:
    """`choice_errors` of the likeliest code of each place."""
    p = predictions
    return choice_errors(tokenizer, tokens, p.clip, p.part, p.place, p.chosen, skeleton)


def synonyms(
    tokenizer: Tokenizer, tokens: TokenSet, places: int, seed: int = 0, skeleton: str = "humanml3d"
) -> tuple[Float[np.ndarray, "places k"], Int64[np.ndarray, " places"]]:
    """What every code of the codebook would cost at some places of held-out clips (cm), and the true code of each.

    Args:
        places: how many, drawn at random over all tokens of all parts.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = tokens.lengths[tokens.starts[:-1]]
    edges = sizes.cumsum(0)
    total, parts = int(edges[-1]), tokenizer.config.parts
    require(1 <= places <= parts * total, f"places is {places}, expected 1 to {parts * total}")
    drawn = torch.randperm(parts * total, generator=generator)[:places]
    part, drawn = drawn // total, drawn % total
    clip = torch.searchsorted(edges, drawn, right=True)
    place = drawn - (edges - sizes)[clip]
    codes = tokenizer.config.codes
    rows = [value.repeat_interleave(codes) for value in (clip, part, place)]
    cost = choice_errors(tokenizer, tokens, *rows, torch.arange(codes).repeat(places), skeleton)
    true = tokens.tokens[tokens.starts[clip], part, place].long()
    return cost.reshape(places, codes), true.numpy()


def passes_table(
    trace: Sequence[Step], truth: Int64[Tensor, "b p n"], sizes: Int64[Tensor, " b"]
) -> pd.DataFrame:
    """A decode of held-out clips pass by pass: a row for each place that a pass answered.

    Returns:
        columns number (of the pass, from 1), item (of the canvas), part, place, code, confidence, right (the
        exact code), final (the pass that chose it for good).
    """
    real = inside(sizes, truth.shape[2])[:, None].expand_as(truth)
    asked = [(step.canvas == MASK) & real for step in trace]
    pieces = []
    for number, (step, masked) in enumerate(zip(trace, asked, strict=True), start=1):
        later = asked[number] if number < len(asked) else torch.zeros_like(masked)
        row, part, place = masked.nonzero().unbind(1)
        code = step.tokens[masked]
        pieces.append(
            pd.DataFrame({
                "number": number, "item": row, "part": part, "place": place, "code": code,
                "confidence": step.confidence[masked].double(), "right": code == truth[masked],
                "final": ~later[masked],
            })
        )  # fmt: skip
    return pd.concat(pieces, ignore_index=True)


FIRST_SEED = 900_000_000  # of programs and dances here; a data set has seeds below a million times its own
CAPTIONS = 12  # of which the longest is taken
MOST_DRAWS = 20_000


@dataclass(frozen=True)
class Dances:
    """One program, danced often.

    Attributes:
        caption: its longest. frames: of every dance. tokens: (V, N) the dances as tokens (of the first body part).
    """

    program: Program
    caption: str
    frames: int
    tokens: Int64[Tensor, "v n"]

    def frequencies(self, codes: int) -> Float[Tensor, "n k"]:
        """How often each code stands at each place, as shares of the dances."""
        return _shares(self.tokens, codes)

    def halves(self, codes: int) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
        """The frequencies of every other dance, and of the rest: their distance is what luck leaves."""
        return _shares(self.tokens[::2], codes), _shares(self.tokens[1::2], codes)


def simple_programs(count: int, seed: int = 0) -> list[Program]:
    """Programs of one action (of legs or arms) at normal speed and size, no two with the same one; none held out.

    Raises:
        ValueError: there are not so many different ones.
    """
    found: dict[tuple, Program] = {}
    for number in range(MOST_DRAWS):
        program = draw_program(FIRST_SEED + seed * MOST_DRAWS + number)
        action = program.segments[0].main
        plain = action.speed == action.size == "normal" and action.name != "stand"
        alone = len(program.segments) == 1 and not program.parallels()
        if plain and alone and not held_out(program):
            found.setdefault((action.name, action.direction, action.side), program)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"count is {count}, but there are only {len(found)} simple programs; ask for fewer")


def dance_often(
    tokenizer: Tokenizer, programs: Sequence[Program], times: int, progress: bool = False
) -> list[Dances]:
    """Every program danced `times` times, each with a style and variation of its own, as tokens.

    Raises:
        ValueError: fewer than 2 times.
    """
    require(times >= 2, f"times is {times}, expected 2 or more: one dance is no frequency")
    found = []
    with tqdm(total=times * len(programs), desc="dances", unit="clip", disable=not progress) as bar:
        for program in programs:
            clips = []
            for number in range(times):
                again = replace(program, seed=program.seed + (number + 1) * 10 * MOST_DRAWS)
                clips.append(joints_to_features(dance(again)[0].astype(np.float32)))
                bar.update()
            features = torch.from_numpy(np.stack(clips)).to(tokenizer.mean.device)
            tokens = torch.cat([tokenizer.encode(part)[:, 0].cpu() for part in features.split(32)])
            caption = max((c.text for c in captions(program, CAPTIONS)), key=len)
            found.append(Dances(program, caption, features.shape[1], tokens))
    return found


@torch.no_grad()
def probabilities(
    transformer: MaskedTransformer,
    text: TextEmbedding,
    canvas: Int64[Tensor, "rows n"],
) -> Float[Tensor, "rows n k"]:
    """What the model gives every code at every place of some canvases of one length, one text for all.

    Args:
        canvas: of the first body part; the places of another one are MASK.
    """
    device = transformer.device
    transformer.eval()
    words, mask, sentence = (value[:1].to(device) for value in (text.words, text.mask, text.sentence))
    found = [
        torch.empty(0, canvas.shape[1], transformer.config.codes)
    ]  # a program may have no case to ask about
    whole = F.pad(canvas[:, None], (0, 0, 0, transformer.config.parts - 1), value=MASK)
    for some in whole.to(device).split(32):
        if not len(some):
            continue
        lengths = torch.full((len(some),), canvas.shape[1], device=device)
        own = (value.expand(len(some), *value.shape[1:]) for value in (words, mask, sentence))
        found.append(transformer(some, lengths, *own).float().softmax(-1)[:, 0].cpu())
    return torch.cat(found)


def followers(
    dances: Dances, codes: int, least: int = 20
) -> tuple[Int64[Tensor, "cases n"], Int64[Tensor, " cases"], Float[Tensor, "cases k"]]:
    """What follows a token: canvases with that one token shown, the next place, and the frequencies there.

    Args:
        least: dances that a token must stand in at its place to be a case; of fewer there is no frequency.
    Returns:
        canvases, all MASK but for the token; the place after it; how often each code stands there in the dances that
        have the token.
    """
    tokens, canvases, places, shares = dances.tokens, [], [], []
    for place in range(tokens.shape[1] - 1):
        shown, counts = tokens[:, place].unique(return_counts=True)
        for code in shown[counts >= least]:
            canvas = torch.full((tokens.shape[1],), MASK)
            canvas[place] = code
            canvases.append(canvas)
            places.append(place + 1)
            shares.append(_shares(tokens[tokens[:, place] == code, place + 1 : place + 2], codes)[0])
    if not canvases:
        empty = torch.empty(0, tokens.shape[1], dtype=torch.int64)
        return empty, torch.empty(0, dtype=torch.int64), torch.empty(0, codes)
    return torch.stack(canvases), torch.tensor(places), torch.stack(shares)


def total_variation(p: Float[Tensor, "*batch k"], q: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Half the sum of the differences: the share of probability that would have to move, from 0 to 1."""
    return (p - q).abs().sum(-1) / 2


def impossible(
    said: Float[Tensor, "*batch k"], frequencies: Float[Tensor, "*batch k"]
) -> Float[Tensor, "*batch"]:
    """Probability given to codes that no dance ever has there."""
    return (said * (frequencies == 0)).sum(-1)


def by_probability(
    said: Float[Tensor, "*batch k"],
    frequencies: Float[Tensor, "*batch k"],
    edges: Sequence[float] | Float[np.ndarray, " edges"],
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
    """Mean probability said, mean true frequency, and how many codes, of all codes by what was said of them.

    Args:
        edges: of the bins; empty ones are left out.
    """
    p, f = said.flatten().double().numpy(), frequencies.flatten().double().numpy()
    which = np.digitize(p, edges)
    counts = np.bincount(which, minlength=len(edges) + 1)
    sums = [np.bincount(which, weights, len(edges) + 1) for weights in (p, f)]
    used = counts > 0
    return sums[0][used] / counts[used], sums[1][used] / counts[used], counts[used]


def _shares(tokens: Int64[Tensor, "v n"], codes: int) -> Float[Tensor, "n k"]:
    counts = torch.zeros(tokens.shape[1], codes)
    return counts.scatter_add_(1, tokens.T, torch.ones(tokens.T.shape)) / len(tokens)
