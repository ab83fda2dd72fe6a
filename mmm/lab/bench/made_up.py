"""Models with random weights and made-up clips: sizes and shapes are real, and speed depends on nothing else."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import torch

from mmm.data import Caption, Clip, MotionFolder, PackedSplit, write_folder
from mmm.data.batches import pack
from mmm.lab.bench.settings import Job
from mmm.model import MMM
from mmm.text import TextEncoder
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.transformer import LengthConfig, LengthEstimator, MaskedTransformer
from mmm.transformer import preset as transformer_preset
from mmm.transformer.tokens import TokenSet

CLIPS = 256  # of the training: more would only take longer to pack and to embed
FRAMES = 140  # of every made-up clip, the mean of HumanML3D (7.1 s): all training steps cost the same
ACTIONS = ("walks", "runs", "turns left", "turns right", "bows", "waves", "jumps", "raises both hands")
MANNERS = ("slowly", "with energy", "like somebody old", "in good spirits")


def random_tokenizer(preset: str, features: int = 263) -> Tokenizer:
    """A tokenizer of a preset's size as at the start of training: its codebook is still empty."""
    torch.manual_seed(0)
    return Tokenizer(dataclasses.replace(TOKENIZERS[preset], features=features))


def random_transformer(preset: str, config: TokenizerConfig, text_dim: int) -> MaskedTransformer:
    """A transformer of a preset's size for that tokenizer, with a random codebook."""
    torch.manual_seed(0)
    sizes = transformer_preset(
        preset, codes=config.codes, code_dim=config.code_dim // config.parts, text_dim=text_dim
    )
    return MaskedTransformer(sizes, torch.randn(config.parts, config.codes, sizes.code_dim))


def random_model(preset: str, encoder: TextEncoder) -> MMM:
    """A whole model of a preset's size that can be saved and sampled, with the guidance of `mmm train`."""
    tokenizer = random_tokenizer(preset).eval()
    transformer = random_transformer(preset, tokenizer.config, encoder.width).eval()
    for quantizer, codes in zip(tokenizer.quantizers, transformer.codebook, strict=True):
        quantizer.set_codebook(codes)
    info = {
        "data": "none, random weights",
        "fps": 20.0,
        "skeleton": "humanml3d",
        "text_encoder": encoder.name,
        "guidance": 2.0 if transformer.config.text_dropout > 0 else 1.0,
    }
    return MMM(tokenizer, transformer, LengthEstimator(LengthConfig(encoder.width)).eval(), info, encoder)


def data_folder(job: Job) -> MotionFolder:
    """The user's data folder, else a folder of made-up clips (noise, with captions) among the scratch files."""
    if job.settings.data is not None:
        return MotionFolder.open(job.settings.data)
    path = job.scratch / "made-up"
    if path.is_dir():
        return MotionFolder.open(path)
    generator = np.random.default_rng(0)
    clips = [
        Clip(
            f"{number:03d}",
            generator.standard_normal((FRAMES, 263), np.float32),
            np.zeros((FRAMES, 22, 3), np.float32),
            [Caption(f"a person {one} {how} and then {two}")],
        )
        for number, (one, how, two) in enumerate(itertools.product(ACTIONS, MANNERS, ACTIONS))
    ]
    splits = {"train": [clip.id for clip in clips], "val": [], "test": []}
    info = {"name": "made-up", "fps": 20.0, "skeleton": "humanml3d", "source": "noise", "licence": "none"}
    return write_folder(path, clips, splits, info)


def train_split(job: Job, folder: MotionFolder) -> PackedSplit:
    """Up to `CLIPS` clips of the train split, from all over it, memory-mapped as in training."""
    ids = folder.ids("train")
    chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, CLIPS).astype(int))]
    clips = ((clip, folder.features(clip), folder.captions(clip)) for clip in chosen)
    return pack(job.scratch / "train", clips)


def random_tokens(packed: PackedSplit, config: TokenizerConfig, max_tokens: int = 49) -> TokenSet:
    """Random tokens, as many as the clips have, with the clips' captions."""
    lengths = torch.from_numpy(np.minimum(-(-packed.lengths // config.ratio), max_tokens))
    shape = (len(packed), config.parts, int(lengths.max()))
    generator = torch.Generator().manual_seed(0)
    return TokenSet(
        torch.randint(config.codes, shape, generator=generator, dtype=torch.int16),
        lengths,
        torch.arange(len(packed) + 1),
        [[caption.text for caption in captions] for captions in packed.captions],
        np.ones(len(packed)),
        packed.ids,
    )
