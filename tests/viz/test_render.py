"""The mannequin and its software rendering: sides, the camera that never crops, shadows below their limbs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmm.motion import HUMANML3D, KIT
from mmm.motion.rigid import rest_directions
from mmm.viz.animation import _follow
from mmm.viz.body import mannequin, marked
from mmm.viz.camera import Camera, fit
from mmm.viz.render import View, figure, shadow, still
from tests.viz.test_strip import bluish, moving, orange, standing

SIZE = 200


def view(yaw: float = 0.0, pitch: float = 0.3) -> View:
    """A picture of SIZE pixels with somebody who stands at the origin."""
    return View(Camera((0.0, 0.9, 0.0), yaw, pitch, 5.0), SIZE / 2.4, (SIZE / 2, SIZE / 2))


def skinned(joints: np.ndarray, skeleton=HUMANML3D):
    body = mannequin(joints[None], skeleton)
    return body, *body.skin(body.pose(joints[None])[0])


def t_pose(skeleton) -> np.ndarray:
    joints, offsets = np.zeros((skeleton.num_joints, 3)), skeleton.target_offsets
    for joint, parent in list(enumerate(skeleton.parents))[1:]:
        length = 0.25 if offsets is None else np.linalg.norm(offsets[joint])
        joints[joint] = joints[parent] + length * rest_directions(skeleton)[joint]
    return joints - [0, joints[:, 1].min(), 0]


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=["humanml3d", "kit"])
def test_the_surface_is_closed_faces_outwards_and_has_the_colours_of_its_sides(skeleton):
    body, points, normals = skinned(t_pose(skeleton), skeleton)
    edges = np.sort(np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]]), 1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all()
    a, b, c = points[body.faces].transpose(1, 0, 2).astype(float)
    volume = (np.cross(b - a, c - a) * a).sum() / 6
    assert 0.01 < volume < 0.12  # cubic metres, positive: counter-clockwise from outside
    flat = np.cross(b - a, c - a)
    assert ((flat * normals[body.faces].mean(1)).sum(1) > 0).mean() > 0.98
    np.testing.assert_allclose(body.weights.sum(0), 1, atol=1e-5)
    left, right = points[bluish(body.tints)], points[orange(body.tints)]
    assert len(left) > 500 and len(right) > 500
    assert (left[:, 0] > -0.02).all() and (right[:, 0] < 0.02).all()  # of somebody who faces z+


def test_a_raised_leg_is_apart_from_the_other():
    joints, names = t_pose(HUMANML3D), ("hip", "knee", "ankle", "foot")
    legs = {side: [HUMANML3D.joints.index(f"{side}_{name}") for name in names] for side in ("left", "right")}
    joints[legs["left"], 0], joints[legs["right"], 0] = 0.06, -0.06  # narrow hips
    hip, *below = legs["left"]
    x, y, z = (joints[below] - joints[hip]).T
    joints[below] = joints[hip] + np.stack([x, z, -y], 1)  # straight ahead
    body, points, _ = skinned(joints)
    corners = points[body.faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=-1).max()
    assert longest < 5 * body.cell  # 14 with skin between the legs


@pytest.mark.parametrize(("yaw", "sign"), [(0.0, 1), (np.pi, -1)])
def test_left_is_on_the_viewers_right_from_the_front_only(yaw, sign):
    cut = figure(*skinned(standing()), view(yaw))
    column = np.arange(cut.alpha.shape[1])[None] + np.zeros((len(cut.alpha), 1))
    assert sign * (column[bluish(cut.colour)].mean() - column[orange(cut.colour)].mean()) > 15


def test_the_face_is_seen_from_the_front_only():
    def dark(yaw: float) -> int:
        cut = figure(*skinned(t_pose(HUMANML3D)), View(Camera(yaw=yaw), 250.0, (0.0, 0.0)))
        return int(((cut.colour.max(-1) < 70) & (cut.alpha == 1)).sum())

    assert dark(0.0) > 20 and dark(np.pi) == 0


def test_a_nearer_limb_covers_a_farther_one():
    for yaw, nearer, farther in ((np.pi / 2, bluish, orange), (-np.pi / 2, orange, bluish)):
        cut = figure(*skinned(standing()), view(yaw, 0.0))
        assert nearer(cut.colour).sum() > 4 * farther(cut.colour).sum()


@settings(max_examples=15, deadline=None)
@given(
    arrays(np.float32, (3, 22, 3), elements=st.floats(-0.5, 0.5, width=32)),
    arrays(np.float32, (3, 3), elements=st.floats(-4, 4, width=32)),
    st.floats(0.2, 5),
)
def test_no_motion_is_cropped_in_a_picture_of_any_shape(moved, places, aspect):
    body = mannequin(standing()[None], HUMANML3D)
    joints = standing() + moved.astype(float) + places[:, None]
    poses = body.pose(joints)
    box = (10, 20, 10 + int(300 * aspect), 320)
    seen, targets = _follow(joints, body, poses, 20.0, box)
    for pose, target in zip(poses, targets, strict=True):
        here = replace(seen, camera=replace(seen.camera, target=tuple(target)))
        x, y, depth = here.pixels(body.skin(pose)[0]).T
        assert (depth > 0).all()
        assert (
            box[0] - 0.1 < x.min()
            and x.max() < box[2] + 0.1
            and box[1] - 0.1 < y.min()
            and y.max() < box[3] + 0.1
        )


def test_a_camera_is_no_farther_than_it_must():
    """Perspective counts: what is close needs more room, and one side of the picture is always touched."""
    points = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 0.2, 0.0]])
    distance, (aside, above) = fit([points], 0.5, 0.5)
    x, _, z = points.T
    assert np.abs((x - aside) / (distance - z) / 0.5).max() == pytest.approx(1)
    assert fit([0.01 * points], 0.5, 0.5, 1.6)[0] == pytest.approx(1.6)


def darkest(joints: np.ndarray, seen: View) -> np.ndarray:
    body, points, _ = skinned(joints)
    return shadow(points, body.cell, seen, (SIZE, SIZE))


def test_every_limb_has_its_shadow_and_a_foot_in_the_air_is_apart_from_it():
    seen = view(pitch=0.9)
    up = standing()
    up[[7, 10]] += [0.25, 0.45, 0.3]  # the left foot
    up[4] += [0.15, 0.2, 0.3]
    foot = up[10]

    def darkness(picture: np.ndarray, point: np.ndarray) -> float:
        x, y, _ = seen.pixels(point)
        return float(picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean())

    aside, rise, along = seen.light
    below = np.array([foot[0], seen.ground, foot[2]])
    cast = below - (foot[1] - seen.ground) * np.array([aside / rise, 0, along / rise])
    with_foot, standing_right = darkest(up, seen), up[11] * [1, 0, 1] + [0, seen.ground, 0]
    without = up.copy()
    without[[4, 7, 10]] = without[1] - [0, 0.05, 0]  # the leg drawn in
    assert darkness(with_foot, cast) > 0.1 and darkness(darkest(without, seen), cast) < 0.04
    assert darkness(with_foot, below) < darkness(with_foot, cast) / 2  # nothing touches the ground below it
    assert darkness(with_foot, standing_right) > 0.25  # the other foot stands


def test_a_shadow_is_softer_the_higher_its_limb():
    def edge(height: float) -> float:
        dark = darkest(standing() + [0, height, 0], view(pitch=1.2))
        return float(np.abs(np.diff(dark, axis=1)).max())

    assert edge(0.0) > 1.5 * edge(0.5) > 1.5 * edge(1.5)
    assert (darkest(standing() + [0, 1.0, 0], view(pitch=1.2)) > 0.02).any()


def test_a_still_holds_every_pose_whole():
    joints = moving(np.array([[0.0, 0.0], [1.5, 0.0]]))
    body = mannequin(joints, HUMANML3D)
    camera = Camera(yaw=0.2, distance=9.0)
    skins = [body.skin(pose) for pose in body.pose(joints)]
    seen = still(body, skins, camera, shadows=False)
    left, right, bottom, top = seen.extent
    for points, _ in skins:
        x, y, _ = camera.project(points).T
        assert left < x.min() and x.max() < right and bottom < y.min() and y.max() < top
    assert (seen.rgba[[0, -1]] == 0).all() and (seen.rgba[:, [0, -1]] == 0).all()
    assert seen.rgba[..., 3].max() == 255


def test_marked_frames_are_those_of_an_edit_or_as_given():
    joints = moving(np.zeros((4, 2)))
    assert marked(joints) is None
    np.testing.assert_array_equal(marked(joints, [0, 1, 1, 0]), [False, True, True, False])
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(4,\)"):
        marked(joints, [True] * 3)


@pytest.mark.parametrize(
    "joints", [np.zeros((2, 22, 3)), np.random.default_rng(0).normal(0, 0.5, (2, 22, 3))]
)
def test_joints_that_are_no_body_are_drawn_too(joints):
    body = mannequin(joints, HUMANML3D)
    skins = [body.skin(pose) for pose in body.pose(joints)]
    assert all(np.isfinite(array).all() for skin in skins for array in skin)
    seen = still(body, skins, Camera(distance=9.0))
    assert max(seen.rgba.shape) <= 2401 and seen.rgba[..., 3].any()
