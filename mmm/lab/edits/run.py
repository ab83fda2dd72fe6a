"""`mmm evaluate --edits …`: evaluate edits of one kind on a split; tables, a figure and a manifest go to a folder.

evaluate_edits("gaps", model, folder, load_evaluator(folder), EditConfig(clips=20), "runs/edits/gaps")
results = load_edits("runs/edits/gaps")
results.tables["summary"], results.rows
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
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.protocol import check_model, model_hash
from mmm.lab.edits import bodies, gaps, long, plots
from mmm.lab.edits.held_out import EditConfig, HeldOut
from mmm.model import MMM
from mmm.training.run_folder import write_json, write_manifest
from mmm.viz.style import small_png
from mmm.viz.table import markdown_table

FORMAT = "mmm-edits-1"
FILE = "results.json"

Study = tuple[pd.DataFrame, dict[str, pd.DataFrame], Figure]  # rows, tables, figure


@dataclass(frozen=True)
class Edits:
    """Results: tables by name, and a row for each clip, pair or window."""

    kind: str
    config: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    rows: pd.DataFrame


def _gaps(model: MMM, held: HeldOut, progress: bool) -> Study:
    rows, embeddings = gaps.evaluate_gaps(model, held, gaps.GAPS, progress)
    tables = gaps.gap_tables(rows, embeddings, held)
    return rows, tables, plots.plot_gaps(tables["summary"], gaps.GAPS, held.folder.fps)


def _bodies(model: MMM, held: HeldOut, progress: bool) -> Study:
    guidance = bodies.GUIDANCE if held.config.guidance is None else (held.config.guidance,)
    rows = bodies.evaluate_bodies(model, held, guidance, progress)
    tables = bodies.body_tables(rows)
    return rows, tables, plots.plot_bodies(tables["methods"], tables["arms"])


def _long(model: MMM, held: HeldOut, progress: bool) -> Study:
    rows, embeddings = long.evaluate_long(model, held, long.TRANSITIONS, progress)
    tables = long.long_tables(rows, embeddings, held)
    return rows, tables, plots.plot_long(tables["summary"])


STUDIES = {"gaps": _gaps, "bodies": _bodies, "long": _long}


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
    """Evaluate edits of one kind; `out` gets results.json, results.md, rows.csv, figure.png, manifest.json at once.

    Args:
        kind: "gaps" (in-betweening), "bodies" (upper-body edits) or "long" (sequences).
        out: the folder; one with results of ours is replaced.
        other_splits: allow data of other splits than the model was trained on.
    Raises:
        ValueError: another kind; `out` is something else; a model of other data, or without body parts if these are
            edited; too few clips of a kind.
    """
    require(kind in STUDIES, f"kind is {kind!r}, expected one of {', '.join(STUDIES)}.")
    config, start = config or EditConfig(), time.perf_counter()
    check_replaceable(out, FILE)
    settings = dataclasses.asdict(config)
    shared = {name: value for name, value in settings.items() if name != "clips"}
    check_model(model, folder, ProtocolConfig(lengths=("given",), **shared), other_splits)
    rows, tables, figure = STUDIES[kind](model, HeldOut.open(folder, evaluator, config), progress)
    tables = {name: _with_index(table) for name, table in tables.items()}
    facts = {
        **settings,
        "guidance_of_model": model.guidance,
        "parts": model.tokenizer.config.parts,
        "model": model_hash(model),
        "evaluator": evaluator.name,
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
    }
    with atomic_dir(out, FILE) as part:
        seconds = round(time.perf_counter() - start, 1)
        write_manifest(part / "manifest.json", {"device": str(model.device), "seconds": seconds, **facts})
        manifest = json.loads((part / "manifest.json").read_text())
        records = {
            name: json.loads(table.to_json(orient="records", double_precision=6))  # NaN becomes null
            for name, table in tables.items()
        }
        content = {"format": FORMAT, "kind": kind, "config": facts, "tables": records, "manifest": manifest}
        write_json(part / FILE, content)
        rows.to_csv(part / "rows.csv", index=False, float_format="%.6g")
        (part / "results.md").write_text(report(kind, tables, manifest), encoding="utf-8")
        (part / "figure.png").write_bytes(small_png(figure))
    return Edits(kind, facts, tables, rows)


def _with_index(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its index as columns."""
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()


def load_edits(path: str | os.PathLike[str]) -> Edits:
    """The results that `evaluate_edits` wrote into a folder.

    Raises:
        FileNotFoundError: there are none. ValueError: the file is none of ours, or damaged.
    """
    file = Path(path) / FILE
    require(file.is_file(), f"there is no {file}; run `mmm evaluate --edits …` first.", FileNotFoundError)
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); run `mmm evaluate --edits …` again.") from error
    require(
        isinstance(content, dict) and content.get("format") == FORMAT,
        f"{file} is not of format {FORMAT!r}; give a folder that `mmm evaluate --edits …` wrote.",
    )
    tables = {name: pd.DataFrame(records) for name, records in content["tables"].items()}
    return Edits(content["kind"], content["config"], tables, pd.read_csv(Path(path) / "rows.csv"))


# ---------------------------------------------------------------------- results.md

TITLES = {"gaps": "In-betweening by gap", "bodies": "Upper-body edits", "long": "Long sequences"}
SHOWN = {  # table → its columns; () shows all
    "gaps": {
        "summary": ("gap", "method", "clips", "mpjpe_world", "mpjpe_local", "fid", "fid_halves", "fid_gap", "r1",
                    "r1_gap", "seam_jerk", "interior_jerk", "seam_excess", "skating", "kept_error"),
        "wins": ("measure", "method", "linear", "cubic"),
    },
    "bodies": {
        "methods": ("method", "clips", "done", "only", "r1", "r3", "lower_error", "moved", "jerk", "skating"),
        "trained": ("trained", "method", "clips", "done", "only", "r1"),
        "seen": (),
    },
    "long": {"summary": ("kind", "clips", "seam_peak", "peak", "mean", "skating", "fid", "r1")},
}  # fmt: skip
NOTES = {
    "gaps": (
        "Gaps lie in the middle of the clip. Columns: errors over the frames of the gap (cm); FID of whole clips "
        "against the same real clips, split-half FID (fid_halves; the row real is the floor), FID of the gap's frames "
        "alone (24 or more); R@1 of the caption among 31 real clips that it does not describe, for the whole clip and "
        "for the gap alone; peak jerk at the ends of the gap, the same within the gap, and the difference (m/s³); foot "
        "skating; the largest error of a kept frame (cm). FIDs of different gaps are of different numbers of clips. "
        "Second table: the shortest gap from which on the model is better than a curve in all longer ones, by the 95 % "
        "interval of paired differences; a dash: not even in the longest one."
    ),
    "bodies": (
        "Pairs of a clip that walks, runs or turns and an action of the arms. Columns: the oracle sees the action "
        "(done), and no other action of the arms (only); R@1, R@3 of the requested text among 31 real clips that it "
        "does not describe; the largest error of a joint of the lower body (cm), mean movement of the upper one (cm), "
        "mean jerk (m/s³), foot skating. Unedited is the floor. Real is a real clip of the action, mostly on the spot. "
        "Pasted has its upper body on the edited clip's legs: what oracle and evaluator see of an action that is "
        "certainly there. Guidance 0 does not read the text. Trained: training shows legs and arms at once. No clip of "
        "Bandai does, so neither model nor evaluator has ever met what is requested there. Intervals are over pairs; "
        "those of one clip are not independent."
    ),
    "long": (
        "Windows of 64 frames around the transitions of sequences of three actions. Columns: peak jerk of the 8 frames "
        "in the middle, peak and mean of the window (m/s³); foot skating; FID against windows of other real clips "
        "(real action is its floor, and no real clip holds two actions); R@1 of the whole generated action left of the "
        "transition with its text."
    ),
}


def report(kind: str, tables: dict[str, pd.DataFrame], manifest: dict[str, Any]) -> str:
    """The tables in Markdown, and what one needs to read them."""
    facts = (
        "Model {model} ({parts} body part(s)), data {data} ({split}, hash {data_hash}), evaluator {evaluator}, seed "
        "{seed}. Git revision {git_revision}, device {device}, {threads} threads, {seconds:.0f} s."
    ).format(**manifest)
    shown = [markdown(tables[name], columns) for name, columns in SHOWN[kind].items()]
    return "\n\n".join([f"# {TITLES[kind]}", facts, NOTES[kind], *shown]) + "\n"


def markdown(table: pd.DataFrame, columns: tuple[str, ...] = ()) -> str:
    """Some columns of a table, or all; a mean and half of its 95 % interval (COLUMN_half) are one cell."""
    names = [name for name in columns or table.columns if name in table]
    align = "".join("r" if pd.api.types.is_float_dtype(table[name]) else "l" for name in names)
    return markdown_table(names, [[_cell(row, name) for name in names] for _, row in table.iterrows()], align)


def _cell(row: pd.Series, name: str) -> str:
    value, half = row[name], row.get(f"{name}_half")
    if pd.isna(value):
        return "–"
    if not isinstance(value, float):
        return str(value)
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 100 else 1
    return f"{value:.{digits}f}" + ("" if half is None or pd.isna(half) else f" ± {half:.{digits}f}")
