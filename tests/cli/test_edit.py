"""`mmm edit`: from the user's file to files; what is kept stays where it was."""

from functools import partial

import numpy as np
import pytest
from made_up.command import exit_code
from PIL import Image

from mmm.bvh.reading import read_bvh
from mmm.motion import Motion

run = partial(exit_code, "edit")


@pytest.fixture
def source(golden, tmp_path):
    path = tmp_path / "source.npy"
    np.save(path, golden("features_free")["0/features"])  # 89 frames
    return path


def test_in_between_from_file_to_files(trained, source, tmp_path, capsys):
    outs = [tmp_path / f"new{suffix}" for suffix in (".npy", ".bvh")]
    common = ["--model", trained / "model_run", "--seed", 3]
    flags = [flag for path in outs for flag in ("--out", path)] + ["--compare", tmp_path / "both.gif"]
    gaps = ["--gap", 30, 50, "--gap", 60, 70, "--text", "a person bows"]
    assert run("inbetween", source, *gaps, *common, *flags) == 0
    made, old = np.load(outs[0]), Motion(np.load(source)).joints
    away = np.linalg.norm(made - old, axis=-1).max(1)
    kept = np.ones(89, bool)
    kept[30:50] = kept[60:70] = False
    assert away[kept].max() < 1e-3 < away[~kept].max()
    assert len(read_bvh(outs[1]).joints) == 89
    with Image.open(tmp_path / "both.gif") as gif:
        assert gif.n_frames == 89 and gif.size[0] == 2 * gif.size[1]
    said = capsys.readouterr().out
    assert "89 frames read, edited in" in said and "'a person bows'" in said


def test_a_bvh_keeps_its_position_direction_and_size(trained, source, tmp_path):
    """A body of another size, at another place, in another direction, in inches."""
    joints = Motion(np.load(source)).joints
    turned = joints[..., [2, 1, 0]] * [1, 1, -1] * 1.2 + [3, 0, -2]
    Motion.from_joints(turned.astype(np.float32)).save(tmp_path / "mine.bvh")
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    model = ["--model", trained / "model_run"]
    assert run("inbetween", mine, "--gap", 30, 50, "--text", "a person bows", *model, "--out", back) == 0
    first, second = read_bvh(mine), read_bvh(back)
    names = [second.names.index(name) for name in first.names]
    away = np.linalg.norm(first.joints[: len(second.joints)] - second.joints[:, names], axis=-1)
    assert away[:28].mean() < 0.05 and away[:28, 0].max() < 0.02, "kept: the same place, heading and size"
    assert away[52:, 0].max() < 0.02


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (["inbetween", "--gap", 0, 20], slice(20, 87)),
        (["outpaint", "--length", 120, "--side", "before"], slice(32, 118)),
        (["outpaint", "--length", 121, "--side", "both"], slice(16, 102)),
    ],
)
def test_kept_frames_stay_in_place_when_frames_are_added_before_them(trained, source, tmp_path, args, kept):
    Motion(np.load(source)).save(tmp_path / "mine.bvh")
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    flags = ["--text", "a person bows", "--model", trained / "model_run", "--out", back]
    assert run(args[0], mine, *args[1:], *flags) == 0
    first, second = read_bvh(mine), read_bvh(back)
    before = kept.start if args[0] == "outpaint" else 0
    roots = [bvh.joints[:, bvh.names.index("pelvis")] for bvh in (first, second)]
    count = kept.stop - kept.start
    away = roots[0][kept.start - before :][:count] - roots[1][kept][:count]
    assert np.linalg.norm(away, axis=-1).max() < 0.03


def test_outpaint_and_long(trained, source, tmp_path):
    model, out = ["--model", trained / "model_run"], tmp_path / "a.npy"
    assert run("outpaint", source, "--length", 120, "--side", "before", *model, "--out", out) == 0
    assert np.load(out).shape == (120, 22, 3)
    lengths = ["--length", 40, "--length", 44]
    assert run("long", "a person walks, then bows", *lengths, *model, "--out", out) == 0
    assert np.load(out).shape == (84, 22, 3)
    assert run("long", "walks", "bows", *lengths, "--fix-feet", *model, "--out", out) == 0


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["inbetween", "SOURCE", "--gap", 80, 95], "80:95"),
        (["inbetween", "SOURCE", "--gap", 30, 50, "--gap", 40, 60], "40:60"),
        (["inbetween", "SOURCE"], "there is no gap"),
        (["upper-body", "SOURCE", "--text", "waves"], "upper body"),
        (["outpaint", "SOURCE", "--length", 40], "length is 40"),
        (["inbetween", "nowhere.bvh", "--gap", 3, 5], "nowhere.bvh"),
        (["long", "a person walks, then"], 'a person walks, then'),
        (["inbetween", "SOURCE", "--gap", 30, 50, "--out", "a.txt"], "a.txt"),
        (["inbetween", "SOURCE", "--gap", 30, 50, "--compare", "a.png"], "a.png"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(trained, source, tmp_path, capsys, monkeypatch, args, named):
    monkeypatch.chdir(tmp_path)
    args = [source if arg == "SOURCE" else arg for arg in args]
    assert run(*args, "--model", trained / "model_run") == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["source.npy"], "nothing half-written"
