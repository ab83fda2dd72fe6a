"""One notebook, executed headlessly and judged by what its cells say.

papermill executes each notebook in a process of its own. It reports success in several cases where a notebook
did not run to its end, so the verdict here never rests on what it reports:

* a parameter that the notebook does not have only warns → compared beforehand with `inspect_notebook`;
* `sys.exit(0)` passes with cells left, and after the death of a kernel every cell is marked "completed" → the
  executed notebook is judged from its cells: each must have been executed and answered, none hold an error;
* its timeout is for one cell → a whole notebook has a limit too, and its kernel is killed with it;
* the kernel is found by name among those installed on the machine → a kernel specification is written that
  starts the interpreter which runs the course.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mmm.errors import atomic_write, require

KERNEL = "mmm-course"  # the name of our kernel specification, which no machine has by chance
PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class NotebookResult:
    """How one notebook went: `status` is "ok" or "failed", `reason` says why it failed in one line."""

    name: str
    status: str
    seconds: float
    reason: str
    path: str


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


def run_notebook(
    path: Path, output: Path, parameters: Mapping[str, Any], limits: Mapping[str, float]
) -> NotebookResult:
    """Execute one notebook in a process of its own and judge what came out.

    `limits`: `cell_timeout` and `notebook_timeout` in seconds, no limit where absent. The working directory
    is the notebook's own folder, as in Jupyter.
    """
    start = time.perf_counter()
    limit = limits.get("notebook_timeout")
    with tempfile.TemporaryDirectory(prefix="mmm-course-") as scratch:
        _write_kernelspec(Path(scratch))
        job = {
            "notebook": str(path),
            "output": str(output),
            "parameters": dict(parameters),
            "cell_timeout": limits.get("cell_timeout"),
            "problem": str(Path(scratch) / "problem.txt"),
        }
        (Path(scratch) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, "-m", "mmm.execution", str(Path(scratch) / "job.json")]
        worker = subprocess.Popen(command, cwd=path.parent, env=_environment(Path(scratch)))
        problem = ""
        try:
            worker.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            problem = f"stopped after {limit:g} s, the limit for a whole notebook"
        finally:
            _kill(worker)  # its kernel too: a kernel has a process group of its own
        if not problem and worker.returncode != 0:
            problem = f"exit status {worker.returncode}"
            if (said := Path(job["problem"])).is_file():
                problem = said.read_text(encoding="utf-8")
    reason = "; ".join(text for text in (judge(output), problem) if text)
    seconds = round(time.perf_counter() - start, 1)
    return NotebookResult(path.stem, "failed" if reason else "ok", seconds, reason, str(output))


def judge(path: Path) -> str:
    """Why the executed notebook at `path` counts as failed, in one line; "" if it ran to its end.

    Only its cells count: the papermill metadata says "completed" even of cells that a dead kernel never saw.
    A code cell has run when it has an execution count and the kernel's reply, and holds no error output. An
    error fails even where the cell is tagged `raises-exception`, and `sys.exit(0)` is an error.
    """
    import nbformat

    if not path.is_file():
        return "it was never started"
    cells = [
        c for c in nbformat.read(str(path), as_version=4).cells if c.cell_type == "code" and c.source.strip()
    ]
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

    What is of this run only stays out: the injected parameters (paths of this machine), papermill's metadata,
    times, the kernel's name; execution counts are numbered anew without the injected cell.

    Raises:
        ValueError: the notebook has been edited since, so that the outputs are not those of its cells.
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


def _write_kernelspec(folder: Path) -> None:
    """A kernel specification that starts this interpreter, whatever kernels are installed on the machine."""
    place = folder / "kernels" / KERNEL
    place.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    spec = {"argv": argv, "display_name": "Python 3 (course)", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _environment(scratch: Path) -> dict[str, str]:
    """The environment of worker and kernel: our kernel specification, and this very copy of the package."""

    def first(entry: Path, variable: str) -> str:
        return os.pathsep.join([str(entry), *filter(None, [os.environ.get(variable)])])

    changed = {
        "JUPYTER_PATH": first(scratch, "JUPYTER_PATH"),
        "PYTHONPATH": first(PACKAGE_ROOT, "PYTHONPATH"),
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm's, from libraries; it names a path of the machine
    }
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


def _work(job: Mapping[str, Any]) -> None:
    """What the process of one notebook does; an exception is put into one line for the parent."""
    import papermill

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
        Path(job["problem"]).write_text(text, encoding="utf-8")
        sys.exit(1)


if __name__ == "__main__":
    _work(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
