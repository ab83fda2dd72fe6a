"""A data set on disk: a folder in the layout of HumanML3D, whatever its source (see data/README.md)."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.data.batches import PACK_FORMAT, PackedSplit, pack
from mmm.data.captions import Caption, parse_captions
from mmm.data.reading import (
    FRAMES,
    Unusable,
    check_length,
    load_array,
    read_ids,
    read_text,
    to_features,
    to_statistics,
)
from mmm.errors import check_name, read_json, require
from mmm.motion.skeleton import get_skeleton

INFO_FILE = "dataset.json"  # in every folder that this project wrote, which it may therefore replace
SPLITS = ("train", "val", "test")
COMPOSITIONS_FILE = "compositions.json"  # see `mmm.datasets.compositions`
SOURCE_END = "-"  # behind the name of its source, in the id of a clip of several (`mmm prepare union`)
MIN_FRAMES = {skeleton: shortest for skeleton, (shortest, _) in FRAMES.items()}  # also of a part of a clip
LAYOUT = "new_joint_vecs/, texts/, Mean.npy, Std.npy, train.txt, val.txt, test.txt"


def cache_dir() -> Path:
    """The folder for caches: $MMM_CACHE, else mmm/ in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MMM_CACHE") or Path(base) / "mmm")


def hash_splits(splits: dict[str, list[str]]) -> str:
    """Hash of the ids in train, val and test, in their order; other splits do not count."""
    lists = json.dumps([splits[name] for name in SPLITS])
    return hashlib.sha256(lists.encode()).hexdigest()[:16]


def _read_info(path: Path) -> dict:
    """The content of dataset.json; a folder without one is taken for HumanML3D's own.

    Raises:
        ValueError: the file is cut off or damaged, lacks name, fps or skeleton, or holds a value of a wrong kind.
    """
    file, remedy = path / INFO_FILE, "run `mmm prepare` again"
    if not file.is_file():
        name = re.sub(r"[^\w .+-]", "_", os.path.basename(os.path.abspath(path))).lstrip(".")
        return {"name": name or "data", "fps": 20.0, "skeleton": "humanml3d"}
    info = read_json(file, remedy)
    missing = [key for key in ("name", "fps", "skeleton") if key not in info]
    require(not missing, f"{file} does not say {', '.join(missing)}; {remedy}.")
    for key in {"name", "content_hash", "splits_hash"} & info.keys():  # parts of the names of caches
        check_name(info[key], f"{key} in {file}", remedy)
    fps, sources = info["fps"], info.get("sources", {})
    require(
        type(fps) in (int, float) and 1 <= fps <= 1000,
        f"{file} says fps {fps!r}, expected 1 to 1000 frames per second; {remedy}.",
    )
    wrong = [key for key in ("features_from", "source", "licence") if not isinstance(info.get(key, ""), str)]
    wrong += ["skeleton"] * (info["skeleton"] not in tuple(FRAMES))
    is_union = isinstance(sources, dict) and all(_is_source(about) for about in sources.values())
    wrong += ["sources"] * (not is_union)
    require(not wrong, f"{file} holds a value that cannot be used as {', '.join(wrong)}; {remedy}.")
    return info


def _is_source(about: object) -> bool:
    """Whether this describes a data set of a union."""
    if not isinstance(about, dict) or not isinstance(about.get("splits_hash"), str):
        return False
    return type(about.get("share")) in (int, float) and 0 < about["share"] < 1e6


class MotionFolder:
    """A data set on disk; open one with `MotionFolder.open(path)`.

    There are three kinds:
    - ours: this project wrote everything (synthetic, Bandai, a user's BVH files).
    - prepared: `mmm prepare` checked a user's HumanML3D or KIT-ML folder and wrote `path`, which holds only what it had
      to add or correct. `source` is the user's folder; it has the features and is never altered.
    - a user's folder that was not prepared, without `dataset.json`. Each file is checked when it is read.

    Attributes:
        path: the folder. source: the folder with the features, `path` itself unless prepared.
        info: the content of `dataset.json`, from which name, fps and skeleton are taken.
        mean, std: (D,) of the raw features.
        splits: the clip ids of every split.
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
            ValueError: dataset.json is damaged or incomplete, or Mean or Std cannot be used.
        """
        path = Path(path)
        require(
            path.is_dir(), f"there is no data folder {path}; see `mmm prepare --help`.", FileNotFoundError
        )
        info = _read_info(path)
        source = Path(info.get("features_from") or path)
        statistics, width = {}, get_skeleton(info["skeleton"]).num_features
        for name in ("Mean.npy", "Std.npy"):
            where = path / name if (path / name).is_file() else source / name
            missing = f"the data folder {path} has no {name}; expected {LAYOUT}: run `mmm prepare` again."
            require(where.is_file(), missing, FileNotFoundError)
            try:
                statistics[name] = to_statistics(load_array(where), name, width)
            except Unusable as error:
                remedy = "run `mmm prepare` again" if (path / INFO_FILE).is_file() else "copy it again"
                raise ValueError(f"{where} {error.detail}; {remedy}.") from None
        splits = {file.stem: read_ids(file) for file in sorted(path.glob("*.txt"))}
        for name in SPLITS:
            missing = f"the data folder {path} has no {name}.txt; expected {LAYOUT}."
            require(name in splits, missing, FileNotFoundError)
        return cls(path, info, statistics["Mean.npy"], statistics["Std.npy"], splits)

    def ids(self, split: str) -> list[str]:
        """Clip ids of a split. Raises ValueError for a split that the folder does not have."""
        require(split in self.splits, f"{self.path} has no split {split!r}; it has {', '.join(self.splits)}.")
        return self.splits[split]

    @property
    def is_checked(self) -> bool:
        """Whether the folder is ours or prepared."""
        return (self.path / INFO_FILE).is_file()

    @property
    def is_ours(self) -> bool:
        """Whether this project wrote everything in the folder."""
        return self.is_checked and self.source == self.path

    @property
    def _remedy(self) -> str:
        """What to do about a file that cannot be used: it depends on who wrote the folder."""
        if not self.is_checked:
            return (
                f"run `mmm prepare humanml3d --source {self.path} --out FOLDER`, which leaves out bad clips"
            )
        if not self.is_ours:
            return "it has changed since it was checked, run `mmm prepare` again"
        return "remove the clip from the splits or write it again"

    def features(self, clip: str) -> Float[np.ndarray, "t d"]:
        """Features (T, D) of a clip, float32, not normalised.

        Raises:
            FileNotFoundError: no such clip.
            ValueError: the file is damaged or cannot be used, see `to_features`.
        """
        path = self.source / "new_joint_vecs" / f"{clip}.npy"
        try:
            return to_features(load_array(path), len(self.mean))
        except Unusable as error:
            raise ValueError(f"{path}: {error}; {self._remedy}.") from None
        except (ValueError, FileNotFoundError) as error:
            if self.is_ours:
                raise
            raise type(error)(f"{str(error).rstrip('.')}; {self._remedy}.") from error

    def captions(self, clip: str) -> list[Caption]:
        """Captions of a clip. Raises FileNotFoundError if it has none, ValueError for a line that cannot be used."""
        path, remedy = self.path / "texts" / f"{clip}.txt", self._remedy
        if (
            not path.is_file()
        ):  # a prepared folder has a corrected copy of the texts that need one, and no others
            path = self.source / "texts" / f"{clip}.txt"
        require(path.is_file(), f"clip {clip} has no captions: expected {path}; {remedy}.", FileNotFoundError)
        captions = parse_captions(read_text(path)[0], str(path), remedy)
        require(captions or self.is_ours, f"{path} is empty, expected one caption a line; {remedy}.")
        return captions

    def program(self, clip: str) -> dict | None:
        """Facts about a clip beside its captions (programs/ID.json), or None. Raises ValueError for a damaged file."""
        path = self.path / "programs" / f"{clip}.json"
        if not path.is_file():
            return None
        program = read_json(path, self._remedy)
        for key in ("dataset", "content", "style"):
            named = isinstance(program.get(key), str | None)
            require(named, f"{path}: the {key} is no text; {self._remedy}.")
        return program

    def compositions(self) -> dict | None:
        """How clips combine (see `mmm.datasets.compositions`), or None if the folder does not say.

        Raises:
            ValueError: the file is damaged or incomplete.
        """
        file = self.path / COMPOSITIONS_FILE
        if not file.is_file():
            return None
        try:
            table = read_json(file, "run `mmm prepare` again")
            actions = {name: (rules["part"], rules["repeats"]) for name, rules in table["actions"].items()}
            captions = [*table["then"].items(), *table["while"].items()]
            pairs = [pair.split("|") for pair, texts in captions if texts]
            unknown = {*table["clips"].values(), *(name for pair in pairs for name in pair)} - set(actions)
            texts = [text for _, texts in captions for text in (type(texts), *texts)]
            texts += [text for own in table.get("typed", {}).values() for text in (type(own), *own)]
            texts += table.get("styles", {}).values()
            require(all(text is list or isinstance(text, str) for text in texts), "a caption is no text")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{file} is damaged or incomplete ({error!r}); run `mmm prepare` again."
            ) from error
        require(
            not unknown and all(len(pair) == 2 for pair in pairs),
            f"{file} names {len(unknown)} actions that it does not describe, such as {sorted(unknown)[:1]}; run "
            "`mmm prepare` again.",
        )
        return table

    def source_of(self, clip: str) -> str | None:
        """The name of the data set that a clip comes from, in a union of several; None in any other folder."""
        return clip.split(SOURCE_END)[0].removeprefix("M") if "sources" in self.info else None

    def pack(self, split: str) -> PackedSplit:
        """The split as one memory-mapped array, written once to the user's cache folder (see `cache_dir`).

        Raises:
            FileNotFoundError, ValueError: the split is empty; a file of a clip is missing or cannot be used. In a
                user's folder that was not prepared, also: a clip is too short, too long or in two splits.
        """
        ids = self.ids(split)
        require(
            ids,
            f"{self.path / split}.txt lists no clip; put ids of clips into it, or prepare the data again.",
        )
        stamp = self._stamp(ids)
        return pack(cache_dir() / "packed" / f"{self.name}-{split}-{stamp}", self._training_clips(split))

    def _stamp(self, ids: list[str]) -> str:
        """Hash of the size and time of every file in a pack, so that a rewritten file makes another pack.

        The times of the folders would not do: overwriting a file in place does not change them. Hashing the content
        would take too long (HumanML3D has 4 GB).
        """
        states = [f"{PACK_FORMAT} {self.fps} {self.skeleton} {self.path.resolve()}"]
        corrected = set()  # texts of a prepared folder, see `captions`
        if self.source != self.path and (self.path / "texts").is_dir():
            corrected = set(os.listdir(self.path / "texts"))
        for clip in ids:
            texts = self.path if f"{clip}.txt" in corrected else self.source
            # plain strings: Path objects for 29,232 files take ten times as long
            for file in (f"{self.source}/new_joint_vecs/{clip}.npy", f"{texts}/texts/{clip}.txt"):
                try:
                    state = os.stat(file)
                    states.append(f"{clip} {state.st_size} {state.st_mtime_ns}")
                except OSError:
                    states.append(f"{clip} missing")
        return hashlib.sha256("\n".join(states).encode()).hexdigest()[:16]

    def _training_clips(self, split: str) -> Iterator[tuple[str, np.ndarray, list[Caption]]]:
        """Id, features and captions of each clip for training.

        As in Guo et al.'s loaders, a caption with start and end becomes a clip of its own (`ID@1` is the first),
        unless it is shorter than MIN_FRAMES.
        """
        shortest = MIN_FRAMES.get(self.skeleton, 40)
        if not self.is_checked:
            self._refuse_leaks(split)
        for clip in self.ids(split):
            features, captions = self.features(clip), self.captions(clip)
            if not self.is_checked:
                self._refuse_length(clip, len(features))
            whole = [caption for caption in captions if not caption.is_part]
            if whole:
                yield clip, features, whole
            parts = (caption for caption in captions if caption.is_part)
            for number, caption in enumerate(parts, 1):
                first, last = caption.part(self.fps, len(features))
                if last - first >= shortest:
                    yield f"{clip}@{number}", features[first:last], [caption]

    def _refuse_leaks(self, split: str) -> None:
        for other in SPLITS if split in SPLITS else ():
            others = set(self.ids(other)) if other != split else ()
            shared = [clip for clip in self.ids(split) if clip in others]
            require(
                not shared,
                f"{self.path / split}.txt and {other}.txt both list {len(shared)} clips, {shared[:1]} for one; "
                f"{self._remedy}.",
            )

    def _refuse_length(self, clip: str, frames: int) -> None:
        try:
            check_length(frames, self.skeleton)
        except Unusable as error:
            path = self.path / "new_joint_vecs" / f"{clip}.npy"
            raise ValueError(f"{path}: {error}; {self._remedy}.") from None

    @property
    def content_hash(self) -> str:
        """Hash for manifests: of features and captions, or of Mean, Std and the splits if it was not prepared."""
        if "content_hash" in self.info:
            return self.info["content_hash"]
        digest = hashlib.sha256(self.mean.tobytes() + self.std.tobytes())
        digest.update(json.dumps(self.splits, sort_keys=True).encode())
        return digest.hexdigest()[:16]

    @property
    def source_splits(self) -> list[str]:
        """Hashes of the splits of the sources of a union, which it keeps; none for any other folder."""
        return [about["splits_hash"] for about in self.info.get("sources", {}).values()]

    @property
    def splits_hash(self) -> str:
        """Hash of the train, val and test lists as they are now."""
        return hash_splits(self.splits)
