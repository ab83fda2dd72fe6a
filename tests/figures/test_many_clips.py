import json

import numpy as np
import pytest

from figures.bench import many_clips
from figures.bench.many_clips import make_folder, measure, table
from mmm.datasets.humanml3d import check_folder


@pytest.fixture(scope="module", autouse=True)
def few():
    """Fewer different clips, as it takes a second to make all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many_clips, "DIFFERENT", 8)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "HumanML3D"
    make_folder(path, clips=100)
    return path


def test_the_folder_is_a_good_one_of_real_sizes(folder):
    report = check_folder(folder)
    assert report.clips == report.captions == report.used == []
    assert {split: len(ids) for split, ids in report.splits.items()} == {"train": 80, "val": 5, "test": 15}
    frames = [len(np.load(path)) for path in (folder / "new_joint_vecs").iterdir()]
    assert len(frames) == 100 and min(frames) >= 100 and max(frames) <= 199
    assert report.segments == 2


def test_files_are_links_unless_copies_are_requested(folder, tmp_path):
    files = list((folder / "new_joint_vecs").iterdir())
    assert len({path.stat().st_ino for path in files}) == many_clips.DIFFERENT
    make_folder(tmp_path / "copies", clips=70, copies=True)
    assert len({path.stat().st_ino for path in (tmp_path / "copies/new_joint_vecs").iterdir()}) == 70
    with pytest.raises(ValueError, match="expected 20 or more"):
        make_folder(tmp_path / "few", clips=19)


def test_each_step_is_measured_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    runs = measure(tmp_path / "out", clips=70, repeats=2, run=many_clips.step)
    assert [len(runs[name]) for name in ("prepare", "cold", "warm")] == [1, 1, 2]
    assert all(run[key] > 0 for runs in runs.values() for run in runs for key in ("import", "peak"))
    assert runs["cold"][0]["load"] > max(run["load"] for run in runs["warm"])
    assert list(tmp_path.iterdir()) == [tmp_path / "out"] and not list((tmp_path / "out").iterdir())
    assert json.loads(json.dumps(runs)) == runs


@pytest.mark.parametrize(
    ("seconds", "peak", "kept"), [(0.2, 200, True), (2.1, 200, False), (0.2, 501, False), (0.2, None, True)]
)
def test_the_table_says_whether_the_limits_are_kept(seconds, peak, kept):
    run = {"import": 1.0, "prepare": 9.0, "load": seconds, "peak": peak and peak * 10**6}
    shown = table({"prepare": [run], "cold": [run], "warm": [run, run | {"load": 0.1}, run]}, 14616)
    assert ("kept." in shown, "NOT KEPT." in shown) == (kept, not kept)
    assert (
        f"| open and pack, from then on | {seconds:.2f} (0.10 to {seconds:.2f}) | {seconds + 1:.2f} |"
        in shown
    )
    assert "14,616 clips" in shown
