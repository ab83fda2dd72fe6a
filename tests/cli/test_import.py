"""`mmm import`: what the screen shows, what is written, and what is refused."""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_up import bvh as made_up
from made_up.command import exit_code

from mmm.bvh.joint_map import known_map
from mmm.data import MotionFolder

run = partial(exit_code, "import")
ARMS = {"LeftArm": (0, 0, -70), "RightArm": (0, 0, 70)}


@pytest.fixture
def walk(tmp_path) -> Path:
    """Two seconds at 120 fps, in inches, z up, with MotionBuilder's names."""
    path = tmp_path / "walk.bvh"
    made_up.write(path, made_up.TREES["motionbuilder"], 241, 120, unit=0.0254, up="z")
    return path


def test_the_report_on_one_file(walk, tmp_path, capsys):
    outs = [tmp_path / "out" / f"walk.{suffix}" for suffix in ("npy", "html", "bvh", "png")]
    assert run(walk, *(word for out in outs for word in ("--out", out))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "joint map: guessed"
    assert lines[1:3] == ["pelvis          Hips", "left_hip        LeftHip"]
    assert lines[21:23] == ["left_wrist      LeftWrist", "right_wrist     RightWrist"]
    assert lines[23:25] == ["frames  241 at 120 fps, 41 at 20 fps", "length  2.0 s"]
    assert lines[25] == "unit    inch (guessed): the body is 1.43 m from ankle to head"
    assert lines[26] == "up      z (guessed)"
    assert lines[27] == f"{outs[0]}: HumanML3D's body, 41 frames"
    assert np.load(outs[0]).shape == (41, 22, 3) and all(out.stat().st_size > 1000 for out in outs)
    assert run(outs[2]) == 0
    assert "joint map: humanml3d" in capsys.readouterr().out


def test_map_unit_and_axis_can_be_given(walk, tmp_path, capsys):
    lines = {joint: name for joint, (name, _, _) in known_map("mixamo").joints.items()}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    path = tmp_path / "mixamo.bvh"
    made_up.write(path, made_up.TREES["mixamo"], 60, prefix="mixamorig:")
    assert run(path, "--map", tmp_path / "my.yaml", "--unit", "0.012", "--up", "y") == 0
    shown = capsys.readouterr().out
    assert f"joint map: {tmp_path}/my.yaml" in shown and "unit    0.012 (as given)" in shown
    assert run(path, "--up=-z", "--map", "mixamo") == 0  # the user's word counts
    assert "up      -z (as given)" in capsys.readouterr().out


def test_rate_and_start_can_be_given(tmp_path, capsys):
    path = tmp_path / "mixamo.bvh"
    made_up.write(path, made_up.TREES["mixamo"], 91, 30, pose=ARMS, t_pose=1)
    assert run(path) == 0
    assert "T-pose of 1 frame and jumps out of it" in capsys.readouterr().out.splitlines()[-1]
    assert run(path, "--skip", 0.1) == 0
    assert capsys.readouterr().out.splitlines()[-4] == "frames  88 at 30 fps, 59 at 20 fps"
    path.write_text(path.read_text().replace("Time: 0.0333333", "Time: 30"))
    assert run(path) == 2 and "--fps 30" in capsys.readouterr().err
    assert run(path, "--fps", 60, "--skip", 0.1) == 0
    assert capsys.readouterr().out.splitlines()[-4] == "frames  85 at 60 fps, 29 at 20 fps"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["nowhere.bvh"], "nowhere.bvh"),
        (["{walk}", "--out", "{tmp}/walk.fbx"], "walk.fbx"),
        (["{walk}", "--out", "{walk}"], "--out {walk}"),
        (["{walk}", "--captions", "c.csv"], "--captions"),
        (["{walk}", "--map", "cmu"], "LeftUpLeg"),
        (["{walk}", "--unit", "feet"], "'feet'"),
        (["{walk}", "--unit", "m"], "m from ankle to head"),
        (["{walk}", "--skip", "-1"], "--skip is -1"),
        (["{walk}", "--skip", "2"], "1 frames at 120 fps"),
        (["{tmp}"], "--captions"),
        (["{tmp}", "--captions", "c.csv"], "--out"),
        (["{tmp}", "--captions", "c.csv", "--out", "a.npy"], "a.npy"),
        (["{tmp}", "--captions", "{tmp}/c.csv", "--out", "{tmp}/mine"], "c.csv"),
    ],
)
def test_refusals_are_one_sentence(walk, tmp_path, capsys, args, named):
    before = sorted(tmp_path.rglob("*"))
    assert run(*(arg.format(walk=walk, tmp=tmp_path) for arg in args)) == 2
    error = capsys.readouterr().err
    assert named.format(walk=walk) in error and error.startswith("mmm: ") and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_becomes_a_data_set(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    takes = tmp_path / "takes"
    takes.mkdir()
    for number in range(5):
        frames = 20 if number == 4 else 70
        made_up.write(takes / f"{number}.bvh", made_up.TREES["cmu"], frames, unit=0.0254 / 0.45, seed=number)
    (takes / "captions.csv").write_text("file,caption\n0.bvh,sways\n1,sways\n2,sways\n4,stops\n")
    out = tmp_path / "mine"
    assert run(takes, "--captions", takes / "captions.csv", "--out", out, "--seed", 3) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "4 takes: joint map cmu, 30 fps, unit cmu, up y",
        "left out, without a caption: 1 (3; see dataset.json)",
        "left out, shorter than 24 frames at 20 fps: 1 (4; see dataset.json)",
        f"{out}: all 3, test 1, train 1, train_val 2, val 1",
        f"try: mmm train tokenizer --data {out} --preset tiny",
    ]
    assert MotionFolder.open(out).info["seed"] == 3


@pytest.mark.parametrize(
    ("out", "named"),
    [
        ("a.bvh/a.gif", "a.bvh is no folder"),
        ("x" * 300 + ".gif", "at most 200 bytes"),
        ("a\0.gif", "without NUL"),
        ("folder.npy", "is a folder; name a file in it"),
        ("loop.npy/a.npy", "loop.npy"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, capsys, out, named):
    monkeypatch.chdir(tmp_path)
    made_up.write(tmp_path / "a.bvh", made_up.TREES["mixamo"], 30)
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    for words in (("import", "a.bvh"), ("generate", "a person walks", "--model", "nowhere")):
        assert exit_code(*words, "--out", out) == 2
        said = capsys.readouterr().err
        assert said.startswith("mmm: --out ") and said.count("\n") == 1 and named in said


def test_odd_links_and_small_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.bvh").symlink_to("loop.bvh")
    assert run("loop.bvh", "--out", "a.npy") == 2
    assert "there is no motion loop.bvh" in capsys.readouterr().err
    made_up.write(tmp_path / "a.bvh", made_up.TREES["mixamo"], 30)
    assert run("a.bvh", "--out", "a.npy") == 0
    np.save("half.npy", np.load("a.npy").astype(np.float16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run("half.npy", "--out", "b.npy") == 0
