"""Training of the text–motion evaluator, on the train split only, and what it is shipped with.

mmm train evaluator --data data/bandai --out runs/evaluator
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mmm.data import MotionFolder, PackedSplit, mirror_text
from mmm.data.batches import draw_weighted
from mmm.errors import require
from mmm.evaluation.evaluator import RADIUS, EvaluatorConfig, MotionTextEvaluator, TrainedEvaluator
from mmm.evaluation.metrics import r_precision
from mmm.evaluation.pools import (
    MIRRORED,
    draw_captions,
    draw_distractors,
    embed_clips,
    meanings,
    pad_features,
    right_answers,
)
from mmm.fit import resolve
from mmm.motion.mirror import mirror_features
from mmm.recipes import evaluator_training
from mmm.text import TextSource, load_text_encoder
from mmm.training.config import TrainConfig
from mmm.training.data import balanced_weights, captions_source, facts
from mmm.training.loop import TrainResult, train
from mmm.training.seeds import step_generator

CARD = """# Evaluator of {data}

Embeds texts and motions of the data set {data} in one space ({width} wide), to evaluate text-to-motion models by
R-precision, FID and the other metrics of the field. It is not Guo's evaluator: its numbers can only be compared with
one another. Trained once, on the train split ({steps} steps, `mmm train evaluator`), by this project's own code;
it is not trained again, and results name it `{data}-{short}` after the hash of its weights.

- **Data**: content hash {data_hash}, splits {splits_hash}
- **Licence of these weights**: {licence}, as the data
- **Text encoder**: {text_encoder}, frozen, not in this folder
- **Real motion of the val split**, captions and distractors drawn five times: {figures}
"""

BALANCE = 0.5  # power of an action class's amount of data (`balanced_weights`), so that rare classes are learned, too
PHASES = 4  # clips begin up to this many frames later, since the patches cut time into fours


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Clips with their captions, as they are and mirrored, and which caption could describe which clip.

    Attributes:
        weights: (n,) how often to draw each clip of `packed`.
    """

    folder: MotionFolder
    packed: PackedSplit
    weights: np.ndarray

    @cached_property
    def ids(self) -> list[str]:
        """The clips, then the mirrored ones."""
        return self.packed.ids + [MIRRORED + name for name in self.packed.ids]

    @cached_property
    def captions(self) -> list[list[str]]:
        plain = [[caption.text for caption in captions] for captions in self.packed.captions]
        return plain + [[mirror_text(text) for text in texts] for texts in plain]

    def texts(self) -> list[str]:
        """All different captions, sorted: what a text source must know."""
        return sorted({text for texts in self.captions for text in texts})

    @cached_property
    def _meanings(self) -> list[tuple[Hashable, ...]]:
        return meanings(self.folder, self.ids)

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[list[str], Float[Tensor, "b t d"], Int64[Tensor, " b"], Bool[Tensor, "b b"]]:
        """Captions, features, lengths, and which caption could describe which clip."""
        u = torch.rand(4, count, generator=generator, dtype=torch.float64)
        clips = draw_weighted(self.weights, u[0]).numpy()
        mirrored = (u[1] < 0.5).numpy()
        starts = (u[3].numpy() * PHASES).astype(int)
        rows = (clips + len(self.packed) * mirrored).tolist()
        captions, pieces = [], []
        for row, clip, mirror, which, start in zip(
            rows, clips.tolist(), mirrored, u[2].tolist(), starts, strict=True
        ):
            captions.append(self.captions[row][int(which * len(self.captions[row]))])
            piece = np.asarray(self.packed.clip(clip)[start:])
            pieces.append(mirror_features(piece, self.folder.skeleton) if mirror else piece)
        right = right_answers(captions, [self._meanings[row] for row in rows])
        return captions, *pad_features(pieces), torch.from_numpy(right)


def evaluate_evaluator(
    evaluator: TrainedEvaluator, folder: MotionFolder, packed: PackedSplit, repeats: int = 5, seed: int = 0
) -> dict[str, float]:
    """R-precision of real motion, mean over `repeats` draws of captions and distractors.

    The pool holds 32 motions, or as many as a small split allows. Without any wrong answer there is no result.
    """
    generators = [step_generator(seed, repeat) for repeat in range(repeats)]
    draws = [draw_captions(packed, generator) for generator in generators]
    shown = meanings(folder, packed.ids)
    wrong = [~right_answers([caption.text for caption in captions], shown) for captions in draws]
    count = min(31, *(int(answers.sum(1).min()) for answers in wrong))
    if count == 0:
        return {}
    motion = embed_clips(evaluator, [np.asarray(packed.clip(i)) for i in range(len(packed))])
    results = []
    for generator, captions in zip(generators, draws, strict=True):
        texts = [caption.text for caption in captions]
        distractors = draw_distractors(folder, packed.ids, texts, generator, count)
        text = evaluator.embed_text(captions).cpu()
        results.append(r_precision(text, motion, min(3, count + 1), count + 1, distractors))
    means = np.mean(results, axis=0)
    return {f"r{k}": float(value) for k, value in enumerate(means, 1)} | {"pool": count + 1.0}


def contrastive_loss(
    text: Float[Tensor, "b width"],
    motion: Float[Tensor, "b width"],
    right: Bool[Tensor, "b b"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """InfoNCE in both directions, without other right answers as negatives (as TMR leaves out near-equal texts).

    Args:
        right: [i, j], could text i describe motion j?
        scale: cosines are multiplied by it.
    """
    logits = scale * (text @ motion.T) / RADIUS**2
    own = torch.eye(len(text), dtype=torch.bool, device=text.device)
    logits = logits.masked_fill(right & ~own, -torch.inf)
    target = torch.arange(len(text), device=text.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def train_evaluator(
    pairs: Pairs,
    text: TextSource,
    network: MotionTextEvaluator,
    config: TrainConfig,
    out: str | os.PathLike,
    val: PackedSplit | None = None,
    **options: Any,
) -> TrainResult:
    """Train `network` on `pairs`; evaluated on `val` by the R-precision of its real motion.

    Args:
        text: looked up for the captions of each batch.
        options: passed to `mmm.training.loop.train` (resume, manifest, cpu, progress, stop).
    """

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        captions, features, lengths, right = pairs.draw(config.batch_size, generator)
        embeddings = text.lookup(captions)
        return {
            "features": features,
            "lengths": lengths,
            "words": embeddings.words,
            "mask": embeddings.mask,
            "sentence": embeddings.sentence,
            "right": right,
        }

    def loss(
        model: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        inputs = [data[name] for name in ("features", "lengths", "words", "mask", "sentence")]
        motion_embedding, text_embedding = model(*inputs)
        # A sharper temperature than 1/100 lets a few hard pairs decide everything (CLIP, section 2.5).
        scale = network.log_scale.clamp(max=4.6).exp()
        return contrastive_loss(text_embedding, motion_embedding, data["right"], scale), {"scale": scale}

    def evaluate(model: nn.Module) -> dict[str, float]:
        evaluator = TrainedEvaluator(model, {"data": "in-training", "hash": ""}, text)
        return evaluate_evaluator(evaluator, pairs.folder, val)

    content = repr((pairs.ids, pairs.captions)).encode()
    content += pairs.packed.starts.tobytes() + pairs.weights.tobytes()
    settings = {
        "evaluator": dataclasses.asdict(network.config),
        "text": text.name,
        "data": hashlib.sha256(content).hexdigest()[:16],
    }
    options |= {"evaluate": evaluate if val else None, "config_extra": settings}
    return train(network, batch, loss, config, out, **options)


def fit_evaluator(
    folder: MotionFolder,
    out: str | os.PathLike,
    encoder: str = "minilm",
    preset: str = "small",
    model: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> TrainedEvaluator:
    """Train an evaluator for a data set; it goes to OUT/model, with a card that holds its results.

    Args:
        encoder: name or folder of the frozen text encoder.
        preset: how long it is trained; it has one size.
        model: changes to `EvaluatorConfig`. changes: to its `TrainConfig`.
        options: for `mmm.training.loop.train` (resume, cpu, progress).
    Raises:
        ValueError: clips without captions; several processes.
    """
    options = options or {}
    require(
        int(os.environ.get("WORLD_SIZE", 1)) == 1,
        "an evaluator learns to tell all clips of a batch apart, of which several processes would each see a part: "
        "run `mmm train evaluator` without accelerate launch (it takes minutes).",
    )
    config = resolve(evaluator_training(preset), options.get("cpu", False), **changes)
    packed, val = folder.pack("train"), folder.pack("val")
    require(
        all(packed.captions), "some clips of the train split have no caption; leave them out of the split."
    )
    pairs = Pairs(folder, packed, balanced_weights(folder, packed, np.ones(len(packed)), BALANCE))
    text_encoder = load_text_encoder(encoder)
    text = captions_source(folder, pairs.texts() + val.texts(), text_encoder, options.get("progress", True))
    sizes = EvaluatorConfig(features=len(folder.mean), text_dim=text_encoder.width, **(model or {}))
    torch.manual_seed(config.seed)
    network = MotionTextEvaluator(sizes, torch.from_numpy(folder.mean), torch.from_numpy(folder.std))
    manifest = facts(folder)
    result = train_evaluator(pairs, text, network, config, out, val, manifest=manifest, **options)
    info = {
        **manifest,
        "licence": folder.info.get("licence", "unknown"),
        "text_encoder": text_encoder.name,
        "hash": "",
    }
    trained = TrainedEvaluator(network.cpu(), info)
    if result.saves:
        trained.save_pretrained(Path(out) / "model", CARD, steps=result.step, **result.metrics)
    # With the encoder, not the cache of train and val: it evaluates captions of test, too.
    return TrainedEvaluator.from_pretrained(Path(out) / "model", text=text_encoder)
