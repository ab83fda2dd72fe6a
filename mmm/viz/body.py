"""The mannequin: one smooth surface around tapered capsules (mannequin.json), carried by the joints.

The browser (figure.js) builds the same surface from the same capsules; here it is for GIF, MP4 and film strips.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from mmm.errors import require
from mmm.motion.rigid import bone_rotations, rigid_body
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.viz.style import LEFT, RIGHT, Colour

CELL = 0.018  # metres between the points of the grid on which the surface is sought
MOST_CELLS = 500_000  # of that grid: a body of absurd size gets a coarser one
SOLE = 0.026  # metres from the lowest joint to the sole

Points = Float[np.ndarray, "n 3"]


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


def side_colours(skeleton: Skeleton) -> dict[int, Colour]:
    """The colour of each joint that is left or right."""
    return dict.fromkeys(skeleton.left, LEFT) | dict.fromkeys(skeleton.right, RIGHT)


def marked(motion, generated=None) -> Bool[np.ndarray, " t"] | None:
    """Which frames are shown as generated: as given, or those of an edit; None if that is no frame or all of them.

    Raises:
        ValueError: not one boolean for each frame.
    """
    if generated is None:
        captured = getattr(motion, "_captured", None)  # not `captured`, which would compute features for it
        if captured is None or len(captured) != len(motion):
            return None
        generated = ~captured.all(1)
        return generated if generated.any() and not generated.all() else None
    generated, frames = np.asarray(generated, bool), len(getattr(motion, "joints", motion))
    require(
        generated.shape == (frames,),
        f"generated has shape {generated.shape}, expected ({frames},): a boolean for each frame.",
    )
    return generated


@lru_cache
def table() -> dict:
    """mannequin.json: the capsules of each skeleton."""
    return json.loads(files("mmm.viz").joinpath("mannequin.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, eq=False)
class Capsules:
    """C capsules of a rest pose: carrying joint, both ends, both radii, and the ratio of depth to width."""

    owner: Int[np.ndarray, " c"]
    a: Float[np.ndarray, "c 3"]
    b: Float[np.ndarray, "c 3"]
    ra: Float[np.ndarray, " c"]
    rb: Float[np.ndarray, " c"]
    flat: Float[np.ndarray, " c"]
    blend: float  # metres over which two capsules flow into each other

    def distances(self, points: Points) -> Float[np.ndarray, "n c"]:
        """Signed distance of each point from each capsule."""
        along = self.b - self.a
        offset = points[:, None] - self.a
        ratio = np.clip((offset * along).sum(-1) / ((along**2).sum(-1) + 1e-12), 0, 1)
        away = offset - ratio[..., None] * along
        away[..., 2] /= self.flat
        return np.sqrt((away**2).sum(-1)) - (self.ra + ratio * (self.rb - self.ra))

    def surface(self, distances: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """The smooth union of all capsules, negative inside (Quilez's polynomial minimum)."""
        found = np.ones(len(distances))
        for own in distances.T:
            h = np.maximum(self.blend - np.abs(found - own), 0) / self.blend
            found = np.minimum(found, own) - h * h * self.blend / 4
        return found


@dataclass(frozen=True, eq=False)
class Mannequin:
    """A skinned surface of V vertices and F triangles.

    Attributes:
        skeleton, offsets: the body (J, 3) with straight legs. spread: how the bones at each joint are turned in the
            rest pose, whose legs stand apart so that their skin does not grow together. rest: its joints.
        points, normals: of the rest pose. weights: (J, V), how much each joint carries each vertex.
        tints: (V, 3) red, green, blue, 0 to 255. faces: triangles, counter-clockwise from outside.
    """

    skeleton: Skeleton
    offsets: Float[np.ndarray, "j 3"]
    spread: Float[np.ndarray, "j 3 3"]
    rest: Float[np.ndarray, "j 3"]
    points: Points
    normals: Points
    weights: Float[np.ndarray, "j n"]
    tints: Points
    faces: Int[np.ndarray, "f 3"]
    cell: float  # metres between vertices

    def pose(self, joints: Float[np.ndarray, "t j 3"]) -> Float[np.ndarray, "t j 3 4"]:
        """From places of the rest pose to the world, for each joint: rotation and translation."""
        turns = bone_rotations(joints, self.offsets, self.skeleton) @ self.spread.mT
        shift = joints[..., None] - turns @ self.rest[..., None]
        return np.concatenate([turns, shift], -1)

    def place(self, pose: Float[np.ndarray, "j 3 4"], points: Points, moved: bool = True) -> Points:
        """Points of the rest pose, one for each vertex, carried by the pose; directions if they are not moved."""
        x, y, z = points.T
        rows = np.split(pose.astype(np.float32).reshape(len(pose), 12).T @ self.weights, 3)
        return np.stack([a * x + b * y + c * z + (d if moved else 0) for a, b, c, d in rows], -1)

    def skin(self, pose: Float[np.ndarray, "j 3 4"]) -> tuple[Points, Points]:
        """Vertices and normals of a pose (linear blend skinning)."""
        normals = self.place(pose, self.normals, moved=False)
        return self.place(pose, self.points), normals / np.sqrt((normals**2).sum(1, keepdims=True) + 1e-12)


def mannequin(joints: Float[np.ndarray, "t j 3"], skeleton: Skeleton) -> Mannequin:
    """The mannequin with the bones of a motion (metres): the same for motions of one body."""
    rounded = np.round(rigid_body(joints, skeleton), 2) + 0.0
    return _built(skeleton, rounded.tobytes())


@lru_cache(16)
def _built(skeleton: Skeleton, body: bytes) -> Mannequin:
    offsets = np.frombuffer(body).reshape(-1, 3)
    spread, rest = _spread(skeleton), np.zeros_like(offsets)
    for joint, parent in list(enumerate(skeleton.parents))[1:]:
        rest[joint] = rest[parent] + spread[parent] @ offsets[joint]
    knee = skeleton.feet[0][0]
    leg = sum(float(np.linalg.norm(offsets[j])) for j in (knee, skeleton.parents[knee]))
    size = min(3, max(0.3, leg / table()["leg"]))
    capsules = _capsules(skeleton, rest, spread, size)
    points, faces, cell = _nets(capsules, CELL * size)
    away = capsules.distances(points)
    slopes = [capsules.surface(capsules.distances(points + step)) for step in 0.004 * size * np.eye(3)]
    normals = np.stack(slopes, -1) - capsules.surface(away)[:, None]
    share = table()["share"] * size

    def shares(reach: float) -> Float[np.ndarray, "n j"]:
        """How much each joint has of each vertex; the nearest capsules, up to `reach` farther than the nearest one."""
        near = np.maximum(1 - (away - away.min(1, keepdims=True)) / reach, 0) ** 2
        own = np.stack([near[:, capsules.owner == j].max(1, initial=0) for j in range(len(rest))], -1)
        return own / own.sum(1, keepdims=True)

    weights = shares(share)
    colours = table()["colours"]
    sides = dict.fromkeys(skeleton.left, "left") | dict.fromkeys(skeleton.right, "right")
    tints = shares(share / 5) @ np.array(
        [colours[sides.get(joint, "middle")] for joint in range(len(rest))], float
    )
    for owner, centre, radius in _eyes(skeleton, rest, size):
        ball, ring = _ball()
        faces = np.concatenate([faces, ring + len(points)])
        points, normals = np.concatenate([points, centre + radius * ball]), np.concatenate([normals, ball])
        weights = np.concatenate([weights, np.eye(len(rest))[[owner] * len(ball)]])
        tints = np.concatenate([tints, [colours["eyes"]] * len(ball)])
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    vertices = (array.astype(np.float32) for array in (points, normals, weights.T, tints))
    return Mannequin(skeleton, offsets, spread, rest, *vertices, faces, cell)


def _spread(skeleton: Skeleton) -> Float[np.ndarray, "j 3 3"]:
    """How the bones at each joint are turned in the rest pose: those of the legs to the side."""
    turns = np.tile(np.eye(3), (skeleton.num_joints, 1, 1))
    for joint, parent in list(enumerate(skeleton.parents))[1:]:
        if parent:
            turns[joint] = turns[parent]
        elif joint in skeleton.left + skeleton.right:
            angle = table()["spread"] * (1 if joint in skeleton.left else -1)
            turns[joint] = Rotation.from_euler("z", angle).as_matrix()
    return turns


def _capsules(skeleton: Skeleton, rest: Points, spread: Float[np.ndarray, "j 3 3"], size: float) -> Capsules:
    """The capsules of the table on these joints."""

    def place(name: list, side: str, sign: int) -> Float[np.ndarray, "3"]:
        joint, x, y, z = name
        joint = skeleton.joints.index(joint.replace("*", side))
        return rest[joint] + size * spread[joint] @ np.array([sign * x, y, z])

    rows = []
    for owner, a, b, ra, rb, flat in table()[skeleton.name]["capsules"]:
        both = any("*" in name for name in (owner, a[0], b[0]))
        for side, sign in (("left", 1), ("right", -1)) if both else (("", 1),):
            ends = (place(end, side, sign) for end in (a, b))
            rows.append((skeleton.joints.index(owner.replace("*", side)), *ends, size * ra, size * rb, flat))
    owner, *columns = zip(*rows, strict=True)
    return Capsules(
        np.array(owner), *(np.array(column, float) for column in columns), size * table()["blend"]
    )


def _eyes(skeleton: Skeleton, rest: Points, size: float) -> list[tuple[int, Float[np.ndarray, "3"], float]]:
    """Carrying joint, centre and radius."""
    found = []
    for owner, (joint, *offset), radius in table()[skeleton.name]["eyes"]:
        centre = rest[skeleton.joints.index(joint)] + size * np.array(offset)
        found.append((skeleton.joints.index(owner), centre, size * radius))
    return found


def _ball() -> tuple[Points, Int[np.ndarray, "f 3"]]:
    """A unit ball of 8 meridians and 5 rings."""
    turn, rise = np.meshgrid(np.arange(8) * np.pi / 4, np.linspace(-np.pi / 2, np.pi / 2, 7)[1:-1])
    ball = np.stack([np.cos(rise) * np.sin(turn), np.sin(rise), np.cos(rise) * np.cos(turn)], -1).reshape(
        -1, 3
    )
    ball = np.concatenate([ball, [[0, -1, 0], [0, 1, 0]]])
    here = np.arange(32).reshape(4, 8)
    after = np.roll(here, -1, 1)
    quads = [[here, after, after + 8], [here, after + 8, here + 8]]
    bands = [np.stack(quad, -1).reshape(-1, 3) for quad in quads]
    low, high = np.full(8, 40), np.full(8, 41)
    caps = [np.stack([low, after[0], here[0]], -1), np.stack([high, here[-1] + 8, after[-1] + 8], -1)]
    return ball, np.concatenate(bands + caps)


def _nets(capsules: Capsules, cell: float) -> tuple[Points, Int[np.ndarray, "f 3"], float]:
    """Vertices and triangles of the surface: naive surface nets (Gibson 1998)."""
    thick = (np.maximum(capsules.ra, capsules.rb) * np.maximum(capsules.flat, 1))[:, None]
    low = (np.minimum(capsules.a, capsules.b) - thick).min(0)
    high = (np.maximum(capsules.a, capsules.b) + thick).max(0)
    cell = max(cell, float(np.cbrt(np.prod(high - low) / MOST_CELLS)))
    low = low - 2 * cell
    blocks = np.ceil((high + 2 * cell - low) / cell / 4).astype(int)
    shape = tuple(4 * blocks)
    corner = np.stack(np.unravel_index(np.arange(blocks.prod()), tuple(blocks)), -1) * 4
    close = capsules.distances(low + cell * (corner + 1.5)).min(1) < 4 * cell + capsules.blend
    inner = np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), -1)
    grid = (corner[close][:, None] + inner).reshape(-1, 3)
    values = np.ones(shape)
    for part in np.array_split(grid, max(1, len(grid) // 8000)):  # in the processor's cache
        values[tuple(part.T)] = capsules.surface(capsules.distances(low + cell * part))
    solid = values <= 0
    steps = np.stack(np.unravel_index(np.arange(8), (2, 2, 2)), -1)
    views = [tuple(slice(s, n - 1 + s) for s, n in zip(step, shape, strict=True)) for step in steps]
    count = np.sum([solid[view] for view in views], 0)
    cells = np.argwhere((count > 0) & (count < 8))
    corners = np.stack([values[view][tuple(cells.T)] for view in views], -1)
    total, crossings = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for first in range(8):
        for axis, bit in enumerate((4, 2, 1)):
            if first & bit:
                continue
            a, b = corners[:, first], corners[:, first | bit]
            cut = (a <= 0) != (b <= 0)
            place = steps[first] + (a / np.where(cut, a - b, 1))[:, None] * np.eye(3)[axis]
            total += np.where(cut[:, None], place, 0)
            crossings += cut
    points = low + cell * (cells + total / crossings[:, None])
    number = np.full(shape, -1)
    number[tuple(cells.T)] = np.arange(len(cells))
    faces = []
    for axis in range(3):
        u, v = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        ahead = np.roll(solid, -1, axis)
        for inside in (True, False):
            edge = np.argwhere((solid == inside) & (ahead != inside))
            around = [number[tuple((edge - shift).T)] for shift in (0 * u, u, u + v, v)]
            p, q, r, s = around if inside else around[::-1]
            faces += [np.stack([p, q, r], -1), np.stack([p, r, s], -1)]
    return points, np.concatenate(faces), cell
