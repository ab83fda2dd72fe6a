"""A data set of a user's own motions: a folder of BVH files (or arrays) and a CSV table of captions.

Takes are cut into clips of 24 to 196 frames at 20 fps, and a take is in one split. The files of one skeleton are read
with one unit and one axis that points up: those of most of its takes, unless the user states them. A take in which
somebody lies on the floor does not show them.
"""

from __future__ import annotations

import dataclasses
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
from mmm.data.folder import MotionFolder
from mmm.data.write import Clip, check_out, write_folder
from mmm.datasets.table import Row, read_captions
from mmm.datasets.takes import FPS, MIN_FRAMES, part, to_clips
from mmm.errors import check_name, require

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
    fps: float | None = None,
    skip: float = 0.0,
    progress: bool = False,
) -> MotionFolder:
    """Convert a user's motions to a data set in HumanML3D's layout.

    Args:
        out: the folder to write.
        source: folder of .bvh and .npy files (searched recursively; those that `load_motion` reads).
        captions: CSV table, see `read_captions`; its files are paths below `source`, with or without suffix. Takes
            without a caption are left out by name (in `dataset.json`), as are clips below 24 frames.
        seed: of the splits. val, test: ratios of the takes, at least one take each.
        joint_map, unit, up, fps, skip: as in `load_motion`, for all files. Times in the table are those of the files.
    Raises:
        FileNotFoundError, ValueError: the folder or the table is missing or empty, the table names takes that are
            missing, a take or its joints cannot be read, fewer than 3 takes have a clip, or `out` is not a data set
            or holds the source.
    """
    folder = Path(source)
    require(
        folder.is_dir(),
        f"there is no folder {folder}; give the folder with your .bvh files.",
        FileNotFoundError,
    )
    require(
        val > 0 and test > 0 and val + test < 1,
        f"val is {val:g} and test {test:g}, expected ratios above 0 that leave some takes for train.",
    )
    check_out(out, [folder])
    takes = find_takes(folder)
    rows = match_rows(read_captions(captions), takes, folder, captions)
    for take, some in rows.items():
        for row in some:  # the last of 702 pieces has two letters; an hour has 368
            longest = f"{_clip_name(take, row.start, row.end)}_zz"
            check_name(longest, f"the name of a clip of {takes[take]}", "rename the file, or move it up")
    bar = {"unit": "take", "disable": not progress}
    sources, bad = {}, {}
    for take in tqdm(rows, "BVH → joints", **bar):
        try:
            source = read_source(takes[take], joint_map, fps, skip)
            sources[take] = dataclasses.replace(source, bvh=None)  # all files are too large
        except ValueError as error:
            bad[take] = str(error)
    captures = {}
    for take, captured in tqdm(capture_all(sources, unit, up), "joints → features", len(sources), **bar):
        if isinstance(captured, Captured):
            captures[take] = captured
        else:
            bad[take] = captured
    _refuse(bad, len(rows), takes, folder)
    clips: dict[str, list[Clip]] = {}
    short: list[str] = []
    kinds: Counter[str] = Counter()
    for take, captured in captures.items():
        kinds[_summary(captured)] += 1
        clips[take], too_short = _clips(take, captured, rows[take], captions)
        short += too_short
    splits = split_takes([take for take in clips if clips[take]], seed, val, test)
    left_out = {
        "without a caption": sorted(set(takes) - set(rows)),
        f"shorter than {MIN_FRAMES} frames at {FPS:g} fps": short,
    }
    info = {
        "name": "own",
        "fps": FPS,
        "skeleton": "humanml3d",
        "source": f"the user's own motions ({folder.resolve().name}, captions from {Path(captions).name})",
        "licence": "not stated; that of the motions",
        "seed": seed,
        "takes": len(rows),
        **({"source_fps": fps} if fps else {}),
        **({"skip": skip} if skip else {}),
        "understood": [f"{_takes(count)}: {kind}" for kind, count in kinds.most_common()],
        "left_out": {reason: names for reason, names in left_out.items() if names},
    }
    notes = {take: list(captured.source.notes + captured.doubts) for take, captured in captures.items()}
    if suspicious := {take: said for take, said in notes.items() if said}:
        info["suspicious"] = suspicious
    ids = {name: [clip.id for take in some for clip in clips[take]] for name, some in splits.items()}
    return write_folder(out, (clip for take in clips for clip in clips[take]), ids, info)


# ---- takes, and which rows belong to them


def find_takes(folder: Path) -> dict[str, Path]:
    """Files of motion below a folder by id: their path without suffix, in characters that every file system takes.

    Raises:
        ValueError: there are none.
    """
    takes: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            name = re.sub(r"[^\w.-]+", "_", path.relative_to(folder).with_suffix("").as_posix().lstrip("."))
            name = re.sub(r"^M", "m", name)  # an M in front marks a mirrored clip in HumanML3D
            count = 1
            while (take := name if count == 1 else f"{name}-{count}") in takes:
                count += 1
            takes[take] = path
    require(takes, f"no {' or '.join(SUFFIXES)} files in {folder}; give the folder with your motions.")
    return takes


def match_rows(
    rows: list[Row], takes: dict[str, Path], folder: Path, table: str | os.PathLike
) -> dict[str, list[Row]]:
    """Rows by take, in the order of the takes. A row may name its file without suffix or folders if that is clear.

    Raises:
        ValueError: rows name files that are missing, or that could be several.
    """
    exact, by_name = {}, defaultdict(set)
    for take, path in takes.items():
        path = path.relative_to(folder)
        exact[path.as_posix()] = take
        for end in range(len(path.parts)):
            tail = Path(*path.parts[-1 - end :])
            by_name[tail.as_posix()].add(take)
            by_name[tail.with_suffix("").as_posix()].add(take)
    matched: dict[str, list[Row]] = defaultdict(list)
    missing = []
    for row in rows:
        name = row.file.replace("\\", "/").removeprefix("./")
        fits = sorted({exact[name]} if name in exact else by_name.get(name, ()))
        require(
            len(fits) < 2,
            f"{table}, line {row.line}: {row.file} could be {len(fits)} files ({', '.join(fits[:3])}); give its path "
            "below the folder, with its suffix.",
        )
        if fits:
            matched[fits[0]].append(row)
        elif row.file not in missing:
            missing.append(row.file)
    require(
        not missing,
        f"{table} names {len(missing)} file(s) that are not in the folder: {', '.join(missing[:3])}"
        f"{', …' if len(missing) > 3 else ''}; correct their names or remove their lines.",
    )
    return {take: matched[take] for take in takes if take in matched}


# ---- from takes to clips


def capture_all(
    sources: dict[str, Source], unit: str | float | None, up: str | None
) -> Iterator[tuple[str, Captured | str]]:
    """Each take, read with the unit and the up axis that most takes of its skeleton have; or why it cannot be."""
    skeletons = defaultdict(list)
    for take, source in sources.items():
        skeletons[source.joint_map and source.joint_map.needed].append(take)
    for takes in skeletons.values():
        common_unit, common_up = unit, up
        if unit is None:
            common_unit = _most_common(guess_unit(sources[take].joints) for take in takes)
        if not up:
            common_up = _most_common(guess_up(sources[take].joints) for take in takes)
        for take in takes:
            try:
                yield take, capture(sources[take], common_unit, common_up)
            except ValueError as error:
                yield take, str(error)


def _refuse(bad: dict[str, str], count: int, takes: dict[str, Path], folder: Path) -> None:
    """Raise one sentence that names all takes which cannot be used, the first ten with their reasons."""
    if len(bad) == 1:
        raise ValueError(*bad.values())
    reasons = [
        reason.replace(str(takes[take]), takes[take].relative_to(folder).as_posix())[:400]
        for take, reason in bad.items()
    ]
    more = [takes[take].relative_to(folder).as_posix() for take in bad][10:]
    require(
        not bad,
        f"{len(bad)} of {count} takes in {folder} cannot be used: {' | '.join(reasons[:10])}"
        f"{' | and ' + ', '.join(more) if more else ''}; mend them, or remove their lines from the table.",
    )


def _most_common(guesses: Iterator[str | None]) -> str | None:
    counts = Counter(guess for guess in guesses if guess)
    return counts.most_common(1)[0][0] if counts else None


def _takes(count: int) -> str:
    return f"{count} take{'' if count == 1 else 's'}"


def _summary(captured: Captured) -> str:
    source = captured.source
    joints = "HumanML3D's own joints" if source.joint_map is None else f"joint map {source.joint_map.name}"
    return f"{joints}, {source.fps:g} fps, unit {captured.unit}, up {captured.placement.up}"


def _clips(
    take: str, captured: Captured, rows: list[Row], table: str | os.PathLike
) -> tuple[list[Clip], list[str]]:
    """Clips of the whole take and of its captioned parts, and the names of those that are too short."""
    joints, clips, short = captured.motion.joints, [], []
    parts: dict[tuple[float | None, float | None], list[Row]] = defaultdict(list)
    for row in rows:
        parts[row.start, row.end].append(row)
    for (start, end), same in parts.items():
        name = _clip_name(take, start, end)
        left_out = captured.source.start
        seconds = left_out + (len(joints) - 1) / FPS
        require(
            start is None or start < seconds,
            f"{table}, line {same[0].line}: the part starts at {start or 0:g} s, but {same[0].file} ends at "
            f"{seconds:.1f} s; correct the times.",
        )
        if start is not None and end is not None:
            start, end = max(0.0, start - left_out), max(0.0, end - left_out)
        piece = part(start, end, len(joints))
        if piece.stop - piece.start - 1 < MIN_FRAMES:
            short.append(name)
            continue
        # a part becomes a clip of its own, so that its captions describe all of it
        captions = [untagged(text) for text in dict.fromkeys(row.text for row in same)]
        clips += to_clips(name, joints, piece, captions, {"dataset": "own", "path": take})
    return clips, short


def _clip_name(take: str, start: float | None, end: float | None) -> str:
    return take if start is None else f"{take}_{start:g}-{end:g}s"


def split_takes(takes: list[str], seed: int, val: float, test: float) -> dict[str, list[str]]:
    """Takes for train, val and test, drawn by seed.

    Raises:
        ValueError: there are too few, so that a split would be empty.
    """
    count = len(takes)
    counts = [max(1, round(ratio * count)) for ratio in (val, test)]
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
