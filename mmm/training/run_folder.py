"""What a training run writes beside its checkpoints (metrics.jsonl, config.yaml, manifest.json), and its lock."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch
import yaml

from mmm.errors import atomic_write, parse_json, require, while_writing

try:
    import fcntl
except ImportError:  # Windows: nothing is locked
    fcntl = None

LOCK = ".lock"
RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")  # as accelerate reads them
PACKAGES = ("mmm", "torch", "accelerate", "numpy", "safetensors", "transformers")


_held: set[Path] = set()  # folders that this process has locked


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of `folder`, until the block or the process ends, whatever ends it.

    A process may lock a folder again that it has locked. Of several processes that train together, the first one locks.

    Raises:
        ValueError: another process has locked it; the sentence says which.
    """
    folder = folder.resolve()
    rank = next((os.environ[name] for name in RANKS if name in os.environ), "0")
    if fcntl is None or folder in _held or rank != "0":
        yield
        return
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / LOCK):
        _held.add(folder)
        try:
            yield
        finally:
            _held.remove(folder)
            (folder / LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # a training that was refused leaves no folder
                for path in new:
                    path.rmdir()


def _lock(path: Path) -> IO[str]:
    """A file that is locked until it is closed. It may exist already: a killed process leaves it, without the lock."""
    while True:
        file = path.open("a+", encoding="utf-8", errors="replace")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read() or "another process"
            raise ValueError(
                f"{path.parent} is in use: {holder} trains there; wait for it, stop it, or name another --out folder."
            ) from None
        except OSError:  # a file system without locks
            pass
        with suppress(FileNotFoundError):  # the one who held it has removed the file in the meantime
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()
    with suppress(OSError):  # the disk is full, or changed in the meantime
        file.truncate(0)
        holder = f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},"
        os.write(file.fileno(), holder.encode())
    return file


def append_metrics(path: Path, line: dict[str, Any]) -> None:
    """Append one JSON object as a line."""
    with while_writing(path), path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, without a last one cut off in the middle; [] where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    # what follows the last line feed is not complete
    return [parse_json(line, str(path), "delete this line", finite=False) for line in lines[:-1]]


def rewind_metrics(path: Path, step: int) -> None:
    """Drop the lines after `step`: they belong to steps that a resumed run takes again."""
    lines = [json.dumps(line) + "\n" for line in read_metrics(path) if line["step"] <= step]
    with atomic_write(path) as part:
        part.write_text("".join(lines))


def write_config(path: Path, config: dict[str, Any]) -> None:
    """The resolved configuration, so that a run can be repeated from its folder alone."""
    with atomic_write(path) as part:
        part.write_text(yaml.safe_dump(config, sort_keys=False))


def check_same_config(folder: Path, before: dict[str, Any], now: dict[str, Any], free: set[str]) -> None:
    """Refuse to continue the run in `folder` with settings that would make it another run.

    `before` and `now` are nested dictionaries; the settings named in `free` ("train.steps") may differ.

    Raises:
        ValueError: naming the first setting that differs, both values and what to do.
    """
    old, new = _flat(before), _flat(now)
    for name in sorted({*old, *new} - free):
        require(
            old.get(name) == new.get(name),
            f"the run in {folder} began with {name}={old.get(name)!r} and cannot be continued with "
            f"{new.get(name)!r}; give the same value, or another folder, or start again with resume=False",
        )


def _flat(nested: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return flat


def write_manifest(path: Path, facts: dict[str, Any]) -> None:
    """Code, packages and machine of the run, and the caller's `facts` (seed, hashes)."""
    machine = {"python": platform.python_version(), "platform": platform.platform()}
    machine["threads"] = torch.get_num_threads()
    write_json(path, {**git_state(), "packages": _versions(), **machine, **facts})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """`content` as indented JSON, whole or not at all."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1))


def git_state() -> dict[str, Any]:
    """Revision of the code, and whether it was changed since; both None without the repository."""

    def git(*words: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return result.stdout.strip() if result.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return {"git_revision": revision, "git_dirty": None if revision is None else bool(changed)}


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions
