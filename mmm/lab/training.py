"""How a training run went, drawn from what it wrote: metrics.jsonl and timing.jsonl."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmm.errors import require
from mmm.training.run_folder import read_metrics

SPEED = "steps per second"


def plot_training(runs: Mapping[str, str | os.PathLike[str]], panels: Mapping[str, Sequence[str]]) -> Figure:
    """One panel for each entry of `panels` and one for the speed; every run is a colour.

    Args:
        runs: label → folder of the run.
        panels: title → names of numbers in metrics.jsonl; those of the validation ("val/…") get dots.

    Raises:
        ValueError: no run has any number of a panel.
    """
    figure = Figure(figsize=(3.7 * (len(panels) + 1), 3.1), layout="constrained")
    axes = figure.subplots(1, len(panels) + 1)
    for ax, (title, names) in zip(axes[:-1], panels.items(), strict=True):
        for number, (label, run) in enumerate(runs.items()):
            lines = read_metrics(Path(run) / "metrics.jsonl")
            for name in names:
                points = [(line["step"], line[name]) for line in lines if name in line]
                split = "val" if name.startswith("val/") else "train"
                _curve(ax, points, name, f"{label}, {split}" if len(names) > 1 else label, number)
        require(ax.lines, f"{', '.join(map(str, runs.values()))}: no run has noted any of {', '.join(names)}")
        ax.set(title=title, xlabel="step")
        ax.legend(fontsize=8, frameon=False)
    for number, run in enumerate(runs.values()):
        _curve(axes[-1], _pace(read_metrics(Path(run) / "timing.jsonl")), SPEED, None, number)
    axes[-1].set(title=SPEED, xlabel="step", ylim=(0, None))
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _curve(ax: Axes, points: list[tuple[int, float]], name: str, label: str | None, colour: int) -> None:
    if points:
        judged = name.startswith("val/")
        style = (
            {"marker": "o", "markersize": 4, "linewidth": 1, "alpha": 0.7} if judged else {"linewidth": 1.6}
        )
        ax.plot(*zip(*points, strict=True), color=f"C{colour}", label=label, **style)


def _pace(lines: list[dict]) -> list[tuple[int, float]]:
    """Speed between neighbouring lines; the clock starts anew where a run was resumed."""
    return [
        (b["step"], (b["step"] - a["step"]) / (b["seconds"] - a["seconds"]))
        for a, b in pairwise([{"step": 0, "seconds": 0.0}, *lines])
        if b["seconds"] > a["seconds"]
    ]
