"""Takes of motion capture: archives of them, their frame rate, and how they are cut into clips."""

from __future__ import annotations

import bz2
import filecmp
import gzip
import lzma
import math
import multiprocessing
import os
import re
import shutil
import signal
import string
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from io import BufferedIOBase
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from mmm.data.captions import Caption
from mmm.data.write import Clip
from mmm.errors import DiskFullError, check_name, require, scratch_dir, while_writing
from mmm.motion.features import features_to_joints, joints_to_features

FPS = 20.0
MIN_FRAMES, MAX_FRAMES = 24, 196  # 24 is KIT-ML's minimum, 196 frames are 49 tokens
ARCHIVES = (".zip", ".tar.xz", ".tar.gz", ".tar")
COMPRESSED = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ": lzma.open,
    b"BZh": bz2.open,
}  # tar files, by their first bytes
LARGEST = 1 << 28  # bytes of one file of an archive; the longest take of CMU has 25 MB
TIMES = 100  # an archive holds at most LARGEST bytes and this many times its own size; text shrinks to a tenth or so
MEMBERS = 100_000
CHUNK = 1 << 20


AnyTake = TypeVar("AnyTake")


# ---- from sources to files


def folders(sources: list[Path], stack: ExitStack, what: str) -> Iterator[tuple[Path, Path]]:
    """(source, folder with BVH files) of each folder, and of each archive after unpacking it.

    Args:
        stack: removes the unpacked files when it is closed.
        what: whose data are expected, for messages: "Bandai-Namco's data".
    Raises:
        FileNotFoundError, ValueError: a source is missing, holds neither BVH files nor archives, or is damaged.
    """
    for source in sources:
        require(
            source.exists(),
            f"there is no {source}; give the folder or the archives of {what}.",
            FileNotFoundError,
        )
        archives, has_files = [source], False
        if source.is_dir():
            archives = [path for path in sorted(source.rglob("*")) if path.name.endswith(ARCHIVES)]
            has_files = any(source.rglob("*.bvh"))
        require(
            has_files or archives,
            f"{source} holds neither .bvh files nor archives ({', '.join(ARCHIVES)}) of them.",
        )
        if has_files:
            yield source, source
        for archive in archives:
            yield archive, unpack(archive, stack)


def unpack(source: Path, stack: ExitStack, suffix: str = ".bvh") -> Path:
    """The files of one kind in an archive, in a temporary folder, which `stack` removes.

    No tree is extracted, since names in an archive may lead anywhere: each regular file is copied to NUMBER/NAME. What
    the archive says to hold is bounded before anything is read.

    Raises:
        ValueError: it is no archive, damaged, encrypted, or unpacks to far more than its size.
        DiskFullError: the disk of temporary files is full.
    """
    into = stack.enter_context(scratch_dir("mmm-takes"))
    most = LARGEST + TIMES * source.stat().st_size
    try:
        members = _zipped(source, most) if zipfile.is_zipfile(source) else _tarred(source, most)
        for number, (path, size, read) in enumerate(members):
            _require_few(number, MEMBERS, "files")
            name = re.sub(r"[\x00-\x1f:]", "_", path.replace("\\", "/").rpartition("/")[2])
            if not name.endswith(suffix) or name.startswith("."):  # macOS adds ._NAME to each file
                continue
            _require_few(size, LARGEST, f"bytes in {check_name(name, 'a file in it')}")
            (into / f"{number:06d}").mkdir()
            with while_writing(into), read() as file, (into / f"{number:06d}" / name).open("wb") as copy:
                shutil.copyfileobj(file, copy, CHUNK)
    except Exception as error:  # a damaged archive fails in many ways
        if isinstance(error, DiskFullError):
            raise DiskFullError(
                f"{source} was not unpacked: the disk of {into.parent} is full; free some space, or set TMPDIR to a "
                "folder of another disk."
            ) from error
        reason = (str(error) or type(error).__name__).partition("\n")[0].rstrip(":.")
        raise ValueError(
            f"{source} cannot be unpacked ({reason}); copy or download it again, or unpack it and give the folder."
        ) from error
    return into


def _require_few(count: int, most: int, what: str) -> None:
    require(count <= most, f"it holds {count:,} {what}, expected at most {most:,}")


Member = tuple[str, int, Callable[[], BufferedIOBase]]  # path in the archive, bytes, and what opens it


def _zipped(source: Path, most: int) -> Iterator[Member]:
    """The files of a zip archive; none of them yields more bytes than it declares."""
    with zipfile.ZipFile(source) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        _require_few(sum(info.file_size for info in infos), most, "bytes")
        require(not any(info.flag_bits & 1 for info in infos), "it is encrypted")
        yield from ((info.filename, info.file_size, partial(archive.open, info)) for info in infos)


def _tarred(source: Path, most: int) -> Iterator[Member]:
    """The regular files of a tar archive."""
    with source.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), open)
    with opener(source, "rb") as file, tarfile.open(fileobj=_Bounded(file, most), mode="r:") as archive:
        for member in archive:
            if member.isreg() and not member.issparse():
                yield member.name, member.size, partial(archive.extractfile, member)
        archive.fileobj.seek(archive.offset)
        while rest := archive.fileobj.read(CHUNK):  # to its end, where gzip's checksum is
            # tarfile takes a damaged header for the end of the archive, and would lose what follows
            require(not rest.strip(b"\0"), "a header in it is damaged")


class _Bounded:
    """What tarfile needs of a file, up to `most` bytes and CHUNK of them at once: a header may declare any size."""

    def __init__(self, file: BufferedIOBase, most: int) -> None:
        self.file, self.most, self.tell = file, most, file.tell

    def read(self, size: int) -> bytes:
        _require_few(size, CHUNK, "bytes in a header")
        _require_few(self.file.tell() + size, self.most + CHUNK, "bytes")
        return self.file.read(size)

    def seek(self, position: int) -> int:
        _require_few(position, self.most, "bytes")
        return self.file.seek(position)


def unique(takes: Iterable[AnyTake]) -> list[AnyTake]:
    """One take per `id`, the last one; warns if files (`path`) of the same id differ."""
    chosen: dict[str, AnyTake] = {}
    differing = set()
    for take in takes:
        other = chosen.get(take.id)
        if other and not filecmp.cmp(other.path, take.path, shallow=False):
            differing.add(take.id)
        chosen[take.id] = take
    if differing:
        warnings.warn(
            f"{len(differing)} takes have several files that differ, such as {min(differing)}: the last one is used; "
            "give only one version of the data.",
            stacklevel=3,
        )
    return list(chosen.values())


def convert_all(convert: Callable, jobs: list, processes: int | None = None) -> list:
    """`convert(job)` for each job, in their order, by worker processes (None: one per core)."""
    bar = {"desc": "BVH → features", "total": len(jobs), "unit": "take"}
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        return list(tqdm(map(convert, jobs), **bar))
    # spawn, not fork: a forked child of a process whose torch has used its threads can hang
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=start_worker) as pool:
        try:
            return list(tqdm(pool.map(convert, jobs, chunksize=8), **bar))
        except BaseException:  # Ctrl-C, too
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def start_worker() -> None:
    """For a worker process: one thread; Ctrl-C is its parent's; it ends with its parent, even if that is killed."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


# ---- from joints to clips


def part(start: float | None, end: float | None, frames: int) -> slice:
    """The joint frames from `start` to `end` seconds, both included, of a take of `frames`; None: all of them.

    The slice is empty where the take ends before the part begins.
    """
    if start is None or end is None:
        return slice(0, frames)
    slack = 1e-6  # 0.55 s × 20 is a little more than 11
    first = math.floor(start * FPS + slack)
    return slice(first, max(first, min(math.ceil(end * FPS - slack) + 1, frames)))


def to_clips(
    name: str,
    joints: Float[np.ndarray, "t 22 3"],
    piece: slice,
    captions: list[Caption],
    program: dict,
) -> list[Clip]:
    """Clips of a piece of a take: one, or several if it is long. The captions describe all of it.

    Args:
        joints: of the take, at 20 fps.
        program: facts to keep; each clip adds its joint frames, `first` to before `last`.
    """
    clips = []
    for clip, inner in cut(name, piece.stop - piece.start).items():
        first, last = piece.start + inner.start, piece.start + inner.stop
        features = joints_to_features(joints[first:last])
        about = program | {"first": first, "last": last}
        clips.append(Clip(clip, features, features_to_joints(features), captions, about))
    return clips


def cut(name: str, frames: int) -> dict[str, slice]:
    """Equal pieces of a take of `frames` joint frames, by id, each of at most MAX_FRAMES feature frames.

    Features have one frame fewer than joints, so the last frame of a piece is also the first of the next.
    """
    count = math.ceil((frames - 1) / MAX_FRAMES)
    edges = np.linspace(0, frames - 1, count + 1).astype(int)
    pieces = [slice(int(a), int(b) + 1) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    if count == 1:
        return {name: pieces[0]}
    return {f"{name}_{letters(number)}": piece for number, piece in enumerate(pieces)}


def letters(number: int) -> str:
    """0, 1, … as a, b, … z, aa, ab, …"""
    before, last = divmod(number, 26)
    return (letters(before - 1) if before else "") + string.ascii_lowercase[last]
