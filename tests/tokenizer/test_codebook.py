"""Reports of a codebook's use on tokens that can be counted by hand."""

import pytest
import torch

from mmm.tokenizer.codebook import code_counts, codebook_report, usage_report


def test_report_by_hand():
    tokens = torch.tensor([[[0, 0, 1, 1]], [[2, 2, 3, 3]]])  # four codes, equally often
    (report,) = codebook_report(tokens, codes=8)
    assert (report.tokens, report.used, report.dead, report.usage) == (8, 4, 4, 0.5)
    assert (report.entropy, report.perplexity) == pytest.approx((2, 4))


@pytest.mark.parametrize(("counts", "bits"), [(torch.full((64,), 5), 6), (torch.eye(64).long()[3] * 9, 0)])
def test_a_uniform_codebook_has_the_largest_perplexity_and_a_collapsed_one_the_smallest(counts, bits):
    report = usage_report(counts)
    assert (report.entropy, report.perplexity) == pytest.approx((bits, 2**bits))
    assert report.dead == 64 - 2**bits


def test_each_part_has_its_own_codebook():
    tokens = torch.tensor([[[0, 1, 2, 3], [5, 5, 5, 5]]])
    upper, lower = codebook_report(tokens, codes=6)
    assert (upper.used, lower.used) == (4, 1)
    assert code_counts(tokens, 6)[1].tolist() == [0, 0, 0, 0, 0, 4]


def test_a_list_of_clips_equals_one_batch():
    tokens = torch.randint(0, 9, (6, 2, 10), generator=torch.Generator().manual_seed(0))
    ragged = [tokens[0], tokens[1][:, :3], tokens[1][:, 3:], *tokens[2:]]
    assert codebook_report(ragged, 9) == codebook_report(tokens, 9)


def test_a_canvas_that_is_not_filled_is_refused():
    with pytest.raises(ValueError, match=r"-1…2, expected code ids in 0…3"):
        code_counts(torch.tensor([[[0, -1, 2]]]), 4)
    with pytest.raises(ValueError, match="no tokens"):
        code_counts([], 4)
