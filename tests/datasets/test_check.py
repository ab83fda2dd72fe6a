"""Single clips, captions and splits of a user's folder, one fault at a time: only what is bad goes."""

import os
from pathlib import Path

import numpy as np
import pytest

from mmm.datasets.humanml3d import check_folder
from mmm.motion import get_skeleton

LINE = "a man walks#a/DET man/NOUN walk/VERB#0.0#0.0"


def save_clip(users: Path, clip: str, values: np.ndarray) -> None:
    np.save(users / f"new_joint_vecs/{clip}.npy", values)


def only_fault(users: Path, kind: str = "humanml3d") -> tuple[str, str, str]:
    report = check_folder(users, kind)
    assert report.mended == {} and report.used == []
    [fault] = report.clips
    kept = [clip for clips in report.splits.values() for clip in clips]
    assert fault.id not in kept and len(kept) == 6 and report.left_out == [fault.id]
    assert f"- {fault.reason}, 1: {fault.id}" in report.table()
    return fault.id, fault.reason, fault.detail


def test_a_262_wide_file(users: Path):
    save_clip(users, "000002", np.zeros((60, 262), np.float32))
    detail = "float32 (60, 262), expected float (T, 263)"
    assert only_fault(users) == ("000002", "wrong shape", detail)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((60, 263), np.int32), "not floating-point numbers"),
        (np.zeros((60, 263), np.complex64), "not floating-point numbers"),
        (np.zeros((60, 263), "U4"), "not floating-point numbers"),
        (np.zeros(263, np.float32), "wrong shape"),
        (np.zeros((1, 60, 263), np.float32), "wrong shape"),
        (np.full((60, 263), 1e300), "infinite numbers"),  # more than float32 holds
        (np.array([{}]), "unreadable features"),  # a pickle
    ],
)
def test_what_is_no_features(users: Path, values: np.ndarray, reason: str):
    save_clip(users, "000002", values)
    assert only_fault(users)[:2] == ("000002", reason)


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "NaN"), (np.inf, "infinite numbers")])
def test_a_hole(users: Path, value: float, reason: str):
    values = np.zeros((60, 263), np.float32)
    values[3:5, 100] = value
    save_clip(users, "000005", values)
    assert only_fault(users) == ("000005", reason, "in 2 of 60 frames, the first is frame 3")


@pytest.mark.parametrize("size", [0, 50, 1000])
def test_a_truncated_file(users: Path, size: int):
    path = users / "new_joint_vecs/000003.npy"
    path.write_bytes(path.read_bytes()[:size])
    clip, reason, detail = only_fault(users)
    assert (clip, reason) == ("000003", "unreadable features") and detail.startswith("cannot be read")


def test_a_file_that_is_not_there(users: Path):
    (users / "new_joint_vecs/M000001.npy").unlink()
    assert only_fault(users) == ("M000001", "no features", "there is no new_joint_vecs/M000001.npy")


@pytest.mark.parametrize(
    ("kind", "length", "reason"),
    [("humanml3d", 39, "too short"), ("humanml3d", 200, "too long"), ("kit", 23, "too short")],
)
def test_lengths(make_users, kind: str, length: int, reason: str):
    users = make_users(kind)
    save_clip(users, "000002", np.zeros((length, get_skeleton(kind).num_features), np.float32))
    assert only_fault(users, kind)[:2] == ("000002", reason)


@pytest.mark.parametrize("clip", ["007975", "M007975", "009707", "M009707", "011059", "M011059"])
def test_ids_known_to_be_bad_are_left_out_whatever_their_files_hold(users: Path, clip: str):
    for part, suffix in (("new_joint_vecs", "npy"), ("texts", "txt")):
        (users / part / f"000006.{suffix}").rename(users / part / f"{clip}.{suffix}")
    (users / "test.txt").write_text(f"000005\n{clip}\n")
    assert only_fault(users)[:2] == (clip, "known bad id")


def test_without_captions(users: Path):
    text = users / "texts/000003.txt"
    text.unlink()
    assert only_fault(users) == ("000003", "no text", "there is no texts/000003.txt")
    text.write_text("\n \n")
    assert only_fault(users)[:2] == ("000003", "empty text")
    text.write_bytes(bytes(100))  # what a crash of the machine leaves of a file
    assert only_fault(users)[:2] == ("000003", "no usable caption")
    text.unlink()
    text.mkdir()
    assert only_fault(users)[:2] == ("000003", "no text")


def test_a_text_that_may_not_be_read(users: Path, monkeypatch):
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "000003.txt":
            raise PermissionError(13, os.strerror(13))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert only_fault(users) == ("000003", "unreadable text", os.strerror(13))


# -- single captions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ("a man walks#a/DET man/NOUN", "malformed line", "found 2 parts"),
        ("a man walks#a/DET#0.0#0.0#more", "malformed line", "found 5 parts"),
        ("a man walks#a/DET#start#0.0", "malformed line", "found 'start', '0.0'"),
        ("a man walks#a/DET#0.0#inf", "malformed line", "found '0.0', 'inf'"),
        (" #a/DET#0.0#0.0", "empty caption", "no text before the first #"),
        ("a man walks#a/DET#0.0#1.9", "part of a clip too short", "0 s to 1.9 s, 38 frames"),
        ("a man walks#a/DET#1.0#1.0", "part of a clip too short", "0 frames"),
        ("a man walks#a/DET#1.5#9.9", "part outside the clip", "33 frames of it in the clip of 3.15 s"),
        ("a man walks#a/DET#4.0#9.0", "part outside the clip", "0 frames"),
        ("a man walks#a/DET#-2#-1", "part outside the clip", "0 frames"),
        ("a man walks#a/DET#1e300#1e308", "part outside the clip", "0 frames"),
        ("a man walks#a/DET#3.0#1.0", "part starts after it ends", "3 s to 1 s"),
    ],
)
def test_a_bad_line_goes_and_its_clip_stays(users: Path, line: str, reason: str, detail: str):
    (users / "texts/000005.txt").write_text(f"{LINE}\n\n{line}\n")
    report = check_folder(users)
    assert report.clips == report.used == []
    [fault] = report.captions
    assert (fault.id, fault.reason, fault.where) == ("000005", reason, "texts/000005.txt, line 3")
    assert detail in fault.detail and report.mended == {"000005": [LINE]}
    (users / "texts/000005.txt").write_text(f"{line}\n")
    clip, reason, details = only_fault(users)
    assert (clip, reason) == ("000005", "no usable caption") and detail in details and "line 1, " in details


@pytest.mark.parametrize(
    ("times", "odd"),
    [
        ("0.5#2.5", False),  # 40 frames
        ("nan#2.5", False),
        ("0.5#3.2", False),  # of 63 frames: that of the capture, of which one is lost
        ("0.5#3.3", True),
        ("-0.5#3.0", True),
    ],
)
def test_a_caption_of_a_part_of_its_clip(users: Path, times: str, odd: bool):
    part = f"a man walks#a/DET man/NOUN#{times}"
    (users / "texts/000005.txt").write_text(f"{LINE}\n{part}\nhe runs#he/PRON run/VERB#nan#nan\n")
    report = check_folder(users)
    assert report.clips == report.captions == [] and report.segments == 1
    assert [(fault.reason, fault.where) for fault in report.used] == (
        [("part outside the clip", "texts/000005.txt, line 2")] if odd else []
    )


# -- splits -----------------------------------------------------------------------------------------------


def test_a_clip_of_several_splits_stays_where_it_is_judged(users: Path):
    (users / "train.txt").write_text("000001\n000004\n000005\n000006\n")
    (users / "val.txt").write_text("000002\n000004\n000006\n000004\n")
    report = check_folder(users)
    assert report.splits == {"train": ["000001"], "val": ["000002", "000004"], "test": ["000005", "000006"]}
    told = [(f.id, f.reason, f.where, f.done) for f in report.used]
    assert told == [
        ("000004", "twice in a split", "val.txt", "used once"),
        ("000006", "in two splits", "val.txt", "left out of val.txt, stays in test.txt"),
        ("000004", "in two splits", "train.txt", "left out of train.txt, stays in val.txt"),
        ("000005", "in two splits", "train.txt", "left out of train.txt, stays in test.txt"),
        ("000006", "in two splits", "train.txt", "left out of train.txt, stays in test.txt"),
    ]
    assert "| train | 4      | 4         | 1      | 3        |" in report.table()
    assert "WARNING: 3 clips (000006, 000004, 000005) are in more than one split." in report.table()


def test_the_mirror_image_in_another_split_is_told(users: Path):
    (users / "train.txt").write_text("000001\n000002\n000003\n")
    (users / "val.txt").write_text("M000001\n000004\n")
    report = check_folder(users)
    assert report.splits["val"] == ["M000001", "000004"] and "000001" in report.splits["train"]
    [fault] = report.used
    assert (fault.id, fault.where, fault.done) == ("000001", "train.txt", "used as it is")
