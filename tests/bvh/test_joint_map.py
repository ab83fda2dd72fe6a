import numpy as np
import pytest
import yaml
from made_up import bvh as made_up

from mmm.bvh.joint_guess import split_side
from mmm.bvh.joint_map import KNOWN, choose_map, known_map, load_map, without_prefix
from mmm.bvh.reading import read_bvh
from mmm.motion.skeleton import HUMANML3D

# The stick figure's joints by HumanML3D's names.
MEANT = {joint: joint for joint in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")}
MEANT |= {
    f"{side}_{joint}": "toe" if joint == "foot" else joint
    for side in ("left", "right")
    for joint in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
}


def make(tmp_path, tree: str | dict, **options):
    path = tmp_path / "a.bvh"
    made_up.write(path, made_up.TREES[tree] if isinstance(tree, str) else tree, frames=3, **options)
    return read_bvh(path)


def mixamo_lines() -> dict[str, str]:
    """The known map of Mixamo as a user would write it."""
    return {joint: name for joint, (name, _, _) in known_map("mixamo").joints.items()}


@pytest.mark.parametrize("tree", made_up.TREES)
def test_the_joints_of_many_programs_are_recognised(tmp_path, tree):
    motion = make(tmp_path, tree)
    chosen = choose_map(motion)
    assert chosen.name == (tree if tree in KNOWN else "guessed")
    named = {name: place for name, (_, place) in made_up.TREES[tree].items()}
    errors = []
    for joint, (name, other, weight) in chosen.joints.items():
        position = named[name] * (1 - weight) + named[other] * weight
        meant = np.array(made_up.PLACES[MEANT[joint]]) * (-1 if joint.startswith("right") else 1, 1, 1)
        errors.append(np.linalg.norm(position - meant))
    # near it where a file lacks the joint
    assert max(errors) < 0.13 and sum(error < 1e-6 for error in errors) >= 16
    joints = chosen.apply(motion)
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(HUMANML3D.parents[1:])], axis=-1)
    assert bones.min() > 0.02  # no bone of no length


@pytest.mark.parametrize("prefix", ["mixamorig:", "mixamorig_", "mixamorig9:", "Character1|", ""])
def test_a_prefix_of_all_names_is_ignored(tmp_path, prefix):
    assert choose_map(make(tmp_path, "mixamo", prefix=prefix)).name == "mixamo"
    assert without_prefix(f"{prefix}Hips") == "Hips"


def test_helpers_of_animators_are_no_bones(tmp_path):
    tree = made_up.TREES["unreal"] | {}
    helpers = {"ik_foot_root": "root", "ik_foot_l": "ik_foot_root", "ik_hand_l": "root"}
    helpers |= {"calf_twist_01_l": "calf_l", "index_01_l": "hand_l", "head_end": "head"}
    for name, parent in helpers.items():
        tree[name] = (parent, tree[parent][1] + 0.01)
    joints = choose_map(make(tmp_path, tree)).joints
    left = [joints[f"left_{joint}"][0] for joint in ("hip", "knee", "ankle", "wrist")]
    assert left == ["thigh_l", "calf_l", "foot_l", "hand_l"]


def test_the_end_site_of_the_foot_serves_as_toe(tmp_path):
    tree = {name: row for name, row in made_up.TREES["motionbuilder"].items() if "Toe" not in name}
    motion = make(tmp_path, tree, ends=0.11)
    chosen = choose_map(motion)
    assert chosen.joints["left_foot"] == ("LeftAnkle/end", "LeftAnkle/end", 0.0)
    assert "left_foot       End Site of LeftAnkle" in chosen.table()
    joints = chosen.apply(motion)
    assert np.linalg.norm(joints[:, 10] - joints[:, 7], axis=-1) == pytest.approx(0.11, abs=1e-5)
    with pytest.raises(ValueError, match="left_foot, right_foot among Hips, .*--map my.yaml"):
        choose_map(make(tmp_path, tree, ends=0))


def test_a_rig_without_hands_and_head(tmp_path):
    tree = made_up.tree(
        "pelvis@pelvis+spine@spine1+spine.001@spine3+neck@neck+face@head",
        "pelvis>thigh.{S}@hip+shin.{S}@knee+foot.{S}@ankle+toe.{S}@toe",
        "spine.001>shoulder.{S}@collar+upper_arm.{S}@shoulder+forearm.{S}@elbow",
        "L",
        "R",
    )
    chosen = choose_map(make(tmp_path, tree)).joints
    assert chosen["head"][0] == "face" and chosen["left_wrist"][0] == "forearm.L/end"
    assert (chosen["right_collar"][0], chosen["right_shoulder"][0]) == ("shoulder.R", "upper_arm.R")


def test_unrecognisable_names_need_a_map(tmp_path):
    names = {name: f"Bone{number}" for number, name in enumerate(made_up.TREES["mixamo"])}
    tree = {names[n]: (names.get(parent), place) for n, (parent, place) in made_up.TREES["mixamo"].items()}
    with pytest.raises(ValueError, match="Bone21.*--map my.yaml"):
        choose_map(make(tmp_path, tree))
    lines = {joint: names[name] for joint, name in mixamo_lines().items()}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    assert choose_map(make(tmp_path, tree), tmp_path / "my.yaml").joints["head"][0] == names["Head"]


def test_a_users_map_may_interpolate(tmp_path):
    motion = make(tmp_path, "mixamo")
    lines = mixamo_lines() | {"spine2": ["Spine", "Spine2", 0.25], "neck": ["Spine2", "Head"]}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    chosen = choose_map(motion, tmp_path / "my.yaml")
    joint = dict(zip(motion.names, motion.joints.swapaxes(0, 1), strict=True))
    joints = chosen.apply(motion)
    assert np.allclose(joints[:, 6], 0.75 * joint["Spine"] + 0.25 * joint["Spine2"], atol=1e-6)
    assert np.allclose(joints[:, 12], (joint["Spine2"] + joint["Head"]) / 2, atol=1e-6)
    assert "25% of the way from Spine to Spine2" in chosen.table() and len(chosen.table().splitlines()) == 22


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"left_hip": None}, "left_hip: None"),
        ({"spine2": ["Spine", "Spine1", 3]}, "spine2"),
        ({"tail": "Tail"}, "tail"),
        ({"left_hip": "Thigh"}, "Thigh"),
        ("pelvis: [", "line 1"),
        ("just words", "str"),
        ("pelvis: Hips", "left_hip"),
    ],
)
def test_an_unusable_map_is_refused(tmp_path, change, named):
    text = change if isinstance(change, str) else yaml.safe_dump(mixamo_lines() | change)
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ValueError, match="my.yaml") as caught:
        choose_map(make(tmp_path, "mixamo"), tmp_path / "my.yaml")
    assert named in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nowhere.yaml"):
        load_map("nowhere.yaml")


@pytest.mark.parametrize(
    ("name", "side", "rest"),
    [
        ("mixamorig:RightHand", "right", "hand"),
        ("rightupleg", "right", "upleg"),
        ("lfoot", "left", "foot"),
        ("leg", "", "leg"),
        ("lowerback", "", "lowerback"),
        ("UPPERARM_L", "left", "upperarm"),
    ],
)  # other spellings occur in the trees of many programs
def test_sides_of_names(name, side, rest):
    assert split_side(name) == (side, rest)
