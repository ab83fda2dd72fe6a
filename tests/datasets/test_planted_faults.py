"""One folder in HumanML3D's layout with every fault at once: the report names each, and what it says is so."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmm.data import MotionFolder
from mmm.datasets.humanml3d import prepare
from mmm.datasets.humanml3d_check import BY_NAME, head

GOOD = "a man walks#a/DET man/NOUN walk/VERB#0.0#0.0"
FRAMES = 60  # of a clip of which nothing else is said: 3 seconds
IN_TRAIN = [f"0001{number:02d}" for number in range(32)] + ["M000140", "007975", "../../outside"]

# What every text holds that is not GOOD, and the lengths and values of clips that are not as the others.
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
}
SHAPES = {"000109": (60, 262), "000111": (1, 263), "000112": (199, 263), "000113": (200, 263)}
TYPES = {"000110": np.float64, "000125": np.int32, "000131": ">f2"}
HOLES = {"000107": np.nan, "000108": -np.inf}

CLIP, LINE, USED, OUT = "clips", "captions", "used", "left out"
# (section, clip, what, where, a piece of what was found, what was done)
TOLD = [
    (CLIP, "000100", "no features", "new_joint_vecs/000100.npy", "there is no new_joint", OUT),
    (CLIP, "000101", "no text", "texts/000101.txt", "there is no texts/000101.txt", OUT),
    (CLIP, "000102", "empty text", "texts/000102.txt", "0 bytes", OUT),
    (CLIP, "000103", "empty text", "texts/000103.txt", "blank lines only", OUT),
    (LINE, "000104", "malformed line", "texts/000104.txt, line 2", "found 2 parts", OUT),
    (CLIP, "000105", "no usable caption", "texts/000105.txt", "line 1, malformed line: found 1", OUT),
    (LINE, "000105", "malformed line", "texts/000105.txt, line 1", "found 1 parts", OUT),
    (LINE, "000105", "empty caption", "texts/000105.txt, line 2", "no text", OUT),
    (LINE, "000106", "empty caption", "texts/000106.txt, line 1", "no text", OUT),
    (CLIP, "000107", "NaN", "new_joint_vecs/000107.npy", "the first is frame 3", OUT),
    (CLIP, "000108", "infinite numbers", "new_joint_vecs/000108.npy", "in 2 of 60 frames", OUT),
    (CLIP, "000109", "wrong shape", "new_joint_vecs/000109.npy", "expected float (T, 263)", OUT),
    (USED, "000110", "float64 features", "new_joint_vecs/000110.npy", "float32", "converted"),
    (CLIP, "000111", "too short", "new_joint_vecs/000111.npy", "1 frame, expected", OUT),
    (CLIP, "000113", "too long", "new_joint_vecs/000113.npy", "200 frames", OUT),
    (CLIP, "000114", "unreadable features", "new_joint_vecs/000114.npy", "cannot be read", OUT),
    (USED, "000115", "twice in a split", "train.txt", "in lines 16 and 36", "used once"),
    (USED, "000116", "in two splits", "train.txt", "test.txt", "left out of train.txt, stays"),
    (CLIP, "000117", "no features and no text", "new_joint_vecs/000117.npy", "nor texts/", OUT),
    (USED, "000118", "Windows line ends", "texts/000118.txt", "2 of them", "read as line ends"),
    (USED, "000119", "not UTF-8", "texts/000119.txt", "byte 0xE9 in line 2", "read as Windows-1252"),
    (LINE, "000120", "part outside the clip", "texts/000120.txt, line 2", "3.5 s to 6 s", OUT),
    (USED, "000121", "part outside the clip", "texts/000121.txt, line 2", "50 frames of it", "cut where"),
    (LINE, "000122", "part starts after it ends", "texts/000122.txt, line 2", "2.5 s to 0.5 s", OUT),
    (LINE, "000123", "part of a clip too short", "texts/000123.txt, line 2", "30 frames", OUT),
    (LINE, "000124", "malformed line", "texts/000124.txt, line 2", "found '0.0', 'inf'", OUT),
    (CLIP, "000125", "not floating-point numbers", "new_joint_vecs/000125.npy", "int32", OUT),
    (USED, "000126", "byte order mark", "texts/000126.txt", "at its beginning", "skipped"),
    (USED, "000127", "caption without word/POS", "texts/000127.txt, line 1", "evaluator", "used as it is"),
    (CLIP, "000128", "unreadable features", "new_joint_vecs/000128.npy", "it is an archive", OUT),
    (USED, "000129", "UTF-16", "texts/000129.txt", "byte order mark", "read as UTF-16"),
    (LINE, "000130", "part outside the clip", "texts/000130.txt, line 2", "20 frames", OUT),
    (USED, "000131", ">f2 features", "new_joint_vecs/000131.npy", "float32", "converted"),
    (USED, "000140", "mirrored in another split", "val.txt", "M000140, its", "used as"),
    (CLIP, "007975", "known bad id", "new_joint_vecs/007975.npy", "NaN", OUT),
    (CLIP, "../../outside", "no file name", "the splits", "another folder", OUT),
    (USED, "", "Windows line ends", "train.txt", "36 of them", "read as line ends"),
    (USED, "", "byte order mark", "val.txt", "at its beginning", "skipped"),
    (USED, "", "float64 Mean", "Mean.npy", "float32", "converted"),
]
LEFT_OUT = [clip for section, clip, *_ in TOLD if section == CLIP]


def plant(path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("new_joint_vecs", "texts"):
        (path / folder).mkdir(parents=True)
    np.save(path / "Mean.npy", np.zeros(263))
    np.save(path / "Std.npy", np.ones(263, np.float32))
    for clip in [*IN_TRAIN[:-1], "000140", "000141", "000142"]:
        values = rng.normal(size=SHAPES.get(clip, (FRAMES, 263))).astype(TYPES.get(clip, np.float32))
        if clip in HOLES:
            values[3:5, 100] = HOLES[clip]
        if clip not in ("000100", "000117"):
            np.save(path / f"new_joint_vecs/{clip}.npy", values)
        text = TEXTS.get(clip, f"{GOOD}\n".encode())
        if text is not None:
            (path / f"texts/{clip}.txt").write_bytes(text)
    cut = path / "new_joint_vecs/000114.npy"
    cut.write_bytes(cut.read_bytes()[:1000])
    with (path / "new_joint_vecs/000128.npy").open("wb") as file:
        np.savez(file, values)
    (path / "train.txt").write_bytes("".join(f"{clip}\r\n" for clip in [*IN_TRAIN, "000115"]).encode())
    (path / "val.txt").write_bytes(b"\xef\xbb\xbf000140\n  000141 \n\n")
    (path / "test.txt").write_text("000142\n000116")
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    return plant(tmp_path_factory.mktemp("planted") / "HumanML3D")


@pytest.fixture(scope="module")
def data(planted, tmp_path_factory) -> MotionFolder:
    return prepare(planted, tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(("section", "clip", "reason", "where", "found", "done"), TOLD)
def test_each_is_named(data, section, clip, reason, where, found, done):
    report = json.loads((data.path / "report.json").read_text())
    [fault] = [f for f in report[section] if (f["id"], f["reason"], f["where"]) == (clip, reason, where)]
    assert found in fault["detail"] and fault["done"].startswith(done)
    table = (data.path / "report.md").read_text().partition(BY_NAME)[2]
    [row] = [line for line in table.splitlines() if {clip or "(file)", reason, where} <= set(_cells(line))]
    assert done in row and (found in row or "…" in row)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|")]


def test_nothing_else_is_named(data):
    report = json.loads((data.path / "report.json").read_text())
    named = [(s, f["id"], f["reason"], f["where"]) for s in (CLIP, LINE, USED) for f in report[s]]
    assert sorted(named) == sorted(told[:4] for told in TOLD)


def test_the_screen_shows_every_reason_and_the_leak(data):
    shown = head((data.path / "report.md").read_text())
    assert {reason for _, _, reason, *_ in TOLD} <= {r for *_, r, _, _, _ in TOLD if f"- {r}, " in shown}
    assert "WARNING: 1 clip (000116) is in more than one split." in shown
    assert "WARNING: 1 clip (000140) is in another split than the mirror image" in shown
    assert "| train | 36     | 35        |" in shown
    assert len(shown.splitlines()) < 70 and max(map(len, shown.splitlines())) <= 110


def test_what_is_left_out_is_never_met_and_the_rest_is_used(data):
    usable = [clip for clip in IN_TRAIN if clip not in {*LEFT_OUT, "000116"}]
    packed = data.pack("train")
    assert data.ids("train") == usable and "000112" in usable
    assert [clip for clip in packed.ids if "@" not in clip] == usable
    assert [clip for clip in packed.ids if "@" in clip] == ["000121@1"]
    assert np.isfinite(packed.features).all() and packed.features.dtype == np.float32
    assert data.ids("val") == ["000140", "000141"] and data.ids("test") == ["000142", "000116"]
    assert len(data.pack("val")) == len(data.pack("test")) == 2


def test_what_is_mended_is_used_as_the_report_says(data, planted):
    packed = data.pack("train")
    lengths = dict(zip(packed.ids, packed.lengths.tolist(), strict=True))
    texts = {clip: [c.text for c in told] for clip, told in zip(packed.ids, packed.captions, strict=True)}
    assert lengths["000112"] == 199 and lengths["000121"] == 60 and lengths["000121@1"] == 50
    assert texts["000119"] == ["a man walks", "a man leaves the caf\u00e9"]
    assert texts["000118"] == ["a man walks"] * 2
    assert all(
        told == ["a man walks"]
        for clip, told in texts.items()
        if clip not in ("000118", "000119", "000121@1")
    )
    for clip in ("000110", "000131"):
        values = np.load(planted / f"new_joint_vecs/{clip}.npy").astype(np.float32)
        assert np.array_equal(packed.clip(packed.ids.index(clip)), values)
    assert data.mean.dtype == data.std.dtype == np.float32


def test_training_draws_all_of_it(data):
    import torch

    from mmm.tokenizer.train import WindowRule, Windows

    windows = Windows(data.pack("train"), WindowRule(window=64))
    features, _ = windows.draw(500, torch.Generator().manual_seed(0))
    assert features.dtype == torch.float32 and bool(features.isfinite().all())


@pytest.mark.parametrize("clip", [c for c in LEFT_OUT if c not in ("007975", "../../outside")])
def test_the_raw_folder_refuses_a_bad_clip_in_one_sentence(planted, clip):
    raw = MotionFolder.open(planted)
    raw = MotionFolder(raw.path, raw.info, raw.mean, raw.std, {"train": [clip], "val": [], "test": []})
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        raw.pack("train")
    sentence = str(refused.value)
    assert f"mmm prepare humanml3d --source {planted}" in sentence and "\n" not in sentence
    assert f"{clip}.npy" in sentence or f"{clip}.txt" in sentence


@pytest.mark.parametrize("clip", ["000104", "000106", "000124"])
def test_the_raw_folder_refuses_a_bad_caption_in_one_sentence(planted, clip):
    with pytest.raises(ValueError, match=f"texts/{clip}.txt, line .*; run `mmm prepare humanml3d"):
        MotionFolder.open(planted).captions(clip)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_raw_folder_refuses_a_clip_in_two_splits(planted, split):
    with pytest.raises(ValueError, match="both list 1 clips, .'000116'. for one; run `mmm prepare humanml3d"):
        MotionFolder.open(planted).pack(split)


@pytest.mark.parametrize(
    "clip", ["000110", "000112", "000118", "000119", "000121", "000126", "000129", "000131"]
)
def test_the_raw_folder_reads_what_can_be_used_alike(planted, data, clip):
    raw = MotionFolder.open(planted)
    assert np.array_equal(raw.features(clip), data.features(clip)) and raw.captions(clip) == data.captions(
        clip
    )


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "Std.npy",
            np.r_[np.ones(262, np.float32), 0],
            "holds numbers that are not above 0 .in 1 of 263.*number 262",
        ),
        ("Mean.npy", np.zeros(262, np.float32), r"has shape \(262,\) of float32, expected \(263,\)"),
        ("Mean.npy", np.full(263, np.inf, np.float32), "holds inf, expected finite numbers"),
        ("Mean.npy", np.zeros(263, np.int64), r"has shape \(263,\) of int64, expected"),
    ],
)
def test_without_mean_and_std_nothing_can_be_used(planted, tmp_path, name, values, message):
    shutil.copytree(planted, tmp_path / "copy")
    np.save(tmp_path / "copy" / name, values)
    for use in (
        lambda: prepare(tmp_path / "copy", tmp_path / "out"),
        lambda: MotionFolder.open(tmp_path / "copy"),
    ):
        with pytest.raises(ValueError, match=f"copy/{name} {message}.*; copy it again.$"):
            use()
    assert not (tmp_path / "out").exists()
