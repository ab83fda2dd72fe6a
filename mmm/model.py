"""MMM: the one class a user holds. Text in, motion out; loading, saving, and nothing that a room below does.

A model folder: what holds the trained parts of a model together, its config.json and its card.

The editing methods of `mmm.MMM`: motions in, motions out.
"""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mmm.editing import TRANSITION, Edit, edit, extend, keep_outside, long_tokens, room, split_text
from mmm.errors import atomic_dir, require
from mmm.motion import Motion, get_skeleton
from mmm.sampling import Filled, check_predicts_all, fill, generate_many
from mmm.seams import BLEND
from mmm.text import TextEmbedding, TextEncoder, load_text_encoder
from mmm.tokenizer import Tokenizer
from mmm.tokenizer.model import decode_in_pieces
from mmm.transformer import MASK, LengthEstimator, MaskedTransformer

if TYPE_CHECKING:
    from mmm.motion import Motion

NEEDED = ("text_encoder", "fps", "skeleton")


def find_model(folder: str | os.PathLike) -> Path:
    """The model folder itself: `folder`, or the `model` folder of a run.

    Raises:
        FileNotFoundError: the folder or a part of it is missing.
    """
    folder = Path(folder)
    if (folder / "model" / "transformer").is_dir():
        folder = folder / "model"
    for needed in (folder, folder / "config.json", folder / "tokenizer", folder / "transformer"):
        require(
            needed.exists(),
            f"there is no {needed}; give a model folder as `mmm train transformer` writes it.",
            FileNotFoundError,
        )
    return folder


def read_info(folder: Path) -> dict[str, Any]:
    """What config.json says of the model as a whole: data, licence, fps, skeleton, text_encoder, guidance.

    Raises:
        ValueError: it is no JSON, lacks what every model has, or names a skeleton that is not known.
    """
    path = folder / "config.json"
    try:
        info = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); copy the model again.") from error
    missing = [name for name in NEEDED if name not in info]
    require(not missing, f"{path} lacks {', '.join(missing)}; copy the model again.")
    get_skeleton(info["skeleton"])
    return info


def write_info(folder: Path, info: Mapping[str, Any], card: str) -> None:
    """Write config.json and README.md, the model card."""
    (folder / "config.json").write_text(json.dumps({"format": "mmm-1", **info}, indent=2) + "\n")
    (folder / "README.md").write_text(card)


def short_card(info: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """A model card with the facts and nothing else. counts: weights of each part."""
    lines = [f"- {name}: {value}" for name, value in info.items()]
    weights = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return "\n".join(["# A text-to-motion model (MMM)", "", *lines, f"- parameters: {weights}", ""])


BODY_PARTS = ("whole", "upper", "lower")


class EditingMethods:
    """What `MMM` inherits. Options of all methods are those of `mmm.sampling`: steps, guidance, temperature, …"""

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
            texts: one an action, or one text that is cut at every "then" (`mmm.editing.split_text`).
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
        features = decode_in_pieces(self.tokenizer, tokens, sum(frames))
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
        require(part in BODY_PARTS, f"part is {part!r}, expected one of {', '.join(BODY_PARTS)}.")
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
        from mmm.motion import Motion

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


PRETRAINED = Path(__file__).resolve().parent.parent / "data" / "pretrained"
SHIPPED = PRETRAINED / "bandai-small"
MIN_FRAMES = 24  # KIT-ML's shortest clips; below, six tokens could not say much
PARTS = ("tokenizer", "transformer", "length")


class MMM(EditingMethods):
    """A text-to-motion model: tokenizer, masked transformer, length estimator, and the text encoder they expect.

    Args:
        info: what `config.json` holds: data, data_hash, licence, fps, skeleton, text_encoder, guidance.
        encoder: loaded on first use if not given (that is most of the start-up time).
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        transformer: MaskedTransformer,
        length: LengthEstimator | None,
        info: dict[str, Any],
        encoder: TextEncoder | None = None,
    ):
        require(
            torch.equal(tokenizer.codebook.cpu(), transformer.codebook.cpu()),
            "the transformer was trained with another tokenizer's codebook; give the tokenizer it was trained with.",
        )
        self.tokenizer, self.transformer, self.length, self.info = tokenizer, transformer, length, info
        self._encoder = encoder

    @property
    def device(self) -> torch.device:
        return self.transformer.device

    @property
    def max_frames(self) -> int:
        """The longest motion one canvas holds."""
        return self.transformer.config.max_tokens * self.tokenizer.config.ratio

    @property
    def encoder(self) -> TextEncoder:
        if self._encoder is None:
            self._encoder = load_text_encoder(self.info["text_encoder"], self.device)
        return self._encoder

    def to(self, device: str | torch.device) -> MMM:
        """Move all parts; returns the model itself."""
        for part in (self.tokenizer, self.transformer, self.length):
            if part is not None:
                part.to(device)
        if self._encoder is not None:
            self._encoder.model.to(device)
        return self

    # ------------------------------------------------------------------ text → motion

    def generate(
        self,
        text: str | Sequence[str],
        length: numbers.Integral | Sequence[int] | None = None,
        seed: numbers.Integral | Sequence[int] = 0,
        **options: Any,
    ) -> Motion | list[Motion]:
        """Motion for a text, or a list of motions for a list of texts.

        Args:
            text: what the person does.
            length: frames (24 to 196), one or one per text; None lets the length estimator decide.
            seed: item i of a list has seed + i; or one seed per text. The result of an item depends on its text,
                length and seed alone, not on what else is in the list.
            options: steps, guidance, temperature, argmax, schedule, group: see `mmm.sampling`.
        Raises:
            ValueError: an empty text, a length out of range, not as many lengths or seeds as texts; a model that
                predicts only the upper body.
        """
        check_predicts_all(self.transformer.config)  # before the texts are looked at
        texts = [text] if isinstance(text, str) else list(text)
        frames = self.frame_counts(texts, length)
        filled = self.sample(texts, frames, seed, **options)
        motions = self.decode(filled.tokens, frames, texts)
        return motions[0] if isinstance(text, str) else motions

    def generate_bulk(
        self,
        text: TextEmbedding,
        frames: Sequence[int],
        seeds: Sequence[int],
        *,
        batch_size: int = 32,
        precision: str = "auto",
        progress: bool = False,
        **options: Any,
    ) -> list[np.ndarray]:
        """Features (frames, D) of many motions, several times faster than one by one: `mmm.sampling.generate_many`.

        Args:
            text: embeddings, one an item (`embed`, or a `mmm.text.TextCache`).
            frames, seeds: one an item. options: as for `generate`.
        Raises:
            ValueError: a length out of range; texts, frames and seeds not equally many; a model that predicts
                only the upper body.
        """
        self._check_frames(frames)
        options = {"guidance": self.info.get("guidance", 1.0), **options}
        how = {"batch_size": batch_size, "precision": precision, "progress": progress}
        return generate_many(self.tokenizer, self.transformer, text, frames, seeds, **how, **options)

    def sample(
        self,
        texts: Sequence[str],
        frames: Sequence[int],
        seed: numbers.Integral | Sequence[int] = 0,
        **options: Any,
    ) -> Filled:
        """Tokens for texts and lengths in frames: the empty canvases of `generate`, filled.

        With `trace=True` the result also holds every step of the sampler. Raises ValueError as `generate` does.
        """
        check_predicts_all(self.transformer.config)
        canvas, lengths = self.empty_canvas(self.frame_counts(texts, list(frames)))
        seeds = (
            [int(seed) + i for i in range(len(texts))] if isinstance(seed, numbers.Integral) else list(seed)
        )
        require(
            len(seeds) == len(texts),
            f"{len(seeds)} seeds for {len(texts)} texts; give one seed, or one per text.",
        )
        options = {"guidance": self.info.get("guidance", 1.0), **options}
        return fill(self.transformer, canvas, lengths, self.embed(texts), seeds=seeds, **options)

    def empty_canvas(self, frames: Sequence[int]) -> tuple[Int64[Tensor, "b p n"], Int64[Tensor, " b"]]:
        """Canvases that are all MASK, and their lengths in tokens, for lengths in frames."""
        lengths = -(-torch.tensor(list(frames)) // self.tokenizer.config.ratio)
        shape = (len(lengths), self.transformer.config.parts, int(lengths.max()))
        return torch.full(shape, MASK, device=self.device), lengths.to(self.device)

    def embed(self, texts: Sequence[str]) -> TextEmbedding:
        """Text embeddings, each text encoded alone so that batch mates cannot change its last bits.

        Raises:
            ValueError: a text is empty.
        """
        return TextEmbedding.stack([self.encoder.encode([text]) for text in texts]).to(self.device)

    def encode(self, motion: Motion) -> Int64[Tensor, "1 p n"]:
        """Tokens of a motion."""
        features = torch.from_numpy(np.asarray(motion.features))[None].to(self.device)
        return self.tokenizer.encode(features)

    def decode(
        self, tokens: Int64[Tensor, "b p n"], frames: Sequence[int], texts: Sequence[str] | None = None
    ) -> list[Motion]:
        """Motions of `frames` frames each from tokens; a clip is decoded alone, so that its mates do not matter."""
        texts = texts or [""] * len(frames)
        motions = []
        for row, count, text in zip(tokens, frames, texts, strict=True):
            own = row[None, :, : -(-count // self.tokenizer.config.ratio)]
            features = self.tokenizer.decode(own, torch.tensor([count], device=own.device))[0, :count]
            motions.append(
                Motion(
                    features.cpu().numpy(), fps=self.info["fps"], text=text, skeleton=self.info["skeleton"]
                )
            )
        return motions

    def estimate_length(
        self, text: str | Sequence[str], rule: str = "median", seed: numbers.Integral = 0
    ) -> int | list[int]:
        """Length in frames, at least MIN_FRAMES.

        Args:
            rule: "median", "argmax" or "draw", see `LengthEstimator.estimate`.
            seed: of the draws; item i of a list has seed + i.
        Raises:
            ValueError: the model has no estimator; an unknown rule.
        """
        require(self.length is not None, "this model has no length estimator; give a length in frames.")
        texts = [text] if isinstance(text, str) else list(text)
        seeds = [int(seed) + i for i in range(len(texts))] if rule == "draw" else None
        tokens = self.length.estimate(self.embed(texts).sentence, rule, seeds)
        frames = [max(MIN_FRAMES, int(n) * self.tokenizer.config.ratio) for n in tokens]
        return frames[0] if isinstance(text, str) else frames

    def frame_counts(
        self, texts: Sequence[str], length: numbers.Integral | Sequence[int] | None
    ) -> list[int]:
        """Length of each text's motion, estimated where `length` is None.

        Raises:
            ValueError: an empty text, a length out of range, not as many lengths as texts.
        """
        require(len(texts) > 0, "no text was given; say what the person does.")
        for text in texts:
            require(
                isinstance(text, str) and text.strip(),
                f"the text {text!r} is empty; say what the person does.",
            )
        if length is None:
            return self.estimate_length(texts)
        frames = (
            [int(length)] * len(texts) if isinstance(length, numbers.Integral) else [int(n) for n in length]
        )
        require(
            len(frames) == len(texts),
            f"{len(frames)} lengths for {len(texts)} texts; give one, or one per text.",
        )
        self._check_frames(frames)
        return frames

    def _check_frames(self, frames: Sequence[int]) -> None:
        for n in frames:
            require(
                MIN_FRAMES <= n <= self.max_frames,
                f"length is {n} frames, expected {MIN_FRAMES} to {self.max_frames} ({self.info['fps']:g} per second)"
                + ("; longer motions are made of several texts: generate_long." if n > MIN_FRAMES else "."),
            )

    # ------------------------------------------------------------------ on disk

    def save_pretrained(
        self, folder: str | os.PathLike, dtype: torch.dtype = torch.float16, card: str | None = None
    ) -> None:
        """Write a self-contained model folder: config.json, tokenizer/, transformer/, length/, Mean, Std, README.md.

        Args:
            dtype: of the stored weights; float16 halves the files.
            card: text of the model card; a short one is written if none is given.
        """
        with atomic_dir(folder, mark="config.json") as part:
            self.tokenizer.save_pretrained(part / "tokenizer", dtype)
            self.transformer.save_pretrained(part / "transformer", dtype)
            if self.length is not None:
                self.length.save_pretrained(part / "length", dtype)
            np.save(part / "Mean.npy", self.tokenizer.mean.cpu().numpy())
            np.save(part / "Std.npy", self.tokenizer.std.cpu().numpy())
            write_info(part, self.info, card or short_card(self.info, self.count_parameters()))

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike = SHIPPED, device: str | torch.device = "cpu") -> MMM:
        """Load a model folder, or the `model` folder of a run; the shipped model by default.

        Raises:
            FileNotFoundError: the folder or a part of it is missing.
            ValueError: a file is damaged, or parts do not belong together.
        """
        folder = find_model(folder)
        info = read_info(folder)
        length = LengthEstimator.from_pretrained(folder / "length") if (folder / "length").is_dir() else None
        model = cls(
            Tokenizer.from_pretrained(folder / "tokenizer"),
            MaskedTransformer.from_pretrained(folder / "transformer"),
            length,
            info,
        )
        return model.to(device)

    def count_parameters(self) -> dict[str, int]:
        """Weights of each part and in all; the codebook is counted once, with the tokenizer."""
        counts = {
            "tokenizer": sum(p.numel() for p in self.tokenizer.parameters()) + self._codebook_buffers(),
            "transformer": sum(p.numel() for p in self.transformer.parameters()),
            "length": sum(p.numel() for p in self.length.parameters()) if self.length else 0,
        }
        return counts | {"total": sum(counts.values())}

    def _codebook_buffers(self) -> int:
        trained = any(name.endswith("codebook") for name, _ in self.tokenizer.named_parameters())
        return 0 if trained else self.tokenizer.codebook.numel()
