"""`mmm evaluate --edits …`: a kind of edits measured on a split, with tables, a figure and a manifest in a folder.

evaluate_edits("gaps", model, folder, load_evaluator(folder), EditConfig(clips=20), "runs/edits/gaps")
found = load_edits("runs/edits/gaps")
found.tables["summary"], found.rows
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mmm.data import MotionFolder
from mmm.errors import atomic_dir, check_replaceable, require
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.protocol import ProtocolConfig, check_model, model_hash
from mmm.lab.edits import bodies, gaps, long, plots
from mmm.lab.edits.clips import HeldOut
from mmm.lab.edits.judge import Judge
from mmm.lab.edits.report import report
from mmm.model import MMM
from mmm.training.run_folder import write_json, write_manifest
from mmm.viz.style import small_png

FORMAT = "mmm-edits-1"
KINDS = ("gaps", "bodies", "long")
FILE = "results.json"


@dataclass(frozen=True)
class EditConfig:
    """Settings of `evaluate_edits`.

    Args:
        split: whose clips are edited.
        clips: how many: clips (gaps), pairs of a clip and an action (bodies), sequences (long; 60 by default); all by
            default.
        seed: of clips, captions, pools and noise.
        pool: motions that a text is to find its own among.
        guidance: of the sampler, the model's own by default; bodies: this one alone instead of 0, 1, 2 and 4.
        steps, temperature, remask: of the sampler.
    """

    split: str = "val"
    clips: int | None = None
    seed: int = 0
    pool: int = 32
    guidance: float | None = None
    steps: int | None = None
    temperature: float = 1.0
    remask: str = "least"

    def sampler(self) -> dict[str, Any]:
        """Options of the sampler but for guidance."""
        return {"steps": self.steps, "temperature": self.temperature, "remask": self.remask}


@dataclass(frozen=True)
class Edits:
    """What was found: tables by name, and a row for each clip, pair or window."""

    kind: str
    config: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    rows: pd.DataFrame


def evaluate_edits(
    kind: str,
    model: MMM,
    folder: MotionFolder,
    evaluator: Evaluator,
    config: EditConfig | None = None,
    out: str | os.PathLike[str] = "runs/edits",
    *,
    progress: bool = True,
    other_splits: bool = False,
) -> Edits:
    """Measure edits of one kind; `out` gets results.json, results.md, rows.csv, figure.png, manifest.json at once.

    Args:
        kind: "gaps" (in-betweening), "bodies" (upper-body edits) or "long" (sequences).
        out: the folder; one with results of ours is replaced.
        other_splits: allow data of other splits than the model was trained on.
    Raises:
        ValueError: another kind; `out` is something else; a model of other data, or without body parts where these
            are edited; too few clips of a kind.
    """
    require(kind in KINDS, f"kind is {kind!r}, expected one of {', '.join(KINDS)}.")
    config, began = config or EditConfig(), time.perf_counter()
    check_replaceable(out, FILE)
    asked = ProtocolConfig(
        split=config.split, seed=config.seed, pool=config.pool, guidance=config.guidance, lengths=("given",)
    )
    check_model(model, folder, asked, other_splits)
    held = HeldOut.open(folder, config.split, config.seed)
    judge = Judge.of(evaluator, held, config.pool)
    rows, tables, figure = {"gaps": _gaps, "bodies": _bodies, "long": _long}[kind](
        model, judge, config, progress
    )
    told = {
        **dataclasses.asdict(config),
        "guidance_of_model": model.info.get("guidance", 1.0),
        "parts": model.tokenizer.config.parts,
        "model": model_hash(model),
        "evaluator": evaluator.name,
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
    }
    found = Edits(kind, told, {name: _flat(table) for name, table in tables.items()}, rows)
    with atomic_dir(out, FILE) as part:
        seconds = round(time.perf_counter() - began, 1)
        write_manifest(part / "manifest.json", {"device": str(model.device), "seconds": seconds, **told})
        manifest = json.loads((part / "manifest.json").read_text())
        content = {name: _records(table) for name, table in found.tables.items()}
        write_json(
            part / FILE,
            {"format": FORMAT, "kind": kind, "config": told, "tables": content, "manifest": manifest},
        )
        rows.to_csv(part / "rows.csv", index=False, float_format="%.6g")
        (part / "results.md").write_text(report(kind, told, found.tables, manifest), encoding="utf-8")
        (part / "figure.png").write_bytes(small_png(figure))
    return found


def load_edits(path: str | os.PathLike[str]) -> Edits:
    """What `evaluate_edits` wrote into a folder.

    Raises:
        FileNotFoundError: there is nothing. ValueError: the file is none of ours, or damaged.
    """
    file = Path(path) / FILE
    require(file.is_file(), f"there is no {file}; run `mmm evaluate --edits …` first.", FileNotFoundError)
    try:
        told = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); run `mmm evaluate --edits …` again.") from error
    require(
        isinstance(told, dict) and told.get("format") == FORMAT,
        f"{file} is not of format {FORMAT!r}; give a folder that `mmm evaluate --edits …` wrote.",
    )
    tables = {name: pd.DataFrame(records) for name, records in told["tables"].items()}
    return Edits(told["kind"], told["config"], tables, pd.read_csv(Path(path) / "rows.csv"))


Made = tuple[pd.DataFrame, dict[str, pd.DataFrame], Figure]


def _gaps(model: MMM, judge: Judge, config: EditConfig, progress: bool) -> Made:
    guided = {} if config.guidance is None else {"guidance": config.guidance}
    rows, judged = gaps.measure_gaps(
        model, judge, gaps.GAPS, config.clips, progress=progress, **config.sampler(), **guided
    )
    summary, less = gaps.gap_tables(rows, judged, judge.held)
    tables = {"summary": summary, "less": less, "wins": gaps.wins_table(less)}
    return rows, tables, plots.plot_gaps(summary, gaps.GAPS, judge.held.folder.fps)


def _bodies(model: MMM, judge: Judge, config: EditConfig, progress: bool) -> Made:
    values = bodies.GUIDANCE if config.guidance is None else (config.guidance,)
    rows = bodies.measure_bodies(model, judge, values, config.clips, progress, **config.sampler())
    tables = bodies.body_tables(rows)
    return rows, tables, plots.plot_bodies(tables["methods"], tables["arms"])


def _long(model: MMM, judge: Judge, config: EditConfig, progress: bool) -> Made:
    guided = {} if config.guidance is None else {"guidance": config.guidance}
    rows, embedded = long.measure_long(
        model, judge, long.TRANSITIONS, config.clips, progress, **config.sampler(), **guided
    )
    summary, less = long.long_tables(rows, embedded, judge.held)
    return rows, {"summary": summary, "less": less}, plots.plot_long(summary)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """What a table is grouped by as columns."""
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, which has no NaN."""
    return json.loads(table.to_json(orient="records", double_precision=6))
