"""Time and memory of a sequence of ten minutes: `python figures/editing/ten_minutes.py`, which writes ten_minutes.json.

120 texts of 100 frames each; one of one minute beside it, whose peak should be nearly as high: memory must not
grow with the length but for what is returned (12,000 frames of 263 numbers are 13 MB).
"""

import json
import os
import platform
import subprocess
import sys
import time

import torch

from mmm import MMM
from mmm.lab.bench.memory import PeakMemory

TEXTS = [
    "a person walks forward",
    "a person raises both hands",
    "someone runs",
    "a person waves with the left hand",
]


def measure(minutes: int) -> dict:
    """In a process of its own: memory that was freed would not be given back to the system."""
    texts = [TEXTS[i % 4] for i in range(12 * minutes)]
    model = MMM.from_pretrained("bandai-small")
    model.generate_long(texts[:2], [100, 100])  # loads the text encoder, warms up
    with PeakMemory() as before:
        pass
    start = time.perf_counter()
    with PeakMemory() as memory:
        motion = model.generate_long(texts, [100] * len(texts), seed=0)
    seconds = time.perf_counter() - start
    return {
        "minutes": minutes, "frames": len(motion.features), "seconds": round(seconds, 2),
        "seconds_per_minute": round(seconds / minutes, 2), "peak_mb": round(memory.peak / 1e6, 1),
        "before_mb": round(before.peak / 1e6, 1),
    }  # fmt: skip


if len(sys.argv) > 1:
    print(json.dumps(measure(int(sys.argv[1]))))
else:
    runs = [json.loads(subprocess.run([sys.executable, __file__, m], capture_output=True, check=True, text=True).stdout)
            for m in ("1", "10")]  # fmt: skip
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": platform.processor() or "",
               "cores": os.cpu_count()}  # fmt: skip
    with open(os.path.join(os.path.dirname(__file__), "ten_minutes.json"), "w") as file:
        json.dump({"runs": runs, "machine": machine}, file, indent=1)
    print(*runs, sep="\n")
