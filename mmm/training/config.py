"""How to train: the settings of the one training loop and its learning rate. Without torch: `mmm --help` reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmm.errors import check_ranges, require

# What may change between a run and its continuation: it changes no step that was taken. (Another end does change the
# learning rates of the steps to come, with the cosine schedule and where it shortens the warmup.)
FREE_SETTINGS = {f"train.{name}" for name in ("steps", "checkpoint_every", "log_every", "eval_every")} | {
    "recipe.guidance"  # only used in sampling
}

RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, 10_000_000),
    "batch_size": (1, 65_536),
    "lr": (0.0, 1.0),
    "betas": (0.0, 1.0),
    "weight_decay": (0.0, 1000.0),
    "warmup": (0, 10_000_000),
    "milestones": (0.0, 1.0),
    "gamma": (0.0, 1.0),
    "grad_clip": (0.0, 1e6),
    "ema": (0.0, 1.0),
    "seed": (0, 2**62),
    "checkpoint_every": (1, 10_000_000),
    "log_every": (1, 10_000_000),
    "eval_every": (0, 10_000_000),
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `mmm.training.loop.train`.

    Raises:
        ValueError: a setting is out of its range.
    """

    steps: int
    """Optimizer steps in all; a continued run counts on."""
    batch_size: int = 64
    """Items per step, over all processes together."""
    lr: float = 2e-4
    """Learning rate of AdamW."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay rates of AdamW's two averages."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    warmup: int = 0
    """Steps in which the rate rises linearly from 0 to `lr`; at most a tenth of `steps`."""
    schedule: str = "constant"
    """Of the learning rate: "constant"; "milestones" (times `gamma` from each of `milestones` on); "cosine" (to 0 at
    the end)."""
    milestones: tuple[float, ...] = ()
    """Fractions of `steps`, in (0, 1)."""
    gamma: float = 0.05
    """Factor of the rate at each milestone."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; 0 is no clipping."""
    ema: float = 0.0
    """Decay of the moving average of the weights, which is evaluated and saved at the end; 0 is no average."""
    precision: str = "no"
    """"no" (float32), "bf16" (also on CPUs) or "fp16" (GPUs only)."""
    seed: int = 0
    """Seed of everything random in training. Initial weights are the caller's."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    eval_every: int = 0
    """Steps between evaluations; 0 is only at the end."""

    def __post_init__(self) -> None:
        check_ranges(self, **RANGES)
        choices = {"schedule": ("constant", "milestones", "cosine"), "precision": ("no", "bf16", "fp16")}
        for name, known in choices.items():
            value = getattr(self, name)
            require(value in known, f"{name} is {value!r}, expected one of {', '.join(known)}")
        require(
            all(0 < fraction < 1 for fraction in self.milestones),
            f"milestones are {self.milestones}, expected fractions of the steps, between 0 and 1",
        )
        require(0 <= self.ema < 1, f"ema is {self.ema}, expected a decay in [0, 1), 0 meaning none")


def learning_rate(step: int, config: TrainConfig) -> float:
    """The learning rate of a step (from 0): a pure function, so that no scheduler has a state to save."""
    # Not in the config, which stays the same when a short run is continued with more steps.
    warmup = min(config.warmup, config.steps // 10)
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = 1.0
    if config.schedule == "milestones":
        fall = config.gamma ** sum(step >= round(fraction * config.steps) for fraction in config.milestones)
    elif config.schedule == "cosine":
        progress = max(0, step - warmup) / max(1, config.steps - warmup)
        fall = 0.5 * (1 + math.cos(math.pi * progress))
    return config.lr * rise * fall
