"""Chapter 03, transformer: does it use the text? Plots of tokens, accuracy, attention to words, lengths."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns
import torch
from jaxtyping import Bool, Float, Int64
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pandas import DataFrame
from torch import Tensor

from mmm.text import TextEmbedding, TextSource
from mmm.transformer.masking import MASK
from mmm.transformer.model import Attention, MaskedTransformer
from mmm.viz.style import DASHED, bare, grouped_bars, panels, styled

DARK_MASK = "#4a5060"
WRONG = "#d01c1c"
GOLDEN = 0.6180339887  # neighbouring ids get colours far apart: a code's number means nothing
NUMBERED = 26  # up to so many positions the ids are written into their squares


@dataclass(frozen=True)
class SilentText:
    """A text source that gives every caption the model's own "no text", as dropped texts have it in training.

    Use it in place of the captions' embeddings: `evaluate_transformer` then shows how good the model is without them.
    """

    text: TextSource
    model: MaskedTransformer

    @property
    def name(self) -> str:
        return f"nothing instead of {self.text.name}"

    @property
    def width(self) -> int:
        return self.text.width

    @torch.no_grad()
    def lookup(self, captions: list[str]) -> TextEmbedding:
        """The vectors of "no text", once for each caption.

        Raises:
            ValueError: the model was trained without text dropout and has no such vectors.
        """
        text = self.text.lookup(captions).to(self.model.device)
        all_captions = torch.ones(len(captions), dtype=torch.bool, device=self.model.device)
        nothing = self.model.without_text(text.words, text.mask, text.sentence, all_captions)
        return TextEmbedding(*nothing).to("cpu")


@torch.no_grad()
def word_attention(
    model: MaskedTransformer,
    canvas: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    text: TextEmbedding,
    block: int = 0,
) -> Float[Tensor, "b heads n s"]:
    """How much every position of the canvas attends to every word, in one of the cross-attention blocks.

    Each row sums to 1 over the words; padding gets 0. Dropout must be off (`model.eval()`) for the weights to be
    those that are used.
    """
    weights: list[Tensor] = []

    def look(attention: Attention, inputs: tuple, _output: Tensor) -> None:
        x, mask, context = inputs[:3]
        query = attention.query(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        key = attention.key_value(context).chunk(2, -1)[0]
        key = key.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        weights.append(scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1))

    hook = model.cross[block].attention.register_forward_hook(look)
    try:
        model(canvas, lengths, text.words, text.mask, text.sentence)
    finally:
        hook.remove()
    return weights[0][:, :, : canvas.shape[2]]  # the last position is END's


# ---------------------------------------------------------------------- plots


def code_colour(code: int) -> tuple[float, float, float]:
    """A light colour for a code id; the same in every picture."""
    return colorsys.hsv_to_rgb(code * GOLDEN % 1, 0.35 + 0.2 * (code % 3) / 2, 0.95)


@styled
def plot_tokens(
    rows: Int64[Tensor, "rows n"],
    lengths: Int64[Tensor, " rows"],
    labels: Sequence[str],
    wrong: Bool[Tensor, "rows n"] | None = None,
    title: str = "",
) -> Figure:
    """Rows of tokens as coloured squares: one colour for each code id, dark for MASK, nothing beyond the length.

    Args:
        labels: one for each row. wrong: positions with a red frame (corrupted tokens, wrong answers).
    """
    count, longest = len(rows), int(lengths.max())
    figure, ax = panels((11, 0.36 * count + 0.75))
    for row, (ids, length) in enumerate(zip(rows.tolist(), lengths.tolist(), strict=True)):
        for position, code in enumerate(ids[:length]):
            colour = DARK_MASK if code == MASK else code_colour(code)
            ax.add_patch(Rectangle((position, row + 0.06), 0.94, 0.88, color=colour))
            if code != MASK and longest <= NUMBERED:
                ax.text(position + 0.47, row + 0.53, str(code), ha="center", va="center", fontsize=7)
            if wrong is not None and bool(wrong[row, position]):
                corner = (position + 0.04, row + 0.1)
                ax.add_patch(Rectangle(corner, 0.86, 0.8, fill=False, edgecolor=WRONG, linewidth=1.6))
    ax.set(xlim=(0, longest), ylim=(count, 0), xlabel="position (one token = 4 frames)", title=title)
    ax.set_yticks(np.arange(count) + 0.5, labels)
    ax.set_xticks(np.arange(0, longest, 5) + 0.47, range(0, longest, 5))
    ax.tick_params(length=0)
    bare(ax, "all")
    return figure


@styled
def plot_accuracy(
    ratios: Sequence[float], accuracy: Mapping[str, Sequence[float]], chance: Mapping[str, float]
) -> Figure:
    """Accuracy on masked positions against the ratio that is masked; dashed: what is possible without a model."""
    figure, ax = panels((6, 3.6), grid=True)
    for label, values in accuracy.items():
        ax.plot(ratios, values, "o-", label=label)
    for number, (label, value) in enumerate(chance.items()):
        ax.axhline(value, **{**DASHED, "linestyle": ("--", ":")[number % 2]}, label=label)
    ax.set(xlabel="ratio of masked positions", ylim=(0, None))
    ax.set(ylabel="accuracy on masked positions", title="accuracy by mask ratio")
    ax.legend()
    return figure


@styled
def plot_listening(loss: Mapping[str, Mapping[str, float]]) -> Figure:
    """Grouped bars: loss (nats per position) for each group, e.g. the mask ratio, and each kind of text."""
    figure, ax = panels((6, 3.4))
    grouped_bars(ax, DataFrame(loss).T)
    ax.set(ylabel="loss on val, nats per position", title="does it use the text?")
    ax.margins(y=0.12)
    figure.legend(ncols=3, loc="outside lower center")
    return figure


@styled
def plot_word_attention(attention: Float[Tensor, "n s"], words: Sequence[str]) -> Figure:
    """Positions × words: how much each position attends to each word."""
    figure, ax = panels((7.5, 0.32 * len(words) + 1.3))
    colours = {"cmap": "Blues", "vmin": 0, "cbar_kws": {"label": "weight"}}
    sns.heatmap(attention.T.numpy(), yticklabels=words, xticklabels=10, ax=ax, **colours)
    ax.set(xlabel="position", title="attention of every position to every word")
    ax.tick_params(axis="y", rotation=0)
    return figure


@styled
def plot_lengths(
    probabilities: Float[Tensor, "texts m"], texts: Sequence[str], seconds: float = 0.2
) -> Figure:
    """Distributions over the length, one curve for each text; `seconds` is the time of a token."""
    figure, ax = panels((7.5, 3.4))
    times = seconds * np.arange(1, probabilities.shape[1] + 1)
    for row, text in zip(probabilities.numpy(), texts, strict=True):
        (line,) = ax.plot(times, row, label=text)
        ax.fill_between(times, row, color=line.get_color(), alpha=0.12)
    ax.set(xlabel="length, s", ylabel="probability", title="how long should it take?", ylim=(0, None))
    ax.legend()
    return figure
