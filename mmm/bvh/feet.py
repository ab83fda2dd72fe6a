"""Foot contact clean-up: a standing foot neither slides nor goes through the floor.

Generated feet slide while they stand. `fix_feet` finds the frames in which a foot stands, moves the foot so that it
does not slide, and lets knee and ankle follow by two-bone inverse kinematics. The moves of a foot over time solve a
least-squares problem: they cancel the slide where the foot stands and are short and smooth elsewhere. Hips and upper
body do not change, so a foot can only go where the leg reaches.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from mmm.errors import require
from mmm.motion import quaternion
from mmm.motion.clip import Motion
from mmm.motion.features import feature_slices
from mmm.motion.measures import CENTIMETRES, FOOT_HEIGHT
from mmm.motion.runs import runs
from mmm.motion.skeleton import Skeleton, get_skeleton

# Chosen on 60 generated clips and 41 of Bandai's val. On 20 others skating falls by half, from 0.48 to 0.24, most
# of it feet that swing low and fast; jerk rises by 3 % (peak 8 %). Real clips change by 1.3 mm (figures/editing).
SLOW = 50.0  # cm/s; a low foot stands if it is slower than this in at least one frame
FAST = 150.0  # cm/s; and never faster than this
GAP = 0.1  # s; two stands are joined if the gap between them is no longer
NEAR = 8.0  # cm; and the foot has moved no further in it
REACH = 25.0  # cm; a foot that would have to move further slides on purpose: its stand is split where it is fastest
# Weights of the least squares, for metres and 20 frames per second:
HOLD, EDGE = 1e5, 60.0  # no slide between two frames of a stand; weaker at its beginning and end
SHORT, SMOOTH = 0.3, 10.0  # small moves; small third differences of the moves
SOFT, LIMIT = 0.93, 0.99  # of the leg's length: where a leg begins to yield, and how far it can be stretched
STRAIGHT = 0.2  # of the thigh's length; a knee nearer to the straight line from hip to ankle has no reliable direction
NOTHING = 1e-6  # m; smaller moves count as none, so frames far from any stand stay bit for bit


def fix_feet(motion: Motion) -> Motion:
    """The motion with feet that do not slide while they stand and do not go through the floor.

    Only knees, ankles and toes change. The result has the same number of frames, and its features agree with its
    joints: of a motion that holds features, the numbers of these joints (positions, rotations, velocities, contacts)
    are computed again and all others stay, so that those of a generated motion still stretch its upper body; of a
    motion that holds joints, the result holds joints.

    A foot is moved by 25 cm at most. A part of a longer slide remains; a second call makes it shorter. A foot that
    swings low over the floor does not stand, so that part of `measures.foot_skating` remains too.

    Args:
        motion: floor at y = 0; either skeleton.
    Returns:
        A new motion with the same fps and text.
    """
    skeleton = get_skeleton(motion.skeleton)
    joints = plant_feet(motion.joints, motion.fps, skeleton)
    if motion._features is None or len(motion._features) != len(joints):
        return Motion.from_joints(joints, motion.fps, motion.text, skeleton)
    features = motion.features.copy()
    if len(features) > 1 and not np.array_equal(joints, motion.joints):
        changed = [joint for leg in _legs(skeleton) for joint in leg[1:]]
        features = _update_features(features, joints, changed, skeleton)
    if motion._captured is None:
        return Motion(features, motion.fps, motion.text, skeleton)
    captured = motion.captured & (joints == motion.joints).all(-1)
    fixed = Motion.generated(features, motion.fps, motion.text, skeleton, motion.body, captured)
    fixed._joints, fixed.note, fixed.segments = joints, motion.note, motion.segments
    return fixed


def plant_feet(
    joints: Float[np.ndarray, "t j 3"], fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Float[np.ndarray, "t j 3"]:
    """The same clean-up for world joints (T, J, 3) in the skeleton's unit, floor at y = 0.

    Raises:
        ValueError: joints do not have the skeleton's number of joints or are not all finite.
    """
    steps = standing(joints, fps, skeleton)
    skeleton = get_skeleton(skeleton)
    unit = CENTIMETRES[skeleton.unit] / 100
    exact, out = joints.astype(np.float64) * unit, joints.copy()
    for side, (hip, knee, ankle, *toes) in enumerate(_legs(skeleton)):
        moves = np.zeros((len(joints), 3))
        moves[:, [0, 2]] = _moves(exact[:, toes[-1]][:, [0, 2]], steps[:, side], fps)
        moves[:, 1] = _lift(exact[:, [ankle, *toes], 1].min(1), fps)
        changed = np.flatnonzero(np.abs(moves).max(1) > NOTHING)
        if len(changed) == 0:
            continue
        leg = exact[:, [hip, knee, ankle, toes[-1]]]
        new_knee, new_ankle = (joint[changed] for joint in _two_bones(leg, leg[:, 2] + moves, fps))
        out[changed, knee], out[changed, ankle] = new_knee / unit, new_ankle / unit
        for toe in toes:  # the foot keeps its direction
            out[changed, toe] = (new_ankle + exact[changed, toe] - exact[changed, ankle]) / unit
    return out


def standing(
    joints: Float[np.ndarray, "t j 3"], fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Bool[np.ndarray, "steps 2"]:
    """Between which pairs of frames the left and the right foot stand, measured at the toe joint.

    A foot stands while it is below 5 cm and slower than 150 cm/s, if it is slower than 50 cm/s at least once; short
    gaps are closed. Ankles do not serve: they are higher, and turn about the toes while these stand.

    Args:
        joints: world joints (T, J, 3) in the skeleton's unit, floor at y = 0.
    Returns:
        (T - 1, 2) of bool.
    Raises:
        ValueError: joints do not have the skeleton's number of joints or are not all finite.
    """
    skeleton = get_skeleton(skeleton)
    require(
        joints.ndim == 3 and joints.shape[1:] == (skeleton.num_joints, 3) and len(joints) > 0,
        f"joints have shape {joints.shape}, expected (T, {skeleton.num_joints}, 3) for skeleton {skeleton.name!r}.",
    )
    require(np.isfinite(joints).all(), "joints hold NaN or infinity; repair them first.")
    stands = np.zeros((len(joints) - 1, 2), bool)
    for side, (_, toe) in enumerate(skeleton.feet):
        position = joints[:, toe].astype(np.float64) * CENTIMETRES[skeleton.unit]
        speed = np.linalg.norm(np.diff(position[:, [0, 2]], axis=0), axis=-1) * fps
        low = np.maximum(position[1:, 1], position[:-1, 1]) < FOOT_HEIGHT
        for start, end in runs(low & (speed < FAST)):
            stands[start:end, side] = speed[start:end].min() < SLOW
        spans = runs(stands[:, side])
        for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
            moved = np.linalg.norm(position[start, [0, 2]] - position[end, [0, 2]])
            if start - end <= GAP * fps and moved < NEAR and low[end:start].all():
                stands[end:start, side] = True
    return stands


def _legs(skeleton: Skeleton) -> list[list[int]]:
    """Hip, knee, ankle and the joints of the foot, left and right."""
    legs = []
    for _, toe in skeleton.feet:
        leg = [toe]
        while skeleton.parents[leg[0]] != 0:
            leg.insert(0, skeleton.parents[leg[0]])
        legs.append(leg)
    return legs


def _moves(
    position: Float[np.ndarray, "t 2"], stands: Bool[np.ndarray, "steps"], fps: float
) -> Float[np.ndarray, "t 2"]:
    """How far to move a foot along the floor in each frame (metres), given its positions and when it stands.

    The moves m minimise HOLD |difference of (position + m)|² + SHORT |m|² + SMOOTH |third difference of m|².
    """
    stands, frames, pace = stands.copy(), len(position), fps / 20
    slope = sparse.diags([-1.0, 1.0], [0, 1], shape=(frames - 1, frames)) if frames > 1 else None
    bend = sparse.identity(frames)
    for left in range(frames, max(frames - 3, 1), -1):
        bend = sparse.diags([-1.0, 1.0], [0, 1], shape=(left - 1, left)) @ bend
    calm = SHORT * sparse.identity(frames) + SMOOTH * pace**6 * bend.T @ bend
    speed = np.linalg.norm(np.diff(position, axis=0), axis=-1)
    while stands.any():
        spans = runs(stands)
        hold = np.where(stands, HOLD, 0.0)
        for start, end in spans:  # a stand is cut off, not ended, where the clip begins or ends
            hold[[start] * (start > 0) + [end - 1] * (end < len(stands))] = EDGE
        hold = slope.T @ sparse.diags(hold * pace**2)
        moves = sparse.linalg.spsolve((calm + hold @ slope).tocsc(), -(hold @ (slope @ position)))
        far = np.linalg.norm(moves, axis=-1) > REACH / 100
        too_far = [(start, end) for start, end in spans if far[start : end + 1].any()]
        if not too_far:
            return moves
        for start, end in too_far:
            stands[start + speed[start:end].argmax()] = False
    return np.zeros_like(position)


def _lift(lowest: Float[np.ndarray, "t"], fps: float) -> Float[np.ndarray, "t"]:
    """Smooth lift (metres) that is never smaller than the depth of the foot below the floor."""
    width = 2 * round(0.1 * fps) + 1
    # the mean of maxima over windows of the same width, each of which holds the frame, is at least its value
    return uniform_filter1d(maximum_filter1d(np.maximum(-lowest, 0), width), width)


def _two_bones(
    leg: Float[np.ndarray, "t 4 3"], goal: Float[np.ndarray, "t 3"], fps: float
) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t 3"]]:
    """Knee and ankle for the ankle's goal, given hip, knee, ankle and toe: the hip stays, as do both lengths.

    The knee keeps its direction, turned with the leg. Near its full stretch the leg yields: it neither snaps nor
    reaches further than it is long. A leg that was stretched further before may stay so.
    """
    hip, knee, ankle, toe = leg.swapaxes(0, 1)
    thigh, shin, before, after = (_length(v) for v in (knee - hip, ankle - knee, ankle - hip, goal - hip))
    soft = np.maximum(SOFT * (thigh + shin), before)
    room = np.maximum(LIMIT * (thigh + shin) - soft, 1e-9)
    beyond = np.maximum(after - soft, 0)
    reach = np.where(beyond > 0, soft + room * (1 - np.exp(-beyond / room)), after)
    reach = np.maximum(reach, 1.001 * np.abs(thigh - shin))
    old, new = (ankle - hip) / before, (goal - hip) / after
    side, ahead = (_across(v, old) for v in (knee - hip, toe - ankle))
    # The straighter a leg, the less reliable is its knee's direction: then the frames around it count as well, and
    # the direction of the foot if the leg is never bent. A leg that is hardly moved keeps its knee.
    doubt = np.clip(1 - _length(side) / (STRAIGHT * thigh), 0, 1) * np.clip(
        _length(goal - ankle) / 0.02, 0, 1
    )
    side = side + 3 * doubt * _across(gaussian_filter1d(side, 0.1 * fps, axis=0), old)
    side = np.where(_length(side) > 1e-6, side, ahead)
    turn = quaternion.between(torch.from_numpy(old), torch.from_numpy(new))
    side = quaternion.rotate(turn, torch.from_numpy(side / _length(side))).numpy()
    along = np.clip((thigh**2 + reach**2 - shin**2) / (2 * thigh * reach), -1, 1)  # law of cosines
    return hip + thigh * (along * new + np.sqrt(1 - along**2) * side), hip + reach * new


def _across(vectors: Float[np.ndarray, "t 3"], axis: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3"]:
    """The part of the vectors at right angles to a unit axis."""
    return vectors - (vectors * axis).sum(-1, keepdims=True) * axis


def _length(vectors: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 1"]:
    return np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _update_features(
    features: Float[np.ndarray, "t d"],
    joints: Float[np.ndarray, "t j 3"],
    changed: list[int],
    skeleton: Skeleton,
) -> Float[np.ndarray, "t d"]:
    """Features in which the numbers of the changed joints are those of `joints`; heading and path are kept.

    Definitions: `mmm.motion.features`. The last frame's velocities and contacts, which need a next frame, stay.
    """
    out, part = torch.from_numpy(features).double(), feature_slices(skeleton)
    world_joints = torch.from_numpy(joints).double()
    heading = out[:, part["root_angular"]].cumsum(0).roll(1, 0)
    heading[0] = 0  # the sum over all earlier frames
    zero = torch.zeros_like(heading)
    turn = torch.cat((heading.cos(), zero, heading.sin(), zero), -1)[:, None]
    ground = world_joints[:, :1] * world_joints.new_tensor((1.0, 0.0, 1.0))
    local = quaternion.rotate(turn, world_joints - ground)
    steps = quaternion.rotate(turn[:-1], world_joints.diff(dim=0))
    bones = world_joints - world_joints[:, [0, *skeleton.parents[1:]]]
    raw = torch.tensor(skeleton.raw_offsets).double()
    world = quaternion.between(raw[1:], torch.nn.functional.normalize(bones[:, 1:], dim=-1))
    world = torch.cat((turn, world), 1)

    def view(name: str, width: int) -> torch.Tensor:
        return out[:, part[name]].unflatten(-1, (-1, width))  # shares memory

    above = [skeleton.rotation_parents[joint] for joint in changed]
    below = [joint - 1 for joint in changed]  # positions and rotations begin with joint 1
    view("positions", 3)[:, below] = local[:, changed]
    view("rotations", 6)[:, below] = quaternion.to_6d(
        quaternion.multiply(quaternion.inverse(world[:, above]), world[:, changed])
    )
    view("velocities", 3)[:-1, changed] = steps[:, changed]
    feet = [joint for side in skeleton.feet for joint in side]
    view("contacts", 1)[:-1, :, 0] = (steps[:, feet].square().sum(-1) < skeleton.contact_threshold).double()
    return out.numpy().astype(np.float32)
