"""What a BVH file's text may look like, what is mended with a note, and what is refused with its line."""

import re

import numpy as np
import pytest
from made_up import bvh as made_up

from mmm.bvh.reading import read_bvh

TREE = made_up.TREES["mixamo"]
FRAMES = 5


@pytest.fixture
def walk(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREE, frames=FRAMES)
    return path


def last_row(text: str) -> str:
    return text.splitlines()[-1] + "\n"


ODD = {
    "one row more": (lambda text: (text + last_row(text)).encode(), 6, "6 whole rows.*'Frames:' says 5"),
    "rows fewer": (lambda text: text.replace("Frames: 5", "Frames: 9").encode(), 5, "5 whole rows.*says 9"),
    "cut in a row": (lambda text: text[:-60].encode(), 4, "cut off: its last row has"),
    "cut in the last number": (
        lambda text: text.replace("Frames: 5", "Frames: 9")[:-3].encode(),
        4,
        "cut off in its last row",
    ),
    "cut at a minus": (lambda text: (text[:-60] + " -").encode(), 4, "cut off: its last row has"),
    "UTF-16": (lambda text: text.encode("utf-16"), 5, "UTF-16"),
    "UTF-16, big end first, no mark": (lambda text: text.encode("utf-16-be"), 5, "UTF-16"),
    "control Z": (lambda text: (text + "\x1a").encode(), 5, r"\^Z or NUL"),
    "NUL": (lambda text: (text + "\0" * 500).encode(), 5, r"\^Z or NUL"),
    "decimal commas": (lambda text: text.replace(".", ",").encode(), 5, "decimal commas"),
    "glued numbers": (lambda text: re.sub(r"(?<=\d) -", "-", text).encode(), 5, "numbers that touch"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_whole_is_read_with_a_note(walk, name):
    change, frames, note = ODD[name]
    plain = read_bvh(walk)
    text = walk.read_text()
    walk.write_bytes(change(text))
    motion = read_bvh(walk)
    same = min(frames, FRAMES)
    assert len(motion.joints) == frames and np.array_equal(motion.joints[:same], plain.joints[:same])
    assert any(re.search(note, said) for said in motion.notes) and not plain.notes
    with pytest.raises(ValueError, match=f"a.bvh.*{note}"):
        read_bvh(walk, strict=True)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("MOTION", "MOTIO", "no line MOTION"),
        ("HIERARCHY\n", "", "no line HIERARCHY"),
        (r"(?s)HIERARCHY(.*)MOTION", r"MOTION\1HIERARCHY", "stands before HIERARCHY"),
        ("\t+End Site\n", "", "line 26: an opening brace without a joint or an End Site"),
        ("{", "", "line 4: 'OFFSET', expected the opening brace"),
        ("}", "", "line 13[0-9]: 1 joints|joint"),
        ("End Site", "JOINT", "name of 0 letters"),
        (r"(End Site\s*\{)", r"\1 JOINT toe {", "line 27: a JOINT that is in no joint"),
        (r"(End Site\s*\{)", r"\1 CHANNELS 1 Xrotation", "CHANNELS in no joint"),
        (r"(OFFSET .*\n)", r"\1\1", "line 5: an OFFSET in no joint, or its second"),
        (r"\n\s*OFFSET.*", "", "line 9: the end|line [0-9]+: the end of a joint"),
        ("Zrotation", "Xrotation", "line 5: 'CHANNELS 6 .*different"),
        ("CHANNELS 6", "CHANNELS six", "line 5: 'CHANNELS six"),
        ("OFFSET", "OFSET", "line 4: the word 'OFSET'"),
        ("OFFSET 0", "OFFSET o", "line 4: 'o"),
        ("ROOT", "JOINT", "line 2: a JOINT that is in no joint"),
        ("Hips", "Hips" * 100, "name of 400 letters"),
        ("Frames:", "Frame:", "'Frame: 5', expected a line such as 'Frames: 100'"),
        ("Frame Time", "Time", "'Time: .*expected a line such as 'Frame Time: 0.05'"),
        (r"\n0.0000000 ", "\n1.2.3 ", "line [0-9]+: '1.2.3', expected a number"),
        (r"\n0.0000000 ", "\n1_0 ", "'1_0', expected a number"),
        (r"\n0.0000000 ", "\nnan ", "line [0-9]+: the number nan"),
        (r"\n0.0000000 ", "\n1e20 ", r"line [0-9]+: the number 1e\+20"),
        (r"\n0.0000000 ", "\n", "line [0-9]+ has 68 numbers, expected 69"),
        (r"\n0.0000000 ", "\n1 1 ", "line [0-9]+ has 70 numbers, expected 69"),
        (r"(?s)(Frame Time: \S+\n).*", r"\1", "no numbers, expected 5 rows of 69"),
    ],
)
def test_other_faults_are_refused_with_their_line(walk, old, new, named):
    text, count = re.subn(old, new, walk.read_text(), count=1)
    assert count == 1
    walk.write_text(text)
    with pytest.raises(ValueError, match=f"a.bvh.*({named})") as caught:
        read_bvh(walk)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_the_number_of_joints_is_bounded(walk):
    text = "HIERARCHY\n" + "".join(
        f"{'JOINT' if n else 'ROOT'} a {{ OFFSET 0 0 0\nCHANNELS 0\n" for n in range(10_001)
    )
    walk.write_text(text + "}" * 10_001 + "\nMOTION\nFrames: 1\nFrame Time: 0.05\n")
    with pytest.raises(ValueError, match="line 20002: more than 10,000 joints"):
        read_bvh(walk)


def test_one_number_less_and_one_more_are_not_taken_for_broken_rows(walk):
    lines = walk.read_text().splitlines()
    lines[-1], lines[-2] = lines[-1] + " 1", lines[-2].rsplit(" ", 1)[0]
    walk.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=f"line {len(lines) - 1} has 68 numbers"):
        read_bvh(walk)


def test_rows_that_are_broken_without_regard_to_frames(walk):
    plain = read_bvh(walk)
    head, rows = re.match(r"(?s)(.*Frame Time: \S+\n)(.*)", walk.read_text()).groups()
    words = rows.split()
    walk.write_text(head + "\n".join(" ".join(words[i : i + 10]) for i in range(0, len(words), 10)) + "\n")
    assert np.array_equal(read_bvh(walk).joints, plain.joints)


def test_names_in_other_encodings_stay_different(walk):
    walk.write_bytes(walk.read_bytes().replace(b"LeftHand", b"\xe4\x83").replace(b"RightHand", b"\xe4\x82"))
    assert len(set(read_bvh(walk).names)) >= 21
