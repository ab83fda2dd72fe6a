"""What all tests share: shapes checked while they run, golden arrays, the shared folder, one thread.

The import hook must stand before the first import of `mmm`: it wraps every function of the package so that
its jaxtyping annotations (`Float[Tensor, "b t 263"]`) are checked by beartype at every call.
"""

import builtins
import dataclasses
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import get_args
from unittest.mock import patch

# One thread for each test process: sums are then made in one order, and two cores run two processes.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import _import_hook as import_hook

# `float` admits a whole number, as PEP 484 says (temperature=1); beartype alone would refuse it.
checks = types.ModuleType("mmm_type_checks")
checks.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checks.__name__] = checks
jaxtyped = jaxtyping.jaxtyped


def checked(function=None, *, typechecker=None):
    """What the import hook puts around a function: jaxtyping's check, where an annotation has a shape to check.

    Else beartype's alone, which checks the same and takes 2 µs a call, not 50; nothing where nothing is annotated.
    """
    if function is None:
        return partial(checked, typechecker=typechecker)
    if isinstance(function, types.FunctionType):
        annotated = " ".join(map(str, function.__annotations__.values()))
        if not annotated:
            return function
        known = {**vars(builtins), **function.__globals__}
        names = set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", annotated)))
        if typechecker is not None and not any(name not in known or has_shape(known[name]) for name in names):
            return typechecker(function)
    return jaxtyped(function, typechecker=typechecker)


def has_shape(annotation: object) -> bool:
    """Whether it is a type of jaxtyping (Float, Float[Tensor, "t 3"]), or made of some."""
    return str(getattr(annotation, "__module__", "")).startswith("jaxtyping") or any(
        map(has_shape, get_args(annotation))
    )


def load_code(loader: import_hook._JaxtypingLoader, name: str) -> types.CodeType | None:
    """The code of a module of `mmm`, whose bytecode has a name of its own.

    jaxtyping's loader keeps that name while the module runs, so that scipy, pandas and all else that it imports is
    compiled anew in every process.
    """
    cache = partial(import_hook._optimized_cache_from_source, loader._typechecker.get_hash())
    with patch("importlib._bootstrap_external.cache_from_source", cache):
        return SourceFileLoader.get_code(loader, name)


jaxtyping.jaxtyped = checked
import_hook._JaxtypingLoader.get_code, import_hook._JaxtypingLoader.exec_module = (
    load_code,
    SourceFileLoader.exec_module,
)
jaxtyping.install_import_hook("mmm", "mmm_type_checks.check")

import numpy as np
import pytest
import torch
from made_up.body import moving_body  # noqa: F401 (a fixture)
from made_up.users import make_users, users  # noqa: F401 (fixtures)

from mmm import MMM
from mmm.data import Caption, Clip, MotionFolder, write_folder
from mmm.fit import fit_tokenizer, fit_transformer
from mmm.motion import features_to_joints
from mmm.pretrained import load_tokenizer
from mmm.tokenizer import PRESETS, Tokenizer
from mmm.transformer import LengthConfig, LengthEstimator, MaskedTransformer, preset

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
LONGEST = (  # the longest first
    "test_rehearsal", "fuzz/test_campaign", "test_export", "lab/baselines/test_baselines", "lab/bench/test_run",
    "test_course", "test_sampling_many", "test_cli", "evaluation/test_protocol", "training/test_process",
    "training/test_loop", "datasets/test_cmu",
)  # fmt: skip

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True, warn_only=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: each goes to one process as a whole, and the last one should be short."""
    place = {f"tests/{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.relative_to(ROOT).as_posix(), len(place)))


def find_shared() -> Path | None:
    """The folder with what the project must not contain (captures, HumanML3D's published clip), if any."""
    named = os.environ.get("MMM_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder.resolve() if (folder / "golden").is_dir() else None


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Path of the shared folder; the test is skipped, saying so, where there is none."""
    folder = find_shared()
    if folder is None:
        pytest.skip("needs the shared folder: set MMM_SHARED or put it beside the project as ../shared")
    return folder


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 1 MB."""
    path = tmp_path / "small-disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
        reason = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        reason = str(error)
    if reason:
        pytest.skip(f"a small disk needs the right to mount one ({reason})")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Mapping[str, np.ndarray]]:
    """`golden("tokenizer")` → the arrays of tests/golden/tokenizer.npz, by name."""

    def load(name: str) -> Mapping[str, np.ndarray]:
        return np.load(GOLDEN / f"{name}.npz", allow_pickle=False)

    return load


@pytest.fixture(scope="session")
def toy(golden, tmp_path_factory) -> MotionFolder:
    """Three made-up motions, cut into clips of many lengths, as a data folder."""
    free, clips, words = golden("features_free"), [], ("walks forward", "waves with the left hand", "bows")
    for i in range(3):
        features = np.asarray(free[f"{i}/features"], np.float32)
        for start in range(0, len(features) - 24, 8):
            piece = features[start : start + 60]
            captions = [Caption(f"a person {words[i]}"), Caption(f"someone {words[i]}")]
            program = {"dataset": "toy", "content": words[i], "path": f"take-{i}"}
            clips.append(Clip(f"{i}-{start:03d}", piece, features_to_joints(piece), captions, program))
    ids = [clip.id for clip in clips]
    splits = {"train": ids[:-4], "val": ids[-4:-2], "test": ids[-2:]}
    info = {"name": "toy", "fps": 20.0, "skeleton": "humanml3d", "source": "", "licence": "none", "seed": 0}
    return write_folder(tmp_path_factory.mktemp("toy") / "toy", clips, splits, info)


@pytest.fixture(scope="session")
def trained(toy, tmp_path_factory) -> Path:
    """A run: a tiny model trained for a few steps by the calls that `mmm train` makes."""
    quiet = {"progress": False, "cpu": True}
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM_CACHE", str(out / "cache"))
        fit_tokenizer(toy, out / "tokenizer", "tiny", steps=20, precision="no", options=quiet)
        tokenizer = load_tokenizer(out / "tokenizer")
        fit_transformer(toy, tokenizer, out / "model_run", "tiny", steps=20, precision="no", options=quiet)
    return out


@pytest.fixture(scope="session")
def model(trained) -> MMM:
    """The model of `trained`."""
    return MMM.from_pretrained(trained / "model_run")


@pytest.fixture(scope="session")
def of_parts(model) -> Callable[[int], MMM]:
    """`of_parts(predicts)` → a model of two body parts, of random weights, with the text encoder of `model`."""

    def make(predicts: int = 2) -> MMM:
        torch.manual_seed(0)
        tokenizer = Tokenizer(dataclasses.replace(PRESETS["tiny"], parts=2)).eval()
        for quantizer in tokenizer.quantizers:
            quantizer.set_codebook(torch.randn(128, 8))
        width = model.transformer.config.text_dim
        sizes = preset("tiny", codes=128, code_dim=8, text_dim=width, parts=2, predicts=predicts)
        transformer = MaskedTransformer(sizes, tokenizer.codebook).eval()
        estimator = LengthEstimator(LengthConfig(width)).eval()
        return MMM(tokenizer, transformer, estimator, model.info, model.encoder)

    return make
