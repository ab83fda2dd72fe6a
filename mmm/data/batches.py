"""A split as one memory-mapped array, so that a batch is a few slices and nothing is read twice."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.data.captions import Caption, format_caption, parse_captions
from mmm.errors import atomic_dir, require

PACK_FORMAT = 2  # of the files of a pack; goes into its name, so that another format is another pack


def draw_weighted(weights: Float[np.ndarray, " n"], u: Float[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Indices drawn in proportion to `weights` (any unit), from uniform numbers `u` in [0, 1), float64.

    Two numbers that are equal give the same index, whoever draws: that is what makes training resumable.
    """
    cumulative = torch.from_numpy(np.cumsum(weights / weights.sum()))
    return torch.searchsorted(cumulative, u, right=True).clamp(max=len(weights) - 1)


@dataclasses.dataclass(frozen=True)
class PackedSplit:
    """All clips of a split, one behind the other.

    features: (sum T, D) float32, memory-mapped, not normalised. starts: (n + 1,), clip i is rows starts[i] to
    starts[i + 1]. captions: per clip.
    """

    ids: list[str]
    features: Float[np.ndarray, "rows d"]
    starts: Int64[np.ndarray, " n_plus_1"]
    captions: list[list[Caption]]

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

    Raises:
        ValueError: there are no clips, one's file is bad (as `MotionFolder.features` says), or the pack is damaged.
    """
    if not (folder / "captions.json").is_file():
        with atomic_dir(folder, mark="features.f32") as part:
            ids, lengths, lines, width = [], [], [], 0
            with (part / "features.f32").open("wb") as file:
                for clip, features, captions in clips:
                    features.tofile(file)
                    ids.append(clip)
                    lengths.append(len(features))
                    width = features.shape[1]
                    lines.append([format_caption(caption) for caption in captions])
            require(bool(ids), f"the split has no clips, so there is nothing to pack into {folder}.")
            np.save(part / "starts.npy", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
            told = {"ids": ids, "captions": lines, "width": width}
            (part / "captions.json").write_text(json.dumps(told))
    return _load(folder)


def _load(folder: Path) -> PackedSplit:
    file = folder / "captions.json"
    try:
        told = json.loads(file.read_text())
        parsed = [
            parse_captions("\n".join(lines), clip)
            for clip, lines in zip(told["ids"], told["captions"], strict=True)
        ]
        width = int(told["width"])
        file = folder / "starts.npy"
        starts = np.load(file, allow_pickle=False)
        require(starts.shape == (len(parsed) + 1,), f"found shape {starts.shape} for {len(parsed)} clips")
        file = folder / "features.f32"
        rows = np.memmap(file, np.float32, "r").reshape(-1, width)
        require(len(rows) == starts[-1], f"found {len(rows)} frames, expected {starts[-1]}")
    except (ValueError, TypeError, KeyError, EOFError, OSError) as error:
        raise ValueError(
            f"{file} is damaged or cut off ({error}); delete the folder {folder}, it is made again."
        ) from error
    return PackedSplit(told["ids"], rows, starts, parsed)
