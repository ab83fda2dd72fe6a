"""`run_bench`: every part is measured in a process of its own; all figures go into one JSON file with a manifest.

So the memory of one part cannot hide that of another, and each part is loaded from nothing. The time of imports is
measured too: that is why this module imports torch, and what needs it, inside its functions.
"""

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
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmm.errors import require, scratch_dir
from mmm.lab.bench.memory import PeakMemory

FORMAT = "mmm-bench-1"
BUSY = 0.5  # load of the last minute above which the user is warned; the results hold it too
LENGTHS = (40, 80, 120, 160, 196)  # frames; the clips of HumanML3D have 40 to 196
SAMPLING = {  # parts that need a model folder
    "loading": "loading",
    "single": "one text to features",
    "batch": "many texts at once",
    "bulk": "many texts at once, generate_bulk",
}
TRAINING = {
    "tokenizer": "training the tokenizer",
    "transformer": "training the transformer",
    "length": "training the length estimator",
    "evaluator": "training the evaluator",
}
TITLES = {"model": "a model with random weights", **SAMPLING, **TRAINING}
PARTS = (*SAMPLING, *TRAINING)

# As long as the descriptions of HumanML3D are on average (12 words); the content does not matter.
TEXT = "a person walks forward slowly, then turns around and waves with one hand"


@dataclasses.dataclass(frozen=True)
class BenchSettings:
    """What `run_bench` measures.

    Args:
        preset: sizes of the models, whose weights are random: no figure depends on them.
        model: a model folder to sample with instead; then nothing is trained.
        data: a data folder. Its train split gives features, lengths and captions for training, and its opening and
            packing are timed. By default training is on made-up clips.
        device: cpu, cuda or mps.
        precision: of training and of `generate_bulk` (auto, no, bf16, fp16); `generate` computes in float32.
        encoder: text encoder of the random models.
        lengths: of the motions, in frames.
        batch: texts that are sampled together, beside one alone.
        only: some of `PARTS`; all if empty.
        repeats: a time is the median of so many, after a warm-up call,
        budget: or of fewer if they would take more than these seconds; a call that takes longer than this is its own
            figure.
        block: seconds of training steps that make one of the `repeats` rates.
    """

    preset: str = "small"
    model: str | None = None
    data: str | None = None
    device: str = "cpu"
    precision: str = "auto"
    encoder: str = "minilm"
    lengths: tuple[int, ...] = LENGTHS
    batch: int = 32
    only: tuple[str, ...] = ()
    repeats: int = 5
    budget: float = 10.0
    block: float = 2.0

    @property
    def parts(self) -> tuple[str, ...]:
        """What is measured, in order."""
        possible = SAMPLING if self.model else PARTS
        return tuple(part for part in possible if not self.only or part in self.only)

    @property
    def name(self) -> str:
        """Of the results: the preset, or the model's folder."""
        return Path(self.model).resolve().name if self.model else self.preset

    def quick(self) -> BenchSettings:
        """The same with one length and few repeats: does it work? Not: how fast is it?"""
        return dataclasses.replace(self, lengths=self.lengths[:1], repeats=2, budget=1.0, block=0.05)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a part needs in its process: the settings and a folder for scratch files."""

    settings: BenchSettings
    scratch: Path

    @property
    def model(self) -> Path:
        """The model folder to sample with: the user's, else the random one, which the part "model" writes."""
        return Path(self.settings.model).resolve() if self.settings.model else self.scratch / "model"


class PartFailed(Exception):
    """The process of a part ended without a result."""


def note(text: str) -> None:
    """A line for the user, who sees figures as they come."""
    print(text, file=sys.stderr, flush=True)


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
    from mmm.training import run_folder
    from mmm.training.processes import interruptible

    out = Path(out)
    _check(settings, out)
    begin = time.perf_counter()
    results: dict[str, Any] = {"format": FORMAT, "name": settings.name}
    results["settings"] = {**dataclasses.asdict(settings), "text": TEXT}
    parts = settings.parts
    if not settings.model and set(parts) & set(SAMPLING):
        parts = ("model", *parts)
    with scratch_dir("mmm-bench") as scratch, interruptible() as stopped:
        job = Job(settings, scratch)
        results |= {"manifest": _manifest(job), "failed": {}}
        for number, part in enumerate(parts, start=1):
            note(f"[{number}/{len(parts)}] {TITLES[part]}, {settings.name} on {settings.device} ...")
            try:
                result = _figures(part, job, stopped if isolate else None)
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


def _figures(part: str, job: Job, stopped: threading.Event | None) -> dict[str, Any]:
    """The figures of one part. Loading takes several processes, because each loads only once."""
    from mmm.evaluation.timing import repeat, summary

    def once() -> dict[str, Any]:
        return measure(part, job) if stopped is None else _measure_apart(part, job, stopped)

    if part != "loading":
        return once()
    # The first process also warms the system's file cache.
    runs, warmed = repeat(once, job.settings.repeats, 3 * job.settings.budget)
    names = [name for name in runs[0] if name != "memory"]
    times = {name: summary([run[name] for run in runs], warmed) for name in names}
    return {**times, "memory": runs[-1]["memory"]}


def _measure_apart(part: str, job: Job, stopped: threading.Event) -> dict[str, Any]:
    """`measure` in a process of its own, which is ended once `stopped` is set."""
    path = job.scratch / "job.json"
    content = {"part": part, "settings": dataclasses.asdict(job.settings), "scratch": str(job.scratch)}
    path.write_text(json.dumps(content))
    code = "import sys; from mmm.lab.bench.run import child; child(sys.argv[1])"
    # In a session of its own, so that Ctrl-C reaches this process alone, which then ends the other.
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], start_new_session=True)
    try:
        while process.poll() is None:
            if stopped.wait(0.1):
                raise KeyboardInterrupt("stopped; nothing was written")
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise PartFailed(cause_of_death(process.returncode))
    answer = json.loads(path.read_text())
    require("refused" not in answer, answer.get("refused", ""))
    return answer["result"]


def child(path: str) -> None:
    """In the process of a part: do the job that the file describes, and write into it the result or a refusal."""
    job = json.loads(Path(path).read_text())
    try:
        result = measure(job["part"], Job(BenchSettings(**job["settings"]), Path(job["scratch"])))
        answer = {"result": result}
    except (ValueError, OSError) as error:
        answer = {"refused": str(error)}
    Path(path).write_text(json.dumps(answer))


def measure(part: str, job: Job) -> dict[str, Any]:
    """The figures of a part, with `memory`: the peak of this process in bytes, and of the GPU's tensors."""
    with PeakMemory() as memory:
        if part == "loading":
            result = loading(job)
        else:
            from mmm.lab.bench import parts

            if part == "model":
                result = parts.save_random(job)
            else:
                result = parts.train(job, part) if part in TRAINING else parts.sample(job, part)
    device = None
    if job.settings.device == "cuda":
        import torch

        device = torch.cuda.max_memory_allocated()
    return {**result, "memory": {"peak": memory.peak, "device_peak": device}}


def loading(job: Job) -> dict[str, float]:
    """Seconds until the first motion: each thing that happens once, in order; files are in the system's cache.

    import: of `mmm.model`, with torch. model: `MMM.from_pretrained`. encoder: the text encoder, with transformers.
    first_motion: the first `generate`, of the longest length. With a data folder: open_data, pack (the first time),
    open_pack (from then on).
    """
    device, marks = job.settings.device, {"": time.perf_counter()}
    from mmm.evaluation.timing import synchronise
    from mmm.model import MMM

    marks["import"] = time.perf_counter()
    model = MMM.from_pretrained(job.model, device)
    synchronise(device)
    marks["model"] = time.perf_counter()
    _ = model.encoder
    synchronise(device)
    marks["encoder"] = time.perf_counter()
    model.generate(TEXT, max(job.settings.lengths))
    marks["first_motion"] = time.perf_counter()
    if job.settings.data is not None:
        from mmm.data import MotionFolder

        folder, cache = MotionFolder.open(job.settings.data), os.environ.get("MMM_CACHE")
        marks["open_data"] = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=job.scratch) as empty:  # the user's cache may hold the pack
            os.environ["MMM_CACHE"] = empty
            try:
                for name in ("pack", "open_pack"):
                    folder.pack("train")
                    marks[name] = time.perf_counter()
            finally:
                del os.environ["MMM_CACHE"]
                os.environ |= {} if cache is None else {"MMM_CACHE": cache}
    return {name: marks[name] - marks[before] for before, name in pairwise(marks)}


def cause_of_death(code: int) -> str:
    """What to tell the user about a process that ended with this return code."""
    if code > 0:
        return f"the process ended with an error (status {code}), which it printed above"
    name = signal.Signals(-code).name
    hint = ", probably by the system for lack of memory" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"


def _check(settings: BenchSettings, out: Path) -> None:
    """Refuse at once what would otherwise be refused after minutes."""
    import torch

    from mmm.data import MotionFolder
    from mmm.model import MIN_FRAMES
    from mmm.tokenizer import PRESETS
    from mmm.transformer import TransformerConfig

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
    require(
        not settings.model or Path(settings.model).is_dir(),
        f"there is no {settings.model}; give a model folder or the folder of a run.",
        FileNotFoundError,
    )


def _manifest(job: Job) -> dict[str, Any]:
    """Code, packages and machine as in the manifest of a run, and how busy the machine was before."""
    import torch

    from mmm.training.run_folder import write_manifest

    device, load = job.settings.device, os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    if load is not None and load > BUSY:
        note(f"the load of this machine is {load:.1f}: if anything else runs, times will be too long")
    machine = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load_before": load,
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_manifest(job.scratch / "manifest.json", machine)
    return json.loads((job.scratch / "manifest.json").read_text())


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name of the CPU as Linux knows it, elsewhere as Python does."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
