"""Settings of a training run: refusals, learning rates, and the random numbers of a step."""

import pytest
import torch

from mmm.training.config import TrainConfig, learning_rate
from mmm.training.seeds import step_generator


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("schedule", "linear"),
        ("precision", "fp8"),
        ("ema", 1.0),
        ("lr", -1.0),
        ("milestones", (200,)),
    ],
)
def test_bad_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} (is|are) .?{str(value).strip('()')}"):
        TrainConfig(**{"steps": 1, name: value})


def test_schedules():
    constant = TrainConfig(steps=100, lr=1.0, warmup=4)
    assert [learning_rate(step, constant) for step in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1, 1, 1]
    paper = TrainConfig(steps=300, lr=1.0, schedule="milestones", milestones=(2 / 3, 5 / 6))
    assert [learning_rate(step, paper) for step in (199, 200, 250)] == pytest.approx([1, 0.05, 0.0025])
    cosine = TrainConfig(steps=110, lr=1.0, warmup=10, schedule="cosine")
    assert [learning_rate(s, cosine) for s in (9, 60, 110)] == pytest.approx([1, 0.5, 0], abs=1e-9)


def test_a_short_run_warms_up_over_a_tenth_of_its_steps():
    short = TrainConfig(steps=40, lr=1.0, warmup=500, schedule="cosine")
    assert [learning_rate(step, short) for step in (0, 3, 22)] == pytest.approx([0.25, 1, 0.5])
    assert learning_rate(0, TrainConfig(steps=9, lr=1.0, warmup=500)) == 1


def test_generators_of_steps_and_streams_are_unrelated():
    draws = [torch.rand(3, generator=step_generator(*key)) for key in ((0, 1), (1, 0), (0, 1, 1), (0, 1))]
    assert torch.equal(draws[0], draws[3])
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
