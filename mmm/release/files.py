"""Reading other people's torch files; code in a file is never run."""

from __future__ import annotations

import io
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mmm.errors import require

ARRAYS = re.compile(r"torch\.(_utils\.)?\w+|collections\.OrderedDict")  # imports of plain arrays
OLD_PICKLES = 4  # magic number, version, machine, contents


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
