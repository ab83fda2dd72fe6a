"""Whether 22 joints are a person's, and whether a motion is one: what is mended, what is refused, what is only said.

Lengths are compared with the body's own legs, so that none of this needs the unit or the axes of a file.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import median_filter

from mmm.bvh.joint_guess import Blend
from mmm.bvh.placement import other_joints
from mmm.errors import require
from mmm.motion.skeleton import HUMANML3D

_AT = {joint: number for number, joint in enumerate(HUMANML3D.joints)}
_BONES = np.linalg.norm(HUMANML3D.target_offsets, axis=-1)
_LEG = float(_BONES[[4, 5, 7, 8]].sum() / 2)
# Of HumanML3D's body, in legs: pelvis above the hips, shoulders beside the spine, and bones of collar and shoulder
_RISE, _WIDTH = 0.10, 0.235
_COLLAR, _SHOULDER = (float(_BONES[[left, left + 1]].mean()) / _LEG for left in (13, 16))
_LIMBS = {"thigh": (4, 5), "shin": (7, 8), "upper arm": (18, 19), "forearm": (20, 21)}
# Chains of bones, by their lower ends. The last number: how many times longer than HumanML3D's they may be
_CHAINS = {
    "trunk": ((3, 6, 9, 12), 4),
    "head": ((15,), 6),
    "left arm": ((18, 20), 4),
    "right arm": ((19, 21), 4),
}
_CHAINS |= {
    f"{side} {name}": ((joint + (side == "right"),), 6)
    for side in ("left", "right")
    for name, joint in (("hip", 1), ("foot", 10), ("collar", 13), ("shoulder", 16))
}


def place(blends: dict[str, Blend], at: dict[str, Float[np.ndarray, "t 3"]]) -> Float[np.ndarray, "t 22 3"]:
    """HumanML3D's joints from a map's blends and the positions of a file's joints by name."""
    joints = []
    for joint in HUMANML3D.joints:
        name, other, weight = blends[joint]
        joints.append(at[name] if name == other else at[name] * (1 - weight) + at[other] * weight)
    return np.stack(joints, 1).astype(np.float32)


def _lengths(joints: Float[np.ndarray, "t 22 3"]) -> Float[np.ndarray, "22"]:
    """Of the bones to the 22 joints, in legs; the median of the frames."""
    joints = joints.astype(np.float64)
    bones = np.linalg.norm(joints - joints[:, [0, *HUMANML3D.parents[1:]]], axis=-1)
    bones = np.median(bones, axis=0)
    return bones / max(bones[[4, 5, 7, 8]].sum() / 2, 1e-12)


def _unit(vectors: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _leg(joints: Float[np.ndarray, "t 22 3"]) -> float:
    bones = joints[:, [4, 5, 7, 8]] - joints[:, [1, 2, 4, 5]]
    return max(float(np.median(np.linalg.norm(bones, axis=-1).sum(1)) / 2), 1e-12)


def _rise(joints: Float[np.ndarray, "t 22 3"], point: Float[np.ndarray, "t 3"]) -> float:
    """How far a point lies above the hip joints, towards spine3, in legs."""
    hips = joints[:, [1, 2]].mean(1)
    return float(np.median(((point - hips) * _unit(joints[:, 9] - hips)).sum(-1))) / _leg(joints)


def _width(joints: Float[np.ndarray, "t 22 3"], collar: Float[np.ndarray, "t 3"], side: int) -> float:
    """How far from the spine HumanML3D's body has the shoulder (side 0: left) with these directions, in legs."""
    shoulder = joints[:, 16 + side]
    across = _unit(joints[:, 16 + side] - joints[:, 17 - side])
    bones = _COLLAR * _unit(collar - joints[:, 9]) + _SHOULDER * _unit(shoulder - collar)
    return float(np.median((bones * across).sum(-1)))


def mend_guess(
    guess: dict[str, Blend], at: dict[str, Float[np.ndarray, "t 3"]]
) -> tuple[dict[str, Blend], list[str]]:
    """A guess with the pelvis above the hips and the shoulders as wide as a person's, and notes on what was changed.

    Roots of many figures lie at the hip joints or below them, and collars may begin at the spine. HumanML3D's lie 10 cm
    above and 8 cm beside: such joints are moved towards the next one of the trunk or the arm.
    """
    joints, guess, notes = place(guess, at).astype(np.float64), dict(guess), []
    low = _rise(joints, joints[:, 0])
    first = guess["spine1"][0] if guess["spine1"][0] != guess["pelvis"][0] else guess["spine1"][1]
    high = _rise(joints, at[first])
    pelvis = guess["pelvis"][0]
    if low < 0.02 and high > 0.06:
        weight = round(min((_RISE - low) / (high - low), 0.8), 2)
        guess["pelvis"] = (pelvis, first, weight)
        for joint in ("spine1", "spine2"):  # where these are between the same two, they stay above
            if guess[joint][0] == pelvis:
                old = guess[joint][2]
                guess[joint] = (pelvis, first, round(weight + (1 - weight) * old, 2))
        notes.append(
            f"{pelvis} lies below the hips or level with them: the pelvis is taken {weight:.0%} of the way to {first}"
        )
    own = [guess[f"{side}_collar"] for side in ("left", "right")]
    arms = [(at[collar[0]].astype(np.float64), joints[:, 16 + side]) for side, collar in enumerate(own)]
    weights = np.linspace(0, 0.75, 16)
    widths = np.array(
        [[_width(joints, a + (b - a) * w, side) for side, (a, b) in enumerate(arms)] for w in weights]
    ).mean(1)
    weight = round(float(weights[np.abs(widths - _WIDTH).argmin()]), 2)
    if widths[0] < 0.85 * _WIDTH and weight and not any(collar[2] for collar in own):
        for side, collar in zip(("left", "right"), own, strict=True):
            guess[f"{side}_collar"] = (collar[0], guess[f"{side}_shoulder"][0], weight)
        notes.append(
            f"{own[0][0]} and {own[1][0]} begin at the spine: the collars are taken {weight:.0%} of the way "
            "to the shoulders"
        )
    return guess, notes


def check_body(joints: Float[np.ndarray, "t 22 3"], mapped: bool = True) -> list[str]:
    """Notes on joints that are hardly a person's.

    Args:
        mapped: whether a joint map found them in a file, which another map may mend; an array has no map.
    Raises:
        ValueError: they are nobody's: a limb twice as long as the other, or a part many times too long.
    """
    notes, lengths = [], _lengths(joints)
    remedy = other_joints(mapped)
    for limb, (left, right) in _LIMBS.items():
        short, long = sorted((lengths[left], lengths[right]))
        require(
            long <= 2 * short,
            f"the left {limb} is {lengths[left] / max(lengths[right], 1e-9):.2g} times as long as the right one, "
            f"expected limbs alike; mend the file, or {remedy}.",
        )
        if long > 1.25 * short:
            notes.append(
                f"the left {limb} is {lengths[left] / lengths[right]:.2f} times as long as the right one"
            )
    for part, (ends, most) in _CHAINS.items():
        ratio = lengths[list(ends)].sum() / (_BONES[list(ends)].sum() / _LEG)
        require(
            ratio <= most,
            f"the {part} is {ratio:.2g} times as long for its legs as a person's; mend the file, or {remedy}.",
        )
    longest = np.linalg.norm(joints - joints[:, [0, *HUMANML3D.parents[1:]]], axis=-1) / _leg(joints)
    frame, joint = np.unravel_index(longest.argmax(), longest.shape)
    require(
        longest[frame, joint] <= 5,
        f"at {frame / HUMANML3D.fps:.2f} s {HUMANML3D.joints[joint]} is {longest[frame, joint]:.3g} legs away from the "
        "joint above it; mend the file there.",
    )
    rise = _rise(joints, joints[:, 0])
    if rise < -0.02:
        better = (
            "a map with a point higher up, such as `pelvis: [hip, abdomen, 0.6]`"
            if mapped
            else "a point higher up"
        )
        notes.append(f"the pelvis lies below the hips, and HumanML3D's above them: give {better}")
    for side, name in enumerate(("left", "right")):
        arm = joints[:, 16 + side] - joints[:, 9]
        part = np.median(
            ((joints[:, 13 + side] - joints[:, 9]) * arm).sum(-1) / np.maximum((arm * arm).sum(-1), 1e-12)
        )
        if not 0 < part < 1:
            what = "joint map" if mapped else "order of the joints"
            notes.append(f"{name}_collar does not lie between spine and shoulder: is the {what} right?")
    return notes


# ---------------------------------------------------------------------- motions

_ARMS = (20, 18, 16, 17, 19, 21)
# A joint jumps if it is faster than 7 m/s and 5 times as fast as the fastest joints around it, or faster than anybody.
# Of CMU's 141 reduced takes these are five in which a leg flips, of 174 takes of Bandai-Namco none.
_FAST, _TIMES, _FASTEST = 7.0, 5.0, 30.0
_HIGH, _LONG = 0.25, 1.0  # metres above the floor, and seconds: no jump is that long


def t_pose_frames(joints: Float[np.ndarray, "t 22 3"]) -> int:
    """How many frames at the start have both arms stretched to the sides in one line.

    In the T-pose the wrists are 98 % of the way along both arms apart, in captured frames hardly ever more than 92 %.
    """
    arms = joints[:, list(_ARMS)]
    along = np.linalg.norm(np.diff(arms, axis=1), axis=-1).sum(1)
    apart = np.linalg.norm(arms[:, 0] - arms[:, -1], axis=-1)
    return int(np.append(apart < 0.96 * along, True).argmax())


def doubts(joints: Float[np.ndarray, "t 22 3"], fps: float, start: float = 0.0) -> list[str]:
    """Sentences on what is hardly a person's motion: a T-pose at the start, joints that jump, a body that floats.

    Args:
        joints: metres, y up.
        start: seconds of the file that were left out before them.
    """
    said = []
    steps = np.linalg.norm(np.diff(joints.astype(np.float64), axis=0), axis=-1)
    fastest = steps.max(1)
    pose = t_pose_frames(joints)
    if 0 < pose < len(joints):
        fast = " and jumps out of it" if fastest[pose - 1] * fps > _FAST else ""
        said.append(
            f"it begins with a T-pose of {pose} frame{'s' * (pose > 1)}{fast}, which stays in the motion: leave it out "
            f"with --skip {start + (pose + 1) / fps:.4g}"
        )
    around = median_filter(fastest, 13, mode="nearest")
    jumps = np.flatnonzero((fastest * fps > _FAST) & (fastest > _TIMES * around) | (fastest * fps > _FASTEST))
    jumps = jumps[~np.isin(jumps, (pose - 1, pose))] if said else jumps
    if len(jumps):
        first = int(jumps[0])
        joint = HUMANML3D.joints[int(steps[first].argmax())]
        more = f", and {len(jumps) - 1} steps more" if len(jumps) > 1 else ""
        skip = (
            f"; leave it out with --skip {start + (jumps[jumps < 6].max() + 1) / fps:.4g}"
            if first < 6
            else ""
        )
        said.append(f"{joint} jumps by {steps[first].max():.2f} m at {start + first / fps:.2f} s{more}{skip}")
    lowest = joints[..., 1].min(1)
    floor = np.percentile(lowest, 5)
    edges = np.flatnonzero(np.diff(np.r_[False, lowest > floor + _HIGH, False]))
    starts, lasts = edges[::2], edges[1::2]
    if len(starts) and (lasts - starts).max() > _LONG * fps:
        first, last = (edge[(lasts - starts).argmax()] for edge in (starts, lasts))
        high = np.median(lowest[first:last]) - floor
        said.append(
            f"from {start + first / fps:.1f} to {start + last / fps:.1f} s the body is {high:.2f} m above its floor: "
            "it floats, or stands on something"
        )
    return said
