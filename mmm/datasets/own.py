"""A data set of a user's own motions: a folder of BVH files (or arrays) and a table of captions.

Takes are cut to clips of 24 to 196 frames at 20 fps and divided between the splits as a whole. All takes of one
skeleton are read with one unit and one axis that points up, that of most of them, unless these are given: a take in
which somebody lies on the floor cannot tell them.


The captions of a user's own motions: a CSV table, and words with parts of speech as HumanML3D's texts have them.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmm.bvh.capture import SUFFIXES, Captured, Source, capture, read_source
from mmm.bvh.placement import guess_unit, guess_up
from mmm.data.captions import untagged
from mmm.data.folder import MARK, MotionFolder
from mmm.data.write import Clip, write_folder
from mmm.datasets.bandai import FPS, MIN_FRAMES, cut, letters
from mmm.errors import check_replaceable, require
from mmm.motion.features import features_to_joints, joints_to_features

COLUMNS, TIMES = ("file", "caption"), ("start", "end")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a caption of a file, or of its seconds `start` to `end` (None: of all of it)."""

    file: str
    text: str
    start: float | None
    end: float | None
    line: int


def read_captions(path: str | os.PathLike) -> list[Row]:
    """The rows of a table with the columns file, caption and, if wanted, start and end (seconds).

    Raises:
        FileNotFoundError: no such table.
        ValueError: it is not UTF-8, a column is missing, there is no row, or a row cannot be used (the sentence says
            which line).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no table of captions {path}; give a CSV file with {','.join(COLUMNS)}."
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason}); save it as CSV in UTF-8.") from error
    rows = list(_rows(path, lines))
    require(
        bool(rows),
        f"{path} holds no caption; expected a line {','.join(COLUMNS)}, then one line for each caption.",
    )
    return rows


def _rows(path: Path, lines: list[str]) -> Iterator[Row]:
    reader = csv.reader(lines, skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader, [])]
    missing = [name for name in COLUMNS if name not in header]
    require(
        not missing,
        f"{path} lacks the column {' and '.join(missing)}: its first line is {','.join(header)[:80]!r}, expected "
        f"{','.join(COLUMNS)} or {','.join(COLUMNS + TIMES)} with commas between.",
    )
    require(
        ("start" in header) == ("end" in header),
        f"{path} has only one of the columns start and end; a caption of a part needs both.",
    )
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        where = f"{path}, line {reader.line_num}"
        require(
            len(values) == len(header),
            f"{where} has {len(values)} values for {len(header)} columns; put a caption that holds commas in quotes.",
        )
        row = {name: value.strip() for name, value in zip(header, values, strict=True)}
        require(bool(row["file"]), f"{where} names no file; give one, or remove the line.")
        text = " ".join(row["caption"].split())
        require(
            bool(untagged(text).words),
            f"{where}: the caption of {row['file']} is empty; write one, or remove the line.",
        )
        require(
            "#" not in text,
            f"{where}: the caption {text!r} holds '#', which HumanML3D's texts divide with; remove it.",
        )
        yield Row(row["file"], text, *_times(where, row), reader.line_num)


def _times(where: str, row: dict[str, str]) -> tuple[float | None, float | None]:
    """Start and end in seconds; None, None where both are left empty."""
    words = [row.get(name, "") for name in TIMES]
    if words == ["", ""]:
        return None, None
    try:
        start, end = map(float, words)
    except ValueError:
        start, end = 1.0, 0.0
    require(
        0 <= start < end < float("inf"),
        f"{where}: start and end are {words[0]!r} and {words[1]!r}, expected seconds from 0 up, start before end, or "
        "both empty.",
    )
    return start, end


MIN_TAKES = 3  # one for each split


def prepare(
    out: str | os.PathLike,
    source: str | os.PathLike,
    captions: str | os.PathLike,
    seed: int = 0,
    val: float = 0.1,
    test: float = 0.1,
    joint_map: str | os.PathLike | None = None,
    unit: str | float | None = None,
    up: str | None = None,
    progress: bool = False,
) -> MotionFolder:
    """Make a data set in HumanML3D's layout.

    Args:
        out: the folder to write.
        source: folder of .bvh and .npy files (searched recursively; what `load_motion` reads).
        captions: CSV table, see `own_captions.read_captions`; its files are paths below `source`, their suffix may be
            left out. Takes without a caption are left out by name (in `dataset.json`), as are clips below 24 frames.
        seed: of the splits. val, test: shares of the takes, at least one take each.
        joint_map, unit, up: as in `load_motion`, for all files.
    Raises:
        FileNotFoundError, ValueError: the folder or the table is missing or empty, the table names takes that are not
            there, a take cannot be read or its joints cannot be told, there are fewer than 3 takes with a clip, or
            `out` is something else's or holds the source.
    """
    folder = Path(source)
    require(
        folder.is_dir(),
        f"there is no folder {folder}; give the folder with your .bvh files.",
        FileNotFoundError,
    )
    require(
        Path(out).resolve() not in (folder.resolve(), *folder.resolve().parents),
        f"the source {folder} lies in --out {out}, which is replaced as a whole: name another folder.",
    )
    require(
        val > 0 and test > 0 and val + test < 1,
        f"val is {val:g} and test {test:g}, expected shares of the takes above 0 that leave some for train.",
    )
    check_replaceable(out, MARK)
    takes = find_takes(folder)
    rows = match_rows(read_captions(captions), takes, folder, captions)
    sources = {
        take: read_source(takes[take], joint_map)
        for take in tqdm(rows, "BVH → joints", unit="take", disable=not progress)
    }
    clips: dict[str, list[Clip]] = {}
    short: list[str] = []
    kinds: Counter[str] = Counter()
    for take, captured in tqdm(
        understand(sources, unit, up), "joints → features", len(sources), unit="take", disable=not progress
    ):
        kinds[_summary(captured)] += 1
        clips[take] = list(_clips(take, captured, rows[take], captions, short))
    whole = [take for take in clips if clips[take]]
    splits = split_takes(whole, seed, val, test)
    info = {
        "name": "own",
        "fps": FPS,
        "skeleton": "humanml3d",
        "source": f"the user's own motions ({folder.resolve().name}, captions from {Path(captions).name})",
        "licence": "not stated; that of the motions",
        "seed": seed,
        "takes": len(rows),
        "understood": [f"{_takes(count)}: {kind}" for kind, count in kinds.most_common()],
        "left_out": {
            "without a caption": sorted(set(takes) - set(rows)),
            f"shorter than {MIN_FRAMES} frames at {FPS:g} fps": short,
        },
    }
    info["left_out"] = {why: names for why, names in info["left_out"].items() if names}
    ids = {name: [clip.id for take in some for clip in clips[take]] for name, some in splits.items()}
    return write_folder(out, (clip for take in whole for clip in clips[take]), ids, info)


def find_takes(folder: Path) -> dict[str, Path]:
    """Files of motion below a folder by id: their path without suffix, in letters that every file system takes.

    Raises:
        ValueError: there are none.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            name = re.sub(r"[^\w.-]+", "_", path.relative_to(folder).with_suffix("").as_posix())
            name = re.sub(r"^M", "m", name)  # HumanML3D calls a mirrored clip so
            count = 1
            while (take := name if count == 1 else f"{name}-{count}") in found:
                count += 1
            found[take] = path
    require(bool(found), f"no {' or '.join(SUFFIXES)} files in {folder}; give the folder with your motions.")
    return found


def match_rows(
    rows: list[Row], takes: dict[str, Path], folder: Path, table: str | os.PathLike
) -> dict[str, list[Row]]:
    """Rows by take, in the order of the takes. A file may be named without suffix or folders while that is clear.

    Raises:
        ValueError: rows name files that are not there, or that could be several.
    """
    exact, by_name = {}, defaultdict(set)
    for take, path in takes.items():
        path = path.relative_to(folder)
        exact[path.as_posix()] = take
        for end in range(len(path.parts)):
            tail = Path(*path.parts[-1 - end :])
            by_name[tail.as_posix()].add(take)
            by_name[tail.with_suffix("").as_posix()].add(take)
    found: dict[str, list[Row]] = defaultdict(list)
    lost = []
    for row in rows:
        name = row.file.replace("\\", "/").removeprefix("./")
        fits = sorted({exact[name]} if name in exact else by_name.get(name, ()))
        require(
            len(fits) < 2,
            f"{table}, line {row.line}: {row.file} could be {len(fits)} files ({', '.join(fits[:3])}); give its path "
            "below the folder, with its suffix.",
        )
        if fits:
            found[fits[0]].append(row)
        elif row.file not in lost:
            lost.append(row.file)
    require(
        not lost,
        f"{table} names {len(lost)} file(s) that are not in the folder: {', '.join(lost[:3])}"
        f"{', …' if len(lost) > 3 else ''}; mend their names or remove their lines.",
    )
    return {take: found[take] for take in takes if take in found}


def understand(
    sources: dict[str, Source], unit: str | float | None, up: str | None
) -> Iterator[tuple[str, Captured]]:
    """Each take with the unit and the axis that most takes of its skeleton have.

    Raises:
        ValueError: in no take of a skeleton can they be told.
    """
    kinds = defaultdict(list)
    for take, source in sources.items():
        kinds[source.joint_map and source.joint_map.needed].append(take)
    for names in kinds.values():
        units = Counter(filter(None, (guess_unit(sources[take].joints) for take in names)))
        axes = Counter(filter(None, (guess_up(sources[take].joints) for take in names)))
        most_unit = unit if unit is not None else next((name for name, _ in units.most_common(1)), None)
        most_axis = up or next((axis for axis, _ in axes.most_common(1)), None)
        for take in names:
            yield take, capture(sources[take], most_unit, most_axis)


def _takes(count: int) -> str:
    return f"{count} take{'' if count == 1 else 's'}"


def _summary(captured: Captured) -> str:
    source = captured.source
    joints = "HumanML3D's own joints" if source.joint_map is None else f"joint map {source.joint_map.name}"
    return f"{joints}, {source.fps:g} fps, unit {captured.unit}, up {captured.placement.up}"


def _clips(
    take: str, captured: Captured, rows: list[Row], table: str | os.PathLike, short: list[str]
) -> Iterator[Clip]:
    """Clips of the whole take and of its captioned parts; names of what is too short are put into `short`."""
    joints = captured.motion.joints
    parts: dict[tuple[float, float] | None, list[Row]] = defaultdict(list)
    for row in rows:
        parts[None if row.start is None else (row.start, row.end)].append(row)
    for part, told in parts.items():
        name, first, last = take, 0, len(joints)
        if part is not None:
            seconds = (len(joints) - 1) / FPS
            require(
                part[0] < seconds,
                f"{table}, line {told[0].line}: the part starts at {part[0]:g} s, but {told[0].file} ends at "
                f"{seconds:.1f} s; mend the times.",
            )
            name = f"{take}_{part[0]:g}-{part[1]:g}s"
            first, last = math.floor(part[0] * FPS), min(math.ceil(part[1] * FPS), len(joints) - 1) + 1
        if last - first - 1 < MIN_FRAMES:
            short.append(name)
            continue
        pieces = cut(last - first)
        for number, piece in enumerate(pieces):
            features = joints_to_features(joints[first + piece.start : first + piece.stop])
            yield Clip(
                id=name + (f"_{letters(number)}" if len(pieces) > 1 else ""),
                features=features,
                joints=features_to_joints(features),
                captions=[untagged(text) for text in dict.fromkeys(row.text for row in told)],
                program={
                    "dataset": "own",
                    "path": take,
                    "first": first + piece.start,
                    "last": first + piece.stop,
                },
            )


def split_takes(takes: list[str], seed: int, val: float, test: float) -> dict[str, list[str]]:
    """Takes for train, val and test, drawn by seed.

    Raises:
        ValueError: there are too few, so that a split would be empty.
    """
    count = len(takes)
    counts = [max(1, round(share * count)) for share in (val, test)]
    require(
        count >= MIN_TAKES and sum(counts) < count,
        f"{_takes(count)} with a caption and {MIN_FRAMES / FPS:g} s or more: train, val and test need one each; "
        f"give {MIN_TAKES} or more, and leave some for train.",
    )
    order = np.random.default_rng(seed).permutation(sorted(takes)).tolist()
    val_end, test_end = counts[0], sum(counts)
    return {
        "train": sorted(order[test_end:]),
        "val": sorted(order[:val_end]),
        "test": sorted(order[val_end:test_end]),
    }
