"""Profiles: sizes and training budgets of the notebooks, `notebooks/profiles/quick.yaml` and `full.yaml`.

A profile has three sections: `course` (time limits in seconds), `data` (the folder of each data set that the
course prepares, and the arguments of its `prepare`) and `settings` (the settings of each chapter's notebook, under
`all` or the chapter's two digits). A notebook calls

    config = load_profile(profile, "02", overrides)     # {"preset": "tiny", "steps": 300, ...}

Other helpers of every notebook follow: its paths, figures and metrics.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mmm.errors import atomic_write, require

if TYPE_CHECKING:
    from IPython.display import Image
    from matplotlib.figure import Figure

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SECTIONS = ("course", "data", "settings")


class _Loader(yaml.SafeLoader):
    """YAML in which `2e-4` is a number, and `no` (as in precision) a word. YAML 1.1 reads them as text and as false."""

    # resolvers by first letter; without that of truth values for yes, no, on, off; true and false stay
    yaml_implicit_resolvers = {
        letter: [each for each in known if letter not in "yYnNoO" or each[0] != "tag:yaml.org,2002:bool"]
        for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_FLOAT = re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_profile(profile: str | Path, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The profile as nested dictionaries, every section present.

    Args:
        profile: "quick", "full", another NAME of `folder`/NAME.yaml, or the path of a YAML file.
        folder: of the named profiles; `notebooks/profiles` of the project by default.

    Raises:
        FileNotFoundError: there is no such profile; the sentence lists the known ones.
        ValueError: an unknown section or chapter.
    """
    folder = NOTEBOOKS / "profiles" if folder is None else folder
    path = Path(profile)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{profile}.yaml"
    known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
    require(
        path.is_file(),
        f"profile {str(profile)!r}: there is no file {path}; give a YAML file or one of {known}",
        FileNotFoundError,
    )
    content = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    require(
        isinstance(content, dict) and set(content) <= set(SECTIONS),
        f"profile {path}: expected the sections {', '.join(SECTIONS)} and no others, it has {content!r:.80}",
    )
    content = {section: content.get(section) or {} for section in SECTIONS}
    for chapter, settings in content["settings"].items():
        named = isinstance(settings or {}, dict) and all(isinstance(name, str) for name in settings or {})
        require(
            isinstance(chapter, str) and re.fullmatch(r"all|\d\d", chapter) and named,
            f"profile {path}: settings are for 'all' or two quoted digits (\"02\"), as name: value pairs, not "
            f"{chapter!r}: {settings!r}",
        )
    return content


def chapter_settings(content: Mapping[str, Mapping[str, Any]], chapter: str) -> dict[str, Any]:
    """The settings of one chapter ("02") in a profile that was read: those for `all`, replaced by its own."""
    settings = content["settings"]
    return {**(settings.get("all") or {}), **(settings.get(chapter) or {})}


def load_profile(
    profile: str | Path, chapter: str, overrides: Mapping[str, Any] | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """The settings of one chapter, with `overrides` on top. The first cells of a notebook call this.

    Raises:
        FileNotFoundError: there is no such profile.
        ValueError: the chapter has no setting of that name, or a number was expected.
    """
    settings = chapter_settings(read_profile(profile, folder), chapter)
    for name, value in (overrides or {}).items():
        require(
            name in settings,
            f"override {name!r}: chapter {chapter} has no such setting in profile {str(profile)!r}; "
            f"it has {', '.join(sorted(settings)) or 'none'}",
        )
        check_kind(name, value, settings[name])
    return {**settings, **(overrides or {})}


def check_kind(name: str, value: Any, default: Any) -> None:
    """Refuse a text where the profile has a number, and a fraction where it has a whole number (`steps=1.5`)."""
    kinds = {int: ("a whole number", (int,)), float: ("a number", (int, float))}
    if type(default) in kinds:
        kind, types = kinds[type(default)]
        require(
            type(value) in types,
            f"setting {name}: expected {kind} as in the profile ({default!r}), not {value!r}",
        )


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """`["steps=100", "02.lr=1e-3"]` → `{"steps": 100, "02.lr": 0.001}`; values are read as in the profiles.

    Raises:
        ValueError: an assignment has no name or no `=`.
    """
    values = {}
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        require(sign and name, f"--set {assignment!r}: expected name=value, for example --set 02.steps=100")
        values[name.strip()] = yaml.load(value, _Loader)
    return values


def route_overrides(
    values: Mapping[str, Any], content: Mapping[str, Mapping[str, Any]], chapters: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Give each value to the chapters that have a setting of that name, or to the one it names: `02.steps`.

    Returns:
        overrides by chapter, every one of `chapters` present.

    Raises:
        ValueError: no chapter has such a setting; the sentence lists the known ones.
    """
    known = {chapter: chapter_settings(content, chapter) for chapter in chapters}
    overrides: dict[str, dict[str, Any]] = {chapter: {} for chapter in chapters}
    for name, value in values.items():
        only, dot, key = name.rpartition(".")
        receivers = [c for c in chapters if key in known[c] and (not dot or c == only)]
        names = sorted({f"{c}.{key}" for c in chapters for key in known[c]})
        require(
            receivers,
            f"--set {name}: no chapter to run has this setting; there are {', '.join(names) or 'none'}",
        )
        for chapter in receivers:
            check_kind(name, value, known[chapter][key])
            overrides[chapter][key] = value
    return overrides


def project_path(path: str | os.PathLike[str]) -> Path:
    """A notebook's `data` or `run_dir`; relative ones count from the project, not from notebooks/."""
    return NOTEBOOKS.parent / path  # an absolute path wins over what stands before it


def keep_figure(figure: Figure, run_dir: str | os.PathLike[str], name: str) -> Image:
    """Write a figure to RUN_DIR/figures/NAME.png and return the picture, as a notebook's cell shows it."""
    from IPython import display

    from mmm.viz.style import small_png

    data = small_png(figure)
    with atomic_write(Path(run_dir) / "figures" / f"{name}.png") as part:
        part.write_bytes(data)
    return display.Image(data=data)


def record_metrics(run_dir: str | os.PathLike[str], chapter: str, numbers: Mapping[str, Any]) -> None:
    """Write a chapter's numbers to RUN_DIR/metrics.json, beside those of the other chapters.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    path = Path(run_dir) / "metrics.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    values = {name: value.item() if hasattr(value, "item") else value for name, value in numbers.items()}
    bad = [name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
    require(not bad, f"metrics of chapter {chapter}: {', '.join(bad)} not finite")
    text = json.dumps({**known, chapter: values}, indent=1, sort_keys=True)
    with atomic_write(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
