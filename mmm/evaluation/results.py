"""The results of an evaluation: numbers of every repeat, their intervals, the paper's table, stored embeddings.

    results = load_results("runs/evaluate-bandai-small-bandai")
    results.interval("given", "fid")             # mean ± half of the 95 % interval
    results.table()                              # Markdown
    results.stored(0)["given"]                   # (n, d) embeddings of repeat 0's motions; `clip` says of which clips

The folder holds config.yaml, manifest.json, repeats/ (one JSON and one safetensors file for each repeat), timing.json,
and at the end results.json and results.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from mmm.errors import atomic_write, read_json, require
from mmm.evaluation.actions import class_table, mean_tables
from mmm.evaluation.config import LENGTHS
from mmm.evaluation.metrics import Interval, interval
from mmm.storage import read_tensors
from mmm.training.run_folder import write_json
from mmm.viz.table import markdown_table

# Published results on the data sets of the paper, computed with the evaluator of Guo et al.; none of them is ours.
# Source: the tables of MMM (arXiv 2312.03596) and of the papers named, see docs/REPRODUCTION.md, "Evaluation". Which of
# the two rows of MMM used the given length is our reading.
COLUMNS = ("r1", "r2", "r3", "fid", "mm_dist", "diversity", "multimodality", "aits")

PUBLISHED = {
    "humanml3d": {
        "real motion": (0.511, 0.703, 0.797, 0.002, 2.974, 9.503, None, None),
        "MDM (as corrected by its author)": (0.418, 0.604, 0.707, 0.489, 3.63, 9.45, 2.87, None),
        "MLD": (0.481, 0.673, 0.772, 0.473, 3.196, 9.724, 2.413, 0.22),
        "T2M-GPT": (0.491, 0.680, 0.775, 0.116, 3.118, 9.761, 1.856, 0.56),
        "MMM, predicted length": (0.504, 0.696, 0.794, 0.080, 2.998, 9.411, 1.164, 0.081),
        "MMM, given length": (0.515, 0.708, 0.804, 0.089, 2.926, 9.577, 1.226, 0.081),
        "MoMask": (0.521, 0.713, 0.807, 0.045, 2.958, None, 1.241, None),
        "BAMM": (0.525, 0.720, 0.814, 0.055, 2.919, 9.717, 1.687, 0.41),
    },
    "kit": {
        "real motion": (0.424, 0.649, 0.779, 0.031, 2.788, 11.08, None, None),
        "MMM, predicted length": (0.381, 0.590, 0.718, 0.429, 3.146, 10.633, 1.105, None),
        "MMM, given length": (0.404, 0.621, 0.744, 0.316, 2.977, 10.91, 1.232, None),
    },
}


def published(data: str, evaluator: str) -> dict[str, dict[str, float]]:
    """Row → metric → published value, for a data set of the paper and the evaluator of Guo et al.; else nothing.

    Args:
        data: the folder's name. evaluator: the evaluator's name, which begins with "guo" for theirs.
    """
    if not evaluator.startswith("guo"):
        return {}
    return {
        row: {name: value for name, value in zip(COLUMNS, values, strict=True) if value is not None}
        for row, values in PUBLISHED.get(data, {}).items()
    }


FORMAT = "mmm-evaluation-1"
NUMBERS = "repeats/{:03d}.json"
EMBEDDINGS = "repeats/{:03d}.safetensors"

ROWS = {
    "real": "real motion",
    "real_real": "real against real",
    "reconstruction": "tokenizer's reconstruction",
    "given": "generated, given length",
    "estimated": "generated, estimated length",
}
QUALITY = {
    "r1": "R@1 ↑",
    "r2": "R@2 ↑",
    "r3": "R@3 ↑",
    "fid": "FID ↓",
    "fid_halves": "split-half FID ↓",
    "mm_dist": "MM-Dist ↓",
    "diversity": "Diversity →",
    "multimodality": "MultiModality ↑",
}
PHYSICAL = {
    "skating": "foot skating",
    "slip": "foot slip (cm per m)",
    "jerk_mean": "jerk, mean (m/s³)",
    "jerk_peak": "jerk, peak (m/s³)",
    "bone_length_drift": "bone length drift (cm)",
    "bone_stretch": "bone stretch (cm)",
    "floor_penetration": "floor penetration (cm)",
    "mpjpe_local": "MPJPE local (cm)",
    "mpjpe_global": "MPJPE global (cm)",
    "pa_mpjpe": "PA-MPJPE (cm)",
}
CLASSES = (
    "How actions are done, by action class: median of real motions → median of the row “{}” (Wasserstein "
    "distance). Speed is of the root, turning is in all and positive to the left, lean is the amplitude of the "
    "trunk's, an arm's angle is its highest (0 hanging, 180 upright)."
)


@dataclass(frozen=True)
class Results:
    """The results in one folder.

    Attributes:
        folder: where they are.
        config: the resolved settings, with what was evaluated (model, evaluator, data, hashes).
        rows: row → metric → its value in each repeat (MultiModality: in those that have it).
        clips: motions of each repeat.
        timing: AITS and related times (`mmm.evaluation.timing`), and `seconds` of every repeat.
        manifest: code, packages and machine.
        classes: means over the repeats of `mmm.evaluation.actions.by_class`; empty for data without action classes.
    """

    folder: Path
    config: dict[str, Any]
    rows: dict[str, dict[str, list[float]]]
    clips: int
    timing: dict[str, Any]
    manifest: dict[str, Any]
    classes: dict[str, Any] = field(default_factory=dict)

    def interval(self, row: str, metric: str) -> Interval | None:
        """Mean and half of the 95 % interval over the repeats; None if the row does not have the metric."""
        values = self.rows.get(row, {}).get(metric)
        return interval(values) if values else None

    def stored(self, repeat: int) -> dict[str, Tensor]:
        """What a repeat drew and embedded: (n,) clip, caption, start, frames; (n, d) text and each row;
        (n,) ROW.frames and ROW.seeds; (n, 31) distractors in our protocol. `clip` counts within the pack of the
        split, `caption` within the captions of the clip.

        Raises:
            FileNotFoundError, ValueError: the file is missing or damaged.
        """
        tensors = _load_tensors(self.folder / EMBEDDINGS.format(repeat))
        if "real" not in tensors:  # the same in all repeats, stored once
            first = _load_tensors(self.folder / EMBEDDINGS.format(0))
            tensors |= {row: first[row] for row in ("real", "reconstruction")}
        return tensors

    def table(self) -> str:
        """The paper's table in Markdown; below our rows, marked, published results on the same data."""
        rows = {ROWS[row]: self._cells(row, QUALITY) for row in self.rows}
        for name, values in self._published().items():
            rows[f"*{name} (published)*"] = {metric: f"{value:.3f}" for metric, value in values.items()}
        return _table(QUALITY, rows)

    def physical_table(self) -> str:
        """Foot skating, jerk and related numbers in Markdown; for the reconstruction also its error."""
        rows = {ROWS[row]: self._cells(row, PHYSICAL) for row in self.rows}
        return _table(PHYSICAL, {name: cells for name, cells in rows.items() if cells})

    def class_table(self, row: str | None = None) -> str:
        """How actions are done, by action class, in Markdown: of `row`, by default the first generated one."""
        row = row or next(name for name in self.rows if name in LENGTHS)
        table = class_table(self.classes, row)
        return f"{CLASSES.format(ROWS[row])}\n\n{table}" if table else ""

    def speed_table(self) -> str:
        """AITS and the wall time in Markdown; these differ from run to run."""
        rows = []
        if "aits" in self.timing:
            t = self.timing
            rows += [
                (
                    f"AITS: one sentence to features, batch size 1, mean of {t['clips']} clips",
                    f"{t['aits']:.4f} s",
                ),
                ("these clips one by one", f"{t['one_by_one']:.1f} s"),
                ("of which the text encoder", f"{t['text']:.1f} s"),
                ("the same clips in bulk, without the text encoder", f"{t['bulk']:.1f} s"),
                ("faster in bulk, with the text encoder in both", f"{t['speed_up']:.1f} ×"),
                ("faster in bulk, sampling alone", f"{t['speed_up_sampling']:.1f} ×"),
            ]
        for name, values in self._published().items():
            if "aits" in values:
                rows.append((f"*AITS of {name} (published, another machine)*", f"{values['aits']:g} s"))
        total = sum(seconds["total"] for seconds in self.timing["seconds"])
        repeats = len(self.timing["seconds"])
        rows.append((f"the evaluation itself, {repeats} × {self.clips} clips in each row", f"{total:.0f} s"))
        return markdown_table(("time", ""), rows)

    def report(self) -> str:
        """results.md: the tables, and what one has to know to read them."""
        config, protocol, manifest = self.config, self.config["protocol"], self.manifest
        repeats = len(self.timing["seconds"])
        spread = "mean ± 95 % interval" if repeats > 1 else "no intervals"
        pools = (
            "pieces of clips and pools of batch mates as in Guo et al., last batch dropped; real against real is two "
            "draws of pieces"
            if protocol["official"]
            else f"the pool of a text is its motion and {protocol['pool'] - 1} that it does not describe. Split-half "
            f"FID: one half of the real clips against the other half ({self.clips // 2} clips each), real or of the "
            "row; it is above FID, because few clips bias FID upwards"
        )
        multimodality = {"one": "in one repeat", "all": "in all repeats", "none": "not computed"}
        text = (
            f"Model {config['model']}, data {config['data']} ({protocol['split']}, {self.clips} clips, hash "
            f"{config['data_hash']}), evaluator {config['evaluator']}. Repeats: {repeats}, {spread}; seed "
            f"{protocol['seed']}, precision of sampling {protocol['precision']}. R-precision: {pools}. MultiModality "
            f"{multimodality[protocol['multimodality']]}. Numbers of different evaluators cannot be compared, nor FIDs "
            "of different numbers of clips."
        )
        machine = "Git revision {git_revision}, device {device}, {threads} threads.".format(**manifest)
        tables = [self.table(), self.physical_table(), self.class_table(), self.speed_table()]
        return "\n\n".join(["# Evaluation", text, *filter(None, tables), machine]) + "\n"

    def save(self) -> None:
        """Write results.json and results.md into the folder."""
        rows = {
            row: {name: _summary(values) for name, values in metrics.items()}
            for row, metrics in self.rows.items()
        }
        content = {"format": FORMAT, "config": self.config, "clips": self.clips, "rows": rows}
        content |= {"classes": self.classes, "timing": self.timing, "manifest": self.manifest}
        write_json(self.folder / "results.json", content)
        with atomic_write(self.folder / "results.md") as part:
            part.write_text(self.report(), encoding="utf-8")

    def _published(self) -> dict[str, dict[str, float]]:
        return published(self.config["data"], self.config["evaluator"])

    def _cells(self, row: str, columns: Mapping[str, str]) -> dict[str, str]:
        """No ± where a number is the same in all repeats, such as the error of the reconstruction."""
        values = {name: self.rows[row][name] for name in columns if name in self.rows[row]}
        return {name: str(interval(v if len(set(v)) > 1 else v[:1])) for name, v in values.items()}


def _summary(values: list[float]) -> dict[str, Any]:
    mean, half = interval(values)
    return {"mean": mean, "half": half if len(values) > 1 else None, "values": values}


def _table(columns: Mapping[str, str], rows: Mapping[str, Mapping[str, str]]) -> str:
    """Rows by name; columns that no row has are left out."""
    shown = [name for name in columns if any(name in cells for cells in rows.values())]
    lines = [[row, *(cells.get(name, "") for name in shown)] for row, cells in rows.items()]
    return markdown_table(["", *(columns[name] for name in shown)], lines)


def missing_repeats(folder: Path, repeats: int) -> list[int]:
    """Which of the first `repeats` repeats are not in `folder`."""
    return [repeat for repeat in range(repeats) if not (folder / NUMBERS.format(repeat)).is_file()]


def save_repeat(folder: Path, repeat: int, numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write one repeat. The embeddings first: a repeat whose numbers exist is complete."""
    tensors = {name: x.clone(memory_format=torch.contiguous_format) for name, x in tensors.items()}
    with atomic_write(folder / EMBEDDINGS.format(repeat)) as part:
        save_file(tensors, part)
    write_json(folder / NUMBERS.format(repeat), {"repeat": repeat, **numbers})


def collect(folder: str | os.PathLike[str]) -> Results:
    """Read as many repeats from `folder` as its config says, and write results.json and results.md.

    Raises:
        FileNotFoundError: a repeat is missing.
        ValueError: a file is damaged.
    """
    folder = Path(folder)
    config = read_config(folder)
    require(config is not None, f"{folder} holds no evaluation: it has no config.yaml.", FileNotFoundError)
    repeats = [_read(folder / NUMBERS.format(r)) for r in range(config["protocol"]["repeats"])]
    rows: dict[str, dict[str, list[float]]] = {}
    for repeat in repeats:
        for row, numbers in repeat["rows"].items():
            for name, value in numbers.items():
                rows.setdefault(row, {}).setdefault(name, []).append(value)
    timing = _read(folder / "timing.json") if (folder / "timing.json").is_file() else {}
    timing["seconds"] = [repeat["seconds"] for repeat in repeats]
    manifest = _read(folder / "manifest.json")
    classes = mean_tables([repeat.get("classes", {}) for repeat in repeats])
    results = Results(folder, config, rows, repeats[0]["clips"], timing, manifest, classes)
    results.save()
    return results


def load_results(path: str | os.PathLike[str]) -> Results:
    """The results in a folder that `evaluate` wrote, or in its results.json.

    Raises:
        FileNotFoundError: there are none, or the evaluation has not ended.
        ValueError: the file is damaged or holds something else.
    """
    path = Path(path)
    file = path / "results.json" if path.is_dir() else path
    require(
        file.is_file(),
        f"there is no {file}; run `mmm evaluate` to its end (the same call continues where it stopped).",
        FileNotFoundError,
    )
    content = _read(file)
    require(
        content.get("format") == FORMAT,
        f"{file} has format {content.get('format')!r}, expected {FORMAT!r}; give what `mmm evaluate` wrote.",
    )
    rows = {
        row: {name: summary["values"] for name, summary in metrics.items()}
        for row, metrics in content["rows"].items()
    }
    parts = (content[name] for name in ("clips", "timing", "manifest"))
    return Results(file.parent, content["config"], rows, *parts, content.get("classes", {}))


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The config.yaml of an evaluation; None where there is none."""
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        return None
    config = yaml.safe_load(path.read_text())
    require(
        isinstance(config, dict) and "protocol" in config and "evaluator" in config,
        f"{path} is not of an evaluation; name another folder.",
    )
    return config


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, "delete it and run the evaluation again, it continues there", finite=False)


def _load_tensors(path: Path) -> dict[str, Tensor]:
    return read_tensors(path, "delete it and its .json and run the evaluation again")[0]
