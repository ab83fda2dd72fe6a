"""GIF and MP4: number of frames, their time, their colours, and what happens without ffmpeg."""

import shutil
import stat

import numpy as np
import pytest
from PIL import Image, ImageSequence

from mmm.motion import Motion
from mmm.viz.animation import animate, animate_beside
from mmm.viz.style import LEFT, RIGHT


@pytest.fixture(scope="module")
def joints(golden) -> np.ndarray:
    """40 frames of a made-up motion that travels 5 m."""
    return golden("features_free")["2/recovered_joints"]


@pytest.mark.parametrize("fps", [20.0, 12.5, 30.0])
def test_frames_and_duration_of_a_gif(tmp_path, joints, fps):
    with Image.open(animate(joints[:13], tmp_path / "a.gif", fps=fps, size=80)) as gif:
        waits = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
        assert gif.info["loop"] == 0
    assert len(waits) == 13
    assert sum(waits) == pytest.approx(13_000 / fps, abs=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


def test_gif_shows_both_sides_and_moves(tmp_path, joints):
    path = animate(Motion.from_joints(joints[:20], text="a person goes round"), tmp_path / "a.gif", size=200)
    assert path.stat().st_size < 20 * 5_000
    with Image.open(path) as gif:
        first = np.asarray(gif.convert("RGB")).astype(int)
        gif.seek(19)
        last = np.asarray(gif.convert("RGB")).astype(int)
    for frame in (first, last):
        for colour in (LEFT, RIGHT):
            assert (np.abs(frame - colour).max(-1) < 12).sum() > 100
    assert (np.abs(first - last).max(-1) > 60).mean() > 0.02
    assert (first[:4] == 255).all()  # paper stays white


def _program(folder, script: str, monkeypatch) -> None:
    """Put a program called ffmpeg in front of the search path."""
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))


def test_mp4_pipes_every_frame_to_ffmpeg(tmp_path, joints, monkeypatch):
    _program(tmp_path / "bin", 'for last; do :; done; echo "$@" >&2; cat > "$last"', monkeypatch)
    path = animate(joints[:5], tmp_path / "a.mp4", fps=12.5, size=64)
    assert path.stat().st_size == 5 * 64 * 64 * 3


def test_mp4_that_fails_leaves_nothing(tmp_path, joints, monkeypatch):
    _program(tmp_path / "bin", "echo no encoder >&2; exit 1", monkeypatch)
    with pytest.raises(ValueError, match="no encoder"):
        animate(joints, tmp_path / "a.mp4", size=64)
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize(("name", "size"), [("a.webm", 64), ("a.gif", 65), ("a.mp4", 64)])
def test_other_suffixes_and_sizes_and_a_missing_ffmpeg_are_refused(tmp_path, joints, monkeypatch, name, size):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError):
        animate(joints, tmp_path / name, size=size)
    assert not list(tmp_path.iterdir())


def test_side_by_side_the_shorter_one_rests(golden, tmp_path):
    joints = golden("features_free")["0/recovered_joints"][:12]
    long, short = Motion.from_joints(joints, text="long"), Motion.from_joints(joints[:5], text="short")
    path = animate_beside([long, short], tmp_path / "two.gif", size=96)
    with Image.open(path) as gif:
        assert gif.size == (192, 96) and gif.n_frames == 12
        pictures = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    moved = np.abs(np.diff(np.stack(pictures)[:, :80].astype(int), axis=0)).sum((1, 3))  # without the clocks
    assert moved[5:, 96:].sum() == 0
    assert moved[5:, :96].sum() > 0
    other_rate = Motion.from_joints(joints, fps=30)
    for motions, titles in (([], None), ([long, short], ["one"]), ([long, other_rate], None)):
        with pytest.raises(ValueError):
            animate_beside(motions, tmp_path / "x.gif", titles)
    assert [file.name for file in tmp_path.iterdir()] == ["two.gif"]
