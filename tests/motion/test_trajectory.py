"""A motion taken apart and put together again."""

import math

import pytest
import torch

from mmm.motion import HUMANML3D, feature_slices
from mmm.motion.trajectory import Trajectory, put_together, take_apart

LAST = ["root_angular", "root_linear", "velocities", "contacts"]


# Not clip 1: it passes z-, where the reference has the wrong sign (`joints_to_features`), so that its rotations do not
# belong to the headings that its angular numbers add up to.
@pytest.fixture(params=["0", "2"])
def features(request, golden):
    return torch.from_numpy(golden("features_free")[f"{request.param}/features"])


def test_put_together_it_is_the_same_but_for_the_step_after_the_last_frame(features):
    again = put_together(take_apart(features))
    for name, part in feature_slices().items():
        end = -1 if name in LAST else None
        difference = (again[:end, part] - features[:end, part]).abs()
        assert difference.max() < 1e-5, name


def test_the_last_step_continues_around_the_circle():
    """A body that walks a circle, 5 degrees a frame, must not leave it in the step after the last frame."""
    angle = torch.arange(30).double() * math.radians(5)
    joints = torch.tensor(HUMANML3D.target_offsets).double().cumsum(0)[None].repeat(30, 1, 1)
    path = torch.stack((angle.cos(), angle.sin()), -1)
    # facing along the circle: z+ turned about y by the half angles that features hold
    walk = Trajectory(joints, angle / 2, path)
    features = put_together(walk)
    assert torch.allclose(features[-1, :3], features[-2, :3], atol=1e-9)


def test_a_change_of_path_changes_no_pose(features):
    parts = take_apart(features)
    moved = put_together(Trajectory(parts.poses, parts.half_heading, parts.path * 2))
    slices = feature_slices()
    for name in ("root_angular", "root_height", "positions"):
        part = slices[name]
        assert torch.allclose(moved[:-1, part], features[:-1, part].double(), atol=1e-5)
    part = slices["root_linear"]
    assert torch.allclose(moved[:-1, part], 2 * features[:-1, part].double(), atol=1e-5)
