"""One loop for every trainable part (tokenizer, transformer, length estimator), on accelerate.

Reproducible by construction: everything random in step s is drawn from generators seeded by (seed, s) alone.
So a run has no hidden sampler position that a checkpoint would have to store, the step *is* the position, and
a resumed run continues bit for bit on a CPU. Several processes (`accelerate launch`) draw the same global
batch and take a slice each.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from tqdm import tqdm

from mmm.errors import require
from mmm.training import checkpoints, run_folder
from mmm.training.config import FREE_SETTINGS, TrainConfig, learning_rate
from mmm.training.launch import make_accelerator
from mmm.training.processes import interruptible, require_equal_shares, take_slice
from mmm.training.seeds import step_generator, step_seed

Batch = Callable[[int, torch.Generator], dict[str, Any]]
Loss = Callable[[nn.Module, Any, torch.Generator], tuple[Tensor, dict[str, Tensor]]]
Evaluate = Callable[[nn.Module], dict[str, float]]
Watch = Callable[[nn.Module, int], dict[str, float] | None]
Stop = Callable[[int], bool]


@dataclass
class TrainResult:
    """The trained module (averaged weights if `ema`), the last evaluation, and how fast it went."""

    module: nn.Module
    step: int
    metrics: dict[str, float]
    steps_per_second: float
    saves: bool  # the caller saves the model: in the main process, unless `stop` ended the training


def train(
    module: nn.Module,
    batch: Batch,
    loss: Loss,
    config: TrainConfig,
    out: str | Path,
    evaluate: Evaluate | None = None,
    resume: bool = True,
    config_extra: dict[str, Any] | None = None,
    manifest: dict[str, Any] | None = None,
    cpu: bool = False,
    progress: bool = True,
    watch: Watch | None = None,
    stop: Stop | None = None,
) -> TrainResult:
    """Train `module`; `out` gets checkpoints/, metrics.jsonl and metrics.json, timing.jsonl,
    manifest.json, config.yaml.

    Args:
        batch: (step, generator) → the global batch of that step, tensors in a dict (first dimension: items).
            All its randomness must come from the generator. On a GPU it is called from another thread.
        loss: (module, batch, generator) → scalar and named scalars to log. Called under autocast.
        evaluate: module in eval mode → numbers, logged with the prefix "val/".
        resume: continue from the newest checkpoint in `out`, if there is one; False begins anew and removes
                `out`/model, where the callers of this loop put what a run ends with.
        config_extra: the rest of the configuration (model, data); a run is continued only with the same.
        manifest: facts to note that may differ between a run and its continuation.
        cpu: stay on the CPU even if there is a GPU.
        watch: (module, steps taken) → numbers for a line of metrics.jsonl, or None; called after every step in every
            process. What it counts must lie in buffers of the module, so that a checkpoint holds it.
        stop: steps taken → whether to end here; called after every step in every process, which must agree. What is
            ended so writes no more log lines, evaluations or checkpoints: for timing, and for a budget of seconds.

    Raises:
        ValueError: `out` holds another run, a longer run or only damaged checkpoints; fp16 without a GPU; a batch
            that the processes cannot share alike.
        FloatingPointError: the loss is no longer finite.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; the step is finished and a checkpoint written first.
    """
    run = _Run(
        module, batch, loss, config, Path(out), evaluate, config_extra or {}, cpu, progress, watch, stop
    )
    run.begin(resume, manifest or {})
    return run.go()


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        module: nn.Module,
        batch: Batch,
        loss: Loss,
        config: TrainConfig,
        out: Path,
        evaluate: Evaluate | None,
        config_extra: dict[str, Any],
        cpu: bool,
        progress: bool,
        watch: Watch | None,
        stop: Stop | None,
    ) -> None:
        self.batch, self.loss, self.config, self.out, self.evaluate = batch, loss, config, out, evaluate
        self.watch, self.stop = watch, stop
        # As JSON gives it back, so that it can be compared with what a checkpoint says.
        self.resolved = json.loads(json.dumps({"train": dataclasses.asdict(config), **config_extra}))
        self.accelerator = make_accelerator(config.precision, cpu)
        require_equal_shares(config.batch_size, self.accelerator.num_processes)
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        self.progress = progress and self.main
        self.module = module.to(self.device)
        self.model = self.module
        if self.accelerator.num_processes > 1:
            self.model = self.accelerator.prepare_model(self.module)
            # Autocast is entered around the loss; the module itself stays unpatched for the evaluation.
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        fused = self.device.type in ("cpu", "cuda")  # one pass over the memory instead of ten
        adamw = torch.optim.AdamW(
            self.parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=fused
        )
        self.optimizer = self.accelerator.prepare_optimizer(adamw)
        self.average = copy.deepcopy(self.module).requires_grad_(False) if config.ema else None
        self.step = 0
        self.sums: dict[str, Tensor] = {}  # of the logged numbers since the last line of metrics.jsonl
        self.summed = 0  # steps in them
        self.metrics: dict[str, float] = {}  # the last evaluation

    def begin(self, resume: bool, manifest: dict[str, Any]) -> None:
        """Continue from the newest checkpoint, if there is one; bring the run's folder into that state."""
        folder = self.out / "checkpoints"
        if self.main and not resume:
            for old in (self.out / "model", folder):  # the callers' model must not outlive the run it is of
                shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        found = checkpoints.load_checkpoint(folder)
        if found is not None:
            run_folder.check_same_config(self.out, found.info["config"], self.resolved, FREE_SETTINGS)
            require(
                found.step <= self.config.steps,
                f"the run in {self.out} has taken {found.step} steps, more than steps={self.config.steps}; "
                "give more steps, or another folder, or begin anew with resume=False",
            )
            self.restore(found)
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            for name in ("metrics.jsonl", "timing.jsonl"):
                run_folder.rewind_metrics(self.out / name, found.step if found else -1)
            run_folder.write_config(self.out / "config.yaml", self.resolved)
            facts = {
                "device": torch.cuda.get_device_name(self.device)
                if self.device.type == "cuda"
                else str(self.device),
                "processes": self.accelerator.num_processes,
                "seed": self.config.seed,
                "resumed_from": found.step if found else None,
            }
            run_folder.write_manifest(self.out / "manifest.json", {**facts, **manifest})
            for line in run_folder.read_metrics(self.out / "metrics.jsonl"):
                judged = {name: value for name, value in line.items() if name.startswith("val/")}
                self.metrics = judged or self.metrics

    def go(self) -> TrainResult:
        """Take the steps that are left."""
        config, first, began = self.config, self.step, time.perf_counter()
        ended = False
        with ExitStack() as stack:
            # The caller's random numbers must not depend on whether and how long something was trained.
            stack.enter_context(torch.random.fork_rng([self.device] if self.device.type == "cuda" else []))
            stopped = stack.enter_context(interruptible())
            bar = stack.enter_context(
                tqdm(
                    total=config.steps, initial=first, disable=not self.progress, unit="step", mininterval=0.5
                )
            )
            self.module.train()
            for data in self.batches():
                self.take_step(data)
                ended = self.stop is not None and self.stop(self.step)
                if ended:
                    break
                if self.watch and (seen := self.watch(self.module, self.step)) is not None and self.main:
                    run_folder.append_metrics(self.out / "metrics.jsonl", {"step": self.step, **seen})
                last = self.step == config.steps
                if last or self.step % config.log_every == 0:
                    bar.set_postfix(loss=f"{self.log(time.perf_counter() - began, first):.4g}", refresh=False)
                bar.update()
                if self.evaluate and (last or (config.eval_every and self.step % config.eval_every == 0)):
                    self.judge()
                if last or stopped.is_set() or self.step % config.checkpoint_every == 0:
                    self.save()
                if stopped.is_set() and not last:
                    raise KeyboardInterrupt(
                        f"stopped after step {self.step}; the same call continues from there"
                    )
        seconds = time.perf_counter() - began
        if self.average is not None:
            checkpoints.load_module_tensors(self.module, checkpoints.module_tensors(self.averaged()))
        speed = (self.step - first) / max(seconds, 1e-9)
        if self.main and not ended:
            run_folder.write_json(self.out / "metrics.json", {"step": self.step, **self.metrics})
        return TrainResult(self.module.eval(), self.step, self.metrics, speed, self.main and not ended)

    def batches(self) -> Iterator[dict[str, Any]]:
        """This process's slices of the batches from `self.step` on; on a GPU made one step ahead."""
        count, rank = self.accelerator.num_processes, self.accelerator.process_index

        def make(step: int) -> dict[str, Any]:
            data = self.batch(step, step_generator(self.config.seed, step))
            return take_slice(data, rank, count) if count > 1 else data

        steps = range(self.step, self.config.steps)
        if self.device.type == "cpu":  # a second thread would only take the cores from the first
            yield from map(make, steps)
            return
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(make, steps.start) if steps else None
            for step in steps:
                data = ahead.result()
                if step + 1 < steps.stop:
                    ahead = pool.submit(make, step + 1)
                yield send_to_device(data, self.device, non_blocking=True)

    def take_step(self, data: dict[str, Any]) -> None:
        """One optimizer step; what is to be logged stays on the device: a GPU must not be waited for."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config)
        seed = step_seed(config.seed, self.step, 1 + self.accelerator.process_index)
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
                torch._foreach_lerp_(
                    list(self.average.parameters()), list(self.module.parameters()), 1 - decay
                )
        for name, number in {"loss": value, **logs}.items():
            number = number.detach().float()
            self.sums[name] = self.sums[name] + number if name in self.sums else number.clone()
        self.summed += 1

    def log(self, seconds: float, first: int) -> float:
        """Append the means since the last line, over all processes; gives the loss."""
        numbers = torch.stack(list(self.sums.values())) / self.summed
        means = dict(zip(self.sums, self.accelerator.reduce(numbers, "mean").tolist(), strict=True))
        self.require_finite(means["loss"])
        self.sums, self.summed = {}, 0
        if self.main:
            line = {"step": self.step, **means, "lr": learning_rate(self.step - 1, self.config)}
            run_folder.append_metrics(self.out / "metrics.jsonl", line)
            # In a file of its own: metrics.jsonl must be the same for two runs of the same settings.
            pace = {"seconds": round(seconds, 3), "steps_per_second": round((self.step - first) / seconds, 3)}
            run_folder.append_metrics(self.out / "timing.jsonl", {"step": self.step, **pace})
        return means["loss"]

    def judge(self) -> None:
        """Evaluate (the averaged weights, if there are any) in the main process."""
        if self.main:
            judged = self.module if self.average is None else self.averaged()
            judged.eval()
            with torch.no_grad():
                self.metrics = {
                    f"val/{name}": float(number) for name, number in self.evaluate(judged).items()
                }
            judged.train()
            run_folder.append_metrics(self.out / "metrics.jsonl", {"step": self.step, **self.metrics})
        self.accelerator.wait_for_everyone()

    def averaged(self) -> nn.Module:
        """The module with averaged parameters; buffers are no weights and are taken as they are."""
        for kept, buffer in zip(self.average.buffers(), self.module.buffers(), strict=True):
            kept.copy_(buffer)
        return self.average

    def save(self) -> None:
        if not self.main:
            return
        if self.summed:
            self.require_finite(float(self.sums["loss"]))  # a spoilt checkpoint must not push out a good one
        tensors = {
            "model": checkpoints.module_tensors(self.module),
            "optimizer": checkpoints.optimizer_tensors(self.optimizer.optimizer),
            "log": self.sums,
        }
        if self.average is not None:
            tensors["ema"] = dict(self.average.named_parameters())
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        info = {"config": self.resolved, "summed": self.summed, "logged": list(self.sums), "scaler": scaler}
        checkpoints.save_checkpoint(
            self.out / "checkpoints", checkpoints.Checkpoint(self.step, tensors, info)
        )

    def restore(self, found: checkpoints.Checkpoint) -> None:
        """Undo `save`."""
        self.step, self.summed = found.step, found.info["summed"]
        checkpoints.load_module_tensors(self.module, found.tensors["model"])
        checkpoints.load_optimizer_tensors(self.optimizer.optimizer, found.tensors["optimizer"])
        self.sums = {name: found.tensors["log"][name].to(self.device) for name in found.info["logged"]}
        if self.average is not None:
            buffers = dict(self.average.named_buffers())
            checkpoints.load_module_tensors(self.average, {**buffers, **found.tensors["ema"]})
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(found.info["scaler"])

    def require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {self.step} of the run in {self.out}; "
                "take a smaller lr or grad_clip, or precision='no', and begin anew"
            )
