"""Masked positions of held-out clips: the predictions, the errors of choices, and a decode pass by pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import tokenizer as tokenizers
from made_up import tokens as made_up

from mmm import calibration
from mmm.lab import calibration as study
from mmm.motion import features_to_joints
from mmm.sampling import Step, fill
from mmm.transformer import MASK, MaskedTransformer, preset

CAPTIONS = ("a person walks", "someone bows", "a man runs", "a woman waves")
LENGTHS = torch.tensor([5, 9, 3, 9])
SMALL = replace(tokenizers.SMALL, depth=1)


def clips(parts=1):
    """Four clips of 5, 9, 3 and 9 tokens."""
    return made_up.token_set(tuple(LENGTHS.tolist()), [[caption] for caption in CAPTIONS], parts=parts)


def transformer(parts=1, **changes):
    torch.manual_seed(0)
    config = preset("tiny", codes=made_up.CODES, code_dim=6, text_dim=made_up.WIDTH, parts=parts, **changes)
    return MaskedTransformer(config, torch.randn(parts, made_up.CODES, 6)).eval()


TEXT = made_up.text_of(*CAPTIONS)


@pytest.mark.parametrize(("ratio", "parts"), [(0.0, 1), (0.4, 1), (1.0, 1), (0.5, 2)])
def test_every_masked_position_is_predicted_once_with_its_truth(ratio, parts):
    tokens = clips(parts)
    predictions = study.predict_hidden(transformer(parts), tokens, TEXT, ratio)
    rows = torch.stack([predictions.clip, predictions.part, predictions.position], 1)
    assert torch.equal(tokens.tokens[rows.unbind(1)].long(), predictions.targets)
    assert len(rows.unique(dim=0)) == len(rows)
    counts = predictions.clip.bincount(minlength=4)
    assert torch.equal(counts, (ratio * parts * LENGTHS).round().clamp(min=1).long())
    assert (predictions.position < LENGTHS[predictions.clip]).all()
    assert predictions.ratio.tolist() == pytest.approx([ratio] * len(rows))


def test_the_logits_are_the_models_for_this_very_canvas():
    tokens, model = clips(), transformer()
    predictions = study.predict_hidden(model, tokens, TEXT, 0.5, seed=3)
    for clip in range(4):
        own = predictions.clip == clip
        canvas, lengths = tokens.batch(torch.tensor([clip]))
        canvas[0, 0, predictions.position[own]] = MASK
        text = TEXT.lookup([CAPTIONS[clip]])
        with torch.no_grad():
            logits = model(canvas, lengths, text.words, text.mask, text.sentence)[0, 0]
        expected = logits[predictions.position[own]]
        torch.testing.assert_close(predictions.logits[own], expected, rtol=1e-4, atol=1e-5)
    confidence, right = calibration.answers(predictions.logits, predictions.targets)
    assert (
        np.array_equal(right, (predictions.chosen == predictions.targets).numpy()) and confidence.max() <= 1
    )


def test_one_pass_of_the_sampler_gives_the_same_codes_and_confidence():
    tokens, model = clips(), transformer(text_dropout=0.1)
    predictions = study.predict_hidden(model, tokens, TEXT, 1.0, guidance=2.0)
    truth, sizes = tokens.batch(torch.arange(4))
    canvas = torch.full_like(truth, MASK)
    filled = fill(model, canvas, sizes, TEXT.lookup(list(CAPTIONS)), steps=1, argmax=True, guidance=2.0)
    where = predictions.clip, predictions.part, predictions.position
    assert torch.equal(filled.tokens[where], predictions.chosen)
    confidence, _ = calibration.answers(predictions.logits, predictions.targets)
    np.testing.assert_allclose(filled.confidence[where].numpy(), confidence, rtol=1e-4)


def test_some_clips_and_the_rows_of_several():
    predictions = study.predict_hidden(transformer(), clips(), TEXT, 1.0, clips=[3, 1])
    assert predictions.clip.unique().tolist() == [1, 3] and len(predictions) == 18
    both = study.Predictions.join([predictions, predictions])
    assert both.clip.tolist() == 2 * predictions.clip.tolist()


@pytest.mark.parametrize("parts", [1, 2])
def test_the_error_of_a_choice_is_what_decoding_it_in_its_position_changes(parts):
    tokenizer, tokens = tokenizers.random_tokenizer(replace(SMALL, parts=parts)), clips(parts)
    clip, position = torch.tensor([1, 3, 1, 0, 1]), torch.tensor([0, 8, 4, 2, 4])
    part = torch.full_like(clip, parts - 1)
    truth = tokens.tokens[clip, part, position].long()
    code = torch.where(torch.tensor([False, False, False, True, False]), truth, (truth + 3) % 16)
    errors = study.choice_errors(tokenizer, tokens, clip, part, position, code)
    assert errors[3] == 0 and (errors[[0, 1, 2, 4]] > 0).all()
    assert errors[2] == errors[4], "the same choice in the same position"
    for row in range(3):
        original = tokens.batch(clip[row : row + 1])[0]
        changed = original.clone()
        changed[0, part[row], position[row]] = code[row]
        frames = slice(4 * int(position[row]), 4 * int(position[row]) + 4)
        a, b = (features_to_joints(tokenizer.decode(x)[:, frames].double()) for x in (changed, original))
        assert errors[row] == pytest.approx(100 * float((a - b).norm(dim=-1).mean()), rel=1e-4)


@pytest.mark.parametrize(("parts", "count"), [(1, 26), (1, 6), (2, 52)])
def test_the_error_of_every_code_and_which_is_the_true_one(parts, count):
    tokenizer, tokens = tokenizers.random_tokenizer(replace(SMALL, parts=parts)), clips(parts)
    errors, truth = study.synonyms(tokenizer, tokens, count, seed=1)
    assert errors.shape == (count, 32) and (errors[np.arange(count), truth] == 0).all()
    assert ((errors == 0).sum(1) == 1).all(), "no second code of a random codebook decodes to the same"
    if count == parts * 26:
        real = [tokens.tokens[row, :, :size] for row, size in enumerate(tokens.lengths)]
        every = torch.cat([row.flatten() for row in real])
        assert sorted(truth.tolist()) == sorted(every.tolist()), "each position of each part once"
    with pytest.raises(ValueError, match="count is 53, expected 1 to"):
        study.synonyms(tokenizer, tokens, 53)


def test_a_decode_pass_by_pass():
    truth, sizes = torch.tensor([[[1, 2, 3]], [[5, 6, 0]]]), torch.tensor([3, 2])
    passes = [  # canvas, tokens and confidence of both items
        ([[MASK, MASK, 3], [5, MASK, 0]], [[1, 9, 3], [5, 6, 0]], [[0.9, 0.2, 1.0], [1.0, 0.3, 0.0]]),
        ([[1, MASK, 3], [5, 6, 0]], [[1, 2, 3], [5, 6, 0]], [[0.9, 0.5, 1.0], [1.0, 0.3, 0.0]]),
    ]
    steps = [Step(*(torch.tensor(values)[:, None] for values in one)) for one in passes]
    table = study.passes_table(steps, truth, sizes)
    assert table.number.tolist() == [1, 1, 1, 2]
    assert list(zip(table["item"], table.position, strict=True)) == [(0, 0), (0, 1), (1, 1), (0, 1)]
    assert table.right.tolist() == [True, False, True, True]
    assert table.final.tolist() == [True, False, True, True]
    assert table.confidence.tolist() == pytest.approx([0.9, 0.2, 0.3, 0.5])
