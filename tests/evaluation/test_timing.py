import pytest
from made_up.clock import stop_clock

from mmm.evaluation import timing
from mmm.evaluation.timing import repeat, summary, timed


@pytest.fixture
def clock(monkeypatch):
    return stop_clock(monkeypatch, timing)


@pytest.mark.parametrize(
    ("seconds", "calls", "warmed"),
    [
        (1.0, 6, True),  # a warm-up and all five
        (3.0, 4, True),  # three of 3 s are within 10 s
        (8.0, 2, True),  # never none
        (11.0, 1, False),  # longer than the budget: the first call is the figure
    ],
)
def test_calls_are_repeated_within_the_budget(clock, seconds, calls, warmed):
    results, warm = repeat(lambda: clock(seconds), repeats=5, budget=10.0)
    assert (len(results) + warm, warm) == (calls, warmed)


def test_the_first_call_does_not_count(clock):
    durations = iter([9.0, 1.0, 3.0, 2.0])
    found = timed(lambda: clock(next(durations)), "cpu", repeats=3, budget=10.0)
    assert found == {"seconds": 2.0, "least": 1.0, "most": 3.0, "repeats": 3, "warmed": True}
    assert summary([4.0], False) == {"seconds": 4.0, "least": 4.0, "most": 4.0, "repeats": 1, "warmed": False}
