"""The paper's measures: against goldens, against other ways to compute them, and where they are known by hand."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from mmm.evaluation import (
    diversity,
    fid,
    interval,
    metrics,
    mm_dist,
    multimodality,
    r_precision,
    split_half_fid,
)

# Most of these samples are few on purpose; the warning has a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore:FID of:UserWarning")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def with_moments(samples, mean, covariance):
    """Samples moved and stretched to have exactly this mean and covariance (ddof 1)."""
    centred = samples - samples.mean(0)
    white = centred @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(centred.T))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def rotation(width, seed=0):
    return torch.linalg.qr(normal(width, width, seed=seed)).Q


# --- goldens ---------------------------------------------------------------------------------------------


def test_golden_measures(golden):
    """The golden's R-precision and MM-Dist are those of the generated motions."""
    arrays = golden("metrics")
    text, real, generated = (torch.from_numpy(arrays[name]) for name in ("text", "real", "generated"))
    ours = [*r_precision(text, generated), mm_dist(text, generated), fid(real, generated)]
    expected = [*arrays["r_precision"], arrays["mm_dist"], arrays["fid"]]
    differences = np.abs(np.array(ours) - np.array(expected))
    print("differences of R@1, R@2, R@3, MM-Dist, FID:", differences)
    assert differences[:4].max() < 1e-14 and differences[4] < 1e-10


def test_numpy_and_single_precision_are_computed_in_float64(golden):
    text, generated, real = (
        golden("metrics")[name].astype(np.float32) for name in ("text", "generated", "real")
    )
    assert mm_dist(text, generated) == mm_dist(torch.from_numpy(text).double(), torch.from_numpy(generated))
    far = [x + np.float32(1000) for x in (real, generated)]  # float32 sums would lose it all
    assert fid(*far) == pytest.approx(fid(*(x.astype(np.float64) for x in far)), abs=1e-12)


# --- R-precision -----------------------------------------------------------------------------------------


def by_sorting(text, motion, pools, top_k):
    """One query after another, by NumPy's sort; `pools` has the right motion of each text first."""
    hits = np.zeros((len(pools), top_k))
    for i, pool in enumerate(pools):
        order = np.argsort(np.linalg.norm(text[i] - motion[pool], axis=1))
        hits[i] = list(order).index(0) < np.arange(1, top_k + 1)
    return hits.mean(0)


def test_batches_are_ranked_as_by_sorting_and_the_last_is_dropped():
    motion = normal(70, 8)
    text = motion + normal(70, 8, seed=1)
    pools = [[i, *(j for j in range(i // 32 * 32, i // 32 * 32 + 32) if j != i)] for i in range(64)]
    expected = by_sorting(text.numpy(), motion.numpy(), pools, 5)
    assert r_precision(text, motion, top_k=5) == pytest.approx(expected)
    assert 0 < expected[0] < expected[-1] < 1
    text[64:] = math.pi * 1e6  # never looked at
    assert r_precision(text, motion, top_k=5) == pytest.approx(expected)


@pytest.mark.parametrize("at_once", [7, 256])
def test_distractors_are_ranked_as_by_sorting(monkeypatch, at_once):
    monkeypatch.setattr(metrics, "QUERIES_AT_ONCE", at_once)
    motion = normal(50, 8)
    text = motion + normal(50, 8, seed=1)
    others = torch.stack([torch.randperm(49, generator=seeded(i))[:9] for i in range(50)])
    others += others >= torch.arange(50)[:, None]  # every index but the text's own
    pools = torch.cat((torch.arange(50)[:, None], others), 1)
    expected = by_sorting(text.numpy(), motion.numpy(), pools.tolist(), 3)
    assert r_precision(text, motion, pool=10, distractors=others) == pytest.approx(expected)


def test_batch_mates_as_distractors_give_what_batches_give():
    motion, text = normal(96, 16), normal(96, 16, seed=1)
    text += motion
    places = torch.arange(96)
    mates = torch.stack([(places + k) % 32 + places // 32 * 32 for k in range(1, 32)], dim=1)
    assert r_precision(text, motion, distractors=mates) == r_precision(text, motion)


def test_the_texts_are_the_queries():
    """Two motions near one text: asked from the motions, both would find their own text."""
    text = torch.tensor([[0.0], [10.0]])
    motion = torch.tensor([[4.0], [4.5]])
    assert r_precision(text, motion, top_k=1, pool=2) == (1.0,)
    assert r_precision(motion, text, top_k=1, pool=2) == (0.5,)


def test_embeddings_that_are_all_the_same_score_chance():
    same = torch.full((64, 512), 0.1234)
    expected = pytest.approx([1 / 32, 2 / 32, 3 / 32])
    mates = torch.stack([(torch.arange(64) + k) % 64 for k in range(1, 32)], 1)
    for text in (same, normal(64, 512).float()):  # the motions alone may be the same, too
        assert r_precision(text, same) == expected
        assert r_precision(text, same, distractors=mates) == expected


def test_a_tie_counts_its_average_over_the_orders_of_the_tied():
    text = torch.zeros(4, 1)
    motion = torch.tensor([[2.0], [1.0], [-2.0], [2.0]])  # 1 is closer, three are tied for places 2 to 4
    # first text: (k - 1) / 3; second: always first; the others as the first
    expected = [(0 + 1 + 0 + 0) / 4, (1 / 3 * 3 + 1) / 4, (2 / 3 * 3 + 1) / 4, 1]
    assert r_precision(text, motion, top_k=4, pool=4) == pytest.approx(expected)


# --- FID -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "width"), [(100, 80, 12), (300, 300, 64)])
def test_fid_is_that_of_scipys_matrix_root(n, m, width):
    one = normal(n, width) @ normal(width, width, seed=1)
    two = normal(m, width, seed=2) @ normal(width, width, seed=3) + 0.5
    first, second = (np.cov(x.numpy(), rowvar=False) for x in (one, two))
    root = scipy.linalg.sqrtm(first @ second)
    shift = (one.mean(0) - two.mean(0)).square().sum().item()
    expected = shift + np.trace(first + second - 2 * root.real)
    assert fid(one, two) == pytest.approx(expected, rel=1e-9)
    # and of the symmetric form: eigenvalues of √C₁ C₂ √C₁
    values, vectors = np.linalg.eigh(first)
    half = vectors * np.sqrt(values) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(half @ second @ half).clip(0)).sum()
    assert fid(one, two) == pytest.approx(shift + np.trace(first + second) - 2 * overlap, rel=1e-9)


def test_fid_of_known_gaussians():
    """Covariances that commute: |µ₁ - µ₂|² + Σ (σ₁ - σ₂)²."""
    turn, mean = rotation(5), normal(5, seed=4)
    sigmas = torch.tensor([[1.0, 2.0, 3.0, 0.5, 0.1], [2.0, 2.0, 1.0, 0.7, 4.0]], dtype=torch.float64)
    one, two = (
        with_moments(normal(40, 5, seed=i), i * mean, turn @ torch.diag(sigma**2) @ turn.T)
        for i, sigma in enumerate(sigmas)
    )
    expected = mean.square().sum() + (sigmas[0] - sigmas[1]).square().sum()
    assert fid(one, two) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("n", [10, 200])  # with 10 samples the covariances are singular
def test_invariants_of_fid(n):
    one, two, turn = normal(n, 32), normal(n + 3, 32, seed=1) * 1.5 + 1, rotation(32)
    assert fid(one, one) == pytest.approx(0, abs=1e-12)
    assert fid(one, one.flip(0)) == pytest.approx(0, abs=1e-12)
    assert fid(one, one + 2) == pytest.approx(4 * 32, rel=1e-12)
    assert fid(one, two) == pytest.approx(fid(two, one), rel=1e-12)
    assert fid(one @ turn + 7, two @ turn + 7) == pytest.approx(fid(one, two), rel=1e-10)
    assert fid(one, two) > 1


@pytest.mark.filterwarnings("default")
def test_fid_warns_of_few_samples(recwarn):
    fid(normal(64, 32), normal(64, 32, seed=1))
    assert not recwarn
    with pytest.warns(UserWarning, match="64 real and 63 generated"):
        fid(normal(64, 32), normal(63, 32))
    fid(normal(64, 32), normal(63, 32), warn=False)
    assert not recwarn


# --- Distances of pairs ----------------------------------------------------------------------------------


def test_mm_dist_is_the_mean_distance_of_pairs():
    text = normal(7, 2)
    assert mm_dist(text, text + torch.tensor([3.0, 4.0])) == pytest.approx(5)
    assert mm_dist(text, text) == 0


def test_diversity_of_two_places():
    """Half of the motions at one place, half 6 away: two different ones are apart with 50 in 99."""
    motion = torch.zeros(100, 3)
    motion[50:, 1] = 6
    values = [diversity(motion, seeded(i), pairs=40) for i in range(200)]
    # a motion meets itself with 1 in 100, hence 0.99 · 50/99 · 6
    assert np.mean(values) == pytest.approx(3, abs=0.1)
    assert np.std(values) > 0.1 and diversity(motion, seeded(3)) == diversity(motion, seeded(3))


def test_diversity_draws_without_replacement():
    """Where all are drawn, each is in both draws exactly once: the sum over both draws is known."""
    first, second = metrics._two_draws(30, 300, seeded(), torch.device("cpu"))
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(30))
    assert not torch.equal(first, second)
    some = metrics._two_draws(1000, 300, seeded(), torch.device("cpu"))
    assert [len(x.unique()) for x in some] == [300, 300]
    motion = normal(30, 4)
    expected = float((motion[first] - motion[second]).norm(dim=1).mean())
    assert diversity(motion, seeded()) == pytest.approx(expected)


def test_multimodality_is_within_texts():
    places = normal(50, 1, 16) * 100  # texts far from each other do not count
    assert multimodality(places.expand(50, 12, 16), seeded()) == 0
    samples = places + normal(50, 30, 16, seed=1)
    values = [multimodality(samples, seeded(i)) for i in range(50)]
    # distance of two standard normal points in 16 dimensions; a sample meets itself with 1 in 30
    expected = 2 * math.gamma(8.5) / math.gamma(8) * 29 / 30
    assert np.mean(values) == pytest.approx(expected, rel=0.02)
    few = multimodality(samples[:, :2], seeded(1))  # as many pairs as samples
    assert few in (0, pytest.approx(5.5, abs=0.5))


def test_multimodality_pairs_the_same_samples_for_every_text():
    samples = normal(1, 30, 4).expand(6, 30, 4)
    assert multimodality(samples, seeded(5)) == pytest.approx(multimodality(samples[:1], seeded(5)))


# --- Intervals -------------------------------------------------------------------------------------------


def test_intervals_have_the_std_of_all_values():
    values = [0.514, 0.516, 0.520, 0.510]
    mean, half = interval(values)
    assert mean == pytest.approx(0.515)
    assert half == pytest.approx(1.96 * np.std(values) / 2)
    assert str(interval(np.array(values))) == "0.515 ± 0.004"
    assert interval([2.0] * 20) == (2.0, 0.0)
    assert math.isnan(interval([0.5]).half) and str(interval([0.5])) == "0.500"


# --- What is refused -------------------------------------------------------------------------------------

GOOD = normal(8, 4)
HOLED = GOOD.clone()
HOLED[3, 2] = math.nan
THREE = torch.stack([(torch.arange(8) + k) % 8 for k in (1, 2, 3)], 1)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: r_precision(GOOD, GOOD[:7], pool=4), r"\(8, 4\) .*\(7, 4\)"),
        (lambda: r_precision(GOOD, GOOD), r"8 .* 32"),
        (lambda: r_precision(GOOD, GOOD, pool=2), "top_k is 3"),
        (lambda: r_precision(GOOD, HOLED, pool=4), "1 of 32 numbers of the motion"),
        (lambda: r_precision(GOOD, GOOD, distractors=THREE), r"\(8, 3\).*\(8, 31\)"),
        (lambda: r_precision(GOOD, GOOD, pool=4, distractors=THREE + 1), "0 to 7, found 0 to 8"),
        (lambda: r_precision(GOOD, GOOD, pool=4, distractors=THREE.roll(1, 0)), r"8 .*\[0, 1, 2\]"),
        (lambda: r_precision(GOOD, GOOD, pool=4, distractors=THREE[:, [0, 1, 1]]), "8 .*twice"),
        (lambda: mm_dist(GOOD, GOOD[:, :3]), r"\(8, 4\) .*\(8, 3\)"),
        (lambda: mm_dist(GOOD[:0], GOOD[:0]), r"\(0, 4\)"),
        (lambda: fid(GOOD, GOOD[:, :3]), "widths 4 and 3"),
        (lambda: fid(HOLED, GOOD), "1 of 32 numbers of the real"),
        (lambda: fid(GOOD, GOOD[:1]), "8 and 1"),
        (lambda: diversity(GOOD[:1], seeded()), "found 1"),
        (lambda: diversity(GOOD, seeded(), pairs=0), "pairs is 0"),
        (lambda: multimodality(GOOD[:, None], seeded()), "found 1"),
        (lambda: multimodality(HOLED[None], seeded()), "1 of 32"),
        (lambda: interval([]), "no values"),
        (lambda: interval([1.0, math.inf]), "inf"),
    ],
)
def test_bad_input_is_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call()


# --- Split-half FID --------------------------------------------------------------------------------------


def test_split_half_fid_has_a_floor_and_compares_no_motion_with_itself():
    real = normal(200, 8)
    order = torch.randperm(200, generator=seeded(3))
    expected = fid(real[order[:100]], real[order[100:]] + 1)
    assert split_half_fid(real, real + 1, seeded(3)) == expected
    floor, near, far = (split_half_fid(real, real + x, seeded(), repeats=20) for x in (0, 0.5, 1))
    assert 0 < floor < near < far
    two = [split_half_fid(real, real, random) for random in [seeded(1)] for _ in range(2)]
    assert split_half_fid(real, real, seeded(1), repeats=2) == pytest.approx(np.mean(two), rel=1e-15)
