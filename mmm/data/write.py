"""Writing a data set in HumanML3D's layout; `folder.MotionFolder` reads it."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.data.captions import Caption, format_caption
from mmm.data.folder import COMPOSITIONS_FILE, INFO_FILE, SPLITS, MotionFolder, hash_splits
from mmm.errors import atomic_dir, check_name, check_replaceable, require
from mmm.motion.features import feature_slices


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip to write: features (T, D), joints (T, J, 3) in metres, captions, and facts to keep as programs/ID.json."""

    id: str
    features: Float[np.ndarray, "t d"]
    joints: Float[np.ndarray, "t j 3"]
    captions: list[Caption]
    program: dict | None = None


Statistics = tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]  # Mean and Std


def mean_std(features: Float[np.ndarray, "n d"], skeleton: str = "humanml3d") -> Statistics:
    """Mean per number and Std averaged within the feature groups 1|2|1|63|126|66|4, as HumanML3D computes them.

    Raises:
        ValueError: a group does not vary at all, so that its Std would be 0.
    """
    std = features.std(0, dtype=np.float64)
    return features.mean(0, dtype=np.float64).astype(np.float32), grouped_std(std, skeleton)


def grouped_std(std: Float[np.ndarray, " d"], skeleton: str = "humanml3d") -> Float[np.ndarray, " d"]:
    """Std of each number → Std averaged within the feature groups, float32; ValueError as `mean_std`."""
    std = std.copy()
    for name, where in feature_slices(skeleton).items():
        std[where] = std[where].mean()
        require(std[where][0] > 0, f"the {name} features of these clips never change; add clips.")
    return std.astype(np.float32)


def check_out(out: str | os.PathLike, sources: Iterable[Path]) -> None:
    """Raise ValueError, before the long work, unless `out` may be written: it holds no source and is replaceable."""
    for path in sources:
        require(
            Path(out).resolve() not in (path.resolve(), *path.resolve().parents),
            f"the source {path} lies in --out {out}, which is replaced as a whole: name another folder.",
        )
    check_replaceable(out, INFO_FILE)


def write_folder(
    out: str | os.PathLike,
    clips: Iterable[Clip],
    splits: dict[str, list[str]],
    info: dict,
    statistics: Statistics | None = None,
    compositions: dict | None = None,
) -> MotionFolder:
    """Write a data set in HumanML3D's layout and open it; the folder appears only when it is complete.

    Mean and Std come from the train split, because a model must not know the others.

    Args:
        out: the folder; an existing data set there is replaced.
        clips: clips in any order; an iterator is enough, they are written one by one.
        splits: ids of each split: train, val, test and any others. One of the others is left out if it is empty.
        info: name, fps, skeleton, source, licence, seed of `dataset.json`.
        statistics: Mean and Std; by default those of the train split.
        compositions: how clips combine (`mmm.datasets.compositions`), written to compositions.json. The content hash
            leaves out what is typed.
    Raises:
        ValueError: no clip of the train split, a split names a clip that is missing, or `out` is not a data set.
    """
    train, digest, seen, rows = set(splits["train"]), hashlib.sha256(), [], []
    with atomic_dir(out, INFO_FILE) as temporary:
        for folder in ("new_joint_vecs", "new_joints", "texts", "programs"):
            (temporary / folder).mkdir()
        for clip in clips:
            check_name(clip.id, "the id of a clip")
            np.save(temporary / "new_joint_vecs" / f"{clip.id}.npy", clip.features)
            np.save(temporary / "new_joints" / f"{clip.id}.npy", clip.joints)
            lines = "\n".join(format_caption(caption) for caption in clip.captions) + "\n"
            (temporary / "texts" / f"{clip.id}.txt").write_text(lines, encoding="utf-8")
            if clip.program is not None:
                text = json.dumps(clip.program, indent=1)
                (temporary / "programs" / f"{clip.id}.json").write_text(text, encoding="utf-8")
            digest.update(_hashed(clip))
            seen.append(clip.id)
            if clip.id in train and statistics is None:
                rows.append(clip.features)
        missing = sorted({i for ids in splits.values() for i in ids} - set(seen))
        require(bool(train), "there is no clip of the train split, so Mean and Std cannot be computed.")
        require(not missing, f"the splits name {len(missing)} clips that are missing: {missing[:1]}.")
        mean, std = statistics or mean_std(np.concatenate(rows), info["skeleton"])
        np.save(temporary / "Mean.npy", mean)
        np.save(temporary / "Std.npy", std)
        splits = {name: ids for name, ids in splits.items() if ids or name in SPLITS}
        splits |= {"train_val": [*splits["train"], *splits["val"]], "all": seen}
        for name, ids in splits.items():
            (temporary / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
        if compositions is not None:
            text = json.dumps(compositions, indent=0)
            (temporary / COMPOSITIONS_FILE).write_text(text, encoding="utf-8")
            # Sentences that training may draw do not make other data of it. A run that draws them stores their hash
            # (`mmm.transformer.compose.Composer.fingerprint`).
            rules = {key: own for key, own in compositions.items() if key not in ("typed", "styles")}
            digest.update(json.dumps(rules, indent=0).encode())
        hashes = {"content_hash": digest.hexdigest()[:16], "splits_hash": hash_splits(splits)}
        info = info | {"clips": len(seen)} | hashes
        (temporary / INFO_FILE).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        if not any((temporary / "programs").iterdir()):
            shutil.rmtree(temporary / "programs")
    return MotionFolder.open(out)


def _hashed(clip: Clip) -> bytes:
    """What the content hash covers: id, features, and the captions with their times, without tags."""
    captions = (f"{caption.text}#{caption.start}#{caption.end}\n" for caption in clip.captions)
    return clip.id.encode() + clip.features.tobytes() + "".join(captions).encode()
