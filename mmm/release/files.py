"""Reading other people's torch files; code in a file is never run."""

from __future__ import annotations

import io
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmm.errors import listed, require

ARRAYS = re.compile(r"torch\.(_utils\.)?\w+|collections\.OrderedDict")  # imports of plain arrays
OLD_PICKLES = 4  # magic number, version, machine, contents; behind them the names of the arrays
LARGEST_PICKLE = 1 << 20  # bytes; names and shapes of the release's arrays take 0.1 MB


def read_torch_file(path: str | os.PathLike[str], remedy: str) -> Any:
    """The content of a torch file: arrays and plain containers. A zipped file is mapped, not copied into memory: copy
    arrays that must outlive the file.

    Torch files are pickles, and a pickle may run any code when it is read. torch's own reader for plain arrays
    (`weights_only`) refuses everything that would have to be imported, before anything is called.

    Args:
        remedy: ends the sentences of the errors: what to do about a file that cannot be used.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it would run code (the error names what), or it is damaged or no torch file.
    """
    path = Path(path)
    require(path.is_file(), f"there is no file {path}; {remedy}.", FileNotFoundError)
    zipped = zipfile.is_zipfile(path)
    if reason := _too_large(path, zipped):
        raise ValueError(f"{path} {reason}; {remedy}.")
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # damaged zips and pickles fail in many ways; torch's message has many lines
        reason = f"cannot be read as a torch file of plain arrays ({type(error).__name__})"
        if imports := _imports(path, zipped):
            reason = (
                f"wants to call {', '.join(imports[:4])}, which no file of plain arrays needs; nothing of it was run; "
                "do not trust it"
            )
        raise ValueError(f"{path} {reason}; {remedy}.") from error


def plain_arrays(
    content: Mapping[Any, Any],
    path: Path,
    remedy: str,
    not_used: Callable[[str], bool] = lambda name: False,
) -> dict[str, Tensor]:
    """Arrays by name, in float32 (copies, unless they are in it already).

    Args:
        content: of a torch file, or an entry of it.
        not_used: whether an array of this name may hold anything.
    Raises:
        ValueError: a name is no text; a value is no dense array of floating-point numbers, or holds NaN or infinite
            ones; all of them take far more memory than the file has.
    """
    bad = [name for name, value in content.items() if not (isinstance(name, str) and _is_plain(value))]
    if not bad:
        size = sum(value.numel() * value.element_size() for value in content.values())
        most = 2 * path.stat().st_size  # an array may have two names
        require(
            size <= most,
            f"{path} says to hold {size:,} bytes of arrays, expected at most {most:,}; {remedy}.",
        )
        arrays = {name: value.float() for name, value in content.items()}
        bad = [
            name
            for name, value in arrays.items()
            if not not_used(name) and not (content[name].is_floating_point() and value.isfinite().all())
        ]
    names = [f"{name!r:.80}".strip("'") for name in bad]
    require(not bad, f"{path} holds no arrays of finite numbers under {listed(names)}; {remedy}.")
    return arrays


def _is_plain(value: object) -> bool:
    """Whether this is an array in memory that holds each of its numbers, as sparse and expanded ones do not."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta or value.is_nested:
        return False
    own = value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    return own and not (value.is_quantized or value.is_complex())


def _too_large(path: Path, zipped: bool) -> str:
    """What is too large in a torch file, or "": it is read only if that takes about as much memory as the file has."""
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                files = archive.infolist()
            if any(file.compress_type or file.file_size != file.compress_size for file in files):
                return "is compressed, as torch never does"
            small = all(file.file_size <= LARGEST_PICKLE for file in files if file.filename.endswith(".pkl"))
        elif small := path.stat().st_size > LARGEST_PICKLE:
            with path.open("rb") as file:
                start = io.BytesIO(file.read(LARGEST_PICKLE))
            for _ in range(OLD_PICKLES + 1):
                for _ in pickletools.genops(start):
                    pass
        else:
            return ""
    except Exception:  # damaged in any way
        return "is damaged or no torch file, or lists more arrays than a checkpoint has"
    return "" if small else "lists more arrays than a checkpoint has"


def _imports(path: Path, zipped: bool) -> list[str]:
    """The names that the pickles of a torch file would import beside arrays, read off their opcodes."""
    names: list[str] = []
    try:
        for stream in _pickles(path, zipped):
            texts: list[str] = []
            memo: dict[int, str] = {}
            for opcode, value, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    names.append(value.replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":  # module and name are the two texts pushed last
                    names.append(".".join(texts[-2:]))
                elif "UNICODE" in opcode.name or "STRING" in opcode.name:
                    texts.append(str(value))
                elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
                    memo[len(memo) if value is None else value] = texts[-1] if texts else ""
                elif "GET" in opcode.name:
                    texts.append(memo.get(value, ""))
    except Exception:  # a damaged file ends anywhere; the names before count
        pass
    return [name for name in dict.fromkeys(names) if not ARRAYS.fullmatch(name)]


def _pickles(path: Path, zipped: bool) -> Iterator[io.BytesIO]:
    if zipped:
        with zipfile.ZipFile(path) as archive:
            yield from (
                io.BytesIO(archive.read(name)) for name in archive.namelist() if name.endswith(".pkl")
            )
    else:  # the older format: a few pickles one after another, then the numbers of the arrays
        yield from [io.BytesIO(path.read_bytes())] * OLD_PICKLES
