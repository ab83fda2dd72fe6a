"""One loop for every network that is trained (tokenizer, transformer, length estimator, evaluator), on accelerate.

A *step* is one step of the optimizer, on one batch. Everything random in step s is drawn from generators that are
seeded by (seed, s) alone. So a checkpoint needs no state of a data loader or a generator, only the number of the step,
and a resumed run continues bit for bit on a CPU, if it has as many threads (manifest.json says how many): the order of
sums depends on them. Several processes (`accelerate launch`) draw the same batch and take a slice each.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn
from tqdm import tqdm

from mmm.errors import require
from mmm.training import checkpoints, run_folder
from mmm.training.config import FREE_SETTINGS, TrainConfig, learning_rate
from mmm.training.launch import make_accelerator
from mmm.training.processes import interruptible, require_equal_slices, take_slice
from mmm.training.seeds import step_generator, step_seed

Batch = Callable[[int, torch.Generator], dict[str, Any]]
Loss = Callable[[nn.Module, Any, torch.Generator], tuple[Tensor, dict[str, Tensor]]]
Evaluate = Callable[[nn.Module], dict[str, float]]
Watch = Callable[[nn.Module, int], dict[str, float] | None]
Stop = Callable[[int], bool]


@dataclass
class TrainResult:
    """The trained module (averaged weights if `ema`), the last evaluation, and the speed."""

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
    """Train `module`; `out` gets checkpoints/, metrics.jsonl and .json, timing.jsonl, manifest.json, config.yaml.

    Args:
        batch: (step, generator) → the whole batch of that step, tensors in a dict (first dimension: items).
            All its randomness must come from the generator. On a GPU it is called from another thread.
        loss: (module, batch, generator) → scalar and named scalars to log. Called under autocast.
        evaluate: module in eval mode → numbers, logged with the prefix "val/".
        resume: continue from the newest checkpoint in `out`, if there is one. False starts again, and removes
            `out`/checkpoints and `out`/model, where the callers of this loop save the trained model.
        config_extra: the rest of the configuration (model, data); a run is continued only with the same.
        manifest: facts to record that may differ between a run and its continuation.
        cpu: stay on the CPU even if there is a GPU.
        watch: (module, steps taken) → numbers for a line of metrics.jsonl, or None; called after every step in every
            process. What it counts must lie in buffers of the module, so that a checkpoint holds it.
        stop: steps taken → whether to end here; called after every step in every process, which must agree. A
            training that ends so writes no more log lines, evaluations or checkpoints: for timing.

    Raises:
        ValueError: another process trains in `out`; it holds another run, a longer run or only damaged checkpoints;
            fp16 without a GPU; a batch that the processes cannot divide equally.
        FloatingPointError: the loss is no longer finite.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; the step is finished and a checkpoint written first.
    """
    accelerator = make_accelerator(config.precision, cpu)
    require_equal_slices(config.batch_size, accelerator.num_processes)
    # As JSON gives it back, so that it can be compared with what a checkpoint holds.
    settings = json.loads(json.dumps({"train": dataclasses.asdict(config), **(config_extra or {})}))
    run = _Run(module, config, settings, Path(out), accelerator)
    with run_folder.locked(run.out):
        metrics = run.begin(resume, manifest or {})
        first, stopped, start = run.step, False, time.perf_counter()
        gpus = [accelerator.device] if accelerator.device.type == "cuda" else []
        with (
            torch.random.fork_rng(gpus),  # the caller's random numbers must not depend on a training
            interruptible() as interrupted,
            tqdm(
                total=config.steps,
                initial=first,
                disable=not (progress and run.main),
                unit="step",
                mininterval=0.5,
            ) as bar,
        ):
            module.train()
            for data in _batches(batch, config, first, accelerator):
                run.take_step(data, loss)
                stopped = stop is not None and stop(run.step)
                if stopped:
                    break
                if watch and (numbers := watch(module, run.step)) is not None:
                    run.write("metrics.jsonl", numbers)
                last = run.step == config.steps
                if last or run.step % config.log_every == 0:
                    bar.set_postfix(loss=f"{run.log(time.perf_counter() - start, first):.4g}", refresh=False)
                bar.update()
                if evaluate and (last or (config.eval_every and run.step % config.eval_every == 0)):
                    metrics = run.evaluate(evaluate)
                if last or interrupted.is_set() or run.step % config.checkpoint_every == 0:
                    run.save()
                if interrupted.is_set() and not last:
                    raise KeyboardInterrupt(
                        f"stopped after step {run.step}; the same call continues from there"
                    )
        speed = (run.step - first) / max(time.perf_counter() - start, 1e-9)
        if run.average is not None:
            checkpoints.load_module_tensors(module, checkpoints.module_tensors(run.averaged()))
        if run.main and not stopped:
            run_folder.write_json(run.out / "metrics.json", {"step": run.step, **metrics})
        return TrainResult(module.eval(), run.step, metrics, speed, run.main and not stopped)


def train_and_save(
    module: nn.Module,
    batch: Batch,
    loss: Loss,
    config: TrainConfig,
    out: str | Path,
    evaluate: Evaluate | None,
    settings: dict[str, Any],
    **options: Any,
) -> TrainResult:
    """`train`, then write the module to `out`/model by its `save_pretrained`.

    Args:
        settings: of model and data; a run is continued only with the same ones (and the same config_extra).
        options: as of `train`.
    """
    settings = settings | options.pop("config_extra", {})
    result = train(module, batch, loss, config, out, evaluate, config_extra=settings, **options)
    if result.saves:
        module.save_pretrained(Path(out) / "model")
    return result


def _batches(
    batch: Batch, config: TrainConfig, first: int, accelerator: Accelerator
) -> Iterator[dict[str, Any]]:
    """This process's slices of the batches from step `first` on; on a GPU each is made one step ahead."""
    count, rank = accelerator.num_processes, accelerator.process_index

    def make(step: int) -> dict[str, Any]:
        data = batch(step, step_generator(config.seed, step))
        return take_slice(data, rank, count) if count > 1 else data

    steps = range(first, config.steps)
    if accelerator.device.type == "cpu":  # a second thread would only take the cores from the first
        yield from map(make, steps)
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(make, steps.start) if steps else None
        for step in steps:
            data = ahead.result()
            if step + 1 < steps.stop:
                ahead = pool.submit(make, step + 1)
            yield send_to_device(data, accelerator.device, non_blocking=True)


class _Run:
    """What a checkpoint holds (weights, optimizer, moving average, step, sums of the log), and the run's folder."""

    def __init__(
        self,
        module: nn.Module,
        config: TrainConfig,
        settings: dict[str, Any],
        out: Path,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.settings, self.out, self.accelerator = config, settings, out, accelerator
        self.device, self.main = accelerator.device, accelerator.is_main_process
        # The network itself (`module`), and the same as several processes train it, wrapped (`model`).
        self.module = self.model = module.to(self.device)
        if accelerator.num_processes > 1:
            self.model = accelerator.prepare_model(module)
            # Autocast is entered around the loss; the module itself stays unpatched for the evaluation.
            accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        fused = self.device.type in ("cpu", "cuda")  # one pass over the memory instead of ten
        self.optimizer = accelerator.prepare_optimizer(
            torch.optim.AdamW(
                self.parameters,
                lr=config.lr,
                betas=config.betas,
                weight_decay=config.weight_decay,
                fused=fused,
            )
        )
        self.average = copy.deepcopy(module).requires_grad_(False) if config.ema else None
        self.step = 0
        self.sums: dict[str, Tensor] = {}  # of the logged numbers since the last line of metrics.jsonl
        self.summed = 0  # steps in them

    def begin(self, resume: bool, manifest: dict[str, Any]) -> dict[str, float]:
        """Continue from the newest checkpoint, if there is one; returns the last evaluation so far."""
        folder = self.out / "checkpoints"
        if self.main and not resume:
            for old in (self.out / "model", folder):  # a model must not outlive the run that trained it
                shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        checkpoint = checkpoints.load_checkpoint(folder)
        if checkpoint is not None:
            run_folder.check_same_config(self.out, checkpoint.info["config"], self.settings, FREE_SETTINGS)
            require(
                checkpoint.step <= self.config.steps,
                f"the run in {self.out} has taken {checkpoint.step} steps, more than steps={self.config.steps}; "
                "give more steps, or another folder, or start again with resume=False",
            )
            self.restore(checkpoint)
        if not self.main:
            return {}
        self.out.mkdir(parents=True, exist_ok=True)
        for name in ("metrics.jsonl", "timing.jsonl"):
            run_folder.rewind_metrics(self.out / name, checkpoint.step if checkpoint else -1)
        run_folder.write_config(self.out / "config.yaml", self.settings)
        cuda = self.device.type == "cuda"
        facts = {
            "device": torch.cuda.get_device_name(self.device) if cuda else str(self.device),
            "processes": self.accelerator.num_processes,
            "seed": self.config.seed,
            "resumed_from": checkpoint.step if checkpoint else None,
        }
        run_folder.write_manifest(self.out / "manifest.json", {**facts, **manifest})
        metrics: dict[str, float] = {}
        for line in run_folder.read_metrics(self.out / "metrics.jsonl"):
            metrics = {name: value for name, value in line.items() if name.startswith("val/")} or metrics
        return metrics

    def take_step(self, data: dict[str, Any], loss: Loss) -> None:
        """One optimizer step. The numbers to log stay on the device: waiting for a GPU at each step would be slow."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config)
        seed = step_seed(config.seed, self.step, 1 + self.accelerator.process_index)
        torch.manual_seed(seed)  # dropout draws from torch's own generator
        with self.accelerator.autocast():
            value, logs = loss(self.model, data, torch.Generator().manual_seed(seed))
        self.accelerator.backward(value)
        if config.grad_clip:
            logs = {**logs, "grad_norm": self.accelerator.clip_grad_norm_(self.parameters, config.grad_clip)}
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.average is not None:
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
        """Write the means since the last line, over all processes; returns the loss."""
        numbers = torch.stack(list(self.sums.values())) / self.summed
        means = dict(zip(self.sums, self.accelerator.reduce(numbers, "mean").tolist(), strict=True))
        self.require_finite(means["loss"])
        self.sums, self.summed = {}, 0
        self.write("metrics.jsonl", {**means, "lr": learning_rate(self.step - 1, self.config)})
        # In a file of its own: metrics.jsonl must be the same for two runs of the same settings.
        speed = round((self.step - first) / seconds, 3)
        self.write("timing.jsonl", {"seconds": round(seconds, 3), "steps_per_second": speed})
        return means["loss"]

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """Evaluate in the main process: the averaged weights, if there are any."""
        metrics: dict[str, float] = {}
        if self.main:
            module = self.module if self.average is None else self.averaged()
            module.eval()
            with torch.no_grad():
                metrics = {f"val/{name}": float(number) for name, number in evaluate(module).items()}
            module.train()
            self.write("metrics.jsonl", metrics)
        self.accelerator.wait_for_everyone()
        return metrics

    def averaged(self) -> nn.Module:
        """The module with averaged parameters; buffers are no weights and are copied as they are."""
        for copied, buffer in zip(self.average.buffers(), self.module.buffers(), strict=True):
            copied.copy_(buffer)
        return self.average

    def write(self, name: str, numbers: dict[str, float]) -> None:
        """Append a line to a file of the run's folder, in the main process."""
        if self.main:
            run_folder.append_metrics(self.out / name, {"step": self.step, **numbers})

    def save(self) -> None:
        """Write a checkpoint, in the main process."""
        if not self.main:
            return
        if self.summed:
            self.require_finite(float(self.sums["loss"]))  # a bad checkpoint must not replace a good one
        tensors = {
            "model": checkpoints.module_tensors(self.module),
            "optimizer": checkpoints.optimizer_tensors(self.optimizer.optimizer),
            "log": self.sums,
        }
        if self.average is not None:
            tensors["ema"] = dict(self.average.named_parameters())
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        info = {"config": self.settings, "summed": self.summed, "logged": list(self.sums), "scaler": scaler}
        checkpoints.save_checkpoint(
            self.out / "checkpoints", checkpoints.Checkpoint(self.step, tensors, info)
        )

    def restore(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Undo `save`."""
        tensors, info = checkpoint.tensors, checkpoint.info
        summed, logged = info.get("summed"), info.get("logged")
        require(
            type(summed) is int
            and isinstance(logged, list)
            and {"model", "optimizer", "log"} <= tensors.keys()
            and set(map(str, logged)) <= tensors["log"].keys(),
            f"{self.out}: a checkpoint's state.json does not say what it holds; delete it, or copy it again.",
        )
        self.step, self.summed = checkpoint.step, info["summed"]
        self.sums = {name: tensors["log"][name].to(self.device) for name in info["logged"]}
        checkpoints.load_module_tensors(self.module, tensors["model"])
        checkpoints.load_optimizer_tensors(self.optimizer.optimizer, tensors["optimizer"])
        if self.average is not None:
            buffers = dict(self.average.named_buffers())
            checkpoints.load_module_tensors(self.average, {**buffers, **tensors["ema"]})
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(info["scaler"])

    def require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {self.step} of the run in {self.out}; "
                "take a smaller lr or grad_clip, or precision='no', and start again"
            )
