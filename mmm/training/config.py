"""How to train: the settings of the one training loop and its learning rate. Without torch: `mmm --help` reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmm.errors import require

# What may change between a run and its continuation: steps already taken stay as they were. (Another end does
# change the rates of the steps to come, with the cosine schedule and where it cuts the warmup short.)
FREE_SETTINGS = {f"train.{name}" for name in ("steps", "checkpoint_every", "log_every", "eval_every")}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `mmm.training.loop.train`.

    Args:
        steps: optimizer steps in all (a resumed run counts on).
        batch_size: items per step, over all processes together.
        lr, betas, weight_decay: AdamW's.
        warmup: steps over which the rate rises linearly from 0 to `lr`; at most a tenth of `steps`.
        schedule: "constant"; "milestones" (× `gamma` from each of `milestones` on); "cosine" (to 0 at the end).
        milestones: shares of `steps`, in (0, 1).
        grad_clip: largest norm of the gradient; 0 = no clipping.
        ema: decay of the moving average of the weights that is evaluated and kept at the end; 0 = none.
        precision: "no" (float32), "bf16" (also on CPUs) or "fp16" (GPUs only).
        seed: of everything random in training; the weights' start is the caller's.
        checkpoint_every, log_every: steps. eval_every: likewise, 0 = only at the end.

    Raises:
        ValueError: a setting is out of its range.
    """

    steps: int
    batch_size: int = 64
    lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 0
    schedule: str = "constant"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.05
    grad_clip: float = 1.0
    ema: float = 0.0
    precision: str = "no"
    seed: int = 0
    checkpoint_every: int = 1000
    log_every: int = 50
    eval_every: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_every", "log_every"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("lr", "weight_decay", "warmup", "grad_clip", "seed", "eval_every"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}, expected 0 or more")
        schedules, precisions = ("constant", "milestones", "cosine"), ("no", "bf16", "fp16")
        require(
            self.schedule in schedules,
            f"schedule is {self.schedule!r}, expected one of {', '.join(schedules)}",
        )
        require(
            self.precision in precisions,
            f"precision is {self.precision!r}, expected one of {', '.join(precisions)}",
        )
        require(
            all(0 < share < 1 for share in self.milestones),
            f"milestones are {self.milestones}, expected shares of the steps, between 0 and 1",
        )
        require(0 <= self.ema < 1, f"ema is {self.ema}, expected a decay in [0, 1), 0 meaning none")


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step `step` (from 0): a pure function, so that no scheduler has a state to keep."""
    # Here and not in the config: that stays the same when a short run is continued with more steps.
    warmup = min(config.warmup, config.steps // 10)
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = 1.0
    if config.schedule == "milestones":
        fall = config.gamma ** sum(step >= round(share * config.steps) for share in config.milestones)
    elif config.schedule == "cosine":
        done = max(0, step - warmup) / max(1, config.steps - warmup)
        fall = 0.5 * (1 + math.cos(math.pi * done))
    return config.lr * rise * fall
