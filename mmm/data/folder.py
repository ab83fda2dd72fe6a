"""A data set on disk: a folder in the layout of HumanML3D, whatever its source (DESIGN.md, "What lies on disk")."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.data.batches import PACK_FORMAT, PackedSplit, pack
from mmm.data.captions import Caption, format_caption, parse_captions
from mmm.errors import atomic_dir, require
from mmm.motion.features import feature_slices
from mmm.motion.skeleton import get_skeleton

MARK = "dataset.json"  # shows that a folder is a data set of ours and may be written again
SPLITS = ("train", "val", "test")
LAYOUT_FILES = (("new_joint_vecs", "npy"), ("texts", "txt"))
MIN_FRAMES = {"humanml3d": 40, "kit": 24}  # of a piece of a clip, as in Guo's loaders
LAYOUT = "new_joint_vecs/, texts/, Mean.npy, Std.npy, train.txt, val.txt, test.txt"


@dataclasses.dataclass(frozen=True)
class Clip:
    """One clip to be written: features (T, D), joints (T, J, 3) in metres, captions, and anything worth keeping."""

    id: str
    features: Float[np.ndarray, "t d"]
    joints: Float[np.ndarray, "t j 3"]
    captions: list[Caption]
    program: dict | None = None


def cache_dir() -> Path:
    """Where caches go: $MMM_CACHE, else mmm/ in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MMM_CACHE") or Path(base) / "mmm")


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


def hash_splits(splits: dict[str, list[str]]) -> str:
    """Hash of which clips are in train, val and test, in their order; other splits do not count."""
    listed = json.dumps([splits[name] for name in SPLITS])
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def _read_info(path: Path) -> dict:
    """What dataset.json says; without one the folder is taken for HumanML3D's own.

    Raises:
        ValueError: the file is cut off or damaged, or lacks name, fps or skeleton.
    """
    file = path / MARK
    if not file.is_file():
        return {"name": path.name, "fps": 20.0, "skeleton": "humanml3d"}
    try:
        info = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON ({error}); run `mmm prepare` again.") from error
    missing = [key for key in ("name", "fps", "skeleton") if not isinstance(info, dict) or key not in info]
    require(not missing, f"{file} does not say {', '.join(missing)}; run `mmm prepare` again.")
    require(
        isinstance(info["fps"], int | float) and info["fps"] > 0,
        f"{file} says fps {info['fps']!r}, expected frames per second above 0; run `mmm prepare` again.",
    )
    return info


class MotionFolder:
    """A data set that lies on disk; open one with `MotionFolder.open(path)`.

    Features are read from `dataset.json`'s "features_from" where that names another folder (a user's own data set
    is referred to, never copied or altered).
    """

    def __init__(
        self, path: Path, info: dict, mean: np.ndarray, std: np.ndarray, splits: dict[str, list[str]]
    ):
        self.path, self.info, self.mean, self.std, self.splits = path, info, mean, std, splits
        self.source = Path(info.get("features_from") or path)
        self.name, self.fps, self.skeleton = info["name"], float(info["fps"]), info["skeleton"]

    @classmethod
    def open(cls, path: str | os.PathLike) -> "MotionFolder":
        """Open a folder, ours or one in HumanML3D's layout.

        Raises:
            FileNotFoundError: the folder or a file of the layout is missing.
            ValueError: dataset.json is damaged or lacks something, or Mean or Std have the wrong length or hold
                numbers that cannot be used.
        """
        path = Path(path)
        if not path.is_dir():
            raise FileNotFoundError(f"there is no data folder {path}; make one with `mmm prepare`.")
        info = _read_info(path)
        source = Path(info.get("features_from") or path)
        statistics = {}
        for name in ("Mean.npy", "Std.npy"):
            where = path / name if (path / name).is_file() else source / name
            if not where.is_file():
                raise FileNotFoundError(
                    f"the data folder {path} has no {name}; expected {LAYOUT}: run `mmm prepare` again."
                )
            statistics[name] = load_array(where)
        width = get_skeleton(info["skeleton"]).num_features
        for name, values in statistics.items():
            require(
                values.shape == (width,) and np.isfinite(values).all(),
                f"{path / name} has shape {values.shape}, expected ({width},) finite numbers for "
                f"{info['skeleton']}; run `mmm prepare` again.",
            )
        splits = {file.stem: file.read_text().split() for file in sorted(path.glob("*.txt"))}
        for name in SPLITS:
            if name not in splits:
                raise FileNotFoundError(f"the data folder {path} has no {name}.txt; expected {LAYOUT}.")
        return cls(path, info, statistics["Mean.npy"], statistics["Std.npy"], splits)

    def ids(self, split: str) -> list[str]:
        """Clip ids of a split. Raises ValueError for a split that the folder does not have."""
        require(split in self.splits, f"{self.path} has no split {split!r}; it has {', '.join(self.splits)}.")
        return self.splits[split]

    def features(self, clip: str) -> Float[np.ndarray, "t d"]:
        """Features (T, D) of a clip, float32, not normalised.

        Raises:
            FileNotFoundError: no such clip.
            ValueError: the file is cut off, has another width than the skeleton's, or holds NaN.
        """
        path = self.source / "new_joint_vecs" / f"{clip}.npy"
        values = load_array(path)
        width = len(self.mean)
        require(
            values.ndim == 2 and values.shape[1] == width,
            f"{path} has shape {values.shape}, expected (T, {width}) for {self.skeleton}; remove the clip from the "
            "splits or write its features again.",
        )
        bad = int((~np.isfinite(values)).any(1).sum())
        require(
            bad == 0,
            f"{path} holds NaN or infinite numbers in {bad} of {len(values)} frames; remove the clip from the splits "
            "or write its features again.",
        )
        return np.ascontiguousarray(values, np.float32)

    def captions(self, clip: str) -> list[Caption]:
        """Captions of a clip. Raises FileNotFoundError if it has none, ValueError for a malformed line."""
        path = self._file("texts", clip, "txt")
        if not path.is_file():
            raise FileNotFoundError(f"clip {clip} has no captions: expected {path}.")
        return parse_captions(path.read_text(errors="replace"), str(path))

    def program(self, clip: str) -> dict | None:
        """What is known about a clip beside its captions (programs/ID.json), or None."""
        path = self.path / "programs" / f"{clip}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def pack(self, split: str) -> PackedSplit:
        """The split in one memory-mapped array; made once, kept in the user's cache folder (see `cache_dir`)."""
        ids = self.ids(split)
        files = [self._file(folder, i, end) for i in ids for folder, end in LAYOUT_FILES]
        about = f"{PACK_FORMAT} {self.fps} {self.skeleton} {self.path.resolve()}\n"
        stamp = hashlib.sha256(about.encode())
        for file in files:
            # size and time tell a rewritten file; hashing 4 GB of HumanML3D at each start would not pay
            state = file.stat() if file.is_file() else None
            stamp.update(
                f"{file.name} {state.st_size} {state.st_mtime_ns}\n".encode() if state else b"missing\n"
            )
        return pack(
            cache_dir() / "packed" / f"{self.name}-{split}-{stamp.hexdigest()[:16]}", self._pieces(ids)
        )

    def _file(self, folder: str, clip: str, end: str) -> Path:
        """A clip's file, ours before the user's: captions that lost a bad line lie in our folder."""
        ours = self.path / folder / f"{clip}.{end}"
        return ours if ours.is_file() else self.source / folder / f"{clip}.{end}"

    def _pieces(self, ids: list[str]) -> Iterator[tuple[str, np.ndarray, list[Caption]]]:
        """Clips as they are trained on: a caption with start and end becomes a clip of its own (REPRODUCTION.md,
        "Evaluation"), `ID@1` for the first, unless less than MIN_FRAMES are left of it."""
        shortest = MIN_FRAMES.get(self.skeleton, 40)
        for clip in ids:
            features, captions = self.features(clip), self.captions(clip)
            whole = [caption for caption in captions if caption.start == caption.end == 0]
            if whole:
                yield clip, features, whole
            for number, caption in enumerate((c for c in captions if not c.start == c.end == 0), 1):
                start, end = (max(int(time * self.fps), 0) for time in (caption.start, caption.end))
                piece = features[start:end]
                if len(piece) >= shortest:
                    yield f"{clip}@{number}", piece, [caption]

    @property
    def content_hash(self) -> str:
        """Hash of what was written (ours), or of Mean, Std and the splits (a user's folder); goes into manifests."""
        if "content_hash" in self.info:
            return self.info["content_hash"]
        digest = hashlib.sha256(self.mean.tobytes() + self.std.tobytes())
        digest.update(json.dumps(self.splits, sort_keys=True).encode())
        return digest.hexdigest()[:16]

    @property
    def splits_hash(self) -> str:
        """Hash of the train, val and test lists as they are now, which `content_hash` does not cover."""
        return hash_splits(self.splits)


def load_array(path: Path) -> np.ndarray:
    """np.load without pickle. Raises FileNotFoundError, or ValueError in one sentence for a broken file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a NumPy array ({error}); copy it again.") from error


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
            (part / "texts" / f"{clip.id}.txt").write_text(lines)
            if clip.program is not None:
                text = json.dumps(clip.program, indent=1)
                (part / "programs" / f"{clip.id}.json").write_text(text)
            digest.update(clip.id.encode() + clip.features.tobytes() + lines.encode())
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
            (part / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids))
        hashes = {"content_hash": digest.hexdigest()[:16], "splits_hash": hash_splits(splits)}
        info = info | {"clips": len(seen)} | hashes
        (part / MARK).write_text(json.dumps(info, indent=1) + "\n")
        if not any((part / "programs").iterdir()):
            shutil.rmtree(part / "programs")
    return MotionFolder.open(out)
