"""The accelerator of this process, and what one process does before the others. Only training imports this file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import InitProcessGroupKwargs

from mmm.errors import require

PATIENCE = timedelta(hours=3)  # for the process that writes the caches; GPUs would give up after 10 minutes


def make_accelerator(precision: str, cpu: bool) -> Accelerator:
    """An Accelerator of the given precision, which accelerate would otherwise keep from its first use."""
    require(
        precision != "fp16" or (torch.cuda.is_available() and not cpu),
        "precision is 'fp16', but there is no CUDA GPU to run it on: take 'bf16' or 'no'",
    )
    _reset_accelerate()
    timeout = InitProcessGroupKwargs(timeout=PATIENCE)
    return Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=[timeout])


def _reset_accelerate() -> None:
    """Drop device and precision of accelerate's first use; what connects several processes must stay."""
    alone = not PartialState._shared_state or PartialState().num_processes == 1
    AcceleratorState._reset_state(reset_partial_state=alone)


@contextmanager
def main_process_first(cpu: bool) -> Iterator[torch.device]:
    """The block runs in the main process first, then in one process of each other machine, then in all the rest.

    For what is computed once and kept in the cache (packed splits, embeddings of captions): the later processes read
    it there, whether or not the machines share a disk. If several wrote it at once, they would replace each other's
    files while they are read. Yields the device of this process.
    """
    _reset_accelerate()
    state = PartialState(cpu=cpu, timeout=PATIENCE)
    with state.main_process_first(), state.local_main_process_first():
        yield state.device
