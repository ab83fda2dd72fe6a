"""The loss on recovered joints: each term against numpy, padding, and gradients."""

import numpy as np
import pytest
import torch

from mmm.datasets.synthetic import make_clip
from mmm.motion import features_to_joints
from mmm.motion.skeleton import get_skeleton
from mmm.tokenizer.train import TERMS, geometry_loss

WEIGHTS = (0.5, 0.5, 0.25, 0.25)


@pytest.fixture(scope="module")
def motion():
    """Three seconds of somebody who runs on planted feet."""
    return torch.from_numpy(make_clip(0).features[:60])[None]


def smooth_l1(x):
    return np.where(np.abs(x) < 1, 0.5 * x**2, np.abs(x) - 0.5).mean()


@pytest.mark.parametrize("skeleton", ["humanml3d", "kit"])
def test_terms_are_those_of_numpy_in_metres_and_seconds(skeleton):
    skeleton = get_skeleton(skeleton)
    unit, rng = (1.0 if skeleton.unit == "m" else 1000.0), np.random.default_rng(0)
    scale = np.full(skeleton.num_features, 0.02 * unit)  # near the floor, some feet slow enough to stand
    scale[:1] = 0.02
    true, predicted = (torch.tensor(rng.standard_normal((2, 30, len(scale))) * scale) for _ in range(2))
    joints = [features_to_joints(x, skeleton).numpy() / unit for x in (predicted, true)]
    speed = [np.diff(x, axis=1) * skeleton.fps for x in joints]
    change = (np.diff(speed[0], axis=1) - np.diff(speed[1], axis=1)) * skeleton.fps
    feet = [joint for side in skeleton.feet for joint in side]
    ground = [np.linalg.norm(x[:, :, feet][..., [0, 2]], axis=-1) for x in speed]
    low = joints[1][:, :, feet, 1] < 0.05
    stand = low[:, 1:] & low[:, :-1] & (ground[1] < 0.5)
    assert stand.any() and not stand.all()
    expected = {
        "position": smooth_l1((joints[0] - joints[1]) / 0.1),
        "speed": smooth_l1((speed[0] - speed[1]) / 0.5),
        "acceleration": np.abs(change / 5).mean(),
        "feet": (ground[0] / 0.5)[stand].mean(),
    }
    loss, terms = geometry_loss(predicted, true, None, WEIGHTS, skeleton)
    assert tuple(expected) == TERMS
    for index, (name, value) in enumerate(expected.items()):
        assert float(terms[name]) == pytest.approx(value, rel=1e-4), name
        only = tuple(float(index == other) for other in range(4))
        one, _ = geometry_loss(predicted, true, None, only, skeleton)
        assert float(one) == pytest.approx(value, rel=1e-4)
    weighted = sum(weight * value for weight, value in zip(WEIGHTS, expected.values(), strict=True))
    assert float(loss) == pytest.approx(weighted, rel=1e-4)


def test_a_motion_differs_from_itself_only_in_how_its_feet_stand(motion):
    _, terms = geometry_loss(motion, motion, None, WEIGHTS)
    assert terms["position"] == terms["speed"] == terms["acceleration"] == 0
    assert 0 < terms["feet"] < 1  # feet that stand are slower than 0.5 m/s, not still


def test_a_root_that_glides_is_seen_at_the_feet_though_the_pose_is_right(motion):
    """2 cm a frame too far forward, 0.4 m/s: features 4:67 are equal, and the path runs away."""
    predicted = motion.clone()
    predicted[..., 2] += 0.02
    before, after = (geometry_loss(x, motion, None, WEIGHTS)[1] for x in (motion, predicted))
    assert after["feet"] > before["feet"] + 0.4 and after["position"] > 1
    assert after["speed"] == pytest.approx(0.5 * 0.8**2 / 3, rel=0.05)  # 0.4 m/s in one of three directions


def test_padding_counts_in_no_term_and_gets_no_gradient(motion):
    true, mask = motion.repeat(2, 1, 1), torch.arange(60) < torch.tensor([[60], [33]])
    predicted = (true + 0.01).requires_grad_()
    loss, terms = geometry_loss(predicted, true, mask, WEIGHTS)
    loss.backward()
    grad = predicted.grad
    assert grad.isfinite().all() and not grad[1, 33:].any() and grad[1, :32].any()
    changed = torch.where(mask[..., None], predicted.detach(), predicted.detach() + 7)
    _, other = geometry_loss(changed, true, mask, WEIGHTS)
    assert all(float(other[name]) == pytest.approx(float(terms[name]), rel=1e-6) for name in terms)


def test_gradients_are_finite_where_a_foot_does_not_move_at_all():
    still = torch.zeros(1, 8, 263)
    predicted = still.clone().requires_grad_()
    geometry_loss(predicted, still, None, WEIGHTS)[0].backward()
    assert predicted.grad.isfinite().all()
