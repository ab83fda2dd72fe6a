"""A split as one memory-mapped array, so that a batch is a few slices and nothing is read twice."""

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
from mmm.errors import atomic_dir, require

PACK_FORMAT = 3  # of the files of a pack; goes into its name, so that another format is another pack
MARK = "pack.json"


def draw_weighted(weights: Float[np.ndarray, " n"], u: Float[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Indices drawn in proportion to `weights` (any unit), from uniform numbers `u` in [0, 1), float64.

    Two numbers that are equal give the same index, whoever draws: that is what makes training resumable.
    """
    cumulative = torch.from_numpy(np.cumsum(weights / weights.sum()))
    return torch.searchsorted(cumulative, u, right=True).clamp(max=len(weights) - 1)


class StoredCaptions(Sequence):
    """Captions per clip, made from their lines whenever one asks for them.

    HumanML3D's 44,970 captions hold half a million words. Made at once they cost a second and 200 MB at each
    start, and of most runs they are asked for once, or a few at a time.

    Args:
        lines: all captions as in `texts/ID.txt`, clip by clip.
        ends: (n,) where the lines of each clip end.
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
    """All clips of a split, one behind the other.

    features: (sum T, D) float32, memory-mapped, not normalised. starts: (n + 1,), clip i is rows starts[i] to
    starts[i + 1]. captions: per clip.
    """

    ids: list[str]
    features: Float[np.ndarray, "rows d"]
    starts: Int64[np.ndarray, " n_plus_1"]
    captions: Sequence[list[Caption]]

    def __len__(self) -> int:
        return len(self.ids)

    def clip(self, i: int) -> Float[np.ndarray, "t d"]:
        """Features (T, D) of clip i, a view into the map."""
        return self.features[self.starts[i] : self.starts[i + 1]]

    @property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """Frames per clip."""
        return np.diff(self.starts)

    def texts(self) -> list[str]:
        """All different captions of the split, sorted."""
        return sorted({caption.text for captions in self.captions for caption in captions})


def pack(folder: Path, clips: Iterator[tuple[str, np.ndarray, list[Caption]]]) -> PackedSplit:
    """Load the pack in `folder`, or make it first from (id, features, captions) of the clips.

    Several processes may ask for the same pack at once: each makes one, and the first to be ready is kept.

    Raises:
        ValueError: there are no clips, one's file is bad (as `MotionFolder.features` says), or the pack is damaged.
    """
    if not folder.is_dir():
        made = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
        with atomic_dir(made, MARK) as part:
            _write(part, clips, folder)
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made)
            if not folder.is_dir():
                raise
            # else another process was quicker, and may be reading its pack already
    return _load(folder)


def _write(part: Path, clips: Iterator[tuple[str, np.ndarray, list[Caption]]], folder: Path) -> None:
    ids, lengths, counts, lines, width = [], [], [], [], 0
    with (part / "features.f32").open("wb") as file:
        for clip, features, captions in clips:
            features.tofile(file)
            ids.append(clip)
            lengths.append(len(features))
            counts.append(len(captions))
            lines += [format_caption(caption) for caption in captions]
            width = features.shape[1]
    require(bool(ids), f"the split has no clips, so there is nothing to pack into {folder}.")
    np.save(part / "starts.npy", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    (part / "captions.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
    told = {"width": width, "ids": ids, "caption_ends": np.cumsum(counts).tolist()}
    (part / MARK).write_text(json.dumps(told))


def _load(folder: Path) -> PackedSplit:
    file = folder / MARK
    try:
        told = json.loads(file.read_text())
        ids, ends, width = told["ids"], told["caption_ends"], int(told["width"])
        file = folder / "captions.txt"
        lines = file.read_bytes().decode().split("\n")
        # the last line is what follows the last line feed
        require(
            len(lines) - 1 == ends[-1] and not lines[-1],
            f"found {len(lines) - 1} captions, expected {ends[-1]}",
        )
        file = folder / "starts.npy"
        starts = np.load(file, allow_pickle=False)
        require(starts.shape == (len(ids) + 1,), f"found shape {starts.shape} for {len(ids)} clips")
        file = folder / "features.f32"
        rows = np.memmap(file, np.float32, "r").reshape(-1, width)
        require(len(rows) == starts[-1], f"found {len(rows)} frames, expected {starts[-1]}")
    except (ValueError, TypeError, KeyError, IndexError, EOFError, OSError) as error:
        raise ValueError(
            f"{file} is damaged or cut off ({error}); delete the folder {folder}, it is made again."
        ) from error
    return PackedSplit(ids, rows, starts, StoredCaptions(lines[:-1], ends))
