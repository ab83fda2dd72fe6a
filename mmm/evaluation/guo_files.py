"""The files of Guo et al.'s evaluator: where they lie, which are missing, and how the checkpoint is read.

They may not be passed on with this project. Its authors' page, github.com/EricGuo5513/text-to-motion, links three
archives: t2m.zip (HumanML3D), kit.zip (KIT-ML) and glove.zip (the vocabulary of both).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mmm.data import MotionFolder
from mmm.data.folder import load_array
from mmm.errors import require
from mmm.evaluation.vocabulary import FILES
from mmm.interop import read_torch_file

SOURCE = "github.com/EricGuo5513/text-to-motion"
NETWORKS = ("text_encoder", "movement_encoder", "motion_encoder")
ARCHIVES = {"humanml3d": "t2m", "kit": "kit"}  # skeleton → t2m.zip, kit.zip, which hold a folder of that name
TITLES = {"humanml3d": "HumanML3D", "kit": "KIT-ML"}
CHECKPOINT = Path("text_mot_match", "model", "finest.tar")
META, METAS = Path("Comp_v6_KLD01", "meta"), "Comp_v6_KLD*/meta"  # other copies of the archive say KLD005
STATISTICS = ("mean.npy", "std.npy")


class GuoFiles(NamedTuple):
    """The checkpoint, the folder of the vocabulary, and the folder of the evaluator's Mean and Std."""

    checkpoint: Path
    glove: Path
    meta: Path


def find_files(folder: MotionFolder, place: str | os.PathLike[str]) -> GuoFiles:
    """Where the files for a data set lie in a folder of unpacked archives, or would lie if they were there.

    The vocabulary may also lie beside the folder, as in the field: checkpoints/t2m/…, checkpoints/kit/…, glove/.

    Raises:
        ValueError: there are several Mean and Std, and they differ.
    """
    place = Path(place)
    home = place / ARCHIVES[folder.skeleton]
    gloves = [place / "glove", place.parent / "glove"]
    metas = [meta for meta in sorted(home.glob(METAS)) if all((meta / file).is_file() for file in STATISTICS)]
    for other in metas[1:]:
        for file in STATISTICS:
            require(
                np.array_equal(load_array(other / file), load_array(metas[0] / file)),
                f"{file} of {metas[0]} and of {other} differ; remove the one that is not the evaluator's.",
            )
    return GuoFiles(
        checkpoint=home / CHECKPOINT,
        glove=next((glove for glove in gloves if glove.is_dir()), gloves[0]),
        meta=metas[0] if metas else home / META,
    )


def what_is_missing(
    folder: MotionFolder,
    checkpoint: str | os.PathLike[str] | None = None,
    glove: str | os.PathLike[str] | None = None,
    meta: str | os.PathLike[str] | None = None,
) -> str:
    """One sentence that lists the evaluator's files that are not there and tells where to get them; "" if none is.

    Args:
        folder: HumanML3D or KIT-ML, whose evaluators differ (or data with the skeleton of one of them).
        checkpoint, glove, meta: see `GuoFiles`; None stands for one that nobody has named.
    """
    archive = ARCHIVES[folder.skeleton]
    files = [(archive, Path(checkpoint or Path(archive, CHECKPOINT)), checkpoint)]
    files += [(archive, Path(meta or Path(archive, META), name), meta) for name in STATISTICS]
    files += [("glove", Path(glove or "glove", name), glove) for name in FILES]
    missing = [
        f"{file} (of {source}.zip)" for source, file, named in files if named is None or not file.is_file()
    ]
    if not missing:
        return ""
    return (
        f"of Guo et al.'s evaluator for {TITLES[folder.skeleton]}, {len(missing)} files are missing: "
        f"{', '.join(missing)}; get {archive}.zip and glove.zip from {SOURCE} and unpack them into one folder."
    )


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, dict[str, Tensor]]:
    """The arrays of the three networks, {network: {name: array}}; optimizers and the like are left aside.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, would run code, or is a checkpoint of something else.
    """
    found = read_torch_file(path, f"get it again from {SOURCE}")
    missing = [
        name
        for name in NETWORKS
        if not isinstance(found, Mapping) or not isinstance(found.get(name), Mapping)
    ]
    require(
        not missing,
        f"{path} has no {', '.join(missing)}: it is no checkpoint of Guo et al.'s evaluator; give {CHECKPOINT}.",
    )
    return {name: dict(found[name]) for name in NETWORKS}
