import numpy as np
import pytest
import yaml
from made_up import bvh as made_up

from mmm.bvh.joint_guess import split_side
from mmm.bvh.joint_map import KNOWN, choose_map, known_map, load_map, without_prefix
from mmm.bvh.reading import read_bvh
from mmm.motion.skeleton import HUMANML3D

# The stick figure's places by HumanML3D's names.
MEANT = {
    "pelvis": "pelvis",
    "spine1": "spine1",
    "spine2": "spine2",
    "spine3": "spine3",
    "neck": "neck",
    "head": "head",
}
MEANT |= {
    f"{side}_{joint}": place
    for side in ("left", "right")
    for joint, place in (
        *(("hip", "hip"), ("knee", "knee"), ("ankle", "ankle"), ("foot", "toe")),
        *(("collar", "collar"), ("shoulder", "shoulder"), ("elbow", "elbow"), ("wrist", "wrist")),
    )
}


def make(tmp_path, tree: str | dict, **options):
    path = tmp_path / "a.bvh"
    made_up.write(path, made_up.TREES[tree] if isinstance(tree, str) else tree, frames=3, **options)
    return read_bvh(path)


@pytest.mark.parametrize("tree", made_up.TREES)
def test_every_convention_is_told(tmp_path, tree):
    motion = make(tmp_path, tree)
    found = choose_map(motion)
    assert found.name == (tree if tree in KNOWN else "guessed")
    named = {name: place for name, (_, place) in made_up.TREES[tree].items()}
    exact = 0
    for joint, (name, other, share) in found.places.items():
        place = named[name] * (1 - share) + named[other] * share
        meant = np.array(made_up.PLACES[MEANT[joint]]) * (-1 if joint.startswith("right") else 1, 1, 1)
        exact += np.allclose(place, meant)
        assert np.linalg.norm(place - meant) < 0.13, (
            joint,
            name,
        )  # where the file has no such joint, near it
    assert exact >= 16
    joints = found.apply(motion)
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(HUMANML3D.parents[1:])], axis=-1)
    assert bones.min() > 0.02  # no bone without length


@pytest.mark.parametrize("prefix", ["mixamorig:", "mixamorig_", "mixamorig9:", "Character1|", ""])
def test_what_stands_before_all_names_does_not_matter(tmp_path, prefix):
    found = choose_map(make(tmp_path, "mixamo", prefix=prefix))
    assert found.name == "mixamo"
    assert without_prefix(f"{prefix}Hips") == "Hips"


def test_helpers_of_animators_are_no_bones(tmp_path):
    tree = made_up.TREES["unreal"] | {}
    for name, parent in (
        ("ik_foot_root", "root"),
        ("ik_foot_l", "ik_foot_root"),
        ("ik_hand_l", "root"),
        ("calf_twist_01_l", "calf_l"),
        ("index_01_l", "hand_l"),
        ("head_end", "head"),
    ):
        tree[name] = (parent, tree.get(parent)[1] + 0.01)
    found = choose_map(make(tmp_path, tree)).places
    assert [found[f"left_{joint}"][0] for joint in ("hip", "knee", "ankle", "wrist")] == [
        "thigh_l",
        "calf_l",
        "foot_l",
        "hand_l",
    ]


def test_without_a_toe_the_end_site_of_the_foot_is_taken_and_without_that_it_is_refused(tmp_path):
    tree = {name: row for name, row in made_up.TREES["motionbuilder"].items() if "Toe" not in name}
    motion = make(tmp_path, tree, ends=0.11)
    found = choose_map(motion)
    assert found.places["left_foot"] == ("LeftAnkle/end", "LeftAnkle/end", 0.0)
    assert "left_foot       End Site of LeftAnkle" in found.table()
    joints = found.apply(motion)
    assert np.linalg.norm(joints[:, 10] - joints[:, 7], axis=-1) == pytest.approx(0.11, abs=1e-5)
    with pytest.raises(ValueError, match="found none for left_foot, right_foot among Hips, .*--map my.yaml"):
        choose_map(make(tmp_path, tree, ends=0))


def test_a_rig_without_hands_and_head_gives_what_is_there(tmp_path):
    tree = made_up.tree(
        "pelvis@pelvis+spine@spine1+spine.001@spine3+neck@neck+face@head",
        "pelvis>thigh.{S}@hip+shin.{S}@knee+foot.{S}@ankle+toe.{S}@toe",
        "spine.001>shoulder.{S}@collar+upper_arm.{S}@shoulder+forearm.{S}@elbow",
        "L",
        "R",
    )
    found = choose_map(make(tmp_path, tree)).places
    assert found["head"][0] == "face" and found["left_wrist"][0] == "forearm.L/end"
    assert (found["right_collar"][0], found["right_shoulder"][0]) == ("shoulder.R", "upper_arm.R")


def test_what_we_write_is_no_guess(tmp_path, golden):
    from mmm.motion.clip import Motion

    path = Motion.from_joints(golden("features_free")["0/recovered_joints"]).save(tmp_path / "a.bvh")
    assert choose_map(read_bvh(path)).name == "humanml3d"


def test_names_that_say_nothing_are_refused_with_all_that_is_needed(tmp_path):
    tree = {f"Bone{i}": row for i, row in enumerate(made_up.TREES["mixamo"].values())}
    names = dict(zip(made_up.TREES["mixamo"], tree, strict=True))
    tree = {name: (names.get(parent), place) for name, (parent, place) in tree.items()}
    with pytest.raises(
        ValueError, match="cannot be told by their names: found none for pelvis, left_hip"
    ) as e:
        choose_map(make(tmp_path, tree))
    assert "Bone21" in str(e.value) and "left_hip: LeftUpLeg" in str(e.value) and "\n" not in str(e.value)
    lines = {joint: names[name] for joint, (name, _, _) in known_map("mixamo").places.items()}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    assert choose_map(make(tmp_path, tree), tmp_path / "my.yaml").places["head"][0] == names["Head"]


def test_a_map_of_ones_own_may_interpolate(tmp_path):
    motion = make(tmp_path, "mixamo")
    lines = {joint: name for joint, (name, _, _) in known_map("mixamo").places.items()}
    lines |= {"spine2": ["Spine", "Spine2", 0.25], "neck": ["Spine2", "Head"]}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    found = choose_map(motion, tmp_path / "my.yaml")
    joint = dict(zip(motion.names, motion.joints.swapaxes(0, 1), strict=True))
    joints = found.apply(motion)
    assert np.allclose(joints[:, 6], 0.75 * joint["Spine"] + 0.25 * joint["Spine2"], atol=1e-6)
    assert np.allclose(joints[:, 12], (joint["Spine2"] + joint["Head"]) / 2, atol=1e-6)
    assert "25% of the way from Spine to Spine2" in found.table() and len(found.table().splitlines()) == 22


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"left_hip": None}, "says `left_hip: None`, expected a name, or"),
        ({"spine2": ["Spine", "Spine1", 3]}, "share from 0 to 1"),
        ({"tail": "Tail"}, "speaks of tail, which HumanML3D does not have; its joints are pelvis"),
        (
            {"left_hip": "Thigh"},
            "the file lacks Thigh, which the joint map .*my.yaml needs; its joints are Hips",
        ),
    ],
)
def test_a_map_that_cannot_be_used(tmp_path, change, sentence):
    lines = {joint: name for joint, (name, _, _) in known_map("mixamo").places.items()} | change
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(lines))
    with pytest.raises(ValueError, match=sentence):
        choose_map(make(tmp_path, "mixamo"), tmp_path / "my.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("pelvis: [", "is not YAML"),
        ("just words", "holds str, expected lines such as"),
        ("pelvis: Hips", "does not say where left_hip, .* is; add a line for each"),
    ],
)
def test_a_map_that_cannot_be_read(tmp_path, text, sentence):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        load_map(tmp_path / "my.yaml")
    with pytest.raises(FileNotFoundError, match="there is no joint map nowhere.yaml"):
        load_map("nowhere.yaml")


@pytest.mark.parametrize(
    ("name", "side", "rest"),
    [
        ("LeftUpLeg", "left", "up leg"),
        ("mixamorig:RightHand", "right", "hand"),
        ("Bip01 L Thigh", "left", "bip 01 thigh"),
        ("LHipJoint", "left", "hip joint"),
        ("thigh.R", "right", "thigh"),
        ("rShin", "right", "shin"),
        ("rightupleg", "right", "upleg"),
        ("lfoot", "left", "foot"),
        ("AnkleLeft", "left", "ankle"),
        ("Neck", "", "neck"),
        ("leg", "", "leg"),
        ("lowerback", "", "lowerback"),
        ("UPPERARM_L", "left", "upperarm"),
    ],
)
def test_sides_of_names(name, side, rest):
    assert split_side(name) == (side, rest)
