import io

import numpy as np
import pytest

from mmm.data.reading import load_array, read_text


@pytest.mark.parametrize(
    ("data", "content", "odd"),
    [
        (b"", "", []),
        ("a café\n".encode(), "a café\n", []),
        (b"a\r\nb\rc\n", "a\nb\nc\n", ["Windows line ends"]),
        (b"\xef\xbb\xbfa\n", "a\n", ["byte order mark"]),
        ("a café\r\n".encode("utf-16"), "a café\n", ["UTF-16", "Windows line ends"]),
        ("a café\n".encode("latin-1"), "a café\n", ["not UTF-8"]),
        (b"caf\xe9, caf\xc3\xa9, don\x92t\n", "café, café, don’t\n", ["not UTF-8"]),  # only what is no UTF-8
        (b"\x81\n", "\ufffd\n", ["not UTF-8"]),  # nothing in Windows-1252 either
    ],
)
def test_text_in_any_encoding(tmp_path, data, content, odd):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    text, oddities = read_text(path)
    assert text == content and [reason for reason, *_ in oddities] == odd


def test_an_array_in_whatever_state_is_read_or_refused_in_one_sentence(tmp_path):
    """Headers are parsed as Python, so damage can raise nearly any exception."""
    whole, path, rng = io.BytesIO(), tmp_path / "a.npy", np.random.default_rng(0)
    np.save(whole, np.arange(12, dtype=np.float32).reshape(3, 4))
    data, refused = np.frombuffer(whole.getvalue(), np.uint8), 0
    for _ in range(60):
        damaged = data.copy()
        damaged[rng.integers(0, 80, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            assert isinstance(load_array(path), np.ndarray)
        except ValueError as error:
            assert str(error).startswith(f"{path} cannot be read as a NumPy array (")
            refused += 1
    assert refused > 40
    for frames in (10**13, 10**30, -1):  # no memory is taken for what a header states
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (frames, 4)}
            np.lib.format.write_array_header_1_0(file, header)
        with pytest.raises(ValueError, match="cannot be read") as refused_header:
            load_array(path)
        assert "allocate" not in str(refused_header.value)
    np.savez(tmp_path / "b", a=data)
    np.save(tmp_path / "pickled.npy", np.array([{}]))
    for name in ("b.npz", "pickled.npy"):
        with pytest.raises(ValueError, match=name):
            load_array(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="c.npy"):
        load_array(tmp_path / "c.npy")
