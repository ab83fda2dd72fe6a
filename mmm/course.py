"""`mmm course`: the notebooks in order, headlessly.

The settings of the notebooks come from a profile, `notebooks/profiles/NAME.yaml`; a notebook reads them from the same
file with `load_profile`. papermill executes each notebook in a process of its own. papermill reports success in
several cases where a notebook did not run to its end, so the verdict never depends on its report:

* a parameter that the notebook does not have only warns: parameters are compared with the notebook beforehand;
* `sys.exit(0)` passes with cells left, and after the death of a kernel every cell is marked "completed": the verdict
  comes from the cells of the executed notebook, each of which must have been executed and answered without an error;
* its timeout is for one cell: here a whole notebook has a limit too, and its kernel is killed with it;
* the kernel is looked up by name among those installed on the machine: here a kernel specification is written that
  starts the interpreter of the course.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from mmm.errors import atomic_write, require
from mmm.profiles import NOTEBOOKS, read_profile, route_overrides
from mmm.viz.table import markdown_table

PREPARED = ("synthetic", "bandai", "humanml3d", "kit")  # data sets that `prepare_data` can prepare
KERNEL = "mmm-course"  # the name of our kernel specification, which no machine has by chance
PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class NotebookResult:
    """The verdict on one notebook: `status` is "ok" or "failed", `reason` says in one line why it failed."""

    name: str
    status: str
    seconds: float
    reason: str
    path: str


@dataclass(frozen=True)
class CourseResult:
    """The verdicts of a course; `ok` if every notebook ran to its end without an error."""

    out: Path
    notebooks: tuple[NotebookResult, ...]

    @property
    def ok(self) -> bool:
        return all(result.status == "ok" for result in self.notebooks)

    def table(self) -> str:
        """A Markdown table: notebook, status, seconds, why it failed."""
        rows = [(r.name, r.status, f"{r.seconds:.0f}", r.reason) for r in self.notebooks]
        rows.append(
            ("all", "ok" if self.ok else "failed", f"{sum(r.seconds for r in self.notebooks):.0f}", "")
        )
        return markdown_table(("notebook", "status", "seconds", "reason"), rows, "llrl")


def run_course(
    profile: str | Path = "quick",
    only: Sequence[str] = (),
    set_values: Mapping[str, Any] | None = None,
    data: str = "synthetic",
    source: Sequence[str | Path] = (),
    out: str | Path | None = None,
    notebooks: str | Path | None = None,
    keep: bool = False,
) -> CourseResult:
    """Prepare the data where it is missing, then execute the notebooks in order and report on each.

    A notebook that fails does not stop the others: each runs alone.

    Args:
        profile: name of a profile, or a YAML file.
        only: chapters to run ("02", "2" or "02_tokenizer"); all by default.
        set_values: settings to change: `{"steps": 100}` in every chapter that has it, `{"02.steps": 100}` in
            one; `seed` is the seed of every notebook.
        data: "synthetic", "bandai", "humanml3d", "kit", or the folder of a data set.
        source: folders or archives to prepare it from (one folder for humanml3d and kit), needed the first time only;
            for synthetic none.
        out: folder for everything that is written, `runs/course-DATA-PROFILE` by default. The executed
            notebooks go to OUT/notebooks, the verdicts to OUT/summary.md and OUT/course.json, and OUT is the
            `run_dir` of every notebook.
        notebooks: folder with the notebooks and `profiles/`, that of the project by default.
        keep: a reference run: the outputs of each notebook that passes are written into the notebook itself.

    Raises:
        FileNotFoundError: no notebooks, profile or data there.
        ValueError: an unknown chapter or setting; a parameter that a notebook does not have.
    """
    start = time.perf_counter()
    folder = (Path(notebooks) if notebooks else NOTEBOOKS).resolve()
    content = read_profile(profile, folder / "profiles")
    paths = select_notebooks(folder, only)
    values = dict(set_values or {})
    common = {"seed": values.pop("seed")} if "seed" in values else {}
    overrides = route_overrides(values, content, [path.name[:2] for path in paths])
    out = Path(out or f"runs/course-{Path(data).name}-{Path(profile).stem}").resolve()
    data_folder = data_path(data, content, folder.parent)
    common |= {
        "profile": profile if Path(profile).suffix == "" else str(Path(profile).resolve()),
        "data": str(data_folder),
        "run_dir": str(out),
    }
    plan = [(path, common | {"overrides": overrides[path.name[:2]]}) for path in paths]
    for path, parameters in plan:  # all are checked before the first one runs
        check_parameters(path, parameters)
    prepare_data(data, source, content, data_folder)

    executed = out / "notebooks"
    executed.mkdir(parents=True, exist_ok=True)
    for path in paths:  # the files of an earlier course must not be taken for this one's
        (executed / path.name).unlink(missing_ok=True)
    print(f"course: {len(plan)} notebooks, profile {profile}, data {data_folder}, output {out}", flush=True)
    course = CourseResult(out, ())
    for number, (path, parameters) in enumerate(plan, start=1):
        print(f"[{number}/{len(plan)}] {path.stem} ...", flush=True)
        result = run_notebook(path, executed / path.name, parameters, content["course"])
        if keep and result.status == "ok":
            keep_outputs(executed / path.name, path)
        print(f"[{number}/{len(plan)}] {path.stem} {result.status}, {result.seconds:.0f} s", flush=True)
        if result.reason:
            print(f"      {result.reason}\n      see {result.path}", flush=True)
        course = CourseResult(out, (*course.notebooks, result))
        _write_report(course, profile, data_folder, time.perf_counter() - start)
    print(f"\n{course.table()}\n\nexecuted notebooks: {executed}\nsummary: {out / 'summary.md'}", flush=True)
    return course


def _write_report(course: CourseResult, profile: str | Path, data: Path, seconds: float) -> None:
    """OUT/summary.md for people and OUT/course.json for programs, rewritten after every notebook."""
    report = {
        "profile": str(profile),
        "data": str(data),
        "seconds_with_data": round(seconds, 1),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "notebooks": [asdict(result) for result in course.notebooks],
    }
    with atomic_write(course.out / "course.json") as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    with atomic_write(course.out / "summary.md") as part:
        title = f"# Course: profile {profile}, data {data.name}\n\n"
        part.write_text(title + course.table() + "\n", encoding="utf-8")


# ---------------------------------------------------------------------- before the first notebook


def select_notebooks(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """The notebooks `NN_name.ipynb` of a folder in order, or those that `only` names by number or name."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    require(
        paths,
        f"notebooks: there is no NN_name.ipynb in {folder}; run the course in a clone of the project",
        FileNotFoundError,
    )
    chosen = set()
    for name in only:
        named = {path for path in paths if path.stem == name or path.name[:2] == name.zfill(2)}
        names = ", ".join(path.stem for path in paths)
        require(named, f"--only {name}: no such notebook; there are {names}")
        chosen |= named
    return [path for path in paths if not only or path in chosen]


def check_parameters(path: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the cell tagged `parameters` does not define (papermill only warns)."""
    from papermill import inspect_notebook

    known = inspect_notebook(str(path))
    unknown = sorted(set(parameters) - set(known))
    require(
        not unknown,
        f"notebook {path}: its cell tagged 'parameters' does not define {', '.join(unknown)}; "
        f"it defines {', '.join(sorted(known)) or 'nothing'}; add them there",
    )


def data_path(data: str, content: Mapping[str, Mapping[str, Any]], root: Path) -> Path:
    """The folder of a data set: the profile's for a known name, else `data` itself as a path."""
    spec = content["data"].get(data)
    return root / spec["folder"] if spec else Path(data).resolve()


def prepare_data(
    data: str, source: Sequence[str | Path], content: Mapping[str, Mapping[str, Any]], folder: Path
) -> None:
    """Prepare the data set of that name unless its folder exists; an existing folder is left alone."""
    if any((folder / file).is_file() for file in ("Mean.npy", "dataset.json")):
        print(f"data: {folder} exists and is used as it is (remove it to prepare it again)", flush=True)
        return
    known = ", ".join(sorted(content["data"])) or "none"
    require(
        data in PREPARED and data in content["data"],
        f"data {data!r}: there is no data set (a folder with Mean.npy or dataset.json) at {folder}; give the folder of "
        f"one, or a name of the profile: {known}",
        FileNotFoundError,
    )
    require(
        source or data == "synthetic",
        f"data {data!r} is not prepared yet ({folder}) and needs a source: add SOURCE=PLACE to make, --source PLACE "
        "to mmm course (data/README.md says where to get it)",
    )
    require(
        len(source) == 1 or data not in ("humanml3d", "kit"),
        f"data {data!r} is prepared from one folder, but there are {len(source)} sources; give one",
    )
    from mmm.datasets import bandai, humanml3d, synthetic

    options = {key: value for key, value in content["data"][data].items() if key != "folder"}
    print(f"data: preparing {data} in {folder} ...", flush=True)
    start = time.perf_counter()
    if data == "synthetic":
        synthetic.prepare(folder, **options)
    elif data == "bandai":
        bandai.prepare(folder, list(source), **options)
    else:
        humanml3d.prepare(source[0], folder, data, **options)
    print(f"data: {folder} prepared in {time.perf_counter() - start:.0f} s", flush=True)


# ---------------------------------------------------------------------- one notebook


def run_notebook(
    path: Path, output: Path, parameters: Mapping[str, Any], limits: Mapping[str, float]
) -> NotebookResult:
    """Execute one notebook in a process of its own and read the verdict from its cells.

    `limits`: `cell_timeout` and `notebook_timeout` in seconds, no limit where absent. The working directory
    is the notebook's own folder, as in Jupyter.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mmm-course-") as name:
        scratch = Path(name)
        _write_kernelspec(scratch)
        job = {
            "notebook": str(path),
            "output": str(output),
            "parameters": dict(parameters),
            "cell_timeout": limits.get("cell_timeout"),
        }
        (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
        problem = _run_worker(scratch, path.parent, limits.get("notebook_timeout"))
    reason = "; ".join(text for text in (find_failure(output), problem) if text)
    seconds = round(time.perf_counter() - start, 1)
    return NotebookResult(path.stem, "failed" if reason else "ok", seconds, reason, str(output))


def _run_worker(scratch: Path, folder: Path, limit: float | None) -> str:
    """Start `main` on the job in its own process and wait for it; returns what went wrong in one line, or ""."""
    command = [sys.executable, "-m", "mmm.course", str(scratch)]
    worker = subprocess.Popen(command, cwd=folder, env=_environment(scratch))
    try:
        worker.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"stopped after {limit:g} s, the limit for a whole notebook"
    finally:
        _kill(worker)  # its kernel too: a kernel has a process group of its own
    if worker.returncode == 0:
        return ""
    message = scratch / "problem.txt"
    return message.read_text(encoding="utf-8") if message.is_file() else f"exit status {worker.returncode}"


def _write_kernelspec(scratch: Path) -> None:
    """A kernel specification that starts this interpreter, whatever kernels are installed on the machine."""
    folder = scratch / "kernels" / KERNEL
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    spec = {"argv": argv, "display_name": "Python 3 (course)", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _environment(scratch: Path) -> dict[str, str]:
    """The environment of worker and kernel: our kernel specification, and this very copy of the package."""

    changed = {"PYTHONHASHSEED": "0"}
    changed["PYTHONWARNINGS"] = (
        "ignore:IProgress not found"  # tqdm's, from libraries; it names a path of the machine
    )
    for variable, first in (("JUPYTER_PATH", scratch), ("PYTHONPATH", PACKAGE_ROOT)):
        changed[variable] = os.pathsep.join(filter(None, [str(first), os.environ.get(variable)]))
    return {**os.environ, **changed}


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """End a worker that still runs, and everything that it started."""
    if worker.poll() is None:
        children = psutil.Process(worker.pid).children(recursive=True)
        worker.kill()
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                pass  # it ended by itself in between
        worker.wait()


def find_failure(path: Path) -> str:
    """Why the executed notebook at `path` counts as failed, in one line; "" if it ran to its end.

    Only its cells count: papermill's metadata says "completed" even of cells that a dead kernel never saw.
    A code cell has run when it has an execution count and the kernel's reply, and holds no error output. An
    error fails even where the cell is tagged `raises-exception`, and `sys.exit(0)` is an error.
    """
    import nbformat

    if not path.is_file():
        return "it was never started"
    cells = nbformat.read(str(path), as_version=4).cells
    cells = [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]
    if not cells:
        return "it has no code cells"
    for number, cell in enumerate(cells, start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                return f"code cell {number} of {len(cells)} raised {output.ename}: {_one_line(output.evalue)}"
    for number, cell in enumerate(cells, start=1):
        replied = "shell.execute_reply" in cell.metadata.get("execution", {})
        if cell.execution_count is None or not replied:
            return f"code cell {number} of {len(cells)} did not run to its end"
    return ""


def keep_outputs(executed: Path, notebook: Path) -> None:
    """Write the outputs of an executed notebook into the notebook itself, as the outputs of a reference run.

    Everything that belongs to this run only is left out: the injected parameters (paths of this machine), papermill's
    metadata, times and the kernel's name; execution counts are numbered without the injected cell.

    Raises:
        ValueError: the notebook was edited after the run, so the outputs are not those of its cells.
    """
    import nbformat

    done, target = (nbformat.read(str(path), as_version=4) for path in (executed, notebook))
    cells = [cell for cell in done.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    require(
        [cell.source for cell in cells] == [cell.source for cell in target.cells],
        f"notebook {notebook}: its cells differ from those executed ({executed}); run it again",
    )
    count = 0
    for cell, own in zip(cells, target.cells, strict=True):
        if own.cell_type == "code":
            count += bool(own.source.strip())
            own.execution_count = count if own.source.strip() else None
            own.outputs = cell.outputs
            for output in own.outputs:
                if "execution_count" in output:
                    output["execution_count"] = own.execution_count
    target.metadata["language_info"] = {"name": "python"}
    with atomic_write(notebook) as part:
        nbformat.write(target, str(part))


def _one_line(text: object, limit: int = 200) -> str:
    return " ".join(str(text).split()).replace("|", "/")[:limit]


# ---------------------------------------------------------------------- the process of one notebook


def main(scratch: Path) -> None:
    """Execute the notebook of SCRATCH/job.json; write an exception as one line to SCRATCH/problem.txt."""
    import papermill

    job = json.loads((scratch / "job.json").read_text(encoding="utf-8"))
    try:
        papermill.execute_notebook(
            job["notebook"],
            job["output"],
            job["parameters"],
            kernel_name=KERNEL,
            language="python",
            progress_bar=sys.stderr.isatty(),
            start_timeout=120,
            execution_timeout=job["cell_timeout"],
        )
    except Exception as problem:
        text = _one_line(f"{type(problem).__name__}: {problem}")
        (scratch / "problem.txt").write_text(text, encoding="utf-8")
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
