"""How often the oracle is right on a data set, or how often a model does what its captions ask for.

    python -m mmm.lab.oracle --data data/synthetic --split test --out runs/oracle.json
    python -m mmm.lab.oracle --data data/bandai --split val --split test
    python -m mmm.lab.oracle --tokenizer DIR --data data/synthetic --split val
    python -m mmm.lab.oracle --model DIR --data data/synthetic --split test --limit 200

Without a model the clips themselves are evaluated. With a tokenizer it is their reconstructions: a model that writes
such tokens cannot show more. With a model, a motion is generated for the first caption of each clip, as long as the
clip, and evaluated on what that caption names.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from mmm.data import MotionFolder
from mmm.datasets.synthetic.program import Program
from mmm.errors import atomic_write, require
from mmm.evaluation.rows import reconstruct
from mmm.lab.oracle.bandai import right, tables
from mmm.lab.oracle.captions import named_by
from mmm.lab.oracle.recognition import Recognised, recognise
from mmm.lab.oracle.scoring import Verdict, accuracy, judge
from mmm.model import MMM
from mmm.motion import features_to_joints
from mmm.pretrained import load_tokenizer
from mmm.tokenizer import Tokenizer

BATCH = 256  # clips generated at once, so that memory stays small
Clips = Iterator[
    tuple[str, np.ndarray, str | None]
]  # id, joints, and the caption that the motion was generated from


@dataclasses.dataclass
class Command:
    """Evaluate clips, or motions generated from their captions, with the oracle, and print how many are right."""

    data: Path
    split: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    model: Path | None = None
    tokenizer: Path | None = None
    """Run or model folder: evaluate reconstructions of the clips."""
    limit: int | None = None
    seed: int = 0
    guidance: float | None = None
    """How closely the model follows the caption (1: plain); its own by default."""
    out: Path | None = None

    def run(self) -> None:
        result = evaluate_folder(
            MotionFolder.open(self.data),
            self.split or ("test",),
            MMM.from_pretrained(self.model) if self.model else None,
            self.limit,
            self.seed,
            tokenizer=load_tokenizer(self.tokenizer) if self.tokenizer else None,
            guidance=self.guidance,
        )
        print(as_text(result))
        if self.out:
            with atomic_write(self.out) as part:
                part.write_text(json.dumps(result, indent=1) + "\n")


def evaluate_folder(
    folder: MotionFolder,
    splits: tuple[str, ...],
    model: MMM | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = True,
    tokenizer: Tokenizer | None = None,
    guidance: float | None = None,
) -> dict:
    """Evaluate the clips of some splits, their reconstructions, or motions generated from their captions.

    Args:
        model: generates the motions, clip number i with seed + i. tokenizer: reconstructs the clips. None of both: the
            clips themselves.
        limit: only the first `limit` clips of each split.
        guidance: of the sampler; the model's own by default.
    Returns:
        what is evaluated ("data", "content_hash", "splits", "clips", "generated", "reconstructed") and the tables of
        `accuracy` for a folder with programs of the choreographer, of `bandai.tables` for one with action classes.
    Raises:
        ValueError: a model and a tokenizer; guidance without a model; the folder has no programs, or the model's
            skeleton or rate is another.
    """
    require(model is None or tokenizer is None, "a model and a tokenizer are given; evaluate one at a time.")
    require(model or guidance is None, "guidance is the model's: give a model, or leave guidance out.")
    ids = [clip for split in splits for clip in folder.ids(split)[:limit]]
    programs = _programs(folder, ids)
    if model:
        clips = _generated(model, folder, ids, seed, guidance)
    else:
        clips = _reconstructed(tokenizer, folder, ids) if tokenizer else _stored(folder, ids)
    verdicts: list[Verdict] = []
    rows: list[tuple[str, str, bool | None]] = []
    begin, seconds = time.perf_counter(), 0.0
    for clip, joints, caption in tqdm(clips, "oracle", len(ids), unit="clip", disable=not progress):
        start = time.perf_counter()
        seen = recognise(joints, folder.fps)
        seconds += time.perf_counter() - start
        program = programs[clip]
        if "segments" in program:
            verdicts.append(_verdict(seen, Program.from_dict(program), caption))
        else:
            rows.append((program["content"], program.get("style", ""), right(seen, program["content"])))
    about = {
        "data": folder.name,
        "content_hash": folder.content_hash,
        "splits": list(splits),
        "clips": len(ids),
        "generated": model is not None,
        "reconstructed": tokenizer is not None,
        "clips_per_second": round(len(ids) / seconds, 1),
        "seconds": round(time.perf_counter() - begin, 1),
    }
    return about | (accuracy(verdicts) if verdicts else {}) | (tables(rows) if rows else {})


def _programs(folder: MotionFolder, ids: list[str]) -> dict[str, dict]:
    programs = {clip: folder.program(clip) for clip in ids}
    known = {clip: p for clip, p in programs.items() if p and ("segments" in p or "content" in p)}
    require(
        len(known) == len(ids) > 0,
        f"{len(ids) - len(known)} of {len(ids)} clips of {folder.path} have no program that says what they show; "
        "give a folder that `mmm prepare synthetic` or `mmm prepare bandai` wrote.",
    )
    return known


def _verdict(seen: Recognised, program: Program, caption: str | None) -> Verdict:
    """On everything in the program, or on what the caption names of it."""
    if caption is None:
        return judge(seen, program)
    named = named_by(caption, program)
    return judge(seen, program, lambda index, action, attribute: (index, action.name, attribute) in named)


def _stored(folder: MotionFolder, ids: list[str]) -> Clips:
    for clip in ids:
        yield clip, features_to_joints(folder.features(clip)), None


def _reconstructed(tokenizer: Tokenizer, folder: MotionFolder, ids: list[str]) -> Clips:
    for first in range(0, len(ids), BATCH):
        names = ids[first : first + BATCH]
        copies = reconstruct(tokenizer, [folder.features(clip) for clip in names])
        for clip, features in zip(names, copies, strict=True):
            yield clip, features_to_joints(features), None


def _generated(model: MMM, folder: MotionFolder, ids: list[str], seed: int, guidance: float | None) -> Clips:
    require(
        (model.info["skeleton"], model.info["fps"]) == (folder.skeleton, folder.fps),
        f"the model makes {model.info['skeleton']} at {model.info['fps']:g} per second, {folder.path} holds "
        f"{folder.skeleton} at {folder.fps:g}; give data of the model's kind.",
    )
    options = {} if guidance is None else {"guidance": guidance}
    for first in range(0, len(ids), BATCH):
        names = ids[first : first + BATCH]
        texts = [folder.captions(clip)[0].text for clip in names]
        frames = [min(len(folder.features(clip)), model.max_frames) for clip in names]
        seeds = [seed + first + i for i in range(len(names))]
        motions = model.generate_bulk(model.embed(texts), frames, seeds, **options)
        for clip, features, text in zip(names, motions, texts, strict=True):
            yield clip, features_to_joints(features), text


def as_text(result: dict) -> str:
    """The tables of `evaluate_folder`, for a terminal."""
    kind = "generated motions" if result["generated"] else "clips"
    kind += " through the tokenizer" * result["reconstructed"]
    lines = [
        f"{result['clips']} {kind}, {result['data']} {'+'.join(result['splits'])}, "
        f"{result['clips_per_second']:g} recognised per second"
    ]
    if "attributes" in result:
        lines += ["", "whole clips:", *_rows(result["attributes"] | {"all": result["all"]})]
        lines += ["", "single actions:", *_cells(result["actions"])]
    if "questions" in result:
        lines += ["", "questions:", *_rows(result["questions"])]
        lines += ["", "action classes:", *_rows(result["contents"])]
        lines += ["", "styles:", *_cells(result["styles"])]
    return "\n".join(lines)


def _rows(table: dict[str, dict]) -> list[str]:
    """One line for each entry: its name, the percentage, the counts."""
    percent = {n: f"{100 * x['share']:5.1f} %" if x["judged"] else "    –  " for n, x in table.items()}
    return [f"  {name:<22}{percent[name]}  {x['right']} of {x['judged']}" for name, x in table.items()]


def _cells(table: dict[str, dict[str, dict]]) -> list[str]:
    """One line for each entry: its name and the counts of all columns."""
    cells = {name: [f"{k} {x['right']}/{x['judged']}" for k, x in row.items()] for name, row in table.items()}
    return [f"  {name:<12}" + "  ".join(row) for name, row in cells.items()]
