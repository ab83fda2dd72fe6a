"""A data set of a user's own motions, of made-up BVH files."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up import bvh as made_up

from mmm.data.folder import MotionFolder
from mmm.datasets import own
from mmm.datasets.own import read_captions

TREE = made_up.TREES["mixamo"]


@pytest.fixture
def takes(tmp_path, monkeypatch) -> Path:
    """Seven takes: six of 2 to 3 seconds, one of 21 seconds in a folder of its own."""
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "takes"
    (folder / "long").mkdir(parents=True)
    for number in range(6):
        made_up.write(folder / f"take {number}.bvh", TREE, 41 + 4 * number, 20, seed=number)
    made_up.write(folder / "long" / "dance.bvh", TREE, 421, 20, seed=9)
    return folder


def table(folder: Path, *lines: str, header: str = "file,caption") -> Path:
    path = folder / "captions.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


ALL = [f"take {number}.bvh,a person sways number {number}" for number in range(6)]


def test_a_folder_and_a_table_become_a_data_set(takes, tmp_path):
    more = '"take 0","someone, sways"', "dance.bvh,un dansé à deux", "take 0.bvh,someone sways"
    csv = table(takes, *ALL, *more)
    folder = own.prepare(tmp_path / "mine", takes, csv)
    lengths = {clip: len(folder.features(clip)) for clip in folder.ids("all")}
    assert {clip[-1]: n for clip, n in lengths.items() if "long_dance_" in clip} == dict.fromkeys("abc", 140)
    assert lengths["take_3"] == 52
    texts = [caption.text for caption in folder.captions("take_0")]
    assert texts == ["a person sways number 0", "someone, sways", "someone sways"]
    assert folder.captions("take_0")[0].words[2] == ("sways", "OTHER")
    assert folder.info["name"] == "own" and folder.info["left_out"] == {}
    assert folder.info["understood"] == ["7 takes: joint map mixamo, 20 fps, unit cm, up y"]
    where = {clip: name for name in ("train", "val", "test") for clip in folder.ids(name)}
    assert len(where) == 9 and set(where.values()) == {"train", "val", "test"}
    assert len({where[f"long_dance_{piece}"] for piece in "abc"}) == 1  # a take is in one split
    assert folder.program("long_dance_b")["path"] == "long_dance"
    assert len(folder.pack("train")) == len(folder.ids("train"))
    assert json.dumps(folder.info) == json.dumps(MotionFolder.open(tmp_path / "mine").info)
    again = own.prepare(tmp_path / "again", takes, csv)
    assert again.content_hash == folder.content_hash and again.splits == folder.splits
    assert own.prepare(tmp_path / "mine", takes, csv, seed=1).splits != folder.splits  # and replaced


def test_parts_become_clips_of_their_own(takes, tmp_path):
    dance = ["she turns,1.5,4", "she turns around,1.5,4", "a hop,0,0.9", "the end,18,30"]
    rows = [f"{row},," for row in ALL] + [f"dance,{row}" for row in dance]
    csv = table(takes, *rows, header="File, Caption, start, end")
    folder = own.prepare(tmp_path / "mine", takes, csv)
    parts = {clip: len(folder.features(clip)) for clip in folder.ids("all") if "dance" in clip}
    assert parts == {"long_dance_1.5-4s": 50, "long_dance_18-30s": 60}
    assert [c.text for c in folder.captions("long_dance_1.5-4s")] == ["she turns", "she turns around"]
    assert folder.info["left_out"] == {"shorter than 24 frames at 20 fps": ["long_dance_0-0.9s"]}
    assert not folder.captions("long_dance_1.5-4s")[0].is_part
    program = folder.program("long_dance_1.5-4s")
    assert program == {"dataset": "own", "path": "long_dance", "first": 30, "last": 81}


def test_a_few_takes_are_enough_and_what_has_no_caption_is_left_out_by_name(takes, tmp_path):
    folder = own.prepare(tmp_path / "mine", takes, table(takes, *ALL[:3]))
    assert [len(folder.ids(name)) for name in ("train", "val", "test")] == [1, 1, 1]
    assert folder.info["left_out"] == {"without a caption": ["long_dance", "take_3", "take_4", "take_5"]}
    with pytest.raises(ValueError, match="2 takes with a caption"):
        own.prepare(tmp_path / "two", takes, table(takes, *ALL[:2]))
    assert not (tmp_path / "two").exists()


def test_a_take_that_lies_down_is_read_like_the_others(takes, tmp_path):
    def turned(number: int, degrees: float) -> np.ndarray:
        joints = np.load(takes / f"{number}.npy")
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return joints @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)

    for number in range(4):
        made_up.write(takes / "a.bvh", TREE, 60, 20, seed=number)
        np.save(takes / f"{number}.npy", own.read_source(takes / "a.bvh").joints / np.float32(100))
    for number, degrees in ((0, 90), (1, 40)):  # lies; leans so far that nothing is clear
        np.save(takes / f"{number}.npy", turned(number, degrees))
    csv = table(takes, *(f"{number}.npy,lies" for number in range(4)))
    folder = own.prepare(tmp_path / "mine", takes, csv)
    assert folder.info["understood"] == ["4 takes: HumanML3D's own joints, 20 fps, unit m, up y"]
    joints = np.load(tmp_path / "mine" / "new_joints" / "0.npy")
    body = joints[:, 15] - joints[:, [7, 8]].mean(1)  # from the ankles to the head
    assert np.abs(body[:, 1]).max() < 0.4 and np.linalg.norm(body[:, [0, 2]], axis=1).min() > 1.3


def test_each_skeleton_has_its_own_unit(takes, tmp_path):
    for name, tree, unit in (("a", "unreal", 1.0), ("b", "vrm", 0.001)):
        made_up.write(takes / f"{name}.bvh", made_up.TREES[tree], 60, 20, unit=unit)
    folder = own.prepare(tmp_path / "mine", takes, table(takes, *ALL, "a,sways", "b,sways"))
    assert folder.info["understood"] == [
        "6 takes: joint map mixamo, 20 fps, unit cm, up y",
        "1 take: joint map guessed, 20 fps, unit m, up y",
        "1 take: joint map guessed, 20 fps, unit mm, up y",
    ]


TIMED = "file,caption,start,end"


@pytest.mark.parametrize(
    ("lines", "header", "named"),
    [
        (ALL, "file,text", "column caption"),
        (ALL, "datei;text", "column file and caption"),
        ([], "file,caption", "captions.csv"),
        ([*ALL, "take 0.bvh, ... "], "file,caption", "line 8.* take 0.bvh"),
        ([*ALL, "take 0.bvh,he turns, then walks"], "file,caption", "line 8"),
        ([*ALL, "take 0.bvh,take #2"], "file,caption", "take #2"),
        ([*ALL, ",waves"], "file,caption", "line 8"),
        ([*(f"{name}.bvh,x" for name in "abcd"), *ALL], "file,caption", "4 .* a.bvh, b.bvh, c.bvh, …"),
        (["dance,x,2,1"], TIMED, "line 2: .*'2' and '1'"),
        (["dance,x,2,"], TIMED, "line 2: .*'2' and ''"),
        (["dance,x,30,40"], TIMED, "line 2: .*30 s.* 21.0 s"),
        (["dance,x,30"], "file,caption,start", "start and end"),
    ],
)
def test_a_table_that_cannot_be_used_leaves_nothing(takes, tmp_path, lines, header, named):
    with pytest.raises(ValueError, match=named) as caught:
        own.prepare(tmp_path / "mine", takes, table(takes, *lines, header=header))
    assert "\n" not in str(caught.value) and not (tmp_path / "mine").exists()


def test_folders_that_cannot_be_used_are_named(takes, tmp_path):
    csv = table(takes, *ALL)
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    for error, named, out, source, captions in (
        (FileNotFoundError, "nowhere", "mine", tmp_path / "nowhere", csv),
        (FileNotFoundError, "no.csv", "mine", takes, tmp_path / "no.csv"),
        (ValueError, "empty", "mine", tmp_path / "empty", csv),
        (ValueError, "other exists", "other", takes, csv),
        (ValueError, "source .* lies in --out", "", takes, csv),
    ):
        with pytest.raises(error, match=named):
            own.prepare(tmp_path / out, source, captions)
    with pytest.raises(ValueError, match="val is 0"):
        own.prepare(tmp_path / "mine", takes, csv, val=0)
    assert not (tmp_path / "mine").exists()


def test_takes_that_cannot_be_read_are_named(takes, tmp_path):
    (takes / "long" / "take 0.bvh").write_bytes((takes / "take 1.bvh").read_bytes())
    with pytest.raises(ValueError, match="line 2: take 0 .*long_take_0, take_0"):
        own.prepare(tmp_path / "mine", takes, table(takes, "take 0,sways"))
    text = (takes / "take 2.bvh").read_text()
    csv = table(takes, *ALL[1:])
    for content in (text[:-300] + "x\n", text.replace("LeftFoot", "Thing1")):
        (takes / "take 2.bvh").write_text(content)
        with pytest.raises(ValueError, match="take 2.bvh"):
            own.prepare(tmp_path / "mine", takes, csv)
    assert not (tmp_path / "mine").exists() and not list(tmp_path.glob(".*"))


def test_all_takes_that_cannot_be_used_are_named_at_once(takes, tmp_path):
    text = (takes / "take 2.bvh").read_text()
    (takes / "take 2.bvh").write_text(text.replace("LeftFoot", "Thing1"))
    (takes / "take 4.bvh").write_text(text.replace("OFFSET", "OFSET", 1))
    np.save(takes / "dwarf.npy", np.zeros((30, 22, 3), np.float32))
    with pytest.raises(ValueError, match="3 of 7 takes") as caught:
        own.prepare(tmp_path / "mine", takes, table(takes, *ALL, "dwarf,lies"))
    assert all(name in str(caught.value) for name in ("take 2.bvh", "take 4.bvh", "'OFSET'", "dwarf.npy"))
    assert "\n" not in str(caught.value) and not (tmp_path / "mine").exists()


def test_suspicious_takes_are_listed_and_their_start_can_be_left_out(takes, tmp_path):
    arms = {"LeftArm": (0, 0, -70), "RightArm": (0, 0, 70)}
    for number in (0, 1, 2):
        made_up.write(takes / f"take {number}.bvh", TREE, 81, 20, pose=arms, t_pose=1 if number else 0)
    csv = table(takes, *(f"{line},0.5,3.5" for line in ALL[:3]), header=TIMED)
    path = takes / "take 2.bvh"
    path.write_text(path.read_text()[:-300])
    folder = own.prepare(tmp_path / "mine", takes, csv)
    assert list(folder.info["suspicious"]) == ["take_1", "take_2"]
    assert "cut off" in folder.info["suspicious"]["take_2"][0]
    path.write_text(path.read_text().rpartition("\n")[0].replace("Frames: 81", "Frames: 80") + "\n")
    assert "T-pose of 1 frame" in folder.info["suspicious"]["take_1"][0]
    later = own.prepare(tmp_path / "later", takes, csv, skip=0.1)
    assert "suspicious" not in later.info
    for clip in folder.ids("all"):  # times are those of the file
        assert np.abs(later.features(clip) - folder.features(clip)).max() < 1e-4


def test_ids_are_names_for_every_file_system(tmp_path):
    for name in ("a b.bvh", "a_b.bvh", "Mona.npy", "x@1.BVH", "notes.txt"):
        (tmp_path / name).write_text("")
    assert set(own.find_takes(tmp_path)) == {"a_b", "a_b-2", "mona", "x_1"}


def test_a_name_too_long_for_a_clip_is_refused_before_the_work(takes, tmp_path, monkeypatch):
    folder = takes / "/".join("abc" * 20 for _ in range(3))
    folder.mkdir(parents=True)
    (takes / "take 5.bvh").rename(folder / "take 5.bvh")
    times = "take 5.bvh,sways,0.5,1.5", "take 5.bvh,sways,0.123456,1.23456"
    monkeypatch.setattr(own, "read_source", lambda *_: pytest.fail("a take was read"))
    with pytest.raises(ValueError, match="name of a clip of .*take 5.bvh is .*; rename the file, or move it"):
        own.prepare(tmp_path / "mine", takes, table(takes, *times, header="file,caption,start,end"))


def test_a_table_saved_by_a_spreadsheet(tmp_path):
    path = tmp_path / "captions.csv"
    text = '\ufeffFile,Caption\r\n"a.bvh","he says ""hi"",\n twice"\r\n\r\nb.bvh, bows\r\n'
    path.write_bytes(text.encode())
    rows = read_captions(path)
    assert [(row.file, row.text) for row in rows] == [("a.bvh", 'he says "hi", twice'), ("b.bvh", "bows")]
    path.write_bytes("file,caption\na,größe".encode("latin-1"))
    with pytest.raises(ValueError, match="captions.csv"):
        read_captions(path)


def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("file,caption,Caption\na.bvh,bows,someone bows\n")
    with pytest.raises(ValueError, match="captions.csv has two columns called caption; keep one"):
        read_captions(path)
