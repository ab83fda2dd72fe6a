"""Chapter 01, data: what is in a data set, as tables with one row per clip and one row per word.

`data_plots` draws them.
"""

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
COMMON_WORDS = set(
    "a an the and then to with in on of at as is are while by his her their he she they it this one "
    "person man woman human figure someone somebody".split()
)


def action_classes(program: dict[str, Any] | None, captions: list[Caption]) -> tuple[str, ...]:
    """What a clip shows: the actions of its program in order (synthetic), or the action class of its take (Bandai).

    Of a clip without a program: the verb that most of its captions have. Where captions are not tagged, the most
    frequent of their words that is not a common one.
    """
    if program and "segments" in program:
        actions = [segment[limbs] for segment in program["segments"] for limbs in ("legs", "arms")]
        names = [action["name"] for action in actions if action]
        moves = [name for name in names if name != "stand"]
        return tuple(dict.fromkeys(moves)) or ("stand",)
    if program and "content" in program:
        return (program["content"],)
    words = [pair for caption in captions for pair in caption.words]
    verbs = [word for word, tag in words if tag == "VERB"]
    untagged = [word for word, tag in words if tag == "OTHER" and word not in COMMON_WORDS]
    return tuple(word for word, _ in Counter(verbs or untagged).most_common(1))


def survey_clips(folder: MotionFolder) -> DataFrame:
    """One row per clip of train, val, test (and test_compositional).

    Columns: split, frames, seconds, actions, recording (clips of one recording must not be in two splits), captions
    (how many), metres that the root goes, degrees that the body turns to the left.
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
                "actions": action_classes(program, captions),
                "recording": (program or {}).get("path", clip),
                "captions": len(captions),
                "metres": float(np.linalg.norm(features[:-1, part["root_linear"]], axis=1).sum()),
                "degrees": float(np.degrees(-2 * features[:-1, part["root_angular"]].sum())),
            })  # fmt: skip
    return DataFrame(rows).set_index("clip")


def survey_words(folder: MotionFolder, split: str = "train") -> DataFrame:
    """How often each (word, part of speech) occurs in the captions of a split, most frequent first.

    The words of captions that are not tagged all have the part of speech OTHER.
    """
    from pandas import DataFrame

    captions = (caption for clip in folder.ids(split) for caption in folder.captions(clip))
    counts = Counter(word for caption in captions for word in caption.words)
    rows = [(word, tag, count) for (word, tag), count in counts.most_common()]
    return DataFrame(rows, columns=["word", "tag", "count"])


def combinations(folder: MotionFolder, split: str) -> Counter[tuple[str, str]]:
    """In how many clips of a split of synthetic data legs and arms do which actions at the same time."""
    pairs: Counter[tuple[str, str]] = Counter()
    for clip in folder.ids(split):
        segments = (folder.program(clip) or {}).get("segments", [])
        pairs.update({(s["legs"]["name"], s["arms"]["name"]) for s in segments if s["arms"]})
    return pairs
