"""A data set as tokens: a few small arrays, from which the transformer and the length estimator are trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor, nn
from tqdm import tqdm

from mmm.data.batches import PackedSplit, draw_weighted
from mmm.data.captions import mirror_text
from mmm.errors import require
from mmm.motion.mirror import mirror_features

POOL = 8  # so many batches are drawn and sorted by length, and one of them is taken


@dataclass(frozen=True)
class TokenSet:
    """Tokens and captions of n clips; a mirrored clip is a clip of its own, as in HumanML3D.

    Attributes:
        tokens: (V, P, N) code ids of all variants, padded with 0 beyond their lengths; int16, or int32 for a codebook
            that needs it. The tokenizer cuts time into groups of four frames, and where it cuts must not matter. So a
            clip has up to four variants, encoded from frame 0, 1, 2 and 3 on (its *phases*).
        lengths: (V,) tokens of each variant.
        starts: (n + 1,) clip i has the variants starts[i] to starts[i + 1].
        captions: of each clip.
        weights: (n,) how often to draw each clip, in any unit; action classes with few takes need more weight.
        ids: of each clip; the mirrored ones begin with "M".
    """

    tokens: Int[Tensor, "v p n"]
    lengths: Int64[Tensor, "v"]
    starts: Int64[Tensor, "clips_plus_1"]
    captions: list[list[str]]
    weights: np.ndarray
    ids: list[str]

    def __post_init__(self) -> None:
        bare = [name for name, texts in zip(self.ids, self.captions, strict=True) if not texts]
        require(
            not bare, f"{len(bare)} clips have no caption, {bare[:1]} first: leave them out or caption them"
        )
        sizes = {len(self.ids), len(self.weights), len(self.starts) - 1}
        require(
            len(sizes) == 1, f"{len(self.ids)} ids, {len(self.weights)} weights, {len(self.starts) - 1} clips"
        )
        require(
            bool(np.isfinite(self.weights).all() and (self.weights >= 0).all() and self.weights.sum() > 0),
            "weights must be finite, not negative and not all 0",
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """A hash of the clips, their lengths, captions and weights: a run is not resumed on other data.

        The tokens are left out. On another machine a few may differ, because sums are rounded differently.
        """
        text = json.dumps([self.ids, self.captions, self.lengths.tolist()])
        return hashlib.sha256(text.encode() + self.weights.astype(np.float64).tobytes()).hexdigest()[:16]

    def texts(self) -> list[str]:
        """All different captions, sorted."""
        return sorted({text for texts in self.captions for text in texts})

    def select(self, keep: Bool[np.ndarray, " clips"]) -> TokenSet:
        """The set of these clips alone, in their order."""
        rows = torch.from_numpy(np.repeat(keep, self.starts.diff().numpy()))
        counts = self.starts.diff()[torch.from_numpy(keep)]
        return TokenSet(
            self.tokens[rows],
            self.lengths[rows],
            torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            [captions for captions, kept in zip(self.captions, keep, strict=True) if kept],
            self.weights[keep],
            [name for name, kept in zip(self.ids, keep, strict=True) if kept],
        )

    def draw(
        self, count: int, generator: torch.Generator, like_length: bool = True
    ) -> tuple[Int64[Tensor, "count"], Int64[Tensor, "count"]]:
        """Clips and one variant of each, drawn in proportion to the weights.

        With `like_length`, `POOL` times as many are drawn, sorted by length and cut into batches, of which one is taken
        at random. This saves padding, and every clip is drawn as often as without it.
        """
        pool = POOL if like_length else 1
        # u[0] chooses the clip, u[1] its variant, and u[2] breaks ties of equal length.
        u = torch.rand(3, pool * count, generator=generator, dtype=torch.float64)
        clips = draw_weighted(self.weights, u[0])
        first, number = self.starts[clips], self.starts[clips + 1] - self.starts[clips]
        variants = first + (u[1] * number).long()
        order = (self.lengths[variants] + u[2]).argsort()
        block = int(torch.randint(pool, (), generator=generator))
        chosen = order[block * count : (block + 1) * count]
        return clips[chosen], variants[chosen]

    def batch(self, variants: Int64[Tensor, "b"]) -> tuple[Int64[Tensor, "b p longest"], Int64[Tensor, "b"]]:
        """Tokens and lengths of these variants, cut to the longest of them."""
        lengths = self.lengths[variants]
        return self.tokens[variants, :, : int(lengths.max())].long(), lengths

    def draw_captions(self, clips: Int64[Tensor, "b"], generator: torch.Generator) -> list[str]:
        """One random caption of each clip."""
        u = torch.rand(len(clips), generator=generator).tolist()
        texts = [self.captions[clip] for clip in clips.tolist()]
        return [own[int(number * len(own))] for own, number in zip(texts, u, strict=True)]


@torch.no_grad()
def make_token_set(
    tokenizer: nn.Module,
    packed: PackedSplit,
    phases: Sequence[int] | None = None,
    mirror: bool = True,
    weights: Sequence[float] | np.ndarray | None = None,
    max_tokens: int = 49,
    batch_size: int = 64,
    skeleton: str = "humanml3d",
    progress: bool = False,
) -> TokenSet:
    """Encode a split: every clip in every phase, and mirrored with mirrored captions.

    Args:
        tokenizer: a `Tokenizer`.
        phases: frames left out at the start, one variant each; (0,) for validation; None for all that differ,
            0 to config.ratio − 1.
        weights: how often to draw each clip of `packed`, mirrored or not; None for all equally.
        max_tokens: longer clips are cut to this.

    Raises:
        ValueError: a clip is too short for a phase.
    """
    tokenizer.eval()
    config, device = tokenizer.config, tokenizer.mean.device
    phases = range(config.ratio) if phases is None else phases
    sides = (False, True) if mirror else (False,)
    # One row for each variant. The three columns say which clip it is, whether it is mirrored, and its phase.
    rows = [(clip, side, phase) for side in sides for clip in range(len(packed)) for phase in phases]
    clip, mirrored, phase = (np.array(column) for column in zip(*rows, strict=True))
    first = packed.starts[clip] + phase  # its first frame among the frames of the split
    frames = np.minimum(np.diff(packed.starts)[clip] - phase, max_tokens * config.ratio)
    require(bool((frames > 0).all()), f"a clip is too short for the phases {tuple(phases)}: leave it out")
    lengths = -(-frames // config.ratio)

    dtype = torch.int16 if config.codes <= 1 << 15 else torch.int32  # ids run to codes - 1
    tokens = torch.zeros(len(rows), config.parts, int(lengths.max()), dtype=dtype)
    # Batches of similar length; shorter clips repeat their last frame, which `encode` ignores.
    batches = np.split(np.argsort(frames, kind="stable"), range(batch_size, len(rows), batch_size))
    for batch in tqdm(batches, desc="tokens", unit="batch", disable=not progress):
        counts = frames[batch]
        index = np.minimum(np.arange(counts.max()), counts[:, None] - 1) + first[batch][:, None]
        x = np.asarray(packed.features[index])
        x[mirrored[batch]] = mirror_features(x[mirrored[batch]], skeleton)
        codes = tokenizer.encode(torch.from_numpy(x).to(device), torch.from_numpy(counts).to(device))
        tokens[torch.from_numpy(batch), :, : int(lengths[batch].max())] = codes.cpu().to(dtype)

    captions = [[caption.text for caption in captions] for captions in packed.captions]
    ids = list(packed.ids)
    if mirror:
        captions += [[mirror_text(text) for text in texts] for texts in captions]
        ids += [f"M{name}" for name in ids]
    weights = np.ones(len(packed)) if weights is None else np.asarray(weights, dtype=np.float64)
    starts = torch.arange(0, len(rows) + 1, len(phases))
    return TokenSet(tokens, torch.from_numpy(lengths), starts, captions, np.tile(weights, len(sides)), ids)
