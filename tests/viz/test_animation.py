"""GIF and MP4: number of frames, their time, their colours, and what happens without ffmpeg."""

import shutil
import stat

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from mmm.errors import DiskFullError
from mmm.motion import Motion
from mmm.viz import animation, encode
from mmm.viz.animation import animate, animate_beside
from mmm.viz.body import table
from mmm.viz.style import GENERATED
from tests.viz.test_strip import bluish, moving, orange, standing, walking


@pytest.fixture(scope="module")
def joints(golden) -> np.ndarray:
    """40 frames of a made-up motion that travels 5 m."""
    return golden("features_free")["2/recovered_joints"]


def hue(colours: np.ndarray) -> np.ndarray:
    """Radians."""
    red, green, blue = np.moveaxis(colours.astype(float), -1, 0)
    return np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)


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
    assert path.stat().st_size < 20 * 6_000
    with Image.open(path) as gif:
        first = np.asarray(gif.convert("RGB")).astype(int)
        gif.seek(19)
        last = np.asarray(gif.convert("RGB")).astype(int)
    for frame in (first, last):
        for mask, name in ((bluish(frame), "left"), (orange(frame), "right")):
            assert mask.sum() > 300
            away = np.degrees(hue(frame[mask]) - hue(np.array(table()["colours"][name])))
            assert np.median(np.abs(away)) < 8  # shading changes the lightness, not the hue
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
    script = 'for last; do :; done; if [ "$last" = - ]; then exit; fi; echo "$@" >&2; cat > "$last"'
    _program(tmp_path / "bin", script, monkeypatch)
    path = animate(joints[:5], tmp_path / "a.mp4", fps=12.5, size=64)
    assert path.stat().st_size == 5 * 64 * 64 * 3


def test_mp4_that_fails_leaves_nothing(tmp_path, joints, monkeypatch):
    _program(tmp_path / "bin", "echo no encoder >&2; exit 1", monkeypatch)
    with pytest.raises(ValueError, match="no encoder"):
        animate(joints, tmp_path / "a.mp4", size=64)
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]


def test_mp4_that_ffmpeg_cut_off_without_saying_so_does_not_replace_a_good_one(tmp_path, joints, monkeypatch):
    """On a full disk ffmpeg returns 0. This program cuts its output off, and cannot read that."""
    said = "Error writing trailer: No space left on device"
    script = f"""for last; do :; done
if [ "$last" = - ]; then echo moov atom not found >&2; exit 1; fi
echo '{said}' >&2; head -c 100 > "$last"; cat > /dev/null"""
    _program(tmp_path / "bin", script, monkeypatch)
    path = tmp_path / "a.mp4"
    path.write_text("good")
    with pytest.raises(DiskFullError, match=r"a\.mp4 was not written: its disk is full"):
        animate(joints[:5], path, size=64)
    assert path.read_text() == "good" and sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "bin"]


def test_mp4_on_a_full_disk(small_disk, joints, monkeypatch):
    if not shutil.which("ffmpeg"):
        return  # nothing to write with; the test above has a program in its place
    path = small_disk / "a.mp4"
    path.write_bytes(bytes(950_000))
    with pytest.raises(DiskFullError):
        animate(joints, path)
    assert path.stat().st_size == 950_000 and [p.name for p in small_disk.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    "text", ["walks\u2029and waves", "walks\u2028and\x85waves", "walks\rand\x1cwaves", "\u200b"]
)
def test_a_text_with_separators_of_a_word_processor_is_drawn(tmp_path, joints, text):
    assert animate(joints[:2], tmp_path / "a.gif", title=text, size=64).is_file()


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
    moved = np.abs(np.diff(np.stack(pictures)[:, 12:].astype(int), axis=0)).sum((1, 3))  # without the clocks
    assert moved[5:, 96:].sum() == 0
    assert moved[5:, :96].sum() > 0
    other_rate = Motion.from_joints(joints, fps=30)
    for motions, titles in (([], None), ([long, short], ["one"]), ([long, other_rate], None)):
        with pytest.raises(ValueError):
            animate_beside(motions, tmp_path / "x.gif", titles)
    assert [file.name for file in tmp_path.iterdir()] == ["two.gif"]


def _arms_up(frames: int = 12) -> np.ndarray:
    joints = np.repeat(standing()[None], frames, 0)
    rise = np.linspace(0, 1, frames)[:, None]
    for shoulder, elbow, wrist in ((16, 18, 20), (17, 19, 21)):
        for joint, far in ((elbow, 0.26), (wrist, 0.52)):
            joints[:, joint] += rise * (joints[0, shoulder] + [0, far, 0] - joints[0, joint])
    return joints


def _jump(frames: int = 12) -> np.ndarray:
    return standing() + np.sin(np.linspace(0, np.pi, frames))[:, None, None] * [0, 0.9, 0]


def _bent(angle: float, frames: int = 12) -> np.ndarray:
    """Everything above the hips (or, lying, all of the body) falls forward about the root."""
    joints = np.repeat(standing()[None], frames, 0)
    root = joints[0, 0]
    moved = range(22) if angle > np.pi / 2 else [j for j in range(22) if joints[0, j, 1] > root[1]]
    for frame, turn in enumerate(np.linspace(0, angle, frames)):
        about = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
        for joint in moved:
            joints[frame, joint] = (joints[0, joint] - root) @ about.T + root
        joints[frame, :, 1] -= joints[frame, :, 1].min() - 0.05
    return joints


@pytest.mark.parametrize(
    "joints",
    [
        _arms_up(),
        _jump(),
        _bent(np.pi / 2),
        _bent(np.pi * 0.55),
        moving(np.linspace([0, 0], [0, 5], 40)),
        moving(np.linspace([0, 0], [9, -5], 20)),  # a dash of 10 m
        moving(np.linspace([0, 0], [0, 2.1], 20)),  # as far as the camera rests
    ],
    ids=["arms up", "jump", "bow", "lie down", "walk 5 m", "dash", "camera at rest"],
)
def test_the_body_is_never_cropped_and_not_small(joints, tmp_path, monkeypatch):
    bounds, draw = [], animation.figure

    def drawn(*args):
        cut = draw(*args)
        bounds.append((cut.left, cut.top, cut.left + cut.alpha.shape[1], cut.top + cut.alpha.shape[0]))
        return cut

    monkeypatch.setattr(animation, "figure", drawn)
    animate(
        joints, tmp_path / "a.gif", title="two lines below, which the body does not cover either", size=160
    )
    left, top, right, bottom = np.transpose(bounds)
    assert left.min() >= 3 and top.min() >= 12 and right.max() <= 157 and bottom.max() <= 140
    assert max(right.max() - left.min(), bottom.max() - top.min()) > 0.6 * 160


def test_generated_frames_have_a_yellow_line_and_a_word(tmp_path):
    joints, new = moving(np.zeros((10, 2))), np.arange(10) >= 6
    with Image.open(animate(joints, tmp_path / "a.gif", title="", size=120, generated=new)) as gif:
        pictures = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(gif)]
    yellow = [(np.abs(picture - GENERATED).max(-1) < 3) for picture in pictures]
    rows, columns = np.nonzero(yellow[0])
    assert len(set(rows)) == 3 and (columns / 120 > 0.55).all() and len(set(columns)) > 30
    clocks = np.stack(pictures)[:, :12, 30:80]
    assert (
        (clocks[:6] == clocks[0]).all() and (clocks[6:] == clocks[6]).all() and (clocks[0] != clocks[6]).any()
    )
    with pytest.raises(ValueError, match="a boolean for each frame"):
        animate(joints, tmp_path / "b.gif", generated=new[:5])
    both = animate_beside(
        [joints, joints[:5]], tmp_path / "c.gif", ["", ""], size=120, generated=[None, new[2:7]]
    )
    with Image.open(both) as gif:
        columns = np.nonzero(np.abs(np.asarray(gif.convert("RGB")).astype(int) - GENERATED).max(-1) < 3)[1]
    assert len(columns) and (columns > 120).all()  # the second picture only


def test_the_same_motion_gives_the_same_bytes(tmp_path):
    joints = walking(6)
    first, again = (animate(joints, tmp_path / f"{name}.gif", size=96).read_bytes() for name in "ab")
    assert first == again


def test_a_gif_of_three_seconds_is_small(tmp_path):
    """320 pixels at 20 frames a second, the camera goes along: the worst case. Six seconds have twice as many bytes."""
    path = animate(walking(60), tmp_path / "a.gif", title="a person walks", size=320)
    assert path.stat().st_size < 400_000


def test_a_title_of_three_lines_is_not_cut(tmp_path, joints):
    with Image.open(animate(joints[:2], tmp_path / "a.gif", title="gyp " * 26, size=280)) as gif:
        picture = np.asarray(gif.convert("RGB"))
    dark = (picture.max(-1) < 120).any(1)
    assert not dark[-3:].any() and dark[-12:].any()


def test_a_ball_is_in_front_of_the_figure_or_behind_it(tmp_path):
    joints = np.repeat(standing()[None], 2, 0)
    chest = joints[0, 9]
    seen = []
    for x, z in ((0, 0.2), (0, -0.2), (-0.35, -0.2), (0, None)):
        balls = np.zeros((0, 3)) if z is None else np.array([chest + [x, 0, z]])
        with Image.open(animate(joints, tmp_path / "a.gif", size=200, balls=balls)) as gif:
            seen.append(np.asarray(gif.convert("RGB")).astype(int))
    front, behind, beside = [(np.abs(picture - seen[3]).max(-1) > 20).sum() for picture in seen[:3]]
    assert min(front, beside) > 40 and behind < front / 2


def _titles(motion: Motion, tmp_path, monkeypatch) -> list[str]:
    written = []
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "multiline_text", lambda self, at, text, *_, **__: written.append(text)
    )
    animate(motion, tmp_path / "a.gif", size=64)
    return written


def test_a_sequence_shows_the_text_of_the_current_action(joints, tmp_path, monkeypatch):
    motion = Motion.from_joints(joints[:8], text="walks, then runs")
    assert _titles(motion, tmp_path, monkeypatch) == ["walks, then runs"] * 8
    motion.segments = [(0, "walks"), (5, "runs")]
    assert _titles(motion, tmp_path, monkeypatch) == ["walks"] * 5 + ["runs"] * 3
    assert _titles(motion.every(2), tmp_path, monkeypatch) == ["walks"] * 3 + ["runs"]


def test_rows_of_pictures_and_a_short_one_that_starts_again(tmp_path, joints):
    long, short = Motion.from_joints(joints[:12]), Motion.from_joints(joints[:4])
    path = animate_beside([long, short, long], tmp_path / "a.gif", size=80, columns=2, repeat=True)
    with Image.open(path) as gif:
        assert gif.size == (160, 160) and gif.n_frames == 12
        pictures = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)])
    apart = pictures[:4, :80, 80:].astype(int) - pictures[8:, :80, 80:]
    assert np.abs(apart).max() < encode.ALIKE and (apart == 0).mean() > 0.99  # what hardly changes stays
    np.testing.assert_array_equal(pictures[:, :80, :80], pictures[:, 80:, :80])
    assert (pictures[:, 80:, 80:] == 255).all()


def test_files_are_small_at_rest_and_on_the_way(tmp_path):
    joints = np.repeat(standing()[None], 30, 0)
    joints[:, 20] += np.stack([0.3 * np.sin(np.arange(30) / 3), np.full(30, 0.8), np.zeros(30)], 1)
    # 81,804 and 190,299 bytes are reached; the flat figure of before had half of that
    assert animate(joints, tmp_path / "a.gif", size=320).stat().st_size < 90_000
    on_the_way = moving(np.linspace([0, 0], [0, 3], 30))
    assert animate(on_the_way, tmp_path / "a.gif", size=320).stat().st_size < 210_000
