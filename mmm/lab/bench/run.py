"""`run_bench`: every part in a process of its own, all figures in one JSON file with a manifest."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from mmm.data import MotionFolder
from mmm.errors import require
from mmm.evaluation.timing import repeat, summary
from mmm.lab.bench.child import measure
from mmm.lab.bench.settings import SAMPLING, TEXT, BenchSettings, Job, note
from mmm.model import MIN_FRAMES
from mmm.tokenizer import PRESETS
from mmm.training import run_folder
from mmm.training.processes import interruptible
from mmm.transformer import TransformerConfig

FORMAT = "mmm-bench-1"
BUSY = 0.5  # load of the last minute above which the user is warned; the results hold it too
TITLES = {
    "model": "a model with random weights",
    "loading": "loading",
    "single": "one text to features",
    "batch": "many texts at once",
    "bulk": "many texts at once, generate_bulk",
    "tokenizer": "training the tokenizer",
    "transformer": "training the transformer",
    "length": "training the length estimator",
    "evaluator": "training the evaluator",
}


class PartFailed(Exception):
    """The process of a part ended without a result."""


def run_bench(settings: BenchSettings, out: str | os.PathLike[str], isolate: bool = True) -> dict[str, Any]:
    """Measure, write the results to the JSON file `out`, and return them.

    A part that fails (from lack of memory, for example) is noted under "failed", and the others are still measured.

    Args:
        isolate: a fresh process for each part. In this process, loading times and memory would be those of whatever
            was loaded before: that is for tests.

    Raises:
        ValueError, FileNotFoundError: settings that cannot be measured here; nothing is written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; nothing is written.
    """
    out = Path(out)
    _check(settings, out)
    begin = time.perf_counter()
    results: dict[str, Any] = {"format": FORMAT, "name": settings.name}
    results["settings"] = {**dataclasses.asdict(settings), "text": TEXT}
    with tempfile.TemporaryDirectory(prefix="mmm-bench-") as folder, interruptible() as stopped:
        results |= {"manifest": _manifest(settings, Path(folder)), "failed": {}}
        model = Path(settings.model).resolve() if settings.model else Path(folder, "model")
        job = Job(settings, Path(folder), model)
        parts = settings.parts
        if not settings.model and set(parts) & set(SAMPLING):
            parts = ("model", *parts)
        for number, part in enumerate(parts, start=1):
            note(f"[{number}/{len(parts)}] {TITLES[part]}, {settings.name} on {settings.device} ...")
            try:
                measure_part = _loading if part == "loading" else _measure
                result = measure_part(part, job, stopped if isolate else None)
            except PartFailed as failure:
                results["failed"][part] = str(failure)
                note(f"      failed: {failure}")
                if part == "model":  # the other parts need it
                    break
            else:
                results |= {part: result} if part != "model" else {}
    results["seconds"] = round(time.perf_counter() - begin, 1)
    run_folder.write_json(out, results)
    return results


def _measure(part: str, job: Job, stopped: threading.Event | None) -> dict[str, Any]:
    """Measure one part: in a process of its own that is ended once `stopped` is set; without `stopped`, in this one."""
    if stopped is None:
        return measure(part, job)
    path = job.scratch / "job.json"
    content = {"part": part, "settings": dataclasses.asdict(job.settings)}
    path.write_text(json.dumps(content | {"scratch": str(job.scratch), "model": str(job.model)}))
    # In a session of its own, so that Ctrl-C reaches this process alone, which then ends the other.
    command = [sys.executable, "-m", "mmm.lab.bench.child", str(path)]
    child = subprocess.Popen(command, start_new_session=True)
    try:
        while child.poll() is None:
            if stopped.wait(0.1):
                raise KeyboardInterrupt("stopped; nothing was written")
    finally:
        child.kill()
        child.wait()
    if child.returncode:
        raise PartFailed(cause_of_death(child.returncode))
    answer = json.loads(path.read_text())
    require("refused" not in answer, answer.get("refused", ""))
    return answer["result"]


def _loading(part: str, job: Job, stopped: threading.Event | None) -> dict[str, Any]:
    """In several processes, because each loads only once; the first one also warms the system's file cache."""
    settings = job.settings
    found, warmed = repeat(lambda: _measure(part, job, stopped), settings.repeats, 3 * settings.budget)
    names = [name for name in found[0] if name != "memory"]
    times = {name: summary([one[name] for one in found], warmed) for name in names}
    return {**times, "memory": found[-1]["memory"]}


def cause_of_death(code: int) -> str:
    if code > 0:
        return f"the process ended with an error (status {code}), which it printed above"
    name = signal.Signals(-code).name
    hint = ", probably by the system for lack of memory" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"


def _check(settings: BenchSettings, out: Path) -> None:
    """Refuse at once what would otherwise be refused after minutes."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    require(
        available.get(settings.device, False),
        f"device is {settings.device!r}, which torch does not find on this machine; use cpu (or cuda, mps).",
    )
    require(
        settings.precision != "fp16" or settings.device == "cuda",
        f"precision is 'fp16', which needs device cuda, not {settings.device!r}; take 'bf16' or 'no'.",
    )
    training = [part for part in settings.only if settings.model and part not in SAMPLING]
    require(
        not training,
        f"a model is not trained, so {', '.join(training)} cannot be measured with it; give a preset instead.",
    )
    longest = TransformerConfig.max_tokens * PRESETS[settings.preset].ratio
    for frames in settings.lengths:  # a user's model may have other limits, and says so when it is loaded
        require(
            settings.model or MIN_FRAMES <= frames <= longest,
            f"length is {frames} frames, expected {MIN_FRAMES} to {longest}.",
        )
    require(settings.batch >= 1, f"batch is {settings.batch}, expected 1 or more.")
    require(not out.is_dir(), f"{out} is a folder; name a JSON file.")
    if settings.data:
        MotionFolder.open(settings.data)
    if settings.model and not Path(settings.model).is_dir():
        raise FileNotFoundError(f"there is no {settings.model}; give a model folder or the folder of a run.")


def _manifest(settings: BenchSettings, scratch: Path) -> dict[str, Any]:
    """Code, packages and machine as in the manifest of a run, and how busy the machine was before."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    if load is not None and load > BUSY:
        note(f"the load of this machine is {load:.1f}: if anything else runs, times will be too long")
    machine = {
        "device": torch.cuda.get_device_name() if settings.device == "cuda" else settings.device,
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load_before": load,
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    run_folder.write_manifest(scratch / "manifest.json", machine)
    return json.loads((scratch / "manifest.json").read_text())


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name of the CPU as Linux knows it, elsewhere as Python does."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
