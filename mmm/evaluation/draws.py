"""What one repeat of an evaluation consists of: clips, captions, pools, pieces and seeds, drawn from (seed, repeat).

No generator is carried from one repeat to the next. Any repeat can be computed alone, in any process, and an
evaluation that was stopped continues as if it had not been.

Two protocols say which frames of which clips count, and among which motions a text has to find its own:

* *ours*: every clip of the split as a whole (cut to the model's longest), in the order of the split. Each text has a
  pool of its own: its motion and 31 that it does not describe. If several clips fit one caption ("a person walks"),
  a pool of batch mates would punish a model for being right.
* *official*, the protocol of Guo et al. for the paper's data sets: clips of 40–199 frames (KIT 24–199), cut at a random
  position to a multiple of 4, with probability 1/3 by 4 frames more; shuffled; the pool of a text is its batch of 32;
  an incomplete last batch is dropped. See docs/REPRODUCTION.md, "Evaluation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mmm.data import Caption, MotionFolder, PackedSplit
from mmm.data.folder import MIN_FRAMES as OFFICIAL_MIN_FRAMES
from mmm.errors import require
from mmm.evaluation.pools import draw_distractors
from mmm.model import MIN_FRAMES
from mmm.training.seeds import step_generator

# Every kind of draw has a stream of its own: one more number drawn in one does not change the others.
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
TOO_LONG = 200  # frames; the loaders of Guo et al. leave out clips of this length and more


@dataclass(frozen=True)
class Draw:
    """The n items of one repeat, in the order in which batches are formed.

    Attributes:
        clips: indices into the packed split.
        choice: which caption of its clip an item has; captions: the captions themselves.
        starts, frames: the piece of the clip that counts.
        other_starts, other_frames: a second piece, drawn independently; the same one where clips count as a whole.
        distractors: items among which a text has to find its motion; None: its batch mates.
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

    @property
    def texts(self) -> list[str]:
        return [caption.text for caption in self.captions]


def generator(seed: int, repeat: int, stream: str) -> torch.Generator:
    """The generator of one stream of one repeat, at its start."""
    return step_generator(seed, repeat, STREAMS.index(stream))


def motion_seeds(seed: int, repeat: int, stream: str, count: int) -> list[int]:
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
        pool: motions among which a text has to find its own.
        official: the protocol of Guo et al. instead of ours (see above).
        max_frames: the longest motion that the model generates.

    Raises:
        ValueError: fewer clips than `pool` are long enough.
    """
    lengths = packed.lengths
    shortest = OFFICIAL_MIN_FRAMES.get(folder.skeleton, 40) if official else MIN_FRAMES
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
        piece = _cut(lengths[clips], max_frames, generator(seed, repeat, "piece"))
        other = _cut(lengths[clips], max_frames, generator(seed, repeat, "other piece"))
    else:
        piece = other = (np.zeros(len(clips), np.int64), np.minimum(lengths[clips], max_frames))
    counts = np.array([len(packed.captions[i]) for i in clips])
    choice = _below(counts, generator(seed, repeat, "caption"))
    captions = [packed.captions[i][c] for i, c in zip(clips, choice, strict=True)]
    distractors = None
    if not official:
        ids, texts = [packed.ids[i] for i in clips], [caption.text for caption in captions]
        distractors = draw_distractors(folder, ids, texts, generator(seed, repeat, "pool"), pool - 1)
    return Draw(clips, choice, captions, *piece, *other, distractors)


def _cut(
    lengths: np.ndarray, max_frames: int, random: torch.Generator
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Starts and frames of the pieces of Guo et al.; one of 20 frames (KIT) would be too short for the model."""
    shorter = (torch.rand(len(lengths), generator=random) < 1 / 3).numpy()
    frames = lengths // 4 * 4
    frames = np.minimum(np.maximum(frames - 4 * shorter, MIN_FRAMES), max_frames)
    return _below(lengths - frames + 1, random), frames


def _below(counts: np.ndarray, random: torch.Generator) -> Int64[np.ndarray, " n"]:
    """For each count a random integer from 0 to count − 1."""
    u = torch.rand(len(counts), generator=random, dtype=torch.float64).numpy()
    return np.floor(u * counts).astype(np.int64)
