"""Several candidates for each text, of which an evaluator chooses the one that is nearest to its text.

`MMM.generate(text, best_of=8)` and `mmm generate --best-of 8` call it. No gain was measured (docs/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmm.arguments import MOST_CANDIDATES, lengths_of, seeds_of
from mmm.data import Caption
from mmm.errors import check_range, require
from mmm.evaluation.evaluator import SHIPPED, Evaluator, TrainedEvaluator
from mmm.motion import Motion

if TYPE_CHECKING:
    from mmm.model import MMM

APART = 1_000_003  # between the seeds of candidates: texts with neighbouring seeds share none


def evaluator_of(model: MMM) -> TrainedEvaluator:
    """The shipped evaluator of the data that a model was trained on, with the model's text encoder.

    Raises:
        ValueError: none is shipped.
    """
    data = str(model.info.get("data"))
    found = {path.parent.name: path.parent for path in SHIPPED.glob("*/evaluator.json")}
    require(
        data in found,
        f"no evaluator of {data} is shipped, which would choose between candidates (shipped: "
        f"{', '.join(sorted(found))}); leave best_of at 1, or call mmm.evaluation.best_of.best_of with an evaluator of "
        "yours.",
    )
    evaluator = TrainedEvaluator.from_pretrained(found[data], model.device)
    require(
        evaluator.network.config.features == model.tokenizer.config.features,
        f"the shipped evaluator of {data} reads other features than this model generates; leave best_of at 1.",
    )
    same = evaluator.info["text_encoder"] == model.info["text_encoder"]
    return TrainedEvaluator(evaluator.network, evaluator.info, model.encoder) if same else evaluator


@torch.no_grad()
def distance(model: MMM, motion: Motion, evaluator: Evaluator) -> float:
    """How far a motion is from its text on the evaluator's sphere (radius 7): the mean over its actions
    (`Motion.segments`). Constraints play no part.

    Each action is embedded alone, so that no other candidate can change the last bits.
    """
    starts, texts = zip(*(motion.segments or [(0, motion.text)]), strict=True)
    captions = [Caption(model.read(text)) for text in texts]
    pieces = [motion.features[start:stop] for start, stop in pairwise([*starts, len(motion)])]
    shown = [
        evaluator.embed_motion(torch.from_numpy(np.array(piece))[None], torch.tensor([len(piece)]))
        for piece in pieces
    ]
    return float((torch.cat(shown) - evaluator.embed_text(captions)).norm(dim=1).mean())


def best_of(
    model: MMM,
    texts: Sequence[str],
    count: int,
    length: Any = None,
    seed: Any = 0,
    evaluator: Evaluator | None = None,
    **options: Any,
) -> list[Motion]:
    """For each text the best of `count` motions. The first candidate is the motion that `generate` alone gives.

    Args:
        count: candidates for each text, 1 to 64. The time grows in proportion.
        length, seed, options: of `MMM.generate`. Candidate k of a text has its seed + k × APART.
        evaluator: chooses; by default the shipped one of the model's data.
    Raises:
        ValueError: count out of range; no evaluator is shipped for the model's data; as for `MMM.generate`.
    """
    check_range("best_of", count, 1, MOST_CANDIDATES)
    seeds = seeds_of(seed, len(texts))
    lengths = [None] * len(texts) if length is None else lengths_of(length, len(texts))
    evaluator = evaluator or evaluator_of(model)
    chosen = []
    for text, frames, first in zip(texts, lengths, seeds, strict=True):
        own = [first + APART * k for k in range(count)]
        candidates = model.generate([text] * count, frames, own, **options)
        chosen.append(min(candidates, key=lambda motion: distance(model, motion, evaluator)))
    return chosen
