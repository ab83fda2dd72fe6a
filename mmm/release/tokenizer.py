"""The tokenizer's arrays under the authors' names and under ours, in both directions.

The names in the authors' release are facts (docs/REPRODUCTION.md, "Tokenizer"); none of its code is used. Its
convolutions are Conv1d, ours Conv2d over pictures one pixel high (`mmm.tokenizer.layers`), so their weights differ by
one axis of length 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.storage import differences
from mmm.tokenizer.model import Tokenizer, TokenizerConfig


def release_names(config: TokenizerConfig) -> dict[str, str]:
    """Our name → the release's name, for every array that the release stores."""
    names = {}
    for part, suffix in enumerate(_suffixes(config.parts)):
        for ours, theirs in _modules(part, suffix, config):
            names |= {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
        names[f"quantizers.{part}.codebook"] = f"quantizer{suffix}.codebook"
    if config.parts == 2:
        names |= {"upper_mean": "mean_upper", "upper_std": "std_upper"}
    return names


def _suffixes(parts: int) -> tuple[str, ...]:
    return ("",) if parts == 1 else ("_upper", "_lower")


def _modules(part: int, suffix: str, config: TokenizerConfig) -> Iterator[tuple[str, str]]:
    """Our and the release's names of the convolutions of one body part."""
    encoder, decoder = f"encoder{suffix}.model", f"decoder{suffix}.model"
    yield f"encoders.{part}.first", f"{encoder}.0"
    yield f"encoders.{part}.last", f"{encoder}.{config.down + 2}"
    yield f"decoders.{part}.first", f"{decoder}.0"
    yield f"decoders.{part}.smooth", f"{decoder}.{config.down + 2}"
    yield f"decoders.{part}.last", f"{decoder}.{config.down + 4}"
    for stage in range(config.down):
        # a stage of the encoder is (conv, blocks), of the decoder (blocks, upsampling, conv)
        for ours, theirs, conv, blocks in (("encoders", encoder, 0, 1), ("decoders", decoder, 2, 0)):
            ours, theirs = f"{ours}.{part}.stages.{stage}", f"{theirs}.{stage + 2}"
            yield f"{ours}.conv", f"{theirs}.{conv}"
            for block in range(config.depth):
                yield f"{ours}.blocks.{block}.dilated", f"{theirs}.{blocks}.model.{block}.conv1"
                yield f"{ours}.blocks.{block}.pointwise", f"{theirs}.{blocks}.model.{block}.conv2"


def from_release_state(
    state: Mapping[str, Tensor | np.ndarray],
    mean: Float[Tensor, " d"] | None = None,
    std: Float[Tensor, " d"] | None = None,
    config: TokenizerConfig | None = None,
) -> Tokenizer:
    """A tokenizer with the release's weights, in evaluation mode.

    Sizes are read off the weights. Names may carry a prefix (`vqvae.`, `trans_base.vqvae.`); other arrays of the
    state are ignored. `mean` and `std` are those the weights were trained with. `config` gives the settings that
    cannot be read off the weights (strides, dilations, training rules).

    Raises:
        ValueError: weights are missing or have another shape; all of them are listed.
    """
    ends = ("encoder.model.0.weight", "encoder_upper.model.0.weight")
    prefixes = [name.removesuffix(end) for end in ends for name in state if name.endswith(end)]
    require(
        len(prefixes) == 1,
        f"the state holds {len(prefixes)} tokenizers, expected 1: a name ending in {ends[0]} or {ends[1]}",
    )
    prefix = prefixes[0]
    own = {
        name.removeprefix(prefix): torch.as_tensor(np.asarray(value))
        for name, value in state.items()
        if name.startswith(prefix)
    }
    config = _infer_sizes(own, config or TokenizerConfig())
    with torch.device("meta"):  # shapes are compared before memory is taken
        expected = to_release_state(Tokenizer(config))
    faults = differences({name: value for name, value in own.items() if name in expected}, expected)
    require(not faults, f"the state of {prefix or 'the tokenizer'} does not fit its own sizes: {faults}")
    model = Tokenizer(config)
    names, target = release_names(config), model.state_dict()
    with torch.no_grad():
        for ours, theirs in names.items():
            target[ours].copy_(own[theirs].unsqueeze(2) if ours.endswith("weight") else own[theirs])
    for quantizer in model.quantizers:
        quantizer.set_codebook(quantizer.codebook.detach().clone())  # the release does not store the EMA sums
    if mean is not None and std is not None:
        model.set_normalisation(mean, std)
    return model.eval()


def to_release_state(model: Tokenizer) -> dict[str, Tensor]:
    """The weights under the release's names and in its shapes."""
    state = model.state_dict()
    return {
        theirs: state[ours].squeeze(2) if ours.endswith("weight") else state[ours]
        for ours, theirs in release_names(model.config).items()
    }


def _infer_sizes(state: Mapping[str, Tensor], config: TokenizerConfig) -> TokenizerConfig:
    """Read the sizes off the shapes."""
    suffixes = _suffixes(2 if "encoder_upper.model.0.weight" in state else 1)
    needed = {f"encoder{suffix}.model.0.weight": 3 for suffix in suffixes}
    needed |= {f"quantizer{suffix}.codebook": 2 for suffix in suffixes}
    missing = [name for name, axes in needed.items() if name not in state or state[name].ndim != axes]
    require(not missing, f"the state lacks {', '.join(missing)}, or it has another number of axes")
    firsts = [state[f"encoder{suffix}.model.0.weight"] for suffix in suffixes]
    codebook = state[f"quantizer{suffixes[0]}.codebook"]
    encoder = f"encoder{suffixes[0]}.model."
    stages = {name.split(".")[2] for name in state if name.startswith(encoder) and ".1.model." in name}
    blocks = {name.split(".")[5] for name in state if name.startswith(f"{encoder}2.1.model.")}
    return replace(
        config,
        features=sum(first.shape[1] for first in firsts),
        width=firsts[0].shape[0],
        depth=len(blocks),
        down=len(stages),
        codes=codebook.shape[0],
        code_dim=codebook.shape[1] * len(suffixes),
        parts=len(suffixes),
    )
