"""What the quantizer counts for the log: choices since they were last taken, replacements of each code."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

from mmm.tokenizer.quantizer import RELEASE_INTERVAL

base = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "test_quantizer.py")))


def corners() -> Tensor:
    """Codes 0 to 3, far from each other."""
    return torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_choices_are_counted_where_the_mask_says_and_taken_once():
    q = base.quantizer(4, 2, corners(), reset="none").train()
    z = corners()[torch.tensor([[0, 0, 1], [3, 2, 2]])]
    q(z)
    q(z, torch.tensor([[True, False, True], [False, False, True]]))
    assert q.take_usage().tolist() == [2 + 1, 1 + 1, 2 + 1, 1]
    assert q.chosen.tolist() == [0, 0, 0, 0], "the next epoch counts anew"
    q(z[:1])
    assert q.take_usage().tolist() == [2, 1, 0, 0]
    q.eval()(z)
    assert q.take_usage().sum() == 0, "an evaluation is no training"


def test_every_replacement_of_a_dead_code_is_counted():
    """Four codes, 8 tokens, 2 an average code: dead is whose running count is below half of that."""
    start = torch.cat([corners()[:2], torch.full((2, 2), 1000.0)])
    q = base.quantizer(4, 2, start, ema=0.5, reset="dead", dead_below=0.5).train()
    q(corners()[:2].repeat(4, 1)[None], generator=base.seeded())
    assert q.resets.tolist() == [0, 0, 1, 1]  # two fall from 1 to 1/2, the others rise to 5/2
    expected = q.resets.clone()
    for step in range(30):
        before = q.ema_counts.clone()
        chosen = torch.bincount(
            q(base.batch(step, rows=8) * 20, generator=base.seeded(step)).tokens[0], minlength=4
        )
        expected += (before + chosen) / 2 < 1
        assert torch.equal(q.resets, expected)
    assert expected.sum() > 4, "codes should have died again"


def test_the_release_rule_counts_one_replacement_each_time_it_acts():
    q = base.with_far_codes("release", ema=0.99)
    for step in range(1, 2 * RELEASE_INTERVAL + 1):
        q(base.batch(step), generator=base.seeded(step))
        times = step // RELEASE_INTERVAL
        assert q.resets.tolist() == [0, 0] + [times] * 6
    none = base.with_far_codes("none", ema=0.5)
    for step in range(40):
        none(base.batch(step), generator=base.seeded(step))
    assert none.resets.sum() == 0


def test_the_counters_are_no_part_of_a_model():
    q = base.quantizer()
    assert not {"chosen", "resets"} & set(q.state_dict())
    assert {"chosen", "resets"} <= {name for name, _ in q.named_buffers()}, (
        "but a checkpoint holds all buffers"
    )
