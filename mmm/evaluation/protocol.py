"""The paper's evaluation: 20 repeats over a split, every measure with its 95 % interval, and what it is to be beside.

REPRODUCTION.md, "Evaluation". Each repeat draws captions, pools and seeds anew (`repeat.py`), samples every clip,
and measures five rows: real motion; real against real, which is the floor of FID; the tokenizer's reconstruction,
which is the best that any transformer on top of it could do; and motions generated from the captions, at the
clips' lengths and at lengths estimated from the text.

    results = evaluate(model, folder, load_evaluator(folder), ProtocolConfig(), "runs/evaluate-small-bandai")
    print(results.table())

A repeat that is done is on disk, and the same call goes on with the next: an evaluation that was stopped ends with
the same numbers as one that was not. `accelerate launch` shares the clips of a repeat among processes.


The settings of an evaluation.

What one repeat of the evaluation is made of: clips, captions, pools, pieces, seeds, all drawn from (seed, repeat).

No generator is carried from one repeat to the next, so that any repeat can be made alone, in any process, and
an evaluation that was stopped goes on as if it had not been.

Two rules say which frames of which clips count and whom a text is to find its motion among:

* *ours*: every clip of the split whole (cut to the model's longest), in the order of the split; each text has a
  pool of its own, its motion and 31 that it does not describe. Where several clips may fit one caption ("a person
  walks"), batch mates would punish a model for being right.
* *official*, Guo et al.'s (REPRODUCTION.md, "Evaluation"), for the paper's data sets: clips of 40–199 frames (KIT
  24–199), cut at a random place to a multiple of 4, with chance 1/3 by one more 4; shuffled; a text's pool is its
  batch of 32; the last batch, if it is not full, is dropped.

Many clips → embeddings and measures, in as many processes as accelerate started, with one result.

Clips are sorted by length and cut into chunks; a process takes every N-th chunk. An evaluator embeds a whole
chunk at once, and sampled motions do not depend on their mates: so the numbers do not depend on how many
processes there are. What is gathered are embeddings and a few numbers a clip, never motions.

How long one sentence takes, and how much faster many are in bulk: the same clips, both ways, one after the other.

One repeat of the evaluation: its motions made, embedded and measured, row by row.

The rows: `real`, motions of the split; `real_real`, these against one another, the floor of FID; `reconstruction`,
the same motions through the tokenizer and back; `given` and `estimated`, motions generated from the captions, at
their clips' lengths and at lengths estimated from the text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float, Int64
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from mmm.data import Caption, MotionFolder, PackedSplit
from mmm.data.folder import MIN_FRAMES as SHORTEST
from mmm.data.folder import cache_dir
from mmm.errors import atomic_write, require
from mmm.evaluation import metrics
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.pools import draw_distractors, pad_features
from mmm.evaluation.results import EMBEDDINGS, NUMBERS, Results, collect, read_config
from mmm.model import MIN_FRAMES, MMM
from mmm.motion import features_to_joints, measures
from mmm.sampling import check_options
from mmm.text import TextEmbedding, TextSource, text_source
from mmm.tokenizer import Tokenizer
from mmm.training.launch import make_accelerator
from mmm.training.processes import resolve_precision
from mmm.training.run_folder import check_same_config, write_config, write_json, write_manifest
from mmm.training.seeds import step_generator

PAPERS = ("humanml3d", "kit")  # the data sets of the paper
LENGTHS = ("given", "estimated")


@dataclass(frozen=True)
class ProtocolConfig:
    """Settings of `evaluate`; the defaults are the paper's, on the split val.

    Args:
        split: whose clips are captioned, generated and compared.
        repeats: independent repeats, of which the intervals are made.
        lengths: "given" (the clip's), "estimated" (from the text), or both: one row each.
        multimodality: in "one" repeat, in "all", or "none" (it needs 30 times as many samples of its texts).
        multimodality_texts, multimodality_samples, multimodality_pairs: texts (fewer where the split has fewer
            clips), samples of each, pairs of these that are compared.
        diversity_pairs: pairs of motions that are compared.
        pool: motions among which R-precision looks for the right one.
        official: Guo et al.'s pieces and pools (see `repeat.py`); by default for the paper's data sets only.
        seed: of everything that is drawn.
        steps, guidance, temperature: of the sampler; by default the model's own.
        remask: the sampler's rule for what is masked again (`mmm.sampling.REMASKING`).
        batch_size: motions that are sampled, and embedded, together.
        precision: "auto" (bf16 where the machine is fast in it), "no" (float32) or "bf16", of sampling.
        aits: also sample the clips one by one and take the time.

    Raises:
        ValueError: a setting is out of its range.
    """

    split: str = "val"
    repeats: int = 20
    lengths: tuple[str, ...] = LENGTHS
    multimodality: str = "one"
    multimodality_texts: int = 100
    multimodality_samples: int = 30
    multimodality_pairs: int = 10
    diversity_pairs: int = 300
    pool: int = 32
    official: bool | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    temperature: float = 1.0
    remask: str = "least"
    batch_size: int = 32
    precision: str = "auto"
    aits: bool = True

    def __post_init__(self) -> None:
        for name in (
            "repeats",
            "multimodality_texts",
            "multimodality_pairs",
            "diversity_pairs",
            "batch_size",
        ):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}, expected at least 1.")
        for name, least in (("multimodality_samples", 2), ("pool", 2), ("seed", 0)):
            require(
                getattr(self, name) >= least, f"{name} is {getattr(self, name)}, expected {least} or more."
            )
        require(
            len(self.lengths) > 0 and set(self.lengths) <= set(LENGTHS),
            f"lengths are {', '.join(self.lengths) or 'none'}; expected given, estimated, or both.",
        )
        kinds, precisions = ("one", "all", "none"), ("auto", "no", "bf16")
        require(
            self.multimodality in kinds,
            f"multimodality is {self.multimodality!r}, expected one of {', '.join(kinds)}.",
        )
        require(
            self.precision in precisions,
            f"precision is {self.precision!r}, expected one of {', '.join(precisions)}.",
        )

    def sampler(self) -> dict[str, Any]:
        """Options of the sampler; guidance is the model's own unless it was given."""
        guided = {} if self.guidance is None else {"guidance": self.guidance}
        own = {"steps": self.steps, "temperature": self.temperature, "remask": self.remask}
        return own | guided


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


WARM_UP = 3  # clips that are not timed: of first calls, caches and memory


def measure_speed(
    model: MMM,
    texts: Sequence[str],
    embedding: TextEmbedding,
    frames: Sequence[int],
    seeds: Sequence[int],
    batch_size: int,
    precision: str,
    options: dict[str, Any],
) -> dict[str, Any]:
    """AITS, and the time of the same clips in bulk, in this process on the model's device.

    Args:
        embedding: of the texts; one by one, each text goes through the encoder, as a user's would.
        options: of the sampler.
    Returns:
        aits (s): mean time from a text to its features at batch 1, model and data loaded (REPRODUCTION.md,
        "Evaluation"), aits_median and aits_per_100_frames; one_by_one, text (the encoder's share of it), bulk: seconds
        for all clips; speed_up: one_by_one / (text + bulk); speed_up_sampling: the same without the text encoder;
        clips, mean_frames, threads, device.
    """

    def bulk(count: int) -> float:
        began = time.perf_counter()
        model.generate_bulk(
            embedding[list(range(count))].to(model.device),
            frames[:count],
            seeds[:count],
            batch_size=batch_size,
            precision=precision,
            **options,
        )
        return time.perf_counter() - began

    def alone(item: int) -> tuple[float, float]:
        began = time.perf_counter()
        model.embed([texts[item]]).sentence.cpu()
        encoded = time.perf_counter()
        model.generate(texts[item], frames[item], seeds[item], **options)
        return encoded - began, time.perf_counter() - encoded

    longest = int(np.argmax(frames))
    for _ in range(WARM_UP):
        alone(longest)
    text, single = map(np.array, zip(*(alone(item) for item in range(len(texts))), strict=True))
    bulk(min(len(texts), batch_size))
    together = bulk(len(texts))
    device = model.device
    return {
        "aits": float(single.mean()),
        "aits_median": float(np.median(single)),
        "aits_per_100_frames": float(100 * single.sum() / np.sum(frames)),
        "one_by_one": float(single.sum()),
        "text": float(text.sum()),
        "bulk": together,
        "speed_up": float(single.sum() / (text.sum() + together)),
        "speed_up_sampling": float((single.sum() - text.sum()) / together),
        "clips": len(texts),
        "mean_frames": float(np.mean(frames)),
        "precision_bulk": precision,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }


class Rows:
    """Makes repeats: model, data and evaluator, in one or several processes."""

    def __init__(
        self,
        model: MMM,
        folder: MotionFolder,
        evaluator: Evaluator,
        config: ProtocolConfig,
        accelerator: Accelerator,
    ) -> None:
        self.model, self.folder, self.evaluator, self.config = model, folder, evaluator, config
        self.accelerator, self.main = accelerator, accelerator.is_main_process
        self.model.to(accelerator.device)
        self.official = folder.name in PAPERS if config.official is None else config.official
        self.precision = resolve_precision(config.precision, accelerator.device)
        if hasattr(evaluator, "to"):
            evaluator.to(accelerator.device)
        with accelerator.main_process_first():
            self.packed = folder.pack(config.split)
        self.workers = Workers(accelerator, evaluator, folder.fps, folder.skeleton, config.batch_size)
        self.advance: Callable[[int], object] = lambda count: None  # of a progress bar
        self._text: TextSource | None = None
        self._fixed: tuple[bytes, dict[str, Measured]] | None = None
        self.count = len(self.draw(0))  # refuses what cannot be evaluated before anything is written

    def text(self) -> TextSource:
        """Embeddings of all captions of the split: from the user's cache folder, computed once."""
        if self._text is None:
            encoder, split = self.model.encoder, self.config.split
            name = f"{self.folder.name}-{self.folder.content_hash}-{split}-{encoder.name.replace('/', '_')}"
            path = cache_dir() / "text" / f"{name}.safetensors"
            self._text = text_source(self.packed.texts(), encoder, path)
        return self._text

    def draw(self, repeat: int) -> Draw:
        """What repeat `repeat` consists of."""
        return draw_repeat(
            self.folder,
            self.packed,
            repeat=repeat,
            seed=self.config.seed,
            pool=self.config.pool,
            official=self.official,
            max_frames=self.model.max_frames,
        )

    def generated_clips(self, repeat: int) -> int:
        """How many motions repeat `repeat` samples."""
        samples = min(self.config.multimodality_texts, self.count) * self.config.multimodality_samples
        return len(self.config.lengths) * (self.count + samples * self._has_multimodality(repeat))

    def make(self, repeat: int) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Numbers of a repeat (rows, clips, seconds), and tensors to keep; None in all but the main process.

        The tensors: what was drawn (clip, caption, start, frames, distractors), `text` and each row's embeddings,
        and for generated rows `ROW.frames` and `ROW.seeds`, from which `MMM.generate_bulk` makes the motions again.
        Embeddings of real motion and reconstruction lie in repeat 0 alone where they are the same in all.
        """
        began, config, draw = time.perf_counter(), self.config, self.draw(repeat)
        fixed = self._real_motion(draw)
        seconds = {"real": time.perf_counter() - began}
        made, kept, various = {}, {}, {}
        for row in config.lengths:
            began_row = time.perf_counter()
            frames = draw.frames if row == "given" else self._estimated(draw)
            noise = seeds(config.seed, repeat, row, len(draw))
            texts = [caption.text for caption in draw.captions]
            made[row] = self.workers.measure(frames, self._sampler(texts, frames, noise))
            kept |= {f"{row}.frames": torch.from_numpy(frames), f"{row}.seeds": torch.tensor(noise)}
            seconds[row] = time.perf_counter() - began_row
            if self._has_multimodality(repeat):
                various[row] = self._multimodality(repeat, row, texts, frames)
                seconds[f"multimodality {row}"] = time.perf_counter() - began_row - seconds[row]
        if not self.main:
            return None
        text = self.evaluator.embed_text(draw.captions).float().cpu()
        rows = {"real": self._score(repeat, draw, text, fixed["real"], None)}
        rows["real_real"] = self._floor(repeat, fixed)
        for row, measured in {"reconstruction": fixed["reconstruction"], **made}.items():
            rows[row] = self._score(repeat, draw, text, measured, fixed["real"])
            if row in various:
                rows[row]["multimodality"] = various[row]
        tensors = kept | {
            "clip": torch.from_numpy(draw.clips),
            "caption": torch.from_numpy(draw.choice),
            "start": torch.from_numpy(draw.starts),
            "frames": torch.from_numpy(draw.frames),
            "text": text,
        }
        if draw.distractors is not None:
            tensors["distractors"] = draw.distractors
        if self.official or repeat == 0:
            made |= {name: fixed[name] for name in ("real", "reconstruction")}
        tensors |= {row: measured.embeddings for row, measured in made.items()}
        seconds["total"] = time.perf_counter() - began
        return {"rows": rows, "clips": len(draw), "seconds": seconds}, tensors

    def take_time(self) -> dict[str, Any]:
        """The clips of repeat 0 at their given lengths, one by one and in bulk (`aits.py`)."""
        draw = self.draw(0)
        texts = [caption.text for caption in draw.captions]
        return measure_speed(
            self.model,
            texts,
            self.text().lookup(texts),
            draw.frames.tolist(),
            seeds(self.config.seed, 0, "given", len(draw)),
            self.config.batch_size,
            self.precision,
            self.config.sampler(),
        )

    def _real_motion(self, draw: Draw) -> dict[str, Measured]:
        """Real motion, its second pieces, its reconstruction; made anew only where the pieces differ."""
        key = np.stack([draw.clips, draw.starts, draw.frames, draw.other_starts, draw.other_frames]).tobytes()
        if self._fixed is not None and self._fixed[0] == key:
            return self._fixed[1]
        real = self._pieces(draw.clips, draw.starts, draw.frames)
        found = {
            "real": self.workers.measure(draw.frames, as_they_are(real)),
            "reconstruction": self.workers.measure(
                draw.frames, reconstructed(self.model.tokenizer, real), truth=real
            ),
        }
        if self.official:
            other = self._pieces(draw.clips, draw.other_starts, draw.other_frames)
            found["other"] = self.workers.measure(draw.other_frames, as_they_are(other), physical=False)
        self._fixed = (key, found)
        return found

    def _pieces(self, clips: np.ndarray, starts: np.ndarray, frames: np.ndarray) -> list[np.ndarray]:
        ends = starts + frames
        return [self.packed.clip(int(i))[a:b] for i, a, b in zip(clips, starts, ends, strict=True)]

    def _sampler(self, texts: list[str], frames: Int64[np.ndarray, " n"], noise: list[int]) -> Make:
        def make(chunks: list[np.ndarray]) -> list[np.ndarray]:
            items = np.concatenate(chunks)
            motions = self.model.generate_bulk(
                self.text().lookup([texts[i] for i in items]).to(self.model.device),
                [int(frames[i]) for i in items],
                [noise[i] for i in items],
                batch_size=self.config.batch_size,
                precision=self.precision,
                **self.config.sampler(),
            )
            self.advance(len(items) * self.accelerator.num_processes)
            return motions

        return make

    def _estimated(self, draw: Draw) -> Int64[np.ndarray, " n"]:
        """Lengths in frames, as `MMM.estimate_length` gives them."""
        texts = [caption.text for caption in draw.captions]
        unique = list(dict.fromkeys(texts))
        sentences = self.text().lookup(unique).sentence.to(self.model.device)
        tokens = self.model.length.estimate(sentences).numpy() * self.model.tokenizer.config.ratio
        frames = dict(zip(unique, np.clip(tokens, MIN_FRAMES, self.model.max_frames), strict=True))
        return np.array([frames[text] for text in texts], np.int64)

    def _multimodality(self, repeat: int, row: str, texts: list[str], frames: np.ndarray) -> float:
        """Of some texts, many samples each, at the length that the row gives each text."""
        config, samples = self.config, self.config.multimodality_samples
        order = torch.randperm(len(texts), generator=generator(config.seed, repeat, "texts")).numpy()
        items = np.repeat(order[: config.multimodality_texts], samples)
        noise = seeds(config.seed, repeat, f"samples {row}", len(items))
        make = self._sampler([texts[i] for i in items], frames[items], noise)
        embeddings = self.workers.measure(frames[items], make, physical=False).embeddings
        return metrics.multimodality(
            embeddings.unflatten(0, (-1, samples)),
            generator(config.seed, repeat, "pairs"),
            config.multimodality_pairs,
        )

    def _has_multimodality(self, repeat: int) -> bool:
        return self.config.multimodality == "all" or (self.config.multimodality == "one" and repeat == 0)

    def _score(
        self, repeat: int, draw: Draw, text: Tensor, measured: Measured, real: Measured | None
    ) -> dict[str, float]:
        """All measures of a row but MultiModality; FID against `real`. MPJPE are means over frames, as in training."""
        config, motion = self.config, measured.embeddings
        found = metrics.r_precision(text, motion, 3, config.pool, draw.distractors)
        scores = {f"r{k}": share for k, share in enumerate(found, 1)}
        scores["mm_dist"] = metrics.mm_dist(text, motion)
        if real is not None:
            scores["fid"] = _fid(real.embeddings, motion)
            if not self.official:
                scores["fid_halves"] = self._halves(repeat, real, measured)
        random = generator(config.seed, repeat, "diversity")
        scores["diversity"] = metrics.diversity(motion, random, config.diversity_pairs)
        for name, values in measured.numbers.items():
            weights = draw.frames if "mpjpe" in name else None
            scores[name] = float(np.average(values, weights=weights))
        return scores

    def _floor(self, repeat: int, fixed: dict[str, Measured]) -> dict[str, float]:
        """FID of real motion against real: of two draws of pieces (Guo et al.), or of halves of the split."""
        if self.official:
            return {"fid": _fid(fixed["real"].embeddings, fixed["other"].embeddings)}
        return {"fid_halves": self._halves(repeat, fixed["real"], fixed["real"])}

    def _halves(self, repeat: int, real: Measured, other: Measured) -> float:
        """FID of one random half of the clips as they really are against the other half in another row.

        Few clips have a FID well above 0 whatever they are. Halves of real motion alone say how far above; to be
        compared with that, the other rows must be measured over as many clips.
        """
        order = torch.randperm(len(real.embeddings), generator=generator(self.config.seed, repeat, "halves"))
        middle = len(order) // 2
        return _fid(real.embeddings[order[:middle]], other.embeddings[order[middle:]])


def _fid(real: Tensor, generated: Tensor) -> float:
    with warnings.catch_warnings():  # the table says it once, not each repeat
        warnings.filterwarnings("ignore", message="FID of")
        return metrics.fid(real, generated)


__all__ = ["ProtocolConfig", "evaluate", "model_hash"]


def evaluate(
    model: MMM,
    folder: MotionFolder,
    evaluator: Evaluator,
    config: ProtocolConfig | None = None,
    out: str | os.PathLike = "runs/evaluate",
    *,
    resume: bool = True,
    progress: bool = True,
    cpu: bool = False,
    other_splits: bool = False,
) -> Results | None:
    """Evaluate `model` on a split of `folder`; `out` gets repeats/, results.json, results.md, manifest.json.

    Args:
        config: the paper's protocol on val, by default.
        resume: go on with the repeats that `out` lacks; False begins anew.
        cpu: stay on the CPU even if there is a GPU.
        other_splits: allow data of other splits than the model was trained on (an unseen data set, say).
    Returns:
        The results; None in all processes but the main one.
    Raises:
        ValueError: too few clips, an unknown split, a model of other splits or another skeleton, no length estimator;
            or `out` holds an evaluation of something else.
        KeyboardInterrupt: after Ctrl-C; the repeats that are done are kept.
    """
    config = config or ProtocolConfig()
    check_model(model, folder, config, other_splits)
    facts = {
        "model": model_hash(model),
        "evaluator": evaluator.name,
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
    }
    # Sampling sets its own precision; the evaluator works in float32.
    rows = Rows(model, folder, evaluator, config, make_accelerator("no", cpu))
    run = _Evaluation(rows, config, Path(out), facts, progress)
    run.begin(resume)
    return run.go()


def model_hash(model: MMM) -> str:
    """Hash of all weights and of what else decides what a model makes (text encoder, guidance)."""
    told = {name: model.info.get(name) for name in ("text_encoder", "guidance", "fps", "skeleton")}
    digest = hashlib.sha256(json.dumps(told).encode())
    for part in (model.tokenizer, model.transformer, model.length):
        state = {} if part is None else part.state_dict()
        for name, value in sorted(state.items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_model(model: MMM, folder: MotionFolder, config: ProtocolConfig, other_splits: bool) -> None:
    """Refuse a model of another skeleton, rate or (unless `other_splits`) other splits than the data's."""
    for name, found in (("skeleton", folder.skeleton), ("fps", folder.fps)):
        require(
            model.info[name] == found,
            f"the model makes motions of {name} {model.info[name]}, but {folder.path} has {found}; "
            "give the data it was trained on.",
        )
    known = model.info.get("splits_hash", folder.splits_hash)
    require(
        other_splits or known == folder.splits_hash,
        f"the model was trained on other data or splits ({model.info.get('data')}, {known}) than {folder.path} has "
        f"({folder.splits_hash}), so clips of {config.split} may have been trained on; give the folder it was trained "
        "on, or say other_splits=True (--other-splits) if you know better.",
    )
    guidance = model.info.get("guidance", 1.0) if config.guidance is None else config.guidance
    check_options(
        model.transformer.config,
        config.steps,
        "cosine",
        config.remask,
        config.temperature,
        guidance,
        config.batch_size,
    )
    require(
        "estimated" not in config.lengths or model.length is not None,
        "this model has no length estimator; evaluate it with the given lengths only.",
    )


class _Evaluation:
    """The state of one call of `evaluate`: which repeats there are and where they lie."""

    def __init__(
        self, rows: Rows, config: ProtocolConfig, out: Path, facts: dict[str, Any], progress: bool
    ) -> None:
        self.rows, self.config, self.out, self.facts = rows, config, out, facts
        self.accelerator, self.main = rows.accelerator, rows.accelerator.is_main_process
        self.progress = progress and self.main
        protocol = dataclasses.asdict(config) | {"official": rows.official, "precision": rows.precision}
        if config.remask == "least":  # evaluations begun before there were other rules can be gone on with
            del protocol["remask"]
        if "estimated" in config.lengths:
            protocol["length_rule"] = (
                "median"  # it was the likeliest length once: such repeats are of another kind
            )
        self.resolved = json.loads(json.dumps({"protocol": protocol, **facts}))

    def begin(self, resume: bool) -> None:
        """Bring the folder into the state that the run goes on from."""
        if self.main:
            before = read_config(self.out)
            require(
                before is not None or not self.out.exists() or not any(self.out.iterdir()),
                f"{self.out} exists and is no evaluation (it has no config.yaml); name another folder.",
            )
            if not resume:
                shutil.rmtree(self.out / "repeats", ignore_errors=True)
                for name in ("timing.json", "results.json", "results.md"):
                    (self.out / name).unlink(missing_ok=True)
            elif before is not None:
                check_same_config(self.out, before, self.resolved, {"protocol.repeats"})
            self.out.mkdir(parents=True, exist_ok=True)
            write_config(self.out / "config.yaml", self.resolved)
            device = self.accelerator.device
            told = {
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
                "processes": self.accelerator.num_processes,
                "precision": self.rows.precision,
                "seed": self.config.seed,
                "resumed_from": self.config.repeats - len(self.missing()) or None,
            }
            write_manifest(self.out / "manifest.json", told | self.facts)
        self.accelerator.wait_for_everyone()

    def go(self) -> Results | None:
        """Make the repeats that are missing, take the time, and write the results."""
        try:
            missing = self.missing()
            self.accelerator.wait_for_everyone()  # all must have looked before one writes
            if missing:
                with self.accelerator.main_process_first():  # which makes the cache
                    self.rows.text()
            total = sum(map(self.rows.generated_clips, missing))
            with tqdm(total=total, unit="clip", disable=not self.progress or not missing) as bar:
                self.rows.advance = bar.update
                for repeat in missing:
                    bar.set_description(f"repeat {repeat + 1} of {self.config.repeats}")
                    made = self.rows.make(repeat)
                    if made is not None:
                        self.save(repeat, *made)
            if not self.main:
                return None
            if self.config.aits and not (self.out / "timing.json").is_file():
                write_json(self.out / "timing.json", self.rows.take_time())
        except KeyboardInterrupt:
            done = self.config.repeats - len(self.missing())
            raise KeyboardInterrupt(
                f"{done} of {self.config.repeats} repeats are done; the same call goes on with the next"
            ) from None
        return collect(self.out)

    def missing(self) -> list[int]:
        repeats = range(self.config.repeats)
        return [repeat for repeat in repeats if not (self.out / NUMBERS.format(repeat)).is_file()]

    def save(self, repeat: int, numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Embeddings first: a repeat whose numbers are there is whole."""
        with atomic_write(self.out / EMBEDDINGS.format(repeat)) as part:
            save_file(
                {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()},
                part,
            )
        write_json(self.out / NUMBERS.format(repeat), {"repeat": repeat, **numbers})
