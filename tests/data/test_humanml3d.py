"""A miniature HumanML3D folder with one fault planted at a time."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mmm.data.humanml3d import KINDS, check_folder, prepare
from mmm.motion import get_skeleton

LINE = "a man walks#a/DET man/NOUN walk/VERB#0.0#0.0"
OTHER_LINE = "a person moves#a/DET person/NOUN move/VERB#0.0#0.0"
SPLITS = {"train": ["000001", "M000001", "000002", "000003"], "val": ["000004"], "test": ["000005", "000006"]}


def make_folder(path: Path, kind: str = "humanml3d") -> Path:
    """Six clips of allowed lengths, the shortest and the longest among them, with two captions each."""
    rng = np.random.default_rng(0)
    width = get_skeleton(KINDS[kind].skeleton).num_features
    for part in ("new_joint_vecs", "texts"):
        (path / part).mkdir(parents=True)
    np.save(path / "Mean.npy", np.zeros(width, np.float32))
    np.save(path / "Std.npy", np.ones(width, np.float32))
    lengths = [KINDS[kind].shortest, 199, 60, 61, 62, 63, 64]
    ids = [clip for clips in SPLITS.values() for clip in clips]
    for clip, length in zip(ids, lengths, strict=True):
        np.save(path / f"new_joint_vecs/{clip}.npy", rng.normal(size=(length, width)).astype(np.float32))
        (path / f"texts/{clip}.txt").write_text(f"{LINE}\n{OTHER_LINE}\n")
    for split, clips in SPLITS.items():
        (path / f"{split}.txt").write_text("\n".join(clips))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "HumanML3D")


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    """Everything that an untouched folder keeps."""
    files = [p for p in sorted(path.rglob("*")) if p.is_file()]
    return {str(p.relative_to(path)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def only_fault(folder: Path, kind: str = "humanml3d") -> tuple[str, str, str]:
    report = check_folder(folder, kind)
    assert report.captions == [] and report.mended == {}
    [fault] = report.clips
    kept = [clip for clips in report.splits.values() for clip in clips]
    assert fault.id not in kept and len(kept) == 6 and report.left_out == [fault.id]
    assert f"- {fault.reason}: {fault.id}" in report.table()
    return fault.id, fault.reason, fault.detail


def save_clip(folder: Path, clip: str, values: np.ndarray) -> None:
    np.save(folder / f"new_joint_vecs/{clip}.npy", values)


def test_a_good_folder(folder: Path):
    report = check_folder(folder)
    assert report.clips == [] and report.captions == [] and report.notes == [] and report.segments == 0
    assert report.splits == SPLITS and report.listed == {"train": 4, "val": 1, "test": 2}
    assert "| train | 4      | 4      | 0        |" in report.table()
    assert "Clips left out: none." in report.table()


def test_a_good_kit_folder(tmp_path: Path):
    assert check_folder(make_folder(tmp_path / "KIT-ML", "kit"), "kit").splits == SPLITS


# -- the folder as a whole --------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["Mean.npy", "Std.npy", "val.txt"])
def test_a_missing_file_of_the_layout(folder: Path, tmp_path: Path, part: str):
    (folder / part).unlink()
    with pytest.raises(FileNotFoundError, match=f"HumanML3D has no {part}; expected"):
        prepare(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_texts_that_are_still_zipped(folder: Path):
    (folder / "texts").rename(folder / "elsewhere")
    (folder / "texts.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match="has no texts; expected.*unpack it first"):
        check_folder(folder)


def test_no_folder_and_an_unknown_kind(folder: Path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        check_folder(folder / "nowhere")
    with pytest.raises(ValueError, match="'babel'; known ones: humanml3d, kit"):
        check_folder(folder, "babel")


def test_kit_given_as_humanml3d(tmp_path: Path):
    kit = make_folder(tmp_path / "KIT-ML", "kit")
    with pytest.raises(ValueError, match=r"Mean.npy has shape \(251,\), expected \(263,\).*looks like kit"):
        check_folder(kit)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_std_that_nothing_can_be_divided_by(folder: Path, value: float):
    std = np.ones(263, np.float32)
    std[7] = value
    np.save(folder / "Std.npy", std)
    with pytest.raises(ValueError, match="Std.npy"):
        check_folder(folder)


def test_a_split_without_a_usable_clip(folder: Path):
    save_clip(folder, "000004", np.zeros((39, 263), np.float32))
    with pytest.raises(ValueError, match="no clip in .*val.txt can be used .*39 frames, expected 40 to 199"):
        check_folder(folder)


# -- single clips -----------------------------------------------------------------------------------------


def test_a_262_wide_file(folder: Path):
    save_clip(folder, "000002", np.zeros((60, 262), np.float32))
    detail = "float32 (60, 262), expected float (T, 263)"
    assert only_fault(folder) == ("000002", "wrong shape", detail)


def test_integers_or_a_single_row_are_no_features(folder: Path):
    save_clip(folder, "000002", np.zeros((60, 263), np.int32))
    assert only_fault(folder)[1] == "wrong shape"
    save_clip(folder, "000002", np.zeros(263, np.float32))
    assert only_fault(folder)[1] == "wrong shape"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_clip_of_nan(folder: Path, value: float):
    values = np.zeros((60, 263), np.float32)
    values[3:5, 100] = value
    save_clip(folder, "000005", values)
    assert only_fault(folder) == ("000005", "NaN or infinite numbers", "in 2 of 60 frames")


@pytest.mark.parametrize("size", [0, 50, 1000])
def test_a_truncated_file(folder: Path, size: int):
    path = folder / "new_joint_vecs/000003.npy"
    path.write_bytes(path.read_bytes()[:size])
    clip, reason, detail = only_fault(folder)
    assert (clip, reason) == ("000003", "unreadable features") and str(path) in detail


def test_a_file_that_is_not_there(folder: Path):
    (folder / "new_joint_vecs/M000001.npy").unlink()
    assert only_fault(folder) == ("M000001", "no features", "no new_joint_vecs/M000001.npy")


@pytest.mark.parametrize(
    ("kind", "length", "reason"),
    [("humanml3d", 39, "too short"), ("humanml3d", 200, "too long"), ("kit", 23, "too short")],
)
def test_lengths(tmp_path: Path, kind: str, length: int, reason: str):
    folder = make_folder(tmp_path / "data", kind)
    save_clip(folder, "000002", np.zeros((length, get_skeleton(kind).num_features), np.float32))
    assert only_fault(folder, kind)[:2] == ("000002", reason)


@pytest.mark.parametrize("clip", ["007975", "M007975", "009707", "M009707", "011059", "M011059"])
def test_ids_known_to_be_bad_are_left_out_whatever_their_files_hold(folder: Path, clip: str):
    for part, suffix in (("new_joint_vecs", "npy"), ("texts", "txt")):
        (folder / part / f"000006.{suffix}").rename(folder / part / f"{clip}.{suffix}")
    (folder / "test.txt").write_text(f"000005\n{clip}\n")
    assert only_fault(folder)[:2] == (clip, "known bad id")


def test_without_captions(folder: Path):
    (folder / "texts/000003.txt").unlink()
    assert only_fault(folder) == ("000003", "no caption", "no texts/000003.txt")
    (folder / "texts/000003.txt").write_text("\n \n")
    assert only_fault(folder)[:2] == ("000003", "no caption")


# -- single captions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a man walks#a/DET man/NOUN", "malformed line"),
        ("a man walks#a/DET#0.0#0.0#more", "malformed line"),
        ("a man walks#a/DET#start#0.0", "malformed line"),
        (" #a/DET#0.0#0.0", "empty caption"),
        ("a man walks#a/DET#0.0#1.9", "part of a clip too short"),  # 38 frames
        ("a man walks#a/DET#1.5#9.9", "part of a clip too short"),  # frames 30 to 62, the clip's end
        ("a man walks#a/DET#3.0#1.0", "part of a clip too short"),
    ],
)
def test_a_bad_line_goes_and_its_clip_stays(folder: Path, tmp_path: Path, line: str, reason: str):
    (folder / "texts/000005.txt").write_text(f"{LINE}\n{line}\n")
    report = check_folder(folder)
    assert report.clips == [] and [(f.id, f.reason) for f in report.captions] == [("000005", reason)]
    assert "line 2 " in report.captions[0].detail or "line 2:" in report.captions[0].detail
    assert report.mended == {"000005": [LINE]} and f"- {reason}: 000005" in report.table()
    (folder / "texts/000005.txt").write_text(f"{line}\n")
    assert only_fault(folder)[:2] == ("000005", "no caption")


def test_a_caption_of_a_part_of_its_clip(folder: Path):
    part = "a man walks#a/DET man/NOUN#0.5#2.5"  # 40 frames
    (folder / "texts/000005.txt").write_text(f"{LINE}\n{part}\nhe runs#he/PRON run/VERB#nan#nan\n")
    report = check_folder(folder)
    assert report.captions == [] and report.segments == 1
    assert "1 captions speak of a part" in report.table()


def test_notes_on_the_splits(folder: Path):
    (folder / "val.txt").write_text("000004\n000004\n000001\n")
    report = check_folder(folder)
    assert report.splits["val"] == ["000004", "000001"]
    assert "val.txt lists 1 clips more than once, such as 000004." in report.notes
    assert "Note: 1 clips are in train.txt and in val.txt, such as 000001." in report.table()


# -- prepare ----------------------------------------------------------------------------------------------


def test_prepared_folder_refers_to_the_source_and_leaves_it_alone(folder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    save_clip(folder, "000002", np.full((60, 263), np.nan, np.float32))
    (folder / "texts/000001.txt").write_text(f"{LINE}\nno parts\n")
    before = contents(folder)
    data = prepare(folder, tmp_path / "out")
    assert contents(folder) == before
    assert data.ids("train") == ["000001", "M000001", "000003"] and data.ids("test") == SPLITS["test"]
    assert data.ids("train_val") == ["000001", "M000001", "000003", "000004"] and len(data.ids("all")) == 6
    assert set(data.splits) == {"train", "val", "test", "train_val", "all"}
    assert (data.name, data.fps, data.skeleton) == ("humanml3d", 20.0, "humanml3d")
    info = json.loads((tmp_path / "out/dataset.json").read_text())
    assert info["features_from"] == str(folder) and info["clips"] == 6
    assert info["splits_hash"] == data.splits_hash
    assert np.array_equal(data.features("000003"), np.load(folder / "new_joint_vecs/000003.npy"))
    assert data.std.shape == (263,) and len(data.captions("000003")) == 2
    assert (tmp_path / "out/texts/000001.txt").read_text() == f"{LINE}\n"
    assert [p.name for p in (tmp_path / "out/texts").iterdir()] == ["000001.txt"]
    assert "NaN or infinite numbers: 000002" in (tmp_path / "out/report.md").read_text()
    told = json.loads((tmp_path / "out/report.json").read_text())
    fault = {"id": "000002", "reason": "NaN or infinite numbers", "detail": "in 60 of 60 frames"}
    assert told["clips"] == [fault]
    assert [fault["id"] for fault in told["captions"]] == ["000001"]


def test_prepared_captions_are_the_mended_ones(folder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    (folder / "texts/000001.txt").write_text(f"{LINE}\nno parts\n")
    data = prepare(folder, tmp_path / "out")
    assert [caption.text for caption in data.captions("000001")] == ["a man walks"]
    packed = data.pack("train")
    assert [len(captions) for captions in packed.captions] == [1, 2, 2, 2]


def test_content_hash_follows_features_and_captions(folder: Path):
    first = check_folder(folder).content_hash
    assert check_folder(folder).content_hash == first
    values = np.load(folder / "new_joint_vecs/000003.npy")
    values[5, 5] += 1
    save_clip(folder, "000003", values)
    second = check_folder(folder).content_hash
    (folder / "texts/000004.txt").write_text(LINE)
    assert len({first, second, check_folder(folder).content_hash}) == 3


@pytest.mark.parametrize("out", [".", "prepared", "texts/../deep/er"])
def test_nothing_is_written_into_the_source(folder: Path, out: str):
    before = contents(folder)
    with pytest.raises(ValueError, match="never written to"):
        prepare(folder, folder / out)
    assert contents(folder) == before


def test_a_source_inside_the_folder_that_would_be_replaced_stays(folder: Path, tmp_path: Path):
    (tmp_path / "dataset.json").write_text("{}")  # as if prepared here before
    before = contents(folder)
    with pytest.raises(ValueError, match="the source folder .* lies in --out"):
        prepare(folder, tmp_path)
    assert contents(folder) == before


def test_a_folder_of_something_else_is_not_replaced(folder: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="none of ours"):
        prepare(folder, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


def test_with_the_published_mean_std_and_clip(folder: Path, shared_dir: Path):
    published = shared_dir / "humanml3d"
    for name in ("Mean.npy", "Std.npy"):
        (folder / name).write_bytes((published / name).read_bytes())
    (folder / "new_joint_vecs/000005.npy").write_bytes((published / "012314_features.npy").read_bytes())
    assert check_folder(folder).clips == []
