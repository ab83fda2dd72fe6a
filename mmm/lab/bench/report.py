"""Results as Markdown: one column for each, so that presets or machines stand side by side."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmm.errors import require
from mmm.lab.bench.settings import TRAINING
from mmm.viz.table import markdown_table

REPEATS = 5  # a figure from fewer repeats says so
MISSING = "–"
Results = dict[str, Any]
Row = tuple[
    str, Callable[[Results], str]
]  # label, and the cell of one result; KeyError: it has no such figure
CALLS = {"single": "generate", "batch": "generate", "bulk": "generate_bulk"}
LOADED = {
    "import": "import mmm, with torch",
    "model": "load the model",
    "encoder": "load the text encoder, with transformers",
    "first_motion": "the first motion",
    "open_data": "open the data folder",
    "pack": "pack its train split, the first time",
    "open_pack": "open the packed split",
}
MEMORY = {
    "loading": "load and sample once",
    "single": "sample one text",
    "batch": "sample a batch, generate",
    "bulk": "sample a batch, generate_bulk",
    "tokenizer": "train the tokenizer",
    "transformer": "train the transformer",
    "length": "train the length estimator",
    "evaluator": "train the evaluator",
}


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read what `run_bench` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no result of `mmm bench`.
    """
    require(Path(path).is_file(), f"there is no {path}; give a file that mmm bench wrote.", FileNotFoundError)
    try:
        results = json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); measure again.") from error
    found = results.get("format") if isinstance(results, dict) else None
    require(found == "mmm-bench-1", f"{path} is no result of mmm bench (its format is {found!r}); give one.")
    return results


def table(results: Sequence[Results]) -> str:
    """All figures of one or several results, and below them the machines and how to read the table."""
    lines = []
    for title, rows in _sections(results):
        shown = [[label, *(_cell(cell, one) for one in results)] for label, cell in rows]
        shown = [line for line in shown if set(line[1:]) != {MISSING}]
        if shown:
            lines += [[f"**{title}**", *[""] * len(results)]] * bool(title) + shown
    heads = [f"{one['name']}, {one['settings']['device']}" for one in results]
    return "\n".join([markdown_table(["", *heads], lines), "", *_notes(results)])


def _sections(results: Sequence[Results]) -> Iterator[tuple[str, list[Row]]]:
    """Title and rows of every section."""
    yield "", [("parameters", _parameters)]
    yield "one text to features (AITS)", _sampling_rows(results, "single")
    for part in ("batch", "bulk"):
        counts = sorted({f"{one[part]['batch']}, {one[part]['precision']}" for one in results if part in one})
        title = f"a text of {' or '.join(counts)}, in one `{CALLS[part]}`"
        yield title, _sampling_rows(results, part)
    training = [(part, lambda one, part=part: _rate(one[part])) for part in TRAINING]
    yield "training, steps per second (items a step, precision)", training
    loading = [(label, lambda one, key=key: _time(one["loading"][key])) for key, label in LOADED.items()]
    yield "loading", loading
    memory = [(label, lambda one, part=part: _memory(one[part]["memory"])) for part, label in MEMORY.items()]
    yield "peak memory (of the GPU)", memory


def _sampling_rows(results: Sequence[Results], part: str) -> list[Row]:
    """Seconds for one text: at each length, their mean, and the parts of encoder and decoder."""
    lengths = sorted({row["frames"] for one in results if part in one for row in one[part]["lengths"]})

    def at(one: Results, frames: int) -> dict[str, Any]:
        return {row["frames"]: row for row in one[part]["lengths"]}[frames]

    rows: list[Row] = [
        (f"{n} frames", lambda one, n=n: _time(at(one, n), one[part]["batch"])) for n in lengths
    ]
    rows += [
        ("mean of these lengths", lambda one: _seconds(one[part]["aits"])),
        (
            "the text encoder's part",
            lambda one: _seconds(one[part]["text_seconds"] / one[part]["batch"]),
        ),
    ]
    if part == "single" and lengths:
        longest = lengths[-1]
        label = f"the decoder's part, {longest} frames"
        rows.append((label, lambda one: _seconds(at(one, longest)["decode_seconds"])))
    return rows


def _parameters(one: Results) -> str:
    sampled = [one[part] for part in CALLS if part in one] or [{}]
    return f"{sampled[0]['parameters']['total'] / 1e6:.1f} M"


def _cell(cell: Callable[[Results], str], one: Results) -> str:
    try:
        return cell(one)
    except KeyError:  # this result has no such figure
        return MISSING


def _time(timing: dict[str, Any], count: int = 1) -> str:
    return _seconds(timing["seconds"] / count) + _few(timing)


def _few(timing: dict[str, Any]) -> str:
    return "" if timing["repeats"] >= REPEATS else f" [{timing['repeats']}]"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def _rate(found: dict[str, Any]) -> str:
    return f"{found['steps_per_second']:.3g} ({found['batch_size']}, {found['precision']}){_few(found)}"


def _memory(found: dict[str, Any]) -> str:
    sizes = [f"{size / 1e6:,.0f} MB" for size in (found["peak"], found["device_peak"]) if size is not None]
    return f"{sizes[0]} ({sizes[1]})" if len(sizes) == 2 else "".join(sizes) or MISSING


def _notes(results: Sequence[Results]) -> Iterator[str]:
    yield (
        f"Medians of {REPEATS} after a warm-up, or of as many as stand in brackets. Memory is resident, without "
        "mapped files; loading is with files in the system's cache."
    )
    for one in results:
        facts, device = one["manifest"], one["settings"]["device"]
        machine = f"{facts['processor']}, {facts['threads']} of {facts['cores']} cores"
        machine = machine if device == "cpu" else f"{facts['device']}; {machine}"
        load = "" if facts["load_before"] is None else f", load before {facts['load_before']:.1f}"
        revision = (facts["git_revision"] or "unknown")[:7] + ("+" if facts["git_dirty"] else "")
        yield (
            f"{one['name']}, {device}: {machine}{load}; torch {facts['packages']['torch']}, "
            f"revision {revision}, {one['seconds']:.0f} s in all."
        )
        for part, why in one["failed"].items():
            yield f"{one['name']}, {device}: {part} failed: {why}."
