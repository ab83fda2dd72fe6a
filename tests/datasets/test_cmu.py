"""CMU's captures: of made-up takes, and of the captures themselves where the shared folder has them."""

import re
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_up import bvh as made_up
from made_up.command import exit_code as run

from mmm.bvh.joint_map import choose_map
from mmm.bvh.reading import read_bvh
from mmm.datasets import cmu
from mmm.datasets.table import read_captions

HEADER = "file,start,end,action,caption"


def write_take(path: Path, seconds: float = 3, fps: int = 20, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"pose": made_up.ARMS_DOWN, "ends": 0.12, "order": "ZYX"} | options
    made_up.write(path, made_up.DAZ, int(seconds * fps) + 1, fps, **options)


@pytest.fixture
def takes(tmp_path, monkeypatch) -> Path:
    """Eight made-up takes of a subject 90 that CMU does not have, and the table of their captions."""
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    lines = [HEADER]
    for number in range(8):
        write_take(tmp_path / f"bvh/90/90_0{number}.bvh", seed=number)
        action = "walk" if number < 5 else "jump"
        lines += [f"90/90_0{number}.bvh,0.05,2.05,{action},a person moves {number}"] * 2
        lines += [f'90/90_0{number}.bvh,0.05,2.05,{action},"someone moves, {number}"']
    (tmp_path / "more.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "bvh"


def prepare(takes: Path, out: str = "out", **options):
    with pytest.warns(
        UserWarning, match=r"\d+ of the \d+ takes that have captions are not in the source: 01_01"
    ):
        options = {"captions": takes.parent / "more.csv", "processes": 1} | options
        return cmu.prepare(takes.parent / out, takes, **options)


def test_captioned_pieces_become_a_data_set(takes):
    write_take(takes / "others/91_01.bvh")
    folder = prepare(takes)
    assert folder.ids("all") == [f"90_0{number}_0.05-2.05s" for number in range(8)]
    clip = folder.ids("all")[3]
    texts = [caption.text for caption in folder.captions(clip)]
    assert texts[:2] == ["a person moves 3", "someone moves, 3"]
    assert len(texts) == 2 + (cmu.RICHER if clip in folder.ids("train") else 0)
    assert folder.program(clip) == {
        "dataset": "cmu",
        "content": "walk",
        "take": "90_03",
        "path": "90_03.bvh",
        "first": 1,
        "last": 42,
    }
    assert len(folder.features(clip)) == 40
    assert folder.info["name"] == "cmu" and folder.info["takes"] == 8
    assert "NSF EIA-0196217" in folder.info["source"] and folder.info["licence"].startswith(
        "free for any use"
    )
    assert folder.info["left_out"] == {"without a caption": ["91_01"]}
    again = prepare(takes, "again")
    assert again.content_hash == folder.content_hash and again.splits == folder.splits


def test_the_joint_map_of_daz_is_recognised_and_puts_the_pelvis_above_the_hips(takes):
    motion = read_bvh(takes / "90/90_00.bvh")
    chosen = choose_map(motion)
    assert chosen.name == "daz"
    joints = chosen.apply(motion)
    above = np.median(joints[:, 0, 1] - joints[:, [1, 2], 1].mean(1))
    assert 0.09 < above < 0.12  # a map guessed from names takes `hip`, 3 cm below them


def test_published_takes_give_the_same_clips_at_the_same_times(takes, tmp_path):
    lean, published = tmp_path / "lean.bvh", tmp_path / "published.bvh"
    write_take(published, 4, 120, t_pose=1, seed=1)
    write_take(lean, 4, 20, seed=1)
    (joints, first), (expected, _) = cmu.read_take(published), cmu.read_take(lean)
    assert len(joints) == 80 and first == 0
    assert np.abs(joints - expected[1:]).max() < 1e-3  # a reduced take begins 1/20 s after the published one


def test_a_t_pose_that_lasts_is_cut_from_the_first_piece(takes, tmp_path):
    long = tmp_path / "long.bvh"
    write_take(long, 4, 120, t_pose=49)  # as in 03_02, then five frames to leave it
    assert cmu.read_take(long)[1] == 8
    write_take(long, 4, 20, t_pose=8)
    assert cmu.read_take(long)[1] == 8
    clips, short = cmu._convert(cmu.Take("long", long, tuple(read_captions(takes.parent / "more.csv")[:1])))
    assert clips[0].program["first"] == 8 and clips[0].program["last"] == 42 and not short


def test_every_class_of_val_and_test_remains_in_train():
    rng = np.random.default_rng(0)
    actions = {
        f"{take:02d}": rng.choice(["walk", "run", "jump"], rng.integers(1, 4)).tolist() for take in range(60)
    }
    actions |= {"60": ["swim"] * 3, "61": ["row", "walk"], "62": ["row"], "63": ["", "walk"]}
    splits = cmu.split_takes(actions, seed=0)
    assert sorted(sum(splits.values(), [])) == sorted(actions)
    clips = {
        name: Counter(action for take in some for action in actions[take]) for name, some in splits.items()
    }
    total = sum(clips.values(), Counter())
    assert set(clips["val"]) | set(clips["test"]) <= set(clips["train"])
    assert "60" in splits["train"] and "63" in splits["train"]
    for name in ("val", "test"):
        assert 0.1 <= clips[name].total() / total.total() < 0.13
        assert all(abs(clips[name][action] - 0.1 * total[action]) <= 2 for action in ("walk", "run", "jump"))
    assert splits == cmu.split_takes(dict(reversed(actions.items())), seed=0)
    assert splits != cmu.split_takes(actions, seed=1)
    with pytest.raises(ValueError, match="of the 2 takes with a caption none can be spared"):
        cmu.split_takes({"a": ["walk"], "b": ["run"]}, seed=0)


def test_sources_that_cannot_be_used_are_named(takes, tmp_path):
    (tmp_path / "empty").mkdir()
    write_take(tmp_path / "other/99_01.bvh")
    for named, source, captions in (
        ("nowhere", "nowhere", None),
        ("empty", "empty", None),
        ("none of the 131 takes that have captions, such as 01_01.bvh", "other", None),
        ("no.csv", "bvh", tmp_path / "no.csv"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=named):
            cmu.prepare(tmp_path / "out", tmp_path / source, captions, processes=1)
    made_up.write(takes / "90/90_00.bvh", made_up.TREES["cmu"])
    with pytest.raises(ValueError, match=r"90_00.bvh lacks the joint \['hip'\]; expected Daz's skeleton"):
        prepare(takes)
    assert not (tmp_path / "out").exists()


def test_the_command(takes, tmp_path, capsys):
    args = ("--source", takes, "--captions", takes.parent / "more.csv", "--out", tmp_path / "data")
    with pytest.warns(UserWarning, match="131 of the 139"):
        assert run("prepare", "cmu", *args) == 0
    assert capsys.readouterr().out.endswith(
        f"{tmp_path / 'data'}: all 8, test 1, train 6, train_val 7, val 1\n"
    )


def test_the_table_can_be_used():
    rows = sum(cmu.read_rows().values(), [])
    pieces = {(row.file, row.start, row.end) for row in rows}
    assert len(rows) == 750 and len(pieces) == 253 and len({row.file for row in rows}) == 131
    assert set(cmu.BROKEN).isdisjoint(cmu.read_rows())
    actions = {(row.file, row.start, row.end, row.action) for row in rows}
    assert len(actions) == 253 and all(re.fullmatch(r"[a-z]+(-[a-z]+)*", row.action) for row in rows)


# ---- the captures themselves


@pytest.fixture(scope="module")
def real(shared_dir, tmp_path_factory):
    """The data set of the reduced takes."""
    out = tmp_path_factory.mktemp("cmu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM_CACHE", str(out / "cache"))
        yield cmu.prepare(out / "data", shared_dir / "cmu" / "cmu-01-14-lean.tar.xz", processes=1)


def test_the_real_data_set(real):
    clips = real.ids("all")
    frames = [len(real.features(clip)) for clip in clips]
    table = {row.text for rows in cmu.read_rows().values() for row in rows}
    captions = [caption for clip in clips for caption in real.captions(clip) if caption.text in table]
    words = {word for caption in captions for word, _ in caption.words}
    assert (len(clips), len(captions), len(words), real.info["takes"]) == (253, 750, 457, 131)
    assert sum(frames) / 20 / 60 == pytest.approx(19.0, abs=0.05) and 24 <= min(frames) <= max(frames) <= 196
    assert {"07_12", "09_10"} < set(real.info["left_out"]["without a caption"])
    splits = {name: [real.program(clip) for clip in real.ids(name)] for name in ("train", "val", "test")}
    train = {program["content"] for program in splits["train"]}
    for name in ("val", "test"):
        assert {program["content"] for program in splits[name]} <= train
        assert 20 <= len(splits[name]) <= 30  # about 10 % of 253
    parts = [{program["take"] for program in programs} for programs in splits.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 131


def test_no_real_clip_begins_in_a_t_pose(real):
    joints = {clip: np.load(real.path / "new_joints" / f"{clip}.npy") for clip in real.ids("all")}
    early = [
        clip for clip in joints if real.program(clip)["first"] < 20
    ]  # later, a dancer may spread the arms
    assert len(early) > 100 and not any(cmu.t_pose_frames(joints[clip]) for clip in early)
    firsts = np.stack([motion[0] for motion in joints.values()])
    # hanging wrists are lower than the shoulders; in a T-pose they are level with them
    assert np.median(firsts[:, [16, 17], 1] - firsts[:, [20, 21], 1]) > 0.3


def test_the_nine_published_takes_equal_the_reduced_ones(shared_dir, tmp_path):
    for name in ("raw-samples", "cmu-01-14-lean"):
        with tarfile.open(shared_dir / "cmu" / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path / name, filter="data")
    reduced = {path.stem: path for path in (tmp_path / "cmu-01-14-lean").rglob("*.bvh")}
    published = sorted((tmp_path / "raw-samples").rglob("*.bvh"))
    assert len(published) == 9
    for path in published:
        joints, first = cmu.read_take(path)
        above = np.median(joints[:, 0, 1] - joints[:, [1, 2], 1].mean(1))
        assert 0.08 < above < 0.12
        assert choose_map(read_bvh(path)).name == "daz"
        if path.stem in reduced:  # all but 14_36, which equals 14_31
            lean, lean_first = cmu.read_take(reduced[path.stem])
            assert lean.shape == joints.shape and np.abs(lean - joints).max() < 5e-4  # metres
            assert first == lean_first or path.stem == "09_10"
