"""One loop for every trainable part (tokenizer, transformer, length estimator), on accelerate.

Reproducible by construction: everything random in step s is drawn from generators seeded by (seed, s) alone.
So a run has no hidden sampler position that a checkpoint would have to store, the step *is* the position, and a
resumed run continues bit for bit on a CPU. Several processes (`accelerate launch`) draw the same global batch
and take a slice each.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import send_to_device
from torch import Tensor, nn
from tqdm import tqdm

from mmm import checkpoints as disk
from mmm.errors import require

Batch = Callable[[int, torch.Generator], Any]
Loss = Callable[[nn.Module, Any, torch.Generator], tuple[Tensor, dict[str, Tensor]]]

# What may change between a run and its continuation: none of these bears on the steps already taken.
FREE_SETTINGS = {f"train.{name}" for name in ("steps", "checkpoint_every", "log_every", "eval_every")}


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Defaults fit the small preset; the paper's values are in REPRODUCTION ("Training").

    Args:
        steps: optimizer steps in all (a resumed run counts on).
        batch_size: items per step, over all processes together.
        warmup: steps over which the rate rises linearly from 0 to `lr`.
        schedule: "constant"; "milestones" (× `gamma` from each step in `milestones` on); "cosine" (to 0 at `steps`).
        grad_clip: largest norm of the gradient, 0 = no clipping.
        ema: decay of the moving average of the weights that is evaluated and kept at the end; 0 = none.
        precision: "no" (float32), "bf16" (also on CPUs) or "fp16" (GPUs only).
        eval_every: 0 = only at the end.
    """

    steps: int
    batch_size: int = 64
    lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 0
    schedule: str = "constant"
    milestones: tuple[int, ...] = ()
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
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name, known in (("schedule", ("constant", "milestones", "cosine")), ("precision", ("no", "bf16", "fp16"))):
            require(
                getattr(self, name) in known, f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
            )
        require(0 <= self.ema < 1, f"ema must be in [0, 1), got {self.ema}")


@dataclass
class TrainResult:
    """The trained module (averaged weights if `ema`), the last evaluation, and how fast it went."""

    module: nn.Module
    step: int
    metrics: dict[str, float]
    steps_per_second: float
    is_main_process: bool = True


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step `step` (from 0): a pure function, so that there is no scheduler state to store."""
    rise = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    fall = 1.0
    if config.schedule == "milestones":
        fall = config.gamma ** sum(step >= milestone for milestone in config.milestones)
    elif config.schedule == "cosine":
        done = max(0, step - config.warmup) / max(1, config.steps - config.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * done))
    return config.lr * rise * fall


def step_seed(seed: int, step: int, stream: int) -> int:
    """A 63-bit seed for one stream of random numbers of one step, unrelated to those of other steps."""
    return int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def step_generator(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """A CPU generator for `step_seed`."""
    return torch.Generator().manual_seed(step_seed(seed, step, stream))


def train(
    module: nn.Module,
    batch: Batch,
    loss: Loss,
    config: TrainConfig,
    out: str | Path,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    resume: bool = True,
    config_extra: dict[str, Any] | None = None,
    manifest: dict[str, Any] | None = None,
    cpu: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Train `module` and leave in `out`: checkpoints/, metrics.jsonl, timing.jsonl, manifest.json, config.yaml.

    Args:
        batch: (step, generator) → the global batch of that step, tensors in a dict (first dimension: items).
            All its randomness must come from the generator. It may be called from another thread.
        loss: (module, batch, generator) → scalar and named scalars to log. Called under autocast.
        evaluate: module in eval mode → numbers, logged with the prefix "val/".
        resume: continue from the newest checkpoint in `out`, if there is one; False begins anew.
        config_extra: the rest of the configuration (model, data); a run is continued only with the same.
        manifest: facts to note that may differ between a run and its continuation.
        cpu: stay on the CPU even if there is a GPU.

    Raises:
        ValueError: `out` holds another run, a longer run or only damaged checkpoints; fp16 without a GPU.
        FloatingPointError: the loss is no longer finite.
        KeyboardInterrupt: after Ctrl-C; the step is finished and a checkpoint written first.
    """
    return _Run(module, batch, loss, config, Path(out), evaluate, config_extra or {}, cpu, progress).go(
        resume, manifest or {}
    )


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        module: nn.Module,
        batch: Batch,
        loss: Loss,
        config: TrainConfig,
        out: Path,
        evaluate: Callable[[nn.Module], dict[str, float]] | None,
        config_extra: dict[str, Any],
        cpu: bool,
        progress: bool,
    ):
        self.batch, self.loss, self.config, self.out, self.evaluate = batch, loss, config, out, evaluate
        self.resolved = json.loads(json.dumps({"train": dataclasses.asdict(config), **config_extra}))
        self.accelerator = _accelerator(config.precision, cpu)
        self.main = self.accelerator.is_main_process
        self.progress = progress and self.main
        self.module = module.to(self.accelerator.device)
        self.model = self.module
        if self.accelerator.num_processes > 1:
            self.model = self.accelerator.prepare_model(self.module)
            # Autocast is entered around the loss; the module itself stays unpatched for the evaluation.
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        fused = self.accelerator.device.type in ("cpu", "cuda")  # one pass over the memory instead of ten
        plain = torch.optim.AdamW(
            self.parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=fused
        )
        self.optimizer = self.accelerator.prepare_optimizer(plain)
        self.average = copy.deepcopy(self.module).requires_grad_(False) if config.ema else None
        self.step = 0
        self.sums: dict[str, Tensor] = {}  # of the logged numbers since the last line of metrics.jsonl
        self.summed = 0
        self.metrics: dict[str, float] = {}

    def go(self, resume: bool, manifest: dict[str, Any]) -> TrainResult:
        self._begin(resume, manifest)
        first, began = self.step, time.perf_counter()
        device = self.accelerator.device
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
            stopped = stack.enter_context(_interruptible())
            bar = stack.enter_context(
                tqdm(total=self.config.steps, initial=first, disable=not self.progress, unit="step", mininterval=0.5)
            )
            self.module.train()
            for data in self._batches():
                self._take_step(data)
                bar.update()
                self._after_step(bar, last_time=began, first=first)
                if stopped.is_set():
                    self._save()
                    raise KeyboardInterrupt(f"stopped after step {self.step}; the same call continues from there")
        seconds = time.perf_counter() - began
        self.module.eval()
        if self.average is not None:
            disk.load_module_tensors(self.module, disk.module_tensors(self._averaged()))
        return TrainResult(self.module, self.step, self.metrics, (self.step - first) / max(seconds, 1e-9), self.main)

    def _begin(self, resume: bool, manifest: dict[str, Any]) -> None:
        folder = self.out / "checkpoints"
        if self.main and not resume:
            shutil.rmtree(folder, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        found = disk.load_checkpoint(folder)
        if found is not None:
            disk.check_same_config(self.out, found.info["config"], self.resolved, FREE_SETTINGS)
            require(
                found.step <= self.config.steps,
                f"the run in {self.out} has taken {found.step} steps already, more than steps={self.config.steps}; "
                "give more steps, or another folder, or begin anew with resume=False",
            )
            self._restore(found)
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            for name in ("metrics.jsonl", "timing.jsonl"):
                disk.rewind_metrics(self.out / name, self.step if found else -1)
            disk.write_config(self.out / "config.yaml", self.resolved)
            device = self.accelerator.device
            name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
            facts = {"device": name, "processes": self.accelerator.num_processes, "seed": self.config.seed}
            disk.write_manifest(
                self.out / "manifest.json", {**facts, "resumed_from": found.step if found else None, **manifest}
            )
            lines = disk.read_metrics(self.out / "metrics.jsonl")
            values = [line for line in lines if any(name.startswith("val/") for name in line)]
            self.metrics = {n: v for n, v in values[-1].items() if n != "step"} if values else {}

    def _batches(self) -> Iterator[Any]:
        """The batches from `self.step` on, each process's slice, on the device; on a GPU made one step ahead."""
        device, count, rank = (
            self.accelerator.device, self.accelerator.num_processes, self.accelerator.process_index
        )

        def make(step: int) -> Any:
            data = self.batch(step, step_generator(self.config.seed, step))
            return take_slice(data, rank, count) if count > 1 else data

        steps = range(self.step, self.config.steps)
        if device.type == "cpu":  # a second thread would only take the cores from the first
            yield from map(make, steps)
            return
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(make, steps.start) if steps else None
            for step in steps:
                data = ahead.result()
                if step + 1 < steps.stop:
                    ahead = pool.submit(make, step + 1)
                yield send_to_device(data, device, non_blocking=True)

    def _take_step(self, data: Any) -> None:
        config, rank = self.config, self.accelerator.process_index
        rate = learning_rate(self.step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seed = step_seed(config.seed, self.step, 1 + rank)
        torch.manual_seed(seed)  # dropout draws from torch's own generator
        with self.accelerator.autocast():
            value, logs = self.loss(self.model, data, torch.Generator().manual_seed(seed))
        self.accelerator.backward(value)
        if config.grad_clip:
            logs = {**logs, "grad_norm": self.accelerator.clip_grad_norm_(self.parameters, config.grad_clip)}
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.average is not None:
            # The average of few steps must not be mostly the random start.
            decay = min(config.ema, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.module.parameters()), 1 - decay)
        for name, number in {"loss": value, **logs}.items():
            number = number.detach().float()
            self.sums[name] = self.sums[name] + number if name in self.sums else number.clone()
        self.summed += 1

    def _after_step(self, bar: tqdm, last_time: float, first: int) -> None:
        config, last = self.config, self.step == self.config.steps
        if last or self.step % config.log_every == 0:
            means = self._means()
            bar.set_postfix(loss=f"{means['loss']:.4g}", refresh=False)
            if self.main:
                rate = learning_rate(self.step - 1, config)
                disk.append_metrics(self.out / "metrics.jsonl", {"step": self.step, **means, "lr": rate})
                seconds = time.perf_counter() - last_time
                pace = {"seconds": round(seconds, 3), "steps_per_second": round((self.step - first) / seconds, 3)}
                disk.append_metrics(self.out / "timing.jsonl", {"step": self.step, **pace})
        if self.evaluate is not None and (last or (config.eval_every and self.step % config.eval_every == 0)):
            self._evaluate()
        if last or self.step % config.checkpoint_every == 0:
            self._save()

    def _means(self) -> dict[str, float]:
        """Means of the logged numbers since the last call, over all processes."""
        numbers = self.accelerator.reduce(torch.stack(list(self.sums.values())) / self.summed, "mean").tolist()
        means = dict(zip(self.sums, numbers, strict=True))
        self._require_finite(means["loss"])
        self.sums, self.summed = {}, 0
        return means

    def _require_finite(self, value: float) -> None:
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {self.step} of the run in {self.out}; "
                "take a lower lr, a smaller grad_clip or precision='no', and resume from the last checkpoint"
            )

    def _averaged(self) -> nn.Module:
        assert self.average is not None
        for kept, buffer in zip(self.average.buffers(), self.module.buffers(), strict=True):
            kept.copy_(buffer)
        return self.average

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        if self.main:
            judged = self.module if self.average is None else self._averaged()
            judged.eval()
            with torch.no_grad():
                self.metrics = {f"val/{name}": float(number) for name, number in self.evaluate(judged).items()}
            judged.train()
            disk.append_metrics(self.out / "metrics.jsonl", {"step": self.step, **self.metrics})
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        if not self.main:
            return
        if self.summed:
            self._require_finite(float(self.sums["loss"]))
        tensors = {
            "model": disk.module_tensors(self.module),
            "optimizer": disk.optimizer_tensors(self.optimizer.optimizer),
            "log": self.sums,
        }
        if self.average is not None:
            tensors["ema"] = dict(self.average.named_parameters())
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        info = {"config": self.resolved, "summed": self.summed, "logged": list(self.sums), "scaler": scaler}
        disk.save_checkpoint(self.out / "checkpoints", disk.Checkpoint(self.step, tensors, info))

    def _restore(self, found: disk.Checkpoint) -> None:
        self.step, self.summed = found.step, found.info["summed"]
        disk.load_module_tensors(self.module, found.tensors["model"])
        disk.load_optimizer_tensors(self.optimizer.optimizer, found.tensors["optimizer"])
        device = self.accelerator.device
        self.sums = {name: found.tensors["log"][name].to(device) for name in found.info["logged"]}
        if self.average is not None:
            disk.load_module_tensors(self._averaged(), {**disk.module_tensors(self._averaged()), **found.tensors["ema"]})
        if self.accelerator.scaler and found.info["scaler"]:
            self.accelerator.scaler.load_state_dict(found.info["scaler"])


def take_slice(data: Any, rank: int, count: int) -> Any:
    """Every `count`-th item from `rank` on, in all tensors and lists of a dict: one process's share of a batch."""
    return {name: value[rank::count] for name, value in data.items()}


def _accelerator(precision: str, cpu: bool) -> Accelerator:
    """An Accelerator of the wanted precision; accelerate remembers the first one of a process, also in notebooks."""
    require(
        precision != "fp16" or (torch.cuda.is_available() and not cpu),
        "precision='fp16' needs a CUDA GPU and there is none; take 'bf16' or 'no'",
    )
    alone = not PartialState._shared_state or PartialState().num_processes == 1
    AcceleratorState._reset_state(reset_partial_state=alone)
    return Accelerator(mixed_precision=precision, cpu=cpu)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the yielded event instead of stopping between two halves of a step; a second one stops."""
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():  # Python allows handlers only there
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
