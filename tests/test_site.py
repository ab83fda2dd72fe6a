"""The site: every chapter opens in Colab."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
COLAB = runpy.run_path(str(ROOT / "docs/site/colab.py"))


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
