"""How an action is done, by action class: generated motions against real ones.

FID and R-precision see neither a run at walking speed nor a bow of half the depth. So five numbers of every motion
(`mmm.motion.measures.movement`) are compared with those of the real clips of the same action class: the medians of
both, and the Wasserstein distance of the two distributions. It has the unit of the number, and says by how much the
numbers of one must be changed on average to become those of the other. Where a data set states action classes, they
are the "content" of its programs (`MotionFolder.program`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import wasserstein_distance

from mmm.data import MotionFolder
from mmm.viz.table import markdown_table

MEASURES = {
    "speed": "speed (m/s)",
    "turning": "turning (°)",
    "lean": "lean (°)",
    "left_arm": "left arm (°)",
    "right_arm": "right arm (°)",
}
FEWEST = 8  # clips of a class; the distributions of fewer say nothing
Numbers = Mapping[str, Float[np.ndarray, " n"]]


def action_classes(folder: MotionFolder, clips: Sequence[str]) -> list[str | None]:
    """The action class of each clip, None where the data set does not state one."""
    return [(folder.program(clip) or {}).get("content") for clip in clips]


def by_class(
    classes: Sequence[str | None], real: Numbers, others: Mapping[str, Numbers]
) -> dict[str, dict[str, Any]]:
    """Real motions against those of other rows, within each action class that has at least FEWEST motions.

    Args:
        classes: of the n motions. real: their MEASURES by name. others: row → the MEASURES of its n motions.
    Returns:
        class → {"clips": n, "real": {measure: median}, ROW: {measure: {"median", "distance"}}}, sorted by name.
    """
    table = {}
    for name in sorted({each for each in classes if each is not None}):
        items = np.array([each == name for each in classes])
        if items.sum() < FEWEST:
            continue
        table[name] = {
            "clips": int(items.sum()),
            "real": {key: float(np.median(real[key][items])) for key in MEASURES},
        }
        for row, numbers in others.items():
            table[name][row] = {
                key: {
                    "median": float(np.median(numbers[key][items])),
                    "distance": float(wasserstein_distance(real[key][items], numbers[key][items])),
                }
                for key in MEASURES
            }
    return table


def mean_tables(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of every number of `by_class` over the repeats that have it."""
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: _mean([table[name] for table in tables if name in table]) for name in names}


def _mean(values: Sequence[Any]) -> Any:
    return mean_tables(values) if isinstance(values[0], Mapping) else float(np.mean(values))


def class_table(table: Mapping[str, Mapping[str, Any]], row: str) -> str:
    """Markdown: real median → median of the row (distance), a line for each class; "" if there are no classes."""
    classes = {name: about for name, about in table.items() if row in about}
    if not classes:
        return ""
    lines = [
        [f"{name} ({about['clips']:.0f})", *(_cell(key, about["real"], about[row]) for key in MEASURES)]
        for name, about in classes.items()
    ]
    return markdown_table(["action class (clips)", *MEASURES.values()], lines)


def _cell(measure: str, real: Mapping[str, float], row: Mapping[str, Mapping[str, float]]) -> str:
    digits = 2 if measure == "speed" else 0
    numbers = (real[measure], row[measure]["median"], row[measure]["distance"])
    one, other, distance = (f"{round(x, digits) + 0.0:.{digits}f}" for x in numbers)  # + 0.0: not "-0"
    return f"{one} → {other} ({distance})"
