"""Which clips are taken, against whom a text is to find its motion, and FIDs that can be compared."""

import numpy as np
import pytest
import torch

from mmm.evaluation import metrics
from mmm.evaluation.pools import right_answers
from mmm.lab.edits.clips import HeldOut
from mmm.lab.edits.judge import fid, fid_halves, fids_less, found_among


def test_fewer_clips_are_some_of_the_same_with_the_same_captions(toy):
    held = HeldOut.open(toy, "train", seed=3)
    usable = held.packed.lengths >= 40
    some, more = held.choose(usable, 3), held.choose(usable, 6)
    assert set(some) < set(more) <= set(held.choose(usable)) == set(np.flatnonzero(usable))
    assert some == sorted(some) and len(some) == 3
    assert [c.text for c in held.captions] == [c.text for c in HeldOut.open(toy, "train", seed=3).captions]
    assert held.choose(usable, 6) != HeldOut.open(toy, "train", seed=4).choose(usable, 6)
    with pytest.raises(ValueError, match="clips is 0; give 1 or more"):
        held.choose(usable, 0)
    with pytest.raises(ValueError, match="none of the .* clips of this split"):
        held.choose(np.zeros(len(held), bool))


def test_distractors_are_wrong_and_do_not_depend_on_what_else_is_asked(toy_judge):
    held = toy_judge.held
    texts = [caption.text for caption in held.captions]
    every = held.distractors(texts, held.shown, range(len(held)), pool=5)
    right = right_answers(texts, held.shown)
    assert not right[np.arange(len(held))[:, None], every.numpy()].any()
    alone = held.distractors(texts[4:5], held.shown[4:5], [4], pool=5)
    assert torch.equal(alone[0], every[4])
    with pytest.raises(ValueError, match="but a pool needs 99"):
        held.distractors(texts, held.shown, range(len(held)), pool=100)


def test_found_among_is_r_precision_motion_by_motion():
    random = torch.Generator().manual_seed(0)
    text, motion = torch.randn(40, 4, generator=random), torch.randn(40, 4, generator=random)
    motion[7] = motion[9]  # a tie
    wrong = torch.stack([(i + torch.arange(1, 8)) % 40 for i in range(40)])
    expected = metrics.r_precision(text, motion, 3, 8, wrong)
    for k in (1, 3):
        found = found_among(text, motion, motion, wrong, k)
        assert found.mean() == pytest.approx(expected[k - 1])
    assert found_among(text, text, motion, wrong).tolist() == [1.0] * 40, "who stands on the text is found"
    same = torch.zeros(40, 4)
    assert found_among(text, same, same, wrong) == pytest.approx(np.full(40, 1 / 8)), "all the same is chance"


def test_fid_of_halves_has_a_floor_and_orders_damage():
    random = torch.Generator().manual_seed(0)
    real = torch.randn(60, 3, generator=random)
    noise = torch.randn(60, 3, generator=random)
    floor, little, much = (
        fid_halves(real, real + scale * noise + scale, torch.Generator().manual_seed(1))
        for scale in (0, 0.5, 2)
    )
    assert 0 < floor < little < much
    assert fid(real, real) == pytest.approx(0, abs=1e-9)
    assert np.isnan(fid(real[:7], real)), "of fewer than 8 nothing is said"


def test_a_difference_of_fids_has_an_interval_that_holds_it(monkeypatch):
    monkeypatch.setattr("mmm.lab.edits.judge.RESAMPLES", 50)
    random = torch.Generator().manual_seed(0)
    real = torch.randn(60, 3, generator=random)
    near, far = real + 0.1, real + 1.0
    made, pairs = {"near": near, "far": far}, [("near", "far"), ("far", "near")]
    for same in (True, False):
        found = fids_less(real, made, pairs, torch.Generator().manual_seed(1), same)
        less, low, high = found["near", "far"]
        assert less == pytest.approx(3 - 0.03, rel=1e-3) and 0 < low < less < high
        assert found["far", "near"] == pytest.approx((-less, -high, -low))
    few = {name: rows[:4] for name, rows in made.items()}
    assert np.isnan(fids_less(real[:4], few, pairs, random)["near", "far"]).all()
