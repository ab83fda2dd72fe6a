"""Text to features: AITS, the paper's average inference time per sentence (section 4), by length."""

from __future__ import annotations

from typing import Any

from mmm.evaluation.timing import timed
from mmm.lab.bench.made_up import random_model
from mmm.lab.bench.settings import TEXT, Job, note
from mmm.model import MMM
from mmm.sampling import default_steps
from mmm.text import load_text_encoder
from mmm.training.processes import resolve_precision


def save_random(job: Job) -> dict[str, int]:
    """Write a model of the preset with random weights to `job.model`, in float16, as models are shipped."""
    model = random_model(job.settings.preset, load_text_encoder(job.settings.encoder))
    model.save_pretrained(job.model)
    return model.count_parameters()


def sample(job: Job, part: str) -> dict[str, Any]:
    """Seconds at each length, model and text encoder loaded. All seconds are those of a whole call.

    Args:
        part: "single": one text in `MMM.generate`; also `decode_seconds`, the tokenizer's part of it. "batch": many
            texts in one `MMM.generate`. "bulk": many texts in one `MMM.generate_bulk`, text encoder included.

    Returns:
        lengths: a row for each length. text_seconds: the text encoder's part, which does not depend on the length.
        aits: seconds for one text, the mean over the lengths. batch: texts in a call.
    """
    settings = job.settings
    how = (settings.device, settings.repeats, settings.budget)
    model = MMM.from_pretrained(job.model, settings.device)
    model.frame_counts([TEXT] * len(settings.lengths), settings.lengths)  # refuses lengths beyond the model
    _ = model.encoder
    texts = [TEXT] * (1 if part == "single" else settings.batch)
    # A single text is filled up to eight on an accelerator, so that batch mates cannot matter; not here.
    alone = {"group": 1} if part == "single" and settings.device != "cpu" else {}
    precision = "float32"
    if part == "bulk":  # fp16 is for training only
        wanted = "auto" if settings.precision == "fp16" else settings.precision
        precision = resolve_precision(wanted, model.device)

    def call(frames: int) -> None:
        if part == "bulk":
            options = {"batch_size": len(texts), "precision": precision}
            model.generate_bulk(model.embed(texts), [frames] * len(texts), range(len(texts)), **options)
        else:
            model.generate(texts, frames, **alone)

    rows = []
    for frames in settings.lengths:
        row = {"frames": frames, "passes": default_steps(-(-frames // model.tokenizer.config.ratio))}
        row |= timed(lambda frames=frames: call(frames), *how)
        if part == "single":
            tokens = model.sample(texts, [frames], **alone).tokens
            decoding = timed(lambda tokens=tokens, frames=frames: model.decode(tokens, [frames]), *how)
            row["decode_seconds"] = decoding["seconds"]
        note(f"      {frames} frames: {row['seconds']:.3g} s (median of {row['repeats']})")
        rows.append(row)
    return {
        "batch": len(texts),
        "precision": precision.replace("no", "float32"),
        "guidance": model.info.get("guidance", 1.0),
        "parameters": model.count_parameters(),
        "text_seconds": timed(lambda: model.embed(texts), *how)["seconds"],
        "aits": sum(row["seconds"] for row in rows) / len(rows) / len(texts),
        "lengths": rows,
    }
