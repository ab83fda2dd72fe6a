"""A trained network on disk: a folder with config.json and model.safetensors (several files above 16 MB).

Nothing is pickled. A folder is written under a temporary name and then renamed, so that it is complete or absent.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor, nn

from mmm.errors import atomic_dir, check_name, listed, parse_json, read_json, require, short

SHARD_SIZE = "16MB"
INDEX = "model.safetensors.index.json"
SCALE = ".row_scale"  # of a weight stored in 8 bits: the factor of each of its rows
AGAIN = "copy or save it again"
LARGEST = 1e8  # of a weight; counts of how often a code was used are far below it
Module = TypeVar("Module", bound=nn.Module)


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
    from huggingface_hub import save_torch_state_dict  # its import takes longer than loading a model

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
        ValueError: it is not JSON, its names are not those of `kind`, or a value is refused by `kind`.
    """
    path = Path(folder) / "config.json"
    values = read_json(path, "give a folder written by save_pretrained, or save the model again")
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no {kind.__name__} ({short(error)}): save the model again") from error


def load_module(make: Callable[[], Module], folder: str | os.PathLike[str]) -> Module:
    """The module that `make` makes, with the arrays of `folder`, in evaluation mode.

    `make` is called on torch's device "meta", where arrays have shapes but no numbers: everything is checked before
    memory is taken, and no weight is drawn that is replaced at once. Buffers that are not stored must say that they are
    on the CPU. float16 and 8 bits become the module's own types again.

    Raises:
        FileNotFoundError: a safetensors file is missing.
        ValueError: a file is damaged; names, shapes or types differ from those of the module; an array holds NaN,
            infinite or absurd numbers; an array in 8 bits has no scales.
    """
    folder = Path(folder)
    state: dict[str, Tensor] = {}
    for name in _files(folder):
        state |= read_tensors(folder / name)[0]
    with torch.device("meta"):
        module = make()
    expected = module.state_dict()
    scales = {name: state.pop(name) for name in list(state) if name.endswith(SCALE)}
    faults = differences(state, expected)
    require(not faults, f"{folder} does not fit its config.json: {faults}; save the model again")
    for name, scale in scales.items():
        weight = state.get(name.removesuffix(SCALE))
        require(
            weight is not None and weight.dtype == torch.int8 and scale.shape == weight.shape[:1],
            f"{folder} has {name} but no weights in 8 bits with as many rows; save the model again",
        )
        require(
            scale.is_floating_point(),
            f"{folder} has {name} of type {scale.dtype}, expected floating-point numbers; save the model again",
        )
        state[name.removesuffix(SCALE)] = weight.float() * _per_row(scale.float(), weight)
    values = checked_values(state, expected, str(folder))
    # what is still mapped into memory is copied: the file may be changed
    values = {name: value.clone() if value is state[name] else value for name, value in values.items()}
    module.load_state_dict(values, assign=True)
    return module.eval()


def read_tensors(
    path: str | os.PathLike[str], remedy: str = AGAIN
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The arrays of a safetensors file, mapped into memory, and its metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or cut off; the sentence ends with `remedy`.
    """
    require(Path(path).is_file(), f"there is no {path}; {remedy}.", FileNotFoundError)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except Exception as error:  # safetensors and torch have errors of their own for types they do not know
        raise ValueError(f"{path} is damaged or cut off ({short(error)}); {remedy}.") from error


def read_captions(
    tensors: dict[str, Tensor], source: str | os.PathLike[str], remedy: str, name: str = "captions"
) -> list[str]:
    """The captions that a safetensors file holds as JSON in the array of bytes `name`.

    Raises:
        ValueError: it does not.
    """
    data = tensors.get(name)
    require(data is not None and data.dtype == torch.uint8, f"{source} is damaged (no {name}); {remedy}.")
    texts = parse_json(data.numpy().tobytes(), f"{source}: {name}", remedy, list)
    require(
        all(isinstance(text, str) and text for text in texts),
        f"{source}: one of the {name} is no text; {remedy}.",
    )
    return texts


def checked_values(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The arrays in the types of the expected ones (any floating-point type becomes another).

    Raises:
        ValueError: one is of another kind, not finite in its new type, or of numbers that no training leads to.
    """
    kinds = [
        f"{name} ({value.dtype}, expected {expected[name].dtype})"
        for name, value in state.items()
        if (value.dtype != expected[name].dtype)
        and not (value.is_floating_point() and expected[name].is_floating_point())
    ]
    require(not kinds, f"{source} has arrays of a wrong type: {listed(kinds)}; {AGAIN}.")
    state = {name: value.to(expected[name].dtype) for name, value in state.items()}
    bad = [name for name, value in state.items() if not value.isfinite().all()]
    require(not bad, f"{source} has arrays with NaN or infinite numbers: {listed(bad)}; {AGAIN}.")
    floats = {name: value for name, value in state.items() if value.is_floating_point() and value.numel()}
    bad = [name for name, value in floats.items() if max(value.max(), -value.min()) > LARGEST]
    require(not bad, f"{source} has arrays with numbers beyond ±{LARGEST:,.0f}: {listed(bad)}; {AGAIN}.")
    return state


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
    files = read_json(index, AGAIN).get("weight_map")
    require(isinstance(files, dict) and files, f"{index} lists no files; {AGAIN}.")
    return sorted({check_name(name, f"a file in {index}", AGAIN) for name in files.values()})


def _in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of ±127 in the weight's shape, and the scale of each row (of one output of the layer)."""
    weight = weight.float()
    scale = weight.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (weight / _per_row(scale, weight)).round().to(torch.int8), scale


def _per_row(scale: Tensor, weight: Tensor) -> Tensor:
    """The scales in a shape that multiplies the rows of `weight`."""
    return scale.view(-1, *[1] * (weight.ndim - 1))
