"""Bandai-Namco Research Motiondataset 1 and 2 (BVH, CC BY-NC 4.0; Kobayashi et al. 2023, arXiv 2306.08861).

File names say dataset, content, style and take: `dataset-1_walk-back_sad_001.bvh`. Each take becomes one clip, or
several where it is longer than 196 frames at 20 fps.
"""

import dataclasses
import filecmp
import lzma
import math
import multiprocessing
import os
import re
import string
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from mmm.bvh.joint_map import known_map
from mmm.bvh.reading import BvhMotion, read_bvh, resample
from mmm.data.folder import MARK, MotionFolder
from mmm.data.write import Clip, write_folder
from mmm.datasets.bandai_captions import ACTION_CLASSES, STYLES, write_captions
from mmm.errors import check_replaceable, require
from mmm.motion.features import features_to_joints, joints_to_features

FPS = 20.0
MIN_FRAMES, MAX_FRAMES = 24, 196  # 24 is KIT-ML's minimum, 196 what 49 tokens hold
MIN_TAKES = 5  # of a content, to be divided between the splits: one of two cannot stand for it
ARCHIVES = (".zip", ".tar.xz", ".tar.gz", ".tar")
_NAME = re.compile(r"(dataset-[12])_([a-z-]+)_([a-z-]+)_(\d+)")


@dataclasses.dataclass(frozen=True)
class Take:
    """One capture: its file and what its name says."""

    path: Path
    dataset: str
    content: str
    style: str
    number: str

    @property
    def id(self) -> str:
        return f"{self.dataset}_{self.content}_{self.style}_{self.number}"


def find_takes(folder: Path, source: Path | None = None) -> list[Take]:
    """All takes below a folder, sorted by name; errors speak of `source`, the archive that it was unpacked from.

    Raises:
        ValueError: there are none, or a file's name does not say content and style in known words.
    """
    takes = []
    for path in sorted(folder.rglob("*.bvh"), key=lambda path: path.name):
        match = _NAME.fullmatch(path.stem)
        require(
            match is not None and match.group(2) in ACTION_CLASSES and match.group(3) in STYLES,
            f"{path.name} does not read like dataset-1_CONTENT_STYLE_001.bvh with a known content and style; remove "
            "the file or give Bandai-Namco's own folder.",
        )
        takes.append(Take(path, *match.groups()))
    require(
        bool(takes),
        f"no .bvh files in {source or folder}; give the folder or the archives of Bandai-Namco's data sets.",
    )
    return takes


def to_humanml3d(motion: BvhMotion) -> Float[np.ndarray, "t 22 3"]:
    """Bandai's 21 joints as HumanML3D's 22, world positions in metres.

    Raises:
        ValueError: the file has other joints.
    """
    joint_map = known_map("bandai")
    missing = joint_map.missing(motion)
    require(
        not missing,
        f"the BVH file lacks the joint {missing[:1]}; expected the skeleton of Bandai-Namco's data.",
    )
    return joint_map.apply(motion)


def cut(frames: int) -> list[slice]:
    """Equal pieces of at most MAX_FRAMES features, each with the frame more that making features costs."""
    count = math.ceil((frames - 1) / MAX_FRAMES)
    edges = np.linspace(0, frames - 1, count + 1).astype(int)
    return [slice(int(a), int(b) + 1) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def letters(number: int) -> str:
    """The end of a piece's id: a, b, … z, aa, ab, …"""
    before, last = divmod(number, 26)
    return (letters(before - 1) if before else "") + string.ascii_lowercase[last]


def _convert(job: tuple[Take, int, int]) -> list[Clip]:
    """Clips of a take. Raises ValueError that names the take's file."""
    take, seed, captions = job
    motion = read_bvh(take.path)
    try:
        return _clips(take, motion, seed, captions)
    except ValueError as error:
        raise ValueError(f"{take.path.name}: {error}") from error


def _clips(take: Take, motion: BvhMotion, seed: int, captions: int) -> list[Clip]:
    """Captions depend on seed and take alone, not on what else is in the folder."""
    joints = resample(to_humanml3d(motion), motion.fps, FPS)
    if len(joints) - 1 < MIN_FRAMES:
        return []
    rng = np.random.default_rng([seed, zlib.crc32(take.id.encode())])
    pieces = cut(len(joints))
    clips = []
    for number, piece in enumerate(pieces):
        features = joints_to_features(joints[piece])
        clips.append(
            Clip(
                id=take.id + (f"_{letters(number)}" if len(pieces) > 1 else ""),
                features=features,
                joints=features_to_joints(features),
                captions=write_captions(take.content, take.style, rng, captions),
                program=dataclasses.asdict(take)
                | {"path": take.path.name, "first": piece.start, "last": piece.stop},
            )
        )
    return clips


def split_takes(
    takes: list[Take], seed: int, shares: tuple[float, float] = (0.1, 0.1)
) -> dict[str, list[str]]:
    """Take ids for train, val and test, within each content of each data set.

    Contents with fewer than MIN_TAKES takes go to train whole.

    Raises:
        ValueError: no content has enough takes, so that val and test would be empty.
    """
    groups = defaultdict(list)
    for take in takes:
        groups[take.dataset, take.content].append(take.id)
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for key, ids in sorted(groups.items()):
        order = (
            np.random.default_rng([seed, zlib.crc32("".join(key).encode())]).permutation(sorted(ids)).tolist()
        )
        val, test = (max(1, round(share * len(ids))) if len(ids) >= MIN_TAKES else 0 for share in shares)
        splits["val"] += order[:val]
        splits["test"] += order[val : val + test]
        splits["train"] += order[val + test :]
    require(
        all(splits.values()),
        f"none of the {len(groups)} contents has {MIN_TAKES} takes of {MIN_FRAMES / FPS:g} s or more, so val and test "
        "would be empty; give more of the data.",
    )
    return {name: sorted(ids) for name, ids in splits.items()}


_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError)


def _unpack(source: Path, into: Path) -> Path:
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                archive.extractall(into)
        else:
            with tarfile.open(source) as archive:
                archive.extractall(into, filter="data")
                archive.fileobj.seek(archive.offset)
                while rest := archive.fileobj.read(1 << 20):  # to its end, where gzip's checksum is
                    # tarfile takes a damaged header for the end of the archive, and would lose what follows
                    require(not rest.strip(b"\0"), "a header in it is damaged", tarfile.ReadError)
    except _DAMAGED as error:
        raise ValueError(f"{source} cannot be unpacked ({error}); copy or download it again.") from error
    return into


def _folders(sources: list[Path], stack: ExitStack) -> Iterator[tuple[Path, Path]]:
    """(source, folder with BVH files): sources that are folders, and archives, given or lying in them, unpacked."""
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(
                f"there is no {source}; give the folder or the archives of Bandai-Namco's data."
            )
        archives = (
            [source]
            if source.is_file()
            else [p for p in sorted(source.rglob("*")) if p.name.endswith(ARCHIVES)]
        )
        loose = source.is_dir() and any(source.rglob("*.bvh"))
        require(
            loose or bool(archives),
            f"{source} holds neither .bvh files nor archives ({', '.join(ARCHIVES)}) of them.",
        )
        if loose:
            yield source, source
        for archive in archives:
            into = stack.enter_context(tempfile.TemporaryDirectory(prefix="mmm-bandai-"))
            yield archive, _unpack(archive, Path(into))


def _unique(takes: list[Take]) -> list[Take]:
    """Takes by id, the last of those that share one; warns if their files differ."""
    kept: dict[str, Take] = {}
    differing = set()
    for take in takes:
        other = kept.get(take.id)
        if other and not filecmp.cmp(other.path, take.path, shallow=False):
            differing.add(take.id)
        kept[take.id] = take
    if differing:
        warnings.warn(
            f"{len(differing)} takes come in files that differ, such as {min(differing)}: the last one found is used; "
            "give only one version of the data.",
            stacklevel=3,
        )
    return list(kept.values())


def prepare(
    out: str | os.PathLike,
    source: str | os.PathLike | list,
    seed: int = 0,
    captions: int = 4,
    processes: int | None = None,
    limit: int | None = None,
) -> MotionFolder:
    """Convert Bandai-Namco's BVH files to a data set in HumanML3D's layout.

    30 → 20 fps, 21 → 22 joints, 263 features, captions written from content and style, takes above 196 frames cut
    into equal clips, takes below 24 left out by name (in `dataset.json`), splits by take.

    Args:
        out: the folder to write.
        source: folders (searched recursively) or .zip / .tar.xz archives, one or several.
        seed: of captions and splits. captions: per clip.
        processes: worker processes (default: one per core).
        limit: convert only this many takes of each content, 5 or more (for a quick look).
    Raises:
        FileNotFoundError, ValueError: a source is missing, empty, cut off or not Bandai-Namco's, or too small to be
            split; `limit` is below 5; `out` is something else's or holds a source.
    """
    require(
        limit is None or limit >= MIN_TAKES,
        f"limit is {limit}; every split needs some takes of each content: ask for {MIN_TAKES} or more.",
    )
    sources = [Path(s) for s in ([source] if isinstance(source, (str, os.PathLike)) else source)]
    for path in sources:
        require(
            Path(out).resolve() not in (path.resolve(), *path.resolve().parents),
            f"the source {path} lies in --out {out}, which is replaced as a whole: name another folder.",
        )
    check_replaceable(out, MARK)
    with ExitStack() as stack:
        takes = [take for shown, folder in _folders(sources, stack) for take in find_takes(folder, shown)]
        takes = _unique(takes)
        if limit:
            kept: dict[tuple, list[Take]] = defaultdict(list)
            for take in np.random.default_rng(seed).permutation(np.array(takes, object)):
                if len(kept[take.dataset, take.content]) < limit:
                    kept[take.dataset, take.content].append(take)
            takes = sorted((take for group in kept.values() for take in group), key=lambda take: take.id)
        jobs = [(take, seed, captions) for take in takes]
        processes = processes or os.cpu_count() or 1
        # spawn, not fork: a forked child of a process whose torch has used its threads can hang
        spawn = multiprocessing.get_context("spawn")
        pool = None
        if processes > 1:
            pool = stack.enter_context(
                ProcessPoolExecutor(processes, spawn, initializer=torch.set_num_threads, initargs=(1,))
            )
        results = pool.map(_convert, jobs, chunksize=8) if pool else map(_convert, jobs)
        clips_of: dict[str, list[str]] = {}
        written: list[Clip] = []
        for take, clips in tqdm(zip(takes, results, strict=True), "BVH → features", len(takes), unit="take"):
            clips_of[take.id] = [clip.id for clip in clips]
            written += clips
    short = [name for name, ids in clips_of.items() if not ids]
    splits = split_takes([take for take in takes if clips_of[take.id]], seed)
    info = {
        "name": "bandai",
        "fps": FPS,
        "skeleton": "humanml3d",
        "source": "Bandai-Namco Research Motiondataset 1 and 2, Kobayashi et al. 2023, arXiv 2306.08861",
        "licence": "CC BY-NC 4.0",
        "seed": seed,
        "takes": len(takes),
        "left_out": {"shorter than 24 frames": short},
    }
    return write_folder(
        out,
        written,
        {name: [c for take in ids for c in clips_of[take]] for name, ids in splits.items()},
        info,
    )
