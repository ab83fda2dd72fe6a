"""Features ↔ a `Trajectory`: poses in the facing direction, heading and path, each of which can be edited alone.

Features are hard to edit: positions, velocities and rotations say the same thing three times, and where the body is
and faces is only a sum of steps. To move a hand or the end of a path, change the trajectory: `put_together` computes
all features from it, so that they are consistent (docs/REPRODUCTION.md, "Representation").
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
        half_heading: (T,) half the angle about y that turns each frame onto z+, radians. It is the running sum of
            feature 0, and as half an angle what `quaternion.about_y` needs.
        path: (T, 2) x and z of the root in the world.
    """

    poses: Float[Tensor, "t j 3"]
    half_heading: Float[Tensor, " t"]
    path: Float[Tensor, "t 2"]

    def __len__(self) -> int:
        return len(self.half_heading)


def take_apart(features: Float[Tensor, "t d"], skeleton: str | Skeleton = "humanml3d") -> Trajectory:
    """Poses, heading and path of raw features."""
    skeleton = get_skeleton(skeleton)
    features = features.double()
    joints = features_to_joints(features, skeleton)
    slices = feature_slices(skeleton)
    angular = features[:, slices["root_angular"]][:, 0]
    half_heading = torch.cat((angular.new_zeros(1), angular[:-1].cumsum(0)))
    others = features[:, slices["positions"]].unflatten(-1, (skeleton.num_joints - 1, 3))
    root = torch.zeros_like(others[:, :1])
    root[:, 0, 1] = features[:, slices["root_height"]][:, 0]
    return Trajectory(torch.cat((root, others), 1), half_heading, joints[:, 0, [0, 2]])


def put_together(trajectory: Trajectory, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "t d"]:
    """Features (T, D), float64, all computed from the trajectory.

    Turn, step, velocities and contacts of the last frame need a next frame: it continues the motion at the same speed.
    """
    skeleton = get_skeleton(skeleton)
    poses, half_heading = _extended(trajectory.poses), _extended(trajectory.half_heading)
    path = _extended_path(trajectory)
    turn = quaternion.about_y(half_heading)
    ground = torch.stack((path[:, 0], torch.zeros_like(half_heading), path[:, 1]), -1)
    joints = quaternion.rotate(quaternion.inverse(turn)[:, None], poses) + ground[:, None]
    features = placed_features(joints, turn, skeleton)
    # A quaternion does not say how many whole turns were made. The difference of the half headings does.
    features[:, 0] = half_heading.diff()
    return features


def _extended(x: Float[Tensor, "t ..."]) -> Float[Tensor, "t+1 ..."]:
    """One frame more at the end, at the same speed."""
    following = 2 * x[-1:] - x[-2:-1] if len(x) > 1 else x[-1:]
    return torch.cat((x, following))


def _extended_path(t: Trajectory) -> Float[Tensor, "frames 2"]:
    """One step more: the last one, turned by as much as the body turned. So a walk in a circle stays on the circle."""
    if len(t) < 2:
        return torch.cat((t.path, t.path))
    (x, z), half_turn = t.path[-1] - t.path[-2], t.half_heading[-1] - t.half_heading[-2]
    cos, sin = torch.cos(2 * half_turn), torch.sin(2 * half_turn)
    step = torch.stack((cos * x - sin * z, sin * x + cos * z))
    return torch.cat((t.path, (t.path[-1] + step)[None]))
