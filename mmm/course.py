"""`mmm course`: the notebooks in order, headlessly; `mmm.execution` runs each of them.

The settings of the notebooks come from a profile, `notebooks/profiles/NAME.yaml`; a notebook reads them from the same
file with `load_profile`.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmm.errors import atomic_write, require
from mmm.execution import NotebookResult, keep_outputs, run_notebook
from mmm.profiles import NOTEBOOKS, read_profile, route_overrides
from mmm.viz.table import markdown_table

PREPARED = ("synthetic", "bandai", "humanml3d", "kit")  # data sets that `prepare_data` can prepare


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
