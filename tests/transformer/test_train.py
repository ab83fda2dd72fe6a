"""Training and evaluation of transformer and length estimator."""

import numpy as np
import pytest
import torch
from made_up import tokens as made_up
from scipy.stats import norm

from mmm.recipes import get_recipe
from mmm.text import TextEmbedding
from mmm.training.config import TrainConfig
from mmm.training.run_folder import read_metrics
from mmm.transformer import (
    MASK,
    LengthConfig,
    LengthEstimator,
    MaskedTransformer,
    TransformerConfig,
    draw_masked_parts,
)
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import (
    evaluate_transformer,
    masked_batch,
    train_length,
    train_transformer,
)

CODES, WIDTH, token_set, text_of = made_up.CODES, made_up.WIDTH, made_up.token_set, made_up.text_of


def transformer(text_dropout=0.1, parts=1, dropout=0.0, predicts=0):
    torch.manual_seed(0)
    config = TransformerConfig(
        codes=CODES, code_dim=8, text_dim=WIDTH, dim=32, layers=1, cross_layers=1, heads=4, max_tokens=12,
        dropout=dropout, parts=parts, text_dropout=text_dropout, predicts=predicts,
    )  # fmt: skip
    return MaskedTransformer(config, torch.randn(parts, CODES, 8))


def recipe_of(**changes):
    """Our recipe, on clean tokens of one clip each."""
    return get_recipe("ours", **{"drop_edge": 0.0, "random_codes": 0.0, "borrowed_part": 0.0, **changes})


def test_a_masked_batch():
    tokens = token_set([12] * 300, [["a"]] * 300)
    truth, lengths = tokens.batch(torch.arange(300))
    recipe = recipe_of(mask_schedule="uniform(0.5, 0.5)", random_codes=0.5, drop_edge=1.0)
    data = masked_batch(truth, lengths, CODES, recipe, torch.Generator().manual_seed(0))
    assert (data["lengths"] == 11).all()
    real = torch.arange(12) < 11
    masked = data["canvas"] == MASK
    assert not masked[..., ~real].any() and (masked.sum(2) == 6).all()  # half of 11, rounded to even
    wrong = (data["canvas"] != data["tokens"])[..., real] & ~masked[..., real]
    assert 0.4 < wrong.sum() / (~masked[..., real]).sum() < 0.54  # a random code may be the right one
    plain = masked_batch(truth, lengths, CODES, recipe_of(), torch.Generator())
    shown = plain["canvas"] != MASK
    assert torch.equal(plain["canvas"][shown], truth[shown]) and torch.equal(plain["tokens"], truth)


def test_a_masked_batch_of_two_parts():
    truth, lengths = token_set([12] * 300, [["a"]] * 300, parts=2).batch(torch.arange(300))
    recipe = recipe_of(mask_schedule="uniform(0.5, 0.5)", random_codes=0.5, drop_edge=1.0)
    parts = draw_masked_parts(300, 2, recipe.both_parts, torch.Generator().manual_seed(1))
    data = masked_batch(truth, lengths, CODES, recipe, torch.Generator().manual_seed(0), parts)
    real = torch.arange(12) < 11
    masked, wrong = data["canvas"] == MASK, data["canvas"] != data["tokens"]
    assert not masked[..., ~real].any() and not masked[~parts].any()
    assert torch.equal(masked.sum((1, 2)), torch.tensor([0, 6, 11])[parts.sum(1)])  # half of 11, half of 22
    assert torch.equal(
        data["tokens"][:, 1, :11], (data["tokens"][:, 0, :11] + 5) % CODES
    )  # one and the same edge
    for part in (0, 1):  # also where a part is only visible: in sampling it may hold what the model chose
        for whole in (True, False):
            shown = ~masked[:, part, :11] & ~(parts[:, part, None] ^ whole)
            assert 0.4 < (wrong[:, part, :11] & shown).sum() / shown.sum() < 0.54
    every = torch.ones(300, 1, dtype=torch.bool)
    upper = masked_batch(truth, lengths, CODES, recipe, torch.Generator().manual_seed(0), every)
    assert torch.equal(upper["canvas"][:, 1], upper["tokens"][:, 1]), "never predicted, so never wrong"
    assert torch.equal((upper["canvas"][:, 0] == MASK).sum(1), torch.full((300,), 6))


CAPTIONS = [["walks", "someone walks"], ["jumps"], ["waves"], ["bows"]]
TEXT = text_of(*sorted({text for texts in CAPTIONS for text in texts}))


def go(out, steps, precision="no", recipe=None, **options):
    tokens = token_set([8, 9, 10, 12], CAPTIONS, parts=options.get("parts", 1))
    model = transformer(**options)
    config = TrainConfig(
        steps=steps, batch_size=16, lr=5e-3, betas=(0.9, 0.98), ema=0.9, precision=precision, log_every=10
    )
    recipe = recipe or recipe_of(random_codes=0.1)
    return train_transformer(tokens, TEXT, model, config, out, tokens, recipe, progress=False)


def test_it_learns_what_the_text_says_and_keeps_the_averaged_weights(tmp_path):
    result = go(tmp_path, 150)
    assert result.metrics["val/accuracy_masked"] > 0.95
    loaded = MaskedTransformer.from_pretrained(tmp_path / "model")
    embeddings = TEXT.lookup(["jumps", "waves"])
    blank = torch.full((2, 1, 10), MASK)
    lengths = torch.tensor([9, 10])
    answer = loaded(blank, lengths, embeddings.words, embeddings.mask, embeddings.sentence).argmax(-1)
    assert (answer[0, 0, :9] == (torch.arange(9) + 1) % CODES).float().mean() > 0.8  # from the text alone
    assert (answer[1, 0] == (torch.arange(10) + 2) % CODES).float().mean() > 0.8
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert "accuracy_masked" in lines[0] and lines[-1]["val/loss"] < 0.5


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_it_resumes_exactly_with_dropout(tmp_path, precision):
    whole = go(tmp_path / "whole", 14, precision, dropout=0.2)
    go(tmp_path / "parts", 9, precision, dropout=0.2)
    parts = go(tmp_path / "parts", 14, precision, dropout=0.2)
    assert whole.metrics == parts.metrics
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, parts.module.state_dict()[name]), name


def test_text_dropout_trains_the_vectors_for_no_text(tmp_path):
    start, result = transformer(), go(tmp_path / "with", 10)
    assert not torch.equal(start.no_sentence, result.module.no_sentence)
    assert not hasattr(go(tmp_path / "without", 2, text_dropout=0.0).module, "no_sentence")


def test_two_parts_learn_their_three_tasks(tmp_path):
    tokens, model = token_set([9] * 4, CAPTIONS, parts=2), transformer(parts=2, text_dropout=0.4)
    config = TrainConfig(steps=140, batch_size=16, lr=5e-3, betas=(0.9, 0.98), ema=0.9)
    recipe = recipe_of(both_parts=0.3)
    result = train_transformer(tokens, TEXT, model, config, tmp_path, tokens, recipe, progress=False)
    tasks = {f"val/accuracy_{kind}" for kind in ("both", "upper_given_lower", "lower_given_upper")}
    assert set(result.metrics) == {"val/loss", "val/accuracy_masked", *tasks}
    assert min(result.metrics[name] for name in tasks) > 0.9
    # Without a text only the other part tells which clip it is.
    drop, (truth, lengths) = torch.ones(4, dtype=torch.bool), tokens.batch(torch.arange(4))
    embeddings = TEXT.lookup(["walks"] * 4)
    for part in (0, 1):
        canvas = truth.clone()
        canvas[:, part] = MASK
        answer = result.module(
            canvas, lengths, embeddings.words, embeddings.mask, embeddings.sentence, drop
        ).argmax(-1)
        assert (answer[:, part] == truth[:, part]).double().mean() > 0.8


def test_a_model_of_the_upper_part_is_evaluated_on_it_alone(tmp_path):
    result = go(tmp_path, 3, parts=2, predicts=1)
    assert set(result.metrics) == {"val/loss", "val/accuracy_masked"}
    assert (MaskedTransformer.from_pretrained(tmp_path / "model").config.predicted_parts) == 1


def test_the_evaluation_of_two_parts_weighs_the_tasks_as_training_does(tmp_path):
    tokens, model = token_set([8, 9, 10, 12], CAPTIONS, parts=2), go(tmp_path, 12, parts=2).module
    metrics = {
        both: evaluate_transformer(model, tokens, TEXT, recipe_of(both_parts=both)) for both in (0, 0.3, 1)
    }
    assert metrics[0.3]["loss"] == pytest.approx(0.3 * metrics[1]["loss"] + 0.7 * metrics[0]["loss"])
    assert metrics[1]["accuracy_masked"] == metrics[1]["accuracy_both"]
    with torch.no_grad():
        model.head.weight.zero_()  # knows nothing: whatever the weights, they sum to 1
    blank = evaluate_transformer(model, tokens, TEXT, recipe_of(both_parts=0.3))
    assert blank["loss"] == pytest.approx(np.log(CODES))
    low, high = sorted(metrics[0][f"accuracy_{kind}"] for kind in ("upper_given_lower", "lower_given_upper"))
    assert low < metrics[0]["accuracy_masked"] < high
    for kind in ("both", "upper_given_lower", "lower_given_upper"):
        assert metrics[0][f"accuracy_{kind}"] == metrics[1][f"accuracy_{kind}"]
    assert len({metrics[0][name] for name in metrics[0] if name != "accuracy_masked"}) == 4


@pytest.mark.parametrize(("predicts", "expected"), [(2, [0.6, 0.2, 0.2]), (1, [0, 1, 0])])
def test_training_masks_both_parts_as_often_as_the_recipe_says(tmp_path, monkeypatch, predicts, expected):
    seen, model = [], transformer(parts=2, predicts=predicts)
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda canvas, *rest: seen.append(canvas) or forward(canvas, *rest))
    tokens = token_set([9] * 4, CAPTIONS, parts=2)
    recipe = recipe_of(mask_schedule="uniform(1, 1)", both_parts=0.6)
    config = TrainConfig(steps=2, batch_size=500)
    train_transformer(tokens, TEXT, model, config, tmp_path, recipe=recipe, progress=False)
    masked = (torch.cat(seen) == MASK).all(2)
    rates = [(masked == torch.tensor(kind)).all(1).double().mean() for kind in ((1, 1), (1, 0), (0, 1))]
    assert all(abs(rate - chance) < 0.06 for rate, chance in zip(rates, expected, strict=True))


def test_a_run_is_continued_only_with_the_same_options(tmp_path):
    go(tmp_path, 1, parts=2)
    with pytest.raises(ValueError, match="recipe.both_parts=0.5 .* 0.9"):
        go(tmp_path, 2, recipe=recipe_of(random_codes=0.1, both_parts=0.9), parts=2)
    with pytest.raises(ValueError, match="transformer.predicts=0 .* 1"):
        go(tmp_path, 2, parts=2, predicts=1)
    go(tmp_path, 2, recipe=recipe_of(random_codes=0.1, guidance=3.0), parts=2)  # only used in sampling


@pytest.mark.parametrize("predicts", [1, 2])
def test_two_parts_and_the_loss_on_masked_positions_alone(tmp_path, predicts):
    tokens = token_set([8, 9, 10, 12], CAPTIONS, parts=2)
    config = TrainConfig(steps=3, batch_size=8)
    recipe = get_recipe("ours", loss_on="masked")
    model = transformer(parts=2, predicts=predicts)
    result = train_transformer(tokens, TEXT, model, config, tmp_path, tokens, recipe, progress=False)
    assert np.isfinite(result.metrics["val/loss"])
    everywhere = evaluate_transformer(result.module, tokens, TEXT, get_recipe("ours"))
    assert everywhere["loss"] != result.metrics["val/loss"]
    assert everywhere["accuracy_masked"] == result.metrics["val/accuracy_masked"]


def test_evaluation_is_the_same_every_time_and_draws_nothing_from_torch():
    tokens, model = token_set([8, 9, 10, 12], CAPTIONS), transformer().eval()
    before = torch.random.get_rng_state()
    first = evaluate_transformer(model, tokens, TEXT)
    assert first == evaluate_transformer(model, tokens, TEXT)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first != evaluate_transformer(model, tokens, TEXT, seed=1)
    # an untrained model is about as good as chance
    assert first["loss"] == pytest.approx(np.log(CODES), rel=0.2)


def test_a_run_is_not_continued_with_another_codebook(tmp_path):
    tokens, config = token_set([8, 9], [["walks"], ["bows"]]), TrainConfig(steps=2, batch_size=4)
    train_transformer(tokens, TEXT, transformer(), config, tmp_path, progress=False)
    other = transformer()
    other.codebook += 1
    with pytest.raises(ValueError, match="codebook="):
        train_transformer(tokens, TEXT, other, config, tmp_path, progress=False)


def test_the_length_estimator_learns_its_lengths(tmp_path):
    tokens = token_set([8, 9, 10, 12], CAPTIONS)
    torch.manual_seed(0)
    estimator = LengthEstimator(LengthConfig(text_dim=WIDTH, max_tokens=12, hidden=32))
    config = TrainConfig(steps=60, batch_size=32, lr=1e-2)
    result = train_length(tokens, TEXT, estimator, config, tmp_path, tokens, progress=False)
    assert result.metrics["val/error_tokens"] == 0 and result.metrics["val/loss"] < 0.5
    loaded = LengthEstimator.from_pretrained(tmp_path / "model")
    assert loaded.estimate(TEXT.lookup(["waves", "walks"]).sentence).tolist() == [10, 8]


class OneSentence:
    name, width = "one", 4

    def lookup(self, captions):
        rows = torch.tensor([[1.0, 0.0, 2.0, 3.0]]).repeat(len(captions), 1)
        return TextEmbedding(rows[:, None], torch.ones(len(captions), 1, dtype=torch.bool), rows)


def learned_lengths(folder, blur):
    """The distribution after training on a clip of 6 tokens and one of 13, which has no weight."""
    tokens = TokenSet(
        torch.zeros(2, 1, 13, dtype=torch.int16),
        torch.tensor([6, 13]),
        torch.tensor([0, 1, 2]),
        [["walks"], ["waits"]],
        np.array([1.0, 0.0]),
        ["a", "b"],
    )
    torch.manual_seed(0)
    estimator = LengthEstimator(LengthConfig(4, max_tokens=15, hidden=16, dropout=0.0, blur=blur))
    config = TrainConfig(steps=40, batch_size=16, lr=3e-2)
    train_length(tokens, OneSentence(), estimator, config, folder, progress=False)
    return estimator.distribution(OneSentence().lookup(["walks"]).sentence)[0].numpy()


def test_a_blurred_estimator_has_the_confidence_of_its_blur(tmp_path):
    sharp, broad = learned_lengths(tmp_path / "sharp", 0.0), learned_lengths(tmp_path / "broad", 1.5)
    assert sharp[5] > 0.95
    bell = norm.pdf(np.arange(1, 16), 6, 1.5)
    np.testing.assert_allclose(broad, bell / bell.sum(), atol=0.03)
