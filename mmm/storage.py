"""A trained part on disk: a folder with config.json and model.safetensors (sharded above 16 MB).

Nothing here is pickled; a folder is written beside its place and renamed, so that it is whole or absent.
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

from mmm.errors import atomic_dir, require

SHARD_SIZE = "16MB"
INDEX = "model.safetensors.index.json"
SCALE = ".row_scale"  # of a weight that is stored in 8 bits: what each of its rows is to be multiplied by


def save_module(
    module: nn.Module,
    config: Any,
    folder: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
    keep_float32: Collection[str] = (),
) -> None:
    """Write the parameters and buffers of `module` and its dataclass `config` into `folder` (replaced whole).

    Args:
        dtype: the type floating-point arrays are stored in, e.g. torch.float16 for half the size; None keeps
            them as they are. torch.int8: a quarter, the weights of layers as whole numbers of ±127 and a scale for
            each row, everything else (codebooks, biases, norms) in float16.
        keep_float32: names of arrays that `dtype` leaves in float32, since they are small and touch every number.
    """
    weights = {name for name, value in module.named_parameters() if value.ndim > 1}
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        if dtype == torch.int8 and name in weights and name not in keep_float32:
            state[name], state[name + SCALE] = _in_8_bits(value)
        else:
            kind = torch.float16 if dtype == torch.int8 else dtype
            state[name] = _stored(value, torch.float32 if name in keep_float32 else kind)
    with atomic_dir(folder, mark="config.json") as part:
        save_torch_state_dict(state, part, max_shard_size=SHARD_SIZE)
        text = json.dumps(dataclasses.asdict(config), indent=2)
        (part / "config.json").write_text(text + "\n", encoding="utf-8")


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
        values = json.loads(path.read_text(encoding="utf-8"))
        return kind(**values)
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"{path} is no {kind.__name__} ({error}): save the model again") from error


def load_state(module: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Fill `module` with what `folder` holds, in the module's own types (float16 and 8 bits become float32 again).

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
        state[weight] = state[weight].float() * scale.view(-1, *[1] * (state[weight].ndim - 1))
    apart = differences(state, module.state_dict())
    require(not apart, f"{folder} does not fit its config.json: {apart}; save the model again")
    module.load_state_dict(state)


def differences(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], most: int = 8) -> str:
    """What sets `given` apart from the arrays that are expected, in words; "" if names and shapes agree.

    Args:
        most: names that are listed of each kind of fault; of the others only the number is told.
    """
    both = given.keys() & expected.keys()
    faults = {
        "missing": sorted(expected.keys() - given.keys()),
        "unknown": sorted(given.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(given[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in sorted(both)
            if given[name].shape != expected[name].shape
        ],
    }
    return "; ".join(
        f"{fault}: {', '.join(names[:most])}"
        + (f" and {len(names) - most} more" if len(names) > most else "")
        for fault, names in faults.items()
        if names
    )


def _files(folder: Path) -> list[str]:
    index = folder / INDEX
    if not index.is_file():
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index} is damaged or cut off ({error}): copy or save it again") from error


def _stored(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    value = value.detach().cpu()
    return value.to(dtype) if dtype is not None and value.is_floating_point() else value


def _in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of ±127 in the weight's shape, and the scale of each row (of one output of the layer)."""
    weight = weight.detach().cpu().float()
    scale = weight.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    whole = (weight / scale.view(-1, *[1] * (weight.ndim - 1))).round()
    return whole.to(torch.int8), scale
