"""Chapter 05, calibration: the model's predictions for masked positions of held-out clips, where the truth is known.

Confidence is compared with two kinds of truth: the exact code, and the error that the choice causes. Many codes decode
to nearly the same pose, so another code need not be a visible mistake. The error of a choice is measured by putting it
in the position of the true token, among the true tokens around it, and decoding both (`choice_errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.errors import require
from mmm.motion import features_to_joints, get_skeleton
from mmm.motion.measures import CENTIMETRES
from mmm.sampling import Step
from mmm.text import TextSource
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, MaskedTransformer, inside, mask_tokens
from mmm.transformer.tokens import TokenSet

NEAR = 2.0  # cm: a choice that decodes to within this of the truth looks right
BATCH = 32


@dataclass(frozen=True)
class Predictions:
    """The model's predictions for m masked positions, one row for each.

    Attributes:
        logits: (m, K). targets: (m,) the true ids.
        clip, part, position: (m,) where each is; clip is an index into the token set.
        ratio: (m,) mask ratio of its clip.
    """

    logits: Float[Tensor, "m k"]
    targets: Int64[Tensor, " m"]
    clip: Int64[Tensor, " m"]
    part: Int64[Tensor, " m"]
    position: Int64[Tensor, " m"]
    ratio: Float[Tensor, " m"]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def chosen(self) -> Int64[Tensor, " m"]:
        """The likeliest code of each position."""
        return self.logits.argmax(1)

    @classmethod
    def join(cls, several: Sequence[Predictions]) -> Predictions:
        """All rows of several."""
        columns = zip(*(vars(one).values() for one in several), strict=True)
        return cls(*(torch.cat(column) for column in columns))


@torch.no_grad()
def predict_hidden(
    transformer: MaskedTransformer,
    tokens: TokenSet,
    text: TextSource,
    ratio: float,
    seed: int = 0,
    guidance: float = 1.0,
    clips: Sequence[int] | None = None,
) -> Predictions:
    """Mask positions of each clip at random, and predict all of them in one pass.

    Args:
        tokens: each clip in its first variant; each gets one of its captions by `seed`.
        ratio: of the positions that are masked, at least one position of each clip.
        guidance: as in `mmm.sampling`; with any but 1 the softmax is not the model's own probability.
        clips: which of the clips; all by default.
    Raises:
        ValueError: a ratio outside [0, 1].
    """
    device, generator = transformer.device, torch.Generator().manual_seed(seed)
    chosen = torch.arange(len(tokens)) if clips is None else torch.as_tensor(clips)
    truth, sizes = tokens.batch(tokens.starts[chosen])
    canvas = mask_tokens(truth, sizes, f"uniform({ratio}, {ratio})", generator)
    captions = tokens.draw_captions(chosen, generator)
    transformer.eval()
    batches = []
    for batch in sizes.argsort(stable=True).split(BATCH):
        longest = int(sizes[batch].max())
        seen, lengths = canvas[batch, :, :longest].to(device), sizes[batch].to(device)
        own = text.lookup([captions[i] for i in batch.tolist()]).to(device)
        inputs = (seen, lengths, own.words, own.mask, own.sentence)
        logits = transformer(*inputs).float()
        if guidance != 1:
            drop = torch.ones(len(batch), dtype=torch.bool, device=device)
            without = transformer(*inputs, drop_text=drop).float()
            logits = without + guidance * (logits - without)
        masked = (seen[:, : logits.shape[1]] == MASK) & inside(lengths, longest)[:, None]
        row, part, position = masked.nonzero().cpu().unbind(1)
        targets, clip = truth[batch][row, part, position], chosen[batch][row]
        ratios = torch.full((len(row),), float(ratio))
        batches.append(Predictions(logits[masked].cpu(), targets, clip, part, position, ratios))
    return Predictions.join(batches)


@torch.no_grad()
def choice_errors(
    tokenizer: Tokenizer,
    tokens: TokenSet,
    clip: Int64[Tensor, " m"],
    part: Int64[Tensor, " m"],
    position: Int64[Tensor, " m"],
    code: Int64[Tensor, " m"],
    skeleton: str = "humanml3d",
) -> Float[np.ndarray, " m"]:
    """The error of each choice of a code, cm: mean distance of all joints over the token's frames.

    The choice stands alone among the true tokens of its clip. Both rows are decoded, and of each the frames of this
    token are recovered from where the first of them stands and faces. So pose, path and turn within the token count,
    and drift from before it does not. The true code has error 0.

    Args:
        clip, part, position: where; clip is an index into the token set (first variant). code: the choice.
    """
    rows = torch.stack([clip, part, position, code], 1)
    unique, back = rows.unique(dim=0, return_inverse=True)
    clip, part, position, code = unique.unbind(1)
    first, ratio = tokens.starts[clip], tokenizer.config.ratio
    sizes = tokens.lengths[first]
    wrong = (tokens.tokens[first, part, position] != code).nonzero()[:, 0]
    errors = torch.zeros(len(unique), dtype=torch.float64)
    body, device = get_skeleton(skeleton), tokenizer.mean.device
    order = wrong[(sizes[wrong] * len(tokens) + clip[wrong]).argsort()]  # by length, then clip by clip
    for batch in order.split(BATCH):
        row = torch.arange(len(batch))
        truth = tokens.tokens[first[batch], :, : int(sizes[batch].max())].long()
        changed = truth.clone()
        changed[row, part[batch], position[batch]] = code[batch]
        clips, which = clip[batch].unique(return_inverse=True)
        where = torch.stack([(clip[batch] == c).nonzero()[0, 0] for c in clips])  # each true row once
        both = torch.cat([changed, truth[where]])
        frames = ratio * torch.cat([sizes[batch], sizes[batch][where]])
        features = tokenizer.decode(both.to(device), frames.to(device)).cpu()
        steps = ratio * position[batch][:, None] + torch.arange(ratio)
        pair = features[row[:, None], steps], features[(len(batch) + which)[:, None], steps]
        a, b = (features_to_joints(piece.double(), skeleton) for piece in pair)
        errors[batch] = (a - b).norm(dim=-1).mean((1, 2)) * CENTIMETRES[body.unit]
    return errors[back].numpy()


def errors_of(
    tokenizer: Tokenizer, tokens: TokenSet, predictions: Predictions, skeleton: str = "humanml3d"
) -> Float[np.ndarray, " m"]:
    """`choice_errors` of the likeliest code of each position."""
    p = predictions
    return choice_errors(tokenizer, tokens, p.clip, p.part, p.position, p.chosen, skeleton)


def synonyms(
    tokenizer: Tokenizer, tokens: TokenSet, count: int, seed: int = 0, skeleton: str = "humanml3d"
) -> tuple[Float[np.ndarray, "positions k"], Int64[np.ndarray, " positions"]]:
    """The error of every code of the codebook at some positions of held-out clips (cm), and the true code of each.

    Args:
        count: of positions, drawn at random over all tokens of all parts.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = tokens.lengths[tokens.starts[:-1]]
    edges = sizes.cumsum(0)
    total, parts = int(edges[-1]), tokenizer.config.parts
    require(1 <= count <= parts * total, f"count is {count}, expected 1 to {parts * total} positions")
    drawn = torch.randperm(parts * total, generator=generator)[:count]
    part, drawn = drawn // total, drawn % total
    clip = torch.searchsorted(edges, drawn, right=True)
    position = drawn - (edges - sizes)[clip]
    codes = tokenizer.config.codes
    rows = [value.repeat_interleave(codes) for value in (clip, part, position)]
    errors = choice_errors(tokenizer, tokens, *rows, torch.arange(codes).repeat(count), skeleton)
    truth = tokens.tokens[tokens.starts[clip], part, position].long()
    return errors.reshape(count, codes), truth.numpy()


def passes_table(
    trace: Sequence[Step], truth: Int64[Tensor, "b p n"], sizes: Int64[Tensor, " b"]
) -> pd.DataFrame:
    """A decode of held-out clips pass by pass: a row for each position that a pass predicted.

    Returns:
        columns number (of the pass, from 1), item (of the canvas), part, position, code, confidence, right (the
        exact code), final (no later pass changes it).
    """
    real = inside(sizes, truth.shape[2])[:, None].expand_as(truth)
    where = ["item", "part", "position"]
    tables = []
    for number, step in enumerate(trace, start=1):
        masked = (step.canvas == MASK) & real
        table = pd.DataFrame(masked.nonzero().numpy(), columns=where)
        code, confidence = step.tokens[masked].numpy(), step.confidence[masked].double().numpy()
        right = code == truth[masked].numpy()
        tables.append(table.assign(number=number, code=code, confidence=confidence, right=right))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(final=~table.duplicated(where, keep="last"))
