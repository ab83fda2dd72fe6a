"""Chapter 09's pictures and sentences: what a network can see, ratios of times, the two claims."""

import dataclasses

import numpy as np
import pytest
import torch
from made_up.tokens import CODES, WIDTH, text_of

from mmm.lab.baselines.autoregressive import Autoregressive
from mmm.lab.baselines.costs import ratio
from mmm.lab.baselines.diffusion import Denoiser, DenoiserConfig
from mmm.lab.baselines.plots import answers, influence, plot_influence, plot_speed_quality
from mmm.transformer import MaskedTransformer, TransformerConfig


@pytest.mark.parametrize("parts", [1, 2])
def test_what_each_network_can_see(parts):
    torch.manual_seed(0)
    sizes = TransformerConfig(
        codes=CODES, code_dim=8, text_dim=WIDTH, dim=32, layers=1, cross_layers=1, heads=4, parts=parts
    )
    own = dataclasses.asdict(sizes) | {"codes": 1, "code_dim": 1, "parts": 1}
    codebook = torch.randn(parts, CODES, 8)
    networks = {
        "masked": MaskedTransformer(sizes, codebook),
        "autoregressive": Autoregressive(sizes, codebook),
        "diffusion": Denoiser(DenoiserConfig(**own, features=6), torch.randn(6), torch.ones(6)),
    }
    tokens, text = torch.randint(CODES, (parts, 5)), text_of("walks").lookup(["walks"])
    inputs = {"masked": tokens, "autoregressive": tokens, "diffusion": torch.randn(20, 6)}
    seen = {kind: influence(network, inputs[kind], text) for kind, network in networks.items()}
    past = np.tril(np.ones((5, 5), bool), -1)
    assert (seen["autoregressive"][past] > 0).all() and (seen["autoregressive"][~past] == 0).all()
    assert (seen["masked"] > 0).all() and (seen["diffusion"] > 0).all()
    assert len(plot_influence(seen).axes) == 4, "one for the colours"


def test_a_ratio_of_times_has_an_interval():
    seconds = np.array([1.0, 2.0, 4.0])
    assert ratio(3 * seconds, seconds) == pytest.approx((3.0, 0.0))
    twice = ratio([2.0, 8.0], [1.0, 1.0])
    assert twice.mean == pytest.approx(4.0) and twice.half == pytest.approx(
        4 * np.sinh(1.96 * np.log(2) / 2**0.5)
    )


def test_the_claims_are_answered_with_the_numbers_of_the_table():
    def row(passes, fid, aits):
        return {
            "passes": passes,
            "fid": fid,
            "fid_half": 0.1,
            "jerk_mean": 60.0,
            "skating": 0.05,
            "aits_all": aits,
        }

    rows = {"real": {"jerk_mean": 66.0, "skating": 0.06, "fid": 0.0}, "masked": row(10.0, 2.0, [1.0, 1.0])}
    rows |= {"autoregressive": row(30.0, 2.5, [2.0, 2.0]), "diffusion-ddim-50": row(50.0, 1.0, [9.0, 9.0])}
    half = {"fid_half": 0.2, "r1_half": 0.01, "jerk_mean_half": 1.0, "skating_half": 0.002}
    differences = {
        "autoregressive": {"fid": 0.5, "r1": -0.02, "jerk_mean": 3.0, "skating": 0.01} | half,
        "diffusion-ddim-50": {"fid": -1.0, "r1": 0.01, "jerk_mean": -5.0, "skating": 0.02} | half,
    }
    said = answers({"rows": rows, "differences": differences}, "diffusion-ddim-50")
    for words in ("10 passes", "30 (2.0 ± 0.0 times", "50 (9.0 ± 0.0 times", "+0.50 ± 0.20", "-1.00 ± 0.20"):
        assert words in said["1, speed"], words
    assert "+3.0 ± 1.0 m/s³" in said["4, coherence"] and "real motion 66.0" in said["4, coherence"]
    assert len(plot_speed_quality(rows, {"fid": "FID", "jerk_mean": "jerk"}).axes) == 2
