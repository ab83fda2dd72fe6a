"""Refuse bad input in one sentence, and write files so that they are complete or absent.

`require` raises the sentence. What a stranger may have written is read by `read_json`, and goes through `check_name`
where it becomes a path and through `check_ranges` where it becomes a size.

`atomic_write` and `atomic_dir` write to a temporary name in the same folder and then
rename it, so that a reader never meets half a file, whatever stops the writer (an exception, Ctrl-C, kill -9, a full
disk). The temporary name holds the number of the process: what a killed process left is removed by the next one that
writes to the folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import numbers
import os
import platform
import re
import reprlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

LARGEST_JSON = 1 << 26  # bytes; as Python objects up to 25 times as many
NAME = re.compile(r"(?!\.)[^\x00-\x1f\x7f/\\:\ud800-\udfff]+")

_TEMPORARY = re.compile(r"\.(.+)\.([0-9a-f]{6})-(\d{1,9})-[0-9a-f]{8}\.(part|old)(\.[^.]+)?", re.DOTALL)
_DAY = 86400.0  # seconds
# What the error of a full disk says where it has no number: safetensors, ffmpeg, quotas, np.save
_FULL = re.compile(
    r"no space left on device|not enough space|quota exceeded|\d+ requested and \d+ written", re.IGNORECASE
)


class DiskFullError(OSError):
    """The disk is full; the message names the file that could not be written."""


def require(condition: object, message: str, error: type[Exception] = ValueError) -> None:
    """Raise `error(message)` unless `condition` holds.

    The message is one sentence that names the file or argument and says what it is, what was expected and what to do.
    `error` is ValueError or FileNotFoundError: the command line prints these two without a traceback and exits with 2.
    """
    if not condition:
        raise error(message)


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first names, separated by commas, and how many more there are: for messages."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(short(name) for name in names[:most]) + more


def short(text: object, most: int = 200) -> str:
    """A text from a file, or an error that may quote it, in one line that a message has room for."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[:most]}…"


def check_name(name: object, what: str, remedy: str = "rename it") -> str:
    """`name`, unchanged, if it cannot lead out of the folder it is used in.

    Everything that is read from a file and becomes part of a path goes through here: names of data sets, ids of clips,
    files that an index lists, files in archives.

    Args:
        what: names the source in the message, as in "the name in dataset.json".
    Raises:
        ValueError: it is no text, empty, longer than 200 bytes, begins with a dot, or holds / \\ : or control
            characters.
    """
    require(
        isinstance(name, str) and NAME.fullmatch(name) and len(name.encode()) <= 200,
        f"{what} is {reprlib.repr(name)}, expected a plain name (at most 200 bytes, no dot in front, none of / \\ :); "
        f"{remedy}.",
    )
    return name


def check_file_to_write(path: str | os.PathLike[str], what: str) -> None:
    """Raise ValueError unless a file can be written to `path`: before the work whose result it is to hold.

    Args:
        what: names the option in the message, as in "--out".
    """
    path = Path(path)
    require(
        "\0" not in str(path) and len(os.fsencode(path.name)) <= 200,
        f"{what} {short(path)}: a name without NUL and of at most 200 bytes is expected; name another file.",
    )
    above = next((folder for folder in path.absolute().parents if os.path.lexists(folder)), Path("/"))
    require(not path.is_dir(), f"{what} {short(path)} is a folder; name a file in it.")
    require(above.is_dir(), f"{what} {short(path)}: {short(above)} is no folder; name another file.")
    require(
        os.access(above, os.W_OK | os.X_OK),
        f"{what} {short(path)}: you may not write to the folder {short(above)}; name another file.",
    )


def check_range(name: str, value: object, low: float, high: float) -> None:
    """Raise ValueError unless a number, or each number of a tuple, is in a range, both ends included.

    A range of whole numbers (1, 8) admits whole numbers only, (0.0, 1.0) all finite ones.

    Args:
        name: of the option or argument, for the message.
    """
    if isinstance(value, tuple):
        for number in value:
            check_range(name, number, low, high)
        return
    whole = isinstance(low, int)
    is_number = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
    ends = [f"{end:,}" if whole else f"{end:g}" for end in (low, high)]
    require(
        is_number and low <= value <= high,
        f"{name} is {reprlib.repr(value)}, expected a {'whole ' * whole}number from {ends[0]} to {ends[1]}.",
    )


def check_ranges(config: object, **ranges: tuple[float, float]) -> None:
    """`check_range` of attributes of `config`."""
    for name, limits in ranges.items():
        check_range(name, getattr(config, name), *limits)


def read_json(
    path: str | os.PathLike[str], remedy: str = "copy it again", finite: bool = True
) -> dict[str, Any]:
    """The object in a JSON file; with `finite` False, numbers may be NaN or infinite (results that are not defined).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is larger than 64 MB, no UTF-8, no JSON or no object, or holds numbers that are not finite or
            whole numbers of more than 40 digits; the sentence names the file and ends with `remedy`.
    """
    path = Path(path)
    require(path.is_file(), f"there is no {path}; {remedy}.", FileNotFoundError)
    size = path.stat().st_size
    require(size <= LARGEST_JSON, f"{path} has {size:,} bytes, expected at most {LARGEST_JSON:,}; {remedy}.")
    return parse_json(path.read_bytes(), str(path), remedy, finite=finite)


def parse_json(text: str | bytes, source: str, remedy: str, kind: type = dict, finite: bool = True) -> Any:
    """The content of a JSON text, an object (or a list, by `kind`). Raises ValueError as `read_json`."""
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        number = _finite if finite else float
        content = json.loads(text, parse_int=_whole, parse_float=number, parse_constant=number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not valid JSON ({short(error)}); {remedy}.") from None
    expected = {dict: "an object {…}", list: "a list […]"}[kind]
    require(
        isinstance(content, kind), f"{source} holds {reprlib.repr(content)}, expected {expected}; {remedy}."
    )
    return content


def _whole(digits: str) -> int:
    require(len(digits) <= 40, f"the number {digits[:20]}… has {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    require(math.isfinite(float(digits)), f"the number {digits[:20]} is not finite")
    return float(digits)


@contextmanager
def while_writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an error say that it was `path` that could not be written: a full disk names no file by itself.

    Raises:
        DiskFullError: the disk is full.
        OSError: safetensors cannot write; its own error is none of those that the command line prints.
    """
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error, DiskFullError) else error  # of a file in a folder
        reason = str(cause).partition("\n")[0]
        said = _FULL.search(str(cause))
        if said or getattr(cause, "errno", None) == errno.ENOSPC:
            reason = said[0] if said else reason
            raise DiskFullError(
                f"{path} was not written: its disk is full ({reason}); free some space, or write to another disk."
            ) from error
        if type(error).__name__ == "SafetensorError":
            raise OSError(f"{path} was not written: {reason}.") from error
        raise


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write a file to; rename it to `path` if the block succeeds.

    The temporary name has the same suffix, since some writers (matplotlib, np.save) choose the format by it. On an
    error the temporary file is removed and `path` is unchanged. Folders above `path` are created.

    Raises:
        FileNotFoundError: the block ended without writing the temporary file.
        DiskFullError: the disk is full.
    """
    final = Path(path)
    temporary = _temporary(final)
    try:
        with while_writing(final):
            yield temporary
            require(
                temporary.is_file(),
                f"{final}: nothing was written to its temporary file {temporary}",
                FileNotFoundError,
            )
            with temporary.open("rb") as written:
                os.fsync(written.fileno())  # the bytes must be on disk before the file gets its name
            os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: str | os.PathLike[str], mark: str) -> Iterator[Path]:
    """Yield a new empty temporary folder; rename it to `path` if the block succeeds.

    A folder of ours that `path` names already is replaced as a whole: it is moved aside first, moved back if the
    rename fails, and removed last. On an error in the block the new folder is removed and the old one is unchanged.

    Args:
        path: the folder to write.
        mark: name (or pattern) of a file that every such folder has.
    Raises:
        ValueError: `path` is something else (see `check_replaceable`).
        DiskFullError: the disk is full.
    """
    final = Path(path)
    check_replaceable(final, mark)
    temporary, old = _temporary(final), _temporary(final, "old")
    with while_writing(final):
        temporary.mkdir()
    try:
        with while_writing(final):
            yield temporary
        if final.exists():
            os.replace(final, old)
        try:
            os.replace(temporary, final)
        except OSError:
            if old.exists():
                os.replace(old, final)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if final.exists():  # never remove the only copy
            shutil.rmtree(old, ignore_errors=True)


def check_replaceable(path: str | os.PathLike[str], mark: str) -> None:
    """Raise ValueError unless `path` is free, an empty folder, or a folder of ours that may be replaced.

    Args:
        path: the folder to write; check it before the long computation whose result is written there.
        mark: name (or pattern) of a file by which a folder of ours is known.
    """
    final = Path(path)
    ours = final.is_dir() and (any(final.glob(mark)) or not any(final.iterdir()))
    require(
        ours or not final.exists(), f"{final} exists and is none of ours (no {mark}); name another folder."
    )


@contextmanager
def scratch_dir(name: str) -> Iterator[Path]:
    """A new folder among the machine's temporary files; it is removed at the end."""
    folder = _temporary(Path(tempfile.gettempdir()) / name)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary(path: Path, kind: str = "part") -> Path:
    """A new hidden name in the folder of `path`: on the same file system, a rename is atomic.

    Removes what killed processes left in that folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead(path.parent)
    process = f"{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return path.parent / f".{path.stem}.{process}.{kind}{path.suffix}"


def _remove_dead(folder: Path) -> None:
    """Remove what processes that no longer run left behind; a folder that was only moved aside gets its name again."""
    with suppress(PermissionError):
        names = [match for match in map(_TEMPORARY.fullmatch, os.listdir(folder)) if match]
        for match in names:
            path, final = folder / match[0], folder / f"{match[1]}{match[5] or ''}"
            with suppress(OSError):  # somebody else removes it, too; or it is another user's
                if _runs(match[2], int(match[3]), path.lstat().st_mtime):
                    continue
                if match[4] == "old" and not final.exists():  # killed between the two renames of `atomic_dir`
                    os.replace(path, final)
                elif path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _runs(machine: str, process: int, changed: float) -> bool:
    """Does the process run? On another machine, or on Windows, one that changed nothing for a day does not."""
    if machine != _machine() or os.name != "posix":
        return time.time() - changed < _DAY
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True


@cache
def _machine() -> str:
    """Six hexadecimal digits: numbers of processes mean the same where these are the same (host, container)."""
    space = ""
    with suppress(OSError):  # only on Linux
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:6]
