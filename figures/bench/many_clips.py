"""A data folder as large as HumanML3D, of repeated synthetic clips: time and memory of loading.

    python -m figures.bench.many_clips --out runs/many

Sizes are real (14,616 clips of 141 frames on average, three captions each). Every step has a process of its own, whose
peak memory is measured as by `mmm bench`.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from mmm.viz.table import markdown_table

CLIPS = 14_616  # of HumanML3D, not counting the mirrored ones
DIFFERENT = 64  # that are repeated
SPLITS = (("test", 0.15), ("val", 0.05), ("train", 0.80))  # of HumanML3D
REPEATS = 5
WARM, MEMORY = 2.0, 500  # limits of loading a packed folder, in seconds and MB


def make_folder(path: Path, clips: int = CLIPS, copies: bool = False) -> None:
    """Write a folder in HumanML3D's layout, as a user has it: repeated clips of the synthetic data set.

    Args:
        path: the folder; it appears only when it is complete.
        clips: how many, 20 or more so that every split has one.
        copies: every clip has a file of its own (147 KB each). Otherwise the files are hard links where the
            file system has them: little disk, but what is read is then always in the system's cache.
    """
    import numpy as np

    from mmm.data.captions import format_caption
    from mmm.data.write import mean_std
    from mmm.datasets.synthetic import make_clip
    from mmm.errors import atomic_dir, require

    require(clips >= 20, f"clips is {clips}, expected 20 or more so that every split has one.")
    drawn = (make_clip(index) for index in itertools.count())
    # clips of 100 frames or more have 141 on average, as in HumanML3D
    chosen = list(itertools.islice((c for c in drawn if 100 <= len(c.features) <= 199), DIFFERENT))
    ids = [f"{number:06d}" for number in range(clips)]
    with atomic_dir(path, mark="made-up.json") as part:
        for folder in ("new_joint_vecs", "texts", "different"):
            (part / folder).mkdir()
        for clip in chosen:
            np.save(part / "different" / f"{clip.id}.npy", clip.features)
        for number, (name, clip) in enumerate(zip(ids, itertools.cycle(chosen))):
            there, here = part / "different" / f"{clip.id}.npy", part / "new_joint_vecs" / f"{name}.npy"
            try:
                (shutil.copyfile if copies else os.link)(there, here)
            except OSError:  # no hard links here, or too many of one file
                shutil.copyfile(there, here)
            captions = list(clip.captions[:3])
            if number % 50 == 0:  # as in HumanML3D, some captions describe a part of their clip
                captions.append(dataclasses.replace(captions[0], start=0.5, end=3.0))
            lines = "".join(f"{format_caption(caption)}\n" for caption in captions)
            (part / "texts" / f"{name}.txt").write_text(lines)
        shutil.rmtree(part / "different")
        mean, std = mean_std(np.concatenate([clip.features for clip in chosen]))
        np.save(part / "Mean.npy", mean)
        np.save(part / "Std.npy", std)
        edges = [0, *(round(clips * share) for share in itertools.accumulate(s for _, s in SPLITS))]
        for (split, _), (start, end) in zip(SPLITS, itertools.pairwise(edges), strict=True):
            (part / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids[start:end]))
        (part / "made-up.json").write_text(json.dumps({"clips": clips, "copies": copies}))


def step(name: str, source: str, data: str) -> dict[str, Any]:
    """Seconds of one step in this process, and its peak memory in bytes, everything from the imports on.

    Args:
        name: "prepare" checks `source` and writes `data`; "load" opens `data` and packs its three splits (or
            opens their packs), and reads a clip and a caption of each.
    """
    from mmm.lab.bench.memory import PeakMemory

    begin = time.perf_counter()
    with PeakMemory() as memory:
        if name == "prepare":
            from mmm.datasets.humanml3d import prepare
        else:
            from mmm.data import MotionFolder
        imported = time.perf_counter()
        if name == "prepare":
            prepare(source, data)
        else:
            folder = MotionFolder.open(data)
            for packed in [folder.pack(split) for split, _ in SPLITS]:
                last = len(packed) - 1
                assert packed.clip(last).any() and packed.captions[last][0].text, f"clip {last} is empty"
        end = time.perf_counter()
    return {"import": imported - begin, name: end - imported, "peak": memory.peak}


def step_apart(name: str, source: str, data: str) -> dict[str, Any]:
    """`step` in a process of its own; also `process`, its seconds from start to end."""
    code = (
        "import sys, json; from figures.bench.many_clips import step; print(json.dumps(step(*sys.argv[1:])))"
    )
    command, begin = [sys.executable, "-c", code, name, source, data], time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout) | {"process": time.perf_counter() - begin}


def measure(
    out: Path, clips: int = CLIPS, copies: bool = False, repeats: int = REPEATS, run: Callable = step_apart
) -> dict[str, list[dict[str, Any]]]:
    """Write a folder in `out`, prepare it, load it once cold and `repeats` times warm; then remove it.

    Cold is the first time, with nothing packed; warm is every later start, of which the first does not count.

    Args:
        run: `step_apart`, or `step` for tests: in this process, imports and memory do not count.

    Returns:
        For each run of "prepare", "cold" and "warm", what `step` returns.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="clips-", dir=out) as scratch:
        source, data = f"{scratch}/HumanML3D", f"{scratch}/data"
        with mock.patch.dict(os.environ, {"MMM_CACHE": f"{scratch}/cache"}):
            make_folder(Path(source), clips, copies)
            runs = {"prepare": [run("prepare", source, data)], "cold": [run("load", source, data)]}
            runs["warm"] = [run("load", source, data) for _ in range(1 + repeats)][1:]
    return runs


def table(runs: dict[str, list[dict[str, Any]]], clips: int) -> str:
    """The figures as Markdown, and whether warm loading stays within `WARM` and `MEMORY`."""
    titles = {
        "prepare": ("mmm prepare", "prepare"),
        "cold": ("open and pack, the first time", "load"),
        "warm": ("open and pack, from then on", "load"),
    }
    rows = []
    for name, (title, key) in titles.items():
        seconds = [run[key] for run in runs[name]]
        spread = f" ({min(seconds):.2f} to {max(seconds):.2f})" if len(seconds) > 1 else ""
        median = statistics.median(seconds)
        whole = statistics.median(run["import"] + run[key] for run in runs[name])
        peak = round(max(run["peak"] or 0 for run in runs[name]) / 1e6)  # 0 if unknown, see `PeakMemory`
        rows.append((title, f"{median:.2f}{spread}", f"{whole:.2f}", peak))
    kept = median < WARM and peak < MEMORY  # of the last row, warm
    limits = f"Warm, at most {WARM:g} s and {MEMORY} MB: {'kept' if kept else 'NOT KEPT'}."
    head = ("", "seconds", "with imports", "peak memory, MB")
    return "\n\n".join((f"{clips:,} clips", markdown_table(head, rows), limits))


@dataclasses.dataclass
class Arguments:
    """Time the loading of a data folder as large as HumanML3D; needs 2.3 GB of disk meanwhile, 4.5 with --copies."""

    out: Path
    """Folder for the figures; the data folder is removed."""
    clips: int = CLIPS
    """How many."""
    copies: bool = False
    """A file of its own for each clip, instead of hard links to a few."""
    repeats: int = REPEATS
    """Of warm loading."""

    def run(self) -> None:
        from mmm.training import run_folder

        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        runs = measure(self.out, self.clips, self.copies, self.repeats)
        settings = {"clips": self.clips, "copies": self.copies, "load_before": load, "cores": os.cpu_count()}
        run_folder.write_manifest(self.out / "manifest.json", {"device": "cpu", "seed": 0, **settings})
        run_folder.write_json(self.out / "many_clips.json", runs)
        print(table(runs, self.clips))
        if load is not None and load > 0.5:
            print(f"The load of this machine was {load:.1f} to begin with: times are too long.")


if __name__ == "__main__":
    import tyro

    tyro.cli(Arguments).run()
