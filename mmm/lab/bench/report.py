"""Results as Markdown: one column for each, so that presets or machines stand side by side."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmm.errors import require
from mmm.lab.bench.settings import TRAINING

REPEATS = 5  # a figure of fewer says so
Results = dict[str, Any]
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
    """What `run_bench` wrote.

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
    """All figures of one or several results, and below them the machines and how to read it.

    Raises:
        ValueError: there are no results.
    """
    require(results, "there are no results to make a table of; give some.")
    heads = [f"{one['name']}, {one['settings']['device']}" for one in results]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(results)}"]
    for label, cell in _rows(results):
        cells = [""] * len(results) if cell is None else [_cell(cell, one) for one in results]
        if cell is None or any(text not in ("", "–") for text in cells):
            lines.append(f"| {label} | {' | '.join(cells)} |")
    lines = [line for line, after in zip(lines, [*lines[1:], "| **"], strict=True) if not _empty(line, after)]
    return "\n".join([*lines, "", *_notes(results)])


def _empty(line: str, after: str) -> bool:
    """A headline with nothing under it."""
    return line.startswith("| **") and after.startswith("| **")


def _rows(results: Sequence[Results]) -> Iterator[tuple[str, Callable[[Results], str] | None]]:
    """Label and cell of every row; headlines have no cell."""
    yield "parameters", lambda one: f"{_sampled(one)['parameters']['total'] / 1e6:.1f} M"
    lengths = sorted({row["frames"] for one in results for part in _sampling(one) for row in part["lengths"]})
    yield "**one text to features (AITS)**", None
    for frames in lengths:
        yield f"{frames} frames", lambda one, frames=frames: _time(_at(one, "single", frames))
    yield "mean of these lengths", lambda one: _seconds(one["single"]["aits"])
    yield "… of it the text encoder", lambda one: _seconds(one["single"]["text_seconds"])
    longest = max(lengths, default=0)
    decoded = f"… of it the decoder, {longest} frames"
    yield decoded, lambda one: _seconds(_at(one, "single", longest)["decode_seconds"])
    for part, call in (("batch", "generate"), ("bulk", "generate_bulk")):
        counts = sorted({f"{one[part]['batch']}, {one[part]['precision']}" for one in results if part in one})
        yield f"**a text of {' or '.join(counts)}, in one `{call}`**", None
        for frames in lengths:
            yield (
                f"{frames} frames",
                lambda one, part=part, frames=frames: _time(_at(one, part, frames), one[part]["batch"]),
            )
        yield "mean of these lengths", lambda one, part=part: _seconds(one[part]["aits"])
        yield (
            "… of it the text encoder",
            lambda one, part=part: _seconds(one[part]["text_seconds"] / one[part]["batch"]),
        )
    yield "**training, steps per second (items a step, precision)**", None
    for part in TRAINING:
        yield part, lambda one, part=part: _rate(one[part])
    yield "**loading**", None
    for key, label in LOADED.items():
        yield label, lambda one, key=key: _time(one["loading"][key])
    yield "**peak memory (of the GPU)**", None
    for part, label in MEMORY.items():
        yield label, lambda one, part=part: _memory(one[part]["memory"])


def _sampling(one: Results) -> list[dict[str, Any]]:
    return [one[part] for part in ("single", "batch", "bulk") if part in one]


def _sampled(one: Results) -> dict[str, Any]:
    return (_sampling(one) or [{}])[0]


def _at(one: Results, part: str, frames: int) -> dict[str, Any]:
    return {row["frames"]: row for row in one[part]["lengths"]}[frames]


def _cell(cell: Callable[[Results], str], one: Results) -> str:
    try:
        return cell(one)
    except KeyError:  # this result has no such figure
        return "–"


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
    return f"{sizes[0]} ({sizes[1]})" if len(sizes) == 2 else "".join(sizes) or "–"


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
