"""What the training loop needs of its surroundings: an accelerator, its share of a batch, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import InitProcessGroupKwargs

from mmm.errors import require

PATIENCE = timedelta(hours=3)  # for the one that makes the caches; GPUs would give up after 10 minutes


def take_slice(data: dict[str, Any], rank: int, count: int) -> dict[str, Any]:
    """Every `count`-th item from `rank` on: one process's share of a batch."""
    return {name: value[rank::count] for name, value in data.items()}


def require_equal_shares(batch_size: int, count: int) -> None:
    """Refuse a batch that `count` processes cannot share alike: the mean over processes would weigh items unequally.

    Raises:
        ValueError: `batch_size` is not a multiple of `count`.
    """
    require(
        batch_size % count == 0,
        f"batch_size is {batch_size} for {count} processes together, who cannot share it alike; "
        f"take a multiple of {count}, such as {-(-batch_size // count) * count}",
    )


def make_accelerator(precision: str, cpu: bool) -> Accelerator:
    """An Accelerator of the wanted precision; accelerate would keep the first one's for the whole process."""
    require(
        precision != "fp16" or (torch.cuda.is_available() and not cpu),
        "precision is 'fp16', but there is no CUDA GPU to run it on: take 'bf16' or 'no'",
    )
    _forget_last()
    patient = InitProcessGroupKwargs(timeout=PATIENCE)
    return Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=[patient])


def _forget_last() -> None:
    """accelerate keeps device and precision of its first use for good; what joins several processes must stay."""
    alone = not PartialState._shared_state or PartialState().num_processes == 1
    AcceleratorState._reset_state(reset_partial_state=alone)


@contextmanager
def main_process_first(cpu: bool) -> Iterator[torch.device]:
    """The block runs in the main process first, then in one process of each other machine, then in all the rest.

    For what is made once and kept in the cache (packed splits, captions' embeddings): the later ones find it there,
    whether or not the machines share a disk. Several processes that made it side by side would replace each other's
    files under the reader's hands. Gives the device that this process works on.
    """
    _forget_last()
    state = PartialState(cpu=cpu, timeout=PATIENCE)
    with state.main_process_first(), state.local_main_process_first():
        yield state.device


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the yielded event, so that the step can be finished; a second one stops."""
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
