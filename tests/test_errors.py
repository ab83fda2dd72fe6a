"""Files and folders are complete or absent, and the old ones survive a failure."""

import errno
import os
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmm.errors import (
    DiskFullError,
    atomic_dir,
    atomic_write,
    check_name,
    check_ranges,
    check_replaceable,
    listed,
    parse_json,
    read_json,
    require,
    scratch_dir,
    short,
)


def test_require_raises_its_sentence_as_the_named_error():
    require(True, "not raised")
    with pytest.raises(ValueError, match="length is 3"):
        require([], "length is 3")
    with pytest.raises(FileNotFoundError, match="no file"):
        require(False, "no file", FileNotFoundError)


@pytest.mark.parametrize(
    "name", ["..", ".x", "a/b", "a\\b", "C:a", "a\nb", "a\0", "", "x" * 201, "\ud800", None, 5]
)
def test_a_name_leads_out_of_no_folder(name):
    with pytest.raises(ValueError, match="the id is .*, expected a plain name .*; remove it"):
        check_name(name, "the id", "remove it")


def test_plain_names_are_taken_as_they_are():
    for name in (
        "000001",
        "M000001@2",
        "bandai-dataset-1_bow_sad_001_a",
        "01_08_0-3.2s",
        "My take (2)",
        "größer",
    ):
        assert check_name(name, "the id") == name


@pytest.mark.parametrize("value", ["16", None, [16], True, 16.0, 0, 33, 10**400, float("nan")])
def test_a_size_is_a_whole_number_in_its_range(value):
    with pytest.raises(ValueError, match="width is .*, expected a whole number from 1 to 32"):
        check_ranges(SimpleNamespace(width=value), width=(1, 32))
    check_ranges(SimpleNamespace(width=16, ratio=1), width=(1, 32), ratio=(0.0, 1.0))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"{", "not valid JSON"), (b"", "not valid JSON"), (b"\xff", "utf-8"),
        (b"[1]", r"holds \[1\], expected an object"),
        (b"[" * 100_000, "recursion"), (b'{"a":' * 100_000, "recursion"),
        (b'{"a": 1' + b"0" * 400 + b"}", "401 digits"),
        (b'{"a": NaN}', "not finite"), (b'{"a": 1e400}', "not finite"), (b" " * 2000, "2,000 bytes"),
    ],
)  # fmt: skip
def test_json_that_cannot_be_used_is_named(tmp_path, monkeypatch, text, named):
    monkeypatch.setattr("mmm.errors.LARGEST_JSON", 1_000_000 if len(text) > 2000 else 1000)
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match=rf"a\.json .*{named}.*; copy it again\.") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_what_a_message_quotes_is_short_and_in_one_line():
    assert short("a\nb") == "a b" and short(ValueError("x" * 5000)) == "x" * 200 + "…"
    assert listed(["a", "y" * 300], 8) == "a, " + "y" * 200 + "…"


def test_json_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, "b"]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, "b"]}
    assert parse_json("[NaN]", "a", "", list, finite=False)[0] != 0
    with pytest.raises(FileNotFoundError, match=r"b\.json; copy it again"):
        read_json(tmp_path / "b.json")


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.npy"
    with atomic_write(path) as part:
        assert part.parent == path.parent and part.suffix == ".npy", "same file system, same format by suffix"
        part.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(RuntimeError), atomic_write(path) as part:
        part.write_text("half of tw")
        raise RuntimeError
    with pytest.raises(FileNotFoundError, match="a.npy"), atomic_write(path):
        pass
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["a.npy"]


def test_a_folder_appears_only_when_it_is_complete_and_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "set"
    with atomic_dir(path, "[abc]") as part:
        (part / "a").write_text("one")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), atomic_dir(path, "[abc]") as part:
        (part / "b").write_text("half")
        raise KeyboardInterrupt
    assert [p.name for p in path.iterdir()] == ["a"]
    with atomic_dir(path, "[abc]") as part:
        (part / "b").write_text("two")
    assert [p.name for p in path.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_the_old_folder_is_restored_when_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    path = tmp_path / "set"
    with atomic_dir(path, "[abc]") as part:
        (part / "a").write_text("one")
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == 2:  # the old one has been moved aside, the new one fails to move in
            raise OSError("disk")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="disk"), atomic_dir(path, "[abc]") as part:
        (part / "b").write_text("two")
    assert [p.name for p in path.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("mark", ["set.json", "*.json"])
def test_only_folders_of_ours_are_replaced(tmp_path, mark):
    path = tmp_path / "thesis"
    path.mkdir()
    with atomic_dir(path, mark) as part:  # an empty folder is free
        (part / "set.json").write_text("1")
    with atomic_dir(path, mark) as part:
        (part / "chapter.tex").write_text("two years")
    with pytest.raises(ValueError, match="thesis exists"):
        with atomic_dir(path, mark):
            pytest.fail("nothing may be computed for a folder that cannot be written")
    assert (path / "chapter.tex").read_text() == "two years"
    with pytest.raises(ValueError, match="chapter.tex exists"):
        check_replaceable(path / "chapter.tex", mark)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis"]


def _fill(part) -> None:
    with part.open("w") as file:  # a write names no file, unlike an open
        while True:
            file.write(" " * 100_000)


WRITERS = {
    "numpy": lambda part: np.save(part, np.zeros(1_000_000)),
    "safetensors": lambda part: save_file({"a": torch.zeros(1_000_000)}, part),
    "text": _fill,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_names_the_file_and_keeps_the_old_one(small_disk, writer):
    path = small_disk / "a.npy"
    path.write_text("old")
    with pytest.raises(DiskFullError, match=r"a\.npy was not written: its disk is full"):
        with atomic_write(path) as part:
            WRITERS[writer](part)
    with pytest.raises(DiskFullError, match="set was not written: its disk is full"):
        with atomic_dir(small_disk / "set", "x") as folder, atomic_write(folder / "x") as part:
            WRITERS[writer](part)
    assert path.read_text() == "old" and os.listdir(small_disk) == ["a.npy"]


@pytest.mark.parametrize(
    "said",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("100 requested and 20 written"),
        ValueError("ffmpeg said: No space left on device"),
    ],
)
def test_whoever_says_it_a_full_disk_is_known(tmp_path, said):
    with pytest.raises(DiskFullError, match=r"a\.mp4 was not written: its disk is full"):
        with atomic_write(tmp_path / "a.mp4"):
            raise said


def _killed(code: str) -> None:
    """Run `code`, then kill -9."""
    code = f"import os\nfrom pathlib import Path\nfrom mmm.errors import *\n{code}\nos.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is remembered
    _killed(
        f"""
folder, scratch = atomic_dir({str(tmp_path / "set")!r}, "x"), scratch_dir("takes")
file = atomic_write({str(tmp_path / "a.gif")!r})
for one in (folder, scratch):
    (one.__enter__() / "x").write_text("half")
file.__enter__().write_text("half")"""
    )
    assert len(list(tmp_path.iterdir())) == 3
    with atomic_write(tmp_path / "b") as part, scratch_dir("takes") as scratch:  # of this process, which runs
        part.write_text("whole")
        with atomic_write(tmp_path / "c") as other:
            other.write_text("whole")
        assert part.exists() and scratch.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "c"]


def test_an_old_folder_returns_if_the_process_was_killed_before_the_new_one_had_its_name(tmp_path):
    _killed(
        f"""
path = Path({str(tmp_path / "set.v2")!r})
with atomic_dir(path, "x") as part:
    (part / "x").write_text("old")
replace = os.replace
def killed(source, target):
    if target == path:
        os.kill(os.getpid(), 9)
    replace(source, target)
os.replace = killed
with atomic_dir(path, "x") as part:
    (part / "x").write_text("new")"""
    )
    assert not (tmp_path / "set.v2").exists()
    with scratch_dir("other"), atomic_write(tmp_path / "b") as part:
        part.write_text("")
    assert (tmp_path / "set.v2" / "x").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "set.v2"]
