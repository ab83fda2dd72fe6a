import math

import pytest
import torch

from mmm.editing_tasks import keep_outside
from mmm.motion import HUMANML3D, quaternion
from mmm.motion.trajectory import Trajectory
from mmm.seams import join

FRAMES, GAP = 100, (40, 70)
ALL = [list(range(22))]


def motion(turn_per_frame, speed, sway=0.0, lift=0.0):
    """A body that walks along a curve, swaying and lifted; all smooth."""
    time = torch.arange(FRAMES).double()
    heading = turn_per_frame / 2 * time
    ahead = quaternion.rotate(
        quaternion.inverse(quaternion.about_y(heading)), torch.tensor([0.0, 0, 1]).double().expand(FRAMES, 3)
    )
    steps = speed * ahead[:, [0, 2]]
    path = torch.cat((torch.zeros(1, 2).double(), steps[1:].cumsum(0)))
    body = torch.tensor(HUMANML3D.target_offsets).double().cumsum(0)
    poses = body.expand(FRAMES, 22, 3).clone()
    poses[:, 1:] += sway * torch.sin(time / 6)[:, None, None]
    poses[:, :, 1] += 1 + lift * torch.cos(time / 9)[:, None]
    poses[:, 0, [0, 2]] = 0
    return Trajectory(poses, heading, path)


def rough(values):
    """Largest second difference over all frames: it shows a jump in position or speed."""
    return float(values.diff(n=2, dim=0).abs().max())


@pytest.fixture
def pair():
    return motion(0.01, 0.05, sway=0.05), motion(0.03, 0.03, sway=0.03, lift=0.04)


def test_kept_frames_do_not_change_and_nothing_jumps(pair):
    source, decoded = pair
    kept = keep_outside(FRAMES, [GAP])[None]
    joined = join(source, decoded, kept, ALL)
    assert torch.equal(joined.poses[kept[0]], source.poses[kept[0]])
    assert torch.allclose(joined.path[kept[0]], source.path[kept[0]], atol=1e-9)
    assert torch.allclose(joined.half_heading[kept[0]], source.half_heading[kept[0]], atol=1e-9)
    middle = slice(GAP[0] + 8, GAP[1] - 8)
    assert torch.allclose(joined.poses[middle], decoded.poses[middle], atol=1e-9), "decoded far from the ends"
    cut = torch.where(kept[0][:, None, None], source.poses, decoded.poses)
    assert rough(cut) > 0.02 and rough(joined.poses) < 0.008
    assert rough(joined.half_heading) < 0.003 and rough(joined.path) < 0.01


def test_where_both_agree_nothing_changes(pair):
    source, _ = pair
    joined = join(source, source, keep_outside(FRAMES, [GAP, (80, 90)])[None], ALL)
    for name in ("poses", "half_heading", "path"):
        assert torch.allclose(getattr(joined, name), getattr(source, name), atol=1e-12)


def test_at_an_open_end_the_path_is_the_decoded_one(pair):
    source, decoded = pair
    joined = join(source, decoded, keep_outside(FRAMES, [(40, FRAMES)])[None], ALL)
    # the difference in speed is faded out: from then on the steps are the decoded ones
    assert torch.allclose(joined.half_heading.diff()[50:], decoded.half_heading.diff()[50:], atol=1e-9)
    steps, decoded_steps = (t.path.diff(dim=0).norm(dim=1)[50:] for t in (joined, decoded))
    assert torch.allclose(steps, decoded_steps, atol=1e-9)
    assert torch.equal(joined.poses[60:], decoded.poses[60:])


def test_a_world_that_starts_with_decoded_frames_starts_at_the_origin(pair):
    source, decoded = pair
    joined = join(source, decoded, keep_outside(FRAMES, [(0, 40)])[None], ALL)
    assert joined.path[0].abs().max() == 0 and joined.half_heading[0] == 0
    assert torch.allclose(joined.half_heading.diff()[40:], source.half_heading.diff()[40:], atol=1e-9)
    # the path from one kept frame to another, seen from the first of them
    seen = []
    for t in (joined, source):
        x, z = t.path[90] - t.path[45]
        seen.append(
            quaternion.rotate(
                quaternion.about_y(t.half_heading[45:46])[0], torch.stack((x, torch.zeros_like(x), z))
            )
        )
    assert seen[0].norm() > 1 and torch.allclose(*seen, atol=1e-9)


def test_the_shorter_turn_is_taken():
    """Half angles that differ by π are the same heading: the gap must not contain a whole turn more."""
    source, decoded = motion(0.0, 0.05), motion(0.0, 0.05)
    turned = Trajectory(
        source.poses, source.half_heading + math.pi * (torch.arange(FRAMES) >= 55).double(), source.path
    )
    joined = join(turned, decoded, keep_outside(FRAMES, [GAP])[None], ALL)
    assert joined.half_heading.abs().max() < 1e-9


def test_a_kept_upper_body_follows_the_height_of_the_new_lower_one(pair):
    source, decoded = pair
    upper, lower = [j for j in range(22) if j > 11], [j for j in range(22) if j <= 11]
    kept = torch.stack([torch.ones(FRAMES).bool(), keep_outside(FRAMES, [GAP])])
    joined = join(source, decoded, kept, [upper, lower])
    assert torch.allclose(
        joined.poses[:, upper][..., [0, 2]], source.poses[:, upper][..., [0, 2]], atol=1e-12
    )
    above = joined.poses[:, upper, 1] - joined.poses[:, :1, 1]
    assert torch.allclose(above, source.poses[:, upper, 1] - source.poses[:, :1, 1], atol=1e-12)
    assert torch.allclose(joined.poses[50:60, lower], decoded.poses[50:60, lower], atol=1e-9)


def test_gaps_of_one_frame_and_next_to_each_other(pair):
    source, decoded = pair
    kept = keep_outside(FRAMES, [(20, 21), (22, 23), (98, 100)])[None]
    joined = join(source, decoded, kept, ALL)
    assert torch.equal(joined.poses[kept[0]], source.poses[kept[0]])
    assert rough(joined.poses) < 0.02
