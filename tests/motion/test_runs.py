import numpy as np
import pytest
import torch

from mmm.motion.runs import runs

FLAGS = [True, True, False, True, False, False, True]


@pytest.mark.parametrize("where", [np.array(FLAGS), torch.tensor(FLAGS)], ids=["numpy", "torch"])
def test_runs_of_true(where):
    assert runs(where) == [(0, 2), (3, 4), (6, 7)]
    assert runs(~where) == [(2, 3), (4, 6)]
    assert runs(where, gap=1) == [(0, 4), (6, 7)]
    assert runs(where, gap=2) == [(0, 7)]
    assert runs(where, least=2) == [(0, 2)]
    assert runs(where, gap=1, least=3) == [(0, 4)], "short runs are joined before they are left out"
    assert runs(where & ~where) == []
