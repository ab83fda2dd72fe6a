"""Everything that the commands of docs/REPRODUCE.md need from the user, tiny, under its paths.

Data in HumanML3D's layout, Guo et al.'s archives unpacked, a CLIP, and the authors' two checkpoints under the
parameter names of their release. The motions are plausible, all weights are random.
"""

import dataclasses
from pathlib import Path

import numpy as np

from made_up import clip as made_up_clip
from made_up import guo as made_up_guo
from made_up import release as made_up_release
from mmm.data import Caption
from mmm.data.captions import format_caption, mirror_caption
from mmm.data.write import mean_std
from mmm.datasets.synthetic import make_clip
from mmm.motion.features import joints_to_features
from mmm.motion.mirror import mirror_joints
from mmm.tokenizer import TokenizerConfig

SPLITS = {"train": 8, "val": 4, "test": 10}  # clips without mirror images and parts: a pool needs 32 of test
TEXT_WIDTH = 16
TOKENIZER = TokenizerConfig(width=16, depth=3, codes=24, code_dim=8)
TRANSFORMER = made_up_release.TINY | {"layers": 2, "cross_layers": 1, "heads": 16}


def write_humanml3d(place: Path) -> Path:
    """A few dozen clips of 40 to 199 frames in the layout of HumanML3D, every one with its mirror image (ID, MID)."""
    for part in ("new_joint_vecs", "texts"):
        (place / part).mkdir(parents=True)
    number, rows, listed = 0, [], {}
    for split, count in SPLITS.items():
        listed[split] = []
        while len(listed[split]) < 2 * count:
            number += 1
            clip = make_clip(number, seed=7)
            if not 41 <= len(clip.features) <= 130:  # shorter than HumanML3D's longest, to be quick
                continue
            captions = [*clip.captions[:3], part_of(clip.captions[3], len(clip.features))]
            mirrored = joints_to_features(mirror_joints(clip.joints)), [mirror_caption(c) for c in captions]
            for name, features, lines in ((clip.id, clip.features, captions), (f"M{clip.id}", *mirrored)):
                np.save(place / "new_joint_vecs" / f"{name}.npy", features)
                text = "".join(f"{format_caption(line)}\n" for line in lines)
                (place / "texts" / f"{name}.txt").write_text(text)
                listed[split].append(name)
                rows.append(features)
    for split, names in (listed | {"all": sum(listed.values(), [])}).items():
        (place / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    for name, values in zip(("Mean", "Std"), mean_std(np.concatenate(rows)), strict=True):
        np.save(place / f"{name}.npy", values)
    return place


def part_of(caption: Caption, frames: int) -> Caption:
    """The caption for the last 2.5 seconds only, if the clip is longer than 3 s."""
    seconds = frames / 20
    return dataclasses.replace(caption, start=seconds - 2.5, end=seconds) if seconds > 3 else caption


def write_world(place: Path) -> Path:
    """All of it below `place`, under the paths of these commands."""
    write_humanml3d(place / "HumanML3D")
    made_up_guo.write_archives(place / "data" / "guo", sizes=made_up_guo.SMALL)
    made_up_clip.write_clip(place / "clip", TEXT_WIDTH)
    parts = made_up_release.make_parts(TOKENIZER, TRANSFORMER)
    made_up_release.write_release(place / "release", *parts, folders=("vq", "trans"))
    return place
