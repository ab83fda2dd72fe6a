"""What docstrings, comments and pages cite exists in the repository."""

import ast
import json
import re
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A path with a folder and a known ending, or a Markdown page in capitals (README.md, docs/REPRODUCTION.md).
PATH = re.compile(r"\b(?:[\w.-]+/)+[\w.-]+\.(?:py|md|ipynb|yaml|json|npz|png|gif|html)\b|\b[A-Z_]{4,}\.md\b")
HEADING = re.compile(r"docs/REPRODUCTION\.md, \"([^\"]+)\"")
# Folders that commands write, or that users bring: what lies there is not in git.
NOT_OURS = ("runs/", "data/", "takes/", "strips/")
PLACEHOLDER = re.compile(r"\b[A-Z_]{2,}\b(?!\.md)")  # ID.json, NAME.yaml, SCRATCH/job.json


def tracked(*patterns: str) -> list[Path]:
    names = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split() if (ROOT / name).is_file()]


def docstrings(path: Path) -> str:
    """All docstrings and comments of a Python file."""
    text = path.read_text("utf-8")
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return "\n".join(docs + re.findall(r"#.*", text))


def missing(text: str) -> set[str]:
    cited = {
        name for name in PATH.findall(text) if not (name.startswith(NOT_OURS) or PLACEHOLDER.search(name))
    }
    places = (ROOT, ROOT / "mmm", ROOT / "tests", ROOT / "notebooks")
    return {name for name in cited if not any((place / name).exists() for place in places)}


def test_every_file_that_a_docstring_cites_exists():
    files = tracked("mmm/*.py", "tests/*.py", "figures/*.py")
    assert len(files) > 150
    assert {str(f.relative_to(ROOT)): lost for f in files if (lost := missing(docstrings(f)))} == {}


def test_every_file_and_folder_of_ours_that_a_page_names_exists():
    pages = tracked("*.md")
    named = re.compile(r"[`(]((?:mmm|tests|notebooks|docs|figures)/[\w/.-]*[\w/])[`)]")
    lost = {
        str(p.relative_to(ROOT)): {
            n
            for n in named.findall(p.read_text("utf-8"))
            if not (PLACEHOLDER.search(n) or (ROOT / n).exists())
        }
        for p in pages
    }
    assert {page: names for page, names in lost.items() if names} == {}


def test_every_link_between_pages_leads_somewhere():
    link = re.compile(r"\]\(((?!https?:|mailto:)[^)#]+)(?:#[^)]*)?\)")
    lost = {
        f"{page.relative_to(ROOT)}: {target}"
        for page in tracked("*.md")
        for target in link.findall(page.read_text("utf-8"))
        if not (page.parent / target).exists()
    }
    assert lost == set()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_every_section_that_is_cited_exists():
    headings = set(re.findall(r"^#+ (.+)$", (ROOT / "docs/REPRODUCTION.md").read_text("utf-8"), re.MULTILINE))
    files = tracked("mmm/*.py", "tests/*.py", "figures/*.py", "notebooks/*.ipynb", "*.md")
    cited = {name for file in files for name in HEADING.findall(file.read_text("utf-8").replace('\\"', '"'))}
    assert cited <= headings


def test_the_reading_guide_names_what_exists_and_is_short():
    rows = re.findall(
        r"\]\(\.\./(mmm/[\w/]+\.py)\): ((?:`\w+`(?:, )?)+)", (ROOT / "docs/READING.md").read_text("utf-8")
    )
    lines = 0
    for file, names in rows:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        found = {
            node.name: node for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        }
        for name in re.findall(r"`(\w+)`", names):
            lines += found[name].end_lineno - found[name].lineno + 1
    assert len(rows) >= 12 and 1000 < lines < 1700, "docs/READING.md says: about 1,500 lines"


def cells(kind: str) -> dict[str, list[str]]:
    """The sources of the cells of one kind, for each chapter from 00 to 08."""
    chapters = {
        path.stem: json.loads(path.read_text("utf-8")) for path in tracked("notebooks/0[0-8]_*.ipynb")
    }
    return {
        name: ["".join(cell["source"]) for cell in chapter["cells"] if cell["cell_type"] == kind]
        for name, chapter in chapters.items()
    }


def test_every_section_of_a_chapter_says_what_it_implements_and_how_long_it_takes():
    sections = {
        name: re.findall(r"^## \d+ · .*\n(.*)", "\n".join(texts), re.M)
        for name, texts in cells("markdown").items()
    }
    assert len(sections) == 9 and all(sections.values())
    line = re.compile(
        r"\*(Paper, \[section|Not in the paper|.*\[section).* · reading \d+ min(, running \d+ (s|min))?\*"
    )
    assert {
        name: bad for name, lines in sections.items() if (bad := [x for x in lines if not line.fullmatch(x)])
    } == {}


def test_the_cells_of_the_chapters_are_short():
    lines = {
        name: [sum(map(bool, map(str.strip, code.splitlines()))) for code in some]
        for name, some in cells("code").items()
    }
    assert {name: max(some) for name, some in lines.items() if max(some) > 15} == {}
    assert statistics.median(number for some in lines.values() for number in some) <= 5


def test_a_file_that_does_not_exist_is_seen():
    assert missing("see mmm/nowhere.py and REPRODUCTION_OF.md") == {"mmm/nowhere.py", "REPRODUCTION_OF.md"}
    assert missing("see mmm/errors.py, docs/REPRODUCTION.md, README.md, runs/x/metrics.json") == set()
