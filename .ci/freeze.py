"""Print constraints.txt: exact pins of all that pyproject.toml's requirements bring into this environment.

Only what those requirements reach is pinned, so that a package tried out by hand does not slip in. torch
comes first, and without the local part of its version (+cpu, +cu130): which build is a matter of the index
that pip is given.
"""

import importlib.metadata as metadata
import platform
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def declared(leave_out: frozenset[str] = frozenset()) -> list[Requirement]:
    """The requirements of the project and of all its extras but those to leave out."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + sum((extras[name] for name in extras if name not in leave_out), [])
    return [found for found in map(Requirement, lines) if found.name != project["name"]]


def reached(leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """Name → installed version of every distribution that the declared requirements lead to."""
    versions: dict[str, str] = {}
    seen = set()
    queue = [(canonicalize_name(found.name), frozenset(found.extras)) for found in declared(leave_out)]
    while queue:
        name, extras = queue.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        versions[name] = distribution.version.partition("+")[0]
        for found in map(Requirement, distribution.requires or []):
            wanted = [{"extra": extra} for extra in extras or {""}]
            if found.marker is None or any(found.marker.evaluate(extra) for extra in wanted):
                queue.append((canonicalize_name(found.name), frozenset(found.extras)))
    return versions


def main() -> None:
    versions = reached()
    print("# Exact versions of everything that `make install` and `make site` install, written by `make constraints`.")
    print(f"# Made with Python {platform.python_version()} on {platform.system()}; torch first.")
    for name in sorted(versions, key=lambda name: (name != "torch", name)):
        print(f"{name}=={versions[name]}")


if __name__ == "__main__":
    main()
