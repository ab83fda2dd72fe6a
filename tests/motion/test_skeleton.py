"""The two skeletons: sizes, parents, symmetry, names."""

import numpy as np
import pytest

from mmm.motion import HUMANML3D, KIT, get_skeleton

BOTH = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda s: s.name)


def test_sizes_are_those_of_the_data_sets():
    assert (HUMANML3D.num_joints, HUMANML3D.num_features, HUMANML3D.fps) == (22, 263, 20)
    assert (KIT.num_joints, KIT.num_features, KIT.fps) == (21, 251, 12.5)


def test_parents_follow_the_chains():
    assert HUMANML3D.parents == (*(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),)
    assert KIT.parents == (-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19)


def test_rotations_of_every_chain_start_at_the_root():
    assert [HUMANML3D.rotation_parents[joint] for joint in (1, 2, 3, 13, 14)] == [0] * 5
    assert [HUMANML3D.rotation_parents[joint] for joint in (12, 15, 16)] == [9, 12, 13]
    assert [KIT.rotation_parents[joint] for joint in (5, 8, 4, 12)] == [0, 0, 3, 11]


@BOTH
def test_mirror_swaps_left_and_right(skeleton):
    swapped = [skeleton.joints[joint] for joint in skeleton.mirror]
    other = {"left": "right", "right": "left"}
    sides = [name.partition("_") for name in skeleton.joints]
    assert swapped == [other.get(side, side) + bar + rest for side, bar, rest in sides]


@BOTH
def test_rest_pose_is_symmetric(skeleton):
    """Mirroring rotations as M R M is exact only because the raw offsets are mirror images."""
    mirrored = skeleton.raw_offsets[list(skeleton.mirror)] * (-1, 1, 1)
    np.testing.assert_array_equal(mirrored, skeleton.raw_offsets)
    assert (np.linalg.norm(skeleton.raw_offsets, axis=-1) == [0] + [1] * (skeleton.num_joints - 1)).all()


@BOTH
def test_named_joints_are_what_they_are_called(skeleton):
    name = skeleton.joints
    face = [name[joint] for joint in skeleton.face]
    assert face == ["right_hip", "left_hip", "right_shoulder", "left_shoulder"]
    assert all("left" in name[joint] for joint in skeleton.feet[0])
    assert all("right" in name[joint] for joint in skeleton.feet[1])
    assert [name[joint].split("_")[1] for joint in skeleton.legs] == ["knee", "ankle"]
    assert skeleton.feet == (skeleton.chains[1][-2:], skeleton.chains[0][-2:])  # the ends of the legs


def test_target_offsets_are_those_of_the_reference(golden):
    np.testing.assert_allclose(
        HUMANML3D.target_offsets, golden("features_free")["target_offsets"], rtol=0, atol=1e-7
    )
    assert KIT.target_offsets is None
    with pytest.raises(ValueError, match="read-only"):
        HUMANML3D.target_offsets[0] = 1


def test_get_skeleton_by_name_or_unchanged():
    assert get_skeleton("kit") is KIT and get_skeleton(HUMANML3D) is HUMANML3D
    with pytest.raises(ValueError, match="smpl"):
        get_skeleton("smpl")
