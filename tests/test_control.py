"""Control: joints are where they were asked for, in what the user gets, and what an edit keeps stays as it is."""

import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.constraints import Reach, RootPath, missed, targets_of
from mmm.control import AT, Control
from mmm.motion.skeleton import HUMANML3D
from mmm.sampling import fill
from mmm.transformer import MASK

WRIST = HUMANML3D.joints.index("left_wrist")


@pytest.fixture(scope="module")
def shipped() -> MMM:
    return MMM.from_pretrained("bandai-small")


def distance(motion, targets: torch.Tensor) -> float:
    """Mean distance from the targets, metres."""
    wanted = targets.numpy()
    known = ~np.isnan(wanted)
    apart = np.where(known, motion.joints - wanted, 0.0)
    return float(np.linalg.norm(apart, axis=-1)[known.any(-1)].mean())


def test_joints_of_the_saved_file_are_within_a_centimetre_of_where_they_should_be(shipped, tmp_path):
    asked = {"text": "a person waves with the left hand", "length": 40, "seed": 1}
    constraints = [Reach("left_wrist", 30, (0.35, 1.5, 0.3)), Reach("pelvis", 30, (0.1, 0.9, 0.1))]
    targets = targets_of(constraints, 40)
    held = shipped.generate(**asked, constraints=constraints)
    file = held.save(tmp_path / "wave.npy")
    assert np.array_equal(np.load(file), held.joints) and held.note == ""
    assert distance(held, targets) < 0.01 < 0.1 < distance(shipped.generate(**asked), targets)
    assert np.array_equal(held.features, shipped.generate(**asked, constraints=constraints).features)


def test_the_root_follows_a_path(shipped):
    free = shipped.generate("a person walks forward", 40)
    path = RootPath(free.joints[:, 0, [0, 2]] * [1, 0.9], range(40))
    targets = targets_of([path], 40)
    walk = shipped.generate("a person walks forward", 40, constraints=[path])
    assert distance(walk, targets) < 0.01 < 0.05 < distance(free, targets)


def test_a_text_with_several_actions_is_controlled_too(shipped):
    reach = [Reach("left_wrist", 60, (0.3, 1.2, 0.5))]
    motion = shipped.generate("a person bows, then waves", 80, constraints=reach)
    assert [first for first, _ in motion.segments] != [0] and distance(motion, targets_of(reach, 80)) < 0.01


def test_an_edit_reaches_and_what_it_keeps_stays(shipped):
    source = shipped.generate("a person walks forward", 60, seed=2)
    near = source.joints[30, WRIST] + [0.1, 0.2, 0.1]
    reach = [Reach("left_wrist", 30, near)]
    edited = shipped.inbetween(source, (20, 40), "a person waves", constraints=reach)
    plain = shipped.inbetween(source, (20, 40), "a person waves")
    kept = np.r_[0:19, 40:60]  # the frame before a gap says how it goes on
    assert np.array_equal(edited.features[kept], source.features[kept])
    assert np.abs(edited.joints[kept] - plain.joints[kept]).max() < 1e-5
    assert np.linalg.norm(edited.joints[30, WRIST] - near) < 0.01
    assert np.linalg.norm(plain.joints[30, WRIST] - near) > 0.03
    assert edited.note == ""
    far = [
        Reach("left_wrist", 30, source.joints[30, WRIST] + [0.0, -0.7, 0.9])
    ]  # beyond what the arm reaches from here
    assert "left_wrist@30 is" in shipped.inbetween(source, (28, 34), "a person waves", constraints=far).note
    with pytest.raises(ValueError, match="left_wrist@10 is kept"):
        shipped.inbetween(
            source, (20, 40), "waves", constraints=[Reach("left_wrist", 10, source.joints[10, WRIST])]
        )


def control_of(model: MMM, targets: torch.Tensor) -> Control:
    return Control(model.tokenizer, targets, lambda features: model._motion(features, "").joints)


def test_a_motion_that_is_at_its_targets_stays(shipped):
    tokens = shipped.sample(["a person bows"], [40]).tokens[0]
    plain = shipped.decode(tokens[None], [40])[0]
    targets = torch.full((40, 22, 3), torch.nan, dtype=torch.float64)
    targets[20, WRIST] = torch.from_numpy(plain.joints[20, WRIST]).double()
    settled = control_of(shipped, targets).settle(tokens)
    moved = shipped._motion(settled, "").joints - plain.joints
    assert np.abs(moved).max() < 0.01
    assert not any(parameter.grad is not None for parameter in shipped.tokenizer.parameters())


def test_the_round_that_misses_least_counts_and_impossible_motions_do_not(shipped, monkeypatch):
    tokens = shipped.sample(["a person bows"], [40]).tokens[0]
    targets = torch.full((40, 22, 3), torch.nan, dtype=torch.float64)
    targets[20, WRIST] = 0.0
    control = control_of(shipped, targets)
    misses, results = iter((0.3, 0.1, 0.2)), []

    def shown(features):
        results.append(features)
        return targets.nan_to_num().numpy() + next(misses)

    control.shown = shown
    possible = iter((True, True, True, False))  # the search ends where it leaves what a body does
    monkeypatch.setattr(control, "_possible", lambda features: next(possible))
    assert control.settle(tokens) is results[1]

    monkeypatch.setattr(control, "_possible", lambda features: False)
    with pytest.raises(ValueError, match="comes near the constraints; move them nearer"):
        control.settle(tokens)


def test_steering_tilts_the_codes_towards_the_targets(shipped):
    targets = targets_of([Reach("left_wrist", 20, (0.4, 1.6, 0.2))], 40)
    control = control_of(shipped, targets)
    canvas = torch.full((2, 10), MASK)
    canvas[:, 0] = 3
    logits = torch.randn(18, 512, generator=torch.Generator().manual_seed(0))
    steered = control.steer(canvas, logits)

    def missed(rows: torch.Tensor) -> float:
        books = shipped.tokenizer.codebook
        vectors = [
            torch.cat((book[3:4], part.softmax(1) @ book))
            for book, part in zip(books, rows.split(9), strict=True)
        ]
        with torch.no_grad():
            return float(control._miss(control._joints(control._decode(vectors)), targets, AT).sqrt())

    assert steered.shape == logits.shape and missed(steered) < 0.7 * missed(logits)


def test_the_sampler_offers_every_pass_what_it_predicts(model):
    texts = ["a person walks", "someone bows"]
    canvas, lengths = model.empty_canvas([60, 48])
    canvas[0, :, :5] = 7
    seen = []

    def steer(item, canvas, logits):
        seen.append((item, canvas.shape[1], int((canvas == MASK).sum()), len(logits)))
        return logits

    options = {"text": model.embed(texts), "seeds": [3, 4]}
    steered = fill(model.transformer, canvas, lengths, steer=steer, **options)
    assert torch.equal(steered.tokens, fill(model.transformer, canvas, lengths, **options).tokens)
    assert {(item, width) for item, width, *_ in seen} == {(0, 15), (1, 12)}
    assert all(masked == rows for *_, masked, rows in seen) and max(rows for *_, rows in seen) < 15 * 2


def test_the_sampler_takes_what_the_steering_of_each_item_gives(model):
    canvas, lengths = model.empty_canvas([60, 48])
    options = {"text": model.embed(["a person walks", "someone bows"]), "seeds": [3, 4]}

    def steer(item, canvas, logits):
        return (
            logits if item else torch.where(torch.arange(logits.shape[1]) == 5, 1e4, -1e4).expand_as(logits)
        )

    steered = fill(model.transformer, canvas, lengths, steer=steer, **options).tokens
    plain = fill(model.transformer, canvas, lengths, **options).tokens
    assert (steered[0] == 5).all() and (plain[0] != 5).any()
    assert torch.equal(steered[1, :, :12], plain[1, :, :12])


def test_a_target_that_is_missed_is_named():
    targets = targets_of([Reach("left_wrist", 20, (0.4, 1.5, 0.2)), Reach("head", 3, (0, 1.5, 0))], 40)
    joints = targets.nan_to_num().numpy().astype(np.float32)
    assert missed(targets, joints) == ""
    joints[20, WRIST] += [0, 0.03, 0.04]
    assert missed(targets, joints).startswith("left_wrist@20 is 5 cm from where it should be")
