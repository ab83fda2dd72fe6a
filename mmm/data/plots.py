"""Pictures of notebook 01: lengths and contents of the clips, the words of the captions, the splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from pandas import DataFrame

TAGS = {"VERB": "verbs", "NOUN": "nouns", "ADJ": "adjectives", "ADV": "adverbs"}
HELD_OUT = "#d1495b"


def plot_clips(clips: DataFrame, shown: int = 24) -> Figure:
    """Lengths of the clips, and in how many clips each content is; `clips` as `survey_clips` gives it."""
    contents = clips.contents.explode().value_counts()[:shown]
    figure = Figure(figsize=(11, max(3.2, 0.19 * len(contents) + 0.8)), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(clips.seconds, bins=np.arange(0, clips.seconds.max() + 0.5, 0.5), color="C0", edgecolor="white")
    median = float(clips.seconds.median())
    left.axvline(median, color="black", ls="--", label=f"median {median:.1f} s")
    left.set(
        title=f"{len(clips)} clips, {clips.seconds.sum() / 60:.0f} minutes",
        xlabel="length, s",
        ylabel="clips",
    )
    left.legend(frameon=False)
    right.barh(contents.index[::-1], contents.to_numpy()[::-1], color="C2")
    right.set(title="what the clips show", xlabel="clips")
    right.tick_params(axis="y", labelsize=8)
    right.margins(y=0.01)
    return figure


def plot_words(words: DataFrame, shown: int = 14) -> Figure:
    """The most frequent words of four parts of speech; `words` as `survey_words` gives it."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for ax, (tag, name) in zip(figure.subplots(1, len(TAGS)), TAGS.items(), strict=True):
        own = words[words.tag == tag]
        top = own[:shown][::-1]
        ax.barh(top.word, top["count"], color="C4")
        ax.set(title=f"{len(own)} {name}", xlabel="times")
        ax.tick_params(axis="y", labelsize=9)
    return figure


def plot_splits(clips: DataFrame, shown: int = 24) -> Figure:
    """Share of each split in every content, the frequent ones first, with the numbers of clips."""
    table = clips.explode("contents").groupby(["contents", "split"]).size().unstack(fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values().index[-shown:], list(dict.fromkeys(clips.split))]
    figure = Figure(figsize=(9, max(3.0, 0.2 * len(table) + 0.9)), layout="constrained")
    ax, start = figure.subplots(), np.zeros(len(table))
    for number, split in enumerate(table.columns):
        share = (table[split] / table.sum(axis=1)).to_numpy() * 100
        bars = ax.barh(
            table.index, share, left=start, label=split, color=f"C{number}", edgecolor="white", lw=0.5
        )
        ax.bar_label(
            bars, labels=[str(n) if n else "" for n in table[split]], label_type="center", fontsize=7
        )
        start += share
    ax.set(title="clips of each content by split", xlabel="share, %", xlim=(0, 100))
    ax.tick_params(axis="y", labelsize=8)
    ax.margins(y=0.01)
    ax.legend(ncols=len(table.columns), frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def plot_combinations(
    train: Mapping[tuple[str, str], int], held_out: Mapping[tuple[str, str], int]
) -> Figure:
    """Clips in train by what legs and arms do at once; framed: combinations that only the other split has."""
    legs, arms = (sorted({pair[i] for pair in (*train, *held_out)}) for i in (0, 1))
    counts = np.array([[train.get((leg, arm), 0) for arm in arms] for leg in legs])
    only = {pair for pair in held_out if pair not in train}
    figure = Figure(figsize=(8, 0.36 * len(legs) + 1.2), layout="constrained")
    ax = figure.subplots()
    ax.imshow(np.sqrt(counts), cmap="Blues", aspect="auto", vmax=1.2 * max(1.0, counts.max() ** 0.5))
    for row, leg in enumerate(legs):
        for column, arm in enumerate(arms):
            held = (leg, arm) in only
            count = f"0 | {held_out[leg, arm]}" if held else str(counts[row, column] or "")
            ax.text(
                column, row, count, ha="center", va="center", fontsize=9, color=HELD_OUT if held else "black"
            )
            if held:
                ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=HELD_OUT, lw=2))
    ax.set_xticks(range(len(arms)), arms)
    ax.set_yticks(range(len(legs)), legs)
    ax.set(
        xlabel="arms", ylabel="legs", title="clips in train; framed: none in train | in test_compositional"
    )
    return figure
