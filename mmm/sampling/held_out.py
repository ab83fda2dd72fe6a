"""What a model says of hidden places of held-out clips, where the truth is known (notebook 04).

Confidence is compared with two kinds of truth: the exact code, and what the choice costs. Many codes decode to nearly
the same pose, so "another code" need not be a mistake that anybody could see. What a choice costs is measured by
putting it in the place of the true token, with the true tokens around it, and decoding both (`choice_errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.errors import require
from mmm.motion import features_to_joints, get_skeleton
from mmm.motion.measures import CENTIMETRES
from mmm.sampling.fill import Step
from mmm.text import TextSource
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
        guidance: as in `mmm.sampling.fill`; with any but 1 the softmax is no probability of the model's.
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
