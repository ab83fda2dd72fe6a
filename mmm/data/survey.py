"""What is in a data set, as tables: one row per clip, one row per word; `plots` draws them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mmm.data.captions import Caption
from mmm.data.folder import MotionFolder
from mmm.motion.features import feature_slices

if TYPE_CHECKING:
    from pandas import DataFrame

SPLITS = ("train", "val", "test", "test_compositional")


def contents_of(program: dict[str, Any] | None, captions: list[Caption]) -> tuple[str, ...]:
    """What a clip shows, in order: the actions of its program (synthetic), the content of its take (Bandai).

    Of a clip without a program: the verb that most of its captions have.
    """
    if program and "segments" in program:
        actions = [segment[limbs] for segment in program["segments"] for limbs in ("legs", "arms")]
        names = [action["name"] for action in actions if action]
        moves = [name for name in names if name != "stand"]
        return tuple(dict.fromkeys(moves)) or ("stand",)
    if program and "content" in program:
        return (program["content"],)
    verbs = Counter(word for caption in captions for word, tag in caption.words if tag == "VERB")
    return (verbs.most_common(1)[0][0],) if verbs else ()


def recording_of(program: dict[str, Any] | None, clip: str) -> str:
    """The recording that a clip was cut from; clips of one take must not meet in two splits."""
    return program["path"] if program and "path" in program else clip


def survey_clips(folder: MotionFolder) -> DataFrame:
    """One row per clip of train, val, test (and test_compositional).

    Columns: split, frames, seconds, contents, recording, captions (how many), metres that the root
    goes, degrees that the body turns to the left.
    """
    from pandas import DataFrame

    part = feature_slices(folder.skeleton)
    rows = []
    for split in (name for name in SPLITS if name in folder.splits):
        for clip in folder.ids(split):
            features, captions, program = folder.features(clip), folder.captions(clip), folder.program(clip)
            rows.append({
                "clip": clip,
                "split": split,
                "frames": len(features),
                "seconds": len(features) / folder.fps,
                "contents": contents_of(program, captions),
                "recording": recording_of(program, clip),
                "captions": len(captions),
                "metres": float(np.linalg.norm(features[:-1, part["root_linear"]], axis=1).sum()),
                "degrees": float(np.degrees(-2 * features[:-1, part["root_angular"]].sum())),
            })  # fmt: skip
    return DataFrame(rows).set_index("clip")


def survey_words(folder: MotionFolder, split: str = "train") -> DataFrame:
    """How often each (word, part of speech) stands in the captions of a split, most frequent first."""
    from pandas import DataFrame

    captions = (caption for clip in folder.ids(split) for caption in folder.captions(clip))
    counts = Counter(word for caption in captions for word in caption.words)
    rows = [(word, tag, count) for (word, tag), count in counts.most_common()]
    return DataFrame(rows, columns=["word", "tag", "count"])


def combinations(folder: MotionFolder, split: str) -> Counter[tuple[str, str]]:
    """How many clips of a split of synthetic data do which action of the legs and of the arms at once."""
    pairs: Counter[tuple[str, str]] = Counter()
    for clip in folder.ids(split):
        segments = (folder.program(clip) or {}).get("segments", [])
        pairs.update({(s["legs"]["name"], s["arms"]["name"]) for s in segments if s["arms"]})
    return pairs
