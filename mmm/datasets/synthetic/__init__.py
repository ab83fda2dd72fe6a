"""The synthetic data set: a procedural choreographer that needs no download and knows what its clips show.

A `Program` (the actions with limb, count, speed and direction) is drawn at random, turned into motion with planted
feet, and described by several captions. It is stored beside each clip as programs/ID.json.

    prepare("data/synthetic", clips=2000, seed=0)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm

from mmm.data.folder import MotionFolder
from mmm.data.write import Clip, write_folder
from mmm.datasets.synthetic.captions import captions, sentence
from mmm.datasets.synthetic.choreograph import HELD_OUT_PARALLEL, HELD_OUT_THEN, dance, draw_program, held_out
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.datasets.takes import start_worker
from mmm.errors import require
from mmm.motion.features import features_to_joints, joints_to_features

__all__ = [
    "HELD_OUT_PARALLEL",
    "HELD_OUT_THEN",
    "Action",
    "Program",
    "Segment",
    "captions",
    "dance",
    "draw_program",
    "held_out",
    "make_clip",
    "prepare",
    "sentence",
    "split_ids",
]

CAPTIONS = 4
RATIOS = {"train": 0.8, "val": 0.05, "test": 0.15}  # as in HumanML3D


def make_clip(index: int, seed: int = 0) -> Clip:
    """Clip `index` of the data set with this seed: features, joints, captions, program."""
    joints, program = dance(draw_program(seed * 1_000_000 + index))
    features = joints_to_features(joints.astype(np.float32))
    return Clip(
        id=f"{index:06d}",
        features=features,
        joints=features_to_joints(features),
        captions=captions(program, CAPTIONS),
        program=program.to_dict(),
    )


def split_ids(programs: dict[str, Program], seed: int) -> dict[str, list[str]]:
    """Random train, val, test (80 / 5 / 15, at least one clip each); clips with held-out combinations:
    test_compositional."""
    compositional = [name for name, program in programs.items() if held_out(program)]
    rest = np.array(sorted(set(programs) - set(compositional)))
    rest = np.random.default_rng([seed, 3]).permutation(rest)
    edges = np.round(np.cumsum([0.0, *RATIOS.values()]) * len(rest)).astype(int)
    edges[1] = min(edges[1], edges[2] - 1)  # 5 % of few clips are none
    parts = {
        name: sorted(str(i) for i in rest[a:b])
        for name, a, b in zip(RATIOS, edges[:-1], edges[1:], strict=True)
    }
    return parts | {"test_compositional": compositional}


def prepare(
    out: str | os.PathLike, clips: int = 2000, seed: int = 0, processes: int = 1, progress: bool = False
) -> MotionFolder:
    """Write the synthetic data set in HumanML3D's layout; the same arguments give the same bytes.

    Args:
        out: the folder to write.
        clips: number of clips, 20 or more so that every split has one.
        seed: of everything random.
        processes: worker processes (the result does not depend on it).
        progress: show a progress bar.
    Raises:
        ValueError: too few clips, no process, a negative seed, or `out` is not a data set.
    """
    require(clips >= 20, f"clips is {clips}; every split needs some: use 20 or more.")
    require(processes >= 1, f"processes is {processes}; expected 1 or more.")
    require(seed >= 0, f"seed is {seed}; expected 0 or more.")
    splits = split_ids({f"{i:06d}": draw_program(seed * 1_000_000 + i) for i in range(clips)}, seed)
    info = dict(
        name="synthetic",
        fps=20.0,
        skeleton="humanml3d",
        source="procedural, made by mmm.datasets.synthetic",
        licence="MIT",
        seed=seed,
    )
    return write_folder(out, _make(clips, seed, processes, progress), splits, info)


def _make(clips: int, seed: int, processes: int, progress: bool) -> Iterator[Clip]:
    make = partial(make_clip, seed=seed)
    bar = partial(tqdm, desc="synthetic", total=clips, unit="clip", disable=not progress)
    if processes == 1:
        yield from bar(map(make, range(clips)))
        return
    # spawn: a forked child may hang in the locks of torch's threads
    with get_context("spawn").Pool(processes, start_worker) as pool:
        yield from bar(pool.imap(make, range(clips), chunksize=8))
