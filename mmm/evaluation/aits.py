"""How long one sentence takes, and how much faster many are in bulk: the same clips, both ways, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmm.pipeline import MMM
from mmm.text import TextEmbedding

WARM_UP = 3  # clips that are not timed: of first calls, caches and memory


def measure_speed(
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
        embedding: of the texts; one by one, each text goes through the encoder, as a user's would.
        options: of the sampler.
    Returns:
        aits (s): mean time from a text to its features at batch 1, model and data loaded (REPRODUCTION.md,
        "Evaluation"), aits_median and aits_per_100_frames; one_by_one, text (the encoder's share of it), bulk: seconds
        for all clips; speed_up: one_by_one / (text + bulk); speed_up_sampling: the same without the text encoder;
        clips, mean_frames, threads, device.
    """

    def bulk(count: int) -> float:
        began = time.perf_counter()
        model.generate_bulk(
            embedding[list(range(count))].to(model.device),
            frames[:count],
            seeds[:count],
            batch_size=batch_size,
            precision=precision,
            **options,
        )
        return time.perf_counter() - began

    def alone(item: int) -> tuple[float, float]:
        began = time.perf_counter()
        model.embed([texts[item]]).sentence.cpu()
        encoded = time.perf_counter()
        model.generate(texts[item], frames[item], seeds[item], **options)
        return encoded - began, time.perf_counter() - encoded

    longest = int(np.argmax(frames))
    for _ in range(WARM_UP):
        alone(longest)
    text, single = map(np.array, zip(*(alone(item) for item in range(len(texts))), strict=True))
    bulk(min(len(texts), batch_size))
    together = bulk(len(texts))
    device = model.device
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
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }
