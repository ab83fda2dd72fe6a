import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mmm.data import bandai
from mmm.data.bandai_captions import CONTENTS, LEXICON, STYLES, inflect, tag_words, write_captions
from mmm.motion.bvh import read_bvh


@pytest.fixture(scope="session")
def captures(shared_dir, tmp_path_factory):
    """Some takes of data set 1, unpacked."""
    folder = tmp_path_factory.mktemp("bvh")
    with tarfile.open(shared_dir / "bandai" / "dataset-1.tar.xz") as archive:
        wanted = [m for m in archive if re.search(r"(walk|bow|dash)_(normal|sad)_00|dance", m.name)]
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
    assert len(pieces) == 7 and sum(lengths[i] for i in pieces) == 1266  # nothing of the long take is lost
    golden = np.load(shared_dir / "golden" / "features.npz")["dataset-1_walk_normal_001/features"]
    assert np.abs(folder.features("dataset-1_walk_normal_001") - golden).max() < 1e-4
    assert folder.info["left_out"]["shorter than 24 frames"] == [
        "dataset-1_dash_normal_001",
        "dataset-1_walk_normal_002",
    ]
    assert folder.program("dataset-1_bow_sad_001")["content"] == "bow"
    assert all(len(folder.captions(i)) == 4 for i in lengths)


def test_no_take_is_in_two_splits_and_contents_are_in_all():
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


@pytest.mark.parametrize("frames", [25, 196, 197, 198, 393, 394, 1267])
def test_cut_covers_the_take_with_pieces_of_legal_length(frames):
    pieces = bandai.cut(frames)
    assert pieces[0].start == 0 and pieces[-1].stop == frames
    assert all(24 <= piece.stop - piece.start - 1 <= 196 for piece in pieces)
    assert all(a.stop - 1 == b.start for a, b in zip(pieces[:-1], pieces[1:], strict=True))


def test_sources_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        bandai.prepare(tmp_path / "out", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="neither .bvh files nor archives"):
        bandai.prepare(tmp_path / "out", tmp_path / "empty")
    (tmp_path / "empty" / "mydance.bvh").write_text("HIERARCHY")
    with pytest.raises(ValueError, match="mydance.bvh does not read like"):
        bandai.prepare(tmp_path / "out", tmp_path / "empty")
    (tmp_path / "a.tar.xz").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="a.tar.xz cannot be unpacked"):
        bandai.prepare(tmp_path / "out", tmp_path / "a.tar.xz")
    assert not (tmp_path / "out").exists()


def test_captions_differ_and_name_the_side():
    rng = np.random.default_rng(0)
    for content in CONTENTS:
        for style in STYLES:
            texts = [caption.text for caption in write_captions(content, style, rng)]
            assert len(set(texts)) == 4
            assert not re.search(r"[<>{}]|SIDE|  ", " ".join(texts))
            for side, other in (("left", "right"), ("right", "left")):
                if side in content:
                    assert all(side in text and other not in text for text in texts), texts


def test_captions_are_tagged_with_lemmas():
    assert tag_words("an old man is waving his left hand") == (
        ("an", "DET"),
        ("old", "ADJ"),
        ("man", "NOUN"),
        ("is", "AUX"),
        ("wave", "VERB"),
        ("his", "PRON"),
        ("left", "ADJ"),
        ("hand", "NOUN"),
    )
    assert {tag for _, tag in LEXICON.values()} <= {
        "DET",
        "PRON",
        "AUX",
        "ADP",
        "ADV",
        "CCONJ",
        "ADJ",
        "VERB",
    }
    assert [inflect(v, "s") + inflect(v, "ing") for v in ("go", "run", "wave", "see", "punch")] == [
        "goesgoing",
        "runsrunning",
        "waveswaving",
        "seesseeing",
        "punchespunching",
    ]
