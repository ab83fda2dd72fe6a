"""A motion as three parts that can be edited alone: poses in the facing direction, heading and path; and back.

The features of a frame are redundant (positions, velocities, rotations), and where the body is and faces is only a sum
of steps. To move a hand or the end of a path, change the parts here: `put_together` computes all features from them,
so that they are consistent (docs/REPRODUCTION.md, "Representation").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mmm.motion import quaternion
from mmm.motion.features import feature_slices, features_to_joints, placed_features
from mmm.motion.skeleton import Skeleton, get_skeleton


@dataclass(frozen=True)
class Trajectory:
    """One motion, float64.

    Attributes:
        poses: (T, J, 3) with each frame facing z+, x and z relative to the root, heights above the floor.
        heading: (T,) half the angle about y that turns each frame onto z+, radians: the sum of features 0:1.
        path: (T, 2) x and z of the root in the world.
    """

    poses: Float[Tensor, "t j 3"]
    heading: Float[Tensor, " t"]
    path: Float[Tensor, "t 2"]

    def __len__(self) -> int:
        return len(self.heading)


def take_apart(features: Float[Tensor, "t d"], skeleton: str | Skeleton = "humanml3d") -> Trajectory:
    """Poses, heading and path of raw features."""
    skeleton = get_skeleton(skeleton)
    features = features.double()
    joints = features_to_joints(features, skeleton)
    part = feature_slices(skeleton)
    angular = features[:, part["root_angular"]][:, 0]
    heading = torch.cat((angular.new_zeros(1), angular[:-1].cumsum(0)))
    poses = features[:, part["positions"]].unflatten(-1, (skeleton.num_joints - 1, 3))
    root = torch.zeros_like(poses[:, :1])
    root[:, 0, 1] = features[:, part["root_height"]][:, 0]
    return Trajectory(torch.cat((root, poses), 1), heading, joints[:, 0, [0, 2]])


def put_together(trajectory: Trajectory, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "t d"]:
    """Features (T, D), float64, all computed from the three parts. The features of the last frame that need a next
    frame (turn, step, velocities, contacts) assume that the motion continues at the same speed."""
    skeleton = get_skeleton(skeleton)
    heading, path, poses = (
        _extended(trajectory.heading),
        _extended_path(trajectory),
        _extended(trajectory.poses),
    )
    turn = turns(heading)
    ground = torch.stack((path[:, 0], torch.zeros_like(heading), path[:, 1]), -1)
    joints = quaternion.rotate(quaternion.inverse(turn)[:, None], poses) + ground[:, None]
    features = placed_features(joints, turn, skeleton)
    # placed_features computes the turn from a quaternion, which is ambiguous by a whole turn; the difference is exact
    features[:, 0] = heading.diff()
    return features


def turns(heading: Float[Tensor, " t"]) -> Float[Tensor, "t 4"]:
    """The quaternions that turn each frame onto z+, from half angles about y."""
    zero = torch.zeros_like(heading)
    return torch.stack((heading.cos(), zero, heading.sin(), zero), -1)


def _extended(x: Float[Tensor, "t ..."]) -> Float[Tensor, "t+1 ..."]:
    """One frame more at the end, at the same speed."""
    return torch.cat((x, 2 * x[-1:] - x[-2:-1] if len(x) > 1 else x[-1:]))


def _extended_path(t: Trajectory) -> Float[Tensor, "frames 2"]:
    """The last step is repeated relative to the facing direction: a body that walks in a circle stays on it."""
    if len(t) < 2:
        return torch.cat((t.path, t.path))
    step, half = t.path[-1] - t.path[-2], t.heading[-1] - t.heading[-2]
    cos, sin = torch.cos(2 * half), torch.sin(2 * half)
    onward = torch.stack((cos * step[0] - sin * step[1], sin * step[0] + cos * step[1]))
    return torch.cat((t.path, (t.path[-1] + onward)[None]))
