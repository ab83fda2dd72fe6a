import pytest
import torch
from made_up.clock import stop_clock
from torch import nn

from mmm.lab.bench import parts
from mmm.lab.bench.parts import StepTimer
from mmm.training.config import TrainConfig
from mmm.training.loop import train


@pytest.fixture
def clock(monkeypatch):
    return stop_clock(monkeypatch, parts)


def train_timed(out, timer, step_seconds):
    """The project's own loop; step number `step` takes what `step_seconds(step)` says. Returns how many there were."""
    drawn = []

    def batch(step, generator):
        drawn.append(step)
        return {"x": torch.randn(4, 2, generator=generator)}

    def loss(model, data, generator):
        step_seconds(len(drawn))
        return model(data["x"]).square().mean(), {}

    config = TrainConfig(steps=10_000)
    train(nn.Linear(2, 1), batch, loss, config, out, cpu=True, progress=False, stop=timer)
    return len(drawn)


def test_steps_of_the_real_loop_are_counted_until_it_ends(clock, tmp_path):
    timer = StepTimer("cpu", blocks=5, block=2.0, budget=1000.0)
    taken = train_timed(tmp_path, timer, lambda step: clock(100.0 if step == 1 else 0.5))
    # three steps of warm-up with the slow first one, then five blocks of four steps each
    assert timer.blocks == [(4, 2.0)] * 5 and taken == 3 + 20
    rate = timer.summary()
    assert rate["steps_per_second"] == rate["least"] == rate["most"] == 2.0
    assert (rate["repeats"], rate["steps"], rate["warmup_steps"]) == (5, 20, 3)
    assert not (tmp_path / "checkpoints").exists()


def test_long_steps_are_timed_one_by_one_and_within_the_budget(clock, tmp_path):
    timer = StepTimer("cpu", blocks=5, block=2.0, budget=40.0)
    train_timed(tmp_path, timer, lambda step: clock(15.0))
    assert timer.warm_up == 1 and timer.blocks == [(1, 15.0)] * 2
