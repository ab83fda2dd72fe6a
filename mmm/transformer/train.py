"""Training of the masked transformer and of the length estimator (paper, section 3.2; REPRODUCTION.md).

Optimizer, steps, precision and so on are `TrainConfig`'s; here is what is particular to these two: how a
batch is drawn, masked and judged.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmm.data.typos import draw_misspelled
from mmm.text import TextSource
from mmm.training.config import TrainConfig
from mmm.training.loop import TrainResult, train
from mmm.training.processes import mean_count
from mmm.training.seeds import step_generator
from mmm.transformer.length import LengthEstimator, length_loss, point_errors
from mmm.transformer.masking import (
    MASK,
    borrow_visible_part,
    corrupt_tokens,
    draw_masked_parts,
    drop_edge_token,
    mask_tokens,
    masked_loss,
)
from mmm.transformer.model import MaskedTransformer
from mmm.transformer.tokens import TokenSet

# The tables of the paper: 128 clips a batch for 300k steps.
PAPER_TRAINING = TrainConfig(
    steps=300_000,
    batch_size=128,
    lr=2e-4,
    betas=(0.5, 0.9),
    weight_decay=1e-6,
    schedule="milestones",
    milestones=(1 / 2,),
    gamma=0.05,
    grad_clip=0.0,
)


@dataclasses.dataclass(frozen=True)
class TransformerTask:
    """What the transformer is asked to do in training.

    Args:
        mask_law: "cosine", or "uniform(a, b)" (the release: 0.5, 1; the paper's ablation prefers 0.3, 1).
        random_codes: share of the real tokens replaced by random codes (the release 0.5, the paper 0.1).
        drop_edge: chance of losing a token at head or tail.
        where: the loss counts "all" real places (the release) or the "masked" ones (the paper's equation).
        both: of a model that predicts two body parts: the chance that an item is asked for both of them. The
            rest is divided evenly between the upper part, all of the lower one being in sight, and the lower
            one, the upper in sight. Half for generation, which needs both, half for editing, which needs
            either; drawn over both parts at once, places would almost never leave one part whole.
        borrow: the chance that an item asked for one of two parts has the other one from another clip
            (`borrow_visible_part`), so that editing follows the text.
        typos: share of the captions that are misspelled (`mmm.data.typos`).
    """

    mask_law: str = "cosine"
    random_codes: float = 0.1
    drop_edge: float = 1 / 3
    where: Literal["all", "masked"] = "all"
    both: float = 0.5
    borrow: float = 0.0
    typos: float = 0.0


def train_transformer(
    tokens: TokenSet,
    text: TextSource,
    transformer: MaskedTransformer,
    config: TrainConfig,
    out: str | Path,
    val: TokenSet | None = None,
    task: TransformerTask = TransformerTask(),
    **options: Any,
) -> TrainResult:
    """Train `transformer` on `tokens` and write it to `out/model`; with `config.ema`, the averaged weights.

    The share of texts that are dropped (for guidance) is `transformer.config.text_dropout`.

    Args:
        text: looked up for the captions of each batch; with typos it must know `mmm.data.typos.with_variants` of them.
        val: judged every `config.eval_every` steps and at the end (`evaluate_transformer`).
        options: passed to `mmm.training.loop.train` (resume, config_extra, manifest, cpu, progress).
    """

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        clips, variants = tokens.draw(config.batch_size, generator)
        captions = tokens.draw_captions(clips, generator)
        if task.typos:
            captions = draw_misspelled(captions, task.typos, generator)
        asked = draw_masked_parts(config.batch_size, transformer.config.predicted, task.both, generator)
        data = pose_task(*tokens.batch(variants), transformer.config.codes, task, generator, asked)
        # A model without text dropout has no vector for "no text".
        drop = torch.rand(config.batch_size, generator=generator) < transformer.config.text_dropout
        return data | _embeddings(text, captions) | {"drop_text": drop}

    def loss(
        model: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        drop = data["drop_text"] if transformer.config.text_dropout else None
        value, hits, masked = _judge(model, data, drop, task.where)
        return value.mean(), {"accuracy_masked": hits.sum() / mean_count(masked.sum()).clamp(min=1)}

    extra = {
        **_settings(transformer, task),
        "text": text.name,
        "data": tokens.fingerprint,
        # Tokens of another codebook mean something else.
        "codebook": hashlib.sha256(transformer.codebook.cpu().numpy().tobytes()).hexdigest()[:16],
    }
    judge = None if val is None else lambda model: evaluate_transformer(model, val, text, task)
    return _train_and_save(transformer, batch, loss, config, out, judge, extra, options)


def _settings(transformer: MaskedTransformer, task: TransformerTask) -> dict[str, dict[str, Any]]:
    """Sizes and task as a run's configuration holds them.

    What says nothing of a model of one part is left out: runs begun before there were two can be continued.
    """
    sizes, asked = dataclasses.asdict(transformer.config), dataclasses.asdict(task)
    if transformer.config.parts == 1:
        del sizes["predicts"]
    if transformer.config.predicted == 1:
        del asked["both"]
    if transformer.config.predicted == 1 or not task.borrow:
        del asked["borrow"]
    if not task.typos:
        del asked["typos"]
    return {"transformer": sizes, "task": asked}


def pose_task(
    tokens: Tensor,
    lengths: Tensor,
    codes: int,
    task: TransformerTask,
    generator: torch.Generator,
    asked: Tensor | None = None,
) -> dict[str, Tensor]:
    """From true tokens (B, P, N) to what the model is shown (canvas) and has to answer (tokens).

    Args:
        asked: (B, r) of the r predicted parts those that are masked (`draw_masked_parts`); by default all parts are
            predicted and masked.
    """
    if task.drop_edge:
        tokens, lengths = drop_edge_token(tokens, lengths, generator, task.drop_edge)
    predicted = None if asked is None else asked.shape[1]
    if asked is not None:
        tokens = borrow_visible_part(tokens, lengths, asked, task.borrow, generator)
    shown = corrupt_tokens(tokens, lengths, task.random_codes, codes, generator, predicted)
    return {
        "tokens": tokens,
        "lengths": lengths,
        "canvas": mask_tokens(shown, lengths, task.mask_law, generator, asked),
    }


@torch.no_grad()
def evaluate_transformer(
    transformer: MaskedTransformer,
    val: TokenSet,
    text: TextSource,
    task: TransformerTask = TransformerTask(),
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Loss, and accuracy on the masked places, over all variants of `val`; the masks are always the same.

    Tokens are neither dropped nor corrupted nor borrowed. Clips are taken by length; each gets one of its captions.
    A model that predicts two parts is set each of its three tasks on every clip: the accuracy of each (accuracy_both,
    accuracy_upper_given_lower, accuracy_lower_given_upper), and loss and accuracy over all, each task counting
    for the chance that `task.both` gives it in training.
    """
    device, predicted = transformer.device, transformer.config.predicted
    task = dataclasses.replace(task, drop_edge=0.0, random_codes=0.0, borrow=0.0)
    kinds = _kinds(predicted, task.both)
    order = val.lengths.argsort(stable=True)
    clip_of = torch.repeat_interleave(torch.arange(len(val)), val.starts.diff())
    loss = dict.fromkeys(kinds, 0.0)
    hits, masked = dict(loss), dict(loss)
    for number, variants in enumerate(order.split(batch_size)):
        generator = step_generator(seed, number)
        text_of_batch = _embeddings(text, val.draw_captions(clip_of[variants], generator))
        for kind, (asked, _) in kinds.items():
            rows = torch.tensor(asked).expand(len(variants), -1)
            data = pose_task(*val.batch(variants), transformer.config.codes, task, generator, rows)
            data = {name: tensor.to(device) for name, tensor in (data | text_of_batch).items()}
            losses, right, count = _judge(transformer, data, None, task.where)
            loss[kind] += float(losses) * len(variants)
            hits[kind] += float(right)
            masked[kind] += float(count)

    def mean(of: dict[str, float]) -> float:
        return sum(chance * of[kind] for kind, (_, chance) in kinds.items())

    found = {"loss": mean(loss) / len(order), "accuracy_masked": mean(hits) / mean(masked)}
    if predicted == 1:
        return found
    return found | {f"accuracy_{kind}": hits[kind] / masked[kind] for kind in kinds}


def _kinds(predicted: int, both: float) -> dict[str, tuple[tuple[bool, ...], float]]:
    """The kinds of tasks that `draw_masked_parts` draws: the parts asked for, and the chance of the kind."""
    if predicted == 1:
        return {"only": ((True,), 1.0)}
    alone = (1 - both) / 2
    return {
        "both": ((True, True), both),
        "upper_given_lower": ((True, False), alone),
        "lower_given_upper": ((False, True), alone),
    }


def train_length(
    tokens: TokenSet,
    text: TextSource,
    estimator: LengthEstimator,
    config: TrainConfig,
    out: str | Path,
    val: TokenSet | None = None,
    **options: Any,
) -> TrainResult:
    """Train the length estimator on the captions and lengths of `tokens` and write it to `out/model`.

    Clips are drawn by weight as for the transformer, but not by like length: length is what is to be learned.
    """

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        clips, variants = tokens.draw(config.batch_size, generator, like_length=False)
        sentence = text.lookup(tokens.draw_captions(clips, generator)).sentence
        return {"lengths": tokens.lengths[variants], "sentence": sentence}

    def loss(
        model: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return length_loss(model(data["sentence"]), data["lengths"], estimator.config.blur), {}

    sizes = dataclasses.asdict(estimator.config)
    if not sizes["blur"]:  # runs begun before there was one can be continued
        del sizes["blur"]
    extra = {"length": sizes, "text": text.name, "data": tokens.fingerprint}
    judge = None if val is None else lambda model: evaluate_length(model, val, text)
    return _train_and_save(estimator, batch, loss, config, out, judge, extra, options)


@torch.no_grad()
def evaluate_length(estimator: LengthEstimator, val: TokenSet, text: TextSource) -> dict[str, float]:
    """Loss (nats), and how far the length that is taken, the median, is off (tokens, on average), over all captions."""
    pairs = [
        (caption, int(val.lengths[int(val.starts[clip])]))
        for clip, captions in enumerate(val.captions)
        for caption in captions
    ]
    device = next(estimator.parameters()).device
    true = torch.tensor([length for _, length in pairs], device=device)
    logits = torch.cat(
        [
            estimator(text.lookup([caption for caption, _ in pairs[i : i + 256]]).sentence.to(device))
            for i in range(0, len(pairs), 256)
        ]
    )
    errors = point_errors(logits.double().softmax(1).cpu().numpy(), true.cpu().numpy())
    return {"loss": float(length_loss(logits, true)), "error_tokens": errors["median"]}


def _embeddings(text: TextSource, captions: list[str]) -> dict[str, Tensor]:
    found = text.lookup(captions)
    return {"words": found.words, "word_mask": found.mask, "sentence": found.sentence}


def _judge(
    model: nn.Module, data: dict[str, Tensor], drop_text: Tensor | None, where: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, the number of masked places answered rightly, and the number of masked places."""
    canvas, tokens, lengths = data["canvas"], data["tokens"], data["lengths"]
    logits = model(canvas, lengths, data["words"], data["word_mask"], data["sentence"], drop_text)
    value = masked_loss(logits, tokens, lengths, where, canvas)
    with torch.no_grad():
        predicted = slice(logits.shape[1])
        masked = canvas[:, predicted] == MASK
        hits = (logits.argmax(-1) == tokens[:, predicted]) & masked
    return value, hits.sum(), masked.sum()


def _train_and_save(
    module: nn.Module,
    batch: Callable[[int, torch.Generator], Any],
    loss: Callable[[nn.Module, Any, torch.Generator], tuple[Tensor, dict[str, Tensor]]],
    config: TrainConfig,
    out: str | Path,
    judge: Callable[[nn.Module], dict[str, float]] | None,
    extra: dict[str, Any],
    options: dict[str, Any],
) -> TrainResult:
    options = {**options, "config_extra": {**extra, **options.get("config_extra", {})}}
    result = train(module, batch, loss, config, out, judge, **options)
    if result.saves:
        module.save_pretrained(Path(out) / "model")
    return result
