"""The part of HumanML3D that comes from CMU's captures, which are free, built without AMASS and SMPL.

HumanML3D takes 2,913 of its 14,616 clips from CMU. Its joints come from AMASS, which fitted SMPL bodies to CMU's
markers and may not be passed on. Here they come from the "Daz-friendly" BVH conversion of the same captures
(`mmm.datasets.cmu`). What HumanML3D publishes under the MIT licence says which frames are a clip (index.csv), what its
captions are (texts.zip) and which split it is in. Mirrored clips ("M" before the id) are made as HumanML3D makes them:
left and right are swapped, then the body is retargeted.

**Frames.** Frame i of index.csv is captured frame 6 i, at 120 fps. The conversion puts a T-pose before the captured
frames, so that is frame 6 i + 1 of a published take. We use frame 6 i, which is 1/120 s earlier and is frame i − 1 of a
reduced take. A clip that begins at frame 0 loses this frame, where a published take has its T-pose. A clip of n frames
gives n − 1 features, as in HumanML3D. The counts confirm it: where index.csv takes a clip up to the end of a take, the
published take has just the frames for it (all seven of such takes at hand).

**Differences.** The skeleton is Daz's, not SMPL's, and others retargeted the motion to it: joints are elsewhere by
centimetres, and feet slide and float more. Results cannot be compared with those on HumanML3D.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import warnings
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from mmm.data.captions import parse_line
from mmm.data.folder import SPLITS, MotionFolder
from mmm.data.reading import Unusable, check_length
from mmm.data.write import Clip, check_out, write_folder
from mmm.datasets.cmu import BROKEN, SOURCE, Take, find_takes, read_take
from mmm.datasets.humanml3d import KINDS
from mmm.datasets.humanml3d_check import check_splits, check_text
from mmm.datasets.takes import FPS, convert_all, unpack
from mmm.errors import listed, require
from mmm.motion.features import features_to_joints, joints_to_features
from mmm.motion.mirror import mirror_joints

COLUMNS = ("source_path", "start_frame", "end_frame", "new_name")
SLACK = 2  # frames by which a range may end after its take
_CMU = re.compile(r"(?:.*/)?CMU/([^/]+)/(\w+?)(?:_poses)?\.npy")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A clip of index.csv: its id, its take (as in 01_08), and its frames from `start` to before `end`, at 20 fps."""

    id: str
    take: str
    start: int
    end: int
    subject: str  # the folder of its take: a number, or the names of two people


@dataclasses.dataclass(frozen=True)
class Job:
    """A take and what is wanted of it: entries with the ids (plain, mirrored) that the splits list, and text files."""

    take: Take
    wanted: list[tuple[Entry, list[str]]]
    texts: dict[str, Path]


def prepare(
    out: str | os.PathLike,
    bvh: str | os.PathLike | list,
    index: str | os.PathLike,
    texts: str | os.PathLike,
    splits: str | os.PathLike | None = None,
    processes: int | None = None,
) -> MotionFolder:
    """Build HumanML3D's clips of CMU's captures.

    Clips are left out by name and reason (in `dataset.json`) if their take is missing, broken or of two people, if
    they are shorter than 40 frames or known to be bad, or if they have no usable text.

    Args:
        out: the folder to write.
        bvh: folders or archives of CMU's BVH files (see `mmm.datasets.cmu`), one or several.
        index: HumanML3D's index.csv.
        texts: HumanML3D's texts.zip, or the folder of its text files.
        splits: folder with train.txt, val.txt and test.txt; by default that of `index`.
        processes: worker processes (default: one per core).
    Raises:
        FileNotFoundError, ValueError: a file is missing or not HumanML3D's, there are no BVH files, none of their clips
            can be used, or `out` is not a data set or holds a source.
    """
    index, texts = Path(index), Path(texts)
    sources = [Path(path) for path in (bvh if isinstance(bvh, list) else [bvh])]
    lists = Path(splits) if splits is not None else index.parent
    check_out(out, [*sources, index, texts, lists])
    entries = read_index(index)
    ids = read_splits(lists)
    left_out: dict[str, list[str]] = defaultdict(list)
    with ExitStack() as stack:
        files = find_texts(texts, stack)
        takes = {take.id: take for take in find_takes(sources, stack)}
        jobs = _jobs(entries, {clip for some in ids.values() for clip in some}, takes, files, left_out)
        results = convert_all(_convert, jobs, processes)
    clips = {clip.id: clip for made, _, _ in results for clip in made}
    for _, faults, _ in results:
        for clip, reason in faults:
            left_out[reason].append(clip)
    ids = {split: [clip for clip in some if clip in clips] for split, some in ids.items()}
    for split, some in ids.items():
        require(some, f"no clip of the {split} split can be used; give more of CMU's takes.")
    info = {
        "name": "humanml3d-cmu",
        "fps": FPS,
        "skeleton": "humanml3d",
        "source": f"HumanML3D's clips of CMU's captures, from BVH (index, splits, texts: Guo et al. 2022). {SOURCE}",
        "licence": "motions free for any use (CMU Graphics Lab); index, splits and texts MIT (Guo et al.)",
        "seed": None,
        "takes": len(jobs),
        "left_out": {reason: sorted(names) for reason, names in left_out.items()},
        "captions_left_out": [line for *_, lines in results for line in lines],
    }
    return write_folder(out, clips.values(), ids, info)


# ---- HumanML3D's files


def read_index(path: Path) -> list[Entry]:
    """The clips of index.csv that come from CMU.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is another one.
    """
    require(
        path.is_file(), f"there is no {path}; give HumanML3D's index.csv with --index.", FileNotFoundError
    )
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    require(
        rows and set(COLUMNS) <= set(rows[0]),
        f"{path} does not have the columns {','.join(COLUMNS)}; give HumanML3D's index.csv.",
    )
    entries = []
    for line, row in enumerate(rows, 2):
        if match := _CMU.fullmatch(row["source_path"]):
            start, end = row["start_frame"] or "", row["end_frame"] or ""
            require(
                start.isdigit() and end.isdigit(),
                f"{path}, line {line}: the frames are {start!r} to {end}, expected two whole numbers; copy it again.",
            )
            clip = (row["new_name"] or "").removesuffix(".npy")
            entries.append(Entry(clip, match[2], int(start), int(end), match[1]))
    require(entries, f"{path} names no take of CMU (…/CMU/01/01_08_poses.npy); give HumanML3D's index.csv.")
    return entries


def read_splits(folder: Path) -> dict[str, list[str]]:
    """The ids of train.txt, val.txt and test.txt, each id in one of them.

    Raises:
        FileNotFoundError: a file is missing.
    """
    missing = [f"{split}.txt" for split in SPLITS if not (folder / f"{split}.txt").is_file()]
    require(
        not missing,
        f"there is no {listed(missing)} in {folder}; give the folder of HumanML3D's splits with --splits.",
        FileNotFoundError,
    )
    return check_splits(folder)[1]


def find_texts(source: Path, stack: ExitStack) -> dict[str, Path]:
    """The files ID.txt in an archive or a folder, by id.

    Raises:
        FileNotFoundError, ValueError: there is no such archive or folder, it is damaged or holds no texts.
    """
    require(
        source.exists(), f"there is no {source}; give HumanML3D's texts.zip with --texts.", FileNotFoundError
    )
    folder = source if source.is_dir() else unpack(source, stack, ".txt")
    files = {path.stem: path for path in folder.rglob("*.txt") if re.fullmatch(r"M?\d{6}", path.stem)}
    require(files, f"{source} holds no texts such as 000000.txt; give HumanML3D's texts.zip.")
    return files


# ---- from takes to clips


def _jobs(
    entries: list[Entry],
    ids: set[str],
    takes: dict[str, Take],
    texts: dict[str, Path],
    left_out: dict[str, list[str]],
) -> list[Job]:
    """What to convert, by take; other clips of the splits are added to `left_out`."""
    known_bad = KINDS["humanml3d"].known_bad
    wanted: dict[str, list[tuple[Entry, list[str]]]] = defaultdict(list)
    missing = set()
    for entry in entries:
        names = [name for name in (entry.id, f"M{entry.id}") if name in ids]
        if not entry.subject.isdigit():
            left_out["two people in one take, and which of them it is is not known"] += names
        elif entry.take in BROKEN:
            left_out["the BVH take is broken"] += names
        elif entry.id in known_bad:
            left_out[known_bad[entry.id]] += names
        elif entry.take not in takes:
            missing.add(entry.take)
            left_out["the BVH take is missing"] += names
        elif names:
            wanted[entry.take].append((entry, names))
    require(
        wanted,
        f"the BVH files are none of the {len({entry.take for entry in entries})} takes that index.csv names, such as "
        f"{entries[0].take}.bvh; give CMU's captures.",
    )
    if missing:
        clips = len(left_out["the BVH take is missing"])
        warnings.warn(
            f"{len(missing)} takes of CMU with {clips} clips, mirrored ones included, are missing: "
            f"{listed(sorted(missing), 3)}.",
            stacklevel=3,
        )
    every = ((take, some, {name for _, names in some for name in names}) for take, some in wanted.items())
    return [
        Job(takes[take], some, {name: texts[name] for name in names & set(texts)})
        for take, some, names in every
    ]


def _convert(job: Job) -> tuple[list[Clip], list[tuple[str, str]], list[str]]:
    """Clips of a take, (id, reason) of those that cannot be used, and captions that cannot be used, in words."""
    joints, clean = read_take(job.take.path)
    clips, faults, captions = [], [], []
    for entry, names in job.wanted:
        first, last = max(entry.start - 1, clean), min(entry.end - 1, len(joints))
        if entry.end - 1 > len(joints) + SLACK:
            faults += [(name, "the BVH take ends before the clip does") for name in names]
            continue
        for name in names:
            body = joints[first:last]
            body = mirror_joints(body) if name.startswith("M") else body
            try:
                check_length(len(body) - 1, "humanml3d")
            except Unusable as error:
                faults.append((name, error.reason))
                continue
            features = joints_to_features(body)
            check = check_text(job.texts.get(name, Path()), name, "humanml3d", features, [])
            captions += [f"{fault.where}: {fault.reason}" for fault in check.captions]
            if check.left_out:
                faults.append((name, check.left_out.reason))
                continue
            program = {
                "dataset": "humanml3d-cmu",
                "content": None,
                "take": entry.take,
                "path": job.take.path.name,
            }
            lines = [parse_line(line) for line in check.lines]
            clips.append(
                Clip(
                    name,
                    features,
                    features_to_joints(features),
                    lines,
                    program | {"first": first, "last": last},
                )
            )
    return clips, faults, captions
