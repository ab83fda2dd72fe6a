"""The held-out clips that are edited, and the evaluator that compares the results with their texts.

Everything random is drawn for the whole split before clips are chosen, so a clip has the same caption, distractors and
noise whether ten clips are evaluated or all.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmm.data import Caption, MotionFolder, PackedSplit
from mmm.errors import require
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.metrics import count_closer, hits
from mmm.evaluation.pools import could_tell, draw_captions, embed_clips, meanings
from mmm.motion import Motion
from mmm.training.seeds import step_generator

STREAMS = ("captions", "order", "distractors", "bootstrap", "pairs", "windows")
NOISE = 1_000_000  # seeds of the sampler for each seed of the evaluation


@dataclass(frozen=True)
class EditConfig:
    """Settings of an evaluation of edits.

    Args:
        split: whose clips are edited.
        clips: how many clips (gaps), pairs of a clip and an action (bodies) or sequences (long; 60 by default); by
            default all.
        seed: of clips, captions, pools and noise.
        pool: motions among which a text must find its own.
        guidance: of the sampler; by default the model's own, and for bodies 0, 1, 2 and 4.
        steps, temperature, remask: of the sampler.
    """

    split: str = "val"
    clips: int | None = None
    seed: int = 0
    pool: int = 32
    guidance: float | None = None
    steps: int | None = None
    temperature: float = 1.0
    remask: str = "least"

    def __post_init__(self) -> None:
        require(
            self.clips is None or self.clips >= 1,
            f"clips is {self.clips}; give 1 or more, or nothing for all.",
        )

    def sampler(self) -> dict[str, Any]:
        """Options of the sampler; guidance only if it is set."""
        options = {"steps": self.steps, "temperature": self.temperature, "remask": self.remask}
        return options if self.guidance is None else options | {"guidance": self.guidance}


@dataclass(frozen=True)
class Query:
    """A text and the real motions of its pool, none of which it describes.

    Attributes:
        text: (1, width) embedding. others: (pool − 1, width) embeddings.
    """

    text: Float[Tensor, "1 width"]
    others: Float[Tensor, "_others width"]

    def hits(self, motion: Float[Tensor, "1 width"]) -> dict[str, float]:
        """R-precision of one motion: r1 and r3 are 1 if it is the nearest, or among the 3 nearest, to the text."""
        counts = count_closer(self.text, motion, self.others, torch.arange(len(self.others))[None])
        return {f"r{k}": float(hits(*counts, k)) for k in (1, 3)}


@dataclass(frozen=True)
class HeldOut:
    """A split whose clips are edited, and an evaluator.

    Attributes:
        captions: one for each clip, drawn by the seed.
        shown: the meaning of each clip (`mmm.evaluation.pools.meaning`).
        real: (n, width) embeddings of all clips.
    """

    folder: MotionFolder
    evaluator: Evaluator
    config: EditConfig
    packed: PackedSplit
    captions: list[Caption]
    shown: list[tuple[Hashable, ...]]
    real: Float[Tensor, "n width"]

    @classmethod
    def open(cls, folder: MotionFolder, evaluator: Evaluator, config: EditConfig | None = None) -> HeldOut:
        """The clips of the split, embedded."""
        config = config or EditConfig()
        packed = folder.pack(config.split)
        captions = draw_captions(packed, step_generator(config.seed, 0, STREAMS.index("captions")))
        clips = [np.asarray(packed.clip(i)) for i in range(len(packed))]
        shown, real = meanings(folder, packed.ids), embed_clips(evaluator, clips)
        return cls(folder, evaluator, config, packed, captions, shown, real)

    def __len__(self) -> int:
        return len(self.packed)

    def generator(self, stream: str, item: int = 0) -> torch.Generator:
        """A CPU generator at its start: one for each stream and item."""
        return step_generator(self.config.seed, item, STREAMS.index(stream))

    def noise(self, item: int) -> int:
        """The sampler's seed for an item."""
        return self.config.seed * NOISE + item

    def motion(self, clip: int) -> Motion:
        """A clip with its drawn caption."""
        features = np.array(self.packed.clip(clip), np.float32)
        text = self.captions[clip].text
        return Motion(features, fps=self.folder.fps, text=text, skeleton=self.folder.skeleton)

    def choose(self, usable: Bool[np.ndarray, " n"]) -> list[int]:
        """`config.clips` of the usable clips at random (by default all), in the order of the split.

        Raises:
            ValueError: no clip is usable.
        """
        require(
            bool(usable.any()),
            f"none of the {len(self)} clips of this split of {self.folder.path} can be edited in this way (too short, "
            "or no such action); take another split.",
        )
        order = torch.randperm(len(self), generator=self.generator("order")).tolist()
        return sorted([clip for clip in order if usable[clip]][: self.config.clips])

    def embed(self, features: Float[np.ndarray, "_t d"]) -> Float[Tensor, "1 width"]:
        """The embedding of one motion. Motions are embedded one by one, so that batch mates do not matter."""
        return embed_clips(self.evaluator, [features])

    def query(
        self, item: int, caption: Caption | None = None, meaning: tuple[Hashable, ...] | None = None
    ) -> Query:
        """A text with its pool; by default clip `item`'s own caption.

        The other motions of the pool are real clips that the text does not describe. They depend on the text and on
        `item` alone, so that several methods are compared on the same pool.

        Raises:
            ValueError: too few clips differ from what the text says.
        """
        if caption is None:
            caption, meaning = self.captions[item], self.shown[item]
        wrong = _wrong_answers(caption.text, meaning, tuple(self.shown))
        count = self.config.pool - 1
        require(
            int(wrong.sum()) >= count,
            f"only {int(wrong.sum())} of {len(self)} clips differ from what {caption.text!r} says, but a pool needs "
            f"{count}; take a split with more clips or a smaller pool.",
        )
        keys = torch.rand(len(self), generator=self.generator("distractors", item))
        others = keys.masked_fill(torch.from_numpy(~wrong), -1.0).topk(count).indices
        return Query(self.evaluator.embed_text([caption]).float().cpu(), self.real[others])


@functools.lru_cache(1 << 12)
def _wrong_answers(
    text: str, meaning: tuple[Hashable, ...], shown: tuple[tuple[Hashable, ...], ...]
) -> Bool[np.ndarray, " n"]:
    """Which clips `text`, a caption with this meaning, could not have been written of."""
    right = {other: could_tell(text, meaning, other) for other in set(shown)}
    return np.array([not right[other] for other in shown])
