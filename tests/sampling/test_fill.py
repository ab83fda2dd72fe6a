from types import SimpleNamespace

import pytest
import torch

from mmm.release.transformer import from_release_state
from mmm.sampling import default_steps, fill, masked_counts
from mmm.transformer import MASK, MaskedTransformer, preset


def make_model(sharpness=1.0, codes=40, **changes):
    """Random weights, large enough that canvas and text matter; flat or sharp logits."""
    torch.manual_seed(0)
    config = preset("tiny", codes=codes, code_dim=6, text_dim=16, **changes)
    model = MaskedTransformer(config, torch.randn(config.parts, codes, 6)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0 if parameter.dim() == 2 else 1.0)
        model.head.weight.mul_(sharpness)
    return model


def make_text(batch, seed=0, longest=12):
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, longest + 1, (batch, 1), generator=generator)
    words = torch.randn(batch, longest, 16, generator=generator)
    sentence = torch.randn(batch, 16, generator=generator)
    return SimpleNamespace(words=words, mask=torch.arange(longest) < counts, sentence=sentence)


def one_of(text, item):
    """The text of one item as it would come alone: without the padding that its mates need."""
    real = text.mask[item]
    return SimpleNamespace(
        words=text.words[item][real][None], mask=real[real][None], sentence=text.sentence[item][None]
    )


def empty(*lengths, parts=1):
    return torch.full((len(lengths), parts, max(lengths)), MASK), torch.tensor(lengths)


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
        text = SimpleNamespace(
            words=words, mask=torch.ones(words.shape[:2], dtype=torch.bool), sentence=sentence
        )
        filled = fill(model, canvas, lengths, text, argmax=True, trace=True, group=group)
        assert torch.equal(torch.stack([step.canvas[0, 0] for step in filled.trace]), ours(steps)), case
        assert torch.equal(filled.tokens[0, 0], tokens), case


@pytest.mark.parametrize(
    ("sharpness", "guidance", "group", "parts"),
    [
        (0.05, 1.0, 1, 1), (1.0, 2.0, 1, 1), (8.0, 1.0, 1, 1), (0.05, 2.0, 3, 1), (8.0, 1.0, 3, 1),
        (1.0, 2.0, 1, 2), (1.0, 1.0, 3, 2),
    ],
)  # fmt: skip
def test_alone_and_among_sixteen_others(sharpness, guidance, group, parts):
    model, differing, tried = make_model(sharpness, parts=parts), 0, 0
    for trial in range(2):
        lengths = torch.randint(1, 50, (17,), generator=torch.Generator().manual_seed(trial))
        canvas, _ = empty(*lengths.tolist(), parts=parts)
        if parts == 2:  # every third item has its lower part given, every third its upper one
            canvas[1::3, 1], canvas[2::3, 0] = 7, torch.arange(canvas.shape[2]) % 40
        text, seeds = make_text(17, seed=trial), list(range(100 * trial, 100 * trial + 17))
        together = fill(model, canvas, lengths, text, guidance=guidance, seeds=seeds, group=group)
        for item in range(trial, 17, 4):
            n = int(lengths[item])
            alone = fill(
                model,
                canvas[item : item + 1, :, :n],
                lengths[item : item + 1],
                one_of(text, item),
                guidance=guidance,
                seeds=seeds[item : item + 1],
                group=group,
            )
            tried += 1
            differing += not (
                torch.equal(alone.tokens[0], together.tokens[item, :, :n])
                and torch.equal(alone.confidence[0], together.confidence[item, :, :n])
            )
    assert (differing, tried) == (0, 9)


@pytest.mark.parametrize("parts", [1, 2])
def test_noise_is_drawn_for_the_items_own_places_only(parts):
    model, text = make_model(parts=parts), make_text(3)
    mine = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
    fill(model, *empty(20, 49, 7, parts=parts), text, generators=mine)
    alone = torch.Generator().manual_seed(3)
    fill(model, *empty(7, parts=parts), one_of(text, 2), generators=[alone])
    assert torch.equal(mine[2].get_state(), alone.get_state())
    plain = torch.Generator().manual_seed(3)  # one number for each code of each place that is open
    for count in masked_counts(7 * parts, default_steps(7)):
        torch.rand(count, 40, generator=plain)
    assert torch.equal(plain.get_state(), alone.get_state())
    given = empty(20, 49, 7, parts=parts)
    seeded = fill(model, *given, text, seeds=[1, 2, 3]).tokens
    assert not torch.equal(seeded, fill(model, *given, text, seeds=[1, 2, 4]).tokens)
    fresh = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
    assert torch.equal(seeded, fill(model, *given, text, generators=fresh).tokens)


@pytest.mark.parametrize(("group", "parts"), [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_trace_keeps_the_rules(group, parts):
    model, text = make_model(parts=parts), make_text(4)
    canvas, lengths = empty(49, 30, 12, 9, parts=parts)
    canvas[0, 0, :20] = torch.arange(20)
    canvas[3, :, :9] = 5  # nothing to fill
    given = (canvas != MASK) & (torch.arange(49) < lengths[:, None, None])
    filled = fill(model, canvas, lengths, text, seeds=[0, 1, 2, 3], trace=True, group=group)
    opened = [49 * parts - 20, 30 * parts, 12 * parts]  # of all parts; the passes go by the length alone
    plans = [masked_counts(count, passes) for count, passes in zip(opened, (10, 6, 2), strict=True)] + [[]]
    assert len(filled.trace) == 10
    for number, step in enumerate(filled.trace):
        assert torch.equal(step.canvas[given], canvas[given])
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
                sure = before.confidence[item][was_masked[item]]
                kept = before.confidence[item][was_masked[item] & ~masked[item]]
                if masked[item].any() and len(kept):  # the least sure are masked again
                    assert kept.min() >= sure.sort().values[int(masked[item].sum()) - 1]
    last = filled.trace[-1]
    assert torch.equal(last.tokens, filled.tokens) and torch.equal(last.confidence, filled.confidence)
    assert (filled.confidence[given] == 1).all() and torch.equal(filled.tokens[given], canvas[given])
    assert filled.tokens[3, :, 9:].eq(0).all() and filled.confidence[3, :, 9:].eq(0).all()
    assert filled.confidence.min() >= 0 and filled.confidence.max() <= 1
    assert 0 <= filled.tokens.min() and filled.tokens.max() < 40
    assert (canvas[1] == MASK).all()  # the caller's canvas is left alone


def test_nothing_open_nothing_done():
    canvas = torch.randint(40, (2, 1, 9), generator=torch.Generator().manual_seed(0))
    filled = fill(make_model(), canvas, torch.tensor([9, 9]), make_text(2), seeds=[0, 1], trace=True)
    assert torch.equal(filled.tokens, canvas) and filled.trace == []


def test_number_of_passes():
    assert [default_steps(n) for n in (1, 7, 8, 12, 16, 25, 30, 37, 49)] == [1, 1, 2, 2, 3, 5, 6, 8, 10]
    assert masked_counts(49, 10) == [49, 48, 46, 43, 39, 34, 28, 22, 15, 7]
    assert masked_counts(16, 3) == [
        16,
        13,
        7,
    ]  # as the golden decodes, where 8 would be due by exact arithmetic
    assert masked_counts(2, 5) == [2, 1, 1, 1, 1]
    assert masked_counts(8, 4, "linear") == [8, 6, 4, 2]
    assert masked_counts(0, 4) == []
    filled = fill(make_model(), *empty(30), make_text(1), steps=4, seeds=[0], trace=True)
    assert len(filled.trace) == 4


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_codes_are_drawn_from_the_distribution(temperature):
    model = make_model(sharpness=0.3, codes=6, max_tokens=1)
    words, sentence = make_text(1).words, make_text(2000).sentence[:1].expand(2000, -1)
    mask = torch.ones(1, words.shape[1], dtype=torch.bool)
    with torch.no_grad():
        logits = model(*empty(1), words, mask, sentence[:1])[0, 0, 0]
    expected, plain = (logits / temperature).softmax(0), logits.softmax(0)
    text = SimpleNamespace(words=words.expand(2000, -1, -1), mask=mask.expand(2000, -1), sentence=sentence)
    filled = fill(model, *empty(*[1] * 2000), text, temperature=temperature, seeds=range(2000), group=500)
    codes = filled.tokens.flatten()
    assert torch.allclose(filled.confidence.flatten(), plain[codes], atol=1e-5)  # before temperature
    counts = torch.bincount(codes, minlength=6)
    statistic = ((counts - 2000 * expected) ** 2 / (2000 * expected)).sum()
    assert statistic < 20.5  # chi-square with 5 degrees of freedom, p = 0.001
    assert expected.max() < 0.9  # else the test would show little


def test_argmax_and_guidance():
    model, text = make_model(), make_text(2)
    canvas, lengths = empty(1, 1)
    with torch.no_grad():
        given = (canvas, lengths, text.words, text.mask, text.sentence)
        conditional = model(*given)[:, 0, 0]
        unconditional = model(*given, drop_text=torch.ones(2, dtype=torch.bool))[:, 0, 0]
    expected = unconditional + 3 * (conditional - unconditional)
    filled = fill(model, canvas, lengths, text, argmax=True, guidance=3.0)
    assert torch.equal(filled.tokens[:, 0, 0], expected.argmax(1))
    assert torch.allclose(filled.confidence[:, 0, 0], expected.softmax(1).amax(1), atol=1e-5)
    cold = fill(model, canvas, lengths, text, guidance=3.0, temperature=1e-6, seeds=[0, 1])
    assert torch.equal(cold.tokens, filled.tokens)


def test_upper_part_is_filled_to_a_given_lower_part():
    model, text = make_model(parts=2, predicts=1), make_text(2)
    canvas, lengths = empty(20, 11, parts=2)
    canvas[:, 1] = torch.arange(20)
    filled = fill(model, canvas, lengths, text, seeds=[0, 1])
    assert torch.equal(filled.tokens[0, 1], canvas[0, 1]) and not (filled.tokens == MASK).any()
    other = canvas.clone()
    other[:, 1] += 15
    assert not torch.equal(fill(model, other, lengths, text, seeds=[0, 1]).tokens[:, 0], filled.tokens[:, 0])
    canvas[1, 1, 3] = MASK
    with pytest.raises(
        ValueError, match="lower part .* has open places, but this model predicts only the upper"
    ):
        fill(model, canvas, lengths, text, seeds=[0, 1])
    canvas[1, 1, 3], canvas[1, 1, 11] = 0, MASK  # beyond the end of the item: no matter
    fill(model, canvas, lengths, text, seeds=[0, 1])


@pytest.mark.parametrize("part", [0, 1])
def test_either_part_is_filled_to_the_other(part):
    model, text = make_model(parts=2), make_text(2)
    canvas, lengths = empty(20, 11, parts=2)
    given = 1 - part
    canvas[:, given] = torch.arange(20)
    filled = fill(model, canvas, lengths, text, seeds=[0, 1])
    for item, length in enumerate(lengths):
        assert torch.equal(filled.tokens[item, given, :length], canvas[item, given, :length])
        assert filled.confidence[item, given, :length].eq(1).all()
        assert filled.confidence[item, part, :length].lt(1).all()
    other = canvas.clone()
    other[:, given] += 15
    moved = fill(model, other, lengths, text, seeds=[0, 1]).tokens
    assert not torch.equal(moved[:, part], filled.tokens[:, part])


def test_the_open_places_of_both_parts_stand_in_one_ranking():
    """A model whose answers are known: code 2 everywhere in the first pass, 1 in the second, 0 in the third."""
    sure = [
        [[0.80, 0.70, 0.60, 0.9], [0.50, 0.95, 0.85, 0.99]],
        [[0.75, 0.70, 0.65, 0.9], [0.45, 0.95, 0.40, 0.99]],
        [[0.70, 0.70, 0.70, 0.9], [0.70, 0.70, 0.70, 0.99]],
    ]
    model, calls = make_model(parts=2, codes=3), iter(zip((2, 1, 0), sure, strict=True))

    def answer(canvas, lengths, words, mask, sentence):
        code, table = next(calls)
        chances = torch.tensor(table)[None, ..., None]
        return torch.where(torch.arange(3) == code, chances, (1 - chances) / 2).log()

    model.forward = answer
    canvas, lengths = empty(4, parts=2)
    canvas[0, :, 3] = 0  # given: six places are open, masked_counts(6, 3) = [6, 5, 2]
    filled = fill(model, canvas, lengths, make_text(1), steps=3, argmax=True, trace=True)
    o = MASK
    assert [step.canvas[0].tolist() for step in filled.trace] == [
        [[o, o, o, 0], [o, o, o, 0]],
        [[o, o, o, 0], [o, 2, o, 0]],  # the surest of all, 0.95, stays
        [[1, 1, 1, 0], [o, 2, o, 0]],  # the two least sure are both of the lower part
    ]
    assert filled.tokens[0].tolist() == [[1, 1, 1, 0], [0, 2, 0, 0]]
    expected = torch.tensor([[0.75, 0.70, 0.65, 1.0], [0.70, 0.95, 0.70, 1.0]])
    torch.testing.assert_close(filled.confidence[0], expected)


def test_of_equally_sure_places_the_upper_part_comes_first():
    model = make_model(parts=2, codes=3)
    model.forward = lambda canvas, *_: torch.zeros(*canvas.shape, 3)
    filled = fill(model, *empty(2, parts=2), make_text(1), steps=2, argmax=True, trace=True)
    assert (filled.trace[1].canvas[0] == MASK).tolist() == [[True, True], [False, False]]


def test_a_training_model_is_used_without_dropout_and_left_training():
    model, text = make_model(), make_text(1)
    expected = fill(model, *empty(12), text, seeds=[0]).tokens
    model.train()
    assert torch.equal(fill(model, *empty(12), text, seeds=[0]).tokens, expected)
    assert model.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(lengths=torch.tensor([0, 5])), "lengths run from 0 to 5 tokens, expected 1 to 9"),
        (dict(lengths=torch.tensor([5, 10])), "lengths run from 5 to 10 tokens, expected 1 to 9"),
        (
            dict(canvas=torch.full((2, 1, 60), MASK), lengths=torch.tensor([5, 50])),
            "5 to 50 tokens, expected 1 to 49",
        ),
        (dict(canvas=torch.full((2, 1, 9), 40)), "ids from 40 to 40, expected 0 to 39"),
        (dict(canvas=torch.full((2, 1, 9), -2)), "ids from -2 to -2"),
        (dict(canvas=torch.full((2, 2, 9), MASK)), r"2 part\(s\), expected 1"),
        (
            dict(canvas=torch.zeros(0, 1, 9, dtype=torch.long), lengths=torch.zeros(0, dtype=torch.long)),
            "no items",
        ),
        (dict(text=make_text(3)), "3 texts were given for 2 canvases"),
        (dict(seeds=[1]), "1 seeds or generators for 2 items"),
        (dict(seeds=None), "one of seeds and generators"),
        (dict(generators=[torch.Generator()] * 2), "one of seeds and generators"),
        (dict(steps=0), "steps is 0"),
        (dict(group=0), "group is 0"),
        (dict(schedule="step"), "schedule is 'step', expected one of cosine, linear"),
        (dict(temperature=0.0), "temperature is 0.0, expected a number above 0: use argmax=True"),
        (dict(temperature=float("nan")), "temperature is nan"),
        (dict(guidance=float("inf")), "guidance is inf"),
    ],
)
def test_refusals(changes, message):
    canvas, lengths = empty(9, 5)
    given = dict(canvas=canvas, lengths=lengths, text=make_text(2), seeds=[0, 1]) | changes
    with pytest.raises(ValueError, match=message):
        fill(make_model(), **given)


def test_refusals_of_the_text():
    text = make_text(2)
    text.mask[1] = False
    with pytest.raises(ValueError, match=r"text \[1\] is False everywhere"):
        fill(make_model(), *empty(9, 5), text, seeds=[0, 1])
    with pytest.raises(ValueError, match="trained without text dropout"):
        fill(make_model(text_dropout=0.0), *empty(9, 5), make_text(2), seeds=[0, 1], guidance=2.0)
