"""One part in a process of its own: `python -m mmm.lab.bench.child JOB.json`, started by `run.py`.

Thus the memory of one part cannot hide that of another, and imports are timed before anything is imported.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmm.lab.bench.memory import PeakMemory
from mmm.lab.bench.settings import TEXT, TRAINING, BenchSettings, Job


def measure(part: str, job: Job) -> dict[str, Any]:
    """The figures of a part, with `memory`: the peak of this process in bytes, and of the GPU's tensors."""
    with PeakMemory() as memory:
        if part == "loading":
            result = loading(job)
        elif part in TRAINING:
            from mmm.lab.bench.training import steps

            result = steps(job, part)
        else:
            from mmm.lab.bench import sampling

            result = sampling.save_random(job) if part == "model" else sampling.sample(job, part)
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
    marks = {"": time.perf_counter()}
    from mmm.evaluation.timing import synchronise
    from mmm.model import MMM

    marks["import"] = time.perf_counter()
    model = MMM.from_pretrained(job.model, job.settings.device)
    synchronise(job.settings.device)
    marks["model"] = time.perf_counter()
    _ = model.encoder
    synchronise(job.settings.device)
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


def main(path: str) -> None:
    """Do the job that the file describes and write into it the result, or the message of a refusal."""
    job = json.loads(Path(path).read_text())
    settings = BenchSettings(**job["settings"])
    try:
        result = measure(job["part"], Job(settings, Path(job["scratch"]), Path(job["model"])))
        answer = {"result": result}
    except (ValueError, OSError) as error:
        answer = {"refused": str(error)}
    Path(path).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
