"""results.md of an evaluation of edits: the tables, and what one has to know to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

TITLES = {"gaps": "In-betweening by gap", "bodies": "Upper-body edits", "long": "Long sequences"}
SHOWN = {  # table → its columns, all of them where none is named
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
        "against the same clips as they are, of halves (the row real is the floor), and of the gap's frames alone "
        "(24 or more); R@1 of the caption among 31 real clips that it does not tell, for the whole clip and for the "
        "gap alone; peak jerk at the ends of the gap, what it is within the gap, and the difference (m/s³); foot "
        "skating; the largest error of a kept frame (cm). FIDs of different gaps are of different numbers of clips. "
        "Second table: the shortest gap from which on the model is better than a curve in all longer ones, by the 95 % "
        "interval of paired differences; a dash: not even in the longest one."
    ),
    "bodies": (
        "Pairs of a clip that goes somewhere and an action of the arms. Columns: the oracle sees the action, and no "
        "other of the arms; R@1, R@3 of the asked text among 31 real clips that it does not tell; the largest error of "
        "a joint of the lower body (cm), how far the upper one was moved (cm), mean jerk (m/s³), foot skating. "
        "Unedited is the floor. Real is a real clip of the action, mostly on the spot; pasted has its upper body on "
        "the edited clip's legs: what oracle and evaluator make of an action that is surely there. Guidance 0 does "
        "not read the text. Trained: training shows legs and arms at once. No clip of Bandai does, so that neither "
        "model nor evaluator has ever met what is asked for there. Intervals are over pairs; those of one clip are "
        "not independent."
    ),
    "long": (
        "Windows of 64 frames around the places where two of three actions meet. Columns: peak jerk of the 8 frames in "
        "the middle, peak and mean of the window (m/s³); foot skating; FID against windows of other real clips (real "
        "action is its floor, and no real clip holds two actions); R@1 of the whole action left of the place, as it "
        "came out, with its text."
    ),
}


def report(
    kind: str, told: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any]
) -> str:
    """Markdown; a mean and half of its 95 % interval are one cell."""
    head = (
        f"Model {told['model']} ({told['parts']} part{'s' * (told['parts'] > 1)}), data {told['data']} "
        f"({told['split']}, hash {told['data_hash']}), evaluator {told['evaluator']}, seed {told['seed']}."
    )
    made = "Git revision {git_revision}, device {device}, {threads} threads, {seconds:.0f} s.".format(
        **manifest
    )
    shown = [markdown(tables[name], columns) for name, columns in SHOWN[kind].items() if len(tables[name])]
    return "\n\n".join([f"# {TITLES[kind]}", head, NOTES[kind], *shown, made]) + "\n"


def markdown(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """Some columns of a table, or all; COLUMN_half is put into the cell of COLUMN."""
    found = [name for name in columns or table.columns if name in table]
    lines = [found, ["---"] * len(found)]
    lines += [[_cell(row, name) for name in found] for _, row in table.iterrows()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(row: pd.Series, name: str) -> str:
    value, half = row[name], row.get(f"{name}_half")
    if value is None or value != value:
        return "–"
    if not isinstance(value, float):
        return str(value)
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 100 else 1
    spread = "" if half is None or half != half else f" ± {half:.{digits}f}"
    return f"{value:.{digits}f}{spread}"
