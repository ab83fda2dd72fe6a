"""The sampler: the golden decodes, the rules of masking, and that no item depends on the others."""

import pytest
import torch
from made_up.canvases import empty, make_model, make_text, one_of

from mmm.philox import Philox
from mmm.release.transformer import from_release_state
from mmm.sampling import default_steps, fill, masked_counts
from mmm.text import TextEmbedding
from mmm.transformer import MASK


@pytest.mark.parametrize("group", [1, 4])
def test_every_pass_of_the_golden_decodes(golden, group):
    arrays = golden("sampling")
    state = {name[6:]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("state/")}
    _, model = from_release_state(state, torch.from_numpy(arrays["codebook"])[None], heads=4)

    def ours(ids):
        return torch.where(ids == 66, MASK, ids)

    for case in range(6):
        tokens, steps, words, sentence = (
            torch.from_numpy(arrays[f"{case}/{name}"]) for name in ("tokens", "steps", "words", "sentence")
        )
        canvas, lengths = empty(len(tokens))
        if f"{case}/canvas" in arrays:
            canvas = ours(torch.from_numpy(arrays[f"{case}/canvas"]))[None, None]
        text = TextEmbedding(words, torch.ones(words.shape[:2], dtype=torch.bool), sentence)
        filled = fill(model, canvas, lengths, text, argmax=True, trace=True, group=group)
        assert torch.equal(torch.stack([step.canvas[0, 0] for step in filled.trace]), ours(steps)), case
        assert torch.equal(filled.tokens[0, 0], tokens), case


def test_number_of_passes():
    assert [default_steps(n) for n in (1, 7, 8, 12, 16, 25, 30, 37, 49)] == [1, 1, 2, 2, 3, 5, 6, 8, 10]
    assert masked_counts(49, 10) == [49, 48, 46, 43, 39, 34, 28, 22, 15, 7]
    assert masked_counts(16, 3) == [16, 13, 7]  # as the golden decodes; exact arithmetic would give 8
    assert masked_counts(2, 5) == [2, 1, 1, 1, 1]
    assert masked_counts(8, 4, "linear") == [8, 6, 4, 2]
    assert masked_counts(0, 4) == []
    assert len(fill(make_model(), *empty(30), make_text(1), steps=4, seeds=[0], trace=True).trace) == 4


@pytest.mark.parametrize(
    ("sharpness", "guidance", "group", "parts"),
    [
        (0.05, 1.0, 1, 1), (1.0, 2.0, 1, 1), (8.0, 1.0, 1, 1), (0.05, 2.0, 3, 1), (8.0, 1.0, 3, 1),
        (1.0, 2.0, 1, 2), (1.0, 1.0, 3, 2),
    ],
)  # fmt: skip
def test_an_item_alone_and_among_sixteen_others(sharpness, guidance, group, parts):
    model, compared = make_model(sharpness, parts=parts), 0
    for trial in range(2):
        lengths = torch.randint(1, 50, (17,), generator=torch.Generator().manual_seed(trial))
        canvas, _ = empty(*lengths.tolist(), parts=parts)
        if parts == 2:  # every third item holds a lower part, every third an upper one
            canvas[1::3, 1], canvas[2::3, 0] = 7, torch.arange(canvas.shape[2]) % 40
        text, seeds = make_text(17, seed=trial), list(range(100 * trial, 100 * trial + 17))
        how = {"guidance": guidance, "group": group}
        together = fill(model, canvas, lengths, text, seeds=seeds, **how)
        for item in range(trial, 17, 4):
            n, one = int(lengths[item]), slice(item, item + 1)
            alone = fill(model, canvas[one, :, :n], lengths[one], one_of(text, item), seeds=seeds[one], **how)
            assert torch.equal(alone.tokens[0], together.tokens[item, :, :n])
            assert torch.equal(alone.confidence[0], together.confidence[item, :, :n])
            compared += 1
    assert compared == 9


@pytest.mark.parametrize("parts", [1, 2])
def test_noise_is_drawn_for_the_items_own_positions_only(parts):
    model, text, inputs = make_model(parts=parts), make_text(3), empty(20, 49, 7, parts=parts)
    own = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
    tokens = fill(model, *inputs, text, generators=own).tokens
    plain = torch.Generator().manual_seed(3)  # one number for each code of each masked position
    for count in masked_counts(7 * parts, default_steps(7)):
        torch.rand(count, 40, generator=plain)
    assert torch.equal(own[2].get_state(), plain.get_state())
    assert torch.equal(tokens, fill(model, *inputs, text, seeds=[1, 2, 3]).tokens)
    assert not torch.equal(tokens, fill(model, *inputs, text, seeds=[1, 2, 4]).tokens)


def test_portable_noise_is_drawn_for_the_items_own_positions_too():
    model, text, inputs = make_model(parts=2), make_text(3), empty(20, 49, 7, parts=2)
    own, plain = [Philox(seed) for seed in (1, 2, 3)], Philox(3)
    tokens = fill(model, *inputs, text, generators=own, remask="random").tokens
    for number, count in enumerate(masked_counts(14, default_steps(7))):
        assert not number, "one pass only"
        plain.uniform(2, 7)  # the ranking
        plain.uniform(count, 40)
    assert own[2].blocks == plain.blocks
    how = {"seeds": [1, 2, 3], "random": "portable"}
    assert torch.equal(tokens, fill(model, *inputs, text, **how, remask="random").tokens)
    assert not torch.equal(tokens, fill(model, *inputs, text, seeds=[1, 2, 3], remask="random").tokens)


@pytest.mark.parametrize(("group", "parts"), [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_trace_keeps_the_rules(group, parts):
    model, text = make_model(parts=parts), make_text(4)
    canvas, lengths = empty(49, 30, 12, 9, parts=parts)
    canvas[0, 0, :20] = torch.arange(20)
    canvas[3, :, :9] = 5  # nothing to fill
    fixed = (canvas != MASK) & (torch.arange(49) < lengths[:, None, None])
    filled = fill(model, canvas, lengths, text, seeds=[0, 1, 2, 3], trace=True, group=group)
    opened = [
        49 * parts - 20,
        30 * parts,
        12 * parts,
    ]  # of all parts; the number of passes depends on the length only
    plans = [masked_counts(count, passes) for count, passes in zip(opened, (10, 6, 2), strict=True)] + [[]]
    assert len(filled.trace) == 10
    for number, step in enumerate(filled.trace):
        assert torch.equal(step.canvas[fixed], canvas[fixed])
        for item, plan in enumerate(plans):
            masked = step.canvas[item] == MASK
            assert int(masked.sum()) == (plan[number] if number < len(plan) else 0)
            assert torch.equal(step.tokens[item][~masked], step.canvas[item][~masked])
            assert not (step.tokens[item] == MASK).any()
        if number:
            before = filled.trace[number - 1]
            masked, was_masked = step.canvas == MASK, before.canvas == MASK
            assert not (masked & ~was_masked).any()  # what was kept stays
            for item in range(4):
                kept = before.confidence[item][was_masked[item] & ~masked[item]]
                if masked[item].any() and len(kept):  # the least confident are masked again
                    assert kept.min() >= before.confidence[item][masked[item]].max()
    last = filled.trace[-1]
    assert torch.equal(last.tokens, filled.tokens) and torch.equal(last.confidence, filled.confidence)
    assert (filled.confidence[fixed] == 1).all() and torch.equal(filled.tokens[fixed], canvas[fixed])
    assert filled.tokens[3, :, 9:].eq(0).all() and filled.confidence[3, :, 9:].eq(0).all()
    assert filled.confidence.min() >= 0 and filled.confidence.max() <= 1
    assert 0 <= filled.tokens.min() and filled.tokens.max() < 40
    assert (canvas[1] == MASK).all()  # the caller's canvas is left alone


def test_a_full_canvas_needs_no_pass():
    canvas = torch.randint(40, (2, 1, 9), generator=torch.Generator().manual_seed(0))
    filled = fill(make_model(), canvas, torch.tensor([9, 9]), make_text(2), seeds=[0, 1], trace=True)
    assert torch.equal(filled.tokens, canvas) and filled.trace == []


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_codes_are_drawn_from_the_distribution(temperature):
    model = make_model(sharpness=0.3, codes=6, max_tokens=1)
    words, sentence = make_text(1).words, make_text(2000).sentence[:1].expand(2000, -1)
    mask = torch.ones(1, words.shape[1], dtype=torch.bool)
    with torch.no_grad():
        logits = model(*empty(1), words, mask, sentence[:1])[0, 0, 0]
    expected, plain = (logits / temperature).softmax(0), logits.softmax(0)
    text = TextEmbedding(words.expand(2000, -1, -1), mask.expand(2000, -1), sentence)
    filled = fill(model, *empty(*[1] * 2000), text, temperature=temperature, seeds=range(2000), group=500)
    codes = filled.tokens.flatten()
    assert torch.allclose(filled.confidence.flatten(), plain[codes], atol=1e-5)  # without temperature
    counts = torch.bincount(codes, minlength=6)
    statistic = ((counts - 2000 * expected) ** 2 / (2000 * expected)).sum()
    assert statistic < 20.5  # chi-square with 5 degrees of freedom, p = 0.001
    assert expected.max() < 0.9  # otherwise the test would show little


def test_argmax_and_guidance():
    model, text = make_model(), make_text(2)
    canvas, lengths = empty(1, 1)
    with torch.no_grad():
        inputs = (canvas, lengths, text.words, text.mask, text.sentence)
        conditional = model(*inputs)[:, 0, 0]
        unconditional = model(*inputs, drop_text=torch.ones(2, dtype=torch.bool))[:, 0, 0]
    expected = unconditional + 3 * (conditional - unconditional)
    filled = fill(model, canvas, lengths, text, argmax=True, guidance=3.0)
    assert torch.equal(filled.tokens[:, 0, 0], expected.argmax(1))
    assert torch.allclose(filled.confidence[:, 0, 0], expected.softmax(1).amax(1), atol=1e-5)
    cold = fill(model, canvas, lengths, text, guidance=3.0, temperature=1e-6, seeds=[0, 1])
    assert torch.equal(cold.tokens, filled.tokens)


@pytest.mark.parametrize(("predicts", "part"), [(1, 0), (2, 0), (2, 1)])
def test_one_part_is_filled_to_fit_the_other(predicts, part):
    model, text, other = make_model(parts=2, predicts=predicts), make_text(2), 1 - part
    canvas, lengths = empty(20, 11, parts=2)
    canvas[:, other] = torch.arange(20)
    filled = fill(model, canvas, lengths, text, seeds=[0, 1])
    for item, length in enumerate(lengths):
        assert torch.equal(filled.tokens[item, other, :length], canvas[item, other, :length])
        assert filled.confidence[item, other, :length].eq(1).all()
        assert filled.confidence[item, part, :length].lt(1).all()
    changed = canvas.clone()
    changed[:, other] += 15
    moved = fill(model, changed, lengths, text, seeds=[0, 1]).tokens
    assert not torch.equal(moved[:, part], filled.tokens[:, part])


def test_mask_in_a_part_that_is_not_predicted():
    model, text = make_model(parts=2, predicts=1), make_text(2)
    canvas, lengths = empty(20, 11, parts=2)
    canvas[:, 1] = torch.arange(20)
    canvas[1, 1, 3] = MASK
    with pytest.raises(ValueError, match="lower part"):
        fill(model, canvas, lengths, text, seeds=[0, 1])
    canvas[1, 1, 3], canvas[1, 1, 11] = 0, MASK  # beyond the end of the item: ignored
    fill(model, canvas, lengths, text, seeds=[0, 1])


def test_the_positions_of_both_parts_share_one_ranking():
    """A model whose answers are known: code 2 everywhere in the first pass, 1 in the second, 0 in the third."""
    confidences = [
        [[0.80, 0.70, 0.60, 0.9], [0.50, 0.95, 0.85, 0.99]],
        [[0.75, 0.70, 0.65, 0.9], [0.45, 0.95, 0.40, 0.99]],
        [[0.70, 0.70, 0.70, 0.9], [0.70, 0.70, 0.70, 0.99]],
    ]
    model, calls = make_model(parts=2, codes=3), iter(zip((2, 1, 0), confidences, strict=True))

    def answer(canvas, lengths, words, mask, sentence):
        code, table = next(calls)
        chances = torch.tensor(table)[None, ..., None]
        return torch.where(torch.arange(3) == code, chances, (1 - chances) / 2).log()

    model.forward = answer
    canvas, lengths = empty(4, parts=2)
    canvas[0, :, 3] = 0  # fixed: six positions are open, masked_counts(6, 3) = [6, 5, 2]
    filled = fill(model, canvas, lengths, make_text(1), steps=3, argmax=True, trace=True)
    o = MASK
    assert [step.canvas[0].tolist() for step in filled.trace] == [
        [[o, o, o, 0], [o, o, o, 0]],
        [[o, o, o, 0], [o, 2, o, 0]],  # the most confident of all, 0.95, stays
        [[1, 1, 1, 0], [o, 2, o, 0]],  # the two least confident are both in the lower part
    ]
    assert filled.tokens[0].tolist() == [[1, 1, 1, 0], [0, 2, 0, 0]]
    expected = torch.tensor([[0.75, 0.70, 0.65, 1.0], [0.70, 0.95, 0.70, 1.0]])
    torch.testing.assert_close(filled.confidence[0], expected)


def test_of_equally_confident_positions_the_upper_part_comes_first():
    model = make_model(parts=2, codes=3)
    model.forward = lambda canvas, *_: torch.zeros(*canvas.shape, 3)
    filled = fill(model, *empty(2, parts=2), make_text(1), steps=2, argmax=True, trace=True)
    assert (filled.trace[1].canvas[0] == MASK).tolist() == [[True, True], [False, False]]


def test_a_model_in_training_is_used_without_dropout_and_left_in_training():
    model, text = make_model(), make_text(1)
    expected = fill(model, *empty(12), text, seeds=[0]).tokens
    model.train()
    assert torch.equal(fill(model, *empty(12), text, seeds=[0]).tokens, expected)
    assert model.training


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(lengths=torch.tensor([0, 5])), "from 0 to 5"),
        (dict(lengths=torch.tensor([5, 10])), "from 5 to 10 tokens, expected 1 to 9"),
        (dict(canvas=torch.full((2, 1, 60), MASK), lengths=torch.tensor([5, 50])), "to 50 tokens, expected 1 to 49"),
        (dict(canvas=torch.full((2, 1, 9), 40)), "from 40 to 40"),
        (dict(canvas=torch.full((2, 1, 9), -2)), "from -2 to -2"),
        (dict(canvas=torch.full((2, 2, 9), MASK)), r"2 part\(s\), expected 1"),
        (dict(text=make_text(3)), "3 texts"),
        (dict(text=TextEmbedding(torch.ones(2, 3, 16), torch.zeros(2, 3) > 0, torch.ones(2, 16))), "mask"),
        (dict(seeds=[1]), "1 seeds"),
        (dict(seeds=None), "seeds and generators"),
        (dict(seeds=None, argmax=True, remask="random"), "seeds and generators"),
        (dict(generators=[torch.Generator()] * 2), "seeds and generators"),
        (dict(steps=0), "steps is 0"),
        (dict(group=0), "group is 0"),
        (dict(schedule="step"), "'step', expected one of cosine, linear"),
        (dict(remask="worst"), "'worst', expected one of least, most, random"),
        (dict(random="numpy"), "random is 'numpy', expected one of torch, portable"),
        (dict(seeds=None, generators=[Philox(0)] * 2, random="portable"), "'portable', expected one of torch"),
        (dict(temperature=0.0), "temperature is 0.0"),
        (dict(temperature=float("nan")), "temperature is nan"),
        (dict(guidance=float("inf")), "guidance is inf"),
        (dict(guidance=2.0, model=make_model(text_dropout=0.0)), "guidance is 2.0"),
    ],
)  # fmt: skip
def test_refusals(changes, named):
    canvas, lengths = empty(9, 5)
    inputs = dict(model=make_model(), canvas=canvas, lengths=lengths, text=make_text(2), seeds=[0, 1])
    with pytest.raises(ValueError, match=named):
        fill(**inputs | changes)
