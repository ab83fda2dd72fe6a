"""Reading the files of a data set, and the rules by which a clip can be used.

`mmm prepare`, packing and training share these rules. Text may come in any encoding and with any line ends.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmm.errors import check_name, require
from mmm.motion.skeleton import get_skeleton

# Shortest and longest clip, as in Guo et al.'s loaders (docs/REPRODUCTION.md, "Evaluation").
FRAMES = {"humanml3d": (40, 199), "kit": (24, 199)}
Oddity = tuple[str, str, str]  # what is unusual about a file, where, and how it was handled


class Unusable(ValueError):
    """A clip or a caption cannot be used: `reason` groups such faults, `detail` describes this one."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def load_array(path: Path) -> np.ndarray:
    """np.load without pickle. Raises FileNotFoundError, or ValueError in one sentence for a damaged file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        # mapped first: a header may state any size, which is compared with the file's before memory is taken
        with np.errstate(over="ignore"):
            values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (
        Exception
    ) as error:  # a damaged header raises nearly anything: SyntaxError, TokenError, MemoryError
        raise ValueError(f"{path} cannot be read as a NumPy array ({error}); copy it again.") from error
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path} cannot be read as a NumPy array (it is an archive); unpack it.")
    return np.array(values)


def to_features(values: np.ndarray, width: int) -> Float[np.ndarray, "t d"]:
    """The content of a clip's file as float32 (T, width), not normalised.

    Raises:
        Unusable: another shape, no floating-point numbers, or numbers that are NaN or infinite in float32.
    """
    seen = f"{values.dtype} {values.shape}, expected float (T, {width})"
    if values.ndim != 2 or values.shape[1] != width:
        raise Unusable("wrong shape", seen)
    if values.dtype.kind != "f":
        raise Unusable("not floating-point numbers", seen)
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(values, np.float32)
    for reason, bad in (("NaN", np.isnan(features)), ("infinite numbers", np.isinf(features))):
        frames = bad.any(1)
        if frames.any():
            where = f"in {frames.sum()} of {len(frames)} frames, the first is frame {frames.argmax()}"
            raise Unusable(reason, where)
    return features


def check_length(frames: int, skeleton: str) -> None:
    """Raises Unusable unless Guo et al.'s loaders would take a clip of that many frames."""
    shortest, longest = FRAMES[skeleton]
    if not shortest <= frames <= longest:
        reason = "too short" if frames < shortest else "too long"
        raise Unusable(reason, f"{frames} frame{'s' * (frames != 1)}, expected {shortest} to {longest}")


def to_statistics(values: np.ndarray, name: str, width: int) -> Float[np.ndarray, " d"]:
    """Mean or Std as float32. Raises Unusable for another width, NaN, or a Std that is not above 0."""
    if values.shape != (width,) or values.dtype.kind != "f":
        detail = f"has shape {values.shape} of {values.dtype}, expected ({width},) finite numbers"
        others = [
            other for other in FRAMES if values.shape == (get_skeleton(other).num_features,) != (width,)
        ]
        raise Unusable("wrong shape", detail + (f", and it looks like that of {others[0]}" if others else ""))
    with np.errstate(over="ignore", under="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise Unusable("not finite", f"holds {values[~np.isfinite(values)][0]}, expected finite numbers")
    if name.lower().startswith("std") and not (values > 0).all():
        bad = np.flatnonzero(values <= 0)
        where = f"in {len(bad)} of {width} positions, the first is number {bad[0]}"
        raise Unusable(
            "not above 0", f"holds numbers that are not above 0 ({where}), but features are divided by it"
        )
    return values


def read_mean_std(
    folder: str | os.PathLike[str], width: int, remedy: str
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Mean and Std (D,), float32, of Mean.npy and Std.npy, or of mean.npy and std.npy as Guo et al. name them.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or cannot be used (see `to_statistics`), or both names exist and differ.
    """
    both = []
    for name in ("mean", "std"):
        names = [Path(folder) / f"{each}.npy" for each in (name, name.capitalize())]
        files = [file for file in names if file.is_file()]
        require(files, f"there is no file {names[0]}, nor {names[1].name}; {remedy}.", FileNotFoundError)
        arrays = [load_array(file) for file in files]
        require(
            np.array_equal(arrays[0], arrays[-1]),
            f"{files[0]} and {files[-1]} differ; remove the one that is not meant.",
        )
        try:
            both.append(to_statistics(arrays[0], name, width))
        except Unusable as error:
            raise ValueError(f"{files[0]} {error.detail}; {remedy}.") from None
    return both[0], both[1]


def read_text(path: Path) -> tuple[str, list[Oddity]]:
    """A text file as UTF-8 with line feeds, and what is unusual about the file.

    Bytes that are not UTF-8 are read as Windows-1252, the encoding that such files nearly always have (it holds
    Latin-1's letters and the curly quotes of Windows). Files in UTF-16, as PowerShell's `>` writes them, are known by
    their byte order mark.

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
            letter = bytes([byte]).decode("cp1252", errors="replace")
            odd.append(
                ("not UTF-8", f"byte 0x{byte:02X} in line {line}", f"read as Windows-1252, {letter!r}")
            )
    if "\r" in content:
        count = content.count("\r")
        content = content.replace("\r\n", "\n").replace("\r", "\n")
        odd.append(("Windows line ends", f"{count} of them", "read as line ends"))
    return content, odd


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: the bytes that are not UTF-8, and only those, as Windows-1252."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error("mmm-windows-1252", _as_windows_1252)


def read_ids(path: Path) -> list[str]:
    """Ids of a split, one per line, each once, in their order; spaces around them and blank lines do not count.

    Raises:
        ValueError: an id cannot be the name of a file.
    """
    lines = (line.strip() for line in read_text(path)[0].split("\n"))
    return [check_name(line, f"an id in {path}", "remove it") for line in dict.fromkeys(lines) if line]
