"""The quantizer: nearest codes, EMA, the three reset rules, counters, masks, several processes."""

import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from made_up.tokenizer import noise, seeded
from torch import Tensor, distributed

from mmm.tokenizer import quantizer as module
from mmm.tokenizer.quantizer import RELEASE_INTERVAL, Quantizer, perplexity


def quantizer(codes: int = 8, width: int = 4, start: Tensor | None = None, **options) -> Quantizer:
    q = Quantizer(codes, width, **options)
    q.set_codebook(noise(codes, width, seed=99) if start is None else start)
    return q


# ---------------------------------------------------------------------- look-up


@pytest.mark.parametrize("chunk", [1 << 24, 20])
def test_nearest_code_is_the_nearest(monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)  # 20: three rows at a time against 6 codes
    q = quantizer(codes=6)
    z = noise(3, 5, 4)
    assert torch.equal(q.nearest(z), torch.cdist(z.flatten(0, 1), q.codebook).argmin(1).view(3, 5))


def test_the_search_is_in_float32_under_autocast():
    start = torch.tensor([[1.0, 0.0], [1.001, 0.0]])  # one number in bfloat16
    z = start[None] + torch.tensor([[[-1e-4, 0.0], [1e-4, 0.0]]])
    with torch.autocast("cpu", torch.bfloat16):
        out = quantizer(2, 2, start).eval()(z)
    assert out.tokens.tolist() == [[0, 1]]
    assert out.vectors.dtype == torch.float32


def test_gradients_pass_straight_through_and_commitment_pulls_the_encoder():
    q = quantizer().eval()
    z = noise(2, 3, 4).requires_grad_()
    out = q(z)
    torch.testing.assert_close(out.vectors, q.codebook[out.tokens])
    weights = noise(2, 3, 4, seed=5)
    (grad,) = torch.autograd.grad((out.vectors * weights).sum(), z)
    assert torch.equal(grad, weights)
    difference = (z - q.codebook[out.tokens]).detach()
    torch.testing.assert_close(out.commitment, difference.square().mean())
    (grad,) = torch.autograd.grad(out.commitment, z)
    torch.testing.assert_close(grad, 2 * difference / z.numel())
    assert out.codebook_loss == 0


def test_perplexity_counts_equally_frequent_codes():
    assert perplexity(torch.tensor([3.0, 3.0, 3.0, 0.0])) == pytest.approx(3, rel=1e-5)
    assert perplexity(torch.tensor([9.0, 0.0])) == pytest.approx(1, rel=1e-5)


def test_disturbed_tokens_are_replaced_by_near_ones():
    q = quantizer(64, 2)
    tokens = torch.arange(64).repeat(50, 1)
    disturbed = q.disturb(tokens, 0.25, seeded(1))
    changed = disturbed != tokens
    assert 0.2 < changed.float().mean() < 0.3
    rank = torch.cdist(q.codebook, q.codebook).argsort(1).argsort(1)[tokens[changed], disturbed[changed]]
    assert set(rank.tolist()) == set(range(1, 9))
    assert torch.equal(disturbed, q.disturb(tokens, 0.25, seeded(1)))
    assert torch.equal(q.disturb(tokens, 0.0, seeded(1)), tokens)


# ---------------------------------------------------------------------- learning


def test_ema_equals_vector_quantize_pytorch():
    # imported here: the second process of the last test does not need it
    from vector_quantize_pytorch import VectorQuantize

    codes, width = 16, 4
    ours = quantizer(codes, width, ema=0.9, reset="none").train()
    theirs = VectorQuantize(width, codes, decay=0.9, eps=1e-12, threshold_ema_dead_code=0).train()
    book = theirs._codebook
    book.embed.data.copy_(ours.codebook[None])
    book.embed_avg.data.copy_(ours.codebook[None])
    book.cluster_size.data.fill_(1)
    for step in range(5):
        z = noise(8, 16, width, seed=step)
        out = ours(z)
        vectors, tokens, loss = theirs(z)
        assert torch.equal(out.tokens, tokens)
        torch.testing.assert_close(out.vectors, vectors)
        torch.testing.assert_close(out.commitment, loss.squeeze())
        torch.testing.assert_close(ours.ema_counts, book.cluster_size[0])
        torch.testing.assert_close(ours.codebook, book.embed[0])


def test_without_ema_the_codebook_learns_by_gradient():
    q = quantizer(ema=0, reset="none").train()
    before = q.codebook.detach().clone()
    out = q(noise(4, 8, 4))
    assert torch.equal(q.codebook, before)
    out.codebook_loss.backward()
    used = torch.zeros(8, dtype=torch.bool).index_fill(0, out.tokens.flatten(), True)
    assert torch.equal(q.codebook.grad.abs().sum(1) > 0, used)
    assert [name for name, _ in q.named_parameters()] == ["codebook"]
    assert not list(quantizer().parameters())


def test_evaluation_changes_nothing():
    q = quantizer().eval()
    before = {name: value.clone() for name, value in q.named_buffers()}
    q(noise(4, 8, 4))
    assert all(torch.equal(value, before[name]) for name, value in q.named_buffers())


def test_the_first_batch_is_the_first_codebook():
    q = Quantizer(32, 4, ema=0.99999, reset="none").train()
    z = noise(1, 64, 4)
    q(z, generator=seeded())
    assert q.initialised
    # the EMA has moved the codes by 1e-5 of their distance at most
    distance = torch.cdist(q.codebook, z[0])
    assert distance.min(1).values.max() < 1e-3
    assert len(distance.argmin(1).unique()) == 32  # no row twice
    small = Quantizer(4096, 4, ema=0.99999, reset="none").train()
    small(z, generator=seeded())
    offset = torch.cdist(small.codebook, z[0]).min(1).values
    assert 0 < offset.median() < 4 * 0.01 / 2  # tiled, with noise of 0.01 / √4 per number
    assert len(small.codebook.unique(dim=0)) == 4096


# ---------------------------------------------------------------------- resets


def with_far_codes(reset: str, **options) -> Quantizer:
    """Two codes among the data, six that are never chosen."""
    start = torch.cat([torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.full((6, 2), 1000.0)])
    return quantizer(8, 2, start, reset=reset, **options).train()


def batch(seed: int, rows: int = 64) -> Tensor:
    return torch.rand(1, rows, 2, generator=seeded(seed))


def far(q: Quantizer) -> int:
    return int((q.codebook.norm(dim=1) > 100).sum())


def test_dead_codes_are_replaced_and_their_sums_rewritten():
    q = with_far_codes("dead", ema=0.9)
    first = None
    for step in range(40):
        z = batch(step)
        before = q.codebook.clone()
        q(z, generator=seeded(step))
        if far(q) == 0 and first is None:
            first = step
            moved = (before.norm(dim=1) > 100).nonzero().flatten()
            # each is now an encoder output of this batch
            assert (q.codebook[moved, None] == z[0]).all(-1).any(1).all()
            torch.testing.assert_close(q.ema_sums / q.ema_counts[:, None], q.codebook)
        if first is not None:
            assert far(q) == 0  # the next updates do not undo it
    assert first is not None
    assert (q.ema_counts > 0.9).all()  # and every code is chosen now


def test_live_codes_stay_where_they_are_when_others_are_reset():
    a, b = with_far_codes("dead", ema=0.9), with_far_codes("none", ema=0.9)
    for step in range(40):
        if far(a) == 0:
            break
        a(batch(step), generator=seeded(step))
        b(batch(step), generator=seeded(step))
    assert far(a) == 0 and far(b) == 6
    torch.testing.assert_close(a.codebook[:2], b.codebook[:2])


def test_fewer_tokens_than_codes_do_not_make_all_codes_dead():
    """At the paper's size a batch has half a token per code: no code is used once per batch on average."""
    q = Quantizer(512, 2).train()
    for step in range(30):
        q(torch.rand(1, 256, 2, generator=seeded(step)), generator=seeded(step))
    assert q.ema_counts.mean() < 1
    before = q.codebook.clone()
    q(torch.rand(1, 256, 2, generator=seeded(77)), generator=seeded(77))
    jumped = (q.codebook - before).norm(dim=1) > 0.1
    assert jumped.float().mean() < 0.05


def test_the_rule_of_the_release():
    q = with_far_codes("release", ema=0.99)
    for step in range(1, 3 * RELEASE_INTERVAL + 1):
        q(batch(step), generator=seeded(step))
        # every 21st step the far codes are replaced; their old sums undo it one step later
        assert far(q) == (0 if step % RELEASE_INTERVAL == 0 else 6)
        assert q.resets.tolist() == [0, 0] + [step // RELEASE_INTERVAL] * 6
    assert q.used.tolist() == [True, True] + [False] * 6
    for step in range(100, 130):
        q(batch(step) + 50, generator=seeded(step))  # flags never turn off
    assert q.used[:2].all()


def test_without_reset_dead_codes_stay_where_they_are():
    q = with_far_codes("none", ema=0.5)
    for step in range(200):  # long enough for the counts to underflow
        q(batch(step), generator=seeded(step))
    assert far(q) == 6 and q.resets.sum() == 0
    torch.testing.assert_close(q.codebook[2:], torch.full((6, 2), 1000.0))
    assert q.codebook.isfinite().all()


# ---------------------------------------------------------------------- counters for the log

CORNERS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_choices_are_counted_where_the_mask_says_and_taken_once():
    q = quantizer(4, 2, CORNERS, reset="none").train()
    z = CORNERS[torch.tensor([[0, 0, 1], [3, 2, 2]])]
    q(z)
    q(z, torch.tensor([[True, False, True], [False, False, True]]))
    assert q.take_usage().tolist() == [2 + 1, 1 + 1, 2 + 1, 1]
    q(z[:1])
    assert q.take_usage().tolist() == [2, 1, 0, 0], "the next epoch starts at zero"
    q.eval()(z)
    assert q.take_usage().sum() == 0, "evaluation does not count"


def test_every_replacement_of_a_dead_code_is_counted():
    """Four codes, 8 tokens, 2 an average code: a code is dead if its running count is below half of that."""
    start = torch.cat([CORNERS[:2], torch.full((2, 2), 1000.0)])
    q = quantizer(4, 2, start, ema=0.5, reset="dead", dead_below=0.5).train()
    q(CORNERS[:2].repeat(4, 1)[None], generator=seeded())
    assert q.resets.tolist() == [0, 0, 1, 1]  # two fall from 1 to 1/2, the others rise to 5/2
    expected = q.resets.clone()
    for step in range(30):
        before = q.ema_counts.clone()
        tokens = q(batch(step, rows=8) * 20, generator=seeded(step)).tokens[0]
        expected += (before + torch.bincount(tokens, minlength=4)) / 2 < 1
        assert torch.equal(q.resets, expected)
    assert expected.sum() > 4, "codes should have died again"


def test_the_counters_are_not_stored_in_a_model_but_in_a_checkpoint():
    q = quantizer()
    assert not {"chosen", "resets"} & set(q.state_dict())
    assert {"chosen", "resets"} <= {name for name, _ in q.named_buffers()}  # a checkpoint holds all buffers


# ---------------------------------------------------------------------- masks, state, processes


def test_masked_positions_do_not_count():
    z, mask = noise(4, 8, 4), torch.arange(8) < torch.tensor([[8], [5], [1], [3]])
    padded, alone = quantizer(reset="none", ema=0.9).train(), quantizer(reset="none", ema=0.9).train()
    z[~mask] = 1e3
    a = padded(z, mask, seeded())
    b = alone(z[mask][None], None, seeded())
    torch.testing.assert_close(a.commitment, b.commitment)
    torch.testing.assert_close(a.perplexity, b.perplexity)
    for name, value in padded.state_dict().items():
        torch.testing.assert_close(value, alone.state_dict()[name])
    reset = Quantizer(8, 4, reset="dead").train()
    reset(z, mask, seeded())  # and they are not drawn as codes
    assert reset.codebook.abs().max() < 10


def test_a_batch_without_real_frames_is_refused():
    with pytest.raises(ValueError):
        Quantizer(8, 4).train()(noise(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool), seeded())


@pytest.mark.parametrize("reset", ["dead", "release"])
def test_resuming_from_the_state_is_exact(reset):
    def run(q, steps):
        for step in steps:
            q(noise(2, 32, 4, seed=step) * (1 + step % 7), None, seeded(step))

    q = Quantizer(64, 4, ema=0.9, reset=reset).train()
    run(q, range(20))
    copy = Quantizer(64, 4, ema=0.9, reset=reset).train()
    copy.load_state_dict(q.state_dict())
    run(q, range(20, 45))
    run(copy, range(20, 45))
    assert all(torch.equal(value, copy.state_dict()[name]) for name, value in q.state_dict().items())


def _one_of_two(index: int | None, rank: int, port: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    results = {}
    for reset in ("none", "dead"):
        q = quantizer(32, ema=0.9, reset=reset).train()
        for step in range(10):
            out = q(noise(4, 16, 4, seed=step)[2 * rank : 2 * rank + 2], None, seeded(1000 * rank + step))
        results[reset] = dict(q.named_buffers()) | {"perplexity": out.perplexity}
    torch.save(results, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def test_processes_share_their_statistics(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    other = multiprocessing.spawn(_one_of_two, (1, port, str(tmp_path)), nprocs=1, join=False)
    _one_of_two(None, 0, port, str(tmp_path))  # this process is the first of the two
    other.join()
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    alone = quantizer(32, ema=0.9, reset="none").train()
    for step in range(10):
        out = alone(noise(4, 16, 4, seed=step))
    for name, value in (dict(alone.named_buffers()) | {"perplexity": out.perplexity}).items():
        torch.testing.assert_close(first["none"][name], value)
    for name, value in first["dead"].items():  # replacements too, though the processes draw differently
        assert torch.equal(value, second["dead"][name])
