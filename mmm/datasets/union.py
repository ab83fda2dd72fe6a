"""One data set of several: their clips side by side, one Mean and Std, and how often each source is drawn.

A clip keeps its id behind the name of its source ("bandai-…", see `MotionFolder.source_of`). The splits are those of
the sources; val_NAME and test_NAME list the clips of one source, so that each can be evaluated alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmm.data.folder import SOURCE_END, SPLITS, MotionFolder
from mmm.data.reading import load_array
from mmm.data.write import Clip, Statistics, check_out, grouped_std, write_folder
from mmm.datasets.compositions import compositions
from mmm.errors import require
from mmm.training.data import has_mirrored

CHUNK = 1 << 16  # frames that are summed at a time


def prepare(
    out: str | os.PathLike,
    sources: Sequence[str | os.PathLike],
    shares: Sequence[float] | None = None,
    progress: bool = False,
) -> MotionFolder:
    """Write the clips of several data folders as one.

    Mean and Std count every source alike, however many clips it has: a small one must not vanish in them.

    Args:
        out: the folder to write.
        sources: two or more data folders of the same skeleton and frame rate.
        shares: how often training draws each source, in any unit; by default all alike.
    Raises:
        FileNotFoundError, ValueError: a source is missing, does not fit the first or holds mirrored clips; fewer than
            two sources; not as many shares as sources; a share that is not above 0; `out` is not a data set or holds
            a source.
    """
    paths = [Path(source) for source in sources]
    require(len(paths) > 1, f"{len(paths)} data folders were given; a union needs two or more.")
    shares = [1.0] * len(paths) if shares is None else [float(share) for share in shares]
    require(
        len(shares) == len(paths),
        f"{len(shares)} shares for {len(paths)} data folders; give one for each, in their order.",
    )
    require(all(share > 0 for share in shares), f"the shares are {shares}, expected numbers above 0.")
    check_out(out, paths)
    folders = [MotionFolder.open(path) for path in paths]
    first = folders[0]
    for folder in folders:
        require(
            (folder.skeleton, folder.fps) == (first.skeleton, first.fps),
            f"{folder.path} has skeleton {folder.skeleton} at {folder.fps:g} fps, {first.path} has {first.skeleton} "
            f"at {first.fps:g}; a union needs the same.",
        )
        require(
            not has_mirrored(folder),
            f"{folder.path} holds its clips mirrored, too, which training would mirror again in a union; leave it out.",
        )
    names = _unique_names(folders)
    splits = {split: _ids(folders, names, split) for split in SPLITS}
    empty = [f"{split}.txt" for split in SPLITS if not splits[split]]
    require(
        not empty,
        f"{' and '.join(empty)} of {first.path} and of the others list no clip; a union needs some, at least from one.",
    )
    for name, folder in zip(names, folders, strict=True):
        splits |= {f"{split}_{name}": _ids([folder], [name], split) for split in SPLITS[1:]}
    info = {
        "name": "-".join(names),
        "fps": first.fps,
        "skeleton": first.skeleton,
        "source": "; ".join(str(folder.info.get("source", folder.name)) for folder in folders),
        "licence": strictest([folder.info.get("licence", "unknown") for folder in folders]),
        "seed": first.info.get("seed", 0),
        "sources": {
            name: {
                "share": share / sum(shares),
                "clips": len(folder.ids("all")),
                "content_hash": folder.content_hash,
                "splits_hash": folder.splits_hash,
            }
            for name, folder, share in zip(names, folders, shares, strict=True)
        },
    }
    programs = {
        f"{name}{SOURCE_END}{clip}": folder.program(clip) or {}
        for name, folder in zip(names, folders, strict=True)
        for clip in folder.ids("train")
    }
    contents, styles = (
        {clip: own.get(key) for clip, own in programs.items()} for key in ("content", "style")
    )
    table = compositions(contents, info["seed"], styles)
    return write_folder(out, _clips(folders, names, progress), splits, info, _statistics(folders), table)


def strictest(licences: Sequence[str]) -> str:
    """All licences that bind who uses clips of each, one that forbids commercial use first.

    A licence that asks for nothing (MIT, free for any use) is named only where there is no other.
    """
    free = [licence for licence in licences if licence.startswith("MIT") or "free for any use" in licence]
    binding = sorted(set(licences) - set(free), key=lambda text: ("NC" not in text, text))
    return " and ".join(binding or sorted(set(licences)))


def _unique_names(folders: Sequence[MotionFolder]) -> list[str]:
    """A name for each folder, without the separator: bandai, cmu, own, own2, …"""
    names: list[str] = []
    for folder in folders:
        base = folder.name.replace(SOURCE_END, "").removeprefix("M")
        count = 1
        while (name := base if count == 1 else f"{base}{count}") in names:
            count += 1
        names.append(name)
    return names


def _ids(folders: Sequence[MotionFolder], names: Sequence[str], split: str) -> list[str]:
    return [
        f"{name}{SOURCE_END}{clip}"
        for name, folder in zip(names, folders, strict=True)
        for clip in folder.ids(split)
    ]


def _clips(folders: Sequence[MotionFolder], names: Sequence[str], progress: bool) -> Iterator[Clip]:
    jobs = [
        (folder, name, clip)
        for folder, name in zip(folders, names, strict=True)
        for split in SPLITS
        for clip in folder.ids(split)
    ]
    for folder, name, clip in tqdm(jobs, "union", unit="clip", disable=not progress):
        joints = load_array(folder.source / "new_joints" / f"{clip}.npy")
        yield Clip(
            f"{name}{SOURCE_END}{clip}",
            folder.features(clip),
            joints,
            folder.captions(clip),
            folder.program(clip),
        )


def _statistics(folders: Sequence[MotionFolder]) -> Statistics:
    """Mean and Std of the mixture in which every source weighs the same, from the train splits."""
    moments = []
    for folder in folders:
        rows = folder.pack("train").features
        pieces = (np.asarray(rows[first : first + CHUNK], np.float64) for first in range(0, len(rows), CHUNK))
        sums = [(piece.sum(0), (piece**2).sum(0)) for piece in pieces]
        moments.append(np.sum(sums, axis=0) / len(rows))
    mean, square = np.mean(moments, axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return mean.astype(np.float32), grouped_std(std, folders[0].skeleton)
