"""Chapter 05, calibration: a study that no real data set allows, because the true probabilities are known.

A held-out clip shows what happened once. The synthetic choreographer can dance the same program as often as needed,
each time in another style. The ratio of dances with a code *is* then the probability that a model which has read the
program should predict. So probabilities are compared with probabilities, not with single outcomes.

The model reads a caption, and a caption may leave something out. So the programs of the study have one action at normal
speed and size, and of their captions the longest is taken: together with the length it leaves little open.

Of two body parts the upper one is studied: arms swing in every program, and the legs of many only stand. The lower part
is masked throughout, as it is left out of the frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from mmm.datasets.synthetic.captions import captions
from mmm.datasets.synthetic.choreograph import dance, draw_program, held_out
from mmm.datasets.synthetic.program import Program
from mmm.errors import require
from mmm.motion import joints_to_features
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, MaskedTransformer

FIRST_SEED = 900_000_000  # of programs and dances here; a data set has seeds below a million times its own
CAPTIONS = 12  # of which the longest is taken
MOST_DRAWS = 20_000
BATCH = 32


@dataclass(frozen=True)
class Dances:
    """Many dances of one program.

    Attributes:
        caption: its longest. frames: of every dance. tokens: (V, N) the dances as tokens (of the first body part).
    """

    program: Program
    caption: str
    frames: int
    tokens: Int64[Tensor, "v n"]

    def frequencies(self, codes: int) -> Float[Tensor, "n k"]:
        """The ratio of dances that have each code at each position."""
        return _frequencies(self.tokens, codes)

    def halves(self, codes: int) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
        """The frequencies of every other dance, and of the rest: their distance is due to chance alone."""
        return _frequencies(self.tokens[::2], codes), _frequencies(self.tokens[1::2], codes)


def simple_programs(count: int, seed: int = 0) -> list[Program]:
    """Different programs of one action (of legs or arms) at normal speed and size, none of them held out.

    Raises:
        ValueError: there are not so many different ones.
    """
    programs: dict[tuple, Program] = {}
    for number in range(MOST_DRAWS):
        program = draw_program(FIRST_SEED + seed * MOST_DRAWS + number)
        action = program.segments[0].main
        plain = action.speed == action.size == "normal" and action.name != "stand"
        alone = len(program.segments) == 1 and not program.parallels()
        if plain and alone and not held_out(program):
            programs.setdefault((action.name, action.direction, action.side), program)
        if len(programs) == count:
            return list(programs.values())
    raise ValueError(f"count is {count}, but there are only {len(programs)} simple programs; ask for fewer")


def dance_often(
    tokenizer: Tokenizer, programs: Sequence[Program], times: int, progress: bool = False
) -> list[Dances]:
    """Every program danced `times` times, each with its own style and variation, as tokens.

    Raises:
        ValueError: fewer than 2 times.
    """
    require(times >= 2, f"times is {times}, expected 2 or more: one dance has no frequencies")
    studied = []
    for program in tqdm(programs, "dances", unit="program", disable=not progress):
        seeds = [program.seed + number * 10 * MOST_DRAWS for number in range(1, times + 1)]
        joints = np.stack([dance(replace(program, seed=seed))[0] for seed in seeds])
        features = torch.from_numpy(joints_to_features(joints.astype(np.float32)))
        device = tokenizer.mean.device
        tokens = torch.cat([tokenizer.encode(some.to(device))[:, 0].cpu() for some in features.split(BATCH)])
        caption = max((c.text for c in captions(program, CAPTIONS)), key=len)
        studied.append(Dances(program, caption, features.shape[1], tokens))
    return studied


@torch.no_grad()
def probabilities(
    transformer: MaskedTransformer, text: TextEmbedding, canvas: Int64[Tensor, "rows n"]
) -> Float[Tensor, "rows n k"]:
    """The model's probability of every code at every position of some canvases of one length, one text for all.

    Args:
        canvas: of the first body part; all positions of another part are MASK. There may be no rows.
    """
    device, config = transformer.device, transformer.config
    transformer.eval()
    text = text[:1].to(device)
    whole = F.pad(canvas[:, None], (0, 0, 0, config.parts - 1), value=MASK).to(device)
    batches = [torch.empty(0, canvas.shape[1], config.codes)]
    for some in whole.split(BATCH) if len(whole) else ():
        lengths = torch.full((len(some),), canvas.shape[1], device=device)
        own = (v.expand(len(some), *v.shape[1:]) for v in (text.words, text.mask, text.sentence))
        batches.append(transformer(some, lengths, *own).float().softmax(-1)[:, 0].cpu())
    return torch.cat(batches)


def followers(
    dances: Dances, codes: int, least: int = 20
) -> tuple[Int64[Tensor, "cases n"], Int64[Tensor, " cases"], Float[Tensor, "cases k"]]:
    """What follows a token: canvases that show one token, the next position, and the frequencies there.

    Args:
        least: dances that must have a token at its position, so that there are frequencies after it.
    Returns:
        canvases, all MASK but for the token; the position after it; how often each code follows in the dances that
        have the token.
    """
    tokens, length = dances.tokens, dances.tokens.shape[1]
    cases = []
    for position in range(length - 1):
        shown, counts = tokens[:, position].unique(return_counts=True)
        cases += [(position, int(code)) for code in shown[counts >= least]]
    canvases, frequencies = torch.full((len(cases), length), MASK), torch.empty(len(cases), codes)
    for row, (position, code) in enumerate(cases):
        canvases[row, position] = code
        have_it = tokens[:, position] == code
        frequencies[row] = _frequencies(tokens[have_it, position + 1 : position + 2], codes)[0]
    after = torch.tensor([position + 1 for position, _ in cases], dtype=torch.int64)
    return canvases, after, frequencies


def _frequencies(tokens: Int64[Tensor, "v n"], codes: int) -> Float[Tensor, "n k"]:
    counts = torch.zeros(tokens.shape[1], codes)
    return counts.scatter_add_(1, tokens.T, torch.ones(tokens.T.shape)) / len(tokens)


# ---------------------------------------------------------------------- probabilities against frequencies


def total_variation(p: Float[Tensor, "*batch k"], q: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Half the sum of the absolute differences: 0 for equal distributions, 1 for distributions without overlap."""
    return (p - q).abs().sum(-1) / 2


def impossible(
    predicted: Float[Tensor, "*batch k"], frequencies: Float[Tensor, "*batch k"]
) -> Float[Tensor, "*batch"]:
    """Predicted probability of codes that no dance has there."""
    return (predicted * (frequencies == 0)).sum(-1)


def by_probability(
    predicted: Float[Tensor, "*batch k"],
    frequencies: Float[Tensor, "*batch k"],
    edges: Sequence[float] | Float[np.ndarray, " edges"],
) -> pd.DataFrame:
    """Mean predicted probability, mean true frequency, and how many codes, in bins of the predicted probability.

    Args:
        edges: of the bins; empty ones are left out.
    Returns:
        columns predicted, true, codes; a row for each bin.
    """
    pairs = {"predicted": predicted.flatten().double(), "true": frequencies.flatten().double()}
    groups = pd.DataFrame(pairs).groupby(np.digitize(pairs["predicted"], edges))
    return groups.mean().assign(codes=groups.size())
