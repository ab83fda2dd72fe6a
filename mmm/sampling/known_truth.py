"""A calibration study that no real data set allows: the probabilities themselves are known (notebook 04).

A held-out clip says what happened once. The synthetic choreographer can dance the same program as often as one likes,
each time in another style, and then the share of a code among the dances *is* the probability that a model which has
read the program ought to give it. So probabilities are compared with probabilities, not with single outcomes.

What a model reads is a caption, and a caption may leave something out. The programs of the study have one action at
normal speed and size, and of their captions the longest is taken: together with the length it leaves little open.

Of two body parts the upper one is studied: arms swing in every program, and the legs of many only stand. The lower part
is hidden from the model throughout, as it is from the frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from mmm.data.synthetic import Program, captions, dance, draw_program, held_out
from mmm.errors import require
from mmm.motion import joints_to_features
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, MaskedTransformer

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
