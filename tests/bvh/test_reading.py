"""Reading BVH files of many programs, against world joints computed with scipy."""

import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from made_up import bvh as made_up
from scipy.spatial.transform import Rotation

from mmm.bvh.reading import read_bvh, resample

TREE = made_up.TREES["mixamo"]


def error(path: Path, world: dict[str, np.ndarray]) -> float:
    """Largest error in metres of the joints that are read."""
    motion = read_bvh(path)
    assert set(motion.names) == set(world)
    return max(np.abs(motion.joints[:, i] - world[name.strip()]).max() for i, name in enumerate(motion.names))


@pytest.mark.parametrize("order", ["ZXY", "ZYX", "XYZ", "YXZ", "XZY", "YZX"])
@pytest.mark.parametrize("everywhere", [False, True])
def test_any_order_of_channels(tmp_path, order, everywhere):
    world = made_up.write(tmp_path / "a.bvh", TREE, frames=20, unit=0.01, order=order, everywhere=everywhere)
    assert error(tmp_path / "a.bvh", world) < 1e-5


REWRITES = {
    "windows": lambda text: text.replace("\n", "\r\n"),
    "lower case": lambda text: re.sub(
        "HIERARCHY|ROOT|JOINT|OFFSET|CHANNELS|MOTION|Frames|Frame Time|[XYZ](rotation|position)|End Site",
        lambda match: match[0].lower(),
        text,
    ),
    "tabs": lambda text: (
        text.replace(" ", "\t").replace("End\tSite", "End Site").replace("Frame\t", "Frame ")
    ),
    "brace behind the name": lambda text: re.sub(r"\n\s*\{", " {", text),
    "odd spacing": lambda text: (
        text.replace("Frame Time: ", "Frame Time:\t  ").replace("Frames: ", " Frames :") + "\n \n"
    ),
    "byte order mark": lambda text: "\ufeff" + text,
    "broken rows": lambda text: re.sub(r"((?:-?\d+\.\d+ ){40})", r"\1\n", text),
}


@pytest.mark.parametrize("name", REWRITES)
def test_spellings_of_the_same_file(tmp_path, name):
    path = tmp_path / "a.bvh"
    world = made_up.write(path, TREE, frames=10, unit=0.01)
    path.write_bytes(REWRITES[name](path.read_text()).encode())
    assert error(path, world) < 1e-5


ODD = """HIERARCHY
ROOT a b
{
OFFSET 1 2 3
CHANNELS 3 Yrotation Zposition Xposition
JOINT hinge
{ OFFSET 0 0 100
CHANNELS 1 Yrotation
End Site { OFFSET 100 0 0 }
End Site { OFFSET 0 0 0 } }
JOINT fixed { OFFSET 0 1 0
CHANNELS 0 } }
MOTION
Frames: 2
Frame Time: 0.05
0 30 10 0
90 30 10 90
"""


def test_channels_are_read_by_name(tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(ODD)
    motion = read_bvh(path, unit=1.0)
    assert motion.names == ("a b", "hinge", "fixed") and motion.parents == (-1, 0, 0)
    assert np.allclose(motion.joints[:, 0], (10, 2, 30))
    assert np.allclose(motion.joints[:, 1], [(10, 2, 130), (110, 2, 30)], atol=1e-4)
    assert np.allclose(motion.joints[:, 2], (10, 3, 30))
    assert motion.end_parents == (1, 1) and motion.ends.shape == (2, 2, 3)
    assert np.allclose(motion.ends[:, 0], [(110, 2, 130), (10, 2, 30)], atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("JOINT LeftLeg", "JOINT"),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation"),
        ("CHANNELS 3 Zrotation", "CHANNELS Zrotation"),
        ("\tOFFSET", "\tOFFSET 1"),
        ("}\nMOTION", "MOTION"),
        ("MOTION", "ROOT Other\n{\nOFFSET 0 0 0\nCHANNELS 0\n}\nMOTION"),
        ("\n0.0000000 ", "\nnan "),
        *((r"Time: .*", f"Time: {value}") for value in ("0", "-0.05", "nan", "inf")),
        *((rf"(?s)(.{{{size}}}).*", r"\1") for size in (200, 2000)),  # cut off
    ],
)
def test_unreadable_files_are_refused(tmp_path, old, new):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREE, frames=5)
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count == 1 and text != path.read_text()
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_bvh(path)
    assert "a.bvh" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nowhere.bvh"):
        read_bvh(tmp_path / "nowhere.bvh")


@pytest.mark.parametrize(
    ("frame_time", "hint"),
    [("30", "--fps 30"), ("2001", "--fps"), ("1.2", "--fps"), ("0.0009", "--fps"), ("5e-324", "--fps")],
)
def test_a_rate_out_of_bounds_is_refused_and_can_be_overruled(tmp_path, frame_time, hint):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREE, frames=5)
    path.write_text(re.sub("Time: .*", f"Time: {frame_time}", path.read_text()))
    with pytest.raises(ValueError, match=rf"a.bvh has the frame time '{frame_time}' s.*{hint}"):
        read_bvh(path)
    assert read_bvh(path, fps=120).fps == 120
    for fps in (0, 2000, float("nan")):
        with pytest.raises(ValueError, match="--fps is"):
            read_bvh(path, fps=fps)


def test_an_hour_and_slow_rates(tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(ODD.replace("0 30 10 0\n", "0 30 10 0\n" * 7200).replace("0.05", "1"))
    with pytest.raises(ValueError, match="7,201 frames of 3 joints at 1 fps, expected at most an hour"):
        read_bvh(path)
    motion = read_bvh(path, fps=4)
    assert (
        "4 frames a second are few" in motion.notes[-1] and read_bvh(path, fps=30).notes == motion.notes[:-1]
    )
    assert len(motion.since(7000).joints) == len(motion.since(7000).rows) == 201


def test_a_long_file_is_read_in_pieces(tmp_path, monkeypatch):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREE, frames=50)
    whole = read_bvh(path)
    monkeypatch.setattr("mmm.bvh.reading.PIECE", 100)
    pieces = read_bvh(path)
    assert np.abs(pieces.joints - whole.joints).max() < 1e-6 and pieces.ends.shape == whole.ends.shape


def test_a_real_capture_agrees_with_scipy(shared_dir, tmp_path):
    name = "dataset-1_kick_normal_001.bvh"
    with tarfile.open(shared_dir / "bandai" / "dataset-1.tar.xz") as archive:
        archive.extract(next(m for m in archive if m.name.endswith(name)), tmp_path, filter="data")
    (path,) = tmp_path.rglob(name)
    motion = read_bvh(path, unit=1.0)
    rows = [line.split() for line in path.read_text().split("Frame Time")[1].splitlines()[1:] if line.strip()]
    values = np.array(rows, float).reshape(len(rows), len(motion.names), 6)  # six channels everywhere, ZXY
    rotations, positions = [], []
    for joint, parent in enumerate(motion.parents):
        own = Rotation.from_euler("ZXY", values[:, joint, 3:], degrees=True)
        rotations.append(own if parent < 0 else rotations[parent] * own)
        moved = values[:, joint, :3]
        positions.append(moved if parent < 0 else positions[parent] + rotations[parent].apply(moved))
    assert np.abs(np.stack(positions, 1) - motion.joints).max() < 1e-3  # centimetres


def test_resample_is_linear_and_keeps_the_ends():
    line = np.linspace(0, 1, 31, dtype=np.float32)[:, None]
    twenty = resample(line, 1 / 0.0333333, 20)  # the frame time as BVH files write it
    assert len(twenty) == 21
    assert np.allclose(twenty[:, 0], np.linspace(0, 1, 21), atol=1e-5)
