"""Motion: what it holds, and that it saves to every suffix it names."""

import numpy as np
import pytest
import torch

from mmm.bvh.reading import read_bvh
from mmm.motion import HUMANML3D, Motion
from mmm.motion.clip import SUFFIXES
from mmm.motion.rigid import fit_rigid


@pytest.fixture
def joints(golden) -> np.ndarray:
    return golden("features_free")["0/recovered_joints"][:30]


def test_features_give_joints_and_joints_give_features(golden):
    free = golden("features_free")
    motion = Motion(free["0/features"], text="a person goes")
    np.testing.assert_allclose(motion.joints, free["0/recovered_joints"], atol=1e-4)
    assert motion.joints is motion.joints  # computed once
    assert (len(motion), motion.duration) == (89, 89 / 20)
    motion = Motion.from_joints(free["0/joints"])
    np.testing.assert_allclose(motion.features, free["0/features"], atol=1e-4)
    np.testing.assert_array_equal(motion.joints, free["0/joints"].astype(np.float32))  # unchanged
    assert len(motion) == 90


def test_tensors_are_accepted(joints):
    motion = Motion.from_joints(torch.tensor(joints, requires_grad=True))
    assert isinstance(motion.joints, np.ndarray) and motion.joints.dtype == np.float32


def test_repr_is_one_short_line(joints):
    assert repr(Motion.from_joints(joints, text="waves")) == "Motion('waves', 30 frames, 1.5 s at 20 fps)"
    assert repr(Motion.from_joints(joints, 12.5)) == "Motion(30 frames, 2.4 s at 12.5 fps)"


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Motion(np.zeros((9, 262), np.float32)), r"features .*\(9, 262\).*\(T, 263\)"),
        (lambda: Motion(np.zeros((0, 263), np.float32)), r"\(0, 263\)"),
        (lambda: Motion(np.zeros((9, 263), np.float32), skeleton="kit"), r"\(T, 251\)"),
        (lambda: Motion(np.full((9, 263), np.nan, np.float32)), "NaN .*9 of 9"),
        (lambda: Motion.from_joints(np.zeros((1, 9, 22, 3))), r"joints .*\(T, 22, 3\)"),
        (lambda: Motion.from_joints(np.zeros((1, 22, 3))).features, r"\(1, 22, 3\)"),
        (lambda: Motion(np.zeros((9, 263), np.float32), skeleton="smpl"), "smpl"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(make, named):
    with pytest.raises(ValueError, match=named) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", sorted(set(SUFFIXES) - {".mp4"}))
def test_saves_to_every_suffix(tmp_path, joints, suffix):
    path = tmp_path / "new" / f"a{suffix.upper()}"
    assert Motion.from_joints(joints[:6], text="goes").save(path) == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    magic = {".gif": b"GIF8", ".png": b"\x89PNG", ".html": b"<!doctype", ".npy": b"\x93NUMPY"}
    magic[".bvh"] = b"HIERARCHY"
    assert path.read_bytes().startswith(magic[suffix])


def test_npy_and_bvh_hold_the_joints(tmp_path, joints):
    motion = Motion.from_joints(joints, 25.0)
    np.testing.assert_array_equal(np.load(motion.save(tmp_path / "a.npy")), motion.joints)
    back = read_bvh(motion.save(tmp_path / "a.bvh"))
    assert back.fps == pytest.approx(25, rel=1e-4)
    order = [back.names.index(name) for name in HUMANML3D.joints]  # a file goes limb by limb
    np.testing.assert_allclose(back.joints[:, order], fit_rigid(motion.joints).joints, atol=1e-5)


def test_unknown_suffixes_are_refused(tmp_path, joints):
    motion = Motion.from_joints(joints)
    for name in ("a.fbx", "a"):
        with pytest.raises(ValueError, match=name):
            motion.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_notebook_shows_the_player(joints, recwarn):
    motion = Motion.from_joints(joints[:4])
    assert "srcdoc" in motion.show().data and "srcdoc" in motion._repr_html_()
    assert not recwarn.list  # no warnings in the notebook


def test_every_other_frame_keeps_the_duration(golden):
    motion = Motion.from_joints(golden("features_free")["0/joints"], 20, text="waves")
    half = motion.every(2)
    assert np.array_equal(half.joints, motion.joints[::2]) and (half.fps, half.text) == (10, "waves")
    assert abs(half.duration - motion.duration) <= 1 / 20
    with pytest.raises(ValueError, match="step is 0"):
        motion.every(0)
