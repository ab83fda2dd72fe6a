"""A data set for the diffusion baseline: a `TokenSet` whose tokens are not codes but the rows of 4 frames each.

So the clips that the transformers draw, with their weights, mirrored copies, phases, crops and compositions
(`mmm.transformer.compose`), are the same for a model that has no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.data import PackedSplit, mirror_text
from mmm.errors import require
from mmm.motion.mirror import mirror_features
from mmm.tokenizer.parts import ROOT_HEIGHT, UPPER, UPPER_HEIGHTS
from mmm.transformer.tokens import TokenSet

RATIO = 4  # frames of a token


@dataclass(frozen=True)
class FrameSource:
    """The frames that tokens stand for: token k is the frames k to k + 3 of a split, or of its mirror image.

    The mirror image of row k is row k + len(features). Where a clip has fewer than 4 frames left, its last one is
    repeated, as in `mmm.transformer.tokens.make_token_set`.

    Attributes:
        starts: the first row of each clip, and behind the last clip the number of rows.
    """

    features: Float[np.ndarray, "rows d"]
    starts: Int64[np.ndarray, "clips_plus_1"]
    skeleton: str = "humanml3d"

    def lookup(self, tokens: Int64[Tensor, "b p n"]) -> Float[Tensor, "b t d"]:
        """Raw features, T = 4 N.

        With two parts whose rows differ (the arms of one clip on the legs of another) the upper body's numbers are
        those of part 0, and its heights go up and down with the root of part 1.
        """
        parts = [self._frames(row) for row in tokens.unbind(1)]
        x = parts[-1]
        if len(parts) == 2 and not torch.equal(tokens[:, 0], tokens[:, 1]):
            lift = x[..., ROOT_HEIGHT, None] - parts[0][..., ROOT_HEIGHT, None]
            x[..., UPPER] = parts[0][..., UPPER]
            x[..., UPPER_HEIGHTS] += lift
        return torch.from_numpy(x)

    def _frames(self, tokens: Int64[Tensor, "b n"]) -> Float[np.ndarray, "b t d"]:
        mirrored = np.repeat(tokens.numpy() >= len(self.features), RATIO, axis=1)
        first = tokens.numpy() % len(self.features)
        last = self.starts[np.searchsorted(self.starts, first, side="right")] - 1
        rows = np.minimum(first[..., None] + np.arange(RATIO), last[..., None]).reshape(len(tokens), -1)
        x = np.asarray(self.features[rows], np.float32)
        x[mirrored] = mirror_features(x[mirrored], self.skeleton)
        return x


def frame_set(
    packed: PackedSplit,
    phases: Sequence[int] = (0,),
    mirror: bool = False,
    weights: np.ndarray | None = None,
    max_tokens: int = 49,
    parts: int = 1,
    skeleton: str = "humanml3d",
) -> tuple[TokenSet, FrameSource]:
    """The clips of a split as `mmm.transformer.tokens.make_token_set` gives them, with the same lengths.

    Args:
        as `make_token_set`. parts: rows of tokens, all the same.
    Raises:
        ValueError: a clip is too short for a phase.
    """
    sides = (False, True) if mirror else (False,)
    starts = np.array(
        [
            [packed.starts[clip] + phase + side * len(packed.features), packed.lengths[clip] - phase]
            for side in sides
            for clip in range(len(packed))
            for phase in phases
        ]
    )
    require(
        bool((starts[:, 1] > 0).all()), f"a clip is too short for the phases {tuple(phases)}: leave it out"
    )
    lengths = torch.from_numpy(np.minimum(-(-starts[:, 1] // RATIO), max_tokens))
    steps = torch.minimum(torch.arange(int(lengths.max())), lengths[:, None] - 1)  # padding repeats the last
    tokens = (torch.from_numpy(starts[:, :1]) + RATIO * steps)[:, None].repeat(1, parts, 1)
    captions = [[caption.text for caption in captions] for captions in packed.captions]
    ids = list(packed.ids)
    if mirror:
        captions += [[mirror_text(text) for text in texts] for texts in captions]
        ids += [f"M{name}" for name in ids]
    weights = np.ones(len(packed)) if weights is None else weights
    edges = torch.arange(0, len(tokens) + 1, len(phases))
    some = TokenSet(tokens, lengths, edges, captions, np.tile(weights, len(sides)), ids)
    return some, FrameSource(packed.features, np.asarray(packed.starts, np.int64), skeleton)
