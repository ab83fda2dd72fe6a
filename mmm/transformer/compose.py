"""Crops and composed actions: what a data set of single actions does not show, made of its tokens.

Two things are learned wrongly from clips of one action each: a length that is typical of an action makes the action
("a person walks" in 32 frames runs), and a text with two actions is unknown. So training also sees, each with a
caption that is true of it:

    crop     a piece of a clip, if any piece shows the same action (walking)
    repeat   two clips of one such action, one after the other: longer than any clip
    then     clips of two actions, one after the other
    at once  the arms of one clip on the legs of another; with two body parts these are two rows of tokens

Which actions may be treated how, and the captions, are data: compositions.json (`mmm.datasets.compositions`).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mmm.data.batches import draw_weighted
from mmm.data.captions import mirror_text
from mmm.recipes import TransformerOptions
from mmm.transformer.tokens import TokenSet

SHORTEST = 6  # tokens of a piece: 24 frames
SMALLEST = 0.35  # a crop keeps at least this ratio of a clip
OUTER = 0.35  # at most this ratio of an action of the arms is cut off, at its end away from the other action
STRETCH = 2.5  # at most so many times as long are arms held up for longer legs
NUMBERS = 8  # random numbers for each item


class Composer:
    """Draws crops and compositions of the clips of a token set.

    Args:
        tokens: the set; composed are clips that `table` names (mirrored ones with the mirrored action).
        table: the content of compositions.json.
        longest: tokens of the longest composition.
    """

    def __init__(self, tokens: TokenSet, table: dict[str, Any], longest: int):
        self.tokens, self.longest = tokens, longest
        self.rules, self.captions = table["actions"], {kind: table[kind] for kind in ("then", "while")}
        self.actions = [self._action(name, table["clips"]) for name in tokens.ids]
        clips: dict[str, list[int]] = defaultdict(list)
        for clip, action in enumerate(self.actions):
            if action is not None:
                clips[action].append(clip)
        self.clips = {action: np.array(own) for action, own in clips.items()}
        weights = {action: float(tokens.weights[own].sum()) for action, own in self.clips.items()}
        # what may follow an action, or be done at once with it: actions and their weights
        self.partners: dict[tuple[str, str], tuple[list[str], np.ndarray]] = {}
        for kind, pairs in self.captions.items():
            found: dict[str, list[str]] = defaultdict(list)
            for pair in pairs:
                first, second = pair.split("|")
                if weights.get(first, 0) and weights.get(second, 0):
                    found[first].append(second)
            for first, seconds in found.items():
                self.partners[kind, first] = seconds, np.array([weights[name] for name in seconds])

    def _action(self, name: str, clips: dict[str, str]) -> str | None:
        if name in clips:
            return clips[name]
        if name.startswith("M") and name[1:] in clips:
            action = mirror_text(clips[name[1:]])
            return action if action in self.rules else None
        return None

    @property
    def fingerprint(self) -> str:
        """Changes with rules and captions: a run is not resumed with others."""
        content = json.dumps([self.rules, self.captions, self.actions], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def texts(self) -> list[str]:
        """All captions of compositions, sorted."""
        return sorted(
            {text for pairs in self.captions.values() for texts in pairs.values() for text in texts}
        )

    def draw(
        self,
        clips: Int64[Tensor, " b"],
        variants: Int64[Tensor, " b"],
        captions: list[str],
        options: TransformerOptions,
        generator: torch.Generator,
    ) -> tuple[Int64[Tensor, "b p n"], Int64[Tensor, " b"], list[str]]:
        """Tokens, lengths and captions of a batch of which some items are cropped or composed.

        Each item draws the same number of random numbers whatever becomes of it. What cannot be composed (too long,
        no partner) stays as it is.
        """
        u = torch.rand(len(clips), NUMBERS, generator=generator, dtype=torch.float64).numpy()
        rows, texts = [], []
        for clip, variant, caption, numbers in zip(
            clips.tolist(), variants.tolist(), captions, u, strict=True
        ):
            row, text = self._item(clip, self._row(variant), caption, options, numbers)
            rows.append(row)
            texts.append(text)
        lengths = torch.tensor([row.shape[1] for row in rows])
        batch = torch.zeros(len(rows), rows[0].shape[0], int(lengths.max()), dtype=torch.long)
        for item, row in zip(batch, rows, strict=True):
            item[:, : row.shape[1]] = row
        return batch, lengths, texts

    def _item(
        self, clip: int, row: Tensor, caption: str, options: TransformerOptions, u: np.ndarray
    ) -> tuple[Tensor, str]:
        action = self.actions[clip]
        if action is None:
            return row, caption
        kind = u[0]
        for name, chance in (("while", options.at_once), ("then", options.then), ("repeat", options.repeat)):
            if kind < chance:
                made = getattr(self, f"_{name}")(clip, action, row, caption, u)
                if made is not None:
                    return made
                break
            kind -= chance
        if self.rules[action]["repeats"] and u[1] < options.crop:
            row = _crop(row, SMALLEST + (1 - SMALLEST) * u[2], u[3])
        return row, caption

    def _while(
        self, clip: int, action: str, legs: Tensor, caption: str, u: np.ndarray
    ) -> tuple[Tensor, str] | None:
        """The arms of another clip (upper part, row 0) on these legs (lower part, row 1)."""
        partner = self._partner("while", action, u)
        if partner is None or legs.shape[0] != 2:
            return None
        other, arms = partner
        if self.rules[action]["repeats"]:
            legs = _crop(legs, SMALLEST + (1 - SMALLEST) * u[2], u[3])
        n, m = legs.shape[1], arms.shape[1]
        if n > STRETCH * m:
            if not self.rules[action]["repeats"]:
                return None
            legs = _crop(legs, STRETCH * m / n, u[3])
            n = legs.shape[1]
        upper = _stretched(arms[0], n) if n > m else _crop(arms, n / m, u[7])[0, :n]
        return torch.stack([upper, legs[1]]), self._caption("while", action, other, u)

    def _then(
        self, clip: int, action: str, first: Tensor, caption: str, u: np.ndarray
    ) -> tuple[Tensor, str] | None:
        partner = self._partner("then", action, u)
        if partner is None:
            return None
        other, second = partner
        if self.rules[action]["repeats"]:
            first = _crop(first, SMALLEST + (1 - SMALLEST) * u[2], u[3])
        if self.rules[other]["repeats"]:
            second = _crop(second, SMALLEST + (1 - SMALLEST) * u[1], u[7])
        excess = first.shape[1] + second.shape[1] - self.longest
        if excess > 0:
            spare = [self._spare(action, first.shape[1]), self._spare(other, second.shape[1])]
            if sum(spare) < excess:
                return None
            cut = min(spare[0], max(round(excess * spare[0] / sum(spare)), excess - spare[1]))
            first = first[:, cut:]  # both lose their outer end, so that they meet where they rest
            second = second[:, : second.shape[1] - (excess - cut)]
        return torch.cat([first, second], dim=1), self._caption("then", action, other, u)

    def _repeat(
        self, clip: int, action: str, first: Tensor, caption: str, u: np.ndarray
    ) -> tuple[Tensor, str] | None:
        """A second clip with the same caption or, if there is none, this one again."""
        if not self.rules[action]["repeats"]:
            return None
        same = [other for other in self.clips[action] if caption in self.tokens.captions[other]] or [clip]
        second = self._row(self._variant(int(same[int(u[4] * len(same))]), u[5]))
        room = self.longest - first.shape[1]
        if room < SHORTEST:
            return None
        return torch.cat([first, second[:, :room]], dim=1), caption

    def _spare(self, action: str, length: int) -> int:
        """How many tokens may be cut off the outer end of a clip."""
        if self.rules[action]["repeats"]:
            return max(0, length - SHORTEST)
        return int(OUTER * length) if self.rules[action]["part"] == "arms" else 0

    def _partner(self, kind: str, action: str, u: np.ndarray) -> tuple[str, Tensor] | None:
        """An action that goes with this one, and the tokens of a clip of it."""
        if (kind, action) not in self.partners:
            return None
        names, weights = self.partners[kind, action]
        other = names[int(draw_weighted(weights, torch.tensor(u[4])))]
        own = self.clips[other]
        clip = own[int(draw_weighted(self.tokens.weights[own], torch.tensor(u[5])))]
        return other, self._row(self._variant(int(clip), u[6]))

    def _variant(self, clip: int, u: float) -> int:
        first, last = int(self.tokens.starts[clip]), int(self.tokens.starts[clip + 1])
        return first + int(u * (last - first))

    def _row(self, variant: int) -> Tensor:
        return self.tokens.tokens[variant, :, : int(self.tokens.lengths[variant])].long()

    def _caption(self, kind: str, first: str, second: str, u: np.ndarray) -> str:
        texts = self.captions[kind][f"{first}|{second}"]
        return texts[int(u[6] * 1e6 % 1 * len(texts))]  # digits of the number that chose the variant


def _crop(row: Int64[Tensor, "p n"], ratio: float, where: float) -> Int64[Tensor, "p _"]:
    """A piece with this ratio of the tokens (at least SHORTEST of them), `where` in [0, 1) saying from where."""
    length = row.shape[1]
    size = min(length, max(SHORTEST, round(ratio * length)))
    start = int(where * (length - size + 1))
    return row[:, start : start + size]


def _stretched(row: Int64[Tensor, " m"], length: int) -> Int64[Tensor, " _"]:
    """The row with its middle third held longer: an arm that is lifted, kept up and lowered."""
    m = len(row)
    third = m // 3
    middle = torch.linspace(third, m - third - 1, length - 2 * third).round().long()
    return row[torch.cat([torch.arange(third), middle, torch.arange(m - third, m)])]
