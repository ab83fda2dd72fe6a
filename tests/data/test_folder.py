import json
import os
from dataclasses import replace

import numpy as np
import pytest

from mmm.data import Caption, Clip, MotionFolder, write_folder
from mmm.data.captions import untagged
from mmm.data.write import mean_std
from mmm.motion import feature_slices, features_to_joints

INFO = {"name": "toy", "fps": 20.0, "skeleton": "humanml3d", "source": "test", "licence": "none", "seed": 0}


def clips(golden):
    free = golden("features_free")
    for i in range(3):
        features = np.asarray(free[f"{i}/features"], np.float32)
        captions = [Caption(f"motion {i}", (("motion", "NOUN"),)), Caption("it waves left")]
        yield Clip(f"{i:06d}", features, features_to_joints(features), captions, {"number": i})


SPLITS = {"train": ["000000", "000001"], "val": ["000002"], "test": [], "test_compositional": ["000002"]}


@pytest.fixture
def folder(tmp_path, golden, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    return write_folder(tmp_path / "toy", clips(golden), SPLITS, INFO)


def test_written_in_humanml3ds_layout(folder, golden):
    features = golden("features_free")["1/features"]
    assert np.array_equal(np.load(folder.path / "new_joint_vecs/000001.npy"), features)
    assert np.load(folder.path / "new_joints/000001.npy").shape == (len(features), 22, 3)
    assert (folder.path / "texts/000001.txt").read_text().startswith("motion 1#motion/NOUN#0.0#0.0\n")
    assert folder.ids("train_val") == ["000000", "000001", "000002"]
    assert folder.program("000002") == {"number": 2}
    assert folder.captions("000000")[1].text == "it waves left"
    assert json.loads((folder.path / "dataset.json").read_text())["clips"] == 3


def test_std_is_averaged_within_groups_of_the_train_split(folder, golden):
    free = golden("features_free")
    rows = np.concatenate([free["0/features"], free["1/features"]]).astype(np.float64)
    assert np.allclose(folder.mean, rows.mean(0), atol=1e-5)
    assert np.allclose(folder.std[4:67], rows.std(0)[4:67].mean(), atol=1e-5)
    assert np.allclose(folder.std[1:3], rows.std(0)[1:3].mean(), atol=1e-5)


def test_a_group_that_never_moves_is_named():
    frames = np.random.default_rng(0).normal(size=(50, 263)).astype(np.float32)
    frames[:, feature_slices("humanml3d")["root_height"]] = 1
    with pytest.raises(ValueError, match="root_height"):
        mean_std(frames)


def test_pack_is_one_array_and_follows_changes(folder):
    packed = folder.pack("train")
    assert len(packed) == 2 and isinstance(packed.features, np.memmap)
    assert np.array_equal(packed.clip(1), folder.features("000001"))
    assert packed.captions[0][0].words == (("motion", "NOUN"),)
    assert packed.texts() == ["it waves left", "motion 0", "motion 1"]
    changed = folder.features("000001")[:50] + 1
    np.save(folder.path / "new_joint_vecs/000001.npy", changed)
    assert np.array_equal(folder.pack("train").clip(1), changed)


@pytest.mark.parametrize("name", ["new_joint_vecs/000001.npy", "texts/000001.txt"])
def test_a_file_rewritten_in_place_makes_another_pack(folder, name):
    """Of the same size, so that only its own time can tell; the folder's time stays as it is."""
    path = folder.path / name
    before, parent = folder._stamp(folder.ids("train")), path.parent.stat().st_mtime_ns
    data, times = path.read_bytes(), path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000))
    assert path.parent.stat().st_mtime_ns == parent
    assert folder._stamp(folder.ids("train")) != before
    assert folder._stamp(folder.ids("val")) == folder._stamp(folder.ids("val"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert folder._stamp(folder.ids("train")) == before


def test_captions_with_times_become_clips_of_their_own(folder):
    path = folder.path / "texts/000001.txt"
    timed = "walks#walk/VERB#1.0#3.5\ntoo short#short/ADJ#0.0#1.0\n"
    path.write_text(path.read_text() + timed)
    packed = folder.pack("train")
    assert packed.ids == ["000000", "000001", "000001@1"]
    assert np.array_equal(packed.clip(2), folder.features("000001")[20:70])
    assert [c.text for c in packed.captions[1]] == ["motion 1", "it waves left"]
    assert [c.text for c in packed.captions[2]] == ["walks"]


def test_the_content_hash_covers_features_and_captions_but_not_tags(folder, tmp_path, golden):
    first, *others = clips(golden)
    text, rest = first.captions[0].text, first.captions[1:]

    def content_hash(**changes):
        changed = [replace(first, **changes), *others]
        return write_folder(tmp_path / "other", changed, SPLITS, INFO).content_hash

    assert content_hash(captions=[untagged(text), *rest]) == folder.content_hash
    assert content_hash(captions=[Caption(text, end=1.0), *rest]) != folder.content_hash
    assert content_hash(captions=[Caption("other"), *rest]) != folder.content_hash
    assert content_hash(features=first.features + 1) != folder.content_hash


def test_the_content_hash_covers_rules_but_not_what_is_typed(tmp_path, golden):
    def content_hash(**table):
        rules = {"actions": {}, "clips": {}, "then": {}, "while": {}} | table
        return write_folder(tmp_path / "other", clips(golden), SPLITS, INFO, compositions=rules).content_hash

    assert content_hash() == content_hash(typed={"walk": ["off he goes"]}, styles={"000000": "old"})
    assert content_hash() != content_hash(actions={"walk": {"part": "legs", "repeats": True}})


def test_the_hash_of_the_splits_follows_their_lists_alone(folder, tmp_path, golden):
    assert folder.info["splits_hash"] == folder.splits_hash
    other = write_folder(tmp_path / "other", clips(golden), SPLITS | {"train": ["000001", "000000"]}, INFO)
    assert other.content_hash == folder.content_hash and other.splits_hash != folder.splits_hash
    (folder.path / "test.txt").write_text("000001\n")
    assert MotionFolder.open(folder.path).splits_hash not in (folder.splits_hash, other.splits_hash)
    (folder.path / "test.txt").write_text("")
    (folder.path / "more.txt").write_text("000001\n")
    assert MotionFolder.open(folder.path).splits_hash == folder.splits_hash


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"name": "toy", "fps', "JSON"),
        ("[]", "an object"),
        ('{"name": "toy", "skeleton": "humanml3d"}', "fps"),
        ('{"name": "toy", "fps": 0, "skeleton": "humanml3d"}', "fps 0"),
        ('{"name": "toy", "fps": "20", "skeleton": "humanml3d"}', "fps '20'"),
        ('{"name": "../../evil", "fps": 20, "skeleton": "humanml3d"}', "'../../evil', expected a plain name"),
        ('{"name": "toy", "fps": 20, "skeleton": "humanml3d", "content_hash": "a/b"}', "'a/b'"),
        ('{"name": "toy", "fps": 20, "skeleton": ["humanml3d"]}', "skeleton"),
        ('{"name": "toy", "fps": 20, "skeleton": "humanml3d", "features_from": 5}', "features_from"),
        ('{"name": "toy", "fps": 20, "skeleton": "humanml3d", "sources": {"a": {"share": "1"}}}', "sources"),
        (f'{{"name": "toy", "fps": 1{"0" * 400}, "skeleton": "humanml3d"}}', "401 digits"),
        ('{"name": "toy", "fps": NaN, "skeleton": "humanml3d"}', "not finite"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_description_is_refused(folder, text, named):
    (folder.path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=f"dataset.json.*{named}"):
        MotionFolder.open(folder.path)


def test_a_folder_without_description_gets_a_name_that_no_path_can_be_made_of(folder, tmp_path, monkeypatch):
    (folder.path / "dataset.json").unlink()
    monkeypatch.chdir(folder.path)
    assert MotionFolder.open(".").name == "toy"
    folder.path.rename(tmp_path / "..my:data")
    assert MotionFolder.open(tmp_path / "..my:data").name == "my_data"


@pytest.mark.parametrize("clip", ["../../evil", "/evil", "..", "a\\b", "a\0b", "x" * 201])
def test_ids_lead_to_no_other_folder(folder, tmp_path, golden, clip):
    (folder.path / "train.txt").write_text(f"000000\n{clip}\n")
    with pytest.raises(ValueError, match=r"train\.txt is .*expected a plain name"):
        MotionFolder.open(folder.path)
    changed = [replace(next(clips(golden)), id=clip)]
    with pytest.raises(ValueError, match="the id of a clip is"):
        write_folder(tmp_path / "other" / "set", changed, SPLITS, INFO)
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("programs/000000.json", "[]"),
        ("programs/000000.json", '{"content": ["walk"]}'),
        ("programs/000000.json", '{"content": "walk", "style": ["old"]}'),
        *(
            ("compositions.json", text)
            for text in (
                "[]",
                '{"actions": {}, "clips": {"a": []}, "then": {}, "while": {}}',
                '{"actions": {"a": {"part": "legs", "repeats": true}}, "clips": {}, "then": {"a|a": [5]}, "while": {}}',
                '{"actions": {}, "clips": {}, "then": {}, "while": {}, "typed": {"a": "walks"}}',
                '{"actions": {}, "clips": {}, "then": {}, "while": {}, "styles": {"a": ["sad"]}}',
            )
        ),
    ],
)
def test_other_json_is_checked_as_well(folder, name, text):
    (folder.path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        folder.program("000000")
        folder.compositions()


@pytest.mark.parametrize("name", ["features.f32", "starts.npy", "captions.txt", "pack.json"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_cut_pack_is_named(folder, tmp_path, name, share):
    folder.pack("train")
    [path] = (tmp_path / "cache" / "packed").glob(f"*/{name}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share) // 8 * 8])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        folder.pack("train")


def test_a_pack_of_another_frame_rate_is_another_pack(folder):
    path = folder.path / "texts/000001.txt"
    path.write_text("walks#walk/VERB#-0.5#3.5\n")
    packed = folder.pack("train")
    assert packed.ids == ["000000", "000001@1"]
    assert np.array_equal(packed.clip(1), folder.features("000001")[:70]), "it starts before the clip does"
    info = json.loads((folder.path / "dataset.json").read_text())
    (folder.path / "dataset.json").write_text(json.dumps(info | {"fps": 16}))
    assert len(MotionFolder.open(folder.path).pack("train").clip(1)) == 56


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_empty_split_is_named_by_its_file(folder, split):
    (folder.path / f"{split}.txt").write_text("")
    with pytest.raises(ValueError, match=rf"{folder.path}/{split}\.txt lists no clip"):
        MotionFolder.open(folder.path).pack(split)


def test_a_damaged_clip_is_named(folder):
    path = folder.path / "new_joint_vecs/000002.npy"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="000002.npy"):
        folder.pack("val")


def test_nothing_is_left_when_writing_fails(tmp_path, golden):
    with pytest.raises(ValueError, match="nobody"):
        write_folder(tmp_path / "toy", clips(golden), SPLITS | {"val": ["nobody"]}, INFO)
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match="'tset'"):
        folder.ids("tset")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        MotionFolder.open(tmp_path / "nowhere")
    (folder.path / "Std.npy").unlink()
    with pytest.raises(FileNotFoundError, match="Std.npy"):
        MotionFolder.open(folder.path)
