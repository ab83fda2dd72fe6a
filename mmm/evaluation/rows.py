"""The rows of the table, one function each: motions, embedded and scored.

Motions become embeddings and physical numbers in as many processes as accelerate started (`evaluate_motions`). Items
are sorted by length and cut into chunks; each process takes every N-th chunk. The evaluator embeds a whole chunk at
once, and generated motions do not depend on their batch mates, so the numbers do not depend on how many processes there
are. Embeddings and a few numbers for each item are gathered, never motions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from mmm.data import MotionFolder, PackedSplit
from mmm.evaluation import metrics
from mmm.evaluation.actions import MEASURES
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.draws import Draw, draw_repeat, generator, motion_seeds
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.pools import pad_features
from mmm.model import MIN_FRAMES, MMM
from mmm.motion import features_to_joints, measures
from mmm.text import TextSource
from mmm.tokenizer import Tokenizer

CHUNKS_AT_ONCE = 8  # enough to batch by length, few enough for a progress bar to move


@dataclass(frozen=True)
class Evaluated:
    """Embeddings (n, d) of n motions, and numbers for each motion by name."""

    embeddings: Float[Tensor, "n d"]
    numbers: dict[str, Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Setup:
    """What every repeat of an evaluation needs.

    Attributes:
        packed: the clips of the split.
        official: the protocol of Guo et al.? precision: of sampling, resolved.
    """

    model: MMM
    folder: MotionFolder
    packed: PackedSplit
    evaluator: Evaluator
    config: ProtocolConfig
    accelerator: Accelerator
    official: bool
    precision: str

    def draw(self, repeat: int) -> Draw:
        """What repeat `repeat` consists of."""
        how = {"seed": self.config.seed, "pool": self.config.pool, "official": self.official}
        return draw_repeat(self.folder, self.packed, repeat=repeat, max_frames=self.model.max_frames, **how)

    def has_multimodality(self, repeat: int) -> bool:
        return self.config.multimodality == "all" or (self.config.multimodality == "one" and repeat == 0)

    def generated_clips(self, count: int, repeat: int) -> int:
        """How many motions repeat `repeat` with `count` clips samples."""
        samples = min(self.config.multimodality_texts, count) * self.config.multimodality_samples
        return len(self.config.lengths) * (count + samples * self.has_multimodality(repeat))

    def evaluate(self, frames: Int64[np.ndarray, " n"], motions_of: Any, **options: Any) -> Evaluated:
        """`evaluate_motions` with this evaluator, data set and batch size."""
        how = (self.evaluator, self.folder, self.accelerator, self.config.batch_size)
        return evaluate_motions(frames, motions_of, *how, **options)

    def pieces(self, clips: np.ndarray, starts: np.ndarray, frames: np.ndarray) -> list[np.ndarray]:
        ends = starts + frames
        return [self.packed.clip(int(i))[a:b] for i, a, b in zip(clips, starts, ends, strict=True)]


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
        physical: compute foot skating, jerk and so on (`mmm.motion.measures`: `physical` and `movement`).
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
    """Physical numbers and MEASURES of one motion (T, D), and its errors against the ground truth."""
    numbers: dict[str, float] = {}
    if not physical and ground_truth is None:
        return numbers
    skeleton = folder.skeleton
    motions = [torch.from_numpy(np.array(x)).double() for x in (features, ground_truth) if x is not None]
    joints = [features_to_joints(motion, skeleton) for motion in motions]
    if physical:
        numbers |= measures.physical(joints[0], folder.fps, skeleton)
        numbers |= measures.movement(joints[0], folder.fps, skeleton)
    if ground_truth is not None:
        numbers["mpjpe_local"] = float(measures.mpjpe_local(*motions, skeleton).mean())
        numbers["mpjpe_global"] = float(measures.mpjpe_global(*motions, skeleton).mean())
        numbers["pa_mpjpe"] = float(measures.pa_mpjpe(*joints, skeleton).mean())
    return numbers


def real_motion(setup: Setup, draw: Draw) -> Evaluated:
    """The row `real`."""
    real = setup.pieces(draw.clips, draw.starts, draw.frames)
    return setup.evaluate(draw.frames, lambda items: [real[i] for i in items])


def other_pieces(setup: Setup, draw: Draw) -> Evaluated:
    """Second pieces of the same clips, against which the official protocol computes the FID of real motion."""
    other = setup.pieces(draw.clips, draw.other_starts, draw.other_frames)
    return setup.evaluate(draw.other_frames, lambda items: [other[i] for i in items], physical=False)


def reconstruction(setup: Setup, draw: Draw) -> Evaluated:
    """The row `reconstruction`."""
    real = setup.pieces(draw.clips, draw.starts, draw.frames)
    tokenizer, size = setup.model.tokenizer, setup.config.batch_size
    return setup.evaluate(
        draw.frames, lambda items: reconstruct(tokenizer, [real[i] for i in items], size), ground_truth=real
    )


def reconstruct(tokenizer: Tokenizer, clips: Sequence[np.ndarray], batch_size: int = 256) -> list[np.ndarray]:
    """Features (T, D) of clips through the tokenizer and back, `batch_size` at a time."""
    device, decoded = tokenizer.codebook.device, []
    for first in range(0, len(clips), batch_size):
        batch = clips[first : first + batch_size]
        padded, frames = (x.to(device) for x in pad_features(batch))
        features = tokenizer.decode(tokenizer.encode(padded, frames), frames).cpu().numpy()
        decoded += [row[: len(clip)] for row, clip in zip(features, batch, strict=True)]
    return decoded


def generated(
    setup: Setup,
    text: TextSource,
    texts: list[str],
    frames: Int64[np.ndarray, " n"],
    seeds: list[int],
    bar: tqdm,
    physical: bool = True,
) -> Evaluated:
    """The rows `given` and `estimated`: one motion for each text, length and seed."""
    config, processes = setup.config, setup.accelerator.num_processes

    def motions_of(items: Int64[np.ndarray, " some"]) -> list[np.ndarray]:
        motions = setup.model.generate_bulk(
            text.lookup([texts[i] for i in items]).to(setup.model.device),
            [int(frames[i]) for i in items],
            [seeds[i] for i in items],
            batch_size=config.batch_size,
            precision=setup.precision,
            **config.sampler(),
        )
        bar.update(len(items) * processes)
        return motions

    return setup.evaluate(frames, motions_of, physical=physical)


def estimated_frames(setup: Setup, text: TextSource, draw: Draw) -> Int64[np.ndarray, " n"]:
    """Lengths in frames, as `MMM.estimate_length` estimates them."""
    model, unique = setup.model, list(dict.fromkeys(draw.texts))
    tokens = model.length.estimate(text.lookup(unique).sentence.to(model.device)).numpy()
    frames = np.clip(tokens * model.tokenizer.config.ratio, MIN_FRAMES, model.max_frames)
    known = dict(zip(unique, frames, strict=True))
    return np.array([known[each] for each in draw.texts], np.int64)


def multimodality(
    setup: Setup,
    text: TextSource,
    repeat: int,
    row: str,
    texts: list[str],
    frames: Int64[np.ndarray, " n"],
    bar: tqdm,
) -> float:
    """MultiModality: many samples of some texts, at the lengths of the row."""
    config, samples = setup.config, setup.config.multimodality_samples
    order = torch.randperm(len(texts), generator=generator(config.seed, repeat, "texts")).numpy()
    items = np.repeat(order[: config.multimodality_texts], samples)
    seeds = motion_seeds(config.seed, repeat, f"samples {row}", len(items))
    evaluated = generated(setup, text, [texts[i] for i in items], frames[items], seeds, bar, physical=False)
    random = generator(config.seed, repeat, "pairs")
    return metrics.multimodality(
        evaluated.embeddings.unflatten(0, (-1, samples)), random, config.multimodality_pairs
    )


def scores(
    setup: Setup,
    repeat: int,
    draw: Draw,
    text: Tensor,
    clips: dict[str, Evaluated],
    generated: dict[str, Evaluated],
) -> dict[str, dict[str, float]]:
    """The metrics of all rows of a repeat, without MultiModality.

    Args:
        text: embeddings of the captions.
        clips: `real`, `reconstruction` and, by the official protocol, `other`. generated: by row.
    """
    real = clips["real"]
    if setup.official:
        floor = {"fid": metrics.fid(real.embeddings, clips["other"].embeddings, warn=False)}
    else:
        floor = {"fid_halves": _split_half_fid(setup, repeat, real, real)}
    rows = {"real": _score(setup, repeat, draw, text, real), "real_real": floor}
    for row, evaluated in {"reconstruction": clips["reconstruction"], **generated}.items():
        rows[row] = _score(setup, repeat, draw, text, evaluated, real)
    return rows


def _score(
    setup: Setup, repeat: int, draw: Draw, text: Tensor, evaluated: Evaluated, real: Evaluated | None = None
) -> dict[str, float]:
    """All metrics of a row but MultiModality; FID against `real`."""
    config, motion = setup.config, evaluated.embeddings
    precision = metrics.r_precision(text, motion, 3, config.pool, draw.distractors)
    score = {f"r{k}": value for k, value in enumerate(precision, 1)}
    score["mm_dist"] = metrics.mm_dist(text, motion)
    if real is not None:
        score["fid"] = metrics.fid(real.embeddings, motion, warn=False)  # the report says it
        if not setup.official:
            score["fid_halves"] = _split_half_fid(setup, repeat, real, evaluated)
    random = generator(config.seed, repeat, "diversity")
    score["diversity"] = metrics.diversity(motion, random, config.diversity_pairs)
    return score | mean_numbers(evaluated.numbers, draw.frames)


def mean_numbers(
    numbers: dict[str, Float[np.ndarray, " n"]], frames: Int64[np.ndarray, " n"]
) -> dict[str, float]:
    """The mean of each number over n motions; of MPJPE over their frames, as in training.

    The slip of motions that go nowhere is NaN; they do not count, and if none goes anywhere the row has no slip.
    MEASURES are left out: they are compared by action class, and their mean over all would say nothing.
    """
    means = {}
    for name, values in numbers.items():
        known = ~np.isnan(values)
        if name not in MEASURES and known.any():
            weights = frames[known] if "mpjpe" in name else None
            means[name] = float(np.average(values[known], weights=weights))
    return means


def _split_half_fid(setup: Setup, repeat: int, real: Evaluated, other: Evaluated) -> float:
    random = generator(setup.config.seed, repeat, "halves")
    return metrics.split_half_fid(real.embeddings, other.embeddings, random)
