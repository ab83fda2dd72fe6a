"""Refuse bad input in one sentence, and write files so that they are complete or absent.

`require` raises the sentence. `atomic_write` and `atomic_dir` write to a temporary name in the same folder and then
rename it, so that a reader never meets half a file, whatever stops the writer (an exception, Ctrl-C, kill -9, a full
disk).
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


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
    return ", ".join(names[:most]) + more


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write a file to; rename it to `path` if the block succeeds.

    The temporary name has the same suffix, since some writers (matplotlib, np.save) choose the format by it. On an
    error the temporary file is removed and `path` is unchanged. Folders above `path` are created.

    Raises:
        FileNotFoundError: the block ended without writing the temporary file.
    """
    final = Path(path)
    temporary = _temporary(final)
    try:
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
    """
    final = Path(path)
    check_replaceable(final, mark)
    temporary, old = _temporary(final), _temporary(final)
    temporary.mkdir()
    try:
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


def _temporary(path: Path) -> Path:
    """A new hidden name in the folder of `path`: on the same file system, a rename is atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent / f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}"
