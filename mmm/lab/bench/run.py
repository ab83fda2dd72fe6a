"""`run_bench`: every part in a process of its own, what they measured in one JSON file with its manifest."""

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

from mmm import recipes
from mmm.data import MotionFolder
from mmm.errors import require
from mmm.lab.bench.child import measure
from mmm.lab.bench.clocks import figure, repeat
from mmm.lab.bench.settings import PARTS, SAMPLING, TEXT, BenchSettings, Job
from mmm.model import MIN_FRAMES, MMM
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.training import run_folder
from mmm.training.processes import interruptible
from mmm.transformer import TransformerConfig

FORMAT = "mmm-bench-1"
BUSY = 0.5  # load of the last minute before anything is measured; the results hold it too
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


def run_bench(settings: BenchSettings, out: str | os.PathLike[str], isolate: bool = True) -> dict[str, Any]:
    """Measure, write the results to the JSON file `out`, and give them.

    A part that dies (of too little memory, say) is noted under "failed", and the others are measured all the same.

    Args:
        isolate: a fresh process for each part. In this process, loading times and memory would be those of
            whatever was loaded before: that is for tests.

    Raises:
        ValueError, FileNotFoundError: settings that cannot be measured here; nothing is written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; nothing is written.
    """
    out = Path(out)
    _check(settings, out)
    begin = time.perf_counter()
    results: dict[str, Any] = {
        "format": FORMAT,
        "name": settings.name,
        "settings": {**dataclasses.asdict(settings), "text": TEXT},
        "manifest": None,
        "failed": {},
    }
    with tempfile.TemporaryDirectory(prefix="mmm-bench-") as folder, interruptible() as stopped:
        scratch = Path(folder)
        results["manifest"] = _manifest(settings, scratch)
        load = results["manifest"]["load_before"]
        if load is not None and load > BUSY:
            _note(f"the load of this machine is {load:.1f}: if anything else runs, times will be too long")
        runner = _Runner(settings, scratch, isolate, stopped)
        parts = [part for part in settings.parts if part != "bulk" or hasattr(MMM, "generate_bulk")]
        if not settings.model and set(parts) & set(SAMPLING):
            parts = ["model", *parts]
        for number, part in enumerate(parts, start=1):
            _note(f"[{number}/{len(parts)}] {TITLES[part]}, {settings.name} on {settings.device} ...")
            try:
                measured = runner.loading() if part == "loading" else runner.run(part)
            except _Died as death:
                results["failed"][part] = str(death)
                _note(f"      failed: {death}")
                if part == "model":  # nothing that follows could be measured
                    break
            else:
                results |= {part: measured} if part != "model" else {}
    results["seconds"] = round(time.perf_counter() - begin, 1)
    run_folder.write_json(out, results)
    return results


class _Died(Exception):
    """The process of a part ended without a result."""


class _Runner:
    """Runs parts and waits for them; stops with Ctrl-C."""

    def __init__(
        self, settings: BenchSettings, scratch: Path, isolate: bool, stopped: threading.Event
    ) -> None:
        self.settings, self.scratch, self.isolate, self.stopped = settings, scratch, isolate, stopped
        self.model = Path(settings.model).resolve() if settings.model else scratch / "model"

    def run(self, part: str) -> dict[str, Any]:
        if not self.isolate:
            return measure(part, Job(self.settings, self.scratch, self.model, lambda text: None))
        path = self.scratch / "job.json"
        told = {"part": part, "settings": dataclasses.asdict(self.settings)}
        path.write_text(json.dumps({**told, "scratch": str(self.scratch), "model": str(self.model)}))
        # In a session of its own, so that Ctrl-C reaches this process alone, which then ends the other.
        child = subprocess.Popen(
            [sys.executable, "-m", "mmm.lab.bench.child", str(path)], start_new_session=True
        )
        try:
            while child.poll() is None:
                if self.stopped.wait(0.1):
                    raise KeyboardInterrupt("stopped; nothing was written")
        finally:
            child.kill()
            child.wait()
        if child.returncode:
            raise _Died(_cause(child.returncode))
        answer = json.loads(path.read_text())
        require("refused" not in answer, answer.get("refused", ""))
        return answer["result"]

    def loading(self) -> dict[str, Any]:
        """In several processes, since each loads only once; the first also warms the system's file cache."""
        found, warmed = repeat(lambda: self.run("loading"), self.settings.repeats, 3 * self.settings.budget)
        names = [name for name in found[0] if name != "memory"]
        times = {name: figure([one[name] for one in found], warmed) for name in names}
        return {**times, "memory": found[-1]["memory"]}


def _cause(code: int) -> str:
    if code > 0:
        return f"the process ended with an error (status {code}), which it printed above"
    name = signal.Signals(-code).name
    hint = ", probably by the system for lack of memory" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"


def _check(settings: BenchSettings, out: Path) -> None:
    """Refuse at once what would be refused only after minutes."""
    require(
        settings.preset in recipes.PRESETS,
        f"preset is {settings.preset!r}, expected one of {', '.join(recipes.PRESETS)}.",
    )
    require(
        (settings.device == "cuda" and torch.cuda.is_available())
        or (settings.device == "mps" and torch.backends.mps.is_available())
        or settings.device == "cpu",
        f"device is {settings.device!r}, which torch does not find on this machine; use cpu (or cuda, mps).",
    )
    require(
        settings.precision in ("auto", "no", "bf16", "fp16"),
        f"precision is {settings.precision!r}, expected one of auto, no, bf16, fp16.",
    )
    require(
        settings.precision != "fp16" or settings.device == "cuda",
        f"precision is 'fp16', which needs device cuda, not {settings.device!r}; take 'bf16' or 'no'.",
    )
    unknown = [part for part in settings.only if part not in PARTS]
    require(not unknown, f"there is no part {unknown[:1]} to measure, expected some of {', '.join(PARTS)}.")
    training = [part for part in settings.only if settings.model and part not in SAMPLING]
    require(
        not training,
        f"a model that is there already is not trained, so {', '.join(training)} cannot be measured with it; "
        "give a preset instead of the model.",
    )
    require(
        "bulk" not in settings.only or hasattr(MMM, "generate_bulk"), "this version has no generate_bulk."
    )
    longest = TransformerConfig.max_tokens * TOKENIZERS[settings.preset].ratio
    for frames in settings.lengths:  # a user's model may have other limits, and says so when it is loaded
        require(
            settings.model or MIN_FRAMES <= frames <= longest,
            f"length is {frames} frames, expected {MIN_FRAMES} to {longest}.",
        )
    require(settings.lengths, "there are no lengths; give some, in frames.")
    require(settings.batch >= 1 and settings.repeats >= 1, "batch and repeats must be 1 or more.")
    require(not out.is_dir(), f"{out} is a folder; name a JSON file.")
    if settings.data:
        MotionFolder.open(settings.data)
    if settings.model and not Path(settings.model).is_dir():
        raise FileNotFoundError(f"there is no {settings.model}; give a model folder or the folder of a run.")


def _manifest(settings: BenchSettings, scratch: Path) -> dict[str, Any]:
    """Code, packages and machine as in the manifest of a run, and how busy the machine was to begin with."""
    run_folder.write_manifest(
        scratch / "manifest.json",
        {
            "device": torch.cuda.get_device_name() if settings.device == "cuda" else settings.device,
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    )
    return json.loads((scratch / "manifest.json").read_text())


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU as Linux names it, elsewhere as Python does."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
