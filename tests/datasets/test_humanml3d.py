"""A user's folder as a whole, and what `prepare` writes. Single faults: test_humanml3d_check.py."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up.users import LINE, SPLITS

from mmm.data import MotionFolder
from mmm.datasets.humanml3d import check_folder, prepare


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    """Everything that stays the same in an untouched folder."""
    files = [p for p in sorted(path.rglob("*")) if p.is_file()]
    return {str(p.relative_to(path)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def save_clip(users: Path, clip: str, values: np.ndarray) -> None:
    np.save(users / f"new_joint_vecs/{clip}.npy", values)


@pytest.mark.parametrize("kind", ["humanml3d", "kit"])
def test_a_good_folder(make_users, kind):
    report = check_folder(make_users(kind), kind)
    assert report.clips == report.captions == report.used == [] and report.segments == 0
    assert report.splits == report.listed == SPLITS
    markdown = report.to_markdown()
    assert "| train | 4      | 4         | 4      | 0        |" in markdown and "WARNING" not in markdown


# ---- the folder as a whole


def zip_texts(users: Path) -> None:
    (users / "texts").rename(users / "elsewhere")
    (users / "texts.zip").write_bytes(b"PK")


def shorten_val(users: Path) -> None:
    save_clip(users, "000004", np.zeros((39, 263), np.float32))


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        (shutil.rmtree, FileNotFoundError, "users"),
        (lambda users: (users / "val.txt").unlink(), FileNotFoundError, "val.txt"),
        (zip_texts, FileNotFoundError, "texts.zip"),
        (shorten_val, ValueError, "val.txt .*000004 .*39 frames"),
        (lambda users: (users / "val.txt").write_text("000005\n"), ValueError, "val.txt .*000005 .*test.txt"),
        (lambda users: (users / "val.txt").write_text("\n"), ValueError, "val.txt"),
    ],
)
def test_a_folder_that_cannot_be_used_leaves_nothing(users: Path, tmp_path: Path, change, error, named):
    change(users)
    with pytest.raises(error, match=named):
        prepare(users, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Mean.npy", np.zeros(251, np.float32)),  # that of KIT-ML
        ("Mean.npy", np.full(263, np.inf, np.float32)),
        ("Mean.npy", np.zeros(263, np.int64)),
        ("Std.npy", np.full(263, np.nan, np.float32)),
        ("Std.npy", np.r_[np.ones(262, np.float32), 0]),
    ],
)
def test_without_mean_and_std_nothing_can_be_used(users: Path, tmp_path: Path, name, values):
    np.save(users / name, values)
    for use in (lambda: prepare(users, tmp_path / "out"), lambda: MotionFolder.open(users)):
        with pytest.raises(ValueError, match=f"users/{name}"):
            use()
    assert not (tmp_path / "out").exists()


# ---- prepare


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
    assert [len(captions) for captions in data.pack("train").captions] == [1, 2, 2]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [(fault["id"], fault["reason"]) for fault in report["clips"]] == [("000002", "NaN")]
    assert [fault["id"] for fault in report["captions"]] == ["000001"]
    assert report["splits"]["train"] == {"listed": 4, "different": 4, "usable": 3, "left out": 1}


def test_content_hash_covers_features_and_captions_but_not_how_they_are_stored(users: Path):
    first = check_folder(users).content_hash
    values = np.load(users / "new_joint_vecs/000003.npy")
    save_clip(users, "000003", values.astype(np.float64))
    text = users / "texts/000004.txt"
    text.write_bytes(text.read_bytes().replace(b"\n", b"\r\n"))
    assert check_folder(users).content_hash == first
    values[5, 5] += 1
    save_clip(users, "000003", values)
    second = check_folder(users).content_hash
    text.write_text(LINE)
    assert len({first, second, check_folder(users).content_hash}) == 3


@pytest.mark.parametrize("out", [".", "prepared", "texts/../deep/er", ".."])
def test_source_and_out_must_not_contain_each_other(users: Path, out: str):
    (users.parent / "dataset.json").write_text("{}")  # as if the parent had been prepared before
    before = contents(users)
    with pytest.raises(ValueError, match="--out"):
        prepare(users, users / out)
    assert contents(users) == before


def test_a_folder_of_something_else_is_not_replaced(users: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="out exists"):
        prepare(users, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


def test_with_the_published_mean_std_and_clip(users: Path, shared_dir: Path):
    published = shared_dir / "humanml3d"
    for name in ("Mean.npy", "Std.npy"):
        (users / name).write_bytes((published / name).read_bytes())
    (users / "new_joint_vecs/000005.npy").write_bytes((published / "012314_features.npy").read_bytes())
    assert check_folder(users).clips == []
