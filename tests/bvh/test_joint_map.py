import dataclasses

import numpy as np
import pytest
import yaml
from made_up import bvh as made_up

from mmm.bvh.anatomy import check_body
from mmm.bvh.joint_guess import split_side
from mmm.bvh.joint_map import KNOWN, choose_map, known_map, load_map, without_prefix
from mmm.bvh.reading import end_names, read_bvh, unique_names
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


def test_two_joints_of_one_name_are_two_joints(tmp_path):
    motion = make(tmp_path, "mixamo")
    motion = dataclasses.replace(
        motion, names=tuple("Toe" if "Toe" in name else name for name in motion.names)
    )
    chosen = choose_map(motion)
    assert chosen.joints["right_foot"][0] == "RightFoot/Toe"
    plain = known_map("mixamo").apply(make(tmp_path, "mixamo"))
    assert np.array_equal(chosen.apply(motion), plain)
    lines = mixamo_lines() | {"left_foot": "Toe", "right_foot": "Toe"}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    with pytest.raises(ValueError, match="several joints .*LeftFoot/Toe, RightFoot/Toe"):
        choose_map(motion, tmp_path / "my.yaml")
    lines |= {"left_foot": "LeftFoot/Toe", "right_foot": "RightFoot/Toe"}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    assert np.array_equal(choose_map(motion, tmp_path / "my.yaml").apply(motion), plain)


def test_names_of_nodes():
    names, parents = ["a", "b", "toe", "toe", "b", "toe", "end"], [-1, 0, 1, 1, 0, 0, 4]
    assert unique_names(names, parents) == ["a", "b#1", "toe#1", "toe#2", "b#2", "a/toe", "end"]
    assert end_names(["x", "y"], [1, 0, 1]) == ["y/end", "x/end", "y/end2"]


def test_names_of_nodes_are_unique_where_a_file_uses_such_names_itself():
    names = ["a", "Toe", "Toe", "Toe#2", "Toe#2", "Toe#3", "a/Toe", "b", "Toe", "Toe"]
    parents = [-1, 0, 0, 0, 0, 0, 0, 0, 7, 0]
    unique = unique_names(names, parents)
    assert len(set(unique)) == len(names)
    assert [unique[number] for number in (0, 5, 6, 7, 8)] == ["a", "Toe#3", "a/Toe", "b", "b/Toe"]
    assert unique_names(["a", "b", "x", "x"], [-1, 0, 1, 0]) == ["a", "b", "b/x", "a/x"]
    assert unique_names(["a", "x", "y", "x", "x", "y/x"], [-1, 0, 0, 2, 0, 0])[3] != "y/x"
    ends = end_names(["x", "x/end", "x/end2"], [0, 1, 0])
    assert len({"x", "x/end", "x/end2", *ends}) == 6


def test_a_pelvis_beside_the_spine(tmp_path):
    tree = made_up.tree(
        "center@pelvis+upper body@spine1+upper body2@spine3+neck@neck+head@head",
        "lower body>leg_{S}@hip+knee_{S}@knee+ankle_{S}@ankle+toe_{S}@toe",
        "upper body2>shoulder_{S}@collar+arm_{S}@shoulder+elbow_{S}@elbow+wrist_{S}@wrist",
        "L",
        "R",
    )
    tree = {"center": tree["center"], "lower body": ("center", tree["center"][1])} | tree
    chosen = choose_map(make(tmp_path, tree)).joints
    trunk = [chosen[joint][0] for joint in ("pelvis", "spine1", "spine3", "neck", "head")]
    assert trunk == ["lower body", "upper body", "upper body2", "neck", "head"]
    tree["center"] = (None, np.zeros(3))  # a root on the floor is no part of the trunk
    tree["upper body"] = ("center", tree["upper body"][1])
    assert "center" not in choose_map(make(tmp_path, tree)).needed


def test_rigifys_head_has_no_name_of_its_own_and_its_bones_several_parts(tmp_path):
    tree = made_up.tree(
        "spine@pelvis+spine.001@spine1+spine.002@spine2+spine.003@spine3+spine.004@neck+spine.006@head",
        "spine>thigh.{S}@hip+shin.{S}@knee+foot.{S}@ankle+toe.{S}@toe",
        "spine.003>shoulder.{S}@collar+upper_arm.{S}@shoulder+forearm.{S}@elbow+hand.{S}@wrist",
        "L",
        "R",
    )
    tree["face"] = ("spine.006", tree["spine.006"][1] + 0.01)
    for side in "LR":
        for bone, end in (("thigh", "shin"), ("shin", "foot"), ("upper_arm", "forearm"), ("forearm", "hand")):
            one, two = f"{bone}.{side}", f"{end}.{side}"
            tree[f"{one}.001"] = (one, (tree[one][1] + tree[two][1]) / 2)
            tree[two] = (f"{one}.001", tree[two][1])
    chosen = choose_map(
        make(tmp_path, dict(sorted(tree.items(), key=lambda row: depth(tree, row[0]))))
    ).joints
    assert (chosen["neck"][0], chosen["head"][0]) == ("spine.004", "spine.006")
    left = [chosen[f"left_{joint}"][0] for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")]
    assert left == ["thigh.L", "shin.L", "foot.L", "upper_arm.L", "forearm.L", "hand.L"]


def depth(tree: dict, name: str) -> int:
    return 0 if tree[name][0] is None else 1 + depth(tree, tree[name][0])


def test_a_guess_is_mended_where_no_person_has_such_joints(tmp_path):
    names = {"hip": "Hips", "abdomen": "Waist"}  # not those of a known map
    tree = {names.get(n, n): (names.get(parent, parent), at) for n, (parent, at) in made_up.DAZ.items()}
    motion = make(tmp_path, tree, pose=made_up.ARMS_DOWN)
    chosen = choose_map(motion)
    assert chosen.name == "guessed" and len(chosen.notes) == 2
    assert chosen.joints["pelvis"][:2] == ("Hips", "Waist")
    joints = chosen.apply(motion).astype(float)
    assert 0.07 < np.median(joints[:, 0, 1] - joints[:, [1, 2], 1].mean(1)) < 0.1
    known = make(tmp_path, made_up.DAZ, pose=made_up.ARMS_DOWN)
    away = np.linalg.norm(joints - choose_map(known).apply(known), axis=-1)
    assert away.max() < 0.05  # the map made by hand
    assert not check_body(joints)


def test_the_lists_of_joints_in_messages_are_short(tmp_path):
    tree = {f"bone {'x' * 90} {number}": (None, np.zeros(3)) for number in range(1)}
    first = next(iter(tree))
    tree |= {f"bone{number}" * 10: (first, np.ones(3)) for number in range(500)}
    with pytest.raises(ValueError, match="and 461 more") as caught:
        choose_map(make(tmp_path, tree))
    assert len(str(caught.value)) < 4000


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
