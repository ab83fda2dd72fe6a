"""Pictures of notebook 03: rows of tokens, accuracy by mask share, the use of the text, lengths.

What does the transformer listen to? Its attention to the words, and a text source that says nothing.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mmm.errors import require
from mmm.text import TextEmbedding, TextSource
from mmm.transformer.masking import MASK
from mmm.transformer.model import Attention, MaskedTransformer


@dataclass(frozen=True)
class SilentText:
    """A text source that gives every caption the model's own "no text", as dropped texts have it in training.

    With it in the place of the captions' embeddings, `evaluate_transformer` says how well the model does
    without them.
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
        """As many times "no text" as there are captions.

        Raises:
            ValueError: the model was trained without text dropout and has no such vectors.
        """
        said = self.text.lookup(captions).to(self.model.device)
        everything = torch.ones(len(captions), dtype=torch.bool, device=self.model.device)
        nothing = self.model.without_text(said.words, said.mask, said.sentence, everything)
        return TextEmbedding(*nothing).to("cpu")


@torch.no_grad()
def word_attention(
    model: MaskedTransformer,
    canvas: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    text: TextEmbedding,
    block: int = 0,
) -> Float[Tensor, "b heads n s"]:
    """How much every place of the canvas looks at every word, in one of the cross-attention blocks.

    Each row sums to 1 over the words; padding gets 0. Dropout must be off (`model.eval()`) for the weights to
    be those that are used.
    """
    seen: list[Tensor] = []

    def look(attention: Attention, inputs: tuple, _output: Tensor) -> None:
        x, mask, context = inputs
        query = attention.query(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        key = attention.key_value(context).chunk(2, -1)[0]
        key = key.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        seen.append(scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1))

    hook = model.cross[block].attention.register_forward_hook(look)
    try:
        model(canvas, lengths, text.words, text.mask, text.sentence)
    finally:
        hook.remove()
    return seen[0][:, :, : canvas.shape[2]]  # the last place is END's


MASKED = "#4a5060"
GOLDEN = 0.6180339887  # neighbouring ids get colours far apart: a code's number means nothing
NUMBERED = 26  # places up to which the ids are written into their squares


def code_colour(code: int) -> tuple[float, float, float]:
    """A light colour for a code id; the same in every picture."""
    return colorsys.hsv_to_rgb(code * GOLDEN % 1, 0.35 + 0.2 * (code % 3) / 2, 0.95)


def plot_tokens(
    rows: Int64[Tensor, "rows n"],
    lengths: Int64[Tensor, " rows"],
    labels: Sequence[str],
    wrong: Bool[Tensor, "rows n"] | None = None,
    title: str = "",
) -> Figure:
    """Rows of tokens as coloured squares: one colour for a code id, dark for MASK, nothing beyond the length.

    Args:
        wrong: places with a red frame (corrupted tokens, wrong answers).
    """
    count, places = len(rows), int(lengths.max())
    require(len(labels) == count, f"{len(labels)} labels for {count} rows: give one for each")
    figure = Figure(figsize=(11, 0.36 * count + 0.75), layout="constrained")
    ax = figure.subplots()
    for row, (ids, length) in enumerate(zip(rows.tolist(), lengths.tolist(), strict=True)):
        for place, code in enumerate(ids[:length]):
            colour = to_rgb(MASKED) if code == MASK else code_colour(code)
            ax.add_patch(Rectangle((place, row + 0.06), 0.94, 0.88, color=colour))
            if code != MASK and places <= NUMBERED:
                ax.text(place + 0.47, row + 0.53, str(code), ha="center", va="center", fontsize=7)
            if wrong is not None and bool(wrong[row, place]):
                frame = (place + 0.04, row + 0.1)
                ax.add_patch(Rectangle(frame, 0.86, 0.8, fill=False, edgecolor="#d01c1c", linewidth=1.6))
    ax.set(xlim=(0, places), ylim=(count, 0), xlabel="place (one token = 4 frames)", title=title)
    ax.set_yticks(np.arange(count) + 0.5, labels)
    ax.set_xticks(np.arange(0, places, 5) + 0.47, range(0, places, 5))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def plot_accuracy(
    shares: Sequence[float], accuracy: Mapping[str, Sequence[float]], chance: Mapping[str, float]
) -> Figure:
    """Accuracy on masked places against the share that is masked; dashed: what one gets without a model."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    ax = figure.subplots()
    for number, (label, values) in enumerate(accuracy.items()):
        ax.plot(shares, values, "o-", color=f"C{number}", label=label)
    for number, (label, value) in enumerate(chance.items()):
        ax.axhline(value, color="grey", linestyle=("--", ":")[number % 2], linewidth=1.2, label=label)
    ax.set(xlabel="share of the places that is masked", ylim=(0, None))
    ax.set(ylabel="masked places guessed exactly", title="accuracy by what is hidden")
    ax.legend(frameon=False, fontsize=9)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_listening(loss: Mapping[str, Mapping[str, float]]) -> Figure:
    """Grouped bars: loss (nats per place) for each group, e.g. share masked, and each kind of text."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    kinds = list(next(iter(loss.values())))
    width = 0.8 / len(kinds)
    for number, kind in enumerate(kinds):
        places = [group + (number - (len(kinds) - 1) / 2) * width for group in range(len(loss))]
        bars = ax.bar(places, [values[kind] for values in loss.values()], width * 0.92, label=kind)
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_xticks(range(len(loss)), list(loss))
    ax.set(ylabel="loss on val, nats per place", title="does it listen?")
    ax.margins(y=0.12)
    figure.legend(frameon=False, fontsize=9, ncols=len(kinds), loc="outside lower center")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_word_attention(attention: Float[Tensor, "n s"], words: Sequence[str]) -> Figure:
    """Places × words: how much each place looks at each word."""
    figure = Figure(figsize=(7.5, 0.32 * len(words) + 1.3), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(attention.T.numpy(), aspect="auto", cmap="Blues", vmin=0)
    ax.set_yticks(range(len(words)), words)
    ax.set(xlabel="place", title="attention of every place to every word")
    figure.colorbar(image, ax=ax, label="weight")
    return figure


def plot_lengths(
    probabilities: Float[Tensor, "texts m"], texts: Sequence[str], seconds: float = 0.2
) -> Figure:
    """Distributions over the length, one curve a text; `seconds` is the time of a token."""
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    ax = figure.subplots()
    times = seconds * np.arange(1, probabilities.shape[1] + 1)
    for number, (row, text) in enumerate(zip(probabilities.numpy(), texts, strict=True)):
        ax.plot(times, row, color=f"C{number}", label=text)
        ax.fill_between(times, row, color=f"C{number}", alpha=0.12)
    ax.set(xlabel="length, s", ylabel="probability", title="how long should it take?", ylim=(0, None))
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_length_calibration(
    levels: Sequence[float],
    coverage: Mapping[str, Float[np.ndarray, " levels"]],
    pit: Mapping[str, Float[np.ndarray, " bins"]],
    clips: int,
) -> Figure:
    """Left: coverage of central intervals beside the diagonal. Right: histograms of the PIT beside 1.

    Args:
        levels: of the intervals. coverage, pit: of each estimator (`length_calibration`).
        clips: how many lengths were judged; grey is where 95 % of calibrated estimators lie with so many.
    """
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    ideal, bins = np.linspace(0, 1, 101), len(next(iter(pit.values())))
    spread = 1.96 * np.sqrt(ideal * (1 - ideal) / clips)
    left.fill_between(ideal, ideal - spread, ideal + spread, color="grey", alpha=0.2, linewidth=0)
    left.plot(ideal, ideal, color="grey", linewidth=1)
    chance = 1.96 * np.sqrt((1 / bins) * (1 - 1 / bins) / clips) * bins
    right.axhspan(1 - chance, 1 + chance, color="grey", alpha=0.2, linewidth=0)
    right.axhline(1, color="grey", linewidth=1)
    for number, (label, values) in enumerate(coverage.items()):
        left.plot(levels, values, "o-", color=f"C{number}", markersize=3, label=label)
    for number, (label, values) in enumerate(pit.items()):
        right.stairs(values, np.linspace(0, 1, bins + 1), color=f"C{number}", linewidth=1.8, label=label)
    left.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="the interval should hold", ylabel="and holds, of the true lengths"
    )
    left.set(title="intervals: below the line, too narrow")
    right.set(xlim=(0, 1), ylim=(0, None), xlabel="where the true length lies: 0 shortest, 1 longest said")
    right.set(ylabel="density", title="PIT: high at both ends, too narrow")
    left.legend(frameon=False, fontsize=9)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure
