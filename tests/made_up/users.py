"""A miniature folder in HumanML3D's layout, as a user would bring it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmm.data.reading import FRAMES
from mmm.datasets.humanml3d import KINDS
from mmm.motion import get_skeleton

LINE = "a man walks#a/DET man/NOUN walk/VERB#0.0#0.0"
OTHER_LINE = "a person moves#a/DET person/NOUN move/VERB#0.0#0.0"
SPLITS = {"train": ["000001", "M000001", "000002", "000003"], "val": ["000004"], "test": ["000005", "000006"]}


@pytest.fixture
def make_users(tmp_path: Path) -> Callable[..., Path]:
    """`make_users("kit")` → a folder with seven clips of allowed lengths, the least and the most among them."""

    def make(kind: str = "humanml3d") -> Path:
        path, rng, skeleton = tmp_path / kind / "users", np.random.default_rng(0), KINDS[kind].skeleton
        width = get_skeleton(skeleton).num_features
        for part in ("new_joint_vecs", "texts"):
            (path / part).mkdir(parents=True)
        np.save(path / "Mean.npy", np.zeros(width, np.float32))
        np.save(path / "Std.npy", np.ones(width, np.float32))
        ids = [clip for clips in SPLITS.values() for clip in clips]
        for clip, length in zip(ids, [*FRAMES[skeleton], 60, 61, 62, 63, 64], strict=True):
            np.save(path / f"new_joint_vecs/{clip}.npy", rng.normal(size=(length, width)).astype(np.float32))
            (path / f"texts/{clip}.txt").write_text(f"{LINE}\n{OTHER_LINE}\n")
        for split, clips in SPLITS.items():
            (path / f"{split}.txt").write_text("\n".join(clips))
        return path

    return make


@pytest.fixture
def users(make_users) -> Path:
    """A HumanML3D folder of the user's."""
    return make_users()
