"""Film strips: the camera, the body's sides and colours, which poses are shown, and the PNG."""

import io

import IPython.display
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from mmm.motion import HUMANML3D, Motion
from mmm.viz.camera import Camera, best_yaw, facing, key_frames
from mmm.viz.strip import _view, film_strip, film_strips, lay_out


def standing() -> np.ndarray:
    """Joints (22, 3) of somebody who stands, faces +z and lets the arms hang."""
    joints = np.zeros((22, 3))
    for chain in HUMANML3D.chains:
        for parent, child in zip(chain, chain[1:], strict=False):
            joints[child] = joints[parent] + HUMANML3D.target_offsets[child]
    return joints - [0, joints[:, 1].min(), 0]


def moving(places: np.ndarray) -> np.ndarray:
    """Joints (T, 22, 3) of somebody stiff whose root is at `places` (T, 2), x and z, always facing +z."""
    return standing() + np.insert(places, 1, 0, -1)[:, None]


def waving(frames: int = 60, joint: int = 20) -> np.ndarray:
    """Joints of somebody in place who swings the left wrist (20) or the right (21) over the head."""
    joints = np.repeat(standing()[None], frames, 0)
    swing = 0.4 * np.sin(np.arange(frames) / 3)
    joints[:, joint, 1] += 1.0
    joints[:, joint, 0] += swing
    joints[:, joint - 2, 1] += 0.4
    return joints


def bluish(picture: np.ndarray) -> np.ndarray:
    """Where a picture (…, 3) has the colour of left limbs, lit or not."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (blue - red > 60) & (blue > green)


def orange(picture: np.ndarray) -> np.ndarray:
    """Where it has that of right limbs."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red - blue > 60) & (red > green)


def test_camera_axes_are_right_handed_and_look_at_the_target():
    for yaw, pitch in ((0.0, 0.0), (0.7, 0.3), (-2.0, 1.2)):
        camera = Camera((1.0, 2.0, 3.0), yaw, pitch, 5.0)
        right, up, towards = camera.axes
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(np.cross(right, up), towards, atol=1e-12)
        np.testing.assert_allclose(camera.project(np.array([1.0, 2.0, 3.0])), [0, 0, 5], atol=1e-12)
        assert up[1] > 0
    # yaw 0 stands in front of who faces +z: their left is on the right of the picture
    seen = Camera((0.0, 1.0, 0.0), 0.0, 0.0, 10.0).project(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 5.0]]))
    np.testing.assert_allclose(seen, [[1, 0, 10], [2, 0, 5]])  # twice as near, twice as large


def test_facing_turns_with_the_body():
    joints = standing()
    np.testing.assert_allclose(facing(joints, HUMANML3D), [0, 0, 1], atol=1e-6)
    turned = joints @ np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]])  # z → x
    np.testing.assert_allclose(facing(turned, HUMANML3D), [1, 0, 0], atol=1e-6)
    bent = joints.copy()
    for joint in (16, 17):  # shoulders fall forward to the height of the hips: a deep bow
        bent[joint] = [joints[joint, 0], joints[1, 1], 0.5]
    np.testing.assert_allclose(facing(bent, HUMANML3D), [0, 0, 1], atol=1e-6)


def test_key_frames_do_not_fall_in_step_with_the_motion():
    joints = np.repeat(standing()[None], 121, 0)
    joints[:, 20, 0] += 0.5 * np.sin(np.arange(121) * 2 * np.pi / 20)  # one swing per even spacing of 7 poses
    frames = key_frames(joints, 7)
    assert len(frames) == 7 and frames[0] == 0 and frames[-1] == 120 and (np.diff(frames) > 0).all()
    assert np.ptp(joints[np.arange(0, 121, 20), 20, 0]) < 1e-6  # even times see no wave at all
    assert np.ptp(joints[frames, 20, 0]) > 0.9
    np.testing.assert_array_equal(key_frames(joints[:3], 7), [0, 1, 2])
    np.testing.assert_array_equal(key_frames(joints, 1), [0])


def test_the_view_shows_the_face_and_the_waving_hand():
    for joint, side in ((20, 1), (21, -1)):
        yaw = best_yaw(waving(joint=joint), HUMANML3D)
        assert np.radians(20) < side * yaw < np.radians(65)


def walking(frames: int = 80) -> np.ndarray:
    """Joints of somebody who walks 4 m ahead and swings legs and arms."""
    joints = moving(np.linspace([0, 0], [0, 4], frames))
    swing = 0.3 * np.sin(np.arange(frames) / 4)
    for left, right, size in ((4, 5, 0.4), (7, 8, 1.0), (10, 11, 1.0), (20, 21, -0.7)):
        joints[:, left, 2] += size * swing
        joints[:, right, 2] -= size * swing
    return joints


@pytest.mark.parametrize(("joint", "side"), [(20, 1), (21, -1)])
def test_who_waves_while_walking_is_seen_from_the_side_that_waves(joint, side):
    joints = walking()
    joints[:, [joint, joint - 2]] = standing()[[joint, joint - 2]] + joints[:, :1] * [1, 0, 1]
    joints[:, joint] += np.stack([0.15 * np.sin(np.arange(80) / 3), np.full(80, 1.0), np.zeros(80)], 1)
    joints[:, joint - 2, 1] += 0.4
    assert np.radians(20) < side * best_yaw(joints, HUMANML3D) < np.radians(65)


def test_a_walk_is_seen_from_between_front_and_side():
    assert np.radians(20) < abs(best_yaw(walking(), HUMANML3D)) < np.radians(65)


def test_poses_on_a_straight_path_stand_at_their_positions():
    joints = moving(np.linspace([0, 0], [0, 8], 100))
    strip = lay_out(joints, 20.0, HUMANML3D, 7)
    assert strip.map is None and len(strip.path) == 1
    x = [label[0] for label in strip.labels]
    assert x == sorted(x)  # time runs from left to right
    assert strip.labels[0][2] == "0.0 s" and strip.labels[-1][2] == "5.0 s"


def test_poses_in_place_are_spread_side_by_side():
    joints = waving()
    strip = lay_out(joints, 20.0, HUMANML3D, 6)
    assert strip.map is None
    spans = sorted(strip.reach.tolist())
    assert len(spans) == 6 and all(
        right < left for (_, right), (left, _) in zip(spans, spans[1:], strict=False)
    )
    solid = (strip.figures.rgba[: len(strip.figures.rgba) // 2, :, 3] > 250).any(
        0
    )  # columns with a head or an arm
    assert (np.diff(solid.astype(int)) == 1).sum() == 6


def test_a_walk_in_a_circle_gets_a_map_of_its_path():
    turn = np.linspace(0, 2 * np.pi, 80)
    strip = lay_out(moving(np.stack([np.sin(turn), np.cos(turn)], -1)), 20.0, HUMANML3D, 7)
    np.testing.assert_allclose(np.ptp(strip.map.path, axis=0), 2, atol=0.05)
    assert len(strip.map.poses) == 7


def test_film_strip_png_is_small_and_shows_both_sides(tmp_path):
    motion = Motion.from_joints(waving(), text="someone waves")
    figure = film_strip(motion, tmp_path / "wave.png", poses=5)
    assert (tmp_path / "wave.png").stat().st_size < 120_000
    picture = np.asarray(Image.open(tmp_path / "wave.png").convert("RGB")).astype(int)
    assert bluish(picture).sum() > 1000 and orange(picture).sum() > 1000
    words = [text.get_text() for text in figure.findobj(plt.Text)]
    assert {"someone waves", "0.0 s", "left limbs", "right limbs"} <= set(words)
    assert sum(word.endswith(" s") for word in words) == 5
    assert plt.get_fignums() == []  # nothing is left open in pyplot


def test_one_frame_without_title_in_axes_of_the_caller():
    figure, (upper, lower) = plt.subplots(2)
    assert film_strip(Motion.from_joints(waving(1), text="secret"), title="", ax=upper) is figure
    words = [text.get_text() for text in figure.findobj(plt.Text)]
    assert "secret" not in words and words.count("0.0 s") == 1
    assert upper.collections and not lower.collections
    plt.close(figure)


def test_film_strips_stack_with_their_texts(tmp_path):
    walk = Motion.from_joints(moving(np.linspace([0, 0], [0, 3], 50)), text="walks")
    figure = film_strips([walk, waving()], tmp_path / "two.png", titles=[None, "waves"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["walks", "waves"]
    upper, lower = (ax.get_position() for ax in figure.axes)
    assert upper.y0 > lower.y1
    for motions, titles in (([walk, walk], ["a"]), ([], None)):
        with pytest.raises(ValueError):
            film_strips(motions, titles=titles)


def test_strips_that_are_compared_share_their_moments_and_their_camera():
    walk, back = (moving(np.linspace([0, 0], [0, way], 60)) for way in (3, -3))
    figure = film_strips([walk, back[:31], walk], titles=["a", "b", "c"], poses=5, compare=True)
    times = [[text.get_text() for text in ax.texts if text.get_text().endswith(" s")] for ax in figure.axes]
    assert times[0] == times[2] and len(times[0]) == 5
    assert times[1] == [time for time in times[0] if float(time[:-2]) <= 1.5]
    view = _view([walk, back], 5, None, None)
    assert view.yaw == best_yaw(walk, HUMANML3D)
    np.testing.assert_array_equal(lay_out(back, 20.0, HUMANML3D, 5, view).frames, view.frames)


def test_maps_of_strips_that_are_compared_have_one_scale():
    turn = np.linspace(0, 2 * np.pi, 80)
    circle = np.stack([1 - np.cos(turn), np.sin(turn)], -1)
    for compare, ratio in ((True, 2), (False, 1)):
        figure = film_strips([moving(2 * circle), moving(circle)], titles=["a", "b"], compare=compare)
        wide, small = (next(x for line in ax.lines if len(x := line.get_xdata()) == 80) for ax in figure.axes)
        np.testing.assert_allclose(np.ptp(wide) / np.ptp(small), ratio, rtol=1e-6)


def test_generated_frames_are_shaded():
    walk = moving(np.linspace([0, 0], [0, 6], 80))
    middle = (np.arange(80) >= 20) & (np.arange(80) < 60)
    figure = film_strips([walk, walk, walk], titles=["a", "b", "c"], generated=[None, middle, ~middle])
    bands = [[patch for patch in ax.patches if isinstance(patch, Rectangle)] for ax in figure.axes]
    assert [len(some) for some in bands] == [0, 1, 2]
    poses = sorted(float(text.get_position()[0]) for text in figure.axes[1].texts)
    left, right = bands[1][0].get_x(), bands[1][0].get_x() + bands[1][0].get_width()
    assert poses[0] < left < poses[len(poses) // 2] < right < poses[-1]
    assert "generated" in [text.get_text() for text in figure.findobj(plt.Text)]
    with pytest.raises(ValueError, match="1 entries of generated for 2 motions"):
        film_strips([walk, walk], generated=[middle])


def test_a_notebook_gets_a_png(monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    film_strip(waving())._ipython_display_()
    assert Image.open(io.BytesIO(shown[0].data)).format == "PNG"


@pytest.mark.parametrize(
    ("joints", "options"),
    [
        (np.zeros((5, 21, 3)), {}),
        (np.full((5, 22, 3), np.nan), {}),
        (waving(), {"poses": 0}),
        (waving(), {"fps": 0}),
        (waving(), {"path": "strip.jpg"}),
    ],
)
def test_unusable_input_is_refused_without_a_file(tmp_path, joints, options):
    options = {"path": "strip.png"} | options
    with pytest.raises(ValueError):
        film_strip(joints, tmp_path / options.pop("path"), **options)
    assert not list(tmp_path.iterdir())


def test_the_view_turns_with_the_motion():
    about = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]])  # a quarter turn, z → x
    joints = waving()
    assert best_yaw(joints @ about, HUMANML3D) - best_yaw(joints, HUMANML3D) == pytest.approx(np.pi / 2)
    still = np.repeat(standing()[None], 40, 0)
    after = np.concatenate([still, joints @ about @ about])  # waits, faces the other way, waves
    towards = Camera(yaw=best_yaw(after, HUMANML3D), pitch=0.0).axes[2]
    assert facing(after[-1], HUMANML3D) @ towards > 0.4


def test_a_title_may_hold_any_text(tmp_path, recwarn):
    for text in ("a person walks $5 and $6", "$\\bad{$ waves", "一个人", "walks\u2029and waves"):
        film_strip(standing()[None].repeat(4, 0), tmp_path / "a.png", title=text)
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
