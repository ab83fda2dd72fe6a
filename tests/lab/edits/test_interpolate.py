"""Gaps filled with curves: the same kind of curve comes back, kept frames do not change."""

import pytest
import torch

from mmm.editing_tasks import keep_outside
from mmm.lab.edits.interpolate import interpolate
from mmm.motion import features_to_joints
from mmm.motion.trajectory import Trajectory, put_together, take_apart


@pytest.fixture
def clip(golden):
    return torch.from_numpy(golden("features_free")["2/features"])


def moved_along(clip, curve):
    """The poses, heading and path of the clip's first frame, moved along a curve of time."""
    first = take_apart(clip)
    time = torch.arange(40).double()[:, None, None] / 40
    poses = first.poses[:1] + curve(time) * torch.linspace(-0.3, 0.3, 66).view(1, 22, 3)
    poses[:, 0, [0, 2]] = 0
    heading = 0.8 * curve(time)[:, 0, 0]
    heading = heading - heading[0]
    path = torch.stack((curve(time)[:, 0, 0], -2 * curve(time)[:, 0, 0]), 1)
    return put_together(Trajectory(poses, heading, path - path[:1])).float()


@pytest.mark.parametrize(
    ("kind", "curve"),
    [("linear", lambda t: 0.7 * t), ("cubic", lambda t: t**2 - 0.6 * t)],
)
def test_a_curve_of_its_own_kind_comes_back(clip, kind, curve):
    features = moved_along(clip, curve)
    kept = keep_outside(40, [(10, 30)])
    broken = features.clone()
    broken[10:30, 3:67] = 0  # poses; the root's steps say where the path goes on
    result = interpolate(broken, kept, kind)
    distance = (features_to_joints(result.double()) - features_to_joints(features.double())).norm(dim=-1)
    # Hermite's slopes are taken from the neighbouring frames, half a step distance
    assert distance.max() < (1e-5 if kind == "linear" else 2e-2)


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_kept_frames_come_back(golden, kind):
    clip = torch.from_numpy(golden("features_free")["1/features"])
    kept = keep_outside(len(clip), [(20, 50), (80, 110)])
    result = interpolate(clip, kept, kind)
    distance = (features_to_joints(result.double()) - features_to_joints(clip.double())).norm(dim=-1)
    assert distance[kept].max() < 1e-4 and distance[~kept].mean() > 0.05


def test_refusals(clip):
    with pytest.raises(ValueError, match="spline"):
        interpolate(clip, keep_outside(len(clip), [(10, 20)]), "spline")
    with pytest.raises(ValueError, match="at an end"):
        interpolate(clip, keep_outside(len(clip), [(0, 20)]))
