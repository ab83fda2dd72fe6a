"""A baseline behind the interface of `MMM`, so that all evaluations of the package take it; and its training."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml

from mmm.data import MotionFolder
from mmm.data.typos import with_variants
from mmm.editing import Edit, encode_kept, join_features, next_frame_indices
from mmm.editing_tasks import prepare
from mmm.errors import require
from mmm.fit import make_composer, resolve
from mmm.lab.baselines import autoregressive, diffusion
from mmm.lab.baselines.frames import RATIO, frame_set
from mmm.model import MIN_FRAMES, MMM
from mmm.motion import Motion
from mmm.pretrained import fingerprint
from mmm.recipes import get_recipe, training
from mmm.sampling_many import decode_many
from mmm.text import TextEmbedding
from mmm.training.data import (
    balanced_weights,
    captions_source,
    facts,
    has_mirrored,
    held_out_clips,
    token_sets,
)
from mmm.training.launch import main_process_first
from mmm.training.loop import TrainResult
from mmm.training.processes import resolve_precision
from mmm.transformer import MASK

Kind = Literal["autoregressive", "diffusion"]
NETWORKS = {"autoregressive": autoregressive.Autoregressive, "diffusion": diffusion.Denoiser}


class Baseline(MMM):
    """A model folder with another network in the place of its masked transformer.

    Args:
        whole: the model; tokenizer, texts and facts are taken from it.
        sampler: of diffusion, "ddim" or "ddpm". steps: of diffusion, unless a call says another number.
        own_end: the autoregressive model ends where it says END, whatever length is requested.
    """

    def __init__(
        self,
        whole: MMM,
        network: autoregressive.Autoregressive | diffusion.Denoiser,
        *,
        guidance: float | None = None,
        sampler: diffusion.Sampler = "ddim",
        steps: int = 50,
        own_end: bool = False,
    ):
        self.tokenizer, self.length, self.known = whole.tokenizer, whole.length, whole.known
        self.transformer, self.sampler, self.steps, self.own_end = network, sampler, steps, own_end
        self.tokens = isinstance(network, autoregressive.Autoregressive)
        if guidance is None:
            guidance = 1.0 if self.tokens else 2.5
        self.info = {**whole.info, "guidance": guidance if network.config.text_dropout else 1.0}
        self._encoder = whole.encoder
        require(
            not self.tokens or torch.equal(whole.tokenizer.codebook.cpu(), network.codebook.cpu()),
            "the autoregressive model was trained with another tokenizer's codebook; give the model folder it was "
            "trained with.",
        )

    def generate_bulk(
        self,
        text: TextEmbedding,
        frames: Sequence[int],
        seeds: Sequence[int],
        *,
        batch_size: int = 32,
        precision: str = "auto",
        **options: Any,
    ) -> list[np.ndarray]:
        """As `MMM.generate_bulk`. Options: guidance, steps (diffusion), temperature (autoregressive).

        The other options of the masked sampler (remask, …) mean nothing here.
        """
        self._check_frames(frames)
        bf16 = resolve_precision(precision, self.device) == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            made = self._sampled(text, frames, seeds, batch_size, options, self.own_end)
        return decode_many(self.tokenizer, *made) if self.tokens else made

    def _sampled(
        self,
        text: TextEmbedding,
        frames: Sequence[int],
        seeds: Sequence[int],
        group: int,
        options: dict[str, Any],
        own_end: bool = False,
        **more: Any,
    ) -> Any:
        """Features of each item; of the autoregressive model tokens and frames of each item.

        Args:
            more: `prefixes` or `known`.
        """
        guidance = options.get("guidance")
        how = {"guidance": self.guidance if guidance is None else guidance, "group": group, **more}
        if not self.tokens:
            how |= {"sampler": self.sampler, "steps": options.get("steps") or self.steps}
            return diffusion.denoise(self.transformer, text, frames, seeds, **how)
        ratio = self.tokenizer.config.ratio
        lengths = None if own_end else [-(-n // ratio) for n in frames]
        how |= {"temperature": options.get("temperature", 1.0), "shortest": MIN_FRAMES // ratio}
        tokens = autoregressive.sample(self.transformer, text, seeds, lengths, **how)
        return tokens, [row.shape[1] * ratio for row in tokens] if own_end else list(frames)

    def generate(self, text: str, length: int | None = None, seed: int = 0, **options: Any) -> Motion:
        """One motion for one text, in float32, in one canvas, decoded alone."""
        frames = self.frame_counts([text], length)
        made = self._sampled(self.embed([text]), frames, [seed], 1, options, self.own_end)
        if not self.tokens:
            return self._motion(torch.from_numpy(made[0]), text)
        tokens, counts = made
        return self.decode(tokens[0][None].to(self.device), counts, [text])[0]

    def edit(
        self, motion: Motion, frames: Any = None, *, text: str | None = None, seed: int = 0, **options: Any
    ) -> Edit:
        """In-betweening of one gap, joined with the kept frames as in `mmm.editing.edit`.

        Diffusion is given all kept frames. The autoregressive model is given what comes before the gap, and cannot see
        what comes behind it. (The canvas of an Edit is then not used: all MASK for diffusion.)
        """
        self._check_edit(motion, "whole")
        require(
            np.shape(frames) == (2,),
            f"frames is {frames!r}; a baseline fills one gap of the whole body: give its (start, stop).",
        )
        features, kept = prepare(
            torch.tensor(motion.features), [tuple(frames)], parts=self.tokenizer.config.parts
        )
        if text is None:  # a placeholder, which is not read
            words, options = torch.zeros(1, 1, self.transformer.config.text_dim), {**options, "guidance": 0.0}
            embedding = TextEmbedding(words, torch.ones(1, 1, dtype=torch.bool), words[:, 0])
        else:
            embedding = self.embed([text])
        count, seeds = len(features), [int(seed)]
        canvas = encode_kept(self.tokenizer, features.to(self.device), kept, self.info["skeleton"]).cpu()[0]
        if self.tokens:
            gap = (canvas == MASK).any(0).nonzero()[:, 0]
            first, end = int(gap[0]), int(gap[-1]) + 1
            frames_before = [end * self.tokenizer.config.ratio]
            given = {"prefixes": [canvas[:, :first]]}
            filled = self._sampled(embedding, frames_before, seeds, 1, options, **given)[0][0]
            tokens = torch.cat([filled, canvas[:, end:]], dim=1)
            decoded = decode_many(self.tokenizer, [tokens], [count])[0]
        else:
            canvas = tokens = torch.full_like(canvas, MASK)
            known = kept[0][:, None].repeat(1, features.shape[1])
            # The last frame before the gap says how the motion goes on, which is not given to the other models either.
            to_gap = kept[0] & ~kept[0].roll(-1)
            known[to_gap.nonzero(), next_frame_indices(self.info["skeleton"])] = False
            given = {"known": [(features, known)]}
            decoded = self._sampled(embedding, [count], seeds, 1, options, **given)[0]
        decoded = torch.from_numpy(decoded)
        joined = join_features(features, decoded, kept, self.info["skeleton"])
        return Edit(joined, features, kept, canvas, tokens, torch.zeros(tokens.shape))


def fit_baseline(
    kind: Kind,
    folder: MotionFolder,
    whole: MMM,
    out: str | os.PathLike[str],
    preset: str = "light",
    recipe: str = "ours",
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> TrainResult:
    """Train a baseline on the data and with the sizes of a masked transformer.

    The budget is that of a preset. For a fair comparison give the steps of the masked model, those of its `init` too; a
    step of diffusion sees four times the positions.

    Args:
        whole: the model that it is compared with; clips that were held out from it are held out here, too.
        preset: the training budget of the masked transformer; the sizes are those of `whole`.
        options: for `mmm.training.loop.train` (resume, cpu, progress). changes: to the preset's `TrainConfig`.
    Raises:
        ValueError: motions of another skeleton than the model's; `out` holds another run.
    """
    recipe, options = get_recipe(recipe), options or {}
    cpu, progress = options.get("cpu", False), options.get("progress", True)
    config = resolve(training("transformer", preset, recipe), cpu, **changes)
    require(
        whole.info["skeleton"] == folder.skeleton,
        f"the model has skeleton {whole.info['skeleton']}, but {folder.path} has {folder.skeleton}; give the data it "
        "was trained on.",
    )
    sizes = dataclasses.replace(whole.transformer.config, predicts=0, text_dropout=recipe.text_dropout)
    with main_process_first(cpu) as device:
        packs = [folder.pack(split) for split in ("train", "val")]
    sources = []
    if kind == "autoregressive":
        sets = token_sets(folder, whole.tokenizer.to(device), recipe, progress)
    else:
        weights = balanced_weights(folder, packs[0], np.ones(len(packs[0])), recipe.transformer_balance)
        phases = range(RATIO) if recipe.all_phases else (0,)
        shared = {"max_tokens": sizes.max_tokens, "parts": sizes.parts, "skeleton": folder.skeleton}
        made = (
            frame_set(packs[0], phases, not has_mirrored(folder), weights, **shared),
            frame_set(packs[1], **shared),
        )
        sets, sources = zip(*made, strict=True)
    tokens, val = sets
    if held_out := whole.info.get("held_back", 0.0):  # the stored name of held_out
        tokens = tokens.select(~held_out_clips(tokens.ids, held_out))
    composer = make_composer(folder, tokens, sizes.max_tokens, sizes.parts, recipe)
    captions = tokens.texts() + (composer.texts() if composer else [])
    captions = (with_variants(captions) if recipe.typos else captions) + val.texts()
    with main_process_first(cpu):
        text = captions_source(folder, captions, whole.encoder, progress)
    torch.manual_seed(config.seed)  # initial weights come from torch's own generator
    about = {"val": val, "recipe": recipe, "composer": composer, "manifest": facts(folder), **options}
    # tokens of another codebook, or features of another Mean and Std, mean something else
    about["config_extra"] = {"tokenizer": fingerprint(whole.tokenizer)}
    network = new_network(kind, whole, recipe.text_dropout)
    if kind == "autoregressive":
        return autoregressive.train_autoregressive(tokens, text, network, config, out, **about)
    about["val"] = (val, sources[1])
    return diffusion.train_diffusion(tokens, sources[0], text, network, config, out, **about)


def new_network(
    kind: Kind, whole: MMM, text_dropout: float = 0.1
) -> autoregressive.Autoregressive | diffusion.Denoiser:
    """An untrained network with the sizes of a masked transformer; initial weights by torch's own generator."""
    sizes = dataclasses.replace(whole.transformer.config, predicts=0, text_dropout=text_dropout)
    if kind == "autoregressive":
        return autoregressive.Autoregressive(sizes, whole.tokenizer.codebook.detach().cpu())
    own = dataclasses.asdict(sizes) | {"codes": 1, "code_dim": 1, "parts": 1}
    mean, std = whole.tokenizer.mean.cpu(), whole.tokenizer.std.cpu()
    return diffusion.Denoiser(diffusion.DenoiserConfig(**own, features=len(mean)), mean, std)


def load_network(run: str | os.PathLike[str]) -> autoregressive.Autoregressive | diffusion.Denoiser:
    """The network of a run of `fit_baseline`.

    Raises:
        FileNotFoundError: there is none, or the training has not ended. ValueError: the run is of something else.
    """
    run = Path(run)
    require(
        (run / "config.yaml").is_file() and (run / "model").is_dir(),
        f"there is no trained baseline in {run}; run `python -m mmm.lab.baselines train … --out {run}` to its end.",
        FileNotFoundError,
    )
    try:
        content = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{run / 'config.yaml'} is damaged ({error}); train the baseline again.") from error
    kind = content.get("baseline") if isinstance(content, dict) else None
    require(
        kind in NETWORKS, f"{run} is no run of a baseline; give one of `python -m mmm.lab.baselines train`."
    )
    return NETWORKS[kind].from_pretrained(run / "model")
