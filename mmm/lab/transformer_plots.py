"""Chapter 03, transformer: plots of rows of tokens, accuracy by mask ratio, the use of the text, lengths."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mmm.errors import require
from mmm.transformer.masking import MASK
from mmm.viz.style import bare, grouped_bars, panels

DARK_MASK = "#4a5060"
WRONG = "#d01c1c"
GOLDEN = 0.6180339887  # neighbouring ids get colours far apart: a code's number means nothing
NUMBERED = 26  # up to so many positions the ids are written into their squares


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
    """Rows of tokens as coloured squares: one colour for each code id, dark for MASK, nothing beyond the length.

    Args:
        wrong: positions with a red frame (corrupted tokens, wrong answers).
    """
    count, longest = len(rows), int(lengths.max())
    require(len(labels) == count, f"{len(labels)} labels for {count} rows: give one for each")
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


def plot_accuracy(
    ratios: Sequence[float], accuracy: Mapping[str, Sequence[float]], chance: Mapping[str, float]
) -> Figure:
    """Accuracy on masked positions against the ratio that is masked; dashed: what is possible without a model."""
    figure, ax = panels((6, 3.6))
    for number, (label, values) in enumerate(accuracy.items()):
        ax.plot(ratios, values, "o-", color=f"C{number}", label=label)
    for number, (label, value) in enumerate(chance.items()):
        ax.axhline(value, color="grey", linestyle=("--", ":")[number % 2], linewidth=1.2, label=label)
    ax.set(xlabel="ratio of masked positions", ylim=(0, None))
    ax.set(ylabel="accuracy on masked positions", title="accuracy by mask ratio")
    ax.legend(frameon=False, fontsize=9)
    ax.grid(alpha=0.3)
    bare(ax)
    return figure


def plot_listening(loss: Mapping[str, Mapping[str, float]]) -> Figure:
    """Grouped bars: loss (nats per position) for each group, e.g. the mask ratio, and each kind of text."""
    figure, ax = panels((6, 3.4))
    kinds = list(next(iter(loss.values())))
    grouped_bars(ax, list(loss), {kind: [values[kind] for values in loss.values()] for kind in kinds})
    ax.set(ylabel="loss on val, nats per position", title="does it use the text?")
    ax.margins(y=0.12)
    figure.legend(frameon=False, fontsize=9, ncols=len(kinds), loc="outside lower center")
    bare(ax)
    return figure


def plot_word_attention(attention: Float[Tensor, "n s"], words: Sequence[str]) -> Figure:
    """Positions × words: how much each position attends to each word."""
    figure, ax = panels((7.5, 0.32 * len(words) + 1.3))
    image = ax.imshow(attention.T.numpy(), aspect="auto", cmap="Blues", vmin=0)
    ax.set_yticks(range(len(words)), words)
    ax.set(xlabel="position", title="attention of every position to every word")
    figure.colorbar(image, ax=ax, label="weight")
    return figure


def plot_lengths(
    probabilities: Float[Tensor, "texts m"], texts: Sequence[str], seconds: float = 0.2
) -> Figure:
    """Distributions over the length, one curve for each text; `seconds` is the time of a token."""
    figure, ax = panels((7.5, 3.4))
    times = seconds * np.arange(1, probabilities.shape[1] + 1)
    for number, (row, text) in enumerate(zip(probabilities.numpy(), texts, strict=True)):
        ax.plot(times, row, color=f"C{number}", label=text)
        ax.fill_between(times, row, color=f"C{number}", alpha=0.12)
    ax.set(xlabel="length, s", ylabel="probability", title="how long should it take?", ylim=(0, None))
    ax.legend(frameon=False, fontsize=8)
    bare(ax)
    return figure
