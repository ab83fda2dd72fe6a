"""A body as flat shapes: tapered limbs in the colours of their sides, a torso, a head with a nose.

Film strips (matplotlib) and animations (Pillow) paint the same shapes from far to near: a nearer limb covers a
farther one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull

from mmm.errors import require
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.viz.camera import UP, Camera, facing, gaze
from mmm.viz.style import ARROW, BACK, FRONT, LEFT, NOSE, RIGHT, SHADOW, SKIN, Colour

LEG_RADII = (0.085, 0.06, 0.042, 0.034, 0.03)  # hip, knee, ankle, foot, toe, metres
ARM_RADII = (0.036, 0.042, 0.05, 0.05, 0.06)  # wrist, elbow, shoulder, collar, chest
HEAD_RADIUS = 0.115


@dataclass(frozen=True)
class Shape:
    """A filled polygon (n, 2) in picture metres, its colour, and how far it is from the viewer."""

    polygon: Float[np.ndarray, "n 2"]
    colour: Colour
    depth: float


def as_scene(
    motion, fps: float | int | None = None, skeleton: str | Skeleton | None = None
) -> tuple[Float[np.ndarray, "t j 3"], float, Skeleton, str]:
    """Joints, fps, skeleton and text of a Motion or an array of joints, for every kind of picture.

    Args:
        motion: a Motion, or joints (T, J, 3) as NumPy array or tensor in the skeleton's unit.
        fps, skeleton: the Motion's by default; 20 and "humanml3d" for bare joints.
    Returns:
        joints (T, J, 3) float64 in metres, fps, the Skeleton, the text ("" for bare joints).
    Raises:
        ValueError: joints of another shape, none, or not finite.
    """
    skeleton = get_skeleton(skeleton or getattr(motion, "skeleton", "humanml3d"))
    fps = float(getattr(motion, "fps", skeleton.fps) if fps is None else fps)
    joints = getattr(motion, "joints", motion)
    joints = joints.detach().cpu().numpy() if hasattr(joints, "detach") else joints
    joints = np.asarray(joints, np.float64)
    require(
        joints.ndim == 3 and joints.shape[1:] == (skeleton.num_joints, 3) and len(joints) > 0,
        f"joints of shape {joints.shape} cannot be drawn: expected (T, {skeleton.num_joints}, 3) with T ≥ 1 "
        f"for skeleton {skeleton.name!r}; pass one motion at a time.",
    )
    bad = int((~np.isfinite(joints)).any((1, 2)).sum())
    require(
        not bad,
        f"joints cannot be drawn: {bad} of {len(joints)} frames hold NaN or infinity; repair the motion.",
    )
    require(fps > 0, f"fps is {fps}, expected a positive number of frames per second.")
    return joints * skeleton.metres, fps, skeleton, getattr(motion, "text", "")


@lru_cache
def limbs(skeleton: Skeleton) -> tuple[tuple[int, int, float, float, Colour], ...]:
    """(joint, joint, radius, radius, colour) of every bone drawn as a limb; the torso is drawn apart."""
    bones = []
    for chain in skeleton.chains:
        sides = skeleton.left + skeleton.right
        if chain[-1] not in sides:  # the spine is inside the torso, only the neck is visible
            bones.append((chain[-2], chain[-1], 0.05, 0.05, SKIN))
            continue
        colour = LEFT if chain[-1] in skeleton.left else RIGHT
        leg = chain[0] == 0
        joints = chain[1:] if leg else tuple(j for j in chain if j in sides)
        radii = LEG_RADII[: len(joints)] if leg else ARM_RADII[: len(joints)][::-1]
        bones += [(*joints[i : i + 2], *radii[i : i + 2], colour) for i in range(len(joints) - 1)]
        if not leg:  # a hand
            bones.append((chain[-1], chain[-1], 0.052, 0.052, colour))
    return tuple(bones)


def head_joint(skeleton: Skeleton) -> int:
    """The end of the chain that is neither left nor right."""
    return next(chain[-1] for chain in skeleton.chains if chain[-1] not in skeleton.left + skeleton.right)


def body_shapes(joints: Float[np.ndarray, "j 3"], skeleton: Skeleton, camera: Camera) -> list[Shape]:
    """The shapes of one pose, farthest first."""
    seen = camera.project(joints)
    size = camera.distance / seen[:, 2]  # perspective: the near arm is a little thicker
    shapes = []
    for a, b, ra, rb, colour in limbs(skeleton):
        outline = _capsule(seen[a, :2], seen[b, :2], ra * size[a], rb * size[b])
        depth = float(seen[a, 2] + seen[b, 2]) / 2
        if colour == SKIN:  # the neck: never in front of the head, where it would look like a ponytail
            depth = max(depth, float(seen[b, 2]) + HEAD_RADIUS)
        shapes.append(Shape(outline, colour, depth))
    shapes.append(_torso(seen, size, joints, skeleton, camera))
    shapes += _head(joints, skeleton, camera)
    return sorted(shapes, key=lambda shape: -shape.depth)


def ground_shapes(joints: Float[np.ndarray, "j 3"], skeleton: Skeleton, camera: Camera) -> list[Shape]:
    """On the floor under a pose: a shadow, which shows a jump, and an arrow in the direction that the body faces."""
    ahead = facing(joints, skeleton)
    left = np.cross(UP, ahead)
    spot = joints[0] * [1, 0, 1]
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    shadow = spot + 0.2 * (np.cos(turn) * ahead + np.sin(turn) * left)
    arrow = np.array(
        [[0.3, 0.035], [0.5, 0.035], [0.5, 0.11], [0.72, 0], [0.5, -0.11], [0.5, -0.035], [0.3, -0.035]]
    )
    tip = spot + arrow[:, :1] * ahead + arrow[:, 1:] * left
    return [_flat(shadow, SHADOW, camera), _flat(tip, ARROW, camera)]


def _flat(points: Float[np.ndarray, "n 3"], colour: Colour, camera: Camera) -> Shape:
    seen = camera.project(points)
    return Shape(seen[:, :2], colour, float(seen[:, 2].mean()))


def _torso(seen, size, joints, skeleton: Skeleton, camera: Camera) -> Shape:
    """The hull of shoulders and hips; the front is lighter than the back."""
    r_hip, l_hip, r_shoulder, l_shoulder = skeleton.face
    corners = [(r_hip, 0.085), (l_hip, 0.085), (r_shoulder, 0.055), (l_shoulder, 0.055)]
    rings = [_capsule(seen[j, :2], seen[j, :2], r * size[j], r * size[j]) for j, r in corners]
    front = gaze(joints, skeleton) @ camera.axes[2] > 0
    depth = float(seen[[j for j, _ in corners], 2].mean())
    return Shape(_hull(np.concatenate(rings)), FRONT if front else BACK, depth)


def _head(joints: Float[np.ndarray, "j 3"], skeleton: Skeleton, camera: Camera) -> list[Shape]:
    """A ball with a nose in the direction of the chest."""
    top = head_joint(skeleton)
    neck = next(a for a, b, *_ in limbs(skeleton) if b == top)
    rise = joints[top] - joints[neck]
    centre = joints[top] + 0.05 * rise / max(np.linalg.norm(rise), 1e-6)
    ahead = gaze(joints, skeleton)
    root, tip = (centre + far * HEAD_RADIUS * ahead for far in (0.8, 1.3))
    seen = camera.project(np.stack([centre, root, tip]))
    size = camera.distance / seen[:, 2]
    ball = _capsule(seen[0, :2], seen[0, :2], HEAD_RADIUS * size[0], HEAD_RADIUS * size[0])
    nose = _capsule(seen[1, :2], seen[2, :2], 0.036 * size[1], 0.018 * size[2])
    return [Shape(ball, SKIN, float(seen[0, 2])), Shape(nose, NOSE, float(seen[2, 2]))]


_STEPS = np.linspace(0, 1, 9)
_CIRCLE = np.stack([np.cos(2 * np.pi * np.arange(18) / 18), np.sin(2 * np.pi * np.arange(18) / 18)], -1)


def _capsule(
    a: Float[np.ndarray, "2"], b: Float[np.ndarray, "2"], ra: float, rb: float
) -> Float[np.ndarray, "18 2"]:
    """Outline of two circles with centres a and b and their common tangents."""
    along = b - a
    length = float(np.hypot(*along))
    if length <= abs(ra - rb) + 1e-9:  # one circle holds the other
        return a + ra * _CIRCLE if ra >= rb else b + rb * _CIRCLE
    angle, lean = np.arctan2(along[1], along[0]), np.arccos((ra - rb) / length)
    turn = np.concatenate([angle + lean + _STEPS * (2 * np.pi - 2 * lean), angle - lean + _STEPS * 2 * lean])
    outline = np.stack([np.cos(turn), np.sin(turn)], -1)
    outline[:9] = a + ra * outline[:9]
    outline[9:] = b + rb * outline[9:]
    return outline


def _hull(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """Convex hull, counter-clockwise from the leftmost point."""
    hull = points[ConvexHull(points).vertices]
    return np.roll(hull, -np.lexsort(hull.T[::-1])[0], axis=0)
