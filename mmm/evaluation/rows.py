"""One repeat of the evaluation: its motions made, embedded and measured, row by row.

The rows: `real`, motions of the split; `real_real`, these against one another, the floor of FID; `reconstruction`,
the same motions through the tokenizer and back; `given` and `estimated`, motions generated from the captions, at
their clips' lengths and at lengths estimated from the text.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int64
from torch import Tensor

from mmm.data import MotionFolder
from mmm.data.folder import cache_dir
from mmm.evaluation import metrics
from mmm.evaluation.aits import measure_speed
from mmm.evaluation.config import PAPERS, ProtocolConfig
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.repeat import Draw, draw_repeat, generator, seeds
from mmm.evaluation.workers import Make, Measured, Workers, as_they_are, reconstructed
from mmm.pipeline import MIN_FRAMES, MMM
from mmm.precision import resolve_precision
from mmm.text import TextSource, text_source


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
