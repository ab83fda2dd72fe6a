"""Which clips may be cropped, joined or combined, and captions of what results: compositions.json of a data set.

Two actions in one canvas are learned from clips of one action each (`mmm.transformer.compose`): one after the other,
or the upper body of one on the legs of the other. This module knows the actions; what it writes is plain data, so
that training need not know them, and a user's own folder can have such a file:

    {"actions": {"walk": {"part": "legs", "repeats": true, "held": false}, …},
     "clips": {"CLIP": "walk", …}, "then": {"walk|bow": ["a person walks, then bows", …]}, "while": {…}}

The keys of "then" are first|second, those of "while" legs|arms. Pairs that are not there are not composed. What the
fields of an action mean is said in `mmm/datasets/phrases/actions.yaml`.

It may also hold sentences as people type them, for one action, an action in a style, and two at once, and the styles of
clips:

    {…, "typed": {"walk": ["off to work on foot", …], "walk, sad": […], "walk while wave-left-hand": […]},
     "styles": {"CLIP": "sad", …}}
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmm.datasets.phrasing import SAME, actions, at_once, different, sentences, then

CAPTIONS = {"then": 6, "while": 24}  # of each pair; few pairs go together at once


def compositions(
    contents: Mapping[str, str | None], seed: int = 0, styles: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """The content of compositions.json.

    Args:
        contents: the action class of each clip of the train split; clips of unknown classes are left out.
        styles: of these clips, as far as they have one.
    """
    known = actions()
    clips = {clip: action for clip, action in contents.items() if action in known}
    present = sorted(set(clips.values()))
    pairs = list(itertools.permutations(present, 2))
    typed = {
        key: own for key, own in sentences().items() if set(key.split(", ")[0].split(" while ")) <= {*present}
    }
    styled = {
        clip: SAME.get(style, style) for clip, style in (styles or {}).items() if clip in clips and style
    }
    return {
        "actions": {name: {key: known[name][key] for key in ("part", "repeats", "held")} for name in present},
        "clips": clips,
        "then": {f"{a}|{b}": _captions("then", a, b, seed) for a, b in pairs if follows(a, b)},
        "while": {f"{a}|{b}": _captions("while", a, b, seed) for a, b in pairs if together(a, b)},
        "typed": typed,
        "styles": {clip: style for clip, style in styled.items() if f"{clips[clip]}, {style}" in typed},
    }


def follows(first: str, second: str) -> bool:
    """Whether `second` can begin where `first` ends."""
    return actions()[first]["end"] == actions()[second]["start"]


def together(legs: str, arms: str) -> bool:
    """Whether the legs can do one and the arms the other at the same time."""
    return actions()[legs]["part"] == "legs" and actions()[arms]["part"] == "arms"


def _captions(kind: str, a: str, b: str, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, zlib.crc32(f"{kind} {a} {b}".encode())])
    write = then if kind == "then" else at_once
    return different(lambda: write(a, b, rng), CAPTIONS[kind])
