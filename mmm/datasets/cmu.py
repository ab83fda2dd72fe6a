"""CMU's motion capture (mocap.cs.cmu.edu): everyday motion, free for any use, with captions written by this project.

The captions (`cmu.csv`) describe pieces of takes of subjects 1 to 14, each by several lines with the action class of
the piece. The takes are BVH files of the "Daz-friendly" conversion (B. Hahne, cgspeed.com, 2010), as published (120
fps) or reduced to 20 fps. A published take begins with a T-pose that CMU did not capture (frame 0), and leaves it over
the next five frames. Time 0 of the captions is 1/20 s (six frames) later, where a reduced take begins.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
import zlib
from collections import Counter, defaultdict
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.bvh.anatomy import t_pose_frames
from mmm.bvh.joint_map import known_map
from mmm.bvh.reading import read_bvh, resample
from mmm.data.captions import untagged
from mmm.data.folder import MotionFolder
from mmm.data.write import Clip, check_out, write_folder
from mmm.datasets.compositions import compositions
from mmm.datasets.phrasing import captions_of, phrases
from mmm.datasets.table import Row, read_captions
from mmm.datasets.takes import FPS, MIN_FRAMES, convert_all, folders, part, to_clips, unique
from mmm.errors import listed, require

SOURCE = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from "
    "NSF EIA-0196217. BVH conversion by B. Hahne (cgspeed.com)."
)
LICENCE = "free for any use, also commercial (CMU Graphics Lab); captions under this project's licence (MIT)"
WHAT = "CMU's captures (the Daz-friendly BVH release)"
# Val and test among the takes of the package's table, so that results stay comparable when takes are added.
HELD_OUT = {
    "val": "05_08 05_14 06_03 07_03 08_02 10_02 12_02 13_11 13_16 13_36 13_40 14_18 14_34".split(),
    "test": "05_11 05_19 07_08 08_09 09_11 10_05 12_03 13_19 13_42 14_08 14_19 14_22 14_31 14_35".split(),
}
RICHER = 5  # captions of train clips in everyday wording, beside those of the table
BROKEN = ("07_12", "09_10")  # in the conversion the root is up to 1 m too low and the legs do the splits
_BLEND = 5 / 120  # seconds in which a published take leaves its T-pose


@dataclasses.dataclass(frozen=True)
class Take:
    """One BVH file: id (SUBJECT_NUMBER, as in 01_08), path, and the captions of its pieces."""

    id: str
    path: Path
    rows: tuple[Row, ...] = ()


def prepare(
    out: str | os.PathLike,
    source: str | os.PathLike | list,
    captions: str | os.PathLike | None = None,
    seed: int = 0,
    processes: int | None = None,
) -> MotionFolder:
    """Convert the captioned pieces of CMU's takes to a data set in HumanML3D's layout.

    A take is in one split; the same takes are always val and test (HELD_OUT). Takes without a caption and pieces
    below 24 frames are left out by name (in `dataset.json`). Takes that only the captions name are counted in a
    warning.

    Args:
        out: the folder to write.
        source: folders (searched recursively) or archives of BVH files, one or several.
        captions: CSV table of more captions, with the columns file,start,end,action,caption (see `read_captions`).
        seed: of the captions; of the splits if the source has none of the takes of HELD_OUT.
        processes: worker processes (default: one per core).
    Raises:
        FileNotFoundError, ValueError: a source or table is missing, empty or damaged, none of its takes has a caption
            or they are too few to be split, a take has another skeleton, or `out` is not a data set or holds a source.
    """
    sources = [Path(path) for path in (source if isinstance(source, list) else [source])]
    check_out(out, sources)
    rows = read_rows(captions)
    with ExitStack() as stack:
        takes = find_takes(sources, stack)
        chosen = [dataclasses.replace(take, rows=tuple(rows[take.id])) for take in takes if take.id in rows]
        _check_complete([take.id for take in chosen], rows)
        results = convert_all(_convert, chosen, processes)
    clips = {take.id: made for take, (made, _) in zip(chosen, results, strict=True)}
    left_out = {
        "without a caption": [take.id for take in takes if take.id not in rows],
        f"shorter than {MIN_FRAMES} frames at {FPS:g} fps": [name for _, short in results for name in short],
    }
    info = {
        "name": "cmu",
        "fps": FPS,
        "skeleton": "humanml3d",
        "source": SOURCE,
        "licence": LICENCE,
        "seed": seed,
        "takes": len(chosen),
        "left_out": {reason: names for reason, names in left_out.items() if names},
    }
    actions = {take: [clip.program["content"] or "" for clip in made] for take, made in clips.items() if made}
    splits = held_out_takes(actions) or split_takes(actions, seed)
    for take in splits["train"]:
        clips[take] = [_richer(clip, seed) for clip in clips[take]]
    ids = {split: [clip.id for take in names for clip in clips[take]] for split, names in splits.items()}
    contents = {clip.id: clip.program["content"] for take in splits["train"] for clip in clips[take]}
    every = (clip for own in clips.values() for clip in own)
    return write_folder(out, every, ids, info, compositions=compositions(contents, seed))


def read_rows(more: str | os.PathLike | None = None) -> dict[str, list[Row]]:
    """The captions of this package and those of another table, by take. Raises as `read_captions` does."""
    with resources.as_file(resources.files("mmm.datasets") / "cmu.csv") as table:
        rows = read_captions(table)
    if more is not None:
        rows += read_captions(more)
    by_take = defaultdict(list)
    for row in rows:
        by_take[take_id(row.file)].append(row)
    return dict(by_take)


def take_id(file: str) -> str:
    """The take of a path such as 01/01_08.bvh: 01_08."""
    return file.replace("\\", "/").rpartition("/")[2].removesuffix(".bvh")


def find_takes(sources: list[Path], stack: ExitStack) -> list[Take]:
    """The BVH files of all sources, sorted by id.

    Raises:
        FileNotFoundError, ValueError: a source is missing, damaged or without BVH files.
    """
    found = [
        Take(path.stem, path)
        for _, folder in folders(sources, stack, WHAT)
        for path in sorted(folder.rglob("*.bvh"))
    ]
    require(
        found, f"no .bvh files in {', '.join(map(str, sources))}; give the folder or the archive of {WHAT}."
    )
    return sorted(unique(found), key=lambda take: take.id)


def _check_complete(found: list[str], rows: dict[str, list[Row]]) -> None:
    require(
        found,
        f"the source holds none of the {len(rows)} takes that have captions, such as {min(rows)}.bvh; give the folder "
        f"or the archive of {WHAT}.",
    )
    missing = sorted(set(rows) - set(found))
    if missing:
        warnings.warn(
            f"{len(missing)} of the {len(rows)} takes that have captions are not in the source: {listed(missing, 3)}.",
            stacklevel=3,
        )


# ---- from takes to clips


def read_take(path: Path) -> tuple[Float[np.ndarray, "t 22 3"], int]:
    """HumanML3D's joints of a take at 20 fps in metres, and its first frame that is not in the T-pose.

    Frame i is 20 fps frame i of a reduced take and frame 6 (i + 1) of a published one.

    Raises:
        ValueError: not a BVH file, another skeleton, or too short.
    """
    motion = read_bvh(path, strict=True)
    joint_map = known_map("daz")
    missing = joint_map.missing(motion)
    require(
        not missing,
        f"{path.name} lacks the joint {missing[:1]}; expected Daz's skeleton, as in {WHAT}.",
    )
    joints = joint_map.apply(motion)
    clean = t_pose_frames(joints)
    clean += int(_BLEND * motion.fps) if clean else 0
    skipped = 0 if motion.fps <= FPS else 1
    at_20 = resample(joints, motion.fps, FPS)[skipped:]
    require(
        len(at_20) > 1, f"{path.name} has {len(joints)} frames, which is too short; expected 1/10 s or more."
    )
    first = int(np.ceil(clean * FPS / motion.fps - 1e-6))
    return at_20, max(0, first - skipped)


def _convert(take: Take) -> tuple[list[Clip], list[str]]:
    """Clips of the captioned pieces of a take, and the names of those that are too short."""
    joints, clean = read_take(take.path)
    pieces: dict[tuple[float | None, float | None], list[Row]] = defaultdict(list)
    for row in take.rows:
        pieces[row.start, row.end].append(row)
    clips, short = [], []
    for (start, end), rows in pieces.items():
        name = take.id if start is None else f"{take.id}_{start:g}-{end:g}s"
        whole = part(start, end, len(joints))
        piece = slice(max(whole.start, clean), whole.stop)
        if piece.stop - piece.start - 1 < MIN_FRAMES:
            short.append(name)
            continue
        captions = [untagged(text) for text in dict.fromkeys(row.text for row in rows)]
        action = next((row.action for row in rows if row.action), None)
        program = {"dataset": "cmu", "content": action, "take": take.id, "path": take.path.name}
        clips += to_clips(name, joints, piece, captions, program)
    return clips, short


def _richer(clip: Clip, seed: int) -> Clip:
    """A clip of the train split, with RICHER captions of many phrasings beside its own."""
    if clip.program["content"] not in phrases():
        return clip
    rng = np.random.default_rng([seed, zlib.crc32(clip.id.encode())])
    more = captions_of(clip.program["content"], "normal", rng, RICHER)
    return dataclasses.replace(clip, captions=list(dict.fromkeys([*clip.captions, *map(untagged, more)])))


def held_out_takes(actions: dict[str, list[str]]) -> dict[str, list[str]] | None:
    """Splits by HELD_OUT, or None if the source has none of val or of test.

    A take with an action class that would not remain in train stays in train.

    Args:
        actions: the action class of each clip, by take.
    """
    held = {take for names in HELD_OUT.values() for take in names}
    known = {action for take, own in actions.items() if take not in held for action in own}
    splits = {
        split: [take for take in names if take in actions and known.issuperset(actions[take])]
        for split, names in HELD_OUT.items()
    }
    if not all(splits.values()):
        return None
    held = {take for names in splits.values() for take in names}
    return {"train": sorted(set(actions) - held)} | splits


def split_takes(
    actions: dict[str, list[str]], seed: int, ratios: tuple[float, float] = (0.1, 0.1)
) -> dict[str, list[str]]:
    """Takes for train, val and test. Every action class of val and test also occurs in train.

    Val and test each take the takes that bring them nearest to their ratio of every class, until they have that ratio
    of all clips. A take is only free to go while each of its classes remains in another take of train.

    Args:
        actions: the action class of each clip, by take.
        seed: decides between takes that are equally good.
        ratios: of the clips, for val and test.
    Raises:
        ValueError: no take can be spared, so that val or test would be empty.
    """
    total = Counter(action for clips in actions.values() for action in clips)
    train = np.random.default_rng(seed).permutation(sorted(actions)).tolist()
    splits: dict[str, list[str]] = {}
    for split, ratio in zip(("val", "test"), ratios, strict=True):
        chosen, held = [], Counter()
        while held.total() < ratio * total.total():
            left = Counter(action for take in train for action in actions[take])
            free = [take for take in train if Counter(actions[take]).items().isdisjoint(left.items())]
            if not free:
                break
            goal = {action: ratio * count for action, count in total.items()}
            best = max(free, key=lambda take: _gain(Counter(actions[take]), held, goal))
            train.remove(best)
            chosen.append(best)
            held.update(actions[best])
        splits[split] = sorted(chosen)
    require(
        splits["val"] and splits["test"],
        f"of the {len(actions)} takes with a caption none can be spared for val and test, since no action class would "
        "remain in train; give more of the takes.",
    )
    return {"train": sorted(train)} | splits


def _gain(take: Counter[str], held: Counter[str], goal: dict[str, float]) -> float:
    """How much nearer a take brings a split to its goal of every class, for each of its clips."""
    nearer = (abs(goal[a] - held[a]) - abs(goal[a] - held[a] - count) for a, count in take.items())
    return sum(nearer) / take.total()
