"""Many motions at once: the other items do not matter, groups are full, precision and options arrive."""

import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.sampling import default_steps
from mmm.sampling_many import decode_many
from mmm.text import TextEmbedding
from mmm.training.processes import resolve_precision


@pytest.fixture(scope="module")
def shipped():
    """The shipped model: of a size that real matrix kernels are chosen for."""
    return MMM.from_pretrained()


def requests(model, count, seed=0, longest=40):
    """Texts that no encoder made, lengths in frames, seeds; longest=40 needs two widths of words."""
    generator = torch.Generator().manual_seed(seed)
    width = model.transformer.config.text_dim
    words = torch.randn(count, longest, width, generator=generator) * width**-0.5
    mask = torch.arange(longest) < torch.randint(1, longest + 1, (count, 1), generator=generator)
    sentence = torch.randn(count, width, generator=generator) * width**-0.5
    frames = torch.randint(24, 197, (count,), generator=generator).tolist()
    return TextEmbedding(words, mask, sentence), frames, list(range(1000, 1000 + count))


@pytest.mark.parametrize(
    ("precision", "batch_size", "options"),
    [("no", 4, {}), ("bf16", 4, {"steps": 2}), ("bf16", 5, {"steps": 1, "guidance": 1.0})],
)
def test_the_other_items_their_order_and_number_do_not_matter(shipped, precision, batch_size, options):
    # Few items and passes in bfloat16: a CPU that is not made for it is ten times slower in it.
    count = 10 if precision == "no" else 5
    text, frames, seeds = requests(shipped, count)

    def generate(items):
        items = list(items)
        some = text[items], [frames[item] for item in items], [seeds[item] for item in items]
        motions = shipped.generate_bulk(*some, batch_size=batch_size, precision=precision, **options)
        return dict(zip(items, motions, strict=True))

    everyone = generate(range(count))
    assert [len(everyone[item]) for item in range(count)] == frames
    shards = generate(range(count - 1, -1, -2)) | generate(range(0, count, 2))
    for other in (shards, generate([count - 1, 0, count // 2])):
        assert [item for item in other if not np.array_equal(other[item], everyone[item])] == []


def test_in_groups_of_one_it_is_generate(model):
    texts = ["a person bows", "someone waves with the left hand", "a person walks forward"]
    motions = model.generate(texts, [30, 77, 196], seed=[5, 6, 7])
    bulk = model.generate_bulk(model.embed(texts), [30, 77, 196], [5, 6, 7], batch_size=1, precision="no")
    for motion, features in zip(motions, bulk, strict=True):
        assert features.dtype == np.float32 and features.shape == motion.features.shape
        np.testing.assert_allclose(features, motion.features, atol=1e-4)


def test_a_group_changes_few_tokens(shipped):
    """In float32 groups only round differently: nearly all motions are those of groups of one."""
    inputs = requests(shipped, 8, seed=1)
    alone, grouped = (shipped.generate_bulk(*inputs, batch_size=n, precision="no") for n in (1, 6))
    assert sum(np.allclose(a, b, atol=1e-3) for a, b in zip(alone, grouped, strict=True)) >= 7


def test_decoded_together_as_alone(shipped):
    generator = torch.Generator().manual_seed(0)
    frames = [24, 25, 100, 99, 98, 97, 31, 32, 33, 196, 60, 64, 64]
    sizes = shipped.tokenizer.config
    tokens = [torch.randint(sizes.codes, (sizes.parts, -(-n // 4)), generator=generator) for n in frames]
    motions = decode_many(shipped.tokenizer, tokens, frames)
    for row, count, features in zip(tokens, frames, motions, strict=True):
        alone = shipped.tokenizer.decode(row[None], torch.tensor([count]))[0, :count]
        assert features.shape == (count, 263) and features.base is None
        np.testing.assert_allclose(features, alone.numpy(), atol=1e-4)


def test_groups_are_full_and_of_few_shapes(model, monkeypatch):
    seen, forward = [], model.transformer.forward

    def watch(canvas, lengths, words, mask, sentence, drop_text=None):
        seen.append((*canvas.shape, words.shape[1]))
        return forward(canvas, lengths, words, mask, sentence, drop_text)

    monkeypatch.setattr(model.transformer, "forward", watch)
    text, _, seeds = requests(model, 30, longest=12)
    frames = [100, 112, 120] * 5 + [140, 180, 196] * 5
    model.generate_bulk(text, frames, seeds, batch_size=4)
    assert set(seen) == {(8, 1, 32, 32), (8, 1, 49, 32)}
    for width in (32, 49):
        passes = sum(default_steps(-(-n // 4)) for n in frames if (n > 128) == (width > 32))
        assert sum(shape[2] == width for shape in seen) == -(-passes // 4)


def test_what_is_computed_in_which_precision(model):
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.dtype}))
        for name, module in (("head", model.transformer.head), ("decoder", model.tokenizer.decoders[0].last))
    ]
    inputs = requests(model, 2)
    for precision, expected in (("no", torch.float32), ("bf16", torch.bfloat16)):
        motions = model.generate_bulk(*inputs, batch_size=2, precision=precision)
        assert seen == {"head": expected, "decoder": torch.float32}
        assert all(np.isfinite(features).all() for features in motions)
    for hook in hooks:
        hook.remove()
    assert not torch.is_autocast_enabled("cpu")


def test_automatic_precision(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for amx, expected in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda amx=amx: {"amx_bf16": amx})
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda amx=amx: amx)
        assert resolve_precision("auto", cpu) == resolve_precision("auto", cuda) == expected
    for there in (True, False):  # a network without a device goes to the GPU
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        assert resolve_precision("auto") == ("bf16" if there else "no")
    assert resolve_precision("auto", torch.device("mps")) == "no"
    assert resolve_precision("no", cuda) == "no"


def test_options_reach_the_sampler_and_the_bar_counts(model, capsys):
    text, frames, seeds = requests(model, 3)
    cold = [
        model.generate_bulk(text, frames, noise, argmax=True, progress=True)
        for noise in ([1, 2, 3], [4, 5, 6])
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*cold, strict=True))
    assert "sampling: 100%" in capsys.readouterr().err
    warm = model.generate_bulk(text, frames, seeds)
    assert not all(np.array_equal(a, b) for a, b in zip(cold[0], warm, strict=True))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"frames": [60]}, "2 texts, 1 lengths and 2 seeds"),
        ({"frames": [60, 10]}, "10 frames, expected 24 to 196"),
        ({"frames": []}, "no item"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"precision": "fp16"}, "'fp16', expected one of auto, no, bf16"),
    ],
)
def test_refusals(model, changes, named):
    text, frames, seeds = requests(model, 2)
    with pytest.raises(ValueError, match=named):
        model.generate_bulk(text, **{"frames": frames, "seeds": seeds, **changes})
