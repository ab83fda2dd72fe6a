"""The authors' names of the transformer's weights, both ways."""

import pytest
import torch
from goldens import state_of

from mmm.release.transformer import UNUSED, from_release_state, to_release_state
from mmm.transformer import MaskedTransformer, preset


def make_model(parts=1, **changes):
    torch.manual_seed(0)
    own = {"parts": parts, "predicts": parts - 1, "text_dropout": 0.0} | changes
    config = preset("tiny", codes=20, code_dim=6, text_dim=16, **own)
    return MaskedTransformer(config, torch.randn(parts, 20, 6)).eval()


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("local", [None, 1, 4])
def test_there_and_back(parts, local):
    model = make_model(parts, layers=5, cross_layers=2)
    state = to_release_state(model, local)
    base = [name for name in state if name.startswith("trans_base.blocks.") and "ln1.weight" in name]
    assert len(base) == (local or 2)
    config, again = from_release_state(state, model.codebook, heads=4)
    assert config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("end", ["", "_parts"])
def test_names_and_shapes_are_those_of_the_golden(golden, end):
    arrays = golden(f"transformer{end}")
    theirs = state_of(arrays)
    books = ["codebook"] if not end else ["codebook_upper", "codebook_lower"]
    codebook = torch.stack([torch.from_numpy(arrays[name]) for name in books])
    ours = to_release_state(from_release_state(theirs, codebook, heads=4)[1])
    used = {name: value for name, value in theirs.items() if not UNUSED.match(name)}
    assert ours.keys() == used.keys() and all(torch.equal(ours[name], used[name]) for name in ours)
    left = {name for name in theirs if name not in used}
    assert left == {"trans_base.pos_embedding.weight", "trans_base.pos_embed.embed"} | {
        f"trans_base.cross_att.{block}.attn.mask" for block in range(2)
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [({"text_dropout": 0.1}, "text_dropout is 0.1"), ({"parts": 2, "predicts": 2}, "2 body parts")],
)
def test_models_that_the_release_has_no_names_for(options, named):
    with pytest.raises(ValueError, match=named):
        to_release_state(make_model(**options))
