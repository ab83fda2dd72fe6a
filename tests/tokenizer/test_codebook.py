"""Codebook diagnostics on tokens, codes and clips that can be checked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import tokenizer as made_up

from mmm.motion import HUMANML3D, features_to_joints
from mmm.tokenizer import codebook
from mmm.tokenizer.codebook import code_counts, codebook_report, usage_report
from mmm.viz.camera import facing

SMALL, made, raw = made_up.SMALL, made_up.made, made_up.raw


def test_report_by_hand():
    tokens = torch.tensor([[[0, 0, 1, 1]], [[2, 2, 3, 3]]])  # four codes, equally often
    (report,) = codebook_report(tokens, codes=8)
    assert (report.tokens, report.used, report.dead, report.usage) == (8, 4, 4, 0.5)
    assert report.entropy == pytest.approx(2)
    assert report.perplexity == pytest.approx(4)


def test_each_part_has_its_own_codebook():
    tokens = torch.tensor([[[0, 1, 2, 3], [5, 5, 5, 5]]])
    upper, lower = codebook_report(tokens, codes=6)
    assert (upper.used, lower.used) == (4, 1)
    assert lower.perplexity == pytest.approx(1)
    assert code_counts(tokens, 6)[1].tolist() == [0, 0, 0, 0, 0, 4]


def test_a_list_of_clips_equals_one_batch():
    tokens = torch.randint(0, 9, (6, 2, 10), generator=torch.Generator().manual_seed(0))
    ragged = [tokens[0], tokens[1][:, :3], tokens[1][:, 3:], *tokens[2:]]
    assert codebook_report(ragged, 9) == codebook_report(tokens, 9)


def test_an_unfilled_canvas_is_refused():
    with pytest.raises(ValueError, match=r"-1…2, expected code ids in 0…3"):
        code_counts(torch.tensor([[[0, -1, 2]]]), 4)
    with pytest.raises(ValueError, match="no tokens"):
        code_counts([], 4)


# ---------------------------------------------------------------------- entropy, where the codes lie


def test_a_uniform_codebook_has_the_largest_perplexity_and_a_collapsed_one_the_smallest():
    even, collapsed = (
        usage_report(torch.full((64,), 5)),
        usage_report(torch.eye(64, dtype=torch.int64)[3] * 9),
    )
    assert even.perplexity == pytest.approx(64) and even.entropy == pytest.approx(6) and even.dead == 0
    assert collapsed.perplexity == pytest.approx(1) and collapsed.entropy == 0 and collapsed.dead == 63


def test_nearest_distances_leave_the_code_itself_out():
    codes = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0], [100.0, 0.0]])
    torch.testing.assert_close(
        codebook.nearest_distances(codes), torch.tensor([5.0, 1.0, 1.0, (97**2 + 16) ** 0.5])
    )
    twins = 1e3 + torch.tensor([[0.0, 0.0], [0.0, 0.01]])  # far from 0 a dot product would see one point
    assert codebook.nearest_distances(twins).tolist() == pytest.approx([0.01, 0.01], rel=0.01)
    with pytest.raises(ValueError, match="1 code"):
        codebook.nearest_distances(codes[:1])


@pytest.mark.parametrize("parts", [1, 2])
def test_quantisation_distances_are_those_of_the_tokens(parts):
    tokenizer = made(replace(SMALL, parts=parts))
    clips = [raw(tokenizer, 10), raw(tokenizer, 12, seed=8)]
    found = codebook.quantisation_distances(tokenizer, clips)
    assert found.shape == (parts, 6)  # ceil(10 / 4) + 12 / 4
    outputs = []
    handles = [
        encoder.register_forward_hook(lambda _, __, z: outputs.append(z[0])) for encoder in tokenizer.encoders
    ]
    tokens = [tokenizer.encode(clip[None])[0] for clip in clips]
    [handle.remove() for handle in handles]
    for number in range(2 * parts):
        clip, part = divmod(number, parts)
        codes = tokenizer.codebook[part][tokens[clip][part]]
        torch.testing.assert_close(
            found[part, 3 * clip : 3 * clip + 3], (outputs[number] - codes).norm(dim=1)
        )


def test_the_map_lies_where_used_codes_differ():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    codes = torch.randn(200, 8, generator=generator) * torch.tensor([9.0, 4.0, 1.0, 0, 0, 0, 0, 0]) @ axes
    used = torch.arange(200) < 190
    codes[190:] += 1000 * axes[7]  # unused ones far out in another direction
    places, share = codebook.codebook_map(codes, used)
    expected = torch.tensor([81.0, 16.0]) / 98
    torch.testing.assert_close(share, expected, atol=0.05, rtol=0)
    centred = codes - codes[used].mean(0)
    # the plane keeps what the first two directions hold, whatever way its axes point
    torch.testing.assert_close(
        places[used].norm(dim=1), (centred[used] @ axes[:2].T).norm(dim=1), atol=0.8, rtol=0.1
    )
    assert places[190:].abs().max() < 100, "an unused code has turned the plane"
    again, _ = codebook.codebook_map(-codes, used)
    torch.testing.assert_close(again, -places, atol=1e-3, rtol=1e-4)
    with pytest.raises(ValueError, match="2 used codes of 8 numbers"):
        codebook.codebook_map(codes, torch.arange(200) < 2)


# ---------------------------------------------------------------------- what codes mean


def test_meanings_by_hand():
    clip = torch.zeros(10, 263)
    clip[:4, 0] = -math.radians(1.5) / 2  # turns to the left by 1.5° a frame: 30°/s
    clip[4:8, 1], clip[4:8, 2] = 0.03, 0.04  # 5 cm a frame: 100 cm/s
    clip[:, 3] = torch.arange(10.0)
    rows = [torch.tensor([[2, 0, 2]])]  # the last token has two frames
    speed, height, turning = codebook.meanings(rows, [clip], codes=4)
    nan = float("nan")
    close = lambda a, b: torch.testing.assert_close(a, torch.tensor([b]), equal_nan=True)  # noqa: E731
    close(speed, [100.0, nan, 0.0, nan])
    close(height, [550.0, nan, 100 * (0 + 1 + 2 + 3 + 8 + 9) / 6, nan])
    close(turning, [0.0, nan, 30 * 4 / 6, nan])


def test_turning_is_positive_where_the_body_turns_to_its_left(golden):
    features = torch.from_numpy(golden("features_free")["0/features"][:1].astype(np.float32)).repeat(40, 1)
    features[:, 0] = -0.02
    ahead = facing(features_to_joints(features).numpy(), HUMANML3D)
    # Seen from above with z ahead, x is to the left: the angle from z towards x grows as the body turns left.
    turned = np.degrees(np.diff(np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2])))) * 20
    found = codebook.meanings([torch.zeros(1, 10, dtype=torch.int64)], [features], codes=1).turning
    assert found.item() == pytest.approx(turned.mean(), rel=1e-3) and found.item() > 40


def test_each_part_means_what_its_own_tokens_stand_for():
    clip = torch.zeros(8, 263)
    clip[4:, 3] = 1
    rows = [torch.tensor([[0, 1], [1, 1]])]
    height = codebook.meanings(rows, [clip], codes=2).height
    torch.testing.assert_close(height, torch.tensor([[0.0, 100.0], [float("nan"), 50.0]]), equal_nan=True)


def test_clips_that_are_longer_are_cut_and_others_refused():
    rows = [torch.tensor([[0, 0]])]
    clip = torch.ones(20, 263)
    clip[8:] = 5  # behind the second token
    assert codebook.meanings(rows, [clip], codes=1).height.item() == pytest.approx(100)
    with pytest.raises(ValueError, match="clip 0 has 4 frames for 2 tokens of 4"):
        codebook.meanings(rows, [clip[:4]], codes=1)
    with pytest.raises(ValueError, match="tokens of 1 clips, but features of 2"):
        codebook.meanings(rows, [clip, clip], codes=1)


# ---------------------------------------------------------------------- how tokens follow each other

ROWS = [torch.tensor([[7, 7, 7, 2, 7], [1, 1, 1, 1, 1]]), torch.tensor([[7, 7], [1, 0]])]


def test_runs_end_with_their_clip():
    whole, legs = codebook.run_lengths(ROWS)
    assert whole.tolist() == [3, 1, 1, 2] and legs.tolist() == [5, 1, 1]


def test_transitions_count_within_clips_only():
    whole, legs = codebook.transitions(ROWS, 8)
    expected = torch.zeros(8, 8, dtype=torch.int64)
    expected[7, 7], expected[7, 2], expected[2, 7] = 3, 1, 1
    assert torch.equal(whole, expected)
    assert legs.sum() == 5 and legs[1, 1] == 4 and legs[1, 0] == 1


def test_shuffled_rows_hold_the_same_tokens_elsewhere():
    rows = [torch.arange(40).view(2, 20) % 5, torch.arange(60).view(2, 30) % 7]
    mixed = codebook.shuffled(rows, seed=1)
    assert [row.shape for row in mixed] == [row.shape for row in rows]
    assert torch.equal(code_counts(mixed, 7), code_counts(rows, 7))
    assert not torch.equal(torch.cat(mixed, 1), torch.cat(rows, 1))
    assert all(torch.equal(a, b) for a, b in zip(mixed, codebook.shuffled(rows, seed=1), strict=True))
    assert not torch.equal(mixed[0], codebook.shuffled(rows, seed=2)[0])


def test_a_cycle_leaves_nothing_to_guess_and_noise_everything():
    cycle = torch.arange(4000) % 8
    noise = torch.randint(8, (4000,), generator=torch.Generator().manual_seed(0))
    ordered, random = codebook.transition_entropy([torch.stack([cycle, noise])])
    assert ordered.unconditional == pytest.approx(3, abs=1e-3) and ordered.after == pytest.approx(0, abs=1e-3)
    assert ordered.after_shuffled == pytest.approx(3, abs=0.03) and ordered.repeats == 0
    assert random.after == pytest.approx(3, abs=0.03) and random.repeats == pytest.approx(1 / 8, abs=0.02)


def test_of_few_tokens_even_noise_looks_certain():
    """Why the shuffled baseline is there: 500 codes, 1,000 tokens, no order at all."""
    noise = torch.randint(500, (1, 1000), generator=torch.Generator().manual_seed(0))
    (found,) = codebook.transition_entropy([noise])
    assert found.unconditional > 8 and found.after < 2
    assert found.after == pytest.approx(found.after_shuffled, abs=0.15)
    with pytest.raises(ValueError, match="no clip has two tokens"):
        codebook.transition_entropy([noise[:, :1], noise[:, 1:2]])
