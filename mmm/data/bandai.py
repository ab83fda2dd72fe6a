"""Bandai-Namco Research Motiondataset 1 and 2 (BVH, CC BY-NC 4.0; Kobayashi et al. 2023, arXiv 2306.08861).

File names say dataset, content, style and take: `dataset-1_walk-back_sad_001.bvh`. Each take becomes one clip, or
several where it is longer than 196 frames at 20 fps.
"""

import dataclasses
import math
import multiprocessing
import os
import re
import tarfile
import tempfile
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

from mmm.data.bandai_captions import CONTENTS, STYLES, write_captions
from mmm.data.folder import Clip, MotionFolder, write_folder
from mmm.errors import require
from mmm.motion.bvh import BvhMotion, read_bvh, resample
from mmm.motion.features import features_to_joints, joints_to_features

FPS = 20.0
MIN_FRAMES, MAX_FRAMES = 24, 196  # 24 is KIT-ML's minimum, 196 what 49 tokens hold
ARCHIVES = (".zip", ".tar.xz", ".tar.gz", ".tar")
_NAME = re.compile(r"(dataset-[12])_([a-z-]+)_([a-z-]+)_(\d+)")
# HumanML3D's joints in order; the captures have one spine joint less, so spine2 is halfway from Spine to Chest
_JOINTS = (
    "Hips UpperLeg_L UpperLeg_R Spine LowerLeg_L LowerLeg_R - Foot_L Foot_R Chest Toes_L Toes_R Neck Shoulder_L "
    "Shoulder_R Head UpperArm_L UpperArm_R LowerArm_L LowerArm_R Hand_L Hand_R"
).split()


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


def find_takes(folder: Path) -> list[Take]:
    """All takes below a folder, sorted by name.

    Raises:
        ValueError: there are none, or a file's name does not say content and style in known words.
    """
    takes = []
    for path in sorted(folder.rglob("*.bvh"), key=lambda path: path.name):
        match = _NAME.fullmatch(path.stem)
        require(
            match is not None and match.group(2) in CONTENTS and match.group(3) in STYLES,
            f"{path.name} does not read like dataset-1_CONTENT_STYLE_001.bvh with a known content and style; remove "
            "the file or give Bandai-Namco's own folder.",
        )
        takes.append(Take(path, *match.groups()))
    require(
        bool(takes),
        f"no .bvh files in {folder}; give the folder or the archives of Bandai-Namco's data sets.",
    )
    return takes


def to_humanml3d(motion: BvhMotion) -> Float[np.ndarray, "t 22 3"]:
    """Bandai's 21 joints as HumanML3D's 22, world positions in metres.

    Raises:
        ValueError: the file has other joints.
    """
    missing = [name for name in (*_JOINTS, "Spine", "Chest") if name not in (*motion.names, "-")]
    require(
        not missing,
        f"the BVH file lacks the joint {missing[:1]}; expected the skeleton of Bandai-Namco's data.",
    )
    joint = {name: motion.joints[:, i] for i, name in enumerate(motion.names)}
    joint["-"] = (joint["Spine"] + joint["Chest"]) / 2
    return np.stack([joint[name] for name in _JOINTS], 1)


def cut(frames: int) -> list[slice]:
    """Equal pieces of at most MAX_FRAMES features, each with the frame more that making features costs."""
    count = math.ceil((frames - 1) / MAX_FRAMES)
    edges = np.linspace(0, frames - 1, count + 1).astype(int)
    return [slice(int(a), int(b) + 1) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _convert(job: tuple[Take, int, int]) -> list[Clip]:
    """Clips of a take; captions depend on seed and take alone, not on what else is in the folder."""
    take, seed, captions = job
    motion = read_bvh(take.path)
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
                id=take.id + (f"_{'abcdefgh'[number]}" if len(pieces) > 1 else ""),
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

    Contents with fewer than five takes go to train whole: one of two cannot stand for the content.
    """
    groups = defaultdict(list)
    for take in takes:
        groups[take.dataset, take.content].append(take.id)
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for key, ids in sorted(groups.items()):
        order = (
            np.random.default_rng([seed, zlib.crc32("".join(key).encode())]).permutation(sorted(ids)).tolist()
        )
        val, test = (max(1, round(share * len(ids))) if len(ids) >= 5 else 0 for share in shares)
        splits["val"] += order[:val]
        splits["test"] += order[val : val + test]
        splits["train"] += order[val + test :]
    return {name: sorted(ids) for name, ids in splits.items()}


def _unpack(source: Path, into: Path) -> Path:
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            archive.extractall(into)
    else:
        try:
            with tarfile.open(source) as archive:
                archive.extractall(into, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(f"{source} cannot be unpacked ({error}); copy or download it again.") from error
    return into


def _folders(sources: list[Path], stack: ExitStack) -> Iterator[Path]:
    """Folders with BVH files: sources that are folders, and what archives (given, or lying in them) unpack to."""
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
        if source.is_dir() and any(source.rglob("*.bvh")):
            yield source
            continue
        require(
            bool(archives), f"{source} holds neither .bvh files nor archives ({', '.join(ARCHIVES)}) of them."
        )
        for archive in archives:
            yield _unpack(
                archive, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmm-bandai-")))
            )


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
        limit: convert only this many takes of each content (for a quick look).
    Raises:
        FileNotFoundError, ValueError: a source is missing, empty, cut off or not Bandai-Namco's.
    """
    sources = [Path(s) for s in ([source] if isinstance(source, (str, os.PathLike)) else source)]
    with ExitStack() as stack:
        takes = [take for folder in _folders(sources, stack) for take in find_takes(folder)]
        takes = list({take.id: take for take in takes}.values())
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
