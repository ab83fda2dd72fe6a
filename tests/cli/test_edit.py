"""`mmm edit`: from the user's file to files; what is kept stays where it was."""

from functools import partial

import numpy as np
import pytest
from made_up import bvh as made_up
from made_up.command import exit_code
from PIL import Image

from mmm.bvh.capture import load_motion
from mmm.bvh.reading import read_bvh
from mmm.motion import HUMANML3D, Motion

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


@pytest.fixture(scope="module")
def parts(of_parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "model"
    of_parts(2).save_pretrained(folder)
    return folder


LEGS = [
    "Hips",
    *(f"{side}{joint}" for side in ("Left", "Right") for joint in ("UpLeg", "Leg", "Foot", "ToeBase")),
]
GAPS = ["--gap", 16, 32]
BOWS = ["--text", "a person bows"]


@pytest.mark.parametrize(
    ("args", "added", "new", "legs"),  # frames in front, regenerated seconds, whether the legs are kept there
    [
        (["inbetween", *GAPS], 0, (0.75, 1.6), False),
        (["inbetween", "--gap", 0, 20], 0, (-1, 1), False),
        (["inbetween", "--gap", 40, 58], 0, (1.95, 9), False),
        (["outpaint", "--length", 80], 0, (2.85, 9), False),
        (["outpaint", "--length", 78, "--side", "before"], 30, (-9, 0), False),
        (["outpaint", "--length", 79, "--side", "both"], 15, (2.85, 9), False),
        (["upper-body", *BOWS], 0, (-1, 9), True),
        (["upper-body", *BOWS, *GAPS], 0, (0.75, 1.6), True),
        (["lower-body", *BOWS, *GAPS], 0, (0.75, 1.6), False),
    ],
)
def test_a_file_comes_back_as_it_was_where_it_was_kept(parts, tmp_path, args, added, new, legs):
    """A z-up file in inches with fingers, at 30 fps: its joints, channels, rate, unit, axes and place."""
    hand = made_up.TREES["mixamo"]["LeftHand"][1]
    tree = made_up.TREES["mixamo"] | {"LeftHandIndex1": ("LeftHand", hand + (0.1, 0, 0))}
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    made_up.write(mine, tree, 89, unit=0.0254, up="z", prefix="mixamorig:")
    assert run(args[0], mine, *args[1:], "--model", parts, "--out", back) == 0
    first, second = read_bvh(mine, unit=1), read_bvh(back, unit=1)
    assert (first.names, first.parents, first.fps) == (second.names, second.parents, second.fps)
    assert first.tree.channels == second.tree.channels
    assert np.abs(np.subtract(first.tree.offsets, second.tree.offsets)).max() < 1e-5
    count = min(len(first.joints), len(second.joints) - added)
    assert count >= 86, "all but what the features lack"
    seconds = np.arange(count) / 30
    kept = (seconds <= new[0]) | (seconds >= new[1])
    away = np.linalg.norm(first.joints[:count] - second.joints[added:][:count], axis=-1)  # inches
    assert kept.any() or legs
    assert away[kept].max(initial=0) < 1e-3
    if legs:
        assert away[:, [first.names.index(f"mixamorig:{name}") for name in LEGS]].max() < 1e-3
    if len(second.joints) > 100:  # frames were added: they move
        new = second.joints[:added] if added else second.joints[count:]
        assert np.ptp(new, axis=0).max() > 0.5
    else:
        assert away[~kept].max() > 0.5, "something is new"
    again = load_motion(back)
    assert (again.source.joint_map.name, again.unit, again.placement.up) == ("mixamo", "inch", "z")


def test_another_rate_and_humanml3ds_joints(parts, tmp_path):
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    made_up.write(mine, made_up.TREES["poser"], 89, unit=0.0254, up="z")
    model = ["--model", parts, "--out", back]
    assert run("inbetween", mine, *GAPS, *model, "--fps", 60) == 0
    first, second = read_bvh(mine, unit=1), read_bvh(back, unit=1)
    assert second.fps == 60 and len(second.joints) == 177 and second.names == first.names
    away = np.linalg.norm(first.joints - second.joints[::2], axis=-1)
    assert away[:23].max() < 1e-3 and away[48:].max() < 1e-3
    between = (first.joints[50:60] + first.joints[51:61]) / 2 - second.joints[101:121:2]
    assert np.linalg.norm(between, axis=-1).max() < 0.1
    assert run("inbetween", mine, *GAPS, *model, "--names", "humanml3d") == 0
    second = read_bvh(back, unit=1)
    assert sorted(second.names) == sorted(HUMANML3D.joints) and second.fps == 30 and len(second.joints) == 89
    away = first.joints[:, 0] - second.joints[:, 0]
    assert np.linalg.norm(away, axis=-1)[[*range(23), *range(48, 89)]].max() < 0.5, "pelvis, inches"
    again = load_motion(back)
    assert (again.source.joint_map.name, again.unit, again.placement.up) == ("humanml3d", "inch", "z")
    assert run("inbetween", mine, "--gap", 8, 16, *model, "--source-fps", 60, "--skip", 0.1) == 0
    assert read_bvh(back).fps == 60 and len(read_bvh(back).joints) == 83


def test_outpaint_and_long(trained, source, tmp_path):
    model, out = ["--model", trained / "model_run"], tmp_path / "a.npy"
    assert run("outpaint", source, "--length", 120, "--side", "before", *model, "--out", out) == 0
    assert np.load(out).shape == (120, 22, 3)
    lengths = ["--length", 40, "--length", 44]
    assert run("long", "a person walks, then bows", *lengths, *model, "--out", out) == 0
    assert np.load(out).shape == (84, 22, 3)
    assert run("long", "she walks", "she bows", *lengths, "--fix-feet", *model, "--out", out) == 0


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["inbetween", "SOURCE", "--gap", 80, 95], "80:95"),
        (["inbetween", "SOURCE", "--gap", 30, 50, "--gap", 40, 60], "40:60"),
        (["inbetween", "SOURCE"], "there is no gap"),
        (["upper-body", "SOURCE", "--text", "waves"], "upper body"),
        (["outpaint", "SOURCE", "--length", 40], "length is 40"),
        (["inbetween", "nowhere.bvh", "--gap", 3, 5], "nowhere.bvh"),
        (["inbetween", "SOURCE", "--gap", 30, 50, "--source-fps", 30], "--source-fps is for .bvh files"),
        (["inbetween", "SOURCE", "--gap", 30, 50, "--fps", 0], "fps is 0"),
        (["inbetween", "SOURCE", "--gap", 30, 50, "--text", "bows", "--text", "waves"], "2 texts and 1 gaps"),
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
