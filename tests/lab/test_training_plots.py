"""Pictures of a codebook's life in training, on tables with known answers."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from mmm.lab import tokenizer_plots as training_plots
from mmm.lab.tokenizer_plots import FIRST, SECOND


def history(perplexity=(2.0, 8.0, 16.0)) -> pd.DataFrame:
    return pd.DataFrame({
        "epoch": [1.0, 2.0, 3.0],
        "entropy": np.log2(perplexity),
        "perplexity": perplexity,
        "dead": [10.0, 3.0, 0.0],
        "resets": [0.0, 12.0, 15.0],
    })  # fmt: skip


def test_history_stands_against_the_most_there_can_be():
    entropy, perplexity, dead, resets = training_plots.plot_history(history(), 16).axes
    assert entropy.lines[0].get_ydata().tolist() == [1, 3, 4] and set(entropy.lines[1].get_ydata()) == {4.0}
    assert perplexity.lines[0].get_ydata()[-1] == 16 == perplexity.lines[1].get_ydata()[0]
    assert dead.lines[0].get_ydata().tolist() == [10, 3, 0]
    assert resets.lines[0].get_ydata().tolist() == [0, 12, 3], "new ones of each epoch, not all so far"
    assert perplexity.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_resets_are_counted_per_code():
    left, right = training_plots.plot_resets(np.array([0, 2, 2, 5]), torch.tensor([7, 0, 3, 1])).axes
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in left.patches}
    assert {number: count for number, count in heights.items() if count} == {0: 1, 2: 2, 5: 1}
    assert left.get_title() == "9 resets in all"
    dots = right.collections[0].get_offsets()
    assert np.round(dots[:, 0]).tolist() == [0, 2, 2, 5]
    assert dots[:, 1].tolist() == [7, 0.5, 3, 1], "a dead code has its place below 1"
    with pytest.raises(ValueError, match="resets are of 3 codes, counts of 4"):
        training_plots.plot_resets(np.zeros(3, np.int64), torch.ones(4, dtype=torch.int64))


def test_many_resets_get_few_bins():
    left, _ = training_plots.plot_resets(np.arange(1000), torch.ones(1000, dtype=torch.int64)).axes
    assert 20 < len(left.patches) <= 41 and sum(bar.get_height() for bar in left.patches) == 1000


def test_the_race_tells_its_eight_by_colour_line_and_strength():
    rows, histories = {}, {}
    for number, (narrow, ema, reset) in enumerate(product((True, False), repeat=3)):
        name = f"runner {number}"
        rows[name] = {
            "narrow": narrow,
            "ema": ema,
            "reset": reset,
            "usage": 0.1 * number,
            "perplexity": 10.0 + number,
            "mpjpe_local": 3.0,
        }
        histories[name] = history((2.0, 4.0, 5.0 + number))
    table = pd.DataFrame(rows).T.infer_objects()
    curves, usage, perplexity, error = training_plots.plot_race(table, histories, 64).axes
    lines = curves.lines[:8]
    for line, (_, row), number in zip(lines, table.iterrows(), range(8), strict=True):
        assert line.get_ydata()[-1] == 5 + number
        assert to_hex(line.get_color()) == (FIRST if row["narrow"] else SECOND)
        assert line.get_linestyle() == ("-" if row["ema"] else "--")
        assert (line.get_alpha() == 1) == row["reset"]
    assert len({(to_hex(line.get_color()), line.get_linestyle(), line.get_alpha()) for line in lines}) == 8
    np.testing.assert_allclose([bar.get_width() for bar in usage.patches], 10 * np.arange(8))
    assert [bar.get_width() for bar in perplexity.patches] == list(range(10, 18))
    assert [tick.get_text() for tick in usage.get_yticklabels()] == list(rows) and usage.yaxis_inverted()
    assert error.get_ylim() == usage.get_ylim()
