"""Inverse kinematics on the skeleton of any BVH file: its joints turn until points on it are where they should be."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mmm.bvh.reading import Tree
from mmm.motion.rigid import CHUNK, FEET, STIFFNESS
from mmm.motion.skeleton import HUMANML3D

STEPS = 4  # of Gauss-Newton, after a first pose in which each joint turns its own bones
NEAR_TO_NO_TURN = (
    1e-3  # weight of no rotation at all, where bones leave a rotation open: the twist of a single bone
)
_LEVI_CIVITA = np.array(
    [[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)]
)


class Rig:
    """A file's skeleton and HumanML3D's 22 joints on it.

    Its nodes are the J joints of the file and, after them, the E End Sites.

    Attributes:
        base: the joint nearest to all 22 joints on which they all hang. inner: joints from there on that may turn.
        carrier: the joint that moves the whole body: `base` or the next one above it that has position channels.
        hangs: (J, 22) which of the 22 move when a joint turns.
    """

    def __init__(self, tree: Tree, weights: Float[np.ndarray, "22 n"]) -> None:
        """`weights`: each of the 22 joints as a mean of nodes."""
        self.tree, self.weights = tree, weights
        above = [*tree.parents, *tree.end_parents]
        self.below = np.zeros((len(tree.parents), len(above)), bool)  # strictly
        for node, parent in enumerate(above):
            while parent >= 0:
                self.below[parent, node] = True
                parent = tree.parents[parent]
        used = weights != 0
        self.hangs = (self.below[:, None] & used).any(-1)
        reaches = self.below | np.eye(*self.below.shape, dtype=bool)
        self.base = int(np.flatnonzero(reaches[:, used.any(0)].all(1))[-1])
        moves = [sum(name.endswith("position") for name in channels) == 3 for channels in tree.channels]
        line = [joint for joint in range(self.base + 1) if reaches[joint, self.base]]
        self.carrier = next((joint for joint in reversed(line) if moves[joint]), self.base)
        self.inner = [
            joint
            for joint in np.flatnonzero(reaches[self.base, : len(tree.parents)] & self.hangs.any(1)).tolist()
            if any(name.endswith("rotation") for name in tree.channels[joint])
        ]
        self._near = {joint: self._next_points(joint, used) for joint in self.inner}

    def _next_points(self, joint: int, used: Bool[np.ndarray, "22 n"]) -> list[int]:
        """The points that hang on a joint with no other point between."""
        wholly = [point for point in range(len(used)) if self.below[joint, used[point]].all()]
        nodes = {point: np.flatnonzero(used[point]) for point in wholly}
        joints = {point: [n for n in nodes[point] if n < len(self.below)] for point in wholly}
        return [
            point
            for point in wholly
            if not any(
                self.below[joints[other]][:, nodes[point]].all(1).any() for other in wholly if other != point
            )
        ]

    def turning(self, moved: Bool[np.ndarray, "t 22"]) -> Bool[np.ndarray, "t inner"]:
        """Which inner joints may turn: those on which points hang that move, and none that stays."""
        hangs = self.hangs[self.inner].T.astype(int)
        return (moved @ hangs > 0) & (~moved @ hangs == 0)

    def world(
        self, rotations: Float[np.ndarray, "t j 3 3"], positions: Float[np.ndarray, "t j 3"]
    ) -> tuple[Float[np.ndarray, "t j 3 3"], Float[np.ndarray, "t n 3"]]:
        """Rotations of the joints and positions of the nodes in the world, from those relative to the parents."""
        turned, nodes = rotations.copy(), np.empty((len(rotations), self.below.shape[1], 3))
        for joint, parent in enumerate(self.tree.parents):
            nodes[:, joint] = positions[:, joint]
            if parent >= 0:
                turned[:, joint] = turned[:, parent] @ rotations[:, joint]
                nodes[:, joint] = nodes[:, parent] + _turn(turned[:, parent], positions[:, joint])
        for end, (joint, offset) in enumerate(zip(self.tree.end_parents, self.tree.ends, strict=True)):
            nodes[:, len(self.below) + end] = nodes[:, joint] + turned[:, joint] @ np.array(offset)
        return turned, nodes

    def follow(
        self,
        rotations: Float[np.ndarray, "t j 3 3"],
        positions: Float[np.ndarray, "t j 3"],
        targets: Float[np.ndarray, "t 22 3"],
        moved: Bool[np.ndarray, "t 22"],
        unit: float,
    ) -> None:
        """Turn the joints, in place, so that the moved points are nearest to their targets.

        From the given pose each joint, from `base` on, first turns its own bones; Gauss-Newton then brings all points
        nearest in the sense of least squares. Rotations that the points do not show stay those of the given pose.
        Joints of points that do not move stay as they are. The whole body moves where all points move.

        Args:
            rotations, positions: relative to the parents, of all joints; both are changed.
            targets: in the unit of the file, as `positions` are. unit: its metres.
        """
        for start in range(0, len(rotations), CHUNK):
            chunk = slice(start, start + CHUNK)
            self._follow(rotations[chunk], positions[chunk], targets[chunk] * unit, moved[chunk], unit)

    def _follow(self, rotations, positions, targets, moved, unit) -> None:
        turned, nodes = self.world(rotations, positions)
        nodes *= unit
        turning, whole = self.turning(moved), moved.all(1)
        pose = _Pose(self, turned, nodes)
        for column, joint in enumerate(self.inner):
            self._turn_bones(pose, joint, targets, turning[:, column], whole)
        self._approach(pose, targets, turning, whole)
        for column, joint in enumerate(self.inner):
            which, parent = turning[:, column], self.tree.parents[joint]
            world = turned[which, joint]
            rotations[which, joint] = world if parent < 0 else turned[which, parent].swapaxes(-1, -2) @ world
        parent = self.tree.parents[self.carrier]
        place = nodes[whole, self.carrier]
        if parent >= 0:
            place = _turn(turned[whole, parent].swapaxes(-1, -2), place - nodes[whole, parent])
        positions[whole, self.carrier] = place / unit

    def _turn_bones(self, pose, joint, targets, turning, whole) -> None:
        """Turn one joint so that the bones to the next points have the directions of the targets."""
        near = self._near[joint]
        if (
            joint == self.base
        ):  # its own place is to be found as well: about the centre of the points around it
            near = near + np.flatnonzero(~self.hangs[joint]).tolist()
            centre = lambda points: points[:, near].mean(1, keepdims=True)  # noqa: E731
        else:
            centre = lambda points: pose.nodes[:, [joint]]  # noqa: E731
        if near:
            points = pose.points()
            seen, wanted = (x[:, near] - centre(x) for x in (points, targets))
            covariance = wanted.swapaxes(-1, -2) @ seen
            covariance += NEAR_TO_NO_TURN * (seen**2).sum((1, 2))[:, None, None] * np.eye(3)
            u, _, vh = np.linalg.svd(covariance)
            u[..., -1] *= np.where(np.linalg.det(u @ vh) < 0, -1, 1)[:, None]
            pose.turn(joint, np.where(turning[:, None, None], u @ vh, np.eye(3)))
        if joint == self.base:
            shift = (
                (centre(targets) - centre(pose.points()))[:, 0] if near else (targets - pose.points())[:, 0]
            )
            pose.move(shift * whole[:, None])

    def _approach(self, pose, targets, turning, whole) -> None:
        """Gauss-Newton steps of all turning joints and of the carrier."""
        count, frames = len(self.inner), len(targets)
        share = self.weights[:, None] * self.below[self.inner]  # (22, inner, node)
        weights = np.ones((len(HUMANML3D.joints), 1))
        weights[[joint for side in HUMANML3D.feet for joint in side]] = FEET
        weights = np.repeat(weights, 3, axis=0)
        away = np.zeros((frames, count, 3))
        for _ in range(STEPS):
            # A small rotation w of a joint moves a point by w × arm.
            arms = np.einsum("pin,tnc->tpic", share, pose.nodes, optimize=True)
            arms -= share.sum(-1)[..., None] * pose.nodes[:, None, self.inner]
            arms *= turning[:, None, :, None]
            slopes = np.einsum("xyz,tpiz->tpxiy", _LEVI_CIVITA, arms, optimize=True).reshape(
                frames, -1, 3 * count
            )
            moves = np.tile(np.eye(3), (targets.shape[1], 1)) * whole[:, None, None]
            slopes = np.concatenate((slopes, moves), -1)
            weighted = (slopes * weights).swapaxes(-1, -2)
            normal = weighted @ slopes
            diagonal = np.arange(3 * count + 3)
            normal[:, diagonal, diagonal] += np.where(diagonal < 3 * count, STIFFNESS, 1e-9)
            wanted = weighted @ (targets - pose.points()).reshape(frames, -1, 1)
            wanted[:, : 3 * count, 0] -= STIFFNESS * away.reshape(frames, -1)
            step = np.linalg.solve(normal, wanted)[..., 0]
            turns = step[:, : 3 * count].reshape(frames, count, 3)
            away += turns
            for column, joint in enumerate(self.inner):
                pose.turn(joint, Rotation.from_rotvec(turns[:, column]).as_matrix())
            pose.move(step[:, 3 * count :])


class _Pose:
    """World rotations and nodes of a rig, in metres, changed in place."""

    def __init__(
        self, rig: Rig, rotations: Float[np.ndarray, "t j 3 3"], nodes: Float[np.ndarray, "t n 3"]
    ) -> None:
        self.rig, self.rotations, self.nodes = rig, rotations, nodes

    def points(self) -> Float[np.ndarray, "t 22 3"]:
        return np.einsum("pn,tnc->tpc", self.rig.weights, self.nodes, optimize=True)

    def turn(self, joint: int, turns: Float[np.ndarray, "t 3 3"]) -> None:
        """Turn a joint, and what hangs on it, in the world."""
        below, centre = self.rig.below[joint], self.nodes[:, [joint]]
        self.nodes[:, below] = centre + (self.nodes[:, below] - centre) @ turns.swapaxes(-1, -2)
        joints = below[: len(self.rig.below)].copy()
        joints[joint] = True
        self.rotations[:, joints] = turns[:, None] @ self.rotations[:, joints]

    def move(self, shift: Float[np.ndarray, "t 3"]) -> None:
        nodes = self.rig.below[self.rig.carrier].copy()
        nodes[self.rig.carrier] = True
        self.nodes[:, nodes] += shift[:, None]


def _turn(
    rotations: Float[np.ndarray, "t 3 3"], vectors: Float[np.ndarray, "t 3"]
) -> Float[np.ndarray, "t 3"]:
    return (rotations @ vectors[..., None])[..., 0]
