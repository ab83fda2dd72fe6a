"""Writing a data set in HumanML3D's layout; `folder.MotionFolder` reads it."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from mmm.data.captions import Caption, format_caption
from mmm.data.folder import MARK, MotionFolder, hash_splits
from mmm.errors import atomic_dir, require
from mmm.motion.features import feature_slices


@dataclasses.dataclass(frozen=True)
class Clip:
    """One clip to be written: features (T, D), joints (T, J, 3) in metres, captions, and anything worth keeping."""

    id: str
    features: Float[np.ndarray, "t d"]
    joints: Float[np.ndarray, "t j 3"]
    captions: list[Caption]
    program: dict | None = None


def mean_std(
    features: Float[np.ndarray, "n d"], skeleton: str = "humanml3d"
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Mean per number and Std averaged within the feature groups 1|2|1|63|126|66|4, as HumanML3D computes them.

    Raises:
        ValueError: a group does not vary at all, so that nothing could be divided by its Std.
    """
    mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    for name, where in feature_slices(skeleton).items():
        std[where] = std[where].mean()
        require(
            std[where][0] > 0, f"the {name} numbers of these {len(features)} frames never change; add clips."
        )
    return mean.astype(np.float32), std.astype(np.float32)


def write_folder(
    out: str | os.PathLike, clips: Iterable[Clip], splits: dict[str, list[str]], info: dict
) -> MotionFolder:
    """Write a data set in HumanML3D's layout and open it; the folder appears only when it is whole.

    Mean and Std come from the train split, as a model must not know the others.

    Args:
        out: the folder; one that stands there is replaced if it is a data set.
        clips: clips in any order (an iterator will do; they are written as they come).
        splits: ids per split; train, val and test must be there, others are written as they are.
        info: name, fps, skeleton, source, licence, seed of `dataset.json`.
    Raises:
        ValueError: no clips, a split names a clip that never came, or `out` is a folder of something else.
    """
    train, digest, seen, rows = set(splits["train"]), hashlib.sha256(), [], []
    with atomic_dir(out, MARK) as part:
        for folder in ("new_joint_vecs", "new_joints", "texts", "programs"):
            (part / folder).mkdir()
        for clip in clips:
            np.save(part / "new_joint_vecs" / f"{clip.id}.npy", clip.features)
            np.save(part / "new_joints" / f"{clip.id}.npy", clip.joints)
            lines = "\n".join(format_caption(caption) for caption in clip.captions) + "\n"
            (part / "texts" / f"{clip.id}.txt").write_text(lines, encoding="utf-8")
            if clip.program is not None:
                text = json.dumps(clip.program, indent=1)
                (part / "programs" / f"{clip.id}.json").write_text(text, encoding="utf-8")
            digest.update(_hashed(clip))
            seen.append(clip.id)
            if clip.id in train:
                rows.append(clip.features)
        missing = sorted({i for ids in splits.values() for i in ids} - set(seen))
        require(bool(rows), "no clip of the train split was given, so Mean and Std cannot be computed.")
        require(not missing, f"the splits name {len(missing)} clips that were not given: {missing[:1]}.")
        mean, std = mean_std(np.concatenate(rows), info["skeleton"])
        np.save(part / "Mean.npy", mean)
        np.save(part / "Std.npy", std)
        splits = splits | {"train_val": [*splits["train"], *splits["val"]], "all": seen}
        for name, ids in splits.items():
            (part / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
        hashes = {"content_hash": digest.hexdigest()[:16], "splits_hash": hash_splits(splits)}
        info = info | {"clips": len(seen)} | hashes
        (part / MARK).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        if not any((part / "programs").iterdir()):
            shutil.rmtree(part / "programs")
    return MotionFolder.open(out)


def _hashed(clip: Clip) -> bytes:
    """What the content hash covers: id, features, and the captions with their times, without tags."""
    captions = (f"{caption.text}#{caption.start}#{caption.end}\n" for caption in clip.captions)
    return clip.id.encode() + clip.features.tobytes() + "".join(captions).encode()
