"""What training needs of a data set: weights of its clips, tokens, embeddings of captions, facts for manifests."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from mmm.data import MotionFolder, PackedSplit
from mmm.data.captions import mirror_text
from mmm.data.folder import cache_dir
from mmm.data.text_cache import text_source
from mmm.errors import require
from mmm.recipes import OURS, Recipe
from mmm.text import TextEncoder, TextSource
from mmm.tokenizer import Tokenizer
from mmm.transformer.tokens import TokenSet, make_token_set

# What the id of a piece of a take ends with: seconds, letters for equal pieces (`mmm.datasets.takes.cut`), or both.
_PIECE = re.compile(r"(_[\d.]+-[\d.]+s)?(_[a-z]{1,2})?$")


def facts(folder: MotionFolder) -> dict[str, Any]:
    """What a manifest says about the data: name, hash of the content, of the splits, of Mean and Std."""
    normalisation = np.concatenate([folder.mean, folder.std]).tobytes()
    return {
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "mean_std_hash": hashlib.sha256(normalisation).hexdigest()[:16],
    }


def has_mirrored(folder: MotionFolder) -> bool:
    """HumanML3D and KIT-ML hold each clip mirrored, too ("M" before its id); other sets are mirrored in training."""
    ids = set(folder.ids("train"))
    return any(clip.startswith("M") and clip[1:] in ids for clip in ids)


def balanced_weights(
    folder: MotionFolder, packed: PackedSplit, amounts: np.ndarray, power: float
) -> np.ndarray:
    """How often to draw each clip: amount · total ** (power − 1), where `total` is the sum of its action class.

    So a class is drawn in proportion to total ** power, and the clips of a class in proportion to their own amounts.
    The action class is the `content` of a clip's program (Bandai, CMU); all clips without one are one class. In a
    union of several data sets each source is balanced by itself, and is drawn as often as its share says.

    Args:
        amounts: of each clip: its frames, or 1.
        power: 1 leaves the data as they are, 0 makes all classes equally frequent.
    """
    programs = [folder.program(clip) or {} for clip in packed.ids]
    sources = [folder.source_of(clip) for clip in packed.ids]
    classes = [
        (source, program.get("dataset"), program.get("content"))
        for source, program in zip(sources, programs, strict=True)
    ]
    total: dict[tuple, float] = defaultdict(float)
    for name, amount in zip(classes, amounts, strict=True):
        total[name] += amount
    weights = np.array(
        [amount * total[name] ** (power - 1) for name, amount in zip(classes, amounts, strict=True)]
    )
    for name, about in folder.info.get("sources", {}).items():
        of_source = np.array(sources) == name
        weights[of_source] *= about["share"] / weights[of_source].sum()
    return weights


def captions_source(
    folder: MotionFolder, captions: Iterable[str], encoder: TextEncoder, progress: bool
) -> TextSource:
    """Embeddings of a data set's captions, computed once and kept in the user's cache folder."""
    name = f"{folder.name}-{folder.content_hash}-{encoder.name.replace('/', '_')}.safetensors"
    return text_source(sorted(set(captions)), encoder, cache_dir() / "text" / name, progress=progress)


def token_sets(
    folder: MotionFolder, tokenizer: Tokenizer, recipe: Recipe = OURS, progress: bool = False
) -> tuple[TokenSet, TokenSet]:
    """Train (in all phases of the token grid, mirrored, balanced) and val (one phase, as they are) as tokens."""
    train, val = folder.pack("train"), folder.pack("val")
    weights = balanced_weights(folder, train, np.ones(len(train)), recipe.transformer_balance)
    phases = None if recipe.all_phases else (0,)
    mirror, skeleton = not has_mirrored(folder), folder.skeleton
    return (
        make_token_set(tokenizer, train, phases, mirror, weights, skeleton=skeleton, progress=progress),
        make_token_set(tokenizer, val, (0,), mirror=False, skeleton=skeleton),
    )


def held_out_clips(ids: Sequence[str], ratio: float) -> Bool[np.ndarray, " clips"]:
    """Which clips the transformer does not see in training, so that its confidence can be calibrated on them.

    Whole takes are held out: a clip, its mirror image (M…) and its pieces (…@1) together. A hash of their names
    chooses them, so it is always the same takes.

    Args:
        ratio: of the takes, in [0, 1); at least one take where it is above 0.
    Raises:
        ValueError: a ratio out of range, or nothing would be left to learn from.
    """
    require(0 <= ratio < 1, f"held_out is {ratio}, expected a ratio of the clips in [0, 1).")
    takes = [_PIECE.sub("", name.removeprefix("M").split("@")[0]) for name in ids]
    order = sorted(set(takes), key=lambda take: hashlib.sha256(take.encode()).digest())
    count = max(1, round(ratio * len(order))) if ratio else 0
    require(
        count < len(order), f"held_out {ratio} of {len(order)} takes leaves none to learn from; give less."
    )
    chosen = set(order[:count])
    return np.array([take in chosen for take in takes], dtype=bool)


def length_sets(folder: MotionFolder, ratio: int, max_tokens: int) -> tuple[TokenSet, TokenSet]:
    """Train and val as the length estimator needs them: lengths and captions; all tokens are 0.

    Nothing is encoded, as with the paper's tokenizer that takes hours on a CPU. Every clip of a source counts alike:
    the few takes of a rare action class, drawn more often, would only be learned by heart (log loss on Bandai val 3.00
    with the transformer's weights, 2.80 with equal ones). In a union each source is drawn as often as its share says.
    """
    mirror = not has_mirrored(folder)
    return (
        _length_set(folder, "train", ratio, max_tokens, mirror),
        _length_set(folder, "val", ratio, max_tokens, mirror=False),
    )


def _length_set(folder: MotionFolder, split: str, ratio: int, max_tokens: int, mirror: bool) -> TokenSet:
    packed = folder.pack(split)
    weights = balanced_weights(folder, packed, np.ones(len(packed)), power=1.0)
    lengths = torch.from_numpy(-(-packed.lengths // ratio)).clamp(max=max_tokens)
    captions = [[caption.text for caption in captions] for captions in packed.captions]
    ids = packed.ids
    if mirror:
        lengths = lengths.repeat(2)
        captions = captions + [[mirror_text(text) for text in texts] for texts in captions]
        ids = ids + [f"M{name}" for name in ids]
        weights = np.tile(weights, 2)
    # as many as the lengths say, in two parts, so that they can be composed; a view of one number
    tokens = torch.zeros(1, 1, 1, dtype=torch.int16).expand(len(ids), 2, max_tokens)
    return TokenSet(tokens, lengths, torch.arange(len(ids) + 1), captions, weights, ids)
