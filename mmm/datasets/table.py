"""The table of captions, a CSV file: one line for each caption of a take or of a part of it."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from mmm.data.captions import LATEST, untagged
from mmm.errors import require

COLUMNS, TIMES = ("file", "caption"), ("start", "end")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a caption of a file, or of its seconds `start` to `end` (None: of all of it).

    `action` is the action class of the motion; "" where the table states none.
    """

    file: str
    text: str
    start: float | None
    end: float | None
    line: int
    action: str = ""


def read_captions(path: str | os.PathLike) -> list[Row]:
    """The rows of a CSV table with the columns file, caption and optionally start and end (seconds), and action.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: it is not UTF-8, a column is missing or there twice, there is no row, or a row cannot be used (the
            message names the line).
    """
    path = Path(path)
    require(
        path.is_file(),
        f"there is no table of captions {path}; give a CSV file with {','.join(COLUMNS)}.",
        FileNotFoundError,
    )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason}); save it as CSV in UTF-8.") from error
    rows = list(_rows(path, lines))
    require(
        rows, f"{path} holds no caption; expected a line {','.join(COLUMNS)}, then one line for each caption."
    )
    return rows


def _rows(path: Path, lines: list[str]) -> Iterator[Row]:
    reader = csv.reader(lines, skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader, [])]
    missing = [name for name in COLUMNS if name not in header]
    require(
        not missing,
        f"{path} lacks the column {' and '.join(missing)}: its first line is {','.join(header)[:80]!r}, expected "
        f"{','.join(COLUMNS)} or {','.join(COLUMNS + TIMES)} with commas between.",
    )
    twice = [name for name in (*COLUMNS, *TIMES, "action") if header.count(name) > 1]
    require(
        not twice,
        f"{path} has two columns called {' and '.join(twice)}; keep one, and give each caption a line of its own.",
    )
    require(
        ("start" in header) == ("end" in header),
        f"{path} has only one of the columns start and end; a caption of a part needs both.",
    )
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        where = f"{path}, line {reader.line_num}"
        require(
            len(values) == len(header),
            f"{where} has {len(values)} values for {len(header)} columns; put a caption that holds commas in quotes.",
        )
        row = {name: value.strip() for name, value in zip(header, values, strict=True)}
        require(row["file"], f"{where} names no file; give one, or remove the line.")
        text = " ".join(row["caption"].split())
        require(
            untagged(text).words,
            f"{where}: the caption of {row['file']} is empty; write one, or remove the line.",
        )
        require(
            "#" not in text,
            f"{where}: the caption {text!r} holds '#', which separates the fields of HumanML3D's texts; remove it.",
        )
        yield Row(row["file"], text, *_times(where, row), reader.line_num, row.get("action", ""))


def _times(where: str, row: dict[str, str]) -> tuple[float | None, float | None]:
    """Start and end in seconds; None, None where both are left empty."""
    words = [row.get(name, "") for name in TIMES]
    if words == ["", ""]:
        return None, None
    try:
        start, end = map(float, words)
    except ValueError:
        start, end = 1.0, 0.0
    require(
        0 <= start < end <= LATEST,
        f"{where}: start and end are {words[0]!r:.60} and {words[1]!r:.60}, expected seconds from 0 up, "
        "start before end, or both empty.",
    )
    return start, end
