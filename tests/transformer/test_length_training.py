"""Training of the length estimator: what the blur does, and which runs it may continue."""

import dataclasses

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import norm

from mmm.text import TextEmbedding
from mmm.training.config import TrainConfig
from mmm.transformer import LengthConfig, LengthEstimator
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import train_length

CONFIG = TrainConfig(steps=40, batch_size=16, lr=3e-2)


class OneSentence:
    name, width = "one", 4

    def lookup(self, captions):
        rows = torch.tensor([[1.0, 0.0, 2.0, 3.0]]).repeat(len(captions), 1)
        return TextEmbedding(rows[:, None], torch.ones(len(captions), 1, dtype=torch.bool), rows)


def train(folder, blur, steps=40, **options):
    """On a clip of 6 tokens and one of 13, which has no weight."""
    tokens = TokenSet(
        torch.zeros(2, 1, 13, dtype=torch.int16),
        torch.tensor([6, 13]),
        torch.tensor([0, 1, 2]),
        [["walks"], ["waits"]],
        np.array([1.0, 0.0]),
        ["a", "b"],
    )
    torch.manual_seed(0)
    estimator = LengthEstimator(LengthConfig(4, max_tokens=15, hidden=16, dropout=0.0, blur=blur))
    config = dataclasses.replace(CONFIG, steps=steps)
    train_length(tokens, OneSentence(), estimator, config, folder, progress=False, **options)
    return estimator.distribution(OneSentence().lookup(["walks"]).sentence)[0].numpy()


def test_a_blurred_estimator_is_as_sure_as_it_was_told(tmp_path):
    sharp, broad = train(tmp_path / "sharp", 0.0), train(tmp_path / "broad", 1.5)
    assert sharp[5] > 0.95
    bell = norm.pdf(np.arange(1, 16), 6, 1.5)
    np.testing.assert_allclose(broad, bell / bell.sum(), atol=0.03)


def test_a_run_from_before_there_was_a_blur_goes_on_and_no_other_blur_does(tmp_path):
    train(tmp_path / "run", 0.0, steps=3)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert set(config["length"]) == {"text_dim", "max_tokens", "hidden", "dropout"}, "as it was before"
    assert np.allclose(train(tmp_path / "run", 0.0, steps=6), train(tmp_path / "once", 0.0, steps=6))
    with pytest.raises(ValueError, match=r"begun with length.blur=None and is to be continued with 1.0"):
        train(tmp_path / "run", 1.0, steps=9)
