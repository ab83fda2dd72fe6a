"""Checkpoints that survive kill -9: the whole state of a training run, as safetensors and JSON, never pickle.

A checkpoint is a folder `checkpoints/step-000001000/` with one safetensors file per group of tensors (model,
optimizer, ema, log) and `state.json`. It is written under a temporary name and renamed, so a folder of that name
is always whole. If a disk or a copy has cut one short all the same, the one before it is used, with a warning.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmm.errors import atomic_dir, check_name, read_json, require
from mmm.storage import checked_values, read_tensors

KEPT = 2  # if the newest is damaged, the one before it is needed


@dataclass
class Checkpoint:
    """The whole state of a run after `step` steps: named tensors by group, and what JSON can hold."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    info: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write `checkpoint` to `folder/step-…` atomically and drop all but the newest `KEPT`."""
    path = folder / f"step-{checkpoint.step:09d}"
    # Any of its tensors marks it: a copy that was cut short, without state.json, is written again.
    with atomic_dir(path, mark="*.safetensors") as part:
        for group, tensors in checkpoint.tensors.items():
            plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(plain, part / f"{group}.safetensors")
        state = {"step": checkpoint.step, "groups": sorted(checkpoint.tensors), "info": checkpoint.info}
        (part / "state.json").write_text(json.dumps(state, indent=1))
        for file in part.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())  # the bytes must be on disk before the name is: power may fail too
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
    return path


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest readable checkpoint in `folder`, or None where there is none at all.

    Warns about each damaged one that it skips.

    Raises:
        ValueError: there are checkpoints, but none of them can be read.
    """
    if not folder.is_dir():
        return None
    for left_over in folder.glob(".step-*"):  # of a process killed while it wrote
        shutil.rmtree(left_over, ignore_errors=True)
    damaged = []
    for path in reversed(_checkpoints(folder)):
        try:
            return _read(path)
        except (OSError, ValueError) as error:
            damaged.append(path.name)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(
                f"checkpoint {path} cannot be read ({reason}); trying the one before it", stacklevel=2
            )
    require(
        not damaged,
        f"no checkpoint in {folder} can be read (tried {', '.join(damaged)}); "
        "delete the folder to start again, or restore a copy of it",
    )
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def _read(path: Path) -> Checkpoint:
    file = path / "state.json"
    state = read_json(file, finite=False)
    kinds = {"step": int, "groups": list, "info": dict}
    wrong = [name for name, kind in kinds.items() if type(state.get(name)) is not kind]
    require(not wrong, f"{file} lacks {', '.join(wrong)}; copy it again.")
    tensors = {}
    for group in state["groups"]:
        loaded, _ = read_tensors(path / f"{check_name(group, f'a group in {file}')}.safetensors")
        # safetensors returns views at any byte offset. Where memory is not aligned as the allocator does it, kernels
        # may sum in another order, and a resumed run must not differ in the last bit.
        tensors[group] = {name: tensor.clone() for name, tensor in loaded.items()}
    return Checkpoint(state["step"], tensors, state["info"])


def module_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, also the buffers that `state_dict` leaves out."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@torch.no_grad()
def load_module_tensors(module: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy `tensors` into the module's own, in place.

    Raises:
        ValueError: names or shapes differ, that is, the checkpoint is of another model.
    """
    own = module_tensors(module)
    different = sorted(
        name
        for name in {*own, *tensors}
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    )
    require(
        not different,
        f"the checkpoint is of another model: {len(different)} tensors differ in name or shape, first "
        f"{different[:1]}; give the model's own settings, or another folder",
    )
    for name, tensor in checked_values(tensors, own, "the checkpoint").items():
        own[name].copy_(tensor)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as flat tensors `INDEX/KEY`; its settings come from the config."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}/{key}": torch.as_tensor(value)
        for index, values in state.items()
        for key, value in values.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Undo `optimizer_tensors`. Raises ValueError for a state that is damaged or of other parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    shapes = [parameter.shape for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        known = index.isdecimal() and int(index) < len(shapes)
        require(
            bool(tensor.double().isfinite().all()),
            f"the checkpoint is damaged: its optimizer has NaN or infinite numbers in {name!r:.60}; delete it to go on "
            "from the one before it.",
        )
        require(
            known and tensor.shape in (torch.Size([]), shapes[int(index)]),
            f"the checkpoint is of another model: its optimizer has {name!r:.60} with shape {tuple(tensor.shape)}; "
            "give the model's own settings, or another folder",
        )
        state.setdefault(int(index), {})[key] = tensor
    require(
        len({frozenset(values) for values in state.values()}) < 2,
        "the checkpoint is damaged: its optimizer lacks arrays of some parameters; delete it, or copy it again",
    )
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
