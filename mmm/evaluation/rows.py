"""The rows of the table, one function each: motions, embedded and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int64
from torch import Tensor
from tqdm import tqdm

from mmm.data import MotionFolder, PackedSplit
from mmm.evaluation import metrics
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.draws import Draw, draw_repeat, generator, motion_seeds
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.pools import pad_features
from mmm.evaluation.spread import Evaluated, evaluate_motions
from mmm.model import MIN_FRAMES, MMM
from mmm.text import TextSource
from mmm.tokenizer import Tokenizer


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
    """All metrics of a row but MultiModality; FID against `real`. MPJPE is a mean over frames, as in training."""
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
    for name, values in evaluated.numbers.items():
        weights = draw.frames if "mpjpe" in name else None
        score[name] = float(np.average(values, weights=weights))
    return score


def _split_half_fid(setup: Setup, repeat: int, real: Evaluated, other: Evaluated) -> float:
    random = generator(setup.config.seed, repeat, "halves")
    return metrics.split_half_fid(real.embeddings, other.embeddings, random)
