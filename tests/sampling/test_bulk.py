import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.sampling import decode_many, default_steps
from mmm.text import TextEmbedding
from mmm.training.processes import resolve_precision


@pytest.fixture(scope="module")
def shipped():
    """The shipped model: of a size that real matrix kernels are chosen for."""
    return MMM.from_pretrained()


def made_up(model, count, seed=0, longest=40):
    """Texts that no encoder made, lengths in frames, seeds; longest=40 needs two widths of words."""
    generator = torch.Generator().manual_seed(seed)
    width = model.transformer.config.text_dim
    words = torch.randn(count, longest, width, generator=generator) * width**-0.5
    mask = torch.arange(longest) < torch.randint(1, longest + 1, (count, 1), generator=generator)
    sentence = torch.randn(count, width, generator=generator) * width**-0.5
    frames = torch.randint(24, 197, (count,), generator=generator).tolist()
    return TextEmbedding(words, mask, sentence), frames, list(range(1000, 1000 + count))


def some(given, items):
    text, frames, seeds = given
    return text[list(items)], [frames[item] for item in items], [seeds[item] for item in items]


@pytest.mark.parametrize(
    ("precision", "batch_size", "options"),
    [
        ("no", 4, {}),
        ("bf16", 5, {"steps": 2}),
        ("bf16", 6, {"steps": 1, "guidance": 1.0}),
    ],
)
def test_mates_order_and_number_do_not_matter(shipped, precision, batch_size, options):
    # Fewer items and passes in bfloat16: a CPU that is not made for it is ten times slower in it.
    count = 16 if precision == "no" else 8
    given = made_up(shipped, count)

    def generate(items):
        how = {"batch_size": batch_size, "precision": precision, **options}
        return dict(zip(items, shipped.generate_bulk(*some(given, items), **how), strict=True))

    everyone = generate(range(count))
    assert [len(everyone[item]) for item in range(count)] == given[1]
    shards = generate(range(0, count, 2)) | generate(range(1, count, 2))
    few = generate([count - 1]) | generate([3, count // 2, 6])
    for other in (generate(range(count - 1, -1, -1)), shards, few):
        differing = [item for item in other if not np.array_equal(other[item], everyone[item])]
        assert differing == []


def test_in_groups_of_one_it_is_generate(model):
    texts = ["a person bows", "someone waves with the left hand", "a person walks forward"]
    motions = model.generate(texts, [30, 77, 196], seed=[5, 6, 7])
    bulk = model.generate_bulk(model.embed(texts), [30, 77, 196], [5, 6, 7], batch_size=1, precision="no")
    for motion, features in zip(motions, bulk, strict=True):
        assert features.dtype == np.float32 and features.shape == motion.features.shape
        np.testing.assert_allclose(features, motion.features, atol=1e-4)


def test_a_group_changes_few_tokens(shipped):
    """In float32 groups only round otherwise: nearly all motions are those of groups of one."""
    given = made_up(shipped, 12, seed=1)
    alone, grouped = (shipped.generate_bulk(*given, batch_size=n, precision="no") for n in (1, 8))
    same = [np.allclose(a, b, atol=1e-3) for a, b in zip(alone, grouped, strict=True)]
    assert sum(same) >= 11


def test_decoded_together_as_alone(shipped):
    generator = torch.Generator().manual_seed(0)
    frames = [24, 25, 100, 99, 98, 97, 31, 32, 33, 196, 60, 64, 64]
    sizes = shipped.tokenizer.config
    tokens = [
        torch.randint(sizes.codes, (sizes.parts, -(-count // 4)), generator=generator) for count in frames
    ]
    for row, count, features in zip(
        tokens, frames, decode_many(shipped.tokenizer, tokens, frames), strict=True
    ):
        alone = shipped.tokenizer.decode(row[None], torch.tensor([count]))[0, :count]
        assert features.shape == (count, 263) and features.base is None
        np.testing.assert_allclose(features, alone.numpy(), atol=1e-4)


def test_groups_are_full_and_of_few_shapes(model, monkeypatch):
    seen, forward = [], model.transformer.forward

    def watch(canvas, lengths, words, mask, sentence, drop_text=None):
        seen.append((*canvas.shape, words.shape[1], int((canvas == -1).any(dim=2).sum()) // 2))
        return forward(canvas, lengths, words, mask, sentence, drop_text)

    monkeypatch.setattr(model.transformer, "forward", watch)
    text, _, seeds = made_up(model, 30, longest=12)
    frames = [100, 112, 120] * 5 + [140, 180, 196] * 5
    model.generate_bulk(text, frames, seeds, batch_size=4)
    assert {shape[:4] for shape in seen} == {(8, 1, 32, 32), (8, 1, 49, 32)}
    for width in (32, 49):
        passes = sum(default_steps(-(-n // 4)) for n in frames if (n > 128) == (width > 32))
        assert sum(shape[2] == width for shape in seen) == -(-passes // 4)


def test_what_is_computed_in_which_precision(model):
    found = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: found.update({name: out.dtype}))
        for name, module in (("head", model.transformer.head), ("decoder", model.tokenizer.decoders[0].last))
    ]
    given = made_up(model, 2)
    for precision, expected in (("no", torch.float32), ("bf16", torch.bfloat16)):
        motions = model.generate_bulk(*given, batch_size=2, precision=precision)
        assert found == {"head": expected, "decoder": torch.float32}
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
    for there in (True, False):  # a network that is yet to be placed goes to the GPU
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        assert resolve_precision("auto") == ("bf16" if there else "no")
    assert resolve_precision("auto", torch.device("mps")) == "no"
    assert resolve_precision("no", cuda) == "no"


def test_options_reach_the_sampler_and_the_bar_counts(model, capsys):
    given = made_up(model, 3)
    cold = [
        model.generate_bulk(given[0], given[1], seeds, argmax=True, progress=True)
        for seeds in ([1, 2, 3], [4, 5, 6])
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*cold, strict=True))
    assert "sampling: 100%" in capsys.readouterr().err
    warm = model.generate_bulk(*given)
    assert not all(np.array_equal(a, b) for a, b in zip(cold[0], warm, strict=True))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": [60]}, "2 texts, 1 lengths and 2 seeds"),
        ({"seeds": [1, 2, 3]}, "2 texts, 2 lengths and 3 seeds"),
        ({"frames": [60, 10]}, "length is 10 frames, expected 24 to 196"),
        ({"frames": []}, "no item was given"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"precision": "fp16"}, "precision is 'fp16', expected one of auto, no, bf16"),
    ],
)
def test_refusals(model, changes, message):
    text, _, seeds = made_up(model, 2)
    given = {"frames": [60, 60], "seeds": seeds, **changes}
    with pytest.raises(ValueError, match=message):
        model.generate_bulk(text, **given)
