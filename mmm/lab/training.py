"""How a training run went, drawn from its files metrics.jsonl and timing.jsonl (chapters 02, 03 and 08)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mmm.errors import require
from mmm.training.run_folder import read_metrics
from mmm.viz.style import panels, styled

SPEED = "steps per second"


@styled
def plot_training(runs: Mapping[str, str | os.PathLike[str]], metrics: Mapping[str, Sequence[str]]) -> Figure:
    """One panel for each entry of `metrics` and one for the speed; every run is a colour.

    Args:
        runs: label → folder of the run.
        metrics: title → names of numbers in metrics.jsonl; those of the validation ("val/…") get dots.

    Raises:
        ValueError: no run has logged any number of a panel.
    """
    count = len(metrics) + 1
    figure, (*axes, speed) = panels((3.7 * count, 3.1), columns=count, grid=True)
    for number, (label, run) in enumerate(runs.items()):
        logged = pd.DataFrame([{"step": 0}, *read_metrics(Path(run) / "metrics.jsonl")]).set_index("step")
        for ax, names in zip(axes, metrics.values(), strict=True):
            for name in logged.columns.intersection(names, sort=False):
                validation = name.startswith("val/")
                style = {"marker": "o", "ms": 4, "lw": 1, "alpha": 0.7} if validation else {"lw": 1.6}
                split = f", {'val' if validation else 'train'}" if len(names) > 1 else ""
                ax.plot(logged[name].dropna(), color=f"C{number}", label=label + split, **style)
        steps = pd.DataFrame([{"step": 0, "seconds": 0.0}, *read_metrics(Path(run) / "timing.jsonl")])
        between = steps.diff()  # the clock starts again where a run was resumed
        per_second = (between["step"] / between["seconds"])[between["seconds"] > 0]
        speed.plot(steps["step"][per_second.index], per_second, color=f"C{number}")
    for ax, (title, names) in zip(axes, metrics.items(), strict=True):
        folders = ", ".join(map(str, runs.values()))
        require(ax.lines, f"{folders}: no run has logged any of {', '.join(names)}")
        ax.set(title=title, xlabel="step")
        ax.legend()
    speed.set(title=SPEED, xlabel="step", ylim=(0, None))
    return figure
