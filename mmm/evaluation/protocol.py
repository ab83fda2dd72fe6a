"""The paper's evaluation: repeats over a split, every metric with its 95 % interval, beside real motion and tokenizer.

The paper, section 4; docs/REPRODUCTION.md, "Evaluation". Each repeat draws captions, pools and seeds (`draws.py`) and
evaluates these rows:

* `real`: motions of the split;
* `real_real`: these against one another, the floor of FID;
* `reconstruction`: the same motions through the tokenizer and back, the best that any transformer could reach with it;
* `given` and `estimated`: motions generated from the captions, at the lengths of the clips and at lengths estimated
  from the text; both with MultiModality.

    results = evaluate(model, folder, load_evaluator(folder), ProtocolConfig(), "runs/evaluate-small-bandai")
    print(results.table())

Each repeat is written when it is complete, and the same call continues with the next: an evaluation that was stopped
ends with the same numbers as one that was not. `accelerate launch` shares the clips of a repeat among processes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mmm.data import MotionFolder
from mmm.data.folder import cache_dir
from mmm.data.text_cache import text_source
from mmm.errors import require
from mmm.evaluation import rows
from mmm.evaluation.actions import action_classes, by_class
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.draws import Draw, motion_seeds
from mmm.evaluation.evaluator import OFFICIAL, Evaluator
from mmm.evaluation.results import Results, collect, missing_repeats, read_config, save_repeat
from mmm.evaluation.rows import Evaluated, Setup
from mmm.evaluation.timing import device_name, time_sampling
from mmm.model import MMM
from mmm.sampling import check_options
from mmm.text import TextSource
from mmm.training.launch import make_accelerator
from mmm.training.processes import resolve_precision
from mmm.training.run_folder import check_same_config, write_config, write_json, write_manifest

__all__ = ["ProtocolConfig", "check_model", "evaluate", "model_hash"]


def evaluate(
    model: MMM,
    folder: MotionFolder,
    evaluator: Evaluator,
    config: ProtocolConfig | None = None,
    out: str | os.PathLike = "runs/evaluate",
    *,
    resume: bool = True,
    progress: bool = True,
    cpu: bool = False,
    other_splits: bool = False,
) -> Results | None:
    """Evaluate `model` on a split of `folder`; `out` gets repeats/, results.json, results.md, manifest.json.

    Args:
        config: by default the paper's protocol on val.
        resume: continue with the repeats that are missing in `out`; False starts again.
        cpu: stay on the CPU even if there is a GPU.
        other_splits: allow data of other splits than the model was trained on (an unseen data set, for example).

    Returns:
        The results; None in all processes but the main one.

    Raises:
        ValueError: too few clips, an unknown split, a model of other splits or another skeleton, no length estimator;
            or `out` holds an evaluation of something else.
        KeyboardInterrupt: after Ctrl-C; complete repeats are kept.
    """
    config, out = config or ProtocolConfig(), Path(out)
    check_model(model, folder, config, other_splits)
    setup = _set_up(model, folder, evaluator, config, cpu)
    count = len(setup.draw(0))  # refuses what cannot be evaluated before anything is written
    accelerator, main = setup.accelerator, setup.accelerator.is_main_process
    if main:
        _begin(setup, out, resume)
    accelerator.wait_for_everyone()
    missing = missing_repeats(out, config.repeats)
    time_it = config.aits and not (out / "timing.json").is_file()
    accelerator.wait_for_everyone()  # all must have looked before one writes
    try:
        if missing or time_it:
            with accelerator.main_process_first():  # which writes the cache
                text = _embedded_captions(setup)
        real: dict[str, Evaluated] = {}
        total = sum(setup.generated_clips(count, repeat) for repeat in missing)
        with tqdm(total=total, unit="clip", disable=not (progress and main and missing)) as bar:
            for repeat in missing:
                bar.set_description(f"repeat {repeat + 1} of {config.repeats}")
                done = _run_repeat(setup, text, repeat, real, bar)
                if main:
                    save_repeat(out, repeat, *done)
        if time_it and main:
            write_json(out / "timing.json", _time(setup, text))
    except KeyboardInterrupt:
        done = config.repeats - len(missing_repeats(out, config.repeats))
        raise KeyboardInterrupt(
            f"{done} of {config.repeats} repeats are complete; the same call continues with the next"
        ) from None
    return collect(out) if main else None


def _run_repeat(
    setup: Setup, text: TextSource, repeat: int, real: dict[str, Evaluated], bar: tqdm
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Numbers of a repeat (rows, classes, clips, seconds), and tensors to keep; only the main process has the rows.

    The tensors: what was drawn (clip, caption, start, frames, distractors), `text` and each row's embeddings, and for
    generated rows `ROW.frames` and `ROW.seeds`, from which `MMM.generate_bulk` generates the motions again.
    Embeddings of real motion and reconstruction are in repeat 0 only if they are the same in all.

    Args:
        real: real motion and its reconstruction of the repeat before; updated unless all repeats have the same clips.
    """
    begin, config, draw = time.perf_counter(), setup.config, setup.draw(repeat)
    if setup.official or not real:  # our protocol evaluates the same clips in every repeat
        real |= _evaluate_real(setup, draw)
    seconds = {"real": time.perf_counter() - begin}
    tensors, various = drawn_tensors(draw), {}
    generated: dict[str, Evaluated] = {}
    for row in config.lengths:
        start = time.perf_counter()
        frames = draw.frames if row == "given" else rows.estimated_frames(setup, text, draw)
        seeds = motion_seeds(config.seed, repeat, row, len(draw))
        generated[row] = rows.generated(setup, text, draw.texts, frames, seeds, bar)
        tensors |= {f"{row}.frames": torch.from_numpy(frames), f"{row}.seeds": torch.tensor(seeds)}
        seconds[row] = time.perf_counter() - start
        if setup.has_multimodality(repeat):
            various[row] = rows.multimodality(setup, text, repeat, row, draw.texts, frames, bar)
            seconds[f"multimodality {row}"] = time.perf_counter() - start - seconds[row]
    if not setup.accelerator.is_main_process:
        return {}, {}
    tensors["text"] = setup.evaluator.embed_text(draw.captions).float().cpu()
    table = rows.scores(setup, repeat, draw, tensors["text"], real, generated)
    for row, value in various.items():
        table[row]["multimodality"] = value
    compared = {"reconstruction": real["reconstruction"], **generated}
    classes = by_class(
        action_classes(setup.folder, [setup.packed.ids[i] for i in draw.clips]),
        real["real"].numbers,
        {row: evaluated.numbers for row, evaluated in compared.items()},
    )
    stored = dict(generated)
    if setup.official or repeat == 0:
        stored |= {name: real[name] for name in ("real", "reconstruction")}
    tensors |= {row: evaluated.embeddings for row, evaluated in stored.items()}
    seconds["total"] = time.perf_counter() - begin
    return {"rows": table, "classes": classes, "clips": len(draw), "seconds": seconds}, tensors


def _evaluate_real(setup: Setup, draw: Draw) -> dict[str, Evaluated]:
    """Real motion and its reconstruction; by the official protocol also the second pieces of the clips."""
    real = {"real": rows.real_motion(setup, draw), "reconstruction": rows.reconstruction(setup, draw)}
    return real | ({"other": rows.other_pieces(setup, draw)} if setup.official else {})


def drawn_tensors(draw: Draw) -> dict[str, Tensor]:
    """What was drawn: enough to generate the motions again with `MMM.generate_bulk`."""
    arrays = {"clip": draw.clips, "caption": draw.choice, "start": draw.starts, "frames": draw.frames}
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    return tensors if draw.distractors is None else tensors | {"distractors": draw.distractors}


def _time(setup: Setup, text: TextSource) -> dict[str, Any]:
    """AITS: the clips of repeat 0 at their own lengths, one by one and in bulk."""
    draw, config = setup.draw(0), setup.config
    seeds = motion_seeds(config.seed, 0, "given", len(draw))
    how = (config.batch_size, setup.precision, config.sampler())
    return time_sampling(setup.model, draw.texts, text.lookup(draw.texts), draw.frames.tolist(), seeds, *how)


def _embedded_captions(setup: Setup) -> TextSource:
    """Embeddings of all captions of the split: from the user's cache folder, computed once."""
    encoder, folder = setup.model.encoder, setup.folder
    name = f"{folder.name}-{folder.content_hash}-{setup.config.split}-{encoder.name.replace('/', '_')}"
    return text_source(setup.packed.texts(), encoder, cache_dir() / "text" / f"{name}.safetensors")


def _set_up(
    model: MMM, folder: MotionFolder, evaluator: Evaluator, config: ProtocolConfig, cpu: bool
) -> Setup:
    accelerator = make_accelerator(
        "no", cpu
    )  # sampling sets its own precision; the evaluator works in float32
    model.to(accelerator.device)
    if hasattr(evaluator, "to"):
        evaluator.to(accelerator.device)
    official = folder.name in OFFICIAL if config.official is None else config.official
    precision = resolve_precision(config.precision, accelerator.device)
    with accelerator.main_process_first():
        packed = folder.pack(config.split)
    return Setup(model, folder, packed, evaluator, config, accelerator, official, precision)


def _begin(setup: Setup, out: Path, resume: bool) -> None:
    """Check or clear `out`, and write config and manifest."""
    config, before = setup.config, read_config(out)
    require(
        before is not None or not out.exists() or not any(out.iterdir()),
        f"{out} exists and is no evaluation (it has no config.yaml); name another folder.",
    )
    facts = {
        "model": model_hash(setup.model),
        "evaluator": setup.evaluator.name,
        "data": setup.folder.name,
        "data_hash": setup.folder.content_hash,
        "splits_hash": setup.folder.splits_hash,
    }
    protocol = dataclasses.asdict(config) | {"official": setup.official, "precision": setup.precision}
    resolved = json.loads(json.dumps({"protocol": protocol, **facts}))
    if not resume:
        shutil.rmtree(out / "repeats", ignore_errors=True)
        for name in ("timing.json", "results.json", "results.md"):
            (out / name).unlink(missing_ok=True)
    elif before is not None:
        check_same_config(out, before, resolved, {"protocol.repeats"})
    out.mkdir(parents=True, exist_ok=True)
    write_config(out / "config.yaml", resolved)
    run = {
        "device": device_name(setup.accelerator.device),
        "processes": setup.accelerator.num_processes,
        "precision": setup.precision,
        "seed": config.seed,
        "resumed_from": config.repeats - len(missing_repeats(out, config.repeats)) or None,
    }
    write_manifest(out / "manifest.json", run | facts)


def model_hash(model: MMM) -> str:
    """Hash of all weights and of what else decides what a model generates (text encoder, guidance)."""
    settings = {name: model.info.get(name) for name in ("text_encoder", "guidance", "fps", "skeleton")}
    digest = hashlib.sha256(json.dumps(settings).encode())
    for part in (model.tokenizer, model.transformer, model.length):
        state = {} if part is None else part.state_dict()
        for name, value in sorted(state.items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_model(model: MMM, folder: MotionFolder, config: ProtocolConfig, other_splits: bool) -> None:
    """Refuse a model of another skeleton, rate or (unless `other_splits`) other splits than the data's."""
    for name, value in (("skeleton", folder.skeleton), ("fps", folder.fps)):
        require(
            model.info[name] == value,
            f"the model generates motions of {name} {model.info[name]}, but {folder.path} has {value}; "
            "give the data it was trained on.",
        )
    known = model.info.get("splits_hash", folder.splits_hash)
    require(
        other_splits or folder.splits_hash in (known, *model.info.get("source_splits", ())),
        f"the model was trained on other data or splits ({model.info.get('data')}, {known}) than {folder.path} has "
        f"({folder.splits_hash}), so clips of {config.split} may have been trained on; give the folder it was trained "
        "on, or allow it with other_splits=True (--other-splits).",
    )
    guidance = model.info.get("guidance", 1.0) if config.guidance is None else config.guidance
    check_options(
        model.transformer.config,
        config.steps,
        "cosine",
        config.remask,
        config.temperature,
        guidance,
        config.batch_size,
    )
    require(
        "estimated" not in config.lengths or model.length is not None,
        "this model has no length estimator; evaluate it with the given lengths only.",
    )
