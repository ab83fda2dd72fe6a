"""Constraints: what is asked for becomes positions, and what cannot be is refused in one sentence."""

import numpy as np
import pytest
import torch

from mmm.constraints import Reach, RootPath, check_free, parse_reach, read_path, targets_of
from mmm.motion import features_to_joints
from mmm.motion.skeleton import HUMANML3D


def known(targets: torch.Tensor) -> list[list[int]]:
    return (~targets.isnan()).nonzero().tolist()


def test_a_reach_is_one_joint_in_one_frame():
    targets = targets_of([Reach("left_wrist", 7, (0.3, 1.2, 0.5))], 24)
    joint = HUMANML3D.joints.index("left_wrist")
    assert targets.shape == (24, 22, 3) and known(targets) == [[7, joint, axis] for axis in range(3)]
    assert targets[7, joint].tolist() == [0.3, 1.2, 0.5]


def test_a_path_without_frames_is_walked_at_constant_speed_and_leaves_the_height_free():
    targets = targets_of([RootPath([(0, 0), (0, 1), (3, 1)])], 41)
    root = targets[:, 0, [0, 2]]
    assert known(targets) == [[frame, 0, axis] for frame in range(41) for axis in (0, 2)]
    assert torch.allclose(root.diff(dim=0).norm(dim=-1), torch.full((40,), 0.1, dtype=torch.float64))
    assert root[10].tolist() == [0, 1] and root[-1].tolist() == [3, 1]


def test_a_path_with_frames_holds_in_these_only():
    targets = targets_of([RootPath([(0.5, 0), (1, 1)], [10, 30])], 41)
    assert known(targets) == [[10, 0, 0], [10, 0, 2], [30, 0, 0], [30, 0, 2]]


def test_what_real_motion_does_is_never_refused(golden):
    free = golden("features_free")
    for number in range(3):
        joints = features_to_joints(np.asarray(free[f"{number}/features"], np.float32))
        joints[..., 1] = joints[..., 1].clip(-0.01)  # no more than a floor is uneven
        path = RootPath(joints[:, 0, [0, 2]], range(len(joints)))
        frames = range(0, len(joints), 9)
        reaches = [
            Reach(name, t, joints[t, j]) for t in frames for j, name in enumerate(HUMANML3D.joints) if j
        ]
        targets_of([path, *reaches], len(joints))


@pytest.mark.parametrize(
    ("constraints", "named"),
    [
        ([], "no constraint"),
        (
            [Reach("left_hand", 5, (0, 1, 0))],
            "joint 'left_hand' is unknown, expected one of pelvis, left_hip",
        ),
        ([Reach("head", 24, (0, 1, 0))], "frame 24 is outside the motion, which has the frames 0, 1, … 23"),
        ([Reach("head", -1, (0, 1, 0))], "frame -1 is outside"),
        ([Reach("head", 5, (0, float("nan"), 0))], "head@5 is .*expected finite x, y, z"),
        ([Reach("head", 5, (0, 1))], "expected finite x, y, z"),
        ([Reach("head", 5, (0, -0.2, 0))], "0.20 m below the floor"),
        ([Reach("head", 5, (0, 3.5, 0))], "head@5 is 3.50 m high, 0.[0-9]+ m more than a body reaches"),
        ([Reach("left_wrist", 5, (0, 1, 9))], "left_wrist@5 is 9.00 m from the start, 5.[0-9]+ m more"),
        ([Reach("head", 5, (0, 1.5, 0)), Reach("head", 5, (0, 1.4, 0))], "two different positions"),
        (
            [Reach("left_wrist", 20, (0, 1, 0)), Reach("left_elbow", 20, (0, 1.5, 0))],
            "left_wrist@20 .* left_elbow@20, 0.2[0-9] m more|left_elbow@20 .* left_wrist@20, 0.2[0-9] m more",
        ),
        ([RootPath([(0, 0), (0, 90)])], "more than a body reaches in that time"),
        ([RootPath([(1, 0), (2, 0)])], r"starts at \(1, 0\), but a motion starts at \(0, 0\)"),
        ([RootPath([(0, 0), (np.inf, 0)])], "1 of 2 points of the path are not finite"),
        ([RootPath([(0, 0)])], "one point"),
        ([RootPath([(0, 0, 0)])], r"shape \(1, 3\), expected \(M, 2\)"),
        ([RootPath([(0, 0), (0, 1)], [0])], "2 points and 1 frames"),
        ([RootPath([(0, 0), (0, 1)], [0, 30])], "frame 30 is outside"),
        ([RootPath([(0, 1), (0, 1)], [3, 3])], "two points for one frame"),
        (
            [Reach("pelvis", 9, (1, 0.9, 1)), RootPath([(0, 0), (0, 1)])],
            "pelvis@9 has two different positions",
        ),
        (
            [RootPath([(0, 0), (0, 1)]), Reach("pelvis", 9, (1, 0.9, 1))],
            "pelvis@9 has two different positions",
        ),
        ([RootPath([(0, 0), (0, 1)]), RootPath([(0, 0), (1, 1)])], "two different positions"),
        (Reach("head", 5, (0, 1, 0)), "expected a list of Reach and RootPath"),
        ("head@5:0,1,0", "expected a list of Reach and RootPath"),
        ([("head", 5, (0, 1, 0))], "is no constraint; give a Reach or a RootPath"),
        ([Reach("head", 3.5, (0, 1, 0))], "frame 3.5 is outside the motion, which has the frames 0, 1"),
        ([Reach("head", 5, 1.0)], "position of head@5 is 1.0, expected finite x, y, z"),
        ([Reach("head", 5, ("a", 1.6, 0))], "position of head@5 is .*expected finite x, y, z"),
        ([RootPath([(0, 0), (1,)])], "the path is .*expected points of x and z"),
    ],
)
def test_what_cannot_be_is_refused(constraints, named):
    with pytest.raises(ValueError, match=named):
        targets_of(constraints, 24)


def test_a_kept_joint_cannot_be_moved():
    targets, kept = targets_of([Reach("head", 5, (0, 1.5, 0))], 24), np.zeros((24, 22), bool)
    check_free(targets, kept)
    kept[5, HUMANML3D.joints.index("head")] = True
    with pytest.raises(ValueError, match="head@5 is kept"):
        check_free(targets, kept)


def test_a_reach_is_read():
    assert parse_reach("left_wrist@60:0.3,1.6,-0.5") == Reach("left_wrist", 60, (0.3, 1.6, -0.5))


@pytest.mark.parametrize(
    "text", ["", "head", "head@3", "head:1,2,3", "head@x:1,2,3", "head@3:1,two,3", "a@1:2:3"]
)
def test_what_is_no_reach_is_refused(text):
    with pytest.raises(ValueError, match="write JOINT@FRAME:X,Y,Z"):
        parse_reach(text)


@pytest.mark.parametrize(
    ("text", "points", "frames"),
    [
        ("0,0\n0.5,1\n", [(0, 0), (0.5, 1)], None),
        ("x,z\n0,0\n\n0.5,1", [(0, 0), (0.5, 1)], None),
        ("\ufeffz, x\r\n0, 0\r\n1, 0.5\r\n", [(0, 0), (0.5, 1)], None),
        ("0,0,0\n20,0.5,1", [(0, 0), (0.5, 1)], [0, 20]),
        ("x,z,Frame\n0,0,0\n0.5,1,20", [(0, 0), (0.5, 1)], [0, 20]),
    ],
)
def test_a_path_is_read(tmp_path, text, points, frames):
    file = tmp_path / "path.csv"
    file.write_text(text, "utf-8")
    assert read_path(file) == RootPath(points, frames)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "no points"),
        (b"x,z\n", "no points"),
        (b"x,y\n0,0\n", "the columns x, y, expected x,z"),
        (b"1\n2\n", "line 1: '1' is not frame,x,z"),
        (b"0,0\n1\n", "line 2: '1' is not x,z in finite numbers"),
        (b"0,0\n1,nan\n", "line 2: '1,nan' is not x,z in finite numbers"),
        (b"0,0\n1,east\n", "line 2"),
        (b"0,0,0\n1.5,0,0\n", "frame 1.5, expected whole numbers"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_what_is_no_path_is_refused(tmp_path, content, named):
    file = tmp_path / "path.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=named):
        read_path(file)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*nowhere.csv"):
        read_path(tmp_path / "nowhere.csv")
