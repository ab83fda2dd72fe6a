"""One notebook, executed headlessly.

papermill executes the notebook in a process of its own. It reports success in several cases where a notebook did not
run to its end, so the verdict never depends on its report:

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
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mmm.errors import atomic_write, require, scratch_dir

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


def run_notebook(
    path: Path, output: Path, parameters: Mapping[str, Any], limits: Mapping[str, float]
) -> NotebookResult:
    """Execute one notebook in a process of its own and read the verdict from its cells.

    `limits`: `cell_timeout` and `notebook_timeout` in seconds, no limit where absent. The working directory
    is the notebook's own folder, as in Jupyter.
    """
    start = time.perf_counter()
    with scratch_dir("mmm-course") as scratch:
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
    command = [sys.executable, "-m", "mmm.execution", str(scratch)]
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
