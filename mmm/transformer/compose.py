"""Crops and composed actions: what a data set of single actions does not show, made of its tokens.

Two things are learned wrongly from clips of one action each: a length that is typical of an action makes the action
("a person walks" in 32 frames runs), and a text with two actions is unknown. So training also sees, each with a
caption that is true of it:

    crop     a piece of a clip, if any piece shows the same action (walking)
    repeat   two clips of one such action, one after the other, so that long ones are not rare
    then     clips of two actions, one after the other
    while    the arms of one clip on the legs of another; with two body parts these are two rows of tokens

Some captions are replaced by sentences as people type them, for the same action and, if the clip has one, style
(`TransformerOptions.typed`): captions from a grammar are too much alike to learn unusual wordings from.

Which actions may be treated how, and the captions, are data: compositions.json (`mmm.datasets.compositions`).
Mirrored clips are composed with mirrored ones, and their captions are mirrored: a sentence about a clip may name a
side even where the name of its action does not.
"""

from __future__ import annotations

import hashlib
import json
import re
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
OUTER = 0.35  # at most this ratio of an action of the arms is cut off
STRETCH = 2.5  # arms that are held up are stretched to at most this multiple of their length
NUMBERS = 9  # random numbers for each item
KINDS = ("while", "then", "repeat")  # in the order in which they are drawn
CHANCES = {"while": "at_once", "then": "then", "repeat": "repeat"}  # the options of a recipe
# A caption with such a word is not true of a part of its clip, or of two clips.
COUNTS = re.compile(
    r"\b(once|twice|times?|two|three|four|five|six|seven|eight|nine|ten|couple|few|several|first|then|before|after|"
    r"afterwards|finally|ends?|stops?|starts?|begins?)\b"
)

Key = tuple[str, bool]  # action class of a clip as it was captured, and whether the clip is mirrored


class Composer:
    """Draws crops and compositions of the clips of a token set.

    Args:
        tokens: the set. Clips that `table` names are composed; "M" before a name is the mirrored clip.
        table: the content of compositions.json; the sentences in "typed" are drawn for a clip's action, and for its
            style (`styles`).
        longest: tokens of the longest composition.
        options: the chances of all kinds; `crop` is the chance for an item that is not composed and whose action
            repeats.
        parts: body parts of the model; "while" needs two.
    """

    def __init__(
        self,
        tokens: TokenSet,
        table: dict[str, Any],
        longest: int,
        options: TransformerOptions,
        parts: int = 2,
    ):
        self.tokens, self.longest, self.options, self.rules = tokens, longest, options, table["actions"]
        self.chances = {kind: getattr(options, CHANCES[kind]) for kind in KINDS}
        if parts < 2:
            self.chances["while"] = 0.0
        self.captions = {
            kind: {pair: texts for pair, texts in table[kind].items() if texts}
            for kind in ("then", "while")
            if self.chances[kind]
        }
        self.typed = table.get("typed", {}) if options.typed else {}
        self.keys = [_key(name, table["clips"]) for name in tokens.ids]
        styles = table.get("styles", {})
        self.styles = [styles.get(name) or styles.get(name.removeprefix("M")) for name in tokens.ids]
        clips: dict[Key, list[int]] = defaultdict(list)
        for clip, key in enumerate(self.keys):
            if key is not None:
                clips[key].append(clip)
        self.clips = {key: np.array(own) for key, own in clips.items()}
        weights = {key: float(tokens.weights[own].sum()) for key, own in self.clips.items()}
        # what may follow an action, or be done at once with it: actions and their weights
        self.partners: dict[tuple[str, Key], tuple[list[str], np.ndarray]] = {}
        for kind, pairs in self.captions.items():
            seconds: dict[Key, list[str]] = defaultdict(list)
            for pair in pairs:
                first, second = pair.split("|")
                for mirrored in (False, True):
                    if weights.get((first, mirrored), 0) and weights.get((second, mirrored), 0):
                        seconds[first, mirrored].append(second)
            for key, names in seconds.items():
                own = np.array([weights[name, key[1]] for name in names])
                self.partners[kind, key] = names, own

    @property
    def fingerprint(self) -> str:
        """Changes with rules, captions and chances: a run is not resumed with others."""
        content = [self.rules, self.captions, self.keys, self.chances, self.options.crop, self.longest]
        content += [self.typed, self.styles, self.options.typed] if self.typed else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def texts(self, typed: bool = True) -> list[str]:
        """All captions of the compositions that can occur, and with `typed` all sentences that can be drawn, sorted."""
        captions: dict[bool, set[str]] = {False: set(), True: set()}  # by whether they are mirrored
        for (kind, (action, mirrored)), (names, _) in self.partners.items():
            for name in names:
                captions[mirrored].update(self.captions[kind][f"{action}|{name}"])
                captions[mirrored].update(self._typed_of(kind, action, name) if typed else ())
        for key, style in set(zip(self.keys, self.styles, strict=True)) if typed else ():
            if key is not None:
                captions[key[1]].update(*self._typed_alone(key, style))
        return sorted(captions[False] | set(map(mirror_text, captions[True])))

    def draw(
        self,
        clips: Int64[Tensor, " b"],
        variants: Int64[Tensor, " b"],
        captions: list[str],
        generator: torch.Generator,
    ) -> tuple[Int64[Tensor, "b p n"], Int64[Tensor, " b"], list[str]]:
        """Tokens, lengths and captions of a batch of which some items are cropped or composed.

        Each item draws the same number of random numbers whatever becomes of it. What cannot be composed (too long,
        no partner) may still be cropped.
        """
        u = torch.rand(len(clips), NUMBERS, generator=generator, dtype=torch.float64).numpy()
        rows, texts = [], []
        for clip, variant, caption, numbers in zip(
            clips.tolist(), variants.tolist(), captions, u, strict=True
        ):
            row, text = self._item(clip, self._row(variant), caption, numbers)
            rows.append(row)
            texts.append(text)
        lengths = torch.tensor([row.shape[1] for row in rows])
        batch = torch.zeros(len(rows), rows[0].shape[0], int(lengths.max()), dtype=torch.long)
        for item, row in zip(batch, rows, strict=True):
            item[:, : row.shape[1]] = row
        return batch, lengths, texts

    def _item(self, clip: int, row: Tensor, caption: str, u: np.ndarray) -> tuple[Tensor, str]:
        """u[0] chooses the kind, u[1:4] the crop, u[4:7] the other clip, u[1] and u[7] its crop, u[8] the caption.

        An item that is not composed needs no other clip: u[4:7] choose what is typed. (Where a composition failed, the
        clip that did not fit was chosen by u[4], too.)
        """
        key = self.keys[clip]
        if key is None:
            return row, caption
        rest = u[0]
        for kind in KINDS:
            if rest < self.chances[kind]:
                result = getattr(self, f"_{kind}")(key, row, caption, u)
                if result is not None:
                    return result
                break
            rest -= self.chances[kind]
        said = self._typed_alone(key, self.styles[clip])
        if said and u[4] < self.options.typed:
            caption = _pick(_pick(said, u[5]), u[6])  # of those about the style as often as of the others
            caption = mirror_text(caption) if key[1] else caption
        if u[1] < self.options.crop and self._repeats(key, caption):
            row = _crop(row, SMALLEST + (1 - SMALLEST) * u[2], u[3])
        return row, caption

    def _while(self, key: Key, legs: Tensor, caption: str, u: np.ndarray) -> tuple[Tensor, str] | None:
        """The arms of another clip (upper part, row 0) on these legs (lower part, row 1).

        The upper tokens also hold velocities of a standing body. Positions decide on the joints, so that these arms go
        along with the legs all the same.
        """
        partner = self._partner("while", key, u)
        if partner is None:
            return None
        other, arms = partner
        m, repeats = arms.shape[1], self.rules[key[0]]["repeats"]
        longest = int(STRETCH * m) if self.rules[other].get("held") else m
        n = legs.shape[1]
        if repeats:
            n = min(n, max(SHORTEST, m, round((SMALLEST + (1 - SMALLEST) * u[2]) * n)), longest)
            legs = _crop(legs, n / legs.shape[1], u[3])
        if not (1 - OUTER) * m <= n <= longest:
            return None  # too much of either would be missing
        upper = _held(arms[0], n) if n > m else _crop(arms, n / m, 0.5)[0, :n]
        return torch.stack([upper, legs[1]]), self._caption("while", key, other, u)

    def _then(self, key: Key, first: Tensor, caption: str, u: np.ndarray) -> tuple[Tensor, str] | None:
        """The clip of another action behind this one.

        Where both would be too long, they lose their outer ends, so that actions that do not repeat meet where they
        rest.
        """
        partner = self._partner("then", key, u)
        if partner is None:
            return None
        other, second = partner
        if self.rules[key[0]]["repeats"]:
            first = _crop(first, SMALLEST + (1 - SMALLEST) * u[2], u[3])
        if self.rules[other]["repeats"]:
            second = _crop(second, SMALLEST + (1 - SMALLEST) * u[1], u[7])
        excess = first.shape[1] + second.shape[1] - self.longest
        if excess > 0:
            spare = [self._spare(key[0], first.shape[1]), self._spare(other, second.shape[1])]
            if sum(spare) < excess:
                return None
            cut = min(spare[0], max(round(excess * spare[0] / sum(spare)), excess - spare[1]))
            first, second = first[:, cut:], second[:, : second.shape[1] - (excess - cut)]
        return torch.cat([first, second], dim=1), self._caption("then", key, other, u)

    def _repeat(self, key: Key, first: Tensor, caption: str, u: np.ndarray) -> tuple[Tensor, str] | None:
        """This clip, then one of the same action and caption (perhaps itself), cut to `longest` tokens together."""
        room = self.longest - first.shape[1]
        if room < SHORTEST or not self._repeats(key, caption):
            return None
        same = [other for other in self.clips[key] if caption in self.tokens.captions[other]]
        second = self._row(self._variant(int(same[int(u[4] * len(same))]), u[5]))
        return torch.cat([first, second[:, :room]], dim=1), caption

    def _repeats(self, key: Key, caption: str) -> bool:
        """Whether any piece of the clip shows its action and fits the caption."""
        return self.rules[key[0]]["repeats"] and not COUNTS.search(caption.lower())

    def _spare(self, action: str, length: int) -> int:
        """How many tokens may be cut off the outer end of a clip."""
        if self.rules[action]["repeats"]:
            return max(0, length - SHORTEST)
        return int(OUTER * length) if self.rules[action]["part"] == "arms" else 0

    def _partner(self, kind: str, key: Key, u: np.ndarray) -> tuple[str, Tensor] | None:
        """An action that goes with this one, and the tokens of a clip of it."""
        if (kind, key) not in self.partners:
            return None
        names, weights = self.partners[kind, key]
        other = names[int(draw_weighted(weights, torch.tensor(u[4])))]
        own = self.clips[other, key[1]]
        clip = own[int(draw_weighted(self.tokens.weights[own], torch.tensor(u[5])))]
        return other, self._row(self._variant(int(clip), u[6]))

    def _variant(self, clip: int, u: float) -> int:
        first, last = int(self.tokens.starts[clip]), int(self.tokens.starts[clip + 1])
        return first + int(u * (last - first))

    def _row(self, variant: int) -> Tensor:
        return self.tokens.tokens[variant, :, : int(self.tokens.lengths[variant])].long()

    def _caption(self, kind: str, key: Key, second: str, u: np.ndarray) -> str:
        texts, typed = self.captions[kind][f"{key[0]}|{second}"], self._typed_of(kind, key[0], second)
        chance = self.options.typed if typed else 0.0
        text = _pick(typed, u[8] / chance) if u[8] < chance else _pick(texts, (u[8] - chance) / (1 - chance))
        return mirror_text(text) if key[1] else text

    def _typed_of(self, kind: str, first: str, second: str) -> list[str]:
        """Sentences about two actions at once; of one after the other there are none, since users' texts are cut."""
        return self.typed.get(f"{first} while {second}", []) if kind == "while" else []

    def _typed_alone(self, key: Key, style: str | None) -> list[list[str]]:
        """Sentences about a clip's action alone: those that say nothing about a style, and those about its own."""
        return [own for name in (key[0], f"{key[0]}, {style}") if (own := self.typed.get(name))]


def _pick(options: list, u: float) -> Any:
    """The option at the ratio `u` of the list; a ratio that was computed may be rounded to 1."""
    return options[min(int(u * len(options)), len(options) - 1)]


def _key(name: str, clips: dict[str, str]) -> Key | None:
    """The action of a clip, and whether it is mirrored; None for a clip that is not composed."""
    if name in clips:
        return clips[name], False
    if name.startswith("M") and name[1:] in clips:
        return clips[name[1:]], True
    return None


def _crop(row: Int64[Tensor, "p n"], ratio: float, where: float) -> Int64[Tensor, "p _"]:
    """A piece with this ratio of the tokens (at least SHORTEST of them), `where` in [0, 1) saying from where."""
    length = row.shape[1]
    size = min(length, max(SHORTEST, round(ratio * length)))
    start = int(where * (length - size + 1))
    return row[:, start : start + size]


def _held(row: Int64[Tensor, " m"], length: int) -> Int64[Tensor, " _"]:
    """Arms that are lifted, held up for longer, and lowered: the tokens of the middle third, each several times."""
    m = len(row)
    third = m // 3
    middle = torch.linspace(third, m - third - 1, length - 2 * third).round().long()
    return row[torch.cat([torch.arange(third), middle, torch.arange(m - third, m)])]
