"""Hidden places of held-out clips: what is asked, what the answers cost, and a decode pass by pass."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import tokenizer as tokenizers
from made_up import tokens as made_up

from mmm import calibration
from mmm.lab import calibration as held_out
from mmm.motion import features_to_joints
from mmm.sampling import Step, fill
from mmm.transformer import MASK, MaskedTransformer, preset

HERE = Path(__file__).parent

CAPTIONS = ("a person walks", "someone bows", "a man runs", "a woman waves")


def clips(parts=1):
    """Four clips of 5, 9, 3 and 9 tokens."""
    return made_up.token_set((5, 9, 3, 9), [[caption] for caption in CAPTIONS], parts=parts)


def transformer(parts=1, **changes):
    torch.manual_seed(0)
    config = preset("tiny", codes=made_up.CODES, code_dim=6, text_dim=made_up.WIDTH, parts=parts, **changes)
    return MaskedTransformer(config, torch.randn(parts, made_up.CODES, 6)).eval()


@pytest.mark.parametrize(("share", "parts"), [(0.0, 1), (0.4, 1), (1.0, 1), (0.5, 2)])
def test_every_hidden_place_is_asked_once_and_knows_its_truth(share, parts):
    tokens, text = clips(parts), made_up.text_of(*CAPTIONS)
    found = held_out.predict_hidden(transformer(parts), tokens, text, share)
    assert torch.equal(tokens.tokens[found.clip, found.part, found.place].long(), found.targets)
    rows = torch.stack([found.clip, found.part, found.place], 1)
    assert len(rows.unique(dim=0)) == len(rows)
    counts = found.clip.bincount(minlength=4)
    lengths = parts * torch.tensor([5, 9, 3, 9])
    assert torch.equal(counts, (share * lengths).round().clamp(min=1).long())
    assert (found.place < torch.tensor([5, 9, 3, 9])[found.clip]).all()
    assert found.share.tolist() == pytest.approx([share] * len(rows))


def test_the_answers_are_the_models_to_this_very_canvas():
    tokens, text, model = clips(), made_up.text_of(*CAPTIONS), transformer()
    found = held_out.predict_hidden(model, tokens, text, 0.5, seed=3)
    for clip in range(4):
        own = found.clip == clip
        canvas, lengths = tokens.batch(torch.tensor([clip]))
        canvas[0, 0, found.place[own]] = MASK
        said = text.lookup([CAPTIONS[clip]])
        with torch.no_grad():
            logits = model(canvas, lengths, said.words, said.mask, said.sentence)[0, 0]
        torch.testing.assert_close(found.logits[own], logits[found.place[own]], rtol=1e-4, atol=1e-5)
    confidence, right = calibration.answers(found.logits, found.targets)
    assert np.array_equal(right, (found.chosen == found.targets).numpy()) and confidence.max() <= 1


def test_one_pass_of_the_sampler_gives_the_same_codes_and_confidence():
    tokens, text, model = clips(), made_up.text_of(*CAPTIONS), transformer(text_dropout=0.1)
    found = held_out.predict_hidden(model, tokens, text, 1.0, guidance=2.0)
    truth, sizes = tokens.batch(torch.arange(4))
    said = text.lookup(list(CAPTIONS))
    empty = torch.full_like(truth, MASK)
    filled = fill(model, empty, sizes, said, steps=1, argmax=True, guidance=2.0)
    assert torch.equal(filled.tokens[found.clip, found.part, found.place], found.chosen)
    confidence, _ = calibration.answers(found.logits, found.targets)
    asked = filled.confidence[found.clip, found.part, found.place]
    np.testing.assert_allclose(asked.numpy(), confidence, rtol=1e-4)


def test_some_clips_and_some_rows():
    tokens, text = clips(), made_up.text_of(*CAPTIONS)
    found = held_out.predict_hidden(transformer(), tokens, text, 1.0, clips=[3, 1])
    assert found.clip.unique().tolist() == [1, 3]
    first = found.where(found.clip == 3)
    both = held_out.Predictions.join([first, found.where(np.asarray(found.clip == 1))])
    assert len(first) == 9 and len(both) == len(found) == 18
    assert both.clip.tolist() == [3] * 9 + [1] * 9


@pytest.mark.parametrize("parts", [1, 2])
def test_a_choice_costs_what_decoding_it_in_its_place_changes(parts):
    config = tokenizers.SMALL if parts == 1 else type(tokenizers.SMALL)(width=16, depth=1, codes=32, parts=2)
    tokenizer, tokens = tokenizers.made(config), clips(parts)
    clip, place = torch.tensor([1, 3, 1, 0, 1]), torch.tensor([0, 8, 4, 2, 4])
    part = torch.full_like(clip, parts - 1)
    true = tokens.tokens[clip, part, place].long()
    code = torch.where(torch.tensor([False, False, False, True, False]), true, (true + 3) % 16)
    cost = held_out.choice_errors(tokenizer, tokens, clip, part, place, code)
    assert cost[3] == 0 and (cost[[0, 1, 2, 4]] > 0).all()
    assert cost[2] == cost[4], "the same choice in the same place"
    for row in range(3):
        truth = tokens.batch(clip[row : row + 1])[0]
        changed = truth.clone()
        changed[0, part[row], place[row]] = code[row]
        frames = slice(4 * int(place[row]), 4 * int(place[row]) + 4)
        a, b = (features_to_joints(tokenizer.decode(x)[:, frames].double()) for x in (changed, truth))
        assert cost[row] == pytest.approx(100 * float((a - b).norm(dim=-1).mean()), rel=1e-4)


def test_what_every_code_would_cost_at_places_of_both_body_parts():
    config = type(tokenizers.SMALL)(width=16, depth=1, codes=32, parts=2)
    tokenizer, tokens = tokenizers.made(config), clips(2)
    cost, true = held_out.synonyms(tokenizer, tokens, places=52)
    assert (cost[np.arange(52), true] == 0).all() and ((cost == 0).sum(1) == 1).all()
    real = [tokens.tokens[row, :, :size] for row, size in enumerate(tokens.lengths)]
    every = torch.cat([row.flatten() for row in real])
    assert sorted(true.tolist()) == sorted(every.tolist()), "each place of each part is asked about once"


def test_what_every_code_would_cost_and_which_is_the_true_one():
    tokenizer, tokens = tokenizers.made(), clips()
    cost, true = held_out.synonyms(tokenizer, tokens, places=6, seed=1)
    assert cost.shape == (6, 32) and len(true) == 6
    assert (cost[np.arange(6), true] == 0).all() and (cost >= 0).all()
    assert (np.sort(cost, 1)[:, 1] > 0).all(), "no second code of a random codebook decodes to the same"
    with pytest.raises(ValueError, match="places is 27, expected 1 to 26"):
        held_out.synonyms(tokenizer, tokens, places=27)


def test_a_decode_pass_by_pass():
    truth, sizes = torch.tensor([[[1, 2, 3]], [[5, 6, 0]]]), torch.tensor([3, 2])
    steps = [
        Step(
            torch.tensor([[[MASK, MASK, 3]], [[5, MASK, 0]]]),
            torch.tensor([[[1, 9, 3]], [[5, 6, 0]]]),
            torch.tensor([[[0.9, 0.2, 1.0]], [[1.0, 0.3, 0.0]]]),
        ),
        Step(
            torch.tensor([[[1, MASK, 3]], [[5, 6, 0]]]),
            torch.tensor([[[1, 2, 3]], [[5, 6, 0]]]),
            torch.tensor([[[0.9, 0.5, 1.0]], [[1.0, 0.3, 0.0]]]),
        ),
    ]
    table = held_out.passes_table(steps, truth, sizes)
    assert table.number.tolist() == [1, 1, 1, 2]
    assert list(zip(table.item, table.place, strict=True)) == [(0, 0), (0, 1), (1, 1), (0, 1)]
    assert table.right.tolist() == [True, False, True, True]
    assert table.final.tolist() == [True, False, True, True]
    assert table.confidence.tolist() == pytest.approx([0.9, 0.2, 0.3, 0.5])
