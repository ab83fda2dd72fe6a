"""Text to features: AITS, the paper's average inference time per sentence, by length (REPRODUCTION, "Evaluation")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmm.lab.bench.clocks import timed
from mmm.lab.bench.made_up import random_model
from mmm.lab.bench.settings import TEXT, Job
from mmm.model import MMM
from mmm.sampling import default_steps
from mmm.text import load_text_encoder
from mmm.training.processes import resolve_precision


def save_random(job: Job) -> dict[str, int]:
    """Write a model of the preset with random weights to `job.model`, float16, as models are shipped."""
    model = random_model(job.settings.preset, load_text_encoder(job.settings.encoder))
    model.save_pretrained(job.model)
    return model.count_parameters()


def single(job: Job) -> dict[str, Any]:
    """One text alone, model and text encoder loaded: AITS at each length.

    `seconds` is `MMM.generate`, from the text to the features. Of it `decode_seconds` is the tokenizer, and
    `text_seconds`, which do not depend on the length, the text encoder; the rest are the passes of the
    transformer. On an accelerator a group is of one: by default a text alone is filled up to eight, so that
    batch mates cannot matter.
    """
    model, rows = _load(job), []
    options = {} if job.settings.device == "cpu" else {"group": 1}
    for frames in job.settings.lengths:
        whole = _timed(job, lambda frames=frames: model.generate(TEXT, frames, **options))
        tokens = model.sample([TEXT], [frames], **options).tokens
        decode = _timed(job, lambda tokens=tokens, frames=frames: model.decode(tokens, [frames]))
        rows.append(_row(job, model, frames, whole) | {"decode_seconds": decode["seconds"]})
    return _result(job, model, rows, 1)


def batch(job: Job) -> dict[str, Any]:
    """Many texts in one call of `MMM.generate`; all seconds are those of the whole call."""
    model, rows = _load(job), []
    texts = [TEXT] * job.settings.batch
    for frames in job.settings.lengths:
        whole = _timed(job, lambda frames=frames: model.generate(texts, frames))
        rows.append(_row(job, model, frames, whole))
    return _result(job, model, rows, len(texts))


def bulk(job: Job) -> dict[str, Any]:
    """Many texts in one call of `MMM.generate_bulk`, text encoder included; all seconds are of the whole call."""
    model, rows = _load(job), []
    texts = [TEXT] * job.settings.batch
    asked = job.settings.precision
    precision = resolve_precision(
        "auto" if asked == "fp16" else asked, model.device
    )  # fp16 is for training only
    options = {"batch_size": len(texts), "precision": precision}
    for frames in job.settings.lengths:

        def call(frames: int = frames) -> None:
            model.generate_bulk(model.embed(texts), [frames] * len(texts), range(len(texts)), **options)

        rows.append(_row(job, model, frames, _timed(job, call)))
    return _result(job, model, rows, len(texts)) | {"precision": precision.replace("no", "float32")}


def _load(job: Job) -> MMM:
    model = MMM.from_pretrained(job.model, job.settings.device)
    model.frame_counts([TEXT] * len(job.settings.lengths), job.settings.lengths)  # refuses lengths beyond it
    _ = model.encoder
    return model


def _timed(job: Job, call: Callable[[], Any]) -> dict[str, Any]:
    return timed(call, job.settings.device, job.settings.repeats, job.settings.budget)


def _row(job: Job, model: MMM, frames: int, whole: dict[str, Any]) -> dict[str, Any]:
    passes = default_steps(-(-frames // model.tokenizer.config.ratio))
    job.note(f"{frames} frames: {whole['seconds']:.3g} s (median of {whole['repeats']})")
    return {"frames": frames, "passes": passes, **whole}


def _result(job: Job, model: MMM, rows: list[dict[str, Any]], count: int) -> dict[str, Any]:
    return {
        "batch": count,
        "precision": "float32",
        "guidance": model.info.get("guidance", 1.0),
        "parameters": model.count_parameters(),
        "text_seconds": _timed(job, lambda: model.embed([TEXT] * count))["seconds"],
        "aits": sum(row["seconds"] for row in rows) / len(rows) / count,  # a text, mean over the lengths
        "lengths": rows,
    }
