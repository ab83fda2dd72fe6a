"""The tokenizer's weights under the release's names, both ways."""

from dataclasses import replace

import pytest
import torch
from made_up.tokenizer import SMALL, random_tokenizer

from mmm.release.tokenizer import from_release_state, release_names, to_release_state


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("prefix", ["", "vqvae.", "trans_base.vqvae."])
def test_release_names_both_ways(parts, prefix):
    model = random_tokenizer(replace(SMALL, parts=parts))
    state = {prefix + name: value for name, value in to_release_state(model).items()}
    state["trans_base.tok_emb.weight"] = torch.zeros(3)  # other entries of a checkpoint are ignored
    again = from_release_state(state, model.mean, model.std)
    assert again.config == replace(model.config, feature_bias=1.0)
    for name, value in model.state_dict().items():
        if "quantizers" not in name or name.endswith("codebook"):
            assert torch.equal(value, again.state_dict()[name]), name
    learned = {name for name, _ in model.named_parameters()}
    assert learned < set(release_names(model.config))
