"""The portable generator: the published numbers, and a stream that does not depend on how it is cut."""

import numpy as np
import pytest
import torch

from mmm.philox import Philox, philox


@pytest.mark.parametrize(
    ("counter", "key", "expected"),  # Random123, tests/kat_vectors
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_the_published_numbers(counter, key, expected):
    counter, key, expected = ([int(word, 16) for word in words.split()] for words in (counter, key, expected))
    assert philox(np.array([counter], np.uint32), tuple(key)).tolist() == [expected]


def test_a_stream_of_blocks():
    whole, cut = Philox(7), Philox(7)
    numbers = whole.uniform(6, 4)
    assert torch.equal(numbers, torch.cat([cut.uniform(2, 4), cut.uniform(4, 4)]))
    assert torch.equal(cut.uniform(3), whole.uniform(4)[:3]) and cut.blocks == whole.blocks == 7
    assert (
        numbers.min() >= 0 and numbers.max() < 1 and torch.equal(numbers * 2**24, (numbers * 2**24).round())
    )
    assert not torch.equal(Philox(8).uniform(6, 4), numbers)
    assert not torch.equal(Philox(7 + 2**32).uniform(6, 4), numbers)
    many = Philox(0).uniform(100_000)
    assert abs(float(many.mean()) - 0.5) < 0.003 and abs(float(many.var()) - 1 / 12) < 0.001
