"""Every array of the reference implementations is within its tolerance, and the table of `python tests/goldens.py`."""

import goldens
import pytest


@pytest.mark.parametrize("name", [name for name in goldens.CHECKS if name != "features"])
def test_golden(name):
    assert [each for each in goldens.differences(goldens.GOLDEN / f"{name}.npz") if not each.within] == []


def test_golden_of_captured_motion(shared_dir):
    rows = goldens.differences(shared_dir / "golden" / "features.npz")
    assert len(rows) == 6 and all(each.within for each in rows)


def test_every_golden_file_is_checked():
    assert goldens.CHECKS.keys() == {file.stem for file in goldens.GOLDEN.glob("*.npz")} | {"features"}


def test_the_table_and_its_exit_code(monkeypatch, capsys):
    rows = [goldens.compare("x", [1.0, 2.5], [1.0, 2.0], 0.1), goldens.compare("tokens", [1, 2], [1, 3], 1)]
    assert [(each.difference, each.size, each.within) for each in rows] == [(0.5, 2, False), (1, 2, True)]
    monkeypatch.setattr(goldens, "differences", lambda path: rows)
    assert goldens.main() == 1
    table = capsys.readouterr().out
    assert table.count("ABOVE\n") == len(goldens.files()) and table.count("\n") == 2 + 2 * len(
        goldens.files()
    )
    monkeypatch.setattr(goldens, "differences", lambda path: rows[1:])
    assert goldens.main() == 0
