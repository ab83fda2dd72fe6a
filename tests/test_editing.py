"""Edits: what is kept comes back, gaps are not seen before they are filled, every task is one canvas."""

import dataclasses

import numpy as np
import pytest
import torch
from made_up.tokenizer import SMALL, random_features, random_tokenizer

from mmm.bvh.capture import load_motion
from mmm.editing import edit, encode_kept, fill_windows, next_frame_indices
from mmm.editing_tasks import keep_outside
from mmm.motion import Motion, features_to_joints
from mmm.motion.runs import runs
from mmm.sampling import fill
from mmm.tokenizer import parts
from mmm.transformer import MASK

TO_NEXT = next_frame_indices("humanml3d")


@pytest.fixture
def clip(golden):
    return torch.from_numpy(golden("features_free")["1/features"])  # 139 frames


def run(model, clip, kept, **options):
    text = model.embed(["a person bows"])
    return edit(model.tokenizer, model.transformer, clip, kept, text, **{"seed": 3, **options})


def joints(features):
    return features_to_joints(features.double())


def kept_of(frames, *gaps):
    return keep_outside(frames, gaps)[None]


def only(part, frames):
    """The rows of `kept` of which the body part `part` is regenerated everywhere."""
    return torch.stack([torch.full((frames,), part != row) for row in ("upper", "lower")])


# ---------------------------------------------------------------------- the canvas


@pytest.mark.parametrize(
    ("gaps", "named"),
    [
        ([(90, 120)], "90:120"),
        ([(-5, 20)], "-5:20"),
        ([(40, 40)], "40:40"),
        ([(60, 40)], "60:40"),
        ([(50, 80), (20, 60)], "50:80"),
        ([(0, 50), (50, 100)], "all 100 frames"),
        ([], "no gap"),
    ],
)
def test_gaps_that_make_no_sense_are_refused(gaps, named):
    with pytest.raises(ValueError, match=named):
        keep_outside(100, gaps)


def test_kept_frames_get_the_codes_that_they_have_alone():
    tokenizer = random_tokenizer()
    features = random_features(tokenizer, 98)
    canvas = encode_kept(tokenizer, features, kept_of(98, (30, 50), (72, 80)))
    assert canvas.shape == (1, 1, 25)
    # 0:28 (frames 28 and 29 share their token with the gap), 52:72, 80:98
    assert runs(canvas[0, 0] != MASK) == [(0, 7), (13, 18), (20, 25)]
    assert torch.equal(canvas[0, 0, 20:], tokenizer.encode(features[None, 80:])[0, 0])
    whole = tokenizer.encode(features[None])[0, 0]
    assert (canvas[0, 0, :7] != whole[:7]).any(), "codes of the whole clip would have seen the gap"
    with pytest.raises(ValueError, match="50:54"):
        encode_kept(tokenizer, features, kept_of(98, (20, 50), (54, 80)))


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_in_a_gap_changes_a_code(count):
    tokenizer = random_tokenizer(dataclasses.replace(SMALL, parts=count))
    features = random_features(tokenizer, 98)
    kept = torch.cat([kept_of(98, (28, 52), (72, 80))] * count)
    changed = features.clone()
    changed[~kept[0]] = random_features(tokenizer, int((~kept[0]).sum()), seed=99)
    # the last kept frames' steps lead into the gaps: another first frame of the gap means another step
    for last in (27, 71):
        changed[last, TO_NEXT] += 3.0
    assert torch.equal(encode_kept(tokenizer, features, kept), encode_kept(tokenizer, changed, kept))


def test_one_of_two_parts_can_be_kept_whole():
    tokenizer = random_tokenizer(dataclasses.replace(SMALL, parts=2))
    features = random_features(tokenizer, 60)
    canvas = encode_kept(tokenizer, features, torch.cat([kept_of(60, (20, 40)), torch.ones(1, 60).bool()]))
    assert torch.equal(canvas[0, 1], tokenizer.encode(features[None])[0, 1])
    assert (canvas[0, 0] == MASK).nonzero()[:, 0].tolist() == [5, 6, 7, 8, 9]


# ---------------------------------------------------------------------- edits


@pytest.mark.parametrize("gaps", [[(40, 80)], [(20, 41), (60, 61), (90, 122)], [(100, 139)]])
def test_kept_frames_come_back(model, clip, gaps):
    kept = keep_outside(len(clip), gaps)
    result = run(model, clip, kept[None])
    same = result.features == clip
    assert same[kept][:, [n for n in range(263) if n not in TO_NEXT]].all()
    not_before_gap = kept.clone()
    not_before_gap[[start - 1 for start, _ in gaps]] = False
    assert same[not_before_gap].all()
    distance = (joints(result.features) - joints(clip)).norm(dim=-1)
    assert distance[kept].max() < 1e-4 and distance[~kept].mean() > 0.01  # metres
    assert result.confidence[0][(result.canvas == MASK)[0]].max() < 1


def test_frames_before_the_first_kept_one_are_regenerated(model, clip):
    kept = keep_outside(len(clip), [(0, 40)])
    result = run(model, clip, kept[None])
    assert (result.features == clip)[kept].all()
    # in the world up to where the clip now starts: distances between kept frames stay
    for j in (0, 20):
        new, old = (joints(x)[kept][:, j] for x in (result.features, clip))
        assert torch.allclose((new[-1] - new[0]).norm(), (old[-1] - old[0]).norm(), atol=1e-4)


def test_poses_in_a_gap_do_not_depend_on_what_was_there(model, clip):
    kept = kept_of(len(clip), (40, 80))
    changed = clip.clone()
    changed[40:80] = clip[60:100]
    one, two = (run(model, x, kept) for x in (clip, changed))
    assert torch.equal(one.canvas, two.canvas) and torch.equal(one.tokens, two.tokens)
    pose = slice(3, 67)  # turned to the world and back, so not bit for bit
    assert torch.allclose(one.features[:, pose], two.features[:, pose], atol=1e-6)


def test_same_seed_same_edit(model, clip):
    kept = kept_of(len(clip), (40, 80))
    one, two, other = (run(model, clip, kept, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.features, two.features) and not torch.equal(one.tokens, other.tokens)


def test_a_new_upper_body_leaves_the_lower_body_alone(of_parts, clip):
    result = run(of_parts(), clip, only("upper", len(clip)))
    assert torch.equal(result.features[:, parts.LOWER], clip[:, parts.LOWER])
    distance = (joints(result.features) - joints(clip)).norm(dim=-1)
    assert distance[:, list(parts.LOWER_JOINTS)].max() == 0 and distance[:, 20].mean() > 0.05
    assert (result.canvas[0] == MASK).all() and torch.equal(result.canvas[1], result.tokens[1])


def test_some_frames_get_a_new_upper_body(of_parts, clip):
    kept = torch.cat([kept_of(len(clip), (40, 80)), torch.ones(1, len(clip)).bool()])
    result = run(of_parts(), clip, kept)
    assert torch.equal(result.features[:, parts.LOWER], clip[:, parts.LOWER])
    assert torch.equal(result.features[80:], clip[80:]) and torch.equal(result.features[:39], clip[:39])


def test_new_legs_carry_the_old_upper_body(of_parts, clip):
    result = run(of_parts(), clip, only("lower", len(clip)))
    upper = [j - 1 for j in range(1, 22) if j not in parts.LOWER_JOINTS]
    new, old = (x[:, 4:67].unflatten(1, (21, 3))[:, upper] for x in (result.features, clip))
    assert torch.allclose(new[..., [0, 2]], old[..., [0, 2]], atol=1e-5)
    above_root = new[..., 1] - result.features[:, 3:4], old[..., 1] - clip[:, 3:4]
    assert torch.allclose(*above_root, atol=1e-5)
    assert (result.features[:, 3] - clip[:, 3]).abs().mean() > 1e-3


def test_a_canvas_wider_than_the_model_is_filled_window_by_window(model, monkeypatch):
    width = model.transformer.config.max_tokens
    canvas = torch.randint(128, (1, 1, 4 * width), generator=torch.Generator().manual_seed(0))
    for start, stop in ((10, 20), (60, 150), (190, 4 * width)):
        canvas[:, :, start:stop] = MASK
    windows = []

    def spy(transformer, window, size, text, **options):
        windows.append(window.clone())
        return fill(model.transformer, window, size, text, **options)

    monkeypatch.setattr("mmm.editing.fill", spy)
    tokens, confidence = fill_windows(model.transformer, canvas, model.embed(["a person bows"]), seed=1)
    given = canvas != MASK
    assert torch.equal(tokens[given], canvas[given]) and (tokens >= 0).all()
    assert (confidence[given] == 1).all() and (confidence[~given] < 1).all()
    assert all(window.shape[2] <= width for window in windows)
    # every window shows at least ten tokens before the first position that it fills
    assert all(int((window[0, 0] == MASK).nonzero()[0]) >= 10 for window in windows)
    assert (windows[0] == MASK).sum() == 10, "the next gap does not fit whole, so later windows fill it"


def test_a_canvas_that_fits_is_filled_at_once(model):
    canvas, text = torch.full((1, 1, 30), MASK), model.embed(["a person bows"])
    tokens, _ = fill_windows(model.transformer, canvas, text, seed=4)
    assert torch.equal(tokens, fill(model.transformer, canvas, torch.tensor([30]), text, seeds=[4]).tokens)
    assert fill_windows(model.transformer, canvas, text, argmax=True)[0].shape == tokens.shape


# ---------------------------------------------------------------------- the methods of MMM


@pytest.fixture
def motion(golden):
    return Motion(golden("features_free")["1/features"], text="made up")  # 139 frames


def test_inbetween_and_its_gaps_in_any_kind_of_sequence(model, motion):
    once = model.inbetween(motion, (40, 80), "a person bows")
    assert once.features.shape == motion.features.shape and once.text == "a person bows"
    assert np.abs(once.joints - motion.joints)[80:].max() < 1e-3
    for frames in (np.array([40, 80]), [[40, 80]], np.array([(40, 80)])):
        assert np.array_equal(model.inbetween(motion, frames, "a person bows").features, once.features)
    several = model.inbetween(motion, [(20, 40), (60, 90)], seed=1)
    assert several.text == "made up"
    assert np.array_equal(several.features[40:59], motion.features[40:59])


def test_each_gap_has_its_own_text(of_parts, motion):
    model = of_parts()  # the few steps of `model` have not taught it to read
    gaps, texts = [(80, 112), (20, 40)], ["a person waves", "a person bows"]  # not in the order of time
    both = model.edit(motion, gaps, text=texts, seed=3)
    first = model.edit(motion, (20, 40), text="a person bows", seed=3)
    only_bows, only_waves = (model.edit(motion, gaps, text=text, seed=3) for text in texts[::-1])
    assert torch.equal(both.tokens[:, 5:10], only_bows.tokens[:, 5:10]), "the first gap sees no other text"
    assert not torch.equal(both.tokens[:, 5:10], first.tokens[:, 5:10]), "nor what the second gap held"
    assert not torch.equal(both.tokens[:, 20:28], only_bows.tokens[:, 20:28])
    assert not torch.equal(both.tokens[:, 20:28], only_waves.tokens[:, 20:28])
    assert torch.equal(both.tokens[:, :5], both.canvas[:, :5]) and not (both.tokens == MASK).any()
    result = model.inbetween(motion, gaps, texts, seed=3)
    assert np.array_equal(result.features, both.features.numpy())
    assert result.text == "a person bows, then a person waves"
    one = model.inbetween(motion, gaps, ["a person bows"], seed=3)
    assert np.array_equal(one.features, only_bows.features.numpy())


def test_what_load_motion_returns_is_edited(of_parts, motion, tmp_path):
    np.save(tmp_path / "a.npy", motion.features)
    captured, model = load_motion(tmp_path / "a.npy"), of_parts()
    for call in (
        lambda x: model.inbetween(x, (40, 80)),
        lambda x: model.outpaint(x, 160.0),
        lambda x: model.edit_upper_body(x, "waves"),
        lambda x: model.edit_lower_body(x, "walks"),
    ):
        assert np.array_equal(call(captured).features, call(captured.motion).features)


def test_a_motion_longer_than_the_canvas_is_edited(model, clip):
    long = Motion(torch.cat([clip] * 4))  # 556 frames
    result = model.inbetween(long, (100, 400), "a person bows")
    distance = np.linalg.norm(result.joints - long.joints, axis=-1)
    assert distance[:100].max() < 1e-3 and distance[400:].max() < 1e-3
    assert np.isfinite(result.features).all() and result.joints.shape == (556, 22, 3)


def test_without_a_text_only_the_kept_frames_decide(of_parts, motion):
    model = of_parts()  # the few steps of `model` have not taught it to read
    without, with_text = (model.edit(motion, (40, 80), text=text, seed=1) for text in (None, "a person bows"))
    assert not np.array_equal(without.tokens, with_text.tokens)
    unguided = model.edit(motion, (40, 80), text="a person bows", guidance=0.0, seed=1)
    assert np.array_equal(without.tokens, unguided.tokens), "no text is guidance 0, whatever the text"


@pytest.mark.parametrize(("side", "start"), [("after", 0), ("before", 41), ("both", 20)])
def test_outpaint(model, motion, side, start):
    result = model.outpaint(motion, 180, "a person walks", side=side)
    assert len(result.features) == 180
    assert np.array_equal(result.features[start : start + 138], motion.features[:138])


def test_upper_and_lower_body(of_parts, motion):
    model = of_parts()
    text = "waves with the left hand"
    upper = model.edit_upper_body(motion, text, seed=2)
    assert np.array_equal(upper.joints[:, [0, 4, 5, 10, 11]], motion.joints[:, [0, 4, 5, 10, 11]])
    assert np.abs(upper.joints - motion.joints)[:, 20].max() > 0.05
    assert np.array_equal(upper.features, model.edit_upper_body(motion, text, (0, 139), 2).features)
    legs = model.edit_lower_body(motion, "a person jumps", frames=(40, 90))
    assert np.abs(legs.features[:39] - motion.features[:39]).max() == 0
    assert np.abs(legs.features - motion.features)[45:85, :4].max() > 0.01
    assert of_parts(1).edit_upper_body(motion, "waves").features.shape == (139, 263)
    with pytest.raises(ValueError):  # it predicts only the upper body
        of_parts(1).edit_lower_body(motion, "jumps")


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m, x: m.edit_upper_body(x, "waves"), "upper body"),
        (lambda m, x: m.edit_lower_body(x, "waves"), "lower body"),
        (lambda m, x: m.edit(x, (40, 80), part="head"), "'head'"),
        (lambda m, x: m.edit(x, text="waves"), "no gap"),
        (lambda m, x: m.inbetween(x, (40, 80), " "), "' '"),
        (lambda m, x: m.inbetween(x, [(20, 40), (60, 80)], ["bows"] * 3), "3 texts and 2 gaps"),
        (lambda m, x: m.outpaint(x, 180, ["walks", "bows"]), "2 texts and 0 gaps"),
        (lambda m, x: m.outpaint(x, "180"), "length is '180'"),
        (lambda m, x: m.inbetween(x.features, (40, 80)), "motion is ndarray"),
        (lambda m, x: m.inbetween(x, (100, 150)), "100:150"),
        (lambda m, x: m.inbetween(Motion(x.features, fps=30), (40, 80)), "30 frames per second"),
        (lambda m, x: m.inbetween(x, (40, 80), blend=1), "blend is 1"),
        (lambda m, x: m.outpaint(x, 100), "length is 100"),
        (lambda m, x: m.outpaint(x, 180, side="left"), "'left'"),
        (lambda m, x: m.edit(x, (40, 80), after=40, text="waves"), "without gaps"),
        (lambda m, x: m.edit(x, after=-4, text="waves"), "-4 after"),
        *((lambda m, x, gap=gap: m.inbetween(x, gap), "frames is")
          for gap in (40, (40,), (40, 80, 90), (40.0, 80.0), [(40, 80), (90,)], slice(40, 80))),
    ],
)  # fmt: skip
def test_edits_that_make_no_sense_are_refused(model, motion, call, named):
    with pytest.raises(ValueError, match=named):
        call(model, motion)


def test_a_body_part_is_not_outpainted(of_parts, motion):
    with pytest.raises(ValueError, match="whole body"):
        of_parts().edit(motion, part="upper", after=40, text="waves")
