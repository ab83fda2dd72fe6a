"""The data set as a whole: the same bytes for the same seed, splits, a program for each clip."""

import numpy as np
import pytest

from mmm.datasets.synthetic import prepare, split_ids
from mmm.datasets.synthetic.choreograph import draw_program, held_out
from mmm.datasets.synthetic.program import Program
from mmm.motion import features_to_joints

CLIPS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("synthetic") / "data", clips=CLIPS, seed=3)


def test_same_seed_same_bytes_whatever_the_number_of_processes(folder, tmp_path):
    again = prepare(tmp_path / "again", clips=CLIPS, seed=3, processes=2)
    files = sorted(p.relative_to(folder.path) for p in folder.path.rglob("*") if p.is_file())
    assert len(files) > 4 * CLIPS
    assert files == sorted(p.relative_to(again.path) for p in again.path.rglob("*") if p.is_file())
    for file in files:
        assert (folder.path / file).read_bytes() == (again.path / file).read_bytes(), file
    assert again.content_hash == folder.content_hash


def test_every_clip_has_program_joints_and_captions(folder):
    assert draw_program(3_000_000) != draw_program(4_000_000)  # those of seeds 3 and 4
    for name in folder.ids("all"):
        features = folder.features(name)
        program = Program.from_dict(folder.program(name))
        assert features.shape == (program.frames, 263) and program.fps == folder.fps == 20
        assert 40 <= len(features) <= 196
        joints = np.load(folder.path / "new_joints" / f"{name}.npy")
        np.testing.assert_array_equal(joints, features_to_joints(features))
        assert len(folder.captions(name)) >= 3
        for segment in program.segments:
            assert segment.distance >= 0 and segment.end > segment.start


def test_held_out_combinations_are_absent_from_train_val_and_test():
    programs = {f"{i:06d}": draw_program(i) for i in range(400)}
    splits = split_ids(programs, 0)
    assert all(held_out(programs[i]) for i in splits["test_compositional"])
    assert not any(held_out(programs[i]) for part in ("train", "val", "test") for i in splits[part])
    assert sorted(i for ids in splits.values() for i in ids) == sorted(programs)
    rest = 400 - len(splits["test_compositional"])
    ratios = [len(splits[name]) / rest for name in ("train", "val", "test")]
    np.testing.assert_allclose(ratios, (0.8, 0.05, 0.15), atol=0.01)
    assert len(splits["test_compositional"]) > 10


def test_every_split_of_the_fewest_clips_has_one():
    for seed in range(60):
        splits = split_ids({f"{i:06d}": draw_program(seed * 1_000_000 + i) for i in range(20)}, seed)
        assert all(splits[name] for name in ("train", "val", "test")), seed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"clips": 3}, "clips is 3"), ({"seed": -1}, "seed is -1"), ({"processes": 0}, "processes is 0")],
)
def test_bad_arguments_are_refused_and_nothing_is_written(tmp_path, arguments, named):
    with pytest.raises(ValueError, match=named):
        prepare(tmp_path / "data", **arguments)
    assert not any(tmp_path.iterdir())
