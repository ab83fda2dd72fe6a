import io

import numpy as np
import pytest

from mmm.data.reading import Unusable, load_array, read_ids, read_text, to_features


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


def test_the_byte_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\ncaf\xe9\nna\xefve\n")
    [(_, where, done)] = read_text(path)[1]
    assert (where, done) == ("byte 0xE9 in line 3", "read as Windows-1252, 'é'")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((60, 4), np.int32), "not floating-point numbers"),
        (np.zeros((60, 4), np.complex64), "not floating-point numbers"),
        (np.zeros((60, 4), "U4"), "not floating-point numbers"),
        (np.zeros((60, 3), np.float32), "wrong shape"),
        (np.zeros(4, np.float32), "wrong shape"),
        (np.zeros((1, 60, 4), np.float32), "wrong shape"),
        (np.full((60, 4), 1e300), "infinite numbers"),  # more than float32 holds
        (np.full((60, 4), np.nan, np.float16), "NaN"),
    ],
)
def test_features_that_cannot_be_used(values, reason):
    with pytest.raises(Unusable) as refused:
        to_features(values, 4)
    assert refused.value.reason == reason


def test_features_are_converted_to_float32():
    features = to_features(np.ones((60, 4), ">f2"), 4)
    assert features.dtype == np.float32 and features.flags.c_contiguous and (features == 1).all()


def test_ids_once_each_without_spaces(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"\xef\xbb\xbf000002\r\n  000001\t\r\n\r\n000002\r\n000003")
    assert read_ids(path) == ["000002", "000001", "000003"]


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
    np.savez(tmp_path / "b", a=data)
    np.save(tmp_path / "pickled.npy", np.array([{}]))
    for name in ("b.npz", "pickled.npy"):
        with pytest.raises(ValueError, match=name):
            load_array(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="c.npy"):
        load_array(tmp_path / "c.npy")
