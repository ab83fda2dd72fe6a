"""What several training processes must agree on, so that together they learn what one would from the joint batch.

Every process holds a share of each batch (`mmm.training.process.take_slice`): every count-th item, as many as any
other. Gradients and logged numbers are means over processes. A mean over *items* is then right by itself; what is
counted otherwise (real frames, chosen codes) needs the functions below. With one process they change nothing.

Each is a collective call: all processes must make it, or those that do wait for ever. So they belong into a
training step, never into what the main process does alone (evaluating, saving).
"""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor


def several_processes() -> bool:
    """Is this one of several processes that train together?"""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of every process's `x`, which is overwritten."""
    if several_processes():
        torch.distributed.all_reduce(x)
    return x


def mean_count(count: Tensor) -> Tensor:
    """What to divide a process's sum by, so that the mean over processes is the mean over the joint batch.

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


def joint_items(x: Shaped[Tensor, "b *shape"]) -> Shaped[Tensor, "joint *shape"]:
    """The items of all shares in the order of the joint batch."""
    if not several_processes():
        return x
    shares = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(shares, x.contiguous())
    return torch.stack(shares, 1).flatten(0, 1)  # item i of process r is item i · count + r of the batch
