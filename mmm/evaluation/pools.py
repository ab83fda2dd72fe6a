"""Clips of a split as an evaluator reads them, and the pools of R-precision.

Which motions may be distractors? R-precision looks for the right one of 32 motions, so the other 31 must be wrong. In
HumanML3D every clip has captions of its own, and the protocol of Guo et al. takes batch mates. In small data sets many
clips show the same: "a person waves the left hand" fits thirty clips of Bandai, and a model that ranks one of them
first would be punished. Here a motion can be a distractor of a caption only if the caption could not describe it,
according to the programs of the data set (action class and style, or the choreographer's score).
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.data import Caption, MotionFolder, PackedSplit, mirror_text
from mmm.datasets.bandai_captions import ACTION_CLASSES, possible_classes
from mmm.errors import require
from mmm.evaluation.evaluator import Evaluator

MIRRORED = "M"  # before the id of a mirrored clip, as in HumanML3D


def meaning(program: dict | None, clip: str, mirrored: bool = False) -> tuple[Hashable, ...]:
    """What a clip shows, as far as captions can say; two clips with the same meaning cannot be told apart.

    Bandai: action class and style; a CMU take of such an action class ("walk") has the style "normal", so that in a
    union of both the same caption fits both. Synthetic: actions, limbs and directions of each segment (captions may
    leave out speed, size and count). Anything else: the clip itself.
    """
    if program and program.get("content") in ACTION_CLASSES:
        return ("bandai", program["content"], program.get("style", "normal"), mirrored)
    if program and "segments" in program:
        return ("synthetic", *(_segment(segment, mirrored) for segment in program["segments"]))
    if program and "content" in program:
        return ("content", mirror_text(program["content"]) if mirrored else program["content"])
    return ("clip", clip, mirrored)


def _segment(segment: dict, mirrored: bool) -> tuple[str | None, ...]:
    words = []
    for action in (segment["legs"], segment["arms"] or {}):
        words += [action.get(key) for key in ("name", "side", "direction")]
    return tuple(mirror_text(word) if mirrored and word else word for word in words)


def could_tell(text: str, own: tuple[Hashable, ...], other: tuple[Hashable, ...]) -> bool:
    """Could `text`, a caption of a clip with the meaning `own`, describe one with the meaning `other`?"""
    if own[0] != "bandai" or other[0] != "bandai":
        return own == other
    # A mirrored clip shows what the mirrored caption says; "goodbye with the left hand" exists only mirrored.
    actions, styles = possible_classes(_mirrored(text) if other[3] else text)
    return other[1] in actions and other[2] in styles


_mirrored = functools.lru_cache(1 << 16)(mirror_text)


def meanings(folder: MotionFolder, ids: Sequence[str]) -> list[tuple[Hashable, ...]]:
    """The meaning of each clip. "M…" is a mirrored clip, "…@1" a piece of one (a caption with times)."""
    shown = []
    for name in ids:
        whole = name.split("@")[0]
        program, mirrored = folder.program(whole), False
        if program is None and whole.startswith(MIRRORED):
            program, mirrored = folder.program(whole.removeprefix(MIRRORED)), True
        shown.append(meaning(program, name, mirrored))
    return shown


def right_answers(captions: Sequence[str], shown: Sequence[tuple[Hashable, ...]]) -> Bool[np.ndarray, "n n"]:
    """[i, j]: could caption i, of clip i, describe clip j, which shows `shown[j]`?"""
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(shown))}
    kind_of = [kinds[kind] for kind in shown]
    rows = [
        [could_tell(text, own, kind) for kind in kinds] for text, own in zip(captions, shown, strict=True)
    ]
    right = np.array(rows, bool).reshape(len(rows), len(kinds))[:, kind_of]
    return right | np.eye(len(rows), dtype=bool)


def draw_distractors(
    folder: MotionFolder,
    ids: Sequence[str],
    captions: Sequence[str],
    generator: torch.Generator,
    count: int = 31,
) -> Int64[Tensor, "n count"]:
    """For the caption of each clip, `count` clips that it does not describe, drawn without replacement.

    Raises:
        ValueError: fewer than `count` clips are wrong for some caption.
    """
    wrong = ~right_answers(captions, meanings(folder, ids))
    fewest = int(wrong.sum(1).min()) if len(ids) else 0
    require(
        fewest >= count,
        f"only {fewest} of {len(ids)} clips differ from what {captions[int(wrong.sum(1).argmin())]!r} says, but a "
        f"pool needs {count}; take a split with more clips or a smaller pool.",
    )
    keys = torch.rand(wrong.shape, generator=generator)
    return keys.masked_fill(torch.from_numpy(~wrong), -1.0).topk(count, dim=1).indices


def pad_features(
    pieces: Sequence[Float[np.ndarray, "_t d"]],
) -> tuple[Float[Tensor, "b t d"], Int64[Tensor, " b"]]:
    """Clips of different lengths as one batch, padded with zeros, and their lengths."""
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
    embeddings = torch.empty(len(clips), evaluator.width)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = pad_features([clips[row] for row in rows])
        embeddings[torch.from_numpy(rows)] = evaluator.embed_motion(*batch).cpu()
    return embeddings


def draw_captions(packed: PackedSplit, generator: torch.Generator) -> list[Caption]:
    """One random caption of each clip."""
    u = torch.rand(len(packed), generator=generator).tolist()
    return [captions[int(x * len(captions))] for captions, x in zip(packed.captions, u, strict=True)]
