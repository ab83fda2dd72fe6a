"""Reading BVH files however they are written, against world joints that scipy computed."""

import re
from pathlib import Path

import numpy as np
import pytest
from made_up import bvh as made_up

from mmm.bvh.reading import read_bvh

TREE = made_up.TREES["mixamo"]


def error(path: Path, world: dict[str, np.ndarray]) -> float:
    """Largest distance in metres between what is read and what was meant."""
    motion = read_bvh(path)
    assert set(motion.names) == set(world)
    return max(np.abs(motion.joints[:, i] - world[name.strip()]).max() for i, name in enumerate(motion.names))


@pytest.mark.parametrize("order", ["ZXY", "ZYX", "XYZ", "YXZ", "XZY", "YZX"])
@pytest.mark.parametrize("everywhere", [False, True])
def test_any_order_of_rotations_and_positions_at_the_root_or_everywhere(tmp_path, order, everywhere):
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
def test_every_way_to_write_it(tmp_path, name):
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


def test_a_channel_missing_or_elsewhere_is_read_by_its_name(tmp_path):
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
    ("old", "new", "sentence"),
    [
        ("JOINT LeftLeg", "JOINT", "not a whole BVH file .a JOINT without a name"),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", r"the channel \['wrotation'\]"),
        ("\tOFFSET", "\tOFFSET 1", "an OFFSET with 4 numbers"),
        ("}\nMOTION", "MOTION", "not a whole BVH file"),
        ("MOTION", "ROOT Other\n{\nOFFSET 0 0 0\nCHANNELS 0\n}\nMOTION", "a second ROOT; one body a file"),
        ("\n0.0000000 ", "\nnan ", "holds NaN or infinity in 1 of 5 frames"),
        ("\n0.0000000 ", "\n0,000000 ", "cannot be read as BVH"),
        ("Frames: 5", "Frames: 6", "is cut off: found 5 frames, the last with [0-9]+ numbers, expected 6"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path, old, new, sentence):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREE, frames=5)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=sentence) as caught:
        read_bvh(path)
    assert "a.bvh" in str(caught.value) and "\n" not in str(caught.value)


def test_real_captures_are_read_as_an_independent_parser_reads_them(shared_dir, tmp_path):
    import tarfile

    from scipy.spatial.transform import Rotation

    name = "dataset-1_kick_normal_001.bvh"
    with tarfile.open(shared_dir / "bandai" / "dataset-1.tar.xz") as archive:
        archive.extract(next(m for m in archive if m.name.endswith(name)), tmp_path, filter="data")
    (path,) = tmp_path.rglob(name)
    motion = read_bvh(path, unit=1.0)
    rows = [line.split() for line in path.read_text().split("Frame Time")[1].splitlines()[1:] if line.strip()]
    values = np.array(rows, float).reshape(len(rows), len(motion.names), 6)  # six channels everywhere, ZXY
    turn, place = [], []
    for joint, parent in enumerate(motion.parents):
        own = Rotation.from_euler("ZXY", values[:, joint, 3:], degrees=True)
        turn.append(own if parent < 0 else turn[parent] * own)
        moved = values[:, joint, :3]
        place.append(moved if parent < 0 else place[parent] + turn[parent].apply(moved))
    assert np.abs(np.stack(place, 1) - motion.joints).max() < 1e-3  # centimetres
