import pytest
import torch
from torch import nn

from mmm.lab.bench import clocks
from mmm.lab.bench.clocks import StepClock, figure, repeat, timed
from mmm.training.config import TrainConfig
from mmm.training.loop import train


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when a test says so: `clock(seconds)`."""
    now = [0.0]

    class Time:
        perf_counter = staticmethod(lambda: now[0])

    monkeypatch.setattr(clocks, "time", Time)

    def move(seconds: float) -> float:
        now[0] += seconds
        return seconds

    return move


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
    found, warm = repeat(lambda: clock(seconds), repeats=5, budget=10.0)
    assert (len(found) + warm, warm) == (calls, warmed)


def test_the_first_call_does_not_count(clock):
    lasts = iter([9.0, 1.0, 3.0, 2.0])
    found = timed(lambda: clock(next(lasts)), "cpu", repeats=3, budget=10.0)
    assert found == {"seconds": 2.0, "least": 1.0, "most": 3.0, "repeats": 3, "warmed": True}
    assert figure([4.0], False) == {"seconds": 4.0, "least": 4.0, "most": 4.0, "repeats": 1, "warmed": False}


def toy_train(out, drawn, step_seconds):
    """The project's own loop; a step takes what `step_seconds(step)` says."""

    def batch(step, generator):
        drawn.append(step)
        return {"x": torch.randn(4, 2, generator=generator)}

    def loss(model, data, generator):
        step_seconds(len(drawn))
        return model(data["x"]).square().mean(), {}

    return train(nn.Linear(2, 1), batch, loss, TrainConfig(steps=10_000), out, cpu=True, progress=False)


def test_steps_of_the_real_loop_are_counted_and_it_is_ended(clock, tmp_path):
    drawn = []
    steps = StepClock("cpu", blocks=5, block=2.0, budget=1000.0)
    with steps.watching():
        toy_train(tmp_path, drawn, lambda step: clock(100.0 if step == 1 else 0.5))
    # three steps of warm-up, the slow first one in it, then five blocks of four steps each
    assert steps.blocks == [(4, 2.0)] * 5 and steps.steps == len(drawn) == 3 + 20
    found = steps.figure()
    assert found["steps_per_second"] == found["least"] == found["most"] == 2.0
    assert (found["repeats"], found["steps"], found["warmup_steps"]) == (5, 20, 3)
    assert not (tmp_path / "checkpoints").exists()  # it ended before anything was written


def test_long_steps_are_measured_one_by_one_and_within_the_budget(clock, tmp_path):
    steps = StepClock("cpu", blocks=5, block=2.0, budget=40.0)
    with steps.watching():
        toy_train(tmp_path, [], lambda step: clock(15.0))
    assert steps.warmup == 1 and steps.blocks == [(1, 15.0)] * 2


def test_nothing_watches_after_it(clock, tmp_path):
    steps = StepClock("cpu", blocks=1, block=1.0, budget=10.0)
    with steps.watching():
        toy_train(tmp_path / "one", [], lambda step: clock(1.0))
    counted = steps.steps
    model = nn.Linear(2, 1)
    model(torch.ones(1, 2)).sum().backward()
    torch.optim.AdamW(model.parameters()).step()
    assert steps.steps == counted


def test_an_error_in_training_is_not_hidden(tmp_path):
    def fails(step):
        raise FloatingPointError("the loss is nan")

    with pytest.raises(FloatingPointError), StepClock("cpu", 1, 1.0, 10.0).watching():
        toy_train(tmp_path, [], fails)
