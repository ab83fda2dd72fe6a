"""The editing methods of `mmm.MMM`: motions in, motions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmm.editing.canvas import keep_outside
from mmm.editing.edits import Edit, edit, extend, room
from mmm.editing.long import TRANSITION, long_tokens, split_text
from mmm.editing.seams import BLEND
from mmm.errors import require
from mmm.text import TextEmbedding
from mmm.tokenizer import Tokenizer
from mmm.tokenizer.pieces import decode_in_pieces
from mmm.transformer import MaskedTransformer

if TYPE_CHECKING:
    from mmm.motion import Motion

PARTS = ("whole", "upper", "lower")


class EditingMethods:
    """What `MMM` inherits. Options of all methods are those of `mmm.sampling.fill`: steps, guidance, temperature, …"""

    tokenizer: Tokenizer
    transformer: MaskedTransformer
    info: dict[str, Any]

    def inbetween(
        self,
        motion: Motion,
        frames: Any,
        text: str | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Motion:
        """The motion with some frames made anew; the others come back as they were.

        Args:
            frames: (first, behind the last) of the gap, or several such pairs.
            text: what happens there; None goes by the kept frames alone.
        Raises:
            ValueError: a gap outside the clip, gaps that overlap, nothing kept, kept stretches too short to be seen; no
                text for a model that was never trained without one.
        """
        return self._motion(self.edit(motion, frames, text=text, seed=seed, **options), text or motion.text)

    def outpaint(
        self,
        motion: Motion,
        length: int,
        text: str | None = None,
        side: str = "after",
        seed: int = 0,
        **options: Any,
    ) -> Motion:
        """The motion, led on to `length` frames.

        Args:
            side: "after" its end, "before" its start, or "both" (equally much).
        Raises:
            ValueError: length is not above the motion's; another side; as for `inbetween`.
        """
        before, after = room(len(motion.features), length, side)
        made = self.edit(motion, before=before, after=after, text=text, seed=seed, **options)
        return self._motion(made, text or motion.text)

    def edit_upper_body(
        self,
        motion: Motion,
        text: str | None,
        frames: Any = None,
        seed: int = 0,
        **options: Any,
    ) -> Motion:
        """The motion with another upper body: legs, path and heading stay as they are, to the bit.

        Args:
            text: what the upper body does.
            frames: where; everywhere by default.
        Raises:
            ValueError: a model without body parts; as for `inbetween`.
        """
        made = self.edit(motion, frames, part="upper", text=text, seed=seed, **options)
        return self._motion(made, text or motion.text)

    def edit_lower_body(
        self,
        motion: Motion,
        text: str | None,
        frames: Any = None,
        seed: int = 0,
        **options: Any,
    ) -> Motion:
        """The motion with other legs, path and heading; the upper body moves as before and rides on them.

        Raises:
            ValueError: as for `edit_upper_body`.
        """
        made = self.edit(motion, frames, part="lower", text=text, seed=seed, **options)
        return self._motion(made, text or motion.text)

    def generate_long(
        self,
        texts: str | Sequence[str],
        lengths: int | Sequence[int] | None = None,
        seed: int = 0,
        transition: int = TRANSITION,
        **options: Any,
    ) -> Motion:
        """One action after the other, of any length in all.

        Args:
            texts: one an action, or one text that is cut at every "then" (`mmm.editing.long.split_text`).
            lengths: frames of each, 24 to 196, one or one per action; estimated by default.
            transition: tokens of 4 frames that are made with both neighbours and both texts in sight, half of them
                taken from the end of one action, half from the start of the next.
        Raises:
            ValueError: as for `generate`; an odd transition.
        """
        texts = split_text(texts) if isinstance(texts, str) else list(texts)
        frames = self.frame_counts(texts, lengths)
        options = {"guidance": self.info.get("guidance", 1.0), **options}
        how = {"ratio": self.tokenizer.config.ratio, "seed": int(seed), "transition": transition, **options}
        tokens, _ = long_tokens(self.transformer, self.embed(texts), frames, **how)
        features = torch.cat([piece.cpu() for piece in decode_in_pieces(self.tokenizer, tokens, sum(frames))])
        return self._of(features, ", then ".join(texts))

    def edit(
        self,
        motion: Motion,
        frames: Any = None,
        *,
        part: str = "whole",
        before: int = 0,
        after: int = 0,
        text: str | None = None,
        seed: int = 0,
        blend: int = BLEND,
        **options: Any,
    ) -> Edit:
        """Any edit, with its canvas before and after: what the methods above call.

        Args:
            frames: gaps; without any, the whole clip of one body part.
            part: what is made anew there: "whole", "upper" or "lower" body.
            before, after: frames that are put before and behind the motion.
            blend: frames of a gap in which what was kept fades out.
        """
        features, kept = self._asked(motion, frames, part, before, after)
        if text is None:
            require(
                self.transformer.config.text_dropout > 0,
                "this model has never been trained without a text, so it needs one: say what the person does.",
            )
            told, options = self._no_text(), {**options, "guidance": 0.0}
        else:
            require(
                bool(text.strip()), f"the text {text!r} is empty; say what the person does, or leave it away."
            )
            told, options = self.embed([text]), {"guidance": self.info.get("guidance", 1.0), **options}
        how = {"seed": int(seed), "blend": blend, "skeleton": self.info["skeleton"], **options}
        return edit(self.tokenizer, self.transformer, features, kept, told, **how)

    def _asked(self, motion: Motion, frames: Any, part: str, before: int, after: int) -> tuple:
        """Features with room for what is added, and what of them is kept (P, T)."""
        parts = self.tokenizer.config.parts
        require(part in PARTS, f"part is {part!r}, expected one of {', '.join(PARTS)}.")
        require(
            part == "whole" or parts == 2,
            f"this model has no body parts (one code stands for the whole body), so the {part} body cannot be edited "
            "alone; take data/pretrained/bandai-small, or train a tokenizer with --parts 2.",
        )
        require(
            motion.skeleton == self.info["skeleton"] and motion.fps == self.info["fps"],
            f"the motion is {motion.skeleton} at {motion.fps:g} frames per second, the model makes "
            f"{self.info['skeleton']} at {self.info['fps']:g}; bring the motion to that first (mmm import does).",
        )
        features, gaps = torch.tensor(motion.features), _pairs(frames)
        if before or after:
            require(
                part == "whole" and not gaps,
                "frames are added to the whole body, and without gaps in the rest; make two edits of it.",
            )
            features, kept = extend(features, before, after)
        elif not gaps:
            require(
                part != "whole", "no gap was given; say which frames are to be made anew, such as 40 to 80."
            )
            kept = torch.zeros(len(features), dtype=torch.bool)
        else:
            whole_clip = part != "whole" and gaps == [(0, len(features))]
            kept = torch.zeros(len(features)).bool() if whole_clip else keep_outside(len(features), gaps)
        rows = torch.stack([kept] * parts)
        if part != "whole":
            rows[1 if part == "upper" else 0] = True
        return features, rows

    def _no_text(self) -> TextEmbedding:
        """A placeholder: with guidance 0 the model never looks at it."""
        width, device = self.transformer.config.text_dim, self.transformer.device
        words = torch.zeros(1, 1, width, device=device)
        return TextEmbedding(words, torch.ones(1, 1, dtype=torch.bool, device=device), words[:, 0])

    def _motion(self, made: Edit, text: str) -> Motion:
        return self._of(made.features, text)

    def _of(self, features: torch.Tensor, text: str) -> Motion:
        from mmm.motion import Motion  # it draws, so it needs matplotlib

        return Motion(features, fps=self.info["fps"], text=text, skeleton=self.info["skeleton"])


def _pairs(frames: Any) -> list[tuple[int, int]]:
    """Gaps as pairs, from one pair or several, in any kind of sequence or array; none from None."""
    if frames is None or (hasattr(frames, "__len__") and len(frames) == 0):
        return []
    try:
        pairs = np.asarray(frames)
    except ValueError:  # ragged
        pairs = np.zeros(0)
    require(
        pairs.dtype.kind in "iu" and pairs.ndim in (1, 2) and pairs.shape[-1] == 2,
        f"frames is {frames!r}, expected (first, behind the last) of a gap, in whole numbers, or a list of such pairs.",
    )
    return [(int(start), int(stop)) for start, stop in pairs.reshape(-1, 2)]
