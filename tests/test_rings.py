"""The three rings: a ring imports only from itself and from inner rings (CONTRIBUTING.md, "The structure")."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METHOD = (
    "errors storage motion data text bert tokenizer transformer sampling sampling_many calibration editing"
    " editing_tasks seams sequences known_texts arguments philox constraints control"
    " training recipes fit pretrained model"
)
RINGS = {
    **dict.fromkeys(METHOD.split(), 1),
    **dict.fromkeys("evaluation datasets bvh viz release export export_check".split(), 2),
    "lab": 3,
    # On top: the command line and the course runner may import everything; mmm/__init__.py offers MMM lazily.
    **dict.fromkeys(("cli", "course", "execution", "profiles", ""), 4),
}
# `Motion.save` and `Motion.show` are doors to pictures and files, `generate(best_of=8)` to an evaluator: they import
# these inside the function.
DOORS = {("motion/clip.py", "viz"), ("motion/clip.py", "bvh"), ("model.py", "evaluation")}


def imported(source: str) -> set[str]:
    """Parts of mmm that a source imports anywhere, inside functions too; imports are absolute (ruff: TID252)."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide what a module depends on"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "mmm" and len(part) > 1}


def faults(name: str, source: str) -> set[str]:
    part = name.split("/")[0].removesuffix(".py").replace("__init__", "")
    outer = {other for other in imported(source) if RINGS.get(other, 4) > RINGS[part]}
    return {f"{name} imports mmm.{other}" for other in outer if (name, other) not in DOORS}


def test_a_ring_imports_only_from_itself_and_from_inner_rings():
    files = sorted((ROOT / "mmm").rglob("*.py"))
    names = [str(path.relative_to(ROOT / "mmm")) for path in files]
    found = [faults(name, path.read_text("utf-8")) for name, path in zip(names, files, strict=True)]
    assert set().union(*found) == set()


def test_every_way_to_import_is_seen():
    sources = {
        "import mmm.lab.data": {"lab"},
        "from mmm import sampling, errors": {"sampling", "errors"},
        "from mmm.text import load_text_encoder": {"text"},
        "def late():\n    from mmm.cli import main": {"cli"},
        "import torch.nn": set(),
    }
    for source, expected in sources.items():
        assert imported(source) == expected
    assert faults("tokenizer/train.py", "import mmm.lab.data") and faults(
        "motion/skeleton.py", "import mmm.viz"
    )
    assert not faults("motion/clip.py", "import mmm.viz") and not faults("lab/data.py", "import mmm.viz")
