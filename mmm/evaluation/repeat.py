"""What one repeat of the evaluation is made of: clips, captions, pools, pieces, seeds, all drawn from (seed, repeat).

No generator is carried from one repeat to the next, so that any repeat can be made alone, in any process, and
an evaluation that was stopped goes on as if it had not been.

Two rules say which frames of which clips count and whom a text is to find its motion among:

* *ours*: every clip of the split whole (cut to the model's longest), in the order of the split; each text has a
  pool of its own, its motion and 31 that it does not describe. Where several clips may fit one caption ("a person
  walks"), batch mates would punish a model for being right.
* *official*, Guo et al.'s (REPRODUCTION.md, "Evaluation"), for the paper's data sets: clips of 40–199 frames (KIT
  24–199), cut at a random place to a multiple of 4, with chance 1/3 by one more 4; shuffled; a text's pool is its
  batch of 32; the last batch, if it is not full, is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mmm.data import Caption, MotionFolder, PackedSplit
from mmm.data.folder import MIN_FRAMES as SHORTEST
from mmm.errors import require
from mmm.evaluation.pools import draw_distractors
from mmm.pipeline import MIN_FRAMES
from mmm.training import step_generator

# Every draw of a repeat has a stream of its own, so that one more number here does not move those there.
STREAMS = (
    "caption",
    "pool",
    "order",
    "piece",
    "other piece",
    "halves",
    "diversity",
    "texts",
    "pairs",
    "given",
    "estimated",
    "samples given",
    "samples estimated",
)
TOO_LONG = 200  # frames; Guo's loaders leave clips of this length and more out


@dataclass(frozen=True)
class Draw:
    """The n items of one repeat, in the order in which batches are made of them.

    Attributes:
        clips: indices into the packed split.
        choice: which caption of its clip an item has; captions: the captions themselves.
        starts, frames: the piece of the clip that counts.
        other_starts, other_frames: a second piece, drawn anew; the same one where clips count whole.
        distractors: items that a text is to tell its motion from; None: its batch mates.
    """

    clips: Int64[np.ndarray, " n"]
    choice: Int64[np.ndarray, " n"]
    captions: list[Caption]
    starts: Int64[np.ndarray, " n"]
    frames: Int64[np.ndarray, " n"]
    other_starts: Int64[np.ndarray, " n"]
    other_frames: Int64[np.ndarray, " n"]
    distractors: Int64[Tensor, "n others"] | None

    def __len__(self) -> int:
        return len(self.clips)


def generator(seed: int, repeat: int, stream: str) -> torch.Generator:
    """The generator of one stream of one repeat, always at its start."""
    return step_generator(seed, repeat, STREAMS.index(stream))


def seeds(seed: int, repeat: int, stream: str, count: int) -> list[int]:
    """One seed for each of `count` motions."""
    return torch.randint(2**62, (count,), generator=generator(seed, repeat, stream)).tolist()


def draw_repeat(
    folder: MotionFolder,
    packed: PackedSplit,
    *,
    repeat: int,
    seed: int = 0,
    pool: int = 32,
    official: bool = False,
    max_frames: int = 196,
) -> Draw:
    """The items of repeat `repeat`.

    Args:
        pool: motions among which a text is to find its own.
        official: Guo et al.'s rule instead of ours (see above).
        max_frames: the longest motion the model makes.
    Raises:
        ValueError: fewer clips than `pool` are long enough.
    """
    lengths = packed.lengths
    shortest = SHORTEST.get(folder.skeleton, 40) if official else MIN_FRAMES
    usable = lengths >= shortest
    if official:
        usable &= lengths < TOO_LONG
    clips = np.flatnonzero(usable)
    require(
        len(clips) >= pool,
        f"{len(clips)} clips of this split can be evaluated ({len(lengths)} in all, of at least {shortest} frames), "
        f"but a pool needs {pool}; take a larger split or a smaller pool.",
    )
    if official:
        order = torch.randperm(len(clips), generator=generator(seed, repeat, "order")).numpy()
        clips = clips[order[: len(clips) // pool * pool]]
        pieces = [
            _cut(lengths[clips], max_frames, generator(seed, repeat, s)) for s in ("piece", "other piece")
        ]
    else:
        pieces = [(np.zeros(len(clips), np.int64), np.minimum(lengths[clips], max_frames))] * 2
    counts = np.array([len(packed.captions[i]) for i in clips])
    choice = _below(counts, generator(seed, repeat, "caption"))
    captions = [packed.captions[i][c] for i, c in zip(clips, choice, strict=True)]
    distractors = None
    if not official:
        ids = [packed.ids[i] for i in clips]
        texts = [caption.text for caption in captions]
        distractors = draw_distractors(folder, ids, texts, generator(seed, repeat, "pool"), pool - 1)
    return Draw(clips, choice, captions, *pieces[0], *pieces[1], distractors)


def _cut(
    lengths: np.ndarray, max_frames: int, random: torch.Generator
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Starts and frames of Guo et al.'s pieces; one of 20 frames (KIT) would be too short for the model."""
    shorter = (torch.rand(len(lengths), generator=random) < 1 / 3).numpy()
    frames = lengths // 4 * 4
    frames = np.minimum(np.maximum(frames - 4 * shorter, MIN_FRAMES), max_frames)
    return _below(lengths - frames + 1, random), frames


def _below(counts: np.ndarray, random: torch.Generator) -> Int64[np.ndarray, " n"]:
    """For each count a whole number in 0 … count − 1."""
    share = torch.rand(len(counts), generator=random, dtype=torch.float64).numpy()
    return np.floor(share * counts).astype(np.int64)
