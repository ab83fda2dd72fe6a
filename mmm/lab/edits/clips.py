"""Held-out clips as edits are measured on them: which are taken, with which caption, and who may be a distractor.

Everything is drawn for the whole split before anything is chosen, so that a clip has the same caption, distractors
and noise whether ten clips are measured or all.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mmm.data import Caption, MotionFolder, PackedSplit
from mmm.errors import require
from mmm.evaluation.pools import could_tell, draw_captions, meanings
from mmm.motion import Motion
from mmm.training.seeds import step_generator

STREAMS = ("captions", "order", "distractors", "bootstrap", "pairs", "windows")
NOISE = 1_000_000  # items of one seed; the next seed begins behind them


@dataclass(frozen=True)
class HeldOut:
    """A split whose clips are edited.

    Attributes:
        packed: its clips. captions: one of each, drawn by the seed.
        shown: what each clip shows, as far as captions tell (`mmm.evaluation.pools.meaning`).
        seed: of all that is drawn.
    """

    folder: MotionFolder
    packed: PackedSplit
    captions: list[Caption]
    shown: list[tuple[Hashable, ...]]
    seed: int

    @classmethod
    def open(cls, folder: MotionFolder, split: str = "val", seed: int = 0) -> HeldOut:
        """The clips of a split of `folder`."""
        packed = folder.pack(split)
        drawn = draw_captions(packed, step_generator(seed, 0, STREAMS.index("captions")))
        return cls(folder, packed, drawn, meanings(folder, packed.ids), seed)

    def __len__(self) -> int:
        return len(self.packed)

    def generator(self, stream: str, item: int = 0) -> torch.Generator:
        """A CPU generator at its start: one for each stream and item."""
        return step_generator(self.seed, item, STREAMS.index(stream))

    def motion(self, clip: int) -> Motion:
        """Clip number `clip`, with its drawn caption."""
        features = np.array(self.packed.clip(clip), np.float32)
        return Motion(
            features, fps=self.folder.fps, text=self.captions[clip].text, skeleton=self.folder.skeleton
        )

    def noise(self, item: int) -> int:
        """Seed of the sampler for one item."""
        return self.seed * NOISE + item

    def choose(self, usable: Bool[np.ndarray, " n"], count: int | None = None) -> list[int]:
        """`count` of the usable clips at random (all by default), in the order of the split.

        Raises:
            ValueError: none is usable, or `count` is below 1.
        """
        require(count is None or count >= 1, f"clips is {count}; give 1 or more, or nothing for all.")
        require(
            bool(usable.any()),
            f"none of the {len(self)} clips of this split of {self.folder.path} can be edited in this way (too short, "
            "or nothing of the kind); take another split.",
        )
        order = torch.randperm(len(self), generator=self.generator("order")).tolist()
        return sorted([clip for clip in order if usable[clip]][:count])

    def distractors(
        self,
        texts: Sequence[str],
        own: Sequence[tuple[Hashable, ...]],
        items: Sequence[int],
        pool: int = 32,
    ) -> Int64[Tensor, "n others"]:
        """For each text, `pool` − 1 real clips of the split that it could not have been written of.

        Args:
            own: what each text was written of. items: number of each text's own generator.
        Raises:
            ValueError: too few clips are wrong answers to some text.
        """
        answers = _answers(tuple(texts), tuple(own), tuple(self.shown))
        rows = []
        for text, item, wrong in zip(texts, items, answers, strict=True):
            require(
                int(wrong.sum()) >= pool - 1,
                f"only {int(wrong.sum())} of {len(self)} clips differ from what {text!r} says, but a pool needs "
                f"{pool - 1}; take a split with more clips or a smaller pool.",
            )
            keys = torch.rand(len(self), generator=self.generator("distractors", item))
            rows.append(keys.masked_fill(torch.from_numpy(~wrong), -1.0).topk(pool - 1).indices)
        return torch.stack(rows)


@functools.lru_cache(8)
def _answers(texts: tuple, own: tuple, shown: tuple) -> list[np.ndarray]:
    """For each text, which clips are wrong answers."""
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(shown))}
    kind_of = [kinds[kind] for kind in shown]
    return [
        ~np.array([could_tell(text, meant, kind) for kind in kinds], bool)[kind_of]
        for text, meant in zip(texts, own, strict=True)
    ]
