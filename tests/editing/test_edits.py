import numpy as np
import pytest
import torch

from mmm.editing import edit, fill_windows, keep_outside, step_numbers
from mmm.motion import Motion, features_to_joints
from mmm.sampling import fill
from mmm.tokenizer import parts
from mmm.transformer import MASK


@pytest.fixture
def clip(golden):
    return torch.from_numpy(golden("features_free")["1/features"])  # 139 frames


def text_of(model):
    return model.embed(["a person bows"])


def run(model, clip, kept, **options):
    return edit(model.tokenizer, model.transformer, clip, kept, text_of(model), **{"seed": 3, **options})


def joints(features):
    return features_to_joints(features.double())


@pytest.mark.parametrize("gaps", [[(40, 80)], [(20, 41), (60, 61), (90, 122)], [(100, 139)]])
def test_kept_frames_come_back(model, clip, gaps):
    kept = keep_outside(len(clip), gaps)
    made = run(model, clip, kept[None])
    same = made.features == clip
    into_gap = torch.tensor([start - 1 for start, stop in gaps])
    steps = step_numbers("humanml3d")
    pose = [n for n in range(263) if n not in steps]
    assert same[kept][:, pose].all()
    rest = kept.clone()
    rest[into_gap] = False
    assert same[rest].all()
    away = (joints(made.features) - joints(clip)).norm(dim=-1)
    assert away[kept].max() < 1e-4  # metres
    assert away[~kept].mean() > 0.01, "and the gap is another one"
    assert made.confidence[0][(made.canvas == MASK)[0]].max() < 1


def test_frames_in_front_are_made_too_and_the_rest_follows(model, clip):
    kept = keep_outside(len(clip), [(0, 40)])
    made = run(model, clip, kept[None])
    assert (made.features == clip)[kept].all()
    # in the world up to where the clip now begins: distances between kept frames stay
    for j in (0, 20):
        new, old = (joints(x)[kept][:, j] for x in (made.features, clip))
        assert torch.allclose((new[-1] - new[0]).norm(), (old[-1] - old[0]).norm(), atol=1e-4)


def test_the_poses_in_a_gap_do_not_know_what_was_there(model, clip):
    kept = keep_outside(len(clip), [(40, 80)])
    changed = clip.clone()
    changed[40:80] = clip[60:100]
    one, two = (run(model, x, kept[None]) for x in (clip, changed))
    assert torch.equal(one.canvas, two.canvas) and torch.equal(one.tokens, two.tokens)
    pose = slice(3, 67)
    assert torch.allclose(
        one.features[:, pose], two.features[:, pose], atol=1e-6
    )  # turned to the world and back


def test_same_seed_same_edit(model, clip):
    kept = keep_outside(len(clip), [(40, 80)])[None]
    one, two, other = (run(model, clip, kept, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.features, two.features) and not torch.equal(one.tokens, other.tokens)


def test_a_new_upper_body_leaves_the_lower_one_alone(of_parts, clip):
    kept = torch.stack([torch.zeros(len(clip)).bool(), torch.ones(len(clip)).bool()])
    made = run(of_parts(), clip, kept)
    assert torch.equal(made.features[:, parts.LOWER], clip[:, parts.LOWER])
    away = (joints(made.features) - joints(clip)).norm(dim=-1)
    assert away[:, list(parts.LOWER_JOINTS)].max() == 0 and away[:, 20].mean() > 0.05
    assert (made.canvas[0] == MASK).all() and torch.equal(made.canvas[1], made.tokens[1])


def test_part_of_the_clip_gets_a_new_upper_body(of_parts, clip):
    kept = torch.stack([keep_outside(len(clip), [(40, 80)]), torch.ones(len(clip)).bool()])
    made = run(of_parts(), clip, kept)
    assert torch.equal(made.features[:, parts.LOWER], clip[:, parts.LOWER])
    assert torch.equal(made.features[80:], clip[80:]) and torch.equal(made.features[:39], clip[:39])


def test_new_legs_carry_the_old_upper_body(of_parts, clip):
    kept = torch.stack([torch.ones(len(clip)).bool(), torch.zeros(len(clip)).bool()])
    made = run(of_parts(), clip, kept)
    local = made.features[:, 4:67].unflatten(1, (21, 3)), clip[:, 4:67].unflatten(1, (21, 3))
    upper = [j - 1 for j in range(1, 22) if j not in parts.LOWER_JOINTS]
    new, old = (x[:, upper] for x in local)
    assert torch.allclose(new[..., [0, 2]], old[..., [0, 2]], atol=1e-5)
    above = new[..., 1] - made.features[:, 3:4], old[..., 1] - clip[:, 3:4]
    assert torch.allclose(*above, atol=1e-5)
    assert (made.features[:, 3] - clip[:, 3]).abs().mean() > 1e-3


def test_a_canvas_wider_than_the_model_is_filled_window_by_window(model):
    width = model.transformer.config.max_tokens
    canvas = torch.randint(128, (1, 1, 4 * width), generator=torch.Generator().manual_seed(0))
    canvas[:, :, 10:20] = MASK
    canvas[:, :, 60:150] = MASK
    canvas[:, :, 190:] = MASK
    shown = []

    def spy(transformer, piece, size, text, **options):
        shown.append(piece.clone())
        return fill(model.transformer, piece, size, text, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmm.editing.fill", spy)
        tokens, confidence = fill_windows(model.transformer, canvas, text_of(model), seed=1)
    given = canvas != MASK
    assert torch.equal(tokens[given], canvas[given]) and (tokens >= 0).all()
    assert (confidence[given] == 1).all() and (confidence[~given] < 1).all()
    assert all(piece.shape[2] <= width for piece in shown)
    # every window shows something that is settled before the first place it is to fill
    assert all(int((piece[0, 0] == MASK).nonzero()[0]) >= 10 for piece in shown)
    first = shown[0][0, 0]
    assert (first == MASK).sum() == 10, "the next gap, which does not fit whole, is left to later windows"


def test_a_canvas_that_fits_is_filled_as_ever(model):
    canvas = torch.full((1, 1, 30), MASK)
    text = text_of(model)
    tokens, _ = fill_windows(model.transformer, canvas, text, seed=4)
    assert torch.equal(tokens, fill(model.transformer, canvas, torch.tensor([30]), text, seeds=[4]).tokens)
    assert fill_windows(model.transformer, canvas, text, argmax=True)[0].shape == tokens.shape


def test_a_motion_longer_than_the_canvas_is_edited(model, clip):
    long = torch.cat([clip] * 4)  # 556 frames
    kept = keep_outside(len(long), [(100, 400)])
    made = run(model, long, kept[None])
    away = (joints(made.features) - joints(long)).norm(dim=-1)
    assert away[kept].max() < 1e-4
    assert np.isfinite(made.features.numpy()).all()
    assert Motion(made.features).joints.shape == (556, 22, 3)
