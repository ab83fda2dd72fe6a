"""Results as Markdown: one column for each, so that presets or machines stand side by side."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmm.errors import require
from mmm.lab.bench.run import FORMAT
from mmm.viz.table import markdown_table

REPEATS = 5  # a figure from fewer repeats says so
MISSING = "–"
Results = dict[str, Any]
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
TRAINED = ("tokenizer", "transformer", "length", "evaluator")
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
    known = results.get("format") if isinstance(results, dict) else None
    require(known == FORMAT, f"{path} is no result of mmm bench (its format is {known!r}); give one.")
    return results


def table(results: Sequence[Results]) -> str:
    """All figures of one or several results, and below them the machines and how to read the table."""
    columns = [_figures(one) for one in results]
    lines = []
    for section, title, labels in _sections(results):
        rows = [[label, *(column.get((section, label), MISSING) for column in columns)] for label in labels]
        rows = [row for row in rows if set(row[1:]) != {MISSING}]
        if title and rows:
            lines.append([f"**{title}**", *[""] * len(results)])
        lines += rows
    heads = [f"{one['name']}, {one['settings']['device']}" for one in results]
    return "\n".join([markdown_table(["", *heads], lines), "", *_notes(results)])


def _sections(results: Sequence[Results]) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Key, title and labels of every section, in order."""
    yield "", "", ["parameters"]
    for part, call in CALLS.items():
        those = [one[part] for one in results if part in one]
        lengths = sorted({row["frames"] for one in those for row in one["lengths"]})
        labels = [f"{frames} frames" for frames in lengths]
        labels += ["mean of these lengths", "the text encoder's part"]
        labels += [f"the decoder's part, {lengths[-1]} frames"] if lengths else []
        counts = sorted({f"{one['batch']}, {one['precision']}" for one in those})
        title = f"a text of {' or '.join(counts)}, in one `{call}`"
        yield part, "one text to features (AITS)" if part == "single" else title, labels
    yield "training", "training, steps per second (items a step, precision)", TRAINED
    yield "loading", "loading", list(LOADED.values())
    yield "memory", "peak memory (of the GPU)", list(MEMORY.values())


def _figures(one: Results) -> dict[tuple[str, str], str]:
    """(section, label) → cell, of one result; times of a batch are those of one text."""
    cells = {}
    for part in CALLS:
        if part not in one:
            continue
        count = one[part]["batch"]
        for row in one[part]["lengths"]:
            cells[part, f"{row['frames']} frames"] = _seconds(row["seconds"] / count) + _few(row)
            if "decode_seconds" in row:
                cells[part, f"the decoder's part, {row['frames']} frames"] = _seconds(row["decode_seconds"])
        cells[part, "mean of these lengths"] = _seconds(one[part]["aits"])
        cells[part, "the text encoder's part"] = _seconds(one[part]["text_seconds"] / count)
        cells["", "parameters"] = f"{one[part]['parameters']['total'] / 1e6:.1f} M"
    for part in TRAINED:
        if part in one:
            rate = one[part]
            about = f"{rate['batch_size']}, {rate['precision']}"
            cells["training", part] = f"{rate['steps_per_second']:.3g} ({about}){_few(rate)}"
    for key, label in LOADED.items():
        if timing := one.get("loading", {}).get(key):
            cells["loading", label] = _seconds(timing["seconds"]) + _few(timing)
    for part, label in MEMORY.items():
        if part in one:
            peak, device = (one[part]["memory"][key] for key in ("peak", "device_peak"))
            sizes = [f"{size / 1e6:,.0f} MB" for size in (peak, device) if size is not None]
            cells["memory", label] = (
                f"{sizes[0]} ({sizes[1]})" if len(sizes) == 2 else "".join(sizes) or MISSING
            )
    return cells


def _few(timing: dict[str, Any]) -> str:
    return "" if timing["repeats"] >= REPEATS else f" [{timing['repeats']}]"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


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
