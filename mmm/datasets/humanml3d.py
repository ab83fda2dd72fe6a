"""HumanML3D and KIT-ML: the user's folder is checked and referred to, never altered.

Neither data set may be passed on, so there is nothing to download: the user brings the folder (layout of
HumanML3D), `check_folder` reads all of it and names what cannot be used, and `prepare` writes a small folder of ours:
the splits without the bad clips, the report, and the path of the features.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmm.data.folder import INFO_FILE, LAYOUT, SPLITS, MotionFolder, hash_splits
from mmm.data.reading import Unusable, load_array, to_statistics
from mmm.data.write import check_out
from mmm.datasets.humanml3d_check import Fault, Report, check_clip, check_splits
from mmm.errors import atomic_dir, require
from mmm.motion.skeleton import get_skeleton


@dataclasses.dataclass(frozen=True)
class Kind:
    """Facts about a data set; `known_bad` are ids to leave out whatever their files hold, with the reason."""

    title: str
    skeleton: str
    known_bad: dict[str, str]
    licence: str


# From HumanML3D's own scripts (MIT): cal_mean_variance.ipynb prints the ids with NaN, and motion_representation.ipynb
# stops at two captures of which index.csv keeps a single frame (their issue 120).
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
        known_bad=_HUMANML3D_BAD,
        licence="texts MIT; motions under the licences of AMASS and HumanAct12",
    ),
    "kit": Kind(
        title="KIT-ML", skeleton="kit", known_bad={}, licence="the terms of the KIT Motion-Language Dataset"
    ),
}


def prepare(
    source: str | os.PathLike, out: str | os.PathLike, kind: str = "humanml3d", progress: bool = False
) -> MotionFolder:
    """Check a folder and write ours, which refers to it; `source` is only read.

    `out` gets dataset.json (with "features_from", the absolute path of `source`), the splits without the bad clips,
    report.md, report.json, and texts/ID.txt for the few clips that lose some of their captions.

    Raises:
        FileNotFoundError, ValueError: as `check_folder`; or one of `out` and `source` lies in the other, or `out` is
            not a data set.
    """
    source, out = Path(source).resolve(), Path(out)
    require(
        source != out.resolve() and source not in out.resolve().parents,
        f"--out {out} lies in the source folder {source}, which is never written to: name another folder.",
    )
    check_out(out, [source])
    report = check_folder(source, kind, progress)
    ids = [clip for split in SPLITS for clip in report.splits[split]]
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
    splits = report.splits | {"train_val": report.splits["train"] + report.splits["val"], "all": ids}
    files = {
        INFO_FILE: json.dumps(info, indent=1) + "\n",
        "report.md": report.to_markdown(),
        "report.json": json.dumps(report.to_dict(), indent=1) + "\n",
    }
    lists = {f"{split}.txt": clips for split, clips in splits.items()}
    lists |= {f"texts/{clip}.txt": lines for clip, lines in report.mended.items()}
    files |= {name: "".join(f"{line}\n" for line in lines) for name, lines in lists.items()}
    with atomic_dir(out, INFO_FILE) as part:
        (part / "texts").mkdir()
        for name, content in files.items():
            (part / name).write_text(content, encoding="utf-8")
    return MotionFolder.open(out)


def check_folder(path: str | os.PathLike, kind: str = "humanml3d", progress: bool = False) -> Report:
    """Read a whole HumanML3D or KIT-ML folder and report what can be used; nothing is written.

    A clip is left out if its id is known to be bad, if its features are missing, cannot be read, are not (T, D)
    floating-point numbers, hold NaN or infinite numbers, or are too short or too long, or if it has no usable caption.
    A caption is left out if its line is malformed or empty, or if the part of the clip that it describes ends before
    it starts, lies outside the clip or is too short. Other faults are corrected and reported: see `check_splits` and
    `read_text`.

    Raises:
        FileNotFoundError: the folder or one of its parts is missing.
        ValueError: unknown `kind`; Mean or Std of another skeleton, or unusable; a split without a usable clip.
    """
    require(kind in KINDS, f"there is no data set kind {kind!r}; known ones: {', '.join(KINDS)}.")
    source, about = Path(path).resolve(), KINDS[kind]
    used = _check_parts(source, about.skeleton)
    listed, splits, split_faults = check_splits(source)
    used += split_faults
    left_out, captions, mended, segments = [], [], {}, 0
    digest = hashlib.sha256()
    unique = list(dict.fromkeys(clip for ids in splits.values() for clip in ids))
    for clip in tqdm(unique, desc=f"checking {source.name}", unit="clip", disable=not progress):
        check = check_clip(source, clip, about.skeleton, about.known_bad)
        captions += check.captions
        if check.left_out:
            left_out.append(check.left_out)
            continue
        used += check.used
        segments += check.parts
        if check.captions:
            mended[clip] = check.lines
        digest.update(clip.encode() + check.features.tobytes() + "\n".join(check.lines).encode())
    bad = {fault.id: f"{fault.reason}: {fault.detail}" for fault in left_out}
    splits = {split: [clip for clip in ids if clip not in bad] for split, ids in splits.items()}
    elsewhere = {
        (fault.id, fault.where): fault.detail for fault in split_faults if fault.reason == "in two splits"
    }
    for split, ids in splits.items():
        why = ""
        if listed[split]:
            first = listed[split][0]
            why = f"; {first} for one: {bad.get(first) or elsewhere.get((first, f'{split}.txt'))}"
        require(ids, f"no clip in {source}/{split}.txt can be used ({len(listed[split])} are listed{why}).")
    return Report(
        source,
        about.title,
        listed,
        splits,
        left_out,
        captions,
        used,
        mended,
        segments,
        digest.hexdigest()[:16],
    )


def _check_parts(source: Path, skeleton: str) -> list[Fault]:
    """Require the files of the layout, and Mean and Std of this skeleton; return their faults that do no harm."""
    require(source.is_dir(), f"there is no folder {source}: give the data set's folder.", FileNotFoundError)
    parts = ["new_joint_vecs", "texts", "Mean.npy", "Std.npy", *(f"{split}.txt" for split in SPLITS)]
    missing = [part for part in parts if not (source / part).exists()]
    zipped = "; texts.zip is there, unpack it first" if (source / "texts.zip").is_file() else ""
    require(
        not missing, f"{source} has no {', '.join(missing)}; expected {LAYOUT}{zipped}.", FileNotFoundError
    )
    faults = []
    for name in ("Mean.npy", "Std.npy"):
        values = load_array(source / name)
        try:
            to_statistics(values, name, get_skeleton(skeleton).num_features)
        except Unusable as error:
            raise ValueError(f"{source / name} {error.detail}; copy it again.") from None
        if values.dtype != np.float32:
            faults.append(
                Fault("", f"{values.dtype} {name[:-4]}", name, "expected float32", "converted to float32")
            )
    return faults
