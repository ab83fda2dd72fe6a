"""The free part of HumanML3D, of made-up takes, and of CMU's captures where the shared folder has them."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_up import bvh as made_up
from made_up.command import exit_code as run

from mmm.datasets import humanml3d_cmu
from mmm.datasets.cmu import read_take
from mmm.motion import joints_to_features
from mmm.motion.mirror import mirror_features

INDEX = """source_path,start_frame,end_frame,new_name
./pose_data/CMU/90/90_01_poses.npy,0,81,000001.npy
./pose_data/KIT/3/kick_high_left02_poses.npy,0,117,000002.npy
./pose_data/CMU/90/90_02_poses.npy,20,80,000003.npy
./pose_data/CMU/90/90_03_poses.npy,5,75,000004.npy
./pose_data/CMU/90/90_03_poses.npy,0,41,000005.npy
./pose_data/CMU/90/90_03_poses.npy,30,300,000006.npy
./pose_data/CMU/91/91_01_poses.npy,0,60,000007.npy
./pose_data/CMU/18_19_rory/18_01_poses.npy,0,60,000008.npy
./pose_data/CMU/09/09_10_poses.npy,0,60,000009.npy
./pose_data/CMU/90/90_02_poses.npy,0,60,007975.npy
./pose_data/CMU/90/90_02_poses.npy,0,60,000010.npy
./pose_data/CMU/90/90_02_poses.npy,0,60,000011.npy
"""
LINES = (
    "a man walks to the left.#a/DET man/NOUN walk/VERB to/ADP the/DET left/NOUN#0.0#0.0\n"
    "he turns#he/PRON turn/VERB#0.5#2.9\n"
    "too short#too/ADV short/ADJ#0.5#0.9\n"
)
SPLITS = {
    "train": [
        "000001",
        "M000001",
        "000002",
        "M000002",
        "000005",
        "000006",
        "000007",
        "M000007",
        "000008",
        "000010",
    ],
    "val": ["000003", "M000003", "000009", "007975", "000011"],
    "test": ["M000004", "000004"],
}


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """Three takes of 4 s: as published, and 90_02 reduced to 20 fps; HumanML3D's index, splits and texts."""
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bvh").mkdir()
    for number in (1, 2, 3):
        fps, frames = (20, 80) if number == 2 else (120, 487)
        path = tmp_path / f"bvh/90_0{number}.bvh"
        pose = {"pose": made_up.ARMS_DOWN, "t_pose": int(number != 2), "ends": 0.12}
        made_up.write(path, made_up.DAZ, frames, fps, seed=number, **pose)
    (tmp_path / "index.csv").write_text(INDEX)
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        for clip in [clip for clips in SPLITS.values() for clip in clips]:
            text = LINES.replace("left", "right") if clip.startswith("M") else LINES
            if clip != "000010":
                archive.writestr(f"texts/{clip}.txt", "#broken" if clip == "000011" else text)
    for split, clips in SPLITS.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(clips))
    return tmp_path


def prepare(files: Path, **options):
    paths = {"bvh": files / "bvh", "index": files / "index.csv", "texts": files / "texts.zip", "processes": 1}
    with pytest.warns(
        UserWarning, match="1 takes of CMU with 2 clips, mirrored ones included, are missing: 91_01"
    ):
        return humanml3d_cmu.prepare(files / "out", **(paths | options))


def test_clips_captions_and_splits_are_humanml3ds(files):
    folder = prepare(files)
    assert {name: folder.ids(name) for name in ("train", "val", "test")} == {
        "train": ["000001", "M000001"],
        "val": ["000003", "M000003"],
        "test": ["M000004", "000004"],
    }
    assert folder.info["left_out"] == {
        "two people in one take, and which of them it is is not known": ["000008"],
        "the BVH take is broken": ["000009"],
        "the capture itself gives NaN": ["007975"],
        "the BVH take is missing": ["000007", "M000007"],
        "too short": ["000005"],
        "the BVH take ends before the clip does": ["000006"],
        "no text": ["000010"],
        "no usable caption": ["000011"],
    }
    captions = folder.captions("000001")
    assert [(caption.text, caption.start, caption.end) for caption in captions] == [
        ("a man walks to the left.", 0, 0),
        ("he turns", 0.5, 2.9),
    ]
    assert captions[0].words[-1] == ("left", "NOUN")  # Guo et al.'s evaluator reads the tags
    assert folder.captions("M000001")[0].text == "a man walks to the right."
    assert "texts/000001.txt, line 3: part of a clip too short" in folder.info["captions_left_out"]
    assert folder.info["name"] == "humanml3d-cmu" and "NSF EIA-0196217" in folder.info["source"]


def test_frames_are_those_of_the_index_and_mirrored_clips_are_mirrored(files):
    folder = prepare(files)
    # frame i is frame 6 i of a published take and i − 1 of a reduced one; the first is lost, and one becomes velocity
    lengths = {clip: len(folder.features(clip)) for clip in ("000001", "000003", "000004")}
    assert lengths == {"000001": 79, "000003": 59, "000004": 69}
    for clip, first, last in (("000003", 19, 79), ("000004", 4, 74)):
        program = folder.program(clip)
        assert (program["first"], program["last"]) == (first, last)
        joints, _ = read_take(files / "bvh" / program["path"])
        assert np.array_equal(folder.features(clip), joints_to_features(joints[first:last]))
    mirrored = mirror_features(folder.features("000004"))
    assert (
        np.abs(folder.features("M000004") - mirrored).max() < 0.02
    )  # bones of left and right differ by millimetres
    assert np.abs(folder.features("M000004") - folder.features("000004")).max() > 0.1


def test_texts_in_a_folder_and_splits_elsewhere(files):
    whole = prepare(files)
    shutil.unpack_archive(files / "texts.zip", files / "unpacked")
    (files / "lists").mkdir()
    for split in SPLITS:
        (files / f"{split}.txt").rename(files / "lists" / f"{split}.txt")
    again = prepare(files, texts=files / "unpacked" / "texts", splits=files / "lists")
    assert again.content_hash == whole.content_hash and again.splits == whole.splits


def test_the_command_says_what_is_left_out(files, capsys):
    args = ("--bvh", files / "bvh", "--index", files / "index.csv", "--texts", files / "texts.zip")
    with pytest.warns(UserWarning, match="91_01"):
        assert run("prepare", "humanml3d-cmu", *args, "--out", files / "data") == 0
    shown = capsys.readouterr().out
    assert "left out, the BVH take is missing: 2 (000007, M000007; see dataset.json)\n" in shown
    assert shown.endswith(f"{files / 'data'}: all 6, test 2, train 2, train_val 4, val 2\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"index": "no.csv"}, "no.csv"),
        ({"index": "train.txt"}, "train.txt does not have the columns"),
        ({"index": "odd.csv"}, "odd.csv, line 2: .*'a few' to 60"),
        ({"texts": "no.zip"}, "no.zip"),
        ({"texts": "bvh"}, "bvh holds no texts"),
        ({"texts": "index.csv"}, "index.csv cannot be unpacked"),
        ({"splits": "bvh"}, "no train.txt, val.txt, test.txt in"),
        ({"bvh": "nothing"}, "nothing"),
        ({"bvh": "other"}, "none of the 6 takes .* such as 90_01.bvh"),
    ],
)
def test_files_that_cannot_be_used_are_named(files, change, named):
    (files / "odd.csv").write_text(f"{INDEX.splitlines()[0]}\n./CMU/90/90_01_poses.npy,a few,60,000001.npy\n")
    (files / "other").mkdir()
    shutil.copy(files / "bvh/90_01.bvh", files / "other/99_01.bvh")
    paths = {"bvh": "bvh", "index": "index.csv", "texts": "texts.zip"} | change
    with pytest.raises((ValueError, FileNotFoundError), match=named) as caught:
        humanml3d_cmu.prepare(
            files / "out", **{name: files / path for name, path in paths.items()}, processes=1
        )
    assert "\n" not in str(caught.value) and not (files / "out").exists()


# ---- HumanML3D's own index and CMU's captures


def test_the_index_of_humanml3d(shared_dir):
    index = shared_dir / "humanml3d" / "index"
    entries = humanml3d_cmu.read_index(index / "index.csv")
    assert len(entries) == 2913 and len({entry.take for entry in entries if entry.subject.isdigit()}) == 1983
    listed = {clip for clips in humanml3d_cmu.read_splits(index).values() for clip in clips}
    both = [entry for entry in entries if {entry.id, f"M{entry.id}"} <= listed]
    assert len(both) >= 2910


def test_the_ranges_of_the_index_fit_the_captures(shared_dir, tmp_path):
    """Where a clip reaches the end of a take, the take has just the frames for it."""
    shutil.unpack_archive(shared_dir / "cmu" / "raw-samples.tar.xz", tmp_path)
    entries = humanml3d_cmu.read_index(shared_dir / "humanml3d" / "index" / "index.csv")
    ends = {entry.take: max(e.end for e in entries if e.take == entry.take) for entry in entries}
    checked = 0
    for path in tmp_path.rglob("*.bvh"):
        if path.stem in ends:
            captured = int(path.read_text().partition("Frames:")[2].split()[0]) - 1  # without the T-pose
            assert ends[path.stem] == -(-captured // 6)
            checked += 1
    assert checked == 7
