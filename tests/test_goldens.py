"""The table that `python tests/goldens.py` prints: every golden is in it, and every array within its tolerance."""

import runpy
from pathlib import Path

HERE = Path(__file__).parent
goldens = runpy.run_path(str(HERE / "goldens.py"))


def test_every_array_is_within_its_tolerance(capsys):
    assert goldens["CHECKS"].keys() == {file.stem for file in (HERE / "golden").glob("*.npz")}
    assert goldens["main"]() == 0
    table = capsys.readouterr().out
    assert "all within tolerance" in table and table.count("\n") >= 33


def test_what_is_beyond_is_told(monkeypatch, capsys):
    found = goldens["compare"]("x", [1.0, 2.5], [1.0, 2.0], 0.1)
    assert (found.difference, found.size, found.within) == (0.5, 2, False)
    assert goldens["compare"]("tokens", [1, 2, 3], [1, 3, 2], 0)[1] == 2
    monkeypatch.setitem(goldens["main"].__globals__, "differences", lambda: {"made up": [found]})
    assert goldens["main"]() == 1 and "BEYOND\n1 beyond tolerance" in capsys.readouterr().out
