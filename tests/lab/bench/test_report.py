import copy
import json

import pytest

from mmm.cli import main
from mmm.lab.bench.report import read_results, table


@pytest.fixture
def stored(pytestconfig):
    """The stored results of tiny and paper."""
    folder = pytestconfig.rootpath / "figures" / "bench"
    return [read_results(folder / f"{name}.json") for name in ("tiny", "paper")]


def rows_of(text):
    """{label: cells} of a table; of equal labels the first."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {label: rest for label, *rest in reversed(cells)}


def test_stored_results_stand_side_by_side(stored):
    text = table(stored)
    rows = rows_of(text)
    assert rows[""] == ["tiny, cpu", "paper, cpu"] and rows["parameters"] == ["0.9 M", "254.3 M"]
    assert rows["**one text to features (AITS)**"] == ["", ""]
    assert rows["40 frames"] == ["13 ms", "253 ms"]
    rate = stored[1]["tokenizer"]["steps_per_second"]
    assert rows["tokenizer"][1] == f"{rate:.3g} (256, bf16)"
    assert rows["import mmm, with torch"][1].endswith(" s [1]")  # the median of one only
    assert rows["train the tokenizer"][1] == "1,186 MB"
    assert [line.split(":")[0] for line in text.splitlines()[-2:]] == ["tiny, cpu", "paper, cpu"]


def test_times_in_a_batch_are_those_of_one_text(stored):
    whole = stored[0]["bulk"]["lengths"][0]["seconds"]
    section = table(stored[:1]).split("`generate_bulk`")[1]
    assert f"| 40 frames | {whole / 32 * 1e3:.3g} ms |" in section


def test_missing_figures_are_dashes_and_empty_sections_are_left_out(stored):
    other = copy.deepcopy(stored[1])
    for part in ("single", "batch", "loading"):
        del other[part]
    other["tokenizer"]["memory"]["device_peak"] = 3_000_000
    assert rows_of(table([stored[0], other]))["196 frames"][1] == "–"
    alone = table([other])
    assert "AITS" not in alone and "**loading**" not in alone and "**training" in alone
    assert rows_of(alone)["train the tokenizer"] == ["1,186 MB (3 MB)"]


def test_a_failure_is_reported(stored):
    stored[0]["failed"]["transformer"] = "the process was ended by SIGKILL"
    last = table(stored[:1]).splitlines()[-1]
    assert last == "tiny, cpu: transformer failed: the process was ended by SIGKILL."


def test_the_command_prints_files_as_one_table(stored, pytestconfig, capsys):
    folder = pytestconfig.rootpath / "figures" / "bench"
    args = [flag for name in ("tiny", "paper") for flag in ("--table", str(folder / f"{name}.json"))]
    with pytest.raises(SystemExit) as stop:
        main(["bench", *args])
    assert stop.value.code == 0 and capsys.readouterr().out.strip() == table(stored)


@pytest.mark.parametrize("content", ["{", json.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json"):
        read_results(tmp_path / "a.json")
