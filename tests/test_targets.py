"""The README's tables of targets are what figures/targets.py makes of the stored results, and it can say no."""

import copy

import pytest

from figures import targets
from tests.conftest import ROOT

BANDAI = targets.read("evaluation/bandai-test/results.json")["rows"]


def test_the_readme_shows_what_the_results_say():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for title, table in targets.tables().items():
        assert targets.as_text(title, table) in readme


@pytest.mark.parametrize(
    ("row", "measure", "value", "place"),
    [
        ("given", "r1", 0.9, 0),
        ("given", "r3", 0.9, 1),
        ("given", "fid", 0.26, 2),
        ("given", "fid_halves", 4.8, 3),
        ("given", "fid_halves", 13.0, 4),
        ("given", "jerk_mean", 56.0, 5),
        ("given", "jerk_mean", 78.0, 5),
        ("given", "skating", 0.08, 6),
        ("reconstruction", "mpjpe_local", 2.21, 7),
        ("reconstruction", "mpjpe_global", 12.1, 8),
    ],
)
def test_a_measure_across_its_limit_turns_its_verdict(row, measure, value, place):
    rows = copy.deepcopy(BANDAI)
    rows[row][measure]["mean"] = value
    turned = [a[3] != b[3] for a, b in zip(targets.of_bandai(rows), targets.of_bandai(BANDAI), strict=True)]
    assert turned[place]


def test_an_oracle_s_share_is_held_against_its_own_limit():
    def told(**shares):
        return {"attributes": {name: {"share": share, "judged": 100} for name, share in shares.items()}}

    seen = told(action=0.95, side=0.96, count=0.85, direction=0.94)
    unseen = told(action=0.86, side=0.85, count=0.75, direction=0.83)
    verdicts = [row[3] for row in targets.of_synthetic(seen, unseen)]
    assert verdicts == [True, True, False, False, True, True, False, False]
