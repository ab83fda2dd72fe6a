import tarfile

import numpy as np
import pytest
from made_up import bvh as made_up

from mmm.bvh.capture import load_motion, read_source
from mmm.bvh.placement import AXES, Placement, guess_up, metres_of, stand_on
from mmm.motion import features_to_joints, joints_to_features

TREES = made_up.TREES


@pytest.mark.parametrize(
    ("tree", "unit", "up", "fps", "size"),
    [
        ("mixamo", 0.01, "y", 30, 1.0),
        ("cmu", 0.0254 / 0.45, "y", 120, 1.1),
        ("motionbuilder", 0.0254, "z", 60, 1.2),
        ("unreal", 0.001, "z", 120, 0.9),
        ("poser", 1.0, "y", 24, 1.3),
        ("biped", 0.01, "z", 15, 0.6),
    ],
)
def test_any_body_comes_back_into_its_world(tmp_path, tree, unit, up, fps, size):
    path = tmp_path / "a.bvh"
    frames = 4 * fps + 1
    world = made_up.write(path, TREES[tree], frames, fps, unit, up, size=size)
    taken = load_motion(path)
    assert taken.placement.unit == pytest.approx(unit) and taken.placement.up == up
    assert taken.placement.fps == pytest.approx(fps, abs=0.01) and taken.source.frames == frames
    assert taken.motion.fps == 20 and len(taken.motion) == 81
    joints = taken.motion.joints
    assert np.abs(joints[0, 0, [0, 2]]).max() < 1e-6 and abs(joints[..., 1].min()) < 1e-6
    back = taken.placement.to_world(joints)
    times = np.arange(81) / 20
    for number, (name, other, share) in enumerate(taken.source.joint_map.places.values()):
        meant = world[name] * (1 - share) + world[other] * share
        meant = np.stack(
            [np.interp(times, np.arange(frames) / fps, meant[:, axis]) for axis in range(3)], axis=1
        )
        # all joints to 2 cm: a biped's collar bones hang on its neck, so that their way from the chest is no rigid bone
        assert np.linalg.norm(back[:, number] - meant, axis=-1).max() < (0.001 if number == 0 else 0.02), name
    own = taken.placement.to_file(joints)
    assert np.abs(own - taken.source.joints).max() * unit < 0.01  # the user's unit and axes again


def test_the_motion_is_what_the_features_say(tmp_path):
    made_up.write(tmp_path / "a.bvh", TREES["mixamo"], 90)
    taken = load_motion(tmp_path / "a.bvh")
    features = joints_to_features(taken.source.joints * np.float32(0.01))
    assert np.abs(taken.motion.features - features).max() < 1e-4
    assert np.abs(features_to_joints(features) - taken.motion.joints[:-1]).max() < 1e-5


def test_a_real_capture(shared_dir, tmp_path):
    name = "dataset-1_walk_normal_001.bvh"
    with tarfile.open(shared_dir / "bandai" / "dataset-1.tar.xz") as archive:
        archive.extract(next(m for m in archive if m.name.endswith(name)), tmp_path, filter="data")
    taken = load_motion(next(tmp_path.rglob(name)))
    assert (taken.source.joint_map.name, taken.unit, taken.placement.up) == ("bandai", "cm", "y")
    back = taken.placement.to_world(features_to_joints(taken.motion.features))  # as an edit would give it
    away = np.linalg.norm(back - taken.source.joints[:-1] / 100, axis=-1)
    assert away[:, 0].max() < 1e-4 and away.max() < 0.005
    golden = np.load(shared_dir / "golden" / "features.npz")["dataset-1_walk_normal_001/features"]
    assert np.abs(taken.motion.features - golden).max() < 1e-4
    assert "130 at 20 fps" in taken.report() and "cm (guessed): the body is 1.28 m" in taken.report()


def test_what_is_given_is_not_guessed(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREES["mixamo"], 30, unit=0.01)
    taken = load_motion(path, unit="0.02", up="y")
    assert taken.placement.scale == pytest.approx(2 * load_motion(path).placement.scale)
    assert (
        "unit    0.02 (as given): the body is 2.8" in taken.report()
        and "up      y (as given)" in taken.report()
    )
    with pytest.raises(ValueError, match="unit is 'ell', expected cm, m, mm, inch"):
        load_motion(path, unit="ell")
    with pytest.raises(ValueError, match="up is 'w', expected one of x, y, z, -x, -y, -z"):
        load_motion(path, up="w")


def test_a_size_that_is_no_bodys_is_refused_and_a_lying_body_has_no_up(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREES["mixamo"], 30, unit=1 / 7000)
    with pytest.raises(
        ValueError, match="a.bvh: the body is 1.*e.04 units .* in none of cm, m, mm.* --unit 0.0001"
    ):
        load_motion(path)
    assert load_motion(path, unit=1 / 7000).height == pytest.approx(1.43, abs=0.02)
    joints = load_motion(path, unit=1 / 7000).motion.joints
    leaning = joints @ np.array([[1, 0, 0], [0, 0.7, 0.7], [0, -0.7, 0.7]], np.float32)
    np.save(tmp_path / "lying.npy", leaning)
    with pytest.raises(ValueError, match="no axis has the head above the feet.*--up y or --up z"):
        load_motion(tmp_path / "lying.npy")


@pytest.mark.parametrize("up", AXES)
def test_every_axis_can_be_up_and_left_stays_left(golden, tmp_path, up):
    joints = golden("features_free")["0/recovered_joints"].astype(np.float32)
    assert np.linalg.det(np.array(AXES[up])) == pytest.approx(1)
    np.save(tmp_path / "a.npy", joints @ np.array(AXES[up], np.float32))
    assert guess_up(read_source(tmp_path / "a.npy").joints) == up
    taken = load_motion(tmp_path / "a.npy")
    assert np.abs(taken.motion.features - joints_to_features(joints)).max() < 1e-3
    assert "note" not in taken.report()
    swapped = joints * np.array((-1, 1, 1), np.float32)
    np.save(tmp_path / "b.npy", swapped)
    assert "left and right may be swapped" in load_motion(tmp_path / "b.npy").report()


def test_arrays_of_ours(golden, tmp_path):
    free = golden("features_free")
    np.save(tmp_path / "f.npy", free["0/features"])
    np.save(tmp_path / "j.npy", free["0/recovered_joints"])
    one, two = load_motion(tmp_path / "f.npy"), load_motion(tmp_path / "j.npy")
    assert np.abs(one.motion.joints - two.motion.joints).max() < 1e-5
    assert one.unit == "m" and one.source.joint_map is None
    assert np.abs(one.placement.to_world(one.motion.joints) - free["0/recovered_joints"]).max() < 0.02


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((5, 21, 3)), r"a.npy holds an array of shape \(5, 21, 3\), expected one motion"),
        (np.zeros((1, 5, 22, 3)), r"shape \(1, 5, 22, 3\)"),
        (np.zeros((1, 22, 3)), "at least 2 frames"),
        (np.full((5, 22, 3), np.nan), "NaN or infinity"),
        (np.array(["a"] * 4), r"shape \(4,\)"),
        (np.zeros((5, 22, 3)), "no axis has the head above the feet"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, sentence):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=sentence):
        load_motion(tmp_path / "a.npy")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.fbx").write_text("")
    with pytest.raises(ValueError, match="a.fbx cannot be read: its suffix is '.fbx', expected .bvh or .npy"):
        load_motion(tmp_path / "a.fbx")
    with pytest.raises(FileNotFoundError, match="there is no motion nowhere.bvh"):
        load_motion("nowhere.bvh")
    (tmp_path / "a.npy").write_bytes(b"not an array")
    with pytest.raises(ValueError, match="a.npy cannot be read as a NumPy array"):
        load_motion(tmp_path / "a.npy")
    made_up.write(tmp_path / "pose.bvh", TREES["mixamo"], 1)
    with pytest.raises(ValueError, match="pose.bvh has 1 frames at 30 fps, which is no motion"):
        load_motion(tmp_path / "pose.bvh")


def test_a_map_that_makes_bones_without_length_is_refused(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREES["cmu"], 10, unit=0.0254 / 0.45)
    lines = (f"{joint}: {name}" for joint, (name, _, _) in load_motion(path).source.joint_map.places.items())
    (tmp_path / "my.yaml").write_text("\n".join(lines))  # without what is halfway
    with pytest.raises(
        ValueError, match="a.bvh: spine1, left_collar, right_collar lie in the same place as the joint"
    ):
        load_motion(path, tmp_path / "my.yaml")


def test_an_edited_motion_goes_where_the_old_one_was():
    placement = Placement(scale=2.0, start=(1.0, -0.5, 3.0), heading=np.pi / 2)
    joints = np.zeros((1, 22, 3), np.float32)
    joints[0, 0] = (0, 1, 1)  # a metre up, a metre ahead
    assert np.allclose(placement.to_world(joints)[0, 0], (3, 1.5, 3), atol=1e-6)
    assert metres_of("inch") == 0.0254


def test_a_motion_is_stood_where_a_pose_of_it_was():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(9, 22, 3)).astype(np.float32)
    for angle in (0.3, -2.5):
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        moved = (joints @ turn.T + [3, 0, -5]).astype(np.float32)
        assert np.abs(stand_on(joints, 4, moved[4]) - moved).max() < 1e-5
