"""How bad input is refused and how files are written: one clear sentence, and nothing half-written.

`require` raises the sentence; `atomic_write` and `atomic_dir` write beside the final place and rename, so
that a reader never meets half a file, whatever stops the writer (an exception, Ctrl-C, kill -9, a full disk).
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def require(condition: object, message: str, error: type[Exception] = ValueError) -> None:
    """Raise `error(message)` unless `condition` holds.

    The message is one sentence that names the file or argument and says what was found, what was expected and
    what to do. `error` is ValueError (the default) or FileNotFoundError: the command line prints these two
    without a traceback and exits 2.
    """
    if not condition:
        raise error(message)


def _beside(path: Path) -> Path:
    """A fresh hidden name in the folder of `path`: the same file system, hence an atomic rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent / f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}"


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write a file to; rename it onto `path` if the block succeeds.

    The temporary name keeps the suffix, since some writers (matplotlib, np.save) choose the format by it. On
    any error the temporary file is removed and what stood at `path` before stays as it was. Folders above
    `path` are created.

    Raises:
        FileNotFoundError: the block ended without writing the temporary file.
    """
    final = Path(path)
    part = _beside(final)
    try:
        yield part
        require(
            part.is_file(), f"{final}: nothing was written to its temporary file {part}", FileNotFoundError
        )
        with part.open("rb") as written:
            os.fsync(written.fileno())  # the bytes must be on disk before the name points at them
        os.replace(part, final)
    finally:
        part.unlink(missing_ok=True)


def check_replaceable(path: str | os.PathLike[str], mark: str) -> None:
    """Raise ValueError unless `path` is free, an empty folder, or a folder of ours that may be replaced.

    Args:
        path: where a folder is to be written; ask before the long work whose result goes there.
        mark: name (or pattern) of a file that shows that the folder is one of ours.
    """
    final = Path(path)
    ours = final.is_dir() and (any(final.glob(mark)) or not any(final.iterdir()))
    require(
        ours or not final.exists(), f"{final} exists and is none of ours (no {mark}); name another folder."
    )


@contextmanager
def atomic_dir(path: str | os.PathLike[str], mark: str) -> Iterator[Path]:
    """Yield a new empty folder beside `path`; rename it onto `path` if the block succeeds.

    A folder of ours that stands at `path` already is replaced as a whole: it is moved aside first, moved back
    if the rename fails, and removed last. On an error in the block the new folder is removed and the old one
    is untouched.

    Args:
        path: the folder to write.
        mark: name (or pattern) of a file that every such folder has.
    Raises:
        ValueError: something else stands at `path` (see `check_replaceable`).
    """
    final = Path(path)
    check_replaceable(final, mark)
    part = _beside(final)
    part.mkdir()
    old = _beside(final)
    try:
        yield part
        if final.exists():
            os.replace(final, old)
        try:
            os.replace(part, final)
        except OSError:
            if old.exists():
                os.replace(old, final)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if final.exists():  # never remove the only copy
            shutil.rmtree(old, ignore_errors=True)
