"""How often the oracle is right on a data set, or how often a model does what its captions ask for.

    python -m mmm.lab.oracle --data data/synthetic --split test --out runs/oracle.json
    python -m mmm.lab.oracle --data data/bandai --split val --split test
    python -m mmm.lab.oracle --tokenizer DIR --data data/synthetic --split val
    python -m mmm.lab.oracle --model DIR --data data/synthetic --split test --limit 200

Without a model the clips themselves are judged; with a tokenizer what is left of them on the way through its tokens and
back, more than which no model can show that writes such tokens. With a model, a motion is generated for the first
caption of each clip, as long as the clip, and judged on what that caption names.
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
from mmm.evaluation.protocol import reconstructed
from mmm.fit import load_tokenizer
from mmm.lab.oracle.bandai import right, tables
from mmm.lab.oracle.recognition import recognise
from mmm.lab.oracle.scoring import Verdict, accuracy, judge
from mmm.lab.oracle.told import told
from mmm.model import MMM
from mmm.motion import features_to_joints
from mmm.tokenizer import Tokenizer

BATCH = 256  # clips generated at once, so that memory stays small


@dataclasses.dataclass
class Command:
    """Judge clips, or motions generated from their captions, and print the shares that are right."""

    data: Path
    split: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    model: Path | None = None
    tokenizer: Path | None = None
    """Run or model folder: judge the clips through its tokens and back."""
    limit: int | None = None
    seed: int = 0
    guidance: float | None = None
    """How closely the model follows the caption (1: plain); its own by default."""
    out: Path | None = None

    def run(self) -> None:
        folder = MotionFolder.open(self.data)
        model = MMM.from_pretrained(self.model) if self.model else None
        tokenizer = load_tokenizer(self.tokenizer) if self.tokenizer else None
        result = measure_folder(
            folder,
            self.split or ("test",),
            model,
            self.limit,
            self.seed,
            tokenizer=tokenizer,
            guidance=self.guidance,
        )
        print(as_text(result))
        if self.out:
            with atomic_write(self.out) as part:
                part.write_text(json.dumps(result, indent=1) + "\n")


def measure_folder(
    folder: MotionFolder,
    splits: tuple[str, ...],
    model: MMM | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = True,
    tokenizer: Tokenizer | None = None,
    guidance: float | None = None,
) -> dict:
    """Judge the clips of some splits, or motions that a model makes from their captions.

    Args:
        model: none judges the clips themselves.
        limit: only the first so many clips of each split.
        seed: clip number i is generated with seed + i.
        tokenizer: judges the clips through its tokens and back.
        guidance: of the sampler; the model's own by default.
    Returns:
        what is judged ("data", "content_hash", "splits", "clips", "generated", "reconstructed") and the tables of
        `accuracy` for a folder with programs of the choreographer, of `bandai.tables` for one with contents.
    Raises:
        ValueError: a model and a tokenizer; guidance without a model; the folder has no programs, or the model's
            skeleton or rate is another.
    """
    require(model is None or tokenizer is None, "a model and a tokenizer are given; judge one at a time.")
    require(model or guidance is None, "guidance is the model's: give a model, or leave guidance out.")
    ids = [clip for split in splits for clip in folder.ids(split)[:limit]]
    programs = {clip: folder.program(clip) for clip in ids}
    known = {clip: p for clip, p in programs.items() if p and ("segments" in p or "content" in p)}
    require(
        len(known) == len(ids) > 0,
        f"{len(ids) - len(known)} of {len(ids)} clips of {folder.path} have no program that says what they show; "
        "give a folder that `mmm prepare synthetic` or `mmm prepare bandai` wrote.",
    )
    begin = time.perf_counter()
    if tokenizer:
        clips = _reconstructed(tokenizer, folder, ids)
    else:
        clips = _generated(model, folder, ids, seed, guidance) if model else _stored(folder, ids)
    verdicts: list[Verdict] = []
    rows = []
    seconds = 0.0
    for clip, joints, caption in tqdm(clips, "oracle", len(ids), unit="clip", disable=not progress):
        start = time.perf_counter()
        seen = recognise(joints, folder.fps)
        seconds += time.perf_counter() - start
        program = known[clip]
        if "segments" in program:
            asked = Program.from_dict(program)
            named = told(caption, asked) if caption else None
            verdicts.append(
                judge(seen, asked, named and (lambda i, a, attribute, n=named: (i, a.name, attribute) in n))
            )
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


def _stored(folder: MotionFolder, ids: list[str]) -> Iterator[tuple[str, np.ndarray, None]]:
    for clip in ids:
        yield clip, features_to_joints(folder.features(clip)), None


def _reconstructed(
    tokenizer: Tokenizer, folder: MotionFolder, ids: list[str]
) -> Iterator[tuple[str, np.ndarray, None]]:
    for first in range(0, len(ids), BATCH):
        names = ids[first : first + BATCH]
        made = reconstructed(tokenizer, [folder.features(clip) for clip in names])([np.arange(len(names))])
        for clip, features in zip(names, made, strict=True):
            yield clip, features_to_joints(features), None


def _generated(
    model: MMM, folder: MotionFolder, ids: list[str], seed: int, guidance: float | None
) -> Iterator[tuple[str, np.ndarray, str]]:
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
        made = model.generate_bulk(model.embed(texts), frames, seeds, **options)
        for clip, features, text in zip(names, made, texts, strict=True):
            yield clip, features_to_joints(features), text


def as_text(result: dict) -> str:
    """The tables of `measure_folder`, for a terminal."""
    kind = "generated motions" if result["generated"] else "clips"
    kind += " through the tokenizer" * result["reconstructed"]
    lines = [
        f"{result['clips']} {kind}, {result['data']} {'+'.join(result['splits'])}, "
        f"{result['clips_per_second']:g} recognised per second"
    ]
    if "attributes" in result:
        lines += ["", "whole clips:"]
        lines += [_line(name, row) for name, row in (result["attributes"] | {"all": result["all"]}).items()]
        lines += ["", "single actions:"]
        for name, row in result["actions"].items():
            cells = [f"{a} {x['right']}/{x['judged']}" for a, x in row.items()]
            lines.append(f"  {name:<12}" + "  ".join(cells))
    if "questions" in result:
        lines += ["", "questions:", *(_line(name, row) for name, row in result["questions"].items())]
        lines += ["", "contents:", *(_line(name, row) for name, row in result["contents"].items())]
        lines += ["", "styles:"]
        for question, row in result["styles"].items():
            cells = [f"{style} {x['right']}/{x['judged']}" for style, x in row.items()]
            lines.append(f"  {question:<12}" + "  ".join(cells))
    return "\n".join(lines)


def _line(name: str, row: dict) -> str:
    share = f"{100 * row['share']:5.1f} %" if row["share"] is not None else "    –  "
    return f"  {name:<22}{share}  {row['right']} of {row['judged']}"
