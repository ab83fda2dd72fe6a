"""How long until the first motion? Everything is imported inside: the process is fresh, and imports count."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from mmm.lab.bench.settings import TEXT, Job


def loading(job: Job) -> dict[str, float]:
    """Seconds of each thing that happens once, one after the other; files are in the system's cache.

    import: of `mmm.model`, with torch. model: `MMM.from_pretrained`. encoder: the text encoder, with
    transformers. first_motion: the first `generate`, of the longest length. With a data folder: open_data,
    pack (first time), open_pack (from then on).
    """
    marks = {"": time.perf_counter()}
    from mmm.model import MMM

    marks["import"] = time.perf_counter()
    from mmm.lab.bench.clocks import synchronise

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

        folder = MotionFolder.open(job.settings.data)
        marks["open_data"] = time.perf_counter()
        with _empty_cache(job):
            for name in ("pack", "open_pack"):
                folder.pack("train")
                marks[name] = time.perf_counter()
    return {name: marks[name] - marks[before] for before, name in pairwise(marks)}


@contextmanager
def _empty_cache(job: Job) -> Iterator[None]:
    """A cache folder of our own instead of the user's, in which the data may be packed already."""
    before = os.environ.get("MMM_CACHE")
    os.environ["MMM_CACHE"] = tempfile.mkdtemp(dir=job.scratch)
    try:
        yield
    finally:
        shutil.rmtree(os.environ.pop("MMM_CACHE"))
        if before is not None:
            os.environ["MMM_CACHE"] = before
