"""The course fails where papermill would pass: tiny notebooks, one for each of its traps."""

import json
import os
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from mmm.course import check_parameters, prepare_data, run_course, select_notebooks
from mmm.datasets import bandai, humanml3d, synthetic
from mmm.execution import find_failure, keep_outputs

PARAMETERS = 'profile = "quick"\nseed = 0\ndata = "data"\nrun_dir = "runs"\noverrides = {}'
PROFILE = """
course: {cell_timeout: 600, notebook_timeout: 900}
data: {synthetic: {folder: data/small, clips: 3, seed: 0}, bandai: {folder: data/bandai}}
settings:
  all: {preset: tiny}
  "00": {steps: 5, lr: 2e-4}
"""
ALL_TRAPS = {
    "00_fine": ["import json, os, sys; from pathlib import Path",
                "facts = dict(seed=seed, data=data, overrides=overrides)",
                "facts.update(cwd=os.getcwd(), python=sys.executable)",
                "Path(run_dir, 'facts.json').write_text(json.dumps(facts))"],
    "01_exit": ["print('before')", "import sys; sys.exit(0)", "print('never')"],
    "02_dead_kernel_at_the_end": ["print('alive')", "import os; os._exit(0)"],
    "03_error": ["print('so far')", "raise KeyError('a | b')", "print('never')"],
}  # fmt: skip


def write_notebook(path: Path, cells: list[str], parameters: str = PARAMETERS) -> Path:
    code = nbformat.v4.new_code_cell
    first = code(parameters)
    first.metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# A title"), first, *map(code, cells)]
    )
    # a kernel that no machine has: the course must not depend on what is installed under this name
    notebook.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "x", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, str(path))
    return path


def project(root: Path, notebooks: dict[str, list[str]], profile: str = PROFILE) -> Path:
    """A project with notebooks, a profile and an (empty) data set; returns its notebooks folder."""
    folder = root / "notebooks"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "quick.yaml").write_text(profile)
    for name, cells in notebooks.items():
        write_notebook(folder / f"{name}.ipynb", cells)
    (root / "data" / "small").mkdir(parents=True)
    (root / "data" / "small" / "Mean.npy").touch()
    return folder


def alive(pid: int, patience: float = 20.0) -> bool:
    """Whether a process still runs after some seconds: on a busy machine a killed one does not go at once."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """One course over a notebook that is fine and one for each way to end early."""
    root = tmp_path_factory.mktemp("course")
    folder = project(root, ALL_TRAPS)
    stale = root / "out" / "notebooks" / "00_fine.ipynb"
    stale.parent.mkdir(parents=True)
    stale.write_text("what an earlier course left")
    result = run_course(set_values={"steps": 7, "seed": 3}, out=root / "out", notebooks=folder)
    return root, result


def test_a_notebook_that_runs_to_its_end_passes_with_its_parameters(course):
    root, result = course
    assert result.notebooks[0].status == "ok" and result.notebooks[0].reason == ""
    facts = json.loads((root / "out" / "facts.json").read_text())
    assert facts["seed"] == 3 and facts["overrides"] == {"steps": 7}
    assert facts["data"] == str(root / "data" / "small")
    assert Path(facts["cwd"]) == (root / "notebooks").resolve()
    assert facts["python"] == sys.executable  # the kernel is the interpreter that runs the course


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("01_exit", ("cell 4 of 5", "SystemExit")),
        ("02_dead_kernel_at_the_end", ("cell 4 of 4", "DeadKernelError")),
        ("03_error", ("cell 4 of 5", "KeyError: 'a / b'")),
    ],
)
def test_a_notebook_that_ends_early_fails(course, name, words):
    verdict = {result.name: result for result in course[1].notebooks}[name]
    assert verdict.status == "failed" and all(word in verdict.reason for word in words)


def test_the_course_continues_after_a_failure(course):
    root, result = course
    assert not result.ok
    assert [r.name for r in result.notebooks] == list(ALL_TRAPS)
    report = json.loads((root / "out" / "course.json").read_text())
    assert [r["status"] for r in report["notebooks"]] == ["ok"] + ["failed"] * 3
    rows = (root / "out" / "summary.md").read_text().splitlines()
    assert sum(row.startswith("| 0") for row in rows) == 4
    assert all(row.count("|") == 5 for row in rows if row.startswith("|")), "a reason may not break the table"


def test_keep_outputs_leaves_nothing_of_this_machine(course, tmp_path):
    root, _ = course
    path = tmp_path / "00_fine.ipynb"
    path.write_text((root / "notebooks" / "00_fine.ipynb").read_text())
    before = nbformat.read(str(path), as_version=4)
    executed = root / "out" / "notebooks" / "00_fine.ipynb"
    keep_outputs(executed, path)
    after = nbformat.read(str(path), as_version=4)
    assert [c.source for c in after.cells] == [c.source for c in before.cells]
    assert [c.execution_count for c in after.cells[1:]] == [1, 2, 3, 4, 5]
    assert after.cells[-1].outputs[0]["data"]["text/plain"].isdigit() and before.cells[-1].outputs == []
    assert find_failure(executed) == ""
    assert not any(word in path.read_text() for word in (str(root), "papermill", "mmm-course"))
    after.cells[2].source = "import json"
    nbformat.write(after, str(path))
    with pytest.raises(ValueError, match="00_fine.ipynb"):
        keep_outputs(executed, path)


def test_time_limits_kill_the_kernel_too(tmp_path):
    sleep = "import os, time\nopen(run_dir + '/pid-0', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    limits = {"cell_timeout: 600": "cell_timeout: 2", "notebook_timeout: 900": "notebook_timeout: 6"}
    for (old, new), words in zip(limits.items(), ("CellTimeoutError", "stopped after 6 s"), strict=True):
        folder = project(tmp_path / old[:4], {"00_sleep": [sleep]}, PROFILE.replace(old, new))
        result = run_course(out=folder.parent / "out", notebooks=folder)
        assert not result.ok and words in result.notebooks[0].reason
        assert result.notebooks[0].seconds < 300
        for pid in (folder.parent / "out").glob("pid-*"):
            assert not alive(int(pid.read_text())), "the kernel outlived its notebook"


def test_unknown_parameters_fail_before_anything_runs(tmp_path, capfd):
    folder = project(tmp_path, {"00_fine": ["print(1)"]})
    write_notebook(folder / "01_lacks.ipynb", ["print(1)"], 'profile = "quick"\nseed = 0\ndata = ""')
    with pytest.raises(ValueError, match="01_lacks.* overrides, run_dir"):
        run_course(out=tmp_path / "out", notebooks=folder)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="stesp"):
        check_parameters(folder / "00_fine.ipynb", {"stesp": 3})


def test_the_verdict_ignores_papermills_metadata(tmp_path):
    path = write_notebook(tmp_path / "n.ipynb", ["print(1)"])
    notebook = nbformat.read(str(path), as_version=4)
    notebook.metadata["papermill"] = {"exception": None}
    for cell in notebook.cells[1:]:
        cell.metadata["papermill"] = {"status": "completed", "exception": False}
        cell.execution_count = 1
        cell.metadata["execution"] = {"shell.execute_reply": "2024-01-01"}
    nbformat.write(notebook, str(path))
    assert find_failure(path) == ""
    notebook.cells[2].execution_count = None
    nbformat.write(notebook, str(path))
    assert find_failure(path) == "code cell 2 of 2 did not run to its end"
    notebook.cells[1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="boom", traceback=[])]
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, str(path))
    assert find_failure(path) == "code cell 1 of 2 raised E: boom"
    assert find_failure(tmp_path / "absent.ipynb") == "it was never started"


def test_chapters_are_chosen_by_number_or_name(tmp_path):
    folder = project(tmp_path, {"00_a": [], "01_b": [], "12_c": []})
    assert [p.stem for p in select_notebooks(folder)] == ["00_a", "01_b", "12_c"]
    assert [p.stem for p in select_notebooks(folder, ["12_c", "0"])] == ["00_a", "12_c"]
    with pytest.raises(ValueError, match="7.* 00_a, 01_b, 12_c"):
        select_notebooks(folder, ["7"])
    with pytest.raises(FileNotFoundError, match="test_chapters"):
        select_notebooks(tmp_path)


def test_data_that_cannot_be_prepared_is_named(tmp_path):
    folder = project(tmp_path, {"00_a": []})
    with pytest.raises(FileNotFoundError, match="nowhere.* bandai, synthetic"):
        run_course(data=str(tmp_path / "nowhere"), out=tmp_path / "out", notebooks=folder)
    with pytest.raises(ValueError, match="bandai.*--source"):
        run_course(data="bandai", out=tmp_path / "out", notebooks=folder)
    assert not (tmp_path / "out").exists() and not (tmp_path / "data" / "bandai").exists()


def test_missing_data_is_prepared_with_the_profiles_arguments(tmp_path, monkeypatch):
    calls = []
    for module in (synthetic, bandai, humanml3d):
        monkeypatch.setattr(module, "prepare", lambda *a, **k: calls.append((a, k)))
    content = {"data": {"synthetic": {"folder": "x", "clips": 3, "seed": 0}, "bandai": {"folder": "y"}}}
    content["data"] |= {name: {"folder": name} for name in ("humanml3d", "kit")}
    prepare_data("synthetic", [], content, tmp_path / "x")
    prepare_data("bandai", ["s.zip"], content, tmp_path / "y")
    assert calls == [((tmp_path / "x",), {"clips": 3, "seed": 0}), ((tmp_path / "y", ["s.zip"]), {})]
    for name in ("humanml3d", "kit"):
        prepare_data(name, ["mine"], content, tmp_path / name)
        assert calls.pop() == (("mine", tmp_path / name, name), {})
        with pytest.raises(ValueError, match=name):
            prepare_data(name, ["mine", "other"], content, tmp_path / name)
    assert os.listdir(tmp_path) == []
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "dataset.json").touch()  # a data set that refers to a user's folder has no Mean.npy
    prepare_data("kit", [], content, tmp_path / "kit")
    assert len(calls) == 2
