"""The set-up: one source of truth for versions, the promised commands, no import without its requirement."""

import ast
import importlib.metadata as metadata
import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
VERSIONS = dict(line.split("==") for line in PINS)


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def test_every_pin_is_exact_and_torch_comes_first():
    assert PINS[0] == "torch==2.13.0"
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in PINS)
    assert len(VERSIONS) == len(PINS)


def test_the_pins_reach_everything_that_the_requirements_bring():
    reached = runpy.run_path(str(ROOT / ".ci" / "freeze.py"))["reached"]({"site"})  # not installed here
    # PyPI's torch for Linux brings CUDA, in versions that torch itself pins; the CPU build does not.
    cuda = {name for name in reached if name == "triton" or name.startswith(("nvidia-", "cuda-"))}
    assert set(reached) - cuda <= set(VERSIONS)
    assert len(reached) > 100, "the walk over the requirements found next to nothing"


def test_the_pins_satisfy_the_lower_bounds():
    extras = PROJECT["optional-dependencies"]
    for line in PROJECT["dependencies"] + sum((extras[name] for name in extras if name != "dev"), []):
        requirement = Requirement(line)
        assert requirement.specifier.contains(VERSIONS[canonicalize_name(requirement.name)]), line


def test_conda_and_make_use_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--constraint constraints.txt", "--editable .[dev]"]
    assert {re.split("[=<>]", entry)[0] for entry in conda} == {"python", "pip", "ffmpeg"}
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.split("\nconstraints:")[0].splitlines() if "pip install" in line]
    assert installs and all("--constraint constraints.txt" in line for line in installs)


@pytest.mark.parametrize("target", ["install", "test", "notebooks"])
def test_make_sets_up_once_and_does_what_the_readme_says(target, tmp_path):
    def dry_run(*arguments: str) -> str:
        command = ["make", "--dry-run", f"VENV={tmp_path}", target, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    fresh = dry_run()
    assert "-m venv" in fresh and "--constraint constraints.txt torch" in fresh and "'.[dev]'" in fresh
    (tmp_path / ".installed").touch()
    again = dry_run()
    assert "pip install" not in again and "-m venv" not in again
    if target == "test":
        assert "ruff check" in again and "pytest" in again
    if target == "notebooks":
        assert "course --profile quick --data synthetic" in again
        chosen = dry_run("DATA=bandai", "SOURCE=a.zip b", "PROFILE=full", "ARGS=--only 02")
        assert "--profile full --data bandai --source a.zip --source b --only 02" in chosen


def source(path: Path) -> str:
    """The Python of a module, or of a notebook without its magics."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell) for cell in cells).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def third_party_imports(everywhere: bool) -> dict[str, set[str]]:
    """Imported top-level name → files of mmm and notebooks; of mmm only those at the top of a module unless
    `everywhere`."""
    found: dict[str, set[str]] = {}
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb")) if everywhere else []
    for path in [*(ROOT / "mmm").rglob("*.py"), *notebooks]:
        tree = ast.parse(source(path))
        for node in ast.walk(tree) if everywhere else tree.body:
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in modules:
                found.setdefault(module.split(".")[0], set()).add(str(path.relative_to(ROOT)))
    return {name: files for name, files in found.items() if name not in {*sys.stdlib_module_names, "mmm"}}


@pytest.mark.parametrize("everywhere", [False, True])
def test_every_import_has_its_requirement(everywhere):
    """At the top of a module: a dependency; inside a function: a dependency or an extra for users."""
    extras = PROJECT["optional-dependencies"]
    allowed = names(PROJECT["dependencies"])
    if everywhere:
        allowed |= names(extras["minilm"] + extras["notebooks"] + extras["export"])
    providers = metadata.packages_distributions()
    for module, files in third_party_imports(everywhere).items():
        if "mmm/execution.py" in files and not everywhere:
            allowed |= names(extras["notebooks"])  # this module is the extra's: only the course runs it
        found = {canonicalize_name(name) for name in providers.get(module, [])}
        assert found & allowed, f"{module} in {sorted(files)} is none of the requirements"


def test_no_requirement_is_idle():
    needed = names(PROJECT["dependencies"])
    providers = metadata.packages_distributions()
    used = names(sum((providers.get(module, []) for module in third_party_imports(True)), []))
    assert needed - used <= {"pillow"}  # writes matplotlib's PNG and GIF


def test_skipped_tests_fail_ci_only_where_the_shared_folder_is(tmp_path):
    verdict = runpy.run_path(str(ROOT / ".ci" / "no_skips.py"))["verdict"]
    report = tmp_path / "tests.xml"
    passed = '<testcase classname="a" name="b"/>'
    skipped = '<testcase classname="a" name="c"><skipped message="no folder"/></testcase>'
    report.write_text(f"<testsuites><testsuite>{passed}{skipped}</testsuite></testsuites>")
    assert verdict(str(report), None) == ""
    assert "1 of 2 tests were skipped" in verdict(str(report), "/shared")
    report.write_text(f"<testsuites><testsuite>{passed}</testsuite></testsuites>")
    assert verdict(str(report), "/shared") == ""
    for empty in (skipped, ""):
        report.write_text(f"<testsuites><testsuite>{empty}</testsuite></testsuites>")
        assert "no test ran" in verdict(str(report), None)


def test_git_carries_no_data_sets_and_no_runs():
    kept = ["data/README.md", "data/pretrained/x/config.json", "mmm/data/folder.py"]
    ignored = ["data/bandai/Mean.npy", "data/synthetic/train.txt", "runs/a/b.json", ".venv/bin/python"]
    command = ["git", "check-ignore", "--no-index", *kept, *ignored]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout.split() == ignored
