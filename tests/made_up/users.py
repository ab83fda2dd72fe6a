"""Miniature folders in HumanML3D's layout, as users would bring them."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from mmm.data.reading import FRAMES
from mmm.datasets.humanml3d import KINDS
from mmm.motion import get_skeleton

LINE = "a man walks#a/DET man/NOUN walk/VERB#0.0#0.0"
OTHER_LINE = "a person moves#a/DET person/NOUN move/VERB#0.0#0.0"
SPLITS = {"train": ["000001", "M000001", "000002", "000003"], "val": ["000004"], "test": ["000005", "000006"]}


def write_layout(path: Path, clips: Mapping[str, np.ndarray], splits: Mapping[str, Iterable[str]]) -> Path:
    """A folder of these clips, each with one caption; Mean is 0 and Std 1."""
    for part in ("new_joint_vecs", "texts"):
        (path / part).mkdir(parents=True)
    width = next(iter(clips.values())).shape[1]
    np.save(path / "Mean.npy", np.zeros(width, np.float32))
    np.save(path / "Std.npy", np.ones(width, np.float32))
    for clip, values in clips.items():
        np.save(path / f"new_joint_vecs/{clip}.npy", values)
        (path / f"texts/{clip}.txt").write_text(f"{LINE}\n")
    for split, chosen in splits.items():
        (path / f"{split}.txt").write_text("\n".join(chosen))
    return path


@pytest.fixture
def make_users(tmp_path: Path) -> Callable[..., Path]:
    """`make_users("kit")` → a folder with seven clips of allowed lengths, the least and the most among them."""

    def make(kind: str = "humanml3d") -> Path:
        rng, skeleton = np.random.default_rng(0), KINDS[kind].skeleton
        width, lengths = get_skeleton(skeleton).num_features, [*FRAMES[skeleton], 60, 61, 62, 63, 64]
        values = [rng.normal(size=(length, width)).astype(np.float32) for length in lengths]
        clips = dict(zip(sum(SPLITS.values(), []), values, strict=True))
        path = write_layout(tmp_path / kind / "users", clips, SPLITS)
        for text in path.glob("texts/*.txt"):
            text.write_text(f"{LINE}\n{OTHER_LINE}\n")
        return path

    return make


@pytest.fixture
def users(make_users) -> Path:
    """A HumanML3D folder of the user's."""
    return make_users()
