"""What training needs of a data set: weights of its clips, captions' embeddings, tokens, and facts for manifests."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from mmm.data import MotionFolder, PackedSplit
from mmm.data.captions import mirror_text
from mmm.data.folder import cache_dir
from mmm.errors import require
from mmm.recipes.rules import Recipe, get_recipe
from mmm.text import TextEncoder, TextSource, text_source
from mmm.tokenizer import Tokenizer
from mmm.transformer.tokens import TokenSet, make_token_set


def balanced_weights(
    folder: MotionFolder, packed: PackedSplit, amounts: np.ndarray, power: float
) -> np.ndarray:
    """Sampling weights of clips: each content's total ∝ its total amount ** power, within it ∝ amount.

    A content is what a clip's program calls so (Bandai); clips without one are all of one content.
    """
    programs = [folder.program(clip) or {} for clip in packed.ids]
    groups = [(program.get("dataset"), program.get("content")) for program in programs]
    total: dict[tuple, float] = defaultdict(float)
    for group, amount in zip(groups, amounts, strict=True):
        total[group] += amount
    return np.array(
        [amount * total[group] ** (power - 1) for group, amount in zip(groups, amounts, strict=True)]
    )


def has_mirrored(folder: MotionFolder) -> bool:
    """HumanML3D and KIT-ML bring each clip mirrored ("M" before its id); other sets are mirrored in training."""
    ids = set(folder.ids("train"))
    return any(clip.startswith("M") and clip[1:] in ids for clip in ids)


def captions_source(
    folder: MotionFolder, captions: Iterable[str], encoder: TextEncoder, progress: bool
) -> TextSource:
    """Embeddings of a data set's captions: from the user's cache folder, computed once."""
    captions = sorted(set(captions))
    name = encoder.name.replace("/", "_")
    return text_source(
        captions,
        encoder,
        cache_dir() / "text" / f"{folder.name}-{folder.content_hash}-{name}.safetensors",
        progress=progress,
    )


def token_sets(
    folder: MotionFolder, tokenizer: Tokenizer, progress: bool = False, recipe: Recipe | str = "ours"
) -> tuple[TokenSet, TokenSet]:
    """Train (in all phases of the token grid, mirrored, balanced) and val (one phase, as they are) as tokens."""
    recipe, train, val = get_recipe(recipe), folder.pack("train"), folder.pack("val")
    weights = balanced_weights(folder, train, np.ones(len(train)), recipe.transformer_balance)
    phases = None if recipe.all_phases else (0,)
    how = {"mirror": not has_mirrored(folder), "skeleton": folder.skeleton, "progress": progress}
    return (
        make_token_set(tokenizer, train, phases, weights=weights, **how),
        make_token_set(tokenizer, val, (0,), False, skeleton=folder.skeleton),
    )


def held_back(ids: Sequence[str], share: float) -> Bool[np.ndarray, " clips"]:
    """Which of the clips the transformer is not to see, so that its confidence can be judged on them.

    Takes are put aside whole: a clip, its mirror image (M…) and its pieces (…@1) together. Which ones is decided by a
    hash of their names, so that it is the same whenever it is asked.

    Args:
        share: of the takes, in [0, 1); at least one take where it is above 0.
    Raises:
        ValueError: a share out of range, or nothing would be left to learn from.
    """
    require(0 <= share < 1, f"hold_back is {share}, expected a share of the clips in [0, 1).")
    takes = [name.removeprefix("M").split("@")[0] for name in ids]
    order = sorted(set(takes), key=lambda take: hashlib.sha256(take.encode()).digest())
    count = max(1, round(share * len(order))) if share else 0
    require(
        count < len(order), f"hold_back {share} of {len(order)} takes leaves none to learn from; give less."
    )
    aside = set(order[:count])
    return np.array([take in aside for take in takes], dtype=bool)


def length_sets(folder: MotionFolder, ratio: int, max_tokens: int) -> tuple[TokenSet, TokenSet]:
    """Train and val as the length estimator needs them: lengths and captions, the tokens themselves all 0.

    Nothing is encoded: with the paper's tokenizer that takes hours on a CPU. Every clip counts alike: how long
    things take is a question of how often they do, and the few takes of a rare content, shown more often, would
    only be learned by heart (log loss on Bandai val 3.00 with the transformer's weights, 2.80 with equal ones).
    """
    sets = []
    for split in ("train", "val"):
        packed = folder.pack(split)
        mirror = split == "train" and not has_mirrored(folder)
        texts = [[caption.text for caption in captions] for captions in packed.captions]
        if mirror:
            texts += [[mirror_text(text) for text in own] for own in texts]
        lengths = torch.from_numpy(-(-packed.lengths // ratio)).clamp(max=max_tokens)
        sides = 1 + mirror
        sets.append(
            TokenSet(
                torch.zeros(sides * len(packed), 1, 1, dtype=torch.int16),
                lengths.repeat(sides),
                torch.arange(sides * len(packed) + 1),
                texts,
                np.ones(sides * len(packed)),
                packed.ids + [f"M{name}" for name in packed.ids] * mirror,
            )
        )
    return sets[0], sets[1]


def facts(folder: MotionFolder) -> dict[str, Any]:
    """What a manifest says of the data: name, hash of the content, of the splits, of Mean and Std."""
    normalisation = np.concatenate([folder.mean, folder.std]).tobytes()
    return {
        "data": folder.name,
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "mean_std_hash": hashlib.sha256(normalisation).hexdigest()[:16],
    }
