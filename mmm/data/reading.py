"""Reading other people's files: arrays, and text in whatever encoding and line ends it came with."""

import codecs
from pathlib import Path

import numpy as np

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
