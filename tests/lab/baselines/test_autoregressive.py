"""The autoregressive baseline: causality, the cache, END, the same tokens in any batch, training, folders."""

import pytest
import torch
from made_up.tokens import CODES, WIDTH, text_of, token_set

from mmm.lab.baselines.autoregressive import (
    Autoregressive,
    _next_token_loss,
    mark_ends,
    sample,
    split_ends,
    train_autoregressive,
)
from mmm.recipes import get_recipe
from mmm.training.config import TrainConfig
from mmm.transformer import TransformerConfig
from mmm.transformer.compose import Composer

CAPTIONS = ["walks", "someone jumps up", "waves", "bows"]
TEXT = text_of(*CAPTIONS)


def network(parts=2, text_dropout=0.1, dropout=0.0):
    torch.manual_seed(0)
    config = TransformerConfig(
        codes=CODES, code_dim=8, text_dim=WIDTH, dim=32, layers=2, cross_layers=1, heads=4, max_tokens=12,
        dropout=dropout, parts=parts, text_dropout=text_dropout,
    )  # fmt: skip
    model = Autoregressive(config, torch.randn(parts, CODES, 8)).eval()
    for parameter in model.parameters():  # larger than at the start, so that everything has an effect
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def inputs(parts=2, n=9, seed=0):
    tokens = torch.randint(CODES, (4, parts, n), generator=torch.Generator().manual_seed(seed))
    return tokens, torch.tensor([n, n, n - 2, 3]), TEXT.lookup(CAPTIONS)


def logits_of(model, tokens, lengths, text):
    with torch.no_grad():
        return model(tokens, lengths, text.words, text.mask, text.sentence)


def test_a_later_token_does_not_change_earlier_logits():
    model, (tokens, lengths, text) = network(), inputs()
    before = logits_of(model, tokens, lengths, text)
    assert before.shape == (4, 2, 10, CODES + 1)
    changed = tokens.clone()
    changed[:, 0, 5] = (changed[:, 0, 5] + 1) % CODES
    after = logits_of(model, changed, lengths, text)
    differs = (before != after).any(-1)[:2]
    assert not differs[:, :, :5].any() and not differs[:, 0, 5].any()
    assert differs[:, 1, 5].all(), "the lower part sees the upper one of its own time step"
    assert differs[:, :, 6:].all()
    shorter = logits_of(model, tokens, lengths - 1, text)
    assert torch.equal(shorter[:2, 0, :9], before[:2, 0, :9]) and not torch.equal(shorter, before)


def test_every_text_counts_from_the_first_token_on():
    model, (tokens, lengths, text) = network(), inputs()
    before = logits_of(model, tokens, lengths, text)
    words, sentence = text.words.clone(), text.sentence.clone()
    words[:, 1] += 1
    sentence += 1
    for other in ((words, text.sentence), (text.words, sentence)):
        with torch.no_grad():
            after = model(tokens, lengths, other[0], text.mask, other[1])
        assert (after[:, :, 0] != before[:, :, 0]).any(-1).all()


@torch.no_grad()
def test_the_cache_gives_what_the_whole_sequence_gives():
    model, (tokens, lengths, text) = network(), inputs()
    whole = logits_of(model, tokens, torch.full_like(lengths, 9), text)
    caches = [[] for _ in range(3)]
    words, x = model.embed_words(text.words), model.embed_sentence(text.sentence)[:, None]
    for step in range(10):
        hidden = model.hidden(x, words, text.mask, caches)
        upper = tokens[:, :1, step] if step < 9 else torch.full((4, 1), CODES)
        for part in (0, 1):
            logits = model.logits(hidden, part, upper)[:, 0]
            torch.testing.assert_close(logits, whole[:, part, step], rtol=1e-4, atol=1e-4)
        if step < 9:
            x = model.embed_step(tokens[:, :, step : step + 1])


@pytest.mark.parametrize(("parts", "guidance"), [(1, 1.0), (2, 2.0)])
def test_tokens_do_not_depend_on_the_batch(parts, guidance):
    model, text, lengths = network(parts), TEXT.lookup(CAPTIONS), [9, 12, 5, 12]
    for group in (1, 3):
        how = {"group": group, "guidance": guidance}
        for counts in (lengths, None):
            together = sample(model, text, [5, 6, 7, 8], counts, **how)
            if counts:
                assert [row.shape for row in together] == [(parts, n) for n in lengths]
            assert all(0 <= row.min() and row.max() < CODES for row in together if row.numel())
            for i in (3, 0):
                own = None if counts is None else [counts[i]]
                (alone,) = sample(model, text[i], [5 + i], own, **how)
                assert torch.equal(alone, together[i])
    other = sample(model, text, [1, 2, 3, 4], lengths)
    assert not all(torch.equal(a, b) for a, b in zip(other, together, strict=True))


def test_end_ends_and_is_never_a_code():
    model, text = network(), TEXT.lookup(CAPTIONS[:2])
    rows = model.head.weight.detach().clone()
    with torch.no_grad():
        model.norm.bias.fill_(10.0)
        model.head.weight[CODES].fill_(1.0)  # END of the upper part is certain
    assert [row.shape[1] for row in sample(model, text, [0, 1])] == [1, 1]
    assert [row.shape[1] for row in sample(model, text, [0, 1], shortest=4)] == [4, 4]
    assert [row.shape[1] for row in sample(model, text, [0, 1], [7, 9])] == [7, 9], "a given length counts"
    with torch.no_grad():
        model.head.weight.copy_(rows)
        model.head.weight[CODES].fill_(-1.0)
    assert [row.shape[1] for row in sample(model, text, [0, 1])] == [12, 12]


def test_a_prefix_is_kept_and_continued_as_if_it_had_been_sampled():
    model, text = network(), TEXT.lookup(CAPTIONS[:2])
    whole = sample(model, text, [3, 4], [9, 9])
    again = sample(model, text, [3, 4], [9, 9], prefixes=[row[:, :4] for row in whole])
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
    other = (whole[0][:, :4] + 1) % CODES
    changed = sample(model, text[0], [3], [9], prefixes=[other])[0]  # same noise, another past
    assert torch.equal(changed[:, :4], other) and not torch.equal(changed[:, 4:], whole[0][:, 4:])


def test_what_cannot_be_sampled_is_refused():
    model, text = network(text_dropout=0.0), TEXT.lookup(CAPTIONS)
    for match, arguments, options in (
        ("one of each per text", ([1], [5] * 4), {}),
        ("expected 1 to 12", ([1] * 4, [5, 5, 5, 13]), {}),
        ("text dropout", ([1] * 4, [5] * 4), {"guidance": 2.0}),
        ("temperature is 0", ([1] * 4, [5] * 4), {"temperature": 0.0}),
    ):
        with pytest.raises(ValueError, match=match):
            sample(model, text, *arguments, **options)


def test_it_learns_the_clips_and_their_ends_and_is_saved(tmp_path):
    tokens = token_set([8, 9, 10, 11], [[caption] for caption in CAPTIONS], parts=2)
    config = TrainConfig(steps=90, batch_size=16, lr=5e-3, betas=(0.9, 0.98), ema=0.9, log_every=10)
    recipe = get_recipe("ours", drop_edge=0.0, random_codes=0.05)
    torch.manual_seed(0)
    model = Autoregressive(network().config, torch.randn(2, CODES, 8))
    result = train_autoregressive(tokens, TEXT, model, config, tmp_path, tokens, recipe, progress=False)
    assert result.metrics["val/accuracy"] > 0.95 and result.metrics["val/loss"] < 0.5
    loaded = Autoregressive.from_pretrained(tmp_path / "model")
    made = sample(loaded, TEXT.lookup(CAPTIONS), [0, 1, 2, 3], temperature=0.3)
    assert [row.shape[1] for row in made] == [8, 9, 10, 11], (
        "END after the length of the clip that the text means"
    )
    for clip, row in enumerate(made):
        assert torch.equal(row, tokens.tokens[clip, :, : row.shape[1]].long())
    again = sample(model, TEXT.lookup(CAPTIONS), [0, 1, 2, 3], temperature=0.3)
    assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))


WALKS = {
    "actions": {"walk": {"part": "legs", "repeats": True}},
    "clips": {"c0": "walk"},
    "then": {},
    "while": {},
}


def test_where_a_clip_was_cut_end_does_not_count():
    sizes, tokens = network(1).config, token_set([10, 12], [["walks"], ["bows"]])
    marked = mark_ends(tokens, sizes)
    rows, ended = split_ends(*marked.batch(torch.tensor([0, 1])), sizes)
    assert torch.equal(rows, tokens.batch(torch.tensor([0, 1]))[0])
    assert ended.tolist() == [True, False], "a clip of the largest length may have been cut to it"
    recipe = get_recipe("ours", crop=1.0, then=0.0, at_once=0.0, repeat=0.0)
    composer = Composer(marked, WALKS, 12, recipe, 1)
    clips = torch.zeros(200, dtype=torch.long)
    cropped, lengths, _ = composer.draw(clips, clips, ["walks"] * 200, torch.Generator().manual_seed(0))
    rows, ended = split_ends(cropped, lengths, sizes)
    last = rows.gather(2, (lengths - 1)[:, None, None])[:, 0, 0]
    assert torch.equal(ended, last == 9), "code 9 is the last one of the clip"
    assert 0 < ended.sum() < 120 and rows.max() < CODES


def test_the_loss_leaves_out_an_end_that_does_not_count():
    model, (tokens, lengths, text) = network(), inputs()
    data = {"tokens": tokens, "lengths": lengths, "words": text.words, "word_mask": text.mask}
    data |= {"sentence": text.sentence, "ended": torch.tensor([True, False, True, False])}
    before, _ = _next_token_loss(model, model, data)
    logits = model(tokens, lengths, text.words, text.mask, text.sentence).detach()
    rows = torch.arange(4)
    logits[rows, 0, lengths, CODES] -= 5.0  # END gets less likely where each item ends
    changed = torch.nn.Identity()
    changed.forward = lambda *_: logits
    after, _ = _next_token_loss(model, changed, data)
    assert (after > before + 1e-3).tolist() == [True, False, True, False]
    assert torch.equal(after[[1, 3]], before[[1, 3]])


def test_crops_do_not_teach_where_a_clip_ends(tmp_path):
    tokens = token_set([10], [["walks"]])
    config = TrainConfig(steps=90, batch_size=16, lr=5e-3, betas=(0.9, 0.98), ema=0.9, log_every=10)
    chances = {"drop_edge": 0.0, "random_codes": 0.05, "then": 0.0, "at_once": 0.0, "repeat": 0.0}
    recipe = get_recipe("ours", crop=0.7, **chances)
    torch.manual_seed(0)
    model = Autoregressive(network(1).config, torch.randn(1, CODES, 8))
    composer = Composer(tokens, WALKS, 12, recipe, 1)
    train_autoregressive(tokens, TEXT, model, config, tmp_path, None, recipe, composer, progress=False)
    made = sample(model, TEXT.lookup(["walks"] * 16), list(range(16)), temperature=0.5)
    assert [int(row[0, -1]) for row in made] == [9] * 16, "all end with the last code of the clip"
