"""Bandai-Namco Research Motiondataset 1 and 2 (BVH, CC BY-NC 4.0; Kobayashi et al. 2023, arXiv 2306.08861).

A file name states data set, action, style and take: `dataset-1_walk-back_sad_001.bvh`. A take becomes one clip, or
several if it is longer than 196 frames at 20 fps.
"""

import dataclasses
import os
import re
import zlib
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.bvh.joint_map import known_map
from mmm.bvh.reading import BvhMotion, read_bvh, resample
from mmm.data.captions import untagged
from mmm.data.folder import MotionFolder
from mmm.data.write import Clip, check_out, write_folder
from mmm.datasets.bandai_captions import ACTION_CLASSES, STYLES, write_captions
from mmm.datasets.compositions import compositions
from mmm.datasets.phrasing import captions_of
from mmm.datasets.takes import FPS, MIN_FRAMES, convert_all, cut, folders, unique
from mmm.errors import require
from mmm.motion.features import features_to_joints, joints_to_features

RICHER = 6  # captions of train clips in everyday wording
# What the file names call a wave but 22 joints cannot show: the hand is raised and turns at the wrist. While it is up,
# the wrist moves at 0.08 to 0.23 m/s (median of a clip), in the waves of all other styles at 0.27 to 3.6.
NOT_SEEN = {(f"wave-{side}-hand", "feminine"): f"raise-up-{side}-hand" for side in ("left", "right")}
MIN_TAKES = 5  # of an action class, to be divided between the splits
_NAME = re.compile(r"(dataset-[12])_([a-z-]+)_([a-z-]+)_(\d+)")


@dataclasses.dataclass(frozen=True)
class Take:
    """One capture: its file and the four parts of its name. Bandai-Namco calls the action "content"."""

    path: Path
    dataset: str
    content: str
    style: str
    number: str

    @property
    def id(self) -> str:
        return f"{self.dataset}_{self.content}_{self.style}_{self.number}"


def prepare(
    out: str | os.PathLike,
    source: str | os.PathLike | list,
    seed: int = 0,
    captions: int = 4,
    processes: int | None = None,
    limit: int | None = None,
) -> MotionFolder:
    """Convert Bandai-Namco's BVH files to a data set in HumanML3D's layout.

    30 → 20 fps, 21 → 22 joints, 263 features, captions written from action and style. Takes above 196 frames are cut
    into equal clips, takes below 24 are left out by name (in `dataset.json`). A take is in one split.

    Val and test are captioned in the wording that the evaluator of this data set was trained on (`bandai_captions`), so
    that results stay comparable. Train has half of its captions in this wording, and RICHER more of many phrasings
    (`phrasing`).

    Args:
        out: the folder to write.
        source: folders (searched recursively) or .zip / .tar.xz archives, one or several.
        seed: of captions and splits. captions: of each clip of val and test.
        processes: worker processes (default: one per core).
        limit: convert only this many takes of each action class, 5 or more (for a quick look).
    Raises:
        FileNotFoundError, ValueError: a source is missing, empty, damaged or not Bandai-Namco's, or too small to be
            split; `limit` is below 5; `out` is not a data set or holds a source.
    """
    require(
        limit is None or limit >= MIN_TAKES,
        f"limit is {limit}; every split needs some takes of each action: use {MIN_TAKES} or more.",
    )
    sources = [Path(s) for s in ([source] if isinstance(source, (str, os.PathLike)) else source)]
    check_out(out, sources)
    with ExitStack() as stack:
        found = folders(sources, stack, "Bandai-Namco's data")
        takes = unique(take for shown, folder in found for take in find_takes(folder, shown))
        if limit:
            takes = _some(takes, limit, seed)
        jobs = [(take, seed, captions) for take in takes]
        clips = dict(zip([take.id for take in takes], convert_all(_convert, jobs, processes), strict=True))
    splits = split_takes([take for take in takes if clips[take.id]], seed)
    info = {
        "name": "bandai",
        "fps": FPS,
        "skeleton": "humanml3d",
        "source": "Bandai-Namco Research Motiondataset 1 and 2, Kobayashi et al. 2023, arXiv 2306.08861",
        "licence": "CC BY-NC 4.0",
        "seed": seed,
        "takes": len(takes),
        "left_out": {f"shorter than {MIN_FRAMES} frames": [name for name in clips if not clips[name]]},
    }
    for take in splits["train"]:
        clips[take] = [_richer(clip, seed, captions) for clip in clips[take]]
    ids = {split: [clip.id for take in names for clip in clips[take]] for split, names in splits.items()}
    programs = {clip.id: clip.program for take in splits["train"] for clip in clips[take]}
    contents, styles = (
        {clip: program[key] for clip, program in programs.items()} for key in ("content", "style")
    )
    every = (clip for take in clips for clip in clips[take])
    return write_folder(out, every, ids, info, compositions=compositions(contents, seed, styles))


# ---- from sources to takes


def find_takes(folder: Path, source: Path | None = None) -> list[Take]:
    """All takes below a folder, sorted by name; errors name `source`, the archive that it was unpacked from.

    Raises:
        ValueError: there are none, or a file's name does not state a known action and style.
    """
    takes = []
    for path in sorted(folder.rglob("*.bvh"), key=lambda path: path.name):
        match = _NAME.fullmatch(path.stem)
        require(
            match is not None and match[2] in ACTION_CLASSES and match[3] in STYLES,
            f"{path.name} is not named like dataset-1_ACTION_STYLE_001.bvh with a known action and style; remove the "
            "file or give Bandai-Namco's own folder.",
        )
        takes.append(Take(path, *match.groups()))
    require(
        takes,
        f"no .bvh files in {source or folder}; give the folder or the archives of Bandai-Namco's data sets.",
    )
    return takes


def _some(takes: list[Take], limit: int, seed: int) -> list[Take]:
    """At most `limit` takes of each action class of each data set, sorted by id."""
    chosen: dict[tuple[str, str], list[Take]] = defaultdict(list)
    for take in np.random.default_rng(seed).permutation(np.array(takes, object)):
        group = chosen[take.dataset, take.content]
        if len(group) < limit:
            group.append(take)
    return sorted((take for group in chosen.values() for take in group), key=lambda take: take.id)


# ---- from takes to clips


def _convert(job: tuple[Take, int, int]) -> list[Clip]:
    """Clips of a take. Raises ValueError that names the take's file."""
    take, seed, captions = job
    motion = read_bvh(take.path, strict=True)
    try:
        return _clips(take, motion, seed, captions)
    except ValueError as error:
        raise ValueError(f"{take.path.name}: {error}") from error


def _clips(take: Take, motion: BvhMotion, seed: int, captions: int) -> list[Clip]:
    joints = resample(to_humanml3d(motion), motion.fps, FPS)
    if len(joints) - 1 < MIN_FRAMES:
        return []
    # These captions depend on the seed and the take, not on other takes. The captions that `_richer` adds depend on the
    # splits, too.
    rng = np.random.default_rng([seed, zlib.crc32(take.id.encode())])
    seen = NOT_SEEN.get((take.content, take.style), take.content)
    about = dataclasses.asdict(take) | {"path": take.path.name, "content": seen}
    clips = []
    for name, piece in cut(take.id, len(joints)).items():
        features = joints_to_features(joints[piece])
        texts = write_captions(seen, take.style, rng, captions)
        program = about | {"first": piece.start, "last": piece.stop}
        clips.append(Clip(name, features, features_to_joints(features), texts, program))
    return clips


def _richer(clip: Clip, seed: int, captions: int) -> Clip:
    """A clip of the train split, with RICHER captions of many phrasings beside half of its own."""
    rng = np.random.default_rng([seed, zlib.crc32(clip.id.encode()), 1])
    more = captions_of(clip.program["content"], clip.program["style"], rng, RICHER)
    own = clip.captions[: -(-captions // 2)]
    return dataclasses.replace(clip, captions=list(dict.fromkeys([*own, *map(untagged, more)])))


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


def split_takes(
    takes: list[Take], seed: int, ratios: tuple[float, float] = (0.1, 0.1)
) -> dict[str, list[str]]:
    """Take ids for train, val and test; `ratios` of each action class of each data set go to val and test.

    Action classes with fewer than MIN_TAKES takes go to train as a whole.

    Raises:
        ValueError: no action class has enough takes, so that val and test would be empty.
    """
    groups = defaultdict(list)
    for take in takes:
        groups[take.dataset, take.content].append(take.id)
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for key, ids in sorted(groups.items()):
        rng = np.random.default_rng([seed, zlib.crc32("".join(key).encode())])
        order = rng.permutation(sorted(ids)).tolist()
        val, test = (max(1, round(ratio * len(ids))) if len(ids) >= MIN_TAKES else 0 for ratio in ratios)
        splits["val"] += order[:val]
        splits["test"] += order[val : val + test]
        splits["train"] += order[val + test :]
    require(
        all(splits.values()),
        f"none of the {len(groups)} actions has {MIN_TAKES} takes of {MIN_FRAMES / FPS:g} s or more, so val and test "
        "would be empty; give more of the data.",
    )
    return {name: sorted(ids) for name, ids in splits.items()}
