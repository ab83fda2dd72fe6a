"""HumanML3D and KIT-ML: a folder that the user has obtained is checked, never altered, and referred to.

Neither data set may be passed on, so there is nothing to download: the user brings the folder (layout of
HumanML3D), `check_folder` reads all of it and says by name what cannot be used, and `prepare` writes a small
folder of ours beside it: the splits without the bad clips, the report, and where the features lie.
"""

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmm.data.captions import Caption, parse_captions
from mmm.data.folder import LAYOUT, MARK, SPLITS, MotionFolder, hash_splits, load_array
from mmm.data.report import Fault, Report
from mmm.errors import atomic_dir, check_replaceable, require
from mmm.motion.skeleton import get_skeleton


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is known of a data set: its clips have `shortest` to `longest` frames (REPRODUCTION, Evaluation).

    `known_bad` are ids that are left out whatever their files hold, with the reason.
    """

    title: str
    skeleton: str
    shortest: int
    longest: int
    known_bad: dict[str, str]
    licence: str


# Of the authors' own processing: cal_mean_variance.ipynb (HumanML3D, MIT) prints the ids with NaN, and
# motion_representation.ipynb stops at two captures of which index.csv keeps a single frame (their issue 120).
_NAN = "the capture itself gives NaN"
_ONE_FRAME = "the index keeps a single frame of it"
_HUMANML3D_BAD = {
    "007975": _NAN,
    "M007975": _NAN,
    "009707": _ONE_FRAME,
    "M009707": _ONE_FRAME,
    "011059": _ONE_FRAME,
    "M011059": _ONE_FRAME,
}
KINDS = {
    "humanml3d": Kind(
        title="HumanML3D",
        skeleton="humanml3d",
        shortest=40,
        longest=199,
        known_bad=_HUMANML3D_BAD,
        licence="texts MIT; motions under the licences of AMASS and HumanAct12",
    ),
    "kit": Kind(
        title="KIT-ML",
        skeleton="kit",
        shortest=24,
        longest=199,
        known_bad={},
        licence="the terms of the KIT Motion-Language Dataset",
    ),
}


def check_folder(path: str | os.PathLike, kind: str = "humanml3d", progress: bool = False) -> Report:
    """Read a whole HumanML3D or KIT-ML folder and report what can be used; nothing is written.

    A clip is left out if its id is known to be bad, its features are missing, cannot be read, are not (T, D)
    numbers, hold NaN, or are too short or too long, or if it has no usable caption. A caption is left out if
    its line is malformed or empty, or if the part of the clip that it speaks of is too short.

    Raises:
        FileNotFoundError: the folder or one of its parts is missing.
        ValueError: unknown `kind`; Mean or Std of another skeleton; a split of which nothing is usable.
    """
    require(kind in KINDS, f"there is no data set kind {kind!r}; known ones: {', '.join(KINDS)}.")
    source = Path(path).resolve()
    _check_parts(source, kind)
    listed = {split: (source / f"{split}.txt").read_text().split() for split in SPLITS}
    unique = list(dict.fromkeys(clip for ids in listed.values() for clip in ids))
    clip_faults, caption_faults, mended, segments = [], [], {}, 0
    digest = hashlib.sha256()
    for clip in tqdm(unique, desc=f"checking {source.name}", unit="clip", disable=not progress):
        features = _check_features(source, clip, kind)
        if isinstance(features, Fault):
            clip_faults.append(features)
            continue
        kept, faults, segment_count = _check_captions(source, clip, kind, len(features))
        if not kept:
            detail = faults[0].detail if faults else "texts has nothing for it"
            clip_faults.append(Fault(clip, "no caption", detail))
            continue
        if faults:
            mended[clip] = kept
        caption_faults += faults
        segments += segment_count
        digest.update(clip.encode() + features.tobytes() + "\n".join(kept).encode())
    bad = {fault.id for fault in clip_faults}
    splits = {split: [c for c in dict.fromkeys(ids) if c not in bad] for split, ids in listed.items()}
    for split, ids in splits.items():
        why = f"; {clip_faults[0].id} for one: {clip_faults[0].detail}" if clip_faults else ""
        require(ids, f"no clip in {source}/{split}.txt can be used ({len(listed[split])} are listed{why}).")
    return Report(
        source=source,
        title=KINDS[kind].title,
        listed={split: len(ids) for split, ids in listed.items()},
        splits=splits,
        clips=clip_faults,
        captions=caption_faults,
        mended=mended,
        segments=segments,
        notes=_notes(listed),
        content_hash=digest.hexdigest()[:16],
    )


def prepare(
    source: str | os.PathLike, out: str | os.PathLike, kind: str = "humanml3d", progress: bool = False
) -> MotionFolder:
    """Check a folder and write ours, which refers to it; `source` is only ever read.

    `out` gets dataset.json (with "features_from", the absolute path of `source`), the splits without the bad
    clips, report.md, report.json, and texts/ID.txt for the few clips that lose some of their captions.

    Raises:
        FileNotFoundError, ValueError: as `check_folder`; or one of `out` and `source` lies in the other, or
            `out` is something else's.
    """
    source, out = Path(source).resolve(), Path(out)
    require(
        source != out.resolve() and source not in out.resolve().parents,
        f"--out {out} lies in the source folder {source}, which is never written to: name another folder.",
    )
    require(
        out.resolve() not in source.parents,
        f"the source folder {source} lies in --out {out}, which is replaced as a whole: name another folder.",
    )
    check_replaceable(out, MARK)
    report = check_folder(source, kind, progress)
    ids = list(dict.fromkeys(clip for split in SPLITS for clip in report.splits[split]))
    train_val = [clip for clip in ids if clip in {*report.splits["train"], *report.splits["val"]}]
    about = KINDS[kind]
    info = {
        "name": kind,
        "fps": get_skeleton(about.skeleton).fps,
        "skeleton": about.skeleton,
        "source": f"{about.title}, a folder of the user's",
        "licence": about.licence,
        "seed": None,
        "features_from": str(source),
        "clips": len(ids),
        "content_hash": report.content_hash,
        "splits_hash": hash_splits(report.splits),
    }
    with atomic_dir(out, MARK) as part:
        for split, kept in (report.splits | {"train_val": train_val, "all": ids}).items():
            (part / f"{split}.txt").write_text("".join(f"{clip}\n" for clip in kept))
        if report.mended:
            (part / "texts").mkdir()
        for clip, lines in report.mended.items():
            (part / "texts" / f"{clip}.txt").write_text("".join(f"{line}\n" for line in lines))
        faults = {"clips": report.clips, "captions": report.captions}
        told = {name: [dataclasses.asdict(fault) for fault in found] for name, found in faults.items()}
        (part / "report.json").write_text(json.dumps(told, indent=1) + "\n")
        (part / "report.md").write_text(report.table(names=None))
        (part / MARK).write_text(json.dumps(info, indent=1) + "\n")
    return MotionFolder.open(out)


def _check_parts(source: Path, kind: str) -> None:
    """The parts of the layout are there, and Mean and Std are those of this kind."""
    require(source.is_dir(), f"there is no folder {source}: give the {kind} folder.", FileNotFoundError)
    parts = ["new_joint_vecs", "texts", "Mean.npy", "Std.npy", *(f"{split}.txt" for split in SPLITS)]
    missing = [part for part in parts if not (source / part).exists()]
    zipped = "; texts.zip is there, unpack it first" if (source / "texts.zip").is_file() else ""
    require(
        not missing,
        f"{source} has no {', '.join(missing)}; expected {LAYOUT}{zipped}.",
        FileNotFoundError,
    )
    width = get_skeleton(KINDS[kind].skeleton).num_features
    for name in ("Mean.npy", "Std.npy"):
        values = load_array(source / name)
        others = [k for k, v in KINDS.items() if values.shape == (get_skeleton(v.skeleton).num_features,)]
        hint = f"; it looks like {others[0]}, prepare it as that" if others and kind not in others else ""
        require(
            values.shape == (width,) and values.dtype.kind == "f" and bool(np.isfinite(values).all()),
            f"{source / name} has shape {values.shape}, expected ({width},) finite numbers for {kind}{hint}.",
        )
        require(
            name != "Std.npy" or bool((values > 0).all()),
            f"{source / name} holds numbers that are not above 0, but we divide by it: copy it again.",
        )


def _check_features(source: Path, clip: str, kind: str) -> np.ndarray | Fault:
    """The features (T, D) of a clip, or why they cannot be used."""
    about = KINDS[kind]
    width = get_skeleton(about.skeleton).num_features
    if clip in about.known_bad:
        return Fault(clip, "known bad id", about.known_bad[clip])
    path = source / "new_joint_vecs" / f"{clip}.npy"
    if not path.is_file():
        return Fault(clip, "no features", f"no new_joint_vecs/{clip}.npy")
    try:
        values = load_array(path)
    except ValueError as error:
        return Fault(clip, "unreadable features", str(error))
    if values.ndim != 2 or values.shape[1] != width or values.dtype.kind != "f":
        return Fault(clip, "wrong shape", f"{values.dtype} {values.shape}, expected float (T, {width})")
    bad = int((~np.isfinite(values)).any(1).sum())
    if bad:
        return Fault(clip, "NaN or infinite numbers", f"in {bad} of {len(values)} frames")
    if not about.shortest <= len(values) <= about.longest:
        reason = "too short" if len(values) < about.shortest else "too long"
        return Fault(clip, reason, f"{len(values)} frames, expected {about.shortest} to {about.longest}")
    return values


def _check_captions(source: Path, clip: str, kind: str, frames: int) -> tuple[list[str], list[Fault], int]:
    """The usable caption lines of a clip, the faults of the others, how many speak of a part of the clip."""
    path = source / "texts" / f"{clip}.txt"
    if not path.is_file():
        return [], [Fault(clip, "no caption", f"no texts/{clip}.txt")], 0
    kept, faults, segments = [], [], 0
    for number, line in _lines(path):
        where = f"line {number} of texts/{clip}.txt"
        try:
            [caption] = parse_captions(line, where)
        except ValueError as error:
            faults.append(Fault(clip, "malformed line", str(error)))
            continue
        if not caption.text:
            faults.append(Fault(clip, "empty caption", where))
            continue
        is_part = (caption.start, caption.end) != (0.0, 0.0)
        left = _segment_frames(caption, kind, frames) if is_part else frames
        if left < KINDS[kind].shortest:
            faults.append(Fault(clip, "part of a clip too short", f"{where}: {max(left, 0)} frames"))
            continue
        kept.append(line)
        segments += is_part
    return kept, faults, segments


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _segment_frames(caption: Caption, kind: str, frames: int) -> int:
    """Frames of the part of a clip that a caption speaks of, as Guo's loader cuts it (both ends floored)."""
    fps = get_skeleton(KINDS[kind].skeleton).fps
    return min(int(caption.end * fps), frames) - int(max(caption.start, 0.0) * fps)


def _notes(listed: dict[str, list[str]]) -> list[str]:
    """What is odd about the splits but leaves nothing out."""
    notes = []
    for split, ids in listed.items():
        twice = [clip for clip, count in Counter(ids).items() if count > 1]
        if twice:
            notes.append(f"{split}.txt lists {len(twice)} clips more than once, such as {twice[0]}.")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted(set(listed[one]) & set(listed[other]))
        if both:
            notes.append(f"{len(both)} clips are in {one}.txt and in {other}.txt, such as {both[0]}.")
    return notes
