"""MMM, the class that a user holds: text in, motion out, and motions edited.

    model = MMM.from_pretrained()
    motion = model.generate("a person walks forward", length=120)
    motion.save("walk.gif")

The methods check what the user passed and call the module that does the work (`mmm.sampling`,
`mmm.editing`, `mmm.sequences`).
"""

from __future__ import annotations

import itertools
import json
import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.arguments import (
    check_text,
    check_texts,
    gaps_of,
    lengths_of,
    motion_of,
    seeds_of,
    texts_of,
)
from mmm.constraints import Reach, RootPath, check_free, missed, targets_of
from mmm.control import Control
from mmm.editing import Edit, edit, joint_groups
from mmm.editing_tasks import BODY_PARTS, frames_to_add, prepare
from mmm.errors import atomic_dir, read_json, require, short
from mmm.known_texts import FILE, KnownTexts
from mmm.motion import Motion, get_skeleton
from mmm.sampling import Filled, check_predicts_all, fill
from mmm.sampling_many import generate_many
from mmm.seams import BLEND
from mmm.sequences import TRANSITION, long_tokens, share, split_text, try_split
from mmm.text import TextEmbedding, TextEncoder, load_text_encoder
from mmm.tokenizer import Tokenizer, count_parameters
from mmm.tokenizer.model import check_decoded, decode_in_pieces
from mmm.transformer import MASK, LengthEstimator, MaskedTransformer

PRETRAINED = Path(__file__).resolve().parent.parent / "data" / "pretrained"
SHIPPED = PRETRAINED / "everyday-small"
MIN_FRAMES = 24  # the shortest clips of KIT-ML
FORMAT = "mmm-1"  # of a model folder


class MMM:
    """A text-to-motion model: tokenizer, masked transformer, length estimator, and the text encoder they expect.

    The options of all methods that sample are those of `mmm.sampling.fill`: steps, guidance, temperature, argmax, …

    Args:
        length: None for a model that cannot estimate lengths.
        info: the content of config.json: data, data_hash, licence, fps, skeleton, text_encoder, guidance.
        encoder: loaded when it is first used if not passed (this is most of the start-up time).
        known: captions that it has learned (`nearest_caption`, `Motion.note`); None for a model without them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        transformer: MaskedTransformer,
        length: LengthEstimator | None,
        info: dict[str, Any],
        encoder: TextEncoder | None = None,
        known: KnownTexts | None = None,
    ):
        require(
            torch.equal(tokenizer.codebook.cpu(), transformer.codebook.cpu()),
            "the transformer was trained with another tokenizer's codebook; give the tokenizer it was trained with.",
        )
        require(
            known is None or known.vectors.shape[1] == transformer.config.text_dim,
            f"{FILE} is of another text encoder than the transformer's; copy the model again, or delete it.",
        )
        skeleton, sizes = get_skeleton(info["skeleton"]), transformer.config
        require(
            tokenizer.config.features == skeleton.num_features,
            f"the tokenizer reads {tokenizer.config.features} features, but the skeleton {skeleton.name} has "
            f"{skeleton.num_features}; give parts that belong together.",
        )
        require(
            length is None
            or (length.config.text_dim == sizes.text_dim and length.config.max_tokens <= sizes.max_tokens),
            "the length estimator is of another text encoder than the transformer's, or estimates longer motions than "
            "it can make; train it for this model.",
        )
        self.tokenizer, self.transformer, self.length, self.info = tokenizer, transformer, length, info
        self._encoder, self.known = encoder, known

    # ------------------------------------------------------------------ on disk

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike = SHIPPED, device: str | torch.device = "cpu") -> MMM:
        """Load a model folder, or the `model` folder of a run; the shipped model by default.

        Args:
            folder: or the name of a shipped model ("everyday-small"), which is found from any folder.
        Raises:
            FileNotFoundError: the folder or a part of it is missing.
            ValueError: a file is damaged, or parts do not belong together.
        """
        folder = _find_model(Path(folder))
        has_length, has_known = (folder / "length").is_dir(), (folder / FILE).is_file()
        model = cls(
            Tokenizer.from_pretrained(folder / "tokenizer"),
            MaskedTransformer.from_pretrained(folder / "transformer"),
            LengthEstimator.from_pretrained(folder / "length") if has_length else None,
            _read_info(folder / "config.json"),
            known=KnownTexts.load(folder / FILE) if has_known else None,
        )
        return model.to(device)

    def save_pretrained(
        self, folder: str | os.PathLike, dtype: torch.dtype = torch.float16, card: str | None = None
    ) -> None:
        """Write a self-contained model folder: config.json, tokenizer/, transformer/, length/, Mean.npy, Std.npy,
        README.md, known.safetensors.

        Args:
            dtype: of the stored weights; float16 halves the files.
            card: text of the model card; by default a list of `info` and of the numbers of parameters.
        """
        with atomic_dir(folder, mark="config.json") as part:
            self.tokenizer.save_pretrained(part / "tokenizer", dtype)
            self.transformer.save_pretrained(part / "transformer", dtype)
            if self.length is not None:
                self.length.save_pretrained(part / "length", dtype)
            if self.known is not None:
                self.known.save(part / FILE)
            np.save(part / "Mean.npy", self.tokenizer.mean.cpu().numpy())
            np.save(part / "Std.npy", self.tokenizer.std.cpu().numpy())
            (part / "config.json").write_text(json.dumps({"format": FORMAT, **self.info}, indent=2) + "\n")
            (part / "README.md").write_text(card or self._short_card())

    def _short_card(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.count_parameters().items())
        facts = {**self.info, "parameters": counts}
        lines = [f"- {name}: {value}" for name, value in facts.items()]
        return "\n".join(["# A text-to-motion model (MMM)", "", *lines, ""])

    def count_parameters(self) -> dict[str, int]:
        """Parameters of each part and in total; the codebook is counted once, with the tokenizer."""
        counts = {
            "tokenizer": count_parameters(self.tokenizer)["total"],
            "transformer": sum(p.numel() for p in self.transformer.parameters()),
            "length": sum(p.numel() for p in self.length.parameters()) if self.length else 0,
        }
        return counts | {"total": sum(counts.values())}

    # ------------------------------------------------------------------ facts

    @property
    def device(self) -> torch.device:
        return self.transformer.device

    @property
    def max_frames(self) -> int:
        """Frames of the longest motion that one canvas holds."""
        return self.transformer.config.max_tokens * self.tokenizer.config.ratio

    @property
    def guidance(self) -> float:
        """The guidance that is used unless a call passes another one."""
        return self.info.get("guidance", 1.0)

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder, loaded at its first use. (`encode` turns a motion into tokens.)"""
        if self._encoder is None:
            encoder = load_text_encoder(self.info["text_encoder"], self.device)
            width = self.transformer.config.text_dim
            require(
                encoder.width == width,
                f"the text encoder {encoder.name} gives texts of width {encoder.width}, but the transformer reads "
                f"{width}; copy the model again.",
            )
            self._encoder = encoder
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
        length: Any = None,
        seed: numbers.Integral | Sequence[int] = 0,
        split: bool = True,
        constraints: Sequence[Reach | RootPath] = (),
        best_of: int = 1,
        **options: Any,
    ) -> Motion | list[Motion]:
        """A motion for a text, or a list of motions for a list of texts.

        The motion of a text that is far from everything learned, that the text encoder does not know or cuts off, or
        whose spelling was corrected, has a `note` that says so. A text with several actions
        ("a person walks, then waves") is cut (`mmm.sequences.split_text`), and each action gets a canvas of its own
        (`generate_long`): figures/composed has 47 of 52 pairs of actions right, and 22 of 52 in one canvas.

        Args:
            text: what the person does.
            length: frames (24 to 196 for each action); one, or one per text; None estimates them from the text. Several
                actions share the length in the ratio of their estimates.
            seed: item i of a list has seed + i; or one seed per text. The motion of an item depends only on its text,
                length and seed, not on the other items of the list.
            split: False gives a text one canvas, as in the paper, however many actions it has.
            constraints: where joints are to be, and the path of the root (`mmm.control`); they hold for each text.
            best_of: 1 to 64 candidates for each text; an evaluator chooses (`mmm.evaluation.best_of`).
            options: of `mmm.sampling.fill`: steps, guidance, temperature, argmax, schedule, group, precision.
        Raises:
            ValueError: an empty text, a number out of range, not as many lengths or seeds as texts; a model that
                predicts only the upper body, has no evaluator (best_of), or is damaged (`check_decoded`).
        """
        check_predicts_all(self.transformer.config)  # before a missing length estimator is complained about
        texts = [text] if isinstance(text, str) else list(text)
        plans = self.plan(texts, length, split)
        if best_of != 1:
            from mmm.evaluation import best_of as candidates

            how = {"split": split, "constraints": constraints}
            chosen = candidates.best_of(self, texts, best_of, length, seed, **how, **options)
            return chosen[0] if isinstance(text, str) else chosen
        seeds = seeds_of(seed, len(texts))
        embeddings = [self.embed(actions) for actions, _ in plans]
        frames = [
            self._share(embedded, total) for embedded, (_, total) in zip(embeddings, plans, strict=True)
        ]
        controls = [self._control(constraints, sum(counts)) for counts in frames]
        motions: list[Motion | None] = [None] * len(texts)
        alone = [item for item, counts in enumerate(frames) if len(counts) == 1]
        if alone:
            these, counts = [texts[item] for item in alone], [frames[item][0] for item in alone]
            embedding = TextEmbedding.stack([embeddings[item] for item in alone])
            own = [controls[item] for item in alone]
            steer = {"steer": lambda item, *rows: own[item].steer(*rows)} if constraints else {}
            filled = self._sample(embedding, counts, [seeds[item] for item in alone], options | steer)
            made = self.decode(filled.tokens, counts, these, own)
            for item, motion, note in zip(alone, made, self._notes(these, embedding), strict=True):
                motions[item], motion.note = motion, " ".join(filter(None, (note, motion.note)))
        for item, counts in enumerate(frames):
            if len(counts) > 1:
                actions = plans[item][0]
                own_options = options | {"seed": seeds[item], "control": controls[item]}
                motions[item] = self._long(actions, embeddings[item], counts, **own_options)
                motions[item].text = texts[item]
        return motions[0] if isinstance(text, str) else motions

    def sample(
        self,
        texts: Sequence[str],
        frames: Sequence[int],
        seed: numbers.Integral | Sequence[int] = 0,
        **options: Any,
    ) -> Filled:
        """Tokens for texts and lengths in frames: the empty canvases of `generate`, filled.

        With `trace=True` the result also holds every pass of the sampler. Raises ValueError as `generate` does.
        """
        check_predicts_all(self.transformer.config)
        frames = self.frame_counts(texts, list(frames))
        return self._sample(self.embed(texts), frames, seed, options)

    def _sample(
        self,
        text: TextEmbedding,
        frames: Sequence[int],
        seed: numbers.Integral | Sequence[int],
        options: dict[str, Any],
    ) -> Filled:
        canvas, lengths = self.empty_canvas(frames)
        options = {"guidance": self.guidance, **options}
        return fill(self.transformer, canvas, lengths, text, seeds=seeds_of(seed, len(text)), **options)

    def generate_bulk(
        self,
        text: TextEmbedding,
        frames: Sequence[int],
        seeds: Sequence[int],
        **options: Any,
    ) -> list[np.ndarray]:
        """Features (frames, D) of many motions, several times faster than one by one (`mmm.sampling_many`).

        Args:
            text: embeddings, one for each item (`embed`, or a `mmm.data.text_cache.TextCache`).
            frames, seeds: one for each item.
            options: of `mmm.sampling_many.generate_many`: batch_size, precision, progress, guidance, steps, …
        Raises:
            ValueError: as for `generate`.
        """
        self._check_frames(frames)
        options = {"guidance": self.guidance, **options}
        return generate_many(self.tokenizer, self.transformer, text, frames, seeds, **options)

    def generate_long(
        self,
        texts: str | Sequence[str],
        lengths: int | Sequence[int] | None = None,
        seed: int = 0,
        transition: int = TRANSITION,
        constraints: Sequence[Reach | RootPath] = (),
        **options: Any,
    ) -> Motion:
        """One motion of several actions, one after another; its total length is not limited.

        Args:
            texts: one for each action, or one text that is cut (`mmm.sequences.split_text`).
            lengths: frames of each action, 24 to 196, one or one per action; estimated by default.
            transition: tokens of 4 frames that are generated with both neighbours and both texts in sight. Half of them
                are taken from the end of one action, half from the start of the next.
            constraints: as for `generate`; frames count through all actions.
        Raises:
            ValueError: as for `generate`; transition is odd.
        """
        texts = split_text(self.read(texts)) if isinstance(texts, str) else list(texts)
        check_texts(texts)
        frames = None if lengths is None else self.frame_counts(texts, lengths)
        embedding = self.embed(texts)
        frames = frames or self._estimate(embedding.sentence)
        options = {"seed": int(seed), "transition": transition, **options}
        return self._long(texts, embedding, frames, self._control(constraints, sum(frames)), **options)

    def _long(
        self,
        texts: Sequence[str],
        embedding: TextEmbedding,
        frames: Sequence[int],
        control: Control | None = None,
        **options: Any,
    ) -> Motion:
        options = {"guidance": self.guidance, "ratio": self.tokenizer.config.ratio, **options}
        tokens, _ = long_tokens(self.transformer, embedding, frames, **options)
        if control:
            features = control.settle(tokens).cpu()
        else:
            features = decode_in_pieces(self.tokenizer, tokens, sum(frames))
            check_decoded(self.tokenizer, features, get_skeleton(self.info["skeleton"]).metres)
        motion = self._motion(features, ", then ".join(texts))
        off = [missed(control.targets, motion.joints)] if control else []
        motion.note = " ".join(filter(None, self._notes(texts, embedding) + off))
        motion.segments = list(zip(itertools.accumulate([0, *frames[:-1]]), texts, strict=True))
        return motion

    # ------------------------------------------------------------------ motion → motion

    def inbetween(
        self, motion: Any, frames: Any, text: str | Sequence[str] | None = None, seed: int = 0, **options: Any
    ) -> Motion:
        """The motion with some frames regenerated; the other frames come back as they were.

        Args:
            motion: a Motion, or what `mmm.bvh.capture.load_motion` returns, here and in the other edits.
            frames: (start, stop) of the gap, or several such pairs; frame `stop` is kept.
            text: what happens in the gaps, or a list with one text for each; without one only the kept frames decide.
        Raises:
            ValueError: a gap outside the clip, gaps that overlap, nothing kept, too few kept frames in a row; no text
                for a model that was never trained without one; not as many texts as gaps.
        """
        return self._edited(motion, frames, text=text, seed=seed, **options)

    def outpaint(
        self,
        motion: Any,
        length: Any,
        text: str | Sequence[str] | None = None,
        side: str = "after",
        seed: int = 0,
        **options: Any,
    ) -> Motion:
        """The motion, extended to `length` frames.

        Args:
            side: "after" its end, "before" its start, or "both" (half of the new frames each).
        Raises:
            ValueError: length is not above the motion's; another side; as for `inbetween`.
        """
        motion, (length,) = motion_of(motion), lengths_of(length, 1)
        before, after = frames_to_add(len(motion.features), length, side)
        return self._edited(motion, before=before, after=after, text=text, seed=seed, **options)

    def edit_upper_body(
        self, motion: Any, text: str | Sequence[str] | None, frames: Any = None, seed: int = 0, **options: Any
    ) -> Motion:
        """The motion with another upper body: legs, path and heading stay as they are, bit for bit.

        Args:
            text: what the upper body does.
            frames: where; everywhere by default.
        Raises:
            ValueError: a model without body parts; as for `inbetween`.
        """
        return self._edited(motion, frames, part="upper", text=text, seed=seed, **options)

    def edit_lower_body(
        self, motion: Any, text: str | Sequence[str] | None, frames: Any = None, seed: int = 0, **options: Any
    ) -> Motion:
        """The motion with other legs, path and heading; the upper body moves as before, on top of them.

        Raises:
            ValueError: as for `edit_upper_body`.
        """
        return self._edited(motion, frames, part="lower", text=text, seed=seed, **options)

    def edit(
        self,
        motion: Any,
        frames: Any = None,
        *,
        part: str = "whole",
        before: int = 0,
        after: int = 0,
        text: str | Sequence[str] | None = None,
        seed: int = 0,
        blend: int = BLEND,
        constraints: Sequence[Reach | RootPath] = (),
        **options: Any,
    ) -> Edit:
        """Any edit, with its canvas before and after sampling. The four methods above call it.

        Args:
            frames: gaps, (start, stop) each; without gaps a body part is regenerated in all frames.
            part: what is regenerated: the "whole", the "upper" or the "lower" body.
            before, after: frames to add before and after the motion.
            blend: frames over which the kept motion fades out in a gap.
            constraints: where regenerated joints are to be (`mmm.control`); here and in the four methods above.
        """
        motion, gaps = motion_of(motion), gaps_of(frames)
        self._check_edit(motion, part)
        features = torch.tensor(motion.features)
        features, kept = prepare(features, gaps, part, self.tokenizer.config.parts, before, after)
        texts = texts_of(text, gaps)
        condition = self.embed(texts) if texts else None
        options = {"guidance": self.guidance, "seed": int(seed), "blend": blend, **options}
        options["skeleton"] = self.info["skeleton"]
        if constraints:
            targets = targets_of(constraints, len(features), self.info["skeleton"], self.info["fps"])
            check_free(targets, self._kept_joints(kept))
            options["targets"] = targets
            options["shown"] = lambda result: self._edited_motion(result, kept, motion).joints
        return edit(self.tokenizer, self.transformer, features, kept, condition, **options)

    def _check_edit(self, motion: Motion, part: str) -> None:
        require(part in BODY_PARTS, f"part is {part!r}, expected one of {', '.join(BODY_PARTS)}.")
        require(
            part == "whole" or self.tokenizer.config.parts == 2,
            f"this model has no body parts (one code for the whole body), so the {part} body cannot be edited alone; "
            "take data/pretrained/everyday-small, or train a tokenizer with --parts 2.",
        )
        skeleton, fps = self.info["skeleton"], self.info["fps"]
        require(
            motion.skeleton == skeleton and motion.fps == fps,
            f"the motion is {motion.skeleton} at {motion.fps:g} frames per second, the model generates {skeleton} at "
            f"{fps:g}; convert the motion first (mmm import does).",
        )

    # ------------------------------------------------------------------ texts, tokens, lengths

    def embed(self, texts: Sequence[str]) -> TextEmbedding:
        """Text embeddings, from the text encoder (`encoder`), of the texts as the model reads them (`read`).

        Each text is encoded alone, so that batch mates cannot change its last bits.

        Raises:
            ValueError: a text is empty.
        """
        once = {text: self.encoder.encode([self.read(text)]) for text in dict.fromkeys(texts)}
        return TextEmbedding.stack([once[text] for text in texts]).to(self.device)

    def read(self, text: str) -> str:
        """`text` as the model reads it: misspelled words corrected, if the model knows its captions (`KnownTexts`)."""
        return text if self.known is None else self.known.corrected(text)

    def nearest_caption(self, text: str) -> tuple[str, float]:
        """The caption nearest to `text` that the model has learned, and their similarity: the cosine of sentences.

        Raises:
            ValueError: the text is empty; the model folder has no known.safetensors.
        """
        check_text(text)
        require(self.known is not None, f"this model has no {FILE}; train it again to know its captions.")
        return self.known.nearest(self.embed([text]).sentence)[0]

    def _notes(self, texts: Sequence[str], embedding: TextEmbedding) -> list[str]:
        """For each text: its corrected spelling, if any; then what the encoder does not know, or else what is far from
        all captions that the model has learned."""
        read = [self.read(text) for text in texts]
        corrected = ["" if a == b else f'"{a}" was read as "{b}".' for a, b in zip(texts, read, strict=True)]
        learned = [""] * len(texts) if self.known is None else self.known.notes(read, embedding.sentence)
        unknown = [a or b for a, b in zip(self.encoder.notes(read), learned, strict=True)]
        return [" ".join(filter(None, pair)) for pair in zip(corrected, unknown, strict=True)]

    def encode(self, motion: Motion) -> Int64[Tensor, "1 p n"]:
        """Tokens of a motion, from the tokenizer. (Texts go to the text encoder: `embed`.)"""
        features = torch.from_numpy(np.asarray(motion.features))[None].to(self.device)
        return self.tokenizer.encode(features)

    def decode(
        self,
        tokens: Int64[Tensor, "b p n"],
        frames: Sequence[int],
        texts: Sequence[str] | None = None,
        controls: Sequence[Control | None] | None = None,
    ) -> list[Motion]:
        """Motions of `frames` frames each. Each is decoded alone, so that batch mates do not matter.

        Args:
            controls: what brings each to its targets (`mmm.control`).
        Raises:
            ValueError: what no body does (`mmm.tokenizer.model.check_decoded`).
        """
        texts, controls = texts or [""] * len(frames), controls or [None] * len(frames)
        motions, unit = [], get_skeleton(self.info["skeleton"]).metres
        for row, count, text, control in zip(tokens, frames, texts, controls, strict=True):
            own = row[None, :, : -(-count // self.tokenizer.config.ratio)]
            if control:
                features = control.settle(own[0])
            else:
                features = self.tokenizer.decode(own, torch.tensor([count], device=own.device))[0, :count]
                check_decoded(self.tokenizer, features, unit)
            motion = self._motion(features.cpu(), text)
            motion.note = missed(control.targets, motion.joints) if control else ""
            motions.append(motion)
        return motions

    def _control(self, constraints: Sequence[Reach | RootPath], frames: int) -> Control | None:
        """What brings a motion of so many frames to its constraints; None without any."""
        if not constraints:
            return None
        targets = targets_of(constraints, frames, self.info["skeleton"], self.info["fps"])
        return Control(self.tokenizer, targets, lambda features: self._motion(features.cpu(), "").joints)

    def _motion(self, features: Tensor, text: str, **options: Any) -> Motion:
        return Motion.generated(features, self.info["fps"], text, self.info["skeleton"], **options)

    def _edited(
        self, motion: Any, frames: Any = None, *, text: str | Sequence[str] | None, **options: Any
    ) -> Motion:
        """`edit`, with the body of its source; kept joints that were captured stay as they are."""
        result = self.edit(motion, frames, text=text, **options)
        source, texts = motion_of(motion), texts_of(text, gaps_of(frames))
        motion = self._edited_motion(
            result.features, result.kept, source, ", then ".join(texts) or source.text
        )
        notes = self._notes(texts, self.embed(texts)) if texts else [source.note]
        if constraints := options.get("constraints"):
            targets = targets_of(constraints, len(motion), self.info["skeleton"], self.info["fps"])
            notes = [*notes, missed(targets, motion.joints)]
        motion.note = " ".join(filter(None, notes))
        return motion

    def _edited_motion(self, features: Tensor, kept: Tensor, source: Motion, text: str = "") -> Motion:
        captured = self._kept_joints(kept)
        if len(captured) == len(source.captured):
            captured &= source.captured
        else:  # frames were added: those of the source are the kept ones
            captured[captured.any(1)] = source.captured
        return self._motion(features, text, body=source.body, captured=captured)

    def _kept_joints(self, kept: Tensor) -> np.ndarray:
        """(P, T) kept parts → (T, J) kept joints."""
        skeleton = get_skeleton(self.info["skeleton"])
        joints = np.zeros((kept.shape[1], skeleton.num_joints), bool)
        for row, part in zip(kept, joint_groups(len(kept), skeleton), strict=True):
            joints[:, part] = row[:, None]
        return joints

    def empty_canvas(self, frames: Sequence[int]) -> tuple[Int64[Tensor, "b p n"], Int64[Tensor, " b"]]:
        """Canvases that are all MASK, and their lengths in tokens, for lengths in frames."""
        lengths = -(-torch.tensor(list(frames)) // self.tokenizer.config.ratio)
        shape = (len(lengths), self.transformer.config.parts, int(lengths.max()))
        return torch.full(shape, MASK, device=self.device), lengths.to(self.device)

    def estimate_length(
        self, text: str | Sequence[str], rule: str = "median", seed: numbers.Integral = 0
    ) -> int | list[int]:
        """Length in frames, at least MIN_FRAMES.

        Args:
            rule: "median", "argmax" or "draw", see `LengthEstimator.estimate`.
            seed: of "draw"; item i of a list has seed + i.
        Raises:
            ValueError: the model has no length estimator; an unknown rule.
        """
        texts = [text] if isinstance(text, str) else list(text)
        seeds = [int(seed) + i for i in range(len(texts))] if rule == "draw" else None
        frames = self._estimate(self.embed(texts).sentence, rule, seeds)
        return frames[0] if isinstance(text, str) else frames

    def _estimate(
        self, sentence: Float[Tensor, "b e"], rule: str = "median", seeds: Sequence[int] | None = None
    ) -> list[int]:
        require(self.length is not None, "this model has no length estimator; give a length in frames.")
        tokens = self.length.estimate(sentence, rule, seeds)
        return [max(MIN_FRAMES, int(n) * self.tokenizer.config.ratio) for n in tokens]

    def frame_counts(self, texts: Sequence[str], length: Any) -> list[int]:
        """The length of each text's motion in frames, estimated if `length` is None.

        Raises:
            ValueError: an empty text, a length that is no whole number or out of range, not as many lengths as texts.
        """
        check_texts(texts)
        if length is None:
            return self.estimate_length(texts)
        frames = lengths_of(length, len(texts))
        self._check_frames(frames)
        return frames

    def plan(
        self, texts: Sequence[str], length: Any = None, split: bool = True
    ) -> list[tuple[list[str], int | None]]:
        """For each text of `generate` its actions, as the model reads them, and the frames of all of them together.

        Actions share one canvas where these frames are too few for all of them. Where the frames are None, the
        estimates decide (`_share`). This needs no text encoder.

        Raises:
            ValueError: as for `generate`.
        """
        check_texts(texts)
        totals = [None] * len(texts) if length is None else lengths_of(length, len(texts))
        plans = []
        for text, total in zip(texts, totals, strict=True):
            read = self.read(text)
            actions = try_split(read) if split else [read]
            fits = total is None or MIN_FRAMES <= total / len(actions) <= self.max_frames
            if len(actions) == 1 or not fits:
                actions = [read]
                self._check_frames([] if total is None else [total])
            plans.append((actions, total))
        return plans

    def _share(self, embedding: TextEmbedding, total: int | None) -> list[int]:
        """The frames of each action of a text: as estimated, or `total` in the ratio of the estimates."""
        if len(embedding) == 1 and total is not None:
            return [total]
        # without an estimator all actions are equally long
        equal = total is not None and self.length is None
        estimated = [1] * len(embedding) if equal else self._estimate(embedding.sentence)
        return estimated if total is None else share(total, estimated, MIN_FRAMES, self.max_frames)

    def _check_frames(self, frames: Sequence[int]) -> None:
        for n in frames:
            require(
                MIN_FRAMES <= n <= self.max_frames,
                f"length is {n} frames, expected {MIN_FRAMES} to {self.max_frames} ({self.info['fps']:g} per second)"
                + ("; longer motions need several texts: generate_long." if n > MIN_FRAMES else "."),
            )


def _find_model(folder: Path) -> Path:
    """`folder`, a shipped model's if that is its name, or the `model` folder of a run.

    Raises:
        FileNotFoundError: it is missing, or a part of it.
    """
    shipped = PRETRAINED / folder.name
    if len(folder.parts) == 1 and not folder.exists() and (shipped / "config.json").is_file():
        folder = shipped
    if (folder / "model" / "transformer").is_dir():
        folder = folder / "model"
    for needed in (folder, folder / "config.json", folder / "tokenizer", folder / "transformer"):
        require(
            needed.exists(),
            f"there is no {needed}; give a model folder as `mmm train transformer` writes it"
            f"{_shipped_names()}.",
            FileNotFoundError,
        )
    return folder


def _shipped_names() -> str:
    names = sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))
    return f", or the name of a shipped model: {', '.join(names)}" if names else ""


def _read_info(path: Path) -> dict[str, Any]:
    """The facts of config.json; ValueError if it is not valid JSON, incomplete, of another format, or a value cannot be
    used."""
    remedy = "copy the model again"
    info = read_json(path, remedy)
    missing = [name for name in ("text_encoder", "fps", "skeleton") if name not in info]
    require(not missing, f"{path} lacks {', '.join(missing)}; {remedy}.")
    found = info.setdefault("format", FORMAT)
    require(
        found == FORMAT, f"{path} has format {found!r}, expected {FORMAT}; update this package, or {remedy}."
    )
    for name, (low, high) in {"fps": (1, 1000), "guidance": (0, 1000)}.items():
        number = info.get(name, 1.0)
        require(
            type(number) in (int, float) and low <= number <= high,
            f"{path} says {name} {short(repr(number))}, expected {low} to {high}; {remedy}.",
        )
    for name in ("text_encoder", "skeleton", "data", "licence", "splits_hash"):
        require(isinstance(info.get(name, ""), str), f"{path}: the {name} is no text; {remedy}.")
    get_skeleton(info["skeleton"])
    return info
