"""Which clips may be cropped, joined or combined, and captions of what results: compositions.json of a data set.

Two actions in one canvas are learned from clips of one action each (`mmm.transformer.compose`): one after the other,
or the upper body of one on the legs of the other. This module knows the actions; what it writes is plain data, so
that training need not know them, and a user's own folder can have such a file:

    {"actions": {"walk": {"part": "legs", "repeats": true, "start": "stand", "end": "stand"}, …},
     "clips": {"CLIP": "walk", …}, "then": {"walk|bow": ["a person walks, then bows", …]}, "while": {…}}

The keys of "then" are first|second, those of "while" legs|arms. Pairs that are not there are not composed.
"""

from __future__ import annotations

import itertools
import json
import zlib

import numpy as np

from mmm.data.captions import mirror_text
from mmm.data.folder import COMPOSITIONS_FILE, MotionFolder
from mmm.datasets.phrasing import actions, at_once, different, then
from mmm.errors import atomic_write

CAPTIONS = {"then": 6, "while": 24}  # of each pair; there are few pairs that go together at once


def write_compositions(folder: MotionFolder, seed: int = 0) -> None:
    """Write compositions.json for the train split of a data set whose clips state their action class."""
    known, clips = actions(), {}
    for clip in folder.ids("train"):
        action = (folder.program(clip) or {}).get("content")
        if action in known:
            clips[clip] = action
    present = sorted(set(clips.values()) | {_mirrored(action) for action in clips.values()} & set(known))
    pairs = list(itertools.permutations(present, 2))
    table = {
        "actions": {name: _rules(known[name]) for name in present},
        "clips": clips,
        "then": {f"{a}|{b}": _captions("then", a, b, seed) for a, b in pairs if follows(a, b)},
        "while": {f"{a}|{b}": _captions("while", a, b, seed) for a, b in pairs if together(a, b)},
    }
    with atomic_write(folder.path / COMPOSITIONS_FILE) as target:
        target.write_text(json.dumps(table, indent=0), encoding="utf-8")


def follows(first: str, second: str) -> bool:
    """Whether `second` can begin where `first` ends."""
    return actions()[first]["end"] == actions()[second]["start"]


def together(legs: str, arms: str) -> bool:
    """Whether the legs can do one and the arms the other at the same time."""
    return actions()[legs]["part"] == "legs" and actions()[arms]["part"] == "arms"


def _rules(entry: dict) -> dict:
    return {name: entry[name] for name in ("part", "repeats", "start", "end")}


def _mirrored(action: str) -> str:
    return mirror_text(action)


def _captions(kind: str, a: str, b: str, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, zlib.crc32(f"{kind} {a} {b}".encode())])
    write = then if kind == "then" else at_once
    return different(lambda: write(a, b, rng), CAPTIONS[kind])
