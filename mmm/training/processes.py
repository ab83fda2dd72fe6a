"""Several processes that train together learn what one process would learn from the whole batch.

Each process holds a slice of each batch (`take_slice`): every count-th item, equally many in each. Gradients and logged
numbers are means over the processes. This is right for a mean over *items*. What is counted differently (real frames,
chosen codes) needs the functions below. With one process they change nothing.

`sum_over_processes`, `mean_count`, `from_first_process` and `gather_items` are collective calls: all processes must
make them, or those that do wait forever. So they belong in a training step, never in what the main process does alone
(evaluating, saving).

`mmm.tokenizer.quantizer` and `mmm.sampling_many` import this file, so it does not import accelerate;
`mmm.training.launch` does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from mmm.errors import require


def resolve_precision(precision: str, device: torch.device | None = None) -> str:
    """ "auto" → "bf16" where the machine multiplies bfloat16 fast (CUDA, or a CPU with AMX), else "no" (float32).

    On a CPU with AMX the small tokenizer trains 3.5 times faster in bf16; without it bf16 is slower than float32.

    Args:
        device: where the network is; by default on the GPU, if there is one.
    """
    if precision != "auto":
        return precision
    kind = device.type if device else "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if kind == "cpu" and torch.cpu.get_capabilities().get("amx_bf16", False) else "no"


def several_processes() -> bool:
    """Is this one of several processes that train together?"""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of every process's `x`, which is overwritten."""
    if several_processes():
        torch.distributed.all_reduce(x)
    return x


def mean_count(count: Tensor) -> Tensor:
    """What to divide a process's sum by, so that the mean over processes is the mean over the whole batch.

    Processes with sums s_i over c_i frames have the joint mean Σs / Σc, not the mean of s_i / c_i. Dividing each s_i
    by the mean of all c_i gives it: 1/n · Σ (s_i / (Σc / n)) = Σs / Σc.
    """
    if not several_processes():
        return count
    return sum_over_processes(count.float().clone()) / torch.distributed.get_world_size()


def from_first_process(x: Tensor) -> Tensor:
    """The first process's `x` in all of them; the others' is overwritten."""
    if several_processes():
        torch.distributed.broadcast(x, src=0)
    return x


def gather_items(x: Shaped[Tensor, "b *shape"]) -> Shaped[Tensor, "all *shape"]:
    """The items of all slices in the order of the whole batch."""
    if not several_processes():
        return x
    slices = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(slices, x.contiguous())
    return torch.stack(slices, 1).flatten(0, 1)  # item i of process r is item i · count + r of the batch


def take_slice(data: dict[str, Any], rank: int, count: int) -> dict[str, Any]:
    """Every `count`-th item from `rank` on: one process's slice of a batch."""
    return {name: value[rank::count] for name, value in data.items()}


def require_equal_slices(batch_size: int, count: int) -> None:
    """Refuse a batch that `count` processes cannot divide equally: the mean over processes would weigh items unequally.

    Raises:
        ValueError: `batch_size` is not a multiple of `count`.
    """
    require(
        batch_size % count == 0,
        f"batch_size is {batch_size} for {count} processes together, which cannot be divided equally; "
        f"take a multiple of {count}, such as {-(-batch_size // count) * count}",
    )


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the yielded event, so that the step can be finished; a second one stops at once."""
    interrupted = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    if threading.current_thread() is not threading.main_thread():  # Python allows handlers only there
        yield interrupted
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
