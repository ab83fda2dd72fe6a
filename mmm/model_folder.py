"""A model folder: what holds the trained parts of a model together, its config.json and its card."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmm.errors import require
from mmm.motion import get_skeleton

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
