"""How long does a call take? The one stopwatch of the package, and AITS, the paper's time for one sentence.

AITS (average inference time per sentence): the paper, section 4; docs/REPRODUCTION.md, "Evaluation".
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from mmm.model import MMM
from mmm.text import TextEmbedding

T = TypeVar("T")
WARM_UP = 3  # clips before AITS is timed: first calls, caches, memory


def synchronise(device: str | torch.device) -> None:
    """Wait until an accelerator has done its work: it runs on while Python's clock is read."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize()
    elif kind == "mps":
        torch.mps.synchronize()


def seconds_of(call: Callable[[], Any], device: str | torch.device) -> float:
    """Seconds of one call."""
    synchronise(device)
    begin = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - begin


def repeat(call: Callable[[], T], repeats: int, budget: float) -> tuple[list[T], bool]:
    """Results of up to `repeats` calls, and whether a warm-up call was made before them.

    There are fewer if they would take more than `budget` seconds. If the first call alone takes longer than that, it
    is the only one and counts: beside so much work a warm-up makes no difference.
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


def summary(seconds: Sequence[float], warmed: bool) -> dict[str, Any]:
    """Median (`seconds`), least and most, the number of repeats, and whether there was a warm-up."""
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "repeats": len(seconds),
        "warmed": warmed,
    }


def timed(call: Callable[[], Any], device: str, repeats: int, budget: float) -> dict[str, Any]:
    """The `summary` of a call that is repeated as in `repeat`."""
    return summary(*repeat(lambda: seconds_of(call, device), repeats, budget))


def time_sampling(
    model: MMM,
    texts: Sequence[str],
    embedding: TextEmbedding,
    frames: Sequence[int],
    seeds: Sequence[int],
    batch_size: int,
    precision: str,
    options: dict[str, Any],
) -> dict[str, Any]:
    """AITS, and the time of the same clips in bulk, in this process on the model's device.

    Args:
        embedding: of the texts, for the bulk; one by one, each text passes through the encoder, as a user's would.
        options: of the sampler.

    Returns:
        aits (s): mean time from a text to its features at batch size 1, model and data loaded; aits_median and
        aits_per_100_frames; one_by_one, text (the encoder's part of it), bulk: seconds for all clips; speed_up:
        one_by_one / (text + bulk); speed_up_sampling: the same without the text encoder; clips, mean_frames, threads,
        device.
    """
    device = model.device

    def alone(item: int) -> tuple[float, float]:
        return (
            seconds_of(lambda: model.embed([texts[item]]), device),
            seconds_of(
                lambda: model.generate(texts[item], frames[item], seeds[item], split=False, **options), device
            ),
        )

    def bulk(count: int) -> float:
        some = embedding[list(range(count))].to(device)
        how = {"batch_size": batch_size, "precision": precision, **options}
        return seconds_of(lambda: model.generate_bulk(some, frames[:count], seeds[:count], **how), device)

    for _ in range(WARM_UP):
        alone(int(np.argmax(frames)))
    text, single = map(np.array, zip(*(alone(item) for item in range(len(texts))), strict=True))
    bulk(min(len(texts), batch_size))
    together = bulk(len(texts))
    return {
        "aits": float(single.mean()),
        "aits_median": float(np.median(single)),
        "aits_per_100_frames": float(100 * single.sum() / np.sum(frames)),
        "one_by_one": float(single.sum()),
        "text": float(text.sum()),
        "bulk": together,
        "speed_up": float(single.sum() / (text.sum() + together)),
        "speed_up_sampling": float((single.sum() - text.sum()) / together),
        "clips": len(texts),
        "mean_frames": float(np.mean(frames)),
        "precision_bulk": precision,
        "threads": torch.get_num_threads(),
        "device": device_name(device),
    }


def device_name(device: torch.device) -> str:
    """The name of a GPU, else "cpu" or "mps"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
