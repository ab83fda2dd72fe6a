import dataclasses

import numpy as np
import pytest
import torch
from made_up import guo as made_up

from mmm.data import Caption
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.guo import GuoEvaluator, GuoNetwork, Recurrent
from mmm.evaluation.guo_files import NETWORKS

CLOSE = {"rtol": 0, "atol": 1e-5}
CAPTIONS = [
    Caption("a person walks", (("a", "DET"), ("person", "NOUN"), ("walk", "VERB"))),
    Caption("slowly", (("slowly", "ADV"),)),
    Caption("a person waves " * 9, (("a", "DET"), ("person", "NOUN"), ("wave", "VERB")) * 9),
]


@pytest.fixture(scope="module")
def reference(golden):
    return {name: torch.from_numpy(value) for name, value in golden("guo_evaluator").items()}


@pytest.fixture(scope="module")
def reference_states(reference):
    return {
        part: {name.split("/")[1]: value for name, value in reference.items() if name.startswith(f"{part}/")}
        for part in NETWORKS
    }


@pytest.fixture(scope="module")
def files(reference_states, tmp_path_factory):
    """The golden's networks as a checkpoint, with made-up words, Mean and Std."""
    place = tmp_path_factory.mktemp("guo")
    return (
        made_up.write_checkpoint(place / "finest.tar", reference_states),
        made_up.write_glove(place / "glove"),
        made_up.write_meta(place / "meta"),
    )


@pytest.fixture(scope="module")
def evaluator(files):
    return GuoEvaluator.load(*files)


@pytest.fixture(scope="module")
def motions(reference, evaluator):
    """The golden's motions, not normalised, nonsense after their ends."""
    network = evaluator.network
    return reference["motion"] * network.std + network.mean, reference["motion_lengths"]


@torch.no_grad()
def test_networks_equal_the_golden(reference, evaluator):
    network = evaluator.network
    found = {
        "text_embedding": network.text_encoder(
            reference["words"], reference["pos"], reference["caption_lengths"]
        ),
        "movement": network.movement_encoder(reference["motion"][..., :-4]),
        "motion_embedding": network.encode_motion(reference["motion"], reference["motion_lengths"]),
    }
    for name, value in found.items():
        torch.testing.assert_close(value, reference[name], **CLOSE)


@torch.no_grad()
def test_after_its_end_a_motion_continues_with_the_mean_pose(reference, evaluator, motions):
    """From features that are not normalised; only the motion of full length has no nonsense after it in the golden."""
    features, lengths = motions
    assert lengths[0] == features.shape[1] == 196
    embedded = evaluator.embed_motion(features, lengths)
    torch.testing.assert_close(embedded[:1], reference["motion_embedding"][:1], **CLOSE)
    normalised = reference["motion"].clone()
    for row, length in zip(normalised, lengths.tolist(), strict=True):
        row[length:] = 0
    expected = evaluator.network.encode_motion(normalised, lengths)
    torch.testing.assert_close(embedded, expected, **CLOSE)
    assert not torch.allclose(expected[1:], reference["motion_embedding"][1:], atol=1e-3)


def test_order_mates_and_frames_after_the_end_do_not_count(evaluator, motions):
    features, lengths = motions
    together = evaluator.embed_motion(features, lengths)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        evaluator.embed_motion(features[order], lengths[order]), together[order], **CLOSE
    )
    for i, length in enumerate(lengths.tolist()):
        alone = evaluator.embed_motion(features[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], **CLOSE)
    nonsense = features.clone()
    nonsense[3, lengths[3] :] = torch.nan
    torch.testing.assert_close(evaluator.embed_motion(nonsense, lengths), together, rtol=0, atol=0)


def test_contacts_are_not_read_and_lengths_count_in_fours(evaluator, motions):
    features, lengths = motions
    together = evaluator.embed_motion(features, lengths)
    other = features.clone()
    other[..., -4:] = 7
    torch.testing.assert_close(evaluator.embed_motion(other, lengths), together, rtol=0, atol=0)
    other[..., -5] += 1
    assert not torch.allclose(evaluator.embed_motion(other, lengths), together)
    seen = []
    handle = evaluator.network.motion_encoder.register_forward_hook(
        lambda _, given, __: seen.append(given[1].tolist())
    )
    evaluator.embed_motion(features, torch.tensor([196, 121, 82, 43]))
    handle.remove()
    assert seen == [[49, 30, 20, 10]]


@torch.no_grad()
def test_the_states_come_from_the_first_and_last_real_position(evaluator):
    """Both directions by hand: a packed GRU is one over each sequence cut at its length."""
    encoder: Recurrent = evaluator.network.motion_encoder
    positions = torch.randn(3, 12, 20, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([5, 12, 1])
    found = encoder(positions, lengths)
    for row, position, length in zip(found, positions, lengths.tolist(), strict=True):
        x = encoder.input_emb(position[:length])[None]
        _, last = encoder.gru(x, encoder.hidden.detach().clone())
        torch.testing.assert_close(row, encoder.output_net(last.reshape(1, -1))[0], **CLOSE)


def test_captions(evaluator):
    words = evaluator.words(CAPTIONS)
    with torch.no_grad():
        expected = evaluator.network.text_encoder(*words)
    together = evaluator.embed_text(CAPTIONS)
    torch.testing.assert_close(together, expected, **CLOSE)
    torch.testing.assert_close(evaluator.embed_text(CAPTIONS[::-1]), together.flip(0), **CLOSE)
    torch.testing.assert_close(evaluator.embed_text(CAPTIONS[1:2]), together[1:2], **CLOSE)
    many = evaluator.embed_text(CAPTIONS * 100)
    torch.testing.assert_close(many, together.repeat(100, 1), **CLOSE)
    same_words = dataclasses.replace(CAPTIONS[0], text="another text")
    assert torch.equal(evaluator.embed_text([same_words]), evaluator.embed_text(CAPTIONS[:1]))


def test_it_is_an_evaluator_and_its_name_tells_everything_apart(evaluator, files, tmp_path):
    assert isinstance(evaluator, Evaluator) and evaluator.width == 12
    assert evaluator.name.startswith("guo-") and len(evaluator.name) == 12
    checkpoint, glove, meta = files
    assert GuoEvaluator.load(*files).name == evaluator.name
    network = made_up.write_checkpoint(
        tmp_path / "finest.tar", made_up.states(GuoNetwork(evaluator.network.sizes))
    )
    others = [
        GuoEvaluator.load(checkpoint, glove, made_up.write_meta(tmp_path / "meta", seed=1)),
        GuoEvaluator.load(checkpoint, made_up.write_glove(tmp_path / "glove", seed=1), meta),
        GuoEvaluator.load(network, glove, meta),
    ]
    assert len({each.name for each in [evaluator, *others]}) == 4
    assert evaluator.to("cpu") is evaluator and evaluator.device.type == "cpu"


@pytest.mark.parametrize("features", [263, 251])
def test_a_checkpoint_comes_back_as_it_was(tmp_path, features):
    sizes = dataclasses.replace(made_up.SMALL, features=features, width=10, text_hidden=6, movement_hidden=9)
    torch.manual_seed(1)
    network = GuoNetwork(sizes)
    place = made_up.write_checkpoint(tmp_path / "finest.tar", made_up.states(network))
    before = torch.get_rng_state()
    loaded = GuoEvaluator.load(
        place, made_up.write_glove(tmp_path / "glove"), made_up.write_meta(tmp_path, features)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.network.sizes == sizes
    for name, value in network.named_parameters():
        assert torch.equal(loaded.network.get_parameter(name), value)
    assert np.allclose(loaded.network.std, np.load(tmp_path / "std.npy"))
    assert loaded.embed_motion(torch.randn(2, 40, features), torch.tensor([24, 40])).shape == (2, 10)
    assert not loaded.network.training and not any(p.requires_grad for p in loaded.network.parameters())


def test_the_release_has_the_sizes_of_the_defaults():
    with torch.device("meta"):
        network = GuoNetwork(made_up.Sizes())
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes["movement_encoder.main.0.weight"] == (512, 259, 4)
    assert shapes["text_encoder.output_net.0.weight"] == (512, 1024)
    assert shapes["motion_encoder.gru.weight_hh_l0_reverse"] == (3072, 1024)
    assert shapes["motion_encoder.output_net.3.weight"] == (512, 1024)


def test_motions_of_another_length_are_refused(evaluator):
    for length, frames in ((3, 40), (200, 200), (41, 40)):
        with pytest.raises(ValueError, match="4 to 196"):
            evaluator.embed_motion(torch.zeros(2, frames, 263), torch.tensor([length, 36]))
