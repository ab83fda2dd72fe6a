"""Reading other people's files: arrays, and text in whatever encoding and line ends it came with.

What can be used of a data set, and why the rest cannot: one rule for `mmm prepare`, packing and training.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.errors import require
from mmm.motion.skeleton import get_skeleton

FRAMES = {"humanml3d": (40, 199), "kit": (24, 199)}  # shortest and longest clip (REPRODUCTION, "Evaluation")


class Unusable(ValueError):
    """A clip or a caption cannot be used: `reason` groups such faults, `detail` is of this one."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def to_features(values: np.ndarray, width: int) -> Float[np.ndarray, "t d"]:
    """What a clip's file holds as float32 (T, width), not normalised.

    Raises:
        Unusable: another shape, no floating-point numbers, NaN or infinite numbers (also those that only
            float32 cannot hold).
    """
    found = f"{values.dtype} {values.shape}, expected float (T, {width})"
    if values.ndim != 2 or values.shape[1] != width:
        raise Unusable("wrong shape", found)
    if values.dtype.kind != "f":
        raise Unusable("not floating-point numbers", found)
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(features).all():
        nan = np.isnan(features).any(1)
        bad = nan if nan.any() else np.isinf(features).any(1)
        where = f"in {bad.sum()} of {len(bad)} frames, the first is frame {bad.argmax()}"
        raise Unusable("NaN" if nan.any() else "infinite numbers", where)
    return features


def check_length(frames: int, skeleton: str) -> None:
    """Raises Unusable unless Guo's loaders would take a clip of so many frames."""
    shortest, longest = FRAMES[skeleton]
    if not shortest <= frames <= longest:
        reason = "too short" if frames < shortest else "too long"
        raise Unusable(reason, f"{frames} frame{'s' * (frames != 1)}, expected {shortest} to {longest}")


def to_statistics(values: np.ndarray, name: str, skeleton: str) -> Float[np.ndarray, " d"]:
    """Mean or Std as float32. Raises Unusable for another size, NaN, or a Std that nothing can be divided by."""
    width = get_skeleton(skeleton).num_features
    if values.shape != (width,) or values.dtype.kind != "f":
        others = [other for other in FRAMES if values.shape == (get_skeleton(other).num_features,)]
        hint = (
            f", and it looks like {others[0]}: prepare it as that"
            if others and skeleton not in others
            else ""
        )
        found = (
            f"has shape {values.shape} of {values.dtype}, expected ({width},) finite numbers for {skeleton}"
        )
        raise Unusable("wrong shape", found + hint)
    with np.errstate(over="ignore", under="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise Unusable("not finite", f"holds {values[~np.isfinite(values)][0]}, expected finite numbers")
    if name.startswith("Std") and not (values > 0).all():
        places = np.flatnonzero(values <= 0)
        where = f"in {len(places)} of {width} places, the first is number {places[0]}"
        raise Unusable("not above 0", f"holds numbers that are not above 0 ({where}), but we divide by it")
    return values


Oddity = tuple[str, str, str]  # what is odd about a file, where and how it shows, what was done about it


def load_array(path: Path) -> np.ndarray:
    """np.load without pickle. Raises FileNotFoundError, or ValueError in one sentence for a broken file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        values = np.load(path, allow_pickle=False)
    except (
        Exception
    ) as error:  # a damaged header raises nearly anything: SyntaxError, TokenError, MemoryError …
        raise ValueError(f"{path} cannot be read as a NumPy array ({error}); copy it again.") from error
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path} cannot be read as a NumPy array (it is an archive); unpack it.")
    return values


def read_text(path: Path) -> tuple[str, list[Oddity]]:
    """A text file as UTF-8 with line feeds, and what about the file is otherwise.

    Bytes that are no UTF-8 are read as Windows-1252, the encoding that such files have had in nearly every case
    (it holds Latin-1's letters, and the curly quotes of Windows). Files in UTF-16, as PowerShell's `>` writes
    them, are known by their byte order mark.

    Raises:
        OSError: the file cannot be read.
    """
    data, odd = Path(path).read_bytes(), []
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = data.decode("utf-16", errors="replace")
        odd.append(("UTF-16", "by its byte order mark", "read as UTF-16"))
    else:
        if data.startswith(codecs.BOM_UTF8):
            data = data[len(codecs.BOM_UTF8) :]
            odd.append(("byte order mark", "at its beginning", "skipped"))
        try:
            content = data.decode("utf-8")
        except UnicodeDecodeError as error:
            byte, line = data[error.start], data.count(b"\n", 0, error.start) + 1
            content = data.decode("utf-8", errors="mmm-windows-1252")
            read = bytes([byte]).decode("cp1252", errors="replace")
            odd.append(("not UTF-8", f"byte 0x{byte:02X} in line {line}", f"read as Windows-1252, {read!r}"))
    if "\r" in content:
        count = content.count("\r")
        content = content.replace("\r\n", "\n").replace("\r", "\n")
        odd.append(("Windows line ends", f"{count} of them", "read as line ends"))
    return content, odd


def read_ids(path: Path) -> list[str]:
    """Ids of a split, one a line, each once, in their order; spaces around them and blank lines do not count."""
    lines = (line.strip() for line in read_text(path)[0].split("\n"))
    return list(dict.fromkeys(line for line in lines if line))


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: the bytes that are no UTF-8, and only those, as Windows-1252."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error("mmm-windows-1252", _as_windows_1252)


def read_mean_std(
    folder: str | os.PathLike[str], width: int, remedy: str
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Mean and Std (D,), float32, of Mean.npy and Std.npy, or of mean.npy and std.npy as Guo et al. name them.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, of another width, or holds what nothing can be divided by; or there are
            two of different content.
    """
    found = []
    for name in ("mean", "std"):
        files = [Path(folder) / f"{each}.npy" for each in (name, name.capitalize())]
        there = [file for file in files if file.is_file()]
        require(there, f"there is no file {files[0]}, nor {files[1].name}; {remedy}.", FileNotFoundError)
        arrays = [load_array(file) for file in there]
        require(
            len(arrays) == 1 or np.array_equal(*arrays),
            f"{there[0]} and {there[-1]} differ; remove the one that is not meant.",
        )
        values, least = arrays[0], 0 if name == "std" else -np.inf
        require(
            values.shape == (width,)
            and values.dtype.kind in "fiu"
            and (np.isfinite(values) & (values > least)).all(),
            f"{there[0]} has shape {values.shape} and type {values.dtype}, expected ({width},) finite numbers"
            f"{' above 0' if name == 'std' else ''}; {remedy}.",
        )
        found.append(values.astype(np.float32))
    return found[0], found[1]
