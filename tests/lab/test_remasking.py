"""Rules of remasking: which positions are predicted again, gaps of held-out clips, tables of errors."""

import numpy as np
import pytest
import torch
from made_up import canvases
from made_up import tokenizer as tokenizers

from mmm.lab import remasking
from mmm.sampling import REMASKING, fill, masked_counts
from mmm.transformer import MASK


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("argmax", [False, True])
def test_each_rule_remasks_the_positions_that_it_names(parts, argmax):
    model, text = canvases.make_model(parts=parts), canvases.make_text(1)
    empty = canvases.empty(30, parts=parts)
    counts = masked_counts(30 * parts, 6)
    second = {}
    for rule in REMASKING:
        how = {"remask": rule, "steps": 6, "seeds": [5], "argmax": argmax, "trace": True}
        trace = fill(model, *empty, text, **how).trace
        assert [int((step.canvas == MASK).sum()) for step in trace] == counts
        for before, step in zip(trace, trace[1:], strict=False):
            was_open = before.canvas == MASK
            masked = step.canvas == MASK
            assert not (masked & ~was_open).any(), "final positions stay final"
            confidence = before.confidence
            kept = was_open & ~masked
            if rule == "least":
                assert confidence[masked].max() <= confidence[kept].min()
            elif rule == "most":
                assert confidence[masked].min() >= confidence[kept].max()
        second[rule] = trace[1].canvas == MASK
    assert not torch.equal(second["least"], second["random"])
    assert not torch.equal(second["least"], second["most"])


def test_random_remasking_depends_on_its_own_seed_only():
    model, text = canvases.make_model(), canvases.make_text(3)
    three, one = canvases.empty(20, 12, 7), canvases.empty(12)
    for group in (1, 3):
        how = {"steps": 4, "remask": "random", "group": group}
        together = fill(model, *three, text, seeds=[1, 2, 3], **how).tokens
        alone = fill(model, *one, canvases.one_of(text, 1), seeds=[2], **how).tokens
        assert torch.equal(together[1, :, :12], alone[0])
        assert not torch.equal(together, fill(model, *three, text, seeds=[1, 9, 3], **how).tokens)


def test_the_gap_is_the_middle_half_of_each_clips_own_length():
    truth, sizes = torch.arange(24).view(2, 1, 12) % 7, torch.tensor([12, 8])
    canvas = remasking.cut_gap(truth, sizes)
    assert (canvas[:, 0] == MASK).int().tolist() == [
        [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
    ]
    assert torch.equal(canvas[canvas != MASK], truth[canvas != MASK])


def test_errors_count_the_frames_of_the_gap_alone():
    tokenizer = tokenizers.random_tokenizer()
    motion = tokenizers.random_features(tokenizer, 1, 32)
    truth, sizes = tokenizer.encode(motion), torch.tensor([8])
    canvas = remasking.cut_gap(truth, sizes)
    decoded = tokenizer.decode(truth)[0].numpy()
    assert remasking.gap_errors(tokenizer, truth, canvas, [decoded]) == pytest.approx(0, abs=1e-3)
    outside = decoded.copy()
    outside[:8] += 1.0
    assert remasking.gap_errors(tokenizer, truth, canvas, [outside]) == pytest.approx(0, abs=1e-3)
    within = decoded.copy()
    within[8:24, 4:67:3] += 0.1  # x of every joint by 10 cm
    assert remasking.gap_errors(tokenizer, truth, canvas, [within]) == pytest.approx(10, rel=1e-3)


def test_rules_are_compared_on_the_same_clips_with_the_same_noise(model, toy):
    packed = toy.pack("train")
    motions = [np.array(packed.clip(i))[:48] for i in range(3)]
    truth = torch.cat([model.tokenizer.encode(torch.from_numpy(motion)[None]) for motion in motions])
    text, sizes = model.embed(["a person bows"] * 3), torch.tensor([12, 12, 12])
    call = (model.tokenizer, model.transformer, truth, sizes, text, motions)
    errors = remasking.compare_rules(*call, steps=(1, 3), seeds=(0, 1))
    assert set(errors) == {(rule, count) for rule in REMASKING for count in (1, 3)}
    for rule in REMASKING:
        assert np.array_equal(errors[rule, 1], errors["least", 1])
    again = remasking.compare_rules(*call, steps=(3,), rules=("least",), seeds=(0, 1))
    assert np.array_equal(again["least", 3], errors["least", 3])
    assert not np.array_equal(errors["most", 3], errors["least", 3])
    wide = remasking.compare_rules(*call, steps=(3,), rules=("least",), seeds=(0, 1), ratio=1.0)
    assert not np.array_equal(wide["least", 3], errors["least", 3])


def test_the_table_compares_clip_by_clip():
    hard = np.array([1.0, 5.0, 30.0, 2.0])
    wobble = np.array([1.0, -1, 1, -1])
    errors = {(rule, 1): hard + 1 for rule in REMASKING}
    errors |= {("random", 5): hard, ("least", 5): hard - 0.5, ("most", 5): hard + wobble}
    table = remasking.rules_table(errors)
    assert table.loc[("least", 5), "less"] == pytest.approx(0.5)
    assert table.loc[("least", 5), "less_half"] == pytest.approx(0, abs=1e-9)
    assert table.loc[("most", 5), "less"] == 0
    assert table.loc[("most", 5), "less_half"] == pytest.approx(1.96 * wobble.std(ddof=1) / 2)
    assert table.loc[("random", 5), "error"] == pytest.approx(9.5)
    assert table.change.unstack(0).loc[5].to_dict() == pytest.approx(
        {"least": -1.5, "most": -1, "random": -1}
    )
    assert (table.xs(1, level="passes")[["change", "change_half", "less"]] == 0).all(axis=None)
