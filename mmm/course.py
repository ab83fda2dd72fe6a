"""The notebooks in order, headlessly: `mmm course`.

What the notebooks are given comes from a profile, `notebooks/profiles/NAME.yaml`; they read their settings
from the same file with `load_profile`.
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
from mmm.execution import NotebookResult, check_parameters, keep_outputs, run_notebook
from mmm.profiles import NOTEBOOKS, read_profile, route_overrides

PREPARED = ("synthetic", "bandai", "humanml3d", "kit")  # what `prepare_data` can make


@dataclass(frozen=True)
class CourseResult:
    """How the course went; `ok` if every notebook ran to its end without an error."""

    out: Path
    notebooks: tuple[NotebookResult, ...]

    @property
    def ok(self) -> bool:
        return all(result.status == "ok" for result in self.notebooks)

    def table(self) -> str:
        """A Markdown table: notebook, status, seconds, why it failed."""
        rows = [f"| {r.name} | {r.status} | {r.seconds:.0f} | {r.reason} |" for r in self.notebooks]
        total = sum(r.seconds for r in self.notebooks)
        head = ["| notebook | status | seconds | reason |", "| --- | --- | ---: | --- |"]
        return "\n".join([*head, *rows, f"| all | {'ok' if self.ok else 'failed'} | {total:.0f} | |"])


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
    """Prepare the data where it is missing, execute the notebooks in order, judge and report each.

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
    chosen = select_notebooks(folder, only)
    values = dict(set_values or {})
    seed = values.pop("seed", None)
    overrides = route_overrides(values, content, [path.name[:2] for path in chosen])
    plan = []  # every notebook's parameters are checked before the first one runs
    out = Path(out or f"runs/course-{Path(data).name}-{Path(profile).stem}").resolve()
    data_folder = data_path(data, content, folder.parent)
    for path in chosen:
        parameters = {
            "profile": profile if Path(profile).suffix == "" else str(Path(profile).resolve()),
            "data": str(data_folder),
            "run_dir": str(out),
            "overrides": overrides[path.name[:2]],
        } | ({} if seed is None else {"seed": seed})
        check_parameters(path, parameters)
        plan.append((path, parameters))
    prepare_data(data, source, content, data_folder)

    executed = out / "notebooks"
    executed.mkdir(parents=True, exist_ok=True)
    for path, _ in plan:  # what an earlier course left must not be taken for this one's
        (executed / path.name).unlink(missing_ok=True)
    print(f"course: {len(plan)} notebooks, profile {profile}, data {data_folder}, output {out}", flush=True)
    results: list[NotebookResult] = []
    for number, (path, parameters) in enumerate(plan, start=1):
        print(f"[{number}/{len(plan)}] {path.stem} ...", flush=True)
        result = run_notebook(path, executed / path.name, parameters, content["course"])
        results.append(result)
        if keep and result.status == "ok":
            keep_outputs(executed / path.name, path)
        print(f"[{number}/{len(plan)}] {path.stem} {result.status}, {result.seconds:.0f} s", flush=True)
        if result.reason:
            print(f"      {result.reason}\n      see {result.path}", flush=True)
        course = CourseResult(out, tuple(results))
        _write_report(course, profile, data_folder, time.perf_counter() - start)
    print(f"\n{course.table()}\n\nexecuted notebooks: {executed}\nsummary: {out / 'summary.md'}", flush=True)
    return course


def select_notebooks(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """The notebooks `NN_name.ipynb` of a folder in order, or those that `only` names by number or name."""
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    require(
        found,
        f"notebooks: found no NN_name.ipynb in {folder}; run the course in a clone of the project",
        FileNotFoundError,
    )
    names = ", ".join(path.stem for path in found)
    for name in only:
        require(
            any(_named(path, name) for path in found), f"--only {name}: no such notebook; there are {names}"
        )
    return [path for path in found if not only or any(_named(path, name) for name in only)]


def _named(path: Path, name: str) -> bool:
    return path.stem == name or path.name[:2] == name.zfill(2)


def data_path(data: str, content: Mapping[str, Mapping[str, Any]], root: Path) -> Path:
    """Where a data set lies: the folder that the profile gives to its name, else `data` itself as a path."""
    spec = content["data"].get(data)
    return root / spec["folder"] if spec else Path(data).resolve()


def prepare_data(
    data: str, source: Sequence[str | Path], content: Mapping[str, Mapping[str, Any]], folder: Path
) -> None:
    """Make the data set of that name if its folder is not there yet; a folder that is there is left alone."""
    if any((folder / file).is_file() for file in ("Mean.npy", "dataset.json")):
        print(f"data: {folder} is there and used as it is (remove it to prepare it again)", flush=True)
        return
    known = ", ".join(sorted(content["data"])) or "none"
    require(
        data in PREPARED and data in content["data"],
        f"data {data!r}: found no data set (a folder with Mean.npy or dataset.json) at {folder}; give the folder of "
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
        f"data {data!r} is prepared from one folder, but {len(source)} sources were given; give one",
    )
    arguments = {key: value for key, value in content["data"][data].items() if key != "folder"}
    print(f"data: preparing {data} in {folder} ...", flush=True)
    start = time.perf_counter()
    if data == "synthetic":
        from mmm.data.synthetic import prepare

        prepare(folder, **arguments)
    elif data == "bandai":
        from mmm.data.bandai import prepare

        prepare(folder, list(source), **arguments)
    else:
        from mmm.data.humanml3d import prepare

        prepare(source[0], folder, data, **arguments)
    print(f"data: {folder} prepared in {time.perf_counter() - start:.0f} s", flush=True)


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
