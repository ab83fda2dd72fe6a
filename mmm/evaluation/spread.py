"""Many motions → embeddings and physical numbers, in as many processes as accelerate started, with one result.

Items are sorted by length and cut into chunks; each process takes every N-th chunk. The evaluator embeds a whole chunk
at once, and generated motions do not depend on their batch mates, so the numbers do not depend on how many processes
there are. Embeddings and a few numbers for each item are gathered, never motions.
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

from mmm.data import MotionFolder
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.pools import pad_features
from mmm.motion import features_to_joints, measures

CHUNKS_AT_ONCE = 8  # enough to batch by length, few enough for a progress bar to move


@dataclass(frozen=True)
class Evaluated:
    """Embeddings (n, d) of n motions, and numbers for each motion by name."""

    embeddings: Float[Tensor, "n d"]
    numbers: dict[str, Float[np.ndarray, " n"]]


@torch.no_grad()
def evaluate_motions(
    frames: Int64[np.ndarray, " n"],
    motions_of: Callable[[Int64[np.ndarray, " some"]], Sequence[np.ndarray]],
    evaluator: Evaluator,
    folder: MotionFolder,
    accelerator: Accelerator,
    batch_size: int = 32,
    *,
    ground_truth: Sequence[np.ndarray] | None = None,
    physical: bool = True,
) -> Evaluated:
    """Embeddings and numbers of n motions, the same in all processes.

    Args:
        frames: their lengths.
        motions_of: numbers of some items → their features (T, D).
        folder: data set of the motions; it says frames per second and skeleton.
        batch_size: motions that are embedded together.
        ground_truth: n × (T, D); adds mpjpe_local, mpjpe_global and pa_mpjpe, in cm.
        physical: compute foot skating, jerk and so on (`mmm.motion.measures.physical`).
    """
    order = np.argsort(frames, kind="stable")
    chunks = np.split(order, range(batch_size, len(order), batch_size))
    chunks = chunks[accelerator.process_index :: accelerator.num_processes]
    parts = []
    for first in range(0, len(chunks), CHUNKS_AT_ONCE):
        some = chunks[first : first + CHUNKS_AT_ONCE]
        motions = iter(motions_of(np.concatenate(some)))
        for items in some:
            features = [next(motions) for _ in items]
            embeddings = evaluator.embed_motion(*pad_features(features)).float().cpu().numpy()
            truths = [None if ground_truth is None else ground_truth[i] for i in items]
            numbers = [
                motion_numbers(motion, folder, truth, physical)
                for motion, truth in zip(features, truths, strict=True)
            ]
            parts.append((items, embeddings, numbers))
    parts = gather_object(parts)
    back = np.argsort(np.concatenate([items for items, _, _ in parts]))
    embeddings = np.concatenate([embeddings for _, embeddings, _ in parts])[back]
    rows = [row for _, _, numbers in parts for row in numbers]
    numbers = {name: np.array([row[name] for row in rows])[back] for name in rows[0]}
    return Evaluated(torch.from_numpy(embeddings), numbers)


def motion_numbers(
    features: np.ndarray, folder: MotionFolder, ground_truth: np.ndarray | None, physical: bool
) -> dict[str, float]:
    """Physical numbers of one motion (T, D), and its errors against the ground truth."""
    numbers: dict[str, float] = {}
    if not physical and ground_truth is None:
        return numbers
    skeleton = folder.skeleton
    motions = [torch.from_numpy(np.array(x)).double() for x in (features, ground_truth) if x is not None]
    joints = [features_to_joints(motion, skeleton) for motion in motions]
    if physical:
        numbers |= measures.physical(joints[0], folder.fps, skeleton)
    if ground_truth is not None:
        numbers["mpjpe_local"] = float(measures.mpjpe_local(*motions, skeleton).mean())
        numbers["mpjpe_global"] = float(measures.mpjpe_global(*motions, skeleton).mean())
        numbers["pa_mpjpe"] = float(measures.pa_mpjpe(*joints, skeleton).mean())
    return numbers
