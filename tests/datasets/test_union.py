"""Several data sets as one: ids, splits, Mean and Std, shares, and how clips of it combine."""

import json

import numpy as np
import pytest

from mmm.data.captions import untagged
from mmm.data.folder import MotionFolder
from mmm.data.write import Clip, write_folder
from mmm.datasets import union
from mmm.training.data import balanced_weights


def source(path, name, scale, contents, licence="MIT", **info):
    """A data set of 26-frame clips, two of val and two of test; `contents` are the action classes of train."""
    rng = np.random.default_rng(len(contents))
    names = [f"c{i}" for i in range(len(contents) + 4)]
    clips = [
        Clip(
            clip,
            (scale * rng.standard_normal((26, 263))).astype(np.float32),
            np.zeros((26, 22, 3), np.float32),
            [untagged(f"{name} {clip}")],
            {"dataset": name, "content": contents[i], "style": "old" if i else "elderly"}
            if i < len(contents)
            else None,
        )
        for i, clip in enumerate(names)
    ]
    splits = {"train": names[:-4], "val": names[-4:-2], "test": names[-2:]}
    about = {
        "name": name,
        "fps": 20.0,
        "skeleton": "humanml3d",
        "source": name,
        "licence": licence,
        "seed": 0,
    }
    write_folder(path / name, clips, splits, about | info)
    return path / name


@pytest.fixture
def two(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    first = source(tmp_path, "bandai", 1.0, ["walk"] * 6 + ["bow"] * 2, "CC BY-NC 4.0")
    return [first, source(tmp_path, "cmu", 3.0, ["walk", "sit-down"], "free for any use (CMU)")]


def test_clips_keep_their_content_and_their_splits(two, tmp_path):
    folder = union.prepare(tmp_path / "both", two)
    assert folder.ids("train") == [*(f"bandai-c{i}" for i in range(8)), "cmu-c0", "cmu-c1"]
    assert folder.ids("val_cmu") == ["cmu-c2", "cmu-c3"] and folder.ids("val") == folder.ids("val_bandai") + [
        "cmu-c2",
        "cmu-c3",
    ]
    assert folder.source_of("cmu-c0") == folder.source_of("Mcmu-c0") == "cmu"
    assert folder.program("bandai-c7")["content"] == "bow" and folder.program("cmu-c2") is None
    assert [caption.text for caption in folder.captions("cmu-c1")] == ["cmu c1"]
    original = np.load(two[1] / "new_joint_vecs" / "c1.npy")
    assert np.array_equal(folder.features("cmu-c1"), original)
    assert folder.info["licence"] == "CC BY-NC 4.0" and folder.name == "bandai-cmu"


def test_mean_and_std_count_every_source_alike(two, tmp_path):
    folder = union.prepare(tmp_path / "both", two)
    # eight clips with a standard deviation of 1, two with 3: alike, the variance is (1 + 9) / 2
    assert folder.std[4:67].mean() == pytest.approx(5**0.5, rel=0.03)


def test_sources_are_drawn_by_their_shares_and_classes_within_them(two, tmp_path):
    folder = union.prepare(tmp_path / "both", two, shares=[3, 1])
    packed = folder.pack("train")
    weights = balanced_weights(folder, packed, np.ones(10), power=0.0)
    assert weights[:8].sum() == pytest.approx(0.75) and weights[8:].sum() == pytest.approx(0.25)
    assert weights[:6].sum() == pytest.approx(weights[6:8].sum())  # walks and bows alike
    assert balanced_weights(folder, packed, np.ones(10), 1.0)[:8] == pytest.approx(0.75 / 8)


def test_how_its_clips_combine(two, tmp_path):
    folder = union.prepare(tmp_path / "both", two)
    table = folder.compositions()
    assert folder.source_splits == [MotionFolder.open(path).splits_hash for path in two]
    assert table["clips"]["bandai-c0"] == "walk" and table["clips"]["cmu-c1"] == "sit-down"
    assert {"walk|bow", "bow|walk", "walk|sit-down", "bow|sit-down"} == set(table["then"]) and not table[
        "while"
    ]
    assert len(set(table["then"]["walk|bow"])) == 6 and table["actions"]["walk"]["repeats"]
    # what people type about these actions, and which clips have a style that sentences are about
    assert {"walk", "bow", "sit-down", "walk, old"} <= set(table["typed"]) and "run" not in table["typed"]
    assert not [key for key in table["typed"] if " while " in key]
    assert (
        table["styles"]["bandai-c0"] == table["styles"]["bandai-c7"] == "old"
        and "cmu-c1" not in table["styles"]
    )
    again = union.prepare(tmp_path / "again", two)
    assert again.compositions() == table and again.content_hash == folder.content_hash
    (folder.path / "compositions.json").write_text(json.dumps({"actions": {}}))
    with pytest.raises(ValueError, match="damaged or incomplete"):
        folder.compositions()
    (folder.path / "compositions.json").write_text(json.dumps(table | {"clips": {"a": "fly"}}))
    with pytest.raises(ValueError, match="1 actions that it does not describe, such as .'fly'"):
        folder.compositions()


def test_two_sources_of_one_name_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    paths = [source(tmp_path / place, "own", 1.0, ["walk"]) for place in ("a", "b")]
    assert union.prepare(tmp_path / "both", paths).ids("train") == ["own-c0", "own2-c0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": 1}, "two or more"),
        ({"shares": [1.0]}, "1 shares for 2"),
        ({"shares": [1.0, 0.0]}, "above 0"),
        ({"fps": 12.5}, "the same"),
    ],
)
def test_what_is_refused(two, tmp_path, change, message):
    paths = two[: change.get("sources", 2)]
    if "fps" in change:
        paths = [two[0], source(tmp_path / "slow", "kit", 1.0, ["walk"], fps=12.5)]
    with pytest.raises(ValueError, match=message):
        union.prepare(tmp_path / "both", paths, change.get("shares"))
    assert not (tmp_path / "both").exists()


def test_a_split_may_be_empty_in_one_source_but_not_in_all(two, tmp_path):
    (two[1] / "val.txt").write_text("")
    both = union.prepare(tmp_path / "both", two)
    assert both.ids("val") == both.ids("val_bandai") and "val_cmu" not in both.splits
    (two[0] / "val.txt").write_text("")
    with pytest.raises(ValueError, match="^val.txt of .*bandai and of the others list no clip"):
        union.prepare(tmp_path / "none", two)
    assert not (tmp_path / "none").exists()


def test_licences_that_ask_for_something_are_all_named():
    assert union.strictest(["MIT", "CC BY 4.0", "CC BY-NC 4.0"]) == "CC BY-NC 4.0 and CC BY 4.0"
    assert union.strictest(["not stated", "free for any use (CMU)"]) == "not stated"
    assert union.strictest(["MIT", "free for any use (CMU)"]) == "MIT and free for any use (CMU)"


def test_a_set_that_holds_mirrored_clips_is_refused(two, tmp_path):
    for name in ("new_joint_vecs/c0.npy", "new_joints/c0.npy", "texts/c0.txt"):
        path = two[1] / name
        path.with_stem("Mc0").write_bytes(path.read_bytes())
    (two[1] / "train.txt").write_text("c0\nc1\nMc0\n")
    with pytest.raises(ValueError, match="mirrored"):
        union.prepare(tmp_path / "both", two)
