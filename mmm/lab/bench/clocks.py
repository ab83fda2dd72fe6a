"""Two clocks: of a call, and of the steps of the real training loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

T = TypeVar("T")


def synchronise(device: str) -> None:
    """Wait until an accelerator has done what it was told: it works on while Python's clock is read."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def repeat(call: Callable[[], T], repeats: int, budget: float) -> tuple[list[T], bool]:
    """Results of up to `repeats` calls, and whether there was a call before them that does not count.

    There are fewer where they would take more than `budget` seconds. A first call that takes longer than that
    alone is the only one, and counts: beside so much work, what is done only once is nothing.
    """
    begin = time.perf_counter()
    first = call()
    last = time.perf_counter() - begin
    if last > budget:
        return [first], False
    results: list[T] = []
    begin = time.perf_counter()
    while len(results) < repeats and (not results or time.perf_counter() - begin + last <= budget):
        before = time.perf_counter()
        results.append(call())
        last = time.perf_counter() - before
    return results, True


def timed(call: Callable[[], Any], device: str, repeats: int, budget: float) -> dict[str, Any]:
    """Seconds of a call, see `figure`; the call is repeated as `repeat` says."""

    def once() -> float:
        synchronise(device)
        begin = time.perf_counter()
        call()
        synchronise(device)
        return time.perf_counter() - begin

    return figure(*repeat(once, repeats, budget))


def figure(seconds: Sequence[float], warmed: bool) -> dict[str, Any]:
    """Median (`seconds`), least and most, of how many `repeats`, and whether a warm-up went before."""
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "repeats": len(seconds),
        "warmed": warmed,
    }


class _Enough(Exception):
    """Ends a training loop that has been measured."""


class StepClock:
    """Counts steps per second of whatever trains inside `watching`, then ends that training.

    It looks on after every optimizer step, so that all of a step is in: drawing the batch, both passes, the
    optimizer, the moving average, the log. Checkpoints and evaluations are not; the loop is ended before it
    would write any.

    Args:
        blocks: rates that the median is taken of.
        block: seconds that a block takes at least; it has one step at least.
        budget: seconds after which there are no more blocks than one.
    """

    WARMUP = (
        3  # steps before the first block, fewer where one takes long: memory, kernels, the first codebook
    )

    def __init__(self, device: str, blocks: int, block: float, budget: float) -> None:
        self.device, self.most, self.block, self.budget = device, blocks, block, budget
        self.steps = self.warmup = 0
        self.blocks: list[tuple[int, float]] = []  # steps, seconds
        self._begun_at, self._begun = 0, time.perf_counter()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, something is trained with more steps than are ever measured."""
        handle = register_optimizer_step_post_hook(lambda *_: self._stepped())
        self._begun = time.perf_counter()
        try:
            yield
        except _Enough:
            pass
        finally:
            handle.remove()

    def _stepped(self) -> None:
        self.steps += 1
        seconds = time.perf_counter() - self._begun
        if not self.warmup:
            if (self.steps >= self.WARMUP and seconds >= self.block) or seconds > self.budget / 4:
                self._start()
                self.warmup = self.steps
        elif seconds >= self.block:
            synchronise(self.device)  # only here: a loop that waits after every step would be another loop
            self.blocks.append((self.steps - self._begun_at, time.perf_counter() - self._begun))
            spent = sum(seconds for _, seconds in self.blocks)
            if len(self.blocks) == self.most or spent + self.blocks[-1][1] > self.budget:
                raise _Enough
            self._start()

    def _start(self) -> None:
        synchronise(self.device)
        self._begun_at, self._begun = self.steps, time.perf_counter()

    def figure(self) -> dict[str, Any]:
        """The median rate, least and most, and of what."""
        rates = [steps / seconds for steps, seconds in self.blocks]
        return {
            "steps_per_second": statistics.median(rates),
            "least": min(rates),
            "most": max(rates),
            "repeats": len(rates),
            "steps": sum(steps for steps, _ in self.blocks),
            "warmup_steps": self.warmup,
        }
