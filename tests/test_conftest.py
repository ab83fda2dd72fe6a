"""The tests' own check of types: shapes in signatures are compared with what is passed, and other types too."""

import pytest
import torch

from mmm.sequences import share
from mmm.transformer.masking import inside


def test_a_wrong_shape_is_refused():
    with pytest.raises(Exception, match="lengths"):
        inside(torch.ones(2, 3, dtype=torch.long), 4)


def test_a_wrong_type_without_a_shape_is_refused():
    with pytest.raises(Exception, match="total"):
        share("many", [1, 2], 1, 3)
