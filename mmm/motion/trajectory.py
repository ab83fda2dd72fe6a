"""A motion taken apart into what can be edited alone: poses in the facing frame, the heading, the path; and back.

The 263 numbers of a frame say most things twice (positions, velocities, rotations), and where the body stands and
looks only as a sum of steps. Who wants to move a hand, or to let a path end elsewhere, changes the three parts here;
`put_together` then writes all numbers anew, so that they agree with one another (REPRODUCTION.md, "Representation").
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
        poses: (T, J, 3) as each frame faces z+, x and z relative to the root, heights above the floor.
        heading: (T,) half the angle about y that turns each frame onto z+, radians, as features 0:1 add up.
        path: (T, 2) x and z of the root in the world.
    """

    poses: Float[Tensor, "t j 3"]
    heading: Float[Tensor, " t"]
    path: Float[Tensor, "t 2"]

    def __len__(self) -> int:
        return len(self.heading)


def take_apart(features: Float[Tensor, "t d"], skeleton: str | Skeleton = "humanml3d") -> Trajectory:
    """Poses, heading and path of raw features.

    Raises:
        ValueError: features of another skeleton.
    """
    skeleton = get_skeleton(skeleton)
    features = features.double()
    joints = features_to_joints(features, skeleton)  # also checks the width
    part = feature_slices(skeleton)
    angular = features[:, part["root_angular"]][:, 0]
    heading = torch.cat((angular.new_zeros(1), angular[:-1].cumsum(0)))
    poses = features[:, part["positions"]].unflatten(-1, (skeleton.num_joints - 1, 3))
    root = torch.zeros_like(poses[:, :1])
    root[:, 0, 1] = features[:, part["root_height"]][:, 0]
    return Trajectory(torch.cat((root, poses), 1), heading, joints[:, 0, [0, 2]])


def put_together(trajectory: Trajectory, skeleton: str | Skeleton = "humanml3d") -> Float[Tensor, "t d"]:
    """Features (T, D), float64, all computed from the three parts. What the last frame has to say of the frame
    after it (turn, step, velocities, contacts) goes on as the frame before said."""
    skeleton = get_skeleton(skeleton)
    heading, path, poses = _with_one_more(trajectory)
    turn = turns(heading)
    ground = torch.stack((path[:, 0], torch.zeros_like(heading), path[:, 1]), -1)
    joints = quaternion.rotate(quaternion.inverse(turn)[:, None], poses) + ground[:, None]
    features = placed_features(joints, turn, skeleton)
    # placed_features has the turn from a quaternion, hence up to a whole turn; the difference is the number itself
    features[:, 0] = heading.diff()
    return features


def turns(heading: Float[Tensor, " t"]) -> Float[Tensor, "t 4"]:
    """The quaternions that turn each frame onto z+, from half angles about y."""
    zero = torch.zeros_like(heading)
    return torch.stack((heading.cos(), zero, heading.sin(), zero), -1)


def _with_one_more(t: Trajectory) -> tuple[Tensor, Tensor, Tensor]:
    """Heading, path and poses with a frame more at the end, as fast as before."""

    def more(x: Tensor) -> Tensor:
        return torch.cat((x, 2 * x[-1:] - x[-2:-1] if len(x) > 1 else x[-1:]))

    return more(t.heading), _path_with_one_more(t), more(t.poses)


def _path_with_one_more(t: Trajectory) -> Tensor:
    """The last step is repeated as the body faces: one that walks on in a circle stays on it."""
    if len(t) < 2:
        return torch.cat((t.path, t.path))
    step, half = t.path[-1] - t.path[-2], t.heading[-1] - t.heading[-2]
    cos, sin = torch.cos(2 * half), torch.sin(2 * half)
    onward = torch.stack((cos * step[0] - sin * step[1], sin * step[0] + cos * step[1]))
    return torch.cat((t.path, (t.path[-1] + onward)[None]))
