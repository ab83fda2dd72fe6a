"""The paper's evaluation: 20 repeats over a split, every measure with its 95 % interval, and what it is to be beside.

REPRODUCTION.md, "Evaluation". Each repeat draws captions, pools and seeds anew (`repeat.py`), samples every clip,
and measures five rows: real motion; real against real, which is the floor of FID; the tokenizer's reconstruction,
which is the best that any transformer on top of it could do; and motions generated from the captions, at the
clips' lengths and at lengths estimated from the text.

    results = evaluate(model, folder, load_evaluator(folder), ProtocolConfig(), "runs/evaluate-small-bandai")
    print(results.table())

A repeat that is done is on disk, and the same call goes on with the next: an evaluation that was stopped ends with
the same numbers as one that was not. `accelerate launch` shares the clips of a repeat among processes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from mmm.data import MotionFolder
from mmm.errors import atomic_write, require
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.results import EMBEDDINGS, NUMBERS, Results, collect, read_config
from mmm.evaluation.rows import Rows
from mmm.pipeline import MMM
from mmm.sampling.checks import check_options
from mmm.training.process import make_accelerator
from mmm.training.run_folder import check_same_config, write_config, write_json, write_manifest

__all__ = ["ProtocolConfig", "evaluate", "model_hash"]


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
        config: the paper's protocol on val, by default.
        resume: go on with the repeats that `out` lacks; False begins anew.
        cpu: stay on the CPU even if there is a GPU.
        other_splits: allow data of other splits than the model was trained on (an unseen data set, say).
    Returns:
        The results; None in all processes but the main one.
    Raises:
        ValueError: too few clips, an unknown split, a model of other splits or another skeleton, no length estimator;
            or `out` holds an evaluation of something else.
        KeyboardInterrupt: after Ctrl-C; the repeats that are done are kept.
    """
    config = config or ProtocolConfig()
    check_model(model, folder, config, other_splits)
    facts = {
        "model": model_hash(model),
        "evaluator": evaluator.name,
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
    }
    # Sampling sets its own precision; the evaluator works in float32.
    rows = Rows(model, folder, evaluator, config, make_accelerator("no", cpu))
    run = _Evaluation(rows, config, Path(out), facts, progress)
    run.begin(resume)
    return run.go()


def model_hash(model: MMM) -> str:
    """Hash of all weights and of what else decides what a model makes (text encoder, guidance)."""
    told = {name: model.info.get(name) for name in ("text_encoder", "guidance", "fps", "skeleton")}
    digest = hashlib.sha256(json.dumps(told).encode())
    for part in (model.tokenizer, model.transformer, model.length):
        state = {} if part is None else part.state_dict()
        for name, value in sorted(state.items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_model(model: MMM, folder: MotionFolder, config: ProtocolConfig, other_splits: bool) -> None:
    """Refuse a model of another skeleton, rate or (unless `other_splits`) other splits than the data's."""
    for name, found in (("skeleton", folder.skeleton), ("fps", folder.fps)):
        require(
            model.info[name] == found,
            f"the model makes motions of {name} {model.info[name]}, but {folder.path} has {found}; "
            "give the data it was trained on.",
        )
    known = model.info.get("splits_hash", folder.splits_hash)
    require(
        other_splits or known == folder.splits_hash,
        f"the model was trained on other data or splits ({model.info.get('data')}, {known}) than {folder.path} has "
        f"({folder.splits_hash}), so clips of {config.split} may have been trained on; give the folder it was trained "
        "on, or say other_splits=True (--other-splits) if you know better.",
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


class _Evaluation:
    """The state of one call of `evaluate`: which repeats there are and where they lie."""

    def __init__(
        self, rows: Rows, config: ProtocolConfig, out: Path, facts: dict[str, Any], progress: bool
    ) -> None:
        self.rows, self.config, self.out, self.facts = rows, config, out, facts
        self.accelerator, self.main = rows.accelerator, rows.accelerator.is_main_process
        self.progress = progress and self.main
        protocol = dataclasses.asdict(config) | {"official": rows.official, "precision": rows.precision}
        if config.remask == "least":  # evaluations begun before there were other rules can be gone on with
            del protocol["remask"]
        if "estimated" in config.lengths:
            protocol["length_rule"] = (
                "median"  # it was the likeliest length once: such repeats are of another kind
            )
        self.resolved = json.loads(json.dumps({"protocol": protocol, **facts}))

    def begin(self, resume: bool) -> None:
        """Bring the folder into the state that the run goes on from."""
        if self.main:
            before = read_config(self.out)
            require(
                before is not None or not self.out.exists() or not any(self.out.iterdir()),
                f"{self.out} exists and is no evaluation (it has no config.yaml); name another folder.",
            )
            if not resume:
                shutil.rmtree(self.out / "repeats", ignore_errors=True)
                for name in ("timing.json", "results.json", "results.md"):
                    (self.out / name).unlink(missing_ok=True)
            elif before is not None:
                check_same_config(self.out, before, self.resolved, {"protocol.repeats"})
            self.out.mkdir(parents=True, exist_ok=True)
            write_config(self.out / "config.yaml", self.resolved)
            device = self.accelerator.device
            told = {
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
                "processes": self.accelerator.num_processes,
                "precision": self.rows.precision,
                "seed": self.config.seed,
                "resumed_from": self.config.repeats - len(self.missing()) or None,
            }
            write_manifest(self.out / "manifest.json", told | self.facts)
        self.accelerator.wait_for_everyone()

    def go(self) -> Results | None:
        """Make the repeats that are missing, take the time, and write the results."""
        try:
            missing = self.missing()
            self.accelerator.wait_for_everyone()  # all must have looked before one writes
            if missing:
                with self.accelerator.main_process_first():  # which makes the cache
                    self.rows.text()
            total = sum(map(self.rows.generated_clips, missing))
            with tqdm(total=total, unit="clip", disable=not self.progress or not missing) as bar:
                self.rows.advance = bar.update
                for repeat in missing:
                    bar.set_description(f"repeat {repeat + 1} of {self.config.repeats}")
                    made = self.rows.make(repeat)
                    if made is not None:
                        self.save(repeat, *made)
            if not self.main:
                return None
            if self.config.aits and not (self.out / "timing.json").is_file():
                write_json(self.out / "timing.json", self.rows.take_time())
        except KeyboardInterrupt:
            done = self.config.repeats - len(self.missing())
            raise KeyboardInterrupt(
                f"{done} of {self.config.repeats} repeats are done; the same call goes on with the next"
            ) from None
        return collect(self.out)

    def missing(self) -> list[int]:
        repeats = range(self.config.repeats)
        return [repeat for repeat in repeats if not (self.out / NUMBERS.format(repeat)).is_file()]

    def save(self, repeat: int, numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Embeddings first: a repeat whose numbers are there is whole."""
        with atomic_write(self.out / EMBEDDINGS.format(repeat)) as part:
            save_file(
                {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()},
                part,
            )
        write_json(self.out / NUMBERS.format(repeat), {"repeat": repeat, **numbers})
