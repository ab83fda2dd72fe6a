"""A miniature folder of the user's: the folder as a whole, and what `prepare` writes. Single faults: test_check.py."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mmm.datasets.humanml3d import check_folder, prepare

LINE = "a man walks#a/DET man/NOUN walk/VERB#0.0#0.0"
SPLITS = {"train": ["000001", "M000001", "000002", "000003"], "val": ["000004"], "test": ["000005", "000006"]}


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    """Everything that an untouched folder keeps."""
    files = [p for p in sorted(path.rglob("*")) if p.is_file()]
    return {str(p.relative_to(path)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def save_clip(users: Path, clip: str, values: np.ndarray) -> None:
    np.save(users / f"new_joint_vecs/{clip}.npy", values)


def test_a_good_folder(users: Path):
    report = check_folder(users)
    assert report.clips == report.captions == report.used == [] and report.segments == 0
    assert report.splits == report.listed == SPLITS
    table = report.table()
    assert "| train | 4      | 4         | 4      | 0        |" in table and "WARNING" not in table
    assert "Clips left out: none." in table and "Nothing to tell." in table


def test_a_good_kit_folder(make_users):
    assert check_folder(make_users("kit"), "kit").splits == SPLITS


# -- the folder as a whole --------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["Mean.npy", "Std.npy", "val.txt"])
def test_a_missing_file_of_the_layout(users: Path, tmp_path: Path, part: str):
    (users / part).unlink()
    with pytest.raises(FileNotFoundError, match=f"users has no {part}; expected"):
        prepare(users, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_texts_that_are_still_zipped(users: Path):
    (users / "texts").rename(users / "elsewhere")
    (users / "texts.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match="has no texts; expected.*unpack it first"):
        check_folder(users)


def test_no_folder_and_an_unknown_kind(users: Path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        check_folder(users / "nowhere")
    with pytest.raises(ValueError, match="'babel'; known ones: humanml3d, kit"):
        check_folder(users, "babel")


def test_kit_given_as_humanml3d(make_users):
    with pytest.raises(
        ValueError, match=r"Mean.npy has shape \(251,\).* \(263,\).*looks like kit: prepare it as"
    ):
        check_folder(make_users("kit"))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_std_that_nothing_can_be_divided_by(users: Path, value: float):
    std = np.ones(263, np.float32)
    std[7] = value
    np.save(users / "Std.npy", std)
    with pytest.raises(ValueError, match="Std.npy"):
        check_folder(users)


def test_a_split_without_a_usable_clip(users: Path):
    save_clip(users, "000004", np.zeros((39, 263), np.float32))
    with pytest.raises(ValueError, match="no clip in .*val.txt can be used .*39 frames, expected 40 to 199"):
        check_folder(users)


def test_a_split_that_is_part_of_another(users: Path):
    (users / "val.txt").write_text("000005\n")
    with pytest.raises(
        ValueError, match="val.txt can be used .1 are listed; 000005 for one: also in test.txt"
    ):
        check_folder(users)
    (users / "val.txt").write_text("\n")
    with pytest.raises(ValueError, match="val.txt can be used .0 are listed.[.]"):
        check_folder(users)


# -- prepare ----------------------------------------------------------------------------------------------


def test_prepared_folder_refers_to_the_source_and_leaves_it_alone(users: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    save_clip(users, "000002", np.full((60, 263), np.nan, np.float32))
    (users / "texts/000001.txt").write_text(f"{LINE}\nno parts\n")
    before = contents(users)
    data = prepare(users, tmp_path / "out")
    assert contents(users) == before
    assert data.ids("train") == ["000001", "M000001", "000003"] and data.ids("test") == SPLITS["test"]
    assert data.ids("train_val") == ["000001", "M000001", "000003", "000004"] and len(data.ids("all")) == 6
    assert set(data.splits) == {"train", "val", "test", "train_val", "all"}
    assert (data.name, data.fps, data.skeleton) == ("humanml3d", 20.0, "humanml3d")
    info = json.loads((tmp_path / "out/dataset.json").read_text())
    assert info["features_from"] == str(users) and info["clips"] == 6
    assert info["splits_hash"] == data.splits_hash
    assert np.array_equal(data.features("000003"), np.load(users / "new_joint_vecs/000003.npy"))
    assert data.std.shape == (263,) and len(data.captions("000003")) == 2
    assert (tmp_path / "out/texts/000001.txt").read_text() == f"{LINE}\n"
    assert [p.name for p in (tmp_path / "out/texts").iterdir()] == ["000001.txt"]
    assert "- NaN, 1: 000002 (in 60 of 60 frames" in (tmp_path / "out/report.md").read_text()
    told = json.loads((tmp_path / "out/report.json").read_text())
    assert [(fault["id"], fault["reason"]) for fault in told["clips"]] == [("000002", "NaN")]
    assert [fault["id"] for fault in told["captions"]] == ["000001"]
    assert told["splits"]["train"] == {"listed": 4, "different": 4, "usable": 3, "left out": 1}


def test_prepared_captions_are_the_mended_ones(users: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    (users / "texts/000001.txt").write_text(f"{LINE}\nno parts\n")
    data = prepare(users, tmp_path / "out")
    assert [caption.text for caption in data.captions("000001")] == ["a man walks"]
    packed = data.pack("train")
    assert [len(captions) for captions in packed.captions] == [1, 2, 2, 2]


def test_content_hash_follows_features_and_captions(users: Path):
    first = check_folder(users).content_hash
    assert check_folder(users).content_hash == first
    values = np.load(users / "new_joint_vecs/000003.npy")
    values[5, 5] += 1
    save_clip(users, "000003", values)
    second = check_folder(users).content_hash
    (users / "texts/000004.txt").write_text(LINE)
    assert len({first, second, check_folder(users).content_hash}) == 3


def test_content_hash_is_of_what_is_used(users: Path):
    """Neither the type on disk nor line ends are: what is learnt is the same."""
    first = check_folder(users).content_hash
    save_clip(users, "000003", np.load(users / "new_joint_vecs/000003.npy").astype(np.float64))
    text = users / "texts/000004.txt"
    text.write_bytes(text.read_bytes().replace(b"\n", b"\r\n"))
    assert check_folder(users).content_hash == first


@pytest.mark.parametrize("out", [".", "prepared", "texts/../deep/er"])
def test_nothing_is_written_into_the_source(users: Path, out: str):
    before = contents(users)
    with pytest.raises(ValueError, match="never written to"):
        prepare(users, users / out)
    assert contents(users) == before


def test_a_source_inside_the_folder_that_would_be_replaced_stays(users: Path, tmp_path: Path):
    (tmp_path / "dataset.json").write_text("{}")  # as if prepared here before
    before = contents(users)
    with pytest.raises(ValueError, match="the source folder .* lies in --out"):
        prepare(users, tmp_path)
    assert contents(users) == before


def test_a_folder_of_something_else_is_not_replaced(users: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="none of ours"):
        prepare(users, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


def test_with_the_published_mean_std_and_clip(users: Path, shared_dir: Path):
    published = shared_dir / "humanml3d"
    for name in ("Mean.npy", "Std.npy"):
        (users / name).write_bytes((published / name).read_bytes())
    (users / "new_joint_vecs/000005.npy").write_bytes((published / "012314_features.npy").read_bytes())
    assert check_folder(users).clips == []
