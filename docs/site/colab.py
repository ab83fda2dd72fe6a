"""Open-in-Colab: a badge in the first cell of each chapter, and after the parameters a cell that installs.

    python docs/site/colab.py        # writes them where they are missing or name another repository

The repository is `Repository` in pyproject.toml: put your address there once the project is published, then call this.
`tests/test_site.py` checks that all chapters agree with it. The cell stands after the parameters, since papermill wants
these second, and does nothing outside Colab.
"""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
CELL_ID = "colab"


def badge(notebook: str, repository: str = REPOSITORY) -> str:
    """The badge of a notebook, given by its path in the repository, as a Markdown link."""
    place = f"https://colab.research.google.com/{repository.removeprefix('https://').replace('.com', '')}"
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({picture})]({place}/blob/main/{notebook})"


def install_cell(repository: str = REPOSITORY) -> dict:
    """The cell that gets the project and makes the data of the quick profile, in Colab only."""
    source = f"""\
import sys

if "google.colab" in sys.modules:  # installs the project in Colab; does nothing elsewhere
    !git clone --quiet --depth 1 {repository} /content/mmm
    %pip install --quiet --editable "/content/mmm[minilm]"
    !mmm prepare synthetic --clips 400 --out /content/mmm/data/synthetic-quick
    %cd -q /content/mmm/notebooks
    sys.path.insert(0, "/content/mmm")"""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": CELL_ID,
        "metadata": {"tags": ["remove-cell"]},  # the site leaves it out
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def with_colab(notebook: dict, path: str) -> dict:
    """The notebook with badge and cell; everything else, the cell's execution count too, as it was."""
    first, *rest = notebook["cells"]
    text = BADGE.sub("", "".join(first["source"]))
    title, _, text = text.partition("\n")
    text = f"{title}\n\n{badge(path)}\n\n{text.strip()}"
    first = {**first, "source": text.splitlines(keepends=True)}
    counts = [cell["execution_count"] for cell in rest if cell.get("id") == CELL_ID]
    rest = [cell for cell in rest if cell.get("id") != CELL_ID]
    (place,) = [n for n, cell in enumerate(rest, 1) if "parameters" in cell["metadata"].get("tags", [])]
    cell = {**install_cell(), "execution_count": counts[0] if counts else None}
    return {**notebook, "cells": [first, *rest[:place], cell, *rest[place:]]}


def main() -> None:
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        before = path.read_text("utf-8")
        notebook = with_colab(json.loads(before), path.relative_to(ROOT).as_posix())
        after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        if after != before:
            path.write_text(after, "utf-8")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
