"""A made-up world for the rehearsal: everything that the README asks of the user, tiny, where the README expects it.

Data in HumanML3D's layout, Guo et al.'s archives unpacked, a CLIP, and the authors' two checkpoints under the
parameter names of their release. The motions are plausible, all weights are random.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from made_up import clip as made_up_clip
from made_up import guo as made_up_guo

from mmm.data import Caption
from mmm.data.captions import format_caption, mirror_caption
from mmm.data.write import mean_std
from mmm.datasets.synthetic import make_clip
from mmm.motion.features import joints_to_features
from mmm.motion.mirror import mirror_joints
from mmm.release.tokenizer import to_release_state
from mmm.release.transformer import to_release_state as transformer_to_release_state
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.transformer import MaskedTransformer, TransformerConfig

TESTS = Path(__file__).resolve().parents[1]

SPLITS = {
    "train": 8,
    "val": 4,
    "test": 10,
}  # clips, before each is mirrored and told in parts: a pool needs 32 of test
CODES, CODE_WIDTH, TEXT_WIDTH = 24, 8, 16
TOKENIZER = TokenizerConfig(width=16, depth=3, codes=CODES, code_dim=CODE_WIDTH)
TRANSFORMER = TransformerConfig(
    codes=CODES, code_dim=CODE_WIDTH, text_dim=TEXT_WIDTH, dim=32, layers=2, cross_layers=1, heads=16, text_dropout=0.0
)  # fmt: skip


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
            if not 41 <= len(clip.features) <= 130:  # shorter than HumanML3D's longest: this has to be quick
                continue
            captions = [*clip.captions[:3], part_of(clip.captions[3], len(clip.features))]
            for name, features, lines in (
                (clip.id, clip.features, captions),
                (
                    f"M{clip.id}",
                    joints_to_features(mirror_joints(clip.joints)),
                    [mirror_caption(caption) for caption in captions],
                ),
            ):
                np.save(place / "new_joint_vecs" / f"{name}.npy", features)
                (place / "texts" / f"{name}.txt").write_text(
                    "".join(f"{format_caption(line)}\n" for line in lines)
                )
                listed[split].append(name)
                rows.append(features)
    for split, names in (listed | {"all": sum(listed.values(), [])}).items():
        (place / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    for name, values in zip(("Mean", "Std"), mean_std(np.concatenate(rows)), strict=True):
        np.save(place / f"{name}.npy", values)
    return place


def part_of(caption: Caption, frames: int) -> Caption:
    """The caption as one of the last 2.5 seconds, where the clip has as many and more."""
    seconds = frames / 20
    return dataclasses.replace(caption, start=seconds - 2.5, end=seconds) if seconds > 3 else caption


def write_checkpoints(place: Path) -> Path:
    """The authors' tokenizer and transformer, as `torch.save` of {"net": …} and {"trans": …} leaves them."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(TOKENIZER)
    tokenizer.quantizers[0].set_codebook(torch.randn(CODES, CODE_WIDTH))
    transformer = MaskedTransformer(TRANSFORMER, tokenizer.codebook)
    for path, key, state in (
        ("vq/net_last.pth", "net", to_release_state(tokenizer)),
        ("trans/net_last.pth", "trans", transformer_to_release_state(transformer)),
    ):
        (place / path).parent.mkdir(parents=True)
        torch.save({key: state}, place / path)
    return place


def write_world(place: Path) -> Path:
    """All of it below `place`, under the paths of the README's commands."""
    write_humanml3d(place / "HumanML3D")
    made_up_guo.write_archives(place / "data" / "guo", sizes=made_up_guo.SMALL)
    made_up_clip.write_clip(place / "clip", TEXT_WIDTH)
    write_checkpoints(place / "release")
    return place
