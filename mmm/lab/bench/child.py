"""One part in a process of its own: `python -m mmm.lab.bench.child JOB.json`, started by `run.py`.

So one part's memory cannot hide another's, and imports are timed where nothing is imported yet.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mmm.lab.bench.memory import PeakMemory
from mmm.lab.bench.settings import TRAINING, BenchSettings, Job


def measure(part: str, job: Job) -> dict[str, Any]:
    """What a part measures, with `memory`: the peak of this process in bytes, and of the GPU's tensors."""
    with PeakMemory() as memory:
        result = _measure(part, job)
    device = None
    if job.settings.device == "cuda":
        import torch

        device = torch.cuda.max_memory_allocated()
    return {**result, "memory": {"peak": memory.peak, "device_peak": device}}


def _measure(part: str, job: Job) -> dict[str, Any]:
    # Imported here: `loading` times the imports of what the others need.
    if part == "loading":
        from mmm.lab.bench.loading import loading

        return loading(job)
    if part in TRAINING:
        from mmm.lab.bench.training import steps

        return steps(job, part)
    from mmm.lab.bench import sampling

    return {
        "model": sampling.save_random,
        "single": sampling.single,
        "batch": sampling.batch,
        "bulk": sampling.bulk,
    }[part](job)


def main(path: str) -> None:
    """Do what the file says and put the result, or the sentence that refuses it, into it."""

    def note(text: str) -> None:
        print(f"      {text}", file=sys.stderr)

    told = json.loads(Path(path).read_text())
    job = Job(BenchSettings(**told["settings"]), Path(told["scratch"]), Path(told["model"]), note)
    try:
        answer = {"result": measure(told["part"], job)}
    except (ValueError, OSError) as error:
        answer = {"refused": str(error)}
    Path(path).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
