import re
import shutil
import tarfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mmm.bvh.reading import read_bvh
from mmm.datasets import bandai


@pytest.fixture(scope="session")
def captures(shared_dir, tmp_path_factory):
    """Some takes of data set 1, unpacked."""
    folder = tmp_path_factory.mktemp("bvh")
    with tarfile.open(shared_dir / "bandai" / "dataset-1.tar.xz") as archive:
        wanted = [
            m for m in archive if re.search(r"(walk|dash)_(normal|sad)_00|_bow_.*_001|bow_sad|dance", m.name)
        ]
        archive.extractall(folder / "deep" / "er", wanted, filter="data")
    return folder


def test_joints_are_those_of_the_golden(captures, shared_dir):
    motion = read_bvh(next(captures.rglob("dataset-1_walk_normal_001.bvh")))
    joints = bandai.resample(bandai.to_humanml3d(motion), motion.fps, 20)
    golden = np.load(shared_dir / "golden" / "features.npz")["dataset-1_walk_normal_001/joints"]
    assert joints.shape == golden.shape
    assert np.abs(joints - golden).max() < 1e-5


def test_prepare(captures, shared_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    folder = bandai.prepare(tmp_path / "out", captures, processes=1)
    lengths = {i: len(folder.features(i)) for i in folder.ids("all")}
    assert min(lengths.values()) >= 24 and max(lengths.values()) <= 196
    pieces = [i for i in lengths if i.startswith("dataset-1_dance")]
    assert len(pieces) == 7 and sum(lengths[i] for i in pieces) == 1266  # all of the long take
    golden = np.load(shared_dir / "golden" / "features.npz")["dataset-1_walk_normal_001/features"]
    assert np.abs(folder.features("dataset-1_walk_normal_001") - golden).max() < 1e-4
    short = ["dataset-1_dash_normal_001", "dataset-1_walk_normal_002"]
    assert folder.info["left_out"]["shorter than 24 frames"] == short
    assert folder.program("dataset-1_bow_sad_001")["content"] == "bow"
    table = folder.compositions()
    assert {"walk", "bow, sad"} <= set(table["typed"]) and table["styles"].keys() <= set(folder.ids("train"))
    for clip, style in table["styles"].items():
        own = folder.program(clip)["style"]
        assert style == {"elderly": "old", "masculinity": "masculine"}.get(own, own)
    assert all(len(folder.captions(i)) == 4 for i in folder.ids("val") + folder.ids("test"))
    assert all(len(folder.captions(i)) in range(7, 3 + bandai.RICHER) for i in folder.ids("train"))


def test_no_take_is_in_two_splits_and_actions_are_in_all():
    takes = [
        bandai.Take(Path(), "dataset-1", content, "sad", f"{i:03d}")
        for content, count in (("walk", 40), ("bow", 15), ("kick", 1))
        for i in range(count)
    ]
    splits = bandai.split_takes(takes, seed=0)
    everything = splits["train"] + splits["val"] + splits["test"]
    assert sorted(everything) == sorted(take.id for take in takes)
    for name in ("train", "val", "test"):
        assert {i.split("_")[1] for i in splits[name]} >= {"walk", "bow"}
    assert "dataset-1_kick_sad_000" in splits["train"]
    assert splits == bandai.split_takes(takes[::-1], seed=0)
    assert splits != bandai.split_takes(takes, seed=1)
    with pytest.raises(ValueError, match="none of the 2 actions has 5 takes"):
        bandai.split_takes(takes[:4] + takes[-1:], seed=0)


def test_sources_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mydance.bvh").write_text("HIERARCHY")
    (tmp_path / "a.tar.xz").write_bytes(b"not an archive")
    for name, error, named in (
        ("nowhere", FileNotFoundError, "nowhere"),
        ("empty", ValueError, "empty"),
        ("other", ValueError, "mydance.bvh"),
        ("a.tar.xz", ValueError, "a.tar.xz"),
    ):
        with pytest.raises(error, match=named):
            bandai.prepare(tmp_path / "out", tmp_path / name)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_written_is_refused_before_anything_is_converted(captures, tmp_path, monkeypatch):
    monkeypatch.setattr(bandai, "_convert", lambda job: pytest.fail("converted"))
    with pytest.raises(ValueError, match="limit is 4"):
        bandai.prepare(tmp_path / "out", captures, limit=4)
    few = tmp_path / "out" / "few"
    few.mkdir(parents=True)
    shutil.copy(next(captures.rglob("*bow_sad_001.bvh")), few)
    (tmp_path / "out" / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match="few lies in --out"):
        bandai.prepare(tmp_path / "out", few)
    (tmp_path / "out" / "dataset.json").unlink()
    with pytest.raises(ValueError, match="out exists"):
        bandai.prepare(tmp_path / "out", captures)
    assert len(list(few.iterdir())) == 1


@pytest.mark.parametrize("kind", ["zip", "tar.xz", "tar.gz"])
@pytest.mark.parametrize("where", [0.0, 0.3, 0.9])
def test_damaged_archives_are_named(captures, tmp_path, kind, where):
    (tmp_path / "takes").mkdir()
    for take in sorted(captures.rglob("*bow*.bvh"))[:3]:
        shutil.copy(take, tmp_path / "takes")
    form = {"zip": "zip", "tar.xz": "xztar", "tar.gz": "gztar"}[kind]
    path = Path(shutil.make_archive(str(tmp_path / "data"), form, tmp_path / "takes"))
    data = bytearray(path.read_bytes())
    start = int(len(data) * where)
    data[start : start + len(data) // 20] = bytes(len(data) // 20)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"data.{kind} cannot be unpacked"):
        bandai.prepare(tmp_path / "out", path)


def test_a_damaged_header_is_not_taken_for_the_end_of_the_archive(captures, tmp_path):
    takes = sorted(captures.rglob("*bow*.bvh"))[:6]
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        for take in takes:
            archive.add(take, take.name)
        header = archive.getmembers()[-1].offset
    with (tmp_path / "data.tar").open("r+b") as file:
        file.seek(header)
        file.write(bytes(512))
    with pytest.raises(ValueError, match="data.tar cannot be unpacked"):
        bandai.prepare(tmp_path / "out", tmp_path / "data.tar")


def test_archives_beside_files_are_used_and_differing_files_of_one_take_are_named(
    captures, tmp_path, monkeypatch
):
    converted = []
    monkeypatch.setattr(bandai, "_convert", lambda job: converted.append(job[0].id) or [])
    prepare = partial(bandai.prepare, tmp_path / "out", tmp_path / "source", processes=1)
    bows = sorted(captures.rglob("*bow*_001.bvh"))
    source = tmp_path / "source"
    source.mkdir()
    for take in bows[:3]:
        shutil.copy(take, source)
    with tarfile.open(source / "more.tar.gz", "w:gz") as archive:
        for take in bows[2:]:
            archive.add(take, take.name)
    with warnings.catch_warnings(), pytest.raises(ValueError, match="would be empty"):
        warnings.simplefilter("error")  # no warning for the same file twice
        prepare()
    assert converted == [path.stem for path in bows]
    (source / bows[2].name).write_text("HIERARCHY of another version")
    with pytest.warns(UserWarning, match=bows[2].stem), pytest.raises(ValueError):
        prepare()
    (source / "other.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="other.tar"):
        prepare()
    with tarfile.open(source / "other.tar", "w") as archive:
        archive.add(__file__, "notes.txt")
    with pytest.raises(ValueError, match="no .bvh .*other.tar"):
        prepare()


def test_a_take_that_cannot_be_converted_is_named(captures, tmp_path):
    name = "dataset-1_bow_sad_001.bvh"
    text = next(captures.rglob(name)).read_text()
    (tmp_path / name).write_text(text.replace("JOINT Chest", "JOINT Torso"))
    take = bandai.Take(tmp_path / name, "dataset-1", "bow", "sad", "001")
    with pytest.raises(ValueError, match=f"{name}: .*Chest"):
        bandai._convert((take, 0, 4))
