"""A folder in HumanML3D's layout with every fault at once: the report names each, and what it says is true."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up.users import LINE as GOOD
from made_up.users import write_layout

from mmm.data import MotionFolder
from mmm.datasets.humanml3d import check_folder, prepare
from mmm.datasets.humanml3d_check import BY_NAME, head

IN_TRAIN = [f"0001{number:02d}" for number in range(33)] + ["M000140", "007975", "../../outside"]

# Texts that are not GOOD (None: no file), and the shapes, types and values of clips that are not float32 (60, 263).
TEXTS = {
    "000101": None,
    "000102": b"",
    "000103": b"\n  \r\n\n",
    "000104": f"{GOOD}\na man runs#a/DET man/NOUN run/VERB\n".encode(),
    "000105": b"a man runs\n#a/DET#0.0#0.0\n",
    "000106": f" #a/DET man/NOUN#0.0#0.0\n{GOOD}\n".encode(),
    "000117": None,
    "000118": f"{GOOD}\r\n{GOOD}\r\n".encode(),
    "000119": f"{GOOD}\na man leaves the caf\u00e9#a/DET man/NOUN leave/VERB#0.0#0.0\n".encode("latin-1"),
    "000120": f"{GOOD}\na man sits#sit/VERB#3.5#6.0\n".encode(),
    "000121": f"{GOOD}\na man stands#stand/VERB#0.5#9.0\n".encode(),
    "000122": f"{GOOD}\na man lies#lie/VERB#2.5#0.5\n".encode(),
    "000123": f"{GOOD}\na man hops#hop/VERB#0.5#2.0\n".encode(),
    "000124": f"{GOOD}\na man hops#hop/VERB#0.0#inf\n".encode(),
    "000126": b"\xef\xbb\xbf" + GOOD.encode(),
    "000127": b"a man walks##0.0#0.0\n",
    "000129": GOOD.encode("utf-16"),
    "000130": f"{GOOD}\na man crawls#crawl/VERB#2.0#5.0\n".encode(),
    "000132": bytes(100),  # what a crash of the machine leaves of a file
}
SHAPES = {"000109": (60, 262), "000111": (1, 263), "000112": (199, 263), "000113": (200, 263)}
TYPES = {"000110": np.float64, "000125": np.int32, "000131": ">f2"}
HOLES = {"000107": np.nan, "000108": -np.inf}

CLIP, LINE, USED, OUT = "clips", "captions", "used", "left out"
# (section, clip, reason, where, a piece of the detail, what was done)
FAULTS = [
    (CLIP, "000100", "no features", "new_joint_vecs/000100.npy", "there is no new_joint", OUT),
    (CLIP, "000101", "no text", "texts/000101.txt", "there is no texts/000101.txt", OUT),
    (CLIP, "000102", "empty text", "texts/000102.txt", "0 bytes", OUT),
    (CLIP, "000103", "empty text", "texts/000103.txt", "blank lines only", OUT),
    (LINE, "000104", "malformed line", "texts/000104.txt, line 2", "2 of the 4 fields", OUT),
    (CLIP, "000105", "no usable caption", "texts/000105.txt", "line 1, malformed line: it has 1", OUT),
    (LINE, "000105", "malformed line", "texts/000105.txt, line 1", "1 of the 4 fields", OUT),
    (LINE, "000105", "empty caption", "texts/000105.txt, line 2", "no text", OUT),
    (LINE, "000106", "empty caption", "texts/000106.txt, line 1", "no text", OUT),
    (CLIP, "000107", "NaN", "new_joint_vecs/000107.npy", "the first is frame 3", OUT),
    (CLIP, "000108", "infinite numbers", "new_joint_vecs/000108.npy", "in 2 of 60 frames", OUT),
    (CLIP, "000109", "wrong shape", "new_joint_vecs/000109.npy", "expected float (T, 263)", OUT),
    (USED, "000110", "float64 features", "new_joint_vecs/000110.npy", "float32", "converted"),
    (CLIP, "000111", "too short", "new_joint_vecs/000111.npy", "1 frame, expected", OUT),
    (CLIP, "000113", "too long", "new_joint_vecs/000113.npy", "200 frames", OUT),
    (CLIP, "000114", "unreadable features", "new_joint_vecs/000114.npy", "cannot be read", OUT),
    (USED, "000115", "twice in a split", "train.txt", "in lines 16 and 37", "used once"),
    (USED, "000116", "in two splits", "train.txt", "test.txt", "left out of train.txt, stays"),
    (CLIP, "000117", "no features and no text", "new_joint_vecs/000117.npy", "nor texts/", OUT),
    (USED, "000118", "Windows line ends", "texts/000118.txt", "2 of them", "read as line ends"),
    (USED, "000119", "not UTF-8", "texts/000119.txt", "byte 0xE9 in line 2", "read as Windows-1252"),
    (LINE, "000120", "part outside the clip", "texts/000120.txt, line 2", "3.5 s to 6 s", OUT),
    (USED, "000121", "part outside the clip", "texts/000121.txt, line 2", "50 frames of it", "cut where"),
    (LINE, "000122", "part starts after it ends", "texts/000122.txt, line 2", "2.5 s to 0.5 s", OUT),
    (LINE, "000123", "part of a clip too short", "texts/000123.txt, line 2", "30 frames", OUT),
    (LINE, "000124", "malformed line", "texts/000124.txt, line 2", "'0.0', 'inf'", OUT),
    (CLIP, "000125", "not floating-point numbers", "new_joint_vecs/000125.npy", "int32", OUT),
    (USED, "000126", "byte order mark", "texts/000126.txt", "at its beginning", "skipped"),
    (USED, "000127", "caption without word/POS", "texts/000127.txt, line 1", "evaluator", "used as it is"),
    (CLIP, "000128", "unreadable features", "new_joint_vecs/000128.npy", "it is an archive", OUT),
    (USED, "000129", "UTF-16", "texts/000129.txt", "byte order mark", "read as UTF-16"),
    (LINE, "000130", "part outside the clip", "texts/000130.txt, line 2", "20 frames", OUT),
    (USED, "000131", ">f2 features", "new_joint_vecs/000131.npy", "float32", "converted"),
    (CLIP, "000132", "no usable caption", "texts/000132.txt", "line 1, malformed line", OUT),
    (LINE, "000132", "malformed line", "texts/000132.txt, line 1", "1 of the 4 fields", OUT),
    (USED, "000140", "mirrored in another split", "val.txt", "M000140, its", "used as"),
    (CLIP, "007975", "known bad id", "new_joint_vecs/007975.npy", "NaN", OUT),
    (CLIP, "../../outside", "no file name", "the splits", "plain name", OUT),
    (USED, "", "Windows line ends", "train.txt", "37 of them", "read as line ends"),
    (USED, "", "byte order mark", "val.txt", "at its beginning", "skipped"),
    (USED, "", "float64 Mean", "Mean.npy", "float32", "converted"),
]
LEFT_OUT = [clip for section, clip, *_ in FAULTS if section == CLIP]


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    rng, clips = np.random.default_rng(0), {}
    for clip in [*IN_TRAIN[:-1], "000140", "000141", "000142"]:
        values = rng.normal(size=SHAPES.get(clip, (60, 263))).astype(TYPES.get(clip, np.float32))
        if clip in HOLES:
            values[3:5, 100] = HOLES[clip]
        clips[clip] = values
    path = write_layout(tmp_path_factory.mktemp("planted") / "HumanML3D", clips, {})
    np.save(path / "Mean.npy", np.zeros(263))
    for clip in ("000100", "000117"):
        (path / f"new_joint_vecs/{clip}.npy").unlink()
    for clip, text in TEXTS.items():
        (path / f"texts/{clip}.txt").unlink()
        if text is not None:
            (path / f"texts/{clip}.txt").write_bytes(text)
    truncated = path / "new_joint_vecs/000114.npy"
    truncated.write_bytes(truncated.read_bytes()[:1000])
    with (path / "new_joint_vecs/000128.npy").open("wb") as file:
        np.savez(file, values)
    (path / "train.txt").write_bytes("".join(f"{clip}\r\n" for clip in [*IN_TRAIN, "000115"]).encode())
    (path / "val.txt").write_bytes(b"\xef\xbb\xbf000140\n  000141 \n\n")
    (path / "test.txt").write_text("000142\n000116")
    return path


@pytest.fixture(scope="module")
def data(planted, tmp_path_factory) -> MotionFolder:
    return prepare(planted, tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))


def test_every_fault_is_reported_and_nothing_else(data):
    report = json.loads((data.path / "report.json").read_text())
    faults = {(s, f["id"], f["reason"], f["where"]): f for s in (CLIP, LINE, USED) for f in report[s]}
    assert sorted(faults) == sorted(fault[:4] for fault in FAULTS)
    markdown = (data.path / "report.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")] for row in markdown.partition(BY_NAME)[2].splitlines()]
    for section, clip, reason, where, detail, done in FAULTS:
        fault = faults[section, clip, reason, where]
        assert detail in fault["detail"] and fault["done"].startswith(done), fault
        [row] = [row for row in rows if {clip or "(file)", reason, where} <= set(row)]
        assert fault["done"] in row and (detail in row[4] or "…" in row[4]), row


def test_the_screen_shows_every_reason_and_the_leak(data):
    shown = head((data.path / "report.md").read_text())
    assert not [reason for _, _, reason, *_ in FAULTS if f"- {reason}, " not in shown]
    assert "WARNING: 1 clip (000116)" in shown and "WARNING: 1 clip (000140)" in shown
    assert "| train | 37     | 36        |" in shown
    assert len(shown.splitlines()) < 70 and max(map(len, shown.splitlines())) <= 110


def test_what_is_left_out_is_never_used_and_the_rest_is_used_as_reported(data, planted):
    usable = [clip for clip in IN_TRAIN if clip not in {*LEFT_OUT, "000116"}]
    packed = data.pack("train")
    assert data.ids("train") == usable
    assert [clip for clip in packed.ids if "@" not in clip] == usable
    assert [clip for clip in packed.ids if "@" in clip] == ["000121@1"]
    assert np.isfinite(packed.features).all() and packed.features.dtype == np.float32
    assert data.mean.dtype == data.std.dtype == np.float32
    assert data.ids("val") == ["000140", "000141"] and data.ids("test") == ["000142", "000116"]
    lengths = dict(zip(packed.ids, packed.lengths.tolist(), strict=True))
    assert lengths["000112"] == 199 and lengths["000121"] == 60 and lengths["000121@1"] == 50
    texts = dict(zip(packed.ids, ([c.text for c in captions] for captions in packed.captions), strict=True))
    assert texts.pop("000119") == ["a man walks", "a man leaves the caf\u00e9"]
    assert texts.pop("000118") == ["a man walks"] * 2 and texts.pop("000121@1") == ["a man stands"]
    assert all(captions == ["a man walks"] for captions in texts.values())
    for clip in ("000110", "000131"):
        values = np.load(planted / f"new_joint_vecs/{clip}.npy").astype(np.float32)
        assert np.array_equal(packed.clip(packed.ids.index(clip)), values)


def test_the_folder_as_it_is_refuses_what_is_bad_and_reads_the_rest_alike(planted, data, tmp_path):
    with pytest.raises(ValueError, match="'../../outside', expected a plain name"):
        MotionFolder.open(planted)
    planted = shutil.copytree(planted, tmp_path / "raw")
    train = planted / "train.txt"
    train.write_bytes(train.read_bytes().replace(b"../../outside", b""))
    raw = MotionFolder.open(planted)
    for clip in set(LEFT_OUT) - {"007975", "../../outside"}:
        only = MotionFolder(raw.path, raw.info, raw.mean, raw.std, {"train": [clip], "val": [], "test": []})
        with pytest.raises((ValueError, FileNotFoundError), match=f"{clip}.(npy|txt)") as refused:
            only.pack("train")
        message = str(refused.value)
        assert f"mmm prepare humanml3d --source {planted}" in message and "\n" not in message
    for clip in ("000104", "000106", "000124"):
        with pytest.raises(ValueError, match=f"texts/{clip}.txt, line "):
            raw.captions(clip)
    for split in ("train", "test"):
        with pytest.raises(ValueError, match="000116"):
            raw.pack(split)
    for clip in ("000110", "000112", "000118", "000119", "000121", "000126", "000129", "000131"):
        assert np.array_equal(raw.features(clip), data.features(clip))
        assert raw.captions(clip) == data.captions(clip)


# ---- cases that need a folder of their own


def test_a_text_that_may_not_be_read(users: Path, monkeypatch):
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "000003.txt":
            raise PermissionError(13, os.strerror(13))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    [fault] = check_folder(users).clips
    assert (fault.id, fault.reason, fault.detail) == ("000003", "unreadable text", os.strerror(13))


def test_the_shortest_clip_of_kit(make_users):
    users = make_users("kit")
    np.save(users / "new_joint_vecs/000002.npy", np.zeros((23, 251), np.float32))
    [fault] = check_folder(users, "kit").clips
    assert (fault.id, fault.reason) == ("000002", "too short")


LINES = [  # of a clip of 63 frames, 3.15 s: fields behind the text, and the reason or None
    ("a/DET#0.0#0.0#more", "malformed line"),
    ("a/DET#start#0.0", "malformed line"),
    ("a/DET#0.0#1.9", "part of a clip too short"),
    ("a/DET#1.0#1.0", "part of a clip too short"),
    ("a/DET#1.5#9.9", "part outside the clip"),
    ("a/DET#4.0#9.0", "part outside the clip"),
    ("a/DET#-2#-1", "part outside the clip"),
    ("a/DET#1e300#1e308", "malformed line"),
    ("a/DET#0.5#1e308", "malformed line"),
    ("a/DET#3.0#1.0", "part starts after it ends"),
    ("a/DET#nan#nan", None),
    ("a/DET#0.5#2.5", None),  # 40 frames
    ("a/DET#nan#2.5", None),
    ("a/DET#0.5#3.2", None),  # of 63 frames: the end of the capture, which has one frame more
    ("a/DET#0.5#3.3", "cut"),
    ("a/DET#-0.5#3.0", "cut"),
]


def test_parts_and_malformed_lines_of_one_clip(users: Path):
    lines = [f"a man walks#{fields}" for fields, _ in LINES]
    (users / "texts/000005.txt").write_text("\n\n".join(lines))
    report = check_folder(users)
    where = [f"texts/000005.txt, line {2 * number + 1}" for number in range(len(LINES))]
    reasons = dict(zip(where, (reason for _, reason in LINES), strict=True))
    faults = {fault.where: fault.reason for fault in report.captions}
    assert faults == {place: reason for place, reason in reasons.items() if reason not in (None, "cut")}
    cut = {fault.where: fault.reason for fault in report.used}
    assert cut == {place: "part outside the clip" for place in where if reasons[place] == "cut"}
    kept = [line for line, (_, reason) in zip(lines, LINES, strict=True) if reason in (None, "cut")]
    assert report.clips == [] and report.mended == {"000005": kept} and report.segments == 5


def test_a_clip_of_several_splits_stays_in_test_else_in_val(users: Path):
    (users / "train.txt").write_text("000001\n000004\n000005\n000006\n")
    (users / "val.txt").write_text("000002\n000004\n000006\n000004\n")
    report = check_folder(users)
    assert report.splits == {"train": ["000001"], "val": ["000002", "000004"], "test": ["000005", "000006"]}
    assert [(f.id, f.reason, f.where, f.done) for f in report.used] == [
        ("000004", "twice in a split", "val.txt", "used once"),
        ("000006", "in two splits", "val.txt", "left out of val.txt, stays in test.txt"),
        ("000004", "in two splits", "train.txt", "left out of train.txt, stays in val.txt"),
        ("000005", "in two splits", "train.txt", "left out of train.txt, stays in test.txt"),
        ("000006", "in two splits", "train.txt", "left out of train.txt, stays in test.txt"),
    ]
    assert report.counts()["train"] == {"listed": 4, "different": 4, "usable": 1, "left out": 3}
