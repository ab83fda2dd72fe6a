"""An edit on the skeleton of the user's file: kept frames are the file's, in the others the skeleton follows the edit.

`tests/cli/test_edit.py` compares file in with file out for every kind of edit of a model. Here the edits are made up.
"""

import dataclasses

import bvhio
import numpy as np
import pytest
import torch
from made_up import bvh as made_up

from mmm.bvh.capture import load_motion
from mmm.bvh.feet import fix_feet
from mmm.bvh.reading import read_bvh
from mmm.bvh.retarget import save_edit
from mmm.bvh.writing import write_tree
from mmm.editing import join_features
from mmm.motion import Motion

GAP = slice(15, 35)  # of 20 a second
FILE = slice(22, 53)  # the frames of the file that are new, 30 a second
TREES = made_up.TREES | {"daz": made_up.DAZ}


def edit_of(source, golden):
    """`source` with the middle of another motion in a gap, as an edit joins them."""
    features = torch.from_numpy(source.motion.features)
    kept = torch.ones(1, len(features), dtype=torch.bool)
    kept[:, GAP] = False
    other = torch.from_numpy(golden("features_free")["1/features"][: len(features)])
    joined = join_features(features, other, kept)
    captured = np.repeat(kept.numpy().T, 22, axis=1)
    return Motion.generated(joined, body=source.motion.body, captured=captured)


def with_fingers(tree, hand):
    """A finger that sways in the file, on a hand."""
    return tree | {"finger": (hand, tree[hand][1] + (0.1, 0, 0))}


@pytest.mark.parametrize(
    ("name", "up", "unit", "everywhere", "hand"),
    [
        ("mixamo", "z", 0.0254, False, "LeftHand"),
        ("cmu", "y", 0.0254 / 0.45, False, "LeftHand"),  # bones of no length
        ("unreal", "z", 0.01, False, "hand_l"),  # the root lies above the pelvis
        ("daz", "y", 0.01, True, "lHand"),  # the pelvis lies between two joints, toes are End Sites
    ],
)
def test_the_files_skeleton_follows_the_edit(tmp_path, golden, name, up, unit, everywhere, hand):
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    tree = with_fingers(TREES[name], hand)
    arms = made_up.ARMS_DOWN if name == "daz" else None
    order = "XZY" if up == "z" else "ZXY"  # with the middle angle off 90 degrees
    made_up.write(mine, tree, 89, unit=unit, up=up, everywhere=everywhere, pose=arms, order=order)
    source = load_motion(mine, unit=unit, up=up)
    edited = edit_of(source, golden)
    assert save_edit(back, source, edited) == 89
    first, second = read_bvh(mine, unit=unit), read_bvh(back, unit=unit)
    assert first.names == second.names and first.tree.channels == second.tree.channels
    away = np.linalg.norm(first.joints - second.joints, axis=-1)  # metres
    kept = np.r_[: FILE.start, FILE.stop : 89]
    assert away[kept].max() < 1e-5 and away[30:45].max() > 0.1
    # at whole tenths of a second both have a frame
    followed = source.source.joint_map.apply(second)[::3][: len(edited.joints[::2])]
    wanted = source.placement.to_world(edited.joints[::2])
    if up == "z":
        followed = followed[..., [0, 2, 1]] * np.float32((1, 1, -1))
    # but collars and shoulders, between which some skeletons have one straight bone
    distance = np.delete(np.linalg.norm(followed - wanted, axis=-1), [13, 14, 16, 17], axis=1)[8:17]
    assert distance.mean() < 0.02 and distance.max() < 0.06
    steps = np.linalg.norm(np.diff(second.joints, axis=0), axis=-1).max(1)
    seams = [FILE.start - 1, FILE.stop - 1]
    fastest = np.linalg.norm(np.diff(edited.joints, axis=0), axis=-1).max()  # in a twentieth of a second
    assert steps[seams].max() < 0.08 and steps.max() < fastest, "no jump"
    turns = [
        column
        for column, channel in enumerate(np.concatenate(second.tree.channels))
        if channel.endswith("rotation")
    ]
    assert np.abs(np.diff(second.rows[:, turns], axis=0)).max() < 180, "no flip"
    finger = second.names.index("finger")
    column = sum(map(len, second.tree.channels[:finger])) + 3 * everywhere
    angles = second.rows[FILE.start - 1 : FILE.stop + 1, column]
    assert np.allclose(np.diff(angles, 2), 0, atol=0.1), "goes over evenly"


def test_an_edit_of_an_edit_keeps_its_time(tmp_path, golden):
    """First the start is regenerated, then frames are added at the end: no frame at the start is kept."""
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    made_up.write(mine, TREES["mixamo"], 89)
    source = load_motion(mine)
    once, more = edit_of(source, golden), golden("features_free")["1/features"][:20]
    captured = np.concatenate([once.captured, np.zeros((20, 22), bool)])
    captured[:20] = False
    twice = Motion.generated(
        torch.from_numpy(np.concatenate([once.features, more])), body=source.motion.body, captured=captured
    )
    save_edit(back, source, twice)
    first, second = read_bvh(mine), read_bvh(back)
    away = np.linalg.norm(first.joints[:86] - second.joints[:86], axis=-1)
    assert away[FILE.stop + 1 : 85].max() < 1e-5 and away[:25].max() > 0.1


def test_another_reader_finds_the_same_joints(tmp_path, golden):
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    made_up.write(mine, TREES["mixamo"], 89, prefix="mixamorig:")
    source = load_motion(mine)
    save_edit(back, source, edit_of(source, golden))
    root, bvh = bvhio.readAsHierarchy(str(back)), read_bvh(back, unit=1)
    for frame in (0, 21, 25, 40, 88):
        places = {joint.Name: tuple(joint.PositionWorld) for joint, *_ in root.loadPose(frame).layout()}
        read = np.array([places[name] for name in bvh.names])
        assert np.abs(read - bvh.joints[frame]).max() < 1e-3  # centimetres


def test_a_joint_gets_the_channels_that_it_needs(tmp_path, golden):
    """A hinge knee and a root without position channels."""
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    made_up.write(mine, TREES["mixamo"], 89)
    bvh, knee = read_bvh(mine), 0
    knee = bvh.names.index("LeftLeg")
    channels = list(bvh.tree.channels)
    channels[0], channels[knee] = channels[0][3:], ("xrotation",)
    column = sum(map(len, bvh.tree.channels[:knee]))
    rows = np.delete(bvh.rows, [0, 1, 2, column, column + 2], axis=1)
    tree = dataclasses.replace(bvh.tree, channels=channels, offsets=[[0, 95, 0], *bvh.tree.offsets[1:]])
    write_tree(mine, tree, rows, 30)
    source = load_motion(mine)
    save_edit(back, source, edit_of(source, golden))
    first, second = read_bvh(mine), read_bvh(back)
    assert len(second.tree.channels[0]) == 6 and len(second.tree.channels[knee]) == 3
    away = np.linalg.norm(first.joints - second.joints, axis=-1)
    assert away[: FILE.start].max() < 1e-5 and away[FILE.stop :].max() < 1e-5
    assert np.abs(np.ptp(second.joints[:, 0], axis=0)).max() > 0.05


def test_feet_that_were_fixed_are_written_so_in_kept_frames_too(tmp_path, golden):
    mine = Motion(golden("features_free")["1/features"][:60]).save(tmp_path / "mine.bvh")
    source = load_motion(mine)
    edited = edit_of(source, golden)
    fixed = fix_feet(edited)
    assert not fixed.captured[:14].all() and fixed.captured[:14, :4].all()
    save_edit(tmp_path / "back.bvh", source, fixed)
    first, second = read_bvh(mine), read_bvh(tmp_path / "back.bvh")
    away = np.linalg.norm(first.joints[:15] - second.joints[:15], axis=-1)
    legs = np.array([name.endswith(("knee", "ankle", "foot")) for name in first.names])
    assert away[:, legs].max() > 1e-3 and away[:, ~legs].max() < 1e-5


def test_what_cannot_be_given_back_is_refused(tmp_path, golden):
    made_up.write(tmp_path / "a.bvh", TREES["mixamo"], 89)
    np.save(tmp_path / "a.npy", golden("features_free")["0/features"])
    source, array = load_motion(tmp_path / "a.bvh"), load_motion(tmp_path / "a.npy")
    edited, out = edit_of(source, golden), tmp_path / "out.bvh"
    for arguments, named in (
        ((source, edited, 0.5), "fps is 0.5"),
        ((source, edited, None, "mine"), "names is 'mine'"),
        ((array, array.motion), "a.npy is no BVH file"),
        ((source, array.motion), "no edit of"),
        ((source, Motion.generated(edited.features)), "no edit of"),
    ):
        with pytest.raises(ValueError, match=named):
            save_edit(out, *arguments)
    assert not out.exists()
