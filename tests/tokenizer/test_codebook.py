"""Codebook diagnostics on counts that can be checked by hand."""

import pytest
import torch

from mmm.tokenizer.codebook import code_counts, codebook_report


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
