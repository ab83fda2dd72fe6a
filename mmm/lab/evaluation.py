"""Pictures of notebook 06: the table as intervals, contents, and what the sampler's knobs do to the measures.

Behind the table: which contents are understood, which clips are best and worst, what the sampler's knobs do.

Everything here reads what an evaluation stored (`results.py`): embeddings, and what was drawn.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from matplotlib.figure import Figure
from torch import Tensor

from mmm.data import MotionFolder, PackedSplit
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.protocol import ProtocolConfig, evaluate
from mmm.evaluation.results import PHYSICAL, QUALITY, ROWS, Results
from mmm.model import MMM
from mmm.motion import Motion


def content_of(program: dict | None) -> str:
    """What a clip shows in a word or two: Bandai's content, or the actions of a choreographed one."""
    program = program or {}
    if "segments" in program:
        said = []
        for segment in program["segments"]:
            names = [action["name"] for action in (segment["legs"], segment["arms"]) if action]
            said.append(" + ".join(name for name in names if name != "stand" or len(names) == 1))
        return ", ".join(dict.fromkeys(said))
    return program.get("content", "all")


def ranks(
    text: Float[Tensor, "n d"], motion: Float[Tensor, "n d"], distractors: Int64[Tensor, "n others"]
) -> Int64[Tensor, " n"]:
    """Place of each text's own motion in its pool, 0 the nearest: what R-precision counts, but for ties."""
    own = (text - motion).norm(dim=1)
    others = (text[:, None] - motion[distractors]).norm(dim=2)
    return (others < own[:, None]).sum(1)


def content_table(
    results: Results, folder: MotionFolder, rows: tuple[str, ...] = ("real", "given")
) -> pd.DataFrame:
    """R@1 and R@3 of each content, over all repeats: a line a content, columns ROW/r1, ROW/r3 and `clips`.

    Raises:
        ValueError: the pools of the evaluation were batch mates (Guo's), which are not stored.
    """
    packed = folder.pack(results.config["protocol"]["split"])
    lines = []
    for repeat in range(len(results.timing["seconds"])):
        stored = results.stored(repeat)
        if "distractors" not in stored:
            raise ValueError(
                "this evaluation was made with Guo's pools, so there is no place of a text in a pool of its own; "
                "look at results.table() instead."
            )
        names = [
            content_of(folder.program(packed.ids[clip].split("@")[0])) for clip in stored["clip"].tolist()
        ]
        line = {"content": names}
        for row in rows:
            place = ranks(stored["text"], stored[row], stored["distractors"])
            line |= {f"{row}/r{k}": (place < k).double().tolist() for k in (1, 3)}
        lines.append(pd.DataFrame(line))
    groups = pd.concat(lines).groupby("content")
    table = groups.mean()
    table["clips"] = groups.size() // len(lines)
    return table.sort_values(["clips", "content"], ascending=[False, True])


@dataclasses.dataclass(frozen=True)
class Example:
    """A motion of an evaluation: what was asked, the place of its motion in the pool, its distance to the text."""

    item: int
    text: str
    content: str
    place: int
    distance: float


def best_and_worst(
    results: Results, folder: MotionFolder, count: int = 3, row: str = "given", repeat: int = 0
) -> tuple[list[Example], list[Example]]:
    """The motions nearest to their texts and farthest from them, one of each content."""
    packed, stored = folder.pack(results.config["protocol"]["split"]), results.stored(repeat)
    distance = (stored["text"] - stored[row]).norm(dim=1)
    place = (
        ranks(stored["text"], stored[row], stored["distractors"])
        if "distractors" in stored
        else torch.zeros_like(stored["clip"])
    )
    examples = [
        Example(
            item,
            packed.captions[clip][caption].text,
            content_of(folder.program(packed.ids[clip].split("@")[0])),
            int(place[item]),
            float(distance[item]),
        )
        for item, (clip, caption) in enumerate(
            zip(stored["clip"].tolist(), stored["caption"].tolist(), strict=True)
        )
    ]
    ordered = sorted(examples, key=lambda example: example.distance)
    return _one_a_content(ordered, count), _one_a_content(ordered[::-1], count)


def _one_a_content(examples: list[Example], count: int) -> list[Example]:
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
    """The generated motions, made again from their seeds, and the real clips whose captions were asked for."""
    stored, protocol = results.stored(repeat), results.config["protocol"]
    items = [example.item for example in examples]
    texts = [example.text for example in examples]
    options = {
        name: protocol[name] for name in ("steps", "guidance", "temperature", "batch_size", "precision")
    }
    options["remask"] = protocol.get("remask", "least")
    if options["guidance"] is None:
        del options["guidance"]
    made = model.generate_bulk(
        model.embed(texts),
        stored[f"{row}.frames"][items].tolist(),
        stored[f"{row}.seeds"][items].tolist(),
        **options,
    )
    about = {"fps": model.info["fps"], "skeleton": model.info["skeleton"]}
    generated = [Motion(features, text=text, **about) for features, text in zip(made, texts, strict=True)]
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
    """The evaluation with other settings of the sampler: a line each, with R@1, R@3, FID, MM-Dist, skating, jerk.

    Args:
        settings: name → changes to `config` (steps, guidance, temperature, remask).
        config: what is common to all; given lengths only, without MultiModality and AITS.
        out: a folder for each, OUT/NAME; what is there already is not made again.
        other_splits: as in `evaluate`.
    """
    lines = {}
    for name, changes in settings.items():
        own = dataclasses.replace(config, lengths=("given",), multimodality="none", aits=False, **changes)
        place = out / name.replace(" ", "-")
        results = evaluate(model, folder, evaluator, own, place, progress=progress, other_splits=other_splits)
        wanted = ("r1", "r3", "fid", "mm_dist", "skating", "jerk_mean")
        found = {measure: results.interval("given", measure) for measure in wanted}
        lines[name] = {measure: value.mean for measure, value in found.items()}
        lines[name] |= {f"{measure}_half": value.half for measure, value in found.items()}
    return pd.DataFrame(lines).T


COLOURS = {
    "real": "black",
    "real_real": "grey",
    "reconstruction": "C0",
    "given": "C3",
    "estimated": "C1",
}


def plot_results(
    results: Results, measures: tuple[str, ...] = ("r1", "r3", "fid", "fid_halves", "mm_dist", "diversity")
) -> Figure:
    """Each measure in a panel of its own: a dot a row with its 95 % interval."""
    figure = Figure(figsize=(2.2 * len(measures) + 1, 2.4), layout="constrained")
    rows = [row for row in ROWS if row in results.rows]
    for ax, measure in zip(
        np.atleast_1d(figure.subplots(1, len(measures), sharey=True)), measures, strict=True
    ):
        for place, row in enumerate(rows):
            found = results.interval(row, measure)
            if found is not None:
                half = 0.0 if np.isnan(found.half) else found.half
                ax.errorbar(found.mean, -place, xerr=half, fmt="o", color=COLOURS[row], capsize=3)
        ax.set(title=QUALITY.get(measure, measure), yticks=[-place for place in range(len(rows))])
        ax.set_yticklabels([ROWS[row] for row in rows])
        ax.margins(0.15)
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(axis="x", alpha=0.3)
    return figure


def plot_contents(table: pd.DataFrame, measure: str = "r1", most: int = 24) -> Figure:
    """Bars: R-precision of each content, real clips and generated ones; the number of clips beside its name."""
    table = table.head(most)
    rows = [column.split("/")[0] for column in table.columns if column.endswith(f"/{measure}")]
    figure = Figure(figsize=(8, 0.8 + 0.28 * len(table)), layout="constrained")
    ax, height = figure.subplots(), 0.8 / len(rows)
    for number, row in enumerate(rows):
        places = -np.arange(len(table)) - number * height
        ax.barh(places, table[f"{row}/{measure}"], height, color=COLOURS[row], label=ROWS[row])
    names = [f"{name} ({count})" for name, count in zip(table.index, table["clips"], strict=True)]
    ax.set_yticks(-np.arange(len(table)) - 0.4 + height / 2, names, fontsize=8)
    ax.set(xlabel=f"R@{measure[1:]}, all repeats (number of clips in brackets)", xlim=(0, 1.02))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8, frameon=False)
    return figure


def plot_sweep(
    tables: Mapping[str, pd.DataFrame],
    reference: Mapping[str, float],
    measures: tuple[str, ...] = ("fid", "r1"),
) -> Figure:
    """Measures against a knob of the sampler.

    Args:
        tables: knob → a line for each of its values (the index), a column for each measure.
        reference: measure → its value for the tokenizer's reconstruction, a dashed line.
    """
    figure = Figure(figsize=(3.6 * len(tables), 1.7 * len(measures)), layout="constrained")
    axes = figure.subplots(len(measures), len(tables), squeeze=False, sharex="col", sharey="row")
    for column, (knob, table) in enumerate(tables.items()):
        for ax, measure in zip(axes[:, column], measures, strict=True):
            half = table.get(f"{measure}_half")
            ax.errorbar(table.index.astype(float), table[measure], yerr=half, fmt="o-", color="C3", capsize=3)
            if measure in reference:
                ax.axhline(reference[measure], color="C0", linestyle="--", linewidth=1)
            ax.grid(alpha=0.3)
            if column == 0:
                ax.set_ylabel(QUALITY.get(measure) or PHYSICAL.get(measure, measure))
        axes[-1, column].set_xlabel(knob)
    return figure


def plot_choices(table: pd.DataFrame, measures: Mapping[str, str], reference: str = "ours") -> Figure:
    """What each choice of a recipe is worth: a panel for each measure, a dot for each training.

    The grey band is what other seeds alone make of the reference's: a dot within it says nothing.

    Args:
        table: a row for each training; those whose names begin with `reference` make the band.
        measures: column → what stands above its panel; COLUMN_half, where there is one, is half of an interval.
    """
    figure = Figure(figsize=(2.0 + 1.9 * len(measures), 0.9 + 0.26 * len(table)), layout="constrained")
    same = table[[name.startswith(reference) for name in table.index]]
    places = -np.arange(len(table))
    for ax, (measure, label) in zip(
        np.atleast_1d(figure.subplots(1, len(measures), sharey=True)), measures.items(), strict=True
    ):
        ax.axvspan(same[measure].min(), same[measure].max(), color="grey", alpha=0.3, linewidth=0)
        colours = ["black" if name in same.index else "C3" for name in table.index]
        ax.errorbar(
            table[measure], places, xerr=table.get(f"{measure}_half"), fmt="none", ecolor="grey", linewidth=1
        )
        ax.scatter(table[measure], places, c=colours, s=18, zorder=3)
        ax.set_yticks(places, table.index, fontsize=8)
        ax.set_title(label, fontsize=9)
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(alpha=0.3)
    return figure


def load_table(path: str | Path, part: Literal["tokenizer", "transformer"]) -> pd.DataFrame:
    """The stored lines of one part, a row for each choice, in the order of the tables above."""
    lines = json.loads(Path(path).read_text())[part]
    return pd.DataFrame({name: line["numbers"] for name, line in lines.items()}).T
