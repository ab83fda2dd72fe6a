"""The site: every page and module is on it, every chapter opens in Colab. CI builds it (`make site`)."""

import json
import runpy
import subprocess
from fnmatch import fnmatch
from pathlib import Path

from test_rings import RINGS

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
COLAB = runpy.run_path(str(ROOT / "docs/site/colab.py"))
CONTENTS = runpy.run_path(str(ROOT / "docs/site/contents.py"))


def test_every_chapter_and_every_page_of_docs_is_in_the_navigation():
    entries = sum(CONTENTS["NAVIGATION"].values(), [])
    pages = [*CHAPTERS, *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/site").glob("*.md")]
    names = [path.relative_to(ROOT).with_suffix("").as_posix() for path in pages]
    assert len(CHAPTERS) >= 9 and len(names) >= 20
    assert [name for name in names if not any(fnmatch(name, entry) for entry in entries)] == []


def test_every_module_of_the_method_and_the_interfaces_is_in_the_reference():
    listed = list(CONTENTS["PAGE_OF"])
    files = sorted((ROOT / "mmm").rglob("*.py"))
    parts = [path.relative_to(ROOT / "mmm").with_suffix("").parts for path in files]
    expected = {
        ".".join(("mmm", *(name for name in part if name != "__init__")))
        for part in parts
        if RINGS[part[0].replace("__init__", "")] in (1, 2)
    }
    assert set(listed) == expected
    method = [RINGS[name.split(".")[1]] for name in listed]
    assert method == sorted(method), "the method stands before the interfaces"


def test_docstrings_become_what_sphinx_reads():
    convert = runpy.run_path(str(ROOT / "docs/site/docstrings.py"))["from_markdown"]
    text = [
        "Of `a`s and |x|, `two",
        "words`:",
        "- one",
        "- two_ * 3",
        "",
        "    x = `y` * 2",
        "",
        "Args:",
        "    b: c.",
    ]
    assert convert(text) == [
        *("Of ``a``\\ s and \\|x\\|, ``two", "words``\\ :", "", "- one", "- two\\_ \\* 3", "", "::", ""),
        *("    x = `y` * 2", "", "Args:", "    b: c."),
    ]


def test_make_site_installs_its_extra_once_and_lets_no_warning_pass(tmp_path):
    def dry_run() -> str:
        command = ["make", "--dry-run", f"VENV={tmp_path}", "site"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    (tmp_path / ".installed").touch()
    assert "'.[site]'" in (fresh := dry_run()) and "--fail-on-warning" in fresh
    (tmp_path / ".installed-site").touch()
    assert "pip install" not in (again := dry_run()) and "sphinx" in again


def test_every_chapter_opens_in_colab_and_installs_there():
    """Fails? `python docs/site/colab.py` writes badge and cell."""
    for path in CHAPTERS:
        notebook = json.loads(path.read_text("utf-8"))
        assert COLAB["with_colab"](notebook, f"notebooks/{path.name}") == notebook, path.name
        first, second, third, *_ = notebook["cells"]
        assert f"/blob/main/notebooks/{path.name})" in "".join(first["source"])
        assert second["metadata"]["tags"] == ["parameters"] and third["id"] == COLAB["CELL_ID"]


def test_a_new_address_reaches_badge_and_cell():
    address = "https://github.com/somebody/motions"
    assert "colab.research.google.com/github/somebody/motions/blob/" in COLAB["badge"](
        "notebooks/x.ipynb", address
    )
    assert f"git clone --quiet --depth 1 {address} " in "".join(COLAB["install_cell"](address)["source"])
    notebook = json.loads(CHAPTERS[0].read_text("utf-8"))
    old = json.loads(json.dumps(notebook).replace(COLAB["REPOSITORY"].split(".com/")[1], "a/b"))
    assert old != notebook
    assert COLAB["with_colab"](old, f"notebooks/{CHAPTERS[0].name}") == notebook
