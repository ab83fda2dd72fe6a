"""Many clips → embeddings and measures, in as many processes as accelerate started, with one result.

Clips are sorted by length and cut into chunks; a process takes every N-th chunk. An evaluator embeds a whole
chunk at once, and sampled motions do not depend on their mates: so the numbers do not depend on how many
processes there are. What is gathered are embeddings and a few numbers a clip, never motions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.evaluation.embed import pad_features
from mmm.evaluation.evaluator import Evaluator
from mmm.motion import features_to_joints, measures
from mmm.tokenizer import Tokenizer

PORTION = 8  # chunks that are made at one go: enough to sort by length, few enough for a progress bar to move

Make = Callable[[list[np.ndarray]], list[np.ndarray]]


def as_they_are(clips: Sequence[np.ndarray]) -> Make:
    """Real motion: nothing is made."""
    return lambda chunks: [clips[i] for chunk in chunks for i in chunk]


def reconstructed(tokenizer: Tokenizer, clips: Sequence[np.ndarray]) -> Make:
    """Clips (T, D) through the tokenizer and back."""
    device = tokenizer.codebook.device

    def make(chunks: list[np.ndarray]) -> list[np.ndarray]:
        made = []
        for chunk in chunks:
            padded, frames = (x.to(device) for x in pad_features([clips[i] for i in chunk]))
            features = tokenizer.decode(tokenizer.encode(padded, frames), frames).cpu().numpy()
            made += [row[: len(clips[i])] for row, i in zip(features, chunk, strict=True)]
        return made

    return make


@dataclass(frozen=True)
class Measured:
    """What is known of n motions: embeddings (n, d), and numbers for each motion by name."""

    embeddings: Float[Tensor, "n d"]
    numbers: dict[str, Float[np.ndarray, " n"]]


class Workers:
    """The processes of one evaluation.

    Args:
        chunk: clips that are embedded together.
    """

    def __init__(
        self, accelerator: Accelerator, evaluator: Evaluator, fps: float, skeleton: str, chunk: int = 32
    ):
        self.accelerator, self.evaluator, self.chunk = accelerator, evaluator, chunk
        self.fps, self.skeleton = fps, skeleton

    def measure(
        self,
        frames: Int64[np.ndarray, " n"],
        make: Make,
        truth: Sequence[np.ndarray] | None = None,
        physical: bool = True,
    ) -> Measured:
        """Make n motions of `frames` frames, embed them, and measure each.

        Args:
            make: (chunks of item numbers) → features (T, D) of these items, one after another. An item's features
                may depend on its chunk, but on nothing else.
            truth: the motions that these ought to be (n × (T, D)); adds mpjpe_local, mpjpe_global, pa_mpjpe, in cm.
            physical: measure foot skating, jerk and so on (`mmm.motion.measures.physical`).
        """
        order = np.argsort(frames, kind="stable")
        chunks = np.split(order, range(self.chunk, len(order), self.chunk))
        own = chunks[self.accelerator.process_index :: self.accelerator.num_processes]
        found = []
        for first in range(0, len(own), PORTION):
            portion = own[first : first + PORTION]
            motions = iter(make(portion))
            for items in portion:
                features = [next(motions) for _ in items]
                numbers = [
                    self._numbers(values, None if truth is None else truth[i], physical)
                    for i, values in zip(items, features, strict=True)
                ]
                found.append((items, self._embed(features).numpy(), numbers))
        return _assemble(gather_object(found))

    @torch.no_grad()
    def _embed(self, features: list[np.ndarray]) -> Tensor:
        return self.evaluator.embed_motion(*pad_features(features)).float().cpu()

    def _numbers(self, features: np.ndarray, truth: np.ndarray | None, physical: bool) -> dict[str, float]:
        if not physical and truth is None:
            return {}
        motions = [torch.from_numpy(np.array(x)).double() for x in (features, truth) if x is not None]
        joints = [features_to_joints(motion, self.skeleton) for motion in motions]
        numbers = measures.physical(joints[0], self.fps, self.skeleton) if physical else {}
        if truth is not None:
            numbers |= {
                "mpjpe_local": float(measures.mpjpe_local(*motions, self.skeleton).mean()),
                "mpjpe_global": float(measures.mpjpe_global(*motions, self.skeleton).mean()),
                "pa_mpjpe": float(measures.pa_mpjpe(*joints, self.skeleton).mean()),
            }
        return numbers


def _assemble(found: list[tuple[np.ndarray, np.ndarray, list[dict[str, float]]]]) -> Measured:
    items = np.concatenate([items for items, _, _ in found])
    back = np.argsort(items)
    embeddings = np.concatenate([embeddings for _, embeddings, _ in found])[back]
    rows = [row for _, _, numbers in found for row in numbers]
    names = rows[0].keys()
    return Measured(
        torch.from_numpy(embeddings), {name: np.array([row[name] for row in rows])[back] for name in names}
    )
