"""Chapter 07: behind the table. Which actions the model understands, best and worst clips, settings of the sampler.

Everything here reads what an evaluation stored (`mmm.evaluation.results`): embeddings, and what was drawn.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64
from matplotlib.figure import Figure
from torch import Tensor

from mmm.data import MotionFolder, PackedSplit
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.metrics import count_closer, hits
from mmm.evaluation.protocol import ProtocolConfig, evaluate
from mmm.evaluation.results import PHYSICAL, QUALITY, ROWS, Results
from mmm.model import MMM
from mmm.motion import Motion


def content_of(program: dict | None) -> str:
    """What a clip shows in a word or two: Bandai's action class, or the actions of a choreographed clip."""
    program = program or {}
    if "segments" in program:
        actions = []
        for segment in program["segments"]:
            names = [action["name"] for action in (segment["legs"], segment["arms"]) if action]
            actions.append(" + ".join(name for name in names if name != "stand" or len(names) == 1))
        return ", ".join(dict.fromkeys(actions))
    return program.get("content", "all")


def _content(folder: MotionFolder, packed: PackedSplit, clip: int) -> str:
    return content_of(folder.program(packed.ids[clip].split("@")[0]))  # ID@1 is a piece of ID


def ranks(
    text: Float[Tensor, "n d"], motion: Float[Tensor, "n d"], distractors: Int64[Tensor, "n others"]
) -> Int64[Tensor, " n"]:
    """Rank of each text's own motion in its pool, 0 the nearest: what R-precision counts, apart from ties."""
    return count_closer(text, motion, motion, distractors)[0]


def content_table(
    results: Results, folder: MotionFolder, rows: tuple[str, ...] = ("real", "given")
) -> pd.DataFrame:
    """R@1 and R@3 of each action class, over all repeats: a row for each, columns ROW/r1, ROW/r3 and `clips`.

    Raises:
        ValueError: the pools of the evaluation were batch mates (official protocol), which are not stored.
    """
    packed = folder.pack(results.config["protocol"]["split"])
    lines = []
    for repeat in range(len(results.timing["seconds"])):
        stored = results.stored(repeat)
        if "distractors" not in stored:
            raise ValueError(
                "this evaluation has pools of batch mates, so a text has no rank in a pool of its own; look at "
                "results.table() instead."
            )
        line = {"content": [_content(folder, packed, clip) for clip in stored["clip"].tolist()]}
        for row in rows:
            counts = count_closer(stored["text"], stored[row], stored[row], stored["distractors"])
            line |= {f"{row}/r{k}": hits(*counts, k).tolist() for k in (1, 3)}
        lines.append(pd.DataFrame(line))
    groups = pd.concat(lines).groupby("content")
    table = groups.mean()
    table["clips"] = groups.size() // len(lines)
    return table.sort_values(["clips", "content"], ascending=[False, True])


@dataclasses.dataclass(frozen=True)
class Example:
    """A motion of an evaluation: its text, its rank in the pool (0 the nearest), its distance to the text."""

    item: int
    text: str
    content: str
    rank: int
    distance: float


def best_and_worst(
    results: Results, folder: MotionFolder, count: int = 3, row: str = "given", repeat: int = 0
) -> tuple[list[Example], list[Example]]:
    """The motions nearest to their texts and farthest from them, one of each action class."""
    packed, stored = folder.pack(results.config["protocol"]["split"]), results.stored(repeat)
    distance = (stored["text"] - stored[row]).norm(dim=1).tolist()
    rank = [0] * len(distance)
    if "distractors" in stored:
        rank = ranks(stored["text"], stored[row], stored["distractors"]).tolist()
    drawn = enumerate(zip(stored["clip"].tolist(), stored["caption"].tolist(), strict=True))
    examples = []
    for item, (clip, caption) in drawn:
        text = packed.captions[clip][caption].text
        examples.append(Example(item, text, _content(folder, packed, clip), rank[item], distance[item]))
    ordered = sorted(examples, key=lambda example: example.distance)
    return _one_of_each(ordered, count), _one_of_each(ordered[::-1], count)


def _one_of_each(examples: list[Example], count: int) -> list[Example]:
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.content, example)
    return list(first.values())[:count]


def motions_of(
    results: Results,
    model: MMM,
    packed: PackedSplit,
    examples: list[Example],
    row: str = "given",
    repeat: int = 0,
) -> tuple[list[Motion], list[Motion]]:
    """The motions, generated again from their seeds, and the real clips of their captions."""
    stored, protocol = results.stored(repeat), results.config["protocol"]
    items, texts = [example.item for example in examples], [example.text for example in examples]
    names = ("steps", "guidance", "temperature", "remask", "batch_size", "precision")
    options = {name: protocol[name] for name in names if name in protocol}  # older results have no remask
    if options["guidance"] is None:
        del options["guidance"]
    frames, seeds = (stored[f"{row}.{name}"][items].tolist() for name in ("frames", "seeds"))
    features = model.generate_bulk(model.embed(texts), frames, seeds, **options)
    about = {"fps": model.info["fps"], "skeleton": model.info["skeleton"]}
    generated = [Motion(x, text=text, **about) for x, text in zip(features, texts, strict=True)]
    real = [
        Motion(np.array(packed.clip(int(stored["clip"][item]))), text=text, **about)
        for item, text in zip(items, texts, strict=True)
    ]
    return generated, real


def sweep(
    model: MMM,
    folder: MotionFolder,
    evaluator: Evaluator,
    settings: dict[str, dict[str, Any]],
    config: ProtocolConfig,
    out: Path,
    other_splits: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """The evaluation with other settings of the sampler: a row for each, with R@1, R@3, FID, MM-Dist, skating, jerk.

    Args:
        settings: name → changes to `config` (steps, guidance, temperature, remask).
        config: common to all; given lengths only, without MultiModality and AITS.
        out: a folder for each, OUT/NAME; repeats that are there are not computed again.
        other_splits: as in `evaluate`.
    """
    lines = {}
    for name, changes in settings.items():
        own = dataclasses.replace(config, lengths=("given",), multimodality="none", aits=False, **changes)
        place = out / name.replace(" ", "-")
        results = evaluate(model, folder, evaluator, own, place, progress=progress, other_splits=other_splits)
        shown = ("r1", "r3", "fid", "mm_dist", "skating", "jerk_mean")
        intervals = {metric: results.interval("given", metric) for metric in shown}
        lines[name] = {metric: value.mean for metric, value in intervals.items()}
        lines[name] |= {f"{metric}_half": value.half for metric, value in intervals.items()}
    return pd.DataFrame(lines).T


COLOURS = {"real": "black", "real_real": "grey", "reconstruction": "C0", "given": "C3", "estimated": "C1"}


def plot_results(
    results: Results, metrics: tuple[str, ...] = ("r1", "r3", "fid", "fid_halves", "mm_dist", "diversity")
) -> Figure:
    """Each metric in a panel of its own: a dot for each row, with its 95 % interval."""
    figure = Figure(figsize=(2.2 * len(metrics) + 1, 2.4), layout="constrained")
    rows = [row for row in ROWS if row in results.rows]
    for ax, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics), sharey=True)), metrics, strict=True):
        for y, row in enumerate(rows):
            value = results.interval(row, metric)
            if value is not None:
                half = 0.0 if np.isnan(value.half) else value.half
                ax.errorbar(value.mean, -y, xerr=half, fmt="o", color=COLOURS[row], capsize=3)
        ax.set(title=QUALITY.get(metric, metric), yticks=[-y for y in range(len(rows))])
        ax.set_yticklabels([ROWS[row] for row in rows])
        ax.margins(0.15)
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(axis="x", alpha=0.3)
    return figure


def plot_contents(table: pd.DataFrame, metric: str = "r1", most: int = 24) -> Figure:
    """Bars: R-precision of each action class, real clips and generated ones; the number of clips beside its name."""
    table = table.head(most)
    rows = [column.split("/")[0] for column in table.columns if column.endswith(f"/{metric}")]
    figure = Figure(figsize=(8, 0.8 + 0.28 * len(table)), layout="constrained")
    ax, height = figure.subplots(), 0.8 / len(rows)
    for number, row in enumerate(rows):
        y = -np.arange(len(table)) - number * height
        ax.barh(y, table[f"{row}/{metric}"], height, color=COLOURS[row], label=ROWS[row])
    names = [f"{name} ({count})" for name, count in zip(table.index, table["clips"], strict=True)]
    ax.set_yticks(-np.arange(len(table)) - 0.4 + height / 2, names, fontsize=8)
    ax.set(xlabel=f"R@{metric[1:]}, all repeats (number of clips in brackets)", xlim=(0, 1.02))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8, frameon=False)
    return figure


def plot_sweep(
    tables: Mapping[str, pd.DataFrame],
    reference: Mapping[str, float],
    metrics: tuple[str, ...] = ("fid", "r1"),
) -> Figure:
    """Metrics against a setting of the sampler.

    Args:
        tables: setting → a row for each of its values (the index), a column for each metric.
        reference: metric → its value for the tokenizer's reconstruction, a dashed line.
    """
    figure = Figure(figsize=(3.6 * len(tables), 1.7 * len(metrics)), layout="constrained")
    axes = figure.subplots(len(metrics), len(tables), squeeze=False, sharex="col", sharey="row")
    for column, (knob, table) in enumerate(tables.items()):
        for ax, metric in zip(axes[:, column], metrics, strict=True):
            half = table.get(f"{metric}_half")
            ax.errorbar(table.index.astype(float), table[metric], yerr=half, fmt="o-", color="C3", capsize=3)
            if metric in reference:
                ax.axhline(reference[metric], color="C0", linestyle="--", linewidth=1)
            ax.grid(alpha=0.3)
            if column == 0:
                ax.set_ylabel(QUALITY.get(metric) or PHYSICAL.get(metric, metric))
        axes[-1, column].set_xlabel(knob)
    return figure


def plot_choices(table: pd.DataFrame, metrics: Mapping[str, str], reference: str = "ours") -> Figure:
    """The effect of each choice of a recipe: a panel for each metric, a dot for each training.

    The grey band spans the trainings of the reference with other seeds: differences within it mean nothing.

    Args:
        table: a row for each training; those whose names begin with `reference` span the band.
        metrics: column → title of its panel; COLUMN_half, if there is one, is half of an interval.
    """
    figure = Figure(figsize=(2.0 + 1.9 * len(metrics), 0.9 + 0.26 * len(table)), layout="constrained")
    same = table[[name.startswith(reference) for name in table.index]]
    y = -np.arange(len(table))
    for ax, (metric, label) in zip(
        np.atleast_1d(figure.subplots(1, len(metrics), sharey=True)), metrics.items(), strict=True
    ):
        ax.axvspan(same[metric].min(), same[metric].max(), color="grey", alpha=0.3, linewidth=0)
        colours = ["black" if name in same.index else "C3" for name in table.index]
        ax.errorbar(
            table[metric], y, xerr=table.get(f"{metric}_half"), fmt="none", ecolor="grey", linewidth=1
        )
        ax.scatter(table[metric], y, c=colours, s=18, zorder=3)
        ax.set_yticks(y, table.index, fontsize=8)
        ax.set_title(label, fontsize=9)
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(alpha=0.3)
    return figure


def load_table(path: str | Path, part: Literal["tokenizer", "transformer"]) -> pd.DataFrame:
    """The stored rows of one part of figures/recipes, one for each choice."""
    lines = json.loads(Path(path).read_text())[part]
    return pd.DataFrame({name: line["numbers"] for name, line in lines.items()}).T
