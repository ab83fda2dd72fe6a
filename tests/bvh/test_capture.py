import re
import tarfile

import numpy as np
import pytest
from made_up import bvh as made_up

from mmm.bvh.capture import load_motion, read_source
from mmm.bvh.placement import AXES, guess_up, stand_on
from mmm.motion import features_to_joints, joints_to_features
from mmm.motion.skeleton import HUMANML3D

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
def test_any_body_returns_to_its_world(tmp_path, tree, unit, up, fps, size):
    path = tmp_path / "a.bvh"
    frames = 4 * fps + 1
    world = made_up.write(path, TREES[tree], frames, fps, unit, up, size=size)
    captured = load_motion(path)
    assert captured.placement.unit == pytest.approx(unit) and captured.placement.up == up
    assert captured.placement.fps == pytest.approx(fps, abs=0.01) and captured.source.frames == frames
    assert captured.motion.fps == 20 and len(captured.motion) == 81
    joints = captured.motion.joints
    assert np.abs(joints[0, 0, [0, 2]]).max() < 1e-6 and abs(joints[..., 1].min()) < 1e-6
    back = captured.placement.to_world(joints)
    times = np.arange(81) / 20
    for number, (name, other, weight) in enumerate(captured.source.joint_map.joints.values()):
        meant = world[name] * (1 - weight) + world[other] * weight
        meant = np.stack([np.interp(times, np.arange(frames) / fps, axis) for axis in meant.T], axis=1)
        # all joints to 2 cm: a biped's collar bones hang on its neck, so their distance from the chest varies
        assert np.linalg.norm(back[:, number] - meant, axis=-1).max() < (0.001 if number == 0 else 0.02), name
    own = captured.placement.to_file(joints)
    assert np.abs(own - captured.source.joints).max() * unit < 0.01  # the user's unit and axes again


def test_a_real_capture(shared_dir, tmp_path):
    name = "dataset-1_walk_normal_001.bvh"
    with tarfile.open(shared_dir / "bandai" / "dataset-1.tar.xz") as archive:
        archive.extract(next(m for m in archive if m.name.endswith(name)), tmp_path, filter="data")
    captured = load_motion(next(tmp_path.rglob(name)))
    assert (captured.source.joint_map.name, captured.unit, captured.placement.up) == ("bandai", "cm", "y")
    back = captured.placement.to_world(features_to_joints(captured.motion.features))  # as after an edit
    away = np.linalg.norm(back - captured.source.joints[:-1] / 100, axis=-1)
    assert away[:, 0].max() < 1e-4 and away.max() < 0.005
    golden = np.load(shared_dir / "golden" / "features.npz")["dataset-1_walk_normal_001/features"]
    assert np.abs(captured.motion.features - golden).max() < 1e-4
    assert "130 at 20 fps" in captured.report() and "cm (guessed): the body is 1.28 m" in captured.report()


def test_an_impossible_size_and_a_lying_body_are_refused(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREES["mixamo"], 30, unit=1 / 7000)
    with pytest.raises(ValueError, match="a.bvh.* --unit 0.0001"):
        load_motion(path)
    assert load_motion(path, unit=1 / 7000).height == pytest.approx(1.43, abs=0.02)
    joints = load_motion(path, unit=1 / 7000).motion.joints
    leaning = joints @ np.array([[1, 0, 0], [0, 0.7, 0.7], [0, -0.7, 0.7]], np.float32)
    np.save(tmp_path / "lying.npy", leaning)
    with pytest.raises(ValueError, match="lying.npy.*--up"):
        load_motion(tmp_path / "lying.npy")


@pytest.mark.parametrize("up", AXES)
def test_every_axis_can_be_up_and_left_stays_left(golden, tmp_path, up):
    joints = golden("features_free")["0/recovered_joints"].astype(np.float32)
    assert np.linalg.det(np.array(AXES[up])) == pytest.approx(1)
    np.save(tmp_path / "a.npy", joints @ np.array(AXES[up], np.float32))
    assert guess_up(read_source(tmp_path / "a.npy").joints) == up
    captured = load_motion(tmp_path / "a.npy")
    assert np.abs(captured.motion.features - joints_to_features(joints)).max() < 1e-3
    assert "note" not in captured.report()
    swapped = joints * np.array((-1, 1, 1), np.float32)
    np.save(tmp_path / "b.npy", swapped)
    assert "left and right may be swapped" in load_motion(tmp_path / "b.npy").report()


def test_arrays_of_joints_and_features(golden, tmp_path):
    free = golden("features_free")
    np.save(tmp_path / "f.npy", free["0/features"])
    np.save(tmp_path / "j.npy", free["0/recovered_joints"])
    one, two = load_motion(tmp_path / "f.npy"), load_motion(tmp_path / "j.npy")
    assert np.abs(one.motion.joints - two.motion.joints).max() < 1e-5
    assert one.unit == "m" and one.source.joint_map is None
    assert np.abs(one.placement.to_world(one.motion.joints) - free["0/recovered_joints"]).max() < 0.02


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((5, 21, 3)),
        np.zeros((1, 5, 22, 3)),
        np.zeros((1, 22, 3)),
        np.full((5, 22, 3), np.nan),
        np.array(["a"] * 4),
        np.zeros((5, 22, 3)),  # no axis points up
    ],
)
def test_unusable_arrays_are_refused(tmp_path, content):
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(ValueError, match="a.npy"):
        load_motion(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((60, 24, 3), r"SMPL's 24 joints.*\[:, :22\]"),
        ((60, 52, 3), r"\[:, :22\]"),
        ((4, 22, 3, 60), r"MDM .*\[i\].transpose\(2, 0, 1\)"),
        ((22, 3, 60), r"save .transpose\(2, 0, 1\)"),
        ((4, 60, 263), r"save one, \[i\]"),
        ((4, 60, 22, 3), r"save one, \[i\]"),
        ((60, 66), r"reshape\(-1, 22, 3\)"),
        ((60, 251), "KIT-ML"),
        ((72_001, 22, 3), "72,001 frames, expected at most an hour"),
    ],
)
def test_arrays_of_other_projects_are_recognised(tmp_path, shape, hint):
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, shape)
    with pytest.raises(ValueError, match=rf"a.npy holds .*{hint}"):
        load_motion(tmp_path / "a.npy")


def test_pickles_are_not_opened_and_normalised_features_are_told(golden, tmp_path):
    np.save(tmp_path / "results.npy", {"motion": np.zeros((2, 22, 3, 60))}, allow_pickle=True)
    with pytest.raises(
        ValueError, match=r"results.npy holds pickled .*MDM.*\['motion'\]\[i\].transpose\(2, 0, 1\)"
    ):
        load_motion(tmp_path / "results.npy")
    features = golden("features_free")["0/features"]
    np.save(tmp_path / "f.npy", (features - features.mean(0)) / (features.std(0) + 1e-3))
    with pytest.raises(ValueError, match="f.npy .*normalised; multiply by Std and add Mean"):
        load_motion(tmp_path / "f.npy", up="y", unit="m")


@pytest.mark.parametrize("name", ["a.npy", "a.fbx", "pose.bvh"])
def test_other_files_are_refused(tmp_path, name):
    (tmp_path / name).write_text("no array")
    if name == "pose.bvh":
        made_up.write(tmp_path / name, TREES["mixamo"], frames=1)
    with pytest.raises(ValueError, match=name):
        load_motion(tmp_path / name)


def test_what_is_nobodys_motion_is_refused(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREES["mixamo"], 30, unit=0.01)
    text = path.read_text()
    for old, new, named in (
        (r"(JOINT LeftLeg\s*\{\s*OFFSET) .*", r"\1 0 -400 0", "left thigh is .* times as long"),
        (r"(JOINT Head\s*\{\s*OFFSET) .*", r"\1 0 900 0", "the head is .* times as long"),
        (r"Frame Time: (\S+)\n\S+", r"Frame Time: \1\n2e6", "20 km from the origin"),
    ):
        changed, count = re.subn(old, new, text)
        assert count == 1
        path.write_text(changed)
        with pytest.raises(ValueError, match=f"a.bvh.*{named}"):
            load_motion(path)
    path.write_text(text)
    joints = load_motion(path).motion.joints.copy()
    joints[7, 4] += 99
    np.save(tmp_path / "far.npy", joints)
    with pytest.raises(ValueError, match="far.npy: at 0.35 s left_(knee|ankle) is .* legs away"):
        load_motion(tmp_path / "far.npy")
    joints = load_motion(path).motion.joints
    for name, order in (
        ("cut", [*range(16), 17, 17, *range(18, 22)]),
        ("mixed", [*range(7), 15, *range(8, 22)]),
    ):
        np.save(tmp_path / f"{name}.npy", joints[:, order])
        with pytest.raises(ValueError, match=f"{name}.npy: .*HumanML3D's order") as caught:
            load_motion(tmp_path / f"{name}.npy")
        assert "map" not in str(caught.value), "an array has none"
    np.save(tmp_path / "swapped.npy", joints[:, HUMANML3D.mirror])
    assert "swapped in the array" in load_motion(tmp_path / "swapped.npy").report()
    with pytest.raises(ValueError, match="a.bvh: with the unit inch the body is 3.6"):
        load_motion(path, unit="inch")


def test_takes_that_are_hardly_a_motion_are_told(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREES["mixamo"], 81, 20, unit=0.01)
    plain = load_motion(path)
    assert not plain.doubts and not plain.source.notes
    assert load_motion(path, skip=1.0).motion.duration == plain.motion.duration - 1
    made_up.write(tmp_path / "guessed.bvh", TREES["cmu"], 81, 20, unit=0.01)
    np.save(tmp_path / "short.npy", plain.motion.joints)
    for name, skip in (("a.bvh", 5), ("guessed.bvh", 4.1), ("short.npy", 1e308), ("a.bvh", -1)):
        with pytest.raises(
            ValueError, match=f"{name} has 8. frames at 20 fps, of which --skip .* leaves none"
        ):
            load_motion(tmp_path / name, skip=skip)
    joints = plain.motion.joints.copy()
    joints[30, [4, 7, 10]] += (0, 0, 1.5)
    np.save(tmp_path / "jump.npy", joints)
    (said,) = load_motion(tmp_path / "jump.npy").doubts
    assert "jumps by 1.5" in said and "at 1.45 s, and 1 steps more" in said
    assert "at 1.45 s" in load_motion(tmp_path / "jump.npy", skip=0.5).doubts[0]  # in the file's time
    joints = plain.motion.joints + np.where(np.arange(81) > 40, 0.6, 0)[:, None, None] * np.array([0, 1, 0])
    np.save(tmp_path / "floats.npy", joints.astype(np.float32))
    said = " ".join(load_motion(tmp_path / "floats.npy").doubts)
    assert re.search(r"from 2\.\d to 4\.\d s the body is 0\.[56]\d m above its floor", said)


def test_bones_of_no_length_are_refused(tmp_path):
    path = tmp_path / "a.bvh"
    made_up.write(path, TREES["cmu"], 10, unit=0.0254 / 0.45)
    lines = (f"{joint}: {name}" for joint, (name, _, _) in load_motion(path).source.joint_map.joints.items())
    (tmp_path / "my.yaml").write_text("\n".join(lines))  # without the joints halfway between two
    with pytest.raises(ValueError, match="a.bvh: spine1, left_collar, right_collar "):
        load_motion(path, tmp_path / "my.yaml")


def test_stand_on_undoes_a_turn_and_a_shift():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(9, 22, 3)).astype(np.float32)
    for angle in (0.3, -2.5):
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        moved = (joints @ turn.T + [3, 0, -5]).astype(np.float32)
        kept = np.arange(22) < 9
        moved[:, ~kept] += 1  # regenerated: they say nothing
        assert np.abs(stand_on(joints, 4, moved[4], kept) - moved)[:, kept].max() < 1e-5
