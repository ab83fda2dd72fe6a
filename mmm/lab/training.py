"""How a training run went, drawn from its files metrics.jsonl and timing.jsonl (chapters 02, 03 and 08)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmm.errors import require
from mmm.training.run_folder import read_metrics
from mmm.viz.style import bare, panels

SPEED = "steps per second"


def plot_training(runs: Mapping[str, str | os.PathLike[str]], metrics: Mapping[str, Sequence[str]]) -> Figure:
    """One panel for each entry of `metrics` and one for the speed; every run is a colour.

    Args:
        runs: label → folder of the run.
        metrics: title → names of numbers in metrics.jsonl; those of the validation ("val/…") get dots.

    Raises:
        ValueError: no run has logged any number of a panel.
    """
    figure, axes = panels((3.7 * (len(metrics) + 1), 3.1), 1, len(metrics) + 1)
    for ax, (title, names) in zip(axes[:-1], metrics.items(), strict=True):
        for number, (label, run) in enumerate(runs.items()):
            lines = read_metrics(Path(run) / "metrics.jsonl")
            for name in names:
                points = [(line["step"], line[name]) for line in lines if name in line]
                split = "val" if name.startswith("val/") else "train"
                _curve(ax, points, name, f"{label}, {split}" if len(names) > 1 else label, number)
        require(
            ax.lines, f"{', '.join(map(str, runs.values()))}: no run has logged any of {', '.join(names)}"
        )
        ax.set(title=title, xlabel="step")
        ax.legend(fontsize=8, frameon=False)
    for number, run in enumerate(runs.values()):
        _curve(axes[-1], _speed(read_metrics(Path(run) / "timing.jsonl")), SPEED, None, number)
    axes[-1].set(title=SPEED, xlabel="step", ylim=(0, None))
    for ax in axes:
        ax.grid(alpha=0.3)
    bare(axes)
    return figure


def _curve(ax: Axes, points: list[tuple[int, float]], name: str, label: str | None, colour: int) -> None:
    dotted = {"marker": "o", "markersize": 4, "linewidth": 1, "alpha": 0.7}
    style = dotted if name.startswith("val/") else {"linewidth": 1.6}
    if points:
        ax.plot(*zip(*points, strict=True), color=f"C{colour}", label=label, **style)


def _speed(lines: list[dict]) -> list[tuple[int, float]]:
    """Speed between neighbouring lines; the clock starts again where a run was resumed."""
    return [
        (b["step"], (b["step"] - a["step"]) / (b["seconds"] - a["seconds"]))
        for a, b in pairwise([{"step": 0, "seconds": 0.0}, *lines])
        if b["seconds"] > a["seconds"]
    ]
