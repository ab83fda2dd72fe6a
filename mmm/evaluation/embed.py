"""Clips of a split as an evaluator takes them: in batches, in the order of the split, each with one caption."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.data import Caption, PackedSplit
from mmm.evaluation.evaluator import Evaluator


def pad_features(
    pieces: Sequence[Float[np.ndarray, "_t d"]],
) -> tuple[Float[Tensor, "b t d"], Int64[Tensor, " b"]]:
    """Clips of different lengths as one batch, zeros behind them, and their lengths."""
    lengths = [len(piece) for piece in pieces]
    features = np.zeros((len(pieces), max(lengths), pieces[0].shape[1]), np.float32)
    for row, piece in zip(features, pieces, strict=True):
        row[: len(piece)] = piece
    return torch.from_numpy(features), torch.tensor(lengths)


def embed_clips(
    evaluator: Evaluator, clips: Sequence[Float[np.ndarray, "_t d"]], batch_size: int = 64
) -> Float[Tensor, "n width"]:
    """Embeddings of clips of any lengths, on the CPU, batched by length."""
    order = np.argsort([len(clip) for clip in clips], kind="stable")
    found = torch.empty(len(clips), evaluator.width)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        found[torch.from_numpy(rows)] = evaluator.embed_motion(
            *pad_features([clips[row] for row in rows])
        ).cpu()
    return found


def draw_captions(packed: PackedSplit, generator: torch.Generator) -> list[Caption]:
    """One random caption of each clip (Guo's protocol)."""
    u = torch.rand(len(packed), generator=generator).tolist()
    return [captions[int(share * len(captions))] for captions, share in zip(packed.captions, u, strict=True)]
