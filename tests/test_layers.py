"""The layers of the package: a module imports only from lower ones, or from its own sub-package."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Lowest first. Names on one line do not import each other.
LAYERS = (
    ("errors",),
    ("motion", "precision", "processes", "storage"),
    ("data", "model_folder", "text", "training"),
    ("tokenizer", "transformer"),
    ("sampling",),
    ("editing",),
    ("pipeline",),
    ("interop",),
    ("recipes",),
    ("evaluation", "baselines", "ship"),
    ("ablations", "bench"),
    ("execution", "profiles"),
    ("course",),
    ("cli",),
)
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
MODULES = sorted((ROOT / "mmm").rglob("*.py"))


def room(path: Path) -> str:
    """mmm/motion/draw.py → motion, mmm/training.py → training, mmm/__init__.py (lazy, offers all) → ""."""
    first = path.relative_to(ROOT / "mmm").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of mmm that a file imports anywhere, inside functions too."""
    package = list(path.relative_to(ROOT).parent.parts)
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names = [[*module, alias.name] for alias in node.names] if module == ["mmm"] else [module]
        rooms |= {name[1] if len(name) > 1 else "" for name in names if name[0] == "mmm"}
    return rooms


def faults(path: Path) -> list[str]:
    own = room(path)
    if own not in HEIGHT:
        return [f"{path}: the room {own!r} has no place in LAYERS"] if own else []
    found = []
    for other in sorted(imported_rooms(path) - {own}):
        if other not in HEIGHT or HEIGHT[other] >= HEIGHT[own]:
            found.append(f"{path}: {own} may not import {other or 'mmm itself'}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(ROOT)) for p in MODULES])
def test_a_module_imports_only_from_lower_layers(path):
    assert faults(path) == []


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import mmm.data.folder", {"data"}),
        ("from mmm import sampling, errors", {"sampling", "errors"}),
        ("from mmm.text import encoder", {"text"}),
        ("from ..training import train", {"training"}),
        ("from . import features", {"motion"}),
        ("def late():\n    from mmm.cli import main", {"cli"}),
        ("from mmm import MMM", {"MMM"}),
        ("import torch.nn", set()),
    ],
)
def test_every_way_to_import_is_seen(tmp_path, monkeypatch, source, rooms):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "mmm" / "motion" / "probe.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert imported_rooms(path) == rooms
    assert bool(faults(path)) == bool(rooms - {"errors", "motion"})
