"""Training and evaluation of the masked transformer and of the length estimator (paper, section 3.2).

`train_transformer` gives the one training loop (`mmm.training.loop.train`) three functions: `batch` draws clips and
captions, crops and composes some (`mmm.transformer.compose`) and masks the tokens (`masked_batch`), `loss` predicts
the tokens and compares (`_predict`), and `evaluate` does the same on val. All options are those of the `recipe`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from mmm.data.typos import draw_misspelled
from mmm.recipes import OURS, Recipe, TransformerOptions
from mmm.text import TextSource
from mmm.training.config import TrainConfig
from mmm.training.loop import TrainResult, train_and_save
from mmm.training.processes import mean_count
from mmm.training.seeds import step_generator
from mmm.transformer.compose import Composer
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


def train_transformer(
    tokens: TokenSet,
    text: TextSource,
    transformer: MaskedTransformer,
    config: TrainConfig,
    out: str | Path,
    val: TokenSet | None = None,
    recipe: Recipe = OURS,
    composer: Composer | None = None,
    **options: Any,
) -> TrainResult:
    """Train `transformer` on `tokens` and write it to `out/model`; with `config.ema`, the averaged weights.

    The ratio of texts that are dropped (for guidance) is `transformer.config.text_dropout`.

    Args:
        text: embeddings of the captions; with typos it must know `mmm.data.typos.with_variants` of them.
        val: evaluated every `config.eval_every` steps and at the end (`evaluate_transformer`).
        composer: crops and composes clips of `tokens`; `text` must know its captions.
        options: passed to `mmm.training.loop.train` (resume, config_extra, manifest, cpu, progress, stop).
    """
    sizes = transformer.config

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        true, lengths, captions = draw_clips(tokens, config.batch_size, generator, recipe, composer)
        masked_parts = draw_masked_parts(
            config.batch_size, sizes.predicted_parts, recipe.both_parts, generator
        )
        data = masked_batch(true, lengths, sizes.codes, recipe, generator, masked_parts)
        drop_text = torch.rand(config.batch_size, generator=generator) < sizes.text_dropout
        return data | embeddings_of(text, captions) | {"drop_text": drop_text}

    def loss(
        model: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        # A model without text dropout has no vector for "no text".
        drop_text = data["drop_text"] if sizes.text_dropout else None
        value, hits, masked = _predict(model, data, recipe.loss_on, drop_text)
        return value.mean(), {"accuracy_masked": hits / mean_count(masked).clamp(min=1)}

    def evaluate(model: nn.Module) -> dict[str, float]:
        return evaluate_transformer(model, val, text, recipe)

    settings = {  # a run is continued only with the same ones
        "transformer": dataclasses.asdict(sizes),
        "recipe": {
            field.name: getattr(recipe, field.name) for field in dataclasses.fields(TransformerOptions)
        },
        "text": text.name,
        "data": tokens.fingerprint,
        "compositions": composer and composer.fingerprint,
        # Tokens of another codebook mean something else.
        "codebook": hashlib.sha256(transformer.codebook.cpu().numpy().tobytes()).hexdigest()[:16],
    }
    return train_and_save(
        transformer, batch, loss, config, out, evaluate if val else None, settings, **options
    )


def draw_clips(
    tokens: TokenSet,
    count: int,
    generator: torch.Generator,
    recipe: Recipe = OURS,
    composer: Composer | None = None,
) -> tuple[Int64[Tensor, "b p n"], Int64[Tensor, " b"], list[str]]:
    """True tokens, lengths and captions of a batch: clips of similar length, some of them cropped or composed."""
    clips, variants = tokens.draw(count, generator)
    captions = tokens.draw_captions(clips, generator)
    if composer is None:
        true, lengths = tokens.batch(variants)
    else:
        true, lengths, captions = composer.draw(clips, variants, captions, generator)
    if recipe.typos:
        captions = draw_misspelled(captions, recipe.typos, generator)
    return true, lengths, captions


def masked_batch(
    tokens: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    codes: int,
    recipe: Recipe,
    generator: torch.Generator,
    masked_parts: Bool[Tensor, "b r"] | None = None,
) -> dict[str, Tensor]:
    """From true tokens to what the model sees (canvas) and has to predict (tokens), with their lengths.

    `tokens` are the targets: after edges are dropped and parts borrowed, before random codes and MASK.

    Args:
        masked_parts: which of the r predicted parts are masked (`draw_masked_parts`); by default all parts are
            predicted and masked.
    """
    if recipe.drop_edge:
        tokens, lengths = drop_edge_token(tokens, lengths, generator, recipe.drop_edge)
    predicted_parts = None if masked_parts is None else masked_parts.shape[1]
    if masked_parts is not None:
        tokens = borrow_visible_part(tokens, lengths, masked_parts, recipe.borrowed_part, generator)
    visible = corrupt_tokens(tokens, lengths, recipe.random_codes, codes, generator, predicted_parts)
    canvas = mask_tokens(visible, lengths, recipe.mask_schedule, generator, masked_parts)
    return {"tokens": tokens, "lengths": lengths, "canvas": canvas}


def embeddings_of(text: TextSource, captions: list[str]) -> dict[str, Tensor]:
    """What the networks read of captions: words, word_mask, sentence."""
    embeddings = text.lookup(captions)
    return {"words": embeddings.words, "word_mask": embeddings.mask, "sentence": embeddings.sentence}


def _predict(
    model: nn.Module, data: dict[str, Tensor], loss_on: str, drop_text: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, the number of masked positions that are predicted correctly, and the number of masked positions."""
    canvas, tokens, lengths = data["canvas"], data["tokens"], data["lengths"]
    logits = model(canvas, lengths, data["words"], data["word_mask"], data["sentence"], drop_text)
    value = masked_loss(logits, tokens, lengths, loss_on, canvas)
    with torch.no_grad():
        predicted_parts = logits.shape[1]
        masked = canvas[:, :predicted_parts] == MASK
        hits = (logits.argmax(-1) == tokens[:, :predicted_parts]) & masked
    return value, hits.sum(), masked.sum()


@torch.no_grad()
def evaluate_transformer(
    transformer: MaskedTransformer,
    val: TokenSet,
    text: TextSource,
    recipe: Recipe = OURS,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Loss, and accuracy on the masked positions, over all variants of `val`; the masks are always the same.

    Tokens are neither dropped nor corrupted nor borrowed. Clips are ordered by length; each gets one of its captions.
    A model that predicts two parts has three tasks on every clip. The result holds the accuracy of each
    (accuracy_both, accuracy_upper_given_lower, accuracy_lower_given_upper), and loss and accuracy over all, where a
    task counts as often as it occurs in training (`recipe.both_parts`).
    """
    recipe = dataclasses.replace(recipe, drop_edge=0.0, random_codes=0.0, borrowed_part=0.0)
    one_part = (1 - recipe.both_parts) / 2
    tasks = {  # which parts are masked, and the probability of it in training
        "both": ((True, True), recipe.both_parts),
        "upper_given_lower": ((True, False), one_part),
        "lower_given_upper": ((False, True), one_part),
    }
    if transformer.config.predicted_parts == 1:
        tasks = {"only": ((True,), 1.0)}
    loss = dict.fromkeys(tasks, 0.0)
    hits, masked = dict(loss), dict(loss)
    for variants, embeddings, generator in val_batches(val, text, batch_size, seed):
        for task, (parts, _) in tasks.items():
            masked_parts = torch.tensor(parts).expand(len(variants), -1)
            data = masked_batch(
                *val.batch(variants), transformer.config.codes, recipe, generator, masked_parts
            )
            data = {name: tensor.to(transformer.device) for name, tensor in (data | embeddings).items()}
            batch_loss, batch_hits, batch_masked = _predict(transformer, data, recipe.loss_on)
            loss[task] += float(batch_loss) * len(variants)
            hits[task] += float(batch_hits)
            masked[task] += float(batch_masked)

    def mean(values: dict[str, float]) -> float:
        return sum(probability * values[task] for task, (_, probability) in tasks.items())

    metrics = {"loss": mean(loss) / len(val.lengths), "accuracy_masked": mean(hits) / mean(masked)}
    if len(tasks) > 1:
        metrics |= {f"accuracy_{task}": hits[task] / masked[task] for task in tasks}
    return metrics


def val_batches(
    val: TokenSet, text: TextSource, batch_size: int = 64, seed: int = 0
) -> Iterator[tuple[Int64[Tensor, " b"], dict[str, Tensor], torch.Generator]]:
    """All variants of `val` by length, in batches: the variants, their texts, and a generator for what else is random.

    Each gets one of its clip's captions, always the same.
    """
    clip_of = torch.repeat_interleave(torch.arange(len(val)), val.starts.diff())  # the clip of each variant
    for number, variants in enumerate(val.lengths.argsort(stable=True).split(batch_size)):
        generator = step_generator(seed, number)
        yield variants, embeddings_of(text, val.draw_captions(clip_of[variants], generator)), generator


def train_length(
    tokens: TokenSet,
    text: TextSource,
    estimator: LengthEstimator,
    config: TrainConfig,
    out: str | Path,
    val: TokenSet | None = None,
    composer: Composer | None = None,
    **options: Any,
) -> TrainResult:
    """Train the length estimator on the captions and lengths of `tokens` and write it to `out/model`.

    Clips are drawn by weight, but not of similar length: the length is what is learned.

    Args:
        composer: composes clips of `tokens`. It should neither crop nor repeat single actions: the length of a crop
            says nothing about the action.
    """

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        clips, variants = tokens.draw(config.batch_size, generator, like_length=False)
        captions, lengths = tokens.draw_captions(clips, generator), tokens.lengths[variants]
        if composer is not None:
            _, lengths, captions = composer.draw(clips, variants, captions, generator)
        return {"lengths": lengths, "sentence": text.lookup(captions).sentence}

    def loss(
        model: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return length_loss(model(data["sentence"]), data["lengths"], estimator.config.blur), {}

    def evaluate(model: nn.Module) -> dict[str, float]:
        return evaluate_length(model, val, text)

    settings = {"length": dataclasses.asdict(estimator.config), "text": text.name, "data": tokens.fingerprint}
    settings |= {"compositions": composer and composer.fingerprint}
    return train_and_save(estimator, batch, loss, config, out, evaluate if val else None, settings, **options)


@torch.no_grad()
def evaluate_length(estimator: LengthEstimator, val: TokenSet, text: TextSource) -> dict[str, float]:
    """Loss (nats, without blur), and the mean error of the median length (tokens), over all captions."""
    pairs = [
        (caption, int(val.lengths[int(val.starts[clip])]))
        for clip, captions in enumerate(val.captions)
        for caption in captions
    ]
    device = next(estimator.parameters()).device
    true = torch.tensor([length for _, length in pairs], device=device)
    chunks = [[caption for caption, _ in pairs[i : i + 256]] for i in range(0, len(pairs), 256)]
    logits = torch.cat([estimator(text.lookup(captions).sentence.to(device)) for captions in chunks])
    errors = point_errors(logits.double().softmax(1).cpu().numpy(), true.cpu().numpy())
    return {"loss": float(length_loss(logits, true)), "error_tokens": errors["median"]}
