"""The autoregressive baseline: motion tokens from left to right, each given the earlier ones and the text.

Source: T2M-GPT (Zhang et al. 2023, arXiv 2301.06052), with the sizes, blocks, text and training data of our masked
transformer, so that only the order of generation differs.

        sentence (B, E) → (B, 1, D) ┐
        tokens   (B, P, N) → embed ─┴► (B, N+1, D) + positions → cross-attention to the words, causal self-attention
                                                                 → norm, head → logits (B, P, N+1, K+1)

Position i predicts time step i from the steps before it; code K is END, which is learned where a clip ends and not
where training cut it (`mark_ends`). With two body parts the lower one is predicted
from the upper one of the same time step, too: two independent draws would not fit each other.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mmm.errors import require
from mmm.lab.baselines.groups import groups_of, guided
from mmm.recipes import OURS, Recipe
from mmm.sampling import choose_codes
from mmm.text import TextEmbedding, TextSource
from mmm.training.config import TrainConfig
from mmm.training.loop import TrainResult, train_and_save
from mmm.transformer.compose import Composer
from mmm.transformer.masking import corrupt_tokens, drop_edge_token
from mmm.transformer.model import MaskedTransformer, TransformerConfig
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import draw_clips, embeddings_of, val_batches


class Autoregressive(MaskedTransformer):
    """A causal transformer with the layers of a MaskedTransformer; it is saved and loaded in the same way."""

    def __init__(self, config: TransformerConfig, codebook: Float[Tensor, "p k c"]) -> None:
        super().__init__(config, codebook)
        require(
            config.predicted_parts == config.parts,
            "predicts is set, but an autoregressive model predicts all parts; leave it 0",
        )
        self.head = nn.Linear(config.dim, config.parts * (config.codes + 1), bias=False)  # and END
        if config.parts == 2:
            self.embed_upper = nn.Linear(config.code_dim, config.dim)
        self.reset_parameters()

    def forward(
        self,
        tokens: Int64[Tensor, "b p n"],
        lengths: Int64[Tensor, " b"],
        words: Float[Tensor, "b s e"],
        word_mask: Tensor,
        sentence: Float[Tensor, "b e"],
        drop_text: Tensor | None = None,
    ) -> Float[Tensor, "b p n_plus_1 k_plus_1"]:
        """Logits of all time steps at once: those at position i depend on the tokens before i (and the upper one at i).

        Args:
            as `MaskedTransformer.forward`; the tokens have no MASK.
        """
        ids, _ = self.token_ids(tokens, lengths)
        if drop_text is not None:
            words, word_mask, sentence = self.without_text(words, word_mask, sentence, drop_text)
        x = torch.cat([self.embed_sentence(sentence)[:, None], self.embed_step(ids[:, :, :-1])], dim=1)
        hidden = self.hidden(x, self.embed_words(words), word_mask)
        return torch.stack([self.logits(hidden, part, ids[:, 0]) for part in range(len(self.codebook))], 1)

    def embed_step(self, ids: Int64[Tensor, "b p n"]) -> Float[Tensor, "b n d"]:
        """Time steps as vectors."""
        return self.embed(torch.cat([self._vectors(row, part) for part, row in enumerate(ids.unbind(1))], -1))

    def _vectors(self, ids: Int64[Tensor, "b n"], part: int) -> Float[Tensor, "b n c"]:
        return F.embedding(ids, torch.cat([self.codebook[part], self.specials]))

    def hidden(
        self,
        x: Float[Tensor, "b m d"],
        words: Float[Tensor, "b s d"],
        word_mask: Tensor,
        caches: Sequence[list[Tensor]] | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Through all blocks: M positions, behind those that the caches (one for each block) have seen.

        Without caches, or with empty ones, these are the first positions.
        """
        caches = caches or [None] * (len(self.cross) + len(self.blocks))
        seen = caches[-1][0].shape[2] if caches[-1] else 0
        m = x.shape[1]
        x = x + self.positions[seen : seen + m]
        for block, cache in zip(self.cross, caches, strict=False):
            x = block(x, word_mask, words, cache)
        causal = torch.ones(m, seen + m, dtype=torch.bool, device=x.device).tril(seen).expand(len(x), -1, -1)
        for block, cache in zip(self.blocks, caches[len(self.cross) :], strict=True):
            x = block(x, causal, cache=cache)
        return x

    def logits(
        self, hidden: Float[Tensor, "b m d"], part: int, upper: Int64[Tensor, "b m"] | None
    ) -> Float[Tensor, "b m k"]:
        """Logits of one part; those of the lower part (1) need the `upper` part's codes of the same time steps."""
        if part:
            hidden = hidden + self.embed_upper(self._vectors(upper, 0))
        weight = self.head.weight.chunk(len(self.codebook))[part]
        return F.linear(self.norm(hidden), weight)


@torch.no_grad()
def sample(
    model: Autoregressive,
    text: TextEmbedding,
    seeds: Sequence[int],
    lengths: Sequence[int] | None = None,
    *,
    temperature: float = 1.0,
    guidance: float = 1.0,
    shortest: int = 1,
    prefixes: Sequence[Int64[Tensor, "p _"]] | None = None,
    group: int = 1,
) -> list[Int64[Tensor, "p _"]]:
    """Tokens (P, N) for each text. One pass for each time step; keys and values of earlier steps are cached.

    The tokens of an item depend on its own text, seed and length, and on `group`; not on the other items.

    Args:
        lengths: tokens of each item; by default an item ends where the model says END.
        guidance: g in uncond + g · (cond − uncond), as in `mmm.sampling.fill`.
        shortest: with the model's own END, no item is shorter.
        prefixes: the first tokens of each item, which are given.
        group: items that go through the network together.
    Raises:
        ValueError: not one seed and length for each text; a length or an option out of range; guidance of a model
            without text dropout.
    """
    most = [model.config.max_tokens] * len(text) if lengths is None else [int(n) for n in lengths]
    first = range(shortest, model.config.max_tokens) if lengths is None else range(0)  # steps that may be END
    tokens: list[Tensor] = [torch.empty(0)] * len(text)
    for some in groups_of(model, text, seeds, most, group, guidance, temperature):
        generators = [torch.Generator().manual_seed(int(seeds[i])) for i in some.rows]
        given = [None if prefixes is None else prefixes[i].cpu() for i in some.rows]
        limits = torch.tensor([most[i] for i in some.rows])
        rows = _sample_group(model, some.text, limits, generators, given, first, temperature, guidance)
        for i, row in zip(some.items, rows, strict=False):
            tokens[i] = row
    return tokens


def _sample_group(
    model: Autoregressive,
    text: tuple[Tensor, Tensor, Tensor],
    limits: Int64[Tensor, " g"],
    generators: list[torch.Generator],
    prefixes: list[Tensor | None],
    may_end: range,
    temperature: float,
    guidance: float,
) -> list[Int64[Tensor, "p _"]]:
    """The tokens of each row. Rows that have ended go on, so that the shape stays the same; nothing of it is kept."""
    end, parts, group = model.config.codes, model.config.parts, len(limits)
    words, word_mask, sentence = text
    copies = len(sentence) // group  # 2 with guidance
    words, x = model.embed_words(words), model.embed_sentence(sentence)[:, None]
    caches: list[list[Tensor]] = [[] for _ in range(len(model.cross) + len(model.blocks))]
    steps: list[Tensor] = []
    stop = limits.clone()  # tokens of each row
    while len(steps) < int(stop.max()):
        step, codes = len(steps), torch.zeros(group, parts, dtype=torch.long)
        hidden = model.hidden(x, words, word_mask, caches)
        for part in range(parts):
            upper = codes[:, :1].repeat(copies, 1).to(model.device)
            logits = guided(model.logits(hidden, part, upper)[:, 0].float(), guidance).cpu()
            if part or step not in may_end:
                logits[:, end] = -torch.inf
            uniform = torch.stack([torch.rand(end + 1, generator=generator) for generator in generators])
            codes[:, part] = choose_codes(logits, uniform, temperature)[0]
            if part == 0:
                stop = torch.where(codes[:, 0] == end, stop.clamp(max=step), stop)
                codes[:, 0] %= end  # a row that has ended needs some code
        for row, prefix in zip(codes, prefixes, strict=True):
            if prefix is not None and step < prefix.shape[1]:
                row.copy_(prefix[:, step])
        steps.append(codes)
        x = model.embed_step(codes[:, :, None].repeat(copies, 1, 1).to(model.device))
    tokens = torch.stack(steps, dim=2)
    return [row[:, :length] for row, length in zip(tokens, stop.tolist(), strict=True)]


def train_autoregressive(
    tokens: TokenSet,
    text: TextSource,
    model: Autoregressive,
    config: TrainConfig,
    out: str | Path,
    val: TokenSet | None = None,
    recipe: Recipe = OURS,
    composer: Composer | None = None,
    **options: Any,
) -> TrainResult:
    """Train `model` on the clips that `mmm.transformer.train.train_transformer` draws; write it to `out/model`.

    Where a clip was cropped, END does not count: the caption says nothing about where the crop ends. The tokens that it
    sees are partly random codes (`recipe.random_codes`), as in the training of the masked one and of T2M-GPT: in
    sampling, its own tokens may be wrong.

    Args:
        as `train_transformer`.
    """
    sizes = model.config
    marked = mark_ends(tokens, sizes)
    if composer is not None:
        composer = copy.copy(composer)
        composer.tokens = marked

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        true, lengths, captions = draw_clips(marked, config.batch_size, generator, recipe, composer)
        if recipe.drop_edge:
            true, lengths = drop_edge_token(true, lengths, generator, recipe.drop_edge)
        true, ended = split_ends(true, lengths, sizes)
        visible = corrupt_tokens(true, lengths, recipe.random_codes, sizes.codes, generator)
        drop_text = torch.rand(config.batch_size, generator=generator) < sizes.text_dropout
        data = {
            "tokens": true,
            "lengths": lengths,
            "ended": ended,
            "visible": visible,
            "drop_text": drop_text,
        }
        return data | embeddings_of(text, captions)

    def loss(
        network: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        value, accuracy = _next_token_loss(model, network, data)
        return value.mean(), {"accuracy": accuracy.mean()}

    def evaluate(network: nn.Module) -> dict[str, float]:
        return evaluate_autoregressive(network, val, text)

    settings = {
        "baseline": "autoregressive",
        "transformer": dataclasses.asdict(sizes),
        "recipe": dataclasses.asdict(recipe),
        "text": text.name,
        "data": tokens.fingerprint,
        "compositions": composer and composer.fingerprint,
    }
    return train_and_save(model, batch, loss, config, out, evaluate if val else None, settings, **options)


def mark_ends(tokens: TokenSet, sizes: TransformerConfig) -> TokenSet:
    """The set with K added to the last code of each clip, so that it is still known after cropping and composing.

    A clip of the largest length may have been cut to it, and END can come no later: it stays as it is.
    """
    lengths = tokens.lengths
    last = (torch.arange(tokens.tokens.shape[2]) == lengths[:, None] - 1) & (lengths < sizes.max_tokens)[
        :, None
    ]
    codes = tokens.tokens.to(torch.int32)
    return dataclasses.replace(tokens, tokens=codes + sizes.codes * last[:, None].to(torch.int32))


def split_ends(
    marked: Int64[Tensor, "b p n"], lengths: Int64[Tensor, " b"], sizes: TransformerConfig
) -> tuple[Int64[Tensor, "b p n"], Bool[Tensor, " b"]]:
    """The codes, and which items end where a clip of `mark_ends` ends, in all parts."""
    last = marked.gather(2, (lengths - 1)[:, None, None].expand(-1, marked.shape[1], 1))
    return marked % sizes.codes, (last >= sizes.codes).all(1)[:, 0]


def _next_token_loss(
    model: Autoregressive, network: nn.Module, data: dict[str, Tensor]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Cross-entropy and accuracy of each clip: means over its tokens, and END where it `ended`."""
    drop_text = data.get("drop_text") if model.config.text_dropout else None
    text = (data["words"], data["word_mask"], data["sentence"], drop_text)
    logits = network(data.get("visible", data["tokens"]), data["lengths"], *text).float()
    targets, real = model.token_ids(data["tokens"], data["lengths"])
    counted = real[:, None].repeat(1, targets.shape[1], 1)
    end = targets == model.config.codes
    counted[:, 1:] &= ~end[:, 1:]  # END counts once
    counted &= ~end | data["ended"][:, None, None]
    targets = targets.masked_fill(~real[:, None], 0)
    loss = F.cross_entropy(logits.movedim(-1, 1), targets, reduction="none")
    weight = counted / counted.sum((1, 2), keepdim=True)
    hits = logits.detach().argmax(-1) == targets
    return (loss * weight).sum((1, 2)), (hits * weight).sum((1, 2))


@torch.no_grad()
def evaluate_autoregressive(
    model: Autoregressive, val: TokenSet, text: TextSource, batch_size: int = 64, seed: int = 0
) -> dict[str, float]:
    """Loss (nats per token) and accuracy of the next token over all clips of `val`, given the true ones before it."""
    sums, marked = torch.zeros(2, dtype=torch.float64), mark_ends(val, model.config)
    for variants, embeddings, _ in val_batches(marked, text, batch_size, seed):
        true, lengths = marked.batch(variants)
        true, ended = split_ends(true, lengths, model.config)
        data = {"tokens": true, "lengths": lengths, "ended": ended} | embeddings
        data = {name: tensor.to(model.device) for name, tensor in data.items()}
        sums += torch.stack([y.double().sum().cpu() for y in _next_token_loss(model, model, data)])
    loss, accuracy = (sums / len(val.lengths)).tolist()
    return {"loss": loss, "accuracy": accuracy}
