"""Written BVH files, as another program (bvhio) reads them, and as animation tools need them."""

import re

import bvhio
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mmm.bvh.writing import unwrapped_angles, write_bvh
from mmm.motion import HUMANML3D, KIT, Motion
from mmm.motion.rigid import fit_rigid


def read_with_bvhio(path, skeleton=HUMANML3D):
    """World joints (T, J, 3) in metres, as bvhio reads them."""
    with open(path) as file:
        frames = int(re.search(r"Frames: (\d+)", file.read()).group(1))
    root = bvhio.readAsHierarchy(str(path))
    joints = np.zeros((frames, len(skeleton.joints), 3))
    for frame in range(frames):
        places = {joint.Name: joint.PositionWorld for joint, *_ in root.loadPose(frame).layout()}
        joints[frame] = [tuple(places[name]) for name in skeleton.joints]
    return joints / 100


def table(path):
    """The numbers of the frames (T, channels), and the names of their channels: pelvis.Xposition, …"""
    head, motion = path.read_text().split("MOTION")
    columns = []
    for name, channels in re.findall(r"(?:ROOT|JOINT) (\w+)\n.*?CHANNELS \d+ ([\w ]+)", head, re.DOTALL):
        columns += [f"{name}.{channel}" for channel in channels.split()]
    return np.array([line.split() for line in motion.strip().splitlines()[2:]], float), columns


def distances(one, other):
    """cm, (T, J)."""
    return 100 * np.linalg.norm(one - other, axis=-1)


@pytest.fixture(scope="module")
def rigid_clip(golden):
    """A made-up motion that HumanML3D's retargeting has made rigid but for the hips' and collars' angles."""
    return fit_rigid(golden("features_free")["0/recovered_joints"]).joints.astype(np.float32)


@pytest.fixture(scope="module")
def generated(model):
    """The features of a tiny model that has hardly been trained, as if captured: no bone keeps its length."""
    return Motion(model.generate("a person walks", length=60, seed=0).features)


def test_another_reader_sees_a_clip_as_its_nearest_rigid_body(tmp_path, rigid_clip, generated):
    write_bvh(tmp_path / "rigid.bvh", rigid_clip)
    assert distances(read_with_bvhio(tmp_path / "rigid.bvh"), rigid_clip).max() < 0.01
    path = generated.save(tmp_path / "a.bvh")
    rigid = fit_rigid(generated.joints).joints
    assert distances(read_with_bvhio(path), rigid).max() < 0.01
    assert distances(rigid, generated.joints).max() > 1  # or the next test would be about nothing


def test_stretch_keeps_a_generated_clip(tmp_path, generated):
    write_bvh(tmp_path / "a.bvh", generated.joints, stretch=True)
    assert distances(read_with_bvhio(tmp_path / "a.bvh"), generated.joints).max() < 0.01
    assert len(table(tmp_path / "a.bvh")[1]) == 22 * 6


def test_only_the_root_moves_and_bones_keep_their_lengths(tmp_path, generated):
    path = generated.save(tmp_path / "a.bvh")
    _, columns = table(path)
    assert [name for name in columns if "position" in name] == [f"pelvis.{axis}position" for axis in "XYZ"]
    assert len(columns) == 3 + 3 * 22
    joints = read_with_bvhio(path)
    lengths = np.linalg.norm((joints - joints[:, [0, *HUMANML3D.parents[1:]]])[:, 1:], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-4
    expected = np.linalg.norm(generated.joints[:, 4] - generated.joints[:, 1], axis=-1)
    assert lengths[0, 3] == pytest.approx(np.median(expected), abs=1e-4)


def test_the_rest_pose_is_a_t_pose_that_faces_forward(tmp_path, rigid_clip):
    write_bvh(tmp_path / "a.bvh", rigid_clip)
    path = tmp_path / "a.bvh"
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    count = len(lines[start].split())
    lines[start:] = [" ".join(["0"] * count)]
    path.write_text("\n".join(lines).replace(f"Frames: {len(rigid_clip)}", "Frames: 1") + "\n")
    rest = dict(zip(HUMANML3D.joints, read_with_bvhio(path)[0], strict=True))
    for side, sign in (("left", 1), ("right", -1)):
        arm = rest[f"{side}_wrist"] - rest[f"{side}_shoulder"]
        leg = rest[f"{side}_ankle"] - rest[f"{side}_hip"]
        foot = rest[f"{side}_foot"] - rest[f"{side}_ankle"]
        assert arm[0] * sign > 0 and np.abs(arm[1:]).max() < 1e-4
        assert leg[1] < 0 and np.abs(leg[[0, 2]]).max() < 1e-4
        assert foot[2] > 0 > foot[1] and rest[f"{side}_hip"][0] * sign > 0
    assert rest["head"][1] > rest["neck"][1] > rest["pelvis"][1]


@pytest.mark.parametrize("order", ["YZX", "ZXY", "XYZ"])
def test_angles_do_not_flip(order):
    turning = np.linspace(0, 3 * 360, 200)  # three times about y
    swaying = 70 * np.sin(np.linspace(0, 9, 200))
    angles = {"Y": turning, "X": swaying, "Z": -swaying / 2}
    if order[1] == "Y":  # the middle angle cannot turn on and on
        angles["Y"], angles["Z"] = angles["Z"], angles["Y"]
    angles_in = np.stack([angles[axis] for axis in order], -1)
    rotations = Rotation.from_euler(order, angles_in, degrees=True)
    np.testing.assert_allclose(unwrapped_angles(rotations.as_matrix(), order), angles_in, atol=1e-6)


def test_angles_past_the_pole_take_the_other_triple():
    angles_in = np.stack((np.full(100, 20.0), np.linspace(0, 175, 100), np.full(100, -40.0)), -1)
    rotations = Rotation.from_euler("XYZ", angles_in, degrees=True)
    assert np.abs(rotations.as_euler("XYZ", degrees=True)[:, 1]).max() < 90.1  # scipy turns back at 90
    np.testing.assert_allclose(unwrapped_angles(rotations.as_matrix(), "XYZ"), angles_in, atol=1e-6)


def test_the_heading_of_a_spinning_body_does_not_jump(tmp_path, moving_body):
    joints = moving_body(HUMANML3D, frames=120, turn=15.0)
    write_bvh(tmp_path / "a.bvh", joints)
    values, columns = table(tmp_path / "a.bvh")
    heading = values[:, columns.index("pelvis.Yrotation")]
    assert heading[-1] - heading[0] == pytest.approx(np.degrees(15.0), abs=25)
    turns = values[:, [i for i, name in enumerate(columns) if "rotation" in name]]
    assert np.abs(np.diff(turns, axis=0)).max() < 60
    between = (turns[1:] + turns[:-1]) / 2  # what a tool makes of it at twice the frame rate
    assert np.abs(np.diff(between[:, 0])).max() < 15


def test_kit_is_written_in_centimetres(tmp_path, moving_body):
    joints = moving_body(KIT, frames=20)
    path = Motion.from_joints(joints, 12.5, skeleton="kit").save(tmp_path / "a.bvh")
    rigid = fit_rigid(joints.astype(np.float64) / 1000, "kit").joints
    assert distances(read_with_bvhio(path, KIT), rigid).max() < 0.01
    assert "Frame Time: 0.08000000" in path.read_text()


def test_one_frame_and_bones_of_no_length(tmp_path):
    joints = np.zeros((1, 22, 3), np.float32)
    joints[:, :, 1] = 0.5
    write_bvh(tmp_path / "a.bvh", joints)
    assert distances(read_with_bvhio(tmp_path / "a.bvh"), joints).max() < 0.01
