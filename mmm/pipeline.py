"""MMM: the one class a user holds. Text in, motion out; loading, saving, and nothing that a room below does."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mmm.editing.methods import EditingMethods
from mmm.errors import atomic_dir, require
from mmm.model_folder import find_model, read_info, short_card, write_info
from mmm.motion import Motion
from mmm.sampling import Filled, check_predicts_all, fill, generate_many
from mmm.text import TextEmbedding, TextEncoder, load_text_encoder
from mmm.tokenizer import Tokenizer
from mmm.transformer import MASK, LengthEstimator, MaskedTransformer

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
            options: steps, guidance, temperature, argmax, schedule, group: see `mmm.sampling.fill`.
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
