"""Archives of takes: nothing is written outside, nothing unpacks to gigabytes; and how takes are cut."""

import io
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from contextlib import ExitStack

import pytest

from mmm.datasets import takes
from mmm.datasets.takes import cut, letters, unpack
from mmm.errors import DiskFullError


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **facts: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for fact, value in facts.items():
        setattr(member, fact, value)
    archive.addfile(member, io.BytesIO(data))


def unpacked(path) -> dict[str, bytes]:
    with ExitStack() as stack:
        folder = unpack(path, stack)
        return {
            file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.*"))
        }


def test_a_crafted_archive_writes_only_to_the_folder_of_its_own(tmp_path, monkeypatch):
    """Links that are too long to be resolved lead out of the folder, although each passes tarfile's filter "data"."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "deep" / "temporary"))
    (tmp_path / "deep" / "temporary").mkdir(parents=True)
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        long, steps, folder = "d" * 247, "abcdefghijklmnop", ""
        for step in steps:
            add(archive, f"{folder}{long}", type=tarfile.DIRTYPE)
            add(archive, f"{folder}{step}", type=tarfile.SYMTYPE, linkname=long)
            folder += f"{long}/"
        way = "/".join(steps) + "/" + "l" * 254
        add(archive, way, type=tarfile.SYMTYPE, linkname="../" * len(steps))
        add(archive, "escape", type=tarfile.SYMTYPE, linkname=f"{way}/../..")
        add(archive, "escape/evil.bvh", b"evil")
        add(archive, "takes/walk.bvh", b"HIERARCHY", mode=0o000)
    files = unpacked(tmp_path / "data.tar")
    assert not list((tmp_path / "deep").rglob("evil.bvh"))
    assert files == {"000000/evil.bvh": b"evil", "000001/walk.bvh": b"HIERARCHY"}


@pytest.mark.parametrize(
    "names", [["../../evil.bvh"], ["/evil.bvh"], ["..\\evil.bvh", "a/b/.bvh", "c/._evil.bvh"]]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_in_an_archive_do_not_matter(tmp_path, names, kind):
    path = tmp_path / f"data.{kind}"
    with zipfile.ZipFile(path, "w") if kind == "zip" else tarfile.open(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x") if kind == "zip" else add(archive, name, b"x")
    assert unpacked(path) == {"000000/evil.bvh": b"x"}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def large_header(path):
    with lzma.open(path, "w") as file:
        member = tarfile.TarInfo("long name")
        member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 31
        file.write(member.tobuf())
        for _ in range(4):
            file.write(bytes(1 << 20))


def large_zip(path, name="walk.bvh", times=1):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(times):
            archive.writestr(f"{number}/{name}", bytes(3 << 20))


def large_tar(path):
    with lzma.open(path, "w") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        add(archive, "notes.txt", bytes(9 << 20))


def sparse_tar(path):
    header = tarfile.TarInfo("walk.bvh")
    header.size = 1 << 40
    path.write_bytes(header.tobuf() + bytes(1024))


def encrypted(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("walk.bvh", b"HIERARCHY")
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    path.write_bytes(data)


def unknown_method(path):
    encrypted(path)
    data = path.read_bytes().replace(b"PK\x03\x04\x14\x00\x01\x00\x00", b"PK\x03\x04\x14\x00\x00\x00\x63")
    path.write_bytes(
        data.replace(b"PK\x01\x02\x14\x03\x14\x00\x01\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63")
    )


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (large_header, "bytes in a header"),
        (large_zip, "3,145,728 bytes, expected at most"),
        (lambda path: large_zip(path, "notes.txt", 3), "9,437,184 bytes, expected at most"),
        (large_tar, "bytes, expected at most"),
        (sparse_tar, "bytes in walk.bvh"),
        (encrypted, "it is encrypted"),
        (unknown_method, "method"),
        (lambda path: path.write_bytes(b""), "empty"),
    ],
)
def test_archives_that_cannot_be_used_are_named(tmp_path, monkeypatch, write, named):
    monkeypatch.setattr(takes, "LARGEST", 2 << 20)
    write(tmp_path / "data.zip")
    with pytest.raises(ValueError, match=f"data.zip cannot be unpacked .*{named}") as caught:
        unpacked(tmp_path / "data.zip")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frames", [25, 196, 197, 198, 393, 394, 1267])
def test_a_take_is_cut_into_overlapping_pieces_of_allowed_length(frames):
    pieces = cut("take", frames)
    slices = list(pieces.values())
    assert slices[0].start == 0 and slices[-1].stop == frames
    assert all(24 <= piece.stop - piece.start - 1 <= 196 for piece in slices)
    assert all(a.stop - 1 == b.start for a, b in zip(slices[:-1], slices[1:], strict=True))
    assert list(pieces)[0] == ("take" if frames <= 197 else "take_a")


def test_pieces_of_the_longest_takes_have_names():
    names = [letters(number) for number in range(1000)]
    assert names[:9] == list("abcdefghi") and names[25:28] == ["z", "aa", "ab"] and len(set(names)) == 1000


POOL = """
import sys
from mmm.datasets.takes import convert_all
begin = f"open({sys.argv[1]!r} + '/' + str(__import__('os').getpid()), 'w').close()"
if __name__ == "__main__":
    convert_all(eval, [f"({begin}, __import__('time').sleep(600))"] * 16, 2)
"""


def test_workers_end_with_their_parent_even_if_it_is_killed(tmp_path):
    command = [sys.executable, "-c", POOL, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
        started = time.monotonic()
        while parent.poll() is None and len(os.listdir(tmp_path)) < 2 and time.monotonic() < started + 300:
            time.sleep(0.05)
        parent.kill()
    workers = os.listdir(tmp_path)
    assert len(workers) == 2
    deadline = time.monotonic() + 60
    while running := [pid for pid in workers if _state(pid) not in ("", "Z")]:
        assert time.monotonic() < deadline, f"workers {running} still run"
        time.sleep(0.1)


def _state(pid: str) -> str:
    """One letter, Z for one that has ended; "" if there is no such process."""
    return subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()[:1]


def test_a_full_disk_of_temporary_files_is_said(small_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with zipfile.ZipFile(tmp_path / "takes.zip", "w") as archive:
        archive.writestr("a.bvh", os.urandom(2_000_000))
    with pytest.raises(DiskFullError, match="takes.zip was not unpacked: the disk of .* is full"):
        unpacked(tmp_path / "takes.zip")
    assert not os.listdir(small_disk)
