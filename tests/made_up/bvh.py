"""Made-up BVH files with the names and trees of several programs; world joints by scipy, independently of ours.

Facts only: names of joints are those that the programs write. Places are a stick figure's in T-pose, metres, y up,
facing z+, left on x+.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

# name: (parent, x, y, z); joints of the left side are mirrored where the name has {S}. No tree has fingers but one.
_ARM = {
    "collar": (0.06, 1.42, 0),
    "shoulder": (0.19, 1.44, 0),
    "elbow": (0.46, 1.44, 0),
    "wrist": (0.71, 1.44, 0),
}
_LEG = {
    "hip": (0.1, 0.88, 0),
    "knee": (0.1, 0.48, 0.01),
    "ankle": (0.1, 0.08, -0.02),
    "toe": (0.1, 0.02, 0.11),
}
_SPINE = {"pelvis": (0, 0.95, 0), "spine1": (0, 1.07, 0), "spine2": (0, 1.2, 0), "spine3": (0, 1.32, 0)}
_HEAD = {"neck": (0, 1.48, 0), "head": (0, 1.58, 0.02)}
PLACES = _SPINE | _HEAD | _LEG | _ARM


def tree(trunk: str, leg: str, arm: str, left: str = "Left", right: str = "Right") -> dict[str, tuple]:
    """{name: (parent, place)} of lines such as "Hips@pelvis Spine@spine1"; {S} in names of limbs is the side.

    The first joint of leg and arm hangs on the joint named before it, as in "Hips>{S}UpLeg@hip".
    """
    joints, before = {}, None
    for word in trunk.split("+"):
        name, place = word.split("@")
        joints[name] = (before, np.array(PLACES[place], float))
        before = name
    for limb in (leg, arm):
        for side, sign in ((left, 1), (right, -1)):
            before, chain = limb.split(">")
            for word in chain.split("+"):
                name, place = word.replace("{S}", side).split("@")
                joints[name] = (before, np.array(PLACES[place], float) * (sign, 1, 1))
                before = name
    return joints


_MIXAMO = (
    "Hips@pelvis+Spine@spine1+Spine1@spine2+Spine2@spine3+Neck@neck+Head@head",
    "Hips>{S}UpLeg@hip+{S}Leg@knee+{S}Foot@ankle+{S}ToeBase@toe",
    "Spine2>{S}Shoulder@collar+{S}Arm@shoulder+{S}ForeArm@elbow+{S}Hand@wrist",
)
TREES = {
    "mixamo": tree(*_MIXAMO),
    # LowerBack, Neck and the shoulders have no length of their own
    "cmu": tree(
        "Hips@pelvis+LowerBack@pelvis+Spine@spine1+Spine1@spine3+Neck@spine3+Neck1@neck+Head@head",
        "Hips>{S}HipJoint@pelvis+{S}UpLeg@hip+{S}Leg@knee+{S}Foot@ankle+{S}ToeBase@toe",
        "Spine1>{S}Shoulder@spine3+{S}Arm@shoulder+{S}ForeArm@elbow+{S}Hand@wrist",
    ),
    "motionbuilder": tree(
        "Hips@pelvis+Chest@spine1+Chest2@spine2+Chest3@spine3+Neck@neck+Head@head",
        "Hips>{S}Hip@hip+{S}Knee@knee+{S}Ankle@ankle+{S}Toe@toe",
        "Chest3>{S}Collar@collar+{S}Shoulder@shoulder+{S}Elbow@elbow+{S}Wrist@wrist",
    ),
    "unreal": tree(
        "root@pelvis+pelvis@pelvis+spine_01@spine1+spine_02@spine2+spine_03@spine3+neck_01@neck+head@head",
        "pelvis>thigh_{S}@hip+calf_{S}@knee+foot_{S}@ankle+ball_{S}@toe",
        "spine_03>clavicle_{S}@collar+upperarm_{S}@shoulder+lowerarm_{S}@elbow+hand_{S}@wrist",
        "l",
        "r",
    ),
    "biped": tree(
        "Bip01@pelvis+Bip01 Pelvis@pelvis+Bip01 Spine@spine1+Bip01 Spine1@spine3+Bip01 Neck@neck+Bip01 Head@head",
        "Bip01 Pelvis>Bip01 {S} Thigh@hip+Bip01 {S} Calf@knee+Bip01 {S} Foot@ankle+Bip01 {S} Toe0@toe",
        "Bip01 Neck>Bip01 {S} Clavicle@collar+Bip01 {S} UpperArm@shoulder+Bip01 {S} Forearm@elbow+Bip01 {S} Hand@wrist",
        "L",
        "R",
    ),
    "poser": tree(
        "hip@pelvis+abdomen@spine1+chest@spine3+neck@neck+head@head",
        "hip>{S}Thigh@hip+{S}Shin@knee+{S}Foot@ankle+{S}Toe@toe",
        "chest>{S}Collar@collar+{S}Shldr@shoulder+{S}ForeArm@elbow+{S}Hand@wrist",
        "l",
        "r",
    ),
    "kinect": tree(
        "SpineBase@pelvis+SpineMid@spine2+SpineShoulder@spine3+Neck@neck+Head@head",
        "SpineBase>Hip{S}@hip+Knee{S}@knee+Ankle{S}@ankle+Foot{S}@toe",
        "SpineShoulder>Shoulder{S}@shoulder+Elbow{S}@elbow+Wrist{S}@wrist",
    ),
    "smpl": tree(
        "Pelvis@pelvis+Spine1@spine1+Spine2@spine2+Spine3@spine3+Neck@neck+Head@head",
        "Pelvis>{S}_Hip@hip+{S}_Knee@knee+{S}_Ankle@ankle+{S}_Foot@toe",
        "Spine3>{S}_Collar@collar+{S}_Shoulder@shoulder+{S}_Elbow@elbow+{S}_Wrist@wrist",
        "L",
        "R",
    ),
    "optitrack": tree(
        "Hip@pelvis+Ab@spine1+Chest@spine3+Neck@neck+Head@head",
        "Hip>{S}Thigh@hip+{S}Shin@knee+{S}Foot@ankle+{S}Toe@toe",
        "Chest>{S}Shoulder@collar+{S}UArm@shoulder+{S}FArm@elbow+{S}Hand@wrist",
        "L",
        "R",
    ),
    "lowercase": tree(
        "torso@pelvis+back@spine3+head@head",
        "torso>{S}thigh@hip+{S}knee@knee+{S}foot@ankle+{S}toes@toe",
        "back>{S}arm@shoulder+{S}elbow@elbow+{S}hand@wrist",
        "l",
        "r",
    ),
    "vrm": tree(
        "J_Bip_C_Hips@pelvis+J_Bip_C_Spine@spine1+J_Bip_C_Chest@spine2+J_Bip_C_UpperChest@spine3+J_Bip_C_Neck@neck"
        "+J_Bip_C_Head@head",
        "J_Bip_C_Hips>J_Bip_{S}_UpperLeg@hip+J_Bip_{S}_LowerLeg@knee+J_Bip_{S}_Foot@ankle+J_Bip_{S}_ToeBase@toe",
        "J_Bip_C_UpperChest>J_Bip_{S}_Shoulder@collar+J_Bip_{S}_UpperArm@shoulder+J_Bip_{S}_LowerArm@elbow"
        "+J_Bip_{S}_Hand@wrist",
        "L",
        "R",
    ),
}

# CMU's captures on Daz's skeleton: the root lies below the hip joints; toes are End Sites.
DAZ = {
    "hip": (None, (0, 0.95, 0)),
    "abdomen": ("hip", (0, 1.157, -0.007)),
    "chest": ("abdomen", (0, 1.274, -0.012)),
    "neck": ("chest", (0, 1.496, -0.034)),
    "head": ("neck", (0, 1.567, -0.022)),
}
for _side, _sign in (("l", 1), ("r", -1)):
    DAZ |= {
        f"{_side}Buttock": ("hip", (0.088 * _sign, 0.993, 0.012)),
        f"{_side}Thigh": (f"{_side}Buttock", (0.088 * _sign, 0.976, -0.01)),
        f"{_side}Shin": (f"{_side}Thigh", (0.088 * _sign, 0.608, -0.002)),
        f"{_side}Foot": (f"{_side}Shin", (0.081 * _sign, 0.157, -0.054)),
        f"{_side}Collar": ("chest", (0.027 * _sign, 1.467, -0.061)),
        f"{_side}Shldr": (f"{_side}Collar", (0.115 * _sign, 1.447, -0.046)),
        f"{_side}ForeArm": (f"{_side}Shldr", (0.396 * _sign, 1.43, -0.041)),
        f"{_side}Hand": (f"{_side}ForeArm", (0.622 * _sign, 1.438, 0.03)),
    }
DAZ = {name: (parent, np.array(place)) for name, (parent, place) in DAZ.items()}
ARMS_DOWN = {"lShldr": (0, 0, -75), "rShldr": (0, 0, 75)}


def write(
    path: Path,
    joints: dict[str, tuple],
    frames: int = 60,
    fps: float = 30.0,
    unit: float = 0.01,
    up: str = "y",
    order: str = "ZXY",
    prefix: str = "",
    seed: int = 0,
    size: float = 1.0,
    ends: float = 0.06,
    everywhere: bool = False,
    pose: dict[str, tuple] | None = None,
    t_pose: int = 0,
) -> dict[str, np.ndarray]:
    """Write a walking, swaying figure; return {name: world places (T, 3)} in metres, y up, facing about +x.

    Args:
        ends: metres that End Sites are ahead (z) of joints without children; 0 for none ahead.
        everywhere: position channels on all joints, not only on the root.
        pose: degrees about x, y, z of joints, on top of the sway.
        t_pose: so many frames at the start are in T-pose.
    """
    rng = np.random.default_rng(seed)
    turn_up = {"y": Rotation.identity(), "z": Rotation.from_euler("x", 90, degrees=True)}[up]
    time = np.arange(frames) / fps
    children = {name: [n for n, (p, _) in joints.items() if p == name] for name in joints}
    world_turn, world_place, table, text = {}, {}, {}, {}
    for name, (parent, place) in joints.items():
        sway = rng.uniform(3, 12, 3) * np.sin(rng.uniform(1, 4, 3) * time[:, None] + rng.uniform(0, 6, 3))
        angles = sway + np.array((pose or {}).get(name, (0, 0, 0)))
        angles[:t_pose] = 0
        local = Rotation.from_euler("XYZ", angles, degrees=True)
        if parent is None:
            path_ = np.stack([time, 0.95 * size + 0.02 * np.sin(9 * time), 0.3 * time - 2], -1)
            heading = Rotation.from_euler("y", (80 + 10 * time)[:, None], degrees=True)
            local = turn_up * heading * local  # the rest pose stays y up: the root turns it
            offset, position = np.zeros(3), turn_up.apply(path_)
            world_turn[name], world_place[name] = local, position
        else:
            offset = (place - joints[parent][1]) * size
            position = np.tile(offset, (frames, 1))
            world_turn[name] = world_turn[parent] * local
            world_place[name] = world_place[parent] + world_turn[parent].apply(offset)
        angles = local.as_euler(order, degrees=True)
        moves = parent is None or everywhere
        table[name] = np.concatenate([position / unit, angles], 1) if moves else angles
        channels = ["Xposition Yposition Zposition"] * moves + [" ".join(f"{axis}rotation" for axis in order)]
        text[name] = offset / unit, f"CHANNELS {6 if moves else 3} {' '.join(channels)}"
    lines, columns = ["HIERARCHY"], []

    def tell(name: str, kind: str, depth: int) -> None:
        tab, (offset, channels) = "\t" * depth, text[name]
        lines.extend([f"{tab}{kind} {prefix}{name}", f"{tab}{{"])
        lines.extend([f"{tab}\tOFFSET {' '.join(f'{x:.8f}' for x in offset)}", f"{tab}\t{channels}"])
        columns.append(table[name])
        for child in children[name]:
            tell(child, "JOINT", depth + 1)
        if not children[name]:
            lines.extend([f"{tab}\tEnd Site", f"{tab}\t{{"])
            lines.extend([f"{tab}\t\tOFFSET 0 0 {ends * size / unit:.8f}", f"{tab}\t}}"])
        lines.append(f"{tab}}}")

    tell(next(iter(joints)), "ROOT", 0)
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1 / fps:.7f}"]
    lines += [" ".join(f"{x:.7f}" for x in row) for row in np.concatenate(columns, 1)]
    path.write_text("\n".join(lines) + "\n")
    return {name: turn_up.inv().apply(place) for name, place in world_place.items()}
