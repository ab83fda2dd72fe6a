"""Where codes lie, what they stand for and how tokens follow each other, on examples that can be checked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up.tokenizer import SMALL, random_features, random_tokenizer

from mmm.lab import codebook
from mmm.motion import HUMANML3D, features_to_joints
from mmm.tokenizer import code_counts
from mmm.viz.camera import facing

NAN = float("nan")


def close(ours, expected):
    torch.testing.assert_close(ours, torch.tensor([expected]), equal_nan=True)


def test_nearest_distances_leave_the_code_itself_out():
    codes = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0], [100.0, 0.0]])
    expected = [5.0, 1.0, 1.0, math.hypot(97, 4)]
    torch.testing.assert_close(codebook.nearest_distances(codes), torch.tensor(expected))
    twins = 1e3 + torch.tensor([[0.0, 0.0], [0.0, 0.01]])  # far from 0 a dot product would see one point
    assert codebook.nearest_distances(twins).tolist() == pytest.approx([0.01, 0.01], rel=0.01)


@pytest.mark.parametrize("parts", [1, 2])
def test_quantisation_distances_are_those_of_the_tokens(parts):
    tokenizer = random_tokenizer(replace(SMALL, parts=parts))
    clips = [random_features(tokenizer, 10), random_features(tokenizer, 12, seed=8)]
    distances = codebook.quantisation_distances(tokenizer, clips)
    assert distances.shape == (parts, 6)  # ceil(10 / 4) + 12 / 4
    for clip, columns in zip(clips, distances.split(3, 1), strict=True):
        outputs, _ = tokenizer.encoder_outputs(clip[None])
        tokens = tokenizer.encode(clip[None])[0]
        for part in range(parts):
            expected = (outputs[part][0] - tokenizer.codebook[part][tokens[part]]).norm(dim=1)
            torch.testing.assert_close(columns[part], expected)


def test_the_map_lies_where_used_codes_differ():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    codes = torch.randn(200, 8, generator=generator) * torch.tensor([9.0, 4.0, 1.0, 0, 0, 0, 0, 0]) @ axes
    used = torch.arange(200) < 190
    codes[190:] += 1000 * axes[7]  # unused ones far out in another direction
    positions, ratio = codebook.codebook_map(codes, used)
    torch.testing.assert_close(ratio, torch.tensor([81.0, 16.0]) / 98, atol=0.05, rtol=0)
    centred = codes - codes[used].mean(0)
    # the plane keeps what the first two directions hold, whatever way its axes point
    torch.testing.assert_close(
        positions[used].norm(dim=1), (centred[used] @ axes[:2].T).norm(dim=1), atol=0.8, rtol=0.1
    )
    assert positions[190:].abs().max() < 100, "an unused code has turned the plane"
    again, _ = codebook.codebook_map(-codes, used)
    torch.testing.assert_close(again, -positions, atol=1e-3, rtol=1e-4)
    with pytest.raises(ValueError, match="2 used codes of 8 numbers"):
        codebook.codebook_map(codes, torch.arange(200) < 2)


def test_meanings_by_hand():
    clip = torch.zeros(10, 263)
    clip[:4, 0] = -math.radians(1.5) / 2  # turns to the left by 1.5° a frame: 30°/s
    clip[4:8, 1], clip[4:8, 2] = 0.03, 0.04  # 5 cm a frame: 100 cm/s
    clip[:, 3] = torch.arange(10.0)
    rows = [torch.tensor([[2, 0, 2]])]  # the last token has two frames
    speed, height, turning = codebook.meanings(rows, [clip], codes=4)
    close(speed, [100.0, NAN, 0.0, NAN])
    close(height, [550.0, NAN, 100 * (0 + 1 + 2 + 3 + 8 + 9) / 6, NAN])
    close(turning, [0.0, NAN, 30 * 4 / 6, NAN])


def test_turning_is_positive_where_the_body_turns_to_its_left(golden):
    features = torch.from_numpy(golden("features_free")["0/features"][:1].astype(np.float32)).repeat(40, 1)
    features[:, 0] = -0.02
    ahead = facing(features_to_joints(features).numpy(), HUMANML3D)
    # From above with z ahead, x is to the left: the angle from z towards x grows as the body turns left.
    turned = np.degrees(np.diff(np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2])))) * 20
    turning = codebook.meanings([torch.zeros(1, 10, dtype=torch.int64)], [features], codes=1).turning.item()
    assert turning == pytest.approx(turned.mean(), rel=1e-3) and turning > 40


def test_each_part_means_what_its_own_tokens_stand_for():
    clip = torch.zeros(8, 263)
    clip[4:, 3] = 1
    upper, lower = codebook.meanings([torch.tensor([[0, 1], [1, 1]])], [clip], codes=2).height
    close(upper[None], [0.0, 100.0])
    close(lower[None], [NAN, 50.0])


def test_longer_clips_are_cut_and_shorter_ones_refused():
    rows = [torch.tensor([[0, 0]])]
    clip = torch.ones(20, 263)
    clip[8:] = 5  # after the second token
    assert codebook.meanings(rows, [clip], codes=1).height.item() == pytest.approx(100)
    with pytest.raises(ValueError, match="clip 0 has 4 frames for 2 tokens of 4"):
        codebook.meanings(rows, [clip[:4]], codes=1)


def test_runs_and_transitions_end_with_their_clip():
    rows = [torch.tensor([[7, 7, 7, 2, 7], [1, 1, 1, 1, 1]]), torch.tensor([[7, 7], [1, 0]])]
    whole, legs = codebook.run_lengths(rows)
    assert whole.tolist() == [3, 1, 1, 2] and legs.tolist() == [5, 1, 1]
    whole, legs = codebook.transitions(rows, 8)
    assert whole.sum() == 5 and (whole[7, 7], whole[7, 2], whole[2, 7]) == (3, 1, 1)
    assert legs.sum() == 5 and (legs[1, 1], legs[1, 0]) == (4, 1)


def test_shuffled_rows_hold_the_same_tokens_at_other_positions():
    rows = [torch.arange(40).view(2, 20) % 5, torch.arange(60).view(2, 30) % 7]
    mixed = codebook.shuffled(rows, seed=1)
    assert [row.shape for row in mixed] == [row.shape for row in rows]
    assert torch.equal(code_counts(mixed, 7), code_counts(rows, 7))
    assert not torch.equal(torch.cat(mixed, 1), torch.cat(rows, 1))
    assert all(torch.equal(a, b) for a, b in zip(mixed, codebook.shuffled(rows, seed=1), strict=True))
    assert not torch.equal(mixed[0], codebook.shuffled(rows, seed=2)[0])


def test_the_next_token_of_a_cycle_is_certain_and_that_of_noise_is_not():
    cycle = torch.arange(4000) % 8
    noise = torch.randint(8, (4000,), generator=torch.Generator().manual_seed(0))
    ordered, random = codebook.transition_entropy([torch.stack([cycle, noise])])
    assert ordered.unconditional == pytest.approx(3, abs=1e-3) and ordered.after == pytest.approx(0, abs=1e-3)
    assert ordered.after_shuffled == pytest.approx(3, abs=0.03) and ordered.repeats == 0
    assert random.after == pytest.approx(3, abs=0.03) and random.repeats == pytest.approx(1 / 8, abs=0.02)


def test_with_few_tokens_even_noise_looks_certain():
    """Why there is a shuffled baseline: 500 codes, 1,000 tokens, no order at all."""
    noise = torch.randint(500, (1, 1000), generator=torch.Generator().manual_seed(0))
    (known,) = codebook.transition_entropy([noise])
    assert known.unconditional > 8 and known.after < 2
    assert known.after == pytest.approx(known.after_shuffled, abs=0.15)
    with pytest.raises(ValueError, match="no clip has two tokens"):
        codebook.transition_entropy([noise[:, :1], noise[:, 1:2]])
