import re

import numpy as np
import pytest

from mmm.bvh.reading import read_bvh, resample
from mmm.bvh.writing import fit_rigid, write_bvh
from mmm.motion.skeleton import HUMANML3D


@pytest.fixture
def bvh(tmp_path, golden):
    joints = fit_rigid(golden("features_free")["0/recovered_joints"]).joints  # what a file can hold
    path = tmp_path / "motion.bvh"
    write_bvh(path, joints, fps=20)
    return path, joints


def test_what_is_written_is_read_back(bvh):
    path, joints = bvh
    motion = read_bvh(path)
    assert set(motion.names) == set(HUMANML3D.joints)
    assert motion.names[motion.parents[motion.names.index("left_elbow")]] == "left_shoulder"
    order = [motion.names.index(name) for name in HUMANML3D.joints]  # BVH files go depth first
    assert motion.fps == pytest.approx(20, abs=1e-3)
    assert np.abs(motion.joints[:, order] - joints).max() < 1e-5  # metres


@pytest.mark.parametrize("share", [0.999, 0.7, 0.1])
def test_a_file_cut_off_is_refused_in_one_sentence(bvh, share):
    path, _ = bvh
    text = path.read_text()
    path.write_text(text[: int(len(text) * share)])
    with pytest.raises(ValueError, match="motion.bvh is (cut off|not a whole BVH file)"):
        read_bvh(path)


@pytest.mark.parametrize("value", ["0", "-0.05", "nan", "inf"])
def test_a_frame_time_that_is_not_above_0_is_refused(bvh, value):
    path, _ = bvh
    path.write_text(re.sub("(?m)^Frame Time:.*$", f"Frame Time: {value}", path.read_text()))
    with pytest.raises(ValueError, match="motion.bvh has the frame time .* expected one above 0"):
        read_bvh(path)


def test_a_broken_line_of_channels_is_refused_in_one_sentence(bvh):
    path, _ = bvh
    path.write_text(path.read_text().replace("CHANNELS 3", "CHANNELS", 1))
    with pytest.raises(ValueError, match="motion.bvh is not a whole BVH file"):
        read_bvh(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.bvh"):
        read_bvh(tmp_path / "nowhere.bvh")


def test_resample_is_linear_and_keeps_the_ends():
    line = np.linspace(0, 1, 31, dtype=np.float32)[:, None]
    twenty = resample(line, 1 / 0.0333333, 20)  # the frame time as BVH files write it
    assert len(twenty) == 21
    assert np.allclose(twenty[:, 0], np.linspace(0, 1, 21), atol=1e-5)
