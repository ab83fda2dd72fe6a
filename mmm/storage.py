"""A trained network on disk: a folder with config.json and model.safetensors (several files above 16 MB).

Nothing is pickled. A folder is written under a temporary name and then renamed, so that it is complete or absent.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mmm.errors import atomic_dir, listed, require

SHARD_SIZE = "16MB"
INDEX = "model.safetensors.index.json"
SCALE = ".row_scale"  # of a weight stored in 8 bits: the factor of each of its rows


def save_module(
    module: nn.Module,
    config: Any,
    folder: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
    keep_float32: Collection[str] = (),
) -> None:
    """Write the parameters and buffers of `module` and its dataclass `config` into `folder` (replaced as a whole).

    Args:
        dtype: the type in which floating-point arrays are stored, e.g. torch.float16 for half the size; None keeps
            their own. torch.int8 takes a quarter: weights of layers are whole numbers of ±127 with a scale for each
            row, everything else (codebooks, biases, norms) is float16.
        keep_float32: names of arrays that stay in float32: small ones that affect every number.
    """
    weights = {name for name, value in module.named_parameters() if value.ndim > 1}
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        value = value.detach().cpu()
        if name in keep_float32:
            state[name] = value.float()
        elif dtype == torch.int8 and name in weights:
            state[name], state[name + SCALE] = _in_8_bits(value)
        elif dtype is not None and value.is_floating_point():
            state[name] = value.to(torch.float16 if dtype == torch.int8 else dtype)
        else:
            state[name] = value
    with atomic_dir(folder, mark="config.json") as temporary:
        save_torch_state_dict(state, temporary, max_shard_size=SHARD_SIZE)
        text = json.dumps(dataclasses.asdict(config), indent=2)
        (temporary / "config.json").write_text(text + "\n", encoding="utf-8")


def load_config(kind: type, folder: str | os.PathLike[str]) -> Any:
    """The dataclass `kind` from `folder`/config.json.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: it is not JSON, or its names are not those of `kind`.
    """
    path = Path(folder) / "config.json"
    require(
        path.is_file(), f"{path} does not exist: give a folder written by save_pretrained", FileNotFoundError
    )
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"{path} is no {kind.__name__} ({error}): save the model again") from error


def load_state(module: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Load the arrays of `folder` into `module`, in the module's own types (float16 and 8 bits become float32 again).

    Raises:
        FileNotFoundError: a safetensors file is missing.
        ValueError: a file is cut off or damaged, or names or shapes differ from those of the module.
    """
    folder = Path(folder)
    state: dict[str, Tensor] = {}
    for name in _files(folder):
        path = folder / name
        require(path.is_file(), f"{path} does not exist: copy the whole folder again", FileNotFoundError)
        try:
            state |= load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(f"{path} is damaged or cut off ({error}): copy or save it again") from error
    for name in [name for name in state if name.endswith(SCALE)]:
        scale, weight = state.pop(name), name.removesuffix(SCALE)
        require(weight in state, f"{folder} has {name} but no {weight}; save the model again")
        state[weight] = state[weight].float() * _per_row(scale, state[weight])
    faults = differences(state, module.state_dict())
    require(not faults, f"{folder} does not fit its config.json: {faults}; save the model again")
    module.load_state_dict(state)


def differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """How the names and shapes of `state` differ from the expected ones, in words; "" if they agree."""
    faults = {
        "missing": sorted(expected.keys() - state.keys()),
        "unknown": sorted(state.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in sorted(state.keys() & expected.keys())
            if state[name].shape != expected[name].shape
        ],
    }
    return "; ".join(f"{fault}: {listed(names)}" for fault, names in faults.items() if names)


def _files(folder: Path) -> list[str]:
    index = folder / INDEX
    if not index.is_file():
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index} is damaged or cut off ({error}): copy or save it again") from error


def _in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of ±127 in the weight's shape, and the scale of each row (of one output of the layer)."""
    weight = weight.float()
    scale = weight.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (weight / _per_row(scale, weight)).round().to(torch.int8), scale


def _per_row(scale: Tensor, weight: Tensor) -> Tensor:
    """The scales in a shape that multiplies the rows of `weight`."""
    return scale.view(-1, *[1] * (weight.ndim - 1))
