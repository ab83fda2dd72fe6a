"""A split as one memory-mapped array (a pack), so that a batch is a few slices and nothing is read twice."""

import dataclasses
import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.data.captions import Caption, format_caption, parse_line
from mmm.errors import atomic_dir, read_json, require

PACK_FORMAT = 3  # of the files of a pack; it is part of the hash in a pack's name
PACK_FILE = "pack.json"


def draw_weighted(weights: Float[np.ndarray, " n"], u: Float[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Indices with probabilities proportional to `weights`, from uniform numbers `u` in [0, 1), float64.

    Equal numbers give equal indices, so that a resumed training draws what it would have drawn.
    """
    cumulative = torch.from_numpy(np.cumsum(weights / weights.sum()))
    return torch.searchsorted(cumulative, u, right=True).clamp(max=len(weights) - 1)


class StoredCaptions(Sequence):
    """The captions of each clip, parsed from their lines on access.

    Parsing all of HumanML3D's 44,970 captions at once would cost a second and 200 MB at each start.

    Args:
        lines: all captions as in `texts/ID.txt`, clip by clip.
        ends: (n,) the index behind the last line of each clip.
    """

    def __init__(self, lines: list[str], ends: list[int]):
        self._lines, self._edges = lines, [0, *ends]

    def __len__(self) -> int:
        return len(self._edges) - 1

    def __getitem__(self, i: SupportsIndex) -> list[Caption]:
        i = range(len(self))[i]  # counts from the end, or raises IndexError, as a list does
        return [parse_line(line) for line in self._lines[self._edges[i] : self._edges[i + 1]]]


@dataclasses.dataclass(frozen=True)
class PackedSplit:
    """All clips of a split, one after another.

    features: (sum T, D) float32, memory-mapped, not normalised. starts: (n + 1,), clip i has rows starts[i] to
    starts[i + 1]. captions: of each clip.
    """

    ids: list[str]
    features: Float[np.ndarray, "rows d"]
    starts: Int64[np.ndarray, " n_plus_1"]
    captions: Sequence[list[Caption]]

    def __len__(self) -> int:
        return len(self.ids)

    def clip(self, i: int) -> Float[np.ndarray, "t d"]:
        """Features (T, D) of clip i, a view of the mapped array."""
        return self.features[self.starts[i] : self.starts[i + 1]]

    @property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """Frames of each clip."""
        return np.diff(self.starts)

    def texts(self) -> list[str]:
        """All different captions of the split, sorted."""
        return sorted({caption.text for captions in self.captions for caption in captions})


def pack(folder: Path, clips: Iterator[tuple[str, np.ndarray, list[Caption]]]) -> PackedSplit:
    """Load the pack in `folder`; if there is none, write it first from (id, features, captions) of the clips.

    Several processes may want the same pack at once: each writes one, and the first that is complete is kept.

    Raises:
        ValueError: there are no clips, a clip's file cannot be used, or the pack is damaged.
    """
    if not folder.is_dir():
        new = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
        with atomic_dir(new, PACK_FILE) as temporary:
            _write(temporary, clips, folder)
        try:
            new.rename(folder)
        except OSError:
            shutil.rmtree(new)
            if not folder.is_dir():
                raise
            # else another process was faster, and its pack may be in use already
    return _load(folder)


def _write(temporary: Path, clips: Iterator[tuple[str, np.ndarray, list[Caption]]], folder: Path) -> None:
    ids, lengths, counts, lines, width = [], [], [], [], 0
    with (temporary / "features.f32").open("wb") as file:
        for clip, features, captions in clips:
            features.tofile(file)
            ids.append(clip)
            lengths.append(len(features))
            counts.append(len(captions))
            lines += [format_caption(caption) for caption in captions]
            width = features.shape[1]
    require(bool(ids), f"the split has no clips, so there is nothing to pack into {folder}.")
    np.save(temporary / "starts.npy", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    (temporary / "captions.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
    about = {"width": width, "ids": ids, "caption_ends": np.cumsum(counts).tolist()}
    (temporary / PACK_FILE).write_text(json.dumps(about))


def _load(folder: Path) -> PackedSplit:
    file = folder / PACK_FILE
    try:
        about = read_json(file)
        ids, ends, width = about["ids"], about["caption_ends"], int(about["width"])
        file = folder / "captions.txt"
        lines = file.read_bytes().decode().split("\n")
        # behind the last line feed there is an empty line
        require(
            len(lines) - 1 == ends[-1] and not lines[-1], f"{len(lines) - 1} captions, expected {ends[-1]}"
        )
        file = folder / "starts.npy"
        starts = np.load(file, allow_pickle=False)
        require(starts.shape == (len(ids) + 1,), f"shape {starts.shape} for {len(ids)} clips")
        file = folder / "features.f32"
        rows = np.memmap(file, np.float32, "r").reshape(-1, width)
        require(len(rows) == starts[-1], f"{len(rows)} frames, expected {starts[-1]}")
    except (ValueError, TypeError, KeyError, IndexError, EOFError, OSError) as error:
        raise ValueError(
            f"{file} is damaged or cut off ({error}); delete the folder {folder}, it is written again."
        ) from error
    return PackedSplit(ids, rows, starts, StoredCaptions(lines[:-1], ends))
